/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts of the host backend.
 *
 * An interrupt is a bit in the virtual CPU's pending word plus a signal to its pthread. The mask
 * is a word of the running context (irq_off), so masking costs no system call. Rules:
 * H1 Whoever sets the first bit of an empty word sends the signal, or wakes the futex when the
 *    CPU sleeps.
 * H2 The handler dispatches at once when the context has interrupts on; otherwise it leaves the
 *    bits, and hal_irq_restore() looks at them.
 * H3 The handler runs with both signals blocked until it has left its bits, then unblocks them: a
 *    context may be switched out inside the handler and resumed by another pthread. The kernel's
 *    signal frame keeps its full register state meanwhile.
 * H4 During hal_ctx_switch() a handler may run on the old stack while the new context is already
 *    "self". Preemption is off in both, so that it only leaves marks.
 * H5 Under ThreadSanitizer, whose run time must not be re-entered, the handler always leaves the
 *    bits; they are looked at in hal_irq_restore(), hal_cpu_relax() and hal_cpu_idle().
 * H6 A context that had interrupts off may switch, with bits left, to one that has them on; that
 *    one looks at them as soon as it is back in hal_ctx_switch().
 * H7 A signal's handler begins on the pthread that it was sent to. Unblocked, the frames of two
 *    signals that are pending at once would be stacked before either handler runs; the first could
 *    switch away, and the second would run wherever that context goes on, where a timer's signal
 *    is another CPU's. */
#include "host.h"
#include <osv/assert.h>
#include <osv/error.h>
#include <ucontext.h>

#if defined(__x86_64__)
#define CONTEXT_PC(context) ((context)->uc_mcontext.gregs[REG_RIP])
#else
#define CONTEXT_PC(context) ((context)->uc_mcontext.pc)
#endif

void host_irq_raise(struct hal_vcpu *vcpu, uint32_t bits)
{
    if (atomic_or_seq_cst(&vcpu->pending, bits) != 0)
        return;
    if (atomic_load_seq_cst(&vcpu->sleeping)) /* I2 pairs with I1 in hal_cpu_idle */
        host_syscall4(SYS_futex, (long)&vcpu->pending, FUTEX_WAKE_PRIVATE, 1, 0);
    else
        host_syscall4(SYS_tgkill, host.pid, atomic_load_relaxed(&vcpu->tid), HOST_SIGNAL_IPI, 0);
}

static void dispatch_lines(struct host_cpu *cpu, uint32_t pending)
{
    for (uint32_t lines = pending >> HOST_PENDING_LINE; lines; lines &= lines - 1) {
        struct hal_irq *irq = cpu->lines[__builtin_ctz(lines)];
        if (irq)
            irq->fn(irq->arg);
    }
}

void host_irq_dispatch(struct hal_ctx *self)
{
    for (;;) {
        struct hal_vcpu *vcpu = self->vcpu; /* osv_irq_exit() may have moved us */
        uint32_t pending = atomic_xchg_seq_cst(&vcpu->pending, 0u);
        if (pending == 0)
            return;
        if (pending & HOST_PENDING_STOP)
            host_cpu_leave();
        osv_irq_enter();
        if (pending & HOST_PENDING_TIMER)
            osv_timer();
        if (pending & HOST_PENDING_CALL)
            osv_ipi(HAL_IPI_CALL);
        if (pending & HOST_PENDING_RESCHED)
            osv_ipi(HAL_IPI_RESCHED);
        if (pending >> HOST_PENDING_LINE)
            dispatch_lines(host_cpu_of(vcpu), pending);
        osv_irq_exit();
    }
}

void hal_host_irq_pending(void)
{
    struct hal_ctx *self = hal_ctx_self();
    while (atomic_load_relaxed(&self->irq_off) == 0 &&
           atomic_load_relaxed(&self->vcpu->pending) != 0) {
        atomic_store_relaxed(&self->irq_off, 1u);
        compiler_barrier();
        host_irq_dispatch(self);
        compiler_barrier();
        atomic_store_relaxed(&self->irq_off, 0u);
        compiler_barrier();
    }
}

/* Both signals, as the kernel's signal set. */
static const uint64_t interrupts = 1ull << (HOST_SIGNAL_IPI - 1) | 1ull << (HOST_SIGNAL_TIMER - 1);

