/* SPDX-License-Identifier: BSD-3-Clause */
/* Single hardware operations that rows are compared with, aarch64. */
#pragma once
#include <stdint.h>

#define BENCH_FPU_PEER "stp + ldp of q0..q31"
#define BENCH_TLS_PEER "S1 + msr tpidr_el0"

#define BENCH_Q4(op, a, b, c, d, at)                                                               \
    op " q" #a ", q" #b ", [%0, #" #at "]\n\t" op " q" #c ", q" #d ", [%0, #" #at " + 32]\n\t"
#define BENCH_Q32(op)                                                                              \
    BENCH_Q4(op, 0, 1, 2, 3, 0) BENCH_Q4(op, 4, 5, 6, 7, 64) BENCH_Q4(op, 8, 9, 10, 11, 128)       \
    BENCH_Q4(op, 12, 13, 14, 15, 192) BENCH_Q4(op, 16, 17, 18, 19, 256)                            \
    BENCH_Q4(op, 20, 21, 22, 23, 320) BENCH_Q4(op, 24, 25, 26, 27, 384)                            \
    BENCH_Q4(op, 28, 29, 30, 31, 448)

static inline void bench_isa_fpu_pair(void *buffer)
{
    __asm__ volatile(BENCH_Q32("stp") BENCH_Q32("ldp") : : "r"(buffer) : "memory");
}

/* base must be what is there now. */
static inline void bench_isa_tls_write(uintptr_t base)
{
    __asm__ volatile("msr tpidr_el0, %0" : : "r"(base) : "memory");
}
