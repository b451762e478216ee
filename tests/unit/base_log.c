/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks log lines, the rate limiter as a bucket, and that no byte of a peer reaches a terminal but as text.
 */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "wire/limits.h"

#define SECOND UINT64_C(1000000000)

static struct {
	int count;
	enum plugvm_log_level level;
	char line[LIMIT_LOG_LINE_BYTES * 8];
} seen;

static void sink(void *context, enum plugvm_log_level level, const char *line)
{
	assert_ptr_equal(context, &seen);
	seen.count++;
	seen.level = level;
	snprintf(seen.line, sizeof(seen.line), "%s", line);
}

static void test_line(void **state)
{
	(void)state;
	struct log log = {.sink = sink, .context = &seen};
	log_line(&log, PLUGVM_LOG_INFO, "%s %d", "line", 7);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.level, PLUGVM_LOG_INFO);
	assert_string_equal(seen.line, "line 7");

	/* The longest escaped line of a plugin comes whole, and a longer one is cut. */
	char text[LIMIT_LOG_LINE_BYTES * 4 + 1000];
	memset(text, 'x', sizeof(text));
	text[LIMIT_LOG_LINE_BYTES * 4] = '\0';
	log_line(&log, PLUGVM_LOG_INFO, "%s", text);
	assert_string_equal(seen.line, text);
	text[LIMIT_LOG_LINE_BYTES * 4] = 'x';
	text[sizeof(text) - 1] = '\0';
	log_line(&log, PLUGVM_LOG_INFO, "%s", text);
	assert_true(strlen(seen.line) < sizeof(text) - 1);

	struct log none = {.sink = NULL};
	log_line(&none, PLUGVM_LOG_ERROR, "nobody reads this");
	assert_int_equal(seen.count, 3);
}

static void test_rate_burst(void **state)
{
	(void)state;
	struct rate rate;
	uint64_t refused, now = 5 * SECOND;
	rate_init(&rate, 200, 2000);
	for (int i = 0; i < 2000; i++) {
		assert_true(rate_take(&rate, now, &refused));
		assert_int_equal(refused, 0);
	}
	for (int i = 0; i < 7; i++)
		assert_false(rate_take(&rate, now, &refused));
	/* Just before the next token, and then with it; who was refused is told once. */
	assert_false(rate_take(&rate, now + SECOND / 200 - 1, &refused));
	assert_true(rate_take(&rate, now + SECOND / 200, &refused));
	assert_int_equal(refused, 8);
	assert_false(rate_take(&rate, now + SECOND / 200, &refused));
	assert_true(rate_take(&rate, now + 2 * SECOND / 200, &refused));
	assert_int_equal(refused, 1);
}

static void test_rate_average(void **state)
{
	(void)state;
	struct rate rate;
	uint64_t refused, granted = 0;
	rate_init(&rate, 200, 2000);
	for (uint64_t ms = 1; ms <= 60000; ms++)
		granted += rate_take(&rate, ms * 1000000, &refused);
	assert_in_range(granted, 2000 + 60 * 200 - 2, 2000 + 60 * 200);

	/* However long nothing happens, the bucket holds no more than its burst. */
	for (int round = 0; round < 3; round++) {
		uint64_t now = (uint64_t)(round + 2) * 1000000 * SECOND;
		for (granted = 0; rate_take(&rate, now, &refused); granted++)
			;
		assert_int_equal(granted, 2000);
	}
}

static void test_clock(void **state)
{
	(void)state;
	uint64_t first = clock_ns();
	assert_true(first > 0);
	assert_true(clock_ns() >= first);
}

/* Escape from a buffer of just this size, into one of just that, so that a sanitizer sees the ends. */
static size_t escape(const void *in, size_t size, size_t capacity, char *out_text)
{
	uint8_t *input = malloc(size ? size : 1);
	char *output = malloc(capacity);
	assert_non_null(input);
	assert_non_null(output);
	memcpy(input, in, size);
	memset(output, 'Z', capacity);
	size_t used = text_escape(output, capacity, input, size);
	assert_true(strlen(output) < capacity);
	strcpy(out_text, output);
	free(input);
	free(output);
	return used;
}

