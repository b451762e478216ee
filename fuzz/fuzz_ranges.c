/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_ranges - a sequence of reservations, releases and lookups, on the table of ranges and on a plain list.
 *
 * Input: operations: a byte (OPERATION_..., SPACE_MMIO, FLAG_FAR), and then what it needs, as take_address() and
 * take_length() read it.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "host/ranges.h"
#include "wire/limits.h"

#define OPERATION  0x07
#define SPACE_MMIO 0x08
#define FLAG_ASYNC 0x10
#define FLAG_FAR   0x60 /* where addresses lie: take_address() */

/* The rest of OPERATION are lookups. */
#define OPERATION_RESERVE 0
#define OPERATION_RELEASE 1
#define OPERATION_FILL    2 /* up to 63 reservations side by side: three of that are more than a chunk has */
#define OPERATION_DRAIN   3 /* release every second one that there is */

#define MODEL_MAX      320
#define OPERATIONS_MAX 64

struct model_range {
	enum address_space space;
	struct range range;
};

static struct ranges ranges;
static struct model_range model[MODEL_MAX];
static size_t model_count;
static uint32_t model_next_id;

static uint64_t take_number(struct input *input)
{
	uint64_t number = input_byte(input);
	return number | (uint64_t)input_byte(input) << 8;
}

/* Near one of four places, so that ranges meet. */
static uint64_t take_address(struct input *input, uint8_t operation)
{
	static const uint64_t places[] = {0, 0xff00, UINT64_C(1) << 32, UINT64_MAX - 0xffff};
	return places[(operation & FLAG_FAR) >> 5] + take_number(input);
}

/* 0 to 127, a multiple of a page, or to the end of the space. */
static uint64_t take_length(struct input *input)
{
	uint8_t byte = input_byte(input);
	if (byte == 0xff)
		return UINT64_MAX;
	return byte & 0x80 ? (uint64_t)(byte & 0x7f) << 12 : byte;
}

MODEL_BEGIN

static bool touches(const struct model_range *m, enum address_space space, uint64_t first, uint64_t last)
{
	return m->space == space && m->range.start <= last && first <= m->range.last;
}

static void reserve(enum address_space space, uint64_t start, uint64_t length, bool async)
{
	int wanted = 0;
	uint64_t last = start + (length - 1);
	if (length == 0 || last < start || (space == ADDRESS_SPACE_PORT && last > 0xffff))
		wanted = -EINVAL;
	for (size_t i = 0; i < model_count && wanted == 0; i++) {
		if (touches(&model[i], space, start, last))
			wanted = -EPERM;
	}
	if (wanted == 0 && model_count == MODEL_MAX)
		return;
	uint32_t id = UINT32_MAX;
	REQUIRE(ranges_reserve(&ranges, space, start, length, async, &id) == wanted);
	if (wanted < 0)
		return;
	REQUIRE(id == model_next_id++);
	model[model_count++] = (struct model_range){space, {start, last, id, async}};
}

static void release(enum address_space space, uint64_t start)
{
	for (size_t i = 0; i < model_count; i++) {
		if (model[i].space == space && model[i].range.start == start) {
			REQUIRE(ranges_release(&ranges, space, start) == 0);
			model[i] = model[--model_count];
			return;
		}
	}
	REQUIRE(ranges_release(&ranges, space, start) == -ENOENT);
}

static void find(enum address_space space, uint64_t address, uint32_t width)
{
	const struct model_range *wanted = NULL;
	uint64_t last = address + (width > 0 ? width - 1 : 0);
	if (last < address)
		last = UINT64_MAX;
	for (size_t i = 0; i < model_count; i++) {
		if (touches(&model[i], space, address, last) &&
		    (!wanted || model[i].range.start < wanted->range.start))
			wanted = &model[i];
	}
	struct range found;
	REQUIRE(ranges_find(&ranges, 0, space, address, width, &found) == (wanted != NULL));
	if (wanted)
		REQUIRE(found.start == wanted->range.start && found.last == wanted->range.last &&
		        found.id == wanted->range.id && found.async_write == wanted->range.async_write);
}

static void fill(enum address_space space, uint64_t start, uint8_t count, uint8_t stride)
{
	for (unsigned int i = 0; i < count; i++)
		reserve(space, start + (uint64_t)i * stride, stride > 0, false);
}

static void drain(enum address_space space)
{
	for (size_t i = 0; i < model_count; i++) {
		if (model[i].space == space)
			release(space, model[i].range.start);
	}
}

MODEL_END

static void operate(struct input *input)
{
	uint8_t operation = input_byte(input);
	enum address_space space = operation & SPACE_MMIO ? ADDRESS_SPACE_MMIO : ADDRESS_SPACE_PORT;
	if ((operation & OPERATION) == OPERATION_DRAIN) {
		drain(space);
		return;
	}
	uint64_t address = take_address(input, operation);
	switch (operation & OPERATION) {
	case OPERATION_RESERVE:
		reserve(space, address, take_length(input), operation & FLAG_ASYNC);
		break;
	case OPERATION_RELEASE:
		release(space, address);
		break;
	case OPERATION_FILL: {
		uint8_t count = input_byte(input) & 0x3f;
		fill(space, address, count, input_byte(input));
		break;
	}
	default:
		find(space, address, input_byte(input));
	}
	REQUIRE(ranges_count(&ranges) == model_count);
}

MODEL_BEGIN

/* The first and the last byte of each, and those before and behind it. */
static void find_all(void)
{
	size_t count = model_count < 16 ? model_count : 16;
	for (size_t i = 0; i < count; i++) {
		const struct model_range *m = &model[i];
		find(m->space, m->range.start, 1);
		find(m->space, m->range.last, 8);
		find(m->space, m->range.last + 1, 1);
		find(m->space, m->range.start - 1, 2);
	}
}

MODEL_END

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	REQUIRE(ranges_init(&ranges, 1) == 0);
	model_count = 0;
	model_next_id = 0;
	for (int i = 0; i < OPERATIONS_MAX && input.size > 0; i++)
		operate(&input);
	find_all();
	ranges_fini(&ranges);
	return 0;
}
