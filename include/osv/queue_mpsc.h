/* SPDX-License-Identifier: BSD-3-Clause */
/* Intrusive queue with many producers and one consumer. Producers push on a stack (R. K. Treiber,
 * IBM RJ 5118, 1986); the consumer takes the whole stack with one exchange, which also rules out
 * ABA, and reverses it into a private FIFO. Nodes of one producer come out in the order of its
 * pushes.
 *
 * Context: any, including interrupts. A node is in one queue at most and belongs to the queue until
 * it is popped. Invariant: what was pushed is either on the stack or in the FIFO, and the FIFO is
 * the older part. */
#pragma once
#include <osv/atomic.h>
#include <osv/types.h>

struct mpsc_node {
    struct mpsc_node *next; /* pusher until M1, then consumer */
};

struct mpsc {
    _Atomic(struct mpsc_node *) stack; /* newest first; any CPU */
    struct mpsc_node *first;           /* the FIFO; consumer only */
    struct mpsc_node *last;
};

#define MPSC_INIT                                                                                  \
    {                                                                                              \
        NULL, NULL, NULL                                                                           \
    }

/* Before the queue is shared. */
static inline void mpsc_init(struct mpsc *queue)
{
    atomic_init(&queue->stack, NULL);
    queue->first = queue->last = NULL;
}

/* Adds node. Returns whether the stack was empty: of all pushes between two takes of the consumer
 * exactly one is told so, and it is the one that has to wake the consumer. Lock-free. The order is
 * seq_cst so that a producer may push and then read "is the consumer asleep", while the consumer
 * writes that it is and then asks mpsc_empty(): at least one of the two sees the other. */
static inline bool mpsc_push(struct mpsc *queue, struct mpsc_node *node)
{
    struct mpsc_node *top = atomic_load_relaxed(&queue->stack);
    do {
        node->next = top;
        /* M1 publishes the node and what it carries, pairs with M2 in mpsc_collect_ */
    } while (!atomic_cas_seq_cst(&queue->stack, &top, node));
    return !top;
}

/* Moves the stack behind the FIFO. O(nodes moved). */
static inline void mpsc_collect_(struct mpsc *queue)
{
    if (!atomic_load_relaxed(&queue->stack))
        return; /* spares producers the loss of their line */
    /* M2 sees the nodes of every push up to now, pairs with M1 in mpsc_push */
    struct mpsc_node *newest = atomic_xchg_acquire(&queue->stack, NULL);
    struct mpsc_node *chain = NULL;
    for (struct mpsc_node *node = newest, *next; node; node = next) {
        next = node->next;
        node->next = chain;
        chain = node;
    }
    if (queue->first)
        queue->last->next = chain;
    else
        queue->first = chain;
    queue->last = newest;
}

/* The oldest node, or NULL. Consumer only; wait-free but for the reversal, amortised O(1). A node
 * whose push has returned is found. */
static inline struct mpsc_node *mpsc_pop(struct mpsc *queue)
{
    if (!queue->first) {
        mpsc_collect_(queue);
        if (!queue->first)
            return NULL;
    }
    struct mpsc_node *node = queue->first;
    queue->first = node->next;
    return node;
}

/* All nodes, oldest first, linked by next and ended by NULL. Consumer only; wait-free, O(nodes). */
static inline struct mpsc_node *mpsc_take_all(struct mpsc *queue)
{
    mpsc_collect_(queue);
    struct mpsc_node *chain = queue->first;
    queue->first = NULL;
    return chain;
}

/* Is there nothing to pop? Consumer only; seq_cst, see mpsc_push(). */
static inline bool mpsc_empty(const struct mpsc *queue)
{
    return !queue->first && !atomic_load_seq_cst(&queue->stack);
}
