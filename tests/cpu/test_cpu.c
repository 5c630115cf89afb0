/* SPDX-License-Identifier: BSD-3-Clause */
/* Preemption, the interrupt mask and calls between CPUs. */
#include "cpu/threads.h"
#include <osv/clock.h>
#include <osv/cpu.h>
#include <osv/timer.h>

#define CALLS 64u

static _Atomic(uint32_t) ran, ready, go;

static void every_cpu_is_known_by_its_number(void)
{
    CHECK_EQ(cpu_count(), 4);
    for (unsigned id = 0; id < cpu_count(); id++) {
        CHECK_EQ(cpu_table[id]->id, id);
        move_to(id);
        CHECK(cpu_self() == cpu_table[id]);
        CHECK(atomic_load_relaxed(&cpu_self()->current) == task_self());
        CHECK(!cpu_in_interrupt());
    }
}

static int mark(void *arg)
{
    (void)arg;
    atomic_store_release(&ran, 1u);
    return 0;
}

/* A thread that runs as soon as preemption lets it. */
static struct thread *start_urgent(void)
{
    const struct thread_attr attr = {.policy = THREAD_FIFO, .rt_priority = 50};
    struct thread *thread = NULL;
    atomic_store_relaxed(&ran, 0u);
    CHECK_EQ(thread_create(&thread, mark, NULL, &attr), 0);
    return thread;
}

static void on_timer(struct timer *timer)
{
    (void)timer;
    atomic_store_relaxed(&task_self()->resched, 1u); /* as the end of a slice does */
    atomic_store_release(&ready, 1u);
}

static void preemption_waits_for_the_outermost_enable(void)
{
    struct timer timer;
    timer_init(&timer, on_timer);
    CHECK_EQ(task_self()->preempt_off, 0);
    preempt_disable();
    preempt_disable();
    CHECK_EQ(task_self()->preempt_off, 2);
    struct thread *thread = start_urgent();
    timer_arm(&timer, clock_ns());
    wait_until_set(&ready); /* an interrupt came and went, and did not switch */
    CHECK_EQ(atomic_load_relaxed(&ran), 0);
    CHECK(atomic_load_relaxed(&task_self()->resched) != 0);
    preempt_enable();
    CHECK_EQ(task_self()->preempt_off, 1);
    CHECK_EQ(atomic_load_relaxed(&ran), 0);
    preempt_enable();
    CHECK_EQ(atomic_load_relaxed(&ran), 1); /* and now at once */
    CHECK_EQ(task_self()->preempt_off, 0);
    join(thread);
}

static void no_switch_with_interrupts_off(void)
{
    preempt_disable();
    struct thread *thread = start_urgent();
    hal_irqstate irqs = hal_irq_save();
    preempt_enable();
    CHECK_EQ(atomic_load_relaxed(&ran), 0);
    CHECK(!hal_irq_enabled());
    hal_irq_restore(irqs);
    preempt_disable();
    preempt_enable();
    CHECK_EQ(atomic_load_relaxed(&ran), 1);
    join(thread);
}

static void a_quiet_enable_leaves_the_switch_to_the_caller(void)
{
    preempt_disable();
    struct thread *thread = start_urgent();
    hal_irqstate irqs = hal_irq_save();
    preempt_enable_quiet();
    CHECK_EQ(task_self()->preempt_off, 0);
    CHECK_EQ(atomic_load_relaxed(&ran), 0);
    CHECK(atomic_load_relaxed(&task_self()->resched) != 0);
    hal_irq_restore(irqs);
    join(thread);
    CHECK_EQ(atomic_load_relaxed(&ran), 1);
}

static void the_interrupt_mask_nests(void)
{
    CHECK(hal_irq_enabled());
    hal_irqstate outer = hal_irq_save();
    CHECK_EQ(outer, 0);
    CHECK(!hal_irq_enabled());
    hal_irqstate inner = hal_irq_save();
    CHECK(inner != 0);
    hal_irq_restore(inner);
    CHECK(!hal_irq_enabled());
    hal_irq_restore(outer);
    CHECK(hal_irq_enabled());
}

