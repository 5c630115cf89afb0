/* SPDX-License-Identifier: BSD-3-Clause */
/* A ring of records a CPU, written with interrupts off by that CPU alone. A record's event is
 * written last and is TRACE_EVENT_COUNT while the rest changes, so that a reader can skip it. */
#include <osv/trace.h>
#include <osv/cpu.h>
#include <osv/string.h>

_Atomic(uint64_t) trace_enabled;

static struct trace_record *rings; /* immutable after boot: TRACE_RING_RECORDS a CPU */
static uint64_t written[CPU_MAX];  /* [owning CPU] records ever written */

static const char *const names[] = {
#define TRACE_NAME(name, a, b) #name,
    TRACE_EVENTS(TRACE_NAME)
#undef TRACE_NAME
};

const char *trace_event_name(enum trace_event event)
{
    return (unsigned)event < TRACE_EVENT_COUNT ? names[event] : "unknown";
}

void trace_enable(uint64_t mask)
{
    atomic_store_relaxed(&trace_enabled, rings ? mask : 0);
}

NOINLINE void trace_record(enum trace_event event, uint64_t a, uint64_t b)
{
    hal_irqstate irqs = hal_irq_save();
    unsigned cpu = cpu_self()->id;
    struct trace_record *r =
        &rings[(size_t)cpu * TRACE_RING_RECORDS + (written[cpu]++ & (TRACE_RING_RECORDS - 1))];
    r->event = TRACE_EVENT_COUNT;
    compiler_barrier();
    r->time_ns = hal_time_ns();
    r->a = a;
    r->b = b;
    r->cpu = cpu;
    compiler_barrier();
    r->event = event;
    hal_irq_restore(irqs);
}

size_t trace_read(unsigned cpu, struct trace_record *to, size_t max)
{
    uint64_t end = written[cpu];
    uint64_t start = end > TRACE_RING_RECORDS ? end - TRACE_RING_RECORDS : 0;
    size_t count = 0;
    for (uint64_t i = start; i < end && count < max; i++) {
        struct trace_record r =
            rings[(size_t)cpu * TRACE_RING_RECORDS + (i & (TRACE_RING_RECORDS - 1))];
        if (r.event < TRACE_EVENT_COUNT)
            to[count++] = r;
    }
    return count;
}

void trace_init(struct trace_record *storage)
{
    atomic_store_relaxed(&trace_enabled, 0);
    memset(written, 0, sizeof written);
    rings = storage;
}
