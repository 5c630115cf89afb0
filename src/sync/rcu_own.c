/* SPDX-License-Identifier: BSD-3-Clause */
/* Our own engine. A grace period asks every CPU that does not sleep for a pass through its
 * scheduler and counts the answers.
 *
 * G1 A CPU's answer comes from between two threads' read sides (preemption is on there), after it
 *    saw the request, which the writer made after it unlinked. So sections before the answer are
 *    over, and sections after it see the unlinking.
 * G2 A CPU that sleeps holds no reference, and wakes with a fence before it reads anything
 *    (sched_sleeps).
 * G3 remaining starts at 1 for the requester, so that it does not reach 0 before every request is
 *    out. */
#include "rcu_engine.h"
#include <osv/sched.h>
#include <osv/waiter.h>

static _Atomic(uint32_t) remaining;                    /* [atomic] answers that are missing */
static _Atomic(uint64_t) asked[BITMAP_WORDS(CPU_MAX)]; /* [atomic] CPUs that have not answered */
static struct waiter *requester; /* [the thread in rcu_engine_wait; read by the last answer] */

static void answered(void)
{
    if (atomic_sub_acq_rel(&remaining, 1u) == 1)
        waiter_wake(requester);
}

static void quiescent(void)
{
    if (bitmap_atomic_clear(asked, cpu_self()->id))
        answered();
}

void rcu_engine_wait(void)
{
    struct waiter waiter;
    waiter_init(&waiter);
    requester = &waiter;
    atomic_store_relaxed(&remaining, 1u);
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        if (sched_sleeps(cpu))
            continue;
        atomic_add_relaxed(&remaining, 1u);
        (void)bitmap_atomic_set(asked, cpu);
        sched_want_quiescent(cpu);
    }
    answered();
    waiter_park(&waiter);
}

int rcu_engine_init(void)
{
    static const struct sched_hooks hooks = {.quiescent = quiescent};
    for (size_t i = 0; i < ARRAY_COUNT(asked); i++)
        atomic_store_relaxed(&asked[i], 0u);
    sched_set_hooks(&hooks);
    return 0;
}

const char *rcu_engine_name(void)
{
    return "own";
}
