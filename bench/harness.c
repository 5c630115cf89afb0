/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"
#include "machine.h"
#include <ctype.h>
#include <errno.h>
#include <osv/assert.h>
#include <osv/hal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_ROUND_TRIPS 3000u
#define CALIBRATE_NS 50000000u
#define FILTERS_MAX 64u

struct series {
    double ours[BENCH_REPS_MAX], peer[BENCH_REPS_MAX], ratio[BENCH_REPS_MAX];
};

struct result { /* of one case */
    const struct bench_case *bench;
    struct series rows[BENCH_CASE_ROWS_MAX];
    double line_ns[BENCH_REPS_MAX];
    int error;
};

static struct {
    unsigned reps;
    const char *json;
    bool list;
    const char *filters[FILTERS_MAX];
    size_t filters_count;
    const char *suite;
} options;

/* --- clocks, quantiles --- */

uint64_t bench_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

double bench_tick_ns(void)
{
    static double tick_ns;
    if (tick_ns == 0) {
        uint64_t start_ns = bench_ns(), start = hal_cycles(), end_ns;
        do
            end_ns = bench_ns();
        while (end_ns - start_ns < CALIBRATE_NS);
        tick_ns = (double)(end_ns - start_ns) / (double)(hal_cycles() - start);
    }
    return tick_ns;
}

void bench_histogram_merge(struct bench_histogram *into, const struct bench_histogram *from)
{
    for (size_t i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++)
        into->bucket[i] += from->bucket[i];
    into->count += from->count;
}

