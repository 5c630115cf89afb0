/* SPDX-License-Identifier: BSD-3-Clause */
/* Bringing a parked thread back to a run queue, from any CPU and any context, without a lock.
 *
 * A woken thread goes to the CPU where it parked. There a thread on the same CPU, outside
 * interrupts, puts it into the run queue; everybody else pushes it on the CPU's incoming queue,
 * and whoever found that empty interrupts the CPU unless it polls.
 * W1 A CPU that stops polling, to sleep or to run a thread, first says so (CPU_HALTED, CPU_BUSY)
 *    and then looks at its incoming queue; a waker first pushes and then looks at that word (both
 *    seq_cst): one of the two sees the other, so that no wake-up is lost. */
#include "internal.h"
#include <osv/clock.h>
#include <osv/trace.h>

/* Interrupts the CPU unless it will see its incoming queue by itself. */
static void notify(struct sched_cpu *target)
{
    if (target->cpu == cpu_self()) {
        atomic_store_relaxed(&task_self()->resched, 1u);
        return;
    }
    if (atomic_load_seq_cst(&target->idle) == CPU_POLLING) /* W1 */
        return;
    COUNT(cpu_self()->sched->ipis, 1);
    hal_ipi_send(target->cpu->id, HAL_IPI_RESCHED);
}

void sched_send(struct thread *thread, unsigned cpu)
{
    struct sched_cpu *target = sched_of(cpu);
    if (mpsc_push(&target->incoming, &thread->wake_node))
        notify(target);
}

void sched_enqueue_local(struct sched_cpu *s, struct thread *thread)
{
    struct thread *running = (struct thread *)(void *)atomic_load_relaxed(&s->cpu->current);
    runq_insert(&s->rq, thread, false);
    if (running == s->idle_thread) {
        atomic_store_relaxed(&running->task.resched, 1u);
        return;
    }
    if (runq_preempts(&s->rq, running))
        atomic_store_relaxed(&running->task.resched, 1u);
    sched_arm_slice(s, running);
}

void sched_make_runnable(struct thread *thread)
{
    preempt_disable();
    struct cpu *cpu = cpu_self();
    struct sched_cpu *target = thread->task.cpu->sched;
    atomic_store_relaxed(&thread->state, (uint32_t)THREAD_RUNNABLE);
    TRACE(sched_wake, (uintptr_t)thread, target->cpu->id);
    if (target->cpu == cpu && cpu->irq_depth == 0 && likely(thread_allowed(thread, cpu->id)))
        sched_enqueue_local(target, thread);
    else
        sched_send(thread, target->cpu->id);
    preempt_enable();
}

/* A CPU where the thread may run, near if that is one. There always is one: thread_set_affinity()
 * sees to it. */
unsigned sched_allowed_cpu(const struct thread *thread, unsigned near)
{
    unsigned count = cpu_count();
    for (unsigned i = 0; i < count; i++) {
        unsigned cpu = near + i < count ? near + i : near + i - count;
        if (thread_allowed(thread, cpu))
            return cpu;
    }
    return near; /* the mask is being changed; the next look will find one */
}

void sched_send_misfits(struct sched_cpu *s)
{
    for (struct thread *t = runq_take_misfits(&s->rq), *next; t; t = next) {
        next = t->overflow_next;
        sched_send(t, sched_allowed_cpu(t, s->cpu->id));
    }
}

void sched_take_incoming(struct sched_cpu *s)
{
    if (mpsc_empty(&s->incoming))
        return;
    struct mpsc_node *node = mpsc_take_all(&s->incoming);
    while (node) {
        struct thread *thread = container_of(node, struct thread, wake_node);
        node = node->next;
        COUNT(s->remote_wakes, 1);
        if (unlikely(!thread_allowed(thread, s->cpu->id))) {
            if (thread->home == s->cpu->id)
                runq_export(&s->rq, thread);
            unsigned cpu = sched_allowed_cpu(thread, s->cpu->id);
            if (cpu != s->cpu->id) {
                sched_send(thread, cpu);
                continue;
            }
        }
        thread->task.cpu = s->cpu;
        atomic_store_relaxed(&thread->cpu_id, s->cpu->id);
        runq_insert(&s->rq, thread, false);
    }
}

void sched_kick(unsigned cpu)
{
    preempt_disable();
    if (sched_of(cpu)->cpu == cpu_self())
        atomic_store_relaxed(&task_self()->resched, 1u);
    else
        hal_ipi_send(cpu, HAL_IPI_RESCHED);
    preempt_enable();
}
