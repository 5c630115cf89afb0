/* SPDX-License-Identifier: BSD-3-Clause */
/* Ring of pointers with one producer and one consumer. A slot is its own full flag: NULL is free,
 * so NULL cannot be pushed, and no index is shared. FastForward: J. Giacomoni, T. Moseley and M.
 * Vachharajani, "FastForward for Efficient Pipeline Parallelism", PPoPP 2008.
 *
 * Only the slot lines travel between the two cores. The producer's and the consumer's state are on
 * lines of their own, two lines apart because processors prefetch the neighbour; each has its own
 * copy of the mask. The slots follow in the same object: an address less to load is a third of the
 * time of a push and a pop on one core.
 *
 * I1: slots [head, tail) hold items, all others are NULL, where head and tail count pops and
 * pushes.
 *
 * I2: slot i goes NULL -> item by the producer only and item -> NULL by the consumer only.
 *
 * I3: both sides go through the slots in order, so an item seen in a slot means that all slots from
 * head up to it hold items, and NULL seen at or behind tail that all from tail up to it are free.
 *
 * The batches use I3: they look at the last slot that they may take, and step down to single slots
 * only when that fails. So whole lines move, and the line that the other side is working on is left
 * alone.
 *
 * ring_spsc_push() looks at its slot without order: what the consumer read from the slot comes
 * before the consumer's NULL in the slot's own modification order. So a push that finds room says
 * nothing about earlier items.
 *
 * Context: any, but one producer and one consumer at a time; whoever hands a role over orders the
 * hand-over. Every operation is wait-free, O(1) an item, and neither allocates nor blocks. */
#pragma once
#include <osv/assert.h>
#include <osv/atomic.h>
#include <osv/types.h>

#define RING_SPSC_ALIGN (2 * CACHE_LINE)
#define RING_SPSC_LINE (CACHE_LINE / sizeof(void *)) /* slots of one line */
#define RING_SPSC_CAPACITY_MIN RING_SPSC_LINE

/* What one side keeps to itself. */
struct ring_spsc_side {
    ALIGNED(RING_SPSC_ALIGN) size_t next; /* this side only: the index of its next slot */
    size_t mask;                          /* immutable: capacity - 1 */
};

struct ring_spsc {
    struct ring_spsc_side producer, consumer;
    ALIGNED(RING_SPSC_ALIGN) _Atomic(void *) slot[]; /* atomic; see I2 */
};

/* The bytes, aligned to RING_SPSC_ALIGN, of a ring of capacity slots: a power of two,
 * RING_SPSC_CAPACITY_MIN or more. */
#define RING_SPSC_BYTES(capacity) (sizeof(struct ring_spsc) + (capacity) * sizeof(void *))

/* The type of a ring with its slots, to embed in a struct; .ring is what the functions take. */
#define RING_SPSC_STORAGE(capacity)                                                                \
    union {                                                                                        \
        struct ring_spsc ring;                                                                     \
        char bytes[RING_SPSC_BYTES(capacity)];                                                     \
    }

/* Defines name, a pointer to an empty ring in static storage. */
#define RING_SPSC_DEFINE(name, capacity)                                                           \
    _Static_assert((capacity) >= RING_SPSC_CAPACITY_MIN && ((capacity) & ((capacity)-1)) == 0,     \
                   "a ring's capacity is a power of two");                                         \
    static RING_SPSC_STORAGE(capacity) name##_storage_ = {                                         \
        .ring = {.producer = {0, (capacity)-1}, .consumer = {0, (capacity)-1}}};                   \
    static struct ring_spsc *const name = &name##_storage_.ring

/* Makes an empty ring in RING_SPSC_BYTES(capacity) bytes at ring. Before the ring is shared. */
static inline void ring_spsc_init(struct ring_spsc *ring, size_t capacity)
{
    ASSERT(capacity >= RING_SPSC_CAPACITY_MIN && (capacity & (capacity - 1)) == 0);
    ring->producer = ring->consumer = (struct ring_spsc_side){0, capacity - 1};
    for (size_t i = 0; i < capacity; i++)
        atomic_init(&ring->slot[i], NULL);
}

/* Adds item, which is not NULL. False when the ring is full. Producer only. */
static inline bool ring_spsc_push(struct ring_spsc *ring, void *item)
{
    struct ring_spsc_side *side = &ring->producer;
    _Atomic(void *) *slot = &ring->slot[side->next];
    DASSERT(item);
    if (atomic_load_relaxed(slot))
        return false;
    /* R1 publishes the item, pairs with R2 in ring_spsc_pop and ring_spsc_pop_batch */
    atomic_store_release(slot, item);
    side->next = (side->next + 1) & side->mask;
    return true;
}

/* Takes the oldest item out; NULL when the ring is empty. Consumer only. */
static inline void *ring_spsc_pop(struct ring_spsc *ring)
{
    struct ring_spsc_side *side = &ring->consumer;
    _Atomic(void *) *slot = &ring->slot[side->next];
    /* R2 sees what the item points at, pairs with R1 in ring_spsc_push and ring_spsc_push_batch */
    void *item = atomic_load_acquire(slot);
    if (item) {
        /* R3 frees this slot after all older ones, pairs with R4 in ring_spsc_push_batch */
        atomic_store_release(slot, NULL);
        side->next = (side->next + 1) & side->mask;
    }
    return item;
}

