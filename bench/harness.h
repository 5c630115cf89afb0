/* SPDX-License-Identifier: BSD-3-Clause */
/* What every benchmark suite shares: rows, interleaved repetitions, medians, the table and the JSON
 * file.
 *
 * A row compares ours with a peer in the same run. In each repetition every selected case measures
 * ours and the peer back to back, in alternating order, with the round trip of one cache line
 * between the first two CPUs taken before and after; the row's ratio is the median of the ratios of
 * the repetitions. Less is better in every row, so a row passes when its ratio is at most its goal.
 * A row whose bound is absolute has "-" as its peer and 1 as its peer's value. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define BENCH_REPS_MIN 15u /* fewer repetitions do not decide */
#define BENCH_REPS_MAX 255u
#define BENCH_CASE_ROWS_MAX 4u
#define BENCH_CASES_MAX 128u

struct bench_row {
    const char *id;   /* a letter, a number and, for a variant of that row, a small letter */
    const char *name; /* what is measured */
    const char *unit; /* of ours and the peer's value */
    const char *peer;
    double goal;      /* the largest ratio that passes */
};

/* Fills in one value for each row of the case. 0 or a negative errno. */
typedef int bench_measure(double *values);

/* Rows that one measurement gives. */
struct bench_case {
    const struct bench_row *rows;
    size_t rows_count;
    bench_measure *ours, *peer;
};

struct bench_group {
    const struct bench_case *cases;
    size_t cases_count;
};

/* Peers of rows whose bound is absolute: 1, and the line round trip of this repetition in ns. */
bench_measure bench_peer_one, bench_peer_line;

uint64_t bench_ns(void);    /* CLOCK_MONOTONIC; in the machine too */
double bench_tick_ns(void); /* ns of one hal_cycles() tick */
/* xorshift64 (G. Marsaglia, 2003): the same numbers for ours and for the peer, at almost no cost */
static inline uint64_t bench_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* The compiler must have value in a register and all memory in place here. */
#define BENCH_USE(value) __asm__ volatile("" : : "r"(value) : "memory")

/* Latencies in ticks: exact below 32, then 16 buckets an octave. */
#define BENCH_HISTOGRAM_BUCKETS (32 + 59 * 16)
struct bench_histogram {
    uint64_t bucket[BENCH_HISTOGRAM_BUCKETS];
    uint64_t count;
};

static inline void bench_histogram_add(struct bench_histogram *h, uint64_t value)
{
    unsigned index = (unsigned)value;
    if (value >= 32) {
        unsigned top = 63u - (unsigned)__builtin_clzll(value);
        index = 32 + (top - 5) * 16 + (unsigned)(value >> (top - 4)) - 16;
    }
    h->bucket[index]++;
    h->count++;
}

void bench_histogram_merge(struct bench_histogram *into, const struct bench_histogram *from);
/* The lower edge of the bucket where the fraction part of all values is reached. */
double bench_histogram_quantile(const struct bench_histogram *h, double part);

/* Runs a suite: options --json PATH, --list, --reps N and row ids, of which "S5" selects S5, S5b
 * and so on. The exit status: 0; 1 when a row did not run; 2 when the arguments are wrong. */
int bench_main(int argc, char **argv, const char *suite, const struct bench_group *const *groups,
               size_t groups_count);
