/* SPDX-License-Identifier: BSD-3-Clause */
/* P1 to P4: pages of our allocator on our threads, and the peers' aligned allocations of as many
 * bytes on pthreads. Nobody touches the memory. */
#include "core.h"
#include "machine.h"
#include "peer_malloc.h"
#include <osv/error.h>
#include <osv/page.h>
#include <osv/ring_spsc.h>

#define REPEATS 100000u
#define HELD 512u
#define BULKS 100u
#define RANDOMS 50000u
#define REMOTES 50000u
#define HUGES 10000u
#define RING_SLOTS 256u

typedef void *get_fn(void);
typedef void put_fn(void *page);

static inline void *ours_get(void)
{
    return page_alloc();
}

static inline void ours_put(void *page)
{
    page_free(page);
}

static inline void *huge_get(void)
{
    return page_alloc_huge();
}

static inline void huge_put(void *page)
{
    page_free_huge(page);
}

static inline void *tc_get(void)
{
    return peer_tcmalloc.get_aligned(PAGE_SIZE, PAGE_SIZE);
}

static inline void tc_put(void *page)
{
    peer_tcmalloc.put(page);
}

static inline void *mi_get(void)
{
    return peer_mimalloc.get_aligned(PAGE_SIZE, PAGE_SIZE);
}

static inline void mi_put(void *page)
{
    peer_mimalloc.put(page);
}

static struct {
    ALIGNED(128) double pair_ns; /* thread's own */
    void *held[HELD];
} threads[2];

/* --- P1, P2, P3 --- */

ALWAYS_INLINE void repeat(get_fn *get, put_fn *put, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        void *page = get();
        BENCH_USE(page);
        put(page);
    }
}

ALWAYS_INLINE void bulk(void **held, get_fn *get, put_fn *put, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < HELD; k++) {
            held[k] = get();
            BENCH_USE(held[k]);
        }
        for (unsigned k = 0; k < HELD; k++)
            put(held[k]);
    }
}

ALWAYS_INLINE void random_order(void **held, get_fn *get, put_fn *put, unsigned count)
{
    uint64_t random = 7;
    for (unsigned i = 0; i < count; i++) {
        unsigned k = (unsigned)(bench_random(&random) % HELD);
        put(held[k]);
        held[k] = get();
        BENCH_USE(held[k]);
    }
}

ALWAYS_INLINE double repeat_ns(get_fn *get, put_fn *put, unsigned count)
{
    repeat(get, put, count / 10);
    uint64_t start_ns = bench_ns();
    repeat(get, put, count);
    return (double)(bench_ns() - start_ns) / count;
}

ALWAYS_INLINE double bulk_ns(void **held, get_fn *get, put_fn *put)
{
    bulk(held, get, put, BULKS / 10);
    bench_meet();
    uint64_t start_ns = bench_ns();
    bulk(held, get, put, BULKS);
    return (double)(bench_ns() - start_ns) / (BULKS * HELD);
}

ALWAYS_INLINE double random_ns(void **held, get_fn *get, put_fn *put)
{
    for (unsigned k = 0; k < HELD; k++)
        held[k] = get();
    random_order(held, get, put, RANDOMS / 10);
    uint64_t start_ns = bench_ns();
    random_order(held, get, put, RANDOMS);
    double ns = (double)(bench_ns() - start_ns) / RANDOMS;
    for (unsigned k = 0; k < HELD; k++)
        put(held[k]);
    return ns;
}

static void ours_repeat(unsigned thread)
{
    threads[thread].pair_ns = repeat_ns(ours_get, ours_put, REPEATS);
}

static void ours_random(unsigned thread)
{
    threads[thread].pair_ns = random_ns(threads[thread].held, ours_get, ours_put);
}

static void ours_bulk(unsigned thread)
{
    threads[thread].pair_ns = bulk_ns(threads[thread].held, ours_get, ours_put);
}

static void ours_huge(unsigned thread)
{
    threads[thread].pair_ns = repeat_ns(huge_get, huge_put, HUGES);
}

static void tc_repeat(unsigned thread)
{
    threads[thread].pair_ns = repeat_ns(tc_get, tc_put, REPEATS);
}

static void tc_random(unsigned thread)
{
    threads[thread].pair_ns = random_ns(threads[thread].held, tc_get, tc_put);
}

static void tc_bulk(unsigned thread)
{
    threads[thread].pair_ns = bulk_ns(threads[thread].held, tc_get, tc_put);
}

