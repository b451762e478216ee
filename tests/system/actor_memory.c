/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about guest memory: the dirty log, parts of a memfd, ranges that come and go while the guest runs.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "actor.h"

/* One byte of the log is full, the next is not. */
#define PAGES     12
#define LOG_BYTES 2

static struct crosvm_memory *logged;

static uint64_t page(unsigned number)
{
	return WIDE_ADDRESS + (uint64_t)number * PAGE;
}

static void add_logged(struct machine *machine, int fd, bool read_only)
{
	expect_result(crosvm_create_memory(machine->vm, fd, 0, PAGES * PAGE, page(0), read_only, true, &logged),
	              0);
}

/* A page that was only read may be in the log too: KVM lets the guest write to it from then on and does not look. */
static void expect_log_but(struct machine *machine, unsigned wanted, unsigned read)
{
	uint8_t log[LOG_BYTES + 1] = {0xff, 0xff, 0xff};
	expect_result(crosvm_memory_get_dirty_log(machine->vm, logged, log), 0);
	expect_result((log[0] | log[1] << 8) & ~read, wanted);
	expect(log[LOG_BYTES] == 0xff); /* it writes no more than there are pages */
}

static void expect_log(struct machine *machine, unsigned wanted)
{
	expect_log_but(machine, wanted, 0);
}

static void log_reads(struct machine *machine)
{
	expect_log_but(machine, 0, 1 << 1 | 1 << 10);
	expect_log(machine, 0);
}

static void log_first_writes(struct machine *machine)
{
	expect_log(machine, 1 << 0 | 1 << 2 | 1 << 9 | 1 << 11);
	expect_log(machine, 0);
}

static void log_second_writes(struct machine *machine)
{
	expect_log(machine, 1 << 2 | 1 << 8);
}

/* Through another connection it is the same object; destroyed, it is nobody's. */
static void log_on_second_connection(struct machine *machine)
{
	struct crosvm *second;
	uint8_t log[LOG_BYTES];
	expect_result(crosvm_new_connection(machine->vm, &second), 0);
	expect_result(crosvm_memory_get_dirty_log(second, logged, log), 0);
	expect(log[0] == 1 << 5 && log[1] == 0);
	expect_result(crosvm_destroy_memory(second, &logged), 0);
	expect(logged == NULL);
	expect_result(crosvm_destroy_connection(&second), 0);
}

/* A new range in the same place begins with an empty log and its own bytes. */
static void log_of_new_range(struct machine *machine)
{
	int fd = memory_file(PAGES * PAGE);
	expect(pwrite(fd, "\x5a", 1, 3 * PAGE) == 1);
	add_logged(machine, fd, false);
	close(fd);
	expect_log(machine, 0);
}

static void log_last_writes(struct machine *machine)
{
	expect_log_but(machine, 1 << 1, 1 << 3);
}

static int dirty_log(char **arguments)
{
	(void)arguments;
	const struct step steps[] = {
	    STEP(LOAD8, page(1), 0),
	    STEP(LOAD32, page(10) + 4, 0),
	    STEP(REPORT, 0, 1),
	    STEP(STORE8, page(0), 1),
	    STEP(STORE64, page(2) + PAGE - 8, 2),
	    STEP(STORE32, page(9), 3),
	    STEP(STORE32, page(9) + 8, 3),
	    STEP(STORE8, page(12) - 1, 4),
	    STEP(REPORT, 0, 2),
	    STEP(STORE8, page(2), 5),
	    STEP(STORE8, page(8), 6),
	    STEP(REPORT, 0, 3),
	    STEP(STORE8, page(5), 7),
	    STEP(REPORT, 0, 4),
	    STEP(STORE8, page(5), 7), /* nobody's any more */
	    STEP(REPORT, 0, 5),
	    STEP(STORE8, page(1), 8),
	    STEP(LOAD8, page(3), 0),
	    STEP(REPORT, 0, 6),
	};
	static const struct access accesses[] = {
	    REPORTS(0),
	    REPORTS(0),
	    REPORTS_THEN(1, log_reads),
	    REPORTS_THEN(2, log_first_writes),
	    REPORTS_THEN(3, log_second_writes),
	    REPORTS_THEN(4, log_on_second_connection),
	    REPORTS_THEN(5, log_of_new_range),
	    REPORTS(0x5a),
	    REPORTS_THEN(6, log_last_writes),
	};
	struct machine machine;
	script_init(&machine, steps, COUNT(steps));
	int fd = memory_file(PAGES * PAGE);
	add_logged(&machine, fd, false);
	close(fd);
	machine_start(&machine);
	machine_boot(&machine, LONG_MODE);
	machine_expect(&machine, accesses, COUNT(accesses));
	return 0;
}

