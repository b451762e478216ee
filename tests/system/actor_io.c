/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts that watch what a guest does to ports and memory. Each has its guest in guests.asm.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actor.h"

GUEST_DECLARE(port_widths);
GUEST_DECLARE(mmio_widths);
GUEST_DECLARE(unclaimed);
GUEST_DECLARE(reserve);
GUEST_DECLARE(edges);
GUEST_DECLARE(memory);
GUEST_DECLARE(read_only);
GUEST_DECLARE(strings);

struct reservation {
	uint32_t space;
	uint64_t start;
	uint64_t length;
};

static void reserve_all(struct machine *machine, const struct reservation *reservations, size_t count)
{
	for (size_t i = 0; i < count; i++)
		expect_result(crosvm_reserve_range(machine->vm, reservations[i].space, reservations[i].start,
		                                   reservations[i].length),
		              0);
}

/* Run a guest whose accesses are known. */
static int run_guest(const struct guest *guest, const struct reservation *reservations, size_t reservation_count,
                     const struct access *accesses, size_t access_count)
{
	struct machine machine;
	machine_init(&machine, guest);
	reserve_all(&machine, reservations, reservation_count);
	machine_start(&machine);
	machine_boot(&machine, guest->mode);
	machine_expect(&machine, accesses, access_count);
	return 0;
}

static int port_widths(char **arguments)
{
	(void)arguments;
	static const struct reservation reservations[] = {{PORT, DEVICE_PORT, 4}};
	static const struct access accesses[] = {
	    WRITES(PORT, DEVICE_PORT, 1, 0x11),
	    WRITES(PORT, DEVICE_PORT, 2, 0x2211),
	    WRITES(PORT, DEVICE_PORT, 4, 0x44332211),
	    READS(PORT, DEVICE_PORT, 1, 0xa1),
	    REPORTS(0xffffffa1),
	    READS(PORT, DEVICE_PORT, 2, 0xb2a1),
	    REPORTS(0xffffb2a1),
	    READS(PORT, DEVICE_PORT, 4, 0xd4c3b2a1),
	    REPORTS(0xd4c3b2a1),
	};
	return run_guest(&GUEST(port_widths), reservations, COUNT(reservations), accesses, COUNT(accesses));
}

static int mmio_widths(char **arguments)
{
	(void)arguments;
	static const struct reservation reservations[] = {{MMIO, WIDE_ADDRESS, 16}};
	static const struct access accesses[] = {
	    WRITES(MMIO, WIDE_ADDRESS, 1, 0x11),
	    WRITES(MMIO, WIDE_ADDRESS, 2, 0x2211),
	    WRITES(MMIO, WIDE_ADDRESS, 4, 0x44332211),
	    WRITES(MMIO, WIDE_ADDRESS, 8, 0x8877665544332211),
	    READS(MMIO, WIDE_ADDRESS, 1, 0xa1),
	    WRITES(MMIO, WIDE_ADDRESS + 8, 8, 0xffffffffffffffa1),
	    READS(MMIO, WIDE_ADDRESS, 2, 0xb2a1),
	    WRITES(MMIO, WIDE_ADDRESS + 8, 8, 0xffffffffffffb2a1),
	    READS(MMIO, WIDE_ADDRESS, 4, 0xd4c3b2a1),
	    WRITES(MMIO, WIDE_ADDRESS + 8, 8, 0xd4c3b2a1), /* a 32-bit load clears the upper half */
	    READS(MMIO, WIDE_ADDRESS, 8, 0x18f7e6d5d4c3b2a1),
	    WRITES(MMIO, WIDE_ADDRESS + 8, 8, 0x18f7e6d5d4c3b2a1),
	};
	return run_guest(&GUEST_64(mmio_widths), reservations, COUNT(reservations), accesses, COUNT(accesses));
}

