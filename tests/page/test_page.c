/* SPDX-License-Identifier: BSD-3-Clause */
#include "memory.h"
#include <osv/string.h>

#define PAGES_MAX 32768u /* 128 MiB */
#define HUGE_PAGES (HUGE_SIZE / PAGE_SIZE)

static void *held[PAGES_MAX];

/* Takes single pages until there are none, into held from count on; each is marked with its own
 * address. */
static size_t take_all_behind(size_t count)
{
    for (void **page; (page = page_alloc()) != NULL; held[count++] = page) {
        CHECK(count < PAGES_MAX);
        CHECK_EQ((uintptr_t)page % PAGE_SIZE, 0);
        *page = page;
    }
    return count;
}

static size_t take_all(void)
{
    return take_all_behind(0);
}

static void check_marks(size_t count)
{
    for (size_t i = 0; i < count; i++)
        CHECK(*(void **)held[i] == held[i]);
}

static void every_page_can_be_had_once(void)
{
    struct page_stats before = memory_at_start(), full;
    size_t count = take_all();
    CHECK_EQ(count, before.free);
    check_marks(count); /* nobody else was given one of them */
    page_stats(&full);
    CHECK_EQ(full.free, 0);
    CHECK_EQ(full.largest_free_run, 0);
    CHECK(!page_alloc_huge());
    CHECK(!page_alloc_range(2));
    page_check();
    for (size_t i = 0; i < count; i++)
        page_free(held[i]);
    page_front_drain();
    page_check();
    memory_check_same(&before);
}

static void pages_come_back_in_any_order(void)
{
    struct page_stats before = memory_at_start();
    size_t count = take_all(),
           step = 7919; /* prime to any count below it or not a multiple of it */
    while (count % step == 0)
        step++;
    for (size_t i = 0, at = 0; i < count; i++, at = (at + step) % count) {
        CHECK(held[at]);
        page_free(held[at]);
        held[at] = NULL;
    }
    memory_check_same(&before);
    page_check();
}

static size_t align_of(size_t pages)
{
    size_t align = 1;
    while (align < pages && align < HUGE_PAGES)
        align *= 2;
    return align * PAGE_SIZE;
}

static void fill(void *base, size_t pages, uint64_t mark)
{
    for (size_t i = 0; i < pages; i++)
        *(uint64_t *)(void *)((char *)base + i * PAGE_SIZE) = mark + i;
}

static void check_filled(void *base, size_t pages, uint64_t mark)
{
    for (size_t i = 0; i < pages; i++)
        CHECK_EQ(*(uint64_t *)(void *)((char *)base + i * PAGE_SIZE), mark + i);
}

static void ranges_are_aligned_and_apart(void)
{
    static const size_t sizes[] = {1,   2,   3,   4,   5,   7,   8,   9,   16,   17,
                                   31,  33,  63,  64,  65,  66,  96,  127, 128,  129,
                                   200, 256, 257, 300, 500, 511, 512, 513, 1024, 1300};
    struct page_stats before = memory_at_start();
    void *bases[ARRAY_COUNT(sizes)];
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        bases[i] = page_alloc_range(sizes[i]);
        CHECK(bases[i]);
        CHECK_EQ((uintptr_t)bases[i] % align_of(sizes[i]), 0);
        fill(bases[i], sizes[i], i << 32);
    }
    struct page_stats now;
    page_stats(&now);
    size_t sum = 0;
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        check_filled(bases[i], sizes[i], i << 32);
        sum += sizes[i];
    }
    CHECK_EQ(before.free - now.free, sum);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i += 2)
        page_free_range(bases[i], sizes[i]);
    for (size_t i = 1; i < ARRAY_COUNT(sizes); i += 2)
        page_free_range(bases[i], sizes[i]);
    memory_check_same(&before);
    page_check();
}

static void a_range_may_be_as_large_as_what_is_there(void)
{
    struct page_stats before = memory_at_start();
    size_t most = before.largest_free_run;
    CHECK(!page_alloc_range(before.total + 1));
    CHECK(!page_alloc_range(SIZE_MAX / 2));
    while (most > 0) {
        void *base = page_alloc_range(most);
        if (base) {
            page_free_range(base, most);
            break;
        }
        most--;
    }
    /* It begins on a huge page, so at most the part before the first one is out of reach. */
    CHECK(most + HUGE_PAGES > before.largest_free_run);
    memory_check_same(&before);
}

