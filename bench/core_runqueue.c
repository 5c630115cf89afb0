/* SPDX-License-Identifier: BSD-3-Clause */
/* S5: the run queue's step "put the running thread back, take the least" with the real run queue
 * and thread records that never run, and the same with a red-black tree. Both charge the one that
 * ran the same random times. */
#include "core.h"
#include "machine.h"
#include <bsd/sys/tree.h>
#include <osv/string.h>
#include <runqueue.h>

#define RUNNABLE_MAX 256u
#define STEPS 100000u
#define WARM_UP 10000u
#define SEED 0x9e3779b97f4a7c15ull

static unsigned runnable;
static double step_ns;
static int error;

static inline uint64_t charge(uint64_t *random)
{
    return 1 + (bench_random(random) & 1023);
}

/* --- ours --- */

static struct thread threads[RUNNABLE_MAX];
static struct runq rq;

static NOINLINE struct thread *exchange_steps(struct thread *running, uint64_t *random,
                                              unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        running->runtime += charge(random);
        running = runq_exchange(&rq, running);
    }
    return running;
}

static void ours_body(unsigned thread)
{
    uint64_t random = SEED;
    (void)thread;
    error = runq_init(&rq, 0);
    if (error < 0)
        return;
    memset((void *)threads, 0, sizeof threads);
    for (unsigned i = 0; i < runnable; i++) {
        struct cpumask all = cpumask_all();
        for (size_t k = 0; k < ARRAY_COUNT(all.words); k++)
            atomic_store_relaxed(&threads[i].affinity[k], all.words[k]);
        threads[i].home = 0;
        threads[i].runtime = charge(&random);
        runq_insert(&rq, &threads[i], false);
    }
    struct thread *running = exchange_steps(runq_take(&rq), &random, WARM_UP);
    uint64_t start_ns = bench_ns();
    running = exchange_steps(running, &random, STEPS);
    step_ns = (double)(bench_ns() - start_ns) / STEPS;
    BENCH_USE(running);
    runq_check(&rq);
}

static int ours(unsigned count, double *value)
{
    runnable = count;
    int status = bench_on_core(1, 1, bench_first_cpu, ours_body, NULL);
    *value = step_ns;
    return status < 0 ? status : error;
}

/* --- the peer --- */

struct entry {
    RB_ENTRY(entry) node;
    uint64_t key;
    uint32_t id;
};

static int entry_compare(struct entry *a, struct entry *b)
{
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

RB_HEAD(tree, entry);
RB_PROTOTYPE(tree, entry, node, entry_compare)
RB_GENERATE(tree, entry, node, entry_compare)

static struct tree tree;
static struct entry entries[RUNNABLE_MAX];

static NOINLINE void tree_steps(uint64_t *random, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        struct entry *least = RB_MIN(tree, &tree);
        RB_REMOVE(tree, &tree, least);
        least->key += charge(random);
        RB_INSERT(tree, &tree, least);
    }
}

static void peer_body(unsigned thread)
{
    uint64_t random = SEED;
    (void)thread;
    RB_INIT(&tree);
    for (uint32_t i = 0; i < runnable; i++) {
        entries[i] = (struct entry){.key = charge(&random), .id = i};
        RB_INSERT(tree, &tree, &entries[i]);
    }
    tree_steps(&random, WARM_UP);
    uint64_t start_ns = bench_ns();
    tree_steps(&random, STEPS);
    step_ns = (double)(bench_ns() - start_ns) / STEPS;
}

static int peer(unsigned count, double *value)
{
    runnable = count;
    int status = bench_on_host(1, bench_first_cpu, peer_body, NULL);
    *value = step_ns;
    return status;
}

static int s5_ours(double *values)
{
    return ours(16, values);
}

static int s5_peer(double *values)
{
    return peer(16, values);
}

static int s5b_ours(double *values)
{
    return ours(256, values);
}

static int s5b_peer(double *values)
{
    return peer(256, values);
}

static const struct bench_row rows[] = {
    {"S5", "run queue: least out and back in, 16 runnable", "ns", "libbsd RB_*", 0.75},
    {"S5b", "run queue: least out and back in, 256 runnable", "ns", "libbsd RB_*", 0.85},
};

static const struct bench_case cases[] = {
    {&rows[0], 1, s5_ours, s5_peer},
    {&rows[1], 1, s5b_ours, s5b_peer},
};

const struct bench_group bench_runqueue = {cases, ARRAY_COUNT(cases)};
