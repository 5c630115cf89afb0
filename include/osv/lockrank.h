/* SPDX-License-Identifier: BSD-3-Clause */
/* The one total order of locks: a thread takes them with rising ranks. Asserted in debug builds.
 * Locks that sleep come first, since none may be taken under a spinlock. */
#pragma once

enum lock_rank {
    RANK_NONE = 0, /* not checked */
    /* sleeping locks */
    RANK_USER = 10, /* mutexes of programs that use the library */
    /* spinlocks, preemption off: each of them says why it does not sleep */
    RANK_WAIT = 100,     /* wait lists of condition variables, rwlocks, semaphores, wait queues */
    RANK_RCU = 110,      /* callback lists */
    RANK_THREADS = 120,  /* the list of all threads */
    RANK_JOIN = 130,     /* exit and join of one thread */
    RANK_TIMER = 200,    /* one CPU's timer wheel */
    RANK_HEAP = 300,     /* one size class's slab lists */
    RANK_SHRINKER = 310, /* the shrinker registry's list */
    RANK_PAGE = 320,     /* page allocator, slow path */
    RANK_LOG = 900,      /* console output */
};
