/* SPDX-License-Identifier: BSD-3-Clause */
/* Debug builds: a tag of one line before each heap object and a pattern behind it. While the object
 * is free its bytes hold a pattern too; the chain of the magazines runs through the tag's first
 * word. */
#include "page_internal.h"
#include <osv/log.h>
#include <osv/string.h>

#if OSV_DEBUG
#define TAG_LIVE 0x6c697665u
#define TAG_FREE 0x66726565u
#define TAIL_BYTES 16u
#define TAIL_FILL 0xa5
#define FREE_FILL 0xdb
#define FREE_FILL_MAX 256u /* bytes that are filled and looked at */
#define SITE_TEXT_MAX 96

struct heap_tag {
    void *chain;             /* free: the next one */
    _Atomic(uint32_t) state; /* [atomic] TAG_LIVE or TAG_FREE, anything before the first use */
    uint32_t filled;         /* bytes of FREE_FILL; as all the rest: whoever has the object */
    size_t size;
    uintptr_t alloc_site, free_site;
} LINE_ALIGNED;
_Static_assert(sizeof(struct heap_tag) == CACHE_LINE, "objects keep the alignment of the raw ones");

static COLD void bad_object(const char *object, const struct heap_tag *tag, const char *what,
                            uintptr_t site)
{
    char allocated[SITE_TEXT_MAX], freed[SITE_TEXT_MAX];
    hal_symbol(tag->alloc_site, allocated, sizeof allocated);
    hal_symbol(site, freed, sizeof freed);
    panic("heap object %p of %zu bytes: %s: allocated at %s, freed at %s", (const void *)object,
          tag->size, what, allocated, freed);
}

static COLD void bad_state(const void *object, const struct heap_tag *tag, uint32_t state,
                           uintptr_t site)
{
    char first[SITE_TEXT_MAX], now[SITE_TEXT_MAX];
    hal_symbol(site, now, sizeof now);
    if (state != TAG_FREE)
        panic("heap object %p: freed at %s, but it is none, or its tag was overwritten", object,
              now);
    hal_symbol(tag->free_site, first, sizeof first);
    panic("heap object %p of %zu bytes: freed twice: first at %s, now at %s", object, tag->size,
          first, now);
}

static COLD void bad_size(const void *object, const struct heap_tag *tag, size_t size,
                          uintptr_t site)
{
    char allocated[SITE_TEXT_MAX], freed[SITE_TEXT_MAX];
    hal_symbol(tag->alloc_site, allocated, sizeof allocated);
    hal_symbol(site, freed, sizeof freed);
    panic("heap object %p of %zu bytes: freed with size %zu: allocated at %s, freed at %s", object,
          tag->size, size, allocated, freed);
}

size_t heap_debug_size(size_t size)
{
    return ALIGN_UP(size + sizeof(struct heap_tag) + TAIL_BYTES, (size_t)CACHE_LINE);
}

static bool holds(const char *bytes, size_t count, unsigned char fill)
{
    for (size_t i = 0; i < count; i++)
        if ((unsigned char)bytes[i] != fill)
            return false;
    return true;
}

void *heap_debug_alloc(void *raw, size_t size, uintptr_t site)
{
    struct heap_tag *tag = raw;
    char *object = (char *)(tag + 1);
    /* Memory of large objects was other things since; that of slabs is zeroed by slab_grow(). */
    bool known =
        heap_debug_size(size) <= HEAP_OBJECT_MAX && atomic_load_relaxed(&tag->state) == TAG_FREE;
    if (known && !holds(object, tag->filled, FREE_FILL))
        bad_object(object, tag, "written after it was freed", tag->free_site);
    tag->size = size;
    tag->alloc_site = site;
    tag->free_site = 0;
    memset(object + size, TAIL_FILL, TAIL_BYTES);
    atomic_store_relaxed(&tag->state, TAG_LIVE);
    return object;
}

void *heap_debug_free(void *object, size_t size, uintptr_t site)
{
    struct heap_tag *tag = (struct heap_tag *)object - 1;
    uint32_t state = TAG_LIVE;
    if (!atomic_cas_relaxed(&tag->state, &state, TAG_FREE))
        bad_state(object, tag, state, site);
    if (tag->size != size)
        bad_size(object, tag, size, site);
    if (!holds((char *)object + size, TAIL_BYTES, TAIL_FILL))
        bad_object(object, tag, "written behind its end", site);
    tag->free_site = site;
    tag->filled = (uint32_t)MIN(size, (size_t)FREE_FILL_MAX);
    memset(object, FREE_FILL, tag->filled);
    return tag;
}
#endif
