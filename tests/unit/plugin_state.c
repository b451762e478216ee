/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks getting and setting a stopped vCPU's state, for every set alike: the requests, what is deferred and
 * when it travels, the snapshots that come with an event, refusals, and replies that are none.
 */
#include "plugin_fake_host.c"
#include "plugin_sets.h"

#include <sys/stat.h>

/* A state set as the tests see it: its number on the wire and its two functions. */
struct set {
	uint8_t number;
	uint8_t resume_field; /* key of its bytes in Resume, if it is deferred */
	size_t size;
	int (*get)(struct crosvm_vcpu *, void *);
	int (*set)(struct crosvm_vcpu *, const void *);
};

DEFINE_SET(regs)
DEFINE_SET(sregs)
DEFINE_SET(debugregs)
DEFINE_SET(fpu)
DEFINE_SET(lapic_state)
DEFINE_SET(mp_state)
DEFINE_SET(xcrs)
DEFINE_SET(vcpu_events)

/* The sets whose setting is deferred to the resume. */
static const struct set deferred_sets[] = {
    {0, 0x12, sizeof(struct kvm_regs), get_regs, set_regs},
    {1, 0x1a, sizeof(struct kvm_sregs), get_sregs, set_sregs},
    {3, 0x22, sizeof(struct kvm_debugregs), get_debugregs, set_debugregs},
};

/* The sets that are set at once. */
static const struct set immediate_sets[] = {
    {2, 0, sizeof(struct kvm_fpu), get_fpu, set_fpu},
    {4, 0, sizeof(struct kvm_lapic_state), get_lapic_state, set_lapic_state},
    {5, 0, sizeof(struct kvm_mp_state), get_mp_state, set_mp_state},
    {6, 0, sizeof(struct kvm_xcrs), get_xcrs, set_xcrs},
    {7, 0, sizeof(struct kvm_vcpu_events), get_vcpu_events, set_vcpu_events},
};

#define DEFERRED_SETS  (sizeof(deferred_sets) / sizeof(deferred_sets[0]))
#define IMMEDIATE_SETS (sizeof(immediate_sets) / sizeof(immediate_sets[0]))
#define VALUE_BYTES    2048

static uint8_t value_a[VALUE_BYTES], value_b[VALUE_BYTES];

typedef void set_test(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set);

static void run_each(void **state, set_test *test, const struct set *sets, size_t count)
{
	for (size_t i = 0; i < VALUE_BYTES; i++) {
		value_a[i] = (uint8_t)(i * 3 + 1);
		value_b[i] = (uint8_t)(i * 5 + 2);
	}
	for (size_t i = 0; i < count; i++) {
		for (enum fake_kind kind = FAKE_SOCKETS; kind <= FAKE_PIPES; kind++) {
			struct fake *fake = *state;
			fake_connect(fake, kind, 1);
			fake_init(fake, 0);
			test(fake, fake_vcpu(fake, 0), &sets[i]);
			fake_teardown(state);
			fake_setup(state);
		}
	}
}

static void run_deferred(void **state, set_test *test)
{
	run_each(state, test, deferred_sets, DEFERRED_SETS);
}

static void run_immediate(void **state, set_test *test)
{
	run_each(state, test, immediate_sets, IMMEDIATE_SETS);
}

static void run_all(void **state, set_test *test)
{
	run_deferred(state, test);
	run_immediate(state, test);
}

static wire_VcpuResponse value_reply(const uint8_t *value, size_t size)
{
	wire_VcpuResponse reply = {.which_message = wire_VcpuResponse_get_state_tag};
	reply.message.get_state.state = (struct wire_bytes){value, size};
	return reply;
}

static void send_value(struct fake *fake, const uint8_t *value, size_t size)
{
	wire_VcpuResponse reply = value_reply(value, size);
	fake_send(fake, 0, &reply);
}

static void expect_get(struct fake *fake, const struct set *set)
{
	uint8_t request[] = {0x1a, set->number == 0 ? 0 : 2, 0x08, set->number};
	fake_expect_vcpu(fake, 0, request, set->number == 0 ? 2 : 4);
}

static void expect_set(struct fake *fake, const struct set *set, const uint8_t *value)
{
	static uint8_t data[LIMIT_VCPU_REQUEST_BYTES];
	size_t size = fake_read(fake, 0, data);
	wire_VcpuRequest request;
	assert_int_equal(wire_decode_vcpu_request(data, size, NULL, &request), 0);
	assert_int_equal(request.which_message, wire_VcpuRequest_set_state_tag);
	assert_int_equal(request.message.set_state.set, set->number);
	assert_int_equal(request.message.set_state.state.size, set->size);
	assert_memory_equal(request.message.set_state.state.data, value, set->size);
}

