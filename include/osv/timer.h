/* SPDX-License-Identifier: BSD-3-Clause */
/* One-shot timers on per-CPU wheels; tickless: the hardware timer is set for the next one that is
 * due and for nothing else. A timer fires at its deadline or up to TIMER_TICK_NS (and the machine's
 * interrupt latency) later, never earlier. Arm and cancel are O(1). Design note: src/time/timer.c
 */
#pragma once
#include <osv/cpu.h>
#include <osv/list.h>

#define TIMER_TICK_SHIFT 10
#define TIMER_TICK_NS (1ull << TIMER_TICK_SHIFT)

struct timer {
    struct list node;     /* [wheel's lock] */
    uint64_t deadline_ns; /* [owner, while not armed] */
    void (*fn)(
        struct timer *timer); /* immutable; runs in interrupt context on the CPU that armed it */
    _Atomic(struct timer_cpu *) wheel; /* [wheel's lock; read by all] NULL: not armed */
    struct timer_cpu *last_wheel;      /* [owner, while not armed] where it was armed last */
    uint8_t level, slot;               /* [wheel's lock] where node hangs */
};

void timer_init(struct timer *timer, void (*fn)(struct timer *timer));

/* The timer must not be armed. fn may arm it again. A deadline that has passed fires at once.
 * Context: any. */
void timer_arm(struct timer *timer, uint64_t deadline_ns);

/* True: fn will not run for this arming. False: it was not armed, has run, or is running now.
 * Context: any. */
bool timer_cancel(struct timer *timer);

/* The same, and fn is not running any more when it returns: the memory may go. Not from fn itself.
 * Context: any with interrupts on, or on another CPU than the timer's. */
bool timer_cancel_sync(struct timer *timer);

static inline bool timer_armed(struct timer *timer)
{
    return atomic_load_relaxed(&timer->wheel) != NULL;
}

/* Deadline of the next timer of this CPU, or HAL_NEVER. Never later than the truth. Preemption off.
 */
uint64_t timer_next_ns(void);

/* How often this CPU took a timer interrupt. */
uint64_t timer_interrupts(unsigned cpu);

void timer_cpu_init(struct cpu *cpu, struct timer_cpu *storage); /* boot */
size_t timer_cpu_size(void);                                     /* bytes of storage that takes */
void timer_interrupt(void);                                      /* context: interrupt */
void timer_check(struct timer_cpu *wheel); /* DASSERTs T1 to T3; takes the lock */
