/* SPDX-License-Identifier: BSD-3-Clause */
/* Hierarchical timer wheel, one a CPU (Varghese and Lauck, SOSP'87, scheme 7).
 *
 * Time is counted in ticks of 2^10 ns, deadlines rounded up. Level n has 64 slots of 64^n ticks
 * each; a timer hangs at the level of the highest digit (base 64) in which its tick differs from
 * the wheel's, so that it is touched again at most once a level, when the wheel's time enters its
 * slot and the slot's timers move down.
 * T1 A timer in a slot of level n differs from the wheel's tick in no digit above n; the wheel
 *    never passes it.
 * T2 Bit s of occupied[n] is set exactly when slot s of level n holds a timer.
 * T3 armed_ns, what the hardware is set for, is not later than any timer's deadline, rounded up.
 *    It may be earlier: the start of a slot that holds several, or a cancelled timer's deadline.
 *
 * Cancelling does not touch the hardware; an interrupt with nothing due finds the next event and
 * sets it. The lock is a spinlock because timers fire in interrupts. Remote CPUs take it to cancel
 * only. */
#include <osv/timer.h>
#include <osv/clock.h>
#include <osv/spinlock.h>
#include <osv/string.h>
#include <osv/trace.h>

#define LEVELS 9 /* 10 + 9 * 6 bits: all of 64 */
#define SLOTS 64

struct timer_cpu {
    struct spinlock lock;
    uint64_t tick;                    /* [lock] wheel time: everything before has fired */
    uint64_t armed_ns;                /* [owning CPU, interrupts off] HAL_NEVER: hardware is off */
    _Atomic(uint64_t) interrupts;     /* [owning CPU; read by all] */
    _Atomic(struct timer *) running;  /* [owning CPU; read by all] whose fn runs now */
    uint64_t occupied[LEVELS];        /* [lock] */
    struct list slots[LEVELS][SLOTS]; /* [lock] */
};

size_t timer_cpu_size(void)
{
    return sizeof(struct timer_cpu);
}

