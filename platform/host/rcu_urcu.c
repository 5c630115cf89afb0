/* SPDX-License-Identifier: BSD-3-Clause */
/* RCU's grace periods by liburcu's QSBR flavour: every virtual CPU's pthread is a registered reader
 * that reports when the scheduler asks it to, and is offline while it sleeps.
 *
 * urcu_qsbr_synchronize_rcu() blocks a pthread, so a helper outside the virtual CPUs calls it and
 * raises an interrupt line when it returns. It does not say when it has begun, so the CPUs are
 * asked again until it is through. Registration: a pthread registers when it first goes online;
 * cpu_leaving() takes it out at shutdown. */
#include "host.h"
#include <osv/error.h>
#include <osv/sched.h>
#include <osv/waiter.h>
#include <osv/clock.h>
#include <rcu_engine.h>
#include <urcu/urcu-qsbr.h>

#define ASK_AGAIN_NS 100000ull

static struct {
    pthread_t pthread;
    bool started;             /* [CPU 0's boot, main pthread] */
    _Atomic(uint32_t) wanted; /* [atomic] grace periods asked for; the helper's futex */
    _Atomic(uint32_t) done;   /* [atomic] completed */
    _Atomic(uint32_t) stop;   /* [atomic] */
    struct hal_irq irq;
    struct waitq waiting;      /* for done to reach wanted */
    _Atomic(uint32_t) answers; /* [atomic] orders read sides before the end of a period in a form
                                  that tools see */
} helper;

static void *helper_main(void *arg)
{
    (void)arg;
    while (!atomic_load_acquire(&helper.stop)) {
        uint32_t wanted = atomic_load_acquire(&helper.wanted);
        if (wanted == atomic_load_relaxed(&helper.done)) {
            host_syscall4(SYS_futex, (long)&helper.wanted, FUTEX_WAIT_PRIVATE, wanted, 0);
            continue;
        }
        urcu_qsbr_synchronize_rcu();
        atomic_store_release(&helper.done, wanted); /* N1 pairs with N2 in rcu_engine_wait */
        hal_host_irq_raise(&helper.irq);
    }
    return NULL;
}

static void on_done(void *arg)
{
    (void)arg;
    waitq_wake(&helper.waiting, SIZE_MAX);
}

/* Before liburcu is told, since a grace period may end as soon as it is. */
static void answer(void)
{
    atomic_add_release(&helper.answers, 1u); /* N4 pairs with N3 in rcu_engine_wait */
}

/* Not inlined: liburcu's thread-local state must be looked up on the pthread that runs now. */
static NOINLINE void quiescent(void)
{
    hal_irqstate irqs = hal_irq_save();
    answer();
    urcu_qsbr_quiescent_state();
    hal_irq_restore(irqs);
}

static NOINLINE void online(bool is_online)
{
    hal_irqstate irqs = hal_irq_save();
    struct host_cpu *cpu = host_cpu_of(hal_ctx_self()->vcpu);
    if (!cpu->rcu_registered) {
        urcu_qsbr_register_thread();
        cpu->rcu_registered = true;
    } else if (is_online) {
        urcu_qsbr_thread_online();
    } else {
        answer();
        urcu_qsbr_thread_offline();
    }
    hal_irq_restore(irqs);
}

static void cpu_leaving(struct host_cpu *cpu)
{
    if (cpu->rcu_registered)
        urcu_qsbr_unregister_thread();
    cpu->rcu_registered = false;
}

static void machine_leaving(void)
{
    if (!helper.started)
        return;
    atomic_store_release(&helper.stop, 1u);
    atomic_add_release(&helper.wanted, 1u);
    host_syscall4(SYS_futex, (long)&helper.wanted, FUTEX_WAKE_PRIVATE, 1, 0);
    pthread_join(helper.pthread, NULL);
    helper.started = false;
}

static bool is_done(void *wanted)
{
    return atomic_load_acquire(&helper.done) ==
           *(uint32_t *)wanted; /* N2 pairs with N1 in helper_main */
}

void rcu_engine_wait(void)
{
    struct waitq *queue = &helper.waiting;
    uint32_t wanted = atomic_add_acq_rel(&helper.wanted, 1u) + 1;
    host_syscall4(SYS_futex, (long)&helper.wanted, FUTEX_WAKE_PRIVATE, 1, 0);
    do
        for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
            if (!sched_sleeps(cpu))
                sched_want_quiescent(cpu);
    while (waitq_wait_any(&queue, 1, is_done, &wanted, clock_ns() + ASK_AGAIN_NS) < 0);
    (void)atomic_load_acquire(&helper.answers); /* N3 pairs with N4 in answer */
}

int rcu_engine_init(void)
{
    static const struct sched_hooks hooks = {.quiescent = quiescent, .online = online};
    helper.irq = (struct hal_irq){.fn = on_done};
    atomic_store_relaxed(&helper.wanted, 0u);
    atomic_store_relaxed(&helper.done, 0u);
    atomic_store_relaxed(&helper.stop, 0u);
    waitq_init(&helper.waiting);
    int error = hal_irq_alloc(&helper.irq, 0);
    if (error < 0)
        return error;
    online(true); /* this CPU; the others when they start */
    sched_set_hooks(&hooks);
    host.cpu_leaving = cpu_leaving;
    host.machine_leaving = machine_leaving;
    if (pthread_create(&helper.pthread, NULL, helper_main, NULL) != 0)
        return -EAGAIN;
    helper.started = true;
    return 0;
}

const char *rcu_engine_name(void)
{
    return "liburcu qsbr";
}
