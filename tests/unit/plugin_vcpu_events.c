/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the events that API 0.23 adds, over sockets and over pipes: what crosvm_vcpu_wait() makes of each, what
 * crosvm_vcpu_resume() answers, and that they keep their order among replies.
 */
#include "plugin_fake_host.c"

#include "wire/event.h"

static void run(void **state, void (*test)(struct fake *fake, struct crosvm_vcpu *vcpu))
{
	for (enum fake_kind kind = FAKE_SOCKETS; kind <= FAKE_PIPES; kind++) {
		struct fake *fake = *state;
		fake_connect_ours(fake, kind, 1);
		fake_init(fake, 0);
		fake_resume(fake, 0);
		test(fake, fake_vcpu(fake, 0));
		fake_teardown(state);
		fake_setup(state);
	}
}

static wire_VcpuResponse make_event(pb_size_t exit)
{
	wire_VcpuResponse response = {.which_message = wire_VcpuResponse_event_tag};
	response.message.event.which_exit = exit;
	return response;
}

static struct crosvm_vcpu_event wait_event(struct fake *fake, struct crosvm_vcpu *vcpu,
                                           const wire_VcpuResponse *response, uint32_t kind)
{
	struct crosvm_vcpu_event event;
	memset(&event, 0xff, sizeof(event));
	fake_send(fake, 0, response);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	assert_int_equal(event.kind, kind);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -EBUSY);
	return event;
}

/* Resume, and expect the answer. */
static void check_answer(struct fake *fake, struct crosvm_vcpu *vcpu, uint64_t data, uint32_t action)
{
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	wire_VcpuRequest request = fake_take_vcpu(fake, 0, NULL);
	assert_int_equal(request.which_message, wire_VcpuRequest_resume_tag);
	struct wire_event_answer expected = {.data = data, .action = action};
	assert_int_equal(request.message.resume.data.size, sizeof(expected));
	assert_memory_equal(request.message.resume.data.data, &expected, sizeof(expected));
	assert_int_equal(crosvm_vcpu_resume(vcpu), -EINVAL);
}

static void check_msr(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	wire_VcpuResponse response = make_event(wire_VcpuResponse_Event_msr_tag);
	wire_VcpuResponse_Event_Msr *msr = &response.message.event.exit.msr;
	*msr = (wire_VcpuResponse_Event_Msr){
	    .index = 0xc0000080, .reason = KVM_MSR_EXIT_REASON_FILTER, .data = 77};
	struct crosvm_vcpu_event event = wait_event(fake, vcpu, &response, CROSVM_VCPU_EVENT_KIND_MSR);
	assert_int_equal(event.msr.index, 0xc0000080);
	assert_int_equal(event.msr.is_write, 0);
	assert_int_equal(event.msr.reason, KVM_MSR_EXIT_REASON_FILTER);
	assert_int_equal(*event.msr.data, 0);
	assert_int_equal(*event.msr.fault, 0);
	*event.msr.data = UINT64_C(0x1122334455667788);
	check_answer(fake, vcpu, UINT64_C(0x1122334455667788), 0);

	msr->is_write = true;
	event = wait_event(fake, vcpu, &response, CROSVM_VCPU_EVENT_KIND_MSR);
	assert_int_equal(event.msr.is_write, 1);
	assert_int_equal(*event.msr.data, 77);
	/* The answer of before is not this one's. */
	assert_int_equal(*event.msr.fault, 0);
	*event.msr.fault = 1;
	check_answer(fake, vcpu, 77, 1);
}

static void test_msr(void **state)
{
	run(state, check_msr);
}

static void check_debug(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	wire_VcpuResponse response = make_event(wire_VcpuResponse_Event_debug_tag);
	response.message.event.exit.debug = (wire_VcpuResponse_Event_Debug){
	    .exception = 3, .pc = UINT64_MAX, .dr6 = 0xffff0ff0, .dr7 = 0x400};
	struct crosvm_vcpu_event event = wait_event(fake, vcpu, &response, CROSVM_VCPU_EVENT_KIND_DEBUG);
	assert_int_equal(event.debug.exception, 3);
	assert_true(event.debug.pc == UINT64_MAX);
	assert_int_equal(event.debug.dr6, 0xffff0ff0);
	assert_int_equal(event.debug.dr7, 0x400);
	fake_resume(fake, 0);
}

static void test_debug(void **state)
{
	run(state, check_debug);
}

static void check_without_answer(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	wire_VcpuResponse hlt = make_event(wire_VcpuResponse_Event_hlt_tag);
	wait_event(fake, vcpu, &hlt, CROSVM_VCPU_EVENT_KIND_HLT);
	fake_resume(fake, 0);
	wire_VcpuResponse window = make_event(wire_VcpuResponse_Event_irq_window_tag);
	wait_event(fake, vcpu, &window, CROSVM_VCPU_EVENT_KIND_IRQ_WINDOW);
	fake_resume(fake, 0);
	wire_VcpuResponse eoi = make_event(wire_VcpuResponse_Event_ioapic_eoi_tag);
	eoi.message.event.exit.ioapic_eoi.vector = 0x31;
	struct crosvm_vcpu_event event = wait_event(fake, vcpu, &eoi, CROSVM_VCPU_EVENT_KIND_IOAPIC_EOI);
	assert_int_equal(event.ioapic_eoi.vector, 0x31);
	fake_resume(fake, 0);
}

