/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks a vCPU's channel: every request in every phase, accesses and their answers, state, and registers as all or
 * nothing.
 */
#include "rig.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define TAG(a, allocation, rules, type, name, tag) tag,
static const pb_size_t tags[] = {0, wire_VcpuRequest_FIELDLIST(TAG, 0)};
#undef TAG

#define STATE_SETS (_wire_VcpuRequest_StateSet_MAX + 1)

/* ---- Every request in every phase ---- */

/* What comes of a request: a reply with this error (0: success), or one of these. */
enum { GOES_ON = -1, ENDS_LINK = -2 };

static const struct row {
	pb_size_t tag;
	int at_init; /* before the plugin has asked for INIT */
	int at_event;
	int at_event_without_vcpu;
	int running; /* sent before the event was */
} rows[] = {
    {0, ENOTTY, ENOTTY, ENOTTY, ENOTTY},
    {wire_VcpuRequest_wait_tag, GOES_ON, EPROTO, EPROTO, EPROTO},
    {wire_VcpuRequest_resume_tag, EPROTO, GOES_ON, GOES_ON, ENDS_LINK},
    {wire_VcpuRequest_get_state_tag, EPROTO, 0, ENODEV, EBUSY},
    {wire_VcpuRequest_set_state_tag, EPROTO, EINVAL, ENODEV, EBUSY}, /* without bytes */
    {wire_VcpuRequest_get_msrs_tag, EPROTO, 0, ENODEV, EBUSY},
    {wire_VcpuRequest_set_msrs_tag, EPROTO, 0, ENODEV, EBUSY},
    {wire_VcpuRequest_set_cpuid_tag, EPROTO, 0, ENODEV, EBUSY},
    {wire_VcpuRequest_shutdown_tag, ENDS_LINK, ENDS_LINK, ENDS_LINK, ENDS_LINK},
    {wire_VcpuRequest_get_hyperv_cpuid_tag, EPROTO, 0, ENODEV, EBUSY},
    {wire_VcpuRequest_enable_capability_tag, EPROTO, EINVAL, ENODEV, EBUSY}, /* of no number that is allowed */
    {wire_VcpuRequest_set_msrs_counted_tag, EPROTO, 0, ENODEV, EBUSY},
    {wire_VcpuRequest_set_cpuid_raw_tag, EPROTO, 0, ENODEV, EBUSY},
    {wire_VcpuRequest_get_ext_state_tag, EPROTO, 0, ENODEV, EBUSY},
    {wire_VcpuRequest_set_ext_state_tag, EPROTO, EINVAL, ENODEV, EBUSY}, /* without bytes */
    {wire_VcpuRequest_interrupt_tag, EPROTO, ENXIO, ENODEV, EBUSY},
    {wire_VcpuRequest_nmi_tag, EPROTO, 0, ENODEV, EBUSY},
    {wire_VcpuRequest_request_irq_window_tag, EPROTO, ENXIO, ENODEV, EBUSY},
    {wire_VcpuRequest_set_guest_debug_tag, EPROTO, EINVAL, ENODEV, EBUSY}, /* without bytes */
    {wire_VcpuRequest_translate_tag, EPROTO, 0, ENODEV, EBUSY},
};

/* The request at hand is the last thing that was sent; check what comes of it. */
static void expect_outcome(struct link_rig *rig, int expected, pb_size_t tag)
{
	struct link_frame frame;
	if (expected == ENDS_LINK) {
		assert_int_equal(link_end(rig), -EPROTO);
		assert_int_equal(link_check(&rig->link), -EPROTO);
		assert_true(rig->link.fault[0] != '\0');
		return;
	}
	if (expected != GOES_ON) {
		assert_true(link_take(rig, &frame));
		assert_int_equal(frame.message.error, expected);
		/* A reply has the number of its request plus one from get_state on, and the same from 100 on. */
		pb_size_t which = tag == wire_VcpuRequest_get_hyperv_cpuid_tag
		                      ? wire_VcpuResponse_get_hyperv_cpuid_tag
		                  : tag == wire_VcpuRequest_enable_capability_tag
		                      ? wire_VcpuResponse_enable_capability_tag
		                  : tag >= 100 ? tag
		                               : (pb_size_t)(tag + 1);
		assert_int_equal(frame.message.which_message, expected ? 0 : which);
	}
}

