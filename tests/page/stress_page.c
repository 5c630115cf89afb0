/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads on several CPUs that allocate, hand over and free pages, ranges and huge pages, more
 * threads than CPUs, until memory is short. Every piece is marked by its owner; at the end
 * everything is back. */
#include "memory.h"
#include <osv/prng.h>

#define THREADS_MAX 12u
#define LIVE_MAX 64u
#define SLOTS 32u

struct piece {
    void *base;
    size_t pages;
};

/* What stands in each page of a piece. */
struct mark {
    struct mark *self;
    size_t pages; /* of the piece, in its first page */
    uint64_t owner;
};

static _Atomic(void *) slots[SLOTS]; /* [atomic] pieces on their way to another thread */
static _Atomic(uint32_t) failures;   /* [atomic] allocations that found nothing */

static void mark(struct piece piece, uint64_t owner)
{
    for (size_t i = 0; i < piece.pages; i++) {
        struct mark *m = (struct mark *)(void *)((char *)piece.base + i * PAGE_SIZE);
        *m = (struct mark){m, piece.pages, owner};
    }
}

static void check_and_free(struct piece piece, uint64_t owner, struct prng *prng)
{
    for (size_t i = 0; i < piece.pages; i++) {
        struct mark *m = (struct mark *)(void *)((char *)piece.base + i * PAGE_SIZE);
        CHECK(m->self == m);
        CHECK_EQ(m->pages, piece.pages);
        CHECK_EQ(m->owner, owner);
        m->self = NULL;
    }
    if (piece.pages == 1) {
        page_free(piece.base);
    } else if (prng_below(prng, 4) > 0) {
        page_free_range(piece.base, piece.pages);
    } else {
        size_t first = prng_below(prng, piece.pages - 1) + 1;
        page_free_range((char *)piece.base + first * PAGE_SIZE, piece.pages - first);
        page_free_range(piece.base, first);
    }
}

static size_t any_pages(struct prng *prng)
{
    switch (prng_below(prng, 32)) {
    case 0:
        return HUGE_SIZE / PAGE_SIZE;
    case 1:
        return prng_below(prng, 2000) + 1;
    case 2:
        return prng_below(prng, 512) + 1;
    case 3:
    case 4:
    case 5:
        return prng_below(prng, 64) + 1;
    case 6:
    case 7:
    case 8:
    case 9:
        return prng_below(prng, 8) + 1;
    default:
        return 1;
    }
}

static struct piece take(struct prng *prng)
{
    struct piece piece = {.pages = any_pages(prng)};
    piece.base = piece.pages == 1 ? page_alloc() : page_alloc_range(piece.pages);
    if (!piece.base)
        atomic_add_relaxed(&failures, 1u);
    return piece;
}

/* Puts a piece in a slot and frees what was there. */
static void hand_over(struct piece piece, struct prng *prng)
{
    mark(piece, UINT64_MAX);
    struct mark *m = atomic_xchg_acq_rel(&slots[prng_below(prng, SLOTS)], piece.base);
    if (m)
        check_and_free((struct piece){m, m->pages}, UINT64_MAX, prng);
}

static int work(void *arg)
{
    static struct piece all[THREADS_MAX][LIVE_MAX];
    uint64_t me = (uintptr_t)arg;
    struct piece *live = all[me];
    struct prng prng;
    prng_seed(&prng, me + 1);
    for (size_t i = 0; i < test_scaled(60000); i++) {
        struct piece *piece = &live[prng_below(&prng, LIVE_MAX)];
        if (piece->base)
            check_and_free(*piece, me, &prng);
        *piece = take(&prng);
        if (!piece->base)
            continue;
        if (prng_below(&prng, 4) == 0) {
            hand_over(*piece, &prng);
            piece->base = NULL;
        } else {
            mark(*piece, me);
        }
    }
    for (size_t i = 0; i < LIVE_MAX; i++)
        if (live[i].base)
            check_and_free(live[i], me, &prng);
    return 0;
}

static void pages_change_hands(void)
{
    struct page_stats before = memory_at_start();
    struct thread *threads[THREADS_MAX];
    unsigned count = cpu_count() * 3;
    for (unsigned i = 0; i < count; i++)
        CHECK_EQ(thread_create(&threads[i], work, (void *)(uintptr_t)i, NULL), 0);
    for (unsigned i = 0; i < count; i++)
        join(threads[i]);
    struct prng prng;
    prng_seed(&prng, 0);
    for (size_t i = 0; i < SLOTS; i++) {
        struct mark *m = atomic_xchg_acq_rel(&slots[i], NULL);
        if (m)
            check_and_free((struct piece){m, m->pages}, UINT64_MAX, &prng);
    }
    memory_check_same(&before);
    page_check();
    test_note("%u CPUs, %u allocations found nothing", cpu_count(), atomic_load_relaxed(&failures));
}

TEST_CASES_BEGIN
    {"pages change hands, 1 CPU", pages_change_hands, .cpus = 1, .memory_mib = 64},
        {"pages change hands, 2 CPUs", pages_change_hands, .cpus = 2, .memory_mib = 96},
        {"pages change hands, 4 CPUs", pages_change_hands, .cpus = 4, .memory_mib = 128},
TEST_CASES_END
