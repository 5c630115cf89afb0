/* SPDX-License-Identifier: BSD-3-Clause */
/* Full floating-point and vector state, Intel SDM vol. 1 ch. 13: XSAVEOPT of every component the
 * kernel enabled. */
#include <cpuid.h>
#include <osv/hal.h>

size_t hal_fpu_size(void)
{
    unsigned a, size, c, d;
    __cpuid_count(0xd, 0, a, size, c, d);
    return ALIGN_UP((size_t)size, (size_t)64);
}

void hal_fpu_save(struct hal_fpu *to)
{
    __asm__ volatile("xsaveopt64 (%0)" : : "r"(to), "a"(-1), "d"(-1) : "memory");
}

void hal_fpu_load(const struct hal_fpu *from)
{
    __asm__ volatile("xrstor64 (%0)" : : "r"(from), "a"(-1), "d"(-1) : "memory");
}
