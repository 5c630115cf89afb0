/* SPDX-License-Identifier: BSD-3-Clause */
#include "memory.h"
#include <osv/string.h>

/* A cache that holds pages in a list and gives them back when asked. */
struct cache {
    struct shrinker shrinker;
    void *pages;             /* linked through their first words */
    size_t count;            /* pages in it */
    unsigned asked;          /* times it was */
    size_t wanted;           /* bytes, the last time */
    bool stubborn;           /* gives nothing */
    bool allocates;          /* tries to allocate when asked ... */
    bool got_memory;         /* ... and got something */
    bool could_sleep;        /* what shrinker_may_sleep() said, the last time */
    unsigned depth, deepest; /* calls inside each other */
};

static size_t cache_shrink(struct shrinker *shrinker, size_t bytes_wanted)
{
    struct cache *cache = container_of(shrinker, struct cache, shrinker);
    size_t given = 0;
    cache->depth++;
    cache->deepest = MAX(cache->deepest, cache->depth);
    cache->asked++;
    cache->wanted = bytes_wanted;
    cache->could_sleep = shrinker_may_sleep();
    if (cache->allocates) {
        void *page = page_alloc();
        cache->got_memory = page != NULL;
        if (page)
            page_free(page);
    }
    for (; !cache->stubborn && cache->pages && given < bytes_wanted; given += PAGE_SIZE) {
        void *page = cache->pages;
        cache->pages = *(void **)page;
        cache->count--;
        page_free(page);
    }
    cache->depth--;
    return given;
}

static void cache_init(struct cache *cache, const char *name)
{
    *cache = (struct cache){.shrinker = {.name = name, .shrink = cache_shrink}};
    shrinker_register(&cache->shrinker);
}

static void cache_fini(struct cache *cache)
{
    shrinker_unregister(&cache->shrinker);
    while (cache->pages) {
        void *page = cache->pages;
        cache->pages = *(void **)page;
        page_free(page);
    }
}

/* Puts every page of the machine in the cache, which is not registered while that happens. */
static void cache_fill(struct cache *cache)
{
    shrinker_unregister(&cache->shrinker);
    for (void **page; (page = page_alloc()) != NULL; cache->count++) {
        *page = cache->pages;
        cache->pages = page;
    }
    shrinker_register(&cache->shrinker);
}

static void a_cache_gives_way_to_an_allocation(void)
{
    struct page_stats before = memory_at_start();
    struct cache cache;
    cache_init(&cache, "test");
    cache_fill(&cache);
    size_t full = cache.count;
    CHECK(full > 1000);
    CHECK_EQ(cache.asked, 0);

    void *page = page_alloc();
    CHECK(page);
    CHECK(cache.asked > 0 && cache.could_sleep);
    CHECK(cache.count < full && cache.count + 16 > full); /* no more than about what was wanted */
    CHECK(cache.wanted >= PAGE_SIZE);

    void *object = heap_alloc(1000), *large = heap_alloc(50000);
    CHECK(object && large);
    heap_free(object, 1000);
    heap_free(large, 50000);
    page_free(page);
    cache_fini(&cache);
    memory_check_same(&before);
}

static void a_range_is_asked_for_until_it_lies_together(void)
{
    struct page_stats before = memory_at_start();
    struct cache cache;
    cache_init(&cache, "test");
    cache_fill(&cache);
    void *range = page_alloc_range(100);
    CHECK(range);
    CHECK(cache.asked > 0);
    page_free_range(range, 100);
    cache_fill(&cache);
    void *huge = page_alloc_huge();
    CHECK(huge);
    page_free_huge(huge);
    cache_fini(&cache);
    memory_check_same(&before);
}

static void with_nothing_left_the_caller_gets_null(void)
{
    struct page_stats before = memory_at_start();
    struct cache cache;
    cache_init(&cache, "test");
    cache_fill(&cache);
    cache.stubborn = true;
    CHECK(!page_alloc());
    CHECK(cache.asked >= 1 && cache.asked <= 8);
    CHECK(!page_alloc_range(10));
    CHECK(!page_alloc_huge());
    CHECK(!heap_alloc(10000));
    CHECK(!heap_alloc(100000));
    cache.stubborn = false;
    void *page = page_alloc();
    CHECK(page);
    page_free(page);
    cache_fini(&cache);
    memory_check_same(&before);
}

static void a_shrinker_that_allocates_is_not_asked_again(void)
{
    struct page_stats before = memory_at_start();
    struct cache cache;
    cache_init(&cache, "test");
    cache_fill(&cache);
    cache.allocates = true;
    void *page = page_alloc();
    CHECK(page);
    CHECK_EQ(cache.deepest, 1);
    CHECK(!cache.got_memory); /* there was none, and nobody to ask */
    page_free(page);
    CHECK_EQ(shrinker_reclaim(PAGE_SIZE), PAGE_SIZE); /* the guard is off again */
    cache_fini(&cache);
    memory_check_same(&before);
}

