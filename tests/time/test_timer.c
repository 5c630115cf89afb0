/* SPDX-License-Identifier: BSD-3-Clause */
/* Timers. Only lower bounds on time are checked; where a timer must not have fired although its
 * time has come, interrupts are off. */
#include "cpu/threads.h"
#include <osv/clock.h>
#include <osv/page.h>
#include <osv/prng.h>
#include <osv/timer.h>

#define HOUR_NS (3600 * NSEC_PER_SEC)
#define LEVELS 9

struct shot {
    struct timer timer;
    uint64_t fired_ns;
    uint32_t order; /* among all that fired, from 1 */
    unsigned cpu;
    bool in_interrupt;
    _Atomic(uint32_t) fired; /* how often */
};

static _Atomic(uint32_t) fired_count, entered, release, finished, ready;

static void shoot(struct timer *timer)
{
    struct shot *shot = container_of(timer, struct shot, timer);
    shot->fired_ns = clock_ns();
    shot->cpu = cpu_self()->id;
    shot->in_interrupt = cpu_in_interrupt() && !hal_irq_enabled();
    shot->order = atomic_add_acq_rel(&fired_count, 1u) + 1;
    atomic_add_release(&shot->fired, 1u);
}

static void shot_init(struct shot *shot)
{
    *shot = (struct shot){.order = 0};
    timer_init(&shot->timer, shoot);
}

/* The invariants of this CPU's wheel. The caller stays on it. */
static void check_wheel(void)
{
    timer_check(cpu_self()->timers);
}

static void spin_until(uint64_t time_ns)
{
    while (clock_ns() < time_ns)
        hal_cpu_relax();
}

static void fires_not_before_its_deadline(void)
{
    for (uint64_t delay_ns = 1; delay_ns < 100 * NSEC_PER_MSEC; delay_ns = delay_ns * 2 + 3) {
        struct shot shot;
        shot_init(&shot);
        CHECK(!timer_armed(&shot.timer));
        uint64_t deadline_ns = clock_ns() + delay_ns;
        timer_arm(&shot.timer, deadline_ns);
        wait_until_set(&shot.fired);
        CHECK(shot.fired_ns >= deadline_ns);
        CHECK(shot.in_interrupt);
        CHECK(!timer_armed(&shot.timer));
        CHECK_EQ(shot.fired, 1);
    }
}

static void fires_on_the_cpu_that_armed_it(void)
{
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        struct shot shot;
        shot_init(&shot);
        move_to(cpu);
        uint64_t before = timer_interrupts(cpu);
        timer_arm(&shot.timer, clock_ns() + 100 * NSEC_PER_USEC);
        move_to((cpu + 1) % cpu_count());
        wait_until_set(&shot.fired);
        CHECK_EQ(shot.cpu, cpu);
        CHECK(timer_interrupts(cpu) > before);
    }
}

static void many_fire_in_the_order_of_their_deadlines(void)
{
    static struct shot shots[1000];
    struct prng prng;
    prng_seed(&prng, 1);
    hal_irqstate irqs = hal_irq_save(); /* all are armed before the first fires */
    uint64_t start_ns = clock_ns();
    for (size_t i = 0; i < ARRAY_COUNT(shots); i++) {
        shot_init(&shots[i]);
        timer_arm(&shots[i].timer, start_ns + prng_below(&prng, 40 * NSEC_PER_MSEC));
    }
    check_wheel();
    hal_irq_restore(irqs);
    for (size_t i = 0; i < ARRAY_COUNT(shots); i++)
        wait_until_set(&shots[i].fired);
    for (size_t i = 0; i < ARRAY_COUNT(shots); i++) {
        CHECK_EQ(shots[i].fired, 1);
        CHECK(shots[i].fired_ns >= shots[i].timer.deadline_ns);
        for (size_t j = 0; j < i; j++) /* exact to a tick */
            if (shots[i].timer.deadline_ns + TIMER_TICK_NS <= shots[j].timer.deadline_ns)
                CHECK(shots[i].order < shots[j].order);
            else if (shots[j].timer.deadline_ns + TIMER_TICK_NS <= shots[i].timer.deadline_ns)
                CHECK(shots[j].order < shots[i].order);
    }
}

