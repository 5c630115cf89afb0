/* SPDX-License-Identifier: BSD-3-Clause */
/* RCU on either engine. */
#include "test.h"
#include <osv/clock.h>
#include <osv/heap.h>
#include <osv/mutex.h>
#include <osv/rcu.h>
#include <osv/thread.h>

struct object {
    struct rcu_head head;
    struct rcu_list link;
    _Atomic(uint32_t) alive;
    uint32_t value;
};

static _Atomic(struct object *) published;
static _Atomic(uint32_t) stop, step, freed;
static struct rcu_list list;
static struct mutex list_lock = MUTEX_INIT;

static struct object *object_new(uint32_t value)
{
    struct object *object = heap_alloc(sizeof *object);
    CHECK(object != NULL);
    atomic_store_relaxed(&object->alive, 1u);
    object->value = value;
    return object;
}

static void object_free(struct rcu_head *head)
{
    struct object *object = container_of(head, struct object, head);
    CHECK_EQ(atomic_xchg_relaxed(&object->alive, 0u), 1);
    object->value = 0;
    heap_free(object, sizeof *object);
    atomic_add_relaxed(&freed, 1u);
}

static void a_grace_period_ends(void)
{
    uint64_t before = rcu_grace_periods();
    rcu_synchronize();
    CHECK(rcu_grace_periods() > before);
}

static int hold_a_reader(void *arg)
{
    (void)arg;
    rcu_read_lock();
    atomic_store_release(&step, 1u);
    while (atomic_load_acquire(&step) == 1)
        hal_cpu_relax();
    rcu_read_unlock();
    return 0;
}

static int synchronize(void *arg)
{
    (void)arg;
    rcu_synchronize();
    atomic_store_release(&stop, 1u);
    return 0;
}

static void a_grace_period_waits_for_readers(void)
{
    struct cpumask second = cpumask_of(1), first = cpumask_of(0);
    const struct thread_attr there = {.affinity = &second}, here = {.affinity = &first};
    struct thread *reader, *writer;
    CHECK_EQ(thread_set_affinity(thread_self(), &first), 0);
    CHECK_EQ(thread_create(&reader, hold_a_reader, NULL, &there), 0);
    while (atomic_load_acquire(&step) != 1)
        thread_sleep(100 * NSEC_PER_USEC);
    CHECK_EQ(thread_create(&writer, synchronize, NULL, &here), 0);
    thread_sleep(20 * NSEC_PER_MSEC);
    CHECK_EQ(atomic_load_acquire(&stop), 0);
    atomic_store_release(&step, 2u);
    CHECK_EQ(thread_join(writer, NULL), 0);
    CHECK_EQ(thread_join(reader, NULL), 0);
}

static int hog(void *arg)
{
    (void)arg;
    atomic_add_release(&step, 1u);
    while (!atomic_load_acquire(&stop))
        hal_cpu_relax();
    return 0;
}

/* CPUs that switch no thread by themselves, because only one wants to run there. */
static void a_grace_period_does_not_wait_for_hogs(void)
{
    struct thread *threads[4];
    for (unsigned i = 0; i < cpu_count(); i++)
        CHECK_EQ(thread_create(&threads[i], hog, NULL, NULL), 0);
    while (atomic_load_acquire(&step) != cpu_count())
        thread_sleep(100 * NSEC_PER_USEC);
    for (int i = 0; i < 5; i++)
        rcu_synchronize();
    atomic_store_release(&stop, 1u);
    for (unsigned i = 0; i < cpu_count(); i++)
        CHECK_EQ(thread_join(threads[i], NULL), 0);
}

static void callbacks_run_after_the_readers(void)
{
    rcu_read_lock();
    for (uint32_t i = 0; i < 100; i++)
        rcu_call(&object_new(i)->head, object_free);
    for (int i = 0; i < 1000; i++)
        hal_cpu_relax();
    uint32_t early = atomic_load_relaxed(&freed);
    rcu_read_unlock();
    CHECK_EQ(early, 0);
    rcu_barrier();
    CHECK_EQ(atomic_load_relaxed(&freed), 100);
}

