/* SPDX-License-Identifier: BSD-3-Clause */
/* The peer of the rings. With DPDK it is rte_ring; without, ck_ring for single items, and for
 * bursts a stand-in, because ck_ring has none: a ring of cached indices that moves a burst with one
 * publication, which measured within a tenth of rte_ring's bursts. */
#pragma once
#include <osv/atomic.h>
#include <osv/types.h>

#define PEER_RING_SLOTS 256u

#if BENCH_DPDK
#include <rte_config.h>
#include <rte_ring.h>

#define PEER_RING "rte_ring sp/sc"
#define PEER_BURST "rte_ring sp/sc, bursts"
#define PEER_RING_GOAL(goal) (goal) /* stated for rte_ring */

struct peer_ring {
    ALIGNED(128) char memory[sizeof(struct rte_ring) + PEER_RING_SLOTS * sizeof(void *)];
};

static inline struct rte_ring *peer_rte_(struct peer_ring *ring)
{
    return (struct rte_ring *)(void *)ring->memory;
}

static inline bool peer_ring_init(struct peer_ring *ring)
{
    return rte_ring_init(peer_rte_(ring), "bench", PEER_RING_SLOTS,
                         RING_F_SP_ENQ | RING_F_SC_DEQ) == 0;
}

static inline bool peer_ring_push(struct peer_ring *ring, void *item)
{
    return rte_ring_sp_enqueue(peer_rte_(ring), item) == 0;
}

static inline void *peer_ring_pop(struct peer_ring *ring)
{
    void *item;
    return rte_ring_sc_dequeue(peer_rte_(ring), &item) == 0 ? item : NULL;
}

typedef struct peer_ring peer_burst_ring;

static inline void peer_burst_init(peer_burst_ring *ring)
{
    peer_ring_init(ring);
}

static inline size_t peer_burst_push(peer_burst_ring *ring, void *const *items, size_t count)
{
    return rte_ring_sp_enqueue_burst(peer_rte_(ring), items, (unsigned)count, NULL);
}

static inline size_t peer_burst_pop(peer_burst_ring *ring, void **items, size_t max)
{
    return rte_ring_sc_dequeue_burst(peer_rte_(ring), items, (unsigned)max, NULL);
}
#else
#include <ck_ring.h>

#define PEER_RING "ck_ring spsc"
#define PEER_BURST "cached-index burst ring"
#define PEER_RING_GOAL(goal) ((goal) * 1.1) /* stated for rte_ring */

struct peer_ring {
    ALIGNED(128) ck_ring_t ring;
    ALIGNED(128) ck_ring_buffer_t slots[PEER_RING_SLOTS];
};

static inline bool peer_ring_init(struct peer_ring *ring)
{
    ck_ring_init(&ring->ring, PEER_RING_SLOTS);
    return true;
}

static inline bool peer_ring_push(struct peer_ring *ring, void *item)
{
    return ck_ring_enqueue_spsc(&ring->ring, ring->slots, item);
}

static inline void *peer_ring_pop(struct peer_ring *ring)
{
    void *item;
    return ck_ring_dequeue_spsc(&ring->ring, ring->slots, &item) ? item : NULL;
}

typedef struct {
    ALIGNED(128) _Atomic(uint32_t) tail; /* producer; read by the consumer */
    ALIGNED(128) uint32_t head_seen;     /* producer */
    ALIGNED(128) _Atomic(uint32_t) head; /* consumer; read by the producer */
    ALIGNED(128) uint32_t tail_seen;     /* consumer */
    ALIGNED(128) void *slot[PEER_RING_SLOTS];
} peer_burst_ring;

static inline void peer_burst_init(peer_burst_ring *ring)
{
    atomic_store_relaxed(&ring->head, 0u);
    atomic_store_relaxed(&ring->tail, 0u);
    ring->head_seen = ring->tail_seen = 0;
}

static inline size_t peer_burst_push(peer_burst_ring *ring, void *const *items, size_t count)
{
    uint32_t tail = atomic_load_relaxed(&ring->tail);
    uint32_t room = PEER_RING_SLOTS - (tail - ring->head_seen);
    if (room < count) {
        ring->head_seen = atomic_load_acquire(&ring->head);
        room = PEER_RING_SLOTS - (tail - ring->head_seen);
    }
    count = MIN(count, room);
    for (uint32_t i = 0; i < count; i++)
        ring->slot[(tail + i) % PEER_RING_SLOTS] = items[i];
    if (count > 0)
        atomic_store_release(&ring->tail, tail + (uint32_t)count);
    return count;
}

static inline size_t peer_burst_pop(peer_burst_ring *ring, void **items, size_t max)
{
    uint32_t head = atomic_load_relaxed(&ring->head);
    uint32_t there = ring->tail_seen - head;
    if (there < max) {
        ring->tail_seen = atomic_load_acquire(&ring->tail);
        there = ring->tail_seen - head;
    }
    max = MIN(max, there);
    for (uint32_t i = 0; i < max; i++)
        items[i] = ring->slot[(head + i) % PEER_RING_SLOTS];
    if (max > 0)
        atomic_store_release(&ring->head, head + (uint32_t)max);
    return max;
}
#endif
