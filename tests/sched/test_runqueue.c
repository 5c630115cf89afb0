/* SPDX-License-Identifier: BSD-3-Clause */
/* The run queue in virtual time: exact, and the same on every machine. The threads are records that
 * never run; the "CPU" here takes one, lets a slice pass, charges it and asks again, as
 * src/sched/switch.c does. */
#include "test.h"
#include "runqueue.h"
#include <osv/page.h>
#include <osv/prng.h>
#include <osv/string.h>

#define THREADS_MAX 64u
#define TICK_NS SCHED_HYSTERESIS_NS

static struct runq rq;
static struct thread threads[THREADS_MAX];
static uint64_t ran_ns[THREADS_MAX]; /* of thread i */

static void setup(unsigned count)
{
    CHECK_EQ(runq_init(&rq, 0), 0);
    for (unsigned i = 0; i < count; i++) {
        memset((void *)&threads[i], 0, sizeof threads[i]);
        memset((void *)threads[i].affinity, 0xff, sizeof threads[i].affinity);
        threads[i].home = THREAD_NO_HOME;
        list_init(&threads[i].rt_node);
        ran_ns[i] = 0;
        threads[i].id = i;
    }
}

static void set_nice(unsigned i, int nice)
{
    atomic_store_relaxed(&threads[i].wanted, wanted_pack(false, THREAD_FAIR, 0, nice));
}

/* Lets the queue's threads compete for total_ns, in steps of at most step_ns. */
static void compete(uint64_t total_ns, uint64_t step_ns)
{
    struct thread *running = runq_take(&rq);
    while (total_ns > 0) {
        uint64_t part = MIN(step_ns, total_ns);
        runq_charge(&rq, running, part);
        ran_ns[running->id] += part;
        total_ns -= part;
        if (runq_preempts(&rq, running))
            running = runq_exchange(&rq, running);
    }
    runq_insert(&rq, running, false);
    runq_check(&rq);
}

static void check_share(unsigned i, uint64_t total_ns, double share, double tolerance)
{
    double got = (double)ran_ns[i] / (double)total_ns;
    if (got < share * (1 - tolerance) || got > share * (1 + tolerance))
        test_note("thread %u: share %.4f, expected %.4f", i, got, share);
    CHECK(got >= share * (1 - tolerance) && got <= share * (1 + tolerance));
}

static void equal_hogs_get_equal_shares(void)
{
    static const unsigned counts[] = {2, 3, 4, 8, 16};
    for (size_t c = 0; c < ARRAY_COUNT(counts); c++) {
        unsigned count = counts[c];
        setup(count);
        for (unsigned i = 0; i < count; i++)
            runq_insert(&rq, &threads[i], false);
        compete(5 * NSEC_PER_SEC, TICK_NS / 5);
        for (unsigned i = 0; i < count; i++)
            check_share(i, 5 * NSEC_PER_SEC, 1.0 / count, 0.02);
    }
}

static void hogs_that_start_one_after_the_other_even_out(void)
{
    setup(3);
    runq_insert(&rq, &threads[0], false);
    compete(2 * NSEC_PER_SEC, TICK_NS / 5);
    threads[1].share = threads[0].runtime / (rq.scale >> 16); /* as thread_create() does */
    runq_insert(&rq, &threads[1], false);
    compete(NSEC_PER_SEC, TICK_NS / 5);
    runq_insert(&rq, &threads[2], false); /* this one has had nothing */
    compete(NSEC_PER_SEC, TICK_NS / 5);
    memset(ran_ns, 0, sizeof ran_ns);
    compete(5 * NSEC_PER_SEC, TICK_NS / 5);
    for (unsigned i = 0; i < 3; i++)
        check_share(i, 5 * NSEC_PER_SEC, 1.0 / 3, 0.02);
}

static void nice_weights_hold(void)
{
    /* Weights 1024 : 335 : 110 of nice 0, 5 and 10, and the pair of the extremes. */
    static const double total = 1024 + 335 + 110;
    setup(3);
    set_nice(1, 5);
    set_nice(2, 10);
    for (unsigned i = 0; i < 3; i++)
        runq_insert(&rq, &threads[i], false);
    compete(20 * NSEC_PER_SEC, TICK_NS / 5);
    check_share(0, 20 * NSEC_PER_SEC, 1024 / total, 0.05);
    check_share(1, 20 * NSEC_PER_SEC, 335 / total, 0.05);
    check_share(2, 20 * NSEC_PER_SEC, 110 / total, 0.05);
    setup(2);
    set_nice(0, -20);
    set_nice(1, 0);
    for (unsigned i = 0; i < 2; i++)
        runq_insert(&rq, &threads[i], false);
    compete(100 * NSEC_PER_SEC, TICK_NS / 50);
    check_share(1, 100 * NSEC_PER_SEC, 1024.0 / (1024 + 88761), 0.05);
}

