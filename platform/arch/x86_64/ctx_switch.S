/* SPDX-License-Identifier: BSD-3-Clause */
/* Context switch, x86_64, System V ABI. The save area is one cache line of the context record
 * (struct isa_ctx). It ends with ret, not a jump: the scheduler switches at one call site, so the
 * return stack predicts it, and the returns above it stay balanced. MXCSR and the x87 control word
 * are not touched: kernel code never changes them. */
        .text
        .p2align 6
        .globl  isa_ctx_switch
        .type   isa_ctx_switch, @function
isa_ctx_switch:
        movq    %rbx,  0(%rdi)
        movq    %rbp,  8(%rdi)
        movq    %r12, 16(%rdi)
        movq    %r13, 24(%rdi)
        movq    %r14, 32(%rdi)
        movq    %r15, 40(%rdi)
        movq    %rsp, 48(%rdi)
        movq    48(%rsi), %rsp
        movq     0(%rsi), %rbx
        movq     8(%rsi), %rbp
        movq    16(%rsi), %r12
        movq    24(%rsi), %r13
        movq    32(%rsi), %r14
        movq    40(%rsi), %r15
        ret
        .size   isa_ctx_switch, . - isa_ctx_switch

        .p2align 4
        .globl  isa_ctx_start
        .type   isa_ctx_start, @function
isa_ctx_start:
        xorl    %ebp, %ebp
        pushq   $0              /* ends the frame chain; keeps rsp 16-byte aligned at the call */
        movq    %r12, %rdi
        callq   *%rbx
        ud2
        .size   isa_ctx_start, . - isa_ctx_start
        .section .note.GNU-stack, "", @progbits
