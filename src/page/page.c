/* SPDX-License-Identifier: BSD-3-Clause */
/* The front of the page allocator: a short stack of page addresses a CPU, touched by that CPU with
 * preemption off, so that the common get and put are a load and a store. The areas (area.c) stand
 * behind it; runs and huge pages go there directly.
 *
 * F1 A page in a front is collected: its bit is clear, and it is in one front once.
 * F2 A front holds at most PAGE_FRONT_MAX pages, one of them beside the stack. It is refilled to
 *    half and emptied to half, so that no pattern of gets and puts goes behind more often than once
 *    in PAGE_FRONT_MAX / 2.
 * F3 A CPU that sleeps holds none (page_front_drain), one that is asked gives them back (drain.c).
 *
 * An allocation that finds nothing has the fronts of all CPUs drained, then asks the shrinkers for
 * twice as much each time, and tries again each time; see page_reclaim(). */
#include "page_internal.h"
#include <osv/log.h>
#include <osv/string.h>

#define FRONT_BATCH (PAGE_FRONT_MAX / 2)

static size_t stack_count(struct page_cpu *cpu)
{
    return (size_t)(atomic_load_relaxed(&cpu->top) - cpu->stack);
}

size_t page_front_count(struct page_cpu *cpu)
{
    return stack_count(cpu) + (atomic_load_relaxed(&cpu->hot) != NULL);
}

static void stack_set_count(struct page_cpu *cpu, size_t count)
{
    atomic_store_relaxed(&cpu->top, cpu->stack + count);
}

/* The index of the bitmap word that has the page, among all of the address space. */
static uintptr_t word_of(const void *page)
{
    return (uintptr_t)page >> (PAGE_SHIFT + 6);
}

static COLD void bad_page(const void *page)
{
    panic("page %p: freed, but it is no memory of the allocator", page);
}

/* Gives back all of the stack but the newest keep pages. Neighbours in the stack that share a word
 * share the accesses. Preemption off. */
static void stack_put(struct page_cpu *cpu, size_t keep)
{
    size_t give = stack_count(cpu) - keep, pages = 0;
    struct area *area = NULL;
    for (size_t i = 0; i < give;) {
        char *page = cpu->stack[i];
        uintptr_t word = word_of(page);
        uint64_t mask = 0;
        size_t first = i;
        do
            mask |= (uint64_t)1 << ((uintptr_t)cpu->stack[i++] >> PAGE_SHIFT & 63);
        while (i < give && word_of(cpu->stack[i]) == word);
        if (unlikely(bitmap_count_word(mask) != i - first))
            panic("page %p or a neighbour: freed twice", (void *)page);
        if (!area || (size_t)(page - area->base) >= HUGE_SIZE) {
            if (area)
                area_unclaim(area, pages);
            pages = 0;
            area = area_of(page);
            if (unlikely(!area))
                bad_page(page);
        }
        area_put_mask(area, word % AREA_WORDS, mask);
        pages += i - first;
    }
    if (area)
        area_unclaim(area, pages);
    memmove(cpu->stack, cpu->stack + give, keep * sizeof cpu->stack[0]);
    stack_set_count(cpu, keep);
}

/* Gives everything back. Preemption off. */
void page_front_put(struct page_cpu *cpu)
{
    void *hot = atomic_load_relaxed(&cpu->hot);
    atomic_store_relaxed(&cpu->hot, NULL);
    stack_put(cpu, 0);
    if (hot)
        run_put(hot, 1);
}

/* The front is empty; preemption is off and becomes again what it was. */
NOINLINE void *page_alloc_slow(struct task *self, uint32_t preempt_off)
{
    for (unsigned round = 0;; round++) {
        struct page_cpu *cpu = cpu_self()->pages;
        DASSERT(!cpu_in_interrupt());
        void *page = atomic_load_relaxed(&cpu->hot); /* a shrinker may have filled it */
        atomic_store_relaxed(&cpu->hot, NULL);
        size_t count = stack_count(cpu);
        if (!page && count == 0)
            count = area_take_pages(cpu, cpu->stack, FRONT_BATCH);
        if (!page && count > 0)
            page = cpu->stack[--count];
        stack_set_count(cpu, count);
        page_front_leave_(self, preempt_off);
        if (page || !page_reclaim(PAGE_SIZE, round))
            return page;
        page_front_enter_(self);
    }
}

