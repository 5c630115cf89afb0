/* SPDX-License-Identifier: BSD-3-Clause */
#include "memory.h"
#include <osv/prng.h>
#include <osv/string.h>

#define CPUS_MAX 4u
#define CACHED_MAX                                                                                 \
    ((size_t)768 << 10) /* bytes that the magazines of one CPU may hold, all classes together */

/* An object that is filled with its number. */
struct object {
    unsigned char *bytes;
    size_t size;
    unsigned char mark;
};

static struct object object_make(size_t size, size_t number)
{
    struct object object = {heap_alloc(size), size, (unsigned char)(number * 31 + size)};
    if (object.bytes)
        memset(object.bytes, object.mark, size);
    return object;
}

static void object_drop(struct object *object)
{
    for (size_t i = 0; i < object->size; i++)
        CHECK_EQ(object->bytes[i], object->mark);
    heap_free(object->bytes, object->size);
    object->bytes = NULL;
}

static void every_size_is_aligned_and_wastes_little(void)
{
    size_t worst = 0;
    for (size_t size = 0; size <= 3 * HEAP_OBJECT_MAX; size++) {
        void *object = heap_alloc(size);
        CHECK(object);
        CHECK_EQ((uintptr_t)object % 16, 0);
        CHECK(size % CACHE_LINE != 0 || size == 0 || (uintptr_t)object % CACHE_LINE == 0);
        size_t usable = heap_usable(size), loss = usable - size;
        CHECK(usable >= size);
        CHECK(loss < 16 || loss * 5 < usable || size == 0);
        if (size > 128)
            worst = MAX(worst, loss * 1000 / usable);
        memset(object, 0x5a, usable);
        heap_free(object, size);
    }
    test_note("largest loss above 128 bytes: %zu permille", worst);
}

/* The least size of the next class. */
static size_t next_class(size_t size)
{
    return OSV_DEBUG ? size * 5 / 4 : heap_usable(size) + 1;
}

/* Slabs included, a full heap holds more than three quarters of what it took. */
static void slabs_waste_little(void)
{
    static void *objects[4096];
    for (size_t size = 129; size <= HEAP_OBJECT_MAX; size = next_class(size)) {
        struct heap_stats before, after;
        heap_trim();
        heap_stats(&before);
        size_t count = MIN(ARRAY_COUNT(objects), ((size_t)16 << 20) / size);
        for (size_t i = 0; i < count; i++)
            CHECK((objects[i] = heap_alloc(size)) != NULL);
        heap_stats(&after);
        size_t took = after.slab_bytes - before.slab_bytes;
        CHECK(OSV_DEBUG ||
              (count * size + size * 16) * 4 > took * 3); /* but for a slab that is begun */
        for (size_t i = 0; i < count; i++)
            heap_free(objects[i], size);
    }
}

static void no_memory_is_null(void)
{
    CHECK(!heap_alloc(SIZE_MAX));
    CHECK(!heap_alloc(SIZE_MAX - 4096));
    CHECK(!heap_alloc(SIZE_MAX / 2));
    CHECK(!heap_zalloc((size_t)1 << 40));
    heap_free(NULL, 100);
}

static void zalloc_zeroes(void)
{
    for (size_t size = 1; size < 100000; size = size * 3 / 2 + 1) {
        struct object dirty = object_make(size, 1);
        CHECK(dirty.bytes);
        object_drop(&dirty);
        unsigned char *object = heap_zalloc(size);
        for (size_t i = 0; i < size; i++)
            CHECK_EQ(object[i], 0);
        heap_free(object, size);
    }
}

static size_t any_size(struct prng *prng)
{
    size_t size = (size_t)1 << prng_below(prng, 17);
    return size + prng_below(prng, size);
}

static int churn(void *arg)
{
    enum { LIVE = 500 };
    static struct object live[CPUS_MAX][LIVE];
    struct object *mine = live[(uintptr_t)arg];
    struct prng prng;
    prng_seed(&prng, 77 + (uintptr_t)arg);
    for (size_t i = 0; i < test_scaled(20000); i++) {
        struct object *object = &mine[prng_below(&prng, LIVE)];
        if (object->bytes)
            object_drop(object);
        *object = object_make(any_size(&prng), i);
    }
    for (size_t i = 0; i < LIVE; i++)
        if (mine[i].bytes)
            object_drop(&mine[i]);
    return 0;
}

static void accounting_is_exact(void)
{
    struct page_stats before = memory_at_start();
    struct heap_stats start, end;
    struct thread *threads[CPUS_MAX];
    heap_stats(&start);
    for (uintptr_t i = 0; i < cpu_count(); i++)
        threads[i] = start_on((unsigned)i, churn, (void *)i);
    for (unsigned i = 0; i < cpu_count(); i++)
        join(threads[i]);
    memory_check_same(&before);
    heap_stats(&end);
    CHECK_EQ(end.slab_bytes, start.slab_bytes);
    CHECK_EQ(end.used_bytes, start.used_bytes);
    CHECK_EQ(end.large_bytes, start.large_bytes);
    CHECK_EQ(end.cached_bytes, 0);
    page_check();
}

