/* SPDX-License-Identifier: BSD-3-Clause */
/* Several producers and a consumer that really sleeps: it may sleep only when the queue is empty,
 * and only the push that found the stack empty wakes it. A lost wake-up is a test that never ends.
 */
#include "test.h"
#include <osv/prng.h>
#include <osv/queue_mpsc.h>
#include <pthread.h>
#include <semaphore.h>

#define PRODUCERS 4
#define NODES_MAX 200000

struct item {
    struct mpsc_node node;
    unsigned producer;
    size_t number;
};

static struct mpsc queue;
static struct item items[PRODUCERS][NODES_MAX];
static size_t each;
static sem_t wake;
static size_t wakes[PRODUCERS];

static void *produce(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;
    for (size_t i = 0; i < each; i++) {
        items[self][i].producer = self;
        items[self][i].number = i;
        if (mpsc_push(&queue, &items[self][i].node)) {
            wakes[self]++;
            sem_post(&wake);
        }
    }
    return NULL;
}

static size_t accept_node(const struct mpsc_node *node, size_t next[PRODUCERS])
{
    const struct item *item = container_of(node, struct item, node);
    return item->number != next[item->producer]++;
}

static void *consume(void *wrong)
{
    struct prng prng;
    size_t next[PRODUCERS] = {0}, received = 0, bad = 0;
    prng_seed(&prng, 14);
    while (received < PRODUCERS * each) {
        if (mpsc_empty(&queue))
            sem_wait(&wake);
        if (prng_below(&prng, 4) == 0) {
            for (struct mpsc_node *node = mpsc_take_all(&queue); node;
                 node = node->next, received++)
                bad += accept_node(node, next);
            continue;
        }
        for (struct mpsc_node *node; (node = mpsc_pop(&queue)) != NULL;) {
            bad += accept_node(node, next);
            received++;
            if (prng_below(&prng, 64) == 0)
                break;
        }
    }
    *(size_t *)wrong = bad;
    return NULL;
}

static void every_node_arrives_once_and_in_its_producers_order(void)
{
    pthread_t producers[PRODUCERS], consumer;
    size_t wrong = 1, woken = 0;
    each = test_scaled(NODES_MAX);
    each = MIN(each, NODES_MAX);
    mpsc_init(&queue);
    CHECK_EQ(sem_init(&wake, 0, 0), 0);
    CHECK_EQ(pthread_create(&consumer, NULL, consume, &wrong), 0);
    for (uintptr_t i = 0; i < PRODUCERS; i++)
        CHECK_EQ(pthread_create(&producers[i], NULL, produce, (void *)i), 0);
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_join(producers[i], NULL);
        woken += wakes[i];
    }
    pthread_join(consumer, NULL);
    CHECK_EQ(wrong, 0);
    CHECK(mpsc_empty(&queue));
    CHECK(woken > 0);
    sem_destroy(&wake);
}

TEST_CASES_BEGIN
    {.name = "queue_mpsc: every node arrives once and in its producer's order",
     .run = every_node_arrives_once_and_in_its_producers_order},
TEST_CASES_END