static void check_at_init(const struct row *row)
{
	struct link_rig rig;
	link_rig_init(&rig, 0);
	link_begin_init(&rig);
	link_put_tag(&rig, row->tag);
	expect_outcome(&rig, row->at_init, row->tag);
	if (row->at_init != ENDS_LINK) {
		if (row->at_init != GOES_ON)
			link_put_tag(&rig, wire_VcpuRequest_wait_tag);
		link_expect_init(&rig, 0);
		link_resume(&rig, NULL, 0);
		assert_int_equal(link_end(&rig), 0);
	}
	link_rig_fini(&rig);
}

static void check_at_event(const struct row *row, bool with_vcpu)
{
	struct link_rig rig;
	int expected = with_vcpu ? row->at_event : row->at_event_without_vcpu;
	link_rig_init(&rig, 0);
	if (!with_vcpu)
		plugvm_vcpu_free(&rig.vcpu);
	link_pass_init(&rig);
	link_begin_access(&rig, ADDRESS_SPACE_PORT, true, 1);
	link_expect_access(&rig, 0);
	link_put_tag(&rig, row->tag);
	expect_outcome(&rig, expected, row->tag);
	if (expected != ENDS_LINK) {
		if (expected != GOES_ON)
			link_resume(&rig, NULL, 0);
		assert_int_equal(link_end(&rig), 1);
	}
	link_rig_fini(&rig);
}

static void check_running(const struct row *row)
{
	struct link_rig rig;
	link_rig_init(&rig, 0);
	link_pass_init(&rig);
	link_put_tag(&rig, row->tag);
	link_begin_access(&rig, ADDRESS_SPACE_MMIO, true, 4);
	expect_outcome(&rig, row->running, row->tag);
	if (row->running != ENDS_LINK) {
		link_expect_access(&rig, 0);
		link_resume(&rig, NULL, 0);
		assert_int_equal(link_end(&rig), 1);
	}
	link_rig_fini(&rig);
}

static void test_every_request_in_every_phase(void **state)
{
	(void)state;
	for (size_t t = 0; t < COUNT(tags); t++) {
		size_t r = 0;
		while (r < COUNT(rows) && rows[r].tag != tags[t])
			r++;
		if (r == COUNT(rows))
			print_message("# no row for request %u\n", tags[t]);
		assert_true(r < COUNT(rows));
		check_at_init(&rows[r]);
		check_at_event(&rows[r], true);
		check_at_event(&rows[r], false);
		check_running(&rows[r]);
	}
}

/* ---- Accesses ---- */

static void test_write(void **state)
{
	struct link_rig *rig = *state;
	struct link_frame frame;
	link_pass_init(rig);
	static const uint32_t sizes[] = {1, 2, 8, LIMIT_ACCESS_BYTES};
	for (size_t i = 0; i < COUNT(sizes); i++) {
		memset(rig->data, 0x5a, sizes[i]);
		link_begin_access(rig, ADDRESS_SPACE_MMIO, true, sizes[i]);
		assert_true(link_take(rig, &frame));
		const wire_VcpuResponse_Wait_Io *io = &frame.message.message.wait.exit.io;
		assert_int_equal(frame.message.message.wait.which_exit, wire_VcpuResponse_Wait_io_tag);
		assert_int_equal(io->space, wire_AddressSpace_MMIO);
		assert_int_equal(io->address, 0x1000);
		assert_true(io->is_write);
		assert_false(io->no_resume);
		assert_int_equal(io->data.size, sizes[i]);
		assert_memory_equal(io->data.data, rig->data, sizes[i]);
		/* Data in the answer to a write is nothing to anybody. */
		link_resume(rig, "xyz", i);
		assert_int_equal(link_end(rig), 1);
		assert_int_equal(rig->data[0], 0x5a);
	}
}

