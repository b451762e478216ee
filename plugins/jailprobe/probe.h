/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * jailprobe: a plugin that only looks at its jail, from inside, and says item by item whether it holds.
 */
#ifndef JAILPROBE_PROBE_H
#define JAILPROBE_PROBE_H

#include <stdbool.h>
#include <stddef.h>

/* What the caller says of the jail. */
struct expectation {
	bool unprivileged; /* the host is not root: the caller's groups stay */
};
extern struct expectation expected;

/* One line of the output. */
struct item {
	const char *name;
	void (*check)(void);
};
extern const struct item identity_items[], file_items[], limit_items[], call_items[];

/* Say what must hold. The first that does not is printed. */
void expect(bool holds, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Say that this cannot be looked at, and why. */
void not_here(const char *reason);
/* Expect that a call has failed with one of two errnos. */
void expect_errno(const char *call, long result, int code, int other_code);

/* Run a function in a child and return its wait status. Without an end of its own it exits with 0. */
int in_child(void (*run)(const void *), const void *argument);

/* What a call's number and arguments were, for in_child(). */
struct call {
	const char *name;
	long number;
	long arguments[6];
};
/* Expect that a call kills whoever makes it. */
void expect_killed(const struct call *call);

#endif
