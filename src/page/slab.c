/* SPDX-License-Identifier: BSD-3-Clause */
/* Slabs: what stands behind the heap's magazines. A slab is a power of two of pages, aligned to its
 * size, so that the header at its start is found by masking an object's address. Objects that were
 * never used lie behind fresh; those that came back are linked through their first words. (Bonwick,
 * "The Slab Allocator", USENIX 1994, without constructors.)
 *
 *   S1  used + length of free + (objects - fresh) == objects of the class.
 *   S2  A slab with 0 < used < objects is in the class's list partial; a full one is in no list; an
 *       unused one is the class's empty (small slabs only), or its pages go back at once. A new one
 *       is in partial until somebody takes from it.
 *   S3  A slab loses at most 1/16 of its pages to the header and the tail, so that with the loss of
 *       at most a fifth inside an object (heap.c) more than three quarters of a full slab are what
 *       callers asked for.
 *
 * One spinlock a class, taken once a batch. Pages are allocated and freed without it. */
#include "page_internal.h"
#include <osv/log.h>
#include <osv/string.h>

#define SLAB_PAGES_MAX 64u
#define SLAB_EMPTY_PAGES_MAX 8u /* larger slabs are not kept when they are empty */
#define SLAB_OBJECTS_MIN 8u     /* fewer would take the lock and the page allocator too often */
#define MAGAZINE_OBJECTS_MAX 64u
#define MAGAZINE_OBJECTS_MIN 4u
#define MAGAZINE_BYTES                                                                             \
    ((size_t)16384) /* of one class on one CPU, unless that is fewer than the least objects */

struct slab {
    struct list node;         /* [class lock] */
    void *free;               /* [class lock] objects that came back */
    struct slab_class *class; /* immutable */
    uint32_t used;            /* [class lock] objects outside */
    uint32_t fresh;           /* [class lock] index of the first object never used */
} LINE_ALIGNED;
_Static_assert(sizeof(struct slab) == CACHE_LINE, "the first object begins on the second line");

struct slab_class slab_classes[HEAP_CLASSES];

static void *next_of(void *object)
{
    return *(void **)object;
}

static void link_to(void *object, void *next)
{
    *(void **)object = next;
}

static void class_init(struct slab_class *class, uint32_t size)
{
    size_t bytes = PAGE_SIZE / 2, objects, loss;
    do {
        bytes *= 2;
        objects = (bytes - sizeof(struct slab)) / size;
        loss = bytes - objects * size;
    } while (objects < SLAB_OBJECTS_MIN || loss * 16 > bytes); /* S3 */
    ASSERT(bytes <= SLAB_PAGES_MAX * PAGE_SIZE);
    memset(class, 0, sizeof *class);
    spinlock_init(&class->lock, RANK_HEAP);
    list_init(&class->partial);
    class->size = size;
    class->pages = (uint32_t)(bytes >> PAGE_SHIFT);
    class->objects = (uint32_t)objects;
    size_t keep = MIN(MAGAZINE_BYTES / size, (size_t)MAGAZINE_OBJECTS_MAX);
    class->magazine = (uint32_t)MAX(keep, (size_t)MAGAZINE_OBJECTS_MIN);
    class->mask = ~(uintptr_t)(bytes - 1);
}

/* 16 to 128 in steps of 16, then four steps a doubling. */
void slab_init(void)
{
    uint32_t size = 0;
    for (unsigned i = 0; i < HEAP_CLASSES; i++) {
        uint32_t step = 16;
        while (size >= step * 8)
            step *= 2;
        size += step;
        class_init(&slab_classes[i], size);
    }
    ASSERT(size == HEAP_OBJECT_MAX);
}

static struct slab *slab_of(struct slab_class *class, void *object)
{
    struct slab *slab = (struct slab *)((uintptr_t)object & class->mask);
    if (unlikely(slab->class != class))
        panic("heap object %p: freed with a wrong size (%u bytes or a little less)", object,
              class->size);
    return slab;
}

static void *slab_object(struct slab *slab, const struct slab_class *class, size_t index)
{
    return (char *)(slab + 1) + index * class->size;
}

/* Moves up to want objects of the slab onto the chain. Lock: the class's. */
static size_t slab_take_from(struct slab *slab, struct slab_class *class, size_t want, void **chain)
{
    size_t got = 0;
    for (; got < want && slab->free; got++) {
        void *object = slab->free;
        slab->free = next_of(object);
        link_to(object, *chain);
        *chain = object;
    }
    for (; got < want && slab->fresh < class->objects; got++) {
        void *object = slab_object(slab, class, slab->fresh++);
        link_to(object, *chain);
        *chain = object;
    }
    slab->used += (uint32_t)got;
    return got;
}

