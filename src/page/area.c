/* SPDX-License-Identifier: BSD-3-Clause */
/* Areas: what stands behind the fronts of the page allocator. After LLFree (Wrenger, Rommel,
 * Halbuer, Dietrich, Lohmann: "LLFree: Scalable and Optionally-Persistent Page-Frame Allocation",
 * USENIX ATC 2023), without its tree counters.
 *
 * Memory is cut into areas of 2 MiB. An area has one bit a page and a state with the count of free
 * pages. Whoever wants pages first claims them off the count and then collects as many bits;
 * whoever gives back sets bits first and the count after.
 *
 *   I1  The bits that are set are at least the count plus what is claimed and not yet collected.
 *       So a claim always finds its bits, although perhaps not at the first look, and nobody ever
 *       takes more than there is.
 *   I2  With count 512 every bit is set and nobody is at work in the area: claiming all 512 at once
 *       gives sole ownership of the bits (2 MiB pages, long runs). So does having every page of it,
 *       and giving all back at once.
 *   I3  A group's bits agree with the counts of its areas whenever nobody is between changing a
 *       count and summarise(). Whoever changes the class of a count (none, some, whole) calls that.
 *
 * A page is thus in one of three states: free (bit set), collected (bit clear; a front has it, or a
 * caller), or lost to bookkeeping (bit clear for ever, not in area.pages). No state tells a huge
 * page from 512 small ones.
 *
 * A CPU reserves the area that it refills from, so that CPUs work in different lines; it prefers
 * areas that are broken already, then whole ones, then those that others reserved. All loops are
 * lock-free: a failing one means that another succeeded. */
#include "page_internal.h"
#include <osv/log.h>

struct page_pool page_pool;

struct area *area_of(const void *address)
{
    for (size_t i = 0; i < page_pool.region_count; i++) {
        const struct area_region *region = &page_pool.regions[i];
        size_t offset = (uintptr_t)address - region->base;
        if (offset < region->size)
            return &page_pool.areas[region->first + (offset >> HUGE_SHIFT)];
    }
    return NULL;
}

enum area_class { AREA_IS_EMPTY, AREA_IS_PARTIAL, AREA_IS_WHOLE };

static enum area_class classify(uint32_t state)
{
    uint32_t count = state & AREA_COUNT;
    return count == 0 ? AREA_IS_EMPTY : count < AREA_PAGES ? AREA_IS_PARTIAL : AREA_IS_WHOLE;
}

static void summary_write(_Atomic(uint64_t) *summary, uint64_t bit, bool on)
{
    if (((atomic_load_seq_cst(summary) & bit) != 0) == on)
        return;
    if (on)
        atomic_or_seq_cst(summary, bit);
    else
        atomic_and_seq_cst(summary, ~bit);
}

/* Makes the group's bits agree with the count (I3). The last one to write a bit sees the last
 * count: either it reads it here after its write, or the one who changed the count comes here after
 * that. This needs one order of all these accesses. */
static void summarise(struct area *area)
{
    size_t index = (size_t)(area - page_pool.areas);
    struct area_group *group = &page_pool.groups[index / 64];
    uint64_t bit = (uint64_t)1 << index % 64;
    enum area_class is;
    do {
        is = classify(atomic_load_seq_cst(&area->state));
        summary_write(&group->some, bit, is != AREA_IS_EMPTY);
        summary_write(&group->whole, bit, is == AREA_IS_WHOLE);
    } while (classify(atomic_load_seq_cst(&area->state)) != is);
}

uint64_t area_group_partial(size_t group)
{
    const struct area_group *g = &page_pool.groups[group];
    return atomic_load_seq_cst(&g->some) & ~atomic_load_seq_cst(&g->whole);
}

uint64_t area_group_whole(size_t group)
{
    return atomic_load_seq_cst(&page_pool.groups[group].whole);
}

/* Claims between least and most pages and returns how many, or 0. With reserve the area must be
 * nobody's, and becomes reserved in the same step. */
size_t area_claim(struct area *area, size_t least, size_t most, bool reserve)
{
    uint32_t old = atomic_load_relaxed(&area->state);
    uint32_t next;
    size_t count;
    do {
        count = old & AREA_COUNT;
        if (count < least || (reserve && (old & AREA_RESERVED)))
            return 0;
        count = MIN(count, most);
        next = (old - (uint32_t)count) | (reserve ? AREA_RESERVED : 0);
        /* P1 takes over the contents of a whole area, pairs with P2 in area_unclaim */
    } while (!atomic_cas_seq_cst(&area->state, &old, next));
    if (unlikely(classify(old) != classify(next)))
        summarise(area);
    return count;
}

