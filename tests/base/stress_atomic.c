/* SPDX-License-Identifier: BSD-3-Clause */
/* What sleeping and waking rest on: two CPUs that each write one word and then read the other's,
 * all seq_cst, never both miss each other. */
#include "test.h"
#include <osv/atomic.h>
#include <pthread.h>
#include <sched.h>

static ALIGNED(2 * CACHE_LINE) _Atomic(uint32_t) one;
static ALIGNED(2 * CACHE_LINE) _Atomic(uint32_t) other;
static ALIGNED(2 * CACHE_LINE) _Atomic(size_t) round_begun, round_ended;
static size_t rounds;
static bool by_fence;
static uint32_t seen; /* by the second thread; [round_ended] */

static void wait_for(_Atomic(size_t) *round, size_t number)
{
    for (unsigned looks = 0; atomic_load_acquire(round) != number; looks++)
        if (looks % 1024 == 1023)
            sched_yield();
}

ALWAYS_INLINE uint32_t write_then_read(_Atomic(uint32_t) *mine, const _Atomic(uint32_t) *yours)
{
    if (!by_fence) {
        atomic_store_seq_cst(mine, 1u);
        return atomic_load_seq_cst(yours);
    }
    atomic_store_relaxed(mine, 1u);
    atomic_fence_seq_cst();
    return atomic_load_relaxed(yours);
}

static void *second(void *unused)
{
    for (size_t i = 1; i <= rounds; i++) {
        wait_for(&round_begun, i);
        seen = write_then_read(&other, &one);
        atomic_store_release(&round_ended, i);
    }
    return unused;
}

static void run(bool fence)
{
    pthread_t thread;
    size_t missed = 0;
    rounds = test_scaled(2000000);
    by_fence = fence;
    atomic_store_relaxed(&round_begun, (size_t)0);
    atomic_store_relaxed(&round_ended, (size_t)0);
    CHECK_EQ(pthread_create(&thread, NULL, second, NULL), 0);
    for (size_t i = 1; i <= rounds; i++) {
        atomic_store_relaxed(&one, 0u);
        atomic_store_relaxed(&other, 0u);
        atomic_store_release(&round_begun, i);
        for (size_t wait = i % 64; wait > 0; wait--) /* the other one is that much later */
            compiler_barrier();
        uint32_t mine = write_then_read(&one, &other);
        wait_for(&round_ended, i);
        missed += mine == 0 && seen == 0;
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(missed, 0);
}

static void two_stores_do_not_miss_each_other(void)
{
    run(false);
}

static void two_fences_do_not_miss_each_other(void)
{
    run(true);
}

TEST_CASES_BEGIN
    {.name = "atomic: two stores do not miss each other", .run = two_stores_do_not_miss_each_other},
        {.name = "atomic: two fences do not miss each other",
         .run = two_fences_do_not_miss_each_other},
TEST_CASES_END
