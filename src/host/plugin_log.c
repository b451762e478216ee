/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin's stderr, line by line into the log.
 */
#include "host/plugin_log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"

#define SLICE_BYTES 4096
/* As much as a pipe holds by default: a plugin that writes without end must not keep the caller here. */
#define SLICES_PER_TURN 16

int plugin_log_init(struct plugin_log *plugin_log, const struct log *log, int *out_write_end)
{
	memset(plugin_log, 0, sizeof(*plugin_log));
	plugin_log->log = log;
	rate_init(&plugin_log->rate, LIMIT_LOG_LINES_PER_SECOND, LIMIT_LOG_LINES_BURST);
	int ends[2];
	if (sys.pipe2(ends, O_CLOEXEC) < 0) {
		plugin_log->fd = -1;
		return -errno;
	}
	/* The two ends of a pipe have their own file flags: the plugin's stays blocking. */
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) {
		int code = errno;
		fd_close_pair(ends);
		plugin_log->fd = -1;
		return -code;
	}
	plugin_log->fd = ends[0];
	*out_write_end = ends[1];
	return 0;
}

static void emit_line(struct plugin_log *plugin_log)
{
	uint64_t refused;
	if (rate_take(&plugin_log->rate, clock_ns(), &refused)) {
		if (refused > 0)
			log_line(plugin_log->log, PLUGVM_LOG_WARNING, "%llu lines of the plugin were left out",
			         (unsigned long long)refused);
		char text[LIMIT_LOG_LINE_BYTES * 4 + 1];
		_Static_assert(sizeof(text) <= LOG_TEXT_BYTES, "an escaped line goes in whole");
		text_escape(text, sizeof(text), plugin_log->line, plugin_log->used);
		log_line(plugin_log->log, PLUGVM_LOG_PLUGIN, "%s", text);
	}
	plugin_log->used = 0;
}

static void take_byte(struct plugin_log *plugin_log, uint8_t byte)
{
	if (byte == '\n' || plugin_log->used == sizeof(plugin_log->line))
		emit_line(plugin_log);
	if (byte != '\n')
		plugin_log->line[plugin_log->used++] = byte;
}

void plugin_log_drain(struct plugin_log *plugin_log)
{
	uint8_t slice[SLICE_BYTES];
	for (int i = 0; i < SLICES_PER_TURN && plugin_log->fd >= 0; i++) {
		ssize_t size = read(plugin_log->fd, slice, sizeof(slice));
		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0 && errno == EAGAIN)
			return;
		if (size <= 0) {
			fd_close(&plugin_log->fd);
			return;
		}
		for (ssize_t b = 0; b < size; b++)
			take_byte(plugin_log, slice[b]);
	}
}

void plugin_log_fini(struct plugin_log *plugin_log)
{
	plugin_log_drain(plugin_log);
	if (plugin_log->used > 0)
		emit_line(plugin_log);
	if (plugin_log->rate.refused > 0)
		log_line(plugin_log->log, PLUGVM_LOG_WARNING, "%llu lines of the plugin were left out",
		         (unsigned long long)plugin_log->rate.refused);
	plugin_log->rate.refused = 0;
	fd_close(&plugin_log->fd);
}
