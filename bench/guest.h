/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest of the exit benchmarks (guest.asm), the same under every host.
 */
#ifndef PLUGVM_BENCH_GUEST_H
#define PLUGVM_BENCH_GUEST_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_PORT         0x200
#define GUEST_LOAD_ADDRESS 0x1000
#define GUEST_MEMORY_SIZE  0x1000

/* Make a memfd, sealed against shrinking, that holds the guest's code. Ends the program on failure. */
int guest_memory_new(void);

/* Turn the registers of a CPU after reset into those of one that begins the guest. */
void guest_set_entry(struct kvm_sregs *sregs, struct kvm_regs *out_regs);

#endif