double bench_histogram_quantile(const struct bench_histogram *h, double part)
{
    uint64_t wanted = (uint64_t)(part * (double)h->count), seen = 0;
    unsigned i = 0;
    while (i < BENCH_HISTOGRAM_BUCKETS - 1 && (seen += h->bucket[i]) <= wanted)
        i++;
    return i < 32 ? i : (double)((uint64_t)((i - 32) % 16 + 16) << ((i - 32) / 16 + 1));
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values, unsigned count)
{
    double sorted[BENCH_REPS_MAX];
    memcpy(sorted, values, count * sizeof *values);
    qsort(sorted, count, sizeof *sorted, compare);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

/* --- the round trip of one cache line --- */

static struct {
    ALIGNED(128) _Atomic(uint32_t) word; /* atomic: odd, the answer is awaited */
    ALIGNED(128) double ns;                           /* thread 0 */
} line;

static void line_body(unsigned thread)
{
    uint64_t start_ns = bench_ns();
    for (uint32_t i = 0; i < LINE_ROUND_TRIPS; i++) {
        if (thread == 0)
            atomic_store_release(&line.word, 2 * i + 1);
        while (atomic_load_acquire(&line.word) != 2 * i + 2 - thread)
            ;
        if (thread == 1)
            atomic_store_release(&line.word, 2 * i + 2);
    }
    if (thread == 0)
        line.ns = (double)(bench_ns() - start_ns) / LINE_ROUND_TRIPS;
}

/* 0 where there is only one CPU. */
static double line_round_trip(void)
{
    atomic_store_relaxed(&line.word, 0u);
    return bench_on_host(2, bench_apart, line_body, NULL) == 0 ? line.ns : 0;
}

static double line_ns_now; /* of the case that is being measured */

int bench_peer_line(double *values)
{
    values[0] = line_ns_now;
    return line_ns_now > 0 ? 0 : -ENODEV;
}

int bench_peer_one(double *values)
{
    values[0] = 1;
    return 0;
}

/* --- measuring --- */

static void measure(struct result *result, unsigned rep)
{
    const struct bench_case *bench = result->bench;
    double ours[BENCH_CASE_ROWS_MAX], peer[BENCH_CASE_ROWS_MAX];
    bool peer_first = rep % 2 != 0 && bench->peer != bench_peer_line;
    double before = line_round_trip();
    line_ns_now = before;
    if (result->error == 0 && peer_first)
        result->error = bench->peer(peer);
    if (result->error == 0)
        result->error = bench->ours(ours);
    line_ns_now = (before + line_round_trip()) / 2;
    if (result->error == 0 && !peer_first)
        result->error = bench->peer(peer);
    if (result->error != 0)
        return;
    result->line_ns[rep] = line_ns_now;
    for (size_t i = 0; i < bench->rows_count; i++) {
        result->rows[i].ours[rep] = ours[i];
        result->rows[i].peer[rep] = peer[i];
        result->rows[i].ratio[rep] = ours[i] / peer[i];
    }
}

static void measure_all(struct result *results, size_t count)
{
    bool progress = isatty(STDERR_FILENO);
    bench_tick_ns();
    for (size_t i = 0; i < count; i++)
        measure(&results[i], 0); /* warms up: the first repetition writes over it */
    for (unsigned rep = 0; rep < options.reps; rep++) {
        if (progress)
            fprintf(stderr, "\r%s: repetition %u of %u ", options.suite, rep + 1, options.reps);
        for (size_t i = 0; i < count; i++)
            measure(&results[i], rep);
    }
    if (progress)
        fprintf(stderr, "\r\033[K");
}

/* --- reporting --- */

static const char *verdict(const struct result *result, size_t row, const char *const words[3])
{
    double ratio = median(result->rows[row].ratio, options.reps);
    if (options.reps < BENCH_REPS_MIN)
        return words[2];
    return words[ratio <= result->bench->rows[row].goal ? 0 : 1];
}

static void print_row(const struct result *result, size_t row)
{
    static const char *const words[] = {"pass", "MISS", "-"};
    const struct bench_row *r = &result->bench->rows[row];
    const struct series *series = &result->rows[row];
    double sorted[BENCH_REPS_MAX], ours = median(series->ours, options.reps);
    double peer = median(series->peer, options.reps);
    memcpy(sorted, series->ratio, options.reps * sizeof *sorted);
    qsort(sorted, options.reps, sizeof *sorted, compare);
    printf("%-4s %-51s %9.4g %-9s %-27s %9.4g %8.3g %6.2g..%-6.2g %6.3g %-5s %6.4g\n", r->id,
           r->name, ours, r->unit, r->peer, peer, median(series->ratio, options.reps), sorted[0],
           sorted[options.reps - 1], r->goal, verdict(result, row, words),
           median(result->line_ns, options.reps));
}

/* Returns how many rows did not run. */
static size_t print_table(const struct result *results, size_t count)
{
    size_t missing = 0, rows = 0, missed = 0;
    static const char *const words[] = {"", "x", ""};
    printf("%-4s %-51s %9s %-9s %-27s %9s %8s %14s %6s %-5s %6s\n", "row", "what", "ours", "unit",
           "peer", "peer's", "ratio", "least..most", "goal", "", "line");
    for (size_t i = 0; i < count; i++)
        for (size_t row = 0; row < results[i].bench->rows_count; row++) {
            rows++;
            if (results[i].error == 0) {
                print_row(&results[i], row);
                missed += *verdict(&results[i], row, words) == 'x';
                continue;
            }
            missing++;
            printf("%-4s %-51s did not run: %s\n", results[i].bench->rows[row].id,
                   results[i].bench->rows[row].name, strerror(-results[i].error));
        }
    printf("%s: %zu rows, %zu missed their goal, %zu did not run; medians of %u repetitions; "
           "line: round trip of a cache line, ns\n",
           options.suite, rows, missed, missing, options.reps);
    return missing;
}

static int write_json(const struct result *results, size_t count)
{
    static const char *const words[] = {"true", "false", "null"};
    FILE *file = fopen(options.json, "w");
    const char *comma = "";
    if (!file)
        return -errno;
    fputs("[", file);
    for (size_t i = 0; i < count; i++)
        for (size_t row = 0; row < results[i].bench->rows_count && results[i].error == 0; row++) {
            const struct bench_row *r = &results[i].bench->rows[row];
            const struct series *series = &results[i].rows[row];
            fprintf(file,
                    "%s\n  {\"id\": \"%s\", \"name\": \"%s\", \"unit\": \"%s\", \"ours\": %.6g, "
                    "\"peer\": \"%s\", \"peer_value\": %.6g, \"ratio\": %.6g, \"goal\": %.6g, "
                    "\"pass\": %s, \"line_ns\": %.6g}",
                    comma, r->id, r->name, r->unit, median(series->ours, options.reps), r->peer,
                    median(series->peer, options.reps), median(series->ratio, options.reps),
                    r->goal, verdict(&results[i], row, words),
                    median(results[i].line_ns, options.reps));
            comma = ",";
        }
    fputs("\n]\n", file);
    return fclose(file) == 0 ? 0 : -errno;
}

/* --- arguments --- */

/* "S5" stands for S5 and its variants S5b and so on. */
static bool filter_fits(const char *filter, const char *id)
{
    size_t size = strlen(filter);
    return strncmp(filter, id, size) == 0 && !isdigit((unsigned char)id[size]);
}

/* A case is selected when one of its rows is. */
static bool selected(const struct bench_case *bench, bool *used)
{
    bool any = options.filters_count == 0;
    for (size_t f = 0; f < options.filters_count; f++)
        for (size_t row = 0; row < bench->rows_count; row++)
            if (filter_fits(options.filters[f], bench->rows[row].id))
                any = used[f] = true;
    return any;
}

/* Options and rows may be mixed. */
static bool parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *end = NULL;
        if (argv[i][0] != '-') {
            if (options.filters_count == FILTERS_MAX)
                return false;
            options.filters[options.filters_count++] = argv[i];
        } else if (strcmp(argv[i], "--list") == 0) {
            options.list = true;
        } else if (strcmp(argv[i], "--json") == 0 && i + 1 < argc) {
            options.json = argv[++i];
        } else if (strcmp(argv[i], "--reps") == 0 && i + 1 < argc) {
            unsigned long reps = strtoul(argv[++i], &end, 10);
            if (*end != '\0' || reps < 1 || reps > BENCH_REPS_MAX)
                return false;
            options.reps = (unsigned)reps;
        } else {
            return false;
        }
    }
    return true;
}

