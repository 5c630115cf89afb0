/* SPDX-License-Identifier: BSD-3-Clause */
/* What a test file includes. It defines test functions, lists them in test_cases[] and closes with
 * TEST_CASES_END; the harness of the backend supplies main(). A case with cpus > 0 runs as the
 * first thread of a freshly booted core with that many CPUs; one with cpus == 0 is a plain
 * function. The same source serves every backend. */
#pragma once
#include <osv/types.h>

struct test_case {
    const char *name;
    void (*run)(void);
    unsigned cpus;       /* 0: needs no kernel */
    unsigned memory_mib; /* 0: the harness's default */
    const char *panics;  /* not NULL: the case must end in a panic whose text contains this */
};

extern const struct test_case test_cases[];
extern const size_t test_cases_count;

#define TEST_CASES_BEGIN const struct test_case test_cases[] = {
#define TEST_CASES_END                                                                             \
    }                                                                                              \
    ;                                                                                              \
    const size_t test_cases_count = ARRAY_COUNT(test_cases);

/* Ends the running test as failed. Context: any. */
_Noreturn void test_fail(const char *file, int line, const char *what, long long left,
                         long long right);

/* One line of information, for figures that a test prints. Context: thread. */
void test_note(const char *format, ...) PRINTF_LIKE(1, 2);

/* How much work a stress loop should do: count, less under a sanitizer or emulation, times
 * OSV_TEST_SCALE if set. */
size_t test_scaled(size_t count);

/* The CPU time that the program has had so far, on all CPUs together. Where it grows by less than
 * the time of the CPUs that were busy, the machine gave them to somebody else. */
uint64_t test_cpu_ns(void);
unsigned test_machine_cpus(void); /* those that the program may run on */

#define CHECK(x) (likely(x) ? (void)0 : test_fail(__FILE__, __LINE__, #x, 0, 0))
#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        long long left_ = (long long)(a), right_ = (long long)(b);                                 \
        if (unlikely(left_ != right_))                                                             \
            test_fail(__FILE__, __LINE__, #a " == " #b, left_, right_);                            \
    } while (0)
