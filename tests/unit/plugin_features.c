/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what becomes of each function of API 0.23 on a host that lacks it, an original one or one of ours: the errno,
 * that nothing is sent, and what serves in its place.
 */
#include "plugin_fake_host.c"

static struct crosvm_memory *memory; /* made by the test */

static int call_end(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vcpu;
	struct crosvm_end end;
	return crosvm_get_end(vm, &end);
}

static int call_edge(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vcpu;
	struct crosvm_irq *irq;
	return crosvm_create_edge_irq_event(vm, 1, &irq);
}

static int call_io_event(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vcpu;
	struct crosvm_io *io;
	return crosvm_create_io_event(vm, CROSVM_ADDRESS_SPACE_MMIO, 0x1000, 4, NULL, &io);
}

static int call_msi(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vcpu;
	return crosvm_signal_msi(vm, 1, 2);
}

static int call_dirty_log_to(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vcpu;
	return crosvm_memory_get_dirty_log_to(vm, memory, STDERR_FILENO, 0);
}

static int call_exits(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vcpu;
	return crosvm_subscribe_exits(vm, CROSVM_EXIT_HLT);
}

static int call_msr_filter(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vcpu;
	return crosvm_set_msr_filter(vm, 0, NULL, true);
}

static int call_msrs_counted(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vm;
	uint32_t count;
	return crosvm_vcpu_set_msrs_counted(vcpu, 0, NULL, &count);
}

static int call_get_xsave(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vm;
	uint32_t size;
	return crosvm_vcpu_get_xsave(vcpu, 0, NULL, &size);
}

static int call_set_xsave(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vm;
	return crosvm_vcpu_set_xsave(vcpu, 0, NULL);
}

static int call_get_tsc(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vm;
	uint32_t khz;
	return crosvm_vcpu_get_tsc_khz(vcpu, &khz);
}

static int call_set_tsc(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vm;
	return crosvm_vcpu_set_tsc_khz(vcpu, 1);
}

static int call_get_nested(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vm;
	uint32_t size;
	return crosvm_vcpu_get_nested_state(vcpu, 0, NULL, &size);
}

static int call_set_nested(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vm;
	return crosvm_vcpu_set_nested_state(vcpu, 0, NULL);
}

static int call_interrupt(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vm;
	return crosvm_vcpu_interrupt(vcpu, 255);
}

static int call_irq_window(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vm;
	return crosvm_vcpu_request_irq_window(vcpu, true);
}

static int call_nmi(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vm;
	return crosvm_vcpu_nmi(vcpu);
}

static int call_guest_debug(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vm;
	struct kvm_guest_debug debug = {0};
	return crosvm_vcpu_set_guest_debug(vcpu, &debug);
}

static int call_translate(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vm;
	struct kvm_translation translation = {0};
	return crosvm_vcpu_translate(vcpu, &translation);
}

static int call_get_all(struct crosvm *vm, struct crosvm_vcpu *vcpu)
{
	(void)vm;
	uint32_t size;
	return crosvm_vcpu_get_all(vcpu, 0, NULL, &size);
}

static const struct {
	int (*call)(struct crosvm *, struct crosvm_vcpu *);
	uint64_t feature; /* 0: every host of ours has it */
	int error;        /* without it */
	bool on_vcpu;
} functions[] = {
    {call_end, CROSVM_FEATURE_END, -ENOTTY, false},
    {call_edge, CROSVM_FEATURE_CREATE_EXT, -ENOTTY, false},
    {call_io_event, CROSVM_FEATURE_CREATE_EXT, -ENOTSUP, false},
    {call_msi, CROSVM_FEATURE_SIGNAL_MSI, -ENOTTY, false},
    {call_dirty_log_to, CROSVM_FEATURE_DIRTY_LOG_TO, -ENOTTY, false},
    {call_exits, CROSVM_FEATURE_EXITS, -ENOTTY, false},
    {call_msr_filter, CROSVM_FEATURE_MSR_FILTER, -ENOTTY, false},
    {call_msrs_counted, 0, -ENOTTY, true},
    {call_get_xsave, CROSVM_FEATURE_XSAVE, -ENOTTY, true},
    {call_set_xsave, CROSVM_FEATURE_XSAVE, -ENOTTY, true},
    {call_get_tsc, CROSVM_FEATURE_TSC_KHZ, -ENOTTY, true},
    {call_set_tsc, CROSVM_FEATURE_TSC_KHZ, -ENOTTY, true},
    {call_get_nested, CROSVM_FEATURE_NESTED, -ENOTTY, true},
    {call_set_nested, CROSVM_FEATURE_NESTED, -ENOTTY, true},
    {call_interrupt, CROSVM_FEATURE_INTERRUPTS, -ENOTTY, true},
    {call_irq_window, CROSVM_FEATURE_INTERRUPTS, -ENOTTY, true},
    {call_nmi, 0, -ENOTTY, true},
    {call_guest_debug, CROSVM_FEATURE_GUEST_DEBUG, -ENOTTY, true},
    {call_translate, CROSVM_FEATURE_TRANSLATE, -ENOTTY, true},
    {call_get_all, CROSVM_FEATURE_SNAPSHOT, -ENOTTY, true},
};

