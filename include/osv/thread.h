/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads of the kernel and of the programs it runs. Scheduling: src/sched/switch.c; life cycle:
 * src/sched/thread.c. */
#pragma once
#include <osv/cpu.h>
#include <osv/cpumask.h>
#include <osv/list.h>
#include <osv/queue_mpsc.h>

#define THREAD_NICE_MIN (-20)
#define THREAD_NICE_MAX 19
#define THREAD_RT_MIN 1
#define THREAD_RT_MAX 99

enum thread_policy {
    THREAD_FAIR, /* shares by nice value */
    THREAD_FIFO, /* real time: runs until it blocks or a higher priority wants to run */
    THREAD_RR,   /* real time: the same, but takes turns with its own priority every 100 ms */
};

enum thread_state {
    THREAD_RUNNABLE, /* runs, or waits for its CPU */
    THREAD_WAITING,  /* parked */
    THREAD_EXITED,
};

struct thread {
    struct task task; /* first */

    /* For the scheduler of task.cpu */
    uint64_t
        runtime;    /* [owning CPU] decayed run time in units of its scale; src/sched/runqueue.c */
    uint64_t share; /* [owning CPU] the same as a fraction, while it moves between CPUs */
    uint32_t epoch; /* [owning CPU] renormalisations that runtime has seen */
    uint32_t home;  /* [owning CPU] CPU whose scale runtime is in, or THREAD_NO_HOME */
    uint8_t policy, rt_priority; /* [owning CPU] what is in force ... */
    int8_t nice;
    bool pinned;                  /* (may run on one CPU only) */
    bool queued;                  /* [owning CPU] is in its run queue */
    _Atomic(uint32_t) state;      /* [owning thread] enum thread_state */
    _Atomic(uint32_t) cpu_id;     /* [owning CPU; read by all] of task.cpu */
    _Atomic(uint32_t) wanted;     /* [atomic] ... and what was asked for, and whether pinned */
    struct mpsc_node wake_node;   /* [waker] link of the target CPU's incoming queue */
    struct list rt_node;          /* [owning CPU] */
    struct thread *overflow_next; /* [owning CPU] */
    _Atomic(uint64_t) affinity[BITMAP_WORDS(CPU_MAX)]; /* [atomic] */
    uint64_t rr_left_ns;                               /* [owning CPU] rest of a THREAD_RR turn */
    _Atomic(uint64_t) runtime_ns; /* [owning CPU; read by all] time it has run */
    _Atomic(uint64_t) switches;   /* [owning CPU; read by all] times it was switched to */

    /* Life cycle */
    int (*entry)(void *arg);    /* immutable */
    void *arg;                  /* immutable */
    int status;                 /* [owning thread until EXITED] */
    _Atomic(void *) joiner;     /* [atomic] see src/sched/thread.c */
    struct list all_node;       /* [RANK_THREADS lock] */
    uint64_t id;                /* immutable */
    char name[THREAD_NAME_MAX]; /* [owning thread] */
    void *block;                /* immutable: stack and this structure, or NULL */
    size_t block_pages;         /* immutable */
};

#define THREAD_NO_HOME UINT32_MAX

struct thread_attr {
    const char *name;               /* NULL: "thread"; cut to THREAD_NAME_MAX - 1 bytes */
    const struct cpumask *affinity; /* NULL: every CPU */
    size_t stack_size;              /* bytes; 0: HAL_STACK_SIZE */
    enum thread_policy policy;
    int rt_priority; /* THREAD_RT_MIN .. THREAD_RT_MAX for THREAD_FIFO and THREAD_RR, else 0 */
    int nice;        /* THREAD_NICE_MIN .. THREAD_NICE_MAX */
    bool detached;
};

static inline struct thread *thread_self(void)
{
    return (struct thread *)(void *)task_self();
}

/* Starts entry(arg) in a new thread on this CPU; an idle CPU takes it over. attr may be NULL.
 * 0; -EINVAL (an attribute out of range, a mask without an existing CPU); -ENOMEM. Context: thread.
 * Lock-free but for the list of all threads. */
int thread_create(struct thread **thread, int (*entry)(void *arg), void *arg,
                  const struct thread_attr *attr) MUST_CHECK;

/* Waits until the thread has ended, stores its status unless NULL, and frees it. 0; -EINVAL
 * (detached, or somebody else joins); -EDEADLK (oneself). Context: thread, sleeps. */
int thread_join(struct thread *thread, int *status);

/* The thread will be freed when it ends. 0; -EINVAL (already detached, or being joined). Context:
 * thread. */
int thread_detach(struct thread *thread);

/* Ends the calling thread; returning from entry does the same. */
_Noreturn void thread_exit(int status);

/* Lets others of this CPU run that are as entitled. Context: thread. */
void thread_yield(void);

/* Sleeps until the deadline of clock_ns(). Context: thread, sleeps. */
void thread_sleep_until(uint64_t deadline_ns);
void thread_sleep(uint64_t duration_ns);

void thread_set_name(const char *name); /* of the calling thread */

/* 0; -EINVAL (no CPU of the mask exists). The calling thread is on an allowed CPU when it returns;
 * another one moves at its CPU's next look at the run queue, for which it is interrupted. Context:
 * thread. */
int thread_set_affinity(struct thread *thread, const struct cpumask *mask);
void thread_get_affinity(const struct thread *thread, struct cpumask *mask);

/* 0; -EINVAL (priority or nice value out of range). Takes effect like the affinity does. Context:
 * thread. */
int thread_set_policy(struct thread *thread, enum thread_policy policy, int rt_priority);
int thread_set_nice(struct thread *thread, int nice);

/* Time that a thread has run, ns, up to its last switch (of the caller: up to now). Context: any.
 */
uint64_t thread_runtime_ns(struct thread *thread);

/* Calls visit for every thread that has not been freed, under a spinlock. Context: thread; visit
 * must not sleep. */
void thread_for_each(void (*visit)(struct thread *thread, void *arg), void *arg);
size_t thread_count(void);
