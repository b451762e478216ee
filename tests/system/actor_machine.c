/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The machine that the actor's acts run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "actor.h"

GUEST_DECLARE(script);

#define PAGE_TABLES 0x8000 /* the root, one table below it, four below that: each maps 1 GiB in 2 MiB pages */

int memory_file(size_t size)
{
	int fd = memfd_create("guest memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	expect(fd >= 0);
	expect(ftruncate(fd, (off_t)size) == 0);
	expect(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	return fd;
}

static uint8_t *add_memory(struct crosvm *vm, uint64_t start, size_t size, bool read_only,
                           struct crosvm_memory **out_memory)
{
	int fd = memory_file(size);
	uint8_t *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	expect(bytes != MAP_FAILED);
	expect_result(crosvm_create_memory(vm, fd, 0, size, start, read_only, false, out_memory), 0);
	close(fd);
	return bytes;
}

void machine_add_memory(struct machine *machine, uint64_t start, size_t size, bool read_only)
{
	machine->extra_bytes = add_memory(machine->vm, start, size, read_only, &machine->extra);
}

/* Map the first 4 GiB to themselves. */
static void write_page_tables(uint8_t *memory)
{
	uint64_t *tables = (uint64_t *)(memory + PAGE_TABLES);
	const uint64_t entries = PAGE / sizeof(uint64_t);
	tables[0] = (PAGE_TABLES + PAGE) | 0x3; /* present, writable */
	for (uint64_t gib = 0; gib < 4; gib++) {
		tables[entries + gib] = (PAGE_TABLES + (2 + gib) * PAGE) | 0x3;
		for (uint64_t i = 0; i < entries; i++)
			tables[(2 + gib) * entries + i] = (gib * entries + i) << 21 | 0x83; /* a large page */
	}
}

void machine_init(struct machine *machine, const struct guest *guest)
{
	struct crosvm_memory *memory;
	memset(machine, 0, sizeof(*machine));
	expect_result(crosvm_connect(&machine->vm), 0);
	machine->memory = add_memory(machine->vm, 0, MEMORY_BYTES, false, &memory);
	memcpy(machine->memory + LOAD_ADDRESS, guest->begin, (size_t)(guest->end - guest->begin));
	write_page_tables(machine->memory);
	expect_result(crosvm_reserve_range(machine->vm, PORT, REPORT_PORT, 4), 0);
	expect_result(crosvm_reserve_range(machine->vm, PORT, DONE_PORT, 1), 0);
}

void script_init(struct machine *machine, const struct step *steps, size_t count)
{
	/* A step of zeros must follow. */
	expect((count + 1) * sizeof(*steps) <= PAGE_TABLES - BUFFER);
	machine_init(machine, &GUEST_64(script));
	if (count > 0)
		memcpy(machine->memory + BUFFER, steps, count * sizeof(*steps));
}

void machine_start(struct machine *machine)
{
	expect_result(crosvm_start(machine->vm), 0);
	expect_result(crosvm_get_vcpu(machine->vm, 0, &machine->vcpu), 0);
}

void machine_wait(struct machine *machine)
{
	expect_result(crosvm_vcpu_wait(machine->vcpu, &machine->event), 0);
}

void machine_resume(struct machine *machine)
{
	expect_result(crosvm_vcpu_resume(machine->vcpu), 0);
}

static void set_long_mode(struct kvm_sregs *sregs)
{
	struct kvm_segment code = {
	    .limit = 0xffffffff,
	    .selector = 0x08,
	    .type = 0xb, /* code: execute, read, accessed */
	    .present = 1,
	    .s = 1,
	    .l = 1,
	    .g = 1,
	};
	struct kvm_segment data = code;
	data.selector = 0x10;
	data.type = 0x3; /* data: read, write, accessed */
	data.l = 0;
	data.db = 1;
	sregs->cs = code;
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	sregs->cr3 = PAGE_TABLES;
	sregs->cr4 |= 0x20;       /* physical address extension */
	sregs->cr0 |= 0x80000001; /* paging, protection */
	sregs->efer |= 0x500;     /* long mode enabled and active */
}

void machine_enter(struct crosvm_vcpu *vcpu, enum mode mode)
{
	struct kvm_sregs sregs;
	expect_result(crosvm_vcpu_get_sregs(vcpu, &sregs), 0);
	sregs.cs.selector = 0;
	sregs.cs.base = 0;
	if (mode == LONG_MODE)
		set_long_mode(&sregs);
	expect_result(crosvm_vcpu_set_sregs(vcpu, &sregs), 0);
	struct kvm_regs regs = {.rip = LOAD_ADDRESS, .rflags = 0x2};
	expect_result(crosvm_vcpu_set_regs(vcpu, &regs), 0);
}

void machine_enable_sse(struct crosvm_vcpu *vcpu)
{
	struct kvm_sregs sregs;
	expect_result(crosvm_vcpu_get_sregs(vcpu, &sregs), 0);
	sregs.cr4 |= 0x200; /* operating system support for FXSAVE and SSE */
	expect_result(crosvm_vcpu_set_sregs(vcpu, &sregs), 0);
}

void machine_boot_interrupts(struct machine *machine)
{
	machine_start(machine);
	machine_wait(machine);
	machine_enter(machine->vcpu, REAL_MODE);
	struct kvm_sregs sregs;
	expect_result(crosvm_vcpu_get_sregs(machine->vcpu, &sregs), 0);
	sregs.es.base = LAPIC_ADDRESS;
	expect_result(crosvm_vcpu_set_sregs(machine->vcpu, &sregs), 0);
	machine_resume(machine);
}

void machine_boot(struct machine *machine, enum mode mode)
{
	machine_wait(machine);
	expect(machine->event.kind == CROSVM_VCPU_EVENT_KIND_INIT);
	machine_enter(machine->vcpu, mode);
	machine_resume(machine);
}

static bool event_is(const struct crosvm_vcpu_event *event, const struct access *access)
{
	return event->kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS &&
	       event->io_access.address_space == access->space && event->io_access.address == access->address &&
	       event->io_access.length == access->length && event->io_access.is_write == access->is_write &&
	       (!access->is_write || memcmp(event->io_access.data, &access->value, access->length) == 0);
}

static void print_event(const struct crosvm_vcpu_event *event)
{
	uint64_t value = 0;
	if (event->kind != CROSVM_VCPU_EVENT_KIND_IO_ACCESS) {
		fprintf(stderr, "event of kind %u\n", event->kind);
		return;
	}
	memcpy(&value, event->io_access.data, event->io_access.length < 8 ? event->io_access.length : 8);
	fprintf(stderr, "%s %s of %u bytes at 0x%llx: 0x%llx\n",
	        event->io_access.address_space == MMIO ? "MMIO" : "port",
	        event->io_access.is_write ? "write" : "read", event->io_access.length,
	        (unsigned long long)event->io_access.address, (unsigned long long)value);
}

static void take_access(struct machine *machine, const struct access *access, size_t index)
{
	static const uint8_t zeros[8];
	machine_wait(machine);
	struct crosvm_vcpu_event *event = &machine->event;
	if (!event_is(event, access)) {
		fprintf(stderr, "access %zu is not the expected one, but: ", index);
		print_event(event);
		exit(1);
	}
	expect(!event->io_access.no_resume);
	if (!access->is_write) {
		expect(memcmp(event->io_access.data, zeros, access->length) == 0);
		memcpy(event->io_access.data, &access->value, access->length);
	}
	if (access->then)
		access->then(machine);
	machine_resume(machine);
}

void machine_take(struct machine *machine, const struct access *accesses, size_t count)
{
	for (size_t i = 0; i < count; i++)
		take_access(machine, &accesses[i], i);
}

void machine_expect(struct machine *machine, const struct access *accesses, size_t count)
{
	machine_take(machine, accesses, count);
	machine_wait(machine);
	if (machine->event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS &&
	    machine->event.io_access.address == DONE_PORT)
		return;
	fprintf(stderr, "after %zu accesses, an unexpected one: ", count);
	print_event(&machine->event);
	exit(1);
}
