/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * async_write - a console whose writes need no answer: the guest does not wait while the plugin prints.
 *
 *     plugvm run --stdout inherit -- async_write
 *
 * The writes come in their order, and before whatever this vCPU does afterwards, so that at the event for the done
 * port all of them are there.
 */
#include <crosvm.h>
#include <stdio.h>
#include <string.h>

#include "example.h"

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

static void set_entry(struct crosvm_vcpu *vcpu)
{
	struct kvm_sregs sregs;
	check(crosvm_vcpu_get_sregs(vcpu, &sregs), "get the segment registers");
	sregs.cs.selector = 0;
	sregs.cs.base = 0;
	check(crosvm_vcpu_set_sregs(vcpu, &sregs), "set the segment registers");

	struct kvm_regs regs = {.rip = LOAD_ADDRESS, .rflags = 0x2};
	check(crosvm_vcpu_set_regs(vcpu, &regs), "set the registers");
}

int main(void)
{
	struct crosvm *vm;
	check(crosvm_connect(&vm), "connect to the host");
	map_guest(vm);
	check(crosvm_reserve_async_write_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, CONSOLE_PORT, 1),
	      "reserve the console");
	check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, DONE_PORT, 1), "reserve the done port");
	check(crosvm_start(vm), "start the machine");

	struct crosvm_vcpu *vcpu;
	check(crosvm_get_vcpu(vm, 0, &vcpu), "find the vCPU");

	unsigned stops = 0, bytes = 0;
	for (;;) {
		struct crosvm_vcpu_event event;
		check(crosvm_vcpu_wait(vcpu, &event), "wait for the vCPU");

		if (event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS && event.io_access.no_resume) {
			/* The vCPU already runs on: the next call for it is a wait again. */
			fwrite(event.io_access.data, 1, event.io_access.length, stdout);
			bytes += event.io_access.length;
			continue;
		}

		if (event.kind == CROSVM_VCPU_EVENT_KIND_INIT) {
			set_entry(vcpu);
		} else {
			stops++;
			if (event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS && event.io_access.address == DONE_PORT)
				break;
		}
		check(crosvm_vcpu_resume(vcpu), "resume the vCPU");
	}

	printf("%u bytes were written, and the vCPU waited for this program %u time%s\n", bytes, stops,
	       stops == 1 ? "" : "s");
	return 0;
}