void *slab_take(struct slab_class *class, size_t want, size_t *count)
{
    void *chain = NULL;
    size_t got = 0;
    spin_lock(&class->lock);
    while (got < want) {
        struct slab *slab = class->empty;
        if (!list_empty(&class->partial)) {
            slab = list_entry(class->partial.next, struct slab, node);
        } else if (slab) {
            class->empty = NULL;
            list_push_front(&class->partial, &slab->node);
        } else {
            break;
        }
        got += slab_take_from(slab, class, want - got, &chain);
        if (slab->used == class->objects)
            list_remove(&slab->node);
    }
    class->used += got;
    spin_unlock(&class->lock);
    *count = got;
    return chain;
}

/* Puts one object back. Returns the slab when its pages shall go. Lock: the class's. */
static struct slab *slab_put_one(struct slab_class *class, void *object)
{
    struct slab *slab = slab_of(class, object);
    ASSERT(slab->used > 0);
    link_to(object, slab->free);
    slab->free = object;
    if (slab->used-- == class->objects)
        list_push_front(&class->partial, &slab->node);
    if (slab->used > 0)
        return NULL;
    list_remove(&slab->node);
    if (!class->empty && class->pages <= SLAB_EMPTY_PAGES_MAX) {
        class->empty = slab;
        return NULL;
    }
    class->slabs--;
    return slab;
}

static void slab_release(struct slab *slab, const struct slab_class *class)
{
    slab->class = NULL;
    page_free_range(slab, class->pages);
}

void slab_put(struct slab_class *class, void *chain)
{
    struct slab *release = NULL; /* linked through free */
    spin_lock(&class->lock);
    while (chain) {
        void *next = next_of(chain);
        struct slab *slab = slab_put_one(class, chain);
        class->used--;
        if (slab) {
            slab->free = release;
            release = slab;
        }
        chain = next;
    }
    spin_unlock(&class->lock);
    while (release) {
        struct slab *next = release->free;
        slab_release(release, class);
        release = next;
    }
}

bool slab_grow(struct slab_class *class)
{
    struct slab *slab = page_alloc_range(class->pages);
    if (!slab)
        return false;
#if OSV_DEBUG
    memset(slab, 0, class->pages * PAGE_SIZE); /* no tags of earlier objects: heap_debug.c */
#endif
    *slab = (struct slab){.class = class};
    list_init(&slab->node);
    spin_lock(&class->lock);
    class->slabs++;
    list_push_back(&class->partial, &slab->node); /* with used 0 for as long as nobody takes: S2 */
    spin_unlock(&class->lock);
    return true;
}

size_t slab_trim(void)
{
    size_t pages = 0;
    for (unsigned i = 0; i < HEAP_CLASSES; i++) {
        struct slab_class *class = &slab_classes[i];
        struct list unused;
        list_init(&unused);
        spin_lock(&class->lock);
        if (class->empty)
            list_push_back(&unused, &class->empty->node);
        class->empty = NULL;
        list_for_each_safe (node, &class->partial) {
            struct slab *slab = list_entry(node, struct slab, node);
            if (slab->used > 0)
                continue;
            list_remove(node);
            list_push_back(&unused, node);
        }
        list_for_each (node, &unused)
            class->slabs--;
        spin_unlock(&class->lock);
        for (struct list *node; (node = list_pop_front(&unused)) != NULL; pages += class->pages)
            slab_release(list_entry(node, struct slab, node), class);
    }
    return pages;
}

static void slab_check(struct slab *slab, struct slab_class *class)
{
    size_t free = 0;
    for (void *object = slab->free; object; object = next_of(object)) {
        ASSERT(slab_of(class, object) == slab);
        ASSERT(((uintptr_t)object - (uintptr_t)(slab + 1)) % class->size == 0);
        ASSERT(++free <= class->objects);
    }
    ASSERT(slab->fresh <= class->objects);
    ASSERT(slab->used + free == slab->fresh); /* S1 */
}

void heap_check(void)
{
    for (unsigned i = 0; i < HEAP_CLASSES; i++) {
        struct slab_class *class = &slab_classes[i];
        size_t used = 0, slabs = 0;
        spin_lock(&class->lock);
        list_for_each (node, &class->partial) {
            struct slab *slab = list_entry(node, struct slab, node);
            slab_check(slab, class);
            ASSERT(slab->used < class->objects); /* S2 */
            used += slab->used;
            slabs++;
        }
        if (class->empty) {
            slab_check(class->empty, class);
            ASSERT(class->empty->used == 0);
            slabs++;
        }
        ASSERT(slabs <= class->slabs);
        ASSERT(used + (class->slabs - slabs) * class->objects ==
               class->used); /* the rest is full */
        spin_unlock(&class->lock);
    }
}
