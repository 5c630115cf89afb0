/* SPDX-License-Identifier: BSD-3-Clause */
/* Virtual CPUs and contexts of the host backend. */
#include "host.h"
#include <osv/error.h>
#include <errno.h>
#include <sched.h>
#include <unistd.h>
#if HAL_HOST_TSAN
#include <sanitizer/tsan_interface.h>
#endif

__thread struct hal_ctx *host_self __attribute__((tls_model("initial-exec")));

unsigned hal_cpu_count(void)
{
    return host.cpu_count;
}

static void adopt(struct hal_ctx *ctx, const struct hal_ctx *before, struct hal_vcpu *vcpu);

/* A virtual CPU's pthread: runs contexts until one of them leaves through host_cpu_leave(). */
static void *cpu_main(void *arg)
{
    struct host_cpu *cpu = arg;
    atomic_store_relaxed(&cpu->vcpu.tid, (int)host_syscall4(SYS_gettid, 0, 0, 0, 0));
    host_timer_create(cpu);
    adopt(&cpu->base, NULL, &cpu->vcpu);
    hal_ctx_switch(&cpu->base, cpu->first);
    host_self_set(NULL); /* signals from here on find no context */
    host_timer_delete(cpu);
    if (host.cpu_leaving)
        host.cpu_leaving(cpu);
    if (cpu->vcpu.id == 0)
        for (unsigned i = 1; i < host.cpu_count; i++)
            if (host.cpus[i].started)
                pthread_join(host.cpus[i].pthread, NULL);
    return NULL;
}

int host_cpu_spawn(struct host_cpu *cpu, struct hal_ctx *first)
{
    cpu->first = first;
    return pthread_create(&cpu->pthread, NULL, cpu_main, cpu) == 0 ? 0 : -EAGAIN;
}

int hal_cpu_start(unsigned id, struct hal_ctx *load)
{
    if (id == 0 || id >= host.cpu_count || host.cpus[id].started)
        return -EINVAL;
    int error = host_cpu_spawn(&host.cpus[id], load);
    if (error == 0) {
        host.cpus[id].started = true;
        if (host.pin)
            host_pin_cpu(id, host.cpus[id].pthread);
    }
    return error;
}

void host_cpu_leave(void)
{
    struct hal_ctx *self = hal_ctx_self();
    struct hal_ctx *base = &host_cpu_of(self->vcpu)->base;
    hal_ctx_switch(self, base);
    __builtin_unreachable();
}

/* The sleeper says so, then lets the kernel compare the word that senders change first: either the
 * sender sees sleeping and wakes the futex, or its bit (or its signal, which ends the wait) is seen
 * here. */
void hal_cpu_idle(void)
{
    struct hal_ctx *self = hal_ctx_self();
    struct hal_vcpu *vcpu = self->vcpu;
    atomic_store_seq_cst(&vcpu->sleeping, 1u); /* I1 pairs with I2 in host_irq_raise */
    while (atomic_load_seq_cst(&vcpu->pending) == 0)
        host_syscall4(SYS_futex, (long)&vcpu->pending, FUTEX_WAIT_PRIVATE, 0, 0);
    atomic_store_relaxed(&vcpu->sleeping, 0u);
    host_irq_dispatch(self);
}

static void adopt(struct hal_ctx *ctx, const struct hal_ctx *before, struct hal_vcpu *vcpu)
{
    *ctx = (struct hal_ctx){.irq_off = 1, .vcpu = vcpu};
    if (before) {
        ctx->stack_base = before->stack_base;
        ctx->stack_size = before->stack_size;
        ctx->fiber = before->fiber;
    }
#if HAL_HOST_TSAN
    if (!before)
        ctx->fiber = __tsan_get_current_fiber();
#endif
    host_self_set(ctx); /* last: signals find it complete */
}

void hal_ctx_adopt(struct hal_ctx *ctx)
{
    const struct hal_ctx *before = hal_ctx_self();
    adopt(ctx, before, before->vcpu);
}

/* First code of a new context, on its own stack. */
static void context_start(void *arg)
{
    struct hal_ctx *self = arg;
#if HAL_HOST_ASAN
    __sanitizer_finish_switch_fiber(self->fiber, NULL, NULL);
#endif
    self->entry(self->arg);
    __builtin_trap();
}

void hal_ctx_init(struct hal_ctx *ctx, void *stack_base, size_t stack_size, void (*entry)(void *),
                  void *arg)
{
#if HAL_HOST_ASAN
    __asan_unpoison_memory_region(stack_base, stack_size); /* its last user may not have returned */
#endif
    isa_ctx_init(&ctx->isa, (char *)stack_base + stack_size, context_start, ctx);
    atomic_store_relaxed(&ctx->irq_off, 1u);
    ctx->vcpu = NULL;
    ctx->entry = entry;
    ctx->arg = arg;
    ctx->stack_base = stack_base;
    ctx->stack_size = stack_size;
    ctx->fiber = NULL;
#if HAL_HOST_TSAN
    ctx->fiber = __tsan_create_fiber(0);
#endif
}

void hal_ctx_fini(struct hal_ctx *ctx)
{
#if HAL_HOST_ASAN
    __asan_unpoison_memory_region(ctx->stack_base, ctx->stack_size);
#endif
#if HAL_HOST_TSAN
    if (ctx->fiber)
        __tsan_destroy_fiber(ctx->fiber);
#endif
    ctx->fiber = NULL;
}

/* Walks the chain of frame pointers; every link must lie higher on the same stack. */
size_t hal_backtrace(const struct hal_ctx *ctx, uintptr_t *pc, size_t pc_max)
{
    const struct hal_ctx *owner = ctx ? ctx : hal_ctx_self();
    uintptr_t frame = ctx ? isa_ctx_frame(&ctx->isa) : (uintptr_t)__builtin_frame_address(0);
    uintptr_t low = owner ? (uintptr_t)owner->stack_base : 0;
    uintptr_t high = owner ? low + owner->stack_size : 0;
    if (frame < low ||
        frame >= high) { /* a stack we do not know: stay within a page or two above */
        low = frame;
        high = frame + 2 * PAGE_SIZE;
    }
    size_t count = 0;
    while (count < pc_max && frame >= low && frame + 2 * sizeof(uintptr_t) <= high &&
           frame % 8 == 0) {
        const uintptr_t *link = (const uintptr_t *)frame;
        if (link[1] == 0)
            break;
        pc[count++] = link[1];
        if (link[0] <= frame)
            break;
        frame = link[0];
    }
    return count;
}
