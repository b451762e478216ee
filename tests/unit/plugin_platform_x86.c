/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what the machine is made of on x86, in the client library: the bytes of each request, what becomes of each
 * answer, tables that do not fit, answers that make no sense, and that nothing is sent for wrong arguments.
 */
#include "plugin_fake_host.c"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void setup_vm(struct fake *fake)
{
	fake_connect(fake, FAKE_SOCKETS, 1);
}

/* Put a response that the codec encodes. */
static void reply(struct fake *fake, const wire_MainResponse *response)
{
	static uint8_t data[LIMIT_RESPONSE_BYTES];
	ssize_t size = wire_encode_main_response(response, data, sizeof(data));
	assert_true(size > 0);
	fake_reply(fake->socket, data, (size_t)size);
}

/* ---- CPUID ---- */

typedef int cpuid_fn(struct crosvm *vm, uint32_t count, struct kvm_cpuid_entry2 *entries, uint32_t *out_count);

static const struct {
	cpuid_fn *get;
	pb_size_t tag; /* of the response, and one more than that of the request */
} tables[] = {
    {crosvm_get_supported_cpuid, wire_MainResponse_get_supported_cpuid_tag},
    {crosvm_get_emulated_cpuid, wire_MainResponse_get_emulated_cpuid_tag},
};

static void reply_cpuid(struct fake *fake, pb_size_t tag, const wire_CpuidEntry *entries, uint32_t count)
{
	wire_MainResponse response = {.which_message = tag};
	response.message.get_supported_cpuid.entries = (struct wire_array){.items = entries, .count = count};
	reply(fake, &response);
}

static void test_cpuid(void **state)
{
	struct fake *fake = *state;
	setup_vm(fake);
	static const wire_CpuidEntry table[] = {
	    {.function = 7, .has_index = true, .index = 1, .eax = 2, .edx = UINT32_MAX},
	    {.function = 1, .index = 9, .ebx = 3, .ecx = 4}};
	for (size_t i = 0; i < COUNT(tables); i++) {
		struct kvm_cpuid_entry2 entries[3];
		uint32_t count = 42;
		memset(entries, 0xff, sizeof(entries));
		reply_cpuid(fake, tables[i].tag, table, 2);
		assert_int_equal(tables[i].get(fake->plugin, 3, entries, &count), 0);
		fake_expect(fake->socket, BYTES((uint8_t)((tables[i].tag - 1) << 3 | 2), 0));
		assert_int_equal(count, 2);
		struct kvm_cpuid_entry2 expected = {.function = 7,
		                                    .index = 1,
		                                    .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		                                    .eax = 2,
		                                    .edx = UINT32_MAX};
		assert_memory_equal(&entries[0], &expected, sizeof(expected));
		expected = (struct kvm_cpuid_entry2){.function = 1, .index = 9, .ebx = 3, .ecx = 4};
		assert_memory_equal(&entries[1], &expected, sizeof(expected));
		assert_int_equal(entries[2].function, UINT32_MAX);
	}
}

/* Too little room: the number is told, and the array is as it was. */
static void test_cpuid_room(void **state)
{
	struct fake *fake = *state;
	setup_vm(fake);
	static const wire_CpuidEntry table[LIMIT_CPUID_ENTRIES + 1];
	static struct kvm_cpuid_entry2 entries[LIMIT_CPUID_ENTRIES + 1];
	for (size_t i = 0; i < COUNT(tables); i++) {
		uint32_t count = 42;
		memset(entries, 0xff, sizeof(entries));
		reply_cpuid(fake, tables[i].tag, table, 2);
		assert_int_equal(tables[i].get(fake->plugin, 1, entries, &count), -E2BIG);
		assert_int_equal(count, 2);
		reply_cpuid(fake, tables[i].tag, table, 2);
		assert_int_equal(tables[i].get(fake->plugin, 0, NULL, &count), -E2BIG);
		assert_int_equal(count, 2);
		assert_int_equal(entries[0].function, UINT32_MAX);
		reply_cpuid(fake, tables[i].tag, NULL, 0);
		assert_int_equal(tables[i].get(fake->plugin, 0, NULL, &count), 0);
		assert_int_equal(count, 0);
		reply_cpuid(fake, tables[i].tag, table, LIMIT_CPUID_ENTRIES);
		assert_int_equal(tables[i].get(fake->plugin, LIMIT_CPUID_ENTRIES, entries, &count), 0);
		assert_int_equal(count, LIMIT_CPUID_ENTRIES);
		assert_int_equal(entries[LIMIT_CPUID_ENTRIES - 1].function, 0);
		/* More than any kernel has. */
		reply_cpuid(fake, tables[i].tag, table, LIMIT_CPUID_ENTRIES + 1);
		assert_int_equal(tables[i].get(fake->plugin, LIMIT_CPUID_ENTRIES + 1, entries, &count), -EPROTO);
	}
}