static void cancelled_it_never_fires(void)
{
    struct shot shot, later;
    shot_init(&shot);
    shot_init(&later);
    CHECK(!timer_cancel(&shot.timer)); /* never armed */
    CHECK(!timer_cancel_sync(&shot.timer));
    hal_irqstate irqs = hal_irq_save();
    uint64_t deadline_ns = clock_ns() + 200 * NSEC_PER_USEC;
    timer_arm(&shot.timer, deadline_ns);
    timer_arm(&later.timer, deadline_ns + 2 * TIMER_TICK_NS);
    spin_until(deadline_ns + 4 * TIMER_TICK_NS); /* it is due, and has no chance */
    CHECK(timer_armed(&shot.timer));
    CHECK(timer_cancel(&shot.timer));
    CHECK(!timer_armed(&shot.timer));
    CHECK(!timer_cancel(&shot.timer)); /* only once */
    check_wheel();
    hal_irq_restore(irqs);
    wait_until_set(&later.fired);
    CHECK_EQ(shot.fired, 0);
}

static void cancelled_after_it_fired_is_false(void)
{
    struct shot shot;
    shot_init(&shot);
    for (uint32_t i = 1; i <= 100; i++) {
        timer_arm(&shot.timer, clock_ns() + 10 * NSEC_PER_USEC);
        while (atomic_load_acquire(&shot.fired) != i)
            hal_cpu_relax();
        CHECK(!timer_cancel(&shot.timer));
        CHECK(!timer_cancel_sync(&shot.timer));
    }
}

static int cancel_when_due(void *arg)
{
    struct shot *shot = arg;
    wait_until_set(&ready);
    CHECK(timer_armed(&shot->timer));
    CHECK(timer_cancel(&shot->timer));
    CHECK(!timer_armed(&shot->timer));
    CHECK(!timer_cancel(&shot->timer));
    atomic_store_release(&release, 1u);
    return 0;
}

static void cancelled_from_another_cpu_it_never_fires(void)
{
    static struct shot shot, later;
    move_to(0);
    shot_init(&shot);
    shot_init(&later);
    struct thread *thread = start_on(1, cancel_when_due, &shot);
    hal_irqstate irqs = hal_irq_save();
    uint64_t deadline_ns = clock_ns() + 200 * NSEC_PER_USEC;
    timer_arm(&shot.timer, deadline_ns);
    timer_arm(&later.timer, deadline_ns + 2 * TIMER_TICK_NS);
    spin_until(deadline_ns + 4 * TIMER_TICK_NS);
    atomic_store_release(&ready, 1u);
    wait_until_set(&release);
    check_wheel();
    hal_irq_restore(irqs);
    wait_until_set(&later.fired);
    CHECK_EQ(shot.fired, 0);
    join(thread);
}

static void hold_until_released(struct timer *timer)
{
    (void)timer;
    atomic_store_release(&entered, 1u);
    wait_until_set(&release);
    atomic_store_relaxed(&finished, 1u);
}

static void hold_then_arm_again(struct timer *timer)
{
    hold_until_released(timer);
    timer_arm(timer, clock_ns() + HOUR_NS);
}

static void arm_again_then_hold(struct timer *timer)
{
    timer_arm(timer, clock_ns() + HOUR_NS);
    hold_until_released(timer);
}

static int arm_now(void *arg)
{
    timer_arm(arg, clock_ns());
    return 0;
}

static int release_later(void *arg)
{
    (void)arg;
    wait_until_set(&ready);
    spin_until(clock_ns() + 3 * NSEC_PER_MSEC); /* the canceller has every chance to be too early */
    atomic_store_release(&release, 1u);
    return 0;
}

/* The callback runs on CPU 1 when CPU 0 cancels; CPU 2 lets it end. */
static void cancel_while_it_runs(void (*fn)(struct timer *timer), bool armed_again)
{
    static struct timer timer;
    move_to(0);
    timer_init(&timer, fn);
    struct thread *releaser = start_on(2, release_later, NULL);
    struct thread *armer = start_on(1, arm_now, &timer);
    wait_until_set(&entered);
    atomic_store_release(&ready, 1u);
    bool cancelled = timer_cancel_sync(&timer);
    CHECK(atomic_load_relaxed(&finished));
    CHECK(!timer_armed(&timer));
    CHECK_EQ(cancelled, armed_again);
    join(releaser);
    join(armer);
}

