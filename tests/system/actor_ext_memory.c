/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about dirty logs that go into a memfd: at an offset, and longer than a packet. The guest memory that is logged
 * lies above 4 GiB and is seen through a few large pages of the third GiB.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actor.h"

#define ENTRIES_MAX 256

#define LARGE_PAGE (UINT64_C(2) << 20)
#define GIB        (UINT64_C(1) << 30)
#define HIGH       (4 * GIB)
#define WINDOW     (2 * GIB)           /* where the guest sees the parts of it, each a large page */
#define WINDOW_PD  (0x8000 + 4 * PAGE) /* the table of the third GiB (actor_machine.c) */
/* All that a VM may have, but for the memory at 0. */
#define MOST (64 * GIB - MEMORY_BYTES)

static struct crosvm_memory *logged;
static uint64_t logged_bytes;

static void add_logged(struct machine *machine, uint64_t size)
{
	int fd = memory_file(size);
	expect_result(crosvm_create_memory(machine->vm, fd, 0, size, HIGH, false, true, &logged), 0);
	close(fd);
	logged_bytes = size;
}

/* Let the guest see the large page around `offset` at part `index` of the window; returns where that byte is. */
static uint64_t show(struct machine *machine, unsigned index, uint64_t offset)
{
	uint64_t *table = (uint64_t *)(machine->memory + WINDOW_PD);
	uint64_t physical = HIGH + offset;
	table[index] = (physical & ~(LARGE_PAGE - 1)) | 0x83;
	return WINDOW + index * LARGE_PAGE + physical % LARGE_PAGE;
}

static uint64_t log_size(void)
{
	return (logged_bytes / PAGE + 7) / 8;
}

/* Check that just these pages are in the log. */
static void expect_pages(const uint8_t *log, const uint64_t *pages, size_t count)
{
	uint64_t found = 0;
	for (uint64_t i = 0; i < log_size(); i++)
		found += (uint64_t)__builtin_popcount(log[i]);
	for (size_t i = 0; i < count; i++)
		expect(log[pages[i] / 8] >> pages[i] % 8 & 1);
	expect_result((long)found, (long)count);
}

/* Take the log by either way. */
static void expect_log(struct machine *machine, const uint64_t *pages, size_t count)
{
	uint8_t *log = malloc(log_size() + 1);
	expect(log != NULL);
	log[log_size()] = 0x5a;
	expect_result(crosvm_memory_get_dirty_log(machine->vm, logged, log), 0);
	expect_pages(log, pages, count);
	expect(log[log_size()] == 0x5a);
	free(log);
}

static void expect_log_to(struct machine *machine, uint64_t offset, const uint64_t *pages, size_t count)
{
	uint64_t size = offset + log_size() + 8;
	int fd = memory_file(size);
	uint8_t *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	expect(bytes != MAP_FAILED);
	memset(bytes, 0x5a, size);
	expect_result(crosvm_memory_get_dirty_log_to(machine->vm, logged, fd, offset), 0);
	expect_pages(bytes + offset, pages, count);
	for (uint64_t i = 0; i < offset; i++)
		expect(bytes[i] == 0x5a);
	for (uint64_t i = offset + log_size(); i < size; i++)
		expect(bytes[i] == 0x5a);
	munmap(bytes, size);
	close(fd);
}

