/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks a vCPU's messages through shared memory: events and their answers, requests, registers, posted writes, and that a
 * plugin which writes what it likes, or nothing, costs its own VM at most. The test is the plugin.
 */
#include "rig.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#include "base/fd.h"
#include "channel/area.h"
#include "channel/host_end.h"
#include "channel/plugin_end.h"
#include "host/link_page.h"
#include "host/vcpu_area.h"

#define ASYNC 0x4000

/* Beside the rig: its link uses this page. */
static struct {
	struct link_rig *rig;
	struct area area;
	struct tokens tokens;
	struct host_end host;
	struct plugin_end plugin;
} page;

static bool is_hung_up(void *context)
{
	struct pollfd poller = {.fd = ((struct link_rig *)context)->events};
	return poll(&poller, 1, 0) > 0 && poller.revents & POLLHUP;
}

static void begin(struct link_rig *rig, unsigned int answer_timeout_ms)
{
	uint32_t id;
	const struct spin_setting no_spin = {.mode = SPIN_FIXED};
	link_rig_init(rig, answer_timeout_ms);
	rig->vm->sync_supported = fake_kvm.sync_sets;
	assert_int_equal(ranges_reserve(&rig->ranges, ADDRESS_SPACE_MMIO, ASYNC, 0x1000, true, &id), 0);
	memset(&page, 0, sizeof(page));
	page.rig = rig;
	assert_int_equal(area_new(1, &page.area), 0);
	tokens_init(&page.tokens, no_spin, 2, -1);
	host_end_init(&page.host, area_page(&page.area, 0), &page.tokens);
	link_use_page(&rig->link, &page.host);
	plugin_end_init(&page.plugin, area_page(&page.area, 0), no_spin, is_hung_up, rig);
}

static void finish(struct link_rig *rig)
{
	area_fini(&page.area);
	link_rig_fini(rig);
}

static int setup(void **state)
{
	static struct link_rig rig;
	begin(&rig, 0);
	*state = &rig;
	return 0;
}

static int setup_with_timeout(void **state)
{
	static struct link_rig rig;
	begin(&rig, 50);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	finish(*state);
	return 0;
}

static void wait_event(struct plugin_event *out_event)
{
	assert_int_equal(plugin_end_wait(&page.plugin, clock_ns() + PATIENCE_MS * UINT64_C(1000000), out_event),
	                 0);
}

static void resume(const void *data, uint32_t size)
{
	plugin_end_resume(&page.plugin, data, size, 0, 0);
}

static void pass_init(struct link_rig *rig, uint16_t wanted)
{
	struct plugin_event event;
	wire_VcpuResponse response;
	link_begin_init(rig);
	wait_event(&event);
	assert_int_equal(event.kind, PLUGIN_MESSAGE);
	assert_int_equal(wire_decode_vcpu_response(event.data, event.size, NULL, &response), 0);
	assert_int_equal(response.which_message, wire_VcpuResponse_wait_tag);
	assert_int_equal(response.message.wait.which_exit, wire_VcpuResponse_Wait_init_tag);
	plugin_end_resume(&page.plugin, NULL, 0, 0, wanted);
	assert_int_equal(link_end(rig), 0);
}

static void expect_access(struct plugin_event *out_event, bool is_write, uint32_t size, int error)
{
	wait_event(out_event);
	assert_int_equal(out_event->kind, PLUGIN_ACCESS);
	assert_int_equal(out_event->is_write, is_write);
	assert_int_equal(out_event->size, size);
	assert_int_equal(out_event->error, error);
}

static void test_accesses(void **state)
{
	struct link_rig *rig = *state;
	static uint8_t answer[LIMIT_ACCESS_BYTES];
	static const uint32_t sizes[] = {1, 4, 8, 9, LIMIT_ACCESS_BYTES};
	struct plugin_event event;
	pass_init(rig, 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint32_t size = sizes[i];
		memset(rig->data, 0x5a, size);
		link_begin_access(rig, ADDRESS_SPACE_MMIO, true, size);
		expect_access(&event, true, size, 0);
		assert_true(event.is_mmio);
		assert_int_equal(event.address, rig->access.address);
		assert_memory_equal(event.data, rig->data, size);
		resume(NULL, 0);
		assert_int_equal(link_end(rig), 1);

		memset(answer, 0xa0 + (int)i, size);
		link_begin_access(rig, ADDRESS_SPACE_PORT, false, size);
		expect_access(&event, false, size, 0);
		assert_false(event.is_mmio);
		resume(answer, size);
		assert_int_equal(link_end(rig), 1);
		assert_memory_equal(rig->data, answer, size);
	}
}

