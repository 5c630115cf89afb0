/* SPDX-License-Identifier: BSD-3-Clause */
/* The host's harness: every test case is a CMocka test. A program takes an optional part of a
 * case's name. Kernel cases are booted by test_kernel_run(), which kernel_host.c supplies to the
 * programs that link the core. */
#include "harness.h"
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if OSV_HAVE_CMOCKA
#include <cmocka.h>
#endif

static jmp_buf failed; /* where a failing plain test goes back to */

int __attribute__((weak)) test_kernel_run(const struct test_case *test)
{
    fprintf(stderr, "%s: this program does not link the core\n", test->name);
    return 1;
}

bool __attribute__((weak)) test_in_kernel(void)
{
    return false;
}

void __attribute__((weak, noreturn)) test_kernel_stop(void)
{
    abort();
}

void test_fail(const char *file, int line, const char *what, long long left, long long right)
{
    char text[512];
    int size = left == 0 && right == 0
                   ? snprintf(text, sizeof text, "%s:%d: check failed: %s\n", file, line, what)
                   : snprintf(text, sizeof text, "%s:%d: check failed: %s (%lld, %lld)\n", file,
                              line, what, left, right);
    test_write(text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
    if (test_in_kernel())
        test_kernel_stop();
    longjmp(failed, 1);
}

void test_note(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text - 1, format, args);
    va_end(args);
    if (size < 0)
        return;
    size_t length = (size_t)size < sizeof text - 1 ? (size_t)size : sizeof text - 2;
    text[length] = '\n';
    test_write(text, length + 1);
}

size_t test_scaled(size_t count)
{
    const char *scale = getenv("OSV_TEST_SCALE");
    double factor = scale ? atof(scale) : OSV_TEST_SCALE_DEFAULT;
    double scaled = (double)count * (factor > 0 ? factor : 1);
    return scaled < 1 ? 1 : (size_t)scaled;
}

uint64_t test_cpu_ns(void)
{
    struct timespec had;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &had);
    return (uint64_t)had.tv_sec * NSEC_PER_SEC + (uint64_t)had.tv_nsec;
}

unsigned test_machine_cpus(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static int run_one(const struct test_case *test)
{
    if (test->cpus > 0)
        return test_kernel_run(test);
    if (setjmp(failed))
        return 1;
    test->run();
    return 0;
}

#if OSV_HAVE_CMOCKA
static void run_in_cmocka(void **state)
{
    assert_int_equal(run_one(*state), 0);
}

static int run_all(const char *filter)
{
    struct CMUnitTest *tests = calloc(test_cases_count, sizeof *tests);
    size_t count = 0;
    if (!tests)
        return 1;
    for (size_t i = 0; i < test_cases_count; i++)
        if (!filter || strstr(test_cases[i].name, filter))
            tests[count++] = (struct CMUnitTest){test_cases[i].name, run_in_cmocka, NULL, NULL,
                                                 (void *)(uintptr_t)&test_cases[i]};
    int status = _cmocka_run_group_tests("osv", tests, count, NULL, NULL);
    free(tests);
    return count == 0 || status != 0;
}
#else
static int run_all(const char *filter)
{
    size_t passed = 0, failures = 0;
    for (size_t i = 0; i < test_cases_count; i++) {
        if (filter && !strstr(test_cases[i].name, filter))
            continue;
        int status = run_one(&test_cases[i]);
        printf("[ %s ] %s\n", status ? "FAILED" : "  OK  ", test_cases[i].name);
        fflush(stdout);
        status ? failures++ : passed++;
    }
    printf("%zu passed, %zu failed\n", passed, failures);
    return failures != 0 || passed == 0;
}
#endif

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    return run_all(argc > 1 ? argv[1] : NULL);
}