/* A resume with just this value, or with nothing if it is NULL. */
static void expect_resume(struct fake *fake, const struct set *set, const uint8_t *value)
{
	if (!value) {
		fake_expect_vcpu(fake, 0, BYTES(0x12, 0));
		return;
	}
	static uint8_t data[LIMIT_VCPU_REQUEST_BYTES];
	size_t size = fake_read(fake, 0, data);
	/* Both lengths take two bytes. */
	assert_int_equal(size, 6 + set->size);
	const uint8_t head[] = {0x12,
	                        (uint8_t)((set->size + 3) | 0x80),
	                        (uint8_t)((set->size + 3) >> 7),
	                        set->resume_field,
	                        (uint8_t)(set->size | 0x80),
	                        (uint8_t)(set->size >> 7)};
	assert_memory_equal(data, head, sizeof(head));
	assert_memory_equal(data + 6, value, set->size);
}

static void check_get_is(struct crosvm_vcpu *vcpu, const struct set *set, const uint8_t *value)
{
	uint8_t got[VALUE_BYTES];
	memset(got, 0xee, sizeof(got));
	assert_int_equal(set->get(vcpu, got), 0);
	assert_memory_equal(got, value, set->size);
	assert_int_equal(got[set->size], 0xee);
}

static void check_get_fails(struct crosvm_vcpu *vcpu, const struct set *set, int error)
{
	uint8_t got[VALUE_BYTES], untouched[VALUE_BYTES];
	memset(got, 0xee, sizeof(got));
	memcpy(untouched, got, sizeof(got));
	assert_int_equal(set->get(vcpu, got), error);
	assert_memory_equal(got, untouched, sizeof(got));
}

/* ---- Get ---- */

static void check_get(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	/* Twice: nothing is kept that the host did not offer. */
	send_value(fake, value_a, set->size);
	check_get_is(vcpu, set, value_a);
	expect_get(fake, set);
	send_value(fake, value_b, set->size);
	check_get_is(vcpu, set, value_b);
	expect_get(fake, set);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	expect_resume(fake, set, NULL);
}

static void test_get(void **state)
{
	run_all(state, check_get);
}

static void check_get_fails_each_way(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	static const size_t sizes_off[] = {0, 1, (size_t)-1};
	for (size_t i = 0; i < 3; i++) {
		send_value(fake, value_a, sizes_off[i] ? set->size + sizes_off[i] : 0);
		check_get_fails(vcpu, set, -EPROTO);
		expect_get(fake, set);
	}
	static const struct {
		uint8_t frame[8];
		size_t size;
		int error;
	} replies[] = {
	    {{0}, 1, -EPROTO},                                     /* neither an error nor a member */
	    {{2, 0x2a, 0}, 3, -EPROTO},                            /* of another request */
	    {{2, 0x08, 2 * EIO}, 3, -EIO},                         /* refused */
	    {{4, 0x08, 2 * EIO, 0x2a, 0}, 5, -EIO},                /* refused, with any member */
	    {{3, 0x08, 0xfe, 0x3f}, 4, -4095},                     /* the highest errno */
	    {{3, 0x08, 0x80, 0x40}, 4, -EPROTO},                   /* 4096 */
	    {{2, 0x08, 1}, 3, -EPROTO},                            /* -1 */
	    {{6, 0x08, 0xff, 0xff, 0xff, 0xff, 0x0f}, 7, -EPROTO}, /* the lowest number */
	};
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		fake_write(fake, 0, replies[i].frame, replies[i].size);
		check_get_fails(vcpu, set, replies[i].error);
		expect_get(fake, set);
	}
	/* Each was one reply to one request: the vCPU is in step. */
	send_value(fake, value_b, set->size);
	check_get_is(vcpu, set, value_b);
}

static void test_get_fails(void **state)
{
	run_all(state, check_get_fails_each_way);
}

static void check_get_from_dead(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	fd_close(&fake->events[0]);
	check_get_fails(vcpu, set, -ECONNRESET);
	expect_get(fake, set);
	check_get_fails(vcpu, set, -ECONNRESET);
	assert_int_equal(set->set(vcpu, value_a), -ECONNRESET);
	fake_expect_nothing(fake->requests[0]);
}