/* The same event again, with the errno; then a right answer counts. */
static void test_wrong_length(void **state)
{
	struct link_rig *rig = *state;
	struct plugin_event event;
	const uint8_t answer[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
	static const uint32_t wrong[] = {0, 3, 5, 9};
	pass_init(rig, 0);
	link_begin_access(rig, ADDRESS_SPACE_PORT, false, 4);
	expect_access(&event, false, 4, 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		resume(answer, wrong[i]);
		expect_access(&event, false, 4, EINVAL);
	}
	resume(answer, 4);
	assert_int_equal(link_end(rig), 1);
	assert_memory_equal(rig->data, answer, 4);
}

/* Send an encoded request and decode its reply. */
static void ask(const wire_VcpuRequest *request, wire_VcpuResponse *out_reply)
{
	static uint8_t bytes[LIMIT_VCPU_REQUEST_BYTES];
	const uint8_t *reply;
	uint32_t reply_size;
	ssize_t size = wire_encode_vcpu_request(request, bytes, sizeof(bytes));
	assert_true(size >= 0);
	plugin_end_request(&page.plugin, bytes, (uint32_t)size);
	assert_int_equal(plugin_end_reply(&page.plugin, &reply, &reply_size), 0);
	assert_int_equal(wire_decode_vcpu_response(reply, reply_size, NULL, out_reply), 0);
}

static void test_requests(void **state)
{
	struct link_rig *rig = *state;
	struct plugin_event event;
	wire_VcpuResponse reply;
	pass_init(rig, 0);
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	expect_access(&event, true, 1, 0);

	memset(&rig->fake->fpu, 0x33, sizeof(rig->fake->fpu));
	wire_VcpuRequest get = {.which_message = wire_VcpuRequest_get_state_tag,
	                        .message.get_state.set = wire_VcpuRequest_StateSet_FPU};
	ask(&get, &reply);
	assert_int_equal(reply.error, 0);
	assert_int_equal(reply.message.get_state.state.size, sizeof(rig->fake->fpu));
	assert_memory_equal(reply.message.get_state.state.data, &rig->fake->fpu, sizeof(rig->fake->fpu));
	/* Wrong ones get an errno, and the event still waits for its answer. */
	wire_VcpuRequest set = {.which_message = wire_VcpuRequest_set_state_tag};
	ask(&set, &reply);
	assert_int_equal(reply.error, EINVAL);
	wire_VcpuRequest wait = {.which_message = wire_VcpuRequest_wait_tag};
	ask(&wait, &reply);
	assert_int_equal(reply.error, EPROTO);
	wire_VcpuRequest none = {.which_message = 0};
	ask(&none, &reply);
	assert_int_equal(reply.error, ENOTTY);
	resume(NULL, 0);
	assert_int_equal(link_end(rig), 1);
}

/* What is no message of this place ends the link. */
static void test_wrong_requests(void **state)
{
	(void)state;
	static const struct {
		uint8_t bytes[4];
		uint32_t size;
	} wrong[] = {
	    {{0xff, 0xff, 0xff, 0xff}, 4}, /* not a message */
	    {{0x12, 0x00}, 2},             /* a resume */
	    {{0x42, 0x00}, 2},             /* the host's shutdown */
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct link_rig rig;
		struct plugin_event event;
		begin(&rig, 0);
		pass_init(&rig, 0);
		link_begin_access(&rig, ADDRESS_SPACE_PORT, true, 1);
		expect_access(&event, true, 1, 0);
		plugin_end_request(&page.plugin, wrong[i].bytes, wrong[i].size);
		assert_int_equal(link_end(&rig), -EPROTO);
		assert_int_equal(link_check(&rig.link), -EPROTO);
		assert_true(rig.link.fault[0] != '\0');
		finish(&rig);
	}
}

static void test_speaks_out_of_turn(void **state)
{
	struct link_rig *rig = *state;
	pass_init(rig, 0);
	resume(NULL, 0);
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	assert_int_equal(link_end(rig), -EPROTO);
	assert_non_null(strstr(rig->link.fault, "running"));
}

/* A hole in the memory reads as zeros, which is no turn. */
static void test_hole(void **state)
{
	struct link_rig *rig = *state;
	struct plugin_event event;
	pass_init(rig, 0);
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	expect_access(&event, true, 1, 0);
	assert_int_equal(
	    fallocate(page.area.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)page.area.size), 0);
	handover_alarm(&page.plugin.handover);
	assert_int_equal(link_end(rig), -EPROTO);
	assert_non_null(strstr(rig->link.fault, "makes no sense"));
}

