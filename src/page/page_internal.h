/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the room share. The design notes stand in area.c (behind), page.c (front),
 * slab.c and heap.c. */
#pragma once
#include <osv/bitmap.h>
#include <osv/heap.h>
#include <osv/list.h>
#include <osv/page.h>
#include <osv/shrinker.h>
#include <osv/spinlock.h>

#define AREA_PAGES ((size_t)(HUGE_SIZE / PAGE_SIZE))
#define AREA_WORDS (AREA_PAGES / 64)
#define AREA_NONE UINT32_MAX
#define AREA_COUNT 0xffffu /* of a state: free pages that nobody has claimed */
#define AREA_RESERVED                                                                              \
    0x10000u /* of a state: some CPU refills its front here; others look elsewhere first */

/* 2 MiB of memory. Two lines, which the processor fetches together. */
struct area {
    _Atomic(uint64_t) free[AREA_WORDS]; /* [atomic] bit set: the page is free */
    _Atomic(uint32_t) state;            /* [atomic] AREA_COUNT | AREA_RESERVED */
    uint32_t pages;                     /* immutable after page_init: how many can be free at all */
    char *base;                         /* immutable after page_init: the first page */
} ALIGNED(2 * CACHE_LINE);

/* 64 areas: where to look. Bit i belongs to area i of the group. */
struct area_group {
    _Atomic(uint64_t) some;  /* [atomic] has free pages */
    _Atomic(uint64_t) whole; /* [atomic] is free from end to end */
};

struct area_region {
    uintptr_t base; /* address of the first area in the direct map */
    size_t size;    /* bytes */
    uint32_t first; /* index of the first area */
    uint32_t count; /* areas; the last may have fewer pages than 512 */
};

/* Immutable after page_init, but for what the pointers lead to. */
struct page_pool {
    struct area *areas;
    struct area_group *groups;
    struct page_cpu *fronts;   /* one a CPU */
    _Atomic(uintptr_t) *sites; /* debug builds: page_debug.c */
    size_t area_count, group_count, region_count;
    size_t total; /* pages */
    struct area_region regions[PAGE_REGIONS_MAX];
};
extern struct page_pool page_pool;

/* area.c */
struct area *area_of(const void *address); /* NULL: not ours */
size_t area_claim(struct area *area, size_t least, size_t most, bool reserve);
void area_unclaim(struct area *area, size_t pages);
bool area_take_at(struct area *area, size_t first, size_t pages);
bool area_take_whole(struct area *area);
void area_put(struct area *area, size_t first, size_t pages);
void area_put_mask(struct area *area, size_t word, uint64_t mask);
size_t area_take_pages(struct page_cpu *cpu, void **pages, size_t want);
void area_unreserve(struct page_cpu *cpu);
uint64_t area_group_partial(size_t group);
uint64_t area_group_whole(size_t group);
void area_check_all(void);

/* run.c */
void *run_take(size_t pages, size_t align, size_t group);
void run_put(void *base, size_t pages);

/* page.c */
void *page_alloc_packed(size_t pages); /* page_alloc_range(), aligned no more than a run must be */
void page_front_put(struct page_cpu *cpu);
size_t page_front_count(struct page_cpu *cpu);

/* drain.c */
void page_drain_here(struct cpu *cpu); /* preemption off, cpu is the running one */

/* shrinker.c */
void shrinker_init(void);
bool page_reclaim(size_t bytes, unsigned round);

/* page_debug.c */
#if OSV_DEBUG
size_t page_debug_size(size_t areas); /* bytes of page_pool.sites */
void page_debug_alloc(const void *base, size_t pages);
void page_debug_free(const void *base, size_t pages, uintptr_t site);
#else
static inline size_t page_debug_size(size_t areas)
{
    (void)areas;
    return 0;
}
static inline void page_debug_alloc(const void *base, size_t pages)
{
    (void)base, (void)pages;
}
static inline void page_debug_free(const void *base, size_t pages, uintptr_t site)
{
    (void)base, (void)pages, (void)site;
}
#endif

/* slab.c and heap.c */
#define HEAP_CLASSES 36u
#define HEAP_STEP_SHIFT 4 /* sizes are looked up in steps of 16 bytes */

/* Free objects of one class on one CPU, linked through their first words. */
struct magazine {
    void *head;              /* [owning CPU, preemption off] */
    _Atomic(uint32_t) count; /* [owning CPU, preemption off; heap_stats reads] */
    uint32_t limit;          /* immutable after boot */
};

struct heap_cpu {
    struct magazine magazines[HEAP_CLASSES];
} LINE_ALIGNED;

struct slab_class {
    struct spinlock lock; /* a spinlock, for the heap must work where nothing may sleep */
    struct list partial;  /* [lock] slabs with used and unused objects */
    struct slab *empty;   /* [lock] at most one slab that nobody uses */
    size_t slabs;         /* [lock] all of them */
    size_t used;          /* [lock] objects outside the slabs: with callers or in magazines */
    uint32_t size;        /* immutable after boot: bytes of an object */
    uint32_t pages;       /* immutable after boot: of a slab */
    uint32_t objects;     /* immutable after boot: of a slab */
    uint32_t magazine;    /* immutable after boot: objects that one CPU may keep */
    uintptr_t mask;       /* immutable after boot: clears an object's address to its slab's */
} LINE_ALIGNED;
extern struct slab_class slab_classes[HEAP_CLASSES];

void slab_init(void);
/* A chain of up to want objects, linked through their first words; *count says how many. NULL:
 * there are none. */
void *slab_take(struct slab_class *class, size_t want, size_t *count);
void slab_put(struct slab_class *class, void *chain);
bool slab_grow(struct slab_class *class);        /* one more slab; false without memory */
size_t slab_trim(void);                          /* frees the empty slabs; returns pages */
void heap_drain(struct heap_cpu *heap);          /* the running CPU's; preemption off */
size_t heap_cached(const struct heap_cpu *heap); /* bytes in the magazines of any CPU */

/* heap_debug.c: what debug builds wrap around every object */
#if OSV_DEBUG
size_t heap_debug_size(size_t size);
void *heap_debug_alloc(void *raw, size_t size, uintptr_t site);
void *heap_debug_free(void *object, size_t size, uintptr_t site);
#endif
