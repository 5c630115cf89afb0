/* SPDX-License-Identifier: BSD-3-Clause */
/* Shapes that every room uses. */
#pragma once
#include <osv/compiler.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t paddr_t;  /* physical address, bytes */
typedef uintptr_t vaddr_t; /* virtual address, bytes */

#define PAGE_SHIFT 12
#define PAGE_SIZE ((size_t)1 << PAGE_SHIFT)
#define HUGE_SHIFT 21
#define HUGE_SIZE ((size_t)1 << HUGE_SHIFT)

#define ALIGN_UP(x, to) (((x) + ((to)-1)) & ~((to)-1))
#define ALIGN_DOWN(x, to) ((x) & ~((to)-1))
#define DIV_UP(x, by) (((x) + (by)-1) / (by))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define NSEC_PER_SEC 1000000000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_USEC 1000ull
