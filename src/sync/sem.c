/* SPDX-License-Identifier: BSD-3-Clause */
/* E1 WAITING is set exactly while the list is not empty; both change under the lock.
 * E2 With WAITING set there are no units: sem_up() gives its unit to a waiter instead of adding
 *    it. */
#include <osv/sem.h>
#include <osv/error.h>

struct entry {
    struct list node; /* [sem's lock] */
    struct waiter waiter;
};

void sem_init_units(struct sem *sem, uint32_t units)
{
    ASSERT(units <= SEM_MAX);
    atomic_store_relaxed(&sem->state, units * SEM_ONE);
    spinlock_init(&sem->lock, RANK_WAIT);
    list_init(&sem->waiting);
}

bool sem_try_down(struct sem *sem)
{
    uint32_t state = atomic_load_relaxed(&sem->state);
    while (state >= SEM_ONE)
        if (atomic_cas_acquire(&sem->state, &state, state - SEM_ONE)) /* D1 pairs with D2 */
            return true;
    return false;
}

static void unlist(struct sem *sem, struct entry *entry)
{
    list_remove(&entry->node);
    if (list_empty(&sem->waiting))
        atomic_and_relaxed(&sem->state, ~SEM_WAITING);
}

int sem_down_until(struct sem *sem, uint64_t deadline_ns)
{
    if (sem_try_down(sem))
        return 0;
    struct entry entry;
    waiter_init(&entry.waiter);
    hal_irqstate irqs = spin_lock_irqsave(&sem->lock);
    uint32_t state = atomic_load_relaxed(&sem->state);
    do
        if (state >= SEM_ONE &&
            atomic_cas_acquire(&sem->state, &state, state - SEM_ONE)) { /* D1 pairs with D2 */
            spin_unlock_irqrestore(&sem->lock, irqs);
            return 0;
        }
    while (state >= SEM_ONE || !atomic_cas_relaxed(&sem->state, &state, state | SEM_WAITING));
    list_push_back(&sem->waiting, &entry.node);
    spin_unlock_irqrestore(&sem->lock, irqs);
    int error = waiter_park_until(&entry.waiter, deadline_ns);
    if (error < 0) {
        irqs = spin_lock_irqsave(&sem->lock);
        if (!list_empty(&entry.node)) /* else a sem_up() found it timed out, and took it off */
            unlist(sem, &entry);
        spin_unlock_irqrestore(&sem->lock, irqs);
    }
    return error;
}

void sem_down(struct sem *sem)
{
    int error = sem_down_until(sem, HAL_NEVER);
    ASSERT(error == 0);
}

/* E2. False when nobody waited after all. */
static bool hand_over(struct sem *sem)
{
    bool given = false;
    hal_irqstate irqs = spin_lock_irqsave(&sem->lock);
    while (!given && !list_empty(&sem->waiting)) {
        struct entry *first = list_entry(sem->waiting.next, struct entry, node);
        unlist(sem, first);
        given = waiter_wake(&first->waiter); /* under the lock: one that timed out is about to go */
    }
    spin_unlock_irqrestore(&sem->lock, irqs);
    return given;
}

int sem_up(struct sem *sem)
{
    uint32_t state = atomic_load_relaxed(&sem->state);
    for (;;) {
        if (state & SEM_WAITING) {
            if (hand_over(sem))
                return 0;
            state = atomic_load_relaxed(&sem->state);
        } else if (state / SEM_ONE == SEM_MAX) {
            return -EOVERFLOW;
        } else if (atomic_cas_release(&sem->state, &state,
                                      state + SEM_ONE)) { /* D2 pairs with D1 */
            return 0;
        }
    }
}
