/* SPDX-License-Identifier: BSD-3-Clause */
/* Static tracepoints. One that is off costs a load of a read-only word and a branch that is not
 * taken. Each CPU records into a ring of its own; the newest TRACE_RING_RECORDS stay. */
#pragma once
#include <osv/atomic.h>
#include <osv/types.h>

#define TRACE_RING_RECORDS 1024u /* a CPU; a power of two */

/* X(name, "what the first argument is", "what the second is") */
#define TRACE_EVENTS(X)                                                                            \
    X(sched_switch, "previous thread", "next thread")                                              \
    X(sched_wake, "thread", "target CPU")                                                          \
    X(sched_migrate, "thread", "target CPU")                                                       \
    X(sched_idle, "CPU", "0 enters, 1 leaves")                                                     \
    X(timer_fire, "timer", "lateness, ns")                                                         \
    X(mutex_wait, "mutex", "thread")                                                               \
    X(mutex_handoff, "mutex", "waiter")                                                            \
    X(page_reclaim, "bytes wanted", "bytes given")                                                 \
    X(user, "free", "free")

enum trace_event {
#define TRACE_ENUM(name, a, b) TRACE_##name,
    TRACE_EVENTS(TRACE_ENUM)
#undef TRACE_ENUM
        TRACE_EVENT_COUNT
};

struct trace_record {
    uint64_t time_ns;
    uint64_t a, b;
    uint32_t event; /* enum trace_event */
    uint32_t cpu;
};

extern _Atomic(uint64_t) trace_enabled; /* bit n: event n is recorded */

void trace_record(enum trace_event event, uint64_t a, uint64_t b); /* private */

/* Context: any. */
#define TRACE(name, a, b)                                                                          \
    do {                                                                                           \
        if (unlikely(atomic_load_relaxed(&trace_enabled) & (1ull << TRACE_##name)))                \
            trace_record(TRACE_##name, (uint64_t)(a), (uint64_t)(b));                              \
    } while (0)

const char *trace_event_name(enum trace_event event);
void trace_enable(uint64_t mask);
/* Copies the records of cpu, oldest first, and returns how many. The events should be off
 * meanwhile: a record that is being written is skipped. Context: any. */
size_t trace_read(unsigned cpu, struct trace_record *to, size_t max);
/* Gives each CPU its ring; storage holds cpu_count() * TRACE_RING_RECORDS records. Boot only. */
void trace_init(struct trace_record *storage);