/* ---- Registers ---- */

static int exit_at_once(struct fake_vcpu *vcpu)
{
	(void)vcpu;
	return 0;
}

/* What is wanted comes along; what is set goes with the resume, the general registers by KVM_RUN. */
static void test_registers(void **state)
{
	struct link_rig *rig = *state;
	struct plugin_event event;
	fake_kvm.run = exit_at_once;
	assert_int_equal(plugvm_vcpu_run(rig->vcpu), 0);
	pass_init(rig, PAGE_REGS | PAGE_SREGS | PAGE_EVENTS);
	memset(&rig->fake->regs, 0x11, sizeof(rig->fake->regs));
	memset(&rig->fake->sregs, 0x12, sizeof(rig->fake->sregs));
	memset(&rig->fake->events, 0x13, sizeof(rig->fake->events));
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	expect_access(&event, true, 1, 0);
	assert_int_equal(event.valid, PAGE_REGS | PAGE_SREGS | PAGE_EVENTS);
	struct kvm_regs *regs = plugin_end_registers(&page.plugin, PAGE_REGS);
	struct kvm_sregs *sregs = plugin_end_registers(&page.plugin, PAGE_SREGS);
	assert_memory_equal(regs, &rig->fake->regs, sizeof(*regs));
	assert_memory_equal(sregs, &rig->fake->sregs, sizeof(*sregs));
	assert_memory_equal(plugin_end_registers(&page.plugin, PAGE_EVENTS), &rig->fake->events,
	                    sizeof(rig->fake->events));

	regs->rbx = 0x77;
	sregs->cr3 = 0x88;
	plugin_end_resume(&page.plugin, NULL, 0, PAGE_REGS | PAGE_SREGS, PAGE_REGS);
	assert_int_equal(link_end(rig), 1);
	assert_int_equal(rig->fake->sregs.cr3, 0x88);
	struct kvm_regs now;
	assert_int_equal(plugvm_vcpu_get_regs(rig->vcpu, &now), 0);
	assert_int_equal(now.rbx, 0x77);
	assert_int_equal(rig->fake->run->kvm_dirty_regs, KVM_SYNC_X86_REGS);
	assert_int_equal(rig->fake->run->kvm_valid_regs, KVM_SYNC_X86_REGS);

	/* What is wanted no more does not come any more, and does come as it is then. */
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	expect_access(&event, true, 1, 0);
	assert_int_equal(event.valid, PAGE_REGS);
	assert_int_equal(regs->rbx, 0x77);
	resume(NULL, 0);
	assert_int_equal(link_end(rig), 1);
}

