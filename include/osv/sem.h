/* SPDX-License-Identifier: BSD-3-Clause */
/* Counting semaphore, first come first served. Uncontended: one compare-and-swap. Design note:
 * src/sync/sem.c */
#pragma once
#include <osv/waiter.h>

#define SEM_WAITING 1u
#define SEM_ONE 2u
#define SEM_MAX (UINT32_MAX / SEM_ONE) /* units */

struct sem {
    _Atomic(uint32_t)
        state; /* [atomic] units * SEM_ONE, and SEM_WAITING while the list is not empty */
    struct spinlock lock; /* for the list: sem_up() may be called in interrupts */
    struct list waiting;  /* [lock] oldest first */
};

void sem_init_units(struct sem *sem, uint32_t units);
/* Takes a unit. Context: thread, sleeps. */
void sem_down(struct sem *sem);
/* The same until the deadline of clock_ns() at most. 0 or -ETIMEDOUT. */
int sem_down_until(struct sem *sem, uint64_t deadline_ns) MUST_CHECK;
bool sem_try_down(struct sem *sem);
/* Gives a unit back, to the longest waiter if there is one. The semaphore must outlive the call,
 * also where the unit tells somebody that it may go. 0; -EOVERFLOW (SEM_MAX units are
 * there). Context: any. */
int sem_up(struct sem *sem);
static inline uint32_t sem_units(const struct sem *sem)
{
    return atomic_load_relaxed(&sem->state) / SEM_ONE;
}
