/* SPDX-License-Identifier: BSD-3-Clause */
/* C11 atomics with the order in the name. Shared fields are declared _Atomic(type); nothing else
 * may touch them. Every wrapper is one access; a backend that explores schedules hooks in here.
 * Fences are the exception (one, below): ThreadSanitizer does not model them, so an order is asked
 * of an access. */
#pragma once
#include <osv/compiler.h>
#include <stdatomic.h>

#define atomic_load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define atomic_load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define atomic_load_seq_cst(p) atomic_load_explicit((p), memory_order_seq_cst)

#define atomic_store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define atomic_store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
/* An exchange, which is what x86 makes of the store anyway: QEMU (7.2, on x86) lets the load of an
 * aarch64 STLR; LDAR pair pass the store, so that two CPUs miss each other (stress_atomic). */
#define atomic_store_seq_cst(p, v) ((void)atomic_exchange_explicit((p), (v), memory_order_seq_cst))

/* Each of these returns the value before. */
#define atomic_xchg_relaxed(p, v) atomic_exchange_explicit((p), (v), memory_order_relaxed)
#define atomic_xchg_acquire(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)
#define atomic_xchg_release(p, v) atomic_exchange_explicit((p), (v), memory_order_release)
#define atomic_xchg_acq_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define atomic_xchg_seq_cst(p, v) atomic_exchange_explicit((p), (v), memory_order_seq_cst)
#define atomic_add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define atomic_add_acquire(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acquire)
#define atomic_add_release(p, v) atomic_fetch_add_explicit((p), (v), memory_order_release)
#define atomic_add_acq_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define atomic_add_seq_cst(p, v) atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define atomic_sub_relaxed(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define atomic_sub_release(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_release)
#define atomic_sub_acq_rel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define atomic_sub_seq_cst(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_seq_cst)
#define atomic_or_relaxed(p, v) atomic_fetch_or_explicit((p), (v), memory_order_relaxed)
#define atomic_or_release(p, v) atomic_fetch_or_explicit((p), (v), memory_order_release)
#define atomic_or_acq_rel(p, v) atomic_fetch_or_explicit((p), (v), memory_order_acq_rel)
#define atomic_or_seq_cst(p, v) atomic_fetch_or_explicit((p), (v), memory_order_seq_cst)
#define atomic_and_relaxed(p, v) atomic_fetch_and_explicit((p), (v), memory_order_relaxed)
#define atomic_and_release(p, v) atomic_fetch_and_explicit((p), (v), memory_order_release)
#define atomic_and_acq_rel(p, v) atomic_fetch_and_explicit((p), (v), memory_order_acq_rel)
#define atomic_and_seq_cst(p, v) atomic_fetch_and_explicit((p), (v), memory_order_seq_cst)

/* Orders a store before later loads, which no access can. ThreadSanitizer does not model it, so
 * nothing may depend on it for freedom from data races, only for who sees whom. */
#define atomic_fence_seq_cst() atomic_thread_fence(memory_order_seq_cst)

/* Compare and swap: true when *p was *expected and is now v; otherwise *expected holds what was
 * found (relaxed). */
#define atomic_cas_relaxed(p, expected, v)                                                         \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_relaxed,            \
                                            memory_order_relaxed)
#define atomic_cas_acquire(p, expected, v)                                                         \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acquire,            \
                                            memory_order_relaxed)
#define atomic_cas_release(p, expected, v)                                                         \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_release,            \
                                            memory_order_relaxed)
#define atomic_cas_acq_rel(p, expected, v)                                                         \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acq_rel,            \
                                            memory_order_acquire)
#define atomic_cas_seq_cst(p, expected, v)                                                         \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_seq_cst,            \
                                            memory_order_seq_cst)
