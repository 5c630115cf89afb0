/* SPDX-License-Identifier: BSD-3-Clause */
/* Sleeping mutex. An unlocker never waits for a locker; a release leaves the lock open to whoever
 * runs (barging), but after MUTEX_BARGES_MAX such acquisitions in a row it is reserved for the
 * longest waiter. So a waiter with k others before it is passed by at most (k + 1) *
 * MUTEX_BARGES_MAX later comers. Uncontended: one compare-and-swap each. Design note, invariants
 * and sources: src/sync/mutex.c */
#pragma once
#include <osv/waiter.h>

#define MUTEX_BARGES_MAX 4096u

struct mutex_waiter {
    struct mpsc_node node; /* [many push; the holder of the mutex's token pops] */
    struct waiter waiter;
};

struct mutex {
    _Atomic(uint32_t) state;      /* [atomic] MUTEX_... bits and waiters * MUTEX_WAITER */
    uint32_t barges;              /* [holder] acquisitions past waiters since one of them had it */
    _Atomic(struct task *) owner; /* [holder; compared by all] */
    _Atomic(struct cpu *) cpu;    /* [holder; read by all] where it was locked */
    struct mpsc queue;            /* [atomic push; token to pop] struct mutex_waiter */
    struct mutex_waiter *heir;    /* [token] a waiter that was woken, lost and sleeps again */
#if OSV_DEBUG
    uintptr_t site; /* [holder] where it was locked last */
#endif
};

#define MUTEX_LOCKED 1u
#define MUTEX_TOKEN 2u    /* somebody is responsible for waking a waiter, or is that waiter */
#define MUTEX_RESERVED 4u /* only the waiter with the token may lock */
#define MUTEX_WAITER 8u

#define MUTEX_INIT                                                                                 \
    {                                                                                              \
        .state = 0                                                                                 \
    }

static inline void mutex_init(struct mutex *mutex)
{
    *mutex = (struct mutex)MUTEX_INIT;
}

void mutex_lock_slow(struct mutex *mutex);   /* private */
void mutex_unlock_slow(struct mutex *mutex); /* private */
#if OSV_DEBUG
void mutex_record(struct mutex *mutex); /* both take the caller's place */
void mutex_forget(struct mutex *mutex);
#endif

ALWAYS_INLINE void mutex_own_(struct mutex *mutex)
{
    struct task *self = task_self();
    atomic_store_relaxed(&mutex->owner, self);
    atomic_store_relaxed(&mutex->cpu, self->cpu);
#if OSV_DEBUG
    mutex_record(mutex);
#endif
}

/* Context: thread, sleeps. Lock-free but for the holder. Not recursive: locking twice is a deadlock
 * (a panic in debug builds). */
ALWAYS_INLINE void mutex_lock(struct mutex *mutex)
{
    uint32_t free = 0;
    /* L1 sees what earlier holders wrote, pairs with L2 */
    if (unlikely(!atomic_cas_acquire(&mutex->state, &free, MUTEX_LOCKED)))
        mutex_lock_slow(mutex);
    mutex_own_(mutex);
}

/* True when it is now locked by the caller. Context: thread; never sleeps. */
ALWAYS_INLINE bool mutex_try_lock(struct mutex *mutex)
{
    uint32_t state = atomic_load_relaxed(&mutex->state);
    while (!(state & (MUTEX_LOCKED | MUTEX_RESERVED)))
        if (atomic_cas_acquire(&mutex->state, &state,
                               state | MUTEX_LOCKED)) { /* L1 pairs with L2 */
            mutex->barges += state >= MUTEX_WAITER;
            mutex_own_(mutex);
            return true;
        }
    return false;
}

/* Context: the thread that locked it; never sleeps. Wait-free without waiters, else lock-free. */
ALWAYS_INLINE void mutex_unlock(struct mutex *mutex)
{
    uint32_t locked = MUTEX_LOCKED;
#if OSV_DEBUG
    mutex_forget(mutex);
#endif
    if (unlikely(!atomic_cas_release(&mutex->state, &locked, 0u))) /* L2 pairs with L1 */
        mutex_unlock_slow(mutex);
}

static inline bool mutex_is_locked(const struct mutex *mutex)
{
    return atomic_load_relaxed(&mutex->state) & MUTEX_LOCKED;
}

static inline bool mutex_held(const struct mutex *mutex)
{
    return mutex_is_locked(mutex) && atomic_load_relaxed(&mutex->owner) == task_self();
}

/* For condition variables: waiter, whose thread is parked or about to be, joins the queue; when it
 * is woken it calls mutex_inherit(). Context: any thread. */
void mutex_enqueue(struct mutex *mutex, struct mutex_waiter *waiter);
void mutex_inherit(struct mutex *mutex, struct mutex_waiter *waiter);

/* Recursive variant: the owner may lock it again, and unlocks as often. */
struct rmutex {
    struct mutex mutex;
    _Atomic(struct task *) holder; /* [holder; compared by all] NULL when free */
    uint32_t depth;                /* [holder] */
};

#define RMUTEX_INIT                                                                                \
    {                                                                                              \
        .mutex = MUTEX_INIT                                                                        \
    }

static inline void rmutex_lock(struct rmutex *rmutex)
{
    struct task *self = task_self();
    if (atomic_load_relaxed(&rmutex->holder) != self) {
        mutex_lock(&rmutex->mutex);
        atomic_store_relaxed(&rmutex->holder, self);
    }
    rmutex->depth++;
}

static inline bool rmutex_try_lock(struct rmutex *rmutex)
{
    struct task *self = task_self();
    if (atomic_load_relaxed(&rmutex->holder) != self) {
        if (!mutex_try_lock(&rmutex->mutex))
            return false;
        atomic_store_relaxed(&rmutex->holder, self);
    }
    rmutex->depth++;
    return true;
}

static inline void rmutex_unlock(struct rmutex *rmutex)
{
    DASSERT(atomic_load_relaxed(&rmutex->holder) == task_self());
    if (--rmutex->depth > 0)
        return;
    atomic_store_relaxed(&rmutex->holder, NULL);
    mutex_unlock(&rmutex->mutex);
}
