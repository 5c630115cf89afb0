/* SPDX-License-Identifier: BSD-3-Clause */
/* A producer and a consumer on threads of their own. The items are plain memory that the producer
 * writes just before the push, so that a sanitizer sees a missing edge of order, not only a missing
 * item. */
#include "test.h"
#include <osv/prng.h>
#include <osv/ring_spsc.h>
#include <pthread.h>
#include <sched.h>

#define CAPACITY 64
#define BATCH_MAX 40
#define BOXES                                                                                      \
    1024 /* more than ring and batches hold, so that a box is free when its turn comes             \
          */

struct box {
    size_t number;
};

static RING_SPSC_STORAGE(CAPACITY) forth, back;
static struct box boxes[BOXES];
static size_t total;
static bool batches;

static size_t push_some(struct ring_spsc *ring, void **items, size_t count)
{
    if (batches)
        return ring_spsc_push_batch(ring, items, count);
    return ring_spsc_push(ring, items[0]);
}

static size_t pop_some(struct ring_spsc *ring, void **items, size_t max)
{
    if (batches)
        return ring_spsc_pop_batch(ring, items, max);
    items[0] = ring_spsc_pop(ring);
    return items[0] != NULL;
}

/* Boxes travel forth full and back empty; the producer writes only boxes that came back. */
static void *produce(void *unused)
{
    struct prng prng;
    prng_seed(&prng, 11);
    size_t sent = 0, returned = 0;
    while (returned < total) {
        void *items[BATCH_MAX];
        size_t count = 1 + prng_below(&prng, BATCH_MAX), done = 0;
        count = MIN(count, total - sent);
        count = MIN(count, BOXES - (sent - returned));
        for (size_t i = 0; i < count; i++) {
            struct box *box = &boxes[(sent + i) % BOXES];
            box->number = sent + i;
            items[i] = box;
        }
        if (count > 0)
            done = push_some(&forth.ring, items, count);
        sent += done;
        size_t came = pop_some(&back.ring, items, 1 + prng_below(&prng, BATCH_MAX));
        returned += came;
        if (done + came == 0)
            sched_yield();
    }
    return unused;
}

static void *consume(void *wrong)
{
    struct prng prng;
    prng_seed(&prng, 12);
    size_t received = 0;
    while (received < total) {
        void *items[BATCH_MAX];
        size_t count = pop_some(&forth.ring, items, 1 + prng_below(&prng, BATCH_MAX));
        for (size_t i = 0; i < count; i++) {
            struct box *box = items[i];
            *(size_t *)wrong += box->number != received + i;
            box->number = SIZE_MAX;
        }
        for (size_t sent = 0; sent < count;) {
            size_t done = push_some(&back.ring, items + sent, count - sent);
            sent += done;
            if (done == 0)
                sched_yield();
        }
        received += count;
        if (count == 0)
            sched_yield();
    }
    *(size_t *)wrong += !ring_spsc_empty(&forth.ring);
    return NULL;
}

static void run(bool in_batches, size_t count)
{
    pthread_t producer, consumer;
    size_t wrong = 0;
    ring_spsc_init(&forth.ring, CAPACITY);
    ring_spsc_init(&back.ring, CAPACITY);
    batches = in_batches;
    total = test_scaled(count);
    CHECK_EQ(pthread_create(&consumer, NULL, consume, &wrong), 0);
    CHECK_EQ(pthread_create(&producer, NULL, produce, NULL), 0);
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);
    CHECK_EQ(wrong, 0);
}

static void single_items_arrive_once_and_in_order(void)
{
    run(false, 3000000);
}

static void batches_arrive_once_and_in_order(void)
{
    run(true, 10000000);
}

TEST_CASES_BEGIN
    {.name = "ring_spsc: single items arrive once and in order",
     .run = single_items_arrive_once_and_in_order},
    {.name = "ring_spsc: batches arrive once and in order",
     .run = batches_arrive_once_and_in_order},
TEST_CASES_END
