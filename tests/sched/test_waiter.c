/* SPDX-License-Identifier: BSD-3-Clause */
/* Park, wake, deadlines, several objects at once. */
#include "test.h"
#include <osv/clock.h>
#include <osv/error.h>
#include <osv/thread.h>
#include <osv/waiter.h>

static struct waitq queues[3];
static _Atomic(uint32_t) flags, woken_count;

static void a_wake_before_the_park_is_kept(void)
{
    struct waiter waiter;
    waiter_init(&waiter);
    CHECK(waiter_wake(&waiter));
    CHECK(!waiter_wake(&waiter)); /* once */
    waiter_park(&waiter);
    CHECK(waiter_woken(&waiter));
}

static int wake_later(void *arg)
{
    thread_sleep(2 * NSEC_PER_MSEC);
    return waiter_wake(arg) ? 1 : 0;
}

static void a_park_ends_with_the_wake(void)
{
    struct waiter waiter;
    struct thread *thread;
    int status;
    waiter_init(&waiter);
    CHECK_EQ(thread_create(&thread, wake_later, &waiter, NULL), 0);
    waiter_park(&waiter);
    CHECK_EQ(thread_join(thread, &status), 0);
    CHECK_EQ(status, 1);
}

static void a_deadline_ends_a_park(void)
{
    struct waiter waiter;
    uint64_t deadline = clock_ns() + 3 * NSEC_PER_MSEC;
    waiter_init(&waiter);
    CHECK_EQ(waiter_park_until(&waiter, deadline), -ETIMEDOUT);
    CHECK(clock_ns() >= deadline);
    CHECK(!waiter_wake(&waiter));
    waiter_init(&waiter);
    CHECK_EQ(waiter_park_until(&waiter, 0), -ETIMEDOUT); /* in the past */
}

static void a_wake_beats_a_late_deadline(void)
{
    struct waiter waiter;
    struct thread *thread;
    waiter_init(&waiter);
    CHECK_EQ(thread_create(&thread, wake_later, &waiter, NULL), 0);
    CHECK_EQ(waiter_park_until(&waiter, clock_ns() + 3600 * NSEC_PER_SEC), 0);
    CHECK_EQ(thread_join(thread, NULL), 0);
}

static void setup_queues(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(queues); i++)
        waitq_init(&queues[i]);
}

static bool flag_is_set(void *arg)
{
    return atomic_load_acquire(&flags) & *(uint32_t *)arg;
}

static int set_flag_later(void *arg)
{
    uintptr_t index = (uintptr_t)arg;
    thread_sleep(NSEC_PER_MSEC);
    atomic_or_release(&flags, 1u << index);
    waitq_wake(&queues[index], 1);
    return 0;
}

static void any_of_several_objects_wakes(void)
{
    struct waitq *all[] = {&queues[0], &queues[1], &queues[2]};
    setup_queues();
    for (uintptr_t i = 0; i < ARRAY_COUNT(all); i++) {
        struct thread *thread;
        uint32_t mask = 7;
        atomic_store_relaxed(&flags, 0u);
        CHECK_EQ(thread_create(&thread, set_flag_later, (void *)i, NULL), 0);
        CHECK_EQ(waitq_wait_any(all, 3, flag_is_set, &mask, HAL_NEVER), 0);
        CHECK_EQ(atomic_load_relaxed(&flags), 1u << i);
        CHECK_EQ(thread_join(thread, NULL), 0);
        for (size_t k = 0; k < ARRAY_COUNT(all); k++)
            CHECK(list_empty(&queues[k].waiting)); /* deregistered everywhere */
    }
}

static void waiting_for_any_times_out(void)
{
    struct waitq *all[] = {&queues[0], &queues[1]};
    uint32_t mask = 3;
    setup_queues();
    atomic_store_relaxed(&flags, 0u);
    CHECK_EQ(waitq_wait_any(all, 2, flag_is_set, &mask, clock_ns() + NSEC_PER_MSEC), -ETIMEDOUT);
    atomic_store_relaxed(&flags, 2u);
    CHECK_EQ(waitq_wait_any(all, 2, flag_is_set, &mask, 0), 0); /* ready at once */
}

static int wait_on_first(void *arg)
{
    struct waitq *queue = &queues[0];
    (void)arg;
    uint32_t mask = 1;
    CHECK_EQ(waitq_wait_any(&queue, 1, flag_is_set, &mask, HAL_NEVER), 0);
    atomic_add_release(&woken_count, 1u);
    return 0;
}

static void wake_counts_and_wake_all(void)
{
    struct thread *threads[8];
    setup_queues();
    atomic_store_relaxed(&flags, 0u);
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        CHECK_EQ(thread_create(&threads[i], wait_on_first, NULL, NULL), 0);
    for (size_t waiting = 0; waiting < ARRAY_COUNT(threads); thread_sleep(NSEC_PER_MSEC)) {
        hal_irqstate irqs = spin_lock_irqsave(&queues[0].lock);
        waiting = 0;
        list_for_each (node, &queues[0].waiting)
            waiting++;
        spin_unlock_irqrestore(&queues[0].lock, irqs);
    }
    atomic_store_release(&flags, 1u);
    CHECK_EQ(waitq_wake(&queues[0], 3), 3);
    CHECK_EQ(waitq_wake(&queues[0], SIZE_MAX), 5);
    CHECK_EQ(waitq_wake(&queues[0], SIZE_MAX), 0);
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        CHECK_EQ(thread_join(threads[i], NULL), 0);
    CHECK_EQ(atomic_load_relaxed(&woken_count), 8);
}

TEST_CASES_BEGIN
    {"a wake before the park is kept", a_wake_before_the_park_is_kept, .cpus = 1},
        {"a park ends with the wake", a_park_ends_with_the_wake, .cpus = 1},
        {"a park ends with the wake, two CPUs", a_park_ends_with_the_wake, .cpus = 2},
        {"a deadline ends a park", a_deadline_ends_a_park, .cpus = 1},
        {"a wake beats a late deadline", a_wake_beats_a_late_deadline, .cpus = 2},
        {"any of several objects wakes", any_of_several_objects_wakes, .cpus = 2},
        {"waiting for any times out", waiting_for_any_times_out, .cpus = 1},
        {"wake counts, and wake all", wake_counts_and_wake_all, .cpus = 4},
TEST_CASES_END