void timer_cpu_init(struct cpu *cpu, struct timer_cpu *wheel)
{
    memset(wheel, 0, sizeof *wheel);
    spinlock_init(&wheel->lock, RANK_TIMER);
    wheel->tick = clock_ns() >> TIMER_TICK_SHIFT;
    wheel->armed_ns = HAL_NEVER;
    for (unsigned level = 0; level < LEVELS; level++)
        for (unsigned slot = 0; slot < SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
    cpu->timers = wheel;
}

void timer_init(struct timer *timer, void (*fn)(struct timer *timer))
{
    memset(timer, 0, sizeof *timer);
    timer->fn = fn;
}

#define TICK_MAX (UINT64_MAX >> TIMER_TICK_SHIFT) /* the end of time: 584 years after the start */

static uint64_t tick_of(uint64_t deadline_ns)
{
    uint64_t tick = deadline_ns >> TIMER_TICK_SHIFT;
    return tick + ((deadline_ns & (TIMER_TICK_NS - 1)) != 0 && tick != TICK_MAX);
}

/* Hangs the timer where T1 wants it; one that is due goes to the slot of the current tick. */
static void wheel_insert(struct timer_cpu *wheel, struct timer *timer)
{
    uint64_t tick = MAX(tick_of(timer->deadline_ns), wheel->tick);
    uint64_t differs = tick ^ wheel->tick;
    unsigned level = differs ? (63u - (unsigned)__builtin_clzll(differs)) / 6 : 0;
    unsigned slot = (unsigned)(tick >> (6 * level)) & (SLOTS - 1);
    timer->level = (uint8_t)level;
    timer->slot = (uint8_t)slot;
    list_push_front(&wheel->slots[level][slot], &timer->node);
    wheel->occupied[level] |= 1ull << slot;
}

static void wheel_remove(struct timer_cpu *wheel, struct timer *timer)
{
    list_remove(&timer->node);
    if (list_empty(&wheel->slots[timer->level][timer->slot]))
        wheel->occupied[timer->level] &= ~(1ull << timer->slot);
}

/* First occupied slot in time order: its level, slot and first tick. False when the wheel is empty.
 * By T1 every slot of a level lies before every slot of a higher level, and none lies before the
 * current digit. */
static bool wheel_first(const struct timer_cpu *wheel, unsigned *level, unsigned *slot,
                        uint64_t *tick)
{
    for (unsigned l = 0; l < LEVELS; l++) {
        if (!wheel->occupied[l])
            continue;
        unsigned s = (unsigned)__builtin_ctzll(wheel->occupied[l]);
        uint64_t below = 6 * (l + 1) < 64 ? ((uint64_t)1 << 6 * (l + 1)) - 1 : UINT64_MAX;
        *level = l;
        *slot = s;
        *tick = (wheel->tick & ~below) | (uint64_t)s << (6 * l);
        return true;
    }
    return false;
}

static uint64_t wheel_next_ns(const struct timer_cpu *wheel)
{
    unsigned level, slot;
    uint64_t tick;
    if (!wheel_first(wheel, &level, &slot, &tick))
        return HAL_NEVER;
    const struct list *head = &wheel->slots[level][slot];
    if (level > 0 && head->next == head->prev)
        tick = MAX(tick, tick_of(list_entry(head->next, struct timer, node)->deadline_ns));
    return tick << TIMER_TICK_SHIFT;
}

void timer_arm(struct timer *timer, uint64_t deadline_ns)
{
    hal_irqstate irqs = hal_irq_save();
    struct timer_cpu *wheel = cpu_self()->timers;
    spin_lock(&wheel->lock);
    DASSERT(!timer_armed(timer));
    timer->deadline_ns = deadline_ns;
    if (timer->last_wheel != wheel) /* when fn arms it again, timer_cancel_sync() may be reading */
        timer->last_wheel = wheel;
    atomic_store_relaxed(&timer->wheel, wheel);
    wheel_insert(wheel, timer);
    uint64_t due_ns = tick_of(deadline_ns) << TIMER_TICK_SHIFT;
    if (due_ns < wheel->armed_ns) {
        wheel->armed_ns = due_ns;
        hal_timer_arm(due_ns);
    }
    spin_unlock_irqrestore(&wheel->lock, irqs);
}

bool timer_cancel(struct timer *timer)
{
    struct timer_cpu *wheel = atomic_load_relaxed(&timer->wheel);
    if (!wheel)
        return false;
    hal_irqstate irqs = spin_lock_irqsave(&wheel->lock);
    bool armed = atomic_load_relaxed(&timer->wheel) == wheel;
    if (armed) {
        wheel_remove(wheel, timer);
        atomic_store_relaxed(&timer->wheel, NULL);
    }
    spin_unlock_irqrestore(&wheel->lock, irqs);
    return armed;
}

bool timer_cancel_sync(struct timer *timer)
{
    bool cancelled = false;
    /* Until it is neither armed nor running at one moment, under the lock: fn may arm it again, and
     * that may fire before we look. */
    for (;;) {
        cancelled |= timer_cancel(timer);
        struct timer_cpu *wheel = timer->last_wheel;
        if (!wheel)
            return false;
        /* W1 pairs with W2 in wheel_fire: what fn wrote is seen. */
        hal_irqstate irqs = spin_lock_irqsave(&wheel->lock);
        bool idle = !timer_armed(timer) && atomic_load_acquire(&wheel->running) != timer;
        spin_unlock_irqrestore(&wheel->lock, irqs);
        if (idle)
            return cancelled;
        hal_cpu_relax();
    }
}

/* Takes one due timer out and runs it; the lock is dropped meanwhile. */
static void wheel_fire(struct timer_cpu *wheel, struct timer *timer, uint64_t now_ns)
{
    void (*fn)(struct timer *) = timer->fn;
    uint64_t late_ns = now_ns - timer->deadline_ns; /* once it is out, its owner may arm it anew */
    wheel_remove(wheel, timer);
    atomic_store_release(&wheel->running, timer); /* W2 for the one before, pairs with W1 */
    atomic_store_relaxed(&timer->wheel, NULL);
    spin_unlock(&wheel->lock);
    TRACE(timer_fire, (uintptr_t)timer, late_ns);
    fn(timer);
    atomic_store_release(&wheel->running, NULL); /* W2 pairs with W1 in timer_cancel_sync */
    spin_lock(&wheel->lock);
}

void timer_interrupt(void)
{
    struct timer_cpu *wheel = cpu_self()->timers;
    atomic_store_relaxed(&wheel->interrupts, atomic_load_relaxed(&wheel->interrupts) + 1);
    wheel->armed_ns = HAL_NEVER; /* one-shot; a callback that arms a timer sets it again */
    uint64_t now_ns = clock_ns();
    uint64_t now = now_ns >> TIMER_TICK_SHIFT, tick;
    unsigned level, slot;
    spin_lock(&wheel->lock);
    while (wheel_first(wheel, &level, &slot, &tick) && tick <= now) {
        wheel->tick = MAX(wheel->tick, tick);
        struct list *head = &wheel->slots[level][slot];
        if (level == 0) {
            wheel_fire(wheel, list_entry(head->next, struct timer, node), now_ns);
            continue;
        }
        /* The wheel's time has entered the slot: its timers move down, all of them before one of
         * them may fire, since levels are looked at from below. */
        while (!list_empty(head)) {
            struct timer *timer = list_entry(head->next, struct timer, node);
            wheel_remove(wheel, timer);
            wheel_insert(wheel, timer);
        }
    }
    wheel->tick = MAX(wheel->tick, now);
    uint64_t next_ns = wheel_next_ns(wheel);
    if (next_ns < wheel->armed_ns) {
        wheel->armed_ns = next_ns;
        hal_timer_arm(next_ns);
    }
    spin_unlock(&wheel->lock);
}

uint64_t timer_next_ns(void)
{
    struct timer_cpu *wheel = cpu_self()->timers;
    hal_irqstate irqs = spin_lock_irqsave(&wheel->lock);
    uint64_t next_ns = wheel_next_ns(wheel);
    spin_unlock_irqrestore(&wheel->lock, irqs);
    return next_ns;
}

uint64_t timer_interrupts(unsigned cpu)
{
    return atomic_load_relaxed(&cpu_table[cpu]->timers->interrupts);
}

/* On the wheel's own CPU and not in fn: while timers fire, armed_ns is not up to date. */
void timer_check(struct timer_cpu *wheel)
{
    hal_irqstate irqs = spin_lock_irqsave(&wheel->lock);
    for (unsigned level = 0; level < LEVELS; level++)
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            struct list *head = &wheel->slots[level][slot];
            DASSERT(list_empty(head) == !(wheel->occupied[level] >> slot & 1)); /* T2 */
            list_for_each (node, head) {
                struct timer *timer = list_entry(node, struct timer, node);
                unsigned above = 6 * (level + 1);
                uint64_t tick = MAX(tick_of(timer->deadline_ns), wheel->tick);
                DASSERT(above >= 64 || (tick ^ wheel->tick) >> above == 0); /* T1 */
                uint64_t due_ns = tick_of(timer->deadline_ns) << TIMER_TICK_SHIFT;
                DASSERT(wheel->armed_ns <= due_ns); /* T3 */
                (void)tick;
                (void)above;
                (void)due_ns;
            }
        }
    spin_unlock_irqrestore(&wheel->lock, irqs);
}
