/* SPDX-License-Identifier: BSD-3-Clause */
/* Spreading work. Only its owner touches a run queue, so stealing is a request: the thief puts its
 * number into the victim's steal_request and interrupts it, and the victim sends half of what it
 * has too much to the thief's incoming queue.
 *
 * Who asks: a CPU that found nothing to run, at once (idle.c). Who is woken to ask: when a CPU
 * leaves threads waiting while others sleep, it wakes one of them. Who gives unasked: a CPU where
 * threads wait looks round every SCHED_BALANCE_NS for one that has two fewer. That one cannot be
 * left to ask: with one thread it takes no interrupt. */
#include "internal.h"
#include <osv/trace.h>

#define LOOK_MAX 64u /* CPUs that one search for a victim looks at */

_Atomic(uint64_t) sched_halted[BITMAP_WORDS(CPU_MAX)];
_Atomic(uint32_t) sched_halted_count;

static void publish(_Atomic(uint32_t) *word, uint32_t value)
{
    if (atomic_load_relaxed(word) != value) /* spares readers the loss of the line */
        atomic_store_relaxed(word, value);
}

void sched_publish(struct sched_cpu *s, bool busy)
{
    publish(&s->load, runq_count(&s->rq) + busy);
    publish(&s->movable, s->rq.movable);
}

/* Half of what this CPU, with the running thread, has more than cpu. */
static void give(struct sched_cpu *s, unsigned cpu)
{
    uint32_t mine = runq_count(&s->rq) + 1, theirs = atomic_load_relaxed(&sched_of(cpu)->load);
    uint32_t count = mine > theirs ? (mine - theirs) / 2 : 0;
    if (count == 0 && theirs == 0)
        count = 1; /* idle: better there than waiting here */
    for (count = MIN(count, SCHED_STEAL_MAX); count > 0; count--) {
        struct thread *thread = runq_take_movable(&s->rq, cpu);
        if (!thread)
            break;
        TRACE(sched_migrate, (uintptr_t)thread, cpu);
        COUNT(s->steals, 1);
        sched_send(thread, cpu);
    }
}

void sched_give(struct sched_cpu *s)
{
    uint32_t request = atomic_xchg_acquire(&s->steal_request, 0u);
    if (request != 0)
        give(s, request - 1);
}

/* The next CPU that a search looks at. */
static struct sched_cpu *next_other(struct sched_cpu *s)
{
    s->steal_next = s->steal_next + 1 < cpu_count() ? s->steal_next + 1 : 0;
    return sched_of(s->steal_next);
}

void sched_balance(struct sched_cpu *s)
{
    uint32_t mine = runq_count(&s->rq) + 1, least = mine;
    struct sched_cpu *target = NULL;
    for (unsigned i = 0; i < MIN(cpu_count(), LOOK_MAX); i++) {
        struct sched_cpu *other = next_other(s);
        uint32_t load = atomic_load_relaxed(&other->load);
        if (other == s || load >= least)
            continue;
        least = load;
        target = other;
    }
    if (target && least + 2 <= mine) {
        give(s, target->cpu->id);
        sched_publish(s, true);
    }
}

bool sched_ask(struct sched_cpu *s)
{
    unsigned victim = s->cpu->id;
    uint32_t most = 0;
    for (unsigned i = 0; i < MIN(cpu_count(), LOOK_MAX); i++) {
        struct sched_cpu *other = next_other(s);
        uint32_t load = atomic_load_relaxed(&other->load);
        if (other == s || load < 2 || load <= most || atomic_load_relaxed(&other->movable) == 0)
            continue;
        most = load;
        victim = other->cpu->id;
    }
    if (most == 0)
        return false;
    uint32_t none = 0;
    if (atomic_cas_release(&sched_of(victim)->steal_request, &none, s->cpu->id + 1))
        hal_ipi_send(victim, HAL_IPI_RESCHED);
    return true;
}

void sched_offer(struct sched_cpu *s)
{
    if (likely(atomic_load_relaxed(&sched_halted_count) == 0) || s->rq.movable == 0)
        return;
    for (size_t word = 0; word < BITMAP_WORDS(cpu_count()); word++) {
        uint64_t halted = atomic_load_relaxed(&sched_halted[word]);
        if (!halted)
            continue;
        unsigned cpu = (unsigned)(word * 64) + (unsigned)__builtin_ctzll(halted);
        /* Whoever clears the bit sends the interrupt: one CPU is woken once. */
        if (bitmap_atomic_clear(sched_halted, cpu)) {
            atomic_sub_relaxed(&sched_halted_count, 1u);
            sched_publish(s, true); /* it looks for load first */
            COUNT(s->ipis, 1);
            hal_ipi_send(cpu, HAL_IPI_RESCHED);
        }
        return;
    }
}
