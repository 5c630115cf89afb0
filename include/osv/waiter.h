/* SPDX-License-Identifier: BSD-3-Clause */
/* Parking and waking one thread: what everything that blocks is built with.
 *
 * A waiter is a record of one wait, on the waiting thread's stack. It is registered with one object
 * or several, then parked, and woken once: whoever wakes it first wins. The waking side touches the
 * waiter last with one atomic operation, unless the thread sleeps, in which case it cannot go away;
 * so the record may vanish as soon as it is woken. Algorithm and states: src/sched/waiter.c. */
#pragma once
#include <osv/spinlock.h>
#include <osv/thread.h>

enum waiter_state {
    WAITER_AWAKE,     /* not parked yet, not woken */
    WAITER_PARKED,    /* the thread sleeps */
    WAITER_WOKEN,     /* by waiter_wake() */
    WAITER_TIMED_OUT, /* by the deadline */
};

struct waiter {
    struct thread *thread;   /* immutable */
    _Atomic(uint32_t) state; /* [atomic] enum waiter_state */
};

static inline void waiter_init(struct waiter *waiter)
{
    waiter->thread = thread_self();
    atomic_store_relaxed(&waiter->state, WAITER_AWAKE);
}

/* Sleeps until waiter_wake(); returns at once if that was before. Context: thread, preemption and
 * interrupts on. */
void waiter_park(struct waiter *waiter);

/* The same with a deadline of clock_ns(). 0, or -ETIMEDOUT: then later wake-ups return false, but
 * may still be under way in an object the waiter is registered with, so deregister before the
 * record goes. */
int waiter_park_until(struct waiter *waiter, uint64_t deadline_ns) MUST_CHECK;

/* True when this call woke the waiter; false when it was woken or timed out before. Context: any.
 * Lock-free. */
bool waiter_wake(struct waiter *waiter);

static inline bool waiter_woken(const struct waiter *waiter)
{
    return atomic_load_acquire(&waiter->state) >=
           WAITER_WOKEN; /* P3 pairs with P2 in waiter_wake */
}

/* A list of waiters for a condition that its owner keeps. One waiter may stand in several. A
 * spinlock guards the list, because waking happens in interrupts too. */
struct waitq {
    struct spinlock lock;
    struct list waiting; /* [lock] of struct waitq_entry, oldest first */
};

struct waitq_entry {
    struct list node;      /* [the queue's lock] */
    struct waiter *waiter; /* immutable */
    struct waitq *queue;   /* immutable */
};

#if OSV_DEBUG
#define WAITQ_INIT(name)                                                                           \
    {                                                                                              \
        {.rank = RANK_WAIT}, LIST_INIT((name).waiting)                                             \
    }
#else
#define WAITQ_INIT(name)                                                                           \
    {                                                                                              \
        {0}, LIST_INIT((name).waiting)                                                             \
    }
#endif

void waitq_init(struct waitq *queue);
/* Registers waiter. Then test the condition, then park, then waitq_remove(). Context: thread. */
void waitq_add(struct waitq *queue, struct waitq_entry *entry, struct waiter *waiter);
void waitq_remove(struct waitq_entry *entry);
/* Wakes up to count waiters, oldest first, and returns how many. Context: any. */
size_t waitq_wake(struct waitq *queue, size_t count);

/* Waits on several queues at once, until ready(arg) holds or the deadline (HAL_NEVER: none) passes.
 * 0 or -ETIMEDOUT. ready is called with the waiter registered everywhere, so that no wake-up is
 * lost. Context: thread, sleeps. */
#define WAITQ_ANY_MAX 16
int waitq_wait_any(struct waitq *const *queues, size_t count, bool (*ready)(void *arg), void *arg,
                   uint64_t deadline_ns) MUST_CHECK;
