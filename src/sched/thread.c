/* SPDX-License-Identifier: BSD-3-Clause */
/* Life cycle of threads.
 *
 * A thread is one block of pages: its stack, growing down, and its structure above that. The word
 * joiner decides, with one atomic operation a side, who frees it:
 *
 *   NULL  --thread_join-->    waiter    --end-->  ENDED: the joiner is woken, and frees
 *   NULL  --end-->            ENDED     --thread_join, thread_detach-->  freed by the caller
 *   NULL  --thread_detach-->  DETACHED  --end-->  freed by the thread that was switched to
 *
 * The end happens off the thread's own stack: sched_switch_finish() calls thread_departed(). */
#include "internal.h"
#include <osv/clock.h>
#include <osv/error.h>
#include <osv/page.h>
#include <osv/string.h>
#include <osv/waiter.h>

#define ENDED ((void *)1)
#define DETACHED ((void *)2)
#define STACK_MARK                                                                                 \
    0x6b636174736b6f21ull /* in the lowest word of a stack: overwritten means overflow */
#define COLOURS                                                                                    \
    16u /* offsets of the structures in their blocks, so that they do not share cache sets */

static struct spinlock threads_lock; /* a spinlock: threads end with preemption off */
static struct list threads;          /* [threads_lock] */
static size_t threads_count;         /* [threads_lock] */
static _Atomic(uint64_t) next_id;

void threads_reset(void)
{
    spinlock_init(&threads_lock, RANK_THREADS);
    list_init(&threads);
    threads_count = 0;
    atomic_store_relaxed(&next_id, 1);
}

static void register_thread(struct thread *thread)
{
    spin_lock(&threads_lock);
    list_push_back(&threads, &thread->all_node);
    threads_count++;
    spin_unlock(&threads_lock);
}

static void name_copy(struct thread *thread, const char *name)
{
    size_t size = strnlen(name, THREAD_NAME_MAX - 1);
    memcpy(thread->name, name, size);
    thread->name[size] = '\0';
}

static void affinity_set(struct thread *thread, const struct cpumask *mask)
{
    for (size_t i = 0; i < ARRAY_COUNT(mask->words); i++)
        atomic_store_relaxed(&thread->affinity[i], mask->words[i]);
}

static void setup(struct thread *thread, struct cpu *cpu)
{
    memset((char *)thread + sizeof thread->task.ctx, 0, sizeof *thread - sizeof thread->task.ctx);
    thread->task.cpu = cpu;
    atomic_store_relaxed(&thread->cpu_id, cpu->id);
    thread->task.preempt_off = 1; /* as every thread that is switched to, and the boot code */
    thread->home = THREAD_NO_HOME;
    thread->id = atomic_add_relaxed(&next_id, 1);
    list_init(&thread->rt_node);
    register_thread(thread);
}

void thread_setup_boot(struct thread *thread)
{
    setup(thread, thread->task.cpu);
    name_copy(thread, "idle/0");
}

static struct thread *thread_alloc(size_t stack_size)
{
    size_t pages = DIV_UP(stack_size, PAGE_SIZE);
    static _Atomic(uint32_t) colour;
    char *block = page_alloc_range(pages);
    if (!block)
        return NULL;
    size_t offset = ALIGN_UP(sizeof(struct thread), CACHE_LINE) +
                    atomic_add_relaxed(&colour, 1u) % COLOURS * CACHE_LINE;
    struct thread *thread = (struct thread *)(void *)(block + pages * PAGE_SIZE - offset);
    *(uint64_t *)(void *)block = STACK_MARK;
    thread->block = block;
    thread->block_pages = pages;
    return thread;
}

static void thread_free(struct thread *thread)
{
    hal_ctx_fini(&thread->task.ctx);
    spin_lock(&threads_lock);
    list_remove(&thread->all_node);
    threads_count--;
    spin_unlock(&threads_lock);
    page_free_range(thread->block, thread->block_pages);
}

