/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Our codec makes the packets of golden.txt, byte by byte, and reads them. The file's path is GOLDEN_FILE, and the
 * messages there are those in the tables of golden_*.c, no more and no fewer.
 */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"

#define PACKET_MAX 128

struct golden {
	char message[16];
	char name[32];
	uint8_t data[PACKET_MAX];
	size_t size;
};

static struct golden goldens[512];
static size_t golden_count;

static void parse_bytes(const char *text, struct golden *golden)
{
	int used;
	unsigned int byte;
	while (sscanf(text, " %2x%n", &byte, &used) == 1) {
		assert_true(golden->size < PACKET_MAX);
		golden->data[golden->size++] = (uint8_t)byte;
		text += used;
	}
}

static int load(void **state)
{
	(void)state;
	FILE *file = fopen(GOLDEN_FILE, "re");
	assert_non_null(file);
	char line[512];
	while (fgets(line, sizeof(line), file)) {
		int used;
		struct golden *golden = &goldens[golden_count];
		if (line[0] == '#' || sscanf(line, "%15s %31s%n", golden->message, golden->name, &used) != 2)
			continue;
		assert_true(golden_count + 1 < sizeof(goldens) / sizeof(goldens[0]));
		parse_bytes(line + used, golden);
		golden_count++;
	}
	fclose(file);
	return 0;
}

static const struct golden *find(const char *message, const char *name)
{
	for (size_t i = 0; i < golden_count; i++) {
		if (strcmp(goldens[i].message, message) == 0 && strcmp(goldens[i].name, name) == 0)
			return &goldens[i];
	}
	fail_msg("golden.txt has no %s %s", message, name);
	return NULL;
}

/* ---- The tests ---- */

/* Memory for the elements of the message that was decoded last. */
static uint64_t elements[512];

#define CODEC(name)                                                                                \
	static int decode_##name(const uint8_t *data, size_t size, union message *out_message)     \
	{                                                                                          \
		const struct wire_arena arena = {elements, sizeof(elements)};                      \
		return wire_decode_##name(data, size, &arena, &out_message->name);                 \
	}                                                                                          \
	static ssize_t encode_##name(const union message *message, uint8_t *data, size_t capacity) \
	{                                                                                          \
		return wire_encode_##name(&message->name, data, capacity);                         \
	}

CODEC(main_request)
CODEC(main_response)
CODEC(vcpu_request)
CODEC(vcpu_response)

struct codec {
	const char *message;
	size_t index; /* of golden_baseline and golden_additions */
	int (*decode)(const uint8_t *data, size_t size, union message *out_message);
	ssize_t (*encode)(const union message *message, uint8_t *data, size_t capacity);
};

#define CODEC_OF(message, index, name)                       \
	{                                                    \
		message, index, decode_##name, encode_##name \
	}

static const struct codec codecs[GOLDEN_CODECS] = {
    CODEC_OF("MainRequest", 0, main_request),
    CODEC_OF("MainResponse", 1, main_response),
    CODEC_OF("VcpuRequest", 2, vcpu_request),
    CODEC_OF("VcpuResponse", 3, vcpu_response),
};

static size_t meaning_count(const struct codec *codec)
{
	return golden_baseline[codec->index].count + golden_additions[codec->index].count;
}

static const struct meaning *meaning_at(const struct codec *codec, size_t i)
{
	const struct meanings *baseline = &golden_baseline[codec->index];
	return i < baseline->count ? &baseline->list[i]
	                           : &golden_additions[codec->index].list[i - baseline->count];
}

static const struct codec *codec_of(void **state)
{
	return *state;
}

static void assert_packet(const struct golden *golden, const uint8_t *data, ssize_t size)
{
	if (size != (ssize_t)golden->size || memcmp(data, golden->data, golden->size) != 0)
		fail_msg("%s %s: other bytes, or %zd of them instead of %zu", golden->message, golden->name, size,
		         golden->size);
}

static void test_names(void **state)
{
	const struct codec *codec = codec_of(state);
	size_t found = 0;
	for (size_t i = 0; i < golden_count; i++)
		found += strcmp(goldens[i].message, codec->message) == 0;
	assert_int_equal(found, meaning_count(codec));
	for (size_t i = 0; i < meaning_count(codec); i++)
		find(codec->message, meaning_at(codec, i)->name);
}

static void test_encode(void **state)
{
	const struct codec *codec = codec_of(state);
	for (size_t i = 0; i < meaning_count(codec); i++) {
		const struct meaning *meaning = meaning_at(codec, i);
		if (meaning->only_read)
			continue;
		const struct golden *golden = find(codec->message, meaning->name);
		uint8_t data[PACKET_MAX];
		assert_packet(golden, data, codec->encode(&meaning->message, data, golden->size));
		assert_int_equal(codec->encode(&meaning->message, data, golden->size - 1), -EMSGSIZE);
	}
}

/* What a packet is read as makes the same bytes as what it means. */
static void test_decode(void **state)
{
	const struct codec *codec = codec_of(state);
	for (size_t i = 0; i < meaning_count(codec); i++) {
		const struct meaning *meaning = meaning_at(codec, i);
		const struct golden *golden = find(codec->message, meaning->name);
		union message decoded;
		uint8_t data[PACKET_MAX];
		struct golden wanted = *golden;
		wanted.size = (size_t)codec->encode(&meaning->message, wanted.data, PACKET_MAX);
		assert_int_equal(codec->decode(golden->data, golden->size, &decoded), 0);
		assert_packet(&wanted, data, codec->encode(&decoded, data, sizeof(data)));
	}
}

