/* SPDX-License-Identifier: BSD-3-Clause */
/* The heap: size classes of 16 bytes to 16 KiB, four to a doubling, and whole pages above. Each CPU
 * has a magazine of free objects a class, touched by that CPU with preemption off (Bonwick and
 * Adams, "Magazines and Vmem", USENIX 2001, with one list instead of two magazines). Freeing needs
 * no look at the object, because the caller says its size.
 *
 *   H1  An object is with a caller, in one magazine, or in its slab, and counts as used by the slab
 *       in the first two cases.
 *   H2  A magazine holds at most limit objects: 64, but not more than 16 KiB, or four objects of
 *       the large classes; it is refilled and emptied by half of that.
 *   H3  Loss inside an object: less than 16 bytes up to 128, above that less than a fifth of what
 *       is given, because a doubling has four classes at equal distances. Above 16 KiB it is less
 *       than a page.
 *
 * heap_trim() empties the magazines of all CPUs (drain.c) and then frees the slabs that nobody
 * uses: whatever pages are still missing belong to live objects. */
#include "page_internal.h"
#include <osv/log.h>
#include <osv/string.h>

#define HEAP_STEPS (HEAP_OBJECT_MAX >> HEAP_STEP_SHIFT)

static uint8_t class_of_step[HEAP_STEPS]; /* immutable after boot: (size - 1) / 16 -> class */
static struct heap_cpu *heap_cpus;        /* immutable after boot: one a CPU */
static _Atomic(size_t) large_pages;       /* [atomic] */

/* (size - 1) / 16, which is more than any step for sizes that are 0 or large. */
static inline size_t step_of(size_t size)
{
    return (size - 1) >> HEAP_STEP_SHIFT;
}

static inline struct magazine *magazine_of(const struct task *self, size_t step)
{
    return &self->cpu->heap->magazines[class_of_step[step]];
}

static inline void magazine_set(struct magazine *magazine, void *head, uint32_t count)
{
    magazine->head = head;
    atomic_store_relaxed(&magazine->count, count);
}

/* Whole pages, or size 0. */
static NOINLINE void *alloc_large(size_t size);

/* The magazine is empty; preemption is off and becomes again what it was. */
static NOINLINE void *alloc_slow(struct task *self, uint32_t preempt_off, size_t step)
{
    struct slab_class *class = &slab_classes[class_of_step[step]];
    for (bool grown = true;;) {
        struct magazine *magazine = magazine_of(self, step);
        uint32_t have =
            atomic_load_relaxed(&magazine->count); /* not 0 when another thread ran here */
        size_t got = have;
        void *object = magazine->head;
        if (!object)
            object = slab_take(class, MAX(class->magazine / 2, 1u), &got);
        if (object)
            magazine_set(magazine, *(void **)object, (uint32_t)got - 1);
        page_front_leave_(self, preempt_off);
        if (object || !grown)
            return object;
        grown =
            slab_grow(class); /* without memory look once more: shrinkers may have filled slabs */
        page_front_enter_(self);
    }
}

static inline void *alloc(size_t size)
{
    size_t step = step_of(size);
    if (unlikely(step >= HEAP_STEPS))
        return alloc_large(size);
    struct task *self = task_self();
    uint32_t preempt_off = page_front_enter_(self);
    struct magazine *magazine = magazine_of(self, step);
    void *object = magazine->head;
    if (unlikely(!object))
        return alloc_slow(self, preempt_off, step);
    magazine_set(magazine, *(void **)object, atomic_load_relaxed(&magazine->count) - 1);
    page_front_leave_(self, preempt_off);
    return object;
}

static NOINLINE void *alloc_large(size_t size)
{
    if (size == 0)
        return alloc(1);
    size_t pages = (size >> PAGE_SHIFT) + (size % PAGE_SIZE != 0);
    void *object = page_alloc_packed(pages);
    if (object)
        atomic_add_relaxed(&large_pages, pages);
    return object;
}

/* Gives back all but the newest keep objects. Preemption off. */
static void magazine_put(struct magazine *magazine, struct slab_class *class, uint32_t keep)
{
    void *chain = magazine->head;
    if (keep == 0) {
        magazine_set(magazine, NULL, 0);
    } else {
        void *last = chain;
        for (uint32_t i = 1; i < keep; i++)
            last = *(void **)last;
        chain = *(void **)last;
        *(void **)last = NULL;
        atomic_store_relaxed(&magazine->count, keep);
    }
    slab_put(class, chain);
}

/* The magazine is full; preemption as above. */
static NOINLINE void free_slow(struct task *self, uint32_t preempt_off, void *object, size_t step)
{
    struct magazine *magazine = magazine_of(self, step);
    magazine_put(magazine, &slab_classes[class_of_step[step]], magazine->limit / 2);
    *(void **)object = magazine->head;
    magazine_set(magazine, object, atomic_load_relaxed(&magazine->count) + 1);
    page_front_leave_(self, preempt_off);
}

static NOINLINE void free_large(void *object, size_t size);

