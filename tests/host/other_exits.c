/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the exits that become events beyond API 0.22: which of them come, what they say, what the plugin's answer does,
 * and what happens if a pause, a stop or another subscription comes while one waits.
 */
#include "rig.h"

#include <string.h>

#include "wire/event.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static atomic_uint wanted;

static int setup(void **state)
{
	exit_rig_setup(state);
	struct exit_rig *rig = *state;
	atomic_store(&wanted, 0);
	rig->link.link.exits_wanted = &wanted;
	link_pass_init(&rig->link);
	return 0;
}

/* Every exit of the kind, with what makes it an event. */
static const struct kind {
	uint32_t reason;
	unsigned int subscription; /* 0: none is needed */
	pb_size_t event;
	bool is_answered;
	bool is_failure; /* the end of the guest, without the plugin's word */
} kinds[] = {
    {KVM_EXIT_X86_RDMSR, 0, wire_VcpuResponse_Event_msr_tag, true, false},
    {KVM_EXIT_X86_WRMSR, 0, wire_VcpuResponse_Event_msr_tag, true, false},
    {KVM_EXIT_DEBUG, 0, wire_VcpuResponse_Event_debug_tag, false, false},
    {KVM_EXIT_IRQ_WINDOW_OPEN, 0, wire_VcpuResponse_Event_irq_window_tag, false, false},
    {KVM_EXIT_HLT, WIRE_EXIT_HLT, wire_VcpuResponse_Event_hlt_tag, false, true},
    {KVM_EXIT_IOAPIC_EOI, WIRE_EXIT_IOAPIC_EOI, wire_VcpuResponse_Event_ioapic_eoi_tag, false, false},
    {KVM_EXIT_SHUTDOWN, WIRE_EXIT_SHUTDOWN, wire_VcpuResponse_Event_shutdown_tag, true, true},
    {KVM_EXIT_INTERNAL_ERROR, WIRE_EXIT_INTERNAL_ERROR, wire_VcpuResponse_Event_internal_error_tag, true, true},
};

static const struct wire_event_answer no_answer, go_on = {.action = 1};

/* The next frame is this event. */
static const wire_VcpuResponse_Event *take(struct exit_rig *rig, pb_size_t event, int error)
{
	static struct link_frame frame;
	assert_true(link_take(&rig->link, &frame));
	assert_int_equal(frame.message.error, error);
	assert_int_equal(frame.message.which_message, wire_VcpuResponse_event_tag);
	assert_int_equal(frame.message.message.event.which_exit, event);
	return &frame.message.message.event;
}

static const wire_VcpuResponse_Event *begin(struct exit_rig *rig, const struct kind *kind)
{
	rig->run->request_interrupt_window = kind->reason == KVM_EXIT_IRQ_WINDOW_OPEN;
	exit_begin(rig, kind->reason);
	return take(rig, kind->event, 0);
}

static void answer(struct exit_rig *rig, struct wire_event_answer value)
{
	link_resume(&rig->link, &value, sizeof(value));
}

static void expect_crash(struct exit_rig *rig, enum exit_verdict verdict, uint32_t reason)
{
	assert_int_equal(verdict, EXIT_END);
	assert_int_equal(rig->end.end, PLUGVM_END_GUEST_CRASHED);
	assert_int_equal(rig->end.value, reason);
	assert_true(strlen(rig->end.text) > 10);
}

static void check_delivery(struct exit_rig *rig, const struct kind *kind, bool is_event)
{
	if (is_event) {
		begin(rig, kind);
		answer(rig, go_on);
		assert_int_equal(exit_end(rig), EXIT_CONTINUE);
		return;
	}
	enum exit_verdict verdict = exit_now(rig, kind->reason);
	if (kind->is_failure)
		expect_crash(rig, verdict, kind->reason);
	else
		assert_int_equal(verdict, EXIT_CONTINUE);
	link_expect_nothing(&rig->link);
}

