/* SPDX-License-Identifier: BSD-3-Clause */
/* C1 An entry is in the list from before the mutex is unlocked until a signal takes it out, or
 *    its own deadline.
 * C2 Whoever takes an entry out under the lock decides how it wakes. Without a deadline: through
 *    the mutex's queue when the mutex is held (inherits is set: it wakes with the mutex's token),
 *    or directly. With one: directly, under the lock, since the entry goes when its thread has
 *    seen the deadline pass and taken it out under the same lock. */
#include <osv/condvar.h>
#include <osv/error.h>

struct entry {
    struct list node;         /* [condvar's lock] */
    struct mutex_waiter self; /* what is parked */
    struct mutex *mutex;      /* immutable */
    bool timed;               /* immutable */
    bool inherits;            /* [written before the wake-up] */
} LINE_ALIGNED; /* the waiter polls it; nobody else's data should move with it */

void condvar_init(struct condvar *condvar)
{
    spinlock_init(&condvar->lock, RANK_WAIT);
    list_init(&condvar->waiting);
}

static void enter(struct condvar *condvar, struct entry *entry)
{
    waiter_init(&entry->self.waiter);
    spin_lock(&condvar->lock);
    list_push_back(&condvar->waiting, &entry->node);
    spin_unlock(&condvar->lock);
    mutex_unlock(entry->mutex);
}

void condvar_wait(struct condvar *condvar, struct mutex *mutex)
{
    struct entry entry = {.mutex = mutex};
    enter(condvar, &entry);
    waiter_park(&entry.self.waiter);
    if (entry.inherits) {
        mutex_inherit(mutex, &entry.self);
        mutex_own_(mutex);
    } else {
        mutex_lock(mutex);
    }
}

int condvar_wait_until(struct condvar *condvar, struct mutex *mutex, uint64_t deadline_ns)
{
    struct entry entry = {.mutex = mutex, .timed = true};
    enter(condvar, &entry);
    int error = waiter_park_until(&entry.self.waiter, deadline_ns);
    if (error < 0) {
        spin_lock(&condvar->lock);
        list_remove(
            &entry.node); /* harmless when a signal has taken it out and found it timed out */
        spin_unlock(&condvar->lock);
    }
    mutex_lock(mutex);
    return error;
}

/* Wakes one waiter; false when there is none. */
static bool signal_one(struct condvar *condvar)
{
    spin_lock(&condvar->lock);
    for (struct list *node; (node = list_pop_front(&condvar->waiting));) {
        struct entry *entry = list_entry(node, struct entry, node);
        if (entry->timed) {
            bool woken = waiter_wake(&entry->self.waiter); /* and gone with its stack, if it was */
            if (!woken)
                continue;
            spin_unlock(&condvar->lock);
            return true;
        }
        spin_unlock(&condvar->lock);
        entry->inherits = mutex_is_locked(entry->mutex);
        if (entry->inherits)
            mutex_enqueue(entry->mutex, &entry->self);
        else
            waiter_wake(&entry->self.waiter);
        return true;
    }
    spin_unlock(&condvar->lock);
    return false;
}

void condvar_signal(struct condvar *condvar)
{
    signal_one(condvar);
}

void condvar_broadcast(struct condvar *condvar)
{
    /* Those that wait now; one that is woken and waits again is behind them. */
    size_t count = 0;
    spin_lock(&condvar->lock);
    list_for_each (node, &condvar->waiting)
        count++;
    spin_unlock(&condvar->lock);
    while (count-- > 0 && signal_one(condvar))
        ;
}
