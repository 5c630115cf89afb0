/* SPDX-License-Identifier: BSD-3-Clause */
/* The scheduler as a whole: start-up, the hooks of interrupts, statistics. Threads have thread.h,
 * blocking waiter.h. */
#pragma once
#include <osv/thread.h>

#define SCHED_TAU_NS 200000000ull /* run time is forgotten with this time constant */
#define SCHED_HYSTERESIS_NS                                                                        \
    5000000ull /* a thread runs this much longer than another before it gives way */
#define SCHED_SLICE_MIN_NS 100000ull /* and is not asked to more often than this */
#define SCHED_PENALTY_NS 10000ull    /* charged to a thread whose wake-up pre-empts another */
#define SCHED_RR_NS 100000000ull     /* turn of a THREAD_RR thread */
#define SCHED_BALANCE_NS 50000000ull /* a busy CPU looks this often for a busier one */
#define SCHED_STEAL_MAX 64u          /* threads that one request moves at most */

struct sched_stats {
    uint64_t switches;     /* context switches */
    uint64_t steals;       /* threads given to other CPUs */
    uint64_t remote_wakes; /* wake-ups that came through the incoming queue */
    uint64_t ipis;         /* sent for wake-ups and steals */
    uint64_t halts;        /* times the CPU slept */
};

/* CPU 0, with the boot task as its idle thread. idle_poll_ns: the longest that an idle CPU polls
 * before it sleeps. */
void sched_init(struct thread *boot_thread, uint64_t idle_poll_ns);
int sched_cpu_init(struct cpu *cpu)
    MUST_CHECK;                        /* boot: run queue and idle thread of cpu. 0, -ENOMEM */
int sched_start_cpus(void) MUST_CHECK; /* starts every CPU but this one. 0, -EAGAIN */
_Noreturn void sched_idle(void);       /* the boot thread becomes CPU 0's idle thread */

void sched_irq_enter(void); /* first in an interrupt */
void sched_ipi(void);       /* context: interrupt, for HAL_IPI_RESCHED */
void sched_irq_exit(void);  /* last in an interrupt: switches if that is due */

/* For RCU. quiescent: on the CPU that sched_want_quiescent() asked, in its next pass through the
 * scheduler, between two threads' read sides. online: with false before a CPU sleeps and with true
 * when it is awake again. NULL: none. */
struct sched_hooks {
    void (*quiescent)(void);
    void (*online)(bool online);
};
void sched_set_hooks(const struct sched_hooks *hooks);

/* Interrupts cpu so that it passes through the scheduler soon. Context: any. */
void sched_kick(unsigned cpu);

/* Makes cpu call hooks.quiescent soon. Context: any. */
void sched_want_quiescent(unsigned cpu);
/* Does cpu sleep idle now? Then what the caller unlinked before is not seen by it any more. */
bool sched_sleeps(unsigned cpu);

void sched_stats(unsigned cpu, struct sched_stats *out);
/* DASSERTs the invariants of this CPU's run queue. Context: thread. */
void sched_check(void);
