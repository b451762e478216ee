/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * adder - a device in memory: four registers of 32 bits, of which one answers with the sum of two others.
 *
 *     plugvm run --stdout inherit -- adder
 *
 * guest.asm is the driver. What it reads as the sum it writes to the last register, so that the plugin can see
 * whether its answer arrived.
 */
#include <crosvm.h>
#include <stdio.h>
#include <string.h>

#include "example.h"

#define LOAD_ADDRESS 0x1000
#define MEMORY_SIZE  0x1000

/* Guest-physical, and far above the guest's memory. */
#define ADDER_ADDRESS 0xd0000000
#define ADDER_SIZE    16

enum { LEFT, RIGHT, SUM, RESULT, REGISTER_COUNT };

struct adder {
	uint32_t registers[REGISTER_COUNT];
	bool done;
};

extern const uint8_t guest_start[], guest_end[];

/*
 * A guest may access any address of the range in any size, and may begin before the range or end after it. This
 * device knows whole registers only; the rest has no effect and reads as 0. `data` is in the guest's byte order,
 * which is this processor's too.
 */
static void adder_access(struct adder *adder, uint64_t address, uint8_t *data, uint32_t length, bool is_write)
{
	uint64_t offset = address - ADDER_ADDRESS;
	if (address < ADDER_ADDRESS || offset >= ADDER_SIZE || offset % 4 != 0 || length != 4)
		return;

	uint32_t *registers = adder->registers;
	uint64_t which = offset / 4;
	if (!is_write) {
		memcpy(data, &registers[which], 4);
	} else if (which != SUM) {
		memcpy(&registers[which], data, 4);
		registers[SUM] = registers[LEFT] + registers[RIGHT];
		adder->done = which == RESULT;
	}
}

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
 * Protected mode with every segment covering all 4 GiB. A processor would load these descriptors from a table
 * in memory; here they are put into its hidden registers at once, so the guest needs no table.
 */
static void set_entry(struct crosvm_vcpu *vcpu)
{
	struct kvm_segment code = {
	    .limit = 0xffffffff,
	    .selector = 0x08,
	    .type = 0xb, /* code: execute, read, accessed */
	    .present = 1,
	    .s = 1,  /* no system segment */
	    .db = 1, /* 32 bits */
	    .g = 1,  /* the limit counts pages */
	};
	struct kvm_segment data = code;
	data.selector = 0x10;
	data.type = 0x3; /* data: read, write, accessed */

	struct kvm_sregs sregs;
	check(crosvm_vcpu_get_sregs(vcpu, &sregs), "get the segment registers");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 |= 0x1; /* protection enable */
	check(crosvm_vcpu_set_sregs(vcpu, &sregs), "set the segment registers");

	struct kvm_regs regs = {.rip = LOAD_ADDRESS, .rflags = 0x2};
	check(crosvm_vcpu_set_regs(vcpu, &regs), "set the registers");
}

int main(void)
{
	struct crosvm *vm;
	check(crosvm_connect(&vm), "connect to the host");
	map_guest(vm);
	check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_MMIO, ADDER_ADDRESS, ADDER_SIZE),
	      "reserve the adder's registers");
	check(crosvm_start(vm), "start the machine");

	struct crosvm_vcpu *vcpu;
	check(crosvm_get_vcpu(vm, 0, &vcpu), "find the vCPU");

	struct adder adder = {0};
	for (;;) {
		struct crosvm_vcpu_event event;
		check(crosvm_vcpu_wait(vcpu, &event), "wait for the vCPU");

		if (event.kind == CROSVM_VCPU_EVENT_KIND_INIT)
			set_entry(vcpu);
		else if (event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS)
			adder_access(&adder, event.io_access.address, event.io_access.data, event.io_access.length,
			             event.io_access.is_write);

		if (adder.done)
			break;
		check(crosvm_vcpu_resume(vcpu), "resume the vCPU");
	}

	const uint32_t *registers = adder.registers;
	printf("%u + %u = %u\n", registers[LEFT], registers[RIGHT], registers[RESULT]);
	return registers[RESULT] == registers[SUM] ? 0 : 1;
}
