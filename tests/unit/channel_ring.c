/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the ring of posted writes: order and bytes against a model, over and over around both rings and around the end of
 * the numbers; that full is full and never for good; and that the host refuses each tail that cannot be.
 */
#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "channel/ring.h"

static struct vcpu_page page;
static struct ring_writer writer;
static struct ring_reader reader;

/* Begin where the numbers are about to wrap, or anywhere else. */
static void begin(uint32_t at)
{
	memset(&page, 0, sizeof(page));
	ring_writer_init(&writer, &page);
	ring_reader_init(&reader, &page);
	writer.head = writer.tail = reader.tail = reader.published = at;
	writer.bytes_head = writer.bytes_tail = at * 8;
	atomic_store(&page.host.ring, at);
	atomic_store(&page.plugin.ring, at);
}

/* What write number `number` is. */
static uint32_t fill(uint32_t number, uint32_t size, uint8_t *out_data)
{
	for (uint32_t i = 0; i < size; i++)
		out_data[i] = (uint8_t)(number * 31 + i);
	return number & 1 ? PAGE_IS_MMIO : 0;
}

static int put(uint32_t number, uint32_t size)
{
	uint8_t data[LIMIT_ACCESS_BYTES];
	uint32_t flags = fill(number, size, data);
	return ring_put(&writer, flags, UINT64_C(0x100000000) + number, data, size);
}

static void get(uint32_t number, uint32_t size)
{
	struct ring_entry entry;
	uint8_t data[LIMIT_ACCESS_BYTES];
	assert_int_equal(ring_get(&reader, ring_head(&reader), &entry), 1);
	assert_int_equal(entry.address, UINT64_C(0x100000000) + number);
	assert_int_equal(entry.size, size);
	assert_int_equal(entry.flags, fill(number, size, data));
	assert_memory_equal(size > PAGE_VALUE_BYTES ? page.ring_bytes + entry.at : (uint8_t *)&entry.value, data,
	                    size);
}

static void test_one(void **state)
{
	(void)state;
	static const uint32_t sizes[] = {1, 8, 9, 4096};
	for (uint32_t i = 0; i < 4; i++) {
		struct ring_entry entry;
		begin(i * 0x40000000);
		assert_int_equal(ring_get(&reader, ring_head(&reader), &entry), 0);
		assert_int_equal(put(i, sizes[i]), 0);
		get(i, sizes[i]);
		get(i, sizes[i]);
		ring_release(&reader, sizes[i]);
		assert_int_equal(ring_get(&reader, ring_head(&reader), &entry), 0);
	}
}

static void test_full_of_entries(void **state)
{
	(void)state;
	begin(UINT32_MAX - 100);
	for (uint32_t i = 0; i < RING_ENTRIES; i++)
		assert_int_equal(put(i, 4), 0);
	assert_int_equal(put(RING_ENTRIES, 4), -EAGAIN);
	for (uint32_t i = 0; i < RING_ENTRIES / 2; i++) {
		get(i, 4);
		assert_int_equal(ring_release(&reader, 4), i == RING_ENTRIES / 2 - 1);
	}
	assert_int_equal(put(RING_ENTRIES, 4), 0);
	ring_publish_tail(&reader);
	get(RING_ENTRIES / 2, 4);
}

static void test_full_of_bytes(void **state)
{
	(void)state;
	begin(5);
	uint32_t count = 0;
	while (put(count, LIMIT_ACCESS_BYTES) == 0)
		count++;
	/* It begins anywhere, and none lies over the end. */
	assert_int_equal(count, RING_BYTES / LIMIT_ACCESS_BYTES - 1);
	/* Small ones need none of the bytes. */
	assert_int_equal(put(count, 8), 0);
	bool told = false;
	uint32_t given = 0;
	while (!told) {
		get(given, LIMIT_ACCESS_BYTES);
		told = ring_release(&reader, LIMIT_ACCESS_BYTES);
		given++;
	}
	assert_true(given < count);
	assert_int_equal(put(count + 1, LIMIT_ACCESS_BYTES), 0);
}

