/* SPDX-License-Identifier: BSD-3-Clause */
/* The suite core: context switch, scheduling, locks, RCU, rings, memory, threads and timers. */
#include "core.h"

int main(int argc, char **argv)
{
    static const struct bench_group *const groups[] = {
        &bench_context, &bench_runqueue, &bench_block, &bench_mutex,  &bench_rcu,
        &bench_ring,    &bench_page,     &bench_heap,  &bench_thread, &bench_timer,
    };
    return bench_main(argc, argv, "core", groups, sizeof groups / sizeof *groups);
}