/* ---- MSRs ---- */

static void test_msr_list(void **state)
{
	struct fake *fake = *state;
	setup_vm(fake);
	uint32_t indices[4], count = 42;
	memset(indices, 0xff, sizeof(indices));
	/* Packed, as a host of today sends it, and one by one. */
	fake_reply(fake->socket, BYTES(0x4a, 6, 0x0a, 4, 0x10, 0x80, 0x01, 3));
	assert_int_equal(crosvm_get_msr_index_list(fake->plugin, 4, indices, &count), 0);
	fake_expect(fake->socket, BYTES(0x42, 0));
	assert_int_equal(count, 3);
	static const uint32_t expected[] = {0x10, 0x80, 3, UINT32_MAX};
	assert_memory_equal(indices, expected, sizeof(expected));
	fake_reply(fake->socket, BYTES(0x4a, 4, 0x08, 1, 0x08, 2));
	assert_int_equal(crosvm_get_msr_index_list(fake->plugin, 2, indices, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(indices[1], 2);

	fake_reply(fake->socket, BYTES(0x4a, 6, 0x0a, 4, 5, 6, 7, 8));
	assert_int_equal(crosvm_get_msr_index_list(fake->plugin, 3, indices, &count), -E2BIG);
	assert_int_equal(count, 4);
	assert_int_equal(indices[0], 1);
	fake_reply(fake->socket, BYTES(0x4a, 3, 0x0a, 1, 9));
	assert_int_equal(crosvm_get_msr_index_list(fake->plugin, 0, NULL, &count), -E2BIG);
	assert_int_equal(count, 1);
	fake_reply(fake->socket, BYTES(0x4a, 0));
	assert_int_equal(crosvm_get_msr_index_list(fake->plugin, 0, NULL, &count), 0);
	assert_int_equal(count, 0);
	/* A table of another member before it has taken a part of the room. */
	uint32_t more[12];
	fake_reply(fake->socket,
	           BYTES(0x3a, 2, 0x0a, 0, 0x4a, 14, 0x0a, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
	assert_int_equal(crosvm_get_msr_index_list(fake->plugin, 12, more, &count), -EPROTO);
}

/* ---- Interrupts ---- */

static void test_irq(void **state)
{
	struct fake *fake = *state;
	setup_vm(fake);
	fake_reply(fake->socket, BYTES(0x62, 0));
	assert_int_equal(crosvm_set_irq(fake->plugin, 300, true), 0);
	fake_expect(fake->socket, BYTES(0x5a, 5, 0x08, 0xac, 0x02, 0x10, 1));
	fake_reply(fake->socket, BYTES(0x62, 0));
	assert_int_equal(crosvm_set_irq(fake->plugin, 0, false), 0);
	fake_expect(fake->socket, BYTES(0x5a, 0));
}

static void test_routing(void **state)
{
	struct fake *fake = *state;
	setup_vm(fake);
	const struct crosvm_irq_route routes[] = {
	    {.irq_id = 5, .kind = CROSVM_IRQ_ROUTE_IRQCHIP, .irqchip = {.irqchip = 2, .pin = 7}},
	    {.irq_id = 6, .kind = CROSVM_IRQ_ROUTE_MSI, .msi = {.address = 0x1000, .data = 9}},
	};
	fake_reply(fake->socket, BYTES(0x6a, 0));
	assert_int_equal(crosvm_set_irq_routing(fake->plugin, 2, routes), 0);
	fake_expect(fake->socket, BYTES(0x62, 21, 0x0a, 8, 0x08, 5, 0x12, 4, 0x08, 2, 0x10, 7, 0x0a, 9, 0x08, 6,
	                                0x1a, 5, 0x08, 0x80, 0x20, 0x10, 9));
	fake_reply(fake->socket, BYTES(0x6a, 0));
	assert_int_equal(crosvm_set_irq_routing(fake->plugin, 0, NULL), 0);
	fake_expect(fake->socket, BYTES(0x62, 0));

	/* One kind that there is not, and nothing is sent. */
	struct crosvm_irq_route wrong[] = {routes[0], routes[1]};
	wrong[1].kind = 2;
	assert_int_equal(crosvm_set_irq_routing(fake->plugin, 2, wrong), -EINVAL);
	wrong[1].kind = UINT32_MAX;
	assert_int_equal(crosvm_set_irq_routing(fake->plugin, 2, wrong), -EINVAL);
	assert_int_equal(crosvm_set_irq_routing(fake->plugin, 1, NULL), -EINVAL);
	fake_expect_nothing(fake->socket);
}

static void test_number_of_routes(void **state)
{
	struct fake *fake = *state;
	setup_vm(fake);
	static struct crosvm_irq_route routes[LIMIT_IRQ_ROUTES + 1];
	for (size_t i = 0; i < COUNT(routes); i++)
		routes[i] = (struct crosvm_irq_route){
		    .irq_id = UINT32_MAX, .kind = CROSVM_IRQ_ROUTE_MSI, .msi = {UINT64_MAX, UINT32_MAX, {0}}};
	assert_int_equal(crosvm_set_irq_routing(fake->plugin, LIMIT_IRQ_ROUTES + 1, routes), -E2BIG);
	assert_int_equal(crosvm_set_irq_routing(fake->plugin, UINT32_MAX, routes), -E2BIG);
	fake_expect_nothing(fake->socket);
	/* A packet that the original host does not take is not sent either: 151 of the longest are 4,080 bytes. */
	assert_int_equal(crosvm_set_irq_routing(fake->plugin, LIMIT_IRQ_ROUTES, routes), -E2BIG);
	assert_int_equal(crosvm_set_irq_routing(fake->plugin, 152, routes), -E2BIG);
	fake_expect_nothing(fake->socket);
	fake_reply(fake->socket, BYTES(0x6a, 0));
	assert_int_equal(crosvm_set_irq_routing(fake->plugin, 151, routes), 0);
}

static void test_identity_map(void **state)
{
	struct fake *fake = *state;
	setup_vm(fake);
	fake_reply(fake->socket, BYTES(0x82, 0x01, 0));
	assert_int_equal(crosvm_set_identity_map_addr(fake->plugin, 0x1000), 0);
	fake_expect(fake->socket, BYTES(0x7a, 3, 0x08, 0x80, 0x20));
}

/* ---- State ---- */

union any_state {
	struct kvm_pic_state pic;
	struct kvm_ioapic_state ioapic;
	struct kvm_pit_state2 pit;
	struct kvm_clock_data clock;
	uint8_t bytes[1024];
};

#define STATE_CALLS(name, call, type, ...)                                               \
	static int get_##name(struct crosvm *vm, void *out_state)                        \
	{                                                                                \
		return crosvm_get_##call(vm, ##__VA_ARGS__, (struct type *)out_state);   \
	}                                                                                \
	static int set_##name(struct crosvm *vm, const void *state)                      \
	{                                                                                \
		return crosvm_set_##call(vm, ##__VA_ARGS__, (const struct type *)state); \
	}
STATE_CALLS(primary, pic_state, kvm_pic_state, true)
STATE_CALLS(secondary, pic_state, kvm_pic_state, false)
STATE_CALLS(ioapic, ioapic_state, kvm_ioapic_state)
STATE_CALLS(pit, pit_state, kvm_pit_state2)
STATE_CALLS(clock, clock, kvm_clock_data)

/* In the wire's order. */
static const struct {
	int (*get)(struct crosvm *vm, void *out_state);
	int (*set)(struct crosvm *vm, const void *state);
	size_t size;
} sets[] = {
    {get_primary, set_primary, sizeof(struct kvm_pic_state)},
    {get_secondary, set_secondary, sizeof(struct kvm_pic_state)},
    {get_ioapic, set_ioapic, sizeof(struct kvm_ioapic_state)},
    {get_pit, set_pit, sizeof(struct kvm_pit_state2)},
    {get_clock, set_clock, sizeof(struct kvm_clock_data)},
};

static void reply_state(struct fake *fake, const uint8_t *data, size_t size)
{
	wire_MainResponse response = {.which_message = wire_MainResponse_get_state_tag};
	response.message.get_state.state = (struct wire_bytes){data, size};
	reply(fake, &response);
}

static void test_get_state(void **state)
{
	struct fake *fake = *state;
	setup_vm(fake);
	static uint8_t data[1024];
	for (uint8_t set = 0; set < COUNT(sets); set++) {
		union any_state got;
		memset(data, 0x40 + set, sizeof(data));
		memset(&got, 0xee, sizeof(got));
		reply_state(fake, data, sets[set].size);
		assert_int_equal(sets[set].get(fake->plugin, &got), 0);
		if (set == 0)
			fake_expect(fake->socket, BYTES(0x6a, 0));
		else
			fake_expect(fake->socket, BYTES(0x6a, 2, 0x08, set));
		assert_memory_equal(&got, data, sets[set].size);
		assert_int_equal(got.bytes[sets[set].size], 0xee);
		/* Too short, too long, none at all: the struct is as it was. */
		memset(&got, 0xee, sizeof(got));
		const size_t wrong[] = {0, 1, sets[set].size - 1, sets[set].size + 1, sizeof(data)};
		for (size_t i = 0; i < COUNT(wrong); i++) {
			reply_state(fake, data, wrong[i]);
			assert_int_equal(sets[set].get(fake->plugin, &got), -EPROTO);
			assert_int_equal(got.bytes[0], 0xee);
			fake_expect_with_fd(fake->socket,
			                    set ? (uint8_t[]){0x6a, 2, 0x08, set} : (uint8_t[]){0x6a, 0},
			                    set ? 4 : 2);
		}
	}
}

static void test_set_state(void **state)
{
	struct fake *fake = *state;
	setup_vm(fake);
	for (uint8_t set = 0; set < COUNT(sets); set++) {
		union any_state wanted;
		memset(&wanted, 0x40 + set, sizeof(wanted));
		fake_reply(fake->socket, BYTES(0x7a, 0));
		assert_int_equal(sets[set].set(fake->plugin, &wanted), 0);
		uint8_t data[2048];
		wire_MainRequest request = {.which_message = wire_MainRequest_set_state_tag};
		request.message.set_state = (wire_MainRequest_SetState){.set = (wire_MainRequest_StateSet)set,
		                                                        .state = {wanted.bytes, sets[set].size}};
		ssize_t size = wire_encode_main_request(&request, data, sizeof(data));
		fake_expect(fake->socket, data, (size_t)size);
	}
}

/* ---- What all of them have in common ---- */

static int call(struct crosvm *vm, size_t which)
{
	static const struct crosvm_irq_route route;
	static union any_state any;
	uint32_t indices[2], count;
	struct kvm_cpuid_entry2 entries[2];
	switch (which) {
	case 0:
		return crosvm_get_supported_cpuid(vm, 2, entries, &count);
	case 1:
		return crosvm_get_emulated_cpuid(vm, 2, entries, &count);
	case 2:
		return crosvm_get_msr_index_list(vm, 2, indices, &count);
	case 3:
		return crosvm_set_irq(vm, 1, true);
	case 4:
		return crosvm_set_irq_routing(vm, 1, &route);
	case 5:
		return crosvm_set_identity_map_addr(vm, 1);
	default:
		return which % 2 ? sets[(which - 6) / 2].get(vm, &any) : sets[(which - 6) / 2].set(vm, &any);
	}
}

#define CALLS (6 + 2 * COUNT(sets))

static void take_request(struct fake *fake)
{
	uint8_t data[2048];
	assert_true(recv(fake->socket, data, sizeof(data), MSG_DONTWAIT) > 0);
}

/* The host's errno comes through; an answer to something else does not pass for one. */
static void test_refusals(void **state)
{
	struct fake *fake = *state;
	setup_vm(fake);
	static const int errors[] = {EINVAL, ENOTTY, EIO, ENODEV};
	for (size_t which = 0; which < CALLS; which++) {
		for (size_t i = 0; i < COUNT(errors); i++) {
			fake_refuse(fake->socket, errors[i]);
			assert_int_equal(call(fake->plugin, which), -errors[i]);
			take_request(fake);
		}
		fake_reply(fake->socket, BYTES(0x9a, 0x01, 0));
		assert_int_equal(call(fake->plugin, which), -EPROTO);
		take_request(fake);
	}
}

static void test_host_goes(void **state)
{
	struct fake *fake = *state;
	setup_vm(fake);
	fd_close(&fake->socket);
	for (size_t which = 0; which < CALLS; which++)
		assert_int_equal(call(fake->plugin, which), -ECONNRESET);
}

static void test_null(void **state)
{
	struct fake *fake = *state;
	setup_vm(fake);
	struct crosvm *vm = fake->plugin;
	uint32_t number = 42;
	struct kvm_cpuid_entry2 entry;
	for (size_t which = 0; which < CALLS; which++)
		assert_int_equal(call(NULL, which), -EINVAL);
	for (size_t i = 0; i < COUNT(tables); i++) {
		assert_int_equal(tables[i].get(vm, 1, NULL, &number), -EINVAL);
		assert_int_equal(tables[i].get(vm, 1, &entry, NULL), -EINVAL);
		assert_int_equal(tables[i].get(vm, 0, NULL, NULL), -EINVAL);
	}
	assert_int_equal(crosvm_get_msr_index_list(vm, 1, NULL, &number), -EINVAL);
	assert_int_equal(crosvm_get_msr_index_list(vm, 1, &number, NULL), -EINVAL);
	for (size_t set = 0; set < COUNT(sets); set++) {
		assert_int_equal(sets[set].get(vm, NULL), -EINVAL);
		assert_int_equal(sets[set].set(vm, NULL), -EINVAL);
	}
	assert_int_equal(number, 42);
	fake_expect_nothing(fake->socket);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_cpuid),     TEST(test_cpuid_room),       TEST(test_msr_list),     TEST(test_irq),
	    TEST(test_routing),   TEST(test_number_of_routes), TEST(test_identity_map), TEST(test_get_state),
	    TEST(test_set_state), TEST(test_refusals),         TEST(test_host_goes),    TEST(test_null),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