/* Adds pages whose bits are set to the count. */
void area_unclaim(struct area *area, size_t pages)
{
    /* P2 publishes the bits that area_put() stored and the contents, pairs with P1 in area_claim */
    uint32_t old = atomic_add_seq_cst(&area->state, (uint32_t)pages);
    uint32_t next = old + (uint32_t)pages;
    ASSERT((next & AREA_COUNT) <= area->pages);
    if (unlikely(classify(old) != classify(next)))
        summarise(area);
}

/* Writes the addresses of the first set bits, at most n, and returns how many; *free loses them. */
static size_t word_list(uint64_t *free, char *base, size_t n, void **pages)
{
    size_t got = 0;
    while (*free != 0 && got < n) {
        size_t first = (size_t)__builtin_ctzll(*free), run = 64 - first;
        uint64_t above = ~(*free >> first); /* set above the run, but for the zeros shifted in */
        if (above != 0)
            run = MIN(run, (size_t)__builtin_ctzll(above));
        run = MIN(run, n - got);
        char *page = base + (first << PAGE_SHIFT);
        for (size_t i = 0; i < run; i++, page += PAGE_SIZE)
            pages[got + i] = page;
        *free &= ~(~(uint64_t)0 >> (64 - run) << first);
        got += run;
    }
    return got;
}

/* Collects n claimed pages into pages. Lock-free by I1. */
static void area_collect(struct area *area, size_t n, void **pages)
{
    for (;;) {
        for (size_t word = 0; word < AREA_WORDS; word++) {
            uint64_t old = atomic_load_relaxed(&area->free[word]), rest;
            char *base = area->base + (word * 64 << PAGE_SHIFT);
            size_t got;
            do {
                rest = old;
                got = word_list(&rest, base, n, pages);
                /* P3 takes over the contents, pairs with P4 in area_put_mask */
            } while (got > 0 && !atomic_cas_acquire(&area->free[word], &old, rest));
            pages += got;
            n -= got;
            if (n == 0)
                return;
        }
        hal_cpu_relax();
    }
}

static bool area_take_mask(struct area *area, size_t word, uint64_t mask)
{
    uint64_t old = atomic_load_relaxed(&area->free[word]);
    do {
        if ((old & mask) != mask)
            return false;
        /* P5 takes over the contents, pairs with P4 in area_put_mask */
    } while (!atomic_cas_acquire(&area->free[word], &old, old & ~mask));
    return true;
}

/* Gives bits of one word back; the count is the caller's to raise. */
void area_put_mask(struct area *area, size_t word, uint64_t mask)
{
    /* P4 publishes the contents, pairs with P3 in area_collect and P5 in area_take_mask */
    uint64_t old = atomic_or_release(&area->free[word], mask);
    if (unlikely(old & mask))
        panic("page %p: freed twice",
              (void *)(area->base +
                       ((word * 64 + (size_t)__builtin_ctzll(old & mask)) << PAGE_SHIFT)));
}

/* The part of pages [first, end) that lies in the word. */
static uint64_t word_mask(size_t word, size_t first, size_t end)
{
    size_t low = MAX(first, word * 64) - word * 64, high = MIN(end, word * 64 + 64) - word * 64;
    return (~(uint64_t)0 >> (64 - (high - low))) << low;
}

/* Takes claimed pages that must be exactly these; false, with nothing taken, when one of them is
 * not free. */
bool area_take_at(struct area *area, size_t first, size_t pages)
{
    size_t end = first + pages;
    for (size_t word = first / 64; word * 64 < end; word++) {
        if (area_take_mask(area, word, word_mask(word, first, end)))
            continue;
        while (word-- > first / 64)
            area_put_mask(area, word, word_mask(word, first, end));
        return false;
    }
    return true;
}

/* All 512 pages or nothing. */
bool area_take_whole(struct area *area)
{
    if (!area_claim(area, AREA_PAGES, AREA_PAGES, false))
        return false;
    for (size_t word = 0; word < AREA_WORDS; word++) /* I2: nobody else looks for bits here */
        atomic_store_relaxed(&area->free[word], 0);
    return true;
}

