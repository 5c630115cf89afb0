/* SPDX-License-Identifier: BSD-3-Clause */
/* S6 and S7: two threads that block and wake each other with a mutex and a condition variable (the
 * shape of OSv's tests/misc-ctxsw.cc), on one CPU and on two. */
#include "core.h"
#include "machine.h"
#include <osv/condvar.h>
#include <osv/run.h>
#include <pthread.h>

#define OURS_ROUNDS 40000u
#define APART_ROUNDS 10000u
#define HOST_ROUNDS 3000u

static unsigned owner;  /* [mutex of the side that runs] whose turn it is */
static unsigned rounds; /* hand-overs of each thread */
static double handover_ns;

/* --- ours --- */

static struct mutex mutex;
static struct condvar condvar;

static NOINLINE void ours_rounds(unsigned me, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        mutex_lock(&mutex);
        while (owner != me)
            condvar_wait(&condvar, &mutex);
        owner = !me;
        mutex_unlock(&mutex);
        condvar_signal(&condvar);
    }
}

static void ours_body(unsigned thread)
{
    ours_rounds(thread, rounds / 10);
    bench_meet();
    uint64_t start_ns = bench_ns();
    ours_rounds(thread, rounds);
    if (thread == 0)
        handover_ns = (double)(bench_ns() - start_ns) / (2 * rounds);
}

static int ours(unsigned cpus, const unsigned *where, unsigned count, double *value)
{
    owner = 0;
    rounds = count;
    mutex_init(&mutex);
    condvar_init(&condvar);
    int error = bench_on_core(cpus, 2, where, ours_body, NULL);
    *value = handover_ns;
    return error;
}

static int s6_ours(double *values)
{
    return ours(1, bench_colocated, OURS_ROUNDS, values);
}

static int s7_ours(double *values)
{
    return ours(2, bench_apart, APART_ROUNDS, values);
}

/* --- the peer --- */

static pthread_mutex_t host_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t host_condvar = PTHREAD_COND_INITIALIZER;

static NOINLINE void host_rounds(unsigned me, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        pthread_mutex_lock(&host_mutex);
        while (owner != me)
            pthread_cond_wait(&host_condvar, &host_mutex);
        owner = !me;
        pthread_mutex_unlock(&host_mutex);
        pthread_cond_signal(&host_condvar);
    }
}

static void host_body(unsigned thread)
{
    host_rounds(thread, rounds / 10);
    bench_meet();
    uint64_t start_ns = bench_ns();
    host_rounds(thread, rounds);
    if (thread == 0)
        handover_ns = (double)(bench_ns() - start_ns) / (2 * rounds);
}

static int s6_peer(double *values)
{
    owner = 0;
    rounds = HOST_ROUNDS;
    int error = bench_on_host(2, bench_colocated, host_body, NULL);
    values[0] = handover_ns;
    return error;
}

static const struct bench_row rows[] = {
    {"S6", "block + wake, mutex and condvar, colocated", "ns/switch", "the same on pthreads", 0.04},
    {"S7", "block + wake, mutex and condvar, apart, polling", "ns", "line round trip", 2.5},
};

static const struct bench_case cases[] = {
    {&rows[0], 1, s6_ours, s6_peer},
    {&rows[1], 1, s7_ours, bench_peer_line},
};

const struct bench_group bench_block = {cases, ARRAY_COUNT(cases)};