/* All or nothing, and the errno comes back with the same event. */
static void test_refused_registers(void **state)
{
	struct link_rig *rig = *state;
	struct plugin_event event;
	static const struct {
		unsigned long refused;
		uint16_t sets;
	} cases[] = {
	    {KVM_SET_SREGS, PAGE_SREGS | PAGE_REGS},
	    {KVM_SET_DEBUGREGS, PAGE_SREGS | PAGE_DEBUGREGS},
	    {KVM_SET_VCPU_EVENTS, PAGE_REGS | PAGE_SREGS | PAGE_DEBUGREGS | PAGE_EVENTS},
	};
	pass_init(rig, 0);
	memset(&rig->fake->regs, 0x11, sizeof(rig->fake->regs));
	memset(&rig->fake->sregs, 0x12, sizeof(rig->fake->sregs));
	memset(&rig->fake->debugregs, 0x13, sizeof(rig->fake->debugregs));
	memset(&rig->fake->events, 0x14, sizeof(rig->fake->events));
	const struct fake_vcpu before = *rig->fake;
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	expect_access(&event, true, 1, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t size = 0;
		for (enum page_set set = PAGE_REGS; set < PAGE_SETS; set *= 2)
			memset(page_registers_find(&area_page(&page.area, 0)->registers, set, &size), 0x55, size);
		fake_kvm_fail(cases[i].refused, EINVAL, 1);
		plugin_end_resume(&page.plugin, NULL, 0, cases[i].sets, 0);
		expect_access(&event, true, 1, EINVAL);
		fake_kvm_fail(0, 0, 0);
		assert_memory_equal(&rig->fake->regs, &before.regs, sizeof(before.regs));
		assert_memory_equal(&rig->fake->sregs, &before.sregs, sizeof(before.sregs));
		assert_memory_equal(&rig->fake->debugregs, &before.debugregs, sizeof(before.debugregs));
		assert_memory_equal(&rig->fake->events, &before.events, sizeof(before.events));
	}
	resume(NULL, 0);
	assert_int_equal(link_end(rig), 1);
}

/* What the plugin has injected keeps the guest from taking an interrupt: there is no window, whatever KVM said at the exit. */
static void test_no_window(void **state)
{
	struct link_rig *rig = *state;
	struct plugin_event event;
	pass_init(rig, 0);
	struct kvm_run *run = plugvm_vcpu_exit(rig->vcpu);
	struct kvm_vcpu_events events = {.interrupt.injected = 1};
	struct kvm_regs regs = {.rflags = 0x202};
	host_end_put_registers(&page.host, PAGE_EVENTS, &events);
	host_end_put_registers(&page.host, PAGE_REGS, &regs);
	for (int i = 0; i < 2; i++) {
		run->ready_for_interrupt_injection = 1;
		link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
		expect_access(&event, true, 1, 0);
		plugin_end_resume(&page.plugin, NULL, 0, i == 0 ? PAGE_REGS : PAGE_EVENTS, 0);
		assert_int_equal(link_end(rig), 1);
		assert_int_equal(run->ready_for_interrupt_injection, i == 0);
	}
}

/* Once a vCPU's thread has begun on its packets there is no way to the memory. */
static void test_too_late(void **state)
{
	struct link_rig *rig = *state;
	const struct spin_setting no_spin = {.mode = SPIN_FIXED};
	struct vcpu_area area;
	int fd = -1;
	assert_int_equal(vcpu_area_init(&area, 1, no_spin, UINT_MAX), 0);
	vcpu_area_begin(&area);
	assert_int_equal(vcpu_area_hand_over(&area, &rig->link, &fd), -EBUSY);
	assert_int_equal(fd, -1);
	assert_ptr_equal(atomic_load(&rig->link.page), &page.host);
	area.begun = false;
	assert_int_equal(vcpu_area_hand_over(&area, &rig->link, &fd), 0);
	assert_int_equal(vcpu_area_hand_over(&area, &rig->link, &fd), -EALREADY);
	fd_close(&fd);
	link_use_page(&rig->link, &page.host);
	vcpu_area_fini(&area);
}

/* ---- Posted writes ---- */

static int post(struct link_rig *rig, uint32_t data)
{
	struct guest_access access = {.space = ADDRESS_SPACE_MMIO,
	                              .is_write = true,
	                              .address = ASYNC + 8,
	                              .width = 4,
	                              .data = (uint8_t *)&data,
	                              .size = 4};
	return link_deliver_access(&rig->link, rig->vcpu, &access);
}

