/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about crosvm_pause_vcpus(): whatever a vCPU is at, it comes.
 */
#include <errno.h>

#include "actor.h"

GUEST_DECLARE(spin);
GUEST_DECLARE(halt);

#define TURNS 50

/* Any addresses will do. */
static char first_user, second_user;

static void request(struct machine *machine, uint64_t mask, void *user)
{
	expect_result(crosvm_pause_vcpus(machine->vm, mask, user), 0);
}

static void expect_paused(struct crosvm_vcpu *vcpu, void *user)
{
	struct crosvm_vcpu_event event;
	expect_result(crosvm_vcpu_wait(vcpu, &event), 0);
	expect(event.kind == CROSVM_VCPU_EVENT_KIND_PAUSED);
	expect(event.user == user);
}

static void begin(struct machine *machine, const struct guest *guest)
{
	machine_init(machine, guest);
	machine_start(machine);
	machine_boot(machine, guest->mode);
	machine_wait(machine);
	machine_resume(machine);
}

/* Again and again, from two connections: each request gives one event, in which the registers are the guest's. */
static int pause_running(char **arguments)
{
	(void)arguments;
	struct machine machine;
	struct crosvm *second;
	begin(&machine, &GUEST(spin));
	expect_result(crosvm_new_connection(machine.vm, &second), 0);
	for (int turn = 0; turn < TURNS; turn++) {
		void *user = turn % 2 ? &first_user : &second_user;
		expect_result(crosvm_pause_vcpus(turn % 2 ? second : machine.vm, 1, user), 0);
		expect_paused(machine.vcpu, user);
		struct kvm_regs regs;
		expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
		expect(regs.rip > LOAD_ADDRESS && regs.rip < LOAD_ADDRESS + 16 && regs.rdx == REPORT_PORT);
		machine_resume(&machine);
	}
	return 0;
}

static int pause_halted(char **arguments)
{
	(void)arguments;
	struct machine machine;
	begin(&machine, &GUEST(halt));
	for (int turn = 0; turn < TURNS; turn++) {
		request(&machine, 1, &first_user);
		expect_paused(machine.vcpu, &first_user);
		machine_resume(&machine);
	}
	return 0;
}

static void pause_once(struct machine *machine)
{
	request(machine, 1, &first_user);
}

static void pause_twice(struct machine *machine)
{
	request(machine, 1, &first_user);
	request(machine, 1, &second_user);
}

/* While the plugin has an event: after that is done with, a read's answer included, and only once. */
static int pause_waiting(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {STEP(IN32, DEVICE_PORT, 0), STEP(LOAD64, WIDE_ADDRESS, 0),
	                                    STEP(REPORT, 0, 3)};
	static const struct access read_port[] = {{PORT, DEVICE_PORT, 4, false, 0x12345678, pause_once}};
	static const struct access read_memory[] = {
	    REPORTS(0x12345678),
	    {MMIO, WIDE_ADDRESS, 8, false, 0x8877665544332211, pause_twice},
	};
	static const struct access rest[] = {REPORTS(0x44332211), REPORTS(0x88776655), REPORTS(3)};
	struct machine machine;
	struct kvm_regs regs;
	script_init(&machine, steps, COUNT(steps));
	expect_result(crosvm_reserve_range(machine.vm, PORT, DEVICE_PORT, 4), 0);
	expect_result(crosvm_reserve_range(machine.vm, MMIO, WIDE_ADDRESS, 8), 0);
	machine_start(&machine);
	machine_boot(&machine, LONG_MODE);

	machine_take(&machine, read_port, COUNT(read_port));
	expect_paused(machine.vcpu, &first_user);
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
	expect(regs.rax == 0x12345678);
	machine_resume(&machine);

	machine_take(&machine, read_memory, COUNT(read_memory));
	expect_paused(machine.vcpu, &second_user);
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
	expect(regs.rax == 0x8877665544332211);
	machine_resume(&machine);
	machine_expect(&machine, rest, COUNT(rest));
	return 0;
}

/* A store of 16 bytes is two events, and one access. */
static int pause_in_access(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {STEP(STORE128, WIDE_ADDRESS, 0), STEP(REPORT, 0, 1)};
	static const struct access access[] = {{MMIO, WIDE_ADDRESS, 8, true, 0, pause_once},
	                                       WRITES(MMIO, WIDE_ADDRESS + 8, 8, 0)};
	static const struct access rest[] = {REPORTS(1)};
	struct machine machine;
	script_init(&machine, steps, COUNT(steps));
	expect_result(crosvm_reserve_range(machine.vm, MMIO, WIDE_ADDRESS, 16), 0);
	machine_start(&machine);
	machine_wait(&machine);
	machine_enter(machine.vcpu, LONG_MODE);
	machine_enable_sse(machine.vcpu);
	machine_resume(&machine);
	machine_take(&machine, access, COUNT(access));
	expect_paused(machine.vcpu, &first_user);
	machine_resume(&machine);
	machine_expect(&machine, rest, COUNT(rest));
	return 0;
}

