/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about vCPU state beyond the sets of API 0.22: XSAVE, the TSC's frequency, nested state, MSRs that are counted.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "actor.h"

#define MSR_STAR  0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_NONE  0xdeadbeef
#define MSRS_MAX  255

#define STATE_BYTES 65536
#define XMM         160 /* in the legacy region (SDM volume 1, XSAVE) */
#define XSTATE_BV   512
#define SSE         2

/* Come to INIT. */
static void begin(struct machine *machine)
{
	script_init(machine, NULL, 0);
	machine_start(machine);
	machine_wait(machine);
}

/* ---- XSAVE ---- */

static uint8_t buffer[STATE_BYTES], again[STATE_BYTES];

static int xsave(char **arguments)
{
	(void)arguments;
	struct machine machine;
	struct kvm_fpu fpu;
	uint32_t size, same;
	begin(&machine);
	need_feature(machine.vm, CROSVM_FEATURE_XSAVE, "KVM_CAP_XSAVE");
	struct crosvm_vcpu *vcpu = machine.vcpu;
	memset(buffer, 0xaa, sizeof(buffer));
	expect_result(crosvm_vcpu_get_xsave(vcpu, 0, NULL, &size), -E2BIG);
	expect(size >= sizeof(struct kvm_xsave) && size <= STATE_BYTES);
	expect_result(crosvm_vcpu_get_xsave(vcpu, size - 1, buffer, &same), -E2BIG);
	expect(same == size && buffer[0] == 0xaa && buffer[size - 2] == 0xaa);
	expect_result(crosvm_vcpu_get_xsave(vcpu, sizeof(buffer), buffer, &same), 0);
	expect(same == size && buffer[size] == 0xaa);

	/* It is the state that the FPU's set has too. */
	uint64_t components;
	memset(buffer + XMM, 0x5a, 16);
	memcpy(&components, buffer + XSTATE_BV, sizeof(components));
	components |= SSE;
	memcpy(buffer + XSTATE_BV, &components, sizeof(components));
	expect_result(crosvm_vcpu_set_xsave(vcpu, size, buffer), 0);
	expect_result(crosvm_vcpu_get_fpu(vcpu, &fpu), 0);
	expect(memcmp(fpu.xmm[0], buffer + XMM, 16) == 0);
	expect_result(crosvm_vcpu_get_xsave(vcpu, size, again, &same), 0);
	expect(memcmp(again + XMM, buffer + XMM, 16) == 0);

	/* Components that no CPU has, and other sizes: nothing changes. */
	memset(buffer + XMM, 0xa5, 16);
	memset(buffer + XSTATE_BV, 0xff, 8);
	expect(crosvm_vcpu_set_xsave(vcpu, size, buffer) == -EINVAL);
	expect_result(crosvm_vcpu_set_xsave(vcpu, size - 1, again), -EINVAL);
	expect_result(crosvm_vcpu_set_xsave(vcpu, size + 1, again), -EINVAL);
	expect_result(crosvm_vcpu_set_xsave(vcpu, 0, NULL), -EINVAL);
	expect_result(crosvm_vcpu_set_xsave(vcpu, UINT32_MAX, buffer), -EINVAL);
	expect_result(crosvm_vcpu_get_xsave(vcpu, size, buffer, &same), 0);
	expect(memcmp(again + XMM, buffer + XMM, 16) == 0);

	expect_result(crosvm_vcpu_get_xsave(NULL, size, buffer, &same), -EINVAL);
	expect_result(crosvm_vcpu_get_xsave(vcpu, size, NULL, &same), -EINVAL);
	expect_result(crosvm_vcpu_get_xsave(vcpu, size, buffer, NULL), -EINVAL);
	expect_result(crosvm_vcpu_set_xsave(NULL, size, buffer), -EINVAL);
	expect_result(crosvm_vcpu_set_xsave(vcpu, size, NULL), -EINVAL);
	return 0;
}

/* ---- The TSC ---- */

static int tsc_khz(char **arguments)
{
	(void)arguments;
	struct machine machine;
	uint32_t khz, now;
	bool has_control;
	begin(&machine);
	need_feature(machine.vm, CROSVM_FEATURE_TSC_KHZ, "KVM_CAP_GET_TSC_KHZ");
	expect_result(crosvm_vcpu_get_tsc_khz(machine.vcpu, &khz), 0);
	expect(khz > 1000);
	expect_result(crosvm_vcpu_set_tsc_khz(machine.vcpu, khz), 0);
	expect_result(crosvm_vcpu_get_tsc_khz(machine.vcpu, &now), 0);
	expect(now == khz);
	expect_result(crosvm_check_extension(machine.vm, KVM_CAP_TSC_CONTROL, &has_control), 0);
	int result = crosvm_vcpu_set_tsc_khz(machine.vcpu, khz / 2);
	expect(!has_control || result == 0);
	if (result == 0) {
		expect_result(crosvm_vcpu_get_tsc_khz(machine.vcpu, &now), 0);
		expect(now == khz / 2);
	}
	expect_result(crosvm_vcpu_get_tsc_khz(NULL, &now), -EINVAL);
	expect_result(crosvm_vcpu_get_tsc_khz(machine.vcpu, NULL), -EINVAL);
	expect_result(crosvm_vcpu_set_tsc_khz(NULL, khz), -EINVAL);
	return 0;
}

