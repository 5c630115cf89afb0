/* SPDX-License-Identifier: BSD-3-Clause */
#include "test.h"
#include <osv/clock.h>
#include <osv/condvar.h>
#include <osv/error.h>
#include <osv/sched.h>

static struct mutex mutex = MUTEX_INIT;
static struct condvar condvar = CONDVAR_INIT(condvar);
static uint32_t tickets, served[8], served_count; /* [mutex] */
static _Atomic(uint32_t) waiting;

static int wait_for_ticket(void *arg)
{
    mutex_lock(&mutex);
    atomic_add_release(&waiting, 1u);
    while (tickets == 0)
        condvar_wait(&condvar, &mutex);
    CHECK(mutex_held(&mutex));
    tickets--;
    served[served_count++] = (uint32_t)(uintptr_t)arg;
    mutex_unlock(&mutex);
    return 0;
}

static void start(struct thread **threads, size_t count)
{
    for (uintptr_t i = 0; i < count; i++) {
        CHECK_EQ(thread_create(&threads[i], wait_for_ticket, (void *)i, NULL), 0);
        while (atomic_load_acquire(&waiting) != i + 1)
            thread_sleep(100 * NSEC_PER_USEC);
    }
}

static void join(struct thread **threads, size_t count)
{
    for (size_t i = 0; i < count; i++)
        CHECK_EQ(thread_join(threads[i], NULL), 0);
}

static void signals_serve_in_order(void)
{
    struct thread *threads[5];
    start(threads, 5);
    for (uint32_t i = 0; i < 5; i++) {
        mutex_lock(&mutex);
        CHECK_EQ(served_count, i);
        tickets++;
        mutex_unlock(&mutex);
        condvar_signal(&condvar);
        for (bool is_served = false; !is_served; thread_sleep(100 * NSEC_PER_USEC)) {
            mutex_lock(&mutex);
            is_served = served_count == i + 1;
            mutex_unlock(&mutex);
        }
    }
    join(threads, 5);
    for (uint32_t i = 0; i < 5; i++)
        CHECK_EQ(served[i], i);
}

static void a_broadcast_wakes_all(void)
{
    struct thread *threads[5];
    start(threads, 5);
    mutex_lock(&mutex);
    tickets = 5;
    condvar_broadcast(&condvar);
    mutex_unlock(&mutex);
    join(threads, 5);
    CHECK_EQ(served_count, 5);
}

/* With the mutex held, a signal moves the waiter to the mutex's queue: nobody runs before the
 * unlock. */
static void a_signal_under_the_mutex_wakes_nobody_early(void)
{
    struct thread *threads[3];
    struct sched_stats before, after;
    start(threads, 3);
    mutex_lock(&mutex);
    tickets = 3;
    sched_stats(0, &before);
    for (int i = 0; i < 3; i++)
        condvar_signal(&condvar);
    sched_stats(0, &after);
    CHECK_EQ(after.switches, before.switches); /* nobody ran */
    CHECK_EQ(atomic_load_relaxed(&mutex.state) / MUTEX_WAITER, 3);
    for (size_t i = 0; i < 3; i++)
        CHECK_EQ(atomic_load_relaxed(&threads[i]->state), THREAD_WAITING);
    mutex_unlock(&mutex);
    join(threads, 3);
    sched_stats(0, &after);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(served[i], i);
    CHECK(after.switches - before.switches <= 12); /* one each, and the joins */
}

static void a_signal_without_waiters_is_lost(void)
{
    condvar_signal(&condvar);
    condvar_broadcast(&condvar);
    mutex_lock(&mutex);
    CHECK_EQ(condvar_wait_until(&condvar, &mutex, clock_ns() + NSEC_PER_MSEC), -ETIMEDOUT);
    CHECK(mutex_held(&mutex));
    CHECK(list_empty(&condvar.waiting));
    mutex_unlock(&mutex);
}

static int signal_soon(void *arg)
{
    thread_sleep(*(uint64_t *)arg);
    condvar_signal(&condvar);
    return 0;
}

static void a_signal_beats_the_deadline(void)
{
    struct thread *thread;
    uint64_t soon = 2 * NSEC_PER_MSEC;
    mutex_lock(&mutex);
    CHECK_EQ(thread_create(&thread, signal_soon, &soon, NULL), 0);
    CHECK_EQ(condvar_wait_until(&condvar, &mutex, clock_ns() + 3600 * NSEC_PER_SEC), 0);
    CHECK(mutex_held(&mutex));
    mutex_unlock(&mutex);
    CHECK_EQ(thread_join(thread, NULL), 0);
}

TEST_CASES_BEGIN
    {"signals serve in order", signals_serve_in_order, .cpus = 1},
        {"signals serve in order, two CPUs", signals_serve_in_order, .cpus = 2},
        {"a broadcast wakes all", a_broadcast_wakes_all, .cpus = 1},
        {"a broadcast wakes all, four CPUs", a_broadcast_wakes_all, .cpus = 4},
        {"a signal under the mutex wakes nobody early", a_signal_under_the_mutex_wakes_nobody_early,
         .cpus = 1},
        {"a signal without waiters is lost", a_signal_without_waiters_is_lost, .cpus = 1},
        {"a signal beats the deadline", a_signal_beats_the_deadline, .cpus = 2},
TEST_CASES_END
