/* SPDX-License-Identifier: BSD-3-Clause */
/* Log lines and panics, as they stand on the console. A case that expects a text of several lines
 * sees by it what came directly before. */
#include "cpu/threads.h"
#include <osv/assert.h>
#include <osv/limits.h>
#include <osv/log.h>
#include <osv/string.h>

static int panic_here(void *arg)
{
    thread_set_name("painter");
    panic("out of %s, %d left", (const char *)arg, 42);
    return 0;
}

static void panic_on_second_cpu(void)
{
    static char what[] = "paint";
    join(start_on(1, panic_here, what));
}

static NOINLINE void inner_function(void)
{
    panic("in a function");
}

static NOINLINE void outer_function(void)
{
    inner_function();
    compiler_barrier();
}

static void panic_in_a_function(void)
{
    outer_function();
    compiler_barrier();
}

static const char *panicking_name(void)
{
    static _Atomic(uint32_t) calls;
    if (atomic_add_relaxed(&calls, 1u) > 0)
        hal_shutdown(HAL_SHUTDOWN_EXIT, 1); /* the second panic must not come this far */
    panic("second");
}

static void panic_in_panic(void)
{
    panic_set_thread_name(panicking_name);
    panic("first");
}

static void panic_in_interrupt(struct ipi_call *call)
{
    (void)call;
    panic("in an interrupt");
}

static void call_that_panics(void)
{
    struct ipi_call call = {.fn = panic_in_interrupt};
    ipi_call(cpu_self(), &call);
    for (;;)
        hal_cpu_relax();
}

static void failing_assertion(void)
{
    volatile int one = 1;
    ASSERT(one + one == 3);
}

static void failing_debug_assertion(void)
{
    volatile int one = 1;
    DASSERT(one + one == 4);
    panic("DASSERT is %s", OSV_DEBUG ? "on" : "off");
}

#define TEN "xxxxxxxxxx"
#define FIFTY TEN TEN TEN TEN TEN
#define TWO_HUNDRED FIFTY FIFTY FIFTY FIFTY

static void long_line(void)
{
    log_error("%s", TWO_HUNDRED FIFTY FIFTY "the end");
    panic("afterwards");
}

static void long_panic(void)
{
    panic("%s", TWO_HUNDRED FIFTY FIFTY "the end");
}

static void line_of_a_cpu(void)
{
    move_to(1);
    log_warn("%d bottles", 99);
    panic("afterwards");
}

static void lines_below_the_threshold(void)
{
    CHECK_EQ(log_threshold, LOG_WARN);
    log_warn("kept");
    log_info("dropped");
    log_debug("dropped");
    log_write(LOG_INFO, "dropped");
    panic("afterwards");
}

static void lines_above_a_raised_threshold(void)
{
    log_threshold = LOG_DEBUG;
    log_debug("kept");
    panic("afterwards");
}

static NOINLINE void print_backtrace(void)
{
    backtrace_print(NULL);
    compiler_barrier();
}

static void backtrace_before_panic(void)
{
    print_backtrace();
    panic_set_thread_name(NULL);
    panic("afterwards");
}

#if !HAL_HOST_ASAN && !HAL_HOST_TSAN
static NOINLINE void write_to(uintptr_t address)
{
    *(volatile uint32_t *)address = 1;
    compiler_barrier();
}

static void write_to_address_8(void)
{
    volatile uintptr_t address = 8;
    write_to(address);
}
#endif

TEST_CASES_BEGIN
    {"a panic prints its message", panic_on_second_cpu, .cpus = 2,
     .panics = "osv panic: out of paint, 42 left\n"},
        {"a panic prints its CPU and thread", panic_on_second_cpu, .cpus = 2,
         .panics = "\non cpu 1, thread 'painter'\n"},
        {"a panic's backtrace names the thread's function", panic_on_second_cpu, .cpus = 2,
         .panics = " panic_here+0x"},
        {"a panic's backtrace names the innermost function", panic_in_a_function, .cpus = 1,
         .panics = " inner_function+0x"},
        {"a panic's backtrace names its caller", panic_in_a_function, .cpus = 1,
         .panics = " outer_function+0x"},
        {"a panic's backtrace names the test", panic_in_a_function, .cpus = 1,
         .panics = " panic_in_a_function+0x"},
        {"a panic inside a panic prints only its message", panic_in_panic, .cpus = 1,
         .panics = "\nosv panic: first\n\nosv panic: second\n"},
        {"a panic in an interrupt", call_that_panics, .cpus = 1,
         .panics = "panic: in an interrupt"},
        {"a panic in an interrupt names the handler", call_that_panics, .cpus = 1,
         .panics = " panic_in_interrupt+0x"},
        {"an assertion prints its expression and place", failing_assertion, .cpus = 1,
         .panics = "osv panic: assertion failed: one + one == 3 ("},
        {"an assertion prints its file", failing_assertion, .cpus = 1, .panics = "test_log.c:"},
#if OSV_DEBUG
        {"a debug assertion", failing_debug_assertion, .cpus = 1,
         .panics = "osv panic: assertion failed: one + one == 4 ("},
#else
        {"a debug assertion that is off", failing_debug_assertion, .cpus = 1,
         .panics = "osv panic: DASSERT is off"},
#endif
        {"a long line is cut", long_line, .cpus = 1,
         .panics = TWO_HUNDRED TEN "x\n\nosv panic: afterwards"},
        {"a long panic is cut", long_panic, .cpus = 1, .panics = "osv panic: " TWO_HUNDRED},
        {"a line has its CPU and level", line_of_a_cpu, .cpus = 2,
         .panics = " cpu1] warning: 99 bottles\n\nosv panic: afterwards"},
        {"lines below the threshold are dropped", lines_below_the_threshold, .cpus = 1,
         .panics = " cpu0] warning: kept\n\nosv panic: afterwards"},
        {"the threshold can be raised", lines_above_a_raised_threshold, .cpus = 1,
         .panics = "] debug: kept\n\nosv panic: afterwards"},
        {"a backtrace names its caller", backtrace_before_panic, .cpus = 1,
         .panics = " print_backtrace+0x"},
#if !HAL_HOST_ASAN && !HAL_HOST_TSAN
        {"a fault is a panic with its address", write_to_address_8, .cpus = 1,
         .panics = "osv panic: bad memory access at address 0x8, by the instruction at 0x"},
        {"a fault names the function", write_to_address_8, .cpus = 1, .panics = "(write_to+0x"},
#endif
TEST_CASES_END
