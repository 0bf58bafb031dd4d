// Context switch for AArch64, AAPCS64. See switch.hpp.
#if defined(__aarch64__)
        .text
        .globl  runnel_switch
        .type   runnel_switch, %function
        .p2align 4
runnel_switch:
        .cfi_startproc
        stp     x29, x30, [sp, #-160]!
        .cfi_adjust_cfa_offset 160
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        stp     x19, x20, [sp, #16]
        .cfi_rel_offset x19, 16
        .cfi_rel_offset x20, 24
        stp     x21, x22, [sp, #32]
        .cfi_rel_offset x21, 32
        .cfi_rel_offset x22, 40
        stp     x23, x24, [sp, #48]
        .cfi_rel_offset x23, 48
        .cfi_rel_offset x24, 56
        stp     x25, x26, [sp, #64]
        .cfi_rel_offset x25, 64
        .cfi_rel_offset x26, 72
        stp     x27, x28, [sp, #80]
        .cfi_rel_offset x27, 80
        .cfi_rel_offset x28, 88
        stp     d8, d9, [sp, #96]       // of the vector registers, the low halves of v8 to v15 are the callee's to keep
        .cfi_rel_offset d8, 96
        .cfi_rel_offset d9, 104
        stp     d10, d11, [sp, #112]
        .cfi_rel_offset d10, 112
        .cfi_rel_offset d11, 120
        stp     d12, d13, [sp, #128]
        .cfi_rel_offset d12, 128
        .cfi_rel_offset d13, 136
        stp     d14, d15, [sp, #144]
        .cfi_rel_offset d14, 144
        .cfi_rel_offset d15, 152
        // Both stacks have the same layout here, so the unwind rules above hold on either side of the swap.
        mov     x9, sp
        stlr    x9, [x0]                // release: publishes the whole saved frame
        mov     sp, x1
        ldp     d14, d15, [sp, #144]
        ldp     d12, d13, [sp, #128]
        ldp     d10, d11, [sp, #112]
        ldp     d8, d9, [sp, #96]
        ldp     x27, x28, [sp, #80]
        ldp     x25, x26, [sp, #64]
        ldp     x23, x24, [sp, #48]
        ldp     x21, x22, [sp, #32]
        ldp     x19, x20, [sp, #16]
        ldp     x29, x30, [sp], #160
        .cfi_adjust_cfa_offset -160
        .cfi_restore x29
        .cfi_restore x30
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore d8
        .cfi_restore d9
        .cfi_restore d10
        .cfi_restore d11
        .cfi_restore d12
        .cfi_restore d13
        .cfi_restore d14
        .cfi_restore d15
        br      x30                     // not ret: its prediction would be that of the other stack
        .cfi_endproc
        .size   runnel_switch, . - runnel_switch

        .globl  runnel_fiber_start
        .type   runnel_fiber_start, %function
        .p2align 4
runnel_fiber_start:
        .cfi_startproc
        .cfi_undefined x30              // the outermost frame: unwinding and back-traces end here
        mov     x0, x19
        mov     x29, xzr
        mov     x30, xzr
        bl      runnel_fiber_main
        brk     #1
        .cfi_endproc
        .size   runnel_fiber_start, . - runnel_fiber_start
#endif
        .section .note.GNU-stack,"",%progbits
