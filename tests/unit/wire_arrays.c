/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks repeated fields of the codec: each there and back, numbers packed and not, more elements than there is room
 * for, and elements that are none.
 */
#include "test.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "wire/codec.h"
#include "wire/limits.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BYTES(...)   ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

/* ---- Every repeated field ---- */

union message {
	wire_MainRequest main_request;
	wire_MainResponse main_response;
	wire_VcpuRequest vcpu_request;
	wire_VcpuResponse vcpu_response;
};

/* An array of a message: where it is, and how its message is decoded and encoded. */
#define FIELD(kind, type, member, array, element)                                                                \
	static int decode_##kind##_##member(const uint8_t *data, size_t size, const struct wire_arena *elements, \
	                                    union message *out_message)                                          \
	{                                                                                                        \
		return wire_decode_##kind(data, size, elements, &out_message->kind);                             \
	}                                                                                                        \
	static ssize_t encode_##kind##_##member(const union message *message, uint8_t *data, size_t size)        \
	{                                                                                                        \
		return wire_encode_##kind(&message->kind, data, size);                                           \
	}                                                                                                        \
	static struct wire_array *choose_##kind##_##member(union message *message)                               \
	{                                                                                                        \
		message->kind.which_message = wire_##type##_##member##_tag;                                      \
		return &message->kind.message.member.array;                                                      \
	}
#define FIELDS(X)                                                                                   \
	X(main_request, MainRequest, set_irq_routing, routes, wire_MainRequest_SetIrqRouting_Route) \
	X(main_request, MainRequest, set_call_hint, hints, wire_MainRequest_SetCallHint_RegHint)    \
	X(main_response, MainResponse, get_supported_cpuid, entries, wire_CpuidEntry)               \
	X(main_response, MainResponse, get_emulated_cpuid, entries, wire_CpuidEntry)                \
	X(main_response, MainResponse, get_msr_index_list, indices, uint32_t)                       \
	X(main_request, MainRequest, set_msr_filter, ranges, wire_MainRequest_SetMsrFilter_Range)   \
	X(vcpu_request, VcpuRequest, set_msrs_counted, entries, wire_VcpuRequest_MsrEntry)          \
	X(vcpu_request, VcpuRequest, get_msrs, entry_indices, uint32_t)                             \
	X(vcpu_request, VcpuRequest, set_msrs, entries, wire_VcpuRequest_MsrEntry)                  \
	X(vcpu_request, VcpuRequest, set_cpuid, entries, wire_CpuidEntry)                           \
	X(vcpu_response, VcpuResponse, get_msrs, entry_data, uint64_t)                              \
	X(vcpu_response, VcpuResponse, get_hyperv_cpuid, entries, wire_CpuidEntry)
FIELDS(FIELD)

static const struct field {
	const char *name;
	int (*decode)(const uint8_t *data, size_t size, const struct wire_arena *elements,
	              union message *out_message);
	ssize_t (*encode)(const union message *message, uint8_t *data, size_t size);
	struct wire_array *(*choose)(union message *message);
	size_t element_size;
} fields[] = {
#define ENTRY(kind, type, member, array, element)                                                         \
	{#kind "." #member, decode_##kind##_##member, encode_##kind##_##member, choose_##kind##_##member, \
	 sizeof(element)},
    FIELDS(ENTRY)
#undef ENTRY
};

#define ELEMENTS 40

/* Memory for elements, with something behind it that must not change. */
static struct {
	uint64_t memory[512];
	uint8_t beyond[64];
} arena;

static struct wire_arena arena_of(size_t size)
{
	memset(&arena, 0, sizeof(arena));
	memset((uint8_t *)arena.memory + size, 0xee, sizeof(arena) - size);
	return (struct wire_arena){.memory = arena.memory, .size = size};
}

static void expect_intact(size_t size)
{
	for (const uint8_t *byte = (const uint8_t *)arena.memory + size;
	     byte < arena.beyond + sizeof(arena.beyond); byte++)
		assert_int_equal(*byte, 0xee);
}

