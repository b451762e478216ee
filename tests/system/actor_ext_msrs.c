/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about the MSR filter. The guest "msrs" asks the device what to do and reports EAX and EDX afterwards, and FAULT
 * before them if there was a #GP.
 */
#include <errno.h>
#include <string.h>

#include "actor.h"

GUEST_DECLARE(msrs);

#define FAULT       0xdead
#define MSR_STAR    0xc0000081
#define MSR_LSTAR   0xc0000082
#define MSR_CSTAR   0xc0000083
#define MSR_UNKNOWN 0x4b564dff /* KVM's own, and not taken */

/* Which of them is for KVM to say. */
#define NOT_TAKEN (KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL)

#define RANGES_MAX 16
#define COUNT_MAX  12288

enum operation { READ = 1, WRITE = 2 };

static void set_filter(struct machine *machine, const struct crosvm_msr_range *ranges, uint32_t count,
                       bool unknown)
{
	expect_result(crosvm_set_msr_filter(machine->vm, count, ranges, unknown), 0);
}

/* Have the guest do it. */
static void ask(struct machine *machine, enum operation operation, uint32_t index, uint64_t value)
{
	const struct access accesses[] = {
	    READS(PORT, DEVICE_PORT, 4, operation),
	    READS(PORT, DEVICE_PORT, 4, index),
	    READS(PORT, DEVICE_PORT, 4, (uint32_t)value),
	    READS(PORT, DEVICE_PORT, 4, value >> 32),
	};
	machine_take(machine, accesses, COUNT(accesses));
}

/* Expect what it reports then; `value` is what its registers hold. */
static void expect_done(struct machine *machine, bool fault, uint64_t value)
{
	const struct access accesses[] = {REPORTS(FAULT), REPORTS((uint32_t)value), REPORTS(value >> 32)};
	machine_take(machine, accesses + !fault, COUNT(accesses) - !fault);
}

/* Expect an access to come as an event, and answer it. */
static void answer(struct machine *machine, enum operation operation, uint32_t index, uint64_t reason,
                   uint64_t value, bool fault)
{
	machine_wait(machine);
	const struct crosvm_vcpu_event *event = &machine->event;
	expect_result(event->kind, CROSVM_VCPU_EVENT_KIND_MSR);
	expect(event->msr.index == index && event->msr.is_write == (operation == WRITE));
	expect(event->msr.reason & reason);
	expect(*event->msr.fault == 0);
	if (operation == WRITE) {
		expect(*event->msr.data == value);
	} else {
		expect(*event->msr.data == 0);
		*event->msr.data = value;
	}
	*event->msr.fault = fault;
	machine_resume(machine);
}

static void begin(struct machine *machine)
{
	machine_init(machine, &GUEST(msrs));
	need_feature(machine->vm, CROSVM_FEATURE_MSR_FILTER, "KVM_CAP_X86_MSR_FILTER");
	expect_result(crosvm_reserve_range(machine->vm, PORT, DEVICE_PORT, 4), 0);
	machine_start(machine);
	machine_boot(machine, REAL_MODE);
}

static void expect_plain(struct machine *machine, uint32_t index, uint64_t value)
{
	ask(machine, WRITE, index, value);
	expect_done(machine, false, value);
	ask(machine, READ, index, 0);
	expect_done(machine, false, value);
}

static int filter(char **arguments)
{
	(void)arguments;
	static const struct crosvm_msr_range both = {MSR_LSTAR, 1, true, true, {0}};
	static const struct crosvm_msr_range halves[] = {{MSR_STAR, 2, true, false, {0}},
	                                                 {MSR_CSTAR, 1, false, true, {0}}};
	const uint64_t reason = KVM_MSR_EXIT_REASON_FILTER;
	struct machine machine;
	begin(&machine);
	expect_plain(&machine, MSR_LSTAR, 0x1122334455);

	/* Reads and writes, answered and refused. */
	set_filter(&machine, &both, 1, false);
	ask(&machine, READ, MSR_LSTAR, 0);
	answer(&machine, READ, MSR_LSTAR, reason, 0x8877665544332211, false);
	expect_done(&machine, false, 0x8877665544332211);
	ask(&machine, WRITE, MSR_LSTAR, 0x99aabbccddeeff00);
	answer(&machine, WRITE, MSR_LSTAR, reason, 0x99aabbccddeeff00, false);
	expect_done(&machine, false, 0x99aabbccddeeff00);
	ask(&machine, READ, MSR_LSTAR, 0x1234);
	answer(&machine, READ, MSR_LSTAR, reason, 1, true);
	expect_done(&machine, true, 0x1234);
	ask(&machine, WRITE, MSR_LSTAR, 0x5678);
	answer(&machine, WRITE, MSR_LSTAR, reason, 0x5678, true);
	expect_done(&machine, true, 0x5678);
	expect_plain(&machine, MSR_STAR, 0x66);
	expect_plain(&machine, MSR_CSTAR, 0x77);

	/* Another filter takes the place of this one: reads of two, writes of a third. */
	set_filter(&machine, halves, COUNT(halves), false);
	ask(&machine, WRITE, MSR_LSTAR, 0x88);
	expect_done(&machine, false, 0x88);
	ask(&machine, READ, MSR_LSTAR, 0);
	answer(&machine, READ, MSR_LSTAR, reason, 0x99, false);
	expect_done(&machine, false, 0x99);
	ask(&machine, READ, MSR_STAR, 0);
	answer(&machine, READ, MSR_STAR, reason, 0xaa, false);
	expect_done(&machine, false, 0xaa);
	ask(&machine, READ, MSR_CSTAR, 0);
	expect_done(&machine, false, 0x77);
	ask(&machine, WRITE, MSR_CSTAR, 0xbb);
	answer(&machine, WRITE, MSR_CSTAR, reason, 0xbb, false);
	expect_done(&machine, false, 0xbb);

	/* Without a filter they are KVM's again, and the values those that went by the plugin. */
	set_filter(&machine, NULL, 0, false);
	ask(&machine, READ, MSR_LSTAR, 0);
	expect_done(&machine, false, 0x88);
	ask(&machine, READ, MSR_CSTAR, 0);
	expect_done(&machine, false, 0x77);
	expect_plain(&machine, MSR_STAR, 0x42);
	return 0;
}