static void check_set_to_dead(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	assert_int_equal(set->set(vcpu, value_a), 0);
	fd_close(&fake->requests[0]);
	check_get_fails(vcpu, set, -ECONNRESET);
	assert_int_equal(crosvm_vcpu_resume(vcpu), -ECONNRESET);
}

static void test_dead_host(void **state)
{
	run_all(state, check_get_from_dead);
	run_deferred(state, check_set_to_dead);
}

/* ---- Set ---- */

static void check_set_travels_with_resume(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	assert_int_equal(set->set(vcpu, value_b), 0);
	/* The last one counts. */
	assert_int_equal(set->set(vcpu, value_a), 0);
	fake_expect_nothing(fake->requests[0]);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	expect_resume(fake, set, value_a);

	/* Once. */
	fake_write(fake, 0, FRAME_INIT);
	struct crosvm_vcpu_event event;
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	expect_resume(fake, set, NULL);
}

static void check_set_then_get(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	assert_int_equal(set->set(vcpu, value_a), 0);
	/* Another set's get does not send it. */
	const struct set *other = &deferred_sets[set == &deferred_sets[0] ? 1 : 0];
	send_value(fake, value_b, other->size);
	check_get_is(vcpu, other, value_b);
	expect_get(fake, other);

	fake_write(fake, 0, BYTES(2, 0x2a, 0));
	send_value(fake, value_b, set->size);
	/* The host may change what it is given, and that is what a get shows. */
	check_get_is(vcpu, set, value_b);
	struct stat status;
	assert_int_equal(fstat(fake->requests[0], &status), 0);
	/* A pipe has joined the two requests, since nobody read in between. */
	if (!S_ISSOCK(status.st_mode))
		return;
	expect_set(fake, set, value_a);
	expect_get(fake, set);
	fake_expect_nothing(fake->requests[0]);
	/* It was sent, so the resume does not take it along again. */
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	expect_resume(fake, set, NULL);
}

static void check_refused_set(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	assert_int_equal(set->set(vcpu, value_a), 0);
	fake_write(fake, 0, BYTES(2, 0x08, 2 * EINVAL));
	check_get_fails(vcpu, set, -EINVAL);
	expect_set(fake, set, value_a);
	fake_expect_nothing(fake->requests[0]);
	/* It is dropped: a get shows what the vCPU has, and the resume brings nothing. */
	send_value(fake, value_b, set->size);
	check_get_is(vcpu, set, value_b);
	expect_get(fake, set);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	expect_resume(fake, set, NULL);
}

static void check_set_with_wrong_reply(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	assert_int_equal(set->set(vcpu, value_a), 0);
	send_value(fake, value_b, set->size);
	check_get_fails(vcpu, set, -EPROTO);
	expect_set(fake, set, value_a);
	fake_expect_nothing(fake->requests[0]);
}

static void test_set(void **state)
{
	run_deferred(state, check_set_travels_with_resume);
	run_deferred(state, check_set_then_get);
	run_deferred(state, check_refused_set);
	run_deferred(state, check_set_with_wrong_reply);
}

/* Every set that was set travels in one resume, beside the answer to a read. */
static void test_resume_with_everything(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	fake_init(fake, 0);
	fake_resume(fake, 0);
	struct crosvm_vcpu *vcpu = fake_vcpu(fake, 0);
	wire_VcpuResponse io = fake_io("\0\0\0\0", 4);
	struct crosvm_vcpu_event event;
	fake_send(fake, 0, &io);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	memcpy(event.io_access.data, "data", 4);
	/* In no particular order. */
	assert_int_equal(set_debugregs(vcpu, value_a), 0);
	assert_int_equal(set_sregs(vcpu, value_b), 0);
	assert_int_equal(set_regs(vcpu, value_a), 0);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);

	static uint8_t data[LIMIT_VCPU_REQUEST_BYTES];
	size_t size = fake_read(fake, 0, data);
	wire_VcpuRequest request;
	assert_int_equal(wire_decode_vcpu_request(data, size, NULL, &request), 0);
	assert_int_equal(request.which_message, wire_VcpuRequest_resume_tag);
	const wire_VcpuRequest_Resume *resume = &request.message.resume;
	assert_int_equal(resume->data.size, 4);
	assert_memory_equal(resume->data.data, "data", 4);
	assert_int_equal(resume->regs.size, sizeof(struct kvm_regs));
	assert_memory_equal(resume->regs.data, value_a, sizeof(struct kvm_regs));
	assert_int_equal(resume->sregs.size, sizeof(struct kvm_sregs));
	assert_memory_equal(resume->sregs.data, value_b, sizeof(struct kvm_sregs));
	assert_int_equal(resume->debugregs.size, sizeof(struct kvm_debugregs));
	assert_memory_equal(resume->debugregs.data, value_a, sizeof(struct kvm_debugregs));
}