#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

/* A range whose log has `log_bytes`. */
static void make_memory(struct fake *fake, uint64_t log_bytes)
{
	fake_reply(fake->socket, BYTES(0x12, 0));
	assert_int_equal(
	    crosvm_create_memory(fake->plugin, STDERR_FILENO, 0, log_bytes * 8 * 4096, 0, false, true, &memory),
	    0);
	fake_take(fake->socket, NULL);
}

static void drop_memory(struct fake *fake)
{
	fake_reply(fake->socket, BYTES(0x1a, 0));
	assert_int_equal(crosvm_destroy_memory(fake->plugin, &memory), 0);
	fake_take(fake->socket, NULL);
}

/* The host has `features` and no more. */
static void check_functions(struct fake *fake, bool is_original, uint64_t features)
{
	make_memory(fake, 1);
	fake_init(fake, 0);
	struct crosvm_vcpu *vcpu = fake_vcpu(fake, 0);
	for (size_t i = 0; i < FUNCTIONS; i++) {
		bool has = functions[i].feature ? features & functions[i].feature : !is_original;
		if (!has) {
			assert_int_equal(functions[i].call(fake->plugin, vcpu), functions[i].error);
			fake_expect_nothing(fake->socket);
			fake_expect_nothing(fake->requests[0]);
			continue;
		}
		if (functions[i].on_vcpu) {
			/* Any member will do, since what is refused is not looked at. */
			wire_VcpuResponse refusal = {.error = EXDEV};
			fake_send(fake, 0, &refusal);
		} else {
			fake_refuse(fake->socket, EXDEV);
		}
		assert_int_equal(functions[i].call(fake->plugin, vcpu), -EXDEV);
		if (functions[i].on_vcpu)
			fake_take_vcpu(fake, 0, NULL);
		else
			fake_take(fake->socket, NULL);
		fake_expect_nothing(fake->socket);
		fake_expect_nothing(fake->requests[0]);
	}
	/* What is no blob is not sent. */
	assert_int_equal(crosvm_vcpu_set_all(vcpu, 0, NULL),
	                 features & CROSVM_FEATURE_SNAPSHOT ? -EINVAL : -ENOTTY);
	fake_expect_nothing(fake->requests[0]);
	drop_memory(fake);
}

static void test_original(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_PIPES, 1);
	check_functions(fake, true, 0);
}

static void check_features(void **state, uint64_t features)
{
	struct fake *fake = *state;
	wire_MainResponse answer = fake_features(1);
	/* The fake has no memory to share. */
	answer.message.features.features = features & ~(uint64_t)CROSVM_FEATURE_AREA;
	fake_connect_to(fake, FAKE_SOCKETS, &answer);
	check_functions(fake, false, features);
	fake_teardown(state);
	fake_setup(state);
}

static void test_one_missing(void **state)
{
	check_features(state, 0);
	check_features(state, UINT64_MAX);
	for (unsigned int bit = 0; bit < 16; bit++) {
		check_features(state, UINT64_C(1) << bit);
		check_features(state, ~(UINT64_C(1) << bit));
	}
}