/* Objects of one size until there is no memory, then all of them back: for many sizes. */
static void full_memory_comes_back_as_one_piece(void)
{
    static const size_t sizes[] = {16, 100, 720, 4096, 5000, 16384, 20000, 300000};
    struct page_stats before = memory_at_start();
    struct node {
        struct node *next;
    };
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct node *list = NULL;
        size_t count = 0;
        for (struct node *node; (node = heap_alloc(sizes[i])) != NULL; list = node, count++)
            node->next = list;
        size_t used_percent = count * sizes[i] * 100 / (before.free << PAGE_SHIFT);
        test_note("objects of %zu bytes fill %zu %% of free memory", sizes[i], used_percent);
        CHECK(OSV_DEBUG || used_percent >= (sizes[i] <= HEAP_OBJECT_MAX ? 75u : 50u));
        heap_check();
        while (list) {
            struct node *next = list->next;
            heap_free(list, sizes[i]);
            list = next;
        }
        memory_check_same(&before);
    }
}

static void magazines_are_bounded(void)
{
    enum { COUNT = 200 };
    static void *objects[COUNT];
    struct heap_stats stats;
    for (size_t size = 16; size <= HEAP_OBJECT_MAX; size += 16) {
        for (size_t i = 0; i < COUNT; i++)
            CHECK((objects[i] = heap_alloc(size)) != NULL);
        for (size_t i = 0; i < COUNT; i++)
            heap_free(objects[i], size);
    }
    heap_stats(&stats);
    test_note("cached by one CPU: %zu KiB", stats.cached_bytes >> 10);
    CHECK(stats.cached_bytes > 0 && stats.cached_bytes <= CACHED_MAX);
    heap_trim();
    heap_stats(&stats);
    CHECK_EQ(stats.cached_bytes, 0);
}

#define HANDED 2000u
static void *handed[HANDED];

static int free_handed(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < HANDED; i++)
        heap_free(handed[i], i % 3000 + 1);
    return 0;
}

static void objects_may_be_freed_elsewhere(void)
{
    struct page_stats before = memory_at_start();
    for (unsigned round = 0; round < 5; round++) {
        for (size_t i = 0; i < HANDED; i++)
            CHECK((handed[i] = heap_alloc(i % 3000 + 1)) != NULL);
        join(start_on(round % cpu_count(), free_handed, NULL));
    }
    memory_check_same(&before);
}

#if OSV_DEBUG
static void double_free(void)
{
    void *object = heap_alloc(100);
    heap_free(object, 100);
    heap_free(object, 100);
}

static void wrong_size(void)
{
    heap_free(heap_alloc(100), 101);
}

static void wrong_size_of_a_large_object(void)
{
    heap_free(heap_alloc(100000), 100);
}

static void overrun(void)
{
    char *object = heap_alloc(100);
    object[100] = 1;
    heap_free(object, 100);
}

static void use_after_free(void)
{
    preempt_disable();
    char *object = heap_alloc(100);
    heap_free(object, 100);
    object[50] = 1;
    heap_free(heap_alloc(100), 100);
}
#else
static void wrong_size_reaches_the_slab(void)
{
    static void *objects[300];
    for (size_t i = 0; i < ARRAY_COUNT(objects); i++)
        objects[i] = heap_alloc(100);
    for (size_t i = 0; i < ARRAY_COUNT(objects); i++)
        heap_free(objects[i], 64);
}
#endif

TEST_CASES_BEGIN
    {"every size is aligned and wastes little", every_size_is_aligned_and_wastes_little, .cpus = 1},
        {"slabs waste little", slabs_waste_little, .cpus = 1},
        {"no memory is NULL", no_memory_is_null, .cpus = 1},
        {"zalloc zeroes", zalloc_zeroes, .cpus = 1},
        {"accounting is exact, 1 CPU", accounting_is_exact, .cpus = 1},
        {"accounting is exact, 2 CPUs", accounting_is_exact, .cpus = 2},
        {"accounting is exact, 4 CPUs", accounting_is_exact, .cpus = 4},
        {"full memory comes back as one piece", full_memory_comes_back_as_one_piece, .cpus = 2,
         .memory_mib = 48},
        {"magazines are bounded", magazines_are_bounded, .cpus = 1},
        {"objects may be freed elsewhere", objects_may_be_freed_elsewhere, .cpus = 3},
#if OSV_DEBUG
        {"double free", double_free, .cpus = 1,
         .panics = "of 100 bytes: freed twice: first at double_free"},
        {"wrong size", wrong_size, .cpus = 1,
         .panics = "of 100 bytes: freed with size 101: allocated at wrong_size"},
        {"wrong size of a large object", wrong_size_of_a_large_object, .cpus = 1,
         .panics = "freed with size 100:"},
        {"overrun", overrun, .cpus = 1,
         .panics = "of 100 bytes: written behind its end: allocated at overrun"},
        {"use after free", use_after_free, .cpus = 1, .panics = "written after it was freed"},
#else
        {"a wrong size reaches the slab", wrong_size_reaches_the_slab, .cpus = 1,
         .panics = "freed with a wrong size"},
#endif
TEST_CASES_END