/* Whatever the sizes: when the reader has got everything, the writer has room for anything. */
static void test_model(void **state)
{
	(void)state;
	static uint32_t sizes[RING_ENTRIES];
	uint32_t seed = 1, put_count = 0, got = 0, full = 0;
	begin(UINT32_MAX - 50000);
	for (int step = 0; step < 400000; step++) {
		seed = seed * 1664525 + 1013904223;
		uint32_t random = seed >> 8;
		if (step / 1000 % 2 ? random % 4 : random % 4 == 0) {
			uint32_t size = random % 3 ? 1 + random / 7 % 8 : 1 + random / 7 % LIMIT_ACCESS_BYTES;
			int result = put(put_count, size);
			assert_true(result == 0 || (result == -EAGAIN && got != put_count));
			full += result != 0;
			if (result == 0)
				sizes[put_count++ % RING_ENTRIES] = size;
		} else if (got != put_count) {
			uint32_t size = sizes[got % RING_ENTRIES];
			get(got, size);
			ring_release(&reader, size);
			got++;
			if (random % 64 == 0)
				ring_publish_tail(&reader);
		}
	}
	assert_true(got > 100000);
	assert_true(full > 100);
}

/* The plugin's tail: only from where it was up to the head. */
static void test_bad_tail(void **state)
{
	(void)state;
	static const uint32_t begins[] = {1000, UINT32_MAX - 10};
	static const int32_t bad[] = {-1, -1000, RING_ENTRIES + 1, RING_ENTRIES + 1000, INT32_MAX, INT32_MIN};
	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]) * sizeof(bad) / sizeof(bad[0]); i++) {
		uint32_t at = begins[i % 2];
		begin(at);
		for (uint32_t entry = 0; entry < RING_ENTRIES; entry++)
			assert_int_equal(put(entry, 1), 0);
		atomic_store(&page.plugin.ring, at + (uint32_t)bad[i / 2]);
		assert_int_equal(put(0, 1), -EPROTO);
		assert_int_equal(put(0, 1), -EPROTO);
		/* Each that can be. */
		atomic_store(&page.plugin.ring, at + RING_ENTRIES);
		assert_int_equal(put(0, 1), 0);
	}
	/* Not back, not even to where it was. */
	begin(0);
	for (uint32_t entry = 0; entry < RING_ENTRIES; entry++)
		assert_int_equal(put(entry, 1), 0);
	atomic_store(&page.plugin.ring, 1);
	assert_int_equal(put(0, 1), 0);
	atomic_store(&page.plugin.ring, 0);
	assert_int_equal(put(0, 1), -EPROTO);
	begin(0);
	while (put(0, LIMIT_ACCESS_BYTES) == 0)
		;
	atomic_store(&page.plugin.ring, 3);
	while (put(0, LIMIT_ACCESS_BYTES) == 0)
		;
	atomic_store(&page.plugin.ring, 2);
	assert_int_equal(put(0, LIMIT_ACCESS_BYTES), -EPROTO);
}

/* What the plugin gets makes sense or is refused. */
static void test_bad_entry(void **state)
{
	(void)state;
	struct ring_entry entry;
	begin(0);
	assert_int_equal(put(0, 100), 0);
	assert_int_equal(ring_get(&reader, RING_ENTRIES + 1, &entry), -EPROTO);
	assert_int_equal(ring_get(&reader, UINT32_MAX, &entry), -EPROTO);
	page.ring[0].size = 0;
	assert_int_equal(ring_get(&reader, 1, &entry), -EPROTO);
	page.ring[0].size = LIMIT_ACCESS_BYTES + 1;
	assert_int_equal(ring_get(&reader, 1, &entry), -EPROTO);
	page.ring[0].size = 100;
	page.ring[0].at = RING_BYTES - 99;
	assert_int_equal(ring_get(&reader, 1, &entry), -EPROTO);
	page.ring[0].at = RING_BYTES - 100;
	assert_int_equal(ring_get(&reader, 1, &entry), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one),           cmocka_unit_test(test_full_of_entries),
	    cmocka_unit_test(test_full_of_bytes), cmocka_unit_test(test_model),
	    cmocka_unit_test(test_bad_tail),      cmocka_unit_test(test_bad_entry),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
