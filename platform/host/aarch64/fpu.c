/* SPDX-License-Identifier: BSD-3-Clause */
/* Full floating-point and vector state: v0 to v31, fpcr, fpsr. */
#include <osv/hal.h>

struct fpu_state {
    uint64_t v[64];
    uint64_t fpcr, fpsr;
};

size_t hal_fpu_size(void)
{
    return ALIGN_UP(sizeof(struct fpu_state), (size_t)64);
}

#define PAIRS(op)                                                                                  \
    op " q0, q1, [%0]\n" op " q2, q3, [%0, #32]\n" op " q4, q5, [%0, #64]\n" op                    \
       " q6, q7, [%0, #96]\n" op " q8, q9, [%0, #128]\n" op " q10, q11, [%0, #160]\n" op           \
       " q12, q13, [%0, #192]\n" op " q14, q15, [%0, #224]\n" op " q16, q17, [%0, #256]\n" op      \
       " q18, q19, [%0, #288]\n" op " q20, q21, [%0, #320]\n" op " q22, q23, [%0, #352]\n" op      \
       " q24, q25, [%0, #384]\n" op " q26, q27, [%0, #416]\n" op " q28, q29, [%0, #448]\n" op      \
       " q30, q31, [%0, #480]\n"

void hal_fpu_save(struct hal_fpu *to)
{
    struct fpu_state *state = (struct fpu_state *)(void *)to;
    uint64_t control, status;
    __asm__ volatile(PAIRS("stp") "mrs %1, fpcr\nmrs %2, fpsr\n"
                     : "+r"(to), "=r"(control), "=r"(status)
                     :
                     : "memory");
    state->fpcr = control;
    state->fpsr = status;
}

void hal_fpu_load(const struct hal_fpu *from)
{
    const struct fpu_state *state = (const struct fpu_state *)(const void *)from;
    __asm__ volatile(PAIRS("ldp") "msr fpcr, %1\nmsr fpsr, %2\n"
                     :
                     : "r"(from), "r"(state->fpcr), "r"(state->fpsr)
                     : "memory");
}