/* Elements whose every byte that counts as a number is `value`, and of which none is a choice. */
static void fill_elements(const struct field *field, uint8_t *elements, uint32_t count)
{
	memset(elements, 0, count * field->element_size);
	for (uint32_t i = 0; i < count; i++) {
		/* Each of the messages begins with a number or a bool, and so does a number. */
		elements[i * field->element_size] = (uint8_t)(i & 1);
		if (field->element_size == sizeof(uint64_t))
			memset(elements + i * sizeof(uint64_t), 0xff - (int)i, sizeof(uint64_t));
	}
}

static ssize_t encode_elements(const struct field *field, uint32_t count, uint8_t *data, size_t size)
{
	static uint64_t elements[ELEMENTS * 128 / 8];
	union message message;
	memset(&message, 0, sizeof(message));
	fill_elements(field, (uint8_t *)elements, count);
	*field->choose(&message) = (struct wire_array){.items = elements, .count = count};
	return field->encode(&message, data, size);
}

static void check_round_trip(const struct field *field, uint32_t count)
{
	uint8_t data[4096], again[4096];
	ssize_t size = encode_elements(field, count, data, sizeof(data));
	assert_true(size > 0);
	union message message;
	memset(&message, 0xaa, sizeof(message));
	struct wire_arena elements = arena_of(count * field->element_size);
	assert_int_equal(field->decode(data, (size_t)size, &elements, &message), 0);
	struct wire_array *array = field->choose(&message);
	assert_int_equal(array->count, count);
	assert_int_equal(array->stored, count);
	if (count > 0)
		assert_ptr_equal(array->items, arena.memory);
	expect_intact(elements.size);
	assert_int_equal(field->encode(&message, again, sizeof(again)), size);
	assert_memory_equal(again, data, (size_t)size);
	for (size_t capacity = 0; capacity < (size_t)size; capacity++)
		assert_int_equal(field->encode(&message, again, capacity), -EMSGSIZE);
	/* Every truncation is noticed, or falls between two elements: then it is the member that is cut short. */
	for (size_t cut = 1; cut < (size_t)size; cut++)
		assert_int_equal(field->decode(data, cut, &elements, &message), -EBADMSG);
}

static void test_round_trip(void **state)
{
	(void)state;
	static const uint32_t counts[] = {0, 1, 2, 3, 30};
	for (size_t f = 0; f < COUNT(fields); f++) {
		for (size_t c = 0; c < COUNT(counts); c++)
			check_round_trip(&fields[f], counts[c]);
	}
}

/* What does not fit is counted and checked for its encoding, and not stored. */
static void test_too_many(void **state)
{
	(void)state;
	uint8_t data[4096];
	for (size_t f = 0; f < COUNT(fields); f++) {
		const struct field *field = &fields[f];
		ssize_t size = encode_elements(field, 30, data, sizeof(data));
		assert_true(size > 0);
		for (size_t room = 0; room < 30 * field->element_size; room += field->element_size / 2) {
			union message message;
			struct wire_arena elements = arena_of(room);
			assert_int_equal(field->decode(data, (size_t)size, &elements, &message), 0);
			struct wire_array *array = field->choose(&message);
			assert_int_equal(array->count, 30);
			assert_int_equal(array->stored, room / field->element_size);
			expect_intact(room);
		}
		union message message;
		assert_int_equal(field->decode(data, (size_t)size, NULL, &message), 0);
		assert_int_equal(field->choose(&message)->count, 30);
		assert_int_equal(field->choose(&message)->stored, 0);
	}
}

/* ---- By hand ---- */

