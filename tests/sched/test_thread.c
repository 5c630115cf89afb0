/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads as their users see them. */
#include "test.h"
#include <osv/clock.h>
#include <osv/error.h>
#include <osv/log.h>
#include <osv/mutex.h>
#include <osv/page.h>
#include <osv/sched.h>
#include <osv/string.h>
#include <osv/thread.h>
#include <osv/timer.h>

static _Atomic(uint32_t) counter, stop;

static int add_one(void *arg)
{
    ++*(int *)arg;
    return 42;
}

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

static void a_thread_runs_and_is_joined(void)
{
    int value = 1, status = 0;
    struct thread *thread;
    CHECK_EQ(thread_create(&thread, add_one, &value, NULL), 0);
    CHECK_EQ(thread_join(thread, &status), 0);
    CHECK_EQ(value, 2);
    CHECK_EQ(status, 42);
}

static int exits_early(void *arg)
{
    (void)arg;
    thread_exit(7);
}

static void exit_ends_a_thread_with_its_status(void)
{
    int status = 0;
    struct thread *thread;
    CHECK_EQ(thread_create(&thread, exits_early, NULL, NULL), 0);
    CHECK_EQ(thread_join(thread, &status), 0);
    CHECK_EQ(status, 7);
}

static int count_up(void *arg)
{
    (void)arg;
    atomic_add_release(&counter, 1u);
    return 0;
}

static void wait_for_count(uint32_t count)
{
    while (atomic_load_acquire(&counter) != count)
        thread_sleep(100 * NSEC_PER_USEC);
}

static void detached_threads_go_away_by_themselves(void)
{
    const struct thread_attr detached = {.detached = true};
    size_t before = thread_count();
    struct thread *thread;
    atomic_store_relaxed(&counter, 0u);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(thread_create(NULL, count_up, NULL, &detached), 0);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(thread_create(&thread, count_up, NULL, NULL), 0);
        CHECK_EQ(thread_detach(thread), 0);
    }
    wait_for_count(200);
    while (thread_count() != before)
        thread_sleep(100 * NSEC_PER_USEC);
}

static int join_it(void *arg)
{
    return thread_join(arg, NULL);
}

static int sleeper(void *arg)
{
    thread_sleep(*(uint64_t *)arg);
    return 0;
}

static void wrong_joins_are_refused(void)
{
    uint64_t time_ns = 20 * NSEC_PER_MSEC;
    int status;
    struct thread *target, *joiner;
    CHECK_EQ(thread_join(thread_self(), NULL), -EDEADLK);
    CHECK_EQ(thread_create(&target, sleeper, &time_ns, NULL), 0);
    CHECK_EQ(thread_create(&joiner, join_it, target, NULL), 0);
    thread_sleep(5 * NSEC_PER_MSEC);
    CHECK_EQ(thread_join(target, NULL), -EINVAL); /* somebody else does */
    CHECK_EQ(thread_detach(target), -EINVAL);
    CHECK_EQ(thread_join(joiner, &status), 0);
    CHECK_EQ(status, 0);
}

static void wrong_attributes_are_refused(void)
{
    struct cpumask none = {{0}}, beyond = cpumask_of(cpu_count());
    const struct thread_attr bad[] = {
        {.nice = 20},
        {.nice = -21},
        {.rt_priority = 1},
        {.policy = THREAD_FIFO},
        {.policy = THREAD_RR, .rt_priority = 100},
        {.policy = (enum thread_policy)9},
        {.stack_size = 100},
        {.stack_size = HUGE_SIZE * 2},
        {.affinity = &none},
        {.affinity = &beyond},
    };
    struct thread *thread = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CHECK_EQ(thread_create(&thread, return_zero, NULL, &bad[i]), -EINVAL);
    CHECK_EQ(thread_create(&thread, NULL, NULL, NULL), -EINVAL);
    CHECK(thread == NULL);
    CHECK_EQ(thread_set_nice(thread_self(), 20), -EINVAL);
    CHECK_EQ(thread_set_policy(thread_self(), THREAD_FIFO, 0), -EINVAL);
    CHECK_EQ(thread_set_affinity(thread_self(), &none), -EINVAL);
}

