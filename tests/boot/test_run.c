/* SPDX-License-Identifier: BSD-3-Clause */
/* osv_run() as a program that uses the library sees it. The cases are plain ones: they boot the
 * core themselves, in this process, one machine after the other. */
#include "cpu/threads.h"
#include <osv/error.h>
#include <osv/page.h>
#include <osv/run.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#if defined(__x86_64__)
#define MANY_CPUS 64u
#else
#define MANY_CPUS 24u /* qemu-user, which these run under, has 32 timers for a process */
#endif

static _Atomic(uint32_t) ran, stop, inside, outside_done;

static int run(unsigned cpus, size_t memory_bytes, int (*program)(void *arg), void *arg)
{
    const struct osv_run_options options = {.cpus = cpus, .memory_bytes = memory_bytes};
    atomic_store_relaxed(&ran, 0u);
    atomic_store_relaxed(&stop, 0u);
    return osv_run(&options, program, arg);
}

static int add_one(void *arg)
{
    return *(int *)arg + 1;
}

static void the_status_comes_back(void)
{
    static const int statuses[] = {-1, 0, 41, 254, 1000000, -200};
    for (size_t i = 0; i < ARRAY_COUNT(statuses); i++) {
        int argument = statuses[i];
        CHECK_EQ(run(1, 0, add_one, &argument), statuses[i] + 1);
    }
}

static int answer(void *arg)
{
    (void)arg;
    return 42;
}

static void options_may_be_left_out(void)
{
    CHECK_EQ(osv_run(NULL, answer, NULL), 42);
    CHECK_EQ(run(0, 0, answer, NULL), 42);
}

static int count_me(void *arg)
{
    unsigned cpu = (unsigned)(uintptr_t)arg;
    preempt_disable();
    CHECK_EQ(cpu_self()->id, cpu);
    preempt_enable();
    atomic_add_relaxed(&ran, 1u);
    return 0;
}

static int run_on_every_cpu(void *arg)
{
    CHECK_EQ(cpu_count(), *(unsigned *)arg);
    size_t size = cpu_count() * sizeof(struct thread *);
    struct thread **threads = page_alloc_range(DIV_UP(size, PAGE_SIZE));
    CHECK(threads != NULL);
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        threads[cpu] = start_on(cpu, count_me, (void *)(uintptr_t)cpu);
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        join(threads[cpu]);
    page_free_range(threads, DIV_UP(size, PAGE_SIZE));
    return (int)atomic_load_relaxed(&ran);
}

static int lowest_free_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    close(fd);
    return fd;
}

static void machine_after_machine(void)
{
    static const unsigned cpus[] = {1, 4, 2, 7, 1};
    int fd = -1;
    for (size_t i = 0; i < ARRAY_COUNT(cpus); i++) {
        unsigned count = cpus[i];
        CHECK_EQ(run(count, (32 + 2 * i) * MIB, run_on_every_cpu, &count), count);
        if (i == 0)
            fd = lowest_free_descriptor();
    }
    CHECK_EQ(lowest_free_descriptor(), fd); /* nothing is left open */
}

static void many_cpus(void)
{
    unsigned count = MANY_CPUS;
    CHECK_EQ(run(count, 0, run_on_every_cpu, &count), count);
    CHECK_EQ(run(count, 0, answer, NULL), 42); /* stops while they are still starting */
}

static void options_out_of_range(void)
{
    CHECK_EQ(run(1025, 0, answer, NULL), -EINVAL);
    CHECK_EQ(run(UINT32_MAX, 0, answer, NULL), -EINVAL);
    CHECK_EQ(run(1, 1, answer, NULL), -EINVAL);
    CHECK_EQ(run(1, MIB, answer, NULL), -EINVAL);
    CHECK_EQ(run(1, 0, NULL, NULL), -EINVAL);
    CHECK_EQ(run(1, 0, answer, NULL), 42); /* and none of it does harm */
}

