/* SPDX-License-Identifier: BSD-3-Clause */
/* Q1 to Q4: rings of 256 pointers with one producer and one consumer, both sides on pthreads: a
 * ring needs nothing of the kernel. */
#include "core.h"
#include "machine.h"
#include "peer_ring.h"
#include <osv/error.h>
#include <osv/hal.h>
#include <osv/ring_spsc.h>

#define SLOTS PEER_RING_SLOTS
#define ITEMS 200000u
#define ROUND_TRIPS 5000u
#define BURST 32u

RING_SPSC_DEFINE(there, SLOTS);
RING_SPSC_DEFINE(back, SLOTS);
static struct peer_ring peer_there, peer_back;
static peer_burst_ring burst_there;

typedef bool push_fn(void *item);
typedef void *pop_fn(void);
typedef size_t push_batch_fn(void **items, size_t count);
typedef size_t pop_batch_fn(void **items, size_t max);

static inline bool ours_push(void *item)
{
    return ring_spsc_push(there, item);
}

static inline void *ours_pop(void)
{
    return ring_spsc_pop(there);
}

static inline bool ours_push_back(void *item)
{
    return ring_spsc_push(back, item);
}

static inline void *ours_pop_back(void)
{
    return ring_spsc_pop(back);
}

static inline size_t ours_push_batch(void **items, size_t count)
{
    return ring_spsc_push_batch(there, items, count);
}

static inline size_t ours_pop_batch(void **items, size_t max)
{
    return ring_spsc_pop_batch(there, items, max);
}

static inline bool peer_push(void *item)
{
    return peer_ring_push(&peer_there, item);
}

static inline void *peer_pop(void)
{
    return peer_ring_pop(&peer_there);
}

static inline bool peer_push_back(void *item)
{
    return peer_ring_push(&peer_back, item);
}

static inline void *peer_pop_back(void)
{
    return peer_ring_pop(&peer_back);
}

static inline size_t peer_push_batch(void **items, size_t count)
{
    return peer_burst_push(&burst_there, items, count);
}

static inline size_t peer_pop_batch(void **items, size_t max)
{
    return peer_burst_pop(&burst_there, items, max);
}

static uint64_t start_ns, end_ns; /* [producer], [consumer] */
static uint64_t sum;              /* [consumer] of the items that arrived */

/* --- Q1: thread 0 pushes, thread 1 pops; nobody pauses --- */

ALWAYS_INLINE void produce(push_fn *push, uintptr_t count)
{
    for (uintptr_t i = 1; i <= count; i++)
        while (!push((void *)i))
            ;
}

ALWAYS_INLINE uint64_t consume(pop_fn *pop, uintptr_t count)
{
    uint64_t total = 0;
    for (uintptr_t i = 0; i < count; i++) {
        void *item;
        while (!(item = pop()))
            ;
        total += (uintptr_t)item;
    }
    return total;
}

ALWAYS_INLINE void stream(unsigned thread, push_fn *push, pop_fn *pop)
{
    if (thread == 0) {
        produce(push, ITEMS / 10);
        bench_meet();
        start_ns = bench_ns();
        produce(push, ITEMS);
    } else {
        consume(pop, ITEMS / 10);
        bench_meet();
        sum = consume(pop, ITEMS);
        end_ns = bench_ns();
    }
}

static void q1_ours_body(unsigned thread)
{
    stream(thread, ours_push, ours_pop);
}

static void q1_peer_body(unsigned thread)
{
    stream(thread, peer_push, peer_pop);
}

/* --- Q2: an item goes there and back --- */

ALWAYS_INLINE void spin_push(push_fn *push, void *item)
{
    while (!push(item))
        hal_cpu_relax();
}

ALWAYS_INLINE void *spin_pop(pop_fn *pop)
{
    void *item;
    while (!(item = pop()))
        hal_cpu_relax();
    return item;
}

ALWAYS_INLINE void round_trips(unsigned thread, push_fn *push, pop_fn *pop, push_fn *push_back,
                               pop_fn *pop_back)
{
    for (uintptr_t i = 1; i <= ROUND_TRIPS + ROUND_TRIPS / 10; i++) {
        if (thread == 0) {
            if (i == ROUND_TRIPS / 10 + 1)
                start_ns = bench_ns();
            spin_push(push, (void *)i);
            spin_pop(pop_back);
        } else {
            spin_push(push_back, spin_pop(pop));
        }
    }
    if (thread == 0)
        end_ns = bench_ns();
}

static void q2_ours_body(unsigned thread)
{
    round_trips(thread, ours_push, ours_pop, ours_push_back, ours_pop_back);
}

static void q2_peer_body(unsigned thread)
{
    round_trips(thread, peer_push, peer_pop, peer_push_back, peer_pop_back);
}

/* --- Q3: one thread pushes and pops --- */

ALWAYS_INLINE void pairs(push_fn *push, pop_fn *pop, uintptr_t count)
{
    for (uintptr_t i = 1; i <= count; i++) {
        push((void *)i);
        compiler_barrier();
        BENCH_USE(pop());
    }
}

static NOINLINE void ours_pairs(uintptr_t count)
{
    pairs(ours_push, ours_pop, count);
}

