/* SPDX-License-Identifier: BSD-3-Clause */
/* The groups of the suite core, a file each. */
#pragma once
#include "harness.h"

extern const struct bench_group bench_context, bench_runqueue, bench_block, bench_mutex, bench_rcu,
    bench_ring, bench_page, bench_heap, bench_thread, bench_timer;
