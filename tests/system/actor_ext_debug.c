/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about debugging a guest, and about its page tables. The guest "debug" reports EAX, has three instructions of two
 * bytes, reports, has one that is not special, reports, has an int3, reports.
 */
#include <errno.h>
#include <string.h>

#include "actor.h"

GUEST_DECLARE(debug);
GUEST_DECLARE(script);
extern const uint8_t guest_debug_steps[], guest_debug_hardware[], guest_debug_software[];

#define INCREMENT_BYTES 2
#define LOAD_DX_BYTES   4
#define DR6_STEP        (1u << 14)
#define DR6_FIRST       1u
#define DR7_FIRST       0x402 /* breakpoint 0, for instructions */
#define EXCEPTION_DEBUG 1
#define EXCEPTION_BREAK 3

static uint64_t address_of(const uint8_t *label)
{
	return LOAD_ADDRESS + (uint64_t)(label - guest_debug);
}

static void begin(struct machine *machine)
{
	machine_init(machine, &GUEST_64(debug));
	need_feature(machine->vm, CROSVM_FEATURE_GUEST_DEBUG, "KVM_CAP_SET_GUEST_DEBUG");
	machine_start(machine);
	machine_boot(machine, LONG_MODE);
}

/* Take the next report and stop right behind it. */
static void stop_after_report(struct machine *machine, uint32_t value, const uint8_t *label)
{
	const struct access accesses[] = {REPORTS(value)};
	struct kvm_regs regs;
	machine_wait(machine);
	expect(machine->event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	expect(memcmp(machine->event.io_access.data, &accesses[0].value, sizeof(value)) == 0);
	expect_result(crosvm_pause_vcpus(machine->vm, 1, NULL), 0);
	machine_resume(machine);
	machine_wait(machine);
	expect(machine->event.kind == CROSVM_VCPU_EVENT_KIND_PAUSED);
	expect_result(crosvm_vcpu_get_regs(machine->vcpu, &regs), 0);
	expect(regs.rip == address_of(label));
}

static void set_debug(struct machine *machine, const struct kvm_guest_debug *debug)
{
	expect_result(crosvm_vcpu_set_guest_debug(machine->vcpu, debug), 0);
}

static const struct kvm_guest_debug off;

/* Expect to stop there; returns false if the guest got to the next report instead. */
static bool stops_at(struct machine *machine, uint64_t address, uint32_t exception)
{
	struct kvm_regs regs;
	machine_resume(machine);
	machine_wait(machine);
	if (machine->event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS)
		return false;
	expect_result(machine->event.kind, CROSVM_VCPU_EVENT_KIND_DEBUG);
	expect_result((long)machine->event.debug.pc, (long)address);
	expect_result((long)machine->event.debug.exception, (long)exception);
	expect_result(crosvm_vcpu_get_regs(machine->vcpu, &regs), 0);
	expect(regs.rip == address);
	return true;
}

static const struct access report_of_3 = REPORTS(3);

/* Be held there: behind it may be the guest's end. */
static void expect_last_report(struct machine *machine)
{
	machine_wait(machine);
	expect_result(machine->event.kind, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	expect(machine->event.io_access.address == REPORT_PORT && machine->event.io_access.data[0] == 3);
}

/* Come to where three steps were made. */
static void make_steps(struct machine *machine)
{
	static const struct kvm_guest_debug step = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP};
	struct kvm_regs regs;
	begin(machine);
	stop_after_report(machine, 0, guest_debug_steps);
	set_debug(machine, &step);
	for (unsigned i = 1; i <= 3; i++) {
		uint64_t next = address_of(guest_debug_steps) + i * INCREMENT_BYTES;
		if (!stops_at(machine, next, EXCEPTION_DEBUG))
			skip("this machine's KVM does not step through a guest");
		expect(machine->event.debug.dr6 & DR6_STEP);
		expect_result(crosvm_vcpu_get_regs(machine->vcpu, &regs), 0);
		expect(regs.rax == i);
	}
}

static int single_step(char **arguments)
{
	(void)arguments;
	struct machine machine;
	make_steps(&machine);
	/* An exit is no step. */
	expect(stops_at(&machine, address_of(guest_debug_steps) + 3 * INCREMENT_BYTES + LOAD_DX_BYTES,
	                EXCEPTION_DEBUG));
	machine_resume(&machine);
	expect_last_report(&machine);
	return 0;
}

static int steps_end(char **arguments)
{
	(void)arguments;
	struct machine machine;
	make_steps(&machine);
	set_debug(&machine, &off);
	machine_resume(&machine);
	machine_take(&machine, &report_of_3, 1);
	expect_last_report(&machine);
	return 0;
}

static int hardware_breakpoint(char **arguments)
{
	(void)arguments;
	struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP};
	static const struct access first[] = {REPORTS(0)};
	struct machine machine;
	begin(&machine);
	machine_take(&machine, first, COUNT(first));
	machine_wait(&machine); /* the second */
	debug.arch.debugreg[0] = address_of(guest_debug_hardware);
	debug.arch.debugreg[7] = DR7_FIRST;
	set_debug(&machine, &debug);
	if (!stops_at(&machine, address_of(guest_debug_hardware), EXCEPTION_DEBUG))
		skip("this machine's KVM has no hardware breakpoints for a guest");
	expect((machine.event.debug.dr6 & 0xf) == DR6_FIRST);
	set_debug(&machine, &off);
	machine_resume(&machine);
	expect_last_report(&machine);
	return 0;
}

