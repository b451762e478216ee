/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about ranges whose writes need no answer.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "actor.h"

/* More than any channel holds. */
#define FLOOD 20000

/* How long a guest that writes makes no progress before it is said to be held up. */
#define STILL_MS 500

static void reserve_async(struct machine *machine, uint32_t space, uint64_t start, uint64_t length)
{
	expect_result(crosvm_reserve_async_write_range(machine->vm, space, start, length), 0);
}

/* Expect a write that nobody waits for. */
static void take_async(struct machine *machine, uint32_t space, uint64_t address, uint32_t length, uint64_t value)
{
	machine_wait(machine);
	const struct crosvm_vcpu_event *event = &machine->event;
	expect(event->kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS && event->io_access.no_resume == 1);
	expect(event->io_access.address_space == space && event->io_access.is_write == 1);
	expect_result((long)event->io_access.address, (long)address);
	expect_result(event->io_access.length, length);
	expect(memcmp(event->io_access.data, &value, length) == 0);
}

static int async_writes(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {
	    STEP(OUT8, DEVICE_PORT, 0x11),        STEP(OUT16, DEVICE_PORT, 0x2211),
	    STEP(OUT32, DEVICE_PORT, 0x44332211), STEP(STORE64, WIDE_ADDRESS, 0x8877665544332211),
	    STEP(OUT32, DEVICE_PORT - 2, 0x55), /* into it, from outside */
	    STEP(OUT32, DEVICE_PORT + 2, 0x66), /* and out of it */
	    STEP(IN32, DEVICE_PORT, 0),           STEP(LOAD32, WIDE_ADDRESS, 0),
	    STEP(OUT8, DEVICE_PORT, 0x12),        STEP(OUT8, DEVICE_PORT + 8, 0x13),
	    STEP(OUT8, DEVICE_PORT, 0x14),
	};
	static const struct access reads[] = {REPORTS(0), REPORTS(0)};
	static const struct access between[] = {WRITES(PORT, DEVICE_PORT + 8, 1, 0x13)};
	struct machine machine;
	script_init(&machine, steps, COUNT(steps));
	reserve_async(&machine, PORT, DEVICE_PORT, 4);
	reserve_async(&machine, MMIO, WIDE_ADDRESS, 8);
	expect_result(crosvm_reserve_range(machine.vm, PORT, DEVICE_PORT + 8, 1), 0);
	machine_start(&machine);
	machine_boot(&machine, LONG_MODE);

	take_async(&machine, PORT, DEVICE_PORT, 1, 0x11);
	struct kvm_regs regs;
	expect_result(crosvm_vcpu_resume(machine.vcpu), -EINVAL);
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), -EBUSY);
	expect_result(crosvm_vcpu_set_regs(machine.vcpu, &regs), -EBUSY);
	take_async(&machine, PORT, DEVICE_PORT, 2, 0x2211);
	take_async(&machine, PORT, DEVICE_PORT, 4, 0x44332211);
	take_async(&machine, MMIO, WIDE_ADDRESS, 8, 0x8877665544332211);
	take_async(&machine, PORT, DEVICE_PORT - 2, 4, 0x55);
	take_async(&machine, PORT, DEVICE_PORT + 2, 4, 0x66);
	machine_take(&machine, reads, COUNT(reads));
	take_async(&machine, PORT, DEVICE_PORT, 1, 0x12);
	machine_take(&machine, between, COUNT(between));
	take_async(&machine, PORT, DEVICE_PORT, 1, 0x14);
	machine_expect(&machine, NULL, 0);
	return 0;
}

/* From one kind to the other, while the guest runs. */
static void make_async(struct machine *machine)
{
	expect_result(crosvm_reserve_async_write_range(machine->vm, PORT, DEVICE_PORT, 1), -EPERM);
	expect_result(crosvm_reserve_range(machine->vm, PORT, DEVICE_PORT, 0), 0);
	reserve_async(machine, PORT, DEVICE_PORT, 1);
	expect_result(crosvm_reserve_range(machine->vm, PORT, DEVICE_PORT, 1), -EPERM);
}

