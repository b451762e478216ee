/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks a vCPU's events and answers, over sockets and over pipes: what crosvm_vcpu_wait() makes of each event,
 * what crosvm_vcpu_resume() sends for it, that calls out of phase are refused and touch nothing, and what
 * becomes of events that no host should send.
 */
#include "plugin_fake_host.c"

static void run(void **state, void (*test)(struct fake *fake, struct crosvm_vcpu *vcpu))
{
	for (enum fake_kind kind = FAKE_SOCKETS; kind <= FAKE_PIPES; kind++) {
		struct fake *fake = *state;
		fake_connect(fake, kind, 2);
		test(fake, fake_vcpu(fake, 1));
		fake_teardown(state);
		fake_setup(state);
	}
}

/* Bring vCPU 1 to an I/O event and return it. */
static struct crosvm_vcpu_event wait_io(struct fake *fake, struct crosvm_vcpu *vcpu, const wire_VcpuResponse *io)
{
	struct crosvm_vcpu_event event;
	fake_send(fake, 1, io);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	return event;
}

/* Nothing can be done with the state of a vCPU that runs, and nothing is sent. */
static void check_running(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	memset(&regs, 0, sizeof(regs));
	memset(&sregs, 0, sizeof(sregs));
	assert_int_equal(crosvm_vcpu_resume(vcpu), -EINVAL);
	assert_int_equal(crosvm_vcpu_get_regs(vcpu, &regs), -EBUSY);
	assert_int_equal(crosvm_vcpu_set_regs(vcpu, &regs), -EBUSY);
	assert_int_equal(crosvm_vcpu_get_sregs(vcpu, &sregs), -EBUSY);
	assert_int_equal(crosvm_vcpu_set_sregs(vcpu, &sregs), -EBUSY);
	fake_expect_nothing(fake->requests[1]);
}

static void check_stopped(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	struct crosvm_vcpu_event event;
	memset(&event, 0x55, sizeof(event));
	struct crosvm_vcpu_event untouched = event;
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -EBUSY);
	assert_memory_equal(&event, &untouched, sizeof(event));
	fake_expect_nothing(fake->requests[1]);
}

static void check_broken(struct crosvm_vcpu *vcpu, int error)
{
	struct crosvm_vcpu_event event;
	struct kvm_regs regs;
	memset(&regs, 0, sizeof(regs));
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), error);
	assert_int_equal(crosvm_vcpu_resume(vcpu), error);
	assert_int_equal(crosvm_vcpu_get_regs(vcpu, &regs), error);
	assert_int_equal(crosvm_vcpu_set_regs(vcpu, &regs), error);
}

/* ---- Phases ---- */

static void check_phases(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	check_running(fake, vcpu);
	fake_init(fake, 1);
	check_stopped(fake, vcpu);
	/* Also when the next event is there already, which stays. */
	wire_VcpuResponse next = fake_io("x", 1);
	fake_send(fake, 1, &next);
	check_stopped(fake, vcpu);
	fake_resume(fake, 1);
	check_running(fake, vcpu);
	struct crosvm_vcpu_event event;
	/* The Wait message is sent once only. */
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	check_stopped(fake, vcpu);
	/* The other vCPU has phases of its own. */
	fake_init(fake, 0);
	check_stopped(fake, vcpu);
}

static void test_phases(void **state)
{
	run(state, check_phases);
}

/* ---- Events ---- */

static void check_init(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	struct crosvm_vcpu_event event, expected;
	memset(&event, 0xff, sizeof(event));
	memset(&expected, 0, sizeof(expected));
	fake_write(fake, 1, FRAME_INIT);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	assert_memory_equal(&event, &expected, sizeof(event));
	fake_expect_vcpu(fake, 1, REQUEST_WAIT);
	fake_resume(fake, 1);
}

static void test_init(void **state)
{
	run(state, check_init);
}

