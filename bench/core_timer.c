/* SPDX-License-Identifier: BSD-3-Clause */
/* T2: arming and cancelling timers while 100,000 others are armed: each in turn of 512, as of so
 * many connections. All deadlines are random, 1 s to 17 minutes away and even over the octaves, so
 * that none fires; one that is earlier stays the next. */
#include "core.h"
#include "machine.h"
#include <osv/clock.h>
#include <osv/error.h>
#include <osv/page.h>
#include <osv/timer.h>

#define ARMED 100000u
#define PAIRS 50000u
#define OWN 512u
#define DRAWN 4096u
#define FIRST_NS (NSEC_PER_SEC * 9 / 10)
#define LEAST_NS NSEC_PER_SEC
#define OCTAVES 10u

static struct timer *timers; /* ARMED, OWN, and the first */
static double pair_ns;
static int error;

static void on_timer(struct timer *timer)
{
    (void)timer;
    error = -EIO;
}

static uint64_t deadlines_ns[DRAWN];

static NOINLINE void pairs(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct timer *timer = &timers[ARMED + i % OWN];
        timer_arm(timer, deadlines_ns[i % DRAWN]);
        timer_cancel(timer);
    }
}

static uint64_t draw_ns(uint64_t *random)
{
    uint64_t least = LEAST_NS << bench_random(random) % OCTAVES;
    return least + bench_random(random) % least;
}

static void body(unsigned thread)
{
    size_t pages = DIV_UP((ARMED + OWN + 1) * sizeof *timers, PAGE_SIZE);
    uint64_t random = 0x9e3779b97f4a7c15ull, now_ns = clock_ns();
    (void)thread;
    error = 0;
    timers = page_alloc_range(pages);
    if (!timers) {
        error = -ENOMEM;
        return;
    }
    for (unsigned i = 0; i < ARMED + OWN + 1; i++)
        timer_init(&timers[i], on_timer);
    timer_arm(&timers[ARMED + OWN], now_ns + FIRST_NS);
    for (unsigned i = 0; i < ARMED; i++)
        timer_arm(&timers[i], now_ns + draw_ns(&random));
    for (unsigned i = 0; i < DRAWN; i++)
        deadlines_ns[i] = now_ns + draw_ns(&random);
    pairs(PAIRS / 10);
    uint64_t start_ns = bench_ns();
    pairs(PAIRS);
    pair_ns = (double)(bench_ns() - start_ns) / PAIRS;
    for (unsigned i = 0; i < ARMED + OWN + 1; i++)
        timer_cancel(&timers[i]);
    page_free_range(timers, pages);
}

static int t2_ours(double *values)
{
    int status = bench_on_core(1, 1, bench_first_cpu, body, NULL);
    values[0] = pair_ns;
    return status < 0 ? status : error;
}

static const struct bench_row row = {"T2", "timer arm + cancel among 100,000 armed", "ns", "-", 50};
static const struct bench_case cases[] = {{&row, 1, t2_ours, bench_peer_one}};
const struct bench_group bench_timer = {cases, ARRAY_COUNT(cases)};
