/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Log lines to the embedder's sink, with a limit on how many a peer can cause, and bytes of a peer made harmless.
 * Any thread; a struct rate belongs to one.
 */
#ifndef PLUGVM_BASE_LOG_H
#define PLUGVM_BASE_LOG_H

#include "plugvm.h"

/* Longest line of text that log_line() passes on; the rest of a longer one is cut off. */
#define LOG_TEXT_BYTES 4352

struct log {
	plugvm_log_fn *sink; /* NULL: nothing is logged */
	void *context;
};

void log_line(const struct log *log, enum plugvm_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A token bucket: `per_second` lines on average, `burst` at once. */
struct rate {
	uint32_t per_second;
	uint32_t burst;
	uint64_t tokens_ns; /* the bucket's content as time */
	uint64_t last_ns;
	uint64_t refused; /* since the last one that was let through */
};

void rate_init(struct rate *rate, uint32_t per_second, uint32_t burst);
/*
 * Ask for one line at CLOCK_MONOTONIC `now_ns`. True: go on, and *out_refused tells how many were refused since
 * the last time; false: over the limit.
 */
bool rate_take(struct rate *rate, uint64_t now_ns, uint64_t *out_refused);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_ns(void);

/*
 * Copy as many of the `size` bytes at `in` as fit into `out`, NUL-terminated: printable ASCII, tabs and
 * well-formed UTF-8 (but no C1 controls) as they are, every other byte as \xNN, a backslash as it is. Returns how
 * many bytes of `in` were used; `capacity` is at least 5.
 */
size_t text_escape(char *out, size_t capacity, const uint8_t *in, size_t size);

#endif
