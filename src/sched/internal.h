/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of this room share. */
#pragma once
#include "runqueue.h"
#include <osv/timer.h>

enum idle_state {
    CPU_BUSY,    /* runs a thread: a wake-up needs an interrupt */
    CPU_POLLING, /* idle, looks at its incoming queue all the time */
    CPU_HALTED,  /* idle, sleeps: needs an interrupt */
};

#define ATTENTION_RESCAN 1u    /* a queued thread's wanted word or affinity changed */
#define ATTENTION_QUIESCENT 2u /* RCU asks for a quiescent state */

/* One CPU's scheduler. Lines are grouped by who writes them. */
struct sched_cpu {
    /* Written by others */
    struct mpsc incoming
        LINE_ALIGNED; /* [many push, this CPU takes] threads that were woken or moved here */
    _Atomic(uint32_t)
        idle; /* [this CPU writes] enum idle_state; beside what a waker writes anyway */
    _Atomic(uint32_t) steal_request; /* [a thief sets it from 0] its CPU number + 1 */
    _Atomic(uint32_t)
        attention; /* [anybody sets bits] ATTENTION_...: what the next pass should see to */

    /* Read by others, written by this CPU */
    _Atomic(uint32_t) load LINE_ALIGNED; /* threads that run or want to */
    _Atomic(uint32_t) movable;           /* of the queued ones, how many others may take */
    _Atomic(uint64_t) switches, steals, remote_wakes, ipis, halts;

    /* This CPU's own, preemption off */
    struct cpu *cpu LINE_ALIGNED;
    struct thread *idle_thread;
    uint64_t charged_ns;     /* up to when the running thread has been charged */
    struct thread *previous; /* who ran before the last switch */
    struct thread *departed; /* ended or moving: the thread switched to sees to it */
    struct timer slice;      /* armed while somebody waits for this CPU */
    uint64_t balance_ns;     /* when to look for a busier CPU next */
    uint64_t poll_ns;        /* how long to poll before sleeping: adapts */
    uint32_t steal_next;     /* where the search for a victim goes on */
    struct runq rq LINE_ALIGNED;
};

extern uint64_t sched_idle_poll_max_ns;    /* immutable after boot */
extern struct sched_hooks sched_hooks_now; /* immutable after sched_set_hooks() */
extern _Atomic(uint64_t) sched_halted[BITMAP_WORDS(CPU_MAX)]; /* [atomic] CPUs that sleep idle */
extern _Atomic(uint32_t) sched_halted_count;

static inline struct sched_cpu *sched_of(unsigned cpu)
{
    return cpu_table[cpu]->sched;
}

/* Counters that one CPU writes and others read. */
#define COUNT(counter, n) atomic_store_relaxed(&(counter), atomic_load_relaxed(&(counter)) + (n))

/* switch.c; all with preemption off */
void sched_switch_blocked(void);          /* the running thread is parked */
bool sched_switch_idle(void);             /* the idle thread looks for one to run: was there one? */
_Noreturn void sched_switch_exited(void); /* the running thread has ended */
void sched_switch_finish(
    struct sched_cpu *s); /* first thing on the stack of the thread that was switched to */
void sched_account(struct sched_cpu *s); /* charges the running thread up to now */
void sched_arm_slice(struct sched_cpu *s,
                     const struct thread *running); /* somebody waits for this busy CPU */
/* wakeup.c */
void sched_make_runnable(struct thread *thread); /* thread is parked, or new */
void sched_send(struct thread *thread,
                unsigned cpu); /* hands a thread that is in no queue to cpu */
void sched_take_incoming(struct sched_cpu *s);
void sched_send_misfits(struct sched_cpu *s); /* away with what should not be queued here */
void sched_enqueue_local(struct sched_cpu *s, struct thread *thread);
unsigned sched_allowed_cpu(const struct thread *thread, unsigned near);
/* balance.c */
void sched_publish(struct sched_cpu *s, bool busy); /* load and movable, for others to read */
void sched_give(struct sched_cpu *s);               /* answers a steal request */
void sched_balance(struct sched_cpu *s);            /* gives to a CPU that has less to do */
bool sched_ask(
    struct sched_cpu *s); /* posts one to the most loaded CPU where somebody waits; false: none */
void sched_offer(
    struct sched_cpu *s); /* wakes a sleeping CPU when there is something to take here */
/* idle.c */
struct waiter;
void sched_poll_woken(
    const struct waiter *waiter); /* where this CPU would go idle, a little first */
_Noreturn void sched_idle_loop(struct sched_cpu *s);
/* thread.c */
int thread_make_idle(struct cpu *cpu, struct thread **out, void (*entry)(void *), void *arg);
void thread_setup_boot(struct thread *thread);
void thread_departed(struct thread *thread); /* has ended and is off its stack */
void threads_reset(void);
