/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what the functions of API 0.23 send for a vCPU that stands still, what they make of the answers, and their
 * place among registers that were set and snapshots that came with an event.
 */
#include "plugin_fake_host.c"

/* Bring vCPU 0 to INIT on a host that has everything. */
static struct crosvm_vcpu *begin(struct fake *fake)
{
	fake_connect_ours(fake, FAKE_SOCKETS, 1);
	fake_init(fake, 0);
	return fake_vcpu(fake, 0);
}

static void send_ext(struct fake *fake, const void *state, size_t size)
{
	wire_VcpuResponse response = {.which_message = wire_VcpuResponse_get_ext_state_tag};
	response.message.get_ext_state.state = (struct wire_bytes){state, size};
	fake_send(fake, 0, &response);
}

/* ---- Sets ---- */

struct set {
	uint8_t number;
	int (*get)(struct crosvm_vcpu *, uint32_t, void *, uint32_t *);
	int (*set)(struct crosvm_vcpu *, uint32_t, const void *);
};

static const struct set sets[] = {
    {0, crosvm_vcpu_get_xsave, crosvm_vcpu_set_xsave},
    {2, crosvm_vcpu_get_nested_state, crosvm_vcpu_set_nested_state},
};

#define LONGEST (LIMIT_VCPU_REQUEST_BYTES - 32)

static uint8_t value[LIMIT_VCPU_REQUEST_BYTES], out[LIMIT_VCPU_REQUEST_BYTES];

static void expect_get(struct fake *fake, const struct set *set)
{
	if (set->number == 0)
		fake_expect_vcpu(fake, 0, BYTES(0xb2, 0x06, 0));
	else
		fake_expect_vcpu(fake, 0, BYTES(0xb2, 0x06, 2, 0x08, set->number));
}

static void check_get(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	const size_t sizes[] = {0, 1, 4096, LONGEST};
	for (size_t i = 0; i < 4; i++) {
		uint32_t size = 99;
		memset(out, 0x55, sizeof(out));
		send_ext(fake, value, sizes[i]);
		assert_int_equal(set->get(vcpu, (uint32_t)sizes[i], out, &size), 0);
		expect_get(fake, set);
		assert_int_equal(size, sizes[i]);
		assert_memory_equal(out, value, sizes[i] + (sizes[i] == 0));
		if (sizes[i] == 0)
			continue;
		memset(out, 0x55, sizeof(out));
		send_ext(fake, value, sizes[i]);
		assert_int_equal(set->get(vcpu, (uint32_t)sizes[i] - 1, out, &size), -E2BIG);
		expect_get(fake, set);
		assert_int_equal(size, sizes[i]);
		assert_int_equal(out[0], 0x55);
	}
	uint32_t size = 99;
	send_ext(fake, value, 8);
	assert_int_equal(set->get(vcpu, 0, NULL, &size), -E2BIG);
	expect_get(fake, set);
	assert_int_equal(size, 8);
	assert_int_equal(set->get(vcpu, 1, NULL, &size), -EINVAL);
	assert_int_equal(set->get(vcpu, 1, out, NULL), -EINVAL);
	fake_expect_nothing(fake->requests[0]);
}

static void check_set(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	const size_t sizes[] = {0, 1, 4096, LONGEST};
	for (size_t i = 0; i < 4; i++) {
		fake_send_empty(fake, 0, wire_VcpuResponse_set_ext_state_tag);
		assert_int_equal(set->set(vcpu, (uint32_t)sizes[i], value), 0);
		wire_VcpuRequest request = fake_take_vcpu(fake, 0, NULL);
		assert_int_equal(request.which_message, wire_VcpuRequest_set_ext_state_tag);
		assert_int_equal(request.message.set_ext_state.set, set->number);
		assert_int_equal(request.message.set_ext_state.state.size, sizes[i]);
		if (sizes[i] > 0)
			assert_memory_equal(request.message.set_ext_state.state.data, value, sizes[i]);
	}
	assert_int_equal(set->set(vcpu, LONGEST + 1, value), -EINVAL);
	assert_int_equal(set->set(vcpu, 1, NULL), -EINVAL);
	fake_expect_nothing(fake->requests[0]);
}