static void test_read(void **state)
{
	struct link_rig *rig = *state;
	struct link_frame frame;
	static uint8_t answer[LIMIT_ACCESS_BYTES];
	memset(answer, 0xa5, sizeof(answer));
	link_pass_init(rig);
	static const uint32_t sizes[] = {1, 4, LIMIT_ACCESS_BYTES};
	for (size_t i = 0; i < COUNT(sizes); i++) {
		memset(rig->data, 0x77, sizeof(rig->data));
		link_begin_access(rig, ADDRESS_SPACE_PORT, false, sizes[i]);
		assert_true(link_take(rig, &frame));
		const wire_VcpuResponse_Wait_Io *io = &frame.message.message.wait.exit.io;
		assert_int_equal(io->space, wire_AddressSpace_IOPORT);
		assert_false(io->is_write);
		/* As long as the access; nothing of the host's memory is in it. */
		assert_int_equal(io->data.size, sizes[i]);
		for (uint32_t b = 0; b < sizes[i]; b++)
			assert_int_equal(io->data.data[b], 0);
		link_resume(rig, answer, sizes[i]);
		assert_int_equal(link_end(rig), 1);
		assert_memory_equal(rig->data, answer, sizes[i]);
		if (sizes[i] < sizeof(rig->data))
			assert_int_equal(rig->data[sizes[i]], 0x77);
	}
}

static void test_unclaimed(void **state)
{
	struct link_rig *rig = *state;
	uint8_t data[4] = {1, 2, 3, 4};
	struct guest_access access = {
	    .space = ADDRESS_SPACE_PORT, .address = 0x200, .width = 4, .data = data, .size = 4, .is_write = true};
	assert_int_equal(link_deliver_access(&rig->link, rig->vcpu, &access), 0);
	assert_int_equal(data[0], 1);
	access.is_write = false;
	assert_int_equal(link_deliver_access(&rig->link, rig->vcpu, &access), 0);
	assert_int_equal(memcmp(data, "\0\0\0\0", 4), 0);
	assert_int_equal(rig->link.counts.unclaimed[ADDRESS_SPACE_PORT][0].count, 1);
	assert_int_equal(rig->link.counts.unclaimed[ADDRESS_SPACE_PORT][1].count, 1);
	/* It did not speak to the plugin. */
	struct pollfd poller = {.fd = rig->events, .events = POLLIN};
	assert_int_equal(poll(&poller, 1, 0), 0);
}

static void test_answer_of_wrong_length(void **state)
{
	struct link_rig *rig = *state;
	static const uint8_t answer[LIMIT_ACCESS_BYTES + 1];
	link_pass_init(rig);
	memset(rig->data, 0x77, sizeof(rig->data));
	link_begin_access(rig, ADDRESS_SPACE_PORT, false, 4);
	link_expect_access(rig, 0);
	static const size_t wrong[] = {0, 1, 3, 5, 8, sizeof(answer)};
	for (size_t i = 0; i < COUNT(wrong); i++) {
		link_resume(rig, answer, wrong[i]);
		link_expect_access(rig, EINVAL);
		assert_int_equal(rig->data[0], 0x77);
	}
	link_resume(rig, "good", 4);
	assert_int_equal(link_end(rig), 1);
	assert_memory_equal(rig->data, "good", 4);
	/* The next event knows nothing of the errors of this one. */
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	link_expect_access(rig, 0);
	link_resume(rig, NULL, 0);
	assert_int_equal(link_end(rig), 1);
}

/* ---- State ---- */

static const size_t state_sizes[STATE_SETS] = {
    sizeof(struct kvm_regs),      sizeof(struct kvm_sregs),       sizeof(struct kvm_fpu),
    sizeof(struct kvm_debugregs), sizeof(struct kvm_lapic_state), sizeof(struct kvm_mp_state),
    sizeof(struct kvm_xcrs),      sizeof(struct kvm_vcpu_events),
};

static void put_set_state(struct link_rig *rig, int set, const void *data, size_t size)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_set_state_tag};
	request.message.set_state.set = (wire_VcpuRequest_StateSet)set;
	request.message.set_state.state = (struct wire_bytes){data, size};
	link_put_request(rig, &request);
}

static void put_get_state(struct link_rig *rig, int set)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_get_state_tag};
	request.message.get_state.set = (wire_VcpuRequest_StateSet)set;
	link_put_request(rig, &request);
}

