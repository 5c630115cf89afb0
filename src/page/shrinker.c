/* SPDX-License-Identifier: BSD-3-Clause */
/* The shrinker registry. The list and the user counts stand under one spinlock, which nobody holds
 * while a shrinker runs; a shrinker with users stays in the list, so that a walk finds its way on,
 * and who unregisters waits for the last user. A thread that reclaims is in the table of
 * reclaimers, by which an allocation inside a shrinker knows itself. */
#include "page_internal.h"
#include <osv/trace.h>

#define RECLAIM_ROUNDS_MAX 8u /* times that one allocation asks; each time for twice as much */

/* Held for a few instructions by threads that may have preemption off: it cannot be a lock that
 * sleeps. */
static struct spinlock registry_lock = SPINLOCK_INIT(RANK_SHRINKER);
static struct list registry = LIST_INIT(registry);                 /* [registry_lock] */
static _Atomic(struct task *) reclaimers[SHRINKER_RECLAIMERS_MAX]; /* [atomic] */

void shrinker_init(void)
{
    spinlock_init(&registry_lock, RANK_SHRINKER);
    list_init(&registry);
    for (size_t i = 0; i < SHRINKER_RECLAIMERS_MAX; i++)
        atomic_store_relaxed(&reclaimers[i], NULL);
}

void shrinker_register(struct shrinker *shrinker)
{
    ASSERT(shrinker->shrink && shrinker->name);
    shrinker->users = 0;
    shrinker->leaving = false;
    spin_lock(&registry_lock);
    list_push_back(&registry, &shrinker->node);
    spin_unlock(&registry_lock);
}

void shrinker_unregister(struct shrinker *shrinker)
{
    spin_lock(&registry_lock);
    shrinker->leaving = true;
    while (shrinker->users > 0) {
        spin_unlock(&registry_lock);
        hal_cpu_relax();
        spin_lock(&registry_lock);
    }
    list_remove(&shrinker->node);
    spin_unlock(&registry_lock);
}

/* The next shrinker that may be asked, with a user more; previous, NULL at first, loses one. */
static struct shrinker *registry_next(struct shrinker *previous)
{
    struct shrinker *found = NULL;
    spin_lock(&registry_lock);
    struct list *node = previous ? previous->node.next : registry.next;
    if (previous)
        previous->users--;
    for (; node != &registry && !found; node = node->next) {
        struct shrinker *shrinker = list_entry(node, struct shrinker, node);
        if (!shrinker->leaving)
            found = shrinker;
    }
    if (found)
        found->users++;
    spin_unlock(&registry_lock);
    return found;
}

/* A place in the table for the running thread; NULL when it is in there already, or no place is
 * left. */
static _Atomic(struct task *) *reclaimer_enter(void)
{
    struct task *self = task_self();
    for (size_t i = 0; i < SHRINKER_RECLAIMERS_MAX; i++)
        if (atomic_load_relaxed(&reclaimers[i]) == self)
            return NULL;
    for (size_t i = 0; i < SHRINKER_RECLAIMERS_MAX; i++) {
        struct task *nobody = NULL;
        if (atomic_cas_relaxed(&reclaimers[i], &nobody, self))
            return &reclaimers[i];
    }
    return NULL;
}

static size_t registry_ask(size_t bytes)
{
    size_t given = 0;
    struct shrinker *shrinker = NULL;
    while ((shrinker = registry_next(shrinker)) != NULL)
        if (given < bytes)
            given += shrinker->shrink(shrinker, bytes - given);
    TRACE(page_reclaim, bytes, given);
    return given;
}

size_t shrinker_reclaim(size_t bytes)
{
    _Atomic(struct task *) *place = reclaimer_enter();
    if (!place)
        return 0;
    size_t given = registry_ask(bytes);
    atomic_store_relaxed(place, NULL);
    return given;
}

static bool in_interrupt(void)
{
    preempt_disable();
    bool in = cpu_in_interrupt();
    preempt_enable();
    return in;
}

/* An allocation of bytes found nothing, for the round'th time. True: try again. First the CPUs give
 * back what they hold in front, then the shrinkers are asked, for more each time, because what they
 * give may not lie together or go to others. */
bool page_reclaim(size_t bytes, unsigned round)
{
    if (round >= RECLAIM_ROUNDS_MAX || in_interrupt())
        return false;
    _Atomic(struct task *) *place = reclaimer_enter();
    if (!place)
        return false;
    bool again = true;
    if (round == 0)
        page_drain_all();
    else
        again = registry_ask(MIN(bytes, SIZE_MAX >> RECLAIM_ROUNDS_MAX) << (round - 1)) > 0;
    atomic_store_relaxed(place, NULL);
    return again;
}
