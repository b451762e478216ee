/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about a guest that talks to its host as to Hyper-V. They need a KVM that knows how. Names and numbers are those of
 * the Hyper-V Top Level Functional Specification.
 */
#include <errno.h>
#include <string.h>

#include "actor.h"

#define ENTRIES_MAX 256

#define LEAF_VENDOR    0x40000000
#define LEAF_INTERFACE 0x40000001
#define INTERFACE_HV   0x31237648 /* "Hv#1" */

#define MSR_GUEST_OS_ID 0x40000000
#define MSR_SCONTROL    0x40000080
#define MSR_SIEFP       0x40000082
#define MSR_SIMP        0x40000083

#define CALL_POST_MESSAGE 0x5c

#define EVENT_PAGE   0xf000
#define MESSAGE_PAGE 0xe000

/* Give the vCPU what KVM supports, with the leaves of Hyper-V, and its interrupt controller. */
static void set_up(struct machine *machine)
{
	static struct kvm_cpuid_entry2 entries[ENTRIES_MAX], hyperv[ENTRIES_MAX];
	uint32_t count = 0, hyperv_count = 0, kept = 0;
	uint64_t args[4] = {0};
	expect_result(crosvm_get_supported_cpuid(machine->vm, ENTRIES_MAX, entries, &count), 0);
	expect_result(crosvm_get_hyperv_cpuid(machine->vcpu, ENTRIES_MAX, hyperv, &hyperv_count), 0);
	for (uint32_t i = 0; i < count; i++) {
		if (entries[i].function >> 28 != 4)
			entries[kept++] = entries[i];
	}
	expect(kept + hyperv_count <= ENTRIES_MAX);
	memcpy(&entries[kept], hyperv, hyperv_count * sizeof(hyperv[0]));
	expect_result(crosvm_vcpu_set_cpuid(machine->vcpu, kept + hyperv_count, entries), 0);
	expect_result(crosvm_vcpu_enable_capability(machine->vcpu, KVM_CAP_HYPERV_SYNIC2, 0, args), 0);
}

static void begin(struct machine *machine, const struct step *steps, size_t count)
{
	script_init(machine, steps, count);
	need_extension(machine->vm, KVM_CAP_HYPERV_CPUID, "KVM_CAP_HYPERV_CPUID");
	need_extension(machine->vm, KVM_CAP_HYPERV_SYNIC2, "KVM_CAP_HYPERV_SYNIC2");
	machine_start(machine);
	machine_wait(machine);
}

static int hyperv_cpuid(char **arguments)
{
	(void)arguments;
	static struct kvm_cpuid_entry2 all[ENTRIES_MAX], exact[ENTRIES_MAX], few[ENTRIES_MAX], zeros[ENTRIES_MAX];
	struct machine machine;
	uint32_t count = 0, again = 0;
	begin(&machine, NULL, 0);
	expect_result(crosvm_get_hyperv_cpuid(machine.vcpu, ENTRIES_MAX, all, &count), 0);
	expect(count > 1 && count < ENTRIES_MAX && all[0].function == LEAF_VENDOR);
	expect(all[1].function == LEAF_INTERFACE && all[1].eax == INTERFACE_HV);
	expect_result(crosvm_get_hyperv_cpuid(machine.vcpu, count, exact, &again), 0);
	expect(again == count && memcmp(all, exact, sizeof(all)) == 0);
	again = 0;
	expect_result(crosvm_get_hyperv_cpuid(machine.vcpu, count - 1, few, &again), -E2BIG);
	expect(again == count && memcmp(few, zeros, sizeof(few)) == 0);
	expect_result(crosvm_get_hyperv_cpuid(machine.vcpu, 0, NULL, &again), -E2BIG);
	expect_result(crosvm_get_hyperv_cpuid(machine.vcpu, 1, NULL, &again), -EINVAL);
	expect_result(crosvm_get_hyperv_cpuid(machine.vcpu, 1, all, NULL), -EINVAL);
	expect_result(crosvm_get_hyperv_cpuid(NULL, 1, all, &again), -EINVAL);
	return 0;
}

