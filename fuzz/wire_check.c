/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The checks of a decoded message, by nanopb's description of it and by a walk of our own over the bytes.
 */
#include "wire_check.h"

#include <errno.h>
#include <pb_common.h>
#include <string.h>

#include "fuzz.h"

/* What a packet of the longest input takes when it is encoded again: a negative enum grows from 5 bytes to 10. */
#define ENCODED_MAX 32768

union any_message {
	wire_MainRequest main_request;
	wire_MainResponse main_response;
	wire_VcpuRequest vcpu_request;
	wire_VcpuResponse vcpu_response;
};

/* Each just as long as it says, so that a sanitizer sees what goes beyond. */
static uint64_t elements[ENCODED_MAX];
static uint64_t few_elements[6];
static const struct wire_arena arenas[WIRE_ROOMS] = {
    [WIRE_ROOM_AMPLE] = {elements, sizeof(elements)},
    [WIRE_ROOM_LITTLE] = {few_elements, sizeof(few_elements)},
    [WIRE_ROOM_NONE] = {NULL, 0},
};

MODEL_BEGIN

/*
 * nanopb reads tables and is not instrumented: by its code all messages look the same. So the fuzzer is told which fields
 * of a message have a value: a counter for each way from the message to a field.
 */
static uint8_t fields_seen[1024] __attribute__((section("__libfuzzer_extra_counters"), used));

static uint32_t way_to(uint32_t way, uint32_t tag)
{
	return (way * 37 + tag) * 0x9e3779b1u;
}

static void see(uint32_t way, bool is_there)
{
	if (is_there)
		fields_seen[way >> 22] = 1;
}

static bool has_value(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] != 0)
			return true;
	}
	return false;
}

struct walk {
	struct wire_bytes packet;
	const struct wire_arena *arena;
	bool is_whole; /* no element was left out */
};

static void check_bytes(const struct walk *walk, const struct wire_bytes *bytes)
{
	if (bytes->size == 0)
		return;
	REQUIRE(bytes->data >= walk->packet.data && bytes->size <= walk->packet.size);
	REQUIRE(bytes->data + bytes->size <= walk->packet.data + walk->packet.size);
}

static void check_array(struct walk *walk, const struct wire_array *array)
{
	const struct wire_arena *arena = walk->arena;
	REQUIRE(array->stored <= array->count);
	if (array->stored < array->count)
		walk->is_whole = false;
	if (array->stored == 0)
		return;
	const uint8_t *items = array->items, *memory = arena->memory;
	REQUIRE(items >= memory && (uintptr_t)items % 8 == 0);
	REQUIRE(items + array->stored * sizeof(uint32_t) <= memory + arena->size);
}

static void check_fields(struct walk *walk, uint32_t way, const pb_msgdesc_t *fields, void *message)
{
	pb_field_iter_t field;
	if (!pb_field_iter_begin(&field, fields, message))
		return;
	do {
		if (PB_HTYPE(field.type) == PB_HTYPE_ONEOF && *(const pb_size_t *)field.pSize != field.tag)
			continue;
		uint32_t here = way_to(way, field.tag);
		see(here, PB_HTYPE(field.type) == PB_HTYPE_ONEOF || has_value(field.pData, field.data_size));
		if (PB_ATYPE(field.type) == PB_ATYPE_CALLBACK) {
			if (PB_LTYPE(field.type) == PB_LTYPE_BYTES)
				check_bytes(walk, field.pData);
			else
				check_array(walk, field.pData);
		} else if (PB_LTYPE_IS_SUBMSG(field.type)) {
			check_fields(walk, here, field.submsg_desc, field.pData);
		}
	} while (pb_field_iter_next(&field));
}

/* ---- A walk over the bytes of a packet that decoded ---- */

static uint64_t take_varint(struct input *input)
{
	uint64_t value = 0;
	uint8_t byte;
	unsigned int shift = 0;
	do {
		REQUIRE(input->size > 0);
		byte = input_byte(input);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	return value;
}

static void skip(struct input *input, uint64_t size)
{
	REQUIRE(size <= input->size);
	input->data += size;
	input->size -= size;
}

static void skip_value(struct input *input, uint32_t wire_type)
{
	switch (wire_type) {
	case 0:
		take_varint(input);
		break;
	case 1:
		skip(input, 8);
		break;
	case 2:
		skip(input, (uint32_t)take_varint(input));
		break;
	default:
		REQUIRE(wire_type == 5);
		skip(input, 4);
	}
}

/* Returns the number of the last member of the message's oneof, 0 if there is none. */
static uint32_t last_member(const struct wire_kind *kind, struct wire_bytes packet, void *message)
{
	struct input input = {.data = packet.data, .size = packet.size};
	uint32_t last = 0;
	while (input.size > 0) {
		uint32_t tag = (uint32_t)take_varint(&input);
		pb_field_iter_t field;
		if (pb_field_iter_begin(&field, kind->fields, message) && pb_field_iter_find(&field, tag >> 3) &&
		    PB_HTYPE(field.type) == PB_HTYPE_ONEOF)
			last = tag >> 3;
		skip_value(&input, tag & 7);
	}
	return last;
}

static uint32_t member_of(const struct wire_kind *kind, void *message)
{
	pb_field_iter_t field;
	REQUIRE(pb_field_iter_begin(&field, kind->fields, message));
	while (PB_HTYPE(field.type) != PB_HTYPE_ONEOF)
		REQUIRE(pb_field_iter_next(&field));
	return *(const pb_size_t *)field.pSize;
}

/* ---- Again ---- */

static void check_again(const struct wire_kind *kind, const void *message)
{
	static uint8_t first[ENCODED_MAX], second[ENCODED_MAX];
	static uint64_t other_elements[ENCODED_MAX];
	static const struct wire_arena other_arena = {other_elements, sizeof(other_elements)};
	static union any_message other;
	ssize_t size = kind->encode(message, first, sizeof(first));
	REQUIRE(size >= 0);
	REQUIRE(kind->decode(first, (size_t)size, &other_arena, &other) == 0);
	REQUIRE(kind->encode(&other, second, sizeof(second)) == size);
	REQUIRE(memcmp(first, second, (size_t)size) == 0);
	/* And not one byte of room less will do. */
	if (size > 0)
		REQUIRE(kind->encode(message, second, (size_t)size - 1) == -EMSGSIZE);
}

int wire_check(const struct wire_kind *kind, struct wire_bytes packet, enum wire_room room, void *message)
{
	if (packet.size > ENCODED_MAX / 4)
		return -EMSGSIZE;
	struct walk walk = {.packet = packet, .arena = &arenas[room], .is_whole = true};
	int result = kind->decode(packet.data, packet.size, room == WIRE_ROOM_NONE ? NULL : walk.arena, message);
	REQUIRE(result == 0 || result == -EBADMSG);
	if (result < 0)
		return result;
	check_fields(&walk, kind->way, kind->fields, message);
	REQUIRE(member_of(kind, message) == last_member(kind, packet, message));
	if (walk.is_whole)
		check_again(kind, message);
	return 0;
}

MODEL_END
