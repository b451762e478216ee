/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copies between the operator's stdio and the plugin's, through a pipe, so that the plugin never holds the
 * terminal itself. One thread per direction, since either side may block.
 */
#ifndef PLUGVM_CLI_PUMP_H
#define PLUGVM_CLI_PUMP_H

#include <pthread.h>
#include <stdbool.h>

struct pump {
	bool running;
	pthread_t thread;
	int from; /* owned if the pipe's end */
	int to;
	int plugin_end; /* for the plugin; owned */
	bool escape;    /* make control bytes visible: the copy goes to a terminal */
};

/* Begin to copy the operator's `fd` (0) to a pipe whose read end is pump->plugin_end. Returns 0 or -errno. */
int pump_input(struct pump *pump, int fd);
/* Begin to copy a pipe whose write end is pump->plugin_end to the operator's `fd` (1). */
int pump_output(struct pump *pump, int fd);
/*
 * Close the plugin's end, let what is under way arrive (for at most 2 s, if the reader is slow), and end the
 * thread.
 */
void pump_fini(struct pump *pump);

#endif