static void cancel_sync_waits_for_the_callback(void)
{
    cancel_while_it_runs(hold_until_released, false);
}

static void cancel_sync_waits_for_one_that_will_arm_again(void)
{
    cancel_while_it_runs(hold_then_arm_again, true);
}

static void cancel_sync_waits_for_one_that_has_armed_again(void)
{
    cancel_while_it_runs(arm_again_then_hold, true);
}

static void plain_cancel_does_not_wait(void)
{
    static struct timer timer;
    move_to(0);
    timer_init(&timer, hold_until_released);
    struct thread *armer = start_on(1, arm_now, &timer);
    wait_until_set(&entered);
    CHECK(!timer_cancel(&timer)); /* or this hangs */
    CHECK(!atomic_load_relaxed(&finished));
    atomic_store_release(&release, 1u);
    CHECK(!timer_cancel_sync(&timer));
    CHECK(atomic_load_relaxed(&finished));
    join(armer);
}

static void shoot_and_arm_again(struct timer *timer)
{
    struct shot *shot = container_of(timer, struct shot, timer);
    CHECK(clock_ns() >= timer->deadline_ns);
    if (atomic_load_relaxed(&shot->fired) < 99)
        timer_arm(timer, timer->deadline_ns + 50 * NSEC_PER_USEC);
    shoot(timer);
}

static void a_callback_may_arm_its_timer_again(void)
{
    struct shot shot;
    shot_init(&shot);
    shot.timer.fn = shoot_and_arm_again;
    uint64_t start_ns = clock_ns();
    timer_arm(&shot.timer, start_ns);
    while (atomic_load_acquire(&shot.fired) != 100)
        hal_cpu_relax();
    CHECK(shot.fired_ns >= start_ns + 99 * 50 * NSEC_PER_USEC);
    CHECK(!timer_armed(&shot.timer));
}

static struct shot other_shot;

static void cancel_the_other(struct timer *timer)
{
    CHECK(timer_cancel(&other_shot.timer)); /* due too, but not run yet */
    shoot(timer);
}

static void a_callback_may_cancel_another_that_is_due(void)
{
    struct shot shot;
    shot_init(&shot);
    shot_init(&other_shot);
    shot.timer.fn = cancel_the_other;
    hal_irqstate irqs = hal_irq_save();
    uint64_t start_ns = clock_ns();
    timer_arm(&shot.timer, start_ns);
    timer_arm(&other_shot.timer, start_ns + 10 * TIMER_TICK_NS);
    spin_until(start_ns + 20 * TIMER_TICK_NS);
    hal_irq_restore(irqs);
    wait_until_set(&shot.fired);
    CHECK_EQ(other_shot.fired, 0);
    CHECK(!timer_cancel(&other_shot.timer));
}

static void deadlines_at_the_ends_of_time(void)
{
    struct shot past, zero, last, never, soon;
    struct shot *const all[] = {&past, &zero, &last, &never, &soon};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        shot_init(all[i]);
    timer_arm(&last.timer, HAL_NEVER - 1);
    preempt_disable();
    check_wheel();
    preempt_enable();
    timer_arm(&never.timer, HAL_NEVER);
    timer_arm(&past.timer, clock_ns() - NSEC_PER_SEC);
    wait_until_set(&past.fired);
    timer_arm(&zero.timer, 0);
    wait_until_set(&zero.fired);
    timer_arm(&soon.timer, clock_ns() + NSEC_PER_MSEC);
    wait_until_set(&soon.fired);
    CHECK_EQ(last.fired, 0);
    CHECK_EQ(never.fired, 0);
    preempt_disable();
    check_wheel();
    preempt_enable();
    CHECK(timer_cancel(&last.timer));
    CHECK(timer_cancel(&never.timer));
    preempt_disable();
    check_wheel();
    preempt_enable();
}