/* ---- The synthetic interrupt controller ---- */

static void expect_synic(struct machine *machine, uint32_t msr, uint64_t control, uint64_t evt_page,
                         uint64_t msg_page)
{
	machine_wait(machine);
	const struct crosvm_vcpu_event *event = &machine->event;
	expect_result(event->kind, CROSVM_VCPU_EVENT_KIND_HYPERV_SYNIC);
	expect_result(event->hyperv_synic.msr, msr);
	expect(event->hyperv_synic.control == control && event->hyperv_synic.evt_page == evt_page &&
	       event->hyperv_synic.msg_page == msg_page);
	machine_resume(machine);
}

static int hyperv_synic(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {
	    {.kind = STEP_WRMSR, .rcx = MSR_SCONTROL, .rax = 1},
	    {.kind = STEP_WRMSR, .rcx = MSR_SIEFP, .rax = EVENT_PAGE | 1},
	    {.kind = STEP_WRMSR, .rcx = MSR_SIMP, .rax = MESSAGE_PAGE | 1},
	    STEP(REPORT, 0, 1),
	    {.kind = STEP_WRMSR, .rcx = MSR_SCONTROL, .rax = 0},
	};
	static const struct access between[] = {REPORTS(1)};
	struct machine machine;
	begin(&machine, steps, COUNT(steps));
	set_up(&machine);
	machine_enter(machine.vcpu, LONG_MODE);
	machine_resume(&machine);
	expect_synic(&machine, MSR_SCONTROL, 1, 0, 0);
	expect_synic(&machine, MSR_SIEFP, 1, EVENT_PAGE | 1, 0);
	expect_synic(&machine, MSR_SIMP, 1, EVENT_PAGE | 1, MESSAGE_PAGE | 1);
	machine_take(&machine, between, COUNT(between));
	expect_synic(&machine, MSR_SCONTROL, 0, EVENT_PAGE | 1, MESSAGE_PAGE | 1);
	machine_expect(&machine, NULL, 0);
	return 0;
}

/* ---- Hypercalls ---- */

static bool is_amd(struct crosvm *vm)
{
	static struct kvm_cpuid_entry2 entries[ENTRIES_MAX];
	uint32_t count;
	expect_result(crosvm_get_supported_cpuid(vm, ENTRIES_MAX, entries, &count), 0);
	return memcmp(&entries[0].ecx, "cAMD", 4) == 0;
}

static int hyperv_call(char **arguments)
{
	(void)arguments;
	struct step steps[] = {
	    {.kind = STEP_WRMSR, .rcx = MSR_GUEST_OS_ID, .rax = 0x1234},
	    {.kind = STEP_VMCALL, .address = 0x6000, .rcx = CALL_POST_MESSAGE, .rdx = 0x5000},
	    {0},
	};
	static const struct access answer[] = {REPORTS(0xa5)};
	struct machine machine;
	begin(&machine, steps, COUNT(steps));
	if (is_amd(machine.vm)) {
		steps[1].kind = STEP_VMMCALL;
		memcpy(machine.memory + BUFFER, steps, sizeof(steps));
	}
	set_up(&machine);
	machine_enter(machine.vcpu, LONG_MODE);
	machine_resume(&machine);
	machine_wait(&machine);
	struct crosvm_vcpu_event *event = &machine.event;
	expect_result(event->kind, CROSVM_VCPU_EVENT_KIND_HYPERV_HCALL);
	expect(event->hyperv_call.input == CALL_POST_MESSAGE && event->hyperv_call.params[0] == 0x5000 &&
	       event->hyperv_call.params[1] == 0x6000 && *event->hyperv_call.result == 0);
	*event->hyperv_call.result = 0xa5;
	machine_resume(&machine);
	machine_expect(&machine, answer, COUNT(answer));
	return 0;
}

const struct act hyperv_acts[] = {
    {"hyperv-cpuid", hyperv_cpuid}, {"hyperv-synic", hyperv_synic}, {"hyperv-call", hyperv_call}, {NULL, NULL}};
