/* SPDX-License-Identifier: BSD-3-Clause */
#include "test.h"
#include <osv/clock.h>
#include <osv/mutex.h>
#include <osv/sched.h>

static struct mutex mutex = MUTEX_INIT;
static struct rmutex rmutex = RMUTEX_INIT;
static _Atomic(uint32_t) step;
static uint32_t order[8], order_count; /* [mutex] */

static void lock_try_and_unlock(void)
{
    CHECK(!mutex_is_locked(&mutex));
    mutex_lock(&mutex);
    CHECK(mutex_held(&mutex));
    CHECK(!mutex_try_lock(&mutex));
    mutex_unlock(&mutex);
    CHECK(!mutex_is_locked(&mutex));
    CHECK(mutex_try_lock(&mutex));
    mutex_unlock(&mutex);
}

static int lock_and_note(void *arg)
{
    mutex_lock(&mutex);
    order[order_count++] = (uint32_t)(uintptr_t)arg;
    mutex_unlock(&mutex);
    return 0;
}

static void wait_until_waiting(uint32_t count)
{
    while (atomic_load_relaxed(&mutex.state) / MUTEX_WAITER != count)
        thread_sleep(100 * NSEC_PER_USEC);
}

static void waiters_are_served_in_order(void)
{
    struct thread *threads[5];
    mutex_lock(&mutex);
    for (uintptr_t i = 0; i < ARRAY_COUNT(threads); i++) {
        CHECK_EQ(thread_create(&threads[i], lock_and_note, (void *)i, NULL), 0);
        wait_until_waiting((uint32_t)i + 1);
    }
    mutex_unlock(&mutex);
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        CHECK_EQ(thread_join(threads[i], NULL), 0);
    for (uint32_t i = 0; i < ARRAY_COUNT(threads); i++)
        CHECK_EQ(order[i], i);
    CHECK_EQ(atomic_load_relaxed(&mutex.state), 0);
}

/* One thread locks again and again; another waits. The waiter is passed by at most MUTEX_BARGES_MAX
 * times. */
static void overtaking_is_bounded(void)
{
    struct thread *thread;
    for (int round = 0; round < 20; round++) {
        uint32_t passed = 0;
        order_count = 0;
        mutex_lock(&mutex);
        CHECK_EQ(thread_create(&thread, lock_and_note, NULL, NULL), 0);
        wait_until_waiting(1);
        mutex_unlock(&mutex);
        for (;;) {
            mutex_lock(&mutex);
            bool served = order_count > 0;
            mutex_unlock(&mutex);
            if (served)
                break;
            passed++;
        }
        CHECK(passed <= MUTEX_BARGES_MAX);
        CHECK_EQ(thread_join(thread, NULL), 0);
    }
}

/* The same with the bound itself in view: barging by mutex_try_lock() is refused when it is
 * reached. */
static void a_reserved_lock_refuses_barging(void)
{
    struct thread *thread;
    const struct thread_attr attr = {.nice = THREAD_NICE_MAX};
    uint32_t passed = 0;
    order_count = 0;
    mutex_lock(&mutex);
    CHECK_EQ(thread_create(&thread, lock_and_note, NULL, &attr), 0);
    wait_until_waiting(1);
    preempt_disable(); /* on one CPU the waiter cannot run meanwhile */
    mutex_unlock(&mutex);
    while (mutex_try_lock(&mutex)) {
        passed++;
        CHECK(passed <= MUTEX_BARGES_MAX);
        mutex_unlock(&mutex);
    }
    CHECK(atomic_load_relaxed(&mutex.state) & MUTEX_RESERVED);
    preempt_enable();
    CHECK_EQ(passed, MUTEX_BARGES_MAX);
    CHECK_EQ(thread_join(thread, NULL), 0);
    CHECK_EQ(atomic_load_relaxed(&mutex.state), 0);
}

static int hold_it(void *arg)
{
    mutex_lock(&mutex);
    atomic_store_release(&step, 1u);
    while (atomic_load_acquire(&step) == 1)
        hal_cpu_relax();
    mutex_unlock(&mutex);
    (void)arg;
    return 0;
}

