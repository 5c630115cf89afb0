/* SPDX-License-Identifier: BSD-3-Clause */
/* x86_64: what every backend on this ISA shares. */
#pragma once
#include <osv/types.h>

/* What a switch keeps (System V ABI, callee-saved), in one cache line. ctx_switch.S knows the
 * offsets. */
struct isa_ctx {
    uint64_t rbx, rbp, r12, r13, r14, r15, rsp;
    uint64_t unused;
} LINE_ALIGNED;
_Static_assert(sizeof(struct isa_ctx) == 64, "one line");

void isa_ctx_switch(struct isa_ctx *save, struct isa_ctx *load);
void isa_ctx_start(void); /* calls rbx(r12) with an empty frame chain */

static inline void isa_ctx_init(struct isa_ctx *ctx, void *stack_top, void (*entry)(void *),
                                void *arg)
{
    uint64_t *sp = (uint64_t *)ALIGN_DOWN((uintptr_t)stack_top, (uintptr_t)16) - 2;
    *sp = (uint64_t)(uintptr_t)isa_ctx_start;
    *ctx = (struct isa_ctx){.rbx = (uint64_t)(uintptr_t)entry,
                            .r12 = (uint64_t)(uintptr_t)arg,
                            .rsp = (uint64_t)(uintptr_t)sp};
}

static inline uintptr_t isa_ctx_frame(const struct isa_ctx *ctx)
{
    return ctx->rbp;
}

static inline void isa_relax(void)
{
    __asm__ volatile("pause" ::: "memory");
}

static inline uint64_t isa_cycles(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}
