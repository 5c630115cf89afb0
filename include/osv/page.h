/* SPDX-License-Identifier: BSD-3-Clause */
/* Physical pages: 4 KiB, 2 MiB and contiguous ranges, as addresses in the direct map.
 * src/page/page.c says how.
 *
 * Context, unless said otherwise: a thread, with preemption on or off, no lock of RANK_HEAP or
 * above held; never an interrupt handler, but for page_alloc_range() and page_free_range() of two
 * pages or more, which then do without the shrinkers. Nothing here sleeps. An allocation that finds
 * nothing asks the registered caches (shrinker.h) in the caller's own context and tries again
 * before it returns NULL. Contents are undefined. Progress: lock-free; a page that the CPU's front
 * holds or has room for is wait-free.
 *
 * What was allocated in one piece may be freed in pieces and the other way round, as long as each
 * page is freed once. */
#pragma once
#include <osv/cpu.h>
#include <osv/hal.h>

#define PAGE_FRONT_MAX 64u   /* pages that one CPU keeps in front; 256 KiB */
#define PAGE_REGIONS_MAX 64u /* memory regions of the machine */

/* Boot, CPU 0. Takes over count > 0 regions and forgets whatever an earlier boot left, shrinkers
 * included. The bookkeeping lies in the regions themselves, 128 bytes for 2 MiB. Panics when they
 * are too small for that. */
void page_init(const struct hal_mem_region *regions, size_t count);
/* Boot: gives cpu, which is in cpu_table, its front. page_init() has done so for CPU 0. Cannot
 * fail. */
void page_cpu_init(struct cpu *cpu);

#define PAGE_STACK_MAX (PAGE_FRONT_MAX - 1)

/* What a CPU has of the page room. Private. [own]: by the owning CPU with preemption off. The page
 * that was freed last may have a place of its own, which keeps the stack's pointer out of the chain
 * from a free to the next allocation. */
struct page_cpu {
    _Atomic(void *) hot;            /* [own; page_stats reads] a page, or NULL */
    _Atomic(void **) top;           /* [own; page_stats reads] where the next page goes */
    uint32_t area;                  /* [own] the reserved area, or none */
    uint32_t group;                 /* [own] where it looks first */
    struct ipi_call drain_call;     /* [whoever set drain_queued, then the IPI] */
    _Atomic(uint32_t) drain_queued; /* [atomic] drain_call is on its way */
    _Atomic(uint32_t) drain_asked;  /* [atomic] somebody waits for what this CPU holds */
    void *bottom;                   /* immutable: NULL; what an empty stack has on top */
    void *stack[PAGE_STACK_MAX];    /* [own] */
} LINE_ALIGNED;

/* One page, or NULL. */
#if OSV_DEBUG
void *page_alloc(void);
void page_free(void *page);
#else
static inline void *page_alloc(void);
static inline void page_free(void *page);
#endif

/* pages > 0 contiguous pages, or NULL. Aligned to the next power of two of their size, but at most
 * to 2 MiB. */
void *page_alloc_range(size_t pages);
void page_free_range(void *base, size_t pages);

/* 2 MiB, aligned to as much, or NULL. */
void *page_alloc_huge(void);
void page_free_huge(void *huge);

struct page_stats {
    size_t total;            /* pages that can be allocated at all */
    size_t free;             /* of these, the ones that nobody has; front included */
    size_t front;            /* parked in the fronts of the CPUs */
    size_t largest_free_run; /* contiguous pages behind the fronts */
};
/* Exact while nobody allocates or frees, a guess otherwise. Context: any. O(pages / 64). */
void page_stats(struct page_stats *out);

/* Gives this CPU's front back, and its heap magazines too when somebody asked for them
 * (page_drain_all). An idle CPU calls it before it sleeps. Context: thread, or the idle loop with
 * preemption off. Costs a load where there is nothing. */
void page_front_drain(void);

/* The same for every CPU: interrupts those that hold something. With preemption on it waits until
 * they have answered, at most PAGE_DRAIN_WAIT_NS; a CPU that stays busy with preemption off answers
 * late. */
#define PAGE_DRAIN_WAIT_NS (10 * NSEC_PER_MSEC)
void page_drain_all(void);

/* Asserts the invariants of src/page/area.c. Nobody may allocate or free meanwhile. */
void page_check(void);

/* The rest of the file is private. */
void *page_alloc_slow(struct task *self, uint32_t preempt_off);
void page_free_slow(struct task *self, uint32_t preempt_off, void *page);

/* preempt_disable() and preempt_enable() with the task at hand: the count is restored instead of
 * counted down, which keeps one access less in the chain from a call to the next, and resched,
 * which is seldom set, is looked at first. */
ALWAYS_INLINE uint32_t page_front_enter_(struct task *self)
{
    uint32_t preempt_off = self->preempt_off;
    self->preempt_off = preempt_off + 1;
    compiler_barrier();
    return preempt_off;
}

ALWAYS_INLINE void page_front_leave_(struct task *self, uint32_t preempt_off)
{
    compiler_barrier();
    self->preempt_off = preempt_off;
    if (unlikely(atomic_load_relaxed(&self->resched) != 0) && preempt_off == 0)
        preempt_resched();
}

ALWAYS_INLINE void *page_front_pop_(void)
{
    struct task *self = task_self();
    uint32_t preempt_off = page_front_enter_(self);
    struct page_cpu *cpu = self->cpu->pages;
    void *page = atomic_load_relaxed(&cpu->hot);
    if (page) {
        atomic_store_relaxed(&cpu->hot, NULL);
    } else {
        void **top = atomic_load_relaxed(&cpu->top);
        page = top[-1];
        if (unlikely(!page))
            return page_alloc_slow(self, preempt_off);
        atomic_store_relaxed(&cpu->top, top - 1);
    }
    page_front_leave_(self, preempt_off);
    return page;
}

ALWAYS_INLINE void page_front_push_(void *page)
{
    struct task *self = task_self();
    uint32_t preempt_off = page_front_enter_(self);
    struct page_cpu *cpu = self->cpu->pages;
    if (!atomic_load_relaxed(&cpu->hot)) {
        atomic_store_relaxed(&cpu->hot, page);
    } else {
        void **top = atomic_load_relaxed(&cpu->top);
        if (unlikely(top == cpu->stack + PAGE_STACK_MAX)) {
            page_free_slow(self, preempt_off, page);
            return;
        }
        *top = page;
        atomic_store_relaxed(&cpu->top, top + 1);
    }
    page_front_leave_(self, preempt_off);
}

#if !OSV_DEBUG
static inline void *page_alloc(void)
{
    return page_front_pop_();
}

static inline void page_free(void *page)
{
    page_front_push_(page);
}
#endif
