/* SPDX-License-Identifier: BSD-3-Clause */
/* Boots the core for one test case, in a child process: every case starts from the same state, and
 * a case that must panic may. The child's output goes on to standard error. */
#include "harness.h"
#include <osv/hal.h>
#include <osv/run.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAILED 1
#define OUTPUT_MAX 65536

#if HAL_HOST_ASAN
/* A context may end its wait on another pthread; the alternate stack that belongs to one would
 * follow it. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "use_sigaltstack=0:detect_stack_use_after_return=0:detect_leaks=0";
}
#endif
#if HAL_HOST_TSAN
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "use_sigaltstack=0:halt_on_error=1:atexit_sleep_ms=50:symbolize=0";
}
#endif

bool test_in_kernel(void)
{
    return hal_ctx_self() != NULL;
}

void test_kernel_stop(void)
{
    hal_shutdown(HAL_SHUTDOWN_EXIT, FAILED);
}

static int program(void *arg)
{
    const struct test_case *test = arg;
    test->run();
    return 0;
}

static _Noreturn void child(const struct test_case *test, int output)
{
    struct osv_run_options options = {.cpus = test->cpus,
                                      .memory_bytes = (size_t)test->memory_mib << 20};
    if (dup2(output, 2) < 0)
        _exit(FAILED);
    int status = osv_run(&options, program, (void *)(uintptr_t)test);
    if (status < 0)
        fprintf(stderr, "osv_run: error %d\n", -status);
    _exit(status == 0 ? 0 : FAILED);
}

/* Passes on what the child writes and keeps the first part of it. */
static void relay(int input, char *text, bool quiet)
{
    size_t used = 0;
    char buffer[4096];
    for (ssize_t size; (size = read(input, buffer, sizeof buffer)) > 0;) {
        if (!quiet)
            test_write(buffer, (size_t)size);
        size_t part = MIN((size_t)size, OUTPUT_MAX - 1 - used);
        memcpy(text + used, buffer, part);
        used += part;
    }
    text[used] = '\0';
}

int test_kernel_run(const struct test_case *test)
{
    static char text[OUTPUT_MAX];
    int output[2], status = 0;
    fflush(NULL);
    if (pipe(output) != 0)
        return FAILED;
    pid_t pid = fork();
    if (pid < 0)
        return FAILED;
    if (pid == 0) {
        close(output[0]);
        child(test, output[1]);
    }
    close(output[1]);
    relay(output[0], text, test->panics != NULL);
    close(output[0]);
    waitpid(pid, &status, 0);
    if (!test->panics)
        return status != 0;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(text, "osv panic: ") &&
        strstr(text, test->panics))
        return 0;
    fprintf(stderr, "expected a panic with '%s', got status 0x%x and:\n%s\n", test->panics,
            (unsigned)status, text);
    return FAILED;
}