static NOINLINE void peer_pairs(uintptr_t count)
{
    pairs(peer_push, peer_pop, count);
}

static void time_pairs(void (*run)(uintptr_t count))
{
    run(ITEMS / 10);
    start_ns = bench_ns();
    run(ITEMS);
    end_ns = bench_ns();
}

static void q3_ours_body(unsigned thread)
{
    (void)thread;
    time_pairs(ours_pairs);
}

static void q3_peer_body(unsigned thread)
{
    (void)thread;
    time_pairs(peer_pairs);
}

/* --- Q4: as Q1 in bursts, with a pause after an attempt that moved nothing --- */

ALWAYS_INLINE void produce_bursts(push_batch_fn *push, uintptr_t count)
{
    void *items[BURST];
    for (uintptr_t i = 0; i < count; i += BURST) {
        for (uintptr_t k = 0; k < BURST; k++)
            items[k] = (void *)(i + k + 1);
        for (size_t done = 0; done < BURST;) {
            size_t moved = push(items + done, BURST - done);
            if (moved == 0)
                hal_cpu_relax();
            done += moved;
        }
    }
}

ALWAYS_INLINE uint64_t consume_bursts(pop_batch_fn *pop, uintptr_t count)
{
    void *items[BURST];
    uint64_t total = 0;
    for (uintptr_t i = 0; i < count;) {
        size_t moved = pop(items, MIN(BURST, count - i));
        if (moved == 0)
            hal_cpu_relax();
        for (size_t k = 0; k < moved; k++)
            total += (uintptr_t)items[k];
        i += moved;
    }
    return total;
}

ALWAYS_INLINE void stream_bursts(unsigned thread, push_batch_fn *push, pop_batch_fn *pop)
{
    if (thread == 0) {
        produce_bursts(push, ITEMS / 10 / BURST * BURST);
        bench_meet();
        start_ns = bench_ns();
        produce_bursts(push, ITEMS);
    } else {
        consume_bursts(pop, ITEMS / 10 / BURST * BURST);
        bench_meet();
        sum = consume_bursts(pop, ITEMS);
        end_ns = bench_ns();
    }
}
_Static_assert(ITEMS % BURST == 0, "whole bursts");

static void q4_ours_body(unsigned thread)
{
    stream_bursts(thread, ours_push_batch, ours_pop_batch);
}

static void q4_peer_body(unsigned thread)
{
    stream_bursts(thread, peer_push_batch, peer_pop_batch);
}

/* --- all --- */

static int measure(bench_body *body, unsigned threads, unsigned count, bool sums, double *value)
{
    ring_spsc_init(there, SLOTS);
    ring_spsc_init(back, SLOTS);
    peer_burst_init(&burst_there);
    if (!peer_ring_init(&peer_there) || !peer_ring_init(&peer_back))
        return -EINVAL;
    sum = 0;
    int error = bench_on_host(threads, threads == 1 ? bench_first_cpu : bench_apart, body, NULL);
    *value = (double)(end_ns - start_ns) / count;
    if (error == 0 && sums && sum != (uint64_t)ITEMS * (ITEMS + 1) / 2)
        error = -EIO; /* items were lost */
    return error;
}

static int q1_ours(double *values)
{
    return measure(q1_ours_body, 2, ITEMS, true, values);
}

static int q1_peer(double *values)
{
    return measure(q1_peer_body, 2, ITEMS, true, values);
}

static int q2_ours(double *values)
{
    return measure(q2_ours_body, 2, ROUND_TRIPS, false, values);
}

static int q2_peer(double *values)
{
    return measure(q2_peer_body, 2, ROUND_TRIPS, false, values);
}

static int q3_ours(double *values)
{
    return measure(q3_ours_body, 1, ITEMS, false, values);
}

static int q3_peer(double *values)
{
    return measure(q3_peer_body, 1, ITEMS, false, values);
}

static int q4_ours(double *values)
{
    return measure(q4_ours_body, 2, ITEMS, true, values);
}

static int q4_peer(double *values)
{
    return measure(q4_peer_body, 2, ITEMS, true, values);
}

static const struct bench_row rows[] = {
    {"Q1", "ring, single items across CPUs", "ns/item", PEER_RING, PEER_RING_GOAL(0.30)},
    {"Q2", "ring, round trip over two", "ns", "line round trip", 1.3},
    {"Q2b", "ring, round trip over two", "ns", PEER_RING, PEER_RING_GOAL(0.75)},
    {"Q3", "ring, same CPU, push then pop", "ns", PEER_RING, 1.25},
    {"Q4", "ring, bursts of 32 across CPUs", "ns/item", PEER_BURST, 1.15},
};

static const struct bench_case cases[] = {
    {&rows[0], 1, q1_ours, q1_peer}, {&rows[1], 1, q2_ours, bench_peer_line},
    {&rows[2], 1, q2_ours, q2_peer}, {&rows[3], 1, q3_ours, q3_peer},
    {&rows[4], 1, q4_ours, q4_peer},
};

const struct bench_group bench_ring = {cases, ARRAY_COUNT(cases)};
