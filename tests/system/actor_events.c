/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about ioeventfds: which writes of a guest they take, and which go on as events.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "actor.h"

/* At most so many ioeventfds in one act. */
#define EVENTS_MAX 8

static struct crosvm_io *events[EVENTS_MAX];

/* Add the event and leave its eventfd such that a read of it does not wait. */
static void add(struct machine *machine, size_t index, uint32_t space, uint64_t address, uint32_t length,
                uint64_t match)
{
	expect_result(crosvm_create_io_event(machine->vm, space, address, length,
	                                     length ? (const uint8_t *)&match : NULL, &events[index]),
	              0);
	int fd = crosvm_io_event_fd(events[index]);
	expect(fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
}

/* How often the event came since the last look. */
static uint64_t count_of(size_t index)
{
	uint64_t count;
	return read(crosvm_io_event_fd(events[index]), &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void expect_counts(const uint64_t *counts, size_t size)
{
	for (size_t i = 0; i < size; i++)
		expect_result((long)count_of(i), (long)counts[i]);
}

/* ---- Lengths and values, in both spaces ---- */

static void after_ports(struct machine *machine)
{
	(void)machine;
	expect_counts((const uint64_t[]){3, 1, 1, 1}, 4);
}

static int io_event_ports(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {
	    /* Any length, any value. */
	    STEP(OUT8, DEVICE_PORT, 1),
	    STEP(OUT16, DEVICE_PORT, 2),
	    STEP(OUT32, DEVICE_PORT, 3),
	    /* One length and one value; others are ordinary writes. */
	    STEP(OUT8, DEVICE_PORT + 4, 0x11),
	    STEP(OUT8, DEVICE_PORT + 4, 0x12),
	    STEP(OUT16, DEVICE_PORT + 4, 0x11),
	    STEP(OUT16, DEVICE_PORT + 5, 0x2211),
	    STEP(OUT16, DEVICE_PORT + 5, 0x1122),
	    STEP(OUT32, DEVICE_PORT + 6, 0x44332211),
	    STEP(OUT32, DEVICE_PORT + 6, 0x44332212),
	    /* Reads are not its. */
	    STEP(IN8, DEVICE_PORT, 0),
	    STEP(REPORT, 0, 0xe0d),
	};
	static const struct access accesses[] = {
	    WRITES(PORT, DEVICE_PORT + 4, 1, 0x12),   WRITES(PORT, DEVICE_PORT + 4, 2, 0x11),
	    WRITES(PORT, DEVICE_PORT + 5, 2, 0x1122), WRITES(PORT, DEVICE_PORT + 6, 4, 0x44332212),
	    READS(PORT, DEVICE_PORT, 1, 0x7f),        REPORTS(0x7f),
	    REPORTS_THEN(0xe0d, after_ports),
	};
	struct machine machine;
	script_init(&machine, steps, COUNT(steps));
	expect_result(crosvm_reserve_range(machine.vm, PORT, DEVICE_PORT, 16), 0);
	add(&machine, 0, PORT, DEVICE_PORT, 0, 0);
	add(&machine, 1, PORT, DEVICE_PORT + 4, 1, 0x11);
	add(&machine, 2, PORT, DEVICE_PORT + 5, 2, 0x2211);
	add(&machine, 3, PORT, DEVICE_PORT + 6, 4, 0x44332211);
	machine_start(&machine);
	machine_boot(&machine, LONG_MODE);
	machine_expect(&machine, accesses, COUNT(accesses));
	return 0;
}

static void after_memory(struct machine *machine)
{
	(void)machine;
	expect_counts((const uint64_t[]){4, 1, 1, 1, 1}, 5);
}

static int io_event_memory(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {
	    STEP(STORE8, WIDE_ADDRESS, 1),
	    STEP(STORE16, WIDE_ADDRESS, 2),
	    STEP(STORE32, WIDE_ADDRESS, 3),
	    STEP(STORE64, WIDE_ADDRESS, 4),
	    STEP(STORE8, WIDE_ADDRESS + 0x10, 0x11),
	    STEP(STORE8, WIDE_ADDRESS + 0x10, 0x12),
	    STEP(STORE16, WIDE_ADDRESS + 0x20, 0x2211),
	    STEP(STORE16, WIDE_ADDRESS + 0x20, 0x2212),
	    STEP(STORE32, WIDE_ADDRESS + 0x30, 0x44332211),
	    STEP(STORE32, WIDE_ADDRESS + 0x30, 0x44332212),
	    STEP(STORE64, WIDE_ADDRESS + 0x40, 0x8877665544332211),
	    STEP(STORE64, WIDE_ADDRESS + 0x40, 0x9877665544332211),
	    STEP(STORE32, WIDE_ADDRESS + 0x40, 0x44332211),
	    STEP(REPORT, 0, 0xe0d),
	};
	static const struct access accesses[] = {
	    WRITES(MMIO, WIDE_ADDRESS + 0x10, 1, 0x12),
	    WRITES(MMIO, WIDE_ADDRESS + 0x20, 2, 0x2212),
	    WRITES(MMIO, WIDE_ADDRESS + 0x30, 4, 0x44332212),
	    WRITES(MMIO, WIDE_ADDRESS + 0x40, 8, 0x9877665544332211),
	    WRITES(MMIO, WIDE_ADDRESS + 0x40, 4, 0x44332211),
	    REPORTS_THEN(0xe0d, after_memory),
	};
	struct machine machine;
	script_init(&machine, steps, COUNT(steps));
	expect_result(crosvm_reserve_range(machine.vm, MMIO, WIDE_ADDRESS, 0x100), 0);
	add(&machine, 0, MMIO, WIDE_ADDRESS, 0, 0);
	add(&machine, 1, MMIO, WIDE_ADDRESS + 0x10, 1, 0x11);
	add(&machine, 2, MMIO, WIDE_ADDRESS + 0x20, 2, 0x2211);
	add(&machine, 3, MMIO, WIDE_ADDRESS + 0x30, 4, 0x44332211);
	add(&machine, 4, MMIO, WIDE_ADDRESS + 0x40, 8, 0x8877665544332211);
	machine_start(&machine);
	machine_boot(&machine, LONG_MODE);
	machine_expect(&machine, accesses, COUNT(accesses));
	return 0;
}

/* ---- Two of one address, made and destroyed while the guest runs ---- */

static void add_two(struct machine *machine)
{
	add(machine, 0, PORT, DEVICE_PORT, 4, 1);
	add(machine, 1, PORT, DEVICE_PORT, 4, 2);
	add(machine, 2, MMIO, WIDE_ADDRESS, 0, 0);
}

static void destroy_one(struct machine *machine)
{
	expect_counts((const uint64_t[]){1, 1, 1}, 3);
	expect_result(crosvm_destroy_io_event(machine->vm, &events[0]), 0);
	expect(events[0] == NULL);
	expect_result(crosvm_destroy_io_event(machine->vm, &events[0]), -EINVAL);
	expect_result(crosvm_destroy_io_event(machine->vm, &events[2]), 0);
}

static void after_one(struct machine *machine)
{
	(void)machine;
	expect_result((long)count_of(1), 1);
}

static int io_event_life(char **arguments)
{
	(void)arguments;
#define ROUND                                                                                  \
	STEP(OUT32, DEVICE_PORT, 1), STEP(OUT32, DEVICE_PORT, 2), STEP(OUT32, DEVICE_PORT, 3), \
	    STEP(STORE8, WIDE_ADDRESS, 4)
	static const struct step steps[] = {ROUND, STEP(REPORT, 0, 1), ROUND, STEP(REPORT, 0, 2),
	                                    ROUND, STEP(REPORT, 0, 3)};
#undef ROUND
	static const struct access accesses[] = {
	    WRITES(PORT, DEVICE_PORT, 4, 1),  WRITES(PORT, DEVICE_PORT, 4, 2), WRITES(PORT, DEVICE_PORT, 4, 3),
	    WRITES(MMIO, WIDE_ADDRESS, 1, 4), REPORTS_THEN(1, add_two),        WRITES(PORT, DEVICE_PORT, 4, 3),
	    REPORTS_THEN(2, destroy_one),     WRITES(PORT, DEVICE_PORT, 4, 1), WRITES(PORT, DEVICE_PORT, 4, 3),
	    WRITES(MMIO, WIDE_ADDRESS, 1, 4), REPORTS_THEN(3, after_one),
	};
	struct machine machine;
	script_init(&machine, steps, COUNT(steps));
	expect_result(crosvm_reserve_range(machine.vm, PORT, DEVICE_PORT, 16), 0);
	expect_result(crosvm_reserve_range(machine.vm, MMIO, WIDE_ADDRESS, 16), 0);
	machine_start(&machine);
	machine_boot(&machine, LONG_MODE);
	machine_expect(&machine, accesses, COUNT(accesses));
	return 0;
}

/* ---- What cannot be ---- */

static int io_event_errno(char **arguments)
{
	(void)arguments;
	static const uint8_t match[8] = {0x11}, other_match[8] = {0x12};
	static const struct {
		uint32_t space;
		uint64_t address;
		uint32_t length;
		const uint8_t *match;
		int wanted;
	} cases[] = {
	    {PORT, 0x700, 4, match, 0},
	    {PORT, 0x700, 4, match, -EEXIST},
	    {PORT, 0x700, 4, other_match, 0},
	    {PORT, 0x700, 2, match, 0},
	    {MMIO, 0x700, 4, match, 0},
	    {PORT, 0x710, 0, NULL, 0},
	    {PORT, 0x710, 0, NULL, -EEXIST},
	    {PORT, 0x720, 3, match, -EINVAL},
	    {PORT, 0x720, 5, match, -EINVAL},
	    {PORT, 0x720, 16, match, -EINVAL},
	    {PORT, 0x720, UINT32_MAX, match, -EINVAL},
	    {PORT, 0x10000, 1, match, -EINVAL},
	    {2, 0x720, 1, match, -EINVAL},
	    {UINT32_MAX, 0x720, 1, match, -EINVAL},
	    {MMIO, UINT64_MAX - 1, 4, match, -EINVAL}, /* past the end */
	};
	struct crosvm *vm;
	struct crosvm_io *first = NULL;
	expect_result(crosvm_connect(&vm), 0);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct crosvm_io *io = NULL;
		int result = crosvm_create_io_event(vm, cases[i].space, cases[i].address, cases[i].length,
		                                    cases[i].match, &io);
		if (result != cases[i].wanted)
			fprintf(stderr, "in case %zu:\n", i);
		expect_result(result, cases[i].wanted);
		expect((io == NULL) == (cases[i].wanted != 0));
		if (!first)
			first = io;
	}
	expect_result(crosvm_create_io_event(vm, PORT, 0x730, 1, match, NULL), -EINVAL);
	expect_result(crosvm_create_io_event(NULL, PORT, 0x730, 1, match, &first), -EINVAL);
	expect_result(crosvm_io_event_fd(NULL), -EINVAL);

	/* What was refused for the first is possible when that is gone, through another connection too. */
	struct crosvm *second;
	expect_result(crosvm_new_connection(vm, &second), 0);
	expect_result(crosvm_destroy_io_event(second, &first), 0);
	expect_result(crosvm_create_io_event(second, PORT, 0x700, 4, match, &first), 0);
	return 0;
}

const struct act event_acts[] = {
    {"io-event-ports", io_event_ports},
    {"io-event-memory", io_event_memory},
    {"io-event-life", io_event_life},
    {"io-event-errno", io_event_errno},
    {NULL, NULL},
};