static int check_name(void *arg)
{
    return strcmp(thread_self()->name, arg);
}

static void names_are_kept_and_cut(void)
{
    const struct thread_attr attr = {.name = "a name that is much too long"};
    char expected[] = "a name that is ";
    int status;
    struct thread *thread;
    CHECK_EQ(thread_create(&thread, check_name, expected, &attr), 0);
    CHECK_EQ(thread_join(thread, &status), 0);
    CHECK_EQ(status, 0);
    thread_set_name("other");
    CHECK_EQ(strcmp(thread_self()->name, "other"), 0);
}

static int check_cpu(void *arg)
{
    unsigned wanted = *(unsigned *)arg;
    for (int i = 0; i < 50; i++) {
        preempt_disable();
        unsigned cpu = cpu_self()->id;
        preempt_enable();
        if (cpu != wanted)
            return 1;
        thread_yield();
    }
    return 0;
}

static void affinity_is_kept(void)
{
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        struct cpumask mask = cpumask_of(cpu), read;
        const struct thread_attr attr = {.affinity = &mask};
        int status;
        struct thread *thread;
        CHECK_EQ(thread_create(&thread, check_cpu, &cpu, &attr), 0);
        CHECK_EQ(thread_join(thread, &status), 0);
        CHECK_EQ(status, 0);
        CHECK_EQ(thread_set_affinity(thread_self(), &mask), 0);
        CHECK_EQ(check_cpu(&cpu), 0);
        thread_get_affinity(thread_self(), &read);
        CHECK_EQ(memcmp(&read, &mask, sizeof mask), 0);
    }
}

static int spin_until_stopped(void *arg)
{
    (void)arg;
    atomic_add_release(&counter, 1u);
    while (!atomic_load_acquire(&stop))
        hal_cpu_relax();
    return (int)thread_self()->task.cpu->id;
}

static void affinity_moves_running_and_queued_threads(void)
{
    struct cpumask first = cpumask_of(0), second = cpumask_of(1);
    const struct thread_attr attr = {.affinity = &first};
    struct thread *threads[3];
    atomic_store_relaxed(&counter, 0u);
    CHECK_EQ(thread_set_affinity(thread_self(), &second), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(thread_create(&threads[i], spin_until_stopped, NULL, &attr), 0);
    wait_for_count(3);
    for (int i = 0; i < 3; i++) /* one of them runs, two are queued */
        CHECK_EQ(thread_set_affinity(threads[i], &second), 0);
    for (int i = 0; i < 3; i++)
        while (atomic_load_relaxed(&threads[i]->cpu_id) != 1)
            thread_sleep(100 * NSEC_PER_USEC);
    atomic_store_release(&stop, 1u);
    for (int i = 0; i < 3; i++) {
        int status;
        CHECK_EQ(thread_join(threads[i], &status), 0);
        CHECK_EQ(status, 1);
    }
}

#if !HAL_HOST_TSAN
static int spin_for_ever(void *arg)
{
    (void)arg;
    for (;;) /* not one call: only an interrupt gets the CPU back */
        compiler_barrier();
    return 0;
}

static void a_thread_that_spins_stops_nobody(void)
{
    const struct thread_attr attr = {.detached = true};
    struct thread *thread;
    int value = 0;
    CHECK_EQ(thread_create(NULL, spin_for_ever, NULL, &attr), 0);
    CHECK_EQ(thread_create(NULL, spin_for_ever, NULL, &attr), 0);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(thread_create(&thread, add_one, &value, NULL), 0);
        CHECK_EQ(thread_join(thread, NULL), 0);
        thread_sleep(NSEC_PER_MSEC);
    }
    CHECK_EQ(value, 10);
}
#endif

static int hold(void *arg)
{
    uint32_t *order = arg;
    *order = atomic_add_acq_rel(&counter, 1u);
    return 0;
}