/* What KVM itself says. */
static void test_irqchips(void **state)
{
	struct fake *fake = *state;
	wire_MainResponse answer = fake_features(1);
	answer.message.features.features = 0;
	answer.message.features.irqchip = CROSVM_IRQCHIP_NONE;
	fake_connect_to(fake, FAKE_SOCKETS, &answer);
	fake_refuse(fake->socket, EINVAL);
	assert_int_equal(crosvm_signal_msi(fake->plugin, 1, 2), -EINVAL);
	fake_take(fake->socket, NULL);
	fake_init(fake, 0);
	assert_int_equal(crosvm_vcpu_interrupt(fake_vcpu(fake, 0), 1), -ENOTTY);
	fake_teardown(state);
	fake_setup(state);

	fake = *state;
	answer.message.features.irqchip = CROSVM_IRQCHIP_KERNEL;
	fake_connect_to(fake, FAKE_SOCKETS, &answer);
	assert_int_equal(crosvm_signal_msi(fake->plugin, 1, 2), -ENOTTY);
	fake_init(fake, 0);
	assert_int_equal(crosvm_vcpu_interrupt(fake_vcpu(fake, 0), 1), -ENXIO);
	assert_int_equal(crosvm_vcpu_interrupt(fake_vcpu(fake, 0), 256), -EINVAL);
	assert_int_equal(crosvm_vcpu_request_irq_window(fake_vcpu(fake, 0), true), -ENXIO);
	fake_expect_nothing(fake->requests[0]);
	fake_expect_nothing(fake->socket);
}

/* A host that is gone says so, whatever it had. */
static void test_gone(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	make_memory(fake, 1);
	fake_init(fake, 0);
	struct crosvm_vcpu *vcpu = fake_vcpu(fake, 0);
	fd_close(&fake->socket);
	fake_close_vcpus(fake);
	assert_int_equal(crosvm_start(fake->plugin), -ECONNRESET);
	assert_int_equal(crosvm_vcpu_resume(vcpu), -ECONNRESET);
	for (size_t i = 0; i < FUNCTIONS; i++)
		if (functions[i].error == -ENOTTY)
			assert_int_equal(functions[i].call(fake->plugin, vcpu), -ECONNRESET);
	assert_int_equal(crosvm_destroy_memory(fake->plugin, &memory), -ECONNRESET);
	free(memory);
}

/* State is for a vCPU that stands still. */
static void test_running(void **state)
{
	struct fake *fake = *state;
	fake_connect_ours(fake, FAKE_SOCKETS, 1);
	for (size_t i = 0; i < FUNCTIONS; i++)
		if (functions[i].on_vcpu)
			assert_int_equal(functions[i].call(fake->plugin, fake_vcpu(fake, 0)), -EBUSY);
	fake_expect_nothing(fake->requests[0]);
}

/* ---- What serves in its place ---- */

static void test_pause_original(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 3);
	const uint64_t words[] = {UINT64_MAX, UINT64_MAX};
	for (uint32_t count = 1; count <= 2; count++) {
		fake_reply(fake->socket, BYTES(0x8a, 0x01, 0));
		assert_int_equal(crosvm_pause_vcpu_set(fake->plugin, count, words, (void *)5), 0);
		fake_expect(fake->socket, BYTES(0x82, 0x01, 4, 0x08, 7, 0x10, 5));
	}
	fake_teardown(state);
	fake_setup(state);

	/* It cannot name the vCPUs from 64 on. */
	fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 66);
	assert_int_equal(crosvm_pause_vcpu_set(fake->plugin, 2, words, NULL), -ENOTTY);
	fake_expect_nothing(fake->socket);
	const uint64_t low[] = {1, ~UINT64_C(3)};
	fake_reply(fake->socket, BYTES(0x8a, 0x01, 0));
	assert_int_equal(crosvm_pause_vcpu_set(fake->plugin, 2, low, NULL), 0);
	fake_expect(fake->socket, BYTES(0x82, 0x01, 2, 0x08, 1));
}

static void reply_log(struct fake *fake, const uint8_t *log, size_t size)
{
	wire_MainResponse response = {.which_message = wire_MainResponse_dirty_log_tag};
	response.message.dirty_log.bitmap = (struct wire_bytes){log, size};
	fake_reply_message(fake->socket, &response);
}

/* What its socket takes, and not a byte more: the log would be read, and lost. */
static void test_dirty_log_original(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	const size_t most = 212992 - 128;
	static uint8_t sent[212992], log[212992];
	memset(sent, 0xa5, sizeof(sent));
	make_memory(fake, most);
	reply_log(fake, sent, most);
	assert_int_equal(crosvm_memory_get_dirty_log(fake->plugin, memory, log), 0);
	assert_memory_equal(log, sent, most);
	fake_take(fake->socket, NULL);
	drop_memory(fake);
	make_memory(fake, most + 1);
	assert_int_equal(crosvm_memory_get_dirty_log(fake->plugin, memory, log), -E2BIG);
	fake_expect_nothing(fake->socket);
	drop_memory(fake);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_original), TEST(test_one_missing),    TEST(test_irqchips),           TEST(test_gone),
	    TEST(test_running),  TEST(test_pause_original), TEST(test_dirty_log_original),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
