/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the host backend share. After boot, code that runs on a virtual CPU makes raw
 * system calls only: a context that is preempted inside libc's malloc or stdio would hold its lock
 * for ever. */
#pragma once
#include <osv/hal.h>
#include <osv/limits.h>
#include <osv/run.h>
#include <host_syscall.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#define HOST_SIGNAL_IPI SIGURG    /* somebody set a pending bit */
#define HOST_SIGNAL_TIMER SIGALRM /* this CPU's timer fired */

#define HOST_PENDING_RESCHED (1u << HAL_IPI_RESCHED)
#define HOST_PENDING_CALL (1u << HAL_IPI_CALL)
#define HOST_PENDING_TIMER (1u << 2)
#define HOST_PENDING_STOP (1u << 3)
#define HOST_PENDING_LINE 4 /* bit of device line 0 */
#define HOST_LINES 28       /* device lines of one CPU */

struct host_cpu {
    struct hal_vcpu vcpu LINE_ALIGNED;
    struct hal_ctx base; /* [this pthread] where the pthread came from and returns to at shutdown */
    struct hal_ctx *first;             /* immutable once started: what it runs first */
    pthread_t pthread;                 /* [main pthread] */
    bool started;                      /* [CPU 0] */
    timer_t timer;                     /* [this pthread] kernel timer that signals this pthread */
    struct hal_irq *lines[HOST_LINES]; /* [atomic by hal_irq_alloc's order] */
    _Atomic(uint32_t) lines_used;
    bool rcu_registered; /* [this pthread] */
};

struct host_machine {
    struct host_cpu *cpus;    /* immutable while booted */
    unsigned cpu_count;       /* immutable while booted */
    _Atomic(int) stopping;    /* [atomic] set once by hal_shutdown() */
    int status;               /* [written before stopping] */
    struct hal_bootinfo info; /* immutable while booted */
    struct hal_mem_region region;
    bool pin;                                  /* immutable while booted */
    int pid;                                   /* immutable while booted */
    void (*cpu_leaving)(struct host_cpu *cpu); /* immutable after boot, may be NULL: on each pthread
                                                  as it ends ... */
    void (*machine_leaving)(void);             /* ... and on the main pthread after all */
};
extern struct host_machine host;

static inline struct host_cpu *host_cpu_of(struct hal_vcpu *vcpu)
{
    return &host.cpus[vcpu->id];
}

/* main.c */
void host_pin_cpu(unsigned id, pthread_t pthread);
/* hal_irq.c */
void host_irq_install(void);                               /* signal handlers, once a process */
void host_irq_raise(struct hal_vcpu *vcpu, uint32_t bits); /* any pthread */
void host_irq_dispatch(struct hal_ctx *self); /* interrupts off: handles what is pending */
/* hal_cpu.c */
int host_cpu_spawn(struct host_cpu *cpu, struct hal_ctx *first);
_Noreturn void host_cpu_leave(void); /* ends this virtual CPU */
/* hal_time.c */
void host_time_init(void);
void host_timer_create(struct host_cpu *cpu);
void host_timer_delete(struct host_cpu *cpu);
/* hal_mem.c */
int host_mem_init(size_t bytes);
void host_mem_fini(void);
/* hal_symbol.c */
void host_symbol_init(void);
