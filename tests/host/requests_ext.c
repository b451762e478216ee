/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what a plugin may ask on a main connection beyond API 0.22: what KVM is asked, what goes back, each limit and
 * one more, and every errno of KVM. The dirty log has a test of its own.
 */
#include "rig.h"

#include <string.h>

#include "wire/event.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Serve the request and keep its answer, whose fds are the caller's; returns its error. */
static int ask(struct session_rig *rig, const wire_MainRequest *request, struct answer_packet *out_answer)
{
	assert_int_equal(rig_send(rig->socket, request, -1, 0), 0);
	session_dispatch(&rig->session, rig->vm);
	rig_receive(rig->socket, out_answer);
	assert_int_equal(out_answer->result, 0);
	return out_answer->message.error;
}

static int ask_only(struct session_rig *rig, const wire_MainRequest *request)
{
	return rig_request(rig, rig->socket, request, -1, 0);
}

/* Every errno that KVM gives for `ioctl` is the answer to the request. */
static void check_errnos(struct session_rig *rig, unsigned long ioctl, const wire_MainRequest *request)
{
	static const int codes[] = {EINVAL, E2BIG, ENXIO, ENOMEM, EFAULT, ENOTTY, EBUSY};
	for (size_t i = 0; i < COUNT(codes); i++) {
		fake_kvm_fail(ioctl, codes[i], 0);
		assert_int_equal(ask_only(rig, request), codes[i]);
	}
	fake_kvm_fail(0, 0, 0);
	assert_int_equal(ask_only(rig, request), 0);
}

static void change_irqchip(struct session_rig *rig, enum plugvm_irqchip irqchip)
{
	plugvm_vm_free(&rig->vm);
	assert_int_equal(plugvm_vm_new(rig->kvm, irqchip, &rig->vm, NULL), 0);
}

/* ---- Features ---- */

static uint64_t features(struct session_rig *rig)
{
	static struct answer_packet answer;
	wire_MainRequest request = {.which_message = wire_MainRequest_features_tag};
	assert_int_equal(ask(rig, &request, &answer), 0);
	return answer.message.message.features.features;
}

/* Those that depend on nothing. */
#define ALWAYS                                                                                                 \
	(WIRE_FEATURE_VCPUS | WIRE_FEATURE_CREATE_EXT | WIRE_FEATURE_CPUID_FLAGS | WIRE_FEATURE_DIRTY_LOG_TO | \
	 WIRE_FEATURE_PAUSE_SET | WIRE_FEATURE_EXITS | WIRE_FEATURE_TRANSLATE | WIRE_FEATURE_SNAPSHOT |        \
	 WIRE_FEATURE_END | WIRE_FEATURE_AREA)

static void test_features(void **state)
{
	struct session_rig *rig = *state;
	static const struct {
		unsigned int capability;
		uint64_t feature;
	} kernel[] = {{KVM_CAP_X86_MSR_FILTER, WIRE_FEATURE_MSR_FILTER},
	              {KVM_CAP_XSAVE, WIRE_FEATURE_XSAVE},
	              {KVM_CAP_GET_TSC_KHZ, WIRE_FEATURE_TSC_KHZ},
	              {KVM_CAP_NESTED_STATE, WIRE_FEATURE_NESTED},
	              {KVM_CAP_SET_GUEST_DEBUG, WIRE_FEATURE_GUEST_DEBUG}};
	assert_true(features(rig) == ALWAYS);
	uint64_t all = ALWAYS;
	for (size_t i = 0; i < COUNT(kernel); i++) {
		fake_kvm.caps[kernel[i].capability] = true;
		assert_true(features(rig) == (ALWAYS | kernel[i].feature));
		fake_kvm.caps[kernel[i].capability] = false;
		all |= kernel[i].feature;
	}
	for (size_t i = 0; i < COUNT(kernel); i++)
		fake_kvm.caps[kernel[i].capability] = true;
	assert_true(features(rig) == all);
	/* MSIs need an interrupt controller in the kernel, injection needs one that is not. */
	fake_kvm.caps[KVM_CAP_SIGNAL_MSI] = true;
	assert_true(features(rig) == (all | WIRE_FEATURE_SIGNAL_MSI));
	change_irqchip(rig, PLUGVM_IRQCHIP_SPLIT);
	assert_true(features(rig) == (all | WIRE_FEATURE_SIGNAL_MSI | WIRE_FEATURE_INTERRUPTS));
	change_irqchip(rig, PLUGVM_IRQCHIP_NONE);
	assert_true(features(rig) == (all | WIRE_FEATURE_INTERRUPTS));
}