static void test_every_state_set(void **state)
{
	struct link_rig *rig = *state;
	struct link_frame frame;
	uint8_t data[sizeof(union vcpu_state) + 1];
	link_begin_init(rig);
	link_put_tag(rig, wire_VcpuRequest_wait_tag);
	link_expect_init(rig, 0);
	for (int set = 0; set < STATE_SETS; set++) {
		size_t size = state_sizes[set];
		assert_true(size > 0);
		memset(data, 0x10 + set, sizeof(data));
		const size_t wrong[] = {0, 1, size - 1, size + 1};
		for (size_t i = 0; i < COUNT(wrong); i++) {
			put_set_state(rig, set, data, wrong[i]);
			link_expect_error(rig, EINVAL);
		}
		put_set_state(rig, set, data, size);
		assert_true(link_take(rig, &frame));
		assert_int_equal(frame.message.error, 0);
		assert_int_equal(frame.message.which_message, wire_VcpuResponse_set_state_tag);
		put_get_state(rig, set);
		assert_true(link_take(rig, &frame));
		assert_int_equal(frame.message.which_message, wire_VcpuResponse_get_state_tag);
		assert_int_equal(frame.message.message.get_state.state.size, size);
		assert_memory_equal(frame.message.message.get_state.state.data, data, size);
	}
	static const int unknown[] = {STATE_SETS, 100, INT32_MAX, -1};
	for (size_t i = 0; i < COUNT(unknown); i++) {
		put_get_state(rig, unknown[i]);
		link_expect_error(rig, EINVAL);
		put_set_state(rig, unknown[i], data, 8);
		link_expect_error(rig, EINVAL);
	}
	link_resume(rig, NULL, 0);
	assert_int_equal(link_end(rig), 0);
}

static void test_kvm_refuses_state(void **state)
{
	struct link_rig *rig = *state;
	static const struct kvm_regs regs;
	link_begin_init(rig);
	link_put_tag(rig, wire_VcpuRequest_wait_tag);
	link_expect_init(rig, 0);
	fake_kvm_fail(KVM_GET_REGS, EIO, 1);
	put_get_state(rig, wire_VcpuRequest_StateSet_REGS);
	link_expect_error(rig, EIO);
	fake_kvm_fail(KVM_SET_REGS, EINVAL, 1);
	put_set_state(rig, wire_VcpuRequest_StateSet_REGS, &regs, sizeof(regs));
	link_expect_error(rig, EINVAL);
	link_resume(rig, NULL, 0);
	assert_int_equal(link_end(rig), 0);
}

/* ---- Registers with the resume ---- */

struct registers {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
};

static void fill(struct registers *registers, int byte)
{
	memset(registers, byte, sizeof(*registers));
}

static void put_registers(struct link_rig *rig, const struct registers *registers, size_t regs_size,
                          size_t sregs_size, size_t debugregs_size)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_resume_tag};
	request.message.resume.regs = (struct wire_bytes){(const uint8_t *)&registers->regs, regs_size};
	request.message.resume.sregs = (struct wire_bytes){(const uint8_t *)&registers->sregs, sregs_size};
	request.message.resume.debugregs = (struct wire_bytes){(const uint8_t *)&registers->debugregs,
	                                                       debugregs_size};
	link_put_request(rig, &request);
}

static void expect_registers(const struct fake_vcpu *vcpu, const struct registers *expected)
{
	assert_memory_equal(&vcpu->regs, &expected->regs, sizeof(expected->regs));
	assert_memory_equal(&vcpu->sregs, &expected->sregs, sizeof(expected->sregs));
	assert_memory_equal(&vcpu->debugregs, &expected->debugregs, sizeof(expected->debugregs));
}

/* Registers whose lengths are wrong, one at a time; each time nothing may change. */
static void check_register_sizes(struct link_rig *rig, const struct registers *old)
{
	const size_t regs = sizeof(struct kvm_regs), sregs = sizeof(struct kvm_sregs),
	             debugregs = sizeof(struct kvm_debugregs);
	static struct {
		struct registers registers;
		uint8_t more[8];
	} new;
	memset(&new, 0x22, sizeof(new));
	const size_t sizes[][3] = {
	    {regs - 1, sregs, debugregs},
	    {regs + 1, sregs, debugregs},
	    {regs, sregs - 1, debugregs},
	    {regs, sregs + 1, debugregs},
	    {regs, sregs, debugregs - 1},
	    {regs, sregs, debugregs + 1},
	    {1, 0, 0},
	    {0, 1, 0},
	    {0, 0, 1},
	};
	for (size_t i = 0; i < COUNT(sizes); i++) {
		put_registers(rig, &new.registers, sizes[i][0], sizes[i][1], sizes[i][2]);
		link_expect_init(rig, EINVAL);
		expect_registers(rig->fake, old);
	}
}

