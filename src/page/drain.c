/* SPDX-License-Identifier: BSD-3-Clause */
/* Having all CPUs give back what they hold in their page fronts and heap magazines, which only they
 * may touch.
 *
 * The one who asks sets drain_asked and interrupts the CPU. The interrupt drains when the code
 * under it has preemption on: then that code is in no front and no magazine and holds no spinlock.
 * Otherwise the request stands, and the asker interrupts again while it waits; or the CPU is going
 * to sleep and answers from page_front_drain(). drain_asked goes to 0 when the CPU has answered.
 * drain_queued owns the call record: set by whoever queues it, cleared when the call arrives. */
#include "page_internal.h"

#define DRAIN_RETRY_NS (10 * NSEC_PER_USEC)

/* Preemption off, not under a front or magazine operation. */
void page_drain_here(struct cpu *cpu)
{
    if (cpu->heap)
        heap_drain(cpu->heap);
    area_unreserve(cpu->pages);
    page_front_put(cpu->pages);
    /* D1 publishes what was given back, pairs with D2 in drain_wait */
    atomic_store_release(&cpu->pages->drain_asked, 0);
}

static void drain_call(struct ipi_call *call)
{
    struct page_cpu *pages = container_of(call, struct page_cpu, drain_call);
    /* D3 gives the record back, pairs with D4 in drain_send */
    atomic_store_release(&pages->drain_queued, 0);
    if (task_self()->preempt_off > 0)
        return;
    preempt_disable();
    page_drain_here(cpu_self());
    preempt_enable_quiet(); /* the interrupt's exit looks at resched */
}

static void drain_send(struct cpu *cpu)
{
    /* D4 takes the record, pairs with D3 in drain_call */
    if (atomic_xchg_acquire(&cpu->pages->drain_queued, 1) == 0) {
        cpu->pages->drain_call.fn = drain_call;
        ipi_call(cpu, &cpu->pages->drain_call);
    }
}

static bool drain_holds(const struct cpu *cpu)
{
    return page_front_count(cpu->pages) > 0 || (cpu->heap && heap_cached(cpu->heap) > 0);
}

static void drain_wait(struct cpu *cpu, uint64_t deadline_ns)
{
    uint64_t now = hal_time_ns(), again = now + DRAIN_RETRY_NS;
    /* D2 takes over what was given back, pairs with D1 in page_drain_here */
    while (atomic_load_acquire(&cpu->pages->drain_asked) != 0 && now < deadline_ns) {
        hal_cpu_relax();
        now = hal_time_ns();
        if (now >= again) {
            drain_send(cpu);
            again = now + DRAIN_RETRY_NS;
        }
    }
}

void page_drain_all(void)
{
    bool wait = shrinker_may_sleep();
    preempt_disable();
    struct cpu *self = cpu_self();
    page_drain_here(self);
    for (unsigned i = 0; i < cpu_count(); i++) {
        struct cpu *cpu = cpu_table[i];
        if (!cpu || cpu == self || !cpu->pages || !drain_holds(cpu))
            continue;
        atomic_store_relaxed(&cpu->pages->drain_asked, 1);
        drain_send(cpu);
    }
    preempt_enable();
    if (!wait)
        return;
    uint64_t deadline_ns = hal_time_ns() + PAGE_DRAIN_WAIT_NS;
    for (unsigned i = 0; i < cpu_count(); i++)
        if (cpu_table[i] && cpu_table[i]->pages)
            drain_wait(cpu_table[i], deadline_ns);
}

void page_front_drain(void)
{
    preempt_disable();
    struct cpu *cpu = cpu_self();
    struct page_cpu *pages = cpu->pages;
    if (atomic_load_relaxed(&pages->drain_asked) != 0) {
        page_drain_here(cpu);
    } else if (pages->area != AREA_NONE || page_front_count(pages) > 0) {
        area_unreserve(pages);
        page_front_put(pages);
    }
    preempt_enable_quiet();
}