/* ---- Nested state ---- */

static int nested(char **arguments)
{
	(void)arguments;
	struct machine machine;
	uint32_t size, same;
	begin(&machine);
	struct crosvm_info info = {.size = sizeof(info)};
	expect_result(crosvm_get_info(machine.vm, &info), 0);
	if (!(info.features & CROSVM_FEATURE_NESTED)) {
		expect_result(crosvm_vcpu_get_nested_state(machine.vcpu, STATE_BYTES, buffer, &size), -ENOTTY);
		expect_result(crosvm_vcpu_set_nested_state(machine.vcpu, 128, buffer), -ENOTTY);
		skip("this machine's KVM has no KVM_CAP_NESTED_STATE");
	}
	expect_result(crosvm_vcpu_get_nested_state(machine.vcpu, STATE_BYTES, buffer, &size), 0);
	expect(size >= sizeof(struct kvm_nested_state));
	expect(((const struct kvm_nested_state *)buffer)->size == size);
	expect_result(crosvm_vcpu_get_nested_state(machine.vcpu, size - 1, again, &same), -E2BIG);
	expect(same == size);
	expect_result(crosvm_vcpu_set_nested_state(machine.vcpu, size, buffer), 0);
	expect_result(crosvm_vcpu_get_nested_state(machine.vcpu, size, again, &same), 0);
	expect(same == size && memcmp(buffer, again, size) == 0);
	expect_result(crosvm_vcpu_set_nested_state(machine.vcpu, size - 8, buffer), -EINVAL);
	expect_result(crosvm_vcpu_set_nested_state(machine.vcpu, size + 8, buffer), -EINVAL);
	expect_result(crosvm_vcpu_set_nested_state(machine.vcpu, 0, NULL), -EINVAL);
	expect_result(crosvm_vcpu_get_nested_state(NULL, size, buffer, &same), -EINVAL);
	expect_result(crosvm_vcpu_get_nested_state(machine.vcpu, size, buffer, NULL), -EINVAL);
	expect_result(crosvm_vcpu_set_nested_state(machine.vcpu, size, NULL), -EINVAL);
	return 0;
}

/* ---- MSRs ---- */

static void expect_msr(struct crosvm_vcpu *vcpu, uint32_t index, uint64_t value)
{
	struct kvm_msr_entry entry = {.index = index};
	uint32_t count;
	expect_result(crosvm_vcpu_get_msrs(vcpu, 1, &entry, &count), 0);
	expect(count == 1 && entry.data == value);
}

static int msrs_counted(char **arguments)
{
	(void)arguments;
	static const struct kvm_msr_entry good[] = {{.index = MSR_STAR, .data = 0x11},
	                                            {.index = MSR_LSTAR, .data = 0x12},
	                                            {.index = MSR_CSTAR, .data = 0x13}};
	static const struct kvm_msr_entry bad[] = {{.index = MSR_STAR, .data = 0x21},
	                                           {.index = MSR_LSTAR, .data = UINT64_C(1) << 63},
	                                           {.index = MSR_CSTAR, .data = 0x23}};
	static const struct kvm_msr_entry none = {.index = MSR_NONE, .data = 1};
	static struct kvm_msr_entry many[MSRS_MAX + 1];
	struct machine machine;
	uint32_t count;
	begin(&machine);
	struct crosvm_vcpu *vcpu = machine.vcpu;
	expect_result(crosvm_vcpu_set_msrs_counted(vcpu, COUNT(good), good, &count), 0);
	expect_result(count, COUNT(good));
	expect_msr(vcpu, MSR_LSTAR, 0x12);
	/* KVM takes none after the one that it refuses. */
	expect_result(crosvm_vcpu_set_msrs_counted(vcpu, COUNT(bad), bad, &count), 0);
	expect_result(count, 1);
	expect_msr(vcpu, MSR_STAR, 0x21);
	expect_msr(vcpu, MSR_LSTAR, 0x12);
	expect_msr(vcpu, MSR_CSTAR, 0x13);
	expect_result(crosvm_vcpu_set_msrs_counted(vcpu, 1, &none, &count), 0);
	expect_result(count, 0);
	expect_result(crosvm_vcpu_set_msrs_counted(vcpu, 0, NULL, &count), 0);
	expect_result(count, 0);
	for (uint32_t i = 0; i <= MSRS_MAX; i++)
		many[i] = (struct kvm_msr_entry){.index = MSR_STAR, .data = i};
	expect_result(crosvm_vcpu_set_msrs_counted(vcpu, MSRS_MAX, many, &count), 0);
	expect_result(count, MSRS_MAX);
	expect_msr(vcpu, MSR_STAR, MSRS_MAX - 1);
	expect_result(crosvm_vcpu_set_msrs_counted(vcpu, MSRS_MAX + 1, many, &count), -E2BIG);
	expect_result(crosvm_vcpu_set_msrs_counted(vcpu, 1, NULL, &count), -EINVAL);
	expect_result(crosvm_vcpu_set_msrs_counted(vcpu, 1, many, NULL), -EINVAL);
	expect_result(crosvm_vcpu_set_msrs_counted(NULL, 1, many, &count), -EINVAL);
	return 0;
}