static int software_breakpoint(char **arguments)
{
	(void)arguments;
	static const struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP};
	static const struct access before[] = {REPORTS(0), REPORTS(3), REPORTS(3)};
	struct machine machine;
	struct kvm_regs regs;
	machine_init(&machine, &GUEST_64(debug));
	need_feature(machine.vm, CROSVM_FEATURE_GUEST_DEBUG, "KVM_CAP_SET_GUEST_DEBUG");
	expect_result(crosvm_subscribe_exits(machine.vm, CROSVM_EXIT_SHUTDOWN | CROSVM_EXIT_INTERNAL_ERROR), 0);
	machine_start(&machine);
	machine_wait(&machine);
	machine_enter(machine.vcpu, LONG_MODE);
	set_debug(&machine, &debug); /* before it runs at all */
	machine_resume(&machine);
	machine_take(&machine, before, COUNT(before));
	machine_wait(&machine);
	if (machine.event.kind != CROSVM_VCPU_EVENT_KIND_DEBUG)
		skip("to this machine's KVM, a breakpoint is the guest's own");
	expect(machine.event.debug.exception == EXCEPTION_BREAK);
	expect(machine.event.debug.pc == address_of(guest_debug_software));
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
	expect(regs.rip == address_of(guest_debug_software));
	regs.rip++; /* the length of an int3 */
	expect_result(crosvm_vcpu_set_regs(machine.vcpu, &regs), 0);
	set_debug(&machine, &off);
	machine_resume(&machine);
	expect_last_report(&machine);
	return 0;
}

static int debug_errno(char **arguments)
{
	(void)arguments;
	struct machine machine;
	struct kvm_translation translation = {.linear_address = 0};
	begin(&machine);
	expect_result(crosvm_vcpu_set_guest_debug(machine.vcpu, &off), -EBUSY);
	expect_result(crosvm_vcpu_translate(machine.vcpu, &translation), -EBUSY);
	machine_wait(&machine);
	static const uint32_t refused[] = {1u << 2, 1u << 15, 1u << 22, 1u << 31};
	for (size_t i = 0; i < COUNT(refused); i++) {
		const struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_ENABLE | refused[i]};
		expect_result(crosvm_vcpu_set_guest_debug(machine.vcpu, &debug), -EINVAL);
	}
	expect_result(crosvm_vcpu_set_guest_debug(machine.vcpu, NULL), -EINVAL);
	expect_result(crosvm_vcpu_set_guest_debug(NULL, &off), -EINVAL);
	expect_result(crosvm_vcpu_set_guest_debug(machine.vcpu, &off), 0);
	return 0;
}

/* ---- Page tables ---- */

static void expect_translation(struct machine *machine, uint64_t linear, bool valid, uint64_t physical)
{
	struct kvm_translation translation;
	memset(&translation, 0xaa, sizeof(translation));
	translation.linear_address = linear;
	expect_result(crosvm_vcpu_translate(machine->vcpu, &translation), 0);
	expect_result(translation.valid, valid);
	expect(translation.linear_address == linear);
	if (valid)
		expect_result((long)translation.physical_address, (long)physical);
}

static int translate(char **arguments)
{
	(void)arguments;
	struct machine machine;
	script_init(&machine, NULL, 0);
	/* As actor_machine.c makes them: a table for each GiB, from 0xa000 on. */
	uint64_t *second_gib = (uint64_t *)(machine.memory + 0xb000);
	second_gib[1] = 0x83; /* a large page, to address 0 */
	second_gib[2] = 0;
	machine_start(&machine);
	machine_wait(&machine);
	/* In real mode it is the same address. */
	expect_translation(&machine, LOAD_ADDRESS, true, LOAD_ADDRESS);
	/* What was set a moment ago counts. */
	machine_enter(machine.vcpu, LONG_MODE);
	expect_translation(&machine, LOAD_ADDRESS, true, LOAD_ADDRESS);
	expect_translation(&machine, WIDE_ADDRESS + 0x123, true, WIDE_ADDRESS + 0x123);
	expect_translation(&machine, 0x40212345, true, 0x12345);
	expect_translation(&machine, 0x40400000, false, 0);
	expect_translation(&machine, 0x100000000, false, 0);
	expect_translation(&machine, UINT64_C(0xffff800000000000), false, 0);
	machine_resume(&machine);
	machine_wait(&machine);
	expect(machine.event.io_access.address == DONE_PORT);
	expect_translation(&machine, 0x40212345, true, 0x12345);
	expect_result(crosvm_vcpu_translate(machine.vcpu, NULL), -EINVAL);
	expect_result(crosvm_vcpu_translate(NULL, &(struct kvm_translation){0}), -EINVAL);
	return 0;
}

const struct act ext_debug_acts[] = {
    {"ext-single-step", single_step},
    {"ext-steps-end", steps_end},
    {"ext-hardware-breakpoint", hardware_breakpoint},
    {"ext-software-breakpoint", software_breakpoint},
    {"ext-debug-errno", debug_errno},
    {"ext-translate", translate},
    {NULL, NULL},
};
