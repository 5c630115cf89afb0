/* SPDX-License-Identifier: BSD-3-Clause */
/* The idle thread: take what arrives, ask for what others have too much, poll a while, sleep.
 *
 * How long to poll adapts: a wake-up that arrives while polling shows that polling pays, so the
 * window grows; a window that runs out, or a sleep that lasts long, halves it. */
#include "internal.h"
#include <osv/clock.h>
#include <osv/page.h>
#include <osv/trace.h>
#include <osv/waiter.h>

#define POLL_MIN_NS 1000ull
#define ASK_AGAIN_POLLS 256u /* polls between two looks at the other CPUs */

#define ASK_MAX 3u /* requests without an answer before an idle CPU sleeps */

uint64_t sched_idle_poll_max_ns;

static bool something_to_do(struct sched_cpu *s)
{
    return !mpsc_empty(&s->incoming) || runq_count(&s->rq) > 0 ||
           atomic_load_relaxed(&s->attention) != 0 ||
           atomic_load_relaxed(&task_self()->resched) != 0;
}

/* Polling caught something, or would have. */
static void polling_pays(struct sched_cpu *s)
{
    s->poll_ns = MIN(MAX(s->poll_ns, POLL_MIN_NS) * 2, sched_idle_poll_max_ns);
}

/* True when something arrived. */
static bool poll(struct sched_cpu *s)
{
    if (s->poll_ns < POLL_MIN_NS || sched_idle_poll_max_ns == 0)
        return something_to_do(s);
    uint64_t end = clock_ns() + s->poll_ns;
    for (uint32_t polls = 1;; polls++) {
        if (something_to_do(s)) {
            polling_pays(s);
            return true;
        }
        hal_cpu_relax();
        if (polls % ASK_AGAIN_POLLS == 0)
            sched_ask(s);
        if (polls % 16 == 0 && clock_ns() >= end)
            break;
    }
    s->poll_ns = MAX(s->poll_ns / 2, POLL_MIN_NS);
    return false;
}

#define POLL_WOKEN_MAX_NS 10000ull

void sched_poll_woken(const struct waiter *waiter)
{
    struct sched_cpu *s = cpu_self()->sched;
    if (sched_idle_poll_max_ns == 0 || s->poll_ns < POLL_MIN_NS || cpu_count() == 1 ||
        runq_count(&s->rq) > 0 || something_to_do(s))
        return;
    uint64_t end = 0;
    atomic_store_seq_cst(&s->idle, (uint32_t)CPU_POLLING);
    for (uint32_t polls = 1;; polls++) {
        if (waiter_woken(waiter)) {
            polling_pays(s);
            break;
        }
        if (something_to_do(s))
            break;
        hal_cpu_relax();
        if (polls % 16 != 0)
            continue;
        uint64_t now = clock_ns();
        if (end == 0)
            end = now + MIN(s->poll_ns, POLL_WOKEN_MAX_NS);
        else if (now >= end)
            break;
    }
    atomic_store_seq_cst(&s->idle, (uint32_t)CPU_BUSY); /* W1: wakers interrupt again */
    if (!mpsc_empty(&s->incoming))
        atomic_store_relaxed(&task_self()->resched, 1u);
}

/* Sleeps unless something arrives first. ask: have a last look round for work that nobody will
 * offer, because it was left waiting before our bit was set. */
static void halt(struct sched_cpu *s, bool ask)
{
    unsigned id = s->cpu->id;
    page_front_drain();
    hal_irqstate irqs = hal_irq_save();
    if (!bitmap_atomic_set(sched_halted, id))
        atomic_add_relaxed(&sched_halted_count, 1u);
    uint64_t slept_ns = clock_ns();
    if (!(ask && sched_ask(s))) {
        if (sched_hooks_now.online)
            sched_hooks_now.online(false);
        atomic_store_seq_cst(&s->idle, (uint32_t)CPU_HALTED); /* W1 */
        if (!something_to_do(s)) {
            COUNT(s->halts, 1);
            TRACE(sched_idle, id, 0);
            hal_cpu_idle();
            TRACE(sched_idle, id, 1);
        }
        sched_irq_enter(); /* awake, if no interrupt has said so */
    }
    slept_ns = clock_ns() - slept_ns;
    if (bitmap_atomic_clear(sched_halted, id))
        atomic_sub_relaxed(&sched_halted_count, 1u);
    if (slept_ns < sched_idle_poll_max_ns) /* a little longer would have caught it */
        polling_pays(s);
    hal_irq_restore(irqs);
}

/* Asks for work and waits a little for the answer, which may also come later, as any wake-up. */
static bool ask(struct sched_cpu *s)
{
    if (!sched_ask(s))
        return false;
    for (unsigned i = 0; i < ASK_AGAIN_POLLS && !something_to_do(s); i++)
        hal_cpu_relax();
    return true;
}

void sched_idle_loop(struct sched_cpu *s)
{
    /* Preemption stays off: the idle thread switches only here. */
    atomic_store_seq_cst(&s->idle, (uint32_t)CPU_POLLING);
    unsigned asked =
        0; /* requests since there was something to do: what others have may not be allowed here */
    for (;;) {
        if (something_to_do(s)) {
            /* W1: before the pass looks at the incoming queue, wakers interrupt again */
            atomic_store_seq_cst(&s->idle, (uint32_t)CPU_BUSY);
            if (sched_switch_idle())
                asked = 0;
            atomic_store_seq_cst(&s->idle, (uint32_t)CPU_POLLING);
        } else if (asked < ASK_MAX && ask(s)) {
            asked++;
        } else if (!poll(s)) {
            halt(s, asked < ASK_MAX);
            asked = 0;
        }
    }
}
