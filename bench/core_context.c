/* SPDX-License-Identifier: BSD-3-Clause */
/* S1 to S4: hal_ctx_switch() between contexts that hal_ctx_init() made and the thread that
 * measures, with preemption off, and boost.context in the same use. Every context of ours switches
 * in the same loop, as threads do in the scheduler, and lies at the top of its stack's block as a
 * thread does. The thread has interrupts on, so that one that comes does not stay pending for the
 * rest of the measurement: every switch would look at it. */
#include "core.h"
#include "machine.h"
#include <bench_isa.h>
#include <osv/cpu.h>
#include <osv/error.h>
#include <sys/mman.h>

#define SWITCHES 400000u
#define CONTEXTS 256u
#define BLOCK_SIZE ((size_t)16384)
#define COLOURS 61u /* offsets in the blocks, so that 256 contexts do not share cache sets */
#define FPU_MAX 16384u
#define S1_ROUNDS (SWITCHES / 2)
#define S3_ROUNDS (SWITCHES / 40)
#define S4_ROUNDS (SWITCHES / CONTEXTS)

static char *blocks; /* CONTEXTS + 1 of them */
static double switch_ns;

static int map_blocks(void)
{
    if (blocks)
        return 0;
    blocks = mmap(NULL, (CONTEXTS + 1) * BLOCK_SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (blocks != MAP_FAILED)
        return 0;
    blocks = NULL;
    return -ENOMEM;
}

static char *stack_top(unsigned index)
{
    return blocks + (index + 1) * BLOCK_SIZE - index % COLOURS * CACHE_LINE;
}

/* --- ours --- */

struct link {
    struct hal_ctx *self, *next;
    uint64_t times;
    struct hal_fpu *fpu;
};

static struct link base_link, links[CONTEXTS];
static ALIGNED(64) char fpu_memory[2][FPU_MAX];

static NOINLINE void pass_on(struct link *link)
{
    struct link l = *link;
    for (uint64_t i = 0; i < l.times; i++)
        hal_ctx_switch(l.self, l.next);
}

static NOINLINE void pass_on_tls(struct link *link)
{
    struct link l = *link;
    uintptr_t tls = hal_tls_get();
    for (uint64_t i = 0; i < l.times; i++) {
        hal_ctx_switch(l.self, l.next);
        hal_tls_set(tls);
    }
}

static NOINLINE void pass_on_fpu(struct link *link)
{
    struct link l = *link;
    for (uint64_t i = 0; i < l.times; i++) {
        hal_fpu_save(l.fpu);
        hal_ctx_switch(l.self, l.next);
        hal_fpu_load(l.fpu);
    }
}

static void pass_on_entry(void *arg)
{
    pass_on(arg);
}

static void pass_on_tls_entry(void *arg)
{
    pass_on_tls(arg);
}

static void pass_on_fpu_entry(void *arg)
{
    hal_fpu_save(((struct link *)arg)->fpu);
    pass_on_fpu(arg);
}

/* Makes a ring of count contexts, of which the running one is one. */
static void make_ring(unsigned count, void (*entry)(void *))
{
    base_link = (struct link){.self = hal_ctx_self(), .fpu = (void *)fpu_memory[0]};
    struct link *before = &base_link;
    for (unsigned i = 0; i + 1 < count; i++) {
        size_t size = ALIGN_UP(sizeof(struct hal_ctx), CACHE_LINE);
        char *stack = blocks + i * BLOCK_SIZE, *top = stack_top(i) - size;
        links[i] = (struct link){(void *)top, NULL, UINT64_MAX, (void *)fpu_memory[1]};
        hal_ctx_init(links[i].self, stack, (size_t)(top - stack), entry, &links[i]);
        before->next = links[i].self;
        before = &links[i];
    }
    before->next = base_link.self;
}

/* ns of a switch in a ring of count contexts. */
static double run_ring(unsigned count, void (*entry)(void *), void (*loop)(struct link *),
                       uint64_t rounds)
{
    preempt_disable();
    make_ring(count, entry);
    base_link.times = rounds / 10 + 1;
    loop(&base_link);
    base_link.times = rounds;
    uint64_t start_ns = bench_ns();
    loop(&base_link);
    double ns = (double)(bench_ns() - start_ns) / (double)(rounds * count);
    preempt_enable();
    return ns;
}

static void s1_body(unsigned thread)
{
    (void)thread;
    switch_ns = run_ring(2, pass_on_entry, pass_on, S1_ROUNDS);
}

static void s2_body(unsigned thread)
{
    (void)thread;
    switch_ns = run_ring(2, pass_on_tls_entry, pass_on_tls, S1_ROUNDS / 4);
}

static void s3_body(unsigned thread)
{
    (void)thread;
    hal_fpu_save((void *)fpu_memory[0]);
    switch_ns = run_ring(2, pass_on_fpu_entry, pass_on_fpu, S3_ROUNDS);
}

static void s4_body(unsigned thread)
{
    (void)thread;
    switch_ns = run_ring(CONTEXTS, pass_on_entry, pass_on, S4_ROUNDS);
}

static int measure(bool on_core, bench_body *body, double *value)
{
    int error = map_blocks();
    if (error == 0)
        error = on_core ? bench_on_core(1, 1, bench_first_cpu, body, NULL)
                        : bench_on_host(1, bench_first_cpu, body, NULL);
    *value = switch_ns;
    return error;
}

static int s1_ours(double *values)
{
    return measure(true, s1_body, values);
}

static int s2_ours(double *values)
{
    return measure(true, s2_body, values);
}

static int s3_ours(double *values)
{
    return hal_fpu_size() <= FPU_MAX ? measure(true, s3_body, values) : -E2BIG;
}

static int s4_ours(double *values)
{
    return measure(true, s4_body, values);
}

/* --- the peers --- */

typedef void *fcontext;
struct transfer {
    fcontext from;
    void *data;
};
extern struct transfer jump_fcontext(fcontext to, void *data);
extern fcontext make_fcontext(void *stack_top, size_t size, void (*entry)(struct transfer));

static NOINLINE void boost_entry(struct transfer t)
{
    for (;;)
        t = jump_fcontext(t.from, NULL);
}

static NOINLINE void boost_pair(struct transfer *t, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++)
        *t = jump_fcontext(t->from, NULL);
}

