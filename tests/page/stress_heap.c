/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads on several CPUs that allocate, hand over and free objects of all sizes, while one of them
 * trims the heap and memory runs out now and then. Every object is filled by its owner; at the end
 * every page is back. */
#include "memory.h"
#include <osv/prng.h>
#include <osv/string.h>

#define THREADS_MAX 12u
#define LIVE_MAX 1024u
#define SLOTS 64u

struct object {
    size_t size; /* of all of it; the fill follows */
    unsigned char fill[];
};

static _Atomic(void *) slots[SLOTS]; /* [atomic] objects on their way to another thread */
static _Atomic(uint32_t) working;    /* [atomic] threads that allocate */
static _Atomic(uint32_t) failures;   /* [atomic] allocations that found nothing */

static struct object *take(struct prng *prng)
{
    uint64_t kind = prng_below(prng, 64);
    size_t most = kind == 0 ? 400000 : kind < 4 ? 20000 : kind < 16 ? 2048 : 256;
    size_t size = sizeof(struct object) + prng_below(prng, most);
    struct object *object = prng_below(prng, 2) ? heap_alloc(size) : heap_zalloc(size);
    if (!object) {
        atomic_add_relaxed(&failures, 1u);
        return NULL;
    }
    object->size = size;
    memset(object->fill, (int)(size & 0xff), size - sizeof *object);
    return object;
}

static void check_and_free(struct object *object)
{
    size_t size = object->size;
    for (size_t i = 0; i < size - sizeof *object; i++)
        CHECK_EQ(object->fill[i], size & 0xff);
    heap_free(object, size);
}

static int work(void *arg)
{
    static struct object *all[THREADS_MAX][LIVE_MAX];
    struct object **live = all[(uintptr_t)arg];
    struct prng prng;
    prng_seed(&prng, (uintptr_t)arg + 100);
    for (size_t i = 0; i < test_scaled(100000); i++) {
        struct object **place = &live[prng_below(&prng, LIVE_MAX)];
        if (*place)
            check_and_free(*place);
        *place = take(&prng);
        if (*place && prng_below(&prng, 3) == 0) {
            struct object *other =
                atomic_xchg_acq_rel(&slots[prng_below(&prng, SLOTS)], (void *)*place);
            *place = NULL;
            if (other)
                check_and_free(other);
        }
    }
    for (size_t i = 0; i < LIVE_MAX; i++)
        if (live[i])
            check_and_free(live[i]);
    atomic_sub_release(&working, 1u);
    return 0;
}

static int trim(void *arg)
{
    (void)arg;
    while (atomic_load_acquire(&working) > 0) {
        heap_trim();
        heap_check();
        thread_sleep(2000000);
    }
    return 0;
}

static void objects_change_hands(void)
{
    struct page_stats before = memory_at_start();
    struct thread *threads[THREADS_MAX], *trimmer;
    unsigned count = cpu_count() * 3;
    atomic_store_relaxed(&working, count);
    for (unsigned i = 0; i < count; i++)
        CHECK_EQ(thread_create(&threads[i], work, (void *)(uintptr_t)i, NULL), 0);
    CHECK_EQ(thread_create(&trimmer, trim, NULL, NULL), 0);
    for (unsigned i = 0; i < count; i++)
        join(threads[i]);
    join(trimmer);
    for (size_t i = 0; i < SLOTS; i++) {
        struct object *object = atomic_xchg_acq_rel(&slots[i], NULL);
        if (object)
            check_and_free(object);
    }
    memory_check_same(&before);
    page_check();
    test_note("%u CPUs, %u allocations found nothing", cpu_count(), atomic_load_relaxed(&failures));
}

TEST_CASES_BEGIN
    {"objects change hands, 1 CPU", objects_change_hands, .cpus = 1, .memory_mib = 16},
        {"objects change hands, 2 CPUs", objects_change_hands, .cpus = 2, .memory_mib = 24},
        {"objects change hands, 4 CPUs", objects_change_hands, .cpus = 4, .memory_mib = 48},
TEST_CASES_END
