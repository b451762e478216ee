/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about the state of a vCPU: every set there and back, the order of sets, MSRs, CPUID, and when none of it may be
 * asked.
 */
#include <errno.h>
#include <string.h>

#include "actor.h"

#define ENTRIES_MAX 256
#define MSRS_MAX    255

/* MSRs that every processor has, and one that none has. */
#define MSR_STAR    0xc0000081
#define MSR_LSTAR   0xc0000082
#define MSR_FS_BASE 0xc0000100
#define MSR_NONE    0xdeadbeef

/* In the local APIC's registers: the task priority, whose upper half is CR8, and the local vectors. */
#define APIC_TPR       0x80
#define APIC_LVT       0x320
#define APIC_LVT_BYTES 0x60

/* Come to INIT. */
static void begin(struct machine *machine, const struct step *steps, size_t count)
{
	script_init(machine, steps, count);
	machine_start(machine);
	machine_wait(machine);
	expect(machine->event.kind == CROSVM_VCPU_EVENT_KIND_INIT);
}

/* ---- There and back ---- */

static void check_deferred_sets(struct crosvm_vcpu *vcpu)
{
	struct kvm_regs regs, regs_now;
	expect_result(crosvm_vcpu_get_regs(vcpu, &regs), 0);
	regs.rax = 0x1112131415161718;
	regs.r15 = 0x2122232425262728;
	regs.rip = 0x3000;
	expect_result(crosvm_vcpu_set_regs(vcpu, &regs), 0);
	expect_result(crosvm_vcpu_get_regs(vcpu, &regs_now), 0);
	expect(memcmp(&regs, &regs_now, sizeof(regs)) == 0);

	struct kvm_sregs sregs, sregs_now;
	expect_result(crosvm_vcpu_get_sregs(vcpu, &sregs), 0);
	sregs.fs.base = 0x12340;
	sregs.gdt.base = 0x5000;
	sregs.gdt.limit = 0x37;
	sregs.cr2 = 0x6000;
	expect_result(crosvm_vcpu_set_sregs(vcpu, &sregs), 0);
	expect_result(crosvm_vcpu_get_sregs(vcpu, &sregs_now), 0);
	expect(memcmp(&sregs, &sregs_now, sizeof(sregs)) == 0);

	struct kvm_debugregs debugregs, debugregs_now;
	expect_result(crosvm_vcpu_get_debugregs(vcpu, &debugregs), 0);
	for (int i = 0; i < 4; i++)
		debugregs.db[i] = 0x7000 + (uint64_t)i;
	expect_result(crosvm_vcpu_set_debugregs(vcpu, &debugregs), 0);
	expect_result(crosvm_vcpu_get_debugregs(vcpu, &debugregs_now), 0);
	expect(memcmp(&debugregs, &debugregs_now, sizeof(debugregs)) == 0);
}

