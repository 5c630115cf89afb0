/* SPDX-License-Identifier: BSD-3-Clause */
/* The running context, in a thread-local word of the virtual CPU's pthread. The compiler must not
 * keep its address across a switch to another pthread, so the access is one instruction relative to
 * %fs each time. */
#pragma once
#include <osv/compiler.h>
#include <stdint.h>

/* A signal frame is 1 KiB with AVX2 and 3 KiB with AVX-512. */
#define HOST_STACK_SIZE ((size_t)32768)

struct hal_ctx;
extern __thread struct hal_ctx *host_self;

#define HOST_STRING_(x) #x
#define HOST_STRING(x) HOST_STRING_(x)

ALWAYS_INLINE struct hal_ctx *host_self_get(void)
{
    struct hal_ctx *self;
    __asm__ volatile("movq " HOST_STRING(host_self) "@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0"
                     : "=r"(self));
    return self;
}

ALWAYS_INLINE void host_self_set(struct hal_ctx *self)
{
    uintptr_t offset;
    __asm__ volatile("movq " HOST_STRING(host_self) "@gottpoff(%%rip), %0\n\tmovq %1, %%fs:(%0)"
                     : "=&r"(offset)
                     : "r"(self)
                     : "memory");
}

static inline uintptr_t host_tls_get(void)
{
    uintptr_t base;
    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}

static inline void host_tls_set(uintptr_t base)
{
    __asm__ volatile("wrfsbase %0" : : "r"(base) : "memory");
}
