/* SPDX-License-Identifier: BSD-3-Clause */
#include "peer_malloc.h"
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

struct peer_malloc peer_tcmalloc, peer_mimalloc;

/* Stores the address of a function; POSIX lets it go through a void pointer. */
static int symbol(void *library, const char *name, void *to)
{
    void *address = dlsym(library, name);
    if (!address)
        return -ENOENT;
    memcpy(to, &address, sizeof address);
    return 0;
}

static int load(struct peer_malloc *peer, const char *file, const char *get,
                const char *get_aligned, const char *put)
{
    if (peer->put)
        return 0;
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (!library || symbol(library, get, &peer->get) < 0 ||
        symbol(library, get_aligned, &peer->get_aligned) < 0)
        return -ENOENT;
    return symbol(library, put, &peer->put);
}

int peer_tcmalloc_load(void)
{
    return load(&peer_tcmalloc, BENCH_TCMALLOC, "tc_malloc", "tc_memalign", "tc_free");
}

int peer_mimalloc_load(void)
{
    return load(&peer_mimalloc, BENCH_MIMALLOC, "mi_malloc", "mi_aligned_alloc", "mi_free");
}