static void check_immediate_sets(struct crosvm_vcpu *vcpu)
{
	struct kvm_fpu fpu, fpu_now;
	expect_result(crosvm_vcpu_get_fpu(vcpu, &fpu), 0);
	fpu.fcw = 0x27f;
	fpu.mxcsr = 0x1f80;
	memset(fpu.xmm[3], 0x5a, sizeof(fpu.xmm[3]));
	expect_result(crosvm_vcpu_set_fpu(vcpu, &fpu), 0);
	expect_result(crosvm_vcpu_get_fpu(vcpu, &fpu_now), 0);
	expect(fpu_now.fcw == 0x27f && memcmp(fpu.xmm[3], fpu_now.xmm[3], sizeof(fpu.xmm[3])) == 0);

	struct kvm_lapic_state lapic, lapic_now;
	expect_result(crosvm_vcpu_get_lapic_state(vcpu, &lapic), 0);
	lapic.regs[APIC_TPR] = 0x20;
	lapic.regs[APIC_LVT] = 0x66; /* the timer's vector */
	expect_result(crosvm_vcpu_set_lapic_state(vcpu, &lapic), 0);
	expect_result(crosvm_vcpu_get_lapic_state(vcpu, &lapic_now), 0);
	expect(lapic_now.regs[APIC_TPR] == 0x20);
	expect(memcmp(&lapic.regs[APIC_LVT], &lapic_now.regs[APIC_LVT], APIC_LVT_BYTES) == 0);
	lapic.regs[APIC_TPR] = 0;
	expect_result(crosvm_vcpu_set_lapic_state(vcpu, &lapic), 0);

	struct kvm_mp_state mp, mp_now;
	expect_result(crosvm_vcpu_get_mp_state(vcpu, &mp), 0);
	expect(mp.mp_state == KVM_MP_STATE_RUNNABLE);
	expect_result(crosvm_vcpu_set_mp_state(vcpu, &(struct kvm_mp_state){KVM_MP_STATE_HALTED}), 0);
	expect_result(crosvm_vcpu_get_mp_state(vcpu, &mp_now), 0);
	expect(mp_now.mp_state == KVM_MP_STATE_HALTED);
	expect_result(crosvm_vcpu_set_mp_state(vcpu, &mp), 0);

	struct kvm_vcpu_events events, events_now;
	expect_result(crosvm_vcpu_get_vcpu_events(vcpu, &events), 0);
	events.flags = 0;
	events.nmi.masked = 1;
	expect_result(crosvm_vcpu_set_vcpu_events(vcpu, &events), 0);
	expect_result(crosvm_vcpu_get_vcpu_events(vcpu, &events_now), 0);
	expect(events_now.nmi.masked == 1);
	events.nmi.masked = 0;
	expect_result(crosvm_vcpu_set_vcpu_events(vcpu, &events), 0);
}

/* Which bits of XCR0 a processor may have is for its CPUID to say. */
static void check_xcrs(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	static struct kvm_cpuid_entry2 entries[ENTRIES_MAX];
	uint32_t count;
	struct kvm_xcrs xcrs, now;
	expect_result(crosvm_get_supported_cpuid(vm, ENTRIES_MAX, entries, &count), 0);
	expect_result(crosvm_vcpu_set_cpuid(vcpu, count, entries), 0);
	expect_result(crosvm_vcpu_get_xcrs(vcpu, &xcrs), 0);
	expect(xcrs.nr_xcrs == 1 && xcrs.xcrs[0].value == 1);
	xcrs.xcrs[0].value = 3;
	expect_result(crosvm_vcpu_set_xcrs(vcpu, &xcrs), 0);
	expect_result(crosvm_vcpu_get_xcrs(vcpu, &now), 0);
	expect(now.nr_xcrs == 1 && now.xcrs[0].value == 3);
	xcrs.xcrs[0].value = 0; /* never without the FPU */
	expect_result(crosvm_vcpu_set_xcrs(vcpu, &xcrs), -EINVAL);
	expect_result(crosvm_vcpu_get_xcrs(vcpu, &now), 0);
	expect(now.xcrs[0].value == 3);
}

static int state_sets(char **arguments)
{
	(void)arguments;
	struct machine machine;
	begin(&machine, NULL, 0);
	check_deferred_sets(machine.vcpu);
	check_immediate_sets(machine.vcpu);
	check_xcrs(machine.vm, machine.vcpu);
	/* It runs with all that. */
	machine_enter(machine.vcpu, LONG_MODE);
	machine_resume(&machine);
	machine_expect(&machine, NULL, 0);
	return 0;
}

