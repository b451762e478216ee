/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what the library learns of its host at crosvm_connect(), vCPUs in portions included, what crosvm_get_info()
 * and crosvm_get_end() make of it, and how long a request may be.
 */
#include "plugin_fake_host.c"

static void test_version(void **state)
{
	(void)state;
	unsigned int major = 99, minor = 99, patch = 99;
	crosvm_version(&major, &minor, &patch);
	assert_int_equal(major, 0);
	assert_int_equal(minor, 23);
	assert_int_equal(patch, 0);
	crosvm_version(NULL, NULL, NULL);
}

/* ---- Connecting ---- */

static void test_info(void **state)
{
	struct fake *fake = *state;
	wire_MainResponse features = fake_features(2);
	features.message.features = (wire_MainResponse_Features){
	    .version_major = 1,
	    .version_minor = 2,
	    .version_patch = 3,
	    .features = UINT64_C(0x8000000000000005),
	    .vcpu_count = 2,
	    .irqchip = CROSVM_IRQCHIP_NONE,
	    .request_bytes = 5000,
	    .connections = 6,
	    .ranges = 7,
	    .events = 8,
	    .memory_slots = 9,
	    .memory_bytes = UINT64_C(10) << 32,
	    .irq_routes = 11,
	    .cpuid_entries = 12,
	    .msrs = 13,
	};
	fake_connect_to(fake, FAKE_SOCKETS, &features);
	struct crosvm_info info = {.size = sizeof(info)};
	assert_int_equal(crosvm_get_info(fake->plugin, &info), 0);
	assert_int_equal(info.size, sizeof(info));
	assert_int_equal(info.host_major, 1);
	assert_int_equal(info.host_minor, 2);
	assert_int_equal(info.host_patch, 3);
	assert_true(info.features == UINT64_C(0x8000000000000005));
	assert_int_equal(info.vcpu_count, 2);
	assert_int_equal(info.irqchip, CROSVM_IRQCHIP_NONE);
	assert_int_equal(info.request_bytes, 5000);
	assert_int_equal(info.connections, 6);
	assert_int_equal(info.ranges, 7);
	assert_int_equal(info.events, 8);
	assert_int_equal(info.memory_slots, 9);
	assert_true(info.memory_bytes == UINT64_C(10) << 32);
	assert_int_equal(info.irq_routes, 11);
	assert_int_equal(info.cpuid_entries, 12);
	assert_int_equal(info.msrs, 13);
	assert_int_equal(crosvm_get_info(fake->plugin, NULL), -EINVAL);
	fake_expect_nothing(fake->socket);
}

static void test_info_of_original(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_PIPES, 3);
	struct crosvm_info info = {.size = sizeof(info)}, expected = {.size = sizeof(info)};
	expected.vcpu_count = 3;
	expected.irqchip = CROSVM_IRQCHIP_KERNEL;
	expected.request_bytes = 4096;
	assert_int_equal(crosvm_get_info(fake->plugin, &info), 0);
	assert_memory_equal(&info, &expected, sizeof(info));
	fake_expect_nothing(fake->socket);
}

/* A plugin of another version has another struct. */
static void test_info_sizes(void **state)
{
	struct fake *fake = *state;
	fake_connect_ours(fake, FAKE_SOCKETS, 5);
	struct {
		struct crosvm_info info;
		uint8_t beyond[64];
	} filled, known;
	memset(&known, 0x55, sizeof(known));
	known.info.size = sizeof(known.info);
	assert_int_equal(crosvm_get_info(fake->plugin, &known.info), 0);
	for (uint32_t size = 0; size <= sizeof(filled); size++) {
		memset(&filled, 0x55, sizeof(filled));
		filled.info.size = size;
		assert_int_equal(crosvm_get_info(fake->plugin, &filled.info), 0);
		uint32_t expected = size == 0 || size > sizeof(known.info) ? sizeof(known.info) : size;
		assert_int_equal(filled.info.size, expected);
		const uint8_t *bytes = (const uint8_t *)&filled;
		if (expected > sizeof(uint32_t))
			assert_memory_equal(bytes + sizeof(uint32_t), (const uint8_t *)&known + sizeof(uint32_t),
			                    expected - sizeof(uint32_t));
		for (size_t i = expected > sizeof(uint32_t) ? expected : sizeof(uint32_t); i < sizeof(filled); i++)
			assert_int_equal(bytes[i], 0x55);
	}
}

static void test_many_vcpus(void **state)
{
	struct fake *fake = *state;
	fake_connect_ours(fake, FAKE_SOCKETS, FAKE_VM_VCPUS);
	struct crosvm_vcpu *vcpu;
	assert_int_equal(crosvm_get_vcpu(fake->plugin, FAKE_VM_VCPUS, &vcpu), -ENOENT);
	/* In the order in which they came. */
	for (size_t i = 0; i < FAKE_VM_VCPUS; i += 40)
		fake_init(fake, i);
	fake_init(fake, FAKE_VM_VCPUS - 1);
}

