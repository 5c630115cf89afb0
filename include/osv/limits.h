/* SPDX-License-Identifier: BSD-3-Clause */
/* The named limits of the core: every queue, loop and table has one. */
#pragma once

#define CPU_MAX 1024       /* run-time structures carry this many CPUs */
#define THREAD_NAME_MAX 16 /* bytes, with the final NUL */
#define BACKTRACE_MAX 32   /* frames that a panic prints */
#define LOG_LINE_MAX 256   /* bytes of one log line, with the final NUL */
#define LOCK_DEPTH_MAX 16  /* ranked locks that one thread holds at once (debug builds) */
