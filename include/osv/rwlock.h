/* SPDX-License-Identifier: BSD-3-Clause */
/* Readers-writer lock, fair: who comes while somebody waits, waits too, and a release hands over in
 * order of arrival, to one writer or to all readers up to the next writer. Uncontended: one
 * compare-and-swap to lock, one atomic to unlock. Design note: src/sync/rwlock.c */
#pragma once
#include <osv/waiter.h>

#define RWLOCK_WRITER 1u
#define RWLOCK_WAITING 2u
#define RWLOCK_READER 4u

struct rwlock {
    _Atomic(uint32_t) state; /* [atomic] RWLOCK_WRITER, RWLOCK_WAITING, readers * RWLOCK_READER */
    struct spinlock lock;    /* for the list; hand-over happens where nothing may sleep */
    struct list waiting;     /* [lock] oldest first */
};

void rwlock_init(struct rwlock *rwlock);
/* Context: thread, sleeps. Not recursive. */
void rwlock_read_lock(struct rwlock *rwlock);
void rwlock_write_lock(struct rwlock *rwlock);
bool rwlock_try_read_lock(struct rwlock *rwlock);
bool rwlock_try_write_lock(struct rwlock *rwlock);
/* Context: the thread that locked it; never sleeps. */
void rwlock_read_unlock(struct rwlock *rwlock);
void rwlock_write_unlock(struct rwlock *rwlock);
