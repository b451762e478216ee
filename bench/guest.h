/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest of the exit benchmarks (guest.asm), the same under every host.
 */
#ifndef PLUGVM_BENCH_GUEST_H
#define PLUGVM_BENCH_GUEST_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

/* Each vCPU writes to this many ports, the first to those from GUEST_PORT on, in an order that is all over them. */
#define GUEST_PORT  0x1000
#define GUEST_PORTS 30000
#define GUEST_STEP  1009

/* The other guest writes so often to GUEST_PORT, which nobody may answer, and then once to the port after it. */
#define GUEST_POSTED 500 /* BLOCK_EVENTS */

#define GUEST_LOAD_ADDRESS 0x1000
#define GUEST_MEMORY_SIZE  0x1000

/* Make a memfd, sealed against shrinking, that holds the guest's code. Ends the program on failure. */
int guest_memory_new(void);

/* Turn the registers of a CPU after reset into those of vCPU `cpu` that begins the guest. */
void guest_set_entry(struct kvm_sregs *sregs, struct kvm_regs *out_regs, unsigned int cpu);

/* The same for the other guest, which has one vCPU. */
void guest_set_posted_entry(struct kvm_sregs *sregs, struct kvm_regs *out_regs);

/* What a byte on the plugin's stdin orders: a block of this. */
#define ORDER_EXITS           'x' /* exits, which the plugin answers */
#define ORDER_EXITS_FOR       't' /* exits for WINDOW_NS: their number, 8 bytes, comes back */
#define ORDER_SET_IRQ         'i' /* requests on the main connection */
#define ORDER_IRQ_EVENT       'q' /* an interrupt by its eventfd */
#define ORDER_CHECK_EXTENSION 'e'
#define ORDER_RESERVE         'r' /* a reservation and its release */

/* How long the exits of a whole machine are counted. */
#define WINDOW_NS 100000000

#endif
