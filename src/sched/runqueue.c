/* SPDX-License-Identifier: BSD-3-Clause */
/* The run queue: real-time threads by priority, then fair threads by decayed run time, in integers.
 *
 * Decay without touching those that do not run (as OSv does it): instead of shrinking every
 * thread's run time by e^-t/tau, the unit shrinks. scale grows by e^(t/tau) for every t that this
 * CPU has run somebody, and the one that ran is charged with the growth, divided by its weight.
 * The order of the others does not change, and only their keys' order counts.
 * R1 scale lies in [2^32, 2^52). When it leaves that, it and all keys are shifted right by 20
 *    bits, which loses less than a microsecond of run time; a thread that was away shifts by the
 *    epochs it missed when it comes back.
 * R2 heap[i].key <= heap[4i+1 .. 4i+4].key.
 * R3 movable counts the fair threads in the heap and on overflow that are not pinned.
 * R4 a queued thread has queued set and home equal to this CPU.
 * R5 A key is the runtime plus half of the thread's hysteresis, and the running thread gives way
 *    when its runtime is half of its own past the least key: so a thread's measure swings around
 *    the common level by the same amount on both sides. With the whole on one side the light
 *    threads, whose swing is large, would get more than their weight.
 *
 * The heap grows by doubling in the insert. Where memory has run out a thread waits on the overflow
 * list until a slot is free; inserting cannot fail. Weights by nice value: Linux,
 * kernel/sched/core.c, sched_prio_to_weight. */
#include "runqueue.h"
#include <osv/error.h>
#include <osv/page.h>
#include <osv/string.h>

#define CHUNK_NS 6250000ull /* longest stretch for which three terms of e^x are exact to 2^-20 */
#define CHUNKS_MAX 64u      /* beyond two time constants the measure is saturated */
#define MOVABLE_LOOK 8u     /* slots from the end that runq_take_movable() looks at */

static inline uint64_t mul_shift(uint64_t a, uint64_t b, unsigned shift)
{
    return (uint64_t)((unsigned __int128)a * b >> shift);
}

/* What a unit of time costs a thread, 1024 / weight, with 20 bits behind the point. */
#define PER(weight) ((1024u << 20) / (weight))
static const uint32_t price_of_nice[40] = {
    PER(88761), PER(71755), PER(56483), PER(46273), PER(36291), PER(29154), PER(23254), PER(18705),
    PER(14949), PER(11916), PER(9548),  PER(7620),  PER(6100),  PER(4904),  PER(3906),  PER(3121),
    PER(2501),  PER(1991),  PER(1586),  PER(1277),  PER(1024),  PER(820),   PER(655),   PER(526),
    PER(423),   PER(335),   PER(272),   PER(215),   PER(172),   PER(137),   PER(110),   PER(87),
    PER(70),    PER(56),    PER(45),    PER(36),    PER(29),    PER(23),    PER(18),    PER(15),
};

static inline uint64_t price(const struct thread *thread, uint64_t time)
{
    return mul_shift(time, price_of_nice[thread->nice - THREAD_NICE_MIN], 20);
}

/* Slot 1 starts a cache line, so that the four children of any slot share one. */
static struct heap_slot *heap_base(void *block)
{
    return (struct heap_slot *)(void *)((char *)block + CACHE_LINE - sizeof(struct heap_slot));
}

int runq_init(struct runq *rq, unsigned cpu)
{
    memset(rq, 0, sizeof *rq);
    rq->scale = 1ull << SCALE_MIN_SHIFT;
    rq->cpu = cpu;
    for (unsigned i = 0; i <= THREAD_RT_MAX; i++)
        list_init(&rq->rt[i]);
    rq->heap_block = page_alloc();
    if (!rq->heap_block)
        return -ENOMEM;
    rq->heap_block_size = PAGE_SIZE;
    rq->heap = heap_base(rq->heap_block);
    rq->heap_capacity = (uint32_t)(PAGE_SIZE / sizeof(struct heap_slot)) - 3;
    return 0;
}

static void renormalise(struct runq *rq, struct thread *running)
{
    rq->scale >>= RENORM_SHIFT;
    rq->epoch++;
    running->runtime >>= RENORM_SHIFT;
    running->epoch = rq->epoch;
    for (uint32_t i = 0; i < rq->heap_count; i++) {
        rq->heap[i].key >>= RENORM_SHIFT;
        rq->heap[i].thread->runtime >>= RENORM_SHIFT;
        rq->heap[i].thread->epoch = rq->epoch;
    }
    for (struct thread *t = rq->overflow; t; t = t->overflow_next) {
        t->runtime >>= RENORM_SHIFT;
        t->epoch = rq->epoch;
    }
}