static void a_sleeper_that_wakes_runs_within_one_slice(void)
{
    setup(5);
    for (unsigned i = 0; i < 4; i++)
        runq_insert(&rq, &threads[i], false);
    struct thread *sleeper = &threads[4];
    for (int round = 0; round < 100; round++) {
        compete(100 * NSEC_PER_MSEC, TICK_NS / 5);
        struct thread *running = runq_take(&rq);
        runq_insert(&rq, sleeper, false); /* wakes */
        for (uint64_t waited = 0; !runq_preempts(&rq, running); waited += TICK_NS / 50) {
            CHECK(waited <= SCHED_HYSTERESIS_NS);
            runq_charge(&rq, running, TICK_NS / 50);
        }
        struct thread *next = runq_exchange(&rq, running);
        CHECK(next == sleeper);
        runq_charge(&rq, sleeper, NSEC_PER_MSEC); /* runs a little and sleeps again */
    }
}

static void short_and_long_charges_add_up(void)
{
    /* The same time in pieces of 100 ns and in one piece: the measures agree to a thousandth. */
    setup(2);
    runq_insert(&rq, &threads[0], false);
    struct thread *running = runq_take(&rq);
    for (int i = 0; i < 1000000; i++)
        runq_charge(&rq, running, 100);
    uint64_t pieces = running->runtime, scale = rq.scale;
    setup(2);
    runq_insert(&rq, &threads[0], false);
    running = runq_take(&rq);
    runq_charge(&rq, running, 100 * NSEC_PER_MSEC);
    CHECK((double)pieces / (double)running->runtime > 0.999);
    CHECK((double)pieces / (double)running->runtime < 1.001);
    CHECK((double)scale / (double)rq.scale > 0.999 && (double)scale / (double)rq.scale < 1.001);
}

static void the_measure_survives_hours_of_running(void)
{
    setup(4);
    for (unsigned i = 0; i < 4; i++)
        runq_insert(&rq, &threads[i], false);
    compete(3600 * NSEC_PER_SEC, 40 * NSEC_PER_MSEC);
    CHECK(rq.epoch > 100);
    for (unsigned i = 0; i < 4; i++)
        check_share(i, 3600 * NSEC_PER_SEC, 0.25, 0.02);
}

static void one_that_was_away_is_brought_up_to_date(void)
{
    setup(3);
    for (unsigned i = 0; i < 3; i++)
        runq_insert(&rq, &threads[i], false);
    compete(NSEC_PER_SEC, NSEC_PER_MSEC);
    struct thread *away = runq_take(&rq);
    uint64_t before = away->runtime;
    uint32_t epoch = rq.epoch;
    while (rq.epoch == epoch)
        compete(100 * NSEC_PER_MSEC, NSEC_PER_MSEC);
    runq_insert(&rq, away, false);
    CHECK_EQ(away->runtime, before >> RENORM_SHIFT);
    CHECK(runq_take(&rq) == away); /* it has run least */
    while (rq.epoch < epoch + 5)
        compete(100 * NSEC_PER_MSEC, NSEC_PER_MSEC);
    runq_insert(&rq, away, false);
    CHECK_EQ(away->runtime, 0);
}

static void moving_keeps_the_measure(void)
{
    static struct runq other;
    setup(2);
    CHECK_EQ(runq_init(&other, 1), 0);
    runq_insert(&rq, &threads[0], false);
    compete(300 * NSEC_PER_MSEC, NSEC_PER_MSEC);
    double share = (double)threads[0].runtime / (double)rq.scale;
    struct thread *moved = runq_take_movable(&rq, 1);
    CHECK(moved == &threads[0]);
    runq_insert(&other, moved, false);
    double now = (double)moved->runtime / (double)other.scale;
    CHECK(now > share * 0.999 && now < share * 1.001);
    runq_check(&rq);
    runq_check(&other);
}

static void movable_respects_affinity_and_pinning(void)
{
    setup(3);
    memset((void *)threads[0].affinity, 0, sizeof threads[0].affinity);
    atomic_store_relaxed(&threads[0].affinity[0], 1u); /* CPU 0 only */
    atomic_store_relaxed(&threads[0].wanted, wanted_pack(true, THREAD_FAIR, 0, 0));
    memset((void *)threads[1].affinity, 0, sizeof threads[1].affinity);
    atomic_store_relaxed(&threads[1].affinity[0], 5u); /* CPUs 0 and 2 */
    runq_insert(&rq, &threads[0], false);
    CHECK_EQ(rq.movable, 0);
    runq_insert(&rq, &threads[1], false);
    CHECK_EQ(rq.movable, 1);
    CHECK(runq_take_movable(&rq, 1) == NULL);
    CHECK(runq_take_movable(&rq, 2) == &threads[1]);
    CHECK_EQ(rq.movable, 0);
    CHECK_EQ(runq_count(&rq), 1);
    runq_check(&rq);
}