/* ---- Set at once ---- */

static void check_set_now(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	fake_write(fake, 0, BYTES(2, 0x2a, 0));
	assert_int_equal(set->set(vcpu, value_a), 0);
	expect_set(fake, set, value_a);
	static const struct {
		uint8_t frame[8];
		size_t size;
		int error;
	} replies[] = {
	    {{2, 0x08, 2 * EINVAL}, 3, -EINVAL},
	    {{3, 0x08, 0x80, 0x40}, 4, -EPROTO},
	    {{2, 0x22, 0}, 3, -EPROTO},
	    {{0}, 1, -EPROTO},
	};
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		fake_write(fake, 0, replies[i].frame, replies[i].size);
		assert_int_equal(set->set(vcpu, value_b), replies[i].error);
		expect_set(fake, set, value_b);
	}
	/* Nothing of it travels with the resume. */
	fake_resume(fake, 0);
	uint8_t got[VALUE_BYTES];
	assert_int_equal(set->set(vcpu, value_a), -EBUSY);
	assert_int_equal(set->get(vcpu, got), -EBUSY);
	fake_expect_nothing(fake->requests[0]);
}

/* What was set before and only deferred goes ahead, or the host would see the two the other way round. */
static void check_set_now_keeps_order(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	struct stat status;
	assert_int_equal(fstat(fake->requests[0], &status), 0);
	/* A pipe joins what nobody reads in between. */
	if (!S_ISSOCK(status.st_mode))
		return;
	for (size_t i = 0; i < DEFERRED_SETS; i++)
		assert_int_equal(deferred_sets[i].set(vcpu, value_b), 0);
	for (size_t i = 0; i <= DEFERRED_SETS; i++)
		fake_write(fake, 0, BYTES(2, 0x2a, 0));
	assert_int_equal(set->set(vcpu, value_a), 0);
	for (size_t i = 0; i < DEFERRED_SETS; i++)
		expect_set(fake, &deferred_sets[i], value_b);
	expect_set(fake, set, value_a);
	fake_resume(fake, 0);
}

/* The one that must come first is refused: the other is not sent, and the refused one is dropped. */
static void check_set_now_after_refusal(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	assert_int_equal(set_sregs(vcpu, value_b), 0);
	fake_write(fake, 0, BYTES(2, 0x08, 2 * EINVAL));
	assert_int_equal(set->set(vcpu, value_a), -EINVAL);
	expect_set(fake, &deferred_sets[1], value_b);
	fake_expect_nothing(fake->requests[0]);
	fake_write(fake, 0, BYTES(2, 0x2a, 0));
	assert_int_equal(set->set(vcpu, value_a), 0);
	expect_set(fake, set, value_a);
	fake_resume(fake, 0);
}

/* A get overtakes nothing, since it changes nothing. */
static void check_get_beside_pending(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	assert_int_equal(set_regs(vcpu, value_b), 0);
	send_value(fake, value_a, set->size);
	check_get_is(vcpu, set, value_a);
	expect_get(fake, set);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	expect_resume(fake, &deferred_sets[0], value_b);
}

static void test_set_now(void **state)
{
	run_immediate(state, check_set_now);
	run_immediate(state, check_set_now_keeps_order);
	run_immediate(state, check_set_now_after_refusal);
	run_immediate(state, check_get_beside_pending);
}

/* ---- Snapshots ---- */

static void send_io_with_snapshot(struct fake *fake, const struct set *set, const uint8_t *value, size_t size,
                                  bool no_resume)
{
	wire_VcpuResponse response = fake_io("x", 1);
	wire_VcpuResponse_Wait_Io *io = &response.message.wait.exit.io;
	io->is_write = true;
	io->no_resume = no_resume;
	struct wire_bytes *field = set->number == 0 ? &io->regs : set->number == 1 ? &io->sregs : &io->debugregs;
	*field = (struct wire_bytes){value, size};
	fake_send(fake, 0, &response);
}