static void test_limits(void **state)
{
	struct session_rig *rig = *state;
	static struct answer_packet answer;
	change_irqchip(rig, PLUGVM_IRQCHIP_SPLIT);
	wire_MainRequest request = {.which_message = wire_MainRequest_features_tag};
	assert_int_equal(ask(rig, &request, &answer), 0);
	const wire_MainResponse_Features *got = &answer.message.message.features;
	assert_int_equal(got->version_major, PLUGVM_VERSION_MAJOR);
	assert_int_equal(got->version_minor, PLUGVM_VERSION_MINOR);
	assert_int_equal(got->version_patch, PLUGVM_VERSION_PATCH);
	assert_int_equal(got->vcpu_count, 2);
	assert_int_equal(got->irqchip, PLUGVM_IRQCHIP_SPLIT);
	assert_int_equal(got->request_bytes, LIMIT_REQUEST_BYTES);
	assert_int_equal(got->connections, LIMIT_CONNECTIONS);
	assert_int_equal(got->ranges, LIMIT_RANGES);
	assert_int_equal(got->events, LIMIT_EVENTS);
	assert_int_equal(got->memory_slots, LIMIT_MEMORY_SLOTS);
	assert_true(got->memory_bytes == (uint64_t)LIMIT_MEMORY_GIB << 30);
	assert_int_equal(got->irq_routes, LIMIT_IRQ_ROUTES);
	assert_int_equal(got->cpuid_entries, LIMIT_CPUID_ENTRIES);
	assert_int_equal(got->msrs, LIMIT_MSRS);
}

/* ---- CPUID ---- */

