/* SPDX-License-Identifier: BSD-3-Clause */
/* Choosing and switching. Everything here runs with preemption off on the CPU it is about.
 *
 * A thread that runs is in no queue. It leaves the CPU in one of four ways: it is pre-empted or
 * yields (back into the run queue), it parks (its waiter's state says so, and a wake-up sends it
 * to this same CPU's incoming queue, so that nobody can run it before it is off its stack), it
 * ends, or it moves. In the last two cases somebody else may free or run it, so the thread that
 * is switched to sees to it (departed), on its own stack.
 * S1 The idle thread is in no queue and runs when nothing else can.
 * S2 The slice timer is armed while a thread waits in the queue of a CPU that runs one. With
 *    nobody waiting it is left to run out once: a lone thread is not interrupted.
 * S3 interrupts never touch the run queue: they push on the incoming queue and set the task's
 *    resched mark, and osv_irq_exit() switches when preemption is on.
 * S4 The mark is meant for the CPU. One that is set after pass() looked, while the old thread is
 *    still "self", goes over to the thread that is switched to. */
#include "internal.h"
#include <osv/clock.h>
#include <osv/error.h>
#include <osv/log.h>
#include <osv/page.h>
#include <osv/string.h>
#include <osv/trace.h>

struct sched_hooks sched_hooks_now;

void sched_account(struct sched_cpu *s)
{
    struct thread *thread = thread_self();
    uint64_t now = clock_ns();
    uint64_t ran_ns = now > s->charged_ns ? now - s->charged_ns : 0;
    s->charged_ns = now;
    if (thread == s->idle_thread)
        return;
    COUNT(thread->runtime_ns, ran_ns);
    if (unlikely(thread->policy == THREAD_RR))
        thread->rr_left_ns -= MIN(ran_ns, thread->rr_left_ns);
    runq_charge(&s->rq, thread, ran_ns);
}

/* S2: somebody waits here. Sooner than a slice while CPUs sleep that could be offered the work. */
void sched_arm_slice(struct sched_cpu *s, const struct thread *running)
{
    if (timer_armed(&s->slice))
        return;
    uint64_t slice_ns = runq_slice_ns(&s->rq, running);
    if (atomic_load_relaxed(&sched_halted_count) > 0)
        slice_ns = MIN(slice_ns, SCHED_HYSTERESIS_NS / 25);
    timer_arm(&s->slice, s->charged_ns + slice_ns);
}

static void on_slice(struct timer *timer)
{
    (void)timer;
    atomic_store_relaxed(&task_self()->resched, 1u);
}

static void check_stack(const struct thread *thread)
{
    const uint64_t *lowest = thread->task.ctx.stack_base;
    if (thread->block && unlikely(*lowest != 0x6b636174736b6f21ull))
        panic("thread '%s' (%p): stack overflow", thread->name, (const void *)thread);
}

static void switch_to(struct sched_cpu *s, struct thread *next)
{
    struct thread *self = thread_self();
    atomic_store_relaxed(&s->cpu->current, &next->task);
    DASSERT(next->task.cpu == s->cpu);
    COUNT(s->switches, 1);
    COUNT(next->switches, 1);
    TRACE(sched_switch, (uintptr_t)self, (uintptr_t)next);
#if OSV_DEBUG
    check_stack(self);
#endif
    s->previous = self;
    hal_ctx_switch(&self->task.ctx, &next->task.ctx);
    sched_switch_finish(self->task.cpu->sched);
}

void sched_switch_finish(struct sched_cpu *s)
{
    /* S4: previous is off its stack, and nobody else can have it yet. */
    if (unlikely(atomic_load_relaxed(&s->previous->task.resched) != 0)) {
        atomic_store_relaxed(&s->previous->task.resched, 0u);
        atomic_store_relaxed(&task_self()->resched, 1u);
    }
    struct thread *departed = s->departed;
    if (likely(!departed))
        return;
    s->departed = NULL;
    if (atomic_load_relaxed(&departed->state) == THREAD_EXITED) {
        check_stack(departed);
        thread_departed(departed);
    } else {
        sched_send(departed, sched_allowed_cpu(departed, s->cpu->id));
    }
}

