/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin's stderr, line by line into the log: escaped, cut to a length, limited in rate. Main thread. The
 * bytes are the plugin's, and so is the far end of the pipe.
 */
#ifndef PLUGVM_HOST_PLUGIN_LOG_H
#define PLUGVM_HOST_PLUGIN_LOG_H

#include "base/log.h"
#include "wire/limits.h"

struct plugin_log {
	int fd; /* read end, non-blocking; -1 at its end */
	const struct log *log;
	struct rate rate;
	uint8_t line[LIMIT_LOG_LINE_BYTES];
	size_t used;
};

/* Make the pipe; *out_write_end is for the plugin and the caller's. Returns 0 or -errno. */
int plugin_log_init(struct plugin_log *plugin_log, const struct log *log, int *out_write_end);
/* Log what has come, a bounded amount; closes at the end of file. */
void plugin_log_drain(struct plugin_log *plugin_log);
/* Log what is left and close. */
void plugin_log_fini(struct plugin_log *plugin_log);

#endif