static void real_time_runs_by_priority(void)
{
    /* On one CPU, created while the creator keeps the CPU: they run by priority when it sleeps. */
    uint32_t order[4];
    const struct thread_attr attr[4] = {
        {0},
        {.policy = THREAD_FIFO, .rt_priority = 10},
        {.policy = THREAD_RR, .rt_priority = 30},
        {.policy = THREAD_FIFO, .rt_priority = 20},
    };
    struct thread *threads[4];
    atomic_store_relaxed(&counter, 0u);
    CHECK_EQ(thread_set_policy(thread_self(), THREAD_FIFO, 99), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(thread_create(&threads[i], hold, &order[i], &attr[i]), 0);
    thread_yield(); /* nobody has this priority */
    CHECK_EQ(atomic_load_relaxed(&counter), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(thread_join(threads[i], NULL), 0);
    CHECK_EQ(order[2], 0);
    CHECK_EQ(order[3], 1);
    CHECK_EQ(order[1], 2);
    CHECK_EQ(order[0], 3);
}

static void a_woken_real_time_thread_preempts(void)
{
    uint64_t time_ns = NSEC_PER_MSEC;
    const struct thread_attr attr = {.policy = THREAD_FIFO, .rt_priority = 1};
    struct thread *thread;
    CHECK_EQ(thread_create(&thread, sleeper, &time_ns, &attr), 0);
    while (atomic_load_acquire(&thread->state) != THREAD_EXITED)
        hal_cpu_relax(); /* it needs this CPU */
    CHECK_EQ(thread_join(thread, NULL), 0);
}

static int take_turns(void *arg)
{
    (void)arg;
    atomic_add_release(&counter, 1u);
    while (atomic_load_acquire(&counter) < 2)
        hal_cpu_relax();
    return 0;
}

static void round_robin_takes_turns(void)
{
    /* Each spins until the other has run: FIFO would hang. */
    const struct thread_attr attr = {.policy = THREAD_RR, .rt_priority = 5};
    struct thread *threads[2];
    atomic_store_relaxed(&counter, 0u);
    CHECK_EQ(thread_set_policy(thread_self(), THREAD_FIFO, 99),
             0); /* to get as far as the second */
    for (int i = 0; i < 2; i++)
        CHECK_EQ(thread_create(&threads[i], take_turns, NULL, &attr), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(thread_join(threads[i], NULL), 0);
}

static void sleep_lasts_at_least_as_long(void)
{
    for (uint64_t time_ns = 1; time_ns < 20 * NSEC_PER_MSEC; time_ns *= 7) {
        uint64_t start = clock_ns();
        thread_sleep(time_ns);
        CHECK(clock_ns() - start >= time_ns);
    }
}

static void a_lone_thread_is_not_interrupted(void)
{
    thread_sleep(20 * NSEC_PER_MSEC); /* what the boot left armed has run out */
    uint64_t start = clock_ns(), before = timer_interrupts(0);
    while (clock_ns() - start < 300 * NSEC_PER_MSEC)
        hal_cpu_relax();
    CHECK(timer_interrupts(0) - before <= 2);
}

static void many_threads(void)
{
    size_t count = test_scaled(100000);
    struct page_stats before, after;
    size_t threads_size = count * sizeof(struct thread *);
    struct thread **threads = page_alloc_range(DIV_UP(threads_size, PAGE_SIZE));
    uint64_t time_ns = 0;
    CHECK(threads != NULL);
#if HAL_HOST_TSAN
    count = MIN(count, 4000u); /* the run time's limit is 8128 */
#endif
    page_drain_all();
    page_stats(&before);
    for (size_t i = 0; i < count; i++)
        CHECK_EQ(thread_create(&threads[i], sleeper, &time_ns, NULL), 0);
    CHECK(thread_count() >= count / 2 || cpu_count() > 1);
    for (size_t i = 0; i < count; i++)
        CHECK_EQ(thread_join(threads[i], NULL), 0);
    page_drain_all();
    page_stats(&after);
    CHECK(after.free + 64 >= before.free); /* but for a grown run queue */
    page_free_range(threads, DIV_UP(threads_size, PAGE_SIZE));
}

static void no_memory_for_a_thread_is_an_error(void)
{
    struct thread *thread;
    void *chain = NULL;
    for (void *page; (page = page_alloc()); chain = page)
        *(void **)page = chain;
    CHECK_EQ(thread_create(&thread, return_zero, NULL, NULL), -ENOMEM);
    while (chain) {
        void *next = *(void **)chain;
        page_free(chain);
        chain = next;
    }
    CHECK_EQ(thread_create(&thread, return_zero, NULL, NULL), 0);
    CHECK_EQ(thread_join(thread, NULL), 0);
}

#if OSV_DEBUG
static void sleeping_with_preemption_off_panics(void)
{
    preempt_disable();
    thread_sleep(NSEC_PER_MSEC);
}
#endif

#if !HAL_HOST_ASAN && !HAL_HOST_TSAN
static int use_stack(void *arg)
{
    volatile char bytes[2048];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(uintptr_t)arg;
    uintptr_t depth = (uintptr_t)arg;
    return depth == 0 ? bytes[3] : use_stack((void *)(depth - 1)) + bytes[7];
}

static void a_stack_overflow_panics(void)
{
    const struct thread_attr attr = {.stack_size = 2 * PAGE_SIZE};
    struct thread *thread;
    void *below = page_alloc_range(64); /* so that nothing of value lies there */
    CHECK(below != NULL);
    CHECK_EQ(thread_create(&thread, use_stack, (void *)3, &attr), 0);
    CHECK_EQ(thread_join(thread, NULL), 0);
    page_free_range(below, 64);
}
#endif

TEST_CASES_BEGIN
    {"a thread runs and is joined", a_thread_runs_and_is_joined, .cpus = 1},
        {"a thread runs and is joined, four CPUs", a_thread_runs_and_is_joined, .cpus = 4},
        {"thread_exit ends a thread with its status", exit_ends_a_thread_with_its_status,
         .cpus = 1},
        {"detached threads go away by themselves", detached_threads_go_away_by_themselves,
         .cpus = 2},
        {"wrong joins are refused", wrong_joins_are_refused, .cpus = 2},
        {"wrong attributes are refused", wrong_attributes_are_refused, .cpus = 2},
        {"names are kept and cut", names_are_kept_and_cut, .cpus = 1},
        {"affinity is kept", affinity_is_kept, .cpus = 4},
        {"affinity moves running and queued threads", affinity_moves_running_and_queued_threads,
         .cpus = 2},
#if !HAL_HOST_TSAN
        {"a thread that spins stops nobody", a_thread_that_spins_stops_nobody, .cpus = 1},
        {"a thread that spins stops nobody, two CPUs", a_thread_that_spins_stops_nobody, .cpus = 2},
#endif
        {"real time runs by priority", real_time_runs_by_priority, .cpus = 1},
        {"a woken real-time thread preempts", a_woken_real_time_thread_preempts, .cpus = 1},
        {"round robin takes turns", round_robin_takes_turns, .cpus = 1},
        {"a sleep lasts at least as long", sleep_lasts_at_least_as_long, .cpus = 2},
        {"a lone thread is not interrupted", a_lone_thread_is_not_interrupted, .cpus = 1},
        {"100,000 threads", many_threads, .cpus = 1, .memory_mib = 8192},
        {"100,000 threads, four CPUs", many_threads, .cpus = 4, .memory_mib = 8192},
        {"no memory for a thread is an error", no_memory_for_a_thread_is_an_error, .cpus = 1,
         .memory_mib = 16},
#if OSV_DEBUG
        {"sleeping with preemption off panics", sleeping_with_preemption_off_panics, .cpus = 1,
         .panics = "with preemption off since sleeping_with_preemption_off_panics"},
#endif
#if !HAL_HOST_ASAN && !HAL_HOST_TSAN
        {"a stack overflow panics", a_stack_overflow_panics, .cpus = 1, .panics = "stack overflow"},
#endif
TEST_CASES_END
