/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of the lower rooms need of threads: one on a CPU of one's choice. */
#pragma once
#include "test.h"
#include <osv/cpumask.h>
#include <osv/thread.h>

static inline struct thread *start_on(unsigned cpu, int (*entry)(void *), void *arg)
{
    struct cpumask mask = cpumask_of(cpu);
    const struct thread_attr attr = {.name = "tester", .affinity = &mask};
    struct thread *thread = NULL;
    CHECK_EQ(thread_create(&thread, entry, arg, &attr), 0);
    return thread;
}

static inline void join(struct thread *thread)
{
    int status = -1;
    CHECK_EQ(thread_join(thread, &status), 0);
    CHECK_EQ(status, 0);
}

/* Moves the calling thread there, for good. */
static inline void move_to(unsigned cpu)
{
    struct cpumask mask = cpumask_of(cpu);
    CHECK_EQ(thread_set_affinity(thread_self(), &mask), 0);
}

static inline void wait_until_set(_Atomic(uint32_t) *flag)
{
    while (atomic_load_acquire(flag) == 0)
        hal_cpu_relax();
}
