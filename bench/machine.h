/* SPDX-License-Identifier: BSD-3-Clause */
/* Where benchmarks run: the same bodies on threads of our core or on pthreads, bound to the same
 * host CPUs. Bodies on our threads must not call libc functions that hold locks. */
#pragma once

#define BENCH_THREADS_MAX 8u

/* thread counts from 0. */
typedef void bench_body(unsigned thread);

/* Runs body on count threads of our core, booted with cpus virtual CPUs, thread i on virtual CPU
 * where[i], which is bound to the host CPU of that number among those we may use; meanwhile
 * control(), unless NULL, on a thread of its own. All begin when all are there. 0, or a negative
 * errno: -ENODEV when there are fewer host CPUs than cpus; what osv_run() or thread_create()
 * returned. */
int bench_on_core(unsigned cpus, unsigned count, const unsigned *where, bench_body *body,
                  void (*control)(void));

/* The same on pthreads. */
int bench_on_host(unsigned count, const unsigned *where, bench_body *body, void (*control)(void));

extern const unsigned bench_first_cpu[1]; /* where: one thread on CPU 0 ... */
extern const unsigned bench_apart[2];     /* ... two on CPUs 0 and 1 ... */
extern const unsigned bench_colocated[2]; /* ... two on CPU 0 ... */
extern const unsigned bench_two_each[4];  /* ... and four on CPUs 0 and 1 */

/* For bodies, on either kind of thread. */
void bench_meet(void);  /* returns when all bodies have called it */
void bench_yield(void); /* lets another thread of this CPU run */
void bench_sleep_ms(unsigned ms);
