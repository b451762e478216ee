/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks writes that need no answer, and what hints add to an access that does: the events, that reads are nobody's,
 * and that a plugin which does not read can neither grow the host nor keep it from stopping.
 */
#include "rig.h"

#include <stdatomic.h>
#include <string.h>

#define ASYNC 0x4000

static int setup(void **state)
{
	uint32_t id;
	link_rig_setup(state);
	struct link_rig *rig = *state;
	assert_int_equal(ranges_reserve(&rig->ranges, ADDRESS_SPACE_MMIO, ASYNC, 0x100, true, &id), 0);
	return 0;
}

/* Deliver an access of 4 bytes to the range that needs no answer. */
static int deliver(struct link_rig *rig, bool is_write, uint32_t *data)
{
	struct guest_access access = {.space = ADDRESS_SPACE_MMIO,
	                              .is_write = is_write,
	                              .address = ASYNC + 8,
	                              .width = 4,
	                              .data = (uint8_t *)data,
	                              .size = 4};
	return link_deliver_access(&rig->link, rig->vcpu, &access);
}

static void expect_write(struct link_rig *rig, uint32_t data)
{
	struct link_frame frame;
	assert_true(link_take(rig, &frame));
	assert_int_equal(frame.message.error, 0);
	assert_int_equal(frame.message.message.wait.which_exit, wire_VcpuResponse_Wait_io_tag);
	const wire_VcpuResponse_Wait_Io *io = &frame.message.message.wait.exit.io;
	assert_true(io->is_write && io->no_resume);
	assert_int_equal(io->space, wire_AddressSpace_MMIO);
	assert_int_equal(io->address, ASYNC + 8);
	assert_int_equal(io->data.size, 4);
	assert_memory_equal(io->data.data, &data, 4);
	assert_int_equal(io->regs.size + io->sregs.size + io->debugregs.size, 0);
}

static void set_hint(struct link_rig *rig, uint64_t address)
{
	static const wire_MainRequest_SetCallHint_RegHint detail = {.send_sregs = true};
	wire_MainRequest_SetCallHint hint = {
	    .space = wire_AddressSpace_MMIO,
	    .address = address,
	    .on_write = true,
	    .hints = {.items = &detail, .count = 1, .stored = 1},
	};
	assert_int_equal(hints_set(&rig->hints, &hint), 0);
}

/* The host goes on without an answer; the events come in order, before one that wants one. */
static void test_writes(void **state)
{
	struct link_rig *rig = *state;
	link_pass_init(rig);
	set_hint(rig, ASYNC + 8);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(deliver(rig, true, &i), 1);
	link_begin_access(rig, ADDRESS_SPACE_MMIO, true, 1);
	for (uint32_t i = 0; i < 10; i++)
		expect_write(rig, i);
	link_expect_access(rig, 0);
	link_resume(rig, NULL, 0);
	assert_int_equal(link_end(rig), 1);
}

static void test_reads_are_nobodys(void **state)
{
	struct link_rig *rig = *state;
	uint32_t data = UINT32_MAX;
	link_pass_init(rig);
	assert_int_equal(deliver(rig, false, &data), 0);
	assert_int_equal(data, 0);
	link_expect_nothing(rig);
	assert_int_equal(rig->link.counts.unclaimed[ADDRESS_SPACE_MMIO][0].count, 1);
}

/* A request that comes meanwhile is refused with the next event that wants an answer. */
static void test_stale_request(void **state)
{
	struct link_rig *rig = *state;
	uint32_t data = 5;
	link_pass_init(rig);
	link_put_tag(rig, wire_VcpuRequest_get_state_tag);
	assert_int_equal(deliver(rig, true, &data), 1);
	expect_write(rig, 5);
	link_expect_nothing(rig);
	link_begin_access(rig, ADDRESS_SPACE_MMIO, true, 1);
	link_expect_error(rig, EBUSY);
	link_expect_access(rig, 0);
	link_resume(rig, NULL, 0);
	assert_int_equal(link_end(rig), 1);
}

/* A resume of such an event resumes what runs. */
static void test_resumed(void **state)
{
	struct link_rig *rig = *state;
	uint32_t data = 5;
	link_pass_init(rig);
	assert_int_equal(deliver(rig, true, &data), 1);
	link_resume(rig, NULL, 0);
	link_begin_access(rig, ADDRESS_SPACE_MMIO, true, 1);
	assert_int_equal(link_end(rig), -EPROTO);
	assert_int_equal(deliver(rig, true, &data), -EPROTO);
}

static void test_plugin_goes(void **state)
{
	struct link_rig *rig = *state;
	uint32_t data = 5;
	link_pass_init(rig);
	fd_close(&rig->events);
	assert_int_equal(deliver(rig, true, &data), -EPIPE);
	assert_int_equal(deliver(rig, true, &data), -EPIPE);
}

/* ---- A plugin that does not read ---- */