static int state_null(char **arguments)
{
	(void)arguments;
	struct machine machine;
	begin(&machine, NULL, 0);
#define SETS(X) X(regs) X(sregs) X(fpu) X(debugregs) X(xcrs) X(lapic_state) X(mp_state) X(vcpu_events)
#define CHECK_NULL(name)                                                    \
	expect_result(crosvm_vcpu_get_##name(machine.vcpu, NULL), -EINVAL); \
	expect_result(crosvm_vcpu_set_##name(machine.vcpu, NULL), -EINVAL);
	SETS(CHECK_NULL)
#undef CHECK_NULL
	return 0;
}

/* ---- All or nothing ---- */

#define DR7_TOO_WIDE (UINT64_C(1) << 32)

/* Resume with what KVM refuses, in each place, and expect that nothing of the resume was applied. */
static void refuse(struct machine *machine, bool bad_sregs)
{
	struct crosvm_vcpu *vcpu = machine->vcpu;
	struct kvm_regs regs, regs_now;
	struct kvm_sregs sregs, sregs_now;
	struct kvm_debugregs debugregs, debugregs_now;
	expect_result(crosvm_vcpu_get_regs(vcpu, &regs), 0);
	expect_result(crosvm_vcpu_get_sregs(vcpu, &sregs), 0);
	expect_result(crosvm_vcpu_get_debugregs(vcpu, &debugregs), 0);

	struct kvm_regs new_regs = regs;
	struct kvm_sregs new_sregs = sregs;
	struct kvm_debugregs new_debugregs = debugregs;
	new_regs.rbx = 0x77;
	new_sregs.fs.base = 0x8880;
	new_debugregs.db[0] = 0x9990;
	if (bad_sregs)
		new_sregs.cr0 = 0x80000000; /* paging without protection */
	else
		new_debugregs.dr7 = DR7_TOO_WIDE;
	expect_result(crosvm_vcpu_set_regs(vcpu, &new_regs), 0);
	expect_result(crosvm_vcpu_set_sregs(vcpu, &new_sregs), 0);
	expect_result(crosvm_vcpu_set_debugregs(vcpu, &new_debugregs), 0);
	machine_resume(machine);
	expect_result(crosvm_vcpu_wait(vcpu, &machine->event), -EINVAL);

	expect_result(crosvm_vcpu_get_regs(vcpu, &regs_now), 0);
	expect_result(crosvm_vcpu_get_sregs(vcpu, &sregs_now), 0);
	expect_result(crosvm_vcpu_get_debugregs(vcpu, &debugregs_now), 0);
	expect(memcmp(&regs, &regs_now, sizeof(regs)) == 0);
	expect(memcmp(&sregs, &sregs_now, sizeof(sregs)) == 0);
	expect(memcmp(&debugregs, &debugregs_now, sizeof(debugregs)) == 0);
}

static void refuse_both(struct machine *machine)
{
	refuse(machine, true);
	expect(machine->event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS &&
	       machine->event.io_access.address == REPORT_PORT);
	refuse(machine, false);
	expect(machine->event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS &&
	       machine->event.io_access.address == REPORT_PORT);
}

static int state_refused(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {STEP(REPORT, 0, 1), STEP(REPORT, 0, 2)};
	static const struct access accesses[] = {REPORTS_THEN(1, refuse_both), REPORTS(2)};
	struct machine machine;
	begin(&machine, steps, COUNT(steps));
	refuse(&machine, true);
	refuse(&machine, false);
	expect(machine.event.kind == CROSVM_VCPU_EVENT_KIND_INIT);
	machine_enter(machine.vcpu, LONG_MODE);
	machine_resume(&machine);
	machine_expect(&machine, accesses, COUNT(accesses));
	return 0;
}

/* A refused value is dropped by the get, or by the set of another kind, that sent it ahead. */
static int state_refused_early(char **arguments)
{
	(void)arguments;
	struct machine machine;
	struct kvm_sregs good, bad, now;
	struct kvm_fpu fpu;
	begin(&machine, NULL, 0);
	expect_result(crosvm_vcpu_get_sregs(machine.vcpu, &good), 0);
	expect_result(crosvm_vcpu_get_fpu(machine.vcpu, &fpu), 0);
	bad = good;
	bad.cr0 = 0x80000000;
	expect_result(crosvm_vcpu_set_sregs(machine.vcpu, &bad), 0);
	expect_result(crosvm_vcpu_get_sregs(machine.vcpu, &now), -EINVAL);
	expect_result(crosvm_vcpu_get_sregs(machine.vcpu, &now), 0);
	expect(memcmp(&good, &now, sizeof(good)) == 0);
	expect_result(crosvm_vcpu_set_sregs(machine.vcpu, &bad), 0);
	expect_result(crosvm_vcpu_set_fpu(machine.vcpu, &fpu), -EINVAL);
	expect_result(crosvm_vcpu_set_fpu(machine.vcpu, &fpu), 0);
	machine_enter(machine.vcpu, LONG_MODE);
	machine_resume(&machine);
	machine_expect(&machine, NULL, 0);
	return 0;
}

/* ---- The order of sets ---- */

static void set_tpr(struct crosvm_vcpu *vcpu, uint8_t priority)
{
	struct kvm_lapic_state lapic;
	expect_result(crosvm_vcpu_get_lapic_state(vcpu, &lapic), 0);
	lapic.regs[APIC_TPR] = (char)priority;
	expect_result(crosvm_vcpu_set_lapic_state(vcpu, &lapic), 0);
}

static void set_cr8(struct crosvm_vcpu *vcpu, uint64_t cr8)
{
	struct kvm_sregs sregs;
	expect_result(crosvm_vcpu_get_sregs(vcpu, &sregs), 0);
	sregs.cr8 = cr8;
	expect_result(crosvm_vcpu_set_sregs(vcpu, &sregs), 0);
}

static void set_fs(struct crosvm_vcpu *vcpu, uint64_t base)
{
	struct kvm_sregs sregs;
	expect_result(crosvm_vcpu_get_sregs(vcpu, &sregs), 0);
	sregs.fs.base = base;
	expect_result(crosvm_vcpu_set_sregs(vcpu, &sregs), 0);
}

static void lapic_last(struct machine *machine)
{
	set_cr8(machine->vcpu, 5);
	set_tpr(machine->vcpu, 0x20);
}

static void sregs_last(struct machine *machine)
{
	struct kvm_sregs sregs;
	expect_result(crosvm_vcpu_get_sregs(machine->vcpu, &sregs), 0);
	expect_result((long)sregs.cr8, 2);
	set_tpr(machine->vcpu, 0x30);
	set_cr8(machine->vcpu, 6);
}

static void msrs_last(struct machine *machine)
{
	struct kvm_sregs sregs;
	expect_result(crosvm_vcpu_get_sregs(machine->vcpu, &sregs), 0);
	expect_result((long)sregs.cr8, 6);
	set_cr8(machine->vcpu, 0);
	set_fs(machine->vcpu, 0x1110);
	const struct kvm_msr_entry entry = {.index = MSR_FS_BASE, .data = 0x2220};
	expect_result(crosvm_vcpu_set_msrs(machine->vcpu, 1, &entry), 0);
}

static void check_fs(struct machine *machine)
{
	struct kvm_sregs sregs;
	expect_result(crosvm_vcpu_get_sregs(machine->vcpu, &sregs), 0);
	expect_result((long)sregs.fs.base, 0x2220);
}

static int state_order(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {STEP(REPORT, 0, 1), STEP(REPORT, 0, 2), STEP(REPORT, 0, 3),
	                                    STEP(REPORT, 0, 4)};
	static const struct access accesses[] = {REPORTS_THEN(1, lapic_last), REPORTS_THEN(2, sregs_last),
	                                         REPORTS_THEN(3, msrs_last), REPORTS_THEN(4, check_fs)};
	struct machine machine;
	begin(&machine, steps, COUNT(steps));
	machine_enter(machine.vcpu, LONG_MODE);
	machine_resume(&machine);
	machine_expect(&machine, accesses, COUNT(accesses));
	return 0;
}

/* ---- MSRs ---- */

static void get_two(struct machine *machine)
{
	struct kvm_msr_entry entries[] = {{.index = MSR_STAR},
	                                  {.index = MSR_LSTAR},
	                                  {.index = MSR_NONE, .data = 7},
	                                  {.index = MSR_STAR, .data = 8}};
	uint32_t count = 9;
	expect_result(crosvm_vcpu_get_msrs(machine->vcpu, COUNT(entries), entries, &count), 0);
	expect_result(count, 2);
	expect(entries[0].data == 0x1234567800000000 && entries[1].data == 0x11);
	expect(entries[2].data == 7 && entries[3].data == 8);
	expect_result(crosvm_vcpu_get_msrs(machine->vcpu, 1, &entries[2], &count), 0);
	expect_result(count, 0);
}

static void set_some(struct machine *machine)
{
	get_two(machine);
	const struct kvm_msr_entry entries[] = {{.index = MSR_STAR, .data = 0x2000000000000000},
	                                        {.index = MSR_NONE, .data = 1},
	                                        {.index = MSR_LSTAR, .data = 0x22}};
	/* Up to the one that is refused. */
	expect_result(crosvm_vcpu_set_msrs(machine->vcpu, COUNT(entries), entries), -EINVAL);
}

static void set_many(struct machine *machine)
{
	static struct kvm_msr_entry entries[MSRS_MAX + 1];
	uint32_t count = 9;
	for (uint32_t i = 0; i <= MSRS_MAX; i++)
		entries[i] = (struct kvm_msr_entry){.index = MSR_LSTAR, .data = 0x1000 + i};
	expect_result(crosvm_vcpu_set_msrs(machine->vcpu, MSRS_MAX + 1, entries), -E2BIG);
	expect_result(crosvm_vcpu_get_msrs(machine->vcpu, MSRS_MAX + 1, entries, &count), -E2BIG);
	expect_result(crosvm_vcpu_set_msrs(machine->vcpu, MSRS_MAX, entries), 0);
	expect_result(crosvm_vcpu_get_msrs(machine->vcpu, MSRS_MAX, entries, &count), 0);
	expect_result(count, MSRS_MAX);
	for (uint32_t i = 0; i < MSRS_MAX; i++)
		expect(entries[i].data == 0x1000 + MSRS_MAX - 1);
	expect_result(crosvm_vcpu_set_msrs(machine->vcpu, 0, NULL), 0);
	expect_result(crosvm_vcpu_get_msrs(machine->vcpu, 0, NULL, &count), 0);
	expect_result(count, 0);
	expect_result(crosvm_vcpu_set_msrs(machine->vcpu, 1, NULL), -EINVAL);
	expect_result(crosvm_vcpu_get_msrs(machine->vcpu, 1, NULL, &count), -EINVAL);
	expect_result(crosvm_vcpu_get_msrs(machine->vcpu, 1, entries, NULL), -EINVAL);
}

static int msrs(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {
	    {.kind = STEP_WRMSR, .rcx = MSR_STAR, .rdx = 0x12345678},
	    {.kind = STEP_WRMSR, .rcx = MSR_LSTAR, .rax = 0x11},
	    STEP(REPORT, 0, 1),
	    {.kind = STEP_RDMSR, .rcx = MSR_STAR},
	    {.kind = STEP_RDMSR, .rcx = MSR_LSTAR},
	    STEP(REPORT, 0, 2),
	    {.kind = STEP_RDMSR, .rcx = MSR_LSTAR},
	};
	static const struct access accesses[] = {
	    REPORTS_THEN(1, set_some), REPORTS(0),      REPORTS(0x20000000), REPORTS(0x11), REPORTS(0),
	    REPORTS_THEN(2, set_many), REPORTS(0x10fe), REPORTS(0),
	};
	struct machine machine;
	begin(&machine, steps, COUNT(steps));
	machine_enter(machine.vcpu, LONG_MODE);
	machine_resume(&machine);
	machine_expect(&machine, accesses, COUNT(accesses));
	return 0;
}

/* ---- CPUID ---- */

static int cpuid(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {{.kind = STEP_CPUID, .rax = 0x80000002},
	                                    {.kind = STEP_CPUID, .rax = 4, .rcx = 1}};
	static const struct access accesses[] = {REPORTS(0x11), REPORTS(0x12), REPORTS(0x13), REPORTS(0x14),
	                                         REPORTS(0x21), REPORTS(0x22), REPORTS(0x23), REPORTS(0x24)};
	static struct kvm_cpuid_entry2 entries[ENTRIES_MAX + 1];
	struct machine machine;
	uint32_t count = 0, kept = 0;
	begin(&machine, steps, COUNT(steps));
	expect_result(crosvm_get_supported_cpuid(machine.vm, ENTRIES_MAX, entries, &count), 0);
	/* With entries of the test's own, one of which has an index. */
	for (uint32_t i = 0; i < count; i++) {
		if (entries[i].function != 4 && entries[i].function != 0x80000002)
			entries[kept++] = entries[i];
	}
	expect(kept + 3 <= ENTRIES_MAX);
	const struct kvm_cpuid_entry2 own[] = {
	    {.function = 0x80000002, .eax = 0x11, .ebx = 0x12, .ecx = 0x13, .edx = 0x14},
	    {.function = 4, .index = 0, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .eax = 0x31},
	    {.function = 4,
	     .index = 1,
	     .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
	     .eax = 0x21,
	     .ebx = 0x22,
	     .ecx = 0x23,
	     .edx = 0x24}};
	memcpy(&entries[kept], own, sizeof(own));
	if (entries[0].eax < 4)
		entries[0].eax = 4; /* leaves above the highest are no leaves */
	expect_result(crosvm_vcpu_set_cpuid(machine.vcpu, kept + 3, entries), 0);

	expect_result(crosvm_vcpu_set_cpuid(machine.vcpu, ENTRIES_MAX + 1, entries), -E2BIG);
	expect_result(crosvm_vcpu_set_cpuid(machine.vcpu, 1, NULL), -EINVAL);
	expect_result(crosvm_vcpu_set_cpuid(NULL, 1, entries), -EINVAL);
	machine_enter(machine.vcpu, LONG_MODE);
	machine_resume(&machine);
	machine_expect(&machine, accesses, COUNT(accesses));
	return 0;
}

static int cpuid_count(char **arguments)
{
	(void)arguments;
	static struct kvm_cpuid_entry2 entries[ENTRIES_MAX];
	struct machine machine;
	begin(&machine, NULL, 0);
	expect_result(crosvm_vcpu_set_cpuid(machine.vcpu, 0, NULL), 0);
	for (uint32_t i = 0; i < ENTRIES_MAX; i++)
		entries[i] = (struct kvm_cpuid_entry2){.function = 0x40001000 + i, .eax = i};
	expect_result(crosvm_vcpu_set_cpuid(machine.vcpu, ENTRIES_MAX, entries), 0);
	return 0;
}

/* ---- When nothing may be asked ---- */

/* While the vCPU runs everything is refused, nothing is sent, and the next event comes all the same. */
static void expect_busy(struct crosvm_vcpu *vcpu)
{
	struct kvm_msr_entry entry = {.index = MSR_STAR};
	struct kvm_cpuid_entry2 leaf = {0};
	uint64_t args[4] = {0};
	uint32_t count;
#define CHECK_BUSY(name)                                                          \
	{                                                                         \
		union {                                                           \
			struct kvm_regs regs;                                     \
			struct kvm_sregs sregs;                                   \
			struct kvm_fpu fpu;                                       \
			struct kvm_debugregs debugregs;                           \
			struct kvm_xcrs xcrs;                                     \
			struct kvm_lapic_state lapic_state;                       \
			struct kvm_mp_state mp_state;                             \
			struct kvm_vcpu_events vcpu_events;                       \
		} state = {0};                                                    \
		expect_result(crosvm_vcpu_get_##name(vcpu, &state.name), -EBUSY); \
		expect_result(crosvm_vcpu_set_##name(vcpu, &state.name), -EBUSY); \
	}
	SETS(CHECK_BUSY)
#undef CHECK_BUSY
	expect_result(crosvm_vcpu_get_msrs(vcpu, 1, &entry, &count), -EBUSY);
	expect_result(crosvm_vcpu_set_msrs(vcpu, 1, &entry), -EBUSY);
	expect_result(crosvm_vcpu_set_cpuid(vcpu, 1, &leaf), -EBUSY);
	expect_result(crosvm_get_hyperv_cpuid(vcpu, 1, &leaf, &count), -EBUSY);
	expect_result(crosvm_vcpu_enable_capability(vcpu, KVM_CAP_HYPERV_SYNIC, 0, args), -EBUSY);
	expect_result(crosvm_vcpu_resume(vcpu), -EINVAL);
}

static int state_busy(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {STEP(REPORT, 0, 1)};
	struct machine machine;
	script_init(&machine, steps, COUNT(steps));
	machine_start(&machine);
	expect_busy(machine.vcpu); /* before INIT */
	machine_boot(&machine, LONG_MODE);
	expect_busy(machine.vcpu);
	machine_wait(&machine);
	expect(machine.event.io_access.address == REPORT_PORT);
	machine_resume(&machine);
	expect_busy(machine.vcpu);
	machine_expect(&machine, NULL, 0);
	return 0;
}

static int vcpu_capability(char **arguments)
{
	(void)arguments;
	struct machine machine;
	uint64_t args[4] = {0};
	begin(&machine, NULL, 0);
	/* Not that KVM would refuse them. */
	static const uint32_t refused[] = {KVM_CAP_ENFORCE_PV_FEATURE_CPUID,
	                                   KVM_CAP_HYPERV_ENFORCE_CPUID,
	                                   KVM_CAP_HYPERV_ENLIGHTENED_VMCS,
	                                   KVM_CAP_SPLIT_IRQCHIP,
	                                   0x7fffffff,
	                                   0};
	for (size_t i = 0; i < COUNT(refused); i++)
		expect_result(crosvm_vcpu_enable_capability(machine.vcpu, refused[i], 0, args), -EINVAL);
	expect_result(crosvm_vcpu_enable_capability(machine.vcpu, KVM_CAP_HYPERV_SYNIC, 1, args), -EINVAL);
	for (int i = 0; i < 4; i++) {
		uint64_t bad[4] = {0};
		bad[i] = UINT64_C(1) << 63;
		expect_result(crosvm_vcpu_enable_capability(machine.vcpu, KVM_CAP_HYPERV_SYNIC, 0, bad), -EINVAL);
	}
	bool has;
	expect_result(crosvm_check_extension(machine.vm, KVM_CAP_HYPERV_SYNIC2, &has), 0);
	expect_result(crosvm_vcpu_enable_capability(machine.vcpu, KVM_CAP_HYPERV_SYNIC2, 0, args),
	              has ? 0 : -EINVAL);
	expect_result(crosvm_check_extension(machine.vm, KVM_CAP_HYPERV_SYNIC, &has), 0);
	expect_result(crosvm_vcpu_enable_capability(machine.vcpu, KVM_CAP_HYPERV_SYNIC, 0, args),
	              has ? 0 : -EINVAL);
	return 0;
}

const struct act vcpu_acts[] = {
    {"state-sets", state_sets},
    {"state-null", state_null},
    {"state-refused", state_refused},
    {"state-refused-early", state_refused_early},
    {"state-order", state_order},
    {"msrs", msrs},
    {"cpuid", cpuid},
    {"cpuid-count", cpuid_count},
    {"state-busy", state_busy},
    {"vcpu-capability", vcpu_capability},
    {NULL, NULL},
};
