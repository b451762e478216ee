/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Log lines, their rate, and bytes of a peer made harmless.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_SECOND UINT64_C(1000000000)

void log_line(const struct log *log, enum plugvm_log_level level, const char *format, ...)
{
	if (!log->sink)
		return;
	char line[LOG_TEXT_BYTES];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	log->sink(log->context, level, line);
}

void rate_init(struct rate *rate, uint32_t per_second, uint32_t burst)
{
	memset(rate, 0, sizeof(*rate));
	rate->per_second = per_second;
	rate->burst = burst;
	rate->tokens_ns = burst * (NS_PER_SECOND / per_second);
}

bool rate_take(struct rate *rate, uint64_t now_ns, uint64_t *out_refused)
{
	uint64_t cost = NS_PER_SECOND / rate->per_second;
	uint64_t full = rate->burst * cost;
	uint64_t elapsed = rate->last_ns ? now_ns - rate->last_ns : 0;
	rate->last_ns = now_ns;
	rate->tokens_ns = elapsed > full - rate->tokens_ns ? full : rate->tokens_ns + elapsed;
	if (rate->tokens_ns < cost) {
		rate->refused++;
		return false;
	}
	rate->tokens_ns -= cost;
	*out_refused = rate->refused;
	rate->refused = 0;
	return true;
}

uint64_t clock_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* Returns the length of the well-formed, printable UTF-8 sequence at `in` (RFC 3629), or 0. */
static size_t utf8_length(const uint8_t *in, size_t size)
{
	static const struct {
		uint8_t mask, lead;
		uint32_t least;
	} forms[] = {{0xe0, 0xc0, 0xa0}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

	for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++) {
		if ((in[0] & forms[f].mask) != forms[f].lead)
			continue;
		size_t length = f + 2;
		if (size < length)
			return 0;
		uint32_t code = in[0] & (uint8_t)~forms[f].mask;
		for (size_t i = 1; i < length; i++) {
			if ((in[i] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (in[i] & 0x3f);
		}
		/* Below 0xa0 are the C1 controls; from U+202A and U+2066 on, marks that reorder what is read. */
		bool hidden = (code >= 0xd800 && code <= 0xdfff) || (code >= 0x2028 && code <= 0x202e) ||
		              (code >= 0x2066 && code <= 0x2069) || code > 0x10ffff;
		return code >= forms[f].least && !hidden ? length : 0;
	}
	return 0;
}

size_t text_escape(char *out, size_t capacity, const uint8_t *in, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	size_t used = 0, o = 0;
	while (used < size) {
		uint8_t byte = in[used];
		size_t plain = (byte >= 0x20 && byte < 0x7f) || byte == '\t' ? 1
		                                                             : utf8_length(in + used, size - used);
		size_t room = plain ? plain : 4;
		if (o + room >= capacity)
			break;
		if (plain) {
			memcpy(out + o, in + used, plain);
			used += plain;
		} else {
			out[o] = '\\';
			out[o + 1] = 'x';
			out[o + 2] = hex[byte >> 4];
			out[o + 3] = hex[byte & 0xf];
			used++;
		}
		o += room;
	}
	out[o] = '\0';
	return used;
}
