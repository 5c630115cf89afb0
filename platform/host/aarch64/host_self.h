/* SPDX-License-Identifier: BSD-3-Clause */
/* The running context, in a thread-local word of the virtual CPU's pthread. Reading it takes
 * several instructions here; the signal handler starts the sequence again when it interrupts one
 * (host_self.S), so that a context which moved to another pthread in between does not read the old
 * one's word. */
#pragma once
#include <stdint.h>

/* A signal frame is 4.7 KiB. */
#define HOST_STACK_SIZE ((size_t)65536)

struct hal_ctx;
struct hal_ctx *host_self_get(void);
void host_self_set(struct hal_ctx *self); /* preemption off */
extern const char host_self_get_end[];

static inline uintptr_t host_tls_get(void)
{
    uintptr_t base;
    __asm__ volatile("mrs %0, tpidr_el0" : "=r"(base));
    return base;
}

static inline void host_tls_set(uintptr_t base)
{
    __asm__ volatile("msr tpidr_el0, %0" : : "r"(base) : "memory");
}