static void next_is_known_exactly(void)
{
    struct shot first, second;
    shot_init(&first);
    shot_init(&second);
    while (timer_next_ns() != HAL_NEVER) /* the scheduler's own, which are left to run out */
        hal_cpu_relax();
    hal_irqstate irqs = hal_irq_save();
    uint64_t deadline_ns = clock_ns() + HOUR_NS;
    timer_arm(&first.timer, deadline_ns);
    CHECK_EQ(timer_next_ns(), ALIGN_UP(deadline_ns, TIMER_TICK_NS));
    timer_arm(&second.timer, deadline_ns + 1);
    CHECK(timer_next_ns() <= ALIGN_UP(deadline_ns, TIMER_TICK_NS));
    CHECK(timer_next_ns() > clock_ns());
    check_wheel();
    CHECK(timer_cancel(&first.timer));
    CHECK_EQ(timer_next_ns(), ALIGN_UP(deadline_ns + 1, TIMER_TICK_NS));
    timer_arm(&first.timer, clock_ns() + NSEC_PER_MSEC);
    CHECK(timer_next_ns() <= ALIGN_UP(first.timer.deadline_ns, TIMER_TICK_NS));
    CHECK(timer_cancel(&first.timer));
    CHECK(timer_cancel(&second.timer));
    CHECK_EQ(timer_next_ns(), HAL_NEVER);
    check_wheel();
    hal_irq_restore(irqs);
}

/* A deadline whose distance is random, and so is the level that it falls on. */
static uint64_t random_deadline(struct prng *prng, unsigned level_min)
{
    unsigned level = level_min + (unsigned)prng_below(prng, LEVELS - level_min);
    unsigned bits = MIN(TIMER_TICK_SHIFT + 6 * (level + 1), 63u);
    return clock_ns() + prng_below(prng, 1ull << bits);
}

/* The model: what is armed, and the earliest of it, which the wheel must not be later than. */
static void random_arming_and_cancelling_keeps_the_invariants(void)
{
    static struct shot shots[256];
    static bool armed[256];
    struct prng prng;
    prng_seed(&prng, 2);
    for (size_t i = 0; i < ARRAY_COUNT(shots); i++)
        shot_init(&shots[i]);
    size_t rounds = test_scaled(100000);
    hal_irqstate irqs = hal_irq_save(); /* nothing fires: the model is exact */
    for (size_t round = 0; round < rounds; round++) {
        size_t i = prng_below(&prng, ARRAY_COUNT(shots));
        if (armed[i])
            CHECK(timer_cancel(&shots[i].timer));
        else
            timer_arm(&shots[i].timer, random_deadline(&prng, 0));
        armed[i] = !armed[i];
        CHECK_EQ(timer_armed(&shots[i].timer), armed[i]);
        if (round % 64 != 0)
            continue;
        check_wheel();
        uint64_t next_ns = timer_next_ns();
        for (size_t j = 0; j < ARRAY_COUNT(shots); j++)
            CHECK(!armed[j] || next_ns <= shots[j].timer.deadline_ns + TIMER_TICK_NS);
        if (round % 1024 == 0) { /* let time and the wheel move on */
            for (size_t j = 0; j < ARRAY_COUNT(shots); j++)
                CHECK_EQ(timer_cancel(&shots[j].timer), armed[j]);
            hal_irq_restore(irqs);
            spin_until(clock_ns() + 20 * NSEC_PER_USEC);
            irqs = hal_irq_save();
            for (size_t j = 0; j < ARRAY_COUNT(shots); j++)
                if (armed[j])
                    timer_arm(&shots[j].timer, random_deadline(&prng, 4));
        }
    }
    CHECK_EQ(atomic_load_relaxed(&fired_count), 0);
    for (size_t i = 0; i < ARRAY_COUNT(shots); i++)
        CHECK_EQ(timer_cancel(&shots[i].timer), armed[i]);
    check_wheel();
    hal_irq_restore(irqs);
}

enum fate { ARMED, CANCELLED };