static void check_read(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	fake_init(fake, 1);
	fake_resume(fake, 1);
	wire_VcpuResponse io = fake_io("\0\0\0\0", 4);
	io.message.wait.exit.io.address = 0xcf8;
	struct crosvm_vcpu_event event = wait_io(fake, vcpu, &io);
	assert_int_equal(event.io_access.address_space, CROSVM_ADDRESS_SPACE_IOPORT);
	assert_int_equal(event.io_access.address, 0xcf8);
	assert_int_equal(event.io_access.length, 4);
	assert_int_equal(event.io_access.is_write, 0);
	assert_int_equal(event.io_access.no_resume, 0);
	assert_memory_equal(event.io_access.data, "\0\0\0\0", 4);

	memcpy(event.io_access.data, "\x11\x22\x33\x44\x55", 5);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	fake_expect_vcpu(fake, 1, BYTES(0x12, 6, 0x0a, 4, 0x11, 0x22, 0x33, 0x44));
	check_running(fake, vcpu);

	/* The next read begins with zeros again, whatever the host's bytes are. */
	io = fake_io("\xaa\xbb", 2);
	event = wait_io(fake, vcpu, &io);
	assert_memory_equal(event.io_access.data, "\0\0", 2);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	fake_expect_vcpu(fake, 1, BYTES(0x12, 4, 0x0a, 2, 0, 0));
}

static void test_read(void **state)
{
	run(state, check_read);
}

static void check_write(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	fake_init(fake, 1);
	fake_resume(fake, 1);
	/* By hand: an 8-byte MMIO write to 2^64 - 8. */
	fake_write(fake, 1,
	           BYTES(0x1d, 0x12, 0x1b, 0x12, 0x19,                                              /* io */
	                 0x08, 1,                                                                   /* MMIO */
	                 0x10, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x18, 1, /* write */
	                 0x2a, 8, 1, 2, 3, 4, 5, 6, 7, 8));
	struct crosvm_vcpu_event event;
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	assert_int_equal(event.io_access.address_space, CROSVM_ADDRESS_SPACE_MMIO);
	assert_true(event.io_access.address == UINT64_MAX - 7);
	assert_int_equal(event.io_access.length, 8);
	assert_int_equal(event.io_access.is_write, 1);
	assert_int_equal(event.io_access.no_resume, 0);
	assert_memory_equal(event.io_access.data, "\1\2\3\4\5\6\7\10", 8);
	/* What was written is not sent back. */
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	fake_expect_vcpu(fake, 1, BYTES(0x12, 0));
}

static void test_write(void **state)
{
	run(state, check_write);
}

static void check_longest_access(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	fake_init(fake, 1);
	fake_resume(fake, 1);
	static uint8_t data[LIMIT_ACCESS_BYTES];
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 13);
	wire_VcpuResponse io = fake_io(data, sizeof(data));
	io.message.wait.exit.io.is_write = true;
	struct crosvm_vcpu_event event = wait_io(fake, vcpu, &io);
	assert_int_equal(event.io_access.length, LIMIT_ACCESS_BYTES);
	assert_memory_equal(event.io_access.data, data, sizeof(data));
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	fake_expect_vcpu(fake, 1, BYTES(0x12, 0));

	io = fake_io(data, sizeof(data));
	event = wait_io(fake, vcpu, &io);
	memcpy(event.io_access.data, data, sizeof(data));
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	static uint8_t request[LIMIT_VCPU_REQUEST_BYTES];
	assert_int_equal(fake_read(fake, 1, request), 6 + sizeof(data));
	const uint8_t head[] = {0x12, 0x83, 0x20, 0x0a, 0x80, 0x20};
	assert_memory_equal(request, head, 6);
	assert_memory_equal(request + 6, data, sizeof(data));
}

static void test_longest_access(void **state)
{
	run(state, check_longest_access);
}

/* The vCPU runs on: the data stays for the plugin until the next wait, and there is nothing to resume. */
static void check_no_resume(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	fake_init(fake, 1);
	fake_resume(fake, 1);
	wire_VcpuResponse io = fake_io("\1\2\3\4", 4);
	io.message.wait.exit.io.is_write = true;
	io.message.wait.exit.io.no_resume = true;
	struct crosvm_vcpu_event event = wait_io(fake, vcpu, &io);
	assert_int_equal(event.io_access.no_resume, 1);
	assert_int_equal(event.io_access.is_write, 1);
	check_running(fake, vcpu);
	assert_memory_equal(event.io_access.data, "\1\2\3\4", 4);

	/* It leaves nothing behind for the next event. */
	io = fake_io("\0", 1);
	event = wait_io(fake, vcpu, &io);
	assert_int_equal(event.io_access.no_resume, 0);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	fake_expect_vcpu(fake, 1, BYTES(0x12, 3, 0x0a, 1, 0));
}

static void test_no_resume(void **state)
{
	run(state, check_no_resume);
}

