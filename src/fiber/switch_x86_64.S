// Context switch for x86-64, System V ABI. See switch.hpp.
// Source of the form (pop and indirect jump instead of ret, which a return predictor always mispredicts after a
// change of stacks): measured in docs/internals/fibers.md.
#if defined(__x86_64__)
        .text
        .globl  runnel_switch
        .type   runnel_switch, @function
        .p2align 4
runnel_switch:
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        // Both stacks have the same layout here, so the unwind rules above hold on either side of the swap.
        movq    %rsp, (%rdi)            // a plain store is a release on x86: publishes the whole saved frame
        movq    %rsi, %rsp
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        popq    %rdx
        .cfi_adjust_cfa_offset -8
        .cfi_register %rip, %rdx
        jmpq    *%rdx
        .cfi_endproc
        .size   runnel_switch, . - runnel_switch

        .globl  runnel_fiber_start
        .type   runnel_fiber_start, @function
        .p2align 4
runnel_fiber_start:
        .cfi_startproc
        .cfi_undefined %rip             // the outermost frame: unwinding and back-traces end here
        movq    %r12, %rdi
        xorl    %ebp, %ebp
        callq   runnel_fiber_main
        ud2
        .cfi_endproc
        .size   runnel_fiber_start, . - runnel_fiber_start
#endif
        .section .note.GNU-stack,"",@progbits
