/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory and string primitives with their standard meaning (C11 7.24, POSIX strnlen). On the host
 * they are libc's; a bare-metal backend supplies them, because the compiler may emit calls to the
 * first four anywhere. Context: any. None can fail. */
#pragma once
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
void *memchr(const void *data, int byte, size_t size);
size_t strlen(const char *text);
size_t strnlen(const char *text, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t max);