/* crosvm_connect() fails, holds nothing, and may be called again. */
static void check_connect_fails(void **state, int error)
{
	struct fake *fake = *state;
	struct crosvm *plugin = NULL;
	assert_int_equal(crosvm_connect(&plugin), error);
	assert_null(plugin);
	assert_false(fake_is_open(fake->plugin_socket));
	fake->plugin_socket = -1;
	fake_teardown(state);
	fake_setup(state);
}

static void test_wrong_features(void **state)
{
	for (int i = 0; i < 5; i++) {
		struct fake *fake = *state;
		wire_MainResponse response = fake_features(1);
		wire_MainResponse_Features *features = &response.message.features;
		if (i == 0)
			features->version_minor = 0;
		else if (i == 1)
			features->vcpu_count = 0;
		else if (i == 2)
			features->vcpu_count = LIMIT_VCPUS + 1;
		else if (i == 3)
			features->request_bytes = 0;
		else
			response.which_message = wire_MainResponse_get_vcpus_from_tag;
		fake_reply_message(fake->socket, &response);
		check_connect_fails(state, -EPROTO);
	}
	fake_refuse(((struct fake *)*state)->socket, EPERM);
	check_connect_fails(state, -EPERM);
}

/* Answer with `fd_count` fds, whatever they are. */
static void reply_portion(struct fake *fake, size_t fd_count)
{
	int fds[PACKET_FDS_MAX];
	for (size_t i = 0; i < fd_count; i++)
		fds[i] = fake->socket;
	fake_reply_fds(fake->socket, REPLY_VCPUS_FROM, fds, fd_count);
}

static void test_wrong_portions(void **state)
{
	const struct {
		uint32_t vcpu_count;
		size_t first, second; /* fds of the portions; 0 as the second: none is sent */
	} wrong[] = {
	    {1, 0, 0},    {1, 1, 0},     {1, 3, 0}, {1, 4, 0}, {70, 130, 0},
	    {70, 127, 0}, {70, 128, 14}, {3, 4, 3}, {3, 4, 1},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct fake *fake = *state;
		wire_MainResponse features = fake_features(wrong[i].vcpu_count);
		fake_reply_message(fake->socket, &features);
		reply_portion(fake, wrong[i].first);
		if (wrong[i].second > 0)
			reply_portion(fake, wrong[i].second);
		check_connect_fails(state, -EPROTO);
	}
	struct fake *fake = *state;
	wire_MainResponse features = fake_features(70);
	fake_reply_message(fake->socket, &features);
	reply_portion(fake, 128);
	fake_refuse(fake->socket, EIO);
	check_connect_fails(state, -EIO);
}

/* A host may hand over fewer at a time. */
static void test_small_portions(void **state)
{
	struct fake *fake = *state;
	wire_MainResponse features = fake_features(5);
	fake_reply_message(fake->socket, &features);
	fake_reply_new_vcpus(fake, FAKE_SOCKETS, 1, REPLY_VCPUS_FROM);
	fake_reply_new_vcpus(fake, FAKE_SOCKETS, 3, REPLY_VCPUS_FROM);
	fake_reply_new_vcpus(fake, FAKE_SOCKETS, 1, REPLY_VCPUS_FROM);
	assert_int_equal(crosvm_connect(&fake->plugin), 0);
	fake->plugin_socket = -1;
	fake_expect(fake->socket, REQUEST_FEATURES);
	fake_expect(fake->socket, BYTES(0xca, 0x0c, 0x00));
	fake_expect(fake->socket, BYTES(0xca, 0x0c, 0x02, 0x08, 1));
	fake_expect(fake->socket, BYTES(0xca, 0x0c, 0x02, 0x08, 4));
	for (size_t i = 0; i < 5; i++)
		fake_init(fake, i);
}

/* ---- The end ---- */