static void wait_with_snapshot(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set,
                               const uint8_t *value, size_t size)
{
	struct crosvm_vcpu_event event;
	send_io_with_snapshot(fake, set, value, size, false);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
}

static void check_snapshot(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	fake_resume(fake, 0);
	wait_with_snapshot(fake, vcpu, set, value_a, set->size);
	check_get_is(vcpu, set, value_a);
	check_get_is(vcpu, set, value_a);
	fake_expect_nothing(fake->requests[0]);
	/* It is not the plugin's: it does not travel back. */
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	expect_resume(fake, set, NULL);

	/* It was that event's. */
	fake_write(fake, 0, FRAME_INIT);
	struct crosvm_vcpu_event event;
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	send_value(fake, value_b, set->size);
	check_get_is(vcpu, set, value_b);
	expect_get(fake, set);
}

static void check_set_over_snapshot(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	fake_resume(fake, 0);
	wait_with_snapshot(fake, vcpu, set, value_a, set->size);
	assert_int_equal(set->set(vcpu, value_b), 0);
	fake_expect_nothing(fake->requests[0]);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	expect_resume(fake, set, value_b);

	/* A refused set does not bring the snapshot back. */
	wait_with_snapshot(fake, vcpu, set, value_a, set->size);
	assert_int_equal(set->set(vcpu, value_b), 0);
	fake_write(fake, 0, BYTES(2, 0x08, 2 * EINVAL));
	check_get_fails(vcpu, set, -EINVAL);
	expect_set(fake, set, value_b);
	send_value(fake, value_b, set->size);
	check_get_is(vcpu, set, value_b);
	expect_get(fake, set);
}

static void check_odd_snapshot(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	for (size_t size = set->size - 1; size <= set->size + 1; size += 2) {
		assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
		expect_resume(fake, set, NULL);
		wait_with_snapshot(fake, vcpu, set, value_a, size);
		send_value(fake, value_b, set->size);
		check_get_is(vcpu, set, value_b);
		expect_get(fake, set);
	}
}

/* The vCPU runs on after such an event, and what it brought is of the past. */
static void check_snapshot_without_resume(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	fake_resume(fake, 0);
	struct crosvm_vcpu_event event;
	send_io_with_snapshot(fake, set, value_a, set->size, true);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	check_get_fails(vcpu, set, -EBUSY);
	fake_write(fake, 0, FRAME_INIT);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	send_value(fake, value_b, set->size);
	check_get_is(vcpu, set, value_b);
	expect_get(fake, set);
}

static void test_snapshots(void **state)
{
	run_deferred(state, check_snapshot);
	run_deferred(state, check_set_over_snapshot);
	run_deferred(state, check_odd_snapshot);
	run_deferred(state, check_snapshot_without_resume);
}

/* ---- Surprises ---- */

/* Events that come before the reply wait for their turn, in their order. */
static void check_events_before_reply(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	static const uint8_t letters[] = "abcd";
	for (size_t i = 0; i < 4; i++) {
		wire_VcpuResponse io = fake_io(&letters[i], 1);
		io.message.wait.exit.io.is_write = true;
		io.message.wait.exit.io.no_resume = i < 3;
		/* An error beside an event makes no reply of it. */
		io.error = i == 1 ? EIO : 0;
		fake_send(fake, 0, &io);
	}
	send_value(fake, value_a, set->size);
	check_get_is(vcpu, set, value_a);
	expect_get(fake, set);
	fake_resume(fake, 0);
	for (size_t i = 0; i < 4; i++) {
		struct crosvm_vcpu_event event;
		assert_int_equal(crosvm_vcpu_wait(vcpu, &event), i == 1 ? -EIO : 0);
		assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
		assert_int_equal(event.io_access.data[0], letters[i]);
		assert_int_equal(event.io_access.no_resume, i < 3);
	}
	fake_resume(fake, 0);
}

static void check_event_and_end(struct fake *fake, struct crosvm_vcpu *vcpu, const struct set *set)
{
	fake_write(fake, 0, FRAME_INIT);
	fd_close(&fake->events[0]);
	check_get_fails(vcpu, set, -ECONNRESET);
}

static void test_events_before_reply(void **state)
{
	run_all(state, check_events_before_reply);
	run_all(state, check_event_and_end);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_get),
	    TEST(test_get_fails),
	    TEST(test_dead_host),
	    TEST(test_set),
	    TEST(test_resume_with_everything),
	    TEST(test_set_now),
	    TEST(test_snapshots),
	    TEST(test_events_before_reply),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
