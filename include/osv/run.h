/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs the core inside this process: virtual CPUs as pthreads, physical memory as an anonymous
 * file. Exists on the host backend only. Inside, preemption is real and by signal: code that runs
 * there must not call into libc functions that hold locks (malloc, stdio); it has heap_alloc() and
 * log_write(). */
#pragma once
#include <osv/types.h>

struct osv_run_options {
    unsigned cpus;       /* virtual CPUs, 1 .. 1024; 0: as many as the host has for us */
    size_t memory_bytes; /* physical memory, rounded up to 2 MiB; 0: 256 MiB */
    bool verbose;        /* log lines of level info too */
    bool pin;            /* bind virtual CPU n to the n-th host CPU allowed (for measurements) */
};

/* Boots, runs program(arg) as the first thread and, when it returns, stops every virtual CPU.
 * Returns what program returned, or a negative errno: -EINVAL (an option out of range), -ENOMEM,
 * -EAGAIN (no pthread could be had), -EBUSY (one is running in this process). Context: an ordinary
 * pthread. May be called again. */
int osv_run(const struct osv_run_options *options, int (*program)(void *arg), void *arg) MUST_CHECK;
