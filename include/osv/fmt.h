/* SPDX-License-Identifier: BSD-3-Clause */
/* Text without libc: printf's formats into a buffer, and numbers out of text.
 * Context: any. No locks, no allocation. */
#pragma once
#include <osv/types.h>
#include <stdarg.h>

/* Writes the text and its NUL to buffer, cut off to size bytes; with size 0 nothing is written and
 * buffer may be NULL. Returns the length of the whole text without NUL: it was cut off when that is
 * >= size. Cannot fail. Knows %d %i %u %x %X %o %c %s %p %%, the flags "-0+ #", width and precision
 * (also *), and the lengths hh h l ll z j t. A NULL %s is "(null)", %p is always 0x and hex digits;
 * a conversion that it does not know appears as it stands. */
size_t fmt_format(char *buffer, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);
size_t fmt_vformat(char *buffer, size_t size, const char *format, va_list args) PRINTF_LIKE(3, 0);

/* Reads an unsigned number: one digit or more, no sign, no blanks. base is 2 to 36, or 0 for
 * decimal unless the text begins with 0x, 0o or 0b. *end becomes the first character behind the
 * number; with end NULL the number must be the whole text. *out and *end are written on success
 * only. -EINVAL: no number here, or something behind it; -ERANGE: it does not fit. */
MUST_CHECK int fmt_parse_u64(const char *text, const char **end, unsigned base, uint64_t *out);

/* The same with an optional sign, '-' or '+'. */
MUST_CHECK int fmt_parse_i64(const char *text, const char **end, unsigned base, int64_t *out);