static void with_preemption_off_a_shrinker_may_not_sleep(void)
{
    struct cache cache;
    cache_init(&cache, "test");
    cache_fill(&cache);
    preempt_disable();
    void *page = page_alloc();
    preempt_enable();
    CHECK(page);
    CHECK(cache.asked > 0 && !cache.could_sleep);
    page_free(page);
    cache_fini(&cache);
}

static void only_as_many_are_asked_as_it_takes(void)
{
    struct cache first, second;
    cache_init(&first, "first");
    cache_init(&second, "second");
    heap_trim();
    for (struct cache *cache = &first; cache; cache = cache == &first ? &second : NULL) {
        for (size_t i = 0; i < 10; i++, cache->count++) {
            void **page = page_alloc();
            *page = cache->pages;
            cache->pages = page;
        }
    }
    CHECK_EQ(shrinker_reclaim(10 * PAGE_SIZE), 10 * PAGE_SIZE);
    CHECK_EQ(first.count, 0);
    CHECK_EQ(first.asked, 1);
    CHECK_EQ(second.asked, 0);
    CHECK_EQ(shrinker_reclaim(5 * PAGE_SIZE), 5 * PAGE_SIZE);
    CHECK_EQ(second.count, 5);
    CHECK_EQ(second.wanted, 5 * PAGE_SIZE);
    CHECK_EQ(shrinker_reclaim(SIZE_MAX), 5 * PAGE_SIZE);
    cache_fini(&first);
    CHECK_EQ(shrinker_reclaim(PAGE_SIZE), 0);
    CHECK_EQ(first.asked, 3);
    CHECK_EQ(second.asked, 3);
    cache_fini(&second);
}

/* A shrinker that stays inside until it is let go. */
struct slow {
    struct shrinker shrinker;
    _Atomic(uint32_t) inside, go, left;
};

static size_t slow_shrink(struct shrinker *shrinker, size_t bytes_wanted)
{
    struct slow *slow = container_of(shrinker, struct slow, shrinker);
    (void)bytes_wanted;
    atomic_store_release(&slow->inside, 1);
    while (atomic_load_acquire(&slow->go) == 0)
        thread_sleep(100000);
    atomic_store_release(&slow->left, 1);
    return 0;
}

static int reclaim_once(void *arg)
{
    (void)arg;
    CHECK_EQ(shrinker_reclaim(SIZE_MAX), 0);
    return 0;
}

static int let_go_later(void *arg)
{
    struct slow *slow = arg;
    thread_sleep(20000000);
    atomic_store_release(&slow->go, 1);
    return 0;
}

static void who_unregisters_waits_for_the_last_user(void)
{
    static struct slow slow = {.shrinker = {.name = "slow", .shrink = slow_shrink}};
    struct cache behind;
    heap_trim();
    shrinker_register(&slow.shrinker);
    cache_init(&behind, "behind");
    struct thread *user = start_on(1, reclaim_once, NULL);
    while (atomic_load_acquire(&slow.inside) == 0)
        thread_sleep(100000);
    struct thread *waker = start_on(1, let_go_later, &slow);
    shrinker_unregister(&slow.shrinker);
    CHECK_EQ(atomic_load_acquire(&slow.left), 1);
    memset(&slow.shrinker, 0xff,
           sizeof slow.shrinker); /* it may be freed: nobody looks at it any more */
    join(user);
    join(waker);
    CHECK_EQ(behind.asked, 1); /* the walk found its way on */
    CHECK_EQ(shrinker_reclaim(PAGE_SIZE), 0);
    cache_fini(&behind);
}

TEST_CASES_BEGIN
    {"a cache gives way to an allocation", a_cache_gives_way_to_an_allocation, .cpus = 1,
     .memory_mib = 32},
        {"the same on 2 CPUs", a_cache_gives_way_to_an_allocation, .cpus = 2, .memory_mib = 32},
        {"a range is asked for until it lies together", a_range_is_asked_for_until_it_lies_together,
         .cpus = 1, .memory_mib = 32},
        {"with nothing left the caller gets NULL", with_nothing_left_the_caller_gets_null,
         .cpus = 2, .memory_mib = 32},
        {"a shrinker that allocates is not asked again",
         a_shrinker_that_allocates_is_not_asked_again, .cpus = 1, .memory_mib = 32},
        {"with preemption off a shrinker may not sleep",
         with_preemption_off_a_shrinker_may_not_sleep, .cpus = 1, .memory_mib = 32},
        {"only as many are asked as it takes", only_as_many_are_asked_as_it_takes, .cpus = 1},
        {"who unregisters waits for the last user", who_unregisters_waits_for_the_last_user,
         .cpus = 2},
TEST_CASES_END
