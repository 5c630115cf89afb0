/* SPDX-License-Identifier: BSD-3-Clause */
/* Between harness.c and the part that boots the core for a test. */
#pragma once
#include "test.h"

int test_kernel_run(const struct test_case *test); /* 0 when the case passed */
bool test_in_kernel(void);                         /* is the caller a thread of the booted core? */
_Noreturn void test_kernel_stop(void);             /* ends the booted core as failed */

/* Writes to standard error at once; safe in a kernel thread. */
static inline void test_write(const char *text, size_t size)
{
    extern long write(int fd, const void *data, size_t bytes);
    if (write(2, text, size) < 0)
        return;
}
