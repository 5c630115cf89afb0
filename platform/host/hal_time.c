/* SPDX-License-Identifier: BSD-3-Clause */
/* Clocks and the one-shot timer of the host backend. The monotonic clock is the processor's
 * counter, scaled, where that counter is constant; it is calibrated against CLOCK_MONOTONIC at the
 * first boot. */
#include "host.h"
#include <osv/log.h>
#include <stdlib.h>

#define CALIBRATE_NS 10000000ull
#define SCALE_SHIFT 32

static struct {
    bool counter;        /* the counter is good for time */
    uint64_t mult;       /* ns = ticks * mult >> SCALE_SHIFT */
    uint64_t base_ticks; /* counter at base_ns */
    uint64_t base_ns;    /* CLOCK_MONOTONIC then */
} scale;                 /* immutable after the first host_time_init() */

static uint64_t clock_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now); /* the vDSO: takes no lock */
    return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

#if defined(__x86_64__)
#include <cpuid.h>
static bool counter_is_constant(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007u, &a, &b, &c, &d) && (d & (1u << 8)); /* invariant TSC */
}
#else
static bool counter_is_constant(void)
{
    return true; /* the generic timer is, by architecture */
}
#endif

/* Both clocks at one instant: the attempt with the shortest gap between the two reads of the
 * counter. */
static void read_pair(uint64_t *ticks, uint64_t *ns)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 16; i++) {
        uint64_t before = isa_cycles();
        uint64_t now = clock_ns(CLOCK_MONOTONIC);
        uint64_t gap = isa_cycles() - before;
        if (gap < best) {
            best = gap;
            *ticks = before + gap / 2;
            *ns = now;
        }
    }
}

void host_time_init(void)
{
    if (scale.base_ns != 0)
        return;
    uint64_t ticks0, ns0, ticks1, ns1;
    read_pair(&ticks0, &ns0);
    do
        read_pair(&ticks1, &ns1);
    while (ns1 - ns0 < CALIBRATE_NS);
    scale.counter = counter_is_constant() && ticks1 > ticks0;
    if (scale.counter)
        scale.mult =
            (uint64_t)(((unsigned __int128)(ns1 - ns0) << SCALE_SHIFT) / (ticks1 - ticks0));
    scale.base_ticks = ticks1;
    scale.base_ns = ns1;
}

uint64_t hal_time_ns(void)
{
    if (unlikely(!scale.counter))
        return clock_ns(CLOCK_MONOTONIC);
    uint64_t ticks = isa_cycles() - scale.base_ticks;
    return scale.base_ns + (uint64_t)((unsigned __int128)ticks * scale.mult >> SCALE_SHIFT);
}

uint64_t hal_wall_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

void host_timer_create(struct host_cpu *cpu)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = HOST_SIGNAL_TIMER};
    event._sigev_un._tid = atomic_load_relaxed(&cpu->vcpu.tid);
    if (timer_create(CLOCK_MONOTONIC, &event, &cpu->timer) != 0) {
        log_error("cpu%u: Linux gives no more timers (raise 'ulimit -i', or use fewer CPUs)",
                  cpu->vcpu.id);
        abort(); /* nothing can run without one */
    }
}

void host_timer_delete(struct host_cpu *cpu)
{
    timer_delete(cpu->timer);
}

/* A little late rather than early: the kernel's clock and ours may drift apart by some millionths.
 */
#define TIMER_SLACK_NS 200u
#define TIMER_DRIFT_SHIFT 16
#define TIMER_FAR_NS (NSEC_PER_SEC << 28) /* beyond, an interrupt for nothing now and then */

/* Context: interrupts off. */
void hal_timer_arm(uint64_t deadline_ns)
{
    struct itimerspec when = {0};
    struct host_cpu *cpu = host_cpu_of(hal_ctx_self()->vcpu);
    if (deadline_ns != HAL_NEVER) {
        uint64_t now = hal_time_ns();
        uint64_t delay = deadline_ns > now ? MIN(deadline_ns - now, TIMER_FAR_NS) : 0;
        delay += (delay >> TIMER_DRIFT_SHIFT) + TIMER_SLACK_NS;
        when.it_value.tv_sec = (time_t)(delay / NSEC_PER_SEC);
        when.it_value.tv_nsec = (long)(delay % NSEC_PER_SEC);
    }
    host_syscall4(SYS_timer_settime, (long)(intptr_t)cpu->timer, 0, (long)&when, 0);
}