static void test_values(void **state)
{
	(void)state;
	struct wire_arena elements = arena_of(sizeof(arena.memory));
	wire_MainRequest request;
	/* GSI 300 to pin 3 of chip 1, GSI 1 to an MSI */
	assert_int_equal(
	    wire_decode_main_request(BYTES(0x62, 0x16, 0x0a, 0x09, 0x08, 0xac, 0x02, 0x12, 4, 0x08, 1, 0x10, 3,
	                                   0x0a, 0x09, 0x08, 1, 0x1a, 5, 0x08, 0x80, 0x20, 0x10, 7),
	                             &elements, &request),
	    0);
	assert_int_equal(request.message.set_irq_routing.routes.stored, 2);
	const wire_MainRequest_SetIrqRouting_Route *routes = request.message.set_irq_routing.routes.items;
	assert_int_equal(routes[0].irq_id, 300);
	assert_int_equal(routes[0].which_route, wire_MainRequest_SetIrqRouting_Route_irqchip_tag);
	assert_int_equal(routes[0].route.irqchip.irqchip, 1);
	assert_int_equal(routes[0].route.irqchip.pin, 3);
	assert_int_equal(routes[1].which_route, wire_MainRequest_SetIrqRouting_Route_msi_tag);
	assert_int_equal(routes[1].route.msi.address, 0x1000);
	assert_int_equal(routes[1].route.msi.data, 7);

	wire_VcpuRequest vcpu_request;
	elements = arena_of(sizeof(arena.memory));
	/* An MSR with index 0x10 and data 5, an empty one */
	assert_int_equal(wire_decode_vcpu_request(BYTES(0x32, 0x08, 0x0a, 4, 0x08, 0x10, 0x10, 5, 0x0a, 0),
	                                          &elements, &vcpu_request),
	                 0);
	const wire_VcpuRequest_MsrEntry *msrs = vcpu_request.message.set_msrs.entries.items;
	assert_int_equal(vcpu_request.message.set_msrs.entries.stored, 2);
	assert_int_equal(msrs[0].index, 0x10);
	assert_int_equal(msrs[0].data, 5);
	assert_int_equal(msrs[1].index, 0);
}

static void test_packed_and_not(void **state)
{
	(void)state;
	static const struct {
		uint8_t data[24];
		size_t size;
		uint32_t count;
		uint32_t numbers[4];
	} cases[] = {
	    {{0x2a, 5, 0x0a, 3, 1, 2, 3}, 7, 3, {1, 2, 3}},               /* packed, as we encode it */
	    {{0x2a, 6, 0x08, 1, 0x08, 2, 0x08, 3}, 8, 3, {1, 2, 3}},      /* one by one */
	    {{0x2a, 7, 0x0a, 2, 1, 2, 0x08, 0x80, 1}, 9, 3, {1, 2, 128}}, /* both */
	    {{0x2a, 3, 0x0a, 1, 1, 0x2a, 3, 0x0a, 1, 2}, 10, 2, {1, 2}},  /* the member twice is merged */
	    {{0x2a, 7, 0x0a, 5, 0xff, 0xff, 0xff, 0xff, 0x0f}, 9, 1, {UINT32_MAX}}, /* the greatest */
	    {{0x2a, 2, 0x0a, 0}, 4, 0, {0}},                                        /* packed, and none */
	    {{0x2a, 5, 0x0a, 0, 0x0a, 1, 7}, 7, 1, {7}},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		wire_VcpuRequest request;
		struct wire_arena elements = arena_of(sizeof(arena.memory));
		assert_int_equal(wire_decode_vcpu_request(cases[i].data, cases[i].size, &elements, &request), 0);
		assert_int_equal(request.which_message, wire_VcpuRequest_get_msrs_tag);
		const struct wire_array *array = &request.message.get_msrs.entry_indices;
		assert_int_equal(array->count, cases[i].count);
		assert_int_equal(array->stored, cases[i].count);
		if (array->count > 0)
			assert_memory_equal(array->items, cases[i].numbers, cases[i].count * sizeof(uint32_t));
	}
}

