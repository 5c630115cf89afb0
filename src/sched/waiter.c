/* SPDX-License-Identifier: BSD-3-Clause */
/* Park and wake.
 *
 *   AWAKE            --waiter_park-->  PARKED
 *   PARKED           --waiter_wake-->  WOKEN: the waker makes the thread runnable
 *   AWAKE            --waiter_wake-->  WOKEN: the thread will not sleep; the waker is done
 *   AWAKE or PARKED  --deadline-->     TIMED_OUT
 *
 * P1 The step to PARKED is taken with preemption off and followed by the switch, so a waker that
 *    sees PARKED owns a thread that is off its CPU, or about to be and with nothing left to do but
 *    switch. It sends the thread to that same CPU.
 * P4 A waker that found AWAKE does not touch the waiter again.
 *
 * A CPU that would go idle polls anyway, so before it parks its last thread it polls that thread's
 * own waiter (sched_poll_woken): the waker then moves one cache line and nothing else. */
#include <osv/waiter.h>
#include "internal.h"
#include <osv/error.h>
#include <osv/log.h>

#if OSV_DEBUG
static void check_may_sleep(uintptr_t site)
{
    struct task *self = task_self();
    char where[80], off[80];
    if (self->preempt_off == 0 && hal_irq_enabled())
        return;
    hal_symbol(site, where, sizeof where);
    hal_symbol(self->preempt_site, off, sizeof off);
    if (self->preempt_off == 0)
        panic("thread '%s' sleeps at %s with interrupts off", thread_self()->name, where);
    panic("thread '%s' sleeps at %s with preemption off since %s", thread_self()->name, where, off);
}
#endif

void waiter_park(struct waiter *waiter)
{
    uint32_t state = WAITER_AWAKE;
#if OSV_DEBUG
    check_may_sleep(CALL_SITE());
#endif
    DASSERT(waiter->thread == thread_self());
    preempt_disable();
    sched_poll_woken(waiter);
    /* P5 publishes what the thread wrote before it sleeps, pairs with P2 */
    if (atomic_cas_acq_rel(&waiter->state, &state, (uint32_t)WAITER_PARKED)) {
        atomic_store_relaxed(&waiter->thread->state, (uint32_t)THREAD_WAITING);
        sched_switch_blocked();
    }
    preempt_enable();
}

static bool finish(struct waiter *waiter, uint32_t end)
{
    struct thread *thread = waiter->thread;
    uint32_t state = atomic_load_relaxed(&waiter->state);
    do
        if (state >= WAITER_WOKEN)
            return false;
    while (!atomic_cas_acq_rel(&waiter->state, &state,
                               end)); /* P2 publishes why it woke, pairs with P3 and P5 */
    if (state == WAITER_PARKED)
        sched_make_runnable(thread);
    return true;
}

bool waiter_wake(struct waiter *waiter)
{
    return finish(waiter, WAITER_WOKEN);
}

struct deadline {
    struct timer timer;
    struct waiter *waiter;
};

static void on_deadline(struct timer *timer)
{
    finish(container_of(timer, struct deadline, timer)->waiter, WAITER_TIMED_OUT);
}

int waiter_park_until(struct waiter *waiter, uint64_t deadline_ns)
{
    struct deadline deadline = {.waiter = waiter};
    if (deadline_ns == HAL_NEVER) {
        waiter_park(waiter);
        return 0;
    }
    timer_init(&deadline.timer, on_deadline);
    timer_arm(&deadline.timer, deadline_ns);
    waiter_park(waiter);
    timer_cancel_sync(&deadline.timer);
    return atomic_load_acquire(&waiter->state) == WAITER_TIMED_OUT ? -ETIMEDOUT
                                                                   : 0; /* P3 pairs with P2 */
}

void waitq_init(struct waitq *queue)
{
    spinlock_init(&queue->lock, RANK_WAIT);
    list_init(&queue->waiting);
}

void waitq_add(struct waitq *queue, struct waitq_entry *entry, struct waiter *waiter)
{
    entry->waiter = waiter;
    entry->queue = queue;
    hal_irqstate irqs = spin_lock_irqsave(&queue->lock);
    list_push_back(&queue->waiting, &entry->node);
    spin_unlock_irqrestore(&queue->lock, irqs);
}

void waitq_remove(struct waitq_entry *entry)
{
    hal_irqstate irqs = spin_lock_irqsave(&entry->queue->lock);
    list_remove(&entry->node);
    spin_unlock_irqrestore(&entry->queue->lock, irqs);
}

size_t waitq_wake(struct waitq *queue, size_t count)
{
    size_t woken = 0;
    hal_irqstate irqs = spin_lock_irqsave(&queue->lock);
    while (woken < count) {
        struct list *node = list_pop_front(&queue->waiting);
        if (!node)
            break;
        /* A waiter that another object woke, or that timed out, does not use up a wake-up. */
        woken += waiter_wake(list_entry(node, struct waitq_entry, node)->waiter);
    }
    spin_unlock_irqrestore(&queue->lock, irqs);
    return woken;
}

int waitq_wait_any(struct waitq *const *queues, size_t count, bool (*ready)(void *arg), void *arg,
                   uint64_t deadline_ns)
{
    struct waitq_entry entries[WAITQ_ANY_MAX];
    ASSERT(count <= WAITQ_ANY_MAX);
    for (int error = 0;;) {
        struct waiter waiter;
        waiter_init(&waiter);
        for (size_t i = 0; i < count; i++)
            waitq_add(queues[i], &entries[i], &waiter);
        bool is_ready = ready(arg);
        if (!is_ready && error == 0)
            error = waiter_park_until(&waiter, deadline_ns);
        for (size_t i = 0; i < count; i++)
            waitq_remove(&entries[i]);
        if (is_ready)
            return 0;
        if (error < 0)
            return ready(arg) ? 0 : error;
    }
}
