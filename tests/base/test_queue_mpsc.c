/* SPDX-License-Identifier: BSD-3-Clause */
/* The queue by one thread, against an array. */
#include "test.h"
#include <osv/prng.h>
#include <osv/queue_mpsc.h>

#define ITEMS 50

static void pops_in_order_of_pushes(void)
{
    struct mpsc queue = MPSC_INIT;
    struct mpsc_node nodes[3];
    CHECK(mpsc_empty(&queue));
    CHECK(!mpsc_pop(&queue));
    CHECK(mpsc_push(&queue, &nodes[0]));
    CHECK(!mpsc_push(&queue, &nodes[1]));
    CHECK(!mpsc_empty(&queue));
    CHECK(mpsc_pop(&queue) == &nodes[0]);
    /* the stack was taken, so the next push is the first again although a node is left */
    CHECK(mpsc_push(&queue, &nodes[2]));
    CHECK(mpsc_pop(&queue) == &nodes[1]);
    CHECK(!mpsc_empty(&queue));
    CHECK(mpsc_pop(&queue) == &nodes[2]);
    CHECK(mpsc_empty(&queue));
}

static void take_all_gives_one_chain(void)
{
    struct mpsc queue;
    struct mpsc_node nodes[5];
    mpsc_init(&queue);
    CHECK(!mpsc_take_all(&queue));
    for (int i = 0; i < 3; i++)
        mpsc_push(&queue, &nodes[i]);
    CHECK(mpsc_pop(&queue) == &nodes[0]);
    mpsc_push(&queue, &nodes[3]);
    mpsc_push(&queue, &nodes[4]);
    struct mpsc_node *chain = mpsc_take_all(&queue);
    for (int i = 1; i < 5; i++, chain = chain->next)
        CHECK(chain == &nodes[i]);
    CHECK(!chain);
    CHECK(mpsc_empty(&queue) && !mpsc_pop(&queue));
    CHECK(mpsc_push(&queue, &nodes[0]) && mpsc_pop(&queue) == &nodes[0]);
}

static void random_operations_match_an_array(void)
{
    struct prng prng;
    struct mpsc queue = MPSC_INIT;
    struct mpsc_node nodes[ITEMS], *order[ITEMS];
    size_t count = 0, taken = 0; /* of count nodes, the oldest taken are in the FIFO */
    bool in[ITEMS] = {false};
    prng_seed(&prng, 13);
    for (size_t step = 0; step < test_scaled(50000); step++) {
        size_t pick = prng_below(&prng, ITEMS);
        if (prng_below(&prng, 40) == 0) {
            struct mpsc_node *chain = mpsc_take_all(&queue);
            for (size_t i = 0; i < count; i++, chain = chain->next) {
                CHECK(chain == order[i]);
                in[chain - nodes] = false;
            }
            CHECK(!chain);
            count = taken = 0;
        } else if (!in[pick] && prng_below(&prng, 2)) {
            CHECK_EQ(mpsc_push(&queue, &nodes[pick]), count == taken);
            order[count++] = &nodes[pick];
            in[pick] = true;
        } else {
            struct mpsc_node *node = mpsc_pop(&queue);
            CHECK(node == (count ? order[0] : NULL));
            if (!node)
                continue;
            in[node - nodes] = false;
            taken = taken ? taken - 1 : count - 1;
            count--;
            for (size_t i = 0; i < count; i++)
                order[i] = order[i + 1];
        }
        CHECK_EQ(mpsc_empty(&queue), count == 0);
    }
}

TEST_CASES_BEGIN
    {.name = "queue_mpsc: pops in order of pushes", .run = pops_in_order_of_pushes},
    {.name = "queue_mpsc: take_all gives one chain", .run = take_all_gives_one_chain},
    {.name = "queue_mpsc: random operations match an array",
     .run = random_operations_match_an_array},
TEST_CASES_END