/* ---- What KVM does not know ---- */

static bool is_ignored(struct machine *machine)
{
	uint32_t value;
	ask(machine, READ, MSR_UNKNOWN, 0x1234);
	machine_wait(machine);
	expect(machine->event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	memcpy(&value, machine->event.io_access.data, sizeof(value));
	return value != FAULT;
}

static int unknown(char **arguments)
{
	(void)arguments;
	static const struct crosvm_msr_range both = {MSR_LSTAR, 1, true, true, {0}};
	struct machine machine;
	begin(&machine);
	if (is_ignored(&machine))
		skip("this machine's KVM ignores MSRs that it does not know");
	machine_resume(&machine);
	expect_done(&machine, false, 0x1234);

	set_filter(&machine, NULL, 0, true);
	ask(&machine, READ, MSR_UNKNOWN, 0);
	answer(&machine, READ, MSR_UNKNOWN, NOT_TAKEN, 0x1122334455667788, false);
	expect_done(&machine, false, 0x1122334455667788);
	ask(&machine, WRITE, MSR_UNKNOWN, 0x2122334455667788);
	answer(&machine, WRITE, MSR_UNKNOWN, NOT_TAKEN, 0x2122334455667788, false);
	expect_done(&machine, false, 0x2122334455667788);
	ask(&machine, READ, MSR_UNKNOWN, 0x42);
	answer(&machine, READ, MSR_UNKNOWN, NOT_TAKEN, 0, true);
	expect_done(&machine, true, 0x42);
	expect_plain(&machine, MSR_LSTAR, 0x43);

	/* Both, then the filter alone. */
	set_filter(&machine, &both, 1, true);
	ask(&machine, READ, MSR_UNKNOWN, 0);
	answer(&machine, READ, MSR_UNKNOWN, NOT_TAKEN, 0x44, false);
	expect_done(&machine, false, 0x44);
	ask(&machine, READ, MSR_LSTAR, 0);
	answer(&machine, READ, MSR_LSTAR, KVM_MSR_EXIT_REASON_FILTER, 0x45, false);
	expect_done(&machine, false, 0x45);
	set_filter(&machine, &both, 1, false);
	ask(&machine, READ, MSR_UNKNOWN, 0x46);
	expect_done(&machine, true, 0x46);
	ask(&machine, READ, MSR_LSTAR, 0);
	answer(&machine, READ, MSR_LSTAR, KVM_MSR_EXIT_REASON_FILTER, 0x47, false);
	expect_done(&machine, false, 0x47);
	set_filter(&machine, NULL, 0, false);
	expect_plain(&machine, MSR_LSTAR, 0x48);
	return 0;
}

/* ---- What cannot be ---- */

static int filter_errno(char **arguments)
{
	(void)arguments;
	struct crosvm_msr_range ranges[RANGES_MAX + 1];
	struct crosvm *vm;
	expect_result(crosvm_connect(&vm), 0);
	need_feature(vm, CROSVM_FEATURE_MSR_FILTER, "KVM_CAP_X86_MSR_FILTER");
	for (uint32_t i = 0; i <= RANGES_MAX; i++)
		ranges[i] = (struct crosvm_msr_range){0x10000 * i, COUNT_MAX, true, true, {0}};
	expect_result(crosvm_set_msr_filter(vm, RANGES_MAX, ranges, true), 0);
	expect_result(crosvm_set_msr_filter(vm, RANGES_MAX + 1, ranges, true), -E2BIG);
	expect_result(crosvm_set_msr_filter(vm, UINT32_MAX, ranges, true), -E2BIG);
	ranges[3].count = COUNT_MAX + 1;
	expect_result(crosvm_set_msr_filter(vm, RANGES_MAX, ranges, true), -E2BIG);
	ranges[3].count = 0;
	expect_result(crosvm_set_msr_filter(vm, RANGES_MAX, ranges, true), -EINVAL);
	ranges[3] = (struct crosvm_msr_range){0x10000, 1, false, false, {0}};
	expect_result(crosvm_set_msr_filter(vm, RANGES_MAX, ranges, true), -EINVAL);
	ranges[3] = (struct crosvm_msr_range){UINT32_MAX, 2, true, false, {0}};
	expect_result(crosvm_set_msr_filter(vm, RANGES_MAX, ranges, true), -EINVAL);
	ranges[3] = (struct crosvm_msr_range){UINT32_MAX, 1, true, false, {0}};
	expect_result(crosvm_set_msr_filter(vm, RANGES_MAX, ranges, true), 0);
	expect_result(crosvm_set_msr_filter(vm, 1, NULL, true), -EINVAL);
	expect_result(crosvm_set_msr_filter(NULL, 1, ranges, true), -EINVAL);
	expect_result(crosvm_set_msr_filter(vm, 0, NULL, false), 0);
	return 0;
}

const struct act ext_msr_acts[] = {
    {"ext-msr-filter", filter},
    {"ext-msr-unknown", unknown},
    {"ext-msr-filter-errno", filter_errno},
    {NULL, NULL},
};