/* Is there nothing to pop? Consumer only. A push that comes at the same time may or may not be
 * seen. */
static inline bool ring_spsc_empty(const struct ring_spsc *ring)
{
    /* R2 lets the caller rely on what came before the push, pairs with R1 in ring_spsc_push */
    return !atomic_load_acquire(&ring->slot[ring->consumer.next]);
}

/* How many slots from index on are in the same line, at most limit. */
static inline size_t ring_spsc_line_(size_t index, size_t limit)
{
    size_t line = RING_SPSC_LINE - index % RING_SPSC_LINE;
    return MIN(line, limit);
}

/* The part of a push of a batch whose last slot is not free yet: line by line while whole lines
 * are, then singly. */
static inline size_t ring_spsc_push_part_(struct ring_spsc *ring, void *const *items, size_t count)
{
    struct ring_spsc_side *side = &ring->producer;
    size_t next = side->next, mask = side->mask, done = 0;
    while (done < count) {
        size_t line = ring_spsc_line_(next, count - done), i;
        /* R4 sees that all slots up to this one are free (I3), pairs with R3 in ring_spsc_pop and
         * ring_spsc_free_ */
        bool room = !atomic_load_acquire(&ring->slot[next + line - 1]);
        for (i = 0; i < line && (room || !atomic_load_relaxed(&ring->slot[next + i])); i++) {
            /* R1 publishes this item and all before it, pairs with R2 in ring_spsc_pop and
             * ring_spsc_pop_batch */
            atomic_store_release(&ring->slot[next + i], items[done + i]);
        }
        done += i;
        next = (next + i) & mask;
        if (!room)
            break;
    }
    side->next = next;
    return done;
}

/* Adds items[0..count), none of them NULL, in order, as far as there is room. Returns how many. In
 * the line that the consumer is freeing just then it stops early, so fewer than count does not mean
 * that the ring is full; 0 does. Producer only. */
static inline size_t ring_spsc_push_batch(struct ring_spsc *ring, void *const *items, size_t count)
{
    struct ring_spsc_side *side = &ring->producer;
    size_t next = side->next, mask = side->mask, done = 0;
    count = MIN(count, mask + 1);
    if (count == 0)
        return 0;
    for (size_t i = 0; i < count; i++)
        DASSERT(items[i]);
    /* R4 sees that all slots up to this one are free (I3), pairs with R3 in ring_spsc_pop and
     * ring_spsc_free_ */
    if (atomic_load_acquire(&ring->slot[(next + count - 1) & mask]))
        return ring_spsc_push_part_(ring, items, count);
    while (done < count) {
        size_t run = MIN(count - done, mask + 1 - next); /* up to the end of the storage */
        for (size_t i = 0; i < run; i++) {
            /* R1 publishes this item and all before it, pairs with R2 in ring_spsc_pop and
             * ring_spsc_pop_batch */
            atomic_store_release(&ring->slot[next + i], items[done + i]);
        }
        done += run;
        next = (next + run) & mask;
    }
    side->next = next;
    return count;
}

/* Sets count slots from next on free and makes the slot behind them the consumer's next. */
static inline void ring_spsc_free_(struct ring_spsc *ring, size_t next, size_t count)
{
    size_t mask = ring->consumer.mask;
    while (count > 0) {
        size_t run = MIN(count, mask + 1 - next);
        for (size_t i = 0; i < run; i++) {
            /* R3 frees this slot after all older ones, pairs with R4 in ring_spsc_push_batch */
            atomic_store_release(&ring->slot[next + i], NULL);
        }
        count -= run;
        next = (next + run) & mask;
    }
    ring->consumer.next = next;
}

/* Takes up to max of the oldest items out, into items in order. Returns how many. When it has some
 * it does not go on into a line that the producer has not filled yet, so fewer than max does not
 * mean that the ring is empty; 0 does. Consumer only. */
static inline size_t ring_spsc_pop_batch(struct ring_spsc *ring, void **items, size_t max)
{
    size_t first = ring->consumer.next, mask = ring->consumer.mask, next = first, done = 0;
    max = MIN(max, mask + 1);
    while (done < max) {
        size_t line = ring_spsc_line_(next, max - done), i = 0;
        /* R2 sees the items of all slots up to this one (I3), pairs with R1 in ring_spsc_push and
         * ring_spsc_push_batch */
        if (atomic_load_acquire(&ring->slot[next + line - 1])) {
            for (; i < line; i++)
                items[done + i] = atomic_load_relaxed(&ring->slot[next + i]);
        } else if (done == 0) {
            void *item; /* R2 again, for a line that is not full */
            for (; i < line && (item = atomic_load_acquire(&ring->slot[next + i])); i++)
                items[done + i] = item;
        }
        done += i;
        next = (next + i) & mask;
        if (i < line)
            break;
    }
    /* Only now, so that the loads above run ahead of the stores, which each have to fetch their
     * line to write. */
    ring_spsc_free_(ring, first, done);
    return done;
}
