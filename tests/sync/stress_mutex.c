/* SPDX-License-Identifier: BSD-3-Clause */
/* Ten million lock/unlock pairs with random preemption: mutual exclusion, no lost wake-up, bounded
 * overtaking. */
#include "test.h"
#include <osv/clock.h>
#include <osv/condvar.h>
#include <osv/mutex.h>
#include <osv/prng.h>
#include <osv/rwlock.h>
#include <osv/sched.h>
#include <osv/sem.h>
#include <osv/timer.h>

#define THREADS 6u
#define PAIRS 10000000u

static struct mutex mutex = MUTEX_INIT;
static uint64_t counter;                     /* [mutex] */
static _Atomic(uint32_t) inside, stop; /* threads in the critical section */
static size_t rounds;

/* Random preemption: a real-time thread that wakes at random times and takes the CPU from whoever
 * runs there. */
static int disturb(void *arg)
{
    struct prng prng;
    prng_seed(&prng, (uintptr_t)arg);
    while (!atomic_load_acquire(&stop))
        thread_sleep(20000 + prng_below(&prng, 200000));
    return 0;
}

static int lock_and_unlock(void *arg)
{
    struct prng prng;
    prng_seed(&prng, (uintptr_t)arg);
    for (size_t i = 0; i < rounds; i++) {
        mutex_lock(&mutex);
        CHECK_EQ(atomic_add_relaxed(&inside, 1u), 0);
        counter++;
        uint64_t what = prng_next(&prng) % 4096;
        if (what == 0)
            thread_yield();
        else if (what == 1)
            thread_sleep(1000);
        CHECK(mutex.barges <= MUTEX_BARGES_MAX);
        CHECK_EQ(atomic_sub_relaxed(&inside, 1u), 1);
        mutex_unlock(&mutex);
        if (what == 2)
            thread_yield();
    }
    return 0;
}

