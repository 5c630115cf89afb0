/* SPDX-License-Identifier: BSD-3-Clause */
/* R1: entering and leaving an RCU read side. */
#include "core.h"
#include "machine.h"
#include "peer_urcu.h"
#include <osv/rcu.h>

#define PAIRS 1000000u

static double pair_ns;

static NOINLINE void ours_pairs(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        rcu_read_lock();
        rcu_read_unlock();
        BENCH_USE(i);
    }
}

static void ours_body(unsigned thread)
{
    (void)thread;
    ours_pairs(PAIRS / 10);
    uint64_t start_ns = bench_ns();
    ours_pairs(PAIRS);
    pair_ns = (double)(bench_ns() - start_ns) / PAIRS;
}

static void peer_body(unsigned thread)
{
    (void)thread;
    peer_urcu_register();
    peer_urcu_pairs(PAIRS / 10);
    uint64_t start_ns = bench_ns();
    peer_urcu_pairs(PAIRS);
    pair_ns = (double)(bench_ns() - start_ns) / PAIRS;
    peer_urcu_unregister();
}

static int r1_ours(double *values)
{
    int error = bench_on_core(1, 1, bench_first_cpu, ours_body, NULL);
    values[0] = pair_ns;
    return error;
}

static int r1_peer(double *values)
{
    int error = bench_on_host(1, bench_first_cpu, peer_body, NULL);
    values[0] = pair_ns;
    return error;
}

static const struct bench_row row = {"R1", "RCU read lock + unlock", "ns", "liburcu memb, inlined",
                                     1.0};
static const struct bench_case cases[] = {{&row, 1, r1_ours, r1_peer}};
const struct bench_group bench_rcu = {cases, ARRAY_COUNT(cases)};