/* Each kind comes if it was asked for, whatever else was. */
static void test_subscriptions(void **state)
{
	struct exit_rig *rig = *state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		for (unsigned int mask = 0; mask <= WIRE_EXITS_ALL; mask++) {
			atomic_store(&wanted, mask);
			check_delivery(rig, &kinds[i], !kinds[i].subscription || (mask & kinds[i].subscription));
		}
	}
	/* A link that nobody can subscribe to. */
	rig->link.link.exits_wanted = NULL;
	for (size_t i = 0; i < COUNT(kinds); i++)
		check_delivery(rig, &kinds[i], !kinds[i].subscription);
}

/* ---- What they say ---- */

static void test_msr(void **state)
{
	struct exit_rig *rig = *state;
	static const uint32_t reasons[] = {KVM_MSR_EXIT_REASON_INVAL, KVM_MSR_EXIT_REASON_UNKNOWN,
	                                   KVM_MSR_EXIT_REASON_FILTER};
	for (size_t i = 0; i < COUNT(kinds) && kinds[i].event == wire_VcpuResponse_Event_msr_tag; i++) {
		bool is_write = kinds[i].reason == KVM_EXIT_X86_WRMSR;
		for (uint32_t action = 0; action < 3; action++) {
			rig->run->msr.index = 0xc0010000 + action;
			rig->run->msr.reason = reasons[action];
			rig->run->msr.data = UINT64_C(0x8877665544332211);
			rig->run->msr.error = !action;
			const wire_VcpuResponse_Event_Msr *msr = &begin(rig, &kinds[i])->exit.msr;
			assert_int_equal(msr->index, 0xc0010000 + action);
			assert_int_equal(msr->reason, reasons[action]);
			assert_int_equal(msr->is_write, is_write);
			/* Nothing of the shared page that is not the guest's. */
			assert_true(msr->data == (is_write ? UINT64_C(0x8877665544332211) : 0));
			answer(rig, (struct wire_event_answer){.data = 42, .action = action});
			assert_int_equal(exit_end(rig), EXIT_CONTINUE);
			assert_true(rig->run->msr.data == (is_write ? UINT64_C(0x8877665544332211) : 42));
			assert_int_equal(rig->run->msr.error, action != 0);
		}
	}
}

static void test_debug(void **state)
{
	struct exit_rig *rig = *state;
	rig->run->debug.arch.exception = 3;
	rig->run->debug.arch.pc = UINT64_MAX;
	rig->run->debug.arch.dr6 = 0xffff0ff1;
	rig->run->debug.arch.dr7 = 0x401;
	const wire_VcpuResponse_Event_Debug *debug = &begin(rig, &kinds[2])->exit.debug;
	assert_int_equal(debug->exception, 3);
	assert_true(debug->pc == UINT64_MAX);
	assert_int_equal(debug->dr6, 0xffff0ff1);
	assert_int_equal(debug->dr7, 0x401);
	answer(rig, no_answer);
	assert_int_equal(exit_end(rig), EXIT_CONTINUE);
}

static void test_ioapic_eoi(void **state)
{
	struct exit_rig *rig = *state;
	atomic_store(&wanted, WIRE_EXIT_IOAPIC_EOI);
	for (unsigned int vector = 0; vector < 256; vector += 51) {
		rig->run->eoi.vector = (uint8_t)vector;
		assert_int_equal(begin(rig, &kinds[5])->exit.ioapic_eoi.vector, vector);
		answer(rig, no_answer);
		assert_int_equal(exit_end(rig), EXIT_CONTINUE);
	}
}

static void test_internal_error(void **state)
{
	struct exit_rig *rig = *state;
	static const struct {
		uint32_t said, count;
	} cases[] = {{0, 0}, {1, 1}, {16, 16}, {17, 16}, {UINT32_MAX, 16}};
	atomic_store(&wanted, WIRE_EXIT_INTERNAL_ERROR);
	for (size_t i = 0; i < COUNT(cases); i++) {
		rig->run->internal.suberror = UINT32_MAX - (uint32_t)i;
		rig->run->internal.ndata = cases[i].said;
		for (uint32_t word = 0; word < 16; word++)
			rig->run->internal.data[word] = UINT64_MAX - word;
		const wire_VcpuResponse_Event_InternalError *error = &begin(rig, &kinds[7])->exit.internal_error;
		assert_int_equal(error->suberror, UINT32_MAX - (uint32_t)i);
		assert_int_equal(error->data.count, cases[i].count);
		const uint64_t *words = error->data.items;
		for (uint32_t word = 0; word < cases[i].count; word++)
			assert_true(words[word] == UINT64_MAX - word);
		answer(rig, go_on);
		assert_int_equal(exit_end(rig), EXIT_CONTINUE);
	}
}