/* The front is full; preemption as above. */
NOINLINE void page_free_slow(struct task *self, uint32_t preempt_off, void *page)
{
    struct page_cpu *cpu = cpu_self()->pages;
    stack_put(cpu, PAGE_STACK_MAX - FRONT_BATCH);
    size_t count = stack_count(cpu);
    cpu->stack[count] = page;
    stack_set_count(cpu, count + 1);
    page_front_leave_(self, preempt_off);
}

#if OSV_DEBUG
void *page_alloc(void)
{
    void *page = page_front_pop_();
    if (page)
        page_debug_alloc(page, 1);
    return page;
}

void page_free(void *page)
{
    page_debug_free(page, 1, CALL_SITE());
    page_front_push_(page);
}
#endif

static void *range_alloc(size_t pages, size_t align)
{
    ASSERT(pages > 0);
    if (pages == 1)
        return page_alloc();
    if (pages > page_pool.total)
        return NULL;
    for (unsigned round = 0;; round++) {
        preempt_disable();
        size_t group = cpu_self()->pages->group;
        preempt_enable();
        void *base = run_take(pages, align, group);
        if (base)
            page_debug_alloc(base, pages);
        if (base || !page_reclaim(pages << PAGE_SHIFT, round))
            return base;
    }
}

void *page_alloc_range(size_t pages)
{
    size_t align = 1;
    while (align < MIN(pages, AREA_PAGES))
        align *= 2;
    return range_alloc(pages, align);
}

void *page_alloc_packed(size_t pages)
{
    return range_alloc(pages, pages <= 64 ? 1 : 64);
}

static void range_free(void *base, size_t pages, uintptr_t site)
{
    page_debug_free(base, pages, site);
    run_put(base, pages);
}

void page_free_range(void *base, size_t pages)
{
    ASSERT((uintptr_t)base % PAGE_SIZE == 0);
    range_free(base, pages, CALL_SITE());
}

void *page_alloc_huge(void)
{
    return page_alloc_range(AREA_PAGES);
}

void page_free_huge(void *huge)
{
    ASSERT((uintptr_t)huge % HUGE_SIZE == 0);
    range_free(huge, AREA_PAGES, CALL_SITE());
}

/* Lengths of the free runs of the word, chained to *run, the one that ends where the word begins.
 */
static void stats_word(uint64_t free, size_t *run, size_t *longest)
{
    for (size_t bit = 0; bit < 64; bit++) {
        *run = free >> bit & 1 ? *run + 1 : 0;
        *longest = MAX(*longest, *run);
    }
}

void page_stats(struct page_stats *out)
{
    struct page_stats stats = {.total = page_pool.total};
    for (size_t i = 0; i < page_pool.region_count; i++) {
        const struct area_region *region = &page_pool.regions[i];
        size_t run = 0;
        for (size_t index = region->first; index < region->first + region->count; index++) {
            const struct area *area = &page_pool.areas[index];
            stats.free += atomic_load_relaxed(&area->state) & AREA_COUNT;
            for (size_t word = 0; word < AREA_WORDS; word++) {
                uint64_t free = atomic_load_relaxed(&area->free[word]);
                if (free == ~(uint64_t)0)
                    run += 64;
                else
                    stats_word(free, &run, &stats.largest_free_run);
                stats.largest_free_run = MAX(stats.largest_free_run, run);
            }
        }
    }
    for (unsigned i = 0; i < cpu_count(); i++)
        if (cpu_table[i] && cpu_table[i]->pages)
            stats.front += page_front_count(cpu_table[i]->pages);
    stats.free += stats.front;
    *out = stats;
}

