/* SPDX-License-Identifier: BSD-3-Clause */
/* struct hal_ctx *host_self_get(void); void host_self_set(struct hal_ctx *): see host_self.h. */
        .text
        .p2align 4
        .globl  host_self_get
        .type   host_self_get, %function
host_self_get:
        mrs     x0, tpidr_el0
        adrp    x1, :gottprel:host_self
        ldr     x1, [x1, :gottprel_lo12:host_self]
        ldr     x0, [x0, x1]
        .globl  host_self_get_end
host_self_get_end:
        ret
        .size   host_self_get, . - host_self_get

        .globl  host_self_set
        .type   host_self_set, %function
host_self_set:
        mrs     x1, tpidr_el0
        adrp    x2, :gottprel:host_self
        ldr     x2, [x2, :gottprel_lo12:host_self]
        str     x0, [x1, x2]
        ret
        .size   host_self_set, . - host_self_set
        .section .note.GNU-stack, "", %progbits