/* The event comes once for each time that it was asked for. */
static void test_irq_window(void **state)
{
	struct exit_rig *rig = *state;
	for (int i = 0; i < 2; i++) {
		begin(rig, &kinds[3]);
		assert_int_equal(rig->run->request_interrupt_window, 0);
		answer(rig, no_answer);
		assert_int_equal(exit_end(rig), EXIT_CONTINUE);
		/* KVM gives none that was not asked for; if it did, it would be nobody's. */
		assert_int_equal(exit_now(rig, KVM_EXIT_IRQ_WINDOW_OPEN), EXIT_CONTINUE);
		link_expect_nothing(&rig->link);
	}
}

/* ---- Answers ---- */

static void test_answers_of_wrong_size(void **state)
{
	struct exit_rig *rig = *state;
	static const uint8_t bytes[4096] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
	static const size_t wrong[] = {0, 1, 8, 12, 15, 17, 32, sizeof(bytes)};
	atomic_store(&wanted, WIRE_EXITS_ALL);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		rig->run->msr.data = 7;
		begin(rig, &kinds[i]);
		for (size_t w = 0; w < COUNT(wrong) && kinds[i].is_answered; w++) {
			link_resume(&rig->link, bytes, wrong[w]);
			take(rig, kinds[i].event, EINVAL);
		}
		if (kinds[i].is_answered)
			answer(rig, go_on);
		else
			link_resume(&rig->link, bytes, wrong[i]); /* nothing to anybody */
		assert_int_equal(exit_end(rig), EXIT_CONTINUE);
		link_expect_nothing(&rig->link);
	}
}

static void test_go_on(void **state)
{
	struct exit_rig *rig = *state;
	atomic_store(&wanted, WIRE_EXITS_ALL);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		if (!kinds[i].is_failure || !kinds[i].is_answered)
			continue;
		for (uint32_t action = 0; action < 4; action++) {
			rig->link.fake->regs.rip = 0x1000;
			rig->run->internal.suberror = 1;
			begin(rig, &kinds[i]);
			/* The plugin may change registers; the result has those that the guest crashed with. */
			wire_VcpuRequest request = {.which_message = wire_VcpuRequest_set_state_tag};
			struct kvm_regs regs = {.rip = 0x2000};
			request.message.set_state.set = wire_VcpuRequest_StateSet_REGS;
			request.message.set_state.state = (struct wire_bytes){(const uint8_t *)&regs,
			                                                      sizeof(regs)};
			link_put_request(&rig->link, &request);
			struct link_frame frame;
			assert_true(link_take(&rig->link, &frame));
			assert_int_equal(frame.message.error, 0);
			answer(rig, (struct wire_event_answer){.action = action, .data = 1});
			enum exit_verdict verdict = exit_end(rig);
			assert_int_equal(rig->link.fake->regs.rip, 0x2000);
			if (action == 1) {
				assert_int_equal(verdict, EXIT_CONTINUE);
				continue;
			}
			expect_crash(rig, verdict, kinds[i].reason);
			assert_true(rig->end.has_registers);
			assert_int_equal(rig->end.regs.rip, 0x1000);
		}
	}
}

/* ---- What comes while one waits ---- */

static void test_subscription_changes(void **state)
{
	struct exit_rig *rig = *state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		if (!kinds[i].subscription)
			continue;
		/* Taken back while the event waits: this one is served to its end, and is the last. */
		atomic_store(&wanted, kinds[i].subscription);
		begin(rig, &kinds[i]);
		atomic_store(&wanted, 0);
		answer(rig, go_on);
		assert_int_equal(exit_end(rig), EXIT_CONTINUE);
		check_delivery(rig, &kinds[i], false);
		atomic_store(&wanted, kinds[i].subscription);
		check_delivery(rig, &kinds[i], true);
	}
}

