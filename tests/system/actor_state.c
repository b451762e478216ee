/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about a vCPU's registers and about what the VM offers.
 */
#include <errno.h>
#include <string.h>

#include "actor.h"

GUEST_DECLARE(registers);

#define CR0_PAGING       0x80000000u
#define EFER_LONG_ENABLE 0x100u

/* How the guest begins; what was set is got again at once, before the vCPU runs. */
static void set_entry_registers(struct crosvm_vcpu *vcpu)
{
	machine_enter(vcpu, REAL_MODE);
	struct kvm_regs regs;
	expect_result(crosvm_vcpu_get_regs(vcpu, &regs), 0);
	expect(regs.rip == LOAD_ADDRESS);
	regs.rcx = 0x11;
	expect_result(crosvm_vcpu_set_regs(vcpu, &regs), 0);
	memset(&regs, 0xff, sizeof(regs));
	expect_result(crosvm_vcpu_get_regs(vcpu, &regs), 0);
	expect(regs.rcx == 0x11 && regs.rip == LOAD_ADDRESS);

	struct kvm_sregs sregs;
	expect_result(crosvm_vcpu_get_sregs(vcpu, &sregs), 0);
	expect(sregs.cs.base == 0);
}

/* Of two settings the later counts. */
static void set_rbx_twice(struct machine *machine)
{
	struct kvm_regs regs;
	expect_result(crosvm_vcpu_get_regs(machine->vcpu, &regs), 0);
	expect(regs.rax == 0x11 && regs.rbx == 0x22 && regs.rdx == REPORT_PORT);
	regs.rbx = 0x33;
	expect_result(crosvm_vcpu_set_regs(machine->vcpu, &regs), 0);
	regs.rbx = 0x44;
	expect_result(crosvm_vcpu_set_regs(machine->vcpu, &regs), 0);
}

static void set_es(struct machine *machine)
{
	struct kvm_regs regs;
	expect_result(crosvm_vcpu_get_regs(machine->vcpu, &regs), 0);
	expect(regs.rbx == 0x44);
	struct kvm_sregs sregs;
	expect_result(crosvm_vcpu_get_sregs(machine->vcpu, &sregs), 0);
	sregs.es.base = DEVICE_ADDRESS;
	sregs.es.selector = DEVICE_ADDRESS >> 4;
	expect_result(crosvm_vcpu_set_sregs(machine->vcpu, &sregs), 0);
}

static int registers(char **arguments)
{
	(void)arguments;
	static const struct access accesses[] = {
	    REPORTS_THEN(0x11, set_rbx_twice),
	    REPORTS_THEN(0x44, set_es),
	    READS(MMIO, DEVICE_ADDRESS, 4, 0x55),
	    REPORTS(0x55),
	};
	struct machine machine;
	machine_init(&machine, &GUEST(registers));
	expect_result(crosvm_reserve_range(machine.vm, MMIO, DEVICE_ADDRESS, 4), 0);
	machine_start(&machine);

	struct kvm_regs regs;
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), -EBUSY);
	machine_wait(&machine);
	struct crosvm_vcpu_event event;
	expect_result(crosvm_vcpu_wait(machine.vcpu, &event), -EBUSY);
	set_entry_registers(machine.vcpu);
	machine_resume(&machine);
	expect_result(crosvm_vcpu_resume(machine.vcpu), -EINVAL);
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), -EBUSY);
	expect_result(crosvm_vcpu_set_regs(machine.vcpu, &regs), -EBUSY);
	machine_expect(&machine, accesses, COUNT(accesses));
	return 0;
}

/* Paging in long mode without what it needs: KVM refuses the set. */
static void set_bad_sregs(struct crosvm_vcpu *vcpu, struct kvm_sregs *out_good)
{
	expect_result(crosvm_vcpu_get_sregs(vcpu, out_good), 0);
	struct kvm_sregs bad = *out_good;
	bad.cr0 |= CR0_PAGING;
	bad.efer |= EFER_LONG_ENABLE;
	expect_result(crosvm_vcpu_set_sregs(vcpu, &bad), 0);
}

/* Resume with bad registers, be told so, and come again with good ones. */
static void refuse_and_repair(struct machine *machine)
{
	struct crosvm_vcpu_event before = machine->event;
	struct kvm_sregs good;
	set_bad_sregs(machine->vcpu, &good);
	machine_resume(machine);
	expect_result(crosvm_vcpu_wait(machine->vcpu, &machine->event), -EINVAL);
	expect(machine->event.kind == before.kind);
	if (before.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS)
		expect(machine->event.io_access.address == before.io_access.address &&
		       machine->event.io_access.length == before.io_access.length &&
		       machine->event.io_access.is_write == before.io_access.is_write);

	/* Nothing was applied. */
	struct kvm_sregs now;
	expect_result(crosvm_vcpu_get_sregs(machine->vcpu, &now), 0);
	expect(now.cr0 == good.cr0 && now.efer == good.efer && now.cs.base == good.cs.base);
	expect_result(crosvm_vcpu_set_sregs(machine->vcpu, &good), 0);
}

static int bad_sregs(char **arguments)
{
	(void)arguments;
	static const struct access accesses[] = {
	    REPORTS_THEN(0x11, refuse_and_repair),
	    REPORTS(0x22),
	    READS(MMIO, DEVICE_ADDRESS, 4, 0x33),
	    REPORTS(0x33),
	};
	struct machine machine;
	machine_init(&machine, &GUEST(registers));
	expect_result(crosvm_reserve_range(machine.vm, MMIO, DEVICE_ADDRESS, 4), 0);
	machine_start(&machine);
	machine_wait(&machine);
	refuse_and_repair(&machine);
	expect(machine.event.kind == CROSVM_VCPU_EVENT_KIND_INIT);
	machine_enter(machine.vcpu, REAL_MODE);
	struct kvm_sregs sregs;
	expect_result(crosvm_vcpu_get_sregs(machine.vcpu, &sregs), 0);
	sregs.es.base = DEVICE_ADDRESS;
	sregs.es.selector = DEVICE_ADDRESS >> 4;
	expect_result(crosvm_vcpu_set_sregs(machine.vcpu, &sregs), 0);
	struct kvm_regs regs = {.rip = LOAD_ADDRESS, .rflags = 0x2, .rcx = 0x11};
	expect_result(crosvm_vcpu_set_regs(machine.vcpu, &regs), 0);
	machine_resume(&machine);
	machine_expect(&machine, accesses, COUNT(accesses));
	return 0;
}

static int extensions(char **arguments)
{
	(void)arguments;
	struct crosvm *vm;
	bool has = false;
	expect_result(crosvm_connect(&vm), 0);
	/* The answer to these is a number above 1. */
	expect_result(crosvm_check_extension(vm, KVM_CAP_NR_VCPUS, &has), 0);
	expect(has);
	has = false;
	expect_result(crosvm_check_extension(vm, KVM_CAP_NR_MEMSLOTS, &has), 0);
	expect(has);
	expect_result(crosvm_check_extension(vm, 0x7fffffff, &has), 0);
	expect(!has);
	expect_result(crosvm_check_extension(vm, KVM_CAP_NR_VCPUS, NULL), -EINVAL);
	return 0;
}

const struct act state_acts[] = {
    {"registers", registers},
    {"bad-sregs", bad_sregs},
    {"extensions", extensions},
    {NULL, NULL},
};
