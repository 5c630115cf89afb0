/* SPDX-License-Identifier: BSD-3-Clause */
/* Linux's error numbers, which are the same on x86_64 and aarch64. Functions return 0 or a negative
 * one. Source: Linux, include/uapi/asm-generic/errno-base.h and errno.h. */
#pragma once
#if __STDC_HOSTED__ && defined(__linux__)
#include <errno.h>
#else
#define EPERM 1
#define ENOENT 2
#define ESRCH 3
#define EINTR 4
#define EIO 5
#define ENXIO 6
#define EAGAIN 11
#define ENOMEM 12
#define EFAULT 14
#define EBUSY 16
#define EEXIST 17
#define EINVAL 22
#define ENOSPC 28
#define ERANGE 34
#define EDEADLK 35
#define ENOSYS 38
#define EOVERFLOW 75
#define EOPNOTSUPP 95
#define ETIMEDOUT 110
#endif