/* More than any channel may hold. */
#define MANY 100000

struct flood {
	struct link_rig *rig;
	atomic_uint sent;
	int result;
};

static void *flood_thread(void *argument)
{
	struct flood *flood = argument;
	uint32_t data = 0;
	do {
		flood->result = deliver(flood->rig, true, &data);
		data = atomic_fetch_add(&flood->sent, 1) + 1;
	} while (flood->result == 1 && data < MANY);
	return NULL;
}

/* It blocks, and a stop ends that. */
static void test_deaf_plugin_and_stop(void **state)
{
	struct link_rig *rig = *state;
	struct flood flood = {.rig = rig};
	pthread_t thread;
	link_pass_init(rig);
	assert_int_equal(pthread_create(&thread, NULL, flood_thread, &flood), 0);
	/* Until nothing goes any more, or, on a slow machine, some time before that. */
	for (unsigned int before = 0, now = 0; now == 0 || now != before;) {
		before = now;
		usleep(100000);
		now = atomic_load(&flood.sent);
	}
	link_cut(&rig->link);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(flood.result, -ECANCELED);
	assert_true(atomic_load(&flood.sent) < MANY);
}

static void test_deaf_plugin_and_timeout(void **state)
{
	(void)state;
	struct link_rig rig;
	uint32_t id;
	link_rig_init(&rig, 2000);
	assert_int_equal(ranges_reserve(&rig.ranges, ADDRESS_SPACE_MMIO, ASYNC, 0x100, true, &id), 0);
	link_pass_init(&rig);
	struct flood flood = {.rig = &rig};
	flood_thread(&flood);
	assert_int_equal(flood.result, -ETIMEDOUT);
	assert_non_null(strstr(rig.link.fault, "did not read"));
	link_rig_fini(&rig);
}

/* One that reads late misses nothing. */
static void test_slow_plugin(void **state)
{
	struct link_rig *rig = *state;
	struct flood flood = {.rig = rig};
	pthread_t thread;
	link_pass_init(rig);
	assert_int_equal(pthread_create(&thread, NULL, flood_thread, &flood), 0);
	usleep(50000);
	for (uint32_t i = 0; i < 3000; i++)
		expect_write(rig, i);
	link_cut(&rig->link);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(flood.result, -ECANCELED);
}

/* ---- Hints ---- */

static void test_hinted_access(void **state)
{
	struct link_rig *rig = *state;
	struct link_frame frame;
	link_pass_init(rig);
	memset(&rig->fake->regs, 0x11, sizeof(rig->fake->regs));
	memset(&rig->fake->sregs, 0x22, sizeof(rig->fake->sregs));
	set_hint(rig, 0x1000);
	for (int is_write = 0; is_write < 2; is_write++) {
		link_begin_access(rig, ADDRESS_SPACE_MMIO, is_write, 4);
		assert_true(link_take(rig, &frame));
		const wire_VcpuResponse_Wait_Io *io = &frame.message.message.wait.exit.io;
		assert_false(io->no_resume);
		assert_int_equal(io->regs.size, is_write ? sizeof(rig->fake->regs) : 0);
		assert_int_equal(io->sregs.size, is_write ? sizeof(rig->fake->sregs) : 0);
		assert_int_equal(io->debugregs.size, 0);
		if (is_write) {
			assert_memory_equal(io->regs.data, &rig->fake->regs, io->regs.size);
			assert_memory_equal(io->sregs.data, &rig->fake->sregs, io->sregs.size);
		}
		/* The event is repeated with them, as they are by then; without those that KVM does not give. */
		for (int turn = 0; is_write && turn < 2; turn++) {
			wire_VcpuRequest request = {.which_message = wire_VcpuRequest_resume_tag};
			request.message.resume.regs = (struct wire_bytes){(const uint8_t *)"x", 1};
			rig->fake->regs.rax += 1;
			if (turn == 1)
				fake_kvm_fail(KVM_GET_SREGS, EIO, 1);
			link_put_request(rig, &request);
			assert_true(link_take(rig, &frame));
			assert_int_equal(frame.message.error, EINVAL);
			assert_int_equal(io->regs.size, sizeof(rig->fake->regs));
			assert_memory_equal(io->regs.data, &rig->fake->regs, io->regs.size);
			assert_int_equal(io->sregs.size, turn == 0 ? sizeof(rig->fake->sregs) : 0);
			assert_int_equal(io->debugregs.size, 0);
		}
		link_resume(rig, "abcd", 4);
		assert_int_equal(link_end(rig), 1);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, link_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_writes),      TEST(test_reads_are_nobodys), TEST(test_stale_request),
	    TEST(test_resumed),     TEST(test_plugin_goes),       TEST(test_deaf_plugin_and_stop),
	    TEST(test_slow_plugin), TEST(test_hinted_access),     cmocka_unit_test(test_deaf_plugin_and_timeout),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
