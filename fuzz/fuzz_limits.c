/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_limits - what the operator gives as --limit, through the parser and through a second one that was written from the
 * manual page alone.
 *
 * Input: the option's text; what follows a zero byte is the text of a second such option.
 */
#include <errno.h>
#include <string.h>

#include "cli/limit_options.h"
#include "fuzz.h"

#define TEXT_MAX 4096

MODEL_BEGIN

struct piece {
	const char *begin, *end;
};

static bool starts(struct piece piece, const char *word)
{
	return (size_t)(piece.end - piece.begin) >= strlen(word) && memcmp(piece.begin, word, strlen(word)) == 0;
}

/* Take the digits off the piece's begin; false if there are none, or if 64 bits cannot say it. */
static bool take_number(struct piece *piece, uint64_t *out_number)
{
	const char *begin = piece->begin;
	unsigned __int128 number = 0;
	for (; piece->begin < piece->end && *piece->begin >= '0' && *piece->begin <= '9'; piece->begin++) {
		if (number <= UINT64_MAX)
			number = number * 10 + (unsigned)(*piece->begin - '0');
	}
	*out_number = (uint64_t)number;
	return piece->begin > begin && number <= UINT64_MAX;
}

static bool model_size(struct piece piece, uint64_t *out_value)
{
	static const char units[] = "kmgtKMGT";
	if (!take_number(&piece, out_value) || piece.end - piece.begin > 1)
		return false;
	if (piece.begin == piece.end)
		return true;
	const char *unit = memchr(units, *piece.begin, 8);
	if (!unit)
		return false;
	unsigned __int128 size = *out_value;
	for (long i = (unit - units) % 4; i >= 0; i--)
		size *= 1024;
	*out_value = (uint64_t)size;
	return size <= UINT64_MAX;
}

static bool model_share(struct piece piece, uint64_t *out_percent)
{
	uint64_t whole, tenths = 0, hundredths = 0;
	if (!take_number(&piece, &whole) || whole > UINT32_MAX)
		return false;
	size_t left = (size_t)(piece.end - piece.begin);
	if (left == 1 && piece.begin[0] == '%') {
		*out_percent = whole;
		return true;
	}
	if (left == 1 || left > 3 || (left > 0 && piece.begin[0] != '.'))
		return false;
	for (size_t i = 1; i < left; i++) {
		if (piece.begin[i] < '0' || piece.begin[i] > '9')
			return false;
	}
	if (left > 1)
		tenths = (uint64_t)(piece.begin[1] - '0');
	if (left > 2)
		hundredths = (uint64_t)(piece.begin[2] - '0');
	*out_percent = whole * 100 + tenths * 10 + hundredths;
	return true;
}

static bool model_word(uint64_t values[PLUGVM_LIMIT_COUNT], struct piece piece)
{
	static const char *const names[PLUGVM_LIMIT_COUNT] = {
	    [PLUGVM_LIMIT_MEMORY] = "memory=",
	    [PLUGVM_LIMIT_PIDS] = "pids=",
	    [PLUGVM_LIMIT_FDS] = "fds=",
	    [PLUGVM_LIMIT_CPU] = "cpu=",
	};
	for (int i = 0; i < PLUGVM_LIMIT_COUNT; i++) {
		uint64_t value;
		bool is_right;
		if (!starts(piece, names[i]))
			continue;
		piece.begin += strlen(names[i]);
		if (i == PLUGVM_LIMIT_MEMORY)
			is_right = model_size(piece, &value);
		else if (i == PLUGVM_LIMIT_CPU)
			is_right = model_share(piece, &value);
		else
			is_right = take_number(&piece, &value) && piece.begin == piece.end;
		if (!is_right || value == 0)
			return false;
		values[i] = value;
		return true;
	}
	return false;
}

/* What was right before the first mistake does not count: the program ends. */
static bool model_option(uint64_t values[PLUGVM_LIMIT_COUNT], const char *text)
{
	for (struct piece piece = {.begin = text};; piece.begin = piece.end + 1) {
		piece.end = piece.begin + strcspn(piece.begin, ",");
		if (!model_word(values, piece))
			return false;
		if (*piece.end == '\0')
			return true;
	}
}

static void check_error(const struct plugvm_error *error, int result)
{
	REQUIRE(result == -EINVAL && error->code == EINVAL && error->kind == PLUGVM_ERROR_CONFIG);
	REQUIRE(strncmp(error->text, "--limit ", strlen("--limit ")) == 0);
	for (const char *c = error->text; *c; c++)
		REQUIRE((unsigned char)*c >= ' ' && *c != 0x7f);
}

MODEL_END

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[TEXT_MAX + 2];
	struct limit_options limits = {.values = {0}};
	uint64_t wanted[PLUGVM_LIMIT_COUNT] = {0};
	if (size > TEXT_MAX)
		return 0;
	memset(text + size, 0, 2);
	if (size > 0)
		memcpy(text, data, size);
	const char *option = text;
	for (int i = 0; i < 2; i++) {
		struct plugvm_error error = {0};
		bool is_right = model_option(wanted, option);
		int result = limit_options_add(&limits, option, &error);
		REQUIRE((result == 0) == is_right);
		if (result < 0) {
			check_error(&error, result);
			return 0;
		}
		REQUIRE(memcmp(limits.values, wanted, sizeof(wanted)) == 0);
		option += strlen(option) + 1;
	}
	return 0;
}