static int unclaimed(char **arguments)
{
	(void)arguments;
	/* The neighbours are reserved: what is between them is nobody's. */
	static const struct reservation reservations[] = {{PORT, DEVICE_PORT - 1, 1},
	                                                  {PORT, DEVICE_PORT + 4, 1},
	                                                  {MMIO, DEVICE_ADDRESS - 1, 1},
	                                                  {MMIO, DEVICE_ADDRESS + 4, 1}};
	static const struct access accesses[] = {REPORTS(0xffffff00), REPORTS(0xffff0000), REPORTS(0), REPORTS(0)};
	return run_guest(&GUEST(unclaimed), reservations, COUNT(reservations), accesses, COUNT(accesses));
}

static void release_device(struct machine *machine)
{
	expect_result(crosvm_reserve_range(machine->vm, PORT, DEVICE_PORT, 0), 0);
}

static void reserve_device(struct machine *machine)
{
	expect_result(crosvm_reserve_range(machine->vm, PORT, DEVICE_PORT, 4), 0);
}

static int reserve_while_running(char **arguments)
{
	(void)arguments;
	static const struct reservation reservations[] = {{PORT, DEVICE_PORT, 4}};
	static const struct access accesses[] = {
	    READS(PORT, DEVICE_PORT, 4, 0x11),
	    REPORTS_THEN(0x11, release_device),
	    REPORTS_THEN(0, reserve_device),
	    READS(PORT, DEVICE_PORT, 4, 0x22),
	    REPORTS(0x22),
	};
	return run_guest(&GUEST(reserve), reservations, COUNT(reservations), accesses, COUNT(accesses));
}

static int edges(char **arguments)
{
	(void)arguments;
	static const struct reservation reservations[] = {
	    {MMIO, DEVICE_ADDRESS + 0x10, 4}, {MMIO, DEVICE_ADDRESS + 0x18, 4}, {PORT, DEVICE_PORT, 4}};
	static const struct access accesses[] = {
	    READS(MMIO, DEVICE_ADDRESS + 0x0e, 4, 0x44332211),
	    REPORTS(0x44332211),
	    WRITES(MMIO, DEVICE_ADDRESS + 0x0e, 4, 0x44332211),
	    READS(MMIO, DEVICE_ADDRESS + 0x12, 4, 0x88776655),
	    REPORTS(0x88776655),
	    WRITES(MMIO, DEVICE_ADDRESS + 0x12, 4, 0x88776655),
	    REPORTS(0),
	    READS(MMIO, DEVICE_ADDRESS + 0x16, 4, 0x1234),
	    REPORTS(0x1234),
	    READS(PORT, DEVICE_PORT - 2, 4, 0xa1b2c3d4),
	    REPORTS(0xa1b2c3d4),
	    READS(PORT, DEVICE_PORT + 2, 4, 0xe5f60718),
	    REPORTS(0xe5f60718),
	};
	return run_guest(&GUEST(edges), reservations, COUNT(reservations), accesses, COUNT(accesses));
}

