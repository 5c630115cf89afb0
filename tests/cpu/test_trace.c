/* SPDX-License-Identifier: BSD-3-Clause */
/* Tracepoints. */
#include "cpu/threads.h"
#include <osv/clock.h>
#include <osv/string.h>
#include <osv/timer.h>
#include <osv/trace.h>

#define CPUS 4u
#define USER (1ull << TRACE_user)

static struct trace_record records[TRACE_RING_RECORDS];
static _Atomic(uint32_t) callbacks;

static void off_records_nothing(void)
{
    TRACE(user, 1, 2);
    thread_yield();
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        CHECK_EQ(trace_read(cpu, records, TRACE_RING_RECORDS), 0);
    trace_enable(1ull << TRACE_page_reclaim); /* another one */
    TRACE(user, 1, 2);
    trace_enable(USER);
    trace_enable(0);
    TRACE(user, 1, 2);
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        CHECK_EQ(trace_read(cpu, records, TRACE_RING_RECORDS), 0);
}

static int record_some(void *arg)
{
    for (uint64_t i = 0; i < 100; i++)
        TRACE(user, i, (uintptr_t)arg);
    return 0;
}

static void on_records_in_order_on_each_cpu(void)
{
    static unsigned ids[CPUS] = {0, 1, 2, 3};
    struct thread *threads[CPUS];
    uint64_t start_ns = clock_ns();
    trace_enable(USER);
    for (unsigned cpu = 0; cpu < CPUS; cpu++)
        threads[cpu] = start_on(cpu, record_some, &ids[cpu]);
    for (unsigned cpu = 0; cpu < CPUS; cpu++)
        join(threads[cpu]);
    trace_enable(0);
    uint64_t end_ns = clock_ns();
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        uint64_t last_ns = 0;
        CHECK_EQ(trace_read(cpu, records, TRACE_RING_RECORDS), 100);
        for (size_t i = 0; i < 100; i++) {
            CHECK_EQ(records[i].event, TRACE_user);
            CHECK_EQ(records[i].cpu, cpu);
            CHECK_EQ(records[i].a, i);
            CHECK_EQ(records[i].b, (uintptr_t)&ids[cpu]);
            CHECK(records[i].time_ns >= last_ns);
            last_ns = records[i].time_ns;
        }
        CHECK(records[0].time_ns + NSEC_PER_MSEC > start_ns && last_ns < end_ns + NSEC_PER_MSEC);
    }
}

static void a_full_ring_keeps_the_newest(void)
{
    const uint64_t extra = 500;
    trace_enable(USER);
    for (uint64_t i = 0; i < TRACE_RING_RECORDS; i++)
        TRACE(user, i, 0);
    CHECK_EQ(trace_read(0, records, TRACE_RING_RECORDS), TRACE_RING_RECORDS);
    CHECK_EQ(records[0].a, 0);
    for (uint64_t i = 0; i < extra; i++)
        TRACE(user, TRACE_RING_RECORDS + i, ~i);
    trace_enable(0);
    CHECK_EQ(trace_read(0, records, TRACE_RING_RECORDS), TRACE_RING_RECORDS);
    for (uint64_t i = 0; i < TRACE_RING_RECORDS; i++)
        CHECK_EQ(records[i].a, extra + i);
    CHECK_EQ(records[TRACE_RING_RECORDS - 1].b, ~(extra - 1));
    records[10].a = 12345;
    CHECK_EQ(trace_read(0, records, 10), 10); /* no more than asked for, the oldest first */
    CHECK_EQ(records[9].a, extra + 9);
    CHECK_EQ(records[10].a, 12345);
}

static void record_in_interrupt(struct timer *timer)
{
    uint64_t n = atomic_add_relaxed(&callbacks, 1u);
    TRACE(user, n, ~n);
    if (n < 200)
        timer_arm(timer, clock_ns() + 10 * NSEC_PER_USEC);
}

static void records_of_interrupts_do_not_mix_with_others(void)
{
    struct timer timer;
    timer_init(&timer, record_in_interrupt);
    trace_enable(USER);
    timer_arm(&timer, clock_ns());
    for (uint64_t n = 1000; atomic_load_relaxed(&callbacks) <= 200; n++) {
        TRACE(user, n, ~n);
        hal_cpu_relax();
    }
    trace_enable(0);
    size_t count = trace_read(0, records, TRACE_RING_RECORDS);
    CHECK(count > 200);
    uint64_t of_thread = 0, of_interrupt = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t *last = records[i].a < 1000 ? &of_interrupt : &of_thread;
        CHECK_EQ(records[i].b, ~records[i].a);
        CHECK(*last == 0 || records[i].a == *last + 1); /* none is lost */
        *last = records[i].a;
    }
}

static void the_scheduler_is_traced(void)
{
    trace_enable(1ull << TRACE_sched_switch | 1ull << TRACE_sched_wake);
    struct thread *thread = start_on(0, record_some, NULL);
    uintptr_t other = (uintptr_t)thread, self = (uintptr_t)thread_self();
    join(thread);
    trace_enable(0);
    size_t count = trace_read(0, records, TRACE_RING_RECORDS), to = 0, from = 0;
    for (size_t i = 0; i < count; i++) {
        CHECK(records[i].event != TRACE_user);
        to += records[i].event == TRACE_sched_switch && records[i].b == other;
        from += records[i].event == TRACE_sched_switch && records[i].a == other;
        if (records[i].event == TRACE_sched_switch)
            CHECK(records[i].a != records[i].b);
    }
    CHECK(to > 0 && from == to);
    CHECK(records[count - 1].b == self || records[count - 1].a == self);
}

static void events_have_names(void)
{
    CHECK_EQ(strcmp(trace_event_name(TRACE_sched_switch), "sched_switch"), 0);
    CHECK_EQ(strcmp(trace_event_name(TRACE_timer_fire), "timer_fire"), 0);
    CHECK_EQ(strcmp(trace_event_name(TRACE_user), "user"), 0);
    CHECK_EQ(strcmp(trace_event_name(TRACE_EVENT_COUNT), "unknown"), 0);
    for (int event = 0; event < TRACE_EVENT_COUNT; event++)
        CHECK(strlen(trace_event_name((enum trace_event)event)) > 0);
}

TEST_CASES_BEGIN
    {"off records nothing", off_records_nothing, .cpus = 2},
        {"on records in order on each CPU", on_records_in_order_on_each_cpu, .cpus = CPUS},
        {"a full ring keeps the newest", a_full_ring_keeps_the_newest, .cpus = 1},
        {"records of interrupts do not mix with others",
         records_of_interrupts_do_not_mix_with_others, .cpus = 1},
        {"the scheduler is traced", the_scheduler_is_traced, .cpus = 1},
        {"events have names", events_have_names, .cpus = 0},
TEST_CASES_END
