/* SPDX-License-Identifier: BSD-3-Clause */
/* M1 to M3: the mutex, uncontended and contended, against the pthread mutex. A contended
 * measurement has two parts of WINDOWS * WINDOW_MS: critical sections counted without looking at
 * the clock, for throughput and fairness, and then with the time that each acquisition took.
 * Fairness is that of the median window, because what else the machine runs takes a CPU away from
 * one side for longer than a window. */
#include "core.h"
#include "machine.h"
#include <osv/mutex.h>
#include <osv/run.h>
#include <osv/string.h>
#include <pthread.h>

#define PAIRS 200000u
#define WINDOWS 11u
#define WINDOW_MS 2u
#define WORK_OUTSIDE 300u /* empty loop rounds: about 100 ns */

static struct mutex mutex;
static pthread_mutex_t host_normal = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t host_adaptive = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;

static void ours_lock(void)
{
    mutex_lock(&mutex);
}

static void ours_unlock(void)
{
    mutex_unlock(&mutex);
}

static void normal_lock(void)
{
    pthread_mutex_lock(&host_normal);
}

static void normal_unlock(void)
{
    pthread_mutex_unlock(&host_normal);
}

static void adaptive_lock(void)
{
    pthread_mutex_lock(&host_adaptive);
}

static void adaptive_unlock(void)
{
    pthread_mutex_unlock(&host_adaptive);
}

static ALIGNED(128) volatile uint64_t shared; /* what the sections change */

/* --- M1 --- */

static double pair_ns;

ALWAYS_INLINE void pairs(void (*lock)(void), void (*unlock)(void), unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        lock();
        shared++;
        unlock();
    }
}

static NOINLINE void ours_pairs(unsigned count)
{
    pairs(ours_lock, ours_unlock, count);
}

static NOINLINE void normal_pairs(unsigned count)
{
    pairs(normal_lock, normal_unlock, count);
}

static void time_pairs(void (*run)(unsigned count))
{
    run(PAIRS / 10);
    uint64_t start_ns = bench_ns();
    run(PAIRS);
    pair_ns = (double)(bench_ns() - start_ns) / PAIRS;
}

static void m1_ours_body(unsigned thread)
{
    (void)thread;
    time_pairs(ours_pairs);
}

static void m1_peer_body(unsigned thread)
{
    (void)thread;
    time_pairs(normal_pairs);
}

static int m1_ours(double *values)
{
    mutex_init(&mutex);
    int error = bench_on_core(1, 1, bench_first_cpu, m1_ours_body, NULL);
    values[0] = pair_ns;
    return error;
}

static int m1_peer(double *values)
{
    int error = bench_on_host(1, bench_first_cpu, m1_peer_body, NULL);
    values[0] = pair_ns;
    return error;
}

/* --- M2 and M3 --- */

struct contender {
    ALIGNED(128) _Atomic(uint64_t) count; /* this thread; read by control */
    struct bench_histogram latency;       /* this thread */
};

static struct contender contenders[BENCH_THREADS_MAX];
static unsigned work_outside;
static bool timed;
static ALIGNED(128) _Atomic(bool) stop; /* atomic */
static uint64_t counting_ns;
static uint64_t counts[WINDOWS + 1][BENCH_THREADS_MAX]; /* at the ends of the windows */

ALWAYS_INLINE void contend(unsigned thread, void (*lock)(void), void (*unlock)(void))
{
    struct contender *me = &contenders[thread];
    while (!atomic_load_relaxed(&stop)) {
        lock();
        shared++;
        unlock();
        atomic_store_relaxed(&me->count, atomic_load_relaxed(&me->count) + 1);
        for (unsigned i = 0; i < work_outside; i++)
            compiler_barrier();
    }
}

ALWAYS_INLINE void contend_timed(unsigned thread, void (*lock)(void), void (*unlock)(void))
{
    struct contender *me = &contenders[thread];
    while (!atomic_load_relaxed(&stop)) {
        uint64_t start = hal_cycles();
        lock();
        uint64_t end = hal_cycles();
        shared++;
        unlock();
        bench_histogram_add(&me->latency, end - start);
        for (unsigned i = 0; i < work_outside; i++)
            compiler_barrier();
    }
}

static void ours_body(unsigned thread)
{
    if (timed)
        contend_timed(thread, ours_lock, ours_unlock);
    else
        contend(thread, ours_lock, ours_unlock);
}