void runq_charge(struct runq *rq, struct thread *thread, uint64_t ran_ns)
{
    for (unsigned chunk = 0; ran_ns > 0 && chunk < CHUNKS_MAX; chunk++) {
        uint64_t part = MIN(ran_ns, CHUNK_NS);
        uint64_t x = mul_shift(part, (1ull << 52) / SCHED_TAU_NS,
                               20); /* part / tau, 32 bits behind the point */
        uint64_t x2 = mul_shift(x, x, 32);
        uint64_t growth =
            mul_shift(rq->scale, x + x2 / 2 + mul_shift(x2, x, 32) / 6, 32); /* e^x - 1 */
        rq->scale += growth;
        if (!thread_is_rt(thread))
            thread->runtime += price(thread, growth);
        if (unlikely(rq->scale >> SCALE_MAX_SHIFT))
            renormalise(rq, thread);
        ran_ns -= part;
    }
}

/* Half the time by which a thread with this weight runs past the others before it gives way, as run
 * time; less where the others' measure is so small that the half slice would be a good part of
 * their share. */
static inline uint64_t overshoot(const struct runq *rq, const struct thread *thread, uint64_t level)
{
    uint64_t half = mul_shift(rq->scale, ((uint64_t)SCHED_HYSTERESIS_NS << 32) / SCHED_TAU_NS, 33);
    return MIN(price(thread, half), level / 4);
}

/* R5 */
static inline uint64_t key_of(const struct runq *rq, const struct thread *thread)
{
    return thread->runtime + overshoot(rq, thread, thread->runtime);
}

/* Brings runtime to this queue's unit. */
static void runtime_adopt(struct runq *rq, struct thread *thread)
{
    if (thread->home != rq->cpu) {
        thread->runtime = thread->home == THREAD_NO_HOME ? thread->share * (rq->scale >> 16) : 0;
        thread->home = rq->cpu;
    } else if (unlikely(thread->epoch != rq->epoch)) {
        uint32_t missed = rq->epoch - thread->epoch;
        thread->runtime = missed > 2 ? 0 : thread->runtime >> (missed * RENORM_SHIFT);
    }
    thread->epoch = rq->epoch;
}

void runq_export(const struct runq *rq, struct thread *thread)
{
    thread->share = thread->runtime / (rq->scale >> 16);
    thread->home = THREAD_NO_HOME;
}

static bool heap_grow(struct runq *rq)
{
    size_t size = rq->heap_block_size * 2;
    void *block = page_alloc_range(size / PAGE_SIZE);
    if (!block)
        return false;
    memcpy(heap_base(block), rq->heap, rq->heap_count * sizeof *rq->heap);
    page_free_range(rq->heap_block, rq->heap_block_size / PAGE_SIZE);
    rq->heap_block = block;
    rq->heap_block_size = size;
    rq->heap = heap_base(block);
    rq->heap_capacity = (uint32_t)(size / sizeof(struct heap_slot)) - 3;
    return true;
}

static void heap_push(struct runq *rq, uint64_t key, struct thread *thread)
{
    struct heap_slot *heap = rq->heap;
    uint32_t at = rq->heap_count++;
    while (at > 0) {
        uint32_t parent = (at - 1) / HEAP_ARY;
        if (heap[parent].key <= key)
            break;
        heap[at] = heap[parent];
        at = parent;
    }
    heap[at] = (struct heap_slot){key, thread};
}

/* Fills the hole at slot at with (key, thread), moving lesser children up. */
static inline void heap_sift_down(struct heap_slot *heap, uint32_t count, uint32_t at,
                                  struct heap_slot fill)
{
    for (;;) {
        uint32_t child = at * HEAP_ARY + 1;
        if (child >= count)
            break;
        uint32_t least = child;
        uint64_t least_key = heap[child].key;
        if (likely(child + HEAP_ARY <= count)) { /* the whole line, without branches on the keys */
            for (uint32_t i = 1; i < HEAP_ARY; i++) {
                bool less = heap[child + i].key < least_key;
                least = less ? child + i : least;
                least_key = less ? heap[child + i].key : least_key;
            }
        } else {
            for (uint32_t i = child + 1; i < count; i++)
                if (heap[i].key < least_key) {
                    least = i;
                    least_key = heap[i].key;
                }
        }
        if (least_key >= fill.key)
            break;
        heap[at] = heap[least];
        at = least;
    }
    heap[at] = fill;
}

