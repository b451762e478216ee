/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks MSRs, CPUID and capabilities on a vCPU's channel: what KVM is told and what comes back, at each limit and
 * beyond it, and when KVM refuses.
 */
#include "rig.h"

#include <string.h>

static int setup(void **state)
{
	link_rig_setup(state);
	struct link_rig *rig = *state;
	link_begin_init(rig);
	link_put_tag(rig, wire_VcpuRequest_wait_tag);
	link_expect_init(rig, 0);
	return 0;
}

/* Whatever was asked, the vCPU can be resumed. */
static int teardown(void **state)
{
	struct link_rig *rig = *state;
	link_resume(rig, NULL, 0);
	assert_int_equal(link_end(rig), 0);
	return link_rig_teardown(state);
}

static void ask(struct link_rig *rig, const wire_VcpuRequest *request, int error, struct link_frame *out_frame)
{
	link_put_request(rig, request);
	assert_true(link_take(rig, out_frame));
	assert_int_equal(out_frame->message.error, error);
}

/* ---- MSRs ---- */

static void get_msrs(struct link_rig *rig, const uint32_t *indices, uint32_t count, int error,
                     struct link_frame *out_frame)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_get_msrs_tag};
	request.message.get_msrs.entry_indices = (struct wire_array){.items = indices, .count = count};
	ask(rig, &request, error, out_frame);
}

static void set_msrs(struct link_rig *rig, const wire_VcpuRequest_MsrEntry *entries, uint32_t count, int error)
{
	struct link_frame frame;
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_set_msrs_tag};
	request.message.set_msrs.entries = (struct wire_array){.items = entries, .count = count};
	ask(rig, &request, error, &frame);
}

static void test_get_msrs(void **state)
{
	struct link_rig *rig = *state;
	struct link_frame frame;
	const struct wire_array *values = &frame.message.message.get_msrs.entry_data;
	for (uint32_t i = 0; i < FAKE_MSRS; i++)
		rig->fake->msrs[i] = UINT64_MAX - i;
	/* In the request's order, one of them twice. */
	static const uint32_t some[] = {FAKE_MSR_FIRST + 3, FAKE_MSR_FIRST, FAKE_MSR_FIRST + 3};
	get_msrs(rig, some, 3, 0, &frame);
	static const uint64_t expected[] = {UINT64_MAX - 3, UINT64_MAX, UINT64_MAX - 3};
	assert_int_equal(values->stored, 3);
	assert_memory_equal(values->items, expected, sizeof(expected));
	/* KVM stops at one that it does not know, which is no error. */
	static const uint32_t unknown[] = {FAKE_MSR_FIRST + 1, 1, FAKE_MSR_FIRST + 2};
	get_msrs(rig, unknown, 3, 0, &frame);
	assert_int_equal(values->count, 1);
	get_msrs(rig, unknown + 1, 1, 0, &frame);
	assert_int_equal(values->count, 0);
	get_msrs(rig, NULL, 0, 0, &frame);
	assert_int_equal(values->count, 0);
	fake_kvm_fail(KVM_GET_MSRS, EIO, 1);
	get_msrs(rig, some, 3, EIO, &frame);
}

static void test_set_msrs(void **state)
{
	struct link_rig *rig = *state;
	static const wire_VcpuRequest_MsrEntry some[] = {
	    {FAKE_MSR_FIRST + 3, UINT64_MAX}, {FAKE_MSR_FIRST, 7}, {1, 8}, {FAKE_MSR_FIRST + 1, 9}};
	set_msrs(rig, some, 2, 0);
	assert_true(rig->fake->msrs[3] == UINT64_MAX);
	assert_int_equal(rig->fake->msrs[0], 7);
	/* KVM refuses the third. */
	set_msrs(rig, some, 4, EINVAL);
	assert_int_equal(rig->fake->msrs[1], 0);
	set_msrs(rig, NULL, 0, 0);
	fake_kvm_fail(KVM_SET_MSRS, EFAULT, 1);
	set_msrs(rig, some, 1, EFAULT);
}

static void test_number_of_msrs(void **state)
{
	struct link_rig *rig = *state;
	struct link_frame frame;
	uint32_t indices[LIMIT_MSRS + 1];
	wire_VcpuRequest_MsrEntry entries[LIMIT_MSRS + 1];
	for (uint32_t i = 0; i <= LIMIT_MSRS; i++) {
		indices[i] = FAKE_MSR_FIRST + i;
		entries[i] = (wire_VcpuRequest_MsrEntry){.index = indices[i], .data = UINT64_MAX};
	}
	set_msrs(rig, entries, LIMIT_MSRS, 0);
	get_msrs(rig, indices, LIMIT_MSRS, 0, &frame);
	assert_int_equal(frame.message.message.get_msrs.entry_data.stored, LIMIT_MSRS);
	for (uint32_t i = 0; i < LIMIT_MSRS; i++)
		assert_true(((const uint64_t *)frame.message.message.get_msrs.entry_data.items)[i] == UINT64_MAX);
	get_msrs(rig, indices, LIMIT_MSRS + 1, E2BIG, &frame);
	set_msrs(rig, entries, LIMIT_MSRS + 1, E2BIG);
	assert_int_equal(rig->fake->msrs[LIMIT_MSRS], 0);
}