/* What every pass does before it chooses. */
static void pass(struct sched_cpu *s)
{
    atomic_store_relaxed(&task_self()->resched, 0u);
    sched_account(s);
    if (unlikely(atomic_load_relaxed(&s->attention) != 0)) {
        uint32_t what =
            atomic_xchg_acq_rel(&s->attention, 0u); /* Q1 pairs with Q2 in sched_want_quiescent */
        if (what & ATTENTION_RESCAN)
            sched_send_misfits(s);
        if (what & ATTENTION_QUIESCENT && sched_hooks_now.quiescent)
            sched_hooks_now.quiescent();
    }
    /* Before the incoming queue is taken: that may bring back the running thread, which is parked
     * but not yet off its stack. */
    if (unlikely(atomic_load_relaxed(&s->steal_request) != 0))
        sched_give(s);
    sched_take_incoming(s);
}

static struct thread *take_or_idle(struct sched_cpu *s)
{
    struct thread *next = runq_take(&s->rq);
    return next ? next : s->idle_thread;
}

static void run(struct sched_cpu *s, struct thread *next)
{
    if (next->policy == THREAD_RR && next->rr_left_ns == 0)
        next->rr_left_ns = SCHED_RR_NS;
    if (runq_count(&s->rq) > 0 && next != s->idle_thread) {
        sched_arm_slice(s, next);
        sched_offer(s);
    }
    sched_publish(s, next != s->idle_thread);
    if (next != thread_self())
        switch_to(s, next);
}

void sched_switch_blocked(void)
{
    struct sched_cpu *s = cpu_self()->sched;
    pass(s);
    run(s, take_or_idle(s));
}

void sched_switch_exited(void)
{
    struct sched_cpu *s = cpu_self()->sched;
    pass(s);
    s->departed = thread_self();
    run(s, take_or_idle(s));
    __builtin_unreachable();
}

bool sched_switch_idle(void)
{
    struct sched_cpu *s = cpu_self()->sched;
    pass(s);
    struct thread *next = take_or_idle(s);
    run(s, next);
    return next != s->idle_thread;
}

/* The running thread would go on. yields: it lets equals go first. */
static void reschedule(bool yields)
{
    struct thread *self = thread_self();
    struct sched_cpu *s = cpu_self()->sched;
    pass(s);
    thread_apply_wanted(self);
    if (unlikely(!thread_allowed(self, s->cpu->id))) {
        s->departed = self;
        runq_export(&s->rq, self);
        run(s, take_or_idle(s));
        return;
    }
    if (yields && self->policy == THREAD_RR)
        self->rr_left_ns = 0;
    if (self->policy == THREAD_FIFO && yields) {
        runq_insert(&s->rq, self, false);
        run(s, runq_take(&s->rq));
    } else if (yields) {
        run(s, runq_exchange(&s->rq, self));
    } else if (runq_preempts(&s->rq, self)) {
        struct thread *next = runq_exchange(&s->rq, self);
        runq_charge(&s->rq, next, SCHED_PENALTY_NS); /* for the cache it displaces */
        run(s, next);
    } else {
        run(s, self);
    }
    s = cpu_self()->sched;
    if (runq_count(&s->rq) > 0 && s->charged_ns >= s->balance_ns) {
        s->balance_ns = s->charged_ns + SCHED_BALANCE_NS;
        sched_balance(s);
    }
}

static void preempt(void)
{
    preempt_disable();
    reschedule(false);
    preempt_enable_quiet();
}

void thread_yield(void)
{
    preempt_disable();
    reschedule(true);
    preempt_enable();
}

void sched_irq_exit(void)
{
    struct task *self = task_self();
    /* In a loop: preempt() ends without looking at a mark that came meanwhile. */
    while (self->preempt_off == 0 && atomic_load_relaxed(&self->resched) != 0 && self->cpu->sched)
        preempt();
}

/* The first interrupt ends the sleep, so that its handler runs as on any CPU that is awake (RCU).
 */
void sched_irq_enter(void)
{
    struct sched_cpu *s = cpu_self()->sched;
    if (!s || atomic_load_relaxed(&s->idle) != CPU_HALTED)
        return;
    atomic_store_seq_cst(&s->idle, (uint32_t)CPU_POLLING);
    atomic_fence_seq_cst(); /* Z2 awake before anything is read under RCU, pairs with Z1 in
                               sched_sleeps */
    if (sched_hooks_now.online)
        sched_hooks_now.online(true);
}