void area_put(struct area *area, size_t first, size_t pages)
{
    size_t end = first + pages;
    if (pages == AREA_PAGES) { /* I2 */
        for (size_t word = 0; word < AREA_WORDS; word++) {
            if (unlikely(atomic_load_relaxed(&area->free[word]) != 0))
                panic("huge page %p: freed while parts of it are free", (void *)area->base);
            atomic_store_relaxed(&area->free[word], ~(uint64_t)0);
        }
    } else {
        for (size_t word = first / 64; word * 64 < end; word++)
            area_put_mask(area, word, word_mask(word, first, end));
    }
    area_unclaim(area, pages);
}

enum area_pick { PICK_PARTIAL, PICK_WHOLE, PICK_RESERVED };

/* Claims up to most pages in an area of the wanted kind. PICK_RESERVED takes what others reserved,
 * without reserving. */
static struct area *area_pick(struct page_cpu *cpu, enum area_pick pick, size_t most,
                              size_t *claimed)
{
    size_t group = cpu->group;
    for (size_t i = 0; i < page_pool.group_count; i++) {
        uint64_t bits = pick == PICK_PARTIAL ? area_group_partial(group)
                        : pick == PICK_WHOLE ? area_group_whole(group)
                                             : atomic_load_seq_cst(&page_pool.groups[group].some);
        while (bits != 0) {
            struct area *area = &page_pool.areas[group * 64 + (size_t)__builtin_ctzll(bits)];
            bits &= bits - 1;
            *claimed = area_claim(area, 1, most, pick != PICK_RESERVED);
            if (*claimed == 0)
                continue;
            cpu->group = (uint32_t)group;
            if (pick != PICK_RESERVED)
                cpu->area = (uint32_t)(area - page_pool.areas);
            return area;
        }
        if (++group == page_pool.group_count)
            group = 0;
    }
    return NULL;
}

/* The running CPU reserves no area any more. Preemption off. */
void area_unreserve(struct page_cpu *cpu)
{
    if (cpu->area == AREA_NONE)
        return;
    atomic_and_relaxed(&page_pool.areas[cpu->area].state, ~AREA_RESERVED);
    cpu->area = AREA_NONE;
}

/* Up to want pages for the running CPU, from its own area if that has any. Returns how many: fewer
 * only when there were no more in the whole machine. Preemption off. */
size_t area_take_pages(struct page_cpu *cpu, void **pages, size_t want)
{
    size_t got = 0;
    while (got < want) {
        struct area *area = cpu->area == AREA_NONE ? NULL : &page_pool.areas[cpu->area];
        size_t claimed = area ? area_claim(area, 1, want - got, false) : 0;
        if (claimed == 0) {
            area_unreserve(cpu);
            area = area_pick(cpu, PICK_PARTIAL, want - got, &claimed);
            if (!area)
                area = area_pick(cpu, PICK_WHOLE, want - got, &claimed);
            if (!area)
                area = area_pick(cpu, PICK_RESERVED, want - got, &claimed);
            if (!area)
                break;
        }
        area_collect(area, claimed, pages + got);
        got += claimed;
    }
    return got;
}

void area_check_all(void)
{
    size_t reserved = 0, reserving = 0;
    for (size_t i = 0; i < page_pool.area_count; i++) {
        struct area *area = &page_pool.areas[i];
        uint32_t state = atomic_load_relaxed(&area->state);
        size_t bits = 0;
        for (size_t word = 0; word < AREA_WORDS; word++)
            bits += bitmap_count_word(atomic_load_relaxed(&area->free[word]));
        ASSERT(bits == (state & AREA_COUNT)); /* I1, nobody at work */
        ASSERT(bits <= area->pages);
        uint64_t bit = (uint64_t)1 << i % 64;
        const struct area_group *group = &page_pool.groups[i / 64];
        ASSERT(((atomic_load_relaxed(&group->some) & bit) != 0) == (bits > 0)); /* I3 */
        ASSERT(((atomic_load_relaxed(&group->whole) & bit) != 0) == (bits == AREA_PAGES));
        reserved += (state & AREA_RESERVED) != 0;
    }
    for (unsigned i = 0; i < cpu_count(); i++)
        reserving += cpu_table[i] && cpu_table[i]->pages && cpu_table[i]->pages->area != AREA_NONE;
    ASSERT(reserved == reserving);
}
