/* SPDX-License-Identifier: BSD-3-Clause */
/* Single hardware operations that rows are compared with, x86_64. */
#pragma once
#include <stdint.h>

#define BENCH_FPU_PEER "xsaveopt + xrstor"
#define BENCH_TLS_PEER "S1 + wrfsbase"

static inline void bench_isa_fpu_pair(void *buffer)
{
    __asm__ volatile("xsaveopt64 (%0)\n\txrstor64 (%0)"
                     :
                     : "r"(buffer), "a"(-1), "d"(-1)
                     : "memory");
}

/* base must be what is there now. */
static inline void bench_isa_tls_write(uintptr_t base)
{
    __asm__ volatile("wrfsbase %0" : : "r"(base) : "memory");
}