static void test_get_cpuid(void **state)
{
	struct session_rig *rig = *state;
	static struct answer_packet answer;
	wire_MainRequest request = {.which_message = wire_MainRequest_get_cpuid_tag};
	request.message.get_cpuid.emulated = true;
	assert_int_equal(ask(rig, &request, &answer), 0);
	const struct wire_bytes *entries = &answer.message.message.get_cpuid.entries;
	struct kvm_cpuid_entry2 got[2];
	assert_int_equal(entries->size, sizeof(got));
	memcpy(got, entries->data, sizeof(got));
	assert_int_equal(got[0].function, FAKE_EMULATED_LEAF);
	assert_int_equal(got[0].flags, 0);
	assert_int_equal(got[1].function, FAKE_EMULATED_LEAF + 1);
	assert_int_equal(got[1].index, 7);
	assert_int_equal(got[1].flags, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
	assert_int_equal(got[1].edx, UINT32_MAX);
	check_errnos(rig, KVM_GET_EMULATED_CPUID, &request);
	request.message.get_cpuid.emulated = false;
	assert_int_equal(ask(rig, &request, &answer), 0);
	memcpy(got, entries->data, sizeof(got));
	assert_int_equal(entries->size, sizeof(got));
	assert_int_equal(got[1].function, 0x80000008);
	assert_int_equal(got[1].eax, 0x3000 | fake_kvm.address_bits);
	check_errnos(rig, KVM_GET_SUPPORTED_CPUID, &request);
}

/* ---- Events ---- */

static wire_MainRequest io_event(uint32_t id, wire_AddressSpace space, uint64_t address, uint32_t length)
{
	wire_MainRequest request = {.which_message = wire_MainRequest_create_ext_tag};
	request.message.create_ext = (wire_MainRequest_CreateExt){
	    .id = id,
	    .which_constructor = wire_MainRequest_CreateExt_io_event_tag,
	    .constructor = {.io_event = {.space = space, .address = address, .length = length}},
	};
	return request;
}

static wire_MainRequest irq_event(uint32_t id, uint32_t gsi)
{
	wire_MainRequest request = {.which_message = wire_MainRequest_create_ext_tag};
	request.message.create_ext = (wire_MainRequest_CreateExt){
	    .id = id,
	    .which_constructor = wire_MainRequest_CreateExt_irq_event_tag,
	    .constructor = {.irq_event = {.irq_id = gsi}},
	};
	return request;
}

static int destroy(struct session_rig *rig, uint32_t id)
{
	wire_MainRequest request = {.which_message = wire_MainRequest_destroy_tag, .message.destroy.id = id};
	return ask_only(rig, &request);
}

static void test_io_event(void **state)
{
	struct session_rig *rig = *state;
	static const bool good[] = {true, true, true, false, true, false, false, false, true, false};
	for (uint32_t length = 0; length < COUNT(good); length++) {
		for (int space = 0; space < 2; space++) {
			wire_MainRequest request = io_event(5, (wire_AddressSpace)space, 0x1000, length);
			assert_int_equal(ask_only(rig, &request), good[length] ? 0 : EINVAL);
			assert_int_equal(fake_kvm.io_event_count, good[length]);
			if (!good[length])
				continue;
			const struct kvm_ioeventfd *event = &fake_kvm.io_events[0];
			assert_int_equal(event->addr, 0x1000);
			assert_int_equal(event->len, length);
			/* Any data: that is what Create cannot say. */
			assert_int_equal(event->flags,
			                 space == wire_AddressSpace_IOPORT ? KVM_IOEVENTFD_FLAG_PIO : 0);
			assert_int_equal(ask_only(rig, &request), EEXIST);
			assert_int_equal(destroy(rig, 5), 0);
			assert_int_equal(fake_kvm.io_event_count, 0);
		}
	}
	wire_MainRequest request = io_event(5, wire_AddressSpace_IOPORT, 0x10000, 1);
	assert_int_equal(ask_only(rig, &request), EINVAL);
	request = io_event(5, wire_AddressSpace_IOPORT, 0xffff, 1);
	fake_kvm_fail(KVM_IOEVENTFD, ENOSPC, 0);
	assert_int_equal(ask_only(rig, &request), ENOSPC);
	fake_kvm_fail(0, 0, 0);
	assert_int_equal(ask_only(rig, &request), 0);
}

static void test_irq_event(void **state)
{
	struct session_rig *rig = *state;
	static struct answer_packet answer;
	wire_MainRequest request = irq_event(7, LIMIT_GSI);
	assert_int_equal(ask(rig, &request, &answer), 0);
	assert_int_equal(answer.fd_count, 1);
	assert_int_equal(fake_kvm.irq_event_count, 1);
	assert_int_equal(fake_kvm.irq_events[0].gsi, LIMIT_GSI);
	assert_int_equal(fake_kvm.irq_events[0].flags, 0);
	assert_int_equal(fake_kvm.irq_events[0].resamplefd, 0);
	/* The plugin's end is the one that KVM has. */
	uint64_t value = 3;
	assert_int_equal(write(answer.fds[0], &value, sizeof(value)), sizeof(value));
	assert_int_equal(read((int)fake_kvm.irq_events[0].fd, &value, sizeof(value)), sizeof(value));
	assert_int_equal(value, 3);
	rig_close_fds(&answer);
	assert_int_equal(ask_only(rig, &request), EEXIST);
	assert_int_equal(destroy(rig, 7), 0);
	assert_int_equal(fake_kvm.irq_event_count, 0);
	check_errnos(rig, KVM_IRQFD, &request);
}

/* Events of both kinds and of both messages count together. */
static void test_number_of_events(void **state)
{
	struct session_rig *rig = *state;
	wire_MainRequest request;
	for (uint32_t id = 0; id < LIMIT_EVENTS; id++) {
		request = id % 2 ? irq_event(id, id) : io_event(id, wire_AddressSpace_MMIO, id, 1);
		int error = ask_only(rig, &request);
		if (error == EMFILE)
			test_skip("RLIMIT_NOFILE is too low for 1024 events");
		assert_int_equal(error, 0);
	}
	request = irq_event(LIMIT_EVENTS, 1);
	assert_int_equal(ask_only(rig, &request), ENOSPC);
	request = io_event(LIMIT_EVENTS, wire_AddressSpace_MMIO, 0x5000, 1);
	assert_int_equal(ask_only(rig, &request), ENOSPC);
	assert_int_equal(destroy(rig, 0), 0);
	assert_int_equal(ask_only(rig, &request), 0);
}

/* ---- MSIs ---- */

static void test_signal_msi(void **state)
{
	struct session_rig *rig = *state;
	static struct answer_packet answer;
	wire_MainRequest request = {.which_message = wire_MainRequest_signal_msi_tag};
	request.message.signal_msi.address = UINT64_C(0x1234567fee01000);
	request.message.signal_msi.data = 0x4031;
	for (int result = 0; result <= 2; result++) {
		fake_kvm.msi_result = result;
		memset(&fake_kvm.msi, 0xff, sizeof(fake_kvm.msi));
		assert_int_equal(ask(rig, &request, &answer), 0);
		assert_int_equal(answer.message.message.signal_msi.delivered, result > 0);
		const struct kvm_msi expected = {
		    .address_lo = 0xfee01000, .address_hi = 0x1234567, .data = 0x4031};
		assert_memory_equal(&fake_kvm.msi, &expected, sizeof(expected));
	}
	check_errnos(rig, KVM_SIGNAL_MSI, &request);
}

/* ---- Subscriptions ---- */

static void test_subscribe(void **state)
{
	struct session_rig *rig = *state;
	wire_MainRequest request = {.which_message = wire_MainRequest_subscribe_exits_tag};
	for (uint32_t exits = 0; exits <= WIRE_EXITS_ALL; exits++) {
		request.message.subscribe_exits.exits = exits;
		assert_int_equal(ask_only(rig, &request), 0);
		assert_int_equal(atomic_load(&rig->session.exits_wanted), exits);
	}
	for (int bit = 4; bit < 32; bit++) {
		request.message.subscribe_exits.exits = UINT32_C(1) << bit | 1;
		assert_int_equal(ask_only(rig, &request), EINVAL);
	}
	/* What is refused changes nothing. */
	assert_int_equal(atomic_load(&rig->session.exits_wanted), WIRE_EXITS_ALL);
	for (uint32_t cpu = 0; cpu < 2; cpu++)
		assert_ptr_equal(rig->session.links[cpu].exits_wanted, &rig->session.exits_wanted);
}

/* ---- The MSR filter ---- */

#define FILTER  KVM_MSR_EXIT_REASON_FILTER
#define UNKNOWN (KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL)

typedef wire_MainRequest_SetMsrFilter_Range msr_range;

static int set_filter(struct session_rig *rig, const msr_range *ranges, uint32_t count, bool unknown)
{
	wire_MainRequest request = {.which_message = wire_MainRequest_set_msr_filter_tag};
	request.message.set_msr_filter.ranges = (struct wire_array){.items = (void *)ranges, .count = count};
	request.message.set_msr_filter.unknown = unknown;
	fake_kvm.msr_call_count = 0;
	return ask_only(rig, &request);
}

/* KVM got: exits, the filter with `count` ranges, exits. */
static void expect_filter(uint64_t before, uint32_t count, uint64_t after)
{
	const struct fake_msr_call *calls = fake_kvm.msr_calls;
	assert_int_equal(fake_kvm.msr_call_count, 3);
	assert_false(calls[0].is_filter || calls[2].is_filter);
	assert_true(calls[1].is_filter && calls[1].denies_all);
	assert_int_equal(calls[0].reasons, before);
	assert_int_equal(calls[2].reasons, after);
	assert_int_equal(calls[1].filter.flags, KVM_MSR_FILTER_DEFAULT_ALLOW);
	for (uint32_t i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++)
		assert_int_equal(calls[1].filter.ranges[i].nmsrs > 0, i < count);
}

/* A denied access raises #GP unless it exits: exits are on before the filter is, and off after it. */
static void test_filter_order(void **state)
{
	struct session_rig *rig = *state;
	static const msr_range one[] = {{.first = 0x10, .count = 1, .reads = true}};
	assert_int_equal(set_filter(rig, NULL, 0, false), 0);
	expect_filter(FILTER, 0, 0);
	assert_int_equal(set_filter(rig, one, 1, false), 0);
	expect_filter(FILTER, 1, FILTER);
	assert_int_equal(set_filter(rig, one, 1, true), 0);
	expect_filter(FILTER, 1, FILTER | UNKNOWN);
	assert_int_equal(set_filter(rig, NULL, 0, true), 0);
	expect_filter(FILTER | UNKNOWN, 0, UNKNOWN);
	assert_int_equal(set_filter(rig, NULL, 0, false), 0);
	expect_filter(FILTER | UNKNOWN, 0, 0);
	assert_int_equal(set_filter(rig, NULL, 0, false), 0);
	expect_filter(FILTER, 0, 0);
}

/* The first call that fails is the last, and what the next one begins with is what is in force. */
static void test_filter_failures(void **state)
{
	struct session_rig *rig = *state;
	static const msr_range one[] = {{.first = 0x10, .count = 1, .writes = true}};
	static const struct {
		unsigned long ioctl;
		unsigned int nth;
		size_t calls;
	} cases[] = {{KVM_ENABLE_CAP, 1, 0}, {KVM_X86_SET_MSR_FILTER, 1, 1}, {KVM_ENABLE_CAP, 2, 2}};
	static const int codes[] = {EINVAL, ENOMEM, EFAULT};
	for (int was_unknown = 0; was_unknown < 2; was_unknown++) {
		for (size_t i = 0; i < COUNT(cases); i++) {
			assert_int_equal(set_filter(rig, one, 1, was_unknown), 0);
			fake_kvm_fail(cases[i].ioctl, codes[i], cases[i].nth);
			assert_int_equal(set_filter(rig, one, 1, !was_unknown), codes[i]);
			assert_int_equal(fake_kvm.msr_call_count, cases[i].calls);
			fake_kvm_fail(0, 0, 0);
			assert_int_equal(set_filter(rig, NULL, 0, was_unknown), 0);
			expect_filter(FILTER | (was_unknown ? UNKNOWN : 0), 0, was_unknown ? UNKNOWN : 0);
		}
	}
}

static void test_filter_ranges(void **state)
{
	struct session_rig *rig = *state;
	static msr_range ranges[LIMIT_MSR_FILTER_RANGES + 1];
	for (uint32_t i = 0; i <= LIMIT_MSR_FILTER_RANGES; i++)
		ranges[i] = (msr_range){
		    .first = i * 0x100000, .count = i + 1, .reads = i % 3 != 1, .writes = i % 3 != 0};
	ranges[0].count = LIMIT_MSR_FILTER_COUNT;
	ranges[1] = (msr_range){.first = UINT32_MAX, .count = 1, .writes = true};
	ranges[3].first = UINT32_MAX - LIMIT_MSR_FILTER_COUNT + 1;
	ranges[3].count = LIMIT_MSR_FILTER_COUNT;
	assert_int_equal(set_filter(rig, ranges, LIMIT_MSR_FILTER_RANGES, false), 0);
	expect_filter(FILTER, LIMIT_MSR_FILTER_RANGES, FILTER);
	for (uint32_t i = 0; i < LIMIT_MSR_FILTER_RANGES; i++) {
		const struct kvm_msr_filter_range *got = &fake_kvm.msr_calls[1].filter.ranges[i];
		assert_int_equal(got->base, ranges[i].first);
		assert_int_equal(got->nmsrs, ranges[i].count);
		assert_int_equal(got->flags, (ranges[i].reads ? KVM_MSR_FILTER_READ : 0) |
		                                 (ranges[i].writes ? KVM_MSR_FILTER_WRITE : 0));
	}
	assert_int_equal(set_filter(rig, ranges, LIMIT_MSR_FILTER_RANGES + 1, false), E2BIG);
	assert_int_equal(fake_kvm.msr_call_count, 0);
	static const struct {
		msr_range range;
		int error;
	} wrong[] = {
	    {{.first = 0, .count = LIMIT_MSR_FILTER_COUNT + 1, .reads = true}, E2BIG},
	    {{.first = 0, .count = UINT32_MAX, .reads = true}, E2BIG},
	    {{.first = 5, .count = 0, .reads = true}, EINVAL},
	    {{.first = UINT32_MAX, .count = 2, .reads = true}, EINVAL},
	    {{.first = UINT32_MAX - LIMIT_MSR_FILTER_COUNT + 2, .count = LIMIT_MSR_FILTER_COUNT, .reads = true},
	     EINVAL},
	    {{.first = 5, .count = 1}, EINVAL},
	};
	for (size_t i = 0; i < COUNT(wrong); i++) {
		/* Also as the last of many. */
		for (uint32_t at = 0; at < LIMIT_MSR_FILTER_RANGES; at += LIMIT_MSR_FILTER_RANGES - 1) {
			msr_range some[LIMIT_MSR_FILTER_RANGES];
			memcpy(some, ranges, sizeof(some));
			some[at] = wrong[i].range;
			assert_int_equal(set_filter(rig, some, at + 1, true), wrong[i].error);
			assert_int_equal(fake_kvm.msr_call_count, 0);
		}
	}
	/* None of that was kept. */
	assert_int_equal(set_filter(rig, NULL, 0, false), 0);
	expect_filter(FILTER, 0, 0);
}

/* ---- The end ---- */

static int get_end(struct session_rig *rig, wire_MainResponse_GetEnd *out_end, char text[300])
{
	static struct answer_packet answer;
	wire_MainRequest request = {.which_message = wire_MainRequest_get_end_tag};
	int error = ask(rig, &request, &answer);
	*out_end = answer.message.message.get_end;
	if (error == 0) {
		if (out_end->text.size > 0)
			memcpy(text, out_end->text.data, out_end->text.size);
		text[out_end->text.size] = '\0';
	}
	return error;
}

static void test_get_end(void **state)
{
	struct session_rig *rig = *state;
	wire_MainResponse_GetEnd end;
	char text[300], longest[300];
	struct plugvm_plugin plugin;
	assert_int_equal(get_end(rig, &end, text), EAGAIN);
	/* A stop says so before anything follows from it; nobody has to have said why. */
	session_signal_kill(&rig->session);
	assert_int_equal(get_end(rig, &end, text), EAGAIN);
	memset(longest, 'x', sizeof(longest));
	longest[299] = '\0';
	const struct {
		enum plugvm_end reason;
		int value, cpu;
		const char *text;
	} ends[] = {{PLUGVM_END_PLUGIN_EXITED, 0, -1, ""},
	            {PLUGVM_END_PLUGIN_KILLED, 9, -1, "the plugin was killed"},
	            {PLUGVM_END_GUEST_CRASHED, KVM_EXIT_SHUTDOWN, 1023, "triple fault"},
	            {PLUGVM_END_STOPPED, INT32_MIN, -1, longest},
	            {PLUGVM_END_PROTOCOL_ERROR, INT32_MAX, 0, "x"}};
	for (size_t i = 0; i < COUNT(ends); i++) {
		memcpy(&plugin.session, &rig->session, sizeof(plugin.session));
		plugvm_plugin_set_end(&plugin, ends[i].reason, ends[i].value, ends[i].cpu, ends[i].text);
		rig->session.end = plugin.session.end;
		assert_int_equal(get_end(rig, &end, text), 0);
		assert_int_equal(end.reason, ends[i].reason);
		assert_int_equal(end.value, ends[i].value);
		assert_int_equal(end.cpu, ends[i].cpu);
		/* Cut where the plugin's struct ends. */
		assert_int_equal(strlen(text), strlen(ends[i].text) < 255 ? strlen(ends[i].text) : 255);
		assert_memory_equal(text, ends[i].text, strlen(text));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, session_rig_setup, session_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_features),     TEST(test_limits),           TEST(test_get_cpuid),     TEST(test_io_event),
	    TEST(test_irq_event),    TEST(test_number_of_events), TEST(test_signal_msi),    TEST(test_subscribe),
	    TEST(test_filter_order), TEST(test_filter_failures),  TEST(test_filter_ranges), TEST(test_get_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
