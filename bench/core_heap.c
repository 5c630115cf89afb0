/* SPDX-License-Identifier: BSD-3-Clause */
/* H1 and H2: heap objects of 16 B to 2 KiB. Each step frees a random one of 512 live objects and
 * allocates another of random size in its place, whose first word is written. Sizes are even over
 * the octaves, and the steps are drawn beforehand: the same for ours and for the peer. */
#include "core.h"
#include "machine.h"
#include "peer_malloc.h"
#include <osv/error.h>
#include <osv/heap.h>

#define LIVE 512u
#define STEPS 100000u
#define DRAWN 16384u
#define SIZE_MIN 16u
#define OCTAVES 7u /* up to 2 KiB */

typedef void *get_fn(size_t size);
typedef void put_fn(void *object, size_t size);

static struct {
    uint16_t slot, size;
} drawn[DRAWN];

static struct {
    ALIGNED(128) double step_ns; /* thread's own, as is the rest */
    struct {
        void *object;
        size_t size;
    } live[LIVE];
} threads[2];

static inline void *ours_get(size_t size)
{
    return heap_alloc(size);
}

static inline void ours_put(void *object, size_t size)
{
    heap_free(object, size);
}

static inline void *mi_get(size_t size)
{
    return peer_mimalloc.get(size);
}

static inline void mi_put(void *object, size_t size)
{
    (void)size;
    peer_mimalloc.put(object);
}

static uint16_t draw_size(uint64_t *random)
{
    unsigned octave = (unsigned)(bench_random(random) % OCTAVES);
    uint64_t low = (uint64_t)SIZE_MIN << octave;
    return (uint16_t)(low + 1 + bench_random(random) % low);
}

static void draw(void)
{
    uint64_t random = 0x2545f4914f6cdd1dull;
    if (drawn[0].size > 0)
        return;
    for (unsigned i = 0; i < DRAWN; i++) {
        drawn[i].slot = (uint16_t)(bench_random(&random) % LIVE);
        drawn[i].size = draw_size(&random);
    }
}

ALWAYS_INLINE void steps(unsigned thread, get_fn *get, put_fn *put, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned slot = drawn[i % DRAWN].slot;
        size_t size = drawn[i % DRAWN].size;
        put(threads[thread].live[slot].object, threads[thread].live[slot].size);
        void *object = get(size);
        *(volatile uint64_t *)object = i;
        threads[thread].live[slot].object = object;
        threads[thread].live[slot].size = size;
    }
}

ALWAYS_INLINE void body(unsigned thread, get_fn *get, put_fn *put)
{
    for (unsigned i = 0; i < LIVE; i++) {
        threads[thread].live[i].size = drawn[i].size;
        threads[thread].live[i].object = get(drawn[i].size);
    }
    steps(thread, get, put, DRAWN * 2);
    bench_meet();
    uint64_t start_ns = bench_ns();
    steps(thread, get, put, STEPS);
    threads[thread].step_ns = (double)(bench_ns() - start_ns) / STEPS;
    for (unsigned i = 0; i < LIVE; i++)
        put(threads[thread].live[i].object, threads[thread].live[i].size);
}

static void ours_body(unsigned thread)
{
    body(thread, ours_get, ours_put);
}

static void mi_body(unsigned thread)
{
    body(thread, mi_get, mi_put);
}

/* The value of two threads is that of the slower. */
static int ours(unsigned count, double *value)
{
    draw();
    threads[1].step_ns = 0;
    int error = bench_on_core(count, count, bench_apart, ours_body, NULL);
    *value = MAX(threads[0].step_ns, threads[1].step_ns);
    return error;
}

static int peer(unsigned count, double *value)
{
    int error = peer_mimalloc_load();
    draw();
    threads[1].step_ns = 0;
    if (error == 0)
        error = bench_on_host(count, bench_apart, mi_body, NULL);
    *value = MAX(threads[0].step_ns, threads[1].step_ns);
    return error;
}

static int h1_ours(double *values)
{
    return ours(1, values);
}

static int h1_peer(double *values)
{
    return peer(1, values);
}

static int h2_ours(double *values)
{
    return ours(2, values);
}

static int h2_peer(double *values)
{
    return peer(2, values);
}

static const struct bench_row rows[] = {
    {"H1", "heap, 16 B to 2 KiB mixed, free + alloc", "ns", "mimalloc", 1.0},
    {"H2", "heap, 16 B to 2 KiB mixed, free + alloc, 2 CPUs", "ns", "mimalloc", 1.0},
};

static const struct bench_case cases[] = {
    {&rows[0], 1, h1_ours, h1_peer},
    {&rows[1], 1, h2_ours, h2_peer},
};

const struct bench_group bench_heap = {cases, ARRAY_COUNT(cases)};
