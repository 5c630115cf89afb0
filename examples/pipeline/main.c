/* SPDX-License-Identifier: BSD-3-Clause */
/* An osv core inside an ordinary process: producers and consumers on virtual CPUs.
 *
 * Each producer hands numbers to its consumer through a ring. Ring operations never block: who
 * finds the ring full or empty sleeps on a condition variable, and who changed the ring signals.
 * Nobody misses a signal: the sleeper looks at the ring while it holds the mutex, and the other
 * side takes that mutex after it changed the ring. The consumers add their results up under one
 * more mutex.
 *
 * Code under osv_run() can be preempted anywhere, so it must not call libc functions that take
 * locks: its memory is from heap_alloc(), and the result is printed when osv_run() has returned. */
#include <osv/condvar.h>
#include <osv/error.h>
#include <osv/heap.h>
#include <osv/mutex.h>
#include <osv/ring_spsc.h>
#include <osv/run.h>
#include <osv/thread.h>
#include <inttypes.h>
#include <stdio.h>

#define CPUS 4
#define PIPES 3
#define NUMBERS 100000 /* that each producer sends */
#define RING_CAPACITY 64
#define BATCH 16

struct number {
    uint64_t value;
};

struct pipe {
    struct mutex mutex; /* for the two conditions */
    struct condvar filled;
    struct condvar emptied;
    struct thread *producer;
    struct thread *consumer;
    RING_SPSC_STORAGE(RING_CAPACITY) ring; /* last: its slots are a flexible array */
};

static struct pipe pipes[PIPES];
static struct number end_of_stream;

static struct {
    struct mutex mutex;
    struct condvar finished;
    unsigned pipes_finished;
    uint64_t count;
    uint64_t sum;
} result;

/* Wakes who waits for the condition, after the ring has changed. */
static void pipe_signal(struct pipe *pipe, struct condvar *condition)
{
    mutex_lock(&pipe->mutex);
    condvar_signal(condition);
    mutex_unlock(&pipe->mutex);
}

static void pipe_send(struct pipe *pipe, struct number *number)
{
    if (!ring_spsc_push(&pipe->ring.ring, number)) {
        mutex_lock(&pipe->mutex);
        while (!ring_spsc_push(&pipe->ring.ring, number)) {
            condvar_signal(&pipe->filled);
            condvar_wait(&pipe->emptied, &pipe->mutex);
        }
        mutex_unlock(&pipe->mutex);
    }
}

static size_t pipe_receive(struct pipe *pipe, void **numbers, size_t numbers_max)
{
    size_t count = ring_spsc_pop_batch(&pipe->ring.ring, numbers, numbers_max);
    if (count == 0) {
        mutex_lock(&pipe->mutex);
        while ((count = ring_spsc_pop_batch(&pipe->ring.ring, numbers, numbers_max)) == 0)
            condvar_wait(&pipe->filled, &pipe->mutex);
        mutex_unlock(&pipe->mutex);
    }
    pipe_signal(pipe, &pipe->emptied);
    return count;
}

static int produce(void *arg)
{
    struct pipe *pipe = arg;
    int error = 0;
    for (uint64_t i = 1; i <= NUMBERS && error == 0; i++) {
        struct number *number = heap_alloc(sizeof(*number));
        if (number) {
            number->value = i;
            pipe_send(pipe, number);
        } else {
            error = -ENOMEM;
        }
        if (i % BATCH == 0)
            pipe_signal(pipe, &pipe->filled);
    }
    pipe_send(pipe, &end_of_stream);
    pipe_signal(pipe, &pipe->filled);
    return error;
}

static int consume(void *arg)
{
    struct pipe *pipe = arg;
    uint64_t count = 0, sum = 0;
    for (bool open = true; open;) {
        void *batch[BATCH];
        size_t received = pipe_receive(pipe, batch, BATCH);
        for (size_t i = 0; i < received; i++) {
            struct number *number = batch[i];
            if (number == &end_of_stream) {
                open = false;
                break;
            }
            count++;
            sum += number->value;
            heap_free(number, sizeof(*number)); /* on another CPU than it came from, perhaps */
        }
    }
    mutex_lock(&result.mutex);
    result.count += count;
    result.sum += sum;
    result.pipes_finished++;
    condvar_signal(&result.finished);
    mutex_unlock(&result.mutex);
    return 0;
}

/* The first thread. What it returns is what osv_run() returns. */
static int run_pipes(void *arg)
{
    (void)arg;
    mutex_init(&result.mutex);
    condvar_init(&result.finished);
    for (struct pipe *pipe = pipes; pipe < pipes + PIPES; pipe++) {
        mutex_init(&pipe->mutex);
        condvar_init(&pipe->filled);
        condvar_init(&pipe->emptied);
        ring_spsc_init(&pipe->ring.ring, RING_CAPACITY);
        int error = thread_create(&pipe->producer, produce, pipe, NULL);
        if (error == 0)
            error = thread_create(&pipe->consumer, consume, pipe, NULL);
        if (error != 0)
            return error;
    }

    mutex_lock(&result.mutex);
    while (result.pipes_finished < PIPES)
        condvar_wait(&result.finished, &result.mutex);
    mutex_unlock(&result.mutex);

    int status = 0;
    for (struct pipe *pipe = pipes; pipe < pipes + PIPES && status == 0; pipe++) {
        status = thread_join(pipe->consumer, NULL);
        int produced = 0;
        if (status == 0)
            status = thread_join(pipe->producer, &produced);
        if (status == 0)
            status = produced;
    }
    return status;
}

int main(void)
{
    const struct osv_run_options options = {.cpus = CPUS};
    int error = osv_run(&options, run_pipes, NULL);
    if (error != 0) {
        fprintf(stderr, "pipeline: osv_run: error %d\n", error);
        return 1;
    }
    bool right = result.count == (uint64_t)PIPES * NUMBERS &&
                 result.sum == (uint64_t)PIPES * NUMBERS * (NUMBERS + 1) / 2;
    printf("pipeline: %d pipes on %d CPUs: %" PRIu64 " numbers, sum %" PRIu64 ": %s\n", PIPES, CPUS,
           result.count, result.sum, right ? "right" : "WRONG");
    return right ? 0 : 1;
}
