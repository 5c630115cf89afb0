/* SPDX-License-Identifier: BSD-3-Clause */
/* Condition variable. A signal while the mutex is held moves the waiter to the mutex's queue
 * instead of waking it only to sleep again (wait morphing). No spurious wake-ups. Design note:
 * src/sync/condvar.c */
#pragma once
#include <osv/mutex.h>

struct condvar {
    struct spinlock
        lock; /* signals come from threads that may not sleep; held for a few instructions */
    struct list waiting; /* [lock] oldest first */
};

#if OSV_DEBUG
#define CONDVAR_INIT(name)                                                                         \
    {                                                                                              \
        {.rank = RANK_WAIT}, LIST_INIT((name).waiting)                                             \
    }
#else
#define CONDVAR_INIT(name)                                                                         \
    {                                                                                              \
        {0}, LIST_INIT((name).waiting)                                                             \
    }
#endif

void condvar_init(struct condvar *condvar);

/* Unlocks mutex, which the caller holds, sleeps until a signal, and locks it again. Context:
 * thread, sleeps. */
void condvar_wait(struct condvar *condvar, struct mutex *mutex);

/* The same until the deadline of clock_ns() at most. 0, or -ETIMEDOUT: no signal was used up. The
 * mutex is locked again in both cases. */
int condvar_wait_until(struct condvar *condvar, struct mutex *mutex,
                       uint64_t deadline_ns) MUST_CHECK;

/* Wakes the longest waiter, or all. With or without the mutex. Context: thread; never sleeps. */
void condvar_signal(struct condvar *condvar);
void condvar_broadcast(struct condvar *condvar);
