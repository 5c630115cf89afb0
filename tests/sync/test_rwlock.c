/* SPDX-License-Identifier: BSD-3-Clause */
#include "test.h"
#include <osv/clock.h>
#include <osv/rwlock.h>

static struct rwlock rwlock;
static _Atomic(uint32_t) entered, leave;
static char order[8];
static _Atomic(uint32_t) order_count;

static void many_readers_or_one_writer(void)
{
    rwlock_init(&rwlock);
    rwlock_read_lock(&rwlock);
    CHECK(rwlock_try_read_lock(&rwlock));
    CHECK(!rwlock_try_write_lock(&rwlock));
    rwlock_read_unlock(&rwlock);
    CHECK(!rwlock_try_write_lock(&rwlock));
    rwlock_read_unlock(&rwlock);
    CHECK(rwlock_try_write_lock(&rwlock));
    CHECK(!rwlock_try_read_lock(&rwlock));
    CHECK(!rwlock_try_write_lock(&rwlock));
    rwlock_write_unlock(&rwlock);
    rwlock_write_lock(&rwlock);
    rwlock_write_unlock(&rwlock);
    CHECK_EQ(atomic_load_relaxed(&rwlock.state), 0);
}

static int read_together(void *arg)
{
    (void)arg;
    rwlock_read_lock(&rwlock);
    atomic_add_release(&entered, 1u);
    while (atomic_load_acquire(&entered) < 3) /* all three are inside at once */
        thread_sleep(100 * NSEC_PER_USEC);
    rwlock_read_unlock(&rwlock);
    return 0;
}

static void readers_read_together(void)
{
    struct thread *threads[3];
    rwlock_init(&rwlock);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(thread_create(&threads[i], read_together, NULL, NULL), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(thread_join(threads[i], NULL), 0);
}

static int note(void *arg)
{
    char kind = *(char *)arg;
    kind == 'w' ? rwlock_write_lock(&rwlock) : rwlock_read_lock(&rwlock);
    order[atomic_add_relaxed(&order_count, 1u)] = kind;
    if (kind == 'w') {
        rwlock_write_unlock(&rwlock);
        return 0;
    }
    atomic_add_release(&entered, 1u);
    while (!atomic_load_acquire(&leave))
        thread_sleep(100 * NSEC_PER_USEC);
    rwlock_read_unlock(&rwlock);
    return 0;
}

static size_t waiting(void)
{
    size_t count = 0;
    spin_lock(&rwlock.lock);
    list_for_each (node, &rwlock.waiting)
        count++;
    spin_unlock(&rwlock.lock);
    return count;
}

/* Held by a reader; then arrive w r r w. The readers share, nobody overtakes, and no writer
 * starves. */
static void hand_over_is_in_order_of_arrival(void)
{
    static char kinds[] = "wrrw";
    struct thread *threads[4];
    rwlock_init(&rwlock);
    rwlock_read_lock(&rwlock);
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ(thread_create(&threads[i], note, &kinds[i], NULL), 0);
        while (waiting() != i + 1)
            thread_sleep(100 * NSEC_PER_USEC);
    }
    CHECK(!rwlock_try_read_lock(&rwlock)); /* a writer waits */
    rwlock_read_unlock(&rwlock);
    while (atomic_load_acquire(&entered) != 2)
        thread_sleep(100 * NSEC_PER_USEC);
    CHECK_EQ(order[0], 'w');
    CHECK_EQ(atomic_load_relaxed(&order_count), 3);
    CHECK_EQ(waiting(), 1);
    atomic_store_release(&leave, 1u);
    for (size_t i = 0; i < 4; i++)
        CHECK_EQ(thread_join(threads[i], NULL), 0);
    CHECK_EQ(order[3], 'w');
    CHECK_EQ(atomic_load_relaxed(&rwlock.state), 0);
}

TEST_CASES_BEGIN
    {"many readers or one writer", many_readers_or_one_writer, .cpus = 1},
        {"readers read together", readers_read_together, .cpus = 1},
        {"readers read together, two CPUs", readers_read_together, .cpus = 2},
        {"hand-over is in order of arrival", hand_over_is_in_order_of_arrival, .cpus = 1},
        {"hand-over is in order of arrival, four CPUs", hand_over_is_in_order_of_arrival,
         .cpus = 4},
TEST_CASES_END
