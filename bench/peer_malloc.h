/* SPDX-License-Identifier: BSD-3-Clause */
/* Allocators of Debian packages. They are loaded at run time, each with its own names, because
 * either would take the place of malloc if it were linked. */
#pragma once
#include <stddef.h>

struct peer_malloc {
    void *(*get)(size_t size);
    void *(*get_aligned)(size_t alignment, size_t size);
    void (*put)(void *object);
};

/* Loads what is not loaded yet. 0, or -ENOENT where the package is not there. */
int peer_tcmalloc_load(void);
int peer_mimalloc_load(void);
extern struct peer_malloc peer_tcmalloc, peer_mimalloc; /* valid when loaded */
