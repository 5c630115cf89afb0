/* SPDX-License-Identifier: BSD-3-Clause */
/* Debug builds: a word a page that says who freed it last. SITE_NEW before the first allocation, 0
 * while somebody has the page, else the address that freed it. So every page is caught that is
 * freed twice, or without having been allocated. */
#include "page_internal.h"
#include <osv/log.h>

#if OSV_DEBUG
#define SITE_NEW ((uintptr_t)1)
#define SITE_TEXT_MAX 96

size_t page_debug_size(size_t areas)
{
    return areas * AREA_PAGES * sizeof(page_pool.sites[0]);
}

static _Atomic(uintptr_t) *site_of(const void *page)
{
    struct area *area = area_of(page);
    if (!area)
        return NULL;
    size_t index = (size_t)(area - page_pool.areas) * AREA_PAGES;
    return &page_pool.sites[index + ((uintptr_t)page >> PAGE_SHIFT & (AREA_PAGES - 1))];
}

/* The table begins with zeros, so the words are stored with SITE_NEW flipped in. */
void page_debug_alloc(const void *base, size_t pages)
{
    for (size_t i = 0; i < pages; i++) {
        const char *page = (const char *)base + (i << PAGE_SHIFT);
        _Atomic(uintptr_t) *site = site_of(page);
        ASSERT(site);
        if ((atomic_xchg_relaxed(site, SITE_NEW) ^ SITE_NEW) == 0)
            panic("page %p: handed out twice", (const void *)page);
    }
}

static COLD void bad_free(const void *page, uintptr_t before, uintptr_t site)
{
    char first[SITE_TEXT_MAX], now[SITE_TEXT_MAX];
    hal_symbol(site, now, sizeof now);
    if (before == SITE_NEW)
        panic("page %p: freed at %s, but never allocated", page, now);
    hal_symbol(before, first, sizeof first);
    panic("page %p: freed twice: first at %s, now at %s", page, first, now);
}

void page_debug_free(const void *base, size_t pages, uintptr_t site)
{
    char now[SITE_TEXT_MAX];
    if ((uintptr_t)base % PAGE_SIZE != 0 || pages == 0) {
        hal_symbol(site, now, sizeof now);
        panic("page %p: freed at %s, but it is no page (%zu of them)", base, now, pages);
    }
    for (size_t i = 0; i < pages; i++) {
        const char *page = (const char *)base + (i << PAGE_SHIFT);
        _Atomic(uintptr_t) *word = site_of(page);
        if (!word) {
            hal_symbol(site, now, sizeof now);
            panic("page %p: freed at %s, but it is no memory of the allocator", (const void *)page,
                  now);
        }
        uintptr_t before = SITE_NEW;
        if (!atomic_cas_relaxed(word, &before, site ^ SITE_NEW))
            bad_free(page, before ^ SITE_NEW, site);
    }
}
#endif
