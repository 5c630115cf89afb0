/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of this room share: the state of memory before and after. */
#pragma once
#include "test.h"
#include <osv/cpumask.h>
#include <osv/heap.h>
#include <osv/page.h>
#include <osv/shrinker.h>
#include <osv/thread.h>

#define SETTLE_TRIES                                                                               \
    2000u /* of a millisecond: stacks of ended threads, and CPUs on their way to sleep */

/* The state with nothing parked anywhere. */
static inline struct page_stats memory_now(void)
{
    struct page_stats stats;
    heap_trim();
    page_stats(&stats);
    return stats;
}

/* Checks that all that was free is free again, and in as large a piece. */
static inline void memory_check_same(const struct page_stats *before)
{
    struct page_stats now = memory_now();
    for (unsigned i = 0; i < SETTLE_TRIES; i++) {
        if (now.free == before->free && now.largest_free_run == before->largest_free_run)
            break;
        thread_sleep(1000000);
        now = memory_now();
    }
    CHECK_EQ(now.free, before->free);
    CHECK_EQ(now.largest_free_run, before->largest_free_run);
    CHECK_EQ(now.total, before->total);
    heap_check();
}

/* Waits for an end of what a thread that started earlier left behind, then reads the state. */
static inline struct page_stats memory_at_start(void)
{
    struct page_stats last = memory_now();
    for (unsigned same = 0; same < 5;) {
        thread_sleep(1000000);
        struct page_stats now = memory_now();
        same =
            now.free == last.free && now.largest_free_run == last.largest_free_run ? same + 1 : 0;
        last = now;
    }
    return last;
}

static inline struct thread *start_on(unsigned cpu, int (*entry)(void *), void *arg)
{
    struct cpumask mask = cpumask_of(cpu);
    struct thread_attr attr = {.name = "tester", .affinity = &mask};
    struct thread *thread;
    CHECK_EQ(thread_create(&thread, entry, arg, &attr), 0);
    return thread;
}

static inline void join(struct thread *thread)
{
    int status = -1;
    CHECK_EQ(thread_join(thread, &status), 0);
    CHECK_EQ(status, 0);
}
