/* SPDX-License-Identifier: BSD-3-Clause */
/* RCU above the engine that detects grace periods (rcu_engine.h): waiting, callbacks, barriers.
 *
 * U1 Grace periods run one at a time, under the mutex gp_lock. Whoever waited for the mutex while
 *    a whole one ran, begun after its own call, needs no other.
 * U2 Callbacks hang on the queue of the CPU that queued them. The RCU thread takes every queue,
 *    lets a grace period pass and runs what it took; it sleeps when all queues are empty, and the
 *    first rcu_call() after that wakes it. */
#include <osv/rcu.h>
#include "rcu_engine.h"
#include <osv/error.h>
#include <osv/heap.h>
#include <osv/mutex.h>
#include <osv/sched.h>
#include <osv/sem.h>
#include <osv/string.h>

#define BARRIER_CPUS 32u /* queues that rcu_barrier() marks at a time */

static struct mutex gp_lock;
static _Atomic(uint64_t) gp_started, gp_completed;

struct callbacks {
    struct mpsc queue;
} LINE_ALIGNED;

static struct callbacks *callbacks;     /* immutable after boot: one a CPU */
static struct sem work;            /* one unit when callbacks may be queued */
static _Atomic(uint32_t) work_set; /* [atomic] 1: the unit has been given */

void rcu_synchronize(void)
{
    /* U1: a period that starts after this load is good for us; one that runs now is not. */
    uint64_t started = atomic_load_seq_cst(&gp_started);
    mutex_lock(&gp_lock);
    if (atomic_load_relaxed(&gp_completed) <= started) {
        atomic_add_seq_cst(&gp_started, 1);
        rcu_engine_wait();
        atomic_store_release(&gp_completed, atomic_load_relaxed(&gp_started));
    }
    mutex_unlock(&gp_lock);
}

uint64_t rcu_grace_periods(void)
{
    return atomic_load_relaxed(&gp_completed);
}

/* After a push, which is seq_cst: either the thread's look at the queues comes later, or this sees
 * its 0. */
static void announce_work(void)
{
    if (atomic_load_seq_cst(&work_set) == 0 && atomic_xchg_acq_rel(&work_set, 1u) == 0)
        (void)sem_up(&work);
}

void rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
    head->fn = fn;
    preempt_disable();
    mpsc_push(&callbacks[cpu_self()->id].queue, &head->node);
    announce_work();
    preempt_enable();
}

static int rcu_thread(void *arg)
{
    (void)arg;
    for (;;) {
        sem_down(&work);
        atomic_store_seq_cst(&work_set, 0u);
        atomic_fence_seq_cst(); /* the other half of announce_work() */
        struct mpsc_node *taken[RCU_BATCH_CPUS];
        for (unsigned base = 0; base < cpu_count(); base += RCU_BATCH_CPUS) {
            unsigned count = MIN(cpu_count() - base, RCU_BATCH_CPUS);
            bool any = false;
            for (unsigned i = 0; i < count; i++)
                any |= (taken[i] = mpsc_take_all(&callbacks[base + i].queue)) != NULL;
            if (!any)
                continue;
            rcu_synchronize();
            for (unsigned i = 0; i < count; i++)
                while (taken[i]) {
                    struct rcu_head *head = container_of(taken[i], struct rcu_head, node);
                    taken[i] = taken[i]->next; /* before fn frees it */
                    head->fn(head);
                }
        }
    }
    return 0;
}

/* One rcu_barrier(): on its stack, so the last callback touches it last by waking the waiter. */
struct barrier {
    _Atomic(uint32_t) missing; /* [atomic] callbacks that have not run */
    struct waiter waiter;
};

struct barrier_call {
    struct rcu_head head;
    struct barrier *barrier;
};

static void barrier_reached(struct rcu_head *head)
{
    struct barrier *barrier = container_of(head, struct barrier_call, head)->barrier;
    if (atomic_sub_acq_rel(&barrier->missing, 1u) == 1)
        waiter_wake(&barrier->waiter);
}

/* A callback behind all others on every queue, some CPUs at a time. */
void rcu_barrier(void)
{
    for (unsigned base = 0; base < cpu_count(); base += BARRIER_CPUS) {
        struct barrier_call calls[BARRIER_CPUS];
        unsigned count = MIN(cpu_count() - base, BARRIER_CPUS);
        struct barrier barrier = {.missing = count};
        waiter_init(&barrier.waiter);
        for (unsigned i = 0; i < count; i++) {
            calls[i] = (struct barrier_call){{.fn = barrier_reached}, &barrier};
            mpsc_push(&callbacks[base + i].queue, &calls[i].head.node);
        }
        announce_work();
        waiter_park(&barrier.waiter);
    }
}

int rcu_init(void)
{
    mutex_init(&gp_lock);
    sem_init_units(&work, 0);
    atomic_store_relaxed(&gp_started, 0u);
    atomic_store_relaxed(&gp_completed, 0u);
    atomic_store_relaxed(&work_set, 0u);
    callbacks = heap_zalloc(cpu_count() * sizeof *callbacks);
    if (!callbacks)
        return -ENOMEM;
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        mpsc_init(&callbacks[cpu].queue);
    int error = rcu_engine_init();
    if (error < 0)
        return error;
    const struct thread_attr attr = {.name = "rcu", .detached = true};
    return thread_create(NULL, rcu_thread, NULL, &attr);
}
