/* SPDX-License-Identifier: BSD-3-Clause */
/* Words to the compiler that the rest of the tree shares. */
#pragma once
#if __has_include(<osv/symbols.h>)
#include <osv/symbols.h> /* the installed library: every global carries the prefix osv_ */
#endif
#include <stddef.h>

#define CACHE_LINE ((size_t)64)

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ALIGNED(n) __attribute__((aligned(n)))
#define LINE_ALIGNED ALIGNED(64)
#define NOINLINE __attribute__((noinline))
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#define COLD __attribute__((cold, noinline))

/* The address that the running function returns to: the "site" that debug builds record. */
#define CALL_SITE() ((uintptr_t)__builtin_return_address(0))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The compiler moves no memory access across it; the processor may. */
#define compiler_barrier() __asm__ volatile("" ::: "memory")