static void huge_pages_use_every_whole_area(void)
{
    struct page_stats before = memory_at_start(), now;
    size_t count = 0;
    for (void *huge; (huge = page_alloc_huge()) != NULL; held[count++] = huge)
        CHECK_EQ((uintptr_t)huge % HUGE_SIZE, 0);
    page_stats(&now);
    CHECK(now.largest_free_run < HUGE_PAGES);
    CHECK_EQ(before.free - now.free, count * HUGE_PAGES);
    CHECK(count >= before.largest_free_run / HUGE_PAGES);
    while (count > 0)
        page_free_huge(held[--count]);
    memory_check_same(&before);
    page_check();
}

static void scattered_pages_coalesce(void)
{
    struct page_stats before = memory_at_start(), now;
    size_t count = take_all();
    /* Keep every page with an odd number. */
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if ((uintptr_t)held[i] / PAGE_SIZE % 2)
            held[kept++] = held[i];
        else
            page_free(held[i]);
    }
    page_front_drain();
    page_stats(&now);
    CHECK_EQ(now.free, count - kept);
    CHECK_EQ(now.largest_free_run, 1);
    CHECK(!page_alloc_range(2));
    CHECK(!page_alloc_range(64));
    CHECK(!page_alloc_huge());
    CHECK(!page_alloc_range(1000));
    page_check();
    for (size_t i = 0; i < kept; i++)
        page_free(held[i]);
    void *huge = page_alloc_huge();
    CHECK(huge);
    page_free_huge(huge);
    memory_check_same(&before);
}

/* Two areas free in the midst of full memory, but for one page in the second. */
static void a_range_that_does_not_fit_leaves_nothing_behind(void)
{
    struct page_stats before = memory_at_start(), holed, after;
    size_t count = take_all(), kept = 0;
    char *areas = NULL;
    for (size_t i = 0, run = 0; i < count && !areas; i++) {
        /* Single pages come from one area until that is empty: look for the first page of an early
         * one. */
        run = (uintptr_t)held[i] % HUGE_SIZE == 0 ? run + 1 : run;
        if (run == 3)
            areas = held[i];
    }
    CHECK(areas);
    char *hole = areas + (HUGE_PAGES + 70) * PAGE_SIZE;
    size_t freed = 0;
    for (size_t i = 0; i < count; i++) {
        char *page = held[i];
        if (page >= areas && page < areas + 2 * HUGE_SIZE && page != hole) {
            page_free(page);
            freed++;
        } else {
            held[kept++] = page;
        }
    }
    page_front_drain();
    CHECK_EQ(freed, 2 * HUGE_PAGES - 1);
    page_stats(&holed);
    CHECK_EQ(holed.largest_free_run, HUGE_PAGES + 70);
    CHECK(!page_alloc_range(HUGE_PAGES + 100));
    CHECK(!page_alloc_range(2 * HUGE_PAGES));
    page_check();
    page_stats(&after);
    CHECK_EQ(after.free, holed.free);
    CHECK_EQ(after.largest_free_run, holed.largest_free_run);
    void *range = page_alloc_range(HUGE_PAGES + 70);
    CHECK(range == areas);
    page_free_range(range, HUGE_PAGES + 70);
    for (size_t i = 0; i < kept; i++)
        page_free(held[i]);
    memory_check_same(&before);
}

static void what_came_as_one_goes_in_pieces(void)
{
    struct page_stats before = memory_at_start();
    char *huge = page_alloc_huge(), *range = page_alloc_range(700);
    CHECK(huge && range);
    for (size_t i = 0; i < HUGE_PAGES; i++)
        page_free(huge + (i ^ 1) * PAGE_SIZE);
    page_free_range(range + 100 * PAGE_SIZE, 599);
    page_free_range(range, 100);
    page_free(range + 699 * PAGE_SIZE);
    page_front_drain();
    page_check();
    memory_check_same(&before);
}