static void test_sets(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)(i * 11 + i / 256);
	value[0] = 0x55;
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		check_get(fake, vcpu, &sets[i]);
		check_set(fake, vcpu, &sets[i]);
	}
}

static void test_tsc_khz(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	uint32_t khz = 0;
	send_ext(fake, "\x78\x56\x34\x12\x99", 4);
	assert_int_equal(crosvm_vcpu_get_tsc_khz(vcpu, &khz), 0);
	assert_int_equal(khz, 0x12345678);
	fake_expect_vcpu(fake, 0, BYTES(0xb2, 0x06, 2, 0x08, 1));
	for (size_t size = 0; size <= 5; size++) {
		if (size == 4)
			continue;
		send_ext(fake, "12345", size);
		assert_int_equal(crosvm_vcpu_get_tsc_khz(vcpu, &khz), -EPROTO);
		fake_take_vcpu(fake, 0, NULL);
	}
	assert_int_equal(khz, 0x12345678);
	fake_send_empty(fake, 0, wire_VcpuResponse_set_ext_state_tag);
	assert_int_equal(crosvm_vcpu_set_tsc_khz(vcpu, 0x12345678), 0);
	fake_expect_vcpu(fake, 0, BYTES(0xba, 0x06, 8, 0x08, 1, 0x12, 4, 0x78, 0x56, 0x34, 0x12));
	assert_int_equal(crosvm_vcpu_get_tsc_khz(vcpu, NULL), -EINVAL);
}

/* ---- Among other state ---- */

/* Bring vCPU 0 to an access with a snapshot of its regs. */
static void wait_with_regs(struct fake *fake, struct crosvm_vcpu *vcpu, uint64_t rax)
{
	struct kvm_regs regs = {.rax = rax};
	wire_VcpuResponse io = fake_io("x", 1);
	io.message.wait.exit.io.regs = (struct wire_bytes){(const uint8_t *)&regs, sizeof(regs)};
	fake_resume(fake, 0);
	fake_send(fake, 0, &io);
	struct crosvm_vcpu_event event;
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	assert_int_equal(crosvm_vcpu_get_regs(vcpu, &regs), 0);
	assert_int_equal(regs.rax, rax);
	fake_expect_nothing(fake->requests[0]);
}

static void check_regs_are_fetched(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	struct kvm_regs regs = {.rax = 2};
	wire_VcpuResponse response = {.which_message = wire_VcpuResponse_get_state_tag};
	response.message.get_state.state = (struct wire_bytes){(const uint8_t *)&regs, sizeof(regs)};
	fake_send(fake, 0, &response);
	struct kvm_regs fetched;
	assert_int_equal(crosvm_vcpu_get_regs(vcpu, &fetched), 0);
	assert_int_equal(fetched.rax, 2);
	fake_expect_vcpu(fake, 0, BYTES(0x1a, 0));
}

/* What came with the event is not what the vCPU has after that. */
static void test_stale_snapshot(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	wait_with_regs(fake, vcpu, 1);
	fake_send_empty(fake, 0, wire_VcpuResponse_set_ext_state_tag);
	assert_int_equal(crosvm_vcpu_set_nested_state(vcpu, 1, "x"), 0);
	fake_take_vcpu(fake, 0, NULL);
	check_regs_are_fetched(fake, vcpu);
}

/* An MSR may be among the sregs. */
static void test_stale_after_msrs(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	wait_with_regs(fake, vcpu, 1);
	struct kvm_msr_entry entry = {.index = 0xc0000080};
	fake_write(fake, 0, BYTES(2, 0x3a, 0));
	assert_int_equal(crosvm_vcpu_set_msrs(vcpu, 1, &entry), 0);
	fake_take_vcpu(fake, 0, NULL);
	check_regs_are_fetched(fake, vcpu);
}

static void test_stale_after_set(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	wait_with_regs(fake, vcpu, 1);
	static const struct kvm_lapic_state lapic;
	fake_send_empty(fake, 0, wire_VcpuResponse_set_state_tag);
	assert_int_equal(crosvm_vcpu_set_lapic_state(vcpu, &lapic), 0);
	fake_take_vcpu(fake, 0, NULL);
	check_regs_are_fetched(fake, vcpu);
}

