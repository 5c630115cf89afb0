/* SPDX-License-Identifier: BSD-3-Clause */
/* Spinlock: test, test-and-set, with preemption off while it is held. For state that is touched
 * where nothing may sleep; whoever declares one says why. Uncontended: one atomic exchange and one
 * store. Blocking, not fair. */
#pragma once
#include <osv/cpu.h>
#include <osv/lockrank.h>

struct spinlock {
    _Atomic(uint32_t) locked; /* [atomic] 0 or 1 */
#if OSV_DEBUG
    uint16_t rank;                /* immutable: an enum lock_rank */
    _Atomic(struct task *) owner; /* [lock; compared by all] */
    uintptr_t site;               /* [lock] where it was taken */
#endif
};

#if OSV_DEBUG
#define SPINLOCK_INIT(lock_rank)                                                                   \
    {                                                                                              \
        .rank = (lock_rank)                                                                        \
    }
void spinlock_record(struct spinlock *lock); /* both take the caller's place */
void spinlock_forget(struct spinlock *lock);
#else
#define SPINLOCK_INIT(lock_rank)                                                                   \
    {                                                                                              \
        0                                                                                          \
    }
#endif

void spinlock_init(struct spinlock *lock, enum lock_rank rank);
void spinlock_wait(struct spinlock *lock); /* private: the contended path */

/* Context: any in which no interrupt handler takes the same lock. */
ALWAYS_INLINE void spin_lock(struct spinlock *lock)
{
    preempt_disable();
    if (unlikely(atomic_xchg_acquire(&lock->locked, 1u) != 0))
        spinlock_wait(lock);
#if OSV_DEBUG
    spinlock_record(lock);
#endif
}

ALWAYS_INLINE void spin_unlock(struct spinlock *lock)
{
#if OSV_DEBUG
    spinlock_forget(lock);
#endif
    atomic_store_release(&lock->locked, 0u);
    preempt_enable();
}

/* The same for locks that interrupt handlers take too. */
ALWAYS_INLINE hal_irqstate spin_lock_irqsave(struct spinlock *lock)
{
    hal_irqstate irqs = hal_irq_save();
    spin_lock(lock);
    return irqs;
}

ALWAYS_INLINE void spin_unlock_irqrestore(struct spinlock *lock, hal_irqstate irqs)
{
    /* Preemption ends after interrupts are on again, so that a switch that is due happens here. */
#if OSV_DEBUG
    spinlock_forget(lock);
#endif
    atomic_store_release(&lock->locked, 0u);
    hal_irq_restore(irqs);
    preempt_enable();
}