static void test_registers_are_all_or_nothing(void **state)
{
	struct link_rig *rig = *state;
	struct registers old, new;
	fill(&old, 0x11);
	fill(&new, 0x22);
	rig->fake->regs = old.regs;
	rig->fake->sregs = old.sregs;
	rig->fake->debugregs = old.debugregs;
	link_begin_init(rig);
	link_put_tag(rig, wire_VcpuRequest_wait_tag);
	link_expect_init(rig, 0);
	check_register_sizes(rig, &old);
	static const struct {
		unsigned long request;
		int code;
	} failures[] = {{KVM_SET_SREGS, EINVAL}, {KVM_SET_DEBUGREGS, EINVAL}, {KVM_GET_SREGS, EIO}};
	for (size_t i = 0; i < COUNT(failures); i++) {
		fake_kvm_fail(failures[i].request, failures[i].code, 1);
		put_registers(rig, &new, sizeof(new.regs), sizeof(new.sregs), sizeof(new.debugregs));
		link_expect_init(rig, failures[i].code);
		expect_registers(rig->fake, &old);
	}
	put_registers(rig, &new, sizeof(new.regs), sizeof(new.sregs), sizeof(new.debugregs));
	assert_int_equal(link_end(rig), 0);
	expect_registers(rig->fake, &new);
}

static void test_some_registers(void **state)
{
	struct link_rig *rig = *state;
	struct registers new, expected;
	for (int sets = 0; sets < 8; sets++) {
		fill(&expected, 0x11);
		fill(&new, 0x22);
		rig->fake->regs = expected.regs;
		rig->fake->sregs = expected.sregs;
		rig->fake->debugregs = expected.debugregs;
		link_begin_init(rig);
		link_put_tag(rig, wire_VcpuRequest_wait_tag);
		link_expect_init(rig, 0);
		put_registers(rig, &new, sets & 1 ? sizeof(new.regs) : 0, sets & 2 ? sizeof(new.sregs) : 0,
		              sets & 4 ? sizeof(new.debugregs) : 0);
		assert_int_equal(link_end(rig), 0);
		if (sets & 1)
			expected.regs = new.regs;
		if (sets & 2)
			expected.sregs = new.sregs;
		if (sets & 4)
			expected.debugregs = new.debugregs;
		expect_registers(rig->fake, &expected);
	}
}

/* Neither registers nor the answer count if the other does not fit. */
static void test_answer_and_registers(void **state)
{
	struct link_rig *rig = *state;
	struct registers new;
	fill(&new, 0x22);
	link_pass_init(rig);
	memset(rig->data, 0x77, sizeof(rig->data));
	link_begin_access(rig, ADDRESS_SPACE_PORT, false, 1);
	link_expect_access(rig, 0);
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_resume_tag};
	wire_VcpuRequest_Resume *resume = &request.message.resume;
	resume->data = (struct wire_bytes){(const uint8_t *)"ab", 2};
	resume->regs = (struct wire_bytes){(const uint8_t *)&new.regs, sizeof(new.regs)};
	link_put_request(rig, &request);
	link_expect_access(rig, EINVAL);
	assert_int_equal(rig->fake->regs.rax, 0);
	resume->data.size = 1;
	resume->regs.size--;
	link_put_request(rig, &request);
	link_expect_access(rig, EINVAL);
	assert_int_equal(rig->data[0], 0x77);
	resume->regs.size++;
	link_put_request(rig, &request);
	assert_int_equal(link_end(rig), 1);
	assert_int_equal(rig->data[0], 'a');
	assert_int_equal(rig->fake->regs.rax, new.regs.rax);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, link_rig_setup, link_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_request_in_every_phase),
	    TEST(test_write),
	    TEST(test_read),
	    TEST(test_unclaimed),
	    TEST(test_answer_of_wrong_length),
	    TEST(test_every_state_set),
	    TEST(test_kvm_refuses_state),
	    TEST(test_registers_are_all_or_nothing),
	    TEST(test_some_registers),
	    TEST(test_answer_and_registers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