/* The selected cases. False: a filter selects nothing. */
static bool select_cases(struct result *results, size_t *count,
                         const struct bench_group *const *groups, size_t groups_count)
{
    bool used[FILTERS_MAX] = {false};
    for (size_t g = 0; g < groups_count; g++)
        for (size_t i = 0; i < groups[g]->cases_count; i++) {
            const struct bench_case *bench = &groups[g]->cases[i];
            ASSERT(bench->rows_count <= BENCH_CASE_ROWS_MAX && *count < BENCH_CASES_MAX);
            if (selected(bench, used))
                results[(*count)++].bench = bench;
        }
    for (size_t f = 0; f < options.filters_count; f++)
        if (!used[f]) {
            fprintf(stderr, "bench_%s: no row %s; see --list\n", options.suite, options.filters[f]);
            return false;
        }
    return true;
}

int bench_main(int argc, char **argv, const char *suite, const struct bench_group *const *groups,
               size_t groups_count)
{
    static struct result results[BENCH_CASES_MAX];
    char json[64];
    size_t count = 0, missing;
    snprintf(json, sizeof json, "build/bench/%s.json", suite);
    options.suite = suite;
    options.json = json;
    options.reps = BENCH_REPS_MIN;
    if (!parse(argc, argv)) {
        fprintf(stderr, "usage: bench_%s [--list] [--json PATH] [--reps 1..%u] [ROW...]\n", suite,
                BENCH_REPS_MAX);
        return 2;
    }
    if (!select_cases(results, &count, groups, groups_count))
        return 2;
    if (options.list) {
        for (size_t i = 0; i < count; i++)
            for (size_t row = 0; row < results[i].bench->rows_count; row++)
                printf("%-4s %s\n", results[i].bench->rows[row].id,
                       results[i].bench->rows[row].name);
        return 0;
    }
    measure_all(results, count);
    missing = print_table(results, count);
    int error = write_json(results, count);
    if (error < 0)
        fprintf(stderr, "bench_%s: %s: %s\n", suite, options.json, strerror(-error));
    return missing > 0 || error < 0;
}