static void misfits_are_found(void)
{
    setup(4);
    for (unsigned i = 0; i < 4; i++)
        runq_insert(&rq, &threads[i], false);
    CHECK(runq_take_misfits(&rq) == NULL);
    atomic_store_relaxed(&threads[1].wanted, wanted_pack(false, THREAD_FIFO, 7, 0));
    atomic_store_relaxed(&threads[2].affinity[0], 2u);
    unsigned found = 0;
    for (struct thread *t = runq_take_misfits(&rq); t; t = t->overflow_next)
        found |= 1u << t->id;
    CHECK_EQ(found, 1u << 1 | 1u << 2);
    runq_insert(&rq, &threads[1], false);
    CHECK_EQ(rq.rt_count, 1);
    CHECK(runq_take(&rq) == &threads[1]);
    runq_check(&rq);
}

static void real_time_order(void)
{
    setup(6);
    static const unsigned char priorities[6] = {0, 5, 99, 5, 64, 63};
    for (unsigned i = 1; i < 6; i++)
        atomic_store_relaxed(&threads[i].wanted, wanted_pack(false, THREAD_FIFO, priorities[i], 0));
    for (unsigned i = 0; i < 6; i++)
        runq_insert(&rq, &threads[i], false);
    static const unsigned order[6] = {2, 4, 5, 1, 3, 0};
    for (unsigned i = 0; i < 6; i++)
        CHECK(runq_take(&rq) == &threads[order[i]]);
    CHECK(runq_take(&rq) == NULL);
    runq_insert(&rq, &threads[1], false);
    runq_insert(&rq, &threads[3], true); /* pre-empted: goes in front */
    CHECK(runq_take(&rq) == &threads[3]);
    CHECK(runq_preempts(&rq, &threads[0]));
    CHECK(!runq_preempts(&rq, &threads[3])); /* the same priority */
    CHECK(!runq_preempts(&rq, &threads[2]));
}

static void random_operations_keep_the_heap(void)
{
    struct prng prng;
    prng_seed(&prng, 11);
    setup(THREADS_MAX);
    for (size_t i = 0; i < test_scaled(200000); i++) {
        struct thread *least, *t = &threads[prng_below(&prng, THREADS_MAX)];
        switch (prng_below(&prng, 4)) {
        case 0:
            if (!t->queued)
                runq_insert(&rq, t, false);
            break;
        case 1:
            least = rq.heap_count > 0 ? rq.heap[0].thread : NULL;
            CHECK(runq_take(&rq) == least);
            break;
        case 2:
            if (!t->queued && t->home == 0) {
                runq_charge(&rq, t, prng_below(&prng, 10000000));
                runq_exchange(&rq, t);
            }
            break;
        default:
            runq_take_movable(&rq, 1);
        }
        if (i % 64 == 0)
            runq_check(&rq);
    }
}

/* Without memory the heap cannot grow; nobody is lost, and all run when there is room. */
static void no_memory_to_grow_loses_nobody(void)
{
    enum { MANY = 2000 };
    struct thread *many = page_alloc_range(DIV_UP(MANY * sizeof(struct thread), PAGE_SIZE));
    CHECK(many != NULL);
    setup(0);
    void *chain = NULL;
    for (void *page; (page = page_alloc()); chain = page)
        *(void **)page = chain;
    memset((void *)many, 0, MANY * sizeof *many);
    for (unsigned i = 0; i < MANY; i++) {
        memset((void *)many[i].affinity, 0xff, sizeof many[i].affinity);
        many[i].home = THREAD_NO_HOME;
        list_init(&many[i].rt_node);
        runq_insert(&rq, &many[i], false);
    }
    CHECK(rq.overflow_count > 0);
    CHECK_EQ(runq_count(&rq), MANY);
    runq_check(&rq);
    for (unsigned i = 0; i < MANY; i++) {
        struct thread *t = runq_take(&rq);
        CHECK(t != NULL && !t->queued);
        t->status++;
    }
    for (unsigned i = 0; i < MANY; i++)
        CHECK_EQ(many[i].status, 1);
    CHECK(runq_take(&rq) == NULL);
    while (chain) {
        void *next = *(void **)chain;
        page_free(chain);
        chain = next;
    }
}

TEST_CASES_BEGIN
    {"equal hogs get equal shares", equal_hogs_get_equal_shares, .cpus = 1},
        {"hogs that start one after the other even out",
         hogs_that_start_one_after_the_other_even_out, .cpus = 1},
        {"nice weights hold", nice_weights_hold, .cpus = 1},
        {"a sleeper that wakes runs within one slice", a_sleeper_that_wakes_runs_within_one_slice,
         .cpus = 1},
        {"short and long charges add up", short_and_long_charges_add_up, .cpus = 1},
        {"the measure survives hours of running", the_measure_survives_hours_of_running, .cpus = 1},
        {"one that was away is brought up to date", one_that_was_away_is_brought_up_to_date,
         .cpus = 1},
        {"moving keeps the measure", moving_keeps_the_measure, .cpus = 1},
        {"movable respects affinity and pinning", movable_respects_affinity_and_pinning, .cpus = 1},
        {"misfits are found", misfits_are_found, .cpus = 1},
        {"real-time order", real_time_order, .cpus = 1},
        {"random operations keep the heap", random_operations_keep_the_heap, .cpus = 1},
        {"no memory to grow loses nobody", no_memory_to_grow_loses_nobody, .cpus = 1,
         .memory_mib = 16},
TEST_CASES_END
