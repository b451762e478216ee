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
	bool unprivileged;       /* the host is not root: the caller's groups stay */
	const char *mounts[256]; /* what the operator shows beside what the profile has; NULL at the end */
	size_t mount_count;
	const char *setuid_file; /* one that would change the user; NULL: there is none */
	const char *socket;      /* an abstract name that somebody outside listens on */
};
extern struct expectation expected;

/* What a call's number and arguments were. */
struct call {
	const char *name;
	long number;
	long arguments[6];
};

/* One line of the output. */
struct item {
	const char *name;
	void (*check)(void);
	const struct call *call; /* instead of check: one that must end the process, or at least be refused */
	bool may_end;            /* the check may end the process too, and then it holds */
};
extern const struct item identity_items[], file_items[], limit_items[], call_items[];

/* Say what must hold. The first that does not is printed. */
void expect(bool holds, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Say that this cannot be looked at, and why. */
void not_here(const char *reason);
/* Say more of what was found. */
void detail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Expect that a call has failed with one of two errnos. */
void expect_errno(const char *call, long result, int code, int other_code);

/*
 * Has the filter refused a call that has failed with this errno? For calls that the kernel would have answered with
 * another one.
 */
bool is_refusal(int code);

#endif
