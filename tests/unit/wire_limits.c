/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that the limits fit together: what the host accepts and sends fits the buffers that it has for it.
 */
#include "test.h"

#include <string.h>

#include "base/packet.h"
#include "host/link.h"
#include "host/objects.h"
#include "host/session.h"
#include "plugvm.h"
#include "wire/limits.h"

static const struct {
	const char *name;
	long value;
	const char *unit, *reason;
} limits[] = {
#define LIMIT(name, value, unit, reason) {#name, value, unit, reason},
    WIRE_LIMITS(LIMIT)
#undef LIMIT
};

static void test_list(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		assert_true(limits[i].value > 0);
		assert_true(limits[i].unit[0] && limits[i].reason[0]);
		for (size_t other = 0; other < i; other++)
			assert_string_not_equal(limits[i].name, limits[other].name);
	}
}

/* What a program is told at run time is the same list. */
static void test_told(void **state)
{
	(void)state;
	const struct plugvm_limit *told = plugvm_limits();
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++, told++) {
		assert_string_equal(told->name, limits[i].name);
		assert_int_equal(told->value, limits[i].value);
		assert_string_equal(told->unit, limits[i].unit);
		assert_string_equal(told->reason, limits[i].reason);
	}
	assert_null(told->name);
}

static void test_fds(void **state)
{
	(void)state;
	assert_true(REPLY_FDS_MAX <= PACKET_FDS_MAX);
	assert_int_equal(REPLY_FDS_MAX, 2 * LIMIT_VCPUS_PER_REPLY);
	assert_true(LIMIT_BASELINE_VCPUS <= LIMIT_VCPUS_PER_REPLY && LIMIT_VCPUS_PER_REPLY <= LIMIT_VCPUS);
	assert_true(LIMIT_REQUEST_FDS + 2 <= PACKET_FDS_MAX);
}

/* The longest messages that the host makes fit what it has for them, and what its peer takes. */
static void test_longest_response(void **state)
{
	(void)state;
	static uint8_t data[LIMIT_ACCESS_BYTES], buffer[LINK_RESPONSE_BYTES];
	memset(data, 0xff, sizeof(data));
	wire_VcpuResponse response = {.error = INT32_MIN, .which_message = wire_VcpuResponse_wait_tag};
	response.message.wait.which_exit = wire_VcpuResponse_Wait_io_tag;
	response.message.wait.exit.io = (wire_VcpuResponse_Wait_Io){
	    .space = wire_AddressSpace_MMIO,
	    .address = UINT64_MAX,
	    .is_write = true,
	    .no_resume = true,
	    .data = {data, sizeof(data)},
	    .regs = {data, sizeof(struct kvm_regs)},
	    .sregs = {data, sizeof(struct kvm_sregs)},
	    .debugregs = {data, sizeof(struct kvm_debugregs)},
	};
	assert_true(wire_encode_vcpu_response(&response, buffer, sizeof(buffer)) > 0);

	response = (wire_VcpuResponse){.error = INT32_MIN, .which_message = wire_VcpuResponse_get_state_tag};
	response.message.get_state.state = (struct wire_bytes){data, sizeof(union vcpu_state)};
	assert_true(wire_encode_vcpu_response(&response, buffer, sizeof(buffer)) > 0);

	static wire_CpuidEntry entries[LIMIT_CPUID_ENTRIES];
	for (uint32_t i = 0; i < LIMIT_CPUID_ENTRIES; i++)
		entries[i] = (wire_CpuidEntry){UINT32_MAX, true,       UINT32_MAX, UINT32_MAX,
		                               UINT32_MAX, UINT32_MAX, UINT32_MAX};
	response = (wire_VcpuResponse){.error = INT32_MIN,
	                               .which_message = wire_VcpuResponse_get_hyperv_cpuid_tag};
	response.message.get_hyperv_cpuid.entries = (struct wire_array){.items = entries,
	                                                                .count = LIMIT_CPUID_ENTRIES};
	assert_true(wire_encode_vcpu_response(&response, buffer, sizeof(buffer)) > 0);
	static uint64_t values[LIMIT_MSRS];
	memset(values, 0xff, sizeof(values));
	response = (wire_VcpuResponse){.error = INT32_MIN, .which_message = wire_VcpuResponse_get_msrs_tag};
	response.message.get_msrs.entry_data = (struct wire_array){.items = values, .count = LIMIT_MSRS};
	assert_true(wire_encode_vcpu_response(&response, buffer, sizeof(buffer)) > 0);

	/* As much as the host lets a set have (vcpu_requests_x86.c), with the frame around it. */
	static uint8_t longest[LIMIT_VCPU_RESPONSE_BYTES - 64];
	response = (wire_VcpuResponse){.error = INT32_MIN, .which_message = wire_VcpuResponse_get_ext_state_tag};
	response.message.get_ext_state.state = (struct wire_bytes){longest, sizeof(longest)};
	ssize_t size = wire_encode_vcpu_response(&response, buffer, sizeof(buffer));
	assert_true(size > 0 && size + WIRE_FRAME_HEADER_MAX <= LIMIT_VCPU_RESPONSE_BYTES);
}

/* The longest resume that an honest plugin sends is taken. */
static void test_longest_request(void **state)
{
	(void)state;
	static uint8_t data[LIMIT_ACCESS_BYTES], buffer[LIMIT_VCPU_REQUEST_BYTES];
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_resume_tag};
	request.message.resume = (wire_VcpuRequest_Resume){
	    .data = {data, sizeof(data)},
	    .regs = {data, sizeof(struct kvm_regs)},
	    .sregs = {data, sizeof(struct kvm_sregs)},
	    .debugregs = {data, sizeof(struct kvm_debugregs)},
	};
	assert_true(wire_encode_vcpu_request(&request, buffer, sizeof(buffer)) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_list),
	    cmocka_unit_test(test_told),
	    cmocka_unit_test(test_fds),
	    cmocka_unit_test(test_longest_response),
	    cmocka_unit_test(test_longest_request),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