/* KVM completes an MSR access in the next KVM_RUN, which must do no more than that before PAUSED comes. */
static void test_pause(void **state)
{
	struct exit_rig *rig = *state;
	struct link_rig *link = &rig->link;
	atomic_store(&wanted, WIRE_EXITS_ALL);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		assert_int_equal(link_pre_run(&link->link, link->vcpu), 0);
		link_post_run(&link->link);
		begin(rig, &kinds[i]);
		link_request_pause(&link->link, i + 1);
		link_expect_nothing(link);
		answer(rig, go_on);
		assert_int_equal(exit_end(rig), EXIT_CONTINUE);
		assert_int_equal(link_pre_run(&link->link, link->vcpu), 0);
		assert_int_equal(rig->run->immediate_exit, 1);
		link_expect_nothing(link);
		/* KVM_RUN gives EINTR. */
		assert_int_equal(exit_handle_error(-EINTR, link->vcpu, &rig->end), EXIT_CONTINUE);
		link_begin_pre_run(link);
		link_expect_paused(link, 0, i + 1);
		link_resume(link, NULL, 0);
		assert_int_equal(link_end(link), 0);
		assert_int_equal(rig->run->immediate_exit, 0);
	}
}

/* Requests are served as at any other event. */
static void test_requests(void **state)
{
	struct exit_rig *rig = *state;
	atomic_store(&wanted, WIRE_EXITS_ALL);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct link_frame frame;
		begin(rig, &kinds[i]);
		link_put_tag(&rig->link, wire_VcpuRequest_nmi_tag);
		assert_true(link_take(&rig->link, &frame));
		assert_int_equal(frame.message.error, 0);
		assert_int_equal(frame.message.which_message, wire_VcpuResponse_nmi_tag);
		link_put_tag(&rig->link, wire_VcpuRequest_wait_tag);
		link_expect_error(&rig->link, EPROTO);
		answer(rig, go_on);
		assert_int_equal(exit_end(rig), EXIT_CONTINUE);
		assert_int_equal(rig->link.fake->nmis, i + 1);
	}
}

static void check_stop(size_t kind, bool by_plugin)
{
	void *state;
	setup(&state);
	struct exit_rig *rig = state;
	atomic_store(&wanted, WIRE_EXITS_ALL);
	begin(rig, &kinds[kind]);
	if (by_plugin)
		fd_close(&rig->link.requests);
	else
		link_cut(&rig->link.link);
	assert_int_equal(exit_end(rig), EXIT_END);
	assert_int_equal(rig->end.cancelled, !by_plugin);
	assert_int_equal(rig->end.is_weak, by_plugin);
	assert_int_equal(rig->end.end, PLUGVM_END_PROTOCOL_ERROR);
	/* And none comes after it. */
	rig->run->request_interrupt_window = 1;
	assert_int_equal(exit_now(rig, kinds[kind].reason), EXIT_END);
	assert_int_equal(rig->end.cancelled, !by_plugin);
	exit_rig_teardown(&state);
}

static void test_stop(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		check_stop(i, false);
		check_stop(i, true);
	}
}

/* An answer that was sent before the event is none. */
static void check_early(size_t kind)
{
	void *state;
	setup(&state);
	struct exit_rig *rig = state;
	atomic_store(&wanted, WIRE_EXITS_ALL);
	rig->run->request_interrupt_window = 1;
	answer(rig, go_on);
	assert_int_equal(exit_now(rig, kinds[kind].reason), EXIT_END);
	assert_int_equal(rig->end.end, PLUGVM_END_PROTOCOL_ERROR);
	assert_int_equal(rig->end.value, EPROTO);
	assert_non_null(strstr(rig->end.text, "resumed a vCPU that was running"));
	exit_rig_teardown(&state);
}

static void test_early_answer(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++)
		check_early(i);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, exit_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_subscriptions),
	    TEST(test_msr),
	    TEST(test_debug),
	    TEST(test_ioapic_eoi),
	    TEST(test_internal_error),
	    TEST(test_irq_window),
	    TEST(test_answers_of_wrong_size),
	    TEST(test_go_on),
	    TEST(test_subscription_changes),
	    TEST(test_pause),
	    TEST(test_requests),
	    cmocka_unit_test(test_stop),
	    cmocka_unit_test(test_early_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