static void small_ranges_leave_whole_areas_alone(void)
{
    struct page_stats before = memory_at_start(), now;
    void *pages[64];
    for (size_t i = 0; i < ARRAY_COUNT(pages); i++) {
        pages[i] = page_alloc_range(i % 5 + 2);
        CHECK(pages[i]);
    }
    page_stats(&now);
    CHECK(now.largest_free_run + 2 * HUGE_PAGES >= before.largest_free_run);
    for (size_t i = 0; i < ARRAY_COUNT(pages); i++)
        page_free_range(pages[i], i % 5 + 2);
    memory_check_same(&before);
}

static void a_front_is_bounded_and_drained(void)
{
    struct page_stats stats;
    preempt_disable(); /* one CPU's front */
    for (size_t i = 0; i < 1000; i++)
        held[i] = page_alloc();
    for (size_t i = 0; i < 1000; i++) {
        page_free(held[i]);
        page_stats(&stats);
        CHECK(stats.front <= PAGE_FRONT_MAX * cpu_count());
    }
    CHECK(stats.front > 0);
    size_t free = stats.free;
    page_front_drain();
    page_stats(&stats);
    CHECK(cpu_count() > 1 || stats.front == 0);
    CHECK(cpu_count() > 1 || stats.free == free);
    preempt_enable();
}

static _Atomic(uint32_t) step;

static int park_and_spin(void *arg)
{
    (void)arg;
    void *pages[PAGE_FRONT_MAX / 2];
    for (size_t i = 0; i < ARRAY_COUNT(pages); i++)
        pages[i] = page_alloc();
    for (size_t i = 0; i < ARRAY_COUNT(pages); i++)
        page_free(pages[i]);
    atomic_store_release(&step, 1);
    while (atomic_load_acquire(&step) < 2)
        hal_cpu_relax();
    return 0;
}

/* A CPU that computes for ever gives its front to one that finds nothing. */
static void a_busy_cpu_gives_its_front_back(void)
{
    struct page_stats before, now;
    atomic_store_relaxed(&step, 0);
    struct thread *other = start_on(1, park_and_spin, NULL);
    while (atomic_load_acquire(&step) < 1)
        thread_yield();
    page_stats(&before);
    CHECK(before.front >= PAGE_FRONT_MAX / 4);
    size_t count = take_all();
    for (unsigned i = 0; i < 1000 && count < before.free;
         i++) /* the host may not run the other CPU for a while */
        count = take_all_behind(count);
    CHECK_EQ(count, before.free);
    page_stats(&now);
    CHECK_EQ(now.free, 0);
    for (size_t i = 0; i < before.free; i++)
        page_free(held[i]);
    atomic_store_release(&step, 2);
    join(other);
}

/* Several regions, one of which ends in a part of an area. Lays a second allocator over memory of
 * the first, which nobody uses afterwards. */
static void regions_are_kept_apart(void)
{
    char *memory = page_alloc_range(8 * HUGE_PAGES);
    CHECK(memory);
    struct hal_mem_region regions[] = {
        {hal_virt_to_phys(memory), HUGE_SIZE},
        {hal_virt_to_phys(memory + 2 * HUGE_SIZE), 2 * HUGE_SIZE + 5 * PAGE_SIZE},
        {hal_virt_to_phys(memory + 5 * HUGE_SIZE), HUGE_SIZE}, /* the next one adjoins */
        {hal_virt_to_phys(memory + 6 * HUGE_SIZE), 3 * PAGE_SIZE},
    };
    struct page_stats stats;
    preempt_disable();
    page_init(regions, ARRAY_COUNT(regions));
    page_stats(&stats);
    size_t all = 4 * HUGE_PAGES + 8;
    CHECK(stats.total < all && stats.total > 3 * HUGE_PAGES + 3);
    CHECK_EQ(stats.free, stats.total);
    CHECK_EQ(stats.largest_free_run,
             stats.total - 2 * HUGE_PAGES - 3); /* without what the bookkeeping took */
    page_check();
    CHECK(!page_alloc_range(2 * HUGE_PAGES + 6));
    CHECK(!page_alloc_range(3 * HUGE_PAGES));
    size_t count = take_all();
    CHECK_EQ(count, stats.total);
    check_marks(count);
    for (size_t i = 0; i < count; i++) {
        size_t offset = (size_t)((char *)held[i] - memory), region = 0;
        while (region < ARRAY_COUNT(regions) &&
               offset - (size_t)(regions[region].base - regions[0].base) >= regions[region].size)
            region++;
        CHECK(region < ARRAY_COUNT(regions));
        page_free(held[i]);
    }
    page_front_drain();
    page_check();
    page_stats(&stats);
    CHECK_EQ(stats.free, stats.total);
    preempt_enable();
}

