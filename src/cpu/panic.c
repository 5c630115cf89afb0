/* SPDX-License-Identifier: BSD-3-Clause */
#include <osv/log.h>
#include <osv/cpu.h>
#include <osv/fmt.h>
#include <osv/limits.h>
#include <stdarg.h>

#define PANIC_STATUS 134 /* as a shell shows SIGABRT */

static _Atomic(uint32_t) panicking;      /* [atomic] CPUs that are in panic() */
static const char *(*thread_name)(void); /* immutable after boot */

void panic_set_thread_name(const char *(*name)(void))
{
    thread_name = name;
}

static void print(const char *format, ...) PRINTF_LIKE(1, 2);
static void print(const char *format, ...)
{
    char line[LOG_LINE_MAX];
    va_list args;
    va_start(args, format);
    size_t size = fmt_vformat(line, sizeof line, format, args);
    va_end(args);
    hal_console_write(line, MIN(size, sizeof line - 1));
}

void backtrace_print(const struct hal_ctx *ctx)
{
    uintptr_t pc[BACKTRACE_MAX];
    size_t count = hal_backtrace(ctx, pc, ARRAY_COUNT(pc));
    for (size_t i = 0; i < count; i++) {
        char name[128];
        hal_symbol(pc[i] - 1, name,
                   sizeof name); /* a return address may be the next function's first */
        print("  #%-2zu 0x%012lx %s\n", i, (unsigned long)pc[i], name);
    }
}

void panic(const char *format, ...)
{
    char message[LOG_LINE_MAX];
    hal_irq_save();
    va_list args;
    va_start(args, format);
    fmt_vformat(message, sizeof message, format, args);
    va_end(args);
    print("\nosv panic: %s\n", message);
    if (atomic_add_relaxed(&panicking, 1u) == 0) {
        struct task *self = task_self();
        print("on cpu %u, thread '%s'\n", self && self->cpu ? self->cpu->id : 0,
              self && thread_name ? thread_name() : "boot");
        backtrace_print(NULL);
    }
    hal_shutdown(HAL_SHUTDOWN_PANIC, PANIC_STATUS);
}

static void on_assert(const char *expression, const char *file, int line)
{
    panic("assertion failed: %s (%s:%d)", expression, file, line);
}

void panic_init(void)
{
    thread_name = NULL;
    assert_set_handler(on_assert);
}