/* Removes slot at. */
static struct thread *heap_remove(struct runq *rq, uint32_t at)
{
    struct thread *thread = rq->heap[at].thread;
    struct heap_slot last = rq->heap[--rq->heap_count];
    if (at == rq->heap_count)
        return thread;
    if (at > 0 && rq->heap[(at - 1) / HEAP_ARY].key > last.key) {
        while (at > 0 && rq->heap[(at - 1) / HEAP_ARY].key > last.key) {
            rq->heap[at] = rq->heap[(at - 1) / HEAP_ARY];
            at = (at - 1) / HEAP_ARY;
        }
        rq->heap[at] = last;
    } else {
        heap_sift_down(rq->heap, rq->heap_count, at, last);
    }
    return thread;
}

static void rt_insert(struct runq *rq, struct thread *thread, bool front)
{
    unsigned p = thread->rt_priority;
    if (front)
        list_push_front(&rq->rt[p], &thread->rt_node);
    else
        list_push_back(&rq->rt[p], &thread->rt_node);
    rq->rt_bitmap[p / 64] |= 1ull << (p % 64);
    rq->rt_count++;
}

static void rt_remove(struct runq *rq, struct thread *thread)
{
    unsigned p = thread->rt_priority;
    list_remove(&thread->rt_node);
    if (list_empty(&rq->rt[p]))
        rq->rt_bitmap[p / 64] &= ~(1ull << (p % 64));
    rq->rt_count--;
}

/* Highest priority queued, or -1. */
static int rt_best(const struct runq *rq)
{
    if (rq->rt_bitmap[1])
        return 127 - __builtin_clzll(rq->rt_bitmap[1]);
    return rq->rt_bitmap[0] ? 63 - __builtin_clzll(rq->rt_bitmap[0]) : -1;
}

void thread_apply_wanted(struct thread *thread)
{
    uint32_t wanted = atomic_load_relaxed(&thread->wanted);
    thread->pinned = wanted >> 24;
    thread->policy = (uint8_t)(wanted >> 16);
    thread->rt_priority = (uint8_t)(wanted >> 8);
    thread->nice = (int8_t)(uint8_t)wanted;
}

static bool fits(const struct runq *rq, const struct thread *thread)
{
    return atomic_load_relaxed(&thread->wanted) ==
               wanted_pack(thread->pinned, thread->policy, thread->rt_priority, thread->nice) &&
           thread_allowed(thread, rq->cpu);
}

void runq_insert(struct runq *rq, struct thread *thread, bool front)
{
    DASSERT(!thread->queued);
    thread_apply_wanted(thread);
    runtime_adopt(rq, thread);
    thread->queued = true;
    if (thread_is_rt(thread)) {
        rt_insert(rq, thread, front);
        return;
    }
    rq->movable += !thread->pinned;
    if (unlikely(rq->heap_count == rq->heap_capacity) && !heap_grow(rq)) {
        thread->overflow_next = rq->overflow;
        rq->overflow = thread;
        rq->overflow_count++;
        return;
    }
    heap_push(rq, key_of(rq, thread), thread);
}

static void overflow_return(struct runq *rq)
{
    while (rq->overflow && rq->heap_count < rq->heap_capacity) {
        struct thread *thread = rq->overflow;
        rq->overflow = thread->overflow_next;
        rq->overflow_count--;
        heap_push(rq, key_of(rq, thread), thread);
    }
}

struct thread *runq_take(struct runq *rq)
{
    struct thread *thread;
    int best = rt_best(rq);
    if (unlikely(best >= 0)) {
        thread = list_entry(rq->rt[best].next, struct thread, rt_node);
        rt_remove(rq, thread);
    } else {
        if (rq->heap_count == 0)
            return NULL;
        struct heap_slot *heap = rq->heap;
        thread = heap[0].thread;
        struct heap_slot last = heap[--rq->heap_count];
        if (rq->heap_count > 0)
            heap_sift_down(heap, rq->heap_count, 0, last);
        rq->movable -= !thread->pinned;
        if (unlikely(rq->overflow != NULL))
            overflow_return(rq);
    }
    thread->queued = false;
    return thread;
}

struct thread *runq_exchange(struct runq *rq, struct thread *running)
{
    if (unlikely(rq->rt_count > 0 || rq->heap_count == 0 || thread_is_rt(running) ||
                 !fits(rq, running) || running->home != rq->cpu)) {
        /* A pre-empted real-time thread keeps its place, unless its turn is over. */
        runq_insert(rq, running, running->policy == THREAD_FIFO || running->rr_left_ns > 0);
        return runq_take(rq);
    }
    struct heap_slot top = rq->heap[0];
    uint64_t key = key_of(rq, running);
    if (key < top.key)
        return running;
    rq->movable += (uint32_t)!running->pinned - (uint32_t)!top.thread->pinned;
    running->queued = true;
    running->epoch = rq->epoch;
    heap_sift_down(rq->heap, rq->heap_count, 0, (struct heap_slot){key, running});
    top.thread->queued = false;
    return top.thread;
}