void page_check(void)
{
    area_check_all();
    struct page_stats stats;
    page_stats(&stats);
    ASSERT(stats.free <= stats.total);
    for (unsigned i = 0; i < cpu_count(); i++)
        if (cpu_table[i] && cpu_table[i]->pages)
            ASSERT(page_front_count(cpu_table[i]->pages) <= PAGE_FRONT_MAX); /* F2 */
}

/* Sorts out the bookkeeping's place: the end of the largest region, whose size shrinks by it. */
static char *boot_memory(struct hal_mem_region *regions, size_t count, size_t size)
{
    struct hal_mem_region *largest = &regions[0];
    for (size_t i = 1; i < count; i++)
        if (regions[i].size > largest->size)
            largest = &regions[i];
    size = ALIGN_UP(size, PAGE_SIZE);
    if (largest->size < size + PAGE_SIZE)
        panic("memory: the largest region has %zu KiB, the page allocator needs %zu KiB",
              largest->size / 1024, size / 1024);
    largest->size -= size;
    char *memory = hal_phys_to_virt(largest->base + largest->size);
    memset(memory, 0, size);
    return memory;
}

static void area_init(struct area *area, char *base, size_t pages)
{
    area->base = base;
    area->pages = (uint32_t)pages;
    if (pages > 0)
        area_put(area, 0, pages); /* as if somebody had had them all */
}

void page_init(const struct hal_mem_region *regions, size_t count)
{
    struct hal_mem_region left[PAGE_REGIONS_MAX];
    ASSERT(count > 0 && count <= PAGE_REGIONS_MAX);
    memset(&page_pool, 0, sizeof page_pool);
    shrinker_init();
    for (size_t i = 0; i < count; i++) {
        ASSERT(regions[i].base % HUGE_SIZE == 0 && regions[i].size % PAGE_SIZE == 0);
        left[i] = regions[i];
        page_pool.regions[i] = (struct area_region){
            .base = (uintptr_t)hal_phys_to_virt(regions[i].base),
            .first = (uint32_t)page_pool.area_count,
            .count = (uint32_t)DIV_UP(regions[i].size, HUGE_SIZE),
        };
        ASSERT(page_pool.regions[i].base % HUGE_SIZE == 0);
        page_pool.area_count += page_pool.regions[i].count;
    }
    page_pool.region_count = count;
    page_pool.group_count = DIV_UP(page_pool.area_count, (size_t)64);
    size_t areas = page_pool.area_count * sizeof(struct area);
    size_t fronts = cpu_count() * sizeof(struct page_cpu);
    size_t groups = ALIGN_UP(page_pool.group_count * sizeof(struct area_group), (size_t)CACHE_LINE);
    size_t sites = page_debug_size(page_pool.area_count);
    char *memory = boot_memory(left, count, areas + fronts + groups + sites);
    page_pool.areas = (void *)memory;
    page_pool.fronts = (void *)(memory + areas);
    page_pool.groups = (void *)(memory + areas + fronts);
    page_pool.sites = (void *)(memory + areas + fronts + groups);
    for (size_t i = 0; i < count; i++) {
        struct area_region *region = &page_pool.regions[i];
        region->size = left[i].size;
        page_pool.total += left[i].size >> PAGE_SHIFT;
        for (size_t j = 0; j < region->count; j++) {
            size_t before = j * HUGE_SIZE, size = MAX(left[i].size, before) - before;
            area_init(&page_pool.areas[region->first + j], (char *)region->base + before,
                      MIN(size, HUGE_SIZE) >> PAGE_SHIFT);
        }
    }
    page_cpu_init(cpu_table[0]);
}

void page_cpu_init(struct cpu *cpu)
{
    struct page_cpu *front = &page_pool.fronts[cpu->id];
    memset(front, 0, sizeof *front);
    front->area = AREA_NONE;
    /* Spread over the groups, so that CPUs search apart from each other. */
    front->group = (uint32_t)(cpu->id * page_pool.group_count / cpu_count());
    stack_set_count(front, 0);
    cpu->pages = front;
}