static void test_end(void **state)
{
	struct fake *fake = *state;
	fake_connect_ours(fake, FAKE_SOCKETS, 1);
	struct crosvm_end end;
	fake_refuse(fake->socket, EAGAIN);
	assert_int_equal(crosvm_get_end(fake->plugin, &end), -EAGAIN);
	fake_expect(fake->socket, BYTES(0x8a, 0x0d, 0));

	for (size_t length = 0; length <= 300; length += 15) {
		uint8_t text[300];
		memset(text, 'x', sizeof(text));
		wire_MainResponse response = {.which_message = wire_MainResponse_get_end_tag};
		response.message.get_end = (wire_MainResponse_GetEnd){
		    .reason = CROSVM_END_STOPPED,
		    .value = -7,
		    .cpu = -1,
		    .text = {text, length},
		};
		fake_reply_message(fake->socket, &response);
		memset(&end, 0x55, sizeof(end));
		assert_int_equal(crosvm_get_end(fake->plugin, &end), 0);
		assert_int_equal(end.reason, CROSVM_END_STOPPED);
		assert_int_equal(end.value, -7);
		assert_int_equal(end.cpu, -1);
		assert_int_equal(strnlen(end.text, sizeof(end.text)), length < 255 ? length : 255);
		fake_expect(fake->socket, BYTES(0x8a, 0x0d, 0));
	}
	assert_int_equal(crosvm_get_end(fake->plugin, NULL), -EINVAL);
}

/* ---- Long requests ---- */

static struct crosvm_irq_route routes[LIMIT_IRQ_ROUTES];

/* The longest that there can be. */
static void make_routes(void)
{
	for (uint32_t i = 0; i < LIMIT_IRQ_ROUTES; i++) {
		routes[i] = (struct crosvm_irq_route){.irq_id = LIMIT_GSI - i, .kind = CROSVM_IRQ_ROUTE_MSI};
		routes[i].msi.address = UINT64_MAX - i;
		routes[i].msi.data = UINT32_MAX - i;
	}
}

static void test_all_routes(void **state)
{
	struct fake *fake = *state;
	fake_connect_ours(fake, FAKE_SOCKETS, 1);
	make_routes();
	fake_reply(fake->socket, BYTES(0x6a, 0));
	assert_int_equal(crosvm_set_irq_routing(fake->plugin, LIMIT_IRQ_ROUTES, routes), 0);
	static wire_MainRequest_SetIrqRouting_Route memory[LIMIT_IRQ_ROUTES];
	const struct wire_arena elements = {.memory = memory, .size = sizeof(memory)};
	wire_MainRequest request = fake_take(fake->socket, &elements);
	assert_int_equal(request.which_message, wire_MainRequest_set_irq_routing_tag);
	assert_int_equal(request.message.set_irq_routing.routes.stored, LIMIT_IRQ_ROUTES);
	for (uint32_t i = 0; i < LIMIT_IRQ_ROUTES; i++) {
		assert_int_equal(memory[i].irq_id, routes[i].irq_id);
		assert_true(memory[i].route.msi.address == routes[i].msi.address);
		assert_int_equal(memory[i].route.msi.data, routes[i].msi.data);
	}
	assert_int_equal(crosvm_set_irq_routing(fake->plugin, LIMIT_IRQ_ROUTES + 1, routes), -E2BIG);
	fake_expect_nothing(fake->socket);
}

/* How many routes go in one request; the next one must be refused before anything is sent. */
static uint32_t most_routes(struct fake *fake)
{
	make_routes();
	for (uint32_t count = 1; count <= LIMIT_IRQ_ROUTES; count++) {
		fake_reply(fake->socket, BYTES(0x6a, 0));
		int error = crosvm_set_irq_routing(fake->plugin, count, routes);
		if (error) {
			assert_int_equal(error, -E2BIG);
			fake_expect_nothing(fake->socket);
			/* The answer that waits is still the next request's. */
			assert_int_equal(crosvm_set_irq_routing(fake->plugin, 1, routes), 0);
			return count - 1;
		}
		wire_MainRequest request = fake_take(fake->socket, NULL);
		assert_int_equal(request.message.set_irq_routing.routes.count, count);
	}
	return LIMIT_IRQ_ROUTES;
}

/* A route has 24 bytes with its GSI of two, and the message around them 3. */
#define ROUTES_WITHIN(bytes) (((bytes)-3) / 24)

static void check_request_bytes(void **state, uint32_t request_bytes)
{
	struct fake *fake = *state;
	wire_MainResponse features = fake_features(1);
	features.message.features.request_bytes = request_bytes;
	fake_connect_to(fake, FAKE_SOCKETS, &features);
	assert_int_equal(most_routes(fake), ROUTES_WITHIN(request_bytes));
	fake_teardown(state);
	fake_setup(state);
}

static void test_request_bytes(void **state)
{
	check_request_bytes(state, 1000);
	check_request_bytes(state, 4096);
	check_request_bytes(state, 10000);
}

static void test_request_bytes_of_original(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	assert_int_equal(most_routes(fake), ROUTES_WITHIN(4096));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_version), TEST(test_info),           TEST(test_info_of_original),
	    TEST(test_info_sizes),          TEST(test_many_vcpus),     TEST(test_wrong_features),
	    TEST(test_wrong_portions),      TEST(test_small_portions), TEST(test_end),
	    TEST(test_all_routes),          TEST(test_request_bytes),  TEST(test_request_bytes_of_original),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
