/* SPDX-License-Identifier: BSD-3-Clause */
/* The two clocks. */
#pragma once
#include <osv/hal.h>

/* Nanoseconds since an arbitrary start, never going back on one CPU. Context: any. */
static inline uint64_t clock_ns(void)
{
    return hal_time_ns();
}

/* Nanoseconds since 1970-01-01 00:00:00 UTC; jumps when somebody sets the clock. Context: any. */
static inline uint64_t clock_wall_ns(void)
{
    return hal_wall_ns();
}
