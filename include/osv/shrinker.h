/* SPDX-License-Identifier: BSD-3-Clause */
/* Caches that can give memory back under pressure. */
#pragma once
#include <osv/cpu.h>
#include <osv/list.h>

#define SHRINKER_RECLAIMERS_MAX                                                                    \
    64u /* threads that reclaim at the same time; one more gets nothing */

struct shrinker {
    struct list node; /* private */
    const char *name; /* immutable */
    /* Gives back about bytes_wanted bytes, through page_free...() or heap_free(), and returns how
     * many it did; 0 when there is nothing left. Runs in the thread whose allocation failed, with
     * preemption and locks as that thread had them: it may sleep only when shrinker_may_sleep(),
     * and takes no lock that is held around an allocation. An allocation made inside it does not
     * reclaim again but returns NULL. Several threads may be in it at the same time. */
    size_t (*shrink)(struct shrinker *shrinker, size_t bytes_wanted);
    unsigned users; /* private [RANK_SHRINKER] threads inside shrink */
    bool leaving;   /* private [RANK_SHRINKER] being unregistered */
};

/* Context: thread. name and shrink are set. */
void shrinker_register(struct shrinker *shrinker);

/* After it nobody is in shrink, nor will be. Spins while somebody is. Context: thread with
 * preemption on, not inside shrink; the caller holds nothing that shrink waits for, and does not
 * outrank for ever a thread that shrinks on its CPU. */
void shrinker_unregister(struct shrinker *shrinker);

/* Asks the caches, the one that registered first before the others, until bytes were given. Returns
 * how many. 0 inside a shrink function. Context: as page_alloc(). */
size_t shrinker_reclaim(size_t bytes);

/* May the running code sleep? Context: any. */
static inline bool shrinker_may_sleep(void)
{
    return task_self()->preempt_off == 0 && hal_irq_enabled();
}
