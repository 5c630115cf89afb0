/* SPDX-License-Identifier: BSD-3-Clause */
/* The mutex's contended paths.
 *
 * Source: the hand-off of responsibility of Gidenstam and Papatriantafilou ("LFthreads", OPODIS
 * 2007), which OSv's lfmutex adapted, changed in one point: what is handed over is not the lock but
 * a token, the responsibility for waking a waiter. The lock is released open, and the woken waiter
 * (the heir) competes for it; a strict hand-off to a sleeper makes every section as long as a
 * wake-up. Succession by one heir at a time: D. Dice, the "OnDeck" thread of HotSpot's monitors.
 *
 * lock    Free and not reserved: set LOCKED. Otherwise spin while the owner runs on another CPU.
 *         Then push a record, add WAITER, and if the lock is neither held nor has a token, take the
 *         token and wake the oldest waiter; sleep.
 * unlock  Nobody waits: clear LOCKED. Otherwise clear it and, if there is no token, take that, in
 *         one step; with the token pop the oldest waiter and wake it. Its being awake is the token
 *         from then on.
 * heir    Lock free: set LOCKED, clear TOKEN and RESERVED, subtract its WAITER, in one step. Lost
 *         HEIR_LOOKS times while it runs: set RESERVED, so that the next release is its own. Lock
 *         held by a sleeper: leave the record in heir, clear TOKEN and RESERVED if the lock is
 *         still held, and sleep. While the heir sleeps or waits for a CPU others may barge, since
 *         nobody gains if they wait too; the bound of M4 holds all the same.
 *
 * M1 A record is pushed before its WAITER is added, and popped before that is subtracted: with
 *    WAITER > 0 and no token there is a record to pop, or one in heir.
 * M2 Only the holder of the token pops or touches heir. There is one: TOKEN is set by a
 *    compare-and-swap from clear.
 * M3 No lost wake-up: WAITER > 0 implies LOCKED, whose unlock takes the token, or TOKEN. A locker
 *    whose WAITER finds neither takes the token itself.
 * M4 barges <= MUTEX_BARGES_MAX: an acquisition past waiters needs RESERVED clear, and the unlock
 *    after the last allowed one sets it.
 * M5 Unlocking never waits: it retries only when the word changed. Between taking the token and
 *    waking, preemption is off. */
#include <osv/mutex.h>
#include <osv/log.h>
#include <osv/trace.h>

/* Looks at a held lock before sleeping: about 10 us where a pause takes 25 ns. */
#define SPIN_MAX 400u
#define HEIR_LOOKS 8u /* looks that the heir loses before it reserves the lock */

/* With the token: wakes the oldest waiter, which has the token then. */
static void pass_token(struct mutex *mutex)
{
    struct mutex_waiter *next = mutex->heir;
    if (next)
        mutex->heir = NULL;
    else
        next =
            container_of(mpsc_pop(&mutex->queue), struct mutex_waiter, node); /* M1: there is one */
    TRACE(mutex_handoff, (uintptr_t)mutex, (uintptr_t)next->waiter.thread);
    waiter_wake(&next->waiter);
}

void mutex_enqueue(struct mutex *mutex, struct mutex_waiter *waiter)
{
    preempt_disable();
    mpsc_push(&mutex->queue, &waiter->node);
    uint32_t state = atomic_add_acq_rel(&mutex->state, MUTEX_WAITER) + MUTEX_WAITER;
    while (!(state & (MUTEX_LOCKED | MUTEX_TOKEN)))
        if (atomic_cas_acq_rel(&mutex->state, &state, state | MUTEX_TOKEN)) { /* M3 */
            pass_token(mutex);
            break;
        }
    preempt_enable();
}

/* Is the thread that holds the lock executing on another CPU? The owner is compared, never
 * followed: it may have gone. */
static bool owner_runs(const struct mutex *mutex)
{
    struct task *owner = atomic_load_relaxed(&mutex->owner);
    struct cpu *cpu = atomic_load_relaxed(&mutex->cpu);
    if (!owner || owner == task_self())
        return true; /* out of date: whoever has just taken it has not said so yet */
    return cpu && cpu != task_self()->cpu && atomic_load_relaxed(&cpu->current) == owner;
}

