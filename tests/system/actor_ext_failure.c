/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about guests that fail while their plugin has asked to see that. A triple fault may come as either event: some
 * software KVMs call it an internal error.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor.h"

GUEST_DECLARE(triple_fault);
GUEST_DECLARE(absent_memory);

#define BOTH  (CROSVM_EXIT_SHUTDOWN | CROSVM_EXIT_INTERNAL_ERROR)
#define TURNS 3

/* Where a guest goes on: mov eax, 0x77; mov dx, REPORT_PORT; out dx, eax. */
static const uint8_t report_77[] = {0x66, 0xb8, 0x77, 0x00, 0x00, 0x00, 0xba, 0x10, 0x05, 0x66, 0xef};

static const struct guest *guest_of(const char *name)
{
	static struct guest guest;
	guest = strcmp(name, "triple-fault") == 0 ? GUEST_64(triple_fault) : GUEST(absent_memory);
	return &guest;
}

/* Come to INIT with a guest that is about to fail, and keep the registers that a vCPU begins with. */
static void begin(struct machine *machine, const struct guest *guest, uint32_t exits, struct kvm_sregs *out_sregs)
{
	machine_init(machine, guest);
	memcpy(machine->memory + BUFFER, report_77, sizeof(report_77));
	expect_result(crosvm_subscribe_exits(machine->vm, exits), 0);
	machine_start(machine);
	machine_wait(machine);
	expect_result(crosvm_vcpu_get_sregs(machine->vcpu, out_sregs), 0);
	machine_enter(machine->vcpu, guest->mode);
	machine_resume(machine);
}

static void expect_failure(struct machine *machine, bool may_be_shutdown)
{
	machine_wait(machine);
	const struct crosvm_vcpu_event *event = &machine->event;
	if (event->kind == CROSVM_VCPU_EVENT_KIND_SHUTDOWN) {
		expect(may_be_shutdown);
	} else {
		expect_result(event->kind, CROSVM_VCPU_EVENT_KIND_INTERNAL_ERROR);
		expect(event->failure.suberror >= 1 && event->failure.data_count <= 16);
	}
	expect(*event->failure.go_on == 0);
}

/* Set all registers such that it goes on at BUFFER, in real mode, with nothing left of what it was at. */
static void set_registers(struct machine *machine, const struct kvm_sregs *sregs)
{
	struct kvm_vcpu_events events = {.flags = 0};
	struct kvm_sregs real = *sregs;
	real.cs.selector = 0;
	real.cs.base = 0;
	expect_result(crosvm_vcpu_set_vcpu_events(machine->vcpu, &events), 0);
	expect_result(crosvm_vcpu_set_sregs(machine->vcpu, &real), 0);
	struct kvm_regs regs = {.rip = BUFFER, .rflags = 2};
	expect_result(crosvm_vcpu_set_regs(machine->vcpu, &regs), 0);
	expect_result(crosvm_vcpu_set_mp_state(machine->vcpu, &(struct kvm_mp_state){KVM_MP_STATE_RUNNABLE}), 0);
}

/*
 * The arguments: the guest, and what the plugin does: "unasked"; "resume" it without more; "change" registers and
 * resume; "exit-0" says 0 expressly.
 */
static int fail(char **arguments)
{
	struct machine machine;
	struct kvm_sregs sregs;
	bool asked = strcmp(arguments[1], "unasked") != 0;
	begin(&machine, guest_of(arguments[0]), asked ? BOTH : 0, &sregs);
	if (asked) {
		expect_failure(&machine, true);
		if (strcmp(arguments[1], "change") == 0)
			set_registers(&machine, &sregs);
		machine_resume(&machine);
	}
	expect_result(crosvm_vcpu_wait(machine.vcpu, &machine.event), -ECONNRESET);
	return 0;
}

/* It goes on with other registers, every time. */
static int go_on(const struct guest *guest, bool may_be_shutdown)
{
	struct machine machine;
	struct kvm_sregs sregs;
	static const struct access goes_on[] = {REPORTS(0x77)};
	begin(&machine, guest, BOTH, &sregs);
	for (int turn = 0; turn < TURNS; turn++) {
		expect_failure(&machine, may_be_shutdown);
		set_registers(&machine, &sregs);
		*machine.event.failure.go_on = 1;
		machine_resume(&machine);
		machine_take(&machine, goes_on, COUNT(goes_on));
		/* What it finds behind that: nothing good. */
		expect_result(crosvm_pause_vcpus(machine.vm, 1, NULL), 0);
		machine_wait(&machine);
		if (machine.event.kind != CROSVM_VCPU_EVENT_KIND_PAUSED)
			break;
		machine_enter(machine.vcpu, guest->mode);
		machine_resume(&machine);
	}
	return 0;
}

static int go_on_after_shutdown(char **arguments)
{
	(void)arguments;
	return go_on(&GUEST_64(triple_fault), true);
}

static int go_on_after_error(char **arguments)
{
	(void)arguments;
	return go_on(&GUEST(absent_memory), false);
}

/* A subscription replaces the one before, and holds from the next exit on. */
static int subscribe(char **arguments)
{
	(void)arguments;
	struct machine machine;
	struct kvm_sregs sregs;
	begin(&machine, &GUEST_64(triple_fault), BOTH | CROSVM_EXIT_HLT | CROSVM_EXIT_IOAPIC_EOI, &sregs);
	expect_failure(&machine, true);
	expect_result(crosvm_subscribe_exits(machine.vm, BOTH | 1 << 4), -EINVAL);
	expect_result(crosvm_subscribe_exits(machine.vm, UINT32_MAX), -EINVAL);
	expect_result(crosvm_subscribe_exits(NULL, 0), -EINVAL);
	return 0;
}

const struct act ext_failure_acts[] = {
    {"ext-fail", fail},
    {"ext-go-on-after-shutdown", go_on_after_shutdown},
    {"ext-go-on-after-error", go_on_after_error},
    {"ext-subscribe", subscribe},
    {NULL, NULL},
};