/* Under ThreadSanitizer it interrupts the run time itself, so nothing in it may call there. */
#if HAL_HOST_TSAN
__attribute__((disable_sanitizer_instrumentation))
#endif
static void
on_interrupt(int signal, siginfo_t *info, void *context)
{
    struct hal_ctx *self = host_self_get();
    (void)info;
    if (!self)
        return;
#if defined(__aarch64__)
    ucontext_t *interrupted = context;
    if (interrupted->uc_mcontext.pc - (uintptr_t)host_self_get <
        (uintptr_t)host_self_get_end - (uintptr_t)host_self_get)
        interrupted->uc_mcontext.pc = (uintptr_t)host_self_get;
#else
    (void)context;
#endif
    if (signal == HOST_SIGNAL_TIMER)
        atomic_or_relaxed(&self->vcpu->pending, HOST_PENDING_TIMER);
#if !HAL_HOST_TSAN
    if (atomic_load_relaxed(&self->irq_off) != 0)
        return;
    host_syscall4(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&interrupts, 0, sizeof interrupts);
    hal_host_irq_pending();
#endif
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    static const char *const names[] = {
        [SIGSEGV] = "bad memory access", [SIGBUS] = "bus error", [SIGILL] = "illegal instruction",
        [SIGFPE] = "arithmetic fault",   [SIGTRAP] = "trap",
    };
    struct sigaction fallback = {.sa_handler = SIG_DFL};
    sigaction(signal, &fallback, NULL); /* a second fault ends the process */
    if (!host_self_get())
        return; /* not one of our CPUs: fault again, in the default way */
    osv_fault(names[signal], (uintptr_t)info->si_addr,
              (uintptr_t)CONTEXT_PC((ucontext_t *)context));
}

/* sigaction() of libc, or the system call itself where a sanitizer would put its own handler in
 * front of ours. */
#if HAL_HOST_TSAN && defined(__x86_64__)
struct kernel_sigaction {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};
void host_sigreturn(void);
__asm__(".text\n.globl host_sigreturn\nhost_sigreturn:\n\tmov $15, %eax\n\tsyscall\n");

static void install(int signal)
{
    struct kernel_sigaction action = {on_interrupt, SA_SIGINFO | SA_RESTART | 0x04000000ul,
                                      host_sigreturn, interrupts};
    host_syscall4(SYS_rt_sigaction, signal, (long)&action, 0, sizeof action.mask);
}
#else
static void install(int signal)
{
    struct sigaction action = {.sa_sigaction = on_interrupt, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, HOST_SIGNAL_IPI);
    sigaddset(&action.sa_mask, HOST_SIGNAL_TIMER);
    sigaction(signal, &action, NULL);
}
#endif

void host_irq_install(void)
{
    install(HOST_SIGNAL_IPI);
    install(HOST_SIGNAL_TIMER);
#if !HAL_HOST_TSAN && !HAL_HOST_ASAN /* a sanitizer's own report says more */
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigaction(faults[i], &action, NULL);
#else
    (void)on_fault;
#endif
}

void hal_ipi_send(unsigned cpu, enum hal_ipi kind)
{
    DASSERT(cpu < host.cpu_count);
    host_irq_raise(&host.cpus[cpu].vcpu, 1u << kind);
}

/* A line's slot is claimed in lines_used before the pointer is set, and raised only after
 * hal_irq_alloc() returned. */
int hal_irq_alloc(struct hal_irq *irq, unsigned cpu)
{
    if (cpu >= host.cpu_count || !irq->fn)
        return -EINVAL;
    struct host_cpu *target = &host.cpus[cpu];
    uint32_t used = atomic_load_relaxed(&target->lines_used);
    unsigned line;
    do {
        line = (unsigned)__builtin_ctz(~used);
        if (line >= HOST_LINES)
            return -ENOSPC;
    } while (!atomic_cas_acq_rel(&target->lines_used, &used, used | 1u << line));
    irq->cpu = cpu;
    irq->line = line;
    irq->message_address = 0;
    irq->message_data = 0;
    target->lines[line] = irq;
    return 0;
}

void hal_irq_free(struct hal_irq *irq)
{
    struct host_cpu *target = &host.cpus[irq->cpu];
    target->lines[irq->line] = NULL;
    atomic_and_release(&target->lines_used, ~(1u << irq->line));
}

void hal_host_irq_raise(const struct hal_irq *irq)
{
    host_irq_raise(&host.cpus[irq->cpu].vcpu, 1u << (HOST_PENDING_LINE + irq->line));
}