void sched_ipi(void)
{
    atomic_store_relaxed(&task_self()->resched, 1u);
}

void sched_set_hooks(const struct sched_hooks *hooks)
{
    sched_hooks_now = hooks ? *hooks : (struct sched_hooks){0};
}

static int setup(struct cpu *cpu, struct sched_cpu *s, struct thread *idle_thread)
{
    mpsc_init(&s->incoming);
    timer_init(&s->slice, on_slice);
    s->cpu = cpu;
    s->idle_thread = idle_thread;
    s->charged_ns = clock_ns();
    s->balance_ns = s->charged_ns + SCHED_BALANCE_NS;
    s->poll_ns = sched_idle_poll_max_ns / 4;
    s->steal_next = cpu->id;
    cpu->sched = s;
    return runq_init(&s->rq, cpu->id);
}

static const char *self_name(void)
{
    return thread_self()->name;
}

static void preempt_handler(void)
{
    preempt();
    sched_irq_exit(); /* a mark that came meanwhile */
}

void sched_init(struct thread *boot_thread, uint64_t idle_poll_ns)
{
    static struct sched_cpu boot_sched; /* CPU 0's; the others' are allocated */
    memset((void *)&boot_sched, 0, sizeof boot_sched);
    sched_idle_poll_max_ns = idle_poll_ns;
    sched_set_hooks(NULL);
    threads_reset();
    for (size_t i = 0; i < ARRAY_COUNT(sched_halted); i++)
        atomic_store_relaxed(&sched_halted[i], 0u);
    atomic_store_relaxed(&sched_halted_count, 0u);
    thread_setup_boot(boot_thread);
    int error = setup(cpu_self(), &boot_sched, boot_thread);
    ASSERT(error == 0); /* the first pages of a machine */
    panic_set_thread_name(self_name);
    cpu_set_resched_handler(preempt_handler);
}

static void idle_entry(void *arg)
{
    struct sched_cpu *s = arg;
    if (sched_hooks_now.online)
        sched_hooks_now.online(true);
    hal_irq_restore(0);
    sched_idle_loop(s);
}

int sched_cpu_init(struct cpu *cpu)
{
    size_t pages = DIV_UP(sizeof(struct sched_cpu), PAGE_SIZE);
    struct sched_cpu *s = page_alloc_range(pages);
    if (!s)
        return -ENOMEM;
    memset((void *)s, 0, sizeof *s);
    struct thread *idle_thread;
    int error = thread_make_idle(cpu, &idle_thread, idle_entry, s);
    if (error == 0)
        error = setup(cpu, s, idle_thread);
    if (error == 0)
        atomic_store_relaxed(&cpu->current, &idle_thread->task);
    return error;
}

int sched_start_cpus(void)
{
    for (unsigned i = 1; i < cpu_count(); i++) {
        int error = hal_cpu_start(i, &sched_of(i)->idle_thread->task.ctx);
        if (error < 0)
            return error;
    }
    return 0;
}

void sched_idle(void)
{
    struct sched_cpu *s = cpu_self()->sched;
    hal_irq_restore(0);
    sched_idle_loop(s);
}

void sched_want_quiescent(unsigned cpu)
{
    atomic_or_acq_rel(&sched_of(cpu)->attention,
                      ATTENTION_QUIESCENT); /* Q2 pairs with Q1 in pass */
    sched_kick(cpu);
}

bool sched_sleeps(unsigned cpu)
{
    atomic_fence_seq_cst(); /* Z1 what the caller unlinked is seen by a CPU that wakes after this,
                               pairs with Z2 */
    return atomic_load_acquire(&sched_of(cpu)->idle) == CPU_HALTED;
}

void sched_stats(unsigned cpu, struct sched_stats *out)
{
    const struct sched_cpu *s = sched_of(cpu);
    *out = (struct sched_stats){
        .switches = atomic_load_relaxed(&s->switches),
        .steals = atomic_load_relaxed(&s->steals),
        .remote_wakes = atomic_load_relaxed(&s->remote_wakes),
        .ipis = atomic_load_relaxed(&s->ipis),
        .halts = atomic_load_relaxed(&s->halts),
    };
}

void sched_check(void)
{
    preempt_disable();
    runq_check(&cpu_self()->sched->rq);
    preempt_enable();
}