/* ---- When nothing may be asked ---- */

static int busy(char **arguments)
{
	(void)arguments;
	struct machine machine;
	uint32_t size;
	script_init(&machine, NULL, 0);
	machine_start(&machine);
	static const struct kvm_msr_entry entry = {.index = MSR_STAR};
	for (int turn = 0; turn < 2; turn++) {
		struct crosvm_vcpu *vcpu = machine.vcpu;
		expect_result(crosvm_vcpu_get_xsave(vcpu, STATE_BYTES, buffer, &size), -EBUSY);
		expect_result(crosvm_vcpu_set_xsave(vcpu, 4096, buffer), -EBUSY);
		expect_result(crosvm_vcpu_get_tsc_khz(vcpu, &size), -EBUSY);
		expect_result(crosvm_vcpu_set_tsc_khz(vcpu, 1), -EBUSY);
		expect_result(crosvm_vcpu_set_msrs_counted(vcpu, 1, &entry, &size), -EBUSY);
		expect_result(crosvm_vcpu_get_all(vcpu, STATE_BYTES, buffer, &size), -EBUSY);
		expect_result(crosvm_vcpu_nmi(vcpu), -EBUSY);
		if (turn == 0)
			machine_boot(&machine, LONG_MODE);
	}
	machine_expect(&machine, NULL, 0);
	return 0;
}

/* All that needs a host, when there is none any more. */
static void expect_all(struct crosvm_vcpu *vcpu, int wanted)
{
	static const struct kvm_msr_entry entry = {.index = MSR_STAR};
	static const struct kvm_guest_debug debug;
	struct crosvm_vcpu_event event;
	struct kvm_translation translation = {0};
	uint32_t size;
	expect_result(crosvm_vcpu_wait_timeout(vcpu, &event, 0), wanted);
	expect_result(crosvm_vcpu_wait_timeout(vcpu, &event, -1), wanted);
	expect_result(crosvm_vcpu_get_xsave(vcpu, STATE_BYTES, buffer, &size), wanted);
	expect_result(crosvm_vcpu_set_xsave(vcpu, 4096, buffer), wanted);
	expect_result(crosvm_vcpu_get_tsc_khz(vcpu, &size), wanted);
	expect_result(crosvm_vcpu_set_tsc_khz(vcpu, 1), wanted);
	expect_result(crosvm_vcpu_get_nested_state(vcpu, STATE_BYTES, buffer, &size), wanted);
	expect_result(crosvm_vcpu_set_nested_state(vcpu, 128, buffer), wanted);
	expect_result(crosvm_vcpu_set_msrs_counted(vcpu, 1, &entry, &size), wanted);
	expect_result(crosvm_vcpu_interrupt(vcpu, 0x51), wanted);
	expect_result(crosvm_vcpu_request_irq_window(vcpu, true), wanted);
	expect_result(crosvm_vcpu_nmi(vcpu), wanted);
	expect_result(crosvm_vcpu_set_guest_debug(vcpu, &debug), wanted);
	expect_result(crosvm_vcpu_translate(vcpu, &translation), wanted);
	expect_result(crosvm_vcpu_get_all(vcpu, STATE_BYTES, buffer, &size), wanted);
	expect_result(crosvm_vcpu_set_all(vcpu, 128, buffer), wanted);
}

/* The last connection is closed, and with it the VM. */
static int not_connected(char **arguments)
{
	(void)arguments;
	struct machine machine;
	begin(&machine);
	expect(crosvm_vcpu_get_poll_fd(machine.vcpu) >= 0);
	expect_result(crosvm_destroy_connection(&machine.vm), 0);
	expect_all(machine.vcpu, -ENOTCONN);
	expect_result(crosvm_vcpu_get_poll_fd(machine.vcpu), -ENOTCONN);
	return 0;
}

/* Before anything else has noticed, a wait has: the VM has ended. */
static int after_end(char **arguments)
{
	(void)arguments;
	struct machine machine;
	script_init(&machine, NULL, 0);
	memset(machine.memory + LOAD_ADDRESS, 0x0f, 2); /* no instruction, and no handler for it */
	machine_start(&machine);
	machine_boot(&machine, LONG_MODE);
	expect_result(crosvm_vcpu_wait(machine.vcpu, &machine.event), -ECONNRESET);
	expect_all(machine.vcpu, -ECONNRESET);
	return 0;
}

const struct act ext_state_acts[] = {
    {"ext-xsave", xsave},
    {"ext-tsc-khz", tsc_khz},
    {"ext-nested", nested},
    {"ext-not-connected", not_connected},
    {"ext-after-end", after_end},
    {"ext-busy", busy},
    {"ext-msrs-counted", msrs_counted},
    {NULL, NULL},
};
