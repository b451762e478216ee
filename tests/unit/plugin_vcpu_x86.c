/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks MSRs, CPUID and capabilities of a vCPU in the client library: the bytes, the limits, replies that make no
 * sense, when the vCPU must be stopped, and that registers which wait to travel arrive before a change.
 */
#include "plugin_fake_host.c"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A vCPU at INIT. */
static struct crosvm_vcpu *stopped(struct fake *fake)
{
	fake_connect(fake, FAKE_SOCKETS, 1);
	fake_init(fake, 0);
	return fake_vcpu(fake, 0);
}

static void take_request(struct fake *fake)
{
	uint8_t buffer[LIMIT_VCPU_REQUEST_BYTES];
	fake_read(fake, 0, buffer);
}

static void refuse(struct fake *fake, int error)
{
	wire_VcpuResponse response = {.error = error};
	fake_send(fake, 0, &response);
}

/* ---- MSRs ---- */

static void test_get_msrs(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = stopped(fake);
	struct kvm_msr_entry entries[] = {
	    {.index = 0x10, .data = 1}, {.index = 300, .data = 2}, {.index = 7, .data = 3}};
	uint32_t count = 42;
	/* Packed, all of them. */
	fake_write(fake, 0, BYTES(7, 0x32, 5, 0x0a, 3, 5, 6, 7));
	assert_int_equal(crosvm_vcpu_get_msrs(vcpu, 3, entries, &count), 0);
	fake_expect_vcpu(fake, 0, BYTES(0x2a, 6, 0x0a, 4, 0x10, 0xac, 0x02, 7));
	assert_int_equal(count, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(entries[i].data, 5 + i);
	/* One by one, and fewer than were asked for: the rest is as it was. */
	fake_write(fake, 0, BYTES(4, 0x32, 2, 0x08, 9));
	assert_int_equal(crosvm_vcpu_get_msrs(vcpu, 3, entries, &count), 0);
	take_request(fake);
	assert_int_equal(count, 1);
	assert_int_equal(entries[0].data, 9);
	assert_int_equal(entries[1].data, 6);
	fake_write(fake, 0, BYTES(2, 0x32, 0));
	assert_int_equal(crosvm_vcpu_get_msrs(vcpu, 0, NULL, &count), 0);
	fake_expect_vcpu(fake, 0, BYTES(0x2a, 0));
	assert_int_equal(count, 0);
}

static void test_get_msrs_nonsense(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = stopped(fake);
	struct kvm_msr_entry entries[] = {{.index = 0x10, .data = 1}, {.index = 300, .data = 2}};
	uint32_t count = 42;
	/* More than were asked for. */
	fake_write(fake, 0, BYTES(7, 0x32, 5, 0x0a, 3, 5, 6, 7));
	assert_int_equal(crosvm_vcpu_get_msrs(vcpu, 2, entries, &count), -EPROTO);
	assert_int_equal(count, 0);
	assert_int_equal(entries[0].data, 1);
}

/* A table of another member before has taken the room; its numbers must not pass for MSRs. */
static void test_get_msrs_after_another(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = stopped(fake);
	struct kvm_msr_entry entries[] = {{.index = 0x10, .data = 1}, {.index = 300, .data = 2}};
	uint32_t count = 42;
	fake_write(fake, 0, BYTES(12, 0x4a, 4, 0x0a, 2, 0x08, 1, 0x32, 4, 0x0a, 2, 5, 6));
	int result = crosvm_vcpu_get_msrs(vcpu, 2, entries, &count);
	if (result == 0)
		assert_true(count == 2 && entries[0].data == 5 && entries[1].data == 6);
	else
		assert_int_equal(result, -EPROTO);
}

static void test_set_msrs(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = stopped(fake);
	const struct kvm_msr_entry entries[] = {{.index = 0x10, .data = 300}, {.index = 1}};
	fake_write(fake, 0, BYTES(2, 0x3a, 0));
	assert_int_equal(crosvm_vcpu_set_msrs(vcpu, 2, entries), 0);
	fake_expect_vcpu(fake, 0, BYTES(0x32, 11, 0x0a, 5, 0x08, 0x10, 0x10, 0xac, 0x02, 0x0a, 2, 0x08, 1));
	fake_write(fake, 0, BYTES(2, 0x3a, 0));
	assert_int_equal(crosvm_vcpu_set_msrs(vcpu, 0, NULL), 0);
	fake_expect_vcpu(fake, 0, BYTES(0x32, 0));
}

static void test_number_of_msrs(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = stopped(fake);
	static struct kvm_msr_entry entries[LIMIT_MSRS + 1];
	static uint64_t values[LIMIT_MSRS];
	for (uint32_t i = 0; i < LIMIT_MSRS; i++) {
		values[i] = UINT64_MAX - i;
		entries[i] = (struct kvm_msr_entry){.index = UINT32_MAX, .data = UINT64_MAX};
	}
	uint32_t count = 42;
	assert_int_equal(crosvm_vcpu_get_msrs(vcpu, LIMIT_MSRS + 1, entries, &count), -E2BIG);
	assert_int_equal(count, 0);
	assert_int_equal(crosvm_vcpu_set_msrs(vcpu, LIMIT_MSRS + 1, entries), -E2BIG);
	assert_int_equal(crosvm_vcpu_set_msrs(vcpu, UINT32_MAX, entries), -E2BIG);
	fake_expect_nothing(fake->requests[0]);

	fake_write(fake, 0, BYTES(2, 0x3a, 0));
	assert_int_equal(crosvm_vcpu_set_msrs(vcpu, LIMIT_MSRS, entries), 0);
	take_request(fake);
	wire_VcpuResponse response = {.which_message = wire_VcpuResponse_get_msrs_tag};
	response.message.get_msrs.entry_data = (struct wire_array){.items = values, .count = LIMIT_MSRS};
	fake_send(fake, 0, &response);
	assert_int_equal(crosvm_vcpu_get_msrs(vcpu, LIMIT_MSRS, entries, &count), 0);
	assert_int_equal(count, LIMIT_MSRS);
	for (uint32_t i = 0; i < LIMIT_MSRS; i++)
		assert_true(entries[i].data == values[i]);
}

/* ---- CPUID ---- */

static void test_set_cpuid(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = stopped(fake);
	const struct kvm_cpuid_entry2 entries[] = {
	    {.function = 7,
	     .index = 1,
	     .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
	     .eax = 2,
	     .ebx = 3,
	     .ecx = 4,
	     .edx = 5},
	    {.function = 300},
	};
	fake_write(fake, 0, BYTES(2, 0x42, 0));
	assert_int_equal(crosvm_vcpu_set_cpuid(vcpu, 2, entries), 0);
	fake_expect_vcpu(fake, 0,
	                 BYTES(0x3a, 21, 0x0a, 14, 0x08, 7, 0x18, 1, 0x20, 1, 0x28, 2, 0x30, 3, 0x38, 4, 0x40, 5,
	                       0x0a, 3, 0x08, 0xac, 0x02));
	fake_write(fake, 0, BYTES(2, 0x42, 0));
	assert_int_equal(crosvm_vcpu_set_cpuid(vcpu, 0, NULL), 0);
	fake_expect_vcpu(fake, 0, BYTES(0x3a, 0));
}

static void test_number_of_entries(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = stopped(fake);
	static struct kvm_cpuid_entry2 entries[LIMIT_CPUID_ENTRIES + 1];
	memset(entries, 0xff, sizeof(entries));
	assert_int_equal(crosvm_vcpu_set_cpuid(vcpu, LIMIT_CPUID_ENTRIES + 1, entries), -E2BIG);
	assert_int_equal(crosvm_vcpu_set_cpuid(vcpu, UINT32_MAX, entries), -E2BIG);
	fake_expect_nothing(fake->requests[0]);
	/* The longest table fits one request. */
	fake_write(fake, 0, BYTES(2, 0x42, 0));
	assert_int_equal(crosvm_vcpu_set_cpuid(vcpu, LIMIT_CPUID_ENTRIES, entries), 0);
	take_request(fake);
}

static void reply_hyperv(struct fake *fake, const wire_CpuidEntry *entries, uint32_t count)
{
	wire_VcpuResponse response = {.which_message = wire_VcpuResponse_get_hyperv_cpuid_tag};
	response.message.get_hyperv_cpuid.entries = (struct wire_array){.items = entries, .count = count};
	fake_send(fake, 0, &response);
}

static void test_hyperv_cpuid(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = stopped(fake);
	static const wire_CpuidEntry table[LIMIT_CPUID_ENTRIES + 1] = {{.function = 0x40000000, .edx = 5}};
	static struct kvm_cpuid_entry2 entries[LIMIT_CPUID_ENTRIES + 1];
	uint32_t count = 42;
	reply_hyperv(fake, table, 2);
	assert_int_equal(crosvm_get_hyperv_cpuid(vcpu, 3, entries, &count), 0);
	fake_expect_vcpu(fake, 0, BYTES(0x4a, 0));
	assert_int_equal(count, 2);
	assert_int_equal(entries[0].function, 0x40000000);
	assert_int_equal(entries[0].edx, 5);
	memset(entries, 0xff, sizeof(entries));
	reply_hyperv(fake, table, 2);
	assert_int_equal(crosvm_get_hyperv_cpuid(vcpu, 1, entries, &count), -E2BIG);
	assert_int_equal(count, 2);
	assert_int_equal(entries[0].function, UINT32_MAX);
	reply_hyperv(fake, table, LIMIT_CPUID_ENTRIES + 1);
	assert_int_equal(crosvm_get_hyperv_cpuid(vcpu, LIMIT_CPUID_ENTRIES + 1, entries, &count), -EPROTO);
}

/* ---- Capabilities ---- */

static void test_capability(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = stopped(fake);
	uint64_t args[4] = {0};
	fake_write(fake, 0, BYTES(2, 0x52, 0));
	assert_int_equal(crosvm_vcpu_enable_capability(vcpu, KVM_CAP_HYPERV_SYNIC, 0, args), 0);
	fake_expect_vcpu(fake, 0, BYTES(0x52, 2, 0x08, KVM_CAP_HYPERV_SYNIC));
	/* The message has no room for any of these. */
	assert_int_equal(crosvm_vcpu_enable_capability(vcpu, KVM_CAP_HYPERV_SYNIC, 1, args), -EINVAL);
	for (int i = 0; i < 4; i++) {
		args[i] = UINT64_C(1) << 63;
		assert_int_equal(crosvm_vcpu_enable_capability(vcpu, KVM_CAP_HYPERV_SYNIC, 0, args), -EINVAL);
		args[i] = 0;
	}
	assert_int_equal(crosvm_vcpu_enable_capability(vcpu, KVM_CAP_HYPERV_SYNIC, 0, NULL), -EINVAL);
	fake_expect_nothing(fake->requests[0]);
}

/* ---- What all of them have in common ---- */

enum { GET_MSRS, SET_MSRS, SET_CPUID, GET_HYPERV, ENABLE, CALLS };

static int call(struct crosvm_vcpu *vcpu, int which)
{
	struct kvm_msr_entry msr = {.index = 1};
	struct kvm_cpuid_entry2 entry = {.function = 1};
	uint64_t args[4] = {0};
	uint32_t count;
	switch (which) {
	case GET_MSRS:
		return crosvm_vcpu_get_msrs(vcpu, 1, &msr, &count);
	case SET_MSRS:
		return crosvm_vcpu_set_msrs(vcpu, 1, &msr);
	case SET_CPUID:
		return crosvm_vcpu_set_cpuid(vcpu, 1, &entry);
	case GET_HYPERV:
		return crosvm_get_hyperv_cpuid(vcpu, 1, &entry, &count);
	default:
		return crosvm_vcpu_enable_capability(vcpu, KVM_CAP_HYPERV_SYNIC2, 0, args);
	}
}

static void test_refusals(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = stopped(fake);
	static const int errors[] = {EINVAL, ENOTTY, EIO, E2BIG};
	for (int which = 0; which < CALLS; which++) {
		for (size_t i = 0; i < COUNT(errors); i++) {
			refuse(fake, errors[i]);
			assert_int_equal(call(vcpu, which), -errors[i]);
			take_request(fake);
		}
	}
	fake_resume(fake, 0);
}

static void test_another_reply(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = stopped(fake);
	for (int which = 0; which < CALLS; which++) {
		fake_write(fake, 0, BYTES(2, 0x2a, 0)); /* of set_state */
		assert_int_equal(call(vcpu, which), -EPROTO);
	}
}

/* Only while the vCPU stands at an event. */
static void test_running(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	for (int which = 0; which < CALLS; which++)
		assert_int_equal(call(fake_vcpu(fake, 0), which), -EBUSY);
	fake_init(fake, 0);
	fake_resume(fake, 0);
	for (int which = 0; which < CALLS; which++)
		assert_int_equal(call(fake_vcpu(fake, 0), which), -EBUSY);
	fake_expect_nothing(fake->requests[0]);
}

/* Registers that were set before are sent before what changes the vCPU. */
static void test_order(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = stopped(fake);
	static const struct kvm_regs regs = {.rax = 1};
	static const uint8_t replies[CALLS][3] = {
	    [SET_MSRS] = {2, 0x3a, 0}, [SET_CPUID] = {2, 0x42, 0}, [ENABLE] = {2, 0x52, 0}};
	static const uint8_t requests[CALLS] = {[SET_MSRS] = 0x32, [SET_CPUID] = 0x3a, [ENABLE] = 0x52};
	for (int which = 0; which < CALLS; which++) {
		if (!replies[which][0])
			continue;
		assert_int_equal(crosvm_vcpu_set_regs(vcpu, &regs), 0);
		fake_expect_nothing(fake->requests[0]);
		fake_write(fake, 0, BYTES(2, 0x2a, 0));
		fake_write(fake, 0, replies[which], 3);
		assert_int_equal(call(vcpu, which), 0);
		uint8_t buffer[LIMIT_VCPU_REQUEST_BYTES];
		assert_true(fake_read(fake, 0, buffer) > sizeof(regs));
		assert_int_equal(buffer[0], 0x22); /* set_state */
		fake_read(fake, 0, buffer);
		assert_int_equal(buffer[0], requests[which]);
	}
}

static void test_null(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = stopped(fake);
	struct kvm_msr_entry msr = {.index = 1};
	struct kvm_cpuid_entry2 entry = {.function = 1};
	uint32_t count = 42;
	for (int which = 0; which < CALLS; which++)
		assert_int_equal(call(NULL, which), -EINVAL);
	assert_int_equal(crosvm_vcpu_get_msrs(vcpu, 1, NULL, &count), -EINVAL);
	assert_int_equal(crosvm_vcpu_get_msrs(vcpu, 1, &msr, NULL), -EINVAL);
	assert_int_equal(crosvm_vcpu_set_msrs(vcpu, 1, NULL), -EINVAL);
	assert_int_equal(crosvm_vcpu_set_cpuid(vcpu, 1, NULL), -EINVAL);
	assert_int_equal(crosvm_get_hyperv_cpuid(vcpu, 1, NULL, &count), -EINVAL);
	assert_int_equal(crosvm_get_hyperv_cpuid(vcpu, 1, &entry, NULL), -EINVAL);
	assert_int_equal(count, 42);
	fake_expect_nothing(fake->requests[0]);
}

static void test_retired(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = stopped(fake);
	assert_int_equal(crosvm_destroy_connection(&fake->plugin), 0);
	for (int which = 0; which < CALLS; which++)
		assert_int_equal(call(vcpu, which), -ENOTCONN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_get_msrs),
	    TEST(test_get_msrs_nonsense),
	    TEST(test_get_msrs_after_another),
	    TEST(test_set_msrs),
	    TEST(test_number_of_msrs),
	    TEST(test_set_cpuid),
	    TEST(test_number_of_entries),
	    TEST(test_hyperv_cpuid),
	    TEST(test_capability),
	    TEST(test_refusals),
	    TEST(test_another_reply),
	    TEST(test_running),
	    TEST(test_order),
	    TEST(test_null),
	    TEST(test_retired),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