static void expect_set_regs(struct fake *fake, uint64_t rax)
{
	wire_VcpuRequest request = fake_take_vcpu(fake, 0, NULL);
	assert_int_equal(request.which_message, wire_VcpuRequest_set_state_tag);
	assert_int_equal(request.message.set_state.set, wire_VcpuRequest_StateSet_REGS);
	struct kvm_regs regs;
	assert_int_equal(request.message.set_state.state.size, sizeof(regs));
	memcpy(&regs, request.message.set_state.state.data, sizeof(regs));
	assert_int_equal(regs.rax, rax);
}

/* What was set goes before everything that it could change or be changed by, and then not again. */
static void test_deferred_first(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	struct kvm_regs regs = {.rax = 3};
	uint32_t size;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(crosvm_vcpu_set_regs(vcpu, &regs), 0);
		fake_expect_nothing(fake->requests[0]);
		fake_send_empty(fake, 0, wire_VcpuResponse_set_state_tag);
		if (i == 0) {
			fake_send_empty(fake, 0, wire_VcpuResponse_set_ext_state_tag);
			assert_int_equal(crosvm_vcpu_set_xsave(vcpu, 1, "x"), 0);
		} else if (i == 1) {
			fake_send_empty(fake, 0, wire_VcpuResponse_set_ext_state_tag);
			assert_int_equal(crosvm_vcpu_set_nested_state(vcpu, 1, "x"), 0);
		} else if (i == 2) {
			fake_send_empty(fake, 0, wire_VcpuResponse_nmi_tag);
			assert_int_equal(crosvm_vcpu_nmi(vcpu), 0);
		} else {
			struct kvm_translation translation = {.linear_address = 1};
			fake_send_empty(fake, 0, wire_VcpuResponse_translate_tag);
			assert_int_equal(crosvm_vcpu_translate(vcpu, &translation), 0);
		}
		expect_set_regs(fake, 3);
		fake_take_vcpu(fake, 0, NULL);
		fake_expect_nothing(fake->requests[0]);
	}
	/* Reading the FPU has nothing to do with it. */
	assert_int_equal(crosvm_vcpu_set_regs(vcpu, &regs), 0);
	send_ext(fake, "x", 1);
	assert_int_equal(crosvm_vcpu_get_xsave(vcpu, 1, out, &size), 0);
	fake_expect_vcpu(fake, 0, BYTES(0xb2, 0x06, 0));
	/* If they are refused, what would have come next does not go. */
	wire_VcpuResponse refusal = {.error = EINVAL};
	fake_send(fake, 0, &refusal);
	assert_int_equal(crosvm_vcpu_set_xsave(vcpu, 1, "x"), -EINVAL);
	expect_set_regs(fake, 3);
	fake_resume(fake, 0);
}

/* ---- Commands ---- */

static void test_msrs_counted(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	struct kvm_msr_entry entries[LIMIT_MSRS + 1] = {{.index = 1, .data = 2}, {.index = 3, .data = 4}};
	wire_VcpuResponse response = {.which_message = wire_VcpuResponse_set_msrs_counted_tag};
	uint32_t count = 99;
	for (uint32_t set = 0; set <= 3; set++) {
		response.message.set_msrs_counted.count = set;
		fake_send(fake, 0, &response);
		assert_int_equal(crosvm_vcpu_set_msrs_counted(vcpu, 2, entries, &count), set <= 2 ? 0 : -EPROTO);
		assert_int_equal(count, set <= 2 ? set : 0);
		fake_expect_vcpu(fake, 0,
		                 BYTES(0xa2, 0x06, 12, 0x0a, 4, 0x08, 1, 0x10, 2, 0x0a, 4, 0x08, 3, 0x10, 4));
	}
	response.message.set_msrs_counted.count = 0;
	fake_send(fake, 0, &response);
	assert_int_equal(crosvm_vcpu_set_msrs_counted(vcpu, 0, NULL, &count), 0);
	fake_expect_vcpu(fake, 0, BYTES(0xa2, 0x06, 0));
	assert_int_equal(crosvm_vcpu_set_msrs_counted(vcpu, LIMIT_MSRS + 1, entries, &count), -E2BIG);
	assert_int_equal(crosvm_vcpu_set_msrs_counted(vcpu, 1, NULL, &count), -EINVAL);
	assert_int_equal(crosvm_vcpu_set_msrs_counted(vcpu, 1, entries, NULL), -EINVAL);
	fake_expect_nothing(fake->requests[0]);
}

