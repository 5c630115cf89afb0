/* SPDX-License-Identifier: BSD-3-Clause */
#include "test.h"
#include <osv/clock.h>
#include <osv/error.h>
#include <osv/sem.h>
#include <osv/timer.h>

static struct sem sem;
static uint32_t order[4];
static _Atomic(uint32_t) order_count;

static void units_are_counted(void)
{
    sem_init_units(&sem, 2);
    CHECK(sem_try_down(&sem));
    sem_down(&sem);
    CHECK(!sem_try_down(&sem));
    CHECK_EQ(sem_down_until(&sem, clock_ns() + NSEC_PER_MSEC), -ETIMEDOUT);
    CHECK_EQ(sem_down_until(&sem, 0), -ETIMEDOUT);
    CHECK_EQ(sem_up(&sem), 0);
    CHECK_EQ(sem_units(&sem), 1);
    CHECK_EQ(sem_down_until(&sem, 0), 0);
    sem_init_units(&sem, SEM_MAX);
    CHECK_EQ(sem_up(&sem), -EOVERFLOW);
    CHECK_EQ(sem_units(&sem), SEM_MAX);
}

static int down(void *arg)
{
    sem_down(&sem);
    order[atomic_add_acq_rel(&order_count, 1u)] = (uint32_t)(uintptr_t)arg;
    return 0;
}

static size_t waiting(void)
{
    size_t count = 0;
    hal_irqstate irqs = spin_lock_irqsave(&sem.lock);
    list_for_each (node, &sem.waiting)
        count++;
    spin_unlock_irqrestore(&sem.lock, irqs);
    return count;
}

static void first_come_first_served(void)
{
    struct thread *threads[4];
    sem_init_units(&sem, 0);
    for (uintptr_t i = 0; i < 4; i++) {
        CHECK_EQ(thread_create(&threads[i], down, (void *)i, NULL), 0);
        while (waiting() != i + 1)
            thread_sleep(100 * NSEC_PER_USEC);
    }
    for (uint32_t i = 0; i < 4; i++) {
        CHECK_EQ(sem_up(&sem), 0);
        CHECK(!sem_try_down(&sem)); /* the unit is the waiter's already */
        CHECK_EQ(thread_join(threads[i], NULL), 0);
        CHECK_EQ(order[i], i);
    }
}

static void up_in_interrupt(struct timer *timer)
{
    (void)timer;
    CHECK_EQ(sem_up(&sem), 0);
}

static void an_interrupt_may_give_a_unit(void)
{
    struct timer timer;
    sem_init_units(&sem, 0);
    timer_init(&timer, up_in_interrupt);
    for (int i = 0; i < 10; i++) {
        timer_arm(&timer, clock_ns() + 100 * NSEC_PER_USEC);
        sem_down(&sem);
        timer_cancel_sync(&timer);
    }
}

TEST_CASES_BEGIN
    {"units are counted", units_are_counted, .cpus = 1},
        {"first come, first served", first_come_first_served, .cpus = 1},
        {"first come, first served, two CPUs", first_come_first_served, .cpus = 2},
        {"an interrupt may give a unit", an_interrupt_may_give_a_unit, .cpus = 1},
TEST_CASES_END