static NOINLINE void boost_hub(fcontext *spokes, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++)
        for (unsigned k = 0; k < CONTEXTS; k++)
            spokes[k] = jump_fcontext(spokes[k], NULL).from;
}

static void s1_boost_body(unsigned thread)
{
    struct transfer t = {make_fcontext(stack_top(1), BLOCK_SIZE / 2, boost_entry), NULL};
    (void)thread;
    boost_pair(&t, S1_ROUNDS / 10);
    uint64_t start_ns = bench_ns();
    boost_pair(&t, S1_ROUNDS);
    switch_ns = (double)(bench_ns() - start_ns) / (2 * S1_ROUNDS);
}

static void s2_peer_body(unsigned thread)
{
    uintptr_t tls = hal_tls_get();
    s1_body(thread);
    uint64_t start_ns = bench_ns();
    for (unsigned i = 0; i < S1_ROUNDS / 4; i++)
        bench_isa_tls_write(tls);
    switch_ns += (double)(bench_ns() - start_ns) / (S1_ROUNDS / 4);
}

static void s3_peer_body(unsigned thread)
{
    (void)thread;
    for (unsigned i = 0; i < S3_ROUNDS / 10; i++)
        bench_isa_fpu_pair(fpu_memory[0]);
    uint64_t start_ns = bench_ns();
    for (unsigned i = 0; i < 2 * S3_ROUNDS; i++)
        bench_isa_fpu_pair(fpu_memory[0]);
    switch_ns = (double)(bench_ns() - start_ns) / (2 * S3_ROUNDS);
}

static void s4_boost_body(unsigned thread)
{
    static fcontext spokes[CONTEXTS];
    (void)thread;
    for (unsigned i = 0; i < CONTEXTS; i++)
        spokes[i] = make_fcontext(stack_top(i), BLOCK_SIZE / 2, boost_entry);
    boost_hub(spokes, S4_ROUNDS / 10);
    uint64_t start_ns = bench_ns();
    boost_hub(spokes, S4_ROUNDS / 2);
    switch_ns = (double)(bench_ns() - start_ns) / (S4_ROUNDS / 2 * CONTEXTS * 2);
}

static int s1_peer(double *values)
{
    return measure(false, s1_boost_body, values);
}

static int s2_peer(double *values)
{
    return measure(true, s2_peer_body, values);
}

static int s3_peer(double *values)
{
    return hal_fpu_size() <= FPU_MAX ? measure(false, s3_peer_body, values) : -E2BIG;
}

static int s4_peer(double *values)
{
    return measure(false, s4_boost_body, values);
}

static const struct bench_row rows[] = {
    {"S1", "switch between two contexts", "ns", "boost.context", 0.60},
    {"S2", "the same with a new TLS base", "ns", BENCH_TLS_PEER, 1.10},
    {"S3", "the same with the full vector state", "ns", BENCH_FPU_PEER, 1.15},
    {"S4", "switch around 256 contexts", "ns", "boost.context, hub and 256", 1.00},
};

static const struct bench_case cases[] = {
    {&rows[0], 1, s1_ours, s1_peer},
    {&rows[1], 1, s2_ours, s2_peer},
    {&rows[2], 1, s3_ours, s3_peer},
    {&rows[3], 1, s4_ours, s4_peer},
};

const struct bench_group bench_context = {cases, ARRAY_COUNT(cases)};
