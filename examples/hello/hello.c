/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hello - the smallest plugin: a machine of one page and one vCPU that prints a line through a port.
 *
 *     plugvm run --stdout inherit -- hello
 *
 * guest.asm is the code that the machine runs.
 */
#include <crosvm.h>
#include <stdio.h>
#include <string.h>

#include "example.h"

/* Guest-physical; in the first 64 KiB, so that real mode reaches it with every segment at 0. */
#define LOAD_ADDRESS 0x1000
#define MEMORY_SIZE  0x1000
#define CONSOLE_PORT 0x3f8
#define DONE_PORT    0x604

extern const uint8_t guest_start[], guest_end[];

static void map_guest(struct crosvm *vm)
{
	int fd;
	uint8_t *memory = guest_memory_new(MEMORY_SIZE, &fd);
	memcpy(memory, guest_start, (size_t)(guest_end - guest_start));

	struct crosvm_memory *ram;
	check(crosvm_create_memory(vm, fd, 0, MEMORY_SIZE, LOAD_ADDRESS, false, false, &ram),
	      "give the guest its memory");
}

/*
 * A vCPU begins as an x86 processor does after a reset: in real mode, 16 bytes below 4 GiB. Only CS:IP has to
 * change to begin somewhere else.
 */
static void set_entry(struct crosvm_vcpu *vcpu)
{
	struct kvm_sregs sregs;
	check(crosvm_vcpu_get_sregs(vcpu, &sregs), "get the segment registers");
	sregs.cs.selector = 0;
	sregs.cs.base = 0;
	check(crosvm_vcpu_set_sregs(vcpu, &sregs), "set the segment registers");

	/* Bit 1 of RFLAGS is always 1. */
	struct kvm_regs regs = {.rip = LOAD_ADDRESS, .rflags = 0x2};
	check(crosvm_vcpu_set_regs(vcpu, &regs), "set the registers");
}

int main(void)
{
	struct crosvm *vm;
	check(crosvm_connect(&vm), "connect to the host");
	map_guest(vm);
	check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, CONSOLE_PORT, 1), "reserve the console");
	check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, DONE_PORT, 1), "reserve the done port");
	check(crosvm_start(vm), "start the machine");

	struct crosvm_vcpu *vcpu;
	check(crosvm_get_vcpu(vm, 0, &vcpu), "find the vCPU");

	for (;;) {
		struct crosvm_vcpu_event event;
		check(crosvm_vcpu_wait(vcpu, &event), "wait for the vCPU");

		if (event.kind == CROSVM_VCPU_EVENT_KIND_INIT) {
			set_entry(vcpu);
		} else if (event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS && event.io_access.is_write) {
			/* When the plugin exits, the machine goes with it. */
			if (event.io_access.address == DONE_PORT)
				return 0;
			putchar(event.io_access.data[0]);
		}

		check(crosvm_vcpu_resume(vcpu), "resume the vCPU");
	}
}
