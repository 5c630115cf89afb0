/* SPDX-License-Identifier: BSD-3-Clause */
/* The spinlock: exclusion, also against interrupts, and what debug builds say about wrong use. */
#include "cpu/threads.h"
#include <osv/clock.h>
#include <osv/spinlock.h>
#include <osv/timer.h>

#define CPUS 4u

static struct spinlock lock;
static uint64_t counter;    /* [lock] */
static struct task *inside; /* [lock] */
static _Atomic(uint32_t) callbacks, stop;

static void enter_and_leave(void)
{
    CHECK(inside == NULL);
    inside = task_self();
    counter++;
    CHECK(inside == task_self());
    inside = NULL;
}

static int add_under_lock(void *arg)
{
    for (size_t i = 0; i < *(size_t *)arg; i++) {
        spin_lock(&lock);
        enter_and_leave();
        spin_unlock(&lock);
    }
    return 0;
}

static void one_thread_at_a_time(void)
{
    struct thread *threads[2 * CPUS];
    size_t rounds = test_scaled(20000);
    spinlock_init(&lock, RANK_WAIT);
    for (unsigned i = 0; i < ARRAY_COUNT(threads); i++)
        threads[i] = start_on(i % CPUS, add_under_lock, &rounds);
    for (unsigned i = 0; i < ARRAY_COUNT(threads); i++)
        join(threads[i]);
    CHECK_EQ(counter, ARRAY_COUNT(threads) * rounds);
}

static void a_holder_is_not_preempted(void)
{
    spinlock_init(&lock, RANK_WAIT);
    CHECK_EQ(task_self()->preempt_off, 0);
    spin_lock(&lock);
    CHECK_EQ(task_self()->preempt_off, 1);
    CHECK(hal_irq_enabled());
    spin_unlock(&lock);
    CHECK_EQ(task_self()->preempt_off, 0);
    hal_irqstate irqs = spin_lock_irqsave(&lock);
    CHECK_EQ(task_self()->preempt_off, 1);
    CHECK(!hal_irq_enabled());
    spin_unlock_irqrestore(&lock, irqs);
    CHECK_EQ(task_self()->preempt_off, 0);
    CHECK(hal_irq_enabled());
}

static void add_in_interrupt(struct timer *timer)
{
    hal_irqstate irqs = spin_lock_irqsave(&lock);
    enter_and_leave();
    spin_unlock_irqrestore(&lock, irqs);
    atomic_add_release(&callbacks, 1u);
    if (!atomic_load_relaxed(&stop))
        timer_arm(timer, clock_ns() + 20 * NSEC_PER_USEC);
}

static int add_against_interrupts(void *arg)
{
    size_t rounds = *(size_t *)arg, target = rounds / 20 + 1;
    struct timer timer;
    timer_init(&timer, add_in_interrupt);
    timer_arm(&timer, clock_ns());
    for (size_t i = 0; i < rounds || atomic_load_relaxed(&callbacks) < target; i++) {
        hal_irqstate irqs = spin_lock_irqsave(&lock);
        enter_and_leave();
        counter--; /* what is left are the callbacks */
        spin_unlock_irqrestore(&lock, irqs);
        hal_cpu_relax();
    }
    atomic_store_release(&stop, 1u);
    timer_cancel_sync(&timer);
    return 0;
}

static void interrupts_stay_out_too(void)
{
    struct thread *threads[CPUS];
    size_t rounds = test_scaled(20000);
    spinlock_init(&lock, RANK_WAIT);
    for (unsigned i = 0; i < CPUS; i++)
        threads[i] = start_on(i, add_against_interrupts, &rounds);
    for (unsigned i = 0; i < CPUS; i++)
        join(threads[i]);
    CHECK_EQ(counter, atomic_load_relaxed(&callbacks));
}

static void ranks_may_rise_and_be_released_in_any_order(void)
{
    struct spinlock low = SPINLOCK_INIT(RANK_WAIT), middle = SPINLOCK_INIT(RANK_TIMER),
                    high = SPINLOCK_INIT(RANK_PAGE), none = SPINLOCK_INIT(RANK_NONE);
    for (int i = 0; i < 100; i++) {
        spin_lock(&low);
        spin_lock(&high);
        spin_lock(&none);
        spin_unlock(&low);
        spin_unlock(&high);
        spin_lock(&middle);
        spin_lock(&high);
        spin_unlock(&middle);
        spin_unlock(&none);
        spin_unlock(&high);
        CHECK_EQ(task_self()->preempt_off, 0);
    }
}

static void take_a_low_rank(struct ipi_call *call)
{
    struct spinlock low = SPINLOCK_INIT(RANK_WAIT), high = SPINLOCK_INIT(RANK_TIMER);
    (void)call;
    spin_lock(&low);
    spin_lock(&high);
    spin_unlock(&high);
    spin_unlock(&low);
    atomic_store_release(&callbacks, 1u);
}