static int dirty_log_errno(char **arguments)
{
	(void)arguments;
	struct machine machine;
	struct crosvm_memory *plain;
	uint8_t log[LOG_BYTES];
	script_init(&machine, NULL, 0);
	int fd = memory_file(PAGES * PAGE);
	expect_result(crosvm_create_memory(machine.vm, fd, 0, PAGE, page(PAGES), false, false, &plain), 0);
	expect_result(crosvm_memory_get_dirty_log(machine.vm, plain, log), -ENOENT); /* it keeps none */
	add_logged(&machine, fd, true);
	expect_log(&machine, 0);
	expect_result(crosvm_memory_get_dirty_log(NULL, logged, log), -EINVAL);
	expect_result(crosvm_memory_get_dirty_log(machine.vm, NULL, log), -EINVAL);
	expect_result(crosvm_memory_get_dirty_log(machine.vm, logged, NULL), -EINVAL);
	return 0;
}

/* ---- One memfd in several places ---- */

static int file_fd;
static uint8_t *file_bytes;

static void check_file(struct machine *machine)
{
	expect(file_bytes[PAGE] == 0x77 && file_bytes[0] == 0);
	/* The host has its own mapping, and the memory lives on without the plugin's. */
	expect(munmap(file_bytes, 3 * PAGE) == 0 && close(file_fd) == 0);
	expect_result(crosvm_destroy_memory(machine->vm, &machine->extra), 0);
}

/* A page in the middle of a file, twice in the guest: once to be written, once to be read only. */
static int memory_offset(char **arguments)
{
	(void)arguments;
	const struct step steps[] = {
	    STEP(LOAD8, page(0), 0), STEP(STORE8, page(0), 0x77),
	    STEP(LOAD8, page(4), 0), STEP(STORE8, page(4), 0x78), /* an access, not a change */
	    STEP(REPORT, 0, 1),      STEP(LOAD8, page(0), 0),     /* gone */
	    STEP(LOAD8, page(4), 0),                              /* still there */
	};
	const struct access accesses[] = {
	    REPORTS(0x11), REPORTS(0x77), WRITES(MMIO, page(4), 1, 0x78), REPORTS_THEN(1, check_file),
	    REPORTS(0),    REPORTS(0x77),
	};
	struct machine machine;
	struct crosvm_memory *second;
	script_init(&machine, steps, COUNT(steps));
	file_fd = memory_file(3 * PAGE);
	file_bytes = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file_fd, 0);
	expect(file_bytes != MAP_FAILED);
	file_bytes[PAGE] = 0x11;
	expect_result(crosvm_create_memory(machine.vm, file_fd, PAGE, PAGE, page(0), false, false, &machine.extra),
	              0);
	expect_result(crosvm_create_memory(machine.vm, file_fd, PAGE, 2 * PAGE, page(4), true, false, &second), 0);
	expect_result(crosvm_reserve_range(machine.vm, MMIO, page(4), PAGE), 0);
	machine_start(&machine);
	machine_boot(&machine, LONG_MODE);
	machine_expect(&machine, accesses, COUNT(accesses));
	return 0;
}

/* ---- More than there is ---- */

GUEST_DECLARE(fill);

/* The guest touches it all; for a test of a limit, which comes before the end. */
static int fill(char **arguments)
{
	(void)arguments;
	static const struct access accesses[] = {REPORTS(0), REPORTS(0)};
	struct machine machine;
	machine_init(&machine, &GUEST_64(fill));
	machine_add_memory(&machine, WIDE_ADDRESS, FILL_BYTES, false);
	machine_start(&machine);
	machine_boot(&machine, LONG_MODE);
	machine_take(&machine, accesses, 1);
	say("fills");
	machine_expect(&machine, accesses + 1, 1);
	return 0;
}

const struct act memory_acts[] = {
    {"dirty-log", dirty_log},
    {"dirty-log-errno", dirty_log_errno},
    {"memory-offset", memory_offset},
    {"fill", fill},
    {NULL, NULL},
};