static void test_escape_sequences(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"plain text ~!", "plain text ~!"},
	    {"a\tb", "a\tb"},
	    {"back\\slash", "back\\slash"},
	    {"\x1b[31m", "\\x1b[31m"},
	    {"\r\n\b\a", "\\x0d\\x0a\\x08\\x07"},
	    {"\x7f", "\\x7f"},
	    /* the least and the greatest of each length */
	    {"\xc2\xa0", "\xc2\xa0"},
	    {"\xdf\xbf", "\xdf\xbf"},
	    {"\xe0\xa0\x80", "\xe0\xa0\x80"},
	    {"\xef\xbf\xbd", "\xef\xbf\xbd"},
	    {"\xf0\x90\x80\x80", "\xf0\x90\x80\x80"},
	    {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
	    /* above U+10FFFF, and lead bytes that there are not */
	    {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
	    {"\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80"},
	    {"\xff\xfe", "\\xff\\xfe"},
	    /* C1 controls: U+0080, U+009B (CSI), U+009F */
	    {"\xc2\x80", "\\xc2\\x80"},
	    {"\xc2\x9b", "\\xc2\\x9b"},
	    {"\xc2\x9f", "\\xc2\\x9f"},
	    /* overlong forms of '/', U+007F, U+07FF, U+FFFF */
	    {"\xc0\xaf", "\\xc0\\xaf"},
	    {"\xc1\xbf", "\\xc1\\xbf"},
	    {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},
	    {"\xe0\x9f\xbf", "\\xe0\\x9f\\xbf"},
	    {"\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"},
	    {"\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf"},
	    /* surrogates and their neighbours */
	    {"\xed\x9f\xbf", "\xed\x9f\xbf"},
	    {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
	    {"\xed\xbf\xbf", "\\xed\\xbf\\xbf"},
	    {"\xee\x80\x80", "\xee\x80\x80"},
	    /* marks that reorder text: U+202E, U+2066; their neighbours are fine */
	    {"\xe2\x80\xae", "\\xe2\\x80\\xae"},
	    {"\xe2\x81\xa6", "\\xe2\\x81\\xa6"},
	    {"\xe2\x80\xa7", "\xe2\x80\xa7"},
	    {"\xe2\x80\xaf", "\xe2\x80\xaf"},
	    /* cut short, by the end and by something else */
	    {"\xc3", "\\xc3"},
	    {"\xe2\x82", "\\xe2\\x82"},
	    {"\xf0\x9f\x98", "\\xf0\\x9f\\x98"},
	    {"\xe2\x82x", "\\xe2\\x82x"},
	    {"\x80\xbf", "\\x80\\xbf"},
	    {"\xc3\xc3\xa9", "\\xc3\xc3\xa9"},
	};
	(void)state;
	char text[128];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t size = strlen(cases[i].in);
		assert_int_equal(escape(cases[i].in, size, 128, text), size);
		assert_string_equal(text, cases[i].out);
	}
	assert_int_equal(escape("a\0b", 3, 128, text), 3);
	assert_string_equal(text, "a\\x00b");
	assert_int_equal(escape("", 0, 128, text), 0);
	assert_string_equal(text, "");
}

static void test_escape_single_bytes(void **state)
{
	(void)state;
	char text[16];
	for (int byte = 0; byte < 256; byte++) {
		uint8_t in = (uint8_t)byte;
		assert_int_equal(escape(&in, 1, 16, text), 1);
		bool plain = (byte >= 0x20 && byte < 0x7f) || byte == '\t';
		assert_int_equal(strlen(text), plain ? 1 : 4);
	}
}

static void test_escape_capacity(void **state)
{
	/* Three ways of needing 12 bytes; nothing is ever cut in the middle. */
	static const struct {
		const char *in;
		size_t step;
	} cases[] = {
	    {"abcdefghijkl", 1}, {"\x01\x02\x03", 4}, {"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", 3}};
	(void)state;
	char text[32];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t capacity = 5; capacity <= 14; capacity++) {
			size_t size = strlen(cases[i].in);
			size_t used = escape(cases[i].in, size, capacity, text);
			size_t room = capacity - 1 < 12 ? capacity - 1 : 12;
			assert_int_equal(strlen(text), room / cases[i].step * cases[i].step);
			assert_int_equal(used, room / cases[i].step * (size * cases[i].step / 12));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_line),
	    cmocka_unit_test(test_rate_burst),
	    cmocka_unit_test(test_rate_average),
	    cmocka_unit_test(test_clock),
	    cmocka_unit_test(test_escape_sequences),
	    cmocka_unit_test(test_escape_single_bytes),
	    cmocka_unit_test(test_escape_capacity),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
