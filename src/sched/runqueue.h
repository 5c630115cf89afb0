/* SPDX-License-Identifier: BSD-3-Clause */
/* One CPU's queue of threads that want to run. Design note: runqueue.c */
#pragma once
#include <osv/sched.h>

#define SCALE_MIN_SHIFT 32 /* the scale lies in [2^32, 2^52) */
#define SCALE_MAX_SHIFT 52
#define RENORM_SHIFT (SCALE_MAX_SHIFT - SCALE_MIN_SHIFT)
#define HEAP_ARY 4

struct heap_slot {
    uint64_t key; /* what the thread has had, see runqueue.c R5 */
    struct thread *thread;
};

struct runq {
    uint64_t scale; /* grows by e while this CPU has run threads for SCHED_TAU_NS */
    uint32_t epoch; /* renormalisations so far */
    uint32_t cpu;   /* immutable */
    uint32_t heap_count;
    uint32_t heap_capacity;
    struct heap_slot *heap;  /* 4-ary, least runtime first; a node's children fill one cache line */
    void *heap_block;        /* what heap lies in */
    size_t heap_block_size;  /* bytes */
    struct thread *overflow; /* runnable, but there was no memory to grow the heap */
    uint64_t rt_bitmap[2];   /* bit p: rt[p] holds a thread */
    struct list rt[THREAD_RT_MAX + 1];
    uint32_t rt_count;
    uint32_t overflow_count;
    uint32_t movable; /* queued fair threads that may run elsewhere */
};

int runq_init(struct runq *rq, unsigned cpu) MUST_CHECK;

static inline uint32_t runq_count(const struct runq *rq)
{
    return rq->heap_count + rq->rt_count + rq->overflow_count;
}

/* Charges thread, which runs, with ran_ns. */
void runq_charge(struct runq *rq, struct thread *thread, uint64_t ran_ns);
/* A thread of this queue's CPU goes to another one: makes its run time independent of this queue's
 * unit, a fraction with 16 bits behind the point. */
void runq_export(const struct runq *rq, struct thread *thread);
/* Puts a runnable thread in; front: a pre-empted real-time thread keeps its place. */
void runq_insert(struct runq *rq, struct thread *thread, bool front);
/* Takes out the thread that should run next; NULL when there is none. */
struct thread *runq_take(struct runq *rq);
/* Puts running back and takes the next one, in one step: the same as runq_insert() and runq_take().
 */
struct thread *runq_exchange(struct runq *rq, struct thread *running);
/* Should the best queued thread run instead of running, which is still entitled to its hysteresis?
 */
bool runq_preempts(const struct runq *rq, const struct thread *running);
/* How long running may go on, at most SCHED_HYSTERESIS_NS, before the queue should be asked again.
 */
uint64_t runq_slice_ns(const struct runq *rq, const struct thread *running);
/* Takes out a fair thread that may run on cpu, a late one; NULL: none among the last few. */
struct thread *runq_take_movable(struct runq *rq, unsigned cpu);
/* Takes out every thread whose wanted policy or affinity does not fit its place, linked by
 * overflow_next. */
struct thread *runq_take_misfits(struct runq *rq);
void runq_check(const struct runq *rq);

/* Applies what thread_set_policy() and thread_set_nice() asked for; thread is not queued. */
void thread_apply_wanted(struct thread *thread);

static inline bool thread_is_rt(const struct thread *thread)
{
    return thread->policy != THREAD_FAIR;
}

static inline bool thread_allowed(const struct thread *thread, unsigned cpu)
{
    return atomic_load_relaxed(&thread->affinity[cpu / 64]) >> (cpu % 64) & 1;
}

/* struct thread's wanted: pinned, policy, priority and nice value, a byte each. */
static inline uint32_t wanted_pack(bool pinned, unsigned policy, unsigned rt_priority, int nice)
{
    return (uint32_t)pinned << 24 | policy << 16 | rt_priority << 8 | (uint8_t)nice;
}
