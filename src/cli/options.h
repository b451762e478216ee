/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command line of `plugvm run`.
 */
#ifndef PLUGVM_CLI_OPTIONS_H
#define PLUGVM_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/file_options.h"
#include "cli/limit_options.h"
#include "cli/net.h"
#include "plugvm.h"

/* What plugvm exits with; plugvm(1) lists them. 128 + N: stopped by signal N. */
enum exit_status {
	STATUS_OK = 0,
	STATUS_PLUGIN_FAILED = 1,
	STATUS_USAGE = 2,
	STATUS_ENVIRONMENT = 3,
	STATUS_PLUGIN_KILLED = 4,
	STATUS_GUEST_CRASH = 5,
	STATUS_KVM = 6,
	STATUS_PROTOCOL = 7,
	STATUS_JAIL = 8,
	STATUS_PLUGIN_FILE = 9,
	STATUS_SIGNAL_BASE = 128,
};

enum verbosity { QUIET, NORMAL, VERBOSE };

struct options {
	struct plugvm_machine_config machine; /* stdin_fd and stdout_fd are opened files, or -1 */
	const char *stdin_path;               /* NULL: null or inherit, as the next tell */
	const char *stdout_path;
	bool inherit_stdin;
	bool inherit_stdout;
	bool disable_sandbox;
	enum verbosity verbosity;
	struct net_options net;
	struct limit_options limits;
	struct file_options files;
	char *path;       /* of the plugin, resolved; owned */
	const char **env; /* owned, with strings of the process or owned; NULL-terminated */
	size_t env_count;
};

/*
 * Parse the words after `run`. Returns STATUS_OK, or another status with the reason printed. After `--help` it
 * returns STATUS_OK and path is NULL.
 */
int options_parse(struct options *options, int argc, char **argv);
void options_fini(struct options *options);

void options_print_usage(void);

#endif