static void test_without_answer(void **state)
{
	run(state, check_without_answer);
}

static void check_shutdown(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	wire_VcpuResponse response = make_event(wire_VcpuResponse_Event_shutdown_tag);
	struct crosvm_vcpu_event event = wait_event(fake, vcpu, &response, CROSVM_VCPU_EVENT_KIND_SHUTDOWN);
	assert_int_equal(event.failure.data_count, 0);
	assert_int_equal(*event.failure.go_on, 0);
	check_answer(fake, vcpu, 0, 0);
	event = wait_event(fake, vcpu, &response, CROSVM_VCPU_EVENT_KIND_SHUTDOWN);
	*event.failure.go_on = 1;
	check_answer(fake, vcpu, 0, 1);
	event = wait_event(fake, vcpu, &response, CROSVM_VCPU_EVENT_KIND_SHUTDOWN);
	assert_int_equal(*event.failure.go_on, 0);
}

static void test_shutdown(void **state)
{
	run(state, check_shutdown);
}

static void check_internal_error(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	uint64_t words[16];
	for (uint64_t i = 0; i < 16; i++)
		words[i] = UINT64_MAX - i;
	for (uint32_t count = 0; count <= 16; count++) {
		wire_VcpuResponse response = make_event(wire_VcpuResponse_Event_internal_error_tag);
		response.message.event.exit.internal_error.suberror = 3;
		response.message.event.exit.internal_error.data = (struct wire_array){.items = words,
		                                                                      .count = count};
		struct crosvm_vcpu_event event = wait_event(fake, vcpu, &response,
		                                            CROSVM_VCPU_EVENT_KIND_INTERNAL_ERROR);
		assert_int_equal(event.failure.suberror, 3);
		assert_int_equal(event.failure.data_count, count);
		for (uint32_t i = 0; i < 6; i++)
			assert_true(event.failure.data[i] == (i < count ? words[i] : 0));
		*event.failure.go_on = count % 2;
		check_answer(fake, vcpu, 0, count % 2);
	}
}

static void test_internal_error(void **state)
{
	run(state, check_internal_error);
}

/* The host took nothing of the last resume, and says so with the event again. */
static void check_refused_resume(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	wire_VcpuResponse response = make_event(wire_VcpuResponse_Event_msr_tag);
	response.message.event.exit.msr.index = 0x10;
	response.error = EINVAL;
	struct crosvm_vcpu_event event;
	fake_send(fake, 0, &response);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -EINVAL);
	assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_MSR);
	assert_int_equal(event.msr.index, 0x10);
	check_answer(fake, vcpu, 0, 0);
}

static void test_refused_resume(void **state)
{
	run(state, check_refused_resume);
}

/* What comes while a reply is awaited is for the next wait. */
static void check_before_reply(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	wire_VcpuResponse hlt = make_event(wire_VcpuResponse_Event_hlt_tag);
	wait_event(fake, vcpu, &hlt, CROSVM_VCPU_EVENT_KIND_HLT);
	uint64_t words[2] = {5, 6};
	wire_VcpuResponse failure = make_event(wire_VcpuResponse_Event_internal_error_tag);
	failure.message.event.exit.internal_error.data = (struct wire_array){.items = words, .count = 2};
	uint64_t values[] = {7};
	wire_VcpuResponse msrs = {.which_message = wire_VcpuResponse_get_msrs_tag};
	msrs.message.get_msrs.entry_data = (struct wire_array){.items = values, .count = 1};
	fake_send(fake, 0, &failure);
	fake_send(fake, 0, &msrs);
	struct kvm_msr_entry entry = {.index = 1};
	uint32_t count;
	assert_int_equal(crosvm_vcpu_get_msrs(vcpu, 1, &entry, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(entry.data, 7);
	fake_take_vcpu(fake, 0, NULL);
	fake_resume(fake, 0);
	struct crosvm_vcpu_event event;
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_INTERNAL_ERROR);
	assert_int_equal(event.failure.data_count, 2);
	assert_int_equal(event.failure.data[1], 6);
}

static void test_before_reply(void **state)
{
	run(state, check_before_reply);
}

/* Nobody can answer an event that he does not know. */
static void check_unknown(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	struct crosvm_vcpu_event event;
	fake_write(fake, 0, BYTES(6, 0xb2, 0x09, 3, 0xf2, 0x01, 0));
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -EPROTO);
	assert_int_equal(crosvm_vcpu_resume(vcpu), -EPROTO);
	fake_expect_nothing(fake->requests[0]);
}

static void test_unknown(void **state)
{
	run(state, check_unknown);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_msr),          TEST(test_debug),          TEST(test_without_answer),
	    TEST(test_shutdown),     TEST(test_internal_error), TEST(test_refused_resume),
	    TEST(test_before_reply), TEST(test_unknown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