static void an_interrupt_starts_its_own_order(void)
{
    struct spinlock held = SPINLOCK_INIT(RANK_LOG);
    struct ipi_call call = {.fn = take_a_low_rank};
    spin_lock(&held);
    ipi_call(cpu_self(), &call);
    wait_until_set(&callbacks);
    spin_unlock(&held);
}

/* An interrupt at any instruction of taking and releasing leaves the ranks as they were. */
static void take_in_interrupt(struct timer *timer)
{
    struct spinlock own = SPINLOCK_INIT(RANK_RCU);
    spin_lock(&own);
    spin_unlock(&own);
    if (atomic_add_release(&callbacks, 1u) < test_scaled(5000))
        timer_arm(timer, clock_ns() + 5 * NSEC_PER_USEC);
    else
        atomic_store_release(&stop, 1u);
}

static void interrupts_do_not_disturb_the_ranks(void)
{
    struct spinlock low = SPINLOCK_INIT(RANK_WAIT), high = SPINLOCK_INIT(RANK_LOG);
    struct timer timer;
    timer_init(&timer, take_in_interrupt);
    timer_arm(&timer, clock_ns());
    while (!atomic_load_acquire(&stop)) {
        spin_lock(&low);
        spin_lock(&high);
        spin_unlock(&high);
        spin_unlock(&low);
        hal_cpu_relax();
    }
    timer_cancel_sync(&timer);
}

#if OSV_DEBUG
static NOINLINE void take_first(void)
{
    spin_lock(&lock);
    compiler_barrier();
}

static NOINLINE void take_second(void)
{
    atomic_store_relaxed(&callbacks, 2u); /* so that it is not the same code as take_first() */
    spin_lock(&lock);
    compiler_barrier();
}

static NOINLINE void release(void)
{
    spin_unlock(&lock);
    compiler_barrier();
}

static void taken_twice(void)
{
    spinlock_init(&lock, RANK_WAIT);
    take_first();
    take_second();
}

static int take_and_stay(void *arg)
{
    (void)arg;
    take_first();
    atomic_store_release(&callbacks, 1u);
    wait_until_set(&stop);
    return 0;
}

static void released_by_another(void)
{
    spinlock_init(&lock, RANK_WAIT);
    move_to(0); /* or it is taken to CPU 1, and never gets it back */
    (void)start_on(1, take_and_stay, NULL);
    wait_until_set(&callbacks);
    release();
}

static void released_twice(void)
{
    spinlock_init(&lock, RANK_WAIT);
    take_first();
    release();
    release();
}

static NOINLINE void take_out_of_order(struct spinlock *wrong)
{
    spin_lock(wrong);
    compiler_barrier();
}

static void taken_out_of_order(void)
{
    struct spinlock low = SPINLOCK_INIT(RANK_WAIT), high = SPINLOCK_INIT(RANK_TIMER);
    spin_lock(&high);
    take_out_of_order(&low);
}

static void two_of_one_rank(void)
{
    struct spinlock first = SPINLOCK_INIT(RANK_WAIT), second = SPINLOCK_INIT(RANK_WAIT);
    spin_lock(&first);
    take_out_of_order(&second);
}
#endif

TEST_CASES_BEGIN
    {"one thread at a time", one_thread_at_a_time, .cpus = CPUS},
        {"a holder is not preempted", a_holder_is_not_preempted, .cpus = 1},
        {"interrupts stay out too", interrupts_stay_out_too, .cpus = CPUS},
        {"ranks may rise and be released in any order", ranks_may_rise_and_be_released_in_any_order,
         .cpus = 1},
        {"an interrupt starts its own order", an_interrupt_starts_its_own_order, .cpus = 1},
        {"interrupts do not disturb the ranks", interrupts_do_not_disturb_the_ranks, .cpus = 1},
#if OSV_DEBUG
        {"taken twice names the first site", taken_twice, .cpus = 1,
         .panics = "taken twice by one thread, first at take_first+0x"},
        {"taken twice names the second site", taken_twice, .cpus = 1,
         .panics = ", again at take_second+0x"},
        {"released by another names the site", released_by_another, .cpus = 2,
         .panics = "released at release+0x"},
        {"released by another names the holder's site", released_by_another, .cpus = 2,
         .panics = "by a thread that does not hold it (last taken at take_first+0x"},
        {"released twice", released_twice, .cpus = 1, .panics = "does not hold it"},
        {"taken out of order", taken_out_of_order, .cpus = 1,
         .panics = "rank 100 taken at take_out_of_order+0x"},
        {"taken out of order names the rank held", taken_out_of_order, .cpus = 1,
         .panics = "while rank 200 is held"},
        {"two of one rank", two_of_one_rank, .cpus = 1, .panics = "while rank 100 is held"},
#endif
TEST_CASES_END