static void many_timers_over_all_levels(void)
{
    size_t count = test_scaled(100000);
    size_t pages = DIV_UP(count * sizeof(struct shot), PAGE_SIZE);
    struct shot *shots = page_alloc_range(pages);
    uint8_t *fate = page_alloc_range(DIV_UP(count, PAGE_SIZE));
    struct prng prng;
    CHECK(shots != NULL && fate != NULL);
    prng_seed(&prng, 3);
    move_to(0);
    uint64_t end_ns = clock_ns() + 200 * NSEC_PER_MSEC;
    for (size_t i = 0; i < count; i++) {
        shot_init(&shots[i]);
        fate[i] = ARMED;
        /* Most lie far in the future, some in this test. */
        timer_arm(&shots[i].timer, random_deadline(&prng, i % 8 == 0 ? 0 : 2));
        if (i % 3 == 0) { /* cancel one, at random */
            size_t j = prng_below(&prng, i + 1);
            bool cancelled = timer_cancel(&shots[j].timer);
            CHECK_EQ(cancelled, fate[j] == ARMED && atomic_load_acquire(&shots[j].fired) == 0);
            if (cancelled)
                fate[j] = CANCELLED;
        }
        if (i % (count / 16 + 1) == 0)
            check_wheel();
    }
    spin_until(MAX(end_ns, clock_ns()));
    hal_irqstate irqs = hal_irq_save();
    check_wheel();
    hal_irq_restore(irqs);
    size_t fired = 0, cancelled_count = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t deadline_ns = shots[i].timer.deadline_ns;
        if (fate[i] == CANCELLED) {
            CHECK_EQ(shots[i].fired, 0);
            cancelled_count++;
        } else if (deadline_ns <= end_ns) {
            wait_until_set(&shots[i].fired);
        } else { /* it may be its turn just now */
            bool cancelled = timer_cancel(&shots[i].timer);
            CHECK_EQ(cancelled, atomic_load_acquire(&shots[i].fired) == 0);
        }
        CHECK(shots[i].fired <= 1);
        if (shots[i].fired) {
            fired++;
            CHECK(shots[i].fired_ns >= deadline_ns);
        }
        CHECK(!timer_armed(&shots[i].timer));
    }
    check_wheel();
    CHECK(fired > 0 && cancelled_count > 0);
    CHECK_EQ(fired, atomic_load_relaxed(&fired_count));
    page_free_range(shots, pages);
    page_free_range(fate, DIV_UP(count, PAGE_SIZE));
}

TEST_CASES_BEGIN
    {"fires not before its deadline", fires_not_before_its_deadline, .cpus = 1},
        {"fires on the CPU that armed it", fires_on_the_cpu_that_armed_it, .cpus = 3},
        {"many fire in the order of their deadlines", many_fire_in_the_order_of_their_deadlines,
         .cpus = 1},
        {"cancelled, it never fires", cancelled_it_never_fires, .cpus = 1},
        {"cancelled after it fired is false", cancelled_after_it_fired_is_false, .cpus = 1},
        {"cancelled from another CPU, it never fires", cancelled_from_another_cpu_it_never_fires,
         .cpus = 2},
        {"cancel_sync waits for the callback", cancel_sync_waits_for_the_callback, .cpus = 3},
        {"cancel_sync waits for one that will arm again",
         cancel_sync_waits_for_one_that_will_arm_again, .cpus = 3},
        {"cancel_sync waits for one that has armed again",
         cancel_sync_waits_for_one_that_has_armed_again, .cpus = 3},
        {"plain cancel does not wait", plain_cancel_does_not_wait, .cpus = 2},
        {"a callback may arm its timer again", a_callback_may_arm_its_timer_again, .cpus = 1},
        {"a callback may cancel another that is due", a_callback_may_cancel_another_that_is_due,
         .cpus = 1},
        {"deadlines at the ends of time", deadlines_at_the_ends_of_time, .cpus = 1},
        {"next is known exactly", next_is_known_exactly, .cpus = 1},
        {"random arming and cancelling keeps the invariants",
         random_arming_and_cancelling_keeps_the_invariants, .cpus = 1},
        {"100,000 timers over all levels", many_timers_over_all_levels, .cpus = 1},
TEST_CASES_END