/* Takes the lock if it becomes free while its owner runs. */
static bool spin(struct mutex *mutex)
{
    uint32_t state = atomic_load_relaxed(&mutex->state);
    for (unsigned i = 0; i < SPIN_MAX; i++) {
        if (!(state & (MUTEX_LOCKED | MUTEX_RESERVED))) {
            if (!atomic_cas_acquire(&mutex->state, &state,
                                    state | MUTEX_LOCKED)) /* L1 pairs with L2 */
                continue;
            mutex->barges += state >= MUTEX_WAITER;
            return true;
        }
        /* Reserved: the heir runs and takes it next; parking now would only make one more heir. */
        if (!(state & MUTEX_RESERVED) && !owner_runs(mutex))
            return false;
        hal_cpu_relax();
        state = atomic_load_relaxed(&mutex->state);
    }
    return false;
}

NOINLINE void mutex_lock_slow(struct mutex *mutex)
{
#if OSV_DEBUG
    if (mutex_held(mutex)) {
        char first[80];
        hal_symbol(mutex->site, first, sizeof first);
        panic("mutex %p: locked twice by thread '%s', first at %s", (void *)mutex,
              thread_self()->name, first);
    }
#endif
    if (spin(mutex))
        return;
    struct mutex_waiter self;
    waiter_init(&self.waiter);
    TRACE(mutex_wait, (uintptr_t)mutex, (uintptr_t)self.waiter.thread);
    mutex_enqueue(mutex, &self);
    waiter_park(&self.waiter);
    mutex_inherit(mutex, &self);
}

/* The heir goes back to sleep unless the lock has become free; the next unlock finds it in heir. */
static void heir_sleep(struct mutex *mutex, struct mutex_waiter *self)
{
    waiter_init(&self->waiter);
    mutex->heir = self;
    uint32_t state = atomic_load_relaxed(&mutex->state);
    while (state & MUTEX_LOCKED)
        /* L3 publishes heir, pairs with L4 in mutex_unlock_slow */
        if (atomic_cas_release(&mutex->state, &state, state & ~(MUTEX_TOKEN | MUTEX_RESERVED))) {
            waiter_park(&self->waiter);
            return;
        }
    mutex->heir = NULL;
}

void mutex_inherit(struct mutex *mutex, struct mutex_waiter *self)
{
    unsigned looks = 0;
    for (;;) {
        uint32_t state = atomic_load_relaxed(&mutex->state);
        if (!(state & MUTEX_LOCKED)) {
            uint32_t mine =
                ((state | MUTEX_LOCKED) & ~(MUTEX_TOKEN | MUTEX_RESERVED)) - MUTEX_WAITER;
            if (atomic_cas_acquire(&mutex->state, &state, mine)) { /* L1 pairs with L2 */
                mutex->barges = 0;
                return;
            }
        } else if (looks++ < SPIN_MAX && owner_runs(mutex)) {
            if (looks == HEIR_LOOKS)
                atomic_or_relaxed(&mutex->state, MUTEX_RESERVED);
            hal_cpu_relax();
        } else {
            heir_sleep(mutex, self);
            looks = 0;
        }
    }
}

NOINLINE void mutex_unlock_slow(struct mutex *mutex)
{
    preempt_disable(); /* M5 */
    uint32_t state = atomic_load_relaxed(&mutex->state), open;
    DASSERT(state & MUTEX_LOCKED);
    do {
        open = state & ~MUTEX_LOCKED;
        if (state >= MUTEX_WAITER) {
            open |= MUTEX_TOKEN;
            if (mutex->barges >= MUTEX_BARGES_MAX)
                open |= MUTEX_RESERVED; /* M4 */
        }
    } while (!atomic_cas_acq_rel(&mutex->state, &state,
                                 open)); /* L2 pairs with L1; L4 pairs with L3 in heir_sleep */
    if (open & MUTEX_TOKEN & ~state)
        pass_token(mutex);
    preempt_enable();
}

#if OSV_DEBUG
NOINLINE void mutex_record(struct mutex *mutex)
{
    mutex->site = CALL_SITE();
}

NOINLINE void mutex_forget(struct mutex *mutex)
{
    uintptr_t site = CALL_SITE();
    struct task *self = task_self();
    if (atomic_load_relaxed(&mutex->owner) != self || !mutex_is_locked(mutex)) {
        char locked[80], here[80];
        hal_symbol(mutex->site, locked, sizeof locked);
        hal_symbol(site, here, sizeof here);
        panic("mutex %p: unlocked at %s by thread '%s', which does not hold it (last locked at %s)",
              (void *)mutex, here, thread_self()->name, locked);
    }
    atomic_store_relaxed(&mutex->owner, NULL);
}
#endif
