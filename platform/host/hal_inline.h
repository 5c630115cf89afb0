/* SPDX-License-Identifier: BSD-3-Clause */
/* The inline half of the host backend. See platform/host/hal_irq.c for how interrupts work here. */
#pragma once
#include <osv/atomic.h>
#include <isa.h>
#include <host_self.h>

#if defined(__SANITIZE_THREAD__)
#define HAL_HOST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAL_HOST_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define HAL_HOST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAL_HOST_ASAN 1
#endif
#endif

/* Bytes of a kernel stack, a power of two: room for what runs, for three nested signal frames
 * (their size is the ISA's, HOST_STACK_SIZE), and for what a sanitizer adds. */
#if HAL_HOST_TSAN || HAL_HOST_ASAN
#define HAL_STACK_SIZE ((size_t)65536)
#else
#define HAL_STACK_SIZE HOST_STACK_SIZE
#endif

/* A virtual CPU: one pthread. */
struct hal_vcpu {
    _Atomic(uint32_t)
        pending; /* [atomic] interrupts that wait to be handled; also the futex of the idle sleep */
    _Atomic(uint32_t) sleeping; /* [atomic] 1 while the pthread waits in hal_cpu_idle() */
    unsigned id;                /* immutable */
    _Atomic(int) tid;           /* [this pthread; read by all] its kernel id; 0 until it runs */
};

struct hal_ctx {
    struct isa_ctx isa;
    struct hal_vcpu *vcpu; /* [the context itself] where it runs; set by whoever switches to it */
    _Atomic(uint32_t)
        irq_off;           /* [the context and its signal handler] the software interrupt mask */
    void (*entry)(void *); /* immutable */
    void *arg;             /* immutable */
    void *stack_base;      /* immutable */
    size_t stack_size;     /* immutable; bytes */
    void *fiber;           /* sanitizers: ThreadSanitizer's fiber, AddressSanitizer's fake stack */
};

struct hal_host_memory {
    uintptr_t direct_offset; /* immutable: virtual minus physical address of the direct map */
};
extern struct hal_host_memory hal_host_memory;

void hal_host_irq_raise(
    const struct hal_irq *irq);  /* any pthread: the device end of hal_irq_alloc() */
void hal_host_irq_pending(void); /* handles what is pending, if this context may */
#if HAL_HOST_TSAN
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#endif
#if HAL_HOST_ASAN
void __sanitizer_start_switch_fiber(void **fake_stack_save, const void *bottom, size_t size);
void __asan_unpoison_memory_region(const volatile void *base, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack_save, const void **bottom_old,
                                     size_t *size_old);
#endif

static inline struct hal_ctx *hal_ctx_self(void)
{
    return host_self_get();
}

static inline void hal_ctx_switch(struct hal_ctx *save, struct hal_ctx *load)
{
    load->vcpu = save->vcpu;
#if HAL_HOST_TSAN
    __tsan_switch_to_fiber(
        load->fiber, 0); /* here: a function of its own would end on the other fiber's call stack */
#endif
#if HAL_HOST_ASAN
    __sanitizer_start_switch_fiber(&save->fiber, load->stack_base, load->stack_size);
#endif
    host_self_set(load);
    isa_ctx_switch(&save->isa, &load->isa);
#if HAL_HOST_ASAN
    __sanitizer_finish_switch_fiber(save->fiber, NULL, NULL);
#endif
    /* H6: an interrupt that came while the context before us had them off is ours now. */
    if (unlikely(atomic_load_relaxed(&save->vcpu->pending) != 0))
        hal_host_irq_pending();
}

static inline hal_irqstate hal_irq_save(void)
{
    struct hal_ctx *self = hal_ctx_self();
    hal_irqstate old = atomic_load_relaxed(&self->irq_off);
    atomic_store_relaxed(&self->irq_off, 1);
    compiler_barrier();
    return old;
}

static inline void hal_irq_restore(hal_irqstate old)
{
    struct hal_ctx *self = hal_ctx_self();
    struct hal_vcpu *vcpu = self->vcpu;
    compiler_barrier();
    if (old != 0)
        return;
    atomic_store_relaxed(&self->irq_off, 0);
    compiler_barrier();
    /* A signal from here on is handled at once; what came before left its bit. A stale vcpu costs a
     * look for nothing. */
    if (unlikely(atomic_load_relaxed(&vcpu->pending) != 0))
        hal_host_irq_pending();
}

static inline bool hal_irq_enabled(void)
{
    return atomic_load_relaxed(&hal_ctx_self()->irq_off) == 0;
}

static inline void hal_cpu_relax(void)
{
    isa_relax();
#if HAL_HOST_TSAN
    hal_host_irq_pending(); /* signals only leave their bit in this build */
#endif
}

static inline uint64_t hal_cycles(void)
{
    return isa_cycles();
}

static inline uintptr_t hal_tls_get(void)
{
    return host_tls_get();
}

static inline void hal_tls_set(uintptr_t base)
{
    host_tls_set(base);
}

static inline void *hal_phys_to_virt(paddr_t pa)
{
    return (void *)((uintptr_t)pa + hal_host_memory.direct_offset);
}

static inline paddr_t hal_virt_to_phys(const void *va)
{
    return (paddr_t)((uintptr_t)va - hal_host_memory.direct_offset);
}