static void adaptive_body(unsigned thread)
{
    if (timed)
        contend_timed(thread, adaptive_lock, adaptive_unlock);
    else
        contend(thread, adaptive_lock, adaptive_unlock);
}

static void control(void)
{
    uint64_t start_ns = bench_ns();
    for (unsigned w = 0; w <= WINDOWS; w++) {
        for (unsigned i = 0; i < BENCH_THREADS_MAX; i++)
            counts[w][i] = atomic_load_relaxed(&contenders[i].count);
        if (w < WINDOWS)
            bench_sleep_ms(WINDOW_MS);
    }
    atomic_store_relaxed(&stop, true);
    counting_ns = bench_ns() - start_ns;
}

static int run_all(bool on_core, bool with_times, unsigned count, const unsigned *where)
{
    mutex_init(&mutex);
    memset((void *)contenders, 0, sizeof contenders);
    atomic_store_relaxed(&stop, false);
    timed = with_times;
    if (on_core)
        return bench_on_core(2, count, where, ours_body, control);
    return bench_on_host(count, where, adaptive_body, control);
}

/* Most to least sections of a thread, in the median window. */
static double unfairness(unsigned count)
{
    double sorted[WINDOWS];
    for (unsigned w = 0; w < WINDOWS; w++) {
        uint64_t least = UINT64_MAX, most = 0;
        for (unsigned i = 0; i < count; i++) {
            least = MIN(least, counts[w + 1][i] - counts[w][i]);
            most = MAX(most, counts[w + 1][i] - counts[w][i]);
        }
        double ratio = (double)MAX(most, 1u) / (double)MAX(least, 1u);
        unsigned at = w;
        for (; at > 0 && sorted[at - 1] > ratio; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = ratio;
    }
    return sorted[WINDOWS / 2];
}

/* values: ns a critical section; p99.9 of an acquisition, ns; unfairness. */
static int contention(bool on_core, unsigned count, const unsigned *where, double *values)
{
    static struct bench_histogram latency;
    uint64_t total = 0;
    int error = run_all(on_core, false, count, where);
    for (unsigned i = 0; i < count; i++)
        total += counts[WINDOWS][i];
    values[0] = (double)counting_ns / (double)MAX(total, 1u);
    values[2] = unfairness(count);
    if (error == 0)
        error = run_all(on_core, true, count, where);
    memset(&latency, 0, sizeof latency);
    for (unsigned i = 0; i < count; i++)
        bench_histogram_merge(&latency, &contenders[i].latency);
    values[1] = bench_histogram_quantile(&latency, 0.999) * bench_tick_ns();
    return error;
}

static int m2_ours(double *values)
{
    work_outside = 0;
    return contention(true, 2, bench_apart, values);
}

static int m2_peer(double *values)
{
    work_outside = 0;
    int error = contention(false, 2, bench_apart, values);
    values[2] = 1;
    return error;
}

static int m3_ours(double *values)
{
    double all[3];
    work_outside = WORK_OUTSIDE;
    int error = contention(true, 4, bench_two_each, all);
    values[0] = all[0];
    values[1] = all[1];
    return error;
}

static int m3_peer(double *values)
{
    double all[3];
    work_outside = WORK_OUTSIDE;
    int error = contention(false, 4, bench_two_each, all);
    values[0] = all[0];
    values[1] = all[1];
    return error;
}

static const struct bench_row rows[] = {
    {"M1", "mutex lock + unlock, uncontended", "ns", "pthread_mutex, normal", 0.65},
    {"M2", "mutex, 2 threads on 2 CPUs, a section", "ns", "pthread_mutex, adaptive", 1.5},
    {"M2t", "mutex, 2 threads on 2 CPUs, p99.9 of a lock", "ns", "pthread_mutex, adaptive", 1.0},
    {"M2f", "mutex, 2 threads on 2 CPUs, most / least sections", "-", "-", 1.25},
    {"M3", "mutex, 4 threads on 2 CPUs, 100 ns outside", "ns", "pthread_mutex, adaptive", 1.2},
    {"M3t", "mutex, 4 threads on 2 CPUs, p99.9 of a lock", "ns", "pthread_mutex, adaptive", 1.0},
};

static const struct bench_case cases[] = {
    {&rows[0], 1, m1_ours, m1_peer},
    {&rows[1], 3, m2_ours, m2_peer},
    {&rows[4], 2, m3_ours, m3_peer},
};

const struct bench_group bench_mutex = {cases, ARRAY_COUNT(cases)};
