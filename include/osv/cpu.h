/* SPDX-License-Identifier: BSD-3-Clause */
/* Per-CPU state, and the part of a thread that ranks below the scheduler see. */
#pragma once
#include <osv/assert.h>
#include <osv/atomic.h>
#include <osv/hal.h>
#include <osv/limits.h>

struct page_cpu;
struct heap_cpu;
struct timer_cpu;
struct sched_cpu;

/* The head of every thread. hal_ctx_self() always points at the one that runs. */
struct task {
    struct hal_ctx ctx;   /* first: a context is its task */
    struct cpu *cpu;      /* [owning thread, preemption off] where it runs */
    uint32_t preempt_off; /* [owning thread] nesting */
    _Atomic(uint32_t)
        resched; /* [owning thread and interrupts on its CPU] switch when preempt_off ends */
#if OSV_DEBUG
    uintptr_t preempt_site; /* [owning thread] where preempt_off last left 0 */
    unsigned lock_floor;    /* [owning thread] of these, how many the interrupted code holds */
    unsigned lock_depth;    /* [owning thread] ranked locks held ... */
    uint16_t lock_ranks[LOCK_DEPTH_MAX]; /* ... and their ranks, rising */
#endif
};

struct cpu {
    unsigned id;            /* immutable */
    unsigned irq_depth;     /* [owning CPU] > 0 in an interrupt */
    struct page_cpu *pages; /* immutable after boot; so are the next three */
    struct heap_cpu *heap;
    struct timer_cpu *timers;
    struct sched_cpu *sched;
    _Atomic(struct task *) current; /* [owning CPU; read by all, compared only] */
    _Atomic(void *) calls;          /* [atomic] push stack of struct ipi_call */
} LINE_ALIGNED;

extern struct cpu *cpu_table[CPU_MAX]; /* immutable after boot */

/* Number of CPUs of the machine. Context: any, after cpu_init(). */
unsigned cpu_count(void);

static inline struct task *task_self(void)
{
    return (struct task *)(void *)hal_ctx_self();
}

/* The running CPU. Preemption must be off, or the answer may be out of date at once. */
static inline struct cpu *cpu_self(void)
{
    return task_self()->cpu;
}

void preempt_resched(void); /* switches if the scheduler is up */
void cpu_set_resched_handler(void (*handler)(void));
#if OSV_DEBUG
void preempt_record_site(struct task *self); /* the caller's place */
#endif

/* While preemption is off the running thread stays on its CPU and no other runs there. Nests. It is
 * also the read side of RCU. Context: any. Cost: one increment, one decrement, one test. */
ALWAYS_INLINE void preempt_disable(void)
{
    struct task *self = task_self();
#if OSV_DEBUG
    if (self->preempt_off == 0)
        preempt_record_site(self);
#endif
    self->preempt_off++;
    compiler_barrier();
}

ALWAYS_INLINE void preempt_enable(void)
{
    struct task *self = task_self();
    compiler_barrier();
    DASSERT(self->preempt_off > 0);
    if (--self->preempt_off == 0 && unlikely(atomic_load_relaxed(&self->resched) != 0))
        preempt_resched();
}

/* Ends a preempt_disable() without switching, for callers that will look at resched themselves. */
ALWAYS_INLINE void preempt_enable_quiet(void)
{
    compiler_barrier();
    task_self()->preempt_off--;
}

static inline bool cpu_in_interrupt(void)
{
    return cpu_self()->irq_depth > 0;
}

/* First and last in an interrupt, which does not nest. */
static inline void cpu_irq_enter(void)
{
    struct task *self = task_self();
    self->cpu->irq_depth++;
#if OSV_DEBUG
    self->lock_floor = self->lock_depth;
#endif
}

static inline void cpu_irq_exit(void)
{
    struct task *self = task_self();
    self->cpu->irq_depth--;
#if OSV_DEBUG
    self->lock_floor = 0;
#endif
}

/* Registers cpu 0 with the calling boot code as its task. Boot only; resets whatever an earlier
 * boot left. */
void cpu_init(struct cpu *boot_cpu, struct task *boot_task);
/* Adds one more CPU before it is started. Boot only. */
void cpu_add(struct cpu *cpu, unsigned id);

/* A call that runs on another CPU, in interrupt context. The record belongs to the callee until fn
 * is called. */
struct ipi_call {
    struct ipi_call *next; /* private */
    void (*fn)(struct ipi_call *call);
};

/* Queues call on cpu and interrupts it. Context: any. Lock-free. */
void ipi_call(struct cpu *cpu, struct ipi_call *call);
/* Runs what is queued for this CPU. Context: interrupt. */
void ipi_call_run(void);