/* A waiter that was preempted anywhere does not hold up the unlock: here it never gets a CPU. */
static void an_unlocker_never_waits_for_a_locker(void)
{
    struct thread *thread;
    struct cpumask here = cpumask_of(0);
    const struct thread_attr attr = {.affinity = &here, .nice = THREAD_NICE_MAX};
    CHECK_EQ(thread_set_affinity(thread_self(), &here), 0);
    mutex_lock(&mutex);
    CHECK_EQ(thread_create(&thread, lock_and_note, NULL, &attr), 0);
    wait_until_waiting(1);
    preempt_disable();
    mutex_unlock(&mutex); /* wakes it, returns */
    CHECK(!mutex_is_locked(&mutex));
    mutex_lock(&mutex); /* and the lock is open meanwhile */
    mutex_unlock(&mutex);
    preempt_enable();
    CHECK_EQ(thread_join(thread, NULL), 0);
}

static void a_preempted_holder_only_delays(void)
{
    struct thread *thread;
    CHECK_EQ(thread_create(&thread, hold_it, NULL, NULL), 0);
    while (atomic_load_acquire(&step) != 1)
        thread_sleep(100 * NSEC_PER_USEC);
    CHECK(!mutex_try_lock(&mutex));
    atomic_store_release(&step, 2u);
    mutex_lock(&mutex);
    mutex_unlock(&mutex);
    CHECK_EQ(thread_join(thread, NULL), 0);
}

static int try_recursive(void *arg)
{
    (void)arg;
    return rmutex_try_lock(&rmutex);
}

static void the_recursive_variant_nests(void)
{
    struct thread *thread;
    int got;
    for (int i = 0; i < 3; i++)
        rmutex_lock(&rmutex);
    CHECK(rmutex_try_lock(&rmutex));
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(thread_create(&thread, try_recursive, NULL, NULL), 0);
        CHECK_EQ(thread_join(thread, &got), 0);
        CHECK_EQ(got, 0);
        rmutex_unlock(&rmutex);
    }
    CHECK(!mutex_is_locked(&rmutex.mutex));
    rmutex_lock(&rmutex);
    rmutex_unlock(&rmutex);
}

#if OSV_DEBUG
static int unlock_it(void *arg)
{
    (void)arg;
    mutex_unlock(&mutex);
    return 0;
}

static void unlocking_by_another_thread_panics(void)
{
    struct thread *thread;
    mutex_lock(&mutex);
    CHECK_EQ(thread_create(&thread, unlock_it, NULL, NULL), 0);
    CHECK_EQ(thread_join(thread, NULL), 0);
}

static void unlocking_a_free_mutex_panics(void)
{
    mutex_lock(&mutex);
    mutex_unlock(&mutex);
    mutex_unlock(&mutex);
}

static void locking_twice_panics(void)
{
    mutex_lock(&mutex);
    mutex_lock(&mutex);
}

static void sleeping_under_a_spinlock_panics(void)
{
    static struct spinlock lock = SPINLOCK_INIT(RANK_NONE);
    struct thread *thread;
    CHECK_EQ(thread_create(&thread, hold_it, NULL, NULL), 0);
    while (atomic_load_acquire(&step) != 1)
        thread_sleep(100 * NSEC_PER_USEC);
    spin_lock(&lock);
    mutex_lock(&mutex);
}
#endif

TEST_CASES_BEGIN
    {"lock, try and unlock", lock_try_and_unlock, .cpus = 1},
        {"waiters are served in order", waiters_are_served_in_order, .cpus = 1},
        {"waiters are served in order, two CPUs", waiters_are_served_in_order, .cpus = 2},
        {"overtaking is bounded", overtaking_is_bounded, .cpus = 1},
        {"overtaking is bounded, two CPUs", overtaking_is_bounded, .cpus = 2},
        {"a reserved lock refuses barging", a_reserved_lock_refuses_barging, .cpus = 1},
        {"an unlocker never waits for a locker", an_unlocker_never_waits_for_a_locker, .cpus = 1},
        {"a preempted holder only delays", a_preempted_holder_only_delays, .cpus = 1},
        {"the recursive variant nests", the_recursive_variant_nests, .cpus = 2},
#if OSV_DEBUG
        {"unlocking by another thread panics", unlocking_by_another_thread_panics, .cpus = 1,
         .panics = "last locked at unlocking_by_another_thread_panics"},
        {"unlocking a free mutex panics", unlocking_a_free_mutex_panics, .cpus = 1,
         .panics = "unlocked at unlocking_a_free_mutex_panics"},
        {"locking twice panics", locking_twice_panics, .cpus = 1,
         .panics = "locked twice by thread 'main', first at locking_twice_panics"},
        {"sleeping under a spinlock panics", sleeping_under_a_spinlock_panics, .cpus = 1,
         .panics = "with preemption off since sleeping_under_a_spinlock_panics"},
#endif
TEST_CASES_END
