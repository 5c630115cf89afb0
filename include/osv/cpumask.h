/* SPDX-License-Identifier: BSD-3-Clause */
/* A set of CPUs. */
#pragma once
#include <osv/bitmap.h>
#include <osv/limits.h>
#include <osv/string.h>
#include <osv/types.h>

struct cpumask {
    uint64_t words[BITMAP_WORDS(CPU_MAX)];
};

static inline struct cpumask cpumask_all(void)
{
    struct cpumask mask;
    memset(&mask, 0xff, sizeof mask);
    return mask;
}

static inline struct cpumask cpumask_of(unsigned cpu)
{
    struct cpumask mask = {{0}};
    bitmap_set(mask.words, cpu);
    return mask;
}

static inline void cpumask_add(struct cpumask *mask, unsigned cpu)
{
    bitmap_set(mask->words, cpu);
}

static inline bool cpumask_has(const struct cpumask *mask, unsigned cpu)
{
    return cpu < CPU_MAX && bitmap_test(mask->words, cpu);
}
