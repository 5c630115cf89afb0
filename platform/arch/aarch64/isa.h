/* SPDX-License-Identifier: BSD-3-Clause */
/* aarch64: what every backend on this ISA shares. */
#pragma once
#include <osv/types.h>

/* What a switch keeps (AAPCS64, callee-saved): x19 to x30, sp, d8 to d15. ctx_switch.S knows the
 * offsets. */
struct isa_ctx {
    uint64_t x[12]; /* x19 .. x30; x29 is the frame pointer, x30 where a switch returns to */
    uint64_t sp;
    uint64_t unused;
    uint64_t d[8];
} LINE_ALIGNED;
_Static_assert(sizeof(struct isa_ctx) == 192, "three lines");

void isa_ctx_switch(struct isa_ctx *save, struct isa_ctx *load);
void isa_ctx_start(void); /* calls x19(x20) with an empty frame chain */

static inline void isa_ctx_init(struct isa_ctx *ctx, void *stack_top, void (*entry)(void *),
                                void *arg)
{
    *ctx = (struct isa_ctx){.sp = ALIGN_DOWN((uintptr_t)stack_top, (uintptr_t)16)};
    ctx->x[0] = (uint64_t)(uintptr_t)entry;
    ctx->x[1] = (uint64_t)(uintptr_t)arg;
    ctx->x[11] = (uint64_t)(uintptr_t)isa_ctx_start;
}

static inline uintptr_t isa_ctx_frame(const struct isa_ctx *ctx)
{
    return ctx->x[10];
}

static inline void isa_relax(void)
{
    __asm__ volatile("isb" ::: "memory");
}

static inline uint64_t isa_cycles(void)
{
    uint64_t value;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
    return value;
}
