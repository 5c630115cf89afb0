/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel's log and the end of the kernel. Lines go to the console whole, with time and CPU in
 * front. */
#pragma once
#include <osv/types.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

extern enum log_level log_threshold; /* lines above it are dropped; set at boot */

/* Context: any. A line longer than LOG_LINE_MAX is cut. */
void log_write(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) (log_threshold >= LOG_WARN ? log_write(LOG_WARN, __VA_ARGS__) : (void)0)
#define log_info(...) (log_threshold >= LOG_INFO ? log_write(LOG_INFO, __VA_ARGS__) : (void)0)
#define log_debug(...) (log_threshold >= LOG_DEBUG ? log_write(LOG_DEBUG, __VA_ARGS__) : (void)0)

/* Prints the message, the CPU, the thread and a symbolised backtrace, and ends the machine as
 * broken. Context: any. A panic inside a panic prints only its message. */
_Noreturn COLD void panic(const char *format, ...) PRINTF_LIKE(1, 2);

/* Registered by the scheduler: the name of the running thread. */
void panic_set_thread_name(const char *(*name)(void));

/* Prints one line a frame, symbolised, innermost first. NULL: of the caller. Context: any. */
struct hal_ctx;
void backtrace_print(const struct hal_ctx *ctx);

/* Makes assertions end in panic(). Boot only. */
void panic_init(void);