/* Run to the next report. */
static void run_to(struct machine *machine, uint32_t number)
{
	uint32_t value;
	machine_wait(machine);
	expect(machine->event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	expect(machine->event.io_access.address == REPORT_PORT);
	memcpy(&value, machine->event.io_access.data, sizeof(value));
	expect_result((long)value, (long)number);
}

/* ---- What goes where ---- */

#define PAGES 13 /* the log has a byte that is not full */

static void refuse(struct machine *machine, int fd, uint64_t offset, int wanted)
{
	expect_result(crosvm_memory_get_dirty_log_to(machine->vm, logged, fd, offset), wanted);
}

static int unsealed(unsigned int flags)
{
	int fd = memfd_create("log", MFD_CLOEXEC | flags);
	expect(fd >= 0 && ftruncate(fd, PAGE) == 0);
	return fd;
}

static int sealed(int seals)
{
	int fd = unsealed(MFD_ALLOW_SEALING);
	expect(fcntl(fd, F_ADD_SEALS, seals) == 0);
	return fd;
}

/* What the log cannot go to; no page is lost by it. */
static void refuse_all(struct machine *machine)
{
	int pipes[2];
	expect(pipe2(pipes, O_CLOEXEC) == 0);
	refuse(machine, pipes[1], 0, -EINVAL);
	refuse(machine, unsealed(0), 0, -EPERM);
	refuse(machine, unsealed(MFD_ALLOW_SEALING), 0, -EPERM);
	refuse(machine, sealed(F_SEAL_GROW), 0, -EPERM);
	refuse(machine, sealed(F_SEAL_SHRINK | F_SEAL_WRITE), 0, -EPERM);
	refuse(machine, sealed(F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE), 0, -EPERM);
	int fd = memory_file(PAGE);
	refuse(machine, fd, PAGE - log_size() + 1, -EINVAL);
	refuse(machine, fd, PAGE, -EINVAL);
	refuse(machine, fd, UINT64_MAX, -EINVAL);
	refuse(machine, fd, UINT64_MAX - log_size() + 1, -EINVAL);
	refuse(machine, fd, (uint64_t)INT64_MAX, -EINVAL);
	refuse(machine, -1, 0, -EBADF);
	close(fd);
	refuse(machine, fd, 0, -EBADF);
	expect_result(crosvm_memory_get_dirty_log_to(machine->vm, NULL, pipes[0], 0), -EINVAL);
	expect_result(crosvm_memory_get_dirty_log_to(NULL, logged, pipes[0], 0), -EINVAL);
}

/* A memfd that can be written through this fd alone; and at its very end. */
static void take_at_end(struct machine *machine, const uint64_t *pages, size_t count)
{
	uint8_t log[PAGE] = {0};
	int fd = memory_file(PAGE);
	uint64_t offset = PAGE - log_size();
	expect_result(crosvm_memory_get_dirty_log_to(machine->vm, logged, fd, offset), 0);
	expect(pread(fd, log, log_size(), (off_t)offset) == (ssize_t)log_size());
	expect_pages(log, pages, count);
	expect(lseek(fd, 0, SEEK_CUR) == 0);
	close(fd);
}

static int log_to(char **arguments)
{
	(void)arguments;
	struct machine machine;
	static const uint64_t pages[] = {0, 3, 12}, later[] = {7}, none[1];
	struct step steps[] = {
	    STEP(STORE8, 0, 1), STEP(STORE8, 0, 2), STEP(STORE8, 0, 3), STEP(REPORT, 0, 1),
	    STEP(STORE8, 0, 4), STEP(REPORT, 0, 2), STEP(STORE8, 0, 5), STEP(REPORT, 0, 3),
	};
	static const uint64_t order[] = {0, 3, 12, 0, 7, 0, 7};
	script_init(&machine, NULL, 0);
	for (size_t i = 0; i < COUNT(order); i++) {
		if (steps[i].kind == STEP_STORE8)
			steps[i].address = show(&machine, 0, 0) + order[i] * PAGE;
	}
	memcpy(machine.memory + BUFFER, steps, sizeof(steps));
	add_logged(&machine, PAGES * PAGE);
	machine_start(&machine);
	machine_boot(&machine, LONG_MODE);
	run_to(&machine, 1);
	refuse_all(&machine);
	expect_log_to(&machine, 3, pages, COUNT(pages));
	expect_log_to(&machine, 0, none, 0);
	machine_resume(&machine);
	run_to(&machine, 2);
	take_at_end(&machine, later, COUNT(later));
	machine_resume(&machine);
	run_to(&machine, 3);
	refuse_all(&machine);
	expect_log(&machine, later, COUNT(later));
	return 0;
}

/* A range without a log has none to give, and what is gone neither. */
static int log_to_errno(char **arguments)
{
	(void)arguments;
	struct crosvm *vm;
	struct crosvm_memory *plain;
	expect_result(crosvm_connect(&vm), 0);
	int fd = memory_file(PAGE);
	expect_result(crosvm_create_memory(vm, fd, 0, PAGE, HIGH, false, false, &plain), 0);
	expect_result(crosvm_memory_get_dirty_log_to(vm, plain, fd, 0), -ENOENT);
	return 0;
}

/* ---- As long as it can be ---- */

/* With the processor's own CPUID, for as many address bits: without any there are 36. */
static void boot_wide(struct machine *machine)
{
	static struct kvm_cpuid_entry2 entries[ENTRIES_MAX];
	uint32_t count;
	machine_wait(machine);
	expect_result(crosvm_get_supported_cpuid(machine->vm, ENTRIES_MAX, entries, &count), 0);
	expect_result(crosvm_vcpu_set_cpuid(machine->vcpu, count, entries), 0);
	machine_enter(machine->vcpu, LONG_MODE);
	machine_resume(machine);
}

static int log_sparse(char **arguments)
{
	(void)arguments;
	struct machine machine;
	/* Below the limit of what a reply holds there is another way, which dirty-log of actor_memory.c goes. */
	const uint64_t offsets[] = {0, MOST / 2, 17 * GIB - 1, MOST - 1};
	uint64_t pages[COUNT(offsets)];
	struct step steps[2 * COUNT(offsets) + 2] = {0};
	script_init(&machine, NULL, 0);
	for (unsigned i = 0; i < COUNT(offsets); i++) {
		pages[i] = offsets[i] / PAGE;
		struct step step = STEP(STORE8, show(&machine, i, offsets[i]), 1);
		steps[i] = steps[COUNT(offsets) + 1 + i] = step;
	}
	steps[COUNT(offsets)] = (struct step)STEP(REPORT, 0, 1);
	steps[2 * COUNT(offsets) + 1] = (struct step)STEP(REPORT, 0, 2);
	memcpy(machine.memory + BUFFER, steps, sizeof(steps));
	add_logged(&machine, MOST);
	machine_start(&machine);
	boot_wide(&machine);
	run_to(&machine, 1);
	expect_log(&machine, pages, COUNT(pages));
	expect_log(&machine, pages, 0);
	machine_resume(&machine);
	run_to(&machine, 2);
	expect_log_to(&machine, 5, pages, COUNT(pages));
	expect_log_to(&machine, 0, pages, 0);
	return 0;
}

const struct act ext_memory_acts[] = {
    {"ext-log-to", log_to},
    {"ext-log-to-errno", log_to_errno},
    {"ext-log-sparse", log_sparse},
    {NULL, NULL},
};