struct noted_call {
    struct ipi_call call;
    uint32_t order; /* when it ran, from 0 */
    unsigned cpu;   /* where */
    bool in_interrupt, masked, taken_whole;
};

static void note_call(struct ipi_call *call)
{
    struct noted_call *noted = container_of(call, struct noted_call, call);
    noted->cpu = cpu_self()->id;
    noted->in_interrupt = cpu_in_interrupt();
    noted->masked = !hal_irq_enabled();
    noted->taken_whole = atomic_load_relaxed(&cpu_self()->calls) == NULL;
    noted->order = atomic_load_relaxed(&ran);
    atomic_add_release(&ran, 1u); /* the record may go */
}

static void a_call_to_oneself_waits_for_the_mask(void)
{
    struct noted_call noted = {.call.fn = note_call};
    hal_irqstate outer = hal_irq_save(), inner = hal_irq_save();
    ipi_call(cpu_self(), &noted.call);
    for (int i = 0; i < 10000; i++)
        hal_cpu_relax();
    CHECK_EQ(atomic_load_acquire(&ran), 0);
    hal_irq_restore(inner);
    CHECK_EQ(atomic_load_acquire(&ran), 0);
    hal_irq_restore(outer);
    wait_until_set(&ran);
    CHECK(noted.in_interrupt && noted.masked);
    CHECK(!cpu_in_interrupt());
    CHECK(hal_irq_enabled());
}

static void a_call_to_oneself_arrives(void)
{
    for (uint32_t i = 0; i < 1000; i++) {
        struct noted_call noted = {.call.fn = note_call};
        preempt_disable();
        unsigned cpu = cpu_self()->id;
        ipi_call(cpu_self(), &noted.call);
        preempt_enable();
        while (atomic_load_acquire(&ran) != i + 1)
            hal_cpu_relax();
        CHECK_EQ(noted.cpu, cpu);
    }
}

static void call_again(struct ipi_call *call)
{
    if (atomic_add_acq_rel(&ran, 1u) < 9)
        ipi_call(cpu_self(), call); /* the record is ours again */
}

static void a_call_may_queue_itself_again(void)
{
    struct ipi_call call = {.fn = call_again};
    ipi_call(cpu_table[1], &call);
    while (atomic_load_acquire(&ran) != 10)
        hal_cpu_relax();
}

static int call_first_cpu(void *arg)
{
    wait_until_set(&go);
    ipi_call(cpu_table[0], arg);
    hal_ipi_send(0, HAL_IPI_RESCHED);
    atomic_store_release(&ready, 1u);
    return 0;
}

static void a_call_from_another_cpu_waits_for_the_mask(void)
{
    static struct noted_call noted = {.call.fn = note_call};
    move_to(0);
    struct thread *thread = start_on(1, call_first_cpu, &noted.call);
    hal_irqstate irqs = hal_irq_save();
    atomic_store_release(&go, 1u);
    wait_until_set(&ready);
    for (int i = 0; i < 10000; i++)
        hal_cpu_relax();
    CHECK_EQ(atomic_load_acquire(&ran), 0);
    hal_irq_restore(irqs);
    wait_until_set(&ran);
    CHECK_EQ(noted.cpu, 0);
    join(thread);
}

static int keep_interrupts_off(void *arg)
{
    (void)arg;
    hal_irqstate irqs = hal_irq_save();
    atomic_store_release(&ready, 1u);
    wait_until_set(&go);
    hal_irq_restore(irqs);
    return 0;
}

