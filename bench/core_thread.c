/* SPDX-License-Identifier: BSD-3-Clause */
/* T1: a thread that does nothing, created and joined, on one CPU. */
#include "core.h"
#include "machine.h"
#include <osv/error.h>
#include <osv/thread.h>
#include <pthread.h>

#define OURS_COUNT 5000u
#define HOST_COUNT 300u

static double pair_ns;
static int error;

static int ours_entry(void *arg)
{
    (void)arg;
    return 0;
}

static int ours_pairs(unsigned count)
{
    struct thread *thread;
    int status = 0;
    for (unsigned i = 0; i < count && status == 0; i++) {
        status = thread_create(&thread, ours_entry, NULL, NULL);
        if (status == 0)
            status = thread_join(thread, NULL);
    }
    return status;
}

static void ours_body(unsigned thread)
{
    (void)thread;
    error = ours_pairs(OURS_COUNT / 10);
    uint64_t start_ns = bench_ns();
    if (error == 0)
        error = ours_pairs(OURS_COUNT);
    pair_ns = (double)(bench_ns() - start_ns) / OURS_COUNT;
}

static void *host_entry(void *arg)
{
    return arg;
}

static int host_pairs(unsigned count)
{
    pthread_t thread;
    int status = 0;
    for (unsigned i = 0; i < count && status == 0; i++) {
        status = pthread_create(&thread, NULL, host_entry, NULL); /* on the CPU of the caller */
        if (status == 0)
            status = pthread_join(thread, NULL);
    }
    return -status;
}

static void host_body(unsigned thread)
{
    (void)thread;
    error = host_pairs(HOST_COUNT / 10);
    uint64_t start_ns = bench_ns();
    if (error == 0)
        error = host_pairs(HOST_COUNT);
    pair_ns = (double)(bench_ns() - start_ns) / HOST_COUNT;
}

static int t1_ours(double *values)
{
    int status = bench_on_core(1, 1, bench_first_cpu, ours_body, NULL);
    values[0] = pair_ns;
    return status < 0 ? status : error;
}

static int t1_peer(double *values)
{
    int status = bench_on_host(1, bench_first_cpu, host_body, NULL);
    values[0] = pair_ns;
    return status < 0 ? status : error;
}

static const struct bench_row row = {"T1", "thread create + join", "ns", "pthread_create + join",
                                     0.03};
static const struct bench_case cases[] = {{&row, 1, t1_ours, t1_peer}};
const struct bench_group bench_thread = {cases, ARRAY_COUNT(cases)};