/* ---- CPUID ---- */

static void set_cpuid(struct link_rig *rig, const wire_CpuidEntry *entries, uint32_t count, int error)
{
	struct link_frame frame;
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_set_cpuid_tag};
	request.message.set_cpuid.entries = (struct wire_array){.items = entries, .count = count};
	ask(rig, &request, error, &frame);
}

static void test_set_cpuid(void **state)
{
	struct link_rig *rig = *state;
	static wire_CpuidEntry entries[LIMIT_CPUID_ENTRIES + 1];
	/* The longest that there are. */
	for (uint32_t i = 0; i <= LIMIT_CPUID_ENTRIES; i++)
		entries[i] = (wire_CpuidEntry){UINT32_MAX - i, true,       UINT32_MAX, UINT32_MAX,
		                               UINT32_MAX,     UINT32_MAX, i};
	set_cpuid(rig, entries, LIMIT_CPUID_ENTRIES, 0);
	assert_int_equal(rig->fake->cpuid_count, LIMIT_CPUID_ENTRIES);
	const struct kvm_cpuid_entry2 *last = &rig->fake->cpuid[LIMIT_CPUID_ENTRIES - 1];
	assert_int_equal(last->function, UINT32_MAX - (LIMIT_CPUID_ENTRIES - 1));
	assert_int_equal(last->flags, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
	assert_int_equal(last->index, UINT32_MAX);
	assert_int_equal(last->edx, LIMIT_CPUID_ENTRIES - 1);
	set_cpuid(rig, entries, LIMIT_CPUID_ENTRIES + 1, E2BIG);
	assert_int_equal(rig->fake->cpuid_count, LIMIT_CPUID_ENTRIES);
	set_cpuid(rig, entries, 1, 0);
	assert_int_equal(rig->fake->cpuid_count, 1);
	fake_kvm_fail(KVM_SET_CPUID2, EINVAL, 1);
	set_cpuid(rig, entries, 2, EINVAL);
	set_cpuid(rig, NULL, 0, 0);
	assert_int_equal(rig->fake->cpuid_count, 0);
}

static void test_hyperv_cpuid(void **state)
{
	struct link_rig *rig = *state;
	struct link_frame frame;
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_get_hyperv_cpuid_tag};
	ask(rig, &request, 0, &frame);
	const struct wire_array *table = &frame.message.message.get_hyperv_cpuid.entries;
	assert_int_equal(table->stored, 2);
	const wire_CpuidEntry *entries = table->items;
	assert_int_equal(entries[0].function, FAKE_HYPERV_LEAF);
	assert_int_equal(entries[0].ecx, 3);
	assert_int_equal(entries[1].index, 7);
	fake_kvm_fail(KVM_GET_SUPPORTED_HV_CPUID, E2BIG, 1);
	ask(rig, &request, E2BIG, &frame);
}

/* ---- Capabilities ---- */

static void test_capabilities(void **state)
{
	struct link_rig *rig = *state;
	struct link_frame frame;
	static const struct {
		uint32_t capability;
		int error;
	} cases[] = {
	    {KVM_CAP_HYPERV_SYNIC, 0}, {KVM_CAP_HYPERV_SYNIC2, 0},      {KVM_CAP_HYPERV_ENLIGHTENED_VMCS, EINVAL},
	    {KVM_CAP_IRQCHIP, EINVAL}, {KVM_CAP_SPLIT_IRQCHIP, EINVAL}, {0, EINVAL},
	    {UINT32_MAX, EINVAL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		wire_VcpuRequest request = {.which_message = wire_VcpuRequest_enable_capability_tag,
		                            .message.enable_capability.capability = cases[i].capability};
		rig->fake->capability = 0;
		ask(rig, &request, cases[i].error, &frame);
		assert_int_equal(rig->fake->capability, cases[i].error ? 0 : cases[i].capability);
		fake_kvm_fail(KVM_ENABLE_CAP, ENOSYS, 1);
		ask(rig, &request, cases[i].error ? cases[i].error : ENOSYS, &frame);
		fake_kvm_fail(0, 0, 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_get_msrs),  TEST(test_set_msrs),     TEST(test_number_of_msrs),
	    TEST(test_set_cpuid), TEST(test_hyperv_cpuid), TEST(test_capabilities),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