static void check_paused(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	fake_init(fake, 1);
	fake_resume(fake, 1);
	int user;
	wire_VcpuResponse response = {.which_message = wire_VcpuResponse_wait_tag};
	response.message.wait.which_exit = wire_VcpuResponse_Wait_user_tag;
	response.message.wait.exit.user.user = (uintptr_t)&user;
	fake_send(fake, 1, &response);
	struct crosvm_vcpu_event event;
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_PAUSED);
	assert_ptr_equal(event.user, &user);
	fake_resume(fake, 1);
}

static void test_paused(void **state)
{
	run(state, check_paused);
}

static void check_hyperv(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	fake_init(fake, 1);
	fake_resume(fake, 1);
	wire_VcpuResponse response = {.which_message = wire_VcpuResponse_wait_tag};
	response.message.wait.which_exit = wire_VcpuResponse_Wait_hyperv_call_tag;
	response.message.wait.exit.hyperv_call = (wire_VcpuResponse_Wait_HypervCall){1, 2, 3};
	struct crosvm_vcpu_event event;
	for (int result = 1; result >= 0; result--) {
		fake_send(fake, 1, &response);
		assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
		assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_HYPERV_HCALL);
		assert_int_equal(event.hyperv_call.input, 1);
		assert_int_equal(event.hyperv_call.params[0], 2);
		assert_int_equal(event.hyperv_call.params[1], 3);
		assert_int_equal(*event.hyperv_call.result, 0);
		*event.hyperv_call.result = (uint64_t)result << 8;
		assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
		fake_expect_vcpu(fake, 1, BYTES(0x12, 10, 0x0a, 8, 0, (uint8_t)result, 0, 0, 0, 0, 0, 0));
	}
	response.message.wait.which_exit = wire_VcpuResponse_Wait_hyperv_synic_tag;
	response.message.wait.exit.hyperv_synic = (wire_VcpuResponse_Wait_HypervSynic){4, 5, 6, 7};
	fake_send(fake, 1, &response);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_HYPERV_SYNIC);
	assert_int_equal(event.hyperv_synic.msr, 4);
	assert_int_equal(event.hyperv_synic.control, 5);
	assert_int_equal(event.hyperv_synic.evt_page, 6);
	assert_int_equal(event.hyperv_synic.msg_page, 7);
	fake_resume(fake, 1);
}

static void test_hyperv(void **state)
{
	run(state, check_hyperv);
}

/* ---- Errors ---- */

/* The host refused the last resume and stands at the same event again. */
static void check_refused_resume(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	fake_init(fake, 1);
	struct kvm_sregs sregs;
	memset(&sregs, 0xff, sizeof(sregs));
	assert_int_equal(crosvm_vcpu_set_sregs(vcpu, &sregs), 0);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	static uint8_t request[LIMIT_VCPU_REQUEST_BYTES];
	assert_true(fake_read(fake, 1, request) > sizeof(sregs));

	fake_write(fake, 1, BYTES(6, 0x08, 2 * EINVAL, 0x12, 2, 0x0a, 0));
	struct crosvm_vcpu_event event;
	memset(&event, 0xff, sizeof(event));
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -EINVAL);
	assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_INIT);
	check_stopped(fake, vcpu);
	/* What was refused does not travel again. */
	fake_resume(fake, 1);

	wire_VcpuResponse io = fake_io("\0\0", 2);
	wait_io(fake, vcpu, &io);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	fake_expect_vcpu(fake, 1, BYTES(0x12, 4, 0x0a, 2, 0, 0));
	io.error = EIO;
	fake_send(fake, 1, &io);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -EIO);
	assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	event.io_access.data[1] = 7;
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	fake_expect_vcpu(fake, 1, BYTES(0x12, 4, 0x0a, 2, 0, 7));

	/* A number that is none does not cost the event. */
	io.error = 4096;
	fake_send(fake, 1, &io);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -EPROTO);
	assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	check_stopped(fake, vcpu);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	fake_expect_vcpu(fake, 1, BYTES(0x12, 4, 0x0a, 2, 0, 0));
}

static void test_refused_resume(void **state)
{
	run(state, check_refused_resume);
}

/* Something that is no event: this wait fails, with nothing described, and the next one waits on. */
static void check_wait_fails(struct fake *fake, struct crosvm_vcpu *vcpu, const uint8_t *frame, size_t size,
                             int error)
{
	struct crosvm_vcpu_event event;
	memset(&event, 0x55, sizeof(event));
	struct crosvm_vcpu_event untouched = event;
	fake_write(fake, 1, frame, size);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), error);
	assert_memory_equal(&event, &untouched, sizeof(event));
}

