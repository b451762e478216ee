/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about a vCPU that another one starts: vCPU 1 was given registers at its INIT event, and waits for the INIT and
 * SIPI that the guest "starter" on vCPU 0 sends. It begins with the guest "started", which reports EBX.
 */
#include <string.h>

#include "actor.h"

GUEST_DECLARE(starter);
GUEST_DECLARE(started);

/* What the plugin sets; the reset puts 0 into both. */
#define SET_RIP 0x1234
#define SET_RBX 0x55

/* What the plugin asks of vCPU 1 right before it sets the registers. */
enum ask {
	ASK_NOTHING,
	ASK_REGISTERS, /* then KVM gives them with KVM_RUN, in the place from which it takes them */
	ASK_STATE,     /* the multiprocessing state */
};

static struct crosvm_vcpu *other;

static void set_registers(uint64_t rbx)
{
	struct kvm_regs regs = {.rip = SET_RIP, .rbx = rbx, .rflags = 0x2};
	expect_result(crosvm_vcpu_set_regs(other, &regs), 0);
}

/* Expect these registers: of a vCPU that runs, RIP of one of the guest's first instructions. */
static void expect_registers(uint64_t rip, uint64_t rip_bytes, uint64_t rbx)
{
	struct kvm_regs regs;
	expect_result(crosvm_vcpu_get_regs(other, &regs), 0);
	expect_result((long)regs.rbx, (long)rbx);
	expect(regs.rip >= rip && regs.rip - rip < rip_bytes);
}

/* Expect the report of vCPU 1 that began there, at an address from the SIPI's. */
static void expect_begin(uint64_t rip, uint32_t rbx)
{
	struct crosvm_vcpu_event event;
	struct kvm_sregs sregs;
	expect_result(crosvm_vcpu_wait(other, &event), 0);
	expect(event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS && event.io_access.address == REPORT_PORT);
	expect_registers(rip, (uint64_t)(guest_started_end - guest_started), rbx);
	expect(memcmp(event.io_access.data, &rbx, sizeof(rbx)) == 0);
	expect_result(crosvm_vcpu_get_sregs(other, &sregs), 0);
	expect(sregs.cs.base == BUFFER);
}

static void expect_state(uint32_t wanted)
{
	struct kvm_mp_state state;
	expect_result(crosvm_vcpu_get_mp_state(other, &state), 0);
	expect_result(state.mp_state, wanted);
}

/* Have both at INIT. What vCPU 1 begins with is where the SIPI says, and where it would be with the RIP that is set. */
static void begin(struct machine *machine)
{
	struct crosvm_vcpu_event event;
	size_t bytes = (size_t)(guest_started_end - guest_started);
	machine_init(machine, &GUEST(starter));
	memcpy(machine->memory + BUFFER, guest_started, bytes);
	memcpy(machine->memory + BUFFER + SET_RIP, guest_started, bytes);
	machine_start(machine);
	expect_result(crosvm_get_vcpu(machine->vm, 1, &other), 0);
	expect_result(crosvm_vcpu_wait(other, &event), 0);
	expect(event.kind == CROSVM_VCPU_EVENT_KIND_INIT);
	machine_wait(machine);
	machine_enter(machine->vcpu, REAL_MODE);
	struct kvm_sregs sregs;
	expect_result(crosvm_vcpu_get_sregs(machine->vcpu, &sregs), 0);
	sregs.es.base = LAPIC_ADDRESS;
	expect_result(crosvm_vcpu_set_sregs(machine->vcpu, &sregs), 0);
}

/* Let vCPU 0 go on to its next report: the first is made before anything is sent, each other after INIT and SIPI. */
static void pass_report(struct machine *machine)
{
	machine_resume(machine);
	machine_wait(machine);
	expect(machine->event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS &&
	       machine->event.io_access.address == REPORT_PORT);
}

static void resume_other(void)
{
	expect_result(crosvm_vcpu_resume(other), 0);
}

/* What has run is started like what has not. */
static void expect_restart(struct machine *machine)
{
	set_registers(SET_RBX + 1);
	pass_report(machine);
	resume_other();
	expect_begin(0, 0);
}

/* INIT and SIPI come while vCPU 1 waits for them. */
static int start_waiting(enum ask ask)
{
	struct machine machine;
	begin(&machine);
	if (ask == ASK_STATE)
		expect_state(KVM_MP_STATE_UNINITIALIZED);
	set_registers(SET_RBX);
	resume_other();
	pass_report(&machine);
	pass_report(&machine);
	expect_begin(0, 0);
	expect_restart(&machine);
	return 0;
}

/* Have both beyond INIT: nothing runs before. vCPU 1 is at a pause, vCPU 0 before it sends anything. */
static void begin_paused(struct machine *machine)
{
	struct crosvm_vcpu_event event;
	begin(machine);
	set_registers(SET_RBX);
	expect_result(crosvm_pause_vcpus(machine->vm, 1u << 1, NULL), 0);
	resume_other();
	pass_report(machine);
	expect_result(crosvm_vcpu_wait(other, &event), 0);
	expect(event.kind == CROSVM_VCPU_EVENT_KIND_PAUSED);
}

/* INIT and SIPI come while vCPU 1 is at an event. */
static int start_paused(enum ask ask)
{
	struct machine machine;
	begin_paused(&machine);
	if (ask == ASK_REGISTERS)
		expect_registers(SET_RIP, 1, SET_RBX);
	if (ask == ASK_STATE)
		expect_state(KVM_MP_STATE_UNINITIALIZED);
	if (ask != ASK_NOTHING)
		set_registers(SET_RBX + 1);
	pass_report(&machine);
	resume_other();
	expect_begin(0, 0);
	expect_restart(&machine);
	return 0;
}

static int waiting(char **arguments)
{
	(void)arguments;
	return start_waiting(ASK_NOTHING);
}

static int waiting_asked(char **arguments)
{
	(void)arguments;
	return start_waiting(ASK_STATE);
}

static int paused(char **arguments)
{
	(void)arguments;
	return start_paused(ASK_NOTHING);
}

static int paused_read(char **arguments)
{
	(void)arguments;
	return start_paused(ASK_REGISTERS);
}

static int paused_asked(char **arguments)
{
	(void)arguments;
	return start_paused(ASK_STATE);
}

/* KVM takes INIT and SIPI when it is asked for the state: the registers are reset, and what is set then stays. */
static int asked_late(char **arguments)
{
	(void)arguments;
	struct machine machine;
	begin_paused(&machine);
	for (uint32_t turn = 0; turn < 4; turn++) {
		pass_report(&machine);
		expect_state(KVM_MP_STATE_RUNNABLE);
		expect_registers(0, 1, 0);
		set_registers(SET_RBX + turn);
		resume_other();
		expect_begin(SET_RIP, SET_RBX + turn);
	}
	return 0;
}

const struct act start_acts[] = {
    {"start-waiting", waiting},
    {"start-waiting-asked", waiting_asked},
    {"start-paused", paused},
    {"start-paused-read", paused_read},
    {"start-paused-asked", paused_asked},
    {"start-asked-late", asked_late},
    {NULL, NULL},
};