static void make_sync(struct machine *machine)
{
	expect_result(crosvm_reserve_async_write_range(machine->vm, PORT, DEVICE_PORT, 0), 0);
	expect_result(crosvm_reserve_async_write_range(machine->vm, PORT, DEVICE_PORT, 0), -ENOENT);
	expect_result(crosvm_reserve_range(machine->vm, PORT, DEVICE_PORT, 1), 0);
}

static int async_change(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {STEP(OUT8, DEVICE_PORT, 1), STEP(REPORT, 0, 1),
	                                    STEP(OUT8, DEVICE_PORT, 2), STEP(REPORT, 0, 2),
	                                    STEP(OUT8, DEVICE_PORT, 3), STEP(REPORT, 0, 3)};
	static const struct access before[] = {WRITES(PORT, DEVICE_PORT, 1, 1), REPORTS_THEN(1, make_async)};
	static const struct access after[] = {REPORTS_THEN(2, make_sync), WRITES(PORT, DEVICE_PORT, 1, 3),
	                                      REPORTS(3)};
	struct machine machine;
	script_init(&machine, steps, COUNT(steps));
	expect_result(crosvm_reserve_async_write_range(NULL, PORT, DEVICE_PORT, 1), -EINVAL);
	expect_result(crosvm_reserve_async_write_range(machine.vm, 2, DEVICE_PORT, 1), -EINVAL);
	expect_result(crosvm_reserve_async_write_range(machine.vm, PORT, 0xffff, 2), -EINVAL);
	expect_result(crosvm_reserve_range(machine.vm, PORT, DEVICE_PORT, 1), 0);
	machine_start(&machine);
	machine_boot(&machine, LONG_MODE);
	machine_take(&machine, before, COUNT(before));
	take_async(&machine, PORT, DEVICE_PORT, 1, 2);
	machine_expect(&machine, after, COUNT(after));
	return 0;
}

/* ---- A channel that is full ---- */

static uint32_t flood_count(const struct machine *machine)
{
	return __atomic_load_n((const uint32_t *)(machine->memory + FLOOD_COUNT), __ATOMIC_ACQUIRE);
}

/* Let the guest write, and take nothing, until it comes no further. */
static void flood(struct machine *machine)
{
	static const struct step steps[] = {{.kind = STEP_FLOOD, .address = DEVICE_PORT, .rax = 0, .rbx = FLOOD}};
	script_init(machine, steps, COUNT(steps));
	reserve_async(machine, PORT, DEVICE_PORT, 4);
	machine_start(machine);
	machine_boot(machine, LONG_MODE);
	for (uint32_t before = 0, still_ms = 0; before == 0 || still_ms < STILL_MS; still_ms += 50) {
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
		uint32_t now = flood_count(machine);
		if (now != before)
			still_ms = 0;
		before = now;
	}
	expect(flood_count(machine) < FLOOD);
}

/* The vCPU is held until the plugin takes what it left; nothing is lost, and a pause comes among it. */
static int async_full(char **arguments)
{
	(void)arguments;
	struct machine machine;
	flood(&machine);
	expect_result(crosvm_pause_vcpus(machine.vm, 1, &machine), 0);
	int pauses = 0;
	for (uint32_t i = 0; i < FLOOD; i++) {
		machine_wait(&machine);
		if (machine.event.kind == CROSVM_VCPU_EVENT_KIND_PAUSED) {
			expect(machine.event.user == &machine);
			pauses++;
			i--;
			machine_resume(&machine);
			continue;
		}
		uint32_t value;
		memcpy(&value, machine.event.io_access.data, sizeof(value));
		expect_result(value, i);
		expect(machine.event.io_access.no_resume == 1 && machine.event.io_access.length == 4);
	}
	expect_result(pauses, 1);
	machine_expect(&machine, NULL, 0);
	return 0;
}

/* Leave it full until the VM ends. */
static int async_rest(char **arguments)
{
	(void)arguments;
	struct machine machine;
	flood(&machine);
	uint64_t value;
	int fd = crosvm_get_shutdown_eventfd(machine.vm);
	expect(fd >= 0);
	say("ready");
	expect(read(fd, &value, sizeof(value)) == sizeof(value));
	return 0;
}

const struct act async_acts[] = {
    {"async-writes", async_writes},
    {"async-change", async_change},
    {"async-full", async_full},
    {"async-rest", async_rest},
    {NULL, NULL},
};