/* Ranges that end where the address space ends, accesses that cross edges, and one that is wider than an event. */
static int far_edges(char **arguments)
{
	(void)arguments;
	static const struct reservation reservations[] = {
	    {PORT, 0xfff0, 0x10},
	    {MMIO, UINT64_MAX, 1},
	    {MMIO, WIDE_ADDRESS + 0x10, 4},
	    {MMIO, WIDE_ADDRESS + 0x14, 4},
	    {MMIO, WIDE_ADDRESS + 0x20, 16},
	    {MMIO, 0xfffffff0, UINT64_MAX - 0xfffffff0},
	};
	static const struct step steps[] = {
	    STEP(OUT8, 0xffff, 0x11),
	    STEP(IN8, 0xffff, 0),
	    STEP(OUT32, 0xfffc, 0x12),
	    STEP(OUT16, 0xffef, 0x13), /* into it */
	    STEP(OUT8, 0xffef, 0x14),  /* before it */
	    STEP(STORE8, 0xffffffff, 0x15),
	    STEP(STORE32, 0xffffffee, 0x16),
	    STEP(STORE64, WIDE_ADDRESS + 0x10, 0x17), /* both ranges, exactly */
	    STEP(STORE64, WIDE_ADDRESS + 0x0c, 0x18),
	    STEP(STORE32, WIDE_ADDRESS + 0x12, 0x19),
	    STEP(STORE64, WIDE_ADDRESS + 0x17, 0x1a),
	    STEP(STORE64, WIDE_ADDRESS + 0x18, 0x1b), /* none */
	    STEP(STORE64, WIDE_ADDRESS + 0x19, 0x1c),
	    STEP(LOAD64, WIDE_ADDRESS + 0x0d, 0),
	    STEP(STORE128, WIDE_ADDRESS + 0x20, 0),
	    STEP(STORE128, WIDE_ADDRESS + 0x28, 0),
	};
	static const struct access accesses[] = {
	    WRITES(PORT, 0xffff, 1, 0x11),
	    READS(PORT, 0xffff, 1, 0x21),
	    REPORTS(0x21),
	    WRITES(PORT, 0xfffc, 4, 0x12),
	    WRITES(PORT, 0xffef, 2, 0x13),
	    WRITES(MMIO, 0xffffffff, 1, 0x15),
	    WRITES(MMIO, 0xffffffee, 4, 0x16),
	    WRITES(MMIO, WIDE_ADDRESS + 0x10, 8, 0x17),
	    WRITES(MMIO, WIDE_ADDRESS + 0x0c, 8, 0x18),
	    WRITES(MMIO, WIDE_ADDRESS + 0x12, 4, 0x19),
	    WRITES(MMIO, WIDE_ADDRESS + 0x17, 8, 0x1a),
	    WRITES(MMIO, WIDE_ADDRESS + 0x19, 8, 0x1c),
	    READS(MMIO, WIDE_ADDRESS + 0x0d, 8, 0x8877665544332211),
	    REPORTS(0x44332211),
	    REPORTS(0x88776655),
	    WRITES(MMIO, WIDE_ADDRESS + 0x20, 8, 0),
	    WRITES(MMIO, WIDE_ADDRESS + 0x28, 8, 0),
	    WRITES(MMIO, WIDE_ADDRESS + 0x28, 8, 0),
	};
	struct machine machine;
	script_init(&machine, steps, COUNT(steps));
	reserve_all(&machine, reservations, COUNT(reservations));
	expect_result(crosvm_reserve_range(machine.vm, MMIO, WIDE_ADDRESS + 0x10, 4), -EPERM);
	expect_result(crosvm_reserve_range(machine.vm, MMIO, UINT64_MAX, 1), -EPERM);
	machine_start(&machine);
	machine_wait(&machine);
	machine_enter(machine.vcpu, LONG_MODE);
	machine_enable_sse(machine.vcpu);
	machine_resume(&machine);
	machine_expect(&machine, accesses, COUNT(accesses));
	return 0;
}

static void put_memory(struct machine *machine)
{
	machine_add_memory(machine, DEVICE_ADDRESS, PAGE, false);
	memcpy(machine->extra_bytes, "\xed\x5e\0\0", 4);

	struct crosvm_memory *second;
	int fd = memory_file(2 * PAGE);
	expect_result(
	    crosvm_create_memory(machine->vm, fd, 0, 2 * PAGE, DEVICE_ADDRESS - PAGE, false, false, &second),
	    -EEXIST);
	expect_result(crosvm_create_memory(machine->vm, fd, 0, PAGE, DEVICE_ADDRESS + PAGE, false, false, &second),
	              0);
	expect_result(crosvm_destroy_memory(machine->vm, &second), 0);
	expect(second == NULL);
}

static void take_memory(struct machine *machine)
{
	expect(machine->extra_bytes[4] == 0x77);
	expect_result(crosvm_destroy_memory(machine->vm, &machine->extra), 0);
	expect(machine->extra == NULL);
}

