/* SPDX-License-Identifier: BSD-3-Clause */
/* Read-copy-update, quiescent-state based (McKenney and Slingwine 1998; Desnoyers et al., IEEE TPDS
 * 2012): a reader holds preemption off and nothing else, a pass through the scheduler is a
 * quiescent state. What a writer has made unreachable may be freed when every CPU has passed
 * through one. Design note: src/sync/rcu.c */
#pragma once
#include <osv/cpu.h>
#include <osv/list.h>
#include <osv/queue_mpsc.h>

/* Nests; may be held in interrupts. While it is held the thread does not sleep. Wait-free. */
static inline void rcu_read_lock(void)
{
    preempt_disable();
}

static inline void rcu_read_unlock(void)
{
    preempt_enable();
}

/* Reads a protected pointer, declared _Atomic(T *). */
#define rcu_dereference(p) atomic_load_acquire(&(p)) /* A1 pairs with A2 */
/* Publishes what v points to. */
#define rcu_assign(p, v) atomic_store_release(&(p), (v)) /* A2 pairs with A1 */

/* Returns when every reader that was there at the call has left. Context: thread, sleeps; not under
 * rcu_read_lock(). */
void rcu_synchronize(void);

struct rcu_head {
    struct mpsc_node node;
    void (*fn)(struct rcu_head *head);
};

/* fn(head) will run in a thread, in the order of the calls of one CPU, when every reader that is
 * there now has left. Context: any thread, also under rcu_read_lock(). Lock-free. */
void rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *head));

/* Returns when every callback queued before the call has run. Context: thread, sleeps. */
void rcu_barrier(void);

int rcu_init(void) MUST_CHECK;    /* boot, when threads can be created. 0, -ENOMEM, -EAGAIN */
uint64_t rcu_grace_periods(void); /* completed so far */

/* Lists that are read under rcu_read_lock() and changed under a lock of the writer's. */
struct rcu_list {
    _Atomic(struct rcu_list *) next;
    struct rcu_list *prev; /* [writer's lock] */
};

static inline void rcu_list_init(struct rcu_list *head)
{
    atomic_store_relaxed(&head->next, head);
    head->prev = head;
}

static inline void rcu_list_add(struct rcu_list *head, struct rcu_list *node)
{
    struct rcu_list *first = atomic_load_relaxed(&head->next);
    atomic_store_relaxed(&node->next, first);
    node->prev = head;
    first->prev = node;
    rcu_assign(head->next, node);
}

/* Readers may still be at node: free it after a grace period. */
static inline void rcu_list_remove(struct rcu_list *node)
{
    struct rcu_list *next = atomic_load_relaxed(&node->next);
    next->prev = node->prev;
    atomic_store_release(&node->prev->next, next); /* A2 pairs with A1 */
    node->prev = NULL;
}

#define rcu_list_for_each(node, head)                                                              \
    for (struct rcu_list *node = rcu_dereference((head)->next); node != (head);                    \
         node = rcu_dereference(node->next))