static void more_memory_than_there_is(void)
{
    CHECK_EQ(run(1, (size_t)1 << 62, answer, NULL), -ENOMEM);
    CHECK_EQ(run(1, SIZE_MAX, answer, NULL), -ENOMEM);
    CHECK_EQ(run(1, 0, answer, NULL), 42);
}

static void *run_from_outside(void *arg)
{
    while (!atomic_load_acquire(&inside))
        usleep(100);
    *(int *)arg = osv_run(NULL, answer, NULL);
    atomic_store_release(&outside_done, 1u);
    return NULL;
}

static int wait_for_outside(void *arg)
{
    (void)arg;
    atomic_store_release(&inside, 1u);
    while (!atomic_load_acquire(&outside_done))
        thread_sleep(100 * NSEC_PER_USEC);
    return 7;
}

static void one_machine_at_a_time(void)
{
    pthread_t pthread;
    int result = 0;
    CHECK_EQ(pthread_create(&pthread, NULL, run_from_outside, &result), 0);
    CHECK_EQ(run(2, 0, wait_for_outside, NULL), 7);
    CHECK_EQ(pthread_join(pthread, NULL), 0);
    CHECK_EQ(result, -EBUSY);
    CHECK_EQ(run(1, 0, answer, NULL), 42);
}

static int spin(void *arg)
{
    (void)arg;
    atomic_add_release(&ran, 1u);
    for (;;)
        hal_cpu_relax();
    return 0;
}

static int sleep_long(void *arg)
{
    (void)arg;
    atomic_add_release(&ran, 1u);
    thread_sleep(3600 * NSEC_PER_SEC);
    return 0;
}

static int leave_threads(void *arg)
{
    int (*entry)(void *) = *(int (**)(void *))arg;
    for (unsigned i = 0; i < 2 * cpu_count(); i++)
        (void)start_on(i % cpu_count(), entry, NULL);
    while (atomic_load_acquire(&ran) != 2 * cpu_count())
        thread_sleep(100 * NSEC_PER_USEC);
    return 9;
}

static void stops_while_threads_spin(void)
{
    int (*entry)(void *) = spin;
    CHECK_EQ(run(4, 0, leave_threads, &entry), 9);
    CHECK_EQ(run(1, 0, leave_threads, &entry), 9);
}

static void stops_while_threads_sleep(void)
{
    int (*entry)(void *) = sleep_long;
    CHECK_EQ(run(4, 0, leave_threads, &entry), 9);
    CHECK_EQ(run(1, 0, leave_threads, &entry), 9);
}

static int all_memory(void *arg)
{
    (void)arg;
    size_t pages = 0;
    void *chain = NULL;
    for (void *page; (page = page_alloc()); chain = page, pages++)
        *(void **)page = chain;
    CHECK(pages * PAGE_SIZE <= 8 * MIB);
    return (int)pages;
}

static void the_least_memory(void)
{
    CHECK_EQ(run(1, 8 * MIB - PAGE_SIZE, answer, NULL), -EINVAL);
    CHECK_EQ(run(1, 8 * MIB, answer, NULL), 42);
    int pages = run(2, 8 * MIB, all_memory, NULL);
    CHECK(pages > 1024); /* half of it, at least, is the program's */
}

TEST_CASES_BEGIN
    {"the status comes back", the_status_comes_back, .cpus = 0},
        {"options may be left out", options_may_be_left_out, .cpus = 0},
        {"machine after machine", machine_after_machine, .cpus = 0},
        {"many CPUs", many_cpus, .cpus = 0},
        {"options out of range", options_out_of_range, .cpus = 0},
        {"more memory than there is", more_memory_than_there_is, .cpus = 0},
        {"one machine at a time", one_machine_at_a_time, .cpus = 0},
        {"stops while threads spin", stops_while_threads_spin, .cpus = 0},
        {"stops while threads sleep", stops_while_threads_sleep, .cpus = 0},
        {"the least memory", the_least_memory, .cpus = 0},
TEST_CASES_END