static int memory_while_running(char **arguments)
{
	(void)arguments;
	static const struct reservation reservations[] = {{MMIO, DEVICE_ADDRESS, PAGE}};
	static const struct access accesses[] = {
	    READS(MMIO, DEVICE_ADDRESS, 4, 0x11),
	    REPORTS_THEN(0x11, put_memory),
	    REPORTS_THEN(0x5eed, take_memory),
	    READS(MMIO, DEVICE_ADDRESS, 4, 0x22),
	    REPORTS(0x22),
	};
	return run_guest(&GUEST(memory), reservations, COUNT(reservations), accesses, COUNT(accesses));
}

static int read_only_memory(char **arguments)
{
	(void)arguments;
	static const struct access accesses[] = {
	    REPORTS(0xabc), WRITES(MMIO, DEVICE_ADDRESS + 8, 4, 0x1234),
	    REPORTS(0x42), /* it reads what was there before */
	};
	struct machine machine;
	machine_init(&machine, &GUEST(read_only));
	machine_add_memory(&machine, DEVICE_ADDRESS, PAGE, true);
	memcpy(machine.extra_bytes, "\xbc\x0a\0\0\0\0\0\0\x42", 9);
	expect_result(crosvm_reserve_range(machine.vm, MMIO, DEVICE_ADDRESS, PAGE), 0);
	machine_start(&machine);
	machine_boot(&machine, REAL_MODE);
	machine_expect(&machine, accesses, COUNT(accesses));
	return 0;
}

/* ---- String instructions ---- */

/* What the device gives and takes back: each byte tells its place, with a period that is no power of two. */
static uint8_t device_byte(size_t index)
{
	return (uint8_t)(index % 251);
}

/* Take one direction's events until all bytes have passed. */
static void take_string(struct machine *machine, bool is_write, size_t bytes, const char *name)
{
	unsigned events = 0, largest = 0;
	for (size_t passed = 0; passed < bytes; events++) {
		machine_wait(machine);
		expect(machine->event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
		expect(machine->event.io_access.address == DEVICE_PORT);
		expect(machine->event.io_access.is_write == is_write);
		uint8_t *data = machine->event.io_access.data;
		uint32_t length = machine->event.io_access.length;
		expect(length > 0 && length <= bytes - passed);
		for (uint32_t i = 0; i < length; i++) {
			if (is_write)
				expect(data[i] == device_byte(passed + i));
			else
				data[i] = device_byte(passed + i);
		}
		passed += length;
		if (length > largest)
			largest = length;
		machine_resume(machine);
	}
	printf("%s: %zu bytes in %u events of at most %u\n", name, bytes, events, largest);
}

static int strings(char **arguments)
{
	(void)arguments;
	static const char *const names[] = {"insb", "outsb", "insw", "outsw", "insd", "outsd"};
	struct machine machine;
	machine_init(&machine, &GUEST(strings));
	reserve_device(&machine);
	machine_start(&machine);
	machine_wait(&machine);
	machine_enter(machine.vcpu, REAL_MODE);
	struct kvm_regs regs;
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
	regs.rbx = PAGE;
	expect_result(crosvm_vcpu_set_regs(machine.vcpu, &regs), 0);
	machine_resume(&machine);
	for (size_t i = 0; i < COUNT(names); i++)
		take_string(&machine, i % 2, PAGE, names[i]);
	machine_expect(&machine, NULL, 0);
	return 0;
}

const struct act io_acts[] = {
    {"port-widths", port_widths},
    {"mmio-widths", mmio_widths},
    {"unclaimed", unclaimed},
    {"reserve-while-running", reserve_while_running},
    {"edges", edges},
    {"far-edges", far_edges},
    {"memory-while-running", memory_while_running},
    {"read-only-memory", read_only_memory},
    {"strings", strings},
    {NULL, NULL},
};
