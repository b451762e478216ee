/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The --file options: files that the operator opens for the plugin.
 */
#ifndef PLUGVM_CLI_FILE_OPTIONS_H
#define PLUGVM_CLI_FILE_OPTIONS_H

#include "plugvm.h"

/* The plugin's numbers for them begin after its first connection. */
#define FILE_FD_FIRST 4
#define FILES_MAX     64

struct file_options {
	struct plugvm_fd_map fds[FILES_MAX];
	char *variables[FILES_MAX]; /* "PLUGVM_FD_NAME=NUMBER" */
	size_t count;
};

/* Open what "NAME=PATH[:rw]" says. Returns the variable that tells the plugin its number; NULL: *out_wrong says why. */
const char *file_options_add(struct file_options *, const char *text, const char **out_wrong);
/* Close and free. */
void file_options_fini(struct file_options *);

#endif
