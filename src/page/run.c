/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs: contiguous pages out of the areas. Up to 64 pages lie in one word and are taken by one
 * compare-and-swap, up to 512 in one area, word by word, with rollback; what is longer takes
 * consecutive whole areas and the head of one more, again with rollback. Coalescing is what the
 * bitmap does by itself. Lock-free; area.c has the invariants. */
#include "page_internal.h"
#include <osv/log.h>

#define RUN_PROBES_MAX 64u /* broken areas that are looked into before a whole one is broken */

/* Bit i: n <= 64 set bits begin at i, a multiple of align. */
static uint64_t word_runs(uint64_t free, size_t n, size_t align)
{
    for (size_t have = 1; have < n && free != 0;) {
        size_t step = MIN(have, n - have);
        free &= free >> step;
        have += step;
    }
    return align < 64 ? free & ~(uint64_t)0 / (((uint64_t)1 << align) - 1) : free & 1;
}

/* The first page of a run that was free when looked at, or AREA_PAGES. */
static size_t area_look(const struct area *area, size_t pages, size_t align)
{
    for (size_t word = 0; word * 64 + pages <= AREA_PAGES; word += align <= 64 ? 1 : align / 64) {
        size_t full = pages / 64, rest = pages % 64, i = 0;
        if (full == 0) {
            uint64_t runs = word_runs(atomic_load_relaxed(&area->free[word]), pages, align);
            if (runs != 0)
                return word * 64 + (size_t)__builtin_ctzll(runs);
            continue;
        }
        while (i < full && atomic_load_relaxed(&area->free[word + i]) == ~(uint64_t)0)
            i++;
        if (i < full)
            continue;
        uint64_t tail = ((uint64_t)1 << rest) - 1;
        if (rest == 0 || (atomic_load_relaxed(&area->free[word + full]) & tail) == tail)
            return word * 64;
    }
    return AREA_PAGES;
}

static void *area_take_run(struct area *area, size_t pages, size_t align)
{
    size_t at = area_look(area, pages, align);
    if (at == AREA_PAGES || !area_claim(area, pages, pages, false))
        return NULL;
    do {
        if (area_take_at(area, at, pages))
            return area->base + (at << PAGE_SHIFT);
        at = area_look(area, pages, align);
    } while (at != AREA_PAGES);
    area_unclaim(area, pages);
    return NULL;
}

/* At most 512 pages, in areas that are broken already or in whole ones; probes bounds the areas
 * looked into. */
static void *run_take_short(size_t pages, size_t align, size_t group, bool whole, size_t probes)
{
    for (size_t i = 0; i < page_pool.group_count; i++) {
        uint64_t bits = whole ? area_group_whole(group) : area_group_partial(group);
        for (; bits != 0; bits &= bits - 1) {
            struct area *area = &page_pool.areas[group * 64 + (size_t)__builtin_ctzll(bits)];
            if ((atomic_load_relaxed(&area->state) & AREA_COUNT) < pages)
                continue;
            if (probes-- == 0)
                return NULL;
            if (pages == AREA_PAGES) {
                if (area_take_whole(area))
                    return area->base;
                continue;
            }
            void *base = area_take_run(area, pages, align);
            if (base)
                return base;
        }
        if (++group == page_pool.group_count)
            group = 0;
    }
    return NULL;
}

/* Takes count whole areas from first on and rest pages of the next, or nothing. *good: so many of
 * the whole ones were. */
static bool run_take_areas(size_t first, size_t count, size_t rest, size_t *good)
{
    struct area *areas = &page_pool.areas[first];
    size_t taken = 0;
    while (taken < count && area_take_whole(&areas[taken]))
        taken++;
    *good = taken;
    if (taken == count) {
        if (rest == 0)
            return true;
        if (area_claim(&areas[count], rest, rest, false)) {
            if (area_take_at(&areas[count], 0, rest))
                return true;
            area_unclaim(&areas[count], rest);
        }
    }
    while (taken > 0)
        area_put(&areas[--taken], 0, AREA_PAGES);
    return false;
}

static bool area_is_whole(size_t index)
{
    return area_group_whole(index / 64) >> index % 64 & 1;
}

static void *run_take_long(size_t pages)
{
    size_t count = pages / AREA_PAGES, rest = pages % AREA_PAGES;
    for (size_t i = 0; i < page_pool.region_count; i++) {
        const struct area_region *region = &page_pool.regions[i];
        size_t end = region->first + region->count, run = 0;
        for (size_t index = region->first; index < end; index++) {
            if (!area_is_whole(index)) {
                run = 0;
                continue;
            }
            size_t good, first = index + 1 - ++run;
            if (run < count)
                continue;
            if (rest > 0 && index + 1 == end)
                break;
            if (run_take_areas(first, count, rest, &good))
                return page_pool.areas[first].base;
            run = good < count ? index - (first + good) : run - 1;
        }
    }
    return NULL;
}

/* pages contiguous pages, or NULL. align, in pages: a power of two, at least 64 for more than 64
 * pages; more than 512 pages are aligned to 512 anyway. group is where to look first. */
void *run_take(size_t pages, size_t align, size_t group)
{
    if (pages > AREA_PAGES)
        return run_take_long(pages);
    if (pages == AREA_PAGES)
        return run_take_short(pages, align, group, true, SIZE_MAX);
    void *base = run_take_short(pages, align, group, false, RUN_PROBES_MAX);
    if (!base)
        base = run_take_short(pages, align, group, true, SIZE_MAX);
    return base ? base : run_take_short(pages, align, group, false, SIZE_MAX);
}

void run_put(void *base, size_t pages)
{
    while (pages > 0) {
        struct area *area = area_of(base);
        if (!area)
            panic("page %p: freed, but it is no memory of the allocator", base);
        size_t first = (uintptr_t)base >> PAGE_SHIFT & (AREA_PAGES - 1);
        size_t here = MIN(pages, AREA_PAGES - first);
        area_put(area, first, here);
        base = (char *)base + (here << PAGE_SHIFT);
        pages -= here;
    }
}
