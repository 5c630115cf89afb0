/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine.h"
#include <osv/error.h>
#include <osv/run.h>
#include <osv/thread.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#define MEMORY_BYTES ((size_t)512 << 20)

const unsigned bench_first_cpu[1] = {0};
const unsigned bench_apart[2] = {0, 1};
const unsigned bench_colocated[2] = {0, 0};
const unsigned bench_two_each[4] = {0, 0, 1, 1};

/* One run at a time. */
static struct {
    unsigned cpus, count;      /* immutable during the run, as are the next three */
    const unsigned *where;
    bench_body *body;
    void (*control)(void);
    cpu_set_t allowed;         /* immutable during the run: host CPUs of the whole process */
    LINE_ALIGNED _Atomic(unsigned) started; /* atomic: bodies and control that are there */
    LINE_ALIGNED _Atomic(unsigned) met;     /* atomic: calls of bench_meet() */
} run;

/* Reads the host CPUs that we may use, once: whoever binds a thread later does not change them. */
static bool know_host(void)
{
    static bool known;
    if (!known)
        known = sched_getaffinity(0, sizeof run.allowed, &run.allowed) == 0;
    return known;
}

/* The set of the n-th host CPU that we may use. False: there are not so many. */
static bool host_cpu(unsigned n, cpu_set_t *one)
{
    CPU_ZERO(one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &run.allowed) && n-- == 0) {
            CPU_SET(cpu, one);
            return true;
        }
    return false;
}

void bench_yield(void)
{
    if (hal_ctx_self())
        thread_yield();
    else
        sched_yield();
}

void bench_sleep_ms(unsigned ms)
{
    struct timespec duration = {ms / 1000, (long)(ms % 1000) * 1000000};
    if (hal_ctx_self())
        thread_sleep(ms * NSEC_PER_MSEC);
    else
        nanosleep(&duration, NULL);
}

void bench_meet(void)
{
    unsigned number = atomic_add_acq_rel(&run.met, 1u);
    unsigned all = (number / run.count + 1) * run.count;
    while (atomic_load_acquire(&run.met) < all)
        bench_yield();
}

static void start(void)
{
    unsigned all = run.count + (run.control != NULL);
    atomic_add_acq_rel(&run.started, 1u);
    while (atomic_load_acquire(&run.started) < all)
        bench_yield();
}

static void prepare(unsigned count, const unsigned *where, bench_body *body, void (*control)(void))
{
    run.count = count;
    run.where = where;
    run.body = body;
    run.control = control;
    atomic_store_relaxed(&run.started, 0u);
    atomic_store_relaxed(&run.met, 0u);
}

/* --- our threads --- */

/* Binds the pthread of the virtual CPU that this thread runs on, and only there. */
static int bind_entry(void *arg)
{
    cpu_set_t one;
    unsigned cpu = (unsigned)(uintptr_t)arg;
    if (!host_cpu(cpu, &one) || sched_setaffinity(0, sizeof one, &one) != 0)
        return -ENODEV;
    return 0;
}

static int body_entry(void *arg)
{
    start();
    run.body((unsigned)(uintptr_t)arg);
    return 0;
}

static int start_thread(struct thread **thread, unsigned cpu, int (*entry)(void *), unsigned arg)
{
    struct cpumask mask = cpumask_of(cpu);
    struct thread_attr attr = {.name = "bench", .affinity = &mask};
    return thread_create(thread, entry, (void *)(uintptr_t)arg, &attr);
}

static int program(void *arg)
{
    struct thread *threads[BENCH_THREADS_MAX];
    unsigned created = 0;
    int error = 0;
    (void)arg;
    for (unsigned cpu = 0; cpu < run.cpus && error == 0; cpu++) {
        error = start_thread(&threads[0], cpu, bind_entry, cpu);
        if (error == 0)
            error = thread_join(threads[0], &error) < 0 ? -EINVAL : error;
    }
    while (created < run.count && error == 0) {
        error = start_thread(&threads[created], run.where[created], body_entry, created);
        created += error == 0;
    }
    ASSERT(error == 0 || created == 0); /* those that are there would wait for ever */
    if (run.control && error == 0) {
        start();
        run.control();
    }
    while (created > 0 && error == 0)
        error = thread_join(threads[--created], NULL);
    return error;
}

int bench_on_core(unsigned cpus, unsigned count, const unsigned *where, bench_body *body,
                  void (*control)(void))
{
    struct osv_run_options options = {.cpus = cpus, .memory_bytes = MEMORY_BYTES, .pin = true};
    if (!know_host() || (unsigned)CPU_COUNT(&run.allowed) < cpus)
        return -ENODEV;
    prepare(count, where, body, control);
    run.cpus = cpus;
    return osv_run(&options, program, NULL);
}

/* --- pthreads --- */

static void *body_main(void *arg)
{
    start();
    run.body((unsigned)(uintptr_t)arg);
    return NULL;
}

int bench_on_host(unsigned count, const unsigned *where, bench_body *body, void (*control)(void))
{
    pthread_t threads[BENCH_THREADS_MAX];
    cpu_set_t one[BENCH_THREADS_MAX];
    if (!know_host())
        return -ENODEV;
    for (unsigned i = 0; i < count; i++)
        if (!host_cpu(where[i], &one[i]))
            return -ENODEV;
    prepare(count, where, body, control);
    for (unsigned i = 0; i < count; i++) {
        pthread_attr_t attr;
        pthread_attr_init(&attr);
        pthread_attr_setaffinity_np(&attr, sizeof one[i], &one[i]);
        int error = pthread_create(&threads[i], &attr, body_main, (void *)(uintptr_t)i);
        pthread_attr_destroy(&attr);
        ASSERT(error == 0 || i == 0); /* those that are there would wait for ever */
        if (error != 0)
            return -error;
    }
    if (control) {
        start();
        control();
    }
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
