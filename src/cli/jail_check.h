/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `plugvm jail-check`: is the jail what it should be, here and with these options?
 */
#ifndef PLUGVM_CLI_JAIL_CHECK_H
#define PLUGVM_CLI_JAIL_CHECK_H

#include <stdbool.h>
#include <sys/types.h>

/* Carry out the words from `jail-check` on. Returns an exit status. */
int jail_check(int argc, char **argv);

/* Print a line: "ok NAME: ...", or "not ok NAME: ...", and count those. */
void jail_check_line(bool holds, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* What the operator shows the plugin beside what the profile has, as words for the probe: "mount=PATH". */
struct jail_shown {
	char *words[256];
	size_t count;
};

/* Check what is seen of a plugin from outside, in /proc. */
void jail_outside_check(pid_t pid, bool is_jailed, struct jail_shown *out_shown);

#endif
