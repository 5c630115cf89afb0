/* SPDX-License-Identifier: BSD-3-Clause */
/* The contended path of the spinlock and, in debug builds, ranks and sites.
 * Invariant (debug): the ranks of the locks that a task holds rise strictly, RANK_NONE aside; an
 * interrupt starts afresh, since what handlers take is held with interrupts off everywhere. */
#include <osv/spinlock.h>
#include <osv/log.h>

void spinlock_init(struct spinlock *lock, enum lock_rank rank)
{
    atomic_store_relaxed(&lock->locked, 0u);
#if OSV_DEBUG
    lock->rank = (uint16_t)rank;
    atomic_store_relaxed(&lock->owner, NULL);
    lock->site = 0;
#else
    (void)rank;
#endif
}

NOINLINE void spinlock_wait(struct spinlock *lock)
{
#if OSV_DEBUG
    uintptr_t site = CALL_SITE();
    if (atomic_load_relaxed(&lock->owner) == task_self()) {
        char first[80], second[80];
        hal_symbol(lock->site, first, sizeof first);
        hal_symbol(site, second, sizeof second);
        panic("spinlock %p: taken twice by one thread, first at %s, again at %s", (void *)lock,
              first, second);
    }
#endif
    do
        while (atomic_load_relaxed(&lock->locked) != 0)
            hal_cpu_relax();
    while (atomic_xchg_acquire(&lock->locked, 1u) != 0);
}

#if OSV_DEBUG
NOINLINE void spinlock_record(struct spinlock *lock)
{
    uintptr_t site = CALL_SITE();
    struct task *self = task_self();
    atomic_store_relaxed(&lock->owner, self);
    lock->site = site;
    if (lock->rank == RANK_NONE)
        return;
    char name[80];
    unsigned depth = self->lock_depth;
    ASSERT(depth < LOCK_DEPTH_MAX);
    if (depth > self->lock_floor && self->lock_ranks[depth - 1] >= lock->rank) {
        hal_symbol(site, name, sizeof name);
        panic("spinlock %p: rank %u taken at %s while rank %u is held", (void *)lock, lock->rank,
              name, self->lock_ranks[depth - 1]);
    }
    self->lock_depth =
        depth + 1; /* first: an interrupt in between uses the slots from lock_depth on */
    compiler_barrier();
    self->lock_ranks[depth] = lock->rank;
}

NOINLINE void spinlock_forget(struct spinlock *lock)
{
    uintptr_t site = CALL_SITE();
    struct task *self = task_self();
    if (atomic_load_relaxed(&lock->owner) != self) {
        char first[80], second[80];
        hal_symbol(lock->site, first, sizeof first);
        hal_symbol(site, second, sizeof second);
        panic("spinlock %p: released at %s by a thread that does not hold it (last taken at %s)",
              (void *)lock, second, first);
    }
    atomic_store_relaxed(&lock->owner, NULL);
    if (lock->rank == RANK_NONE)
        return;
    /* Locks are mostly, but not always, released in the reverse order. */
    for (unsigned i = self->lock_depth; i-- > 0;) {
        if (self->lock_ranks[i] != lock->rank)
            continue;
        for (; i + 1 < self->lock_depth; i++)
            self->lock_ranks[i] = self->lock_ranks[i + 1];
        self->lock_depth--;
        return;
    }
    panic("spinlock %p: released, but not among the ranked locks held", (void *)lock);
}
#endif
