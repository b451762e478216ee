/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dirty_log - which pages did the guest write? A display asks this of its frame buffer, to redraw no more than has
 * changed; a snapshot asks it of the whole memory.
 *
 *     plugvm run --stdout inherit -- dirty_log
 *
 * Asking also begins a new round: each answer has what was written since the one before. Only the guest's writes
 * count, not the plugin's own.
 */
#include <crosvm.h>
#include <stdio.h>
#include <string.h>

#include "example.h"

#define PAGE_SIZE    4096ul
#define LOAD_ADDRESS 0x1000
#define CODE_SIZE    PAGE_SIZE
#define ROUND_PORT   0x500
#define ROUNDS       3

/* Memory of its own, because the log is kept for whole pieces of memory. */
#define PICTURE_ADDRESS 0x10000
#define PICTURE_PAGES   16

extern const uint8_t guest_start[], guest_end[];

static void map_code(struct crosvm *vm)
{
	int fd;
	uint8_t *memory = guest_memory_new(CODE_SIZE, &fd);
	memcpy(memory, guest_start, (size_t)(guest_end - guest_start));

	struct crosvm_memory *code;
	check(crosvm_create_memory(vm, fd, 0, CODE_SIZE, LOAD_ADDRESS, false, false, &code),
	      "give the guest its code");
}

static struct crosvm_memory *map_picture(struct crosvm *vm)
{
	int fd;
	guest_memory_new(PICTURE_PAGES * PAGE_SIZE, &fd);

	struct crosvm_memory *picture;
	bool dirty_log = true;
	check(crosvm_create_memory(vm, fd, 0, PICTURE_PAGES * PAGE_SIZE, PICTURE_ADDRESS, false, dirty_log,
	                           &picture),
	      "give the guest its picture");
	return picture;
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

static void print_dirty_pages(struct crosvm *vm, struct crosvm_memory *picture, int round)
{
	/* A bit for each page, the first page in the lowest bit of the first byte. */
	uint8_t log[PICTURE_PAGES / 8];
	check(crosvm_memory_get_dirty_log(vm, picture, log), "get the dirty log");

	const char *separator = "pages";
	printf("round %d: ", round);
	for (unsigned page = 0; page < PICTURE_PAGES; page++) {
		if (log[page / 8] & (1u << page % 8)) {
			printf("%s %u", separator, page);
			separator = "";
		}
	}
	puts(*separator ? "no page" : "");
}

int main(void)
{
	struct crosvm *vm;
	check(crosvm_connect(&vm), "connect to the host");
	map_code(vm);
	struct crosvm_memory *picture = map_picture(vm);
	check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, ROUND_PORT, 1), "reserve the port");
	check(crosvm_start(vm), "start the machine");

	struct crosvm_vcpu *vcpu;
	check(crosvm_get_vcpu(vm, 0, &vcpu), "find the vCPU");

	int round = 0;
	for (;;) {
		struct crosvm_vcpu_event event;
		check(crosvm_vcpu_wait(vcpu, &event), "wait for the vCPU");

		if (event.kind == CROSVM_VCPU_EVENT_KIND_INIT) {
			set_entry(vcpu);
		} else if (event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS) {
			/* The vCPU stands still; a vCPU that runs may dirty a page right after the answer. */
			print_dirty_pages(vm, picture, ++round);
			if (round == ROUNDS)
				return 0;
		}
		check(crosvm_vcpu_resume(vcpu), "resume the vCPU");
	}
}