static void test_posted_writes(void **state)
{
	struct link_rig *rig = *state;
	struct plugin_event event;
	pass_init(rig, 0);
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < RING_ENTRIES / 2; i++)
			assert_int_equal(post(rig, i), 1);
		link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
		for (uint32_t i = 0; i < RING_ENTRIES / 2; i++) {
			wait_event(&event);
			assert_int_equal(event.kind, PLUGIN_POSTED);
			assert_int_equal(event.address, ASYNC + 8);
			assert_memory_equal(event.data, &i, 4);
		}
		expect_access(&event, true, 1, 0);
		resume(NULL, 0);
		assert_int_equal(link_end(rig), 1);
	}
}

static void *cut_later(void *argument)
{
	usleep(50000);
	link_cut(argument);
	return NULL;
}

/* A plugin that does not take them makes its own vCPU wait, and a stop ends that. */
static void test_full_ring(void **state)
{
	struct link_rig *rig = *state;
	pthread_t thread;
	pass_init(rig, 0);
	for (uint32_t i = 0; i < RING_ENTRIES; i++)
		assert_int_equal(post(rig, i), 1);
	assert_int_equal(pthread_create(&thread, NULL, cut_later, &rig->link), 0);
	assert_int_equal(post(rig, 0), -ECANCELED);
	pthread_join(thread, NULL);
}

/* ---- Ends ---- */

static void test_cut(void **state)
{
	struct link_rig *rig = *state;
	struct plugin_event event;
	pass_init(rig, 0);
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	expect_access(&event, true, 1, 0);
	link_cut(&rig->link);
	assert_int_equal(link_end(rig), -ECANCELED);
	/* And the plugin, that resumes it and waits, is told at once. */
	uint64_t begin_ns = clock_ns();
	resume(NULL, 0);
	assert_int_equal(plugin_end_wait(&page.plugin, 0, &event), -ECONNRESET);
	assert_true(clock_ns() - begin_ns < PLUGIN_END_SLEEP_NS);
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	assert_int_equal(link_end(rig), -ECANCELED);
}

static void test_no_answer(void **state)
{
	struct link_rig *rig = *state;
	struct plugin_event event;
	pass_init(rig, 0);
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	expect_access(&event, true, 1, 0);
	assert_int_equal(link_end(rig), -ETIMEDOUT);
	assert_non_null(strstr(rig->link.fault, "50 ms"));
}

static void test_closed_ends(void **state)
{
	struct link_rig *rig = *state;
	struct plugin_event event;
	pass_init(rig, 0);
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	expect_access(&event, true, 1, 0);
	fd_close(&rig->requests);
	fd_close(&rig->events);
	assert_int_equal(link_end(rig), -EPIPE);
	assert_non_null(strstr(rig->link.fault, "closed"));
}

static void test_poll(void **state)
{
	struct link_rig *rig = *state;
	struct plugin_event event;
	struct pollfd poller = {.fd = rig->events, .events = POLLIN};
	uint8_t byte;
	pass_init(rig, 0);
	/* Who has not asked is not told. */
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	expect_access(&event, true, 1, 0);
	resume(NULL, 0);
	assert_int_equal(link_end(rig), 1);
	assert_int_equal(poll(&poller, 1, 0), 0);

	assert_false(plugin_end_arm(&page.plugin));
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	assert_int_equal(poll(&poller, 1, PATIENCE_MS), 1);
	assert_int_equal(recv(rig->events, &byte, 1, MSG_DONTWAIT), 1);
	expect_access(&event, true, 1, 0);
	resume(NULL, 0);
	assert_int_equal(link_end(rig), 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_accesses),
	    TEST(test_wrong_length),
	    TEST(test_requests),
	    cmocka_unit_test(test_wrong_requests),
	    TEST(test_speaks_out_of_turn),
	    TEST(test_hole),
	    TEST(test_registers),
	    TEST(test_refused_registers),
	    TEST(test_no_window),
	    TEST(test_too_late),
	    TEST(test_posted_writes),
	    TEST(test_full_ring),
	    TEST(test_cut),
	    cmocka_unit_test_setup_teardown(test_no_answer, setup_with_timeout, teardown),
	    TEST(test_closed_ends),
	    TEST(test_poll),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