static void check_no_event(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	check_wait_fails(fake, vcpu, BYTES(2, 0x08, 2 * EPERM), -EPERM);
	fake_expect_vcpu(fake, 1, REQUEST_WAIT);
	check_wait_fails(fake, vcpu, BYTES(3, 0x08, 0x80, 0x40), -EPROTO);
	check_wait_fails(fake, vcpu, BYTES(2, 0x08, 1), -EPROTO);
	check_wait_fails(fake, vcpu, BYTES(0), -EPROTO);
	check_wait_fails(fake, vcpu, BYTES(2, 0x2a, 0), -EPROTO);
	check_wait_fails(fake, vcpu, BYTES(4, 0x08, 2 * EIO, 0x2a, 0), -EIO);
	check_running(fake, vcpu);
	struct crosvm_vcpu_event event;
	fake_write(fake, 1, FRAME_INIT);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_INIT);
	fake_expect_nothing(fake->requests[1]);
}

static void test_no_event(void **state)
{
	run(state, check_no_event);
}

/* An event that cannot be described cannot be answered either: the vCPU is lost. */
static void check_bad_event(struct fake *fake, struct crosvm_vcpu *vcpu, const wire_VcpuResponse *response)
{
	struct crosvm_vcpu_event event;
	memset(&event, 0x55, sizeof(event));
	struct crosvm_vcpu_event untouched = event;
	fake_send(fake, 1, response);
	fake_write(fake, 1, FRAME_INIT);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -EPROTO);
	assert_memory_equal(&event, &untouched, sizeof(event));
	check_broken(vcpu, -EPROTO);
}

static void check_too_long_access(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	static const uint8_t data[LIMIT_ACCESS_BYTES + 1];
	wire_VcpuResponse io = fake_io(data, sizeof(data));
	check_bad_event(fake, vcpu, &io);
}

static void check_empty_access(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	wire_VcpuResponse io = fake_io(NULL, 0);
	check_bad_event(fake, vcpu, &io);
}

static void check_unknown_space(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	wire_VcpuResponse io = fake_io("x", 1);
	io.message.wait.exit.io.space = 2;
	check_bad_event(fake, vcpu, &io);
}

static void check_unknown_event(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	wire_VcpuResponse nothing = {.which_message = wire_VcpuResponse_wait_tag};
	check_bad_event(fake, vcpu, &nothing);
}

static void test_bad_events(void **state)
{
	run(state, check_too_long_access);
	run(state, check_empty_access);
	run(state, check_unknown_space);
	run(state, check_unknown_event);
}

/* ---- A host that goes ---- */

static void check_gone_at_wait(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	struct crosvm_vcpu_event event;
	fake_close_vcpus(fake);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -ECONNRESET);
	check_broken(vcpu, -ECONNRESET);
}

static void check_gone_after_event(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	fake_init(fake, 1);
	wire_VcpuResponse io = fake_io("x", 1);
	fake_send(fake, 1, &io);
	fake_close_vcpus(fake);
	/* The event that arrived does not help: the answer reaches nobody. */
	assert_int_equal(crosvm_vcpu_resume(vcpu), -ECONNRESET);
	check_broken(vcpu, -ECONNRESET);
}

static void check_gone_while_running(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	fake_init(fake, 1);
	fake_resume(fake, 1);
	struct crosvm_vcpu_event event;
	fd_close(&fake->events[1]);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -ECONNRESET);
	check_broken(vcpu, -ECONNRESET);
}

/* The last event was sent before the end: it is delivered first. */
static void check_event_before_end(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	fake_init(fake, 1);
	fake_resume(fake, 1);
	wire_VcpuResponse io = fake_io("x", 1);
	io.message.wait.exit.io.is_write = true;
	io.message.wait.exit.io.no_resume = true;
	fake_send(fake, 1, &io);
	fake_send(fake, 1, &io);
	fd_close(&fake->events[1]);
	struct crosvm_vcpu_event event;
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -ECONNRESET);
	check_broken(vcpu, -ECONNRESET);
}

static void test_gone(void **state)
{
	run(state, check_gone_at_wait);
	run(state, check_gone_after_event);
	run(state, check_gone_while_running);
	run(state, check_event_before_end);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_phases),         TEST(test_init),      TEST(test_read),       TEST(test_write),
	    TEST(test_longest_access), TEST(test_no_resume), TEST(test_paused),     TEST(test_hyperv),
	    TEST(test_refused_resume), TEST(test_no_event),  TEST(test_bad_events), TEST(test_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