/* Each piece is in memory of just its size, so that a sanitizer sees a read past the end. */
static void test_cut_off(void **state)
{
	const struct codec *codec = codec_of(state);
	for (size_t i = 0; i < meaning_count(codec); i++) {
		const struct golden *golden = find(codec->message, meaning_at(codec, i)->name);
		for (size_t size = 1; size < golden->size; size++) {
			uint8_t *piece = malloc(size);
			assert_non_null(piece);
			memcpy(piece, golden->data, size);
			union message decoded;
			int result = codec->decode(piece, size, &decoded);
			free(piece);
			/* A message that begins with its errno may end right after it. */
			bool may_be_whole = golden->data[0] == 0x08;
			assert_true(result == -EBADMSG || (may_be_whole && result == 0));
		}
	}
}

/* Of two members the last one counts, with nothing left of the first: not even its elements. */
static void assert_last_counts(const struct codec *codec, const struct golden *first, const struct meaning *last)
{
	const struct golden *golden = find(codec->message, last->name);
	uint8_t data[2 * PACKET_MAX], wanted[PACKET_MAX], got[PACKET_MAX];
	memcpy(data, first->data, first->size);
	memcpy(data + first->size, golden->data, golden->size);
	union message decoded;
	assert_int_equal(codec->decode(data, first->size + golden->size, &decoded), 0);
	ssize_t size = codec->encode(&last->message, wanted, sizeof(wanted));
	if (codec->encode(&decoded, got, sizeof(got)) != size || memcmp(got, wanted, (size_t)size) != 0)
		fail_msg("%s %s after %s is read as another message", codec->message, last->name, first->name);
}

/* The same member twice is one, merged; an errno is no member. A tag has one byte or two. */
static bool have_different_members(const struct golden *first, const struct golden *last)
{
	if (first->data[0] == 0x08 || last->data[0] == 0x08)
		return false;
	return first->data[0] != last->data[0] || (first->data[0] & 0x80 && first->data[1] != last->data[1]);
}

static void test_last_member(void **state)
{
	const struct codec *codec = codec_of(state);
	for (size_t i = 0; i < meaning_count(codec); i++) {
		const struct golden *first = find(codec->message, meaning_at(codec, i)->name);
		for (size_t j = 0; j < meaning_count(codec); j++) {
			const struct golden *last = find(codec->message, meaning_at(codec, j)->name);
			if (have_different_members(first, last))
				assert_last_counts(codec, first, meaning_at(codec, j));
		}
	}
}

/* Elements for which there is no memory are counted; the memory is of just its size. */
static void test_too_little_memory(void **state)
{
	(void)state;
	const struct golden *golden = find("MainRequest", "set_irq_routing_max");
	const size_t element = sizeof(wire_MainRequest_SetIrqRouting_Route);
	for (size_t size = 8; size <= 3 * element; size += 8) {
		const struct wire_arena arena = {malloc(size), size};
		assert_non_null(arena.memory);
		wire_MainRequest request;
		assert_int_equal(wire_decode_main_request(golden->data, golden->size, &arena, &request), 0);
		assert_int_equal(request.message.set_irq_routing.routes.count, 3);
		assert_int_equal(request.message.set_irq_routing.routes.stored, size / element);
		free(arena.memory);
	}
}

static void test_frames(void **state)
{
	(void)state;
	size_t found = 0;
	for (size_t i = 0; i < golden_count; i++) {
		const struct golden *golden = &goldens[i];
		if (strcmp(golden->message, "Frame") != 0)
			continue;
		found++;
		uint32_t size = (uint32_t)strtoul(golden->name, NULL, 10), parsed;
		uint8_t header[WIRE_FRAME_HEADER_MAX];
		assert_packet(golden, header, (ssize_t)wire_frame_header(size, header));
		assert_int_equal(wire_frame_parse(header, golden->size, &parsed), golden->size);
		assert_int_equal(parsed, size);
		assert_int_equal(wire_frame_parse(header, golden->size - 1, &parsed), 0);
	}
	assert_true(found > 0);
}

#define CODEC_TESTS(index, name)                                                                         \
	{name " has the golden names", test_names, NULL, NULL, (void *)&codecs[index]},                  \
	    {name " is made as golden", test_encode, NULL, NULL, (void *)&codecs[index]},                \
	    {name " is read as golden", test_decode, NULL, NULL, (void *)&codecs[index]},                \
	    {name " has the last of two members", test_last_member, NULL, NULL, (void *)&codecs[index]}, \
	{                                                                                                \
		name " cut off anywhere is refused", test_cut_off, NULL, NULL, (void *)&codecs[index]    \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CODEC_TESTS(0, "MainRequest"), CODEC_TESTS(1, "MainResponse"),
	    CODEC_TESTS(2, "VcpuRequest"), CODEC_TESTS(3, "VcpuResponse"),
	    cmocka_unit_test(test_frames), cmocka_unit_test(test_too_little_memory),
	};
	return cmocka_run_group_tests(tests, load, NULL);
}