static void calls_run_in_order_and_together(void)
{
    static struct noted_call calls[CALLS];
    move_to(0);
    struct thread *thread = start_on(1, keep_interrupts_off, NULL);
    wait_until_set(&ready);
    for (size_t i = 0; i < CALLS; i++) {
        calls[i].call.fn = note_call;
        ipi_call(cpu_table[1], &calls[i].call);
    }
    CHECK_EQ(atomic_load_acquire(&ran), 0);
    atomic_store_release(&go, 1u);
    while (atomic_load_acquire(&ran) != CALLS)
        hal_cpu_relax();
    for (size_t i = 0; i < CALLS; i++) {
        CHECK_EQ(calls[i].order, i);
        CHECK_EQ(calls[i].cpu, 1);
        CHECK(calls[i].in_interrupt && calls[i].masked);
        CHECK(calls[i].taken_whole); /* one interrupt for all */
    }
    join(thread);
}

/* Everybody calls everybody. */
struct sender {
    unsigned cpu; /* where it sends from, of two on each CPU */
    size_t rounds;
    struct ipi_call call[4];
    unsigned target[4];
    uint32_t done[4]; /* [target CPU] */
    _Atomic(uint32_t) left;
};
static struct sender senders[8];

static void count_call(struct ipi_call *call)
{
    unsigned cpu = cpu_self()->id;
    struct sender *sender = container_of(call - cpu, struct sender, call);
    CHECK_EQ(sender->target[cpu], cpu);
    sender->done[cpu]++;
    atomic_sub_release(&sender->left, 1u);
}

static int send_calls(void *arg)
{
    struct sender *sender = arg;
    for (size_t round = 0; round < sender->rounds; round++) {
        atomic_store_relaxed(&sender->left, 4u);
        for (unsigned cpu = 0; cpu < 4; cpu++) {
            sender->call[cpu].fn = count_call;
            sender->target[cpu] = cpu;
            ipi_call(cpu_table[cpu], &sender->call[cpu]);
        }
        while (atomic_load_acquire(&sender->left) != 0)
            hal_cpu_relax();
    }
    return 0;
}

static void everybody_calls_everybody(void)
{
    struct thread *threads[8];
    size_t rounds = test_scaled(200);
    for (unsigned i = 0; i < 8; i++) {
        senders[i].rounds = rounds;
        threads[i] = start_on(i % 4, send_calls, &senders[i]);
    }
    for (unsigned i = 0; i < 8; i++) {
        join(threads[i]);
        for (unsigned cpu = 0; cpu < 4; cpu++)
            CHECK_EQ(senders[i].done[cpu], rounds);
    }
}

static void repeated_reschedule_requests_do_no_harm(void)
{
    for (int i = 0; i < 1000; i++)
        for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
            hal_ipi_send(cpu, HAL_IPI_RESCHED);
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        move_to(cpu);
}

#if OSV_DEBUG
static void one_enable_too_many(void)
{
    preempt_disable();
    preempt_enable();
    preempt_enable();
}
#endif

TEST_CASES_BEGIN
    {"every CPU is known by its number", every_cpu_is_known_by_its_number, .cpus = 4},
        {"preemption waits for the outermost enable", preemption_waits_for_the_outermost_enable,
         .cpus = 1},
        {"no switch with interrupts off", no_switch_with_interrupts_off, .cpus = 1},
        {"a quiet enable leaves the switch to the caller",
         a_quiet_enable_leaves_the_switch_to_the_caller, .cpus = 1},
        {"the interrupt mask nests", the_interrupt_mask_nests, .cpus = 1},
        {"a call to oneself waits for the mask", a_call_to_oneself_waits_for_the_mask, .cpus = 1},
        {"a call to oneself arrives", a_call_to_oneself_arrives, .cpus = 2},
        {"a call may queue itself again", a_call_may_queue_itself_again, .cpus = 2},
        {"a call from another CPU waits for the mask", a_call_from_another_cpu_waits_for_the_mask,
         .cpus = 2},
        {"calls run in order and together", calls_run_in_order_and_together, .cpus = 2},
        {"everybody calls everybody", everybody_calls_everybody, .cpus = 4},
        {"repeated reschedule requests do no harm", repeated_reschedule_requests_do_no_harm,
         .cpus = 4},
#if OSV_DEBUG
        {"one enable too many panics", one_enable_too_many, .cpus = 1,
         .panics = "self->preempt_off > 0"},
#endif
TEST_CASES_END