static void thread_prepare(struct thread *thread, struct cpu *cpu, void (*start)(void *), void *arg)
{
    char *block = thread->block;
    size_t pages = thread->block_pages;
    setup(thread, cpu);
    thread->block = block;
    thread->block_pages = pages;
    hal_ctx_init(&thread->task.ctx, block, (size_t)((char *)thread - block), start, arg);
}

int thread_make_idle(struct cpu *cpu, struct thread **out, void (*entry)(void *), void *arg)
{
    struct thread *thread = thread_alloc(HAL_STACK_SIZE);
    if (!thread)
        return -ENOMEM;
    thread_prepare(thread, cpu, entry, arg);
    name_copy(thread, "idle");
    *out = thread;
    return 0;
}

/* First code of every thread, on its own stack: ends what the switch began. */
static void thread_start(void *arg)
{
    struct thread *self = arg;
    sched_switch_finish(self->task.cpu->sched);
    hal_irq_restore(0);
    preempt_enable();
    thread_exit(self->entry(self->arg));
}

static bool rt_priority_valid(enum thread_policy policy, int priority)
{
    if (policy == THREAD_FAIR)
        return priority == 0;
    return (policy == THREAD_FIFO || policy == THREAD_RR) && priority >= THREAD_RT_MIN &&
           priority <= THREAD_RT_MAX;
}

static bool attr_valid(const struct thread_attr *attr)
{
    return rt_priority_valid(attr->policy, attr->rt_priority) && attr->nice >= THREAD_NICE_MIN &&
           attr->nice <= THREAD_NICE_MAX && attr->stack_size <= HUGE_SIZE &&
           (attr->stack_size == 0 || attr->stack_size >= PAGE_SIZE * 2) &&
           (!attr->affinity ||
            bitmap_find_set(attr->affinity->words, cpu_count(), 0) < cpu_count());
}

/* Does the mask hold just one of the CPUs that exist? */
static bool mask_pins(const struct cpumask *mask)
{
    size_t count = cpu_count(), first = bitmap_find_set(mask->words, count, 0);
    return bitmap_find_set(mask->words, count, first + 1) >= count;
}

int thread_create(struct thread **out, int (*entry)(void *arg), void *arg,
                  const struct thread_attr *attr)
{
    static const struct thread_attr defaults;
    if (!attr)
        attr = &defaults;
    if (!entry || !attr_valid(attr))
        return -EINVAL;
    struct thread *thread = thread_alloc(attr->stack_size ? attr->stack_size : HAL_STACK_SIZE);
    if (!thread)
        return -ENOMEM;
    preempt_disable();
    thread_prepare(thread, cpu_self(), thread_start, thread);
    thread->entry = entry;
    thread->arg = arg;
    name_copy(thread, attr->name ? attr->name : "thread");
    bool pinned = cpu_count() == 1;
    if (attr->affinity) {
        affinity_set(thread, attr->affinity);
        pinned = mask_pins(attr->affinity);
    } else {
        memset((void *)thread->affinity, 0xff, sizeof thread->affinity);
    }
    atomic_store_relaxed(&thread->wanted, wanted_pack(pinned, attr->policy,
                                                      (unsigned)attr->rt_priority, attr->nice));
    if (attr->detached)
        atomic_store_relaxed(&thread->joiner, DETACHED);
    /* It starts with its creator's measure: creating threads buys no run time. */
    thread->share = thread_self()->runtime / (cpu_self()->sched->rq.scale >> 16);
    if (out)
        *out = thread;
    sched_make_runnable(thread);
    preempt_enable();
    return 0;
}

void thread_exit(int status)
{
    struct thread *self = thread_self();
    self->status = status;
    preempt_disable();
    atomic_store_relaxed(&self->state, (uint32_t)THREAD_EXITED);
    sched_switch_exited();
}

void thread_departed(struct thread *thread)
{
    /* J1 publishes the status, pairs with J2 in thread_join and thread_detach */
    void *joiner = atomic_xchg_acq_rel(&thread->joiner, ENDED);
    if (joiner == DETACHED)
        thread_free(thread);
    else if (joiner)
        waiter_wake(joiner);
}