static void test_injection(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	fake_send_empty(fake, 0, wire_VcpuResponse_interrupt_tag);
	assert_int_equal(crosvm_vcpu_interrupt(vcpu, 0x31), 0);
	fake_expect_vcpu(fake, 0, BYTES(0xc2, 0x06, 2, 0x08, 0x31));
	wire_VcpuResponse refusal = {.error = EAGAIN};
	fake_send(fake, 0, &refusal);
	assert_int_equal(crosvm_vcpu_interrupt(vcpu, 0), -EAGAIN);
	fake_expect_vcpu(fake, 0, BYTES(0xc2, 0x06, 0));
	fake_send_empty(fake, 0, wire_VcpuResponse_nmi_tag);
	assert_int_equal(crosvm_vcpu_nmi(vcpu), 0);
	fake_expect_vcpu(fake, 0, BYTES(0xca, 0x06, 0));
	fake_send_empty(fake, 0, wire_VcpuResponse_request_irq_window_tag);
	assert_int_equal(crosvm_vcpu_request_irq_window(vcpu, true), 0);
	fake_expect_vcpu(fake, 0, BYTES(0xd2, 0x06, 2, 0x08, 1));
	fake_send_empty(fake, 0, wire_VcpuResponse_request_irq_window_tag);
	assert_int_equal(crosvm_vcpu_request_irq_window(vcpu, false), 0);
	fake_expect_vcpu(fake, 0, BYTES(0xd2, 0x06, 0));
	/* Another's reply is none. */
	fake_send_empty(fake, 0, wire_VcpuResponse_nmi_tag);
	assert_int_equal(crosvm_vcpu_interrupt(vcpu, 1), -EPROTO);
}

static void test_guest_debug(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	struct kvm_guest_debug debug;
	memset(&debug, 0x5a, sizeof(debug));
	fake_send_empty(fake, 0, wire_VcpuResponse_set_guest_debug_tag);
	assert_int_equal(crosvm_vcpu_set_guest_debug(vcpu, &debug), 0);
	wire_VcpuRequest request = fake_take_vcpu(fake, 0, NULL);
	assert_int_equal(request.which_message, wire_VcpuRequest_set_guest_debug_tag);
	assert_int_equal(request.message.set_guest_debug.debug.size, sizeof(debug));
	assert_memory_equal(request.message.set_guest_debug.debug.data, &debug, sizeof(debug));
	assert_int_equal(crosvm_vcpu_set_guest_debug(vcpu, NULL), -EINVAL);
}

static void test_translate(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	for (int i = 0; i < 4; i++) {
		struct kvm_translation translation;
		memset(&translation, 0xff, sizeof(translation));
		translation.linear_address = 0x1234;
		wire_VcpuResponse response = {.which_message = wire_VcpuResponse_translate_tag};
		response.message.translate = (wire_VcpuResponse_Translate){
		    .physical_address = 0x5678, .valid = i == 1, .writeable = i == 2, .usermode = i == 3};
		fake_send(fake, 0, &response);
		assert_int_equal(crosvm_vcpu_translate(vcpu, &translation), 0);
		fake_expect_vcpu(fake, 0, BYTES(0xe2, 0x06, 3, 0x08, 0xb4, 0x24));
		assert_int_equal(translation.linear_address, 0x1234);
		assert_int_equal(translation.physical_address, 0x5678);
		assert_int_equal(translation.valid, i == 1);
		assert_int_equal(translation.writeable, i == 2);
		assert_int_equal(translation.usermode, i == 3);
	}
	assert_int_equal(crosvm_vcpu_translate(vcpu, NULL), -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_sets),
	    TEST(test_tsc_khz),
	    TEST(test_stale_snapshot),
	    TEST(test_stale_after_msrs),
	    TEST(test_stale_after_set),
	    TEST(test_deferred_first),
	    TEST(test_msrs_counted),
	    TEST(test_injection),
	    TEST(test_guest_debug),
	    TEST(test_translate),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
