/* SPDX-License-Identifier: BSD-3-Clause */
/* Invariants of our own code. What comes from outside is checked and refused with an error instead.
 * ASSERT is always on and must cost O(1); DASSERT exists where OSV_DEBUG is 1. */
#pragma once
#include <osv/compiler.h>

/* Context: any. Calls the handler that panic_init() registered; traps where there is none yet. */
_Noreturn void assert_fail(const char *expression, const char *file, int line);
void assert_set_handler(void (*handler)(const char *expression, const char *file, int line));

#define ASSERT(x) (likely(x) ? (void)0 : assert_fail(#x, __FILE__, __LINE__))
#if OSV_DEBUG
#define DASSERT(x) ASSERT(x)
#else
#define DASSERT(x) ((void)sizeof(!(x)))
#endif