/* Two arrays of one packet share the memory; the second begins where a struct may begin. */
static void test_another_member_before(void **state)
{
	(void)state;
	struct wire_arena elements = arena_of(2 * sizeof(uint64_t));
	wire_VcpuResponse response;
	/* A CPUID table with an entry, then get_msrs: the last member counts. */
	assert_int_equal(
	    wire_decode_vcpu_response(BYTES(0x4a, 2, 0x0a, 0, 0x32, 4, 0x0a, 2, 5, 6), &elements, &response), 0);
	assert_int_equal(response.which_message, wire_VcpuResponse_get_msrs_tag);
	assert_int_equal(response.message.get_msrs.entry_data.count, 2);
	const uint64_t *numbers = response.message.get_msrs.entry_data.items;
	assert_int_equal((uintptr_t)numbers % 8, 0);
	for (uint32_t i = 0; i < response.message.get_msrs.entry_data.stored; i++)
		assert_int_equal(numbers[i], 5 + i);
	expect_intact(elements.size);
}

static void test_malformed(void **state)
{
	(void)state;
	static const struct {
		uint8_t data[24];
		size_t size;
	} requests[] = {
	    {{0x2a, 3, 0x0a, 1, 0x80}, 5},                             /* a packed number without end */
	    {{0x2a, 3, 0x0a, 2, 1}, 5},                                /* packed, longer than the member */
	    {{0x2a, 8, 0x0a, 6, 0xff, 0xff, 0xff, 0xff, 0x1f, 1}, 10}, /* more than 32 bits */
	    {{0x32, 2, 0x08, 1}, 4},                                   /* an MSR as a number */
	    {{0x32, 9, 0x09, 8, 1, 16, 2, 8, 1, 16, 2}, 11},           /* as 64 bits, which look like one */
	    {{0x32, 5, 0x0d, 8, 1, 16, 2}, 7},                         /* as 32 bits */
	    {{0x32, 4, 0x0a, 2, 0x08, 0x80}, 6},                       /* its index has no end */
	    {{0x32, 4, 0x0a, 3, 0x08, 1}, 6},                          /* it is longer than the member */
	    {{0x3a, 5, 0x0d, 8, 1, 16, 2}, 7},                         /* a CPUID entry as 32 bits */
	};
	for (size_t i = 0; i < COUNT(requests); i++) {
		wire_VcpuRequest request;
		struct wire_arena elements = arena_of(sizeof(arena.memory));
		int result = wire_decode_vcpu_request(requests[i].data, requests[i].size, &elements, &request);
		if (result != -EBADMSG)
			print_message("# case %zu: %d\n", i, result);
		assert_int_equal(result, -EBADMSG);
	}
}

/* As many elements as a packet can have, each of them as short as it can be. */
static void test_huge_count(void **state)
{
	(void)state;
	static uint8_t data[LIMIT_VCPU_REQUEST_BYTES];
	wire_VcpuRequest request;
	/* set_msrs with empty entries: two bytes each */
	uint32_t count = (sizeof(data) - 4) / 2, length = 2 * count;
	data[0] = 0x32;
	data[1] = (uint8_t)(length | 0x80);
	data[2] = (uint8_t)(length >> 7 | 0x80);
	data[3] = (uint8_t)(length >> 14);
	for (uint32_t i = 0; i < count; i++)
		data[4 + 2 * i] = 0x0a;
	struct wire_arena elements = arena_of(LIMIT_MSRS * sizeof(wire_VcpuRequest_MsrEntry) / 4);
	assert_int_equal(wire_decode_vcpu_request(data, 4 + length, &elements, &request), 0);
	assert_int_equal(request.message.set_msrs.entries.count, count);
	assert_int_equal(request.message.set_msrs.entries.stored,
	                 elements.size / sizeof(wire_VcpuRequest_MsrEntry));
	expect_intact(elements.size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_too_many),
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_packed_and_not),
	    cmocka_unit_test(test_another_member_before),
	    cmocka_unit_test(test_malformed),
	    cmocka_unit_test(test_huge_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
