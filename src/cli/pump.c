/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copies between the operator's stdio and the plugin's.
 */
#include "cli/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/capabilities.h"
#include "base/fd.h"
#include "base/log.h"

#define CHUNK_BYTES     4096
#define DRAIN_SECONDS   2
#define UTF8_TAIL_BYTES 3

static bool write_all(int fd, const void *data, size_t size)
{
	while (size > 0) {
		ssize_t written = write(fd, data, size);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		data = (const char *)data + written;
		size -= (size_t)written;
	}
	return true;
}

/* Write one piece without a newline, escaped. */
static bool write_escaped(int fd, const uint8_t *data, size_t size)
{
	char text[CHUNK_BYTES * 4 + 1];
	size_t used = text_escape(text, sizeof(text), data, size);
	return used == size && write_all(fd, text, strlen(text));
}

/*
 * Write a chunk for a terminal: newlines and carriage returns as they are, the rest escaped. Returns how many
 * bytes it kept for the next time (moved to the front), because a character may go on there; -1 if the reader is
 * gone.
 */
static ssize_t write_for_terminal(int fd, uint8_t *data, size_t size)
{
	size_t tail = 0;
	while (tail < UTF8_TAIL_BYTES && tail < size && data[size - 1 - tail] >= 0x80)
		tail++;
	size_t end = size - tail;
	size_t begin = 0;
	for (size_t i = 0; i <= end; i++) {
		if (i < end && data[i] != '\n' && data[i] != '\r')
			continue;
		if (!write_escaped(fd, data + begin, i - begin) || (i < end && !write_all(fd, data + i, 1)))
			return -1;
		begin = i + 1;
	}
	memmove(data, data + end, tail);
	return (ssize_t)tail;
}

/* Close the pump's own end of the pipe; the other is the operator's stdio and stays open. */
static void close_pipe_end(struct pump *pump)
{
	if (pump->from > STDERR_FILENO)
		fd_close(&pump->from);
	if (pump->to > STDERR_FILENO)
		fd_close(&pump->to);
}

static void *pump_thread(void *argument)
{
	struct pump *pump = argument;
	uint8_t chunk[CHUNK_BYTES];
	size_t kept = 0;
	capabilities_drop(); /* what the process gives up later, this thread would keep */
	for (;;) {
		ssize_t size = read(pump->from, chunk + kept, sizeof(chunk) - kept);
		if (size < 0 && errno == EINTR)
			continue;
		if (size <= 0)
			break;
		ssize_t left = 0;
		if (pump->escape)
			left = write_for_terminal(pump->to, chunk, kept + (size_t)size);
		else if (!write_all(pump->to, chunk, (size_t)size))
			left = -1;
		if (left < 0)
			break;
		kept = (size_t)left;
	}
	if (kept > 0)
		write_escaped(pump->to, chunk, kept);
	close_pipe_end(pump); /* so that the plugin sees the end */
	return NULL;
}

static int start_thread(struct pump *pump)
{
	/* The operator's Ctrl-C is for the main thread. */
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int error = pthread_create(&pump->thread, NULL, pump_thread, pump);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pump->running = error == 0;
	return -error;
}

int pump_input(struct pump *pump, int fd)
{
	int pipe_fds[2];
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	*pump = (struct pump){.from = fd, .to = pipe_fds[1], .plugin_end = pipe_fds[0]};
	return start_thread(pump);
}

int pump_output(struct pump *pump, int fd)
{
	int pipe_fds[2];
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	*pump = (struct pump){.from = pipe_fds[0], .to = fd, .plugin_end = pipe_fds[1], .escape = isatty(fd)};
	return start_thread(pump);
}

void pump_fini(struct pump *pump)
{
	if (!pump->running)
		return;
	bool is_input = pump->from == STDIN_FILENO;
	fd_close(&pump->plugin_end);
	if (!is_input) {
		struct timespec deadline;
		clock_gettime(CLOCK_REALTIME, &deadline);
		deadline.tv_sec += DRAIN_SECONDS;
		pump->running = pthread_timedjoin_np(pump->thread, NULL, &deadline) != 0;
	}
	if (pump->running) {
		pthread_cancel(pump->thread);
		pthread_join(pump->thread, NULL);
		pump->running = false;
	}
	close_pipe_end(pump);
}
