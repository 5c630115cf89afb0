/* SPDX-License-Identifier: BSD-3-Clause */
#include <osv/log.h>
#include <osv/cpu.h>
#include <osv/fmt.h>
#include <osv/limits.h>
#include <stdarg.h>

enum log_level log_threshold = LOG_WARN;

void log_write(enum log_level level, const char *format, ...)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    if (level > log_threshold)
        return;
    char line[LOG_LINE_MAX];
    uint64_t now_us = hal_time_ns() / NSEC_PER_USEC;
    struct task *self = task_self();
    size_t used = fmt_format(line, sizeof line - 1,
                             "[%6llu.%06llu cpu%u] %s: ", (unsigned long long)(now_us / 1000000),
                             (unsigned long long)(now_us % 1000000),
                             self && self->cpu ? self->cpu->id : 0, names[level]);
    va_list args;
    va_start(args, format);
    size_t body = fmt_vformat(line + used, sizeof line - 1 - used, format, args);
    va_end(args);
    size_t size = MIN(used + body, sizeof line - 2);
    line[size] = '\n';
    hal_console_write(line, size + 1); /* one write a line keeps lines whole without a lock */
}
