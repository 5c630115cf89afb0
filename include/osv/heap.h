/* SPDX-License-Identifier: BSD-3-Clause */
/* The heap of size classes. src/page/heap.c says how.
 *
 * Context as in page.h; nothing here sleeps. Objects are aligned to 16 bytes, and to a cache line
 * where their size is a multiple of one. An object may be freed on any CPU. Out of memory is NULL,
 * after the shrinkers were asked.
 *
 * Loss inside an object (heap_usable(size) - size): less than 16 bytes, or less than a fifth of
 * what is given. Debug builds put a tag before each object and a pattern behind it and panic,
 * naming the object and both sites, on a double free, a wrong size, and writes behind the end or
 * after the free. */
#pragma once
#include <osv/cpu.h>

#define HEAP_OBJECT_MAX ((size_t)16384) /* bytes; what is larger is made of whole pages */

void heap_init(void); /* boot, CPU 0, after page_init(); panics without memory */
void heap_cpu_init(
    struct cpu *cpu); /* boot: gives cpu its magazines; heap_init() has done so for CPU 0 */

/* size 0 gives an object of the least size. Contents are undefined. */
void *heap_alloc(size_t size) MUST_CHECK;
void *heap_zalloc(size_t size) MUST_CHECK; /* zeroed */
/* size is what it was allocated with. object may be NULL. */
void heap_free(void *object, size_t size);

/* The bytes that heap_alloc(size) really gives; all of them may be used. */
size_t heap_usable(size_t size);

/* Gives every cached object and empty slab back, of all CPUs; afterwards the pages that are missing
 * are those of live objects. Subject to what page_drain_all() says of busy CPUs. Also what the heap
 * does as a shrinker. */
void heap_trim(void);

struct heap_stats {
    size_t slab_bytes;   /* in slabs */
    size_t cached_bytes; /* of these, free objects in the magazines of CPUs */
    size_t used_bytes;   /* of these, objects that callers have */
    size_t large_bytes;  /* objects above HEAP_OBJECT_MAX */
};
/* Exact while nobody allocates or frees, a guess otherwise. */
void heap_stats(struct heap_stats *out);

/* Asserts the invariants of src/page/slab.c. */
void heap_check(void);