/* A request at the event that another request gave. */
static int pause_paused(char **arguments)
{
	(void)arguments;
	struct machine machine;
	begin(&machine, &GUEST(spin));
	request(&machine, 1, &first_user);
	expect_paused(machine.vcpu, &first_user);
	request(&machine, 1, &second_user);
	machine_resume(&machine);
	expect_paused(machine.vcpu, &second_user);
	/* What is set there counts. */
	struct kvm_regs regs;
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
	regs.rip = LOAD_ADDRESS;
	regs.rax = 0x77;
	expect_result(crosvm_vcpu_set_regs(machine.vcpu, &regs), 0);
	machine_resume(&machine);
	static const struct access again[] = {REPORTS(0x77)};
	machine_take(&machine, again, COUNT(again));
	return 0;
}

/* Before the start, and at INIT: right after INIT, before the first instruction. */
static int pause_early(char **arguments)
{
	(void)arguments;
	struct machine machine;
	machine_init(&machine, &GUEST(spin));
	request(&machine, 1, &first_user);
	machine_start(&machine);
	machine_boot(&machine, REAL_MODE);
	expect_paused(machine.vcpu, &first_user);
	struct kvm_regs regs;
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
	expect(regs.rip == LOAD_ADDRESS);
	machine_resume(&machine);
	static const struct access next[] = {REPORTS(0)};
	machine_take(&machine, next, COUNT(next));
	return 0;
}

static int pause_at_init(char **arguments)
{
	(void)arguments;
	struct machine machine;
	machine_init(&machine, &GUEST(spin));
	machine_start(&machine);
	machine_wait(&machine);
	request(&machine, 1, &second_user);
	machine_enter(machine.vcpu, REAL_MODE);
	machine_resume(&machine);
	expect_paused(machine.vcpu, &second_user);
	return 0;
}

/* ---- Two vCPUs ---- */

static int pause_two(char **arguments)
{
	(void)arguments;
	struct machine machine;
	struct crosvm_vcpu *vcpus[2];
	struct crosvm_vcpu_event event;
	machine_init(&machine, &GUEST(spin));
	machine_start(&machine);
	for (uint32_t cpu = 0; cpu < 2; cpu++) {
		expect_result(crosvm_get_vcpu(machine.vm, cpu, &vcpus[cpu]), 0);
		expect_result(crosvm_vcpu_wait(vcpus[cpu], &event), 0);
		machine_enter(vcpus[cpu], REAL_MODE);
		expect_result(crosvm_vcpu_set_mp_state(vcpus[cpu], &(struct kvm_mp_state){KVM_MP_STATE_RUNNABLE}),
		              0);
	}
	for (uint32_t cpu = 0; cpu < 2; cpu++)
		expect_result(crosvm_vcpu_resume(vcpus[cpu]), 0);
	for (uint32_t cpu = 0; cpu < 2; cpu++) {
		expect_result(crosvm_vcpu_wait(vcpus[cpu], &event), 0);
		expect(event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
		expect_result(crosvm_vcpu_resume(vcpus[cpu]), 0);
	}
	for (int turn = 0; turn < TURNS; turn++) {
		/* Both, and more than there are; then each alone. */
		request(&machine, turn % 2 ? UINT64_MAX : 3, &first_user);
		expect_paused(vcpus[1], &first_user);
		expect_paused(vcpus[0], &first_user);
		expect_result(crosvm_vcpu_resume(vcpus[0]), 0);
		expect_result(crosvm_vcpu_resume(vcpus[1]), 0);
		request(&machine, 2, &second_user);
		expect_paused(vcpus[1], &second_user);
		request(&machine, 1, &first_user);
		expect_paused(vcpus[0], &first_user);
		expect_result(crosvm_vcpu_resume(vcpus[0]), 0);
		expect_result(crosvm_vcpu_resume(vcpus[1]), 0);
	}
	request(&machine, 0, &first_user);
	request(&machine, ~UINT64_C(3), &first_user);
	request(&machine, 3, &second_user);
	expect_paused(vcpus[0], &second_user);
	expect_paused(vcpus[1], &second_user);
	expect_result(crosvm_pause_vcpus(NULL, 1, NULL), -EINVAL);
	return 0;
}

const struct act pause_acts[] = {
    {"pause-running", pause_running},     {"pause-halted", pause_halted}, {"pause-waiting", pause_waiting},
    {"pause-in-access", pause_in_access}, {"pause-paused", pause_paused}, {"pause-early", pause_early},
    {"pause-at-init", pause_at_init},     {"pause-two", pause_two},       {NULL, NULL},
};