#if OSV_DEBUG
static void double_free(void)
{
    void *page = page_alloc();
    page_free(page);
    page_free(page);
}

static void double_free_of_a_range(void)
{
    char *base = page_alloc_range(8);
    page_free(base + 3 * PAGE_SIZE);
    page_free_range(base, 8);
}

static void free_of_a_strange_page(void)
{
    size_t count;
    const struct hal_mem_region *region = hal_mem_map(&count);
    page_free(hal_phys_to_virt(region->base +
                               ALIGN_DOWN(region->size / 2, PAGE_SIZE))); /* nobody came so far */
}

static void misaligned_free(void)
{
    page_free((char *)page_alloc() + 16);
}

static void free_of_what_is_no_memory(void)
{
    page_free((void *)(uintptr_t)0x10000);
}
#else
static void double_free_behind_the_front(void)
{
    void *base = page_alloc_range(8);
    page_free_range(base, 8);
    page_free_range(base, 8);
}

static void double_free_of_a_huge_page(void)
{
    void *huge = page_alloc_huge();
    page_free_huge(huge);
    page_free_huge(huge);
}
#endif

TEST_CASES_BEGIN
    {"every page can be had once", every_page_can_be_had_once, .cpus = 1, .memory_mib = 64},
        {"every page can be had once, 4 CPUs", every_page_can_be_had_once, .cpus = 4,
         .memory_mib = 64},
        {"pages come back in any order", pages_come_back_in_any_order, .cpus = 1, .memory_mib = 64},
        {"ranges are aligned and apart", ranges_are_aligned_and_apart, .cpus = 2,
         .memory_mib = 128},
        {"a range may be as large as what is there", a_range_may_be_as_large_as_what_is_there,
         .cpus = 1, .memory_mib = 32},
        {"huge pages use every whole area", huge_pages_use_every_whole_area, .cpus = 2,
         .memory_mib = 64},
        {"scattered pages coalesce", scattered_pages_coalesce, .cpus = 1, .memory_mib = 64},
        {"a range that does not fit leaves nothing behind",
         a_range_that_does_not_fit_leaves_nothing_behind, .cpus = 1, .memory_mib = 64},
        {"what came as one goes in pieces", what_came_as_one_goes_in_pieces, .cpus = 2,
         .memory_mib = 64},
        {"small ranges leave whole areas alone", small_ranges_leave_whole_areas_alone, .cpus = 1,
         .memory_mib = 64},
        {"a front is bounded and drained", a_front_is_bounded_and_drained, .cpus = 1,
         .memory_mib = 64},
        {"a busy CPU gives its front back", a_busy_cpu_gives_its_front_back, .cpus = 2,
         .memory_mib = 64},
        {"regions are kept apart", regions_are_kept_apart, .cpus = 1, .memory_mib = 64},
#if OSV_DEBUG
        {"double free", double_free, .cpus = 1, .panics = "freed twice: first at double_free"},
        {"double free of a range", double_free_of_a_range, .cpus = 1, .panics = "freed twice"},
        {"free of a page nobody had", free_of_a_strange_page, .cpus = 1,
         .panics = "never allocated"},
        {"misaligned free", misaligned_free, .cpus = 1, .panics = "it is no page"},
        {"free of what is no memory", free_of_what_is_no_memory, .cpus = 1,
         .panics = "no memory of the allocator"},
#else
        {"double free behind the front", double_free_behind_the_front, .cpus = 1,
         .panics = "freed twice"},
        {"double free of a huge page", double_free_of_a_huge_page, .cpus = 1,
         .panics = "huge page"},
#endif
TEST_CASES_END