static inline void free_raw(void *object, size_t size)
{
    size_t step = step_of(size);
    if (unlikely(step >= HEAP_STEPS)) {
        free_large(object, size);
        return;
    }
    struct task *self = task_self();
    uint32_t preempt_off = page_front_enter_(self);
    struct magazine *magazine = magazine_of(self, step);
    uint32_t count = atomic_load_relaxed(&magazine->count);
    if (unlikely(count >= magazine->limit)) {
        free_slow(self, preempt_off, object, step);
        return;
    }
    *(void **)object = magazine->head;
    magazine_set(magazine, object, count + 1);
    page_front_leave_(self, preempt_off);
}

static NOINLINE void free_large(void *object, size_t size)
{
    if (size == 0) {
        free_raw(object, 1);
        return;
    }
    size_t pages = DIV_UP(size, PAGE_SIZE);
    atomic_sub_relaxed(&large_pages, pages);
    page_free_range(object, pages);
}

#if OSV_DEBUG
static void *alloc_at(size_t size, uintptr_t site)
{
    size_t raw_size = heap_debug_size(size);
    void *raw = raw_size < size ? NULL : alloc(raw_size);
    return raw ? heap_debug_alloc(raw, size, site) : NULL;
}

void heap_free(void *object, size_t size)
{
    if (object)
        free_raw(heap_debug_free(object, size, CALL_SITE()), heap_debug_size(size));
}

size_t heap_usable(size_t size)
{
    return size; /* the pattern stands right behind it */
}
#else
static inline void *alloc_at(size_t size, uintptr_t site)
{
    (void)site;
    return alloc(size);
}

void heap_free(void *object, size_t size)
{
    if (likely(object))
        free_raw(object, size);
}

size_t heap_usable(size_t size)
{
    size_t step = step_of(size);
    if (step < HEAP_STEPS)
        return slab_classes[class_of_step[step]].size;
    return size == 0 ? slab_classes[0].size : ALIGN_UP(size, PAGE_SIZE);
}
#endif

void *heap_alloc(size_t size)
{
    return alloc_at(size, CALL_SITE());
}

void *heap_zalloc(size_t size)
{
    void *object = alloc_at(size, CALL_SITE());
    if (object)
        memset(object, 0, size);
    return object;
}

size_t heap_cached(const struct heap_cpu *heap)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < HEAP_CLASSES; i++)
        bytes += atomic_load_relaxed(&heap->magazines[i].count) * (size_t)slab_classes[i].size;
    return bytes;
}

void heap_drain(struct heap_cpu *heap)
{
    for (unsigned i = 0; i < HEAP_CLASSES; i++)
        if (heap->magazines[i].head)
            magazine_put(&heap->magazines[i], &slab_classes[i], 0);
}

static size_t heap_pages(void)
{
    size_t pages = 0;
    for (unsigned i = 0; i < HEAP_CLASSES; i++) {
        spin_lock(&slab_classes[i].lock);
        pages += slab_classes[i].slabs * slab_classes[i].pages;
        spin_unlock(&slab_classes[i].lock);
    }
    return pages;
}

void heap_trim(void)
{
    page_drain_all();
    slab_trim();
    page_front_drain(); /* what slab_trim() freed */
}

static size_t heap_shrink(struct shrinker *shrinker, size_t bytes_wanted)
{
    (void)shrinker, (void)bytes_wanted; /* all there is: it costs about the same */
    size_t before = heap_pages();
    heap_trim();
    size_t after = heap_pages();
    return before > after ? (before - after) << PAGE_SHIFT : 0;
}

static struct shrinker heap_shrinker = {.name = "heap", .shrink = heap_shrink};

void heap_init(void)
{
    slab_init();
    atomic_store_relaxed(&large_pages, 0);
    for (size_t step = 0, class = 0; step < HEAP_STEPS; step++) {
        if ((step + 1) << HEAP_STEP_SHIFT > slab_classes[class].size)
            class ++;
        class_of_step[step] = (uint8_t) class;
    }
    heap_cpus = page_alloc_range(DIV_UP(cpu_count() * sizeof *heap_cpus, PAGE_SIZE));
    if (!heap_cpus)
        panic("memory: none for the heap");
    heap_cpu_init(cpu_table[0]);
    shrinker_register(&heap_shrinker);
}

void heap_cpu_init(struct cpu *cpu)
{
    struct heap_cpu *heap = &heap_cpus[cpu->id];
    memset(heap, 0, sizeof *heap);
    for (unsigned i = 0; i < HEAP_CLASSES; i++)
        heap->magazines[i].limit = slab_classes[i].magazine;
    cpu->heap = heap;
}

void heap_stats(struct heap_stats *out)
{
    struct heap_stats stats = {.large_bytes = atomic_load_relaxed(&large_pages) << PAGE_SHIFT};
    for (unsigned i = 0; i < HEAP_CLASSES; i++) {
        struct slab_class *class = &slab_classes[i];
        spin_lock(&class->lock);
        stats.slab_bytes += (class->slabs * class->pages) << PAGE_SHIFT;
        stats.used_bytes += class->used * class->size;
        spin_unlock(&class->lock);
    }
    for (unsigned i = 0; i < cpu_count(); i++)
        if (cpu_table[i] && cpu_table[i]->heap)
            stats.cached_bytes += heap_cached(cpu_table[i]->heap);
    stats.used_bytes -= MIN(stats.cached_bytes, stats.used_bytes);
    *out = stats;
}