/* The value of two threads is that of the slower. */
static int on_core(unsigned count, bench_body *body, double *value)
{
    threads[1].pair_ns = 0;
    int error = bench_on_core(count, count, bench_apart, body, NULL);
    *value = MAX(threads[0].pair_ns, threads[1].pair_ns);
    return error;
}

static int on_tcmalloc(unsigned count, bench_body *body, double *value)
{
    int error = peer_tcmalloc_load();
    threads[1].pair_ns = 0;
    if (error == 0)
        error = bench_on_host(count, bench_apart, body, NULL);
    *value = MAX(threads[0].pair_ns, threads[1].pair_ns);
    return error;
}

static int p1_ours(double *values)
{
    return on_core(1, ours_repeat, values);
}

static int p1_peer(double *values)
{
    return on_tcmalloc(1, tc_repeat, values);
}

static int p1b_ours(double *values)
{
    return on_core(1, ours_random, values);
}

static int p1b_peer(double *values)
{
    return on_tcmalloc(1, tc_random, values);
}

static int p2_ours(double *values)
{
    return on_core(1, ours_bulk, values);
}

static int p2_peer(double *values)
{
    return on_tcmalloc(1, tc_bulk, values);
}

static int p2b_ours(double *values)
{
    return on_core(2, ours_bulk, values);
}

static int p2b_peer(double *values)
{
    return on_tcmalloc(2, tc_bulk, values);
}

static int p3_ours(double *values)
{
    return on_core(1, ours_huge, values);
}

/* --- P4: thread 0 gets, thread 1 puts --- */

RING_SPSC_DEFINE(ring, RING_SLOTS);
static uint64_t start_ns, end_ns;

ALWAYS_INLINE void remote(unsigned thread, get_fn *get, put_fn *put, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        void *page = NULL;
        if (thread == 0) {
            page = get();
            while (!ring_spsc_push(ring, page))
                hal_cpu_relax();
        } else {
            while (!(page = ring_spsc_pop(ring)))
                hal_cpu_relax();
            put(page);
        }
    }
}

ALWAYS_INLINE void remote_body(unsigned thread, get_fn *get, put_fn *put)
{
    remote(thread, get, put, REMOTES / 10);
    bench_meet();
    if (thread == 0)
        start_ns = bench_ns();
    remote(thread, get, put, REMOTES);
    if (thread == 1)
        end_ns = bench_ns();
}

static void ours_remote(unsigned thread)
{
    remote_body(thread, ours_get, ours_put);
}

static void mi_remote(unsigned thread)
{
    remote_body(thread, mi_get, mi_put);
}

static int p4_ours(double *values)
{
    ring_spsc_init(ring, RING_SLOTS);
    int error = bench_on_core(2, 2, bench_apart, ours_remote, NULL);
    values[0] = (double)(end_ns - start_ns) / REMOTES;
    return error;
}

static int p4_peer(double *values)
{
    int error = peer_mimalloc_load();
    ring_spsc_init(ring, RING_SLOTS);
    if (error == 0)
        error = bench_on_host(2, bench_apart, mi_remote, NULL);
    values[0] = (double)(end_ns - start_ns) / REMOTES;
    return error;
}

static const struct bench_row rows[] = {
    {"P1", "4 KiB page, get + put", "ns", "tcmalloc", 0.40},
    {"P1b", "4 KiB page, get + put among 512 held", "ns", "tcmalloc", 0.40},
    {"P2", "4 KiB pages, 512 gets then 512 puts", "ns", "tcmalloc", 0.60},
    {"P2b", "4 KiB pages, 512 gets then 512 puts, 2 CPUs", "ns", "tcmalloc", 0.60},
    {"P3", "2 MiB page, get + put", "ns", "tcmalloc, 4 KiB", 8},
    {"P4", "4 KiB page, get on one CPU, put on the other", "ns", "mimalloc", 0.50},
};

static const struct bench_case cases[] = {
    {&rows[0], 1, p1_ours, p1_peer}, {&rows[1], 1, p1b_ours, p1b_peer},
    {&rows[2], 1, p2_ours, p2_peer}, {&rows[3], 1, p2b_ours, p2b_peer},
    {&rows[4], 1, p3_ours, p1_peer}, {&rows[5], 1, p4_ours, p4_peer},
};

const struct bench_group bench_page = {cases, ARRAY_COUNT(cases)};
