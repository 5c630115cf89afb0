/* SPDX-License-Identifier: BSD-3-Clause */
/* Context switch, aarch64, AAPCS64. The save area is struct isa_ctx of the context record. */
        .text
        .p2align 6
        .globl  isa_ctx_switch
        .type   isa_ctx_switch, %function
isa_ctx_switch:
        stp     x19, x20, [x0]
        stp     x21, x22, [x0, #16]
        stp     x23, x24, [x0, #32]
        stp     x25, x26, [x0, #48]
        stp     x27, x28, [x0, #64]
        stp     x29, x30, [x0, #80]
        mov     x9, sp
        str     x9, [x0, #96]
        stp     d8, d9, [x0, #112]
        stp     d10, d11, [x0, #128]
        stp     d12, d13, [x0, #144]
        stp     d14, d15, [x0, #160]
        ldp     x19, x20, [x1]
        ldp     x21, x22, [x1, #16]
        ldp     x23, x24, [x1, #32]
        ldp     x25, x26, [x1, #48]
        ldp     x27, x28, [x1, #64]
        ldp     x29, x30, [x1, #80]
        ldr     x9, [x1, #96]
        mov     sp, x9
        ldp     d8, d9, [x1, #112]
        ldp     d10, d11, [x1, #128]
        ldp     d12, d13, [x1, #144]
        ldp     d14, d15, [x1, #160]
        ret
        .size   isa_ctx_switch, . - isa_ctx_switch

        .p2align 4
        .globl  isa_ctx_start
        .type   isa_ctx_start, %function
isa_ctx_start:
        mov     x29, xzr
        mov     x30, xzr
        mov     x0, x20
        blr     x19
        brk     #1
        .size   isa_ctx_start, . - isa_ctx_start
        .section .note.GNU-stack, "", %progbits