static void ten_million_pairs(void)
{
    struct thread *threads[THREADS], *disturbers[4];
    const struct thread_attr attr = {.policy = THREAD_FIFO, .rt_priority = 10};
    rounds = test_scaled(PAIRS) / THREADS;
    for (uintptr_t i = 0; i < cpu_count(); i++) {
        struct cpumask mask = cpumask_of((unsigned)i);
        struct thread_attr own = attr;
        own.affinity = &mask;
        CHECK_EQ(thread_create(&disturbers[i], disturb, (void *)i, &own), 0);
    }
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(thread_create(&threads[i], lock_and_unlock, (void *)i, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK_EQ(thread_join(threads[i], NULL), 0);
    atomic_store_release(&stop, 1u);
    for (size_t i = 0; i < cpu_count(); i++)
        CHECK_EQ(thread_join(disturbers[i], NULL), 0);
    CHECK_EQ(counter, rounds * THREADS);
    CHECK_EQ(atomic_load_relaxed(&mutex.state), 0);
}

/* A bounded buffer with two condition variables, some waits with short deadlines. */
static struct condvar not_empty = CONDVAR_INIT(not_empty), not_full = CONDVAR_INIT(not_full);
static uint32_t items;           /* [mutex] */
static uint64_t produced, eaten; /* [mutex] */

static void wait_on(struct condvar *condvar, uint64_t random)
{
    if (random % 3 != 0)
        condvar_wait(condvar, &mutex);
    else if (condvar_wait_until(condvar, &mutex, clock_ns() + random % 50000) == 0)
        return;
}

static int produce(void *arg)
{
    struct prng prng;
    prng_seed(&prng, (uintptr_t)arg);
    for (size_t i = 0; i < rounds; i++) {
        mutex_lock(&mutex);
        while (items == 4)
            wait_on(&not_full, prng_next(&prng));
        items++;
        produced++;
        bool inside_lock = prng_next(&prng) & 1;
        if (inside_lock)
            condvar_signal(&not_empty);
        mutex_unlock(&mutex);
        if (!inside_lock)
            condvar_signal(&not_empty);
    }
    return 0;
}

static int consume(void *arg)
{
    struct prng prng;
    prng_seed(&prng, (uintptr_t)arg);
    for (size_t i = 0; i < rounds; i++) {
        mutex_lock(&mutex);
        while (items == 0)
            wait_on(&not_empty, prng_next(&prng));
        items--;
        eaten++;
        if (prng_next(&prng) % 16 == 0)
            condvar_broadcast(&not_full);
        else
            condvar_signal(&not_full);
        mutex_unlock(&mutex);
    }
    return 0;
}

static void a_bounded_buffer_loses_nothing(void)
{
    struct thread *threads[6];
    rounds = test_scaled(60000);
    for (uintptr_t i = 0; i < 6; i++)
        CHECK_EQ(thread_create(&threads[i], i % 2 ? produce : consume, (void *)i, NULL), 0);
    for (size_t i = 0; i < 6; i++)
        CHECK_EQ(thread_join(threads[i], NULL), 0);
    CHECK_EQ(items, 0);
    CHECK_EQ(produced, rounds * 3);
    CHECK_EQ(eaten, rounds * 3);
}

static struct rwlock rwlock;
static uint64_t guarded[2]; /* [rwlock] always equal */

static int read_or_write(void *arg)
{
    struct prng prng;
    prng_seed(&prng, (uintptr_t)arg);
    for (size_t i = 0; i < rounds; i++) {
        if (prng_next(&prng) % 8 == 0) {
            rwlock_write_lock(&rwlock);
            guarded[0]++;
            if (prng_next(&prng) % 64 == 0)
                thread_yield();
            guarded[1]++;
            rwlock_write_unlock(&rwlock);
        } else {
            rwlock_read_lock(&rwlock);
            CHECK_EQ(guarded[0], guarded[1]);
            rwlock_read_unlock(&rwlock);
        }
    }
    return 0;
}

static void readers_see_no_half_write(void)
{
    struct thread *threads[6];
    rwlock_init(&rwlock);
    rounds = test_scaled(200000);
    for (uintptr_t i = 0; i < 6; i++)
        CHECK_EQ(thread_create(&threads[i], read_or_write, (void *)i, NULL), 0);
    for (size_t i = 0; i < 6; i++)
        CHECK_EQ(thread_join(threads[i], NULL), 0);
    CHECK_EQ(atomic_load_relaxed(&rwlock.state), 0);
    CHECK_EQ(guarded[0], guarded[1]);
}

static struct sem sem;

static int down_and_up(void *arg)
{
    struct prng prng;
    prng_seed(&prng, (uintptr_t)arg);
    for (size_t i = 0; i < rounds; i++) {
        if (prng_next(&prng) % 4 == 0) {
            if (sem_down_until(&sem, clock_ns() + prng_below(&prng, 30000)) < 0)
                continue;
        } else {
            sem_down(&sem);
        }
        CHECK(atomic_add_relaxed(&inside, 1u) < 2);
        if (prng_next(&prng) % 16 == 0)
            thread_yield();
        atomic_sub_relaxed(&inside, 1u);
        CHECK_EQ(sem_up(&sem), 0);
    }
    return 0;
}

static void no_more_inside_than_units(void)
{
    struct thread *threads[6];
    sem_init_units(&sem, 2);
    rounds = test_scaled(60000);
    for (uintptr_t i = 0; i < 6; i++)
        CHECK_EQ(thread_create(&threads[i], down_and_up, (void *)i, NULL), 0);
    for (size_t i = 0; i < 6; i++)
        CHECK_EQ(thread_join(threads[i], NULL), 0);
    CHECK_EQ(sem_units(&sem), 2);
    CHECK_EQ(atomic_load_relaxed(&sem.state), 2 * SEM_ONE);
}

TEST_CASES_BEGIN
    {"ten million pairs, one CPU", ten_million_pairs, .cpus = 1},
        {"ten million pairs, two CPUs", ten_million_pairs, .cpus = 2},
        {"ten million pairs, four CPUs", ten_million_pairs, .cpus = 4},
        {"a bounded buffer loses nothing, one CPU", a_bounded_buffer_loses_nothing, .cpus = 1},
        {"a bounded buffer loses nothing, four CPUs", a_bounded_buffer_loses_nothing, .cpus = 4},
        {"readers see no half write", readers_see_no_half_write, .cpus = 4},
        {"no more inside than units", no_more_inside_than_units, .cpus = 4},
TEST_CASES_END
