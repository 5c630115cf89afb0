/* SPDX-License-Identifier: BSD-3-Clause */
/* W1 WAITING is set exactly while the list is not empty (both change under the lock). While it is
 *    set nobody takes the lock by the fast path, so that the state changes only by releases and
 *    under the lock.
 * W2 The release that leaves neither writer nor reader, with WAITING set, hands over under the
 *    lock: it gives the lock to those it wakes before it wakes them. */
#include <osv/rwlock.h>
#include <osv/log.h>

struct entry {
    struct list node; /* [rwlock's lock] */
    struct waiter waiter;
    bool writer; /* immutable */
};

void rwlock_init(struct rwlock *rwlock)
{
    atomic_store_relaxed(&rwlock->state, 0u);
    spinlock_init(&rwlock->lock, RANK_WAIT);
    list_init(&rwlock->waiting);
}

bool rwlock_try_read_lock(struct rwlock *rwlock)
{
    uint32_t state = atomic_load_relaxed(&rwlock->state);
    while (!(state & (RWLOCK_WRITER | RWLOCK_WAITING)))
        if (atomic_cas_acquire(&rwlock->state, &state,
                               state + RWLOCK_READER)) /* X1 pairs with X2 */
            return true;
    return false;
}

bool rwlock_try_write_lock(struct rwlock *rwlock)
{
    uint32_t free = 0;
    return atomic_cas_acquire(&rwlock->state, &free, RWLOCK_WRITER); /* X1 pairs with X2 */
}

/* Takes the lock after all, or waits for it to be handed over. */
static void lock_slow(struct rwlock *rwlock, bool writer)
{
    struct entry entry = {.writer = writer};
    uint32_t blocks =
        writer ? ~RWLOCK_WAITING : RWLOCK_WRITER; /* what keeps us out when nobody waits */
    uint32_t mine = writer ? RWLOCK_WRITER : RWLOCK_READER;
    waiter_init(&entry.waiter);
    spin_lock(&rwlock->lock);
    uint32_t state = atomic_load_relaxed(&rwlock->state);
    for (;;) {
        bool taken = !(state & RWLOCK_WAITING) && !(state & blocks);
        if (!atomic_cas_acquire(&rwlock->state, &state,
                                taken ? state + mine : state | RWLOCK_WAITING))
            continue;
        if (taken) {
            spin_unlock(&rwlock->lock);
            return;
        }
        break;
    }
    list_push_back(&rwlock->waiting, &entry.node);
    spin_unlock(&rwlock->lock);
    waiter_park(&entry.waiter);
}

void rwlock_read_lock(struct rwlock *rwlock)
{
    if (!rwlock_try_read_lock(rwlock))
        lock_slow(rwlock, false);
}

void rwlock_write_lock(struct rwlock *rwlock)
{
    if (!rwlock_try_write_lock(rwlock))
        lock_slow(rwlock, true);
}

/* W2: nobody holds the lock and WAITING is set. */
static void hand_over(struct rwlock *rwlock)
{
    struct list granted = LIST_INIT(granted);
    uint32_t state = 0;
    spin_lock(&rwlock->lock);
    while (!list_empty(&rwlock->waiting)) {
        struct entry *first = list_entry(rwlock->waiting.next, struct entry, node);
        if (first->writer && state != 0)
            break;
        list_remove(&first->node);
        list_push_back(&granted, &first->node);
        if (first->writer) {
            state = RWLOCK_WRITER;
            break;
        }
        state += RWLOCK_READER;
    }
    if (!list_empty(&rwlock->waiting))
        state |= RWLOCK_WAITING;
    atomic_store_release(&rwlock->state, state);
    spin_unlock(&rwlock->lock);
    for (struct list *node; (node = list_pop_front(&granted));)
        waiter_wake(&list_entry(node, struct entry, node)->waiter);
}

void rwlock_read_unlock(struct rwlock *rwlock)
{
    uint32_t before = atomic_sub_acq_rel(&rwlock->state, RWLOCK_READER); /* X2 pairs with X1 */
    DASSERT(before >= RWLOCK_READER && !(before & RWLOCK_WRITER));
    if (unlikely(before == (RWLOCK_READER | RWLOCK_WAITING)))
        hand_over(rwlock);
}

void rwlock_write_unlock(struct rwlock *rwlock)
{
    uint32_t before = atomic_sub_acq_rel(&rwlock->state, RWLOCK_WRITER); /* X2 pairs with X1 */
    DASSERT((before & ~RWLOCK_WAITING) == RWLOCK_WRITER);
    if (unlikely(before & RWLOCK_WAITING))
        hand_over(rwlock);
}
