/* SPDX-License-Identifier: BSD-3-Clause */
/* The ring by one thread, against two counters: item i is the address of numbers[i]. */
#include "test.h"
#include <osv/prng.h>
#include <osv/ring_spsc.h>

#define CAPACITY_MAX 64
#define BATCH_MAX 80

RING_SPSC_DEFINE(static_ring, 16);
static RING_SPSC_STORAGE(CAPACITY_MAX) storage;
static char numbers[1 << 16];

/* pushed and popped count items; their difference is what the ring must hold. */
static void check_holds(struct ring_spsc *ring, size_t capacity, size_t pushed, size_t popped)
{
    size_t held = 0;
    for (size_t i = 0; i < capacity; i++)
        held += atomic_load_relaxed(&ring->slot[i]) != NULL;
    CHECK_EQ(held, pushed - popped);
    CHECK_EQ(ring_spsc_empty(ring), pushed == popped);
}

static void layout_keeps_the_sides_apart(void)
{
    CHECK_EQ(offsetof(struct ring_spsc, producer), 0);
    CHECK_EQ(offsetof(struct ring_spsc, consumer), RING_SPSC_ALIGN);
    CHECK_EQ(offsetof(struct ring_spsc, slot), 2 * RING_SPSC_ALIGN);
    CHECK_EQ((uintptr_t)static_ring % RING_SPSC_ALIGN, 0);
    CHECK_EQ(sizeof storage, RING_SPSC_BYTES(CAPACITY_MAX));
}

static void holds_its_capacity_in_order(void)
{
    for (size_t lap = 0; lap < 5; lap++) {
        CHECK(ring_spsc_empty(static_ring));
        CHECK(!ring_spsc_pop(static_ring));
        for (size_t i = 0; i < 16; i++)
            CHECK(ring_spsc_push(static_ring, &numbers[i]));
        CHECK(!ring_spsc_push(static_ring, &numbers[16]));
        CHECK(!ring_spsc_empty(static_ring));
        for (size_t i = 0; i < 16; i++)
            CHECK(ring_spsc_pop(static_ring) == &numbers[i]);
        /* the next lap starts in the middle of a line */
        CHECK(ring_spsc_push(static_ring, &numbers[0]));
        CHECK(ring_spsc_pop(static_ring) == &numbers[0]);
    }
}

static void whole_batches_go_through_when_there_is_room(void)
{
    struct ring_spsc *ring = &storage.ring;
    void *in[BATCH_MAX], *out[BATCH_MAX];
    for (size_t i = 0; i < BATCH_MAX; i++)
        in[i] = &numbers[i];
    for (size_t offset = 0; offset < 16; offset++) {
        ring_spsc_init(ring, 16);
        for (size_t i = 0; i < offset; i++)
            CHECK(ring_spsc_push(ring, in[0]) && ring_spsc_pop(ring) == in[0]);
        CHECK_EQ(ring_spsc_push_batch(ring, in, BATCH_MAX), 16);
        CHECK_EQ(ring_spsc_push_batch(ring, in, 1), 0);
        CHECK_EQ(ring_spsc_pop_batch(ring, out, BATCH_MAX), 16);
        CHECK_EQ(ring_spsc_pop_batch(ring, out + 16, 1), 0);
        for (size_t i = 0; i < 16; i++)
            CHECK(out[i] == in[i]);
        CHECK_EQ(ring_spsc_push_batch(ring, in, 0), 0);
        CHECK_EQ(ring_spsc_pop_batch(ring, out, 0), 0);
    }
}

static void random_operations_keep_the_order(void)
{
    struct prng prng;
    prng_seed(&prng, 10);
    for (size_t capacity = RING_SPSC_CAPACITY_MIN; capacity <= CAPACITY_MAX; capacity *= 2) {
        struct ring_spsc *ring = &storage.ring;
        size_t pushed = 0, popped = 0;
        ring_spsc_init(ring, capacity);
        for (size_t step = 0; step < test_scaled(20000) && pushed < sizeof numbers - BATCH_MAX;
             step++) {
            void *items[BATCH_MAX];
            size_t count = prng_below(&prng, BATCH_MAX), room = capacity - (pushed - popped), done;
            switch (prng_below(&prng, 4)) {
            case 0:
                done = ring_spsc_push(ring, &numbers[pushed]);
                CHECK_EQ(done, room > 0);
                pushed += done;
                break;
            case 1:
                items[0] = ring_spsc_pop(ring);
                CHECK(items[0] == (pushed > popped ? &numbers[popped] : NULL));
                popped += items[0] != NULL;
                break;
            case 2:
                for (size_t i = 0; i < count; i++)
                    items[i] = &numbers[pushed + i];
                done = ring_spsc_push_batch(ring, items, count);
                CHECK(done <= MIN(room, count) && (done > 0 || MIN(room, count) == 0));
                pushed += done;
                break;
            default:
                done = ring_spsc_pop_batch(ring, items, count);
                CHECK(done <= count && (done > 0 || count == 0 || pushed == popped));
                for (size_t i = 0; i < done; i++)
                    CHECK(items[i] == &numbers[popped + i]);
                popped += done;
            }
            check_holds(ring, capacity, pushed, popped);
        }
    }
}

TEST_CASES_BEGIN
    {.name = "ring_spsc: layout keeps the sides apart",
     .run = layout_keeps_the_sides_apart},
    {.name = "ring_spsc: holds its capacity in order", .run = holds_its_capacity_in_order},
    {.name = "ring_spsc: whole batches go through when there is room",
     .run = whole_batches_go_through_when_there_is_room},
    {.name = "ring_spsc: random operations keep the order",
     .run = random_operations_keep_the_order},
TEST_CASES_END