int thread_join(struct thread *thread, int *status)
{
    if (thread == thread_self())
        return -EDEADLK;
    struct waiter waiter;
    void *joiner = NULL;
    waiter_init(&waiter);
    if (atomic_cas_acq_rel(&thread->joiner, &joiner,
                           (void *)&waiter)) /* J2 pairs with J1 in thread_departed */
        waiter_park(&waiter);
    else if (joiner != ENDED)
        return -EINVAL;
    if (status)
        *status = thread->status;
    thread_free(thread);
    return 0;
}

int thread_detach(struct thread *thread)
{
    void *joiner = NULL;
    if (atomic_cas_acq_rel(&thread->joiner, &joiner,
                           DETACHED)) /* J2 pairs with J1 in thread_departed */
        return 0;
    if (joiner != ENDED)
        return -EINVAL;
    thread_free(thread);
    return 0;
}

void thread_set_name(const char *name)
{
    name_copy(thread_self(), name);
}

/* Tells the thread's CPU that its wanted word or affinity changed. */
static void rescan(struct thread *thread)
{
    if (thread == thread_self()) {
        preempt_disable();
        atomic_store_relaxed(&thread->task.resched, 1u);
        preempt_enable();
        return;
    }
    /* The thread may move meanwhile; wherever it is inserted next, the new values are applied. */
    unsigned cpu = atomic_load_relaxed(&thread->cpu_id);
    atomic_or_release(&sched_of(cpu)->attention, ATTENTION_RESCAN);
    sched_kick(cpu);
}

static void wanted_update(struct thread *thread, uint32_t mask, uint32_t value)
{
    uint32_t old = atomic_load_relaxed(&thread->wanted);
    while (!atomic_cas_relaxed(&thread->wanted, &old, (old & ~mask) | value))
        ;
}

int thread_set_policy(struct thread *thread, enum thread_policy policy, int rt_priority)
{
    if (!rt_priority_valid(policy, rt_priority))
        return -EINVAL;
    wanted_update(thread, 0x00ffff00u, wanted_pack(false, policy, (unsigned)rt_priority, 0));
    rescan(thread);
    return 0;
}

int thread_set_nice(struct thread *thread, int nice)
{
    if (nice < THREAD_NICE_MIN || nice > THREAD_NICE_MAX)
        return -EINVAL;
    wanted_update(thread, 0x000000ffu, wanted_pack(false, 0, 0, nice));
    rescan(thread);
    return 0;
}

int thread_set_affinity(struct thread *thread, const struct cpumask *mask)
{
    if (bitmap_find_set(mask->words, cpu_count(), 0) >= cpu_count())
        return -EINVAL;
    affinity_set(thread, mask);
    wanted_update(thread, 0xff000000u, wanted_pack(mask_pins(mask), 0, 0, 0));
    rescan(thread);
    return 0;
}

void thread_get_affinity(const struct thread *thread, struct cpumask *mask)
{
    for (size_t i = 0; i < ARRAY_COUNT(mask->words); i++)
        mask->words[i] = atomic_load_relaxed(&thread->affinity[i]);
}

uint64_t thread_runtime_ns(struct thread *thread)
{
    if (thread == thread_self()) {
        preempt_disable();
        sched_account(cpu_self()->sched);
        preempt_enable();
    }
    return atomic_load_relaxed(&thread->runtime_ns);
}

void thread_sleep_until(uint64_t deadline_ns)
{
    struct waiter waiter;
    waiter_init(&waiter);
    while (waiter_park_until(&waiter, deadline_ns) == 0)
        ; /* nobody else knows the waiter */
}

void thread_sleep(uint64_t duration_ns)
{
    uint64_t now = clock_ns();
    thread_sleep_until(duration_ns > HAL_NEVER - 1 - now ? HAL_NEVER - 1 : now + duration_ns);
}

void thread_for_each(void (*visit)(struct thread *thread, void *arg), void *arg)
{
    spin_lock(&threads_lock);
    list_for_each (node, &threads)
        visit(list_entry(node, struct thread, all_node), arg);
    spin_unlock(&threads_lock);
}

size_t thread_count(void)
{
    spin_lock(&threads_lock);
    size_t count = threads_count;
    spin_unlock(&threads_lock);
    return count;
}