bool runq_preempts(const struct runq *rq, const struct thread *running)
{
    int best = rt_best(rq);
    if (thread_is_rt(running))
        return best > (int)running->rt_priority ||
               (best == (int)running->rt_priority && running->policy == THREAD_RR &&
                running->rr_left_ns == 0);
    if (best >= 0)
        return true;
    return rq->heap_count > 0 &&
           rq->heap[0].key + overshoot(rq, running, rq->heap[0].key) < running->runtime;
}

uint64_t runq_slice_ns(const struct runq *rq, const struct thread *running)
{
    if (thread_is_rt(running) || rq->heap_count == 0)
        return SCHED_HYSTERESIS_NS;
    uint64_t limit = rq->heap[0].key + overshoot(rq, running, rq->heap[0].key);
    uint64_t left = limit > running->runtime ? limit - running->runtime : 0;
    /* left / price as a part of scale, of tau; beyond a slice nobody asks */
    uint64_t part = (left << 4) / (price(running, rq->scale >> 16) + 1);
    uint64_t slice_ns = part > 1u << 20 ? SCHED_HYSTERESIS_NS : part * (SCHED_TAU_NS >> 8) >> 12;
    return MIN(MAX(slice_ns, SCHED_SLICE_MIN_NS), SCHED_HYSTERESIS_NS);
}

struct thread *runq_take_movable(struct runq *rq, unsigned cpu)
{
    uint32_t end = rq->heap_count;
    uint32_t stop = end > MOVABLE_LOOK ? end - MOVABLE_LOOK : 0;
    for (uint32_t i = end; i-- > stop;) {
        struct thread *thread = rq->heap[i].thread;
        if (!thread_allowed(thread, cpu))
            continue;
        heap_remove(rq, i);
        rq->movable -= !thread->pinned;
        thread->queued = false;
        runq_export(rq, thread);
        return thread;
    }
    return NULL;
}

struct thread *runq_take_misfits(struct runq *rq)
{
    struct thread *misfits = NULL;
    for (uint32_t i = rq->heap_count; i-- > 0;) {
        struct thread *thread = rq->heap[i].thread;
        if (fits(rq, thread))
            continue;
        heap_remove(rq, i);
        rq->movable -= !thread->pinned;
        thread->overflow_next = misfits;
        misfits = thread;
    }
    for (int p = THREAD_RT_MIN; p <= THREAD_RT_MAX; p++)
        list_for_each_safe (node, &rq->rt[p]) {
            struct thread *thread = list_entry(node, struct thread, rt_node);
            if (fits(rq, thread))
                continue;
            rt_remove(rq, thread);
            thread->overflow_next = misfits;
            misfits = thread;
        }
    for (struct thread *t = misfits; t; t = t->overflow_next) {
        t->queued = false;
        runq_export(rq, t);
    }
    return misfits;
}

void runq_check(const struct runq *rq)
{
    uint32_t movable = 0, rt_count = 0, overflow_count = 0;
    ASSERT(rq->scale >> SCALE_MIN_SHIFT && !(rq->scale >> SCALE_MAX_SHIFT)); /* R1 */
    ASSERT(rq->heap_count <= rq->heap_capacity);
    for (uint32_t i = 0; i < rq->heap_count; i++) {
        const struct thread *thread = rq->heap[i].thread;
        ASSERT(i == 0 || rq->heap[(i - 1) / HEAP_ARY].key <= rq->heap[i].key); /* R2 */
        ASSERT(rq->heap[i].key >= thread->runtime);                            /* R5 */
        ASSERT(thread->queued && thread->home == rq->cpu);                     /* R4 */
        movable += !thread->pinned;
    }
    for (const struct thread *t = rq->overflow; t; t = t->overflow_next, overflow_count++)
        movable += !t->pinned;
    for (int p = 0; p <= THREAD_RT_MAX; p++) {
        ASSERT(list_empty(&rq->rt[p]) == !(rq->rt_bitmap[p / 64] >> (p % 64) & 1));
        list_for_each (node, &rq->rt[p])
            rt_count++;
    }
    ASSERT(movable == rq->movable); /* R3 */
    ASSERT(rt_count == rq->rt_count && overflow_count == rq->overflow_count);
}
