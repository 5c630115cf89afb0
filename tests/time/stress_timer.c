/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads on four CPUs arm and cancel each other's timers. Whoever has claimed an object arms its
 * timer and cancels it with timer_cancel_sync(); plain cancels come from everybody at any time, and
 * callbacks arm their timer again. What a callback touches is plain memory that changes hands when
 * timer_cancel_sync() returns. */
#include "cpu/threads.h"
#include <osv/clock.h>
#include <osv/prng.h>
#include <osv/timer.h>

#define CPUS 4u
#define THREADS 8u
#define OBJECTS 32u
#define FAR_NS (3600 * NSEC_PER_SEC)

struct object {
    struct timer timer;
    _Atomic(uint32_t) claimed; /* [atomic] by the thread that has it */
    struct prng prng;    /* [callback, and the claimer after timer_cancel_sync()] as the next two */
    uint64_t generation; /* 0: there is no callback now */
    uint64_t fired;      /* in this generation */
    unsigned cpu;        /* where it was armed */
} LINE_ALIGNED;

static struct object objects[OBJECTS];
static _Atomic(uint64_t) fired_total, cancelled_total;
static size_t rounds;

static uint64_t random_deadline(struct prng *prng)
{
    uint64_t kind = prng_below(prng, 8);
    if (kind == 0)
        return 0;
    if (kind == 1)
        return clock_ns() + FAR_NS;
    return clock_ns() + prng_below(prng, 300 * NSEC_PER_USEC);
}

static void on_timer(struct timer *timer)
{
    struct object *object = container_of(timer, struct object, timer);
    CHECK(object->generation != 0);
    CHECK_EQ(object->cpu, cpu_self()->id);
    object->fired++;
    atomic_add_relaxed(&fired_total, 1u);
    if (prng_below(&object->prng, 4) != 0)
        return;
    uint64_t again_ns = clock_ns() + prng_below(&object->prng, 100 * NSEC_PER_USEC);
    timer_arm(timer, again_ns);
    if (prng_below(&object->prng, 2) != 0) /* be caught after arming */
        for (int i = 0; i < 200; i++)
            hal_cpu_relax();
    object->fired++;
}

static void stop_object(struct object *object)
{
    uint64_t generation = object->generation;
    if (generation == 0)
        return;
    timer_cancel_sync(&object->timer);
    CHECK(!timer_armed(&object->timer));
    object->generation = 0;
    object->fired = 0;
}

static void start_object(struct object *object, struct prng *prng)
{
    uint64_t deadline_ns = random_deadline(prng);
    object->generation = prng_next(prng) | 1;
    preempt_disable();
    object->cpu = cpu_self()->id;
    timer_arm(&object->timer, deadline_ns);
    preempt_enable();
}

static int play(void *arg)
{
    struct prng prng;
    prng_seed(&prng, (uintptr_t)arg);
    for (size_t round = 0; round < rounds; round++) {
        struct object *object = &objects[prng_below(&prng, OBJECTS)];
        if (prng_below(&prng, 3) == 0) {
            atomic_add_relaxed(&cancelled_total, (uint64_t)timer_cancel(&object->timer));
        } else if (atomic_xchg_acquire(&object->claimed, 1u) == 0) {
            stop_object(object);
            if (prng_below(&prng, 8) != 0)
                start_object(object, &prng);
            atomic_store_release(&object->claimed, 0u);
        }
        hal_cpu_relax();
    }
    return 0;
}

static void everybody_arms_and_cancels(void)
{
    struct thread *threads[THREADS];
    rounds = test_scaled(100000);
    for (unsigned i = 0; i < OBJECTS; i++) {
        prng_seed(&objects[i].prng, 1000 + i);
        timer_init(&objects[i].timer, on_timer);
    }
    for (uintptr_t i = 0; i < THREADS; i++)
        threads[i] = start_on((unsigned)i % CPUS, play, (void *)(i + 1));
    for (unsigned i = 0; i < THREADS; i++)
        join(threads[i]);
    for (unsigned i = 0; i < OBJECTS; i++)
        stop_object(&objects[i]);
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        move_to(cpu);
        timer_check(cpu_self()->timers);
    }
    CHECK(atomic_load_relaxed(&cancelled_total) > 0);
    test_note("%llu fired, %llu cancelled without waiting",
              (unsigned long long)atomic_load_relaxed(&fired_total),
              (unsigned long long)atomic_load_relaxed(&cancelled_total));
}

TEST_CASES_BEGIN
    {"everybody arms and cancels", everybody_arms_and_cancels, .cpus = CPUS},
TEST_CASES_END