static int read_published(void *arg)
{
    size_t *reads = arg;
    while (!atomic_load_acquire(&stop)) {
        rcu_read_lock();
        struct object *object = rcu_dereference(published);
        CHECK_EQ(atomic_load_relaxed(&object->alive), 1);
        CHECK(object->value != 0);
        rcu_read_unlock();
        hal_cpu_relax();
        if (++*reads % 64 == 0)
            thread_yield();
    }
    return 0;
}

static void readers_never_see_a_freed_object(void)
{
    struct thread *threads[4];
    size_t reads[4] = {0};
    rcu_assign(published, object_new(1));
    for (int i = 0; i < 4; i++)
        CHECK_EQ(thread_create(&threads[i], read_published, &reads[i], NULL), 0);
    size_t writes = test_scaled(3000);
    for (uint32_t i = 2; i < writes + 2; i++) {
        struct object *old = atomic_load_relaxed(&published);
        rcu_assign(published, object_new(i));
        if (i % 8 == 0) {
            rcu_synchronize();
            object_free(&old->head);
        } else {
            rcu_call(&old->head, object_free);
        }
    }
    atomic_store_release(&stop, 1u);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(thread_join(threads[i], NULL), 0);
        CHECK(reads[i] > 0);
    }
    rcu_barrier();
    CHECK_EQ(atomic_load_relaxed(&freed), writes);
}

static int walk_list(void *arg)
{
    (void)arg;
    while (!atomic_load_acquire(&stop)) {
        uint32_t previous = UINT32_MAX;
        rcu_read_lock();
        rcu_list_for_each (node, &list) {
            struct object *object = container_of(node, struct object, link);
            CHECK_EQ(atomic_load_relaxed(&object->alive), 1);
            CHECK(object->value < previous); /* newest first */
            previous = object->value;
        }
        rcu_read_unlock();
        hal_cpu_relax();
        thread_yield();
    }
    return 0;
}

static void lists_change_under_readers(void)
{
    struct thread *threads[3];
    struct object *objects[16] = {NULL};
    rcu_list_init(&list);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(thread_create(&threads[i], walk_list, NULL, NULL), 0);
    for (uint32_t i = 1; i < test_scaled(20000); i++) {
        struct object **slot = &objects[i * 7 % 16];
        mutex_lock(&list_lock);
        if (*slot)
            rcu_list_remove(&(*slot)->link);
        struct object *old = *slot;
        *slot = object_new(i);
        rcu_list_add(&list, &(*slot)->link);
        mutex_unlock(&list_lock);
        if (old)
            rcu_call(&old->head, object_free);
    }
    atomic_store_release(&stop, 1u);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(thread_join(threads[i], NULL), 0);
    rcu_barrier();
}

static int synchronize_often(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < test_scaled(300); i++)
        rcu_synchronize();
    return 0;
}

static void many_writers_at_once(void)
{
    struct thread *threads[8];
    for (int i = 0; i < 8; i++)
        CHECK_EQ(thread_create(&threads[i], synchronize_often, NULL, NULL), 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(thread_join(threads[i], NULL), 0);
}

TEST_CASES_BEGIN
    {"a grace period ends, one CPU", a_grace_period_ends, .cpus = 1},
        {"a grace period ends, four CPUs", a_grace_period_ends, .cpus = 4},
        {"a grace period waits for readers", a_grace_period_waits_for_readers, .cpus = 2},
        {"a grace period does not wait for hogs", a_grace_period_does_not_wait_for_hogs, .cpus = 2},
        {"callbacks run after the readers", callbacks_run_after_the_readers, .cpus = 1},
        {"callbacks run after the readers, two CPUs", callbacks_run_after_the_readers, .cpus = 2},
        {"readers never see a freed object, one CPU", readers_never_see_a_freed_object, .cpus = 1},
        {"readers never see a freed object, four CPUs", readers_never_see_a_freed_object,
         .cpus = 4},
        {"lists change under readers", lists_change_under_readers, .cpus = 4},
        {"many writers at once", many_writers_at_once, .cpus = 4},
TEST_CASES_END
