/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vCPU channel: requests out, responses and events in. Runs in the plugin, on the thread that the vCPU
 * belongs to. Either end may be a socket (of our host) or a pipe (of the original one). Trusts the host not to
 * be malicious, but whatever comes is bounded and checked, and when it makes no sense the channel is broken
 * for good: after lost bytes nobody knows any more which response belongs to what.
 */
#ifndef PLUGVM_PLUGIN_CHANNEL_H
#define PLUGVM_PLUGIN_CHANNEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "wire/codec.h"

struct channel_buffers;
struct plugin_end;
struct plugin_event;
struct vcpu_page;

struct channel {
	int write_fd;
	int read_fd;
	bool write_is_socket;
	bool read_is_socket;
	int broken;      /* 0, or the negative errno of this and every later call */
	size_t used;     /* bytes received and not removed yet */
	size_t taken_at; /* the frame that was handed out last, which the next call removes */
	size_t taken_size;
	struct channel_buffers *buffers;
	/* Memory that is shared with the host takes the messages, and read_fd only tells of them. NULL: there is none. */
	struct plugin_end *page;
	atomic_bool hung_up;
};

/*
 * Take over the end to write, fds[0], and the end to read, fds[1], which become -1. On failure they stay the
 * caller's. Returns 0, -ENOMEM or the -errno of fstat(2).
 */
int channel_init(struct channel *channel, int fds[2]);

/* Have it use `page` from now on. Returns 0, -ENOMEM, or -EINVAL: PLUGVM_SPIN in the environment makes no sense. */
int channel_use_page(struct channel *channel, struct vcpu_page *page);

/*
 * With a page: wait for an event, which may be a message, until `deadline` (NULL: for ever), as channel_next(); resume
 * the vCPU: arguments as of plugin_end_resume().
 */
int channel_wait_page(struct channel *channel, const struct timespec *deadline, struct plugin_event *out_event);
void channel_resume_page(struct channel *channel, const void *data, uint32_t size, uint16_t set, uint16_t wanted);

/*
 * With a page, before poll(2) on read_fd: take what it told of earlier events, and have it tell of the next. Returns true
 * if there is one already, of which it will not tell.
 */
bool channel_arm_page(struct channel *channel);

/* Close it. Nobody may be inside another of these functions. */
void channel_fini(struct channel *channel);

/*
 * Free a thread that blocks in another of these functions; that one then returns -ECONNRESET. From any
 * thread, as long as nobody calls channel_fini(). Does nothing to a pipe, for which there is no such means.
 */
void channel_hang_up(struct channel *channel);

/* Break the channel: this call and every later one return `error`. */
int channel_break(struct channel *channel, int error);

/*
 * Send a request. Blocks while the peer has no room; restarts when a signal interrupts it; raises no SIGPIPE.
 * Returns 0 or -errno (-ECONNRESET: the host is gone), after which the channel is broken.
 */
int channel_send(struct channel *channel, const wire_VcpuRequest *request);

/*
 * Take the oldest message: of all, or of those that are no event, while the events before it stay for
 * channel_next(). Blocks until there is one, or until `deadline` of CLOCK_MONOTONIC (NULL: for ever); restarts when a
 * signal interrupts it. Repeated elements go to `elements` (NULL: nowhere), `bytes` of the message are valid until the
 * next call. Returns 0; or -EAGAIN if the deadline passed, and what had come of a message stays; or another negative
 * errno, after which the channel is broken:
 *   -ECONNRESET  the host is gone
 *   -EPROTO      what came is no message, is longer than LIMIT_VCPU_RESPONSE_BYTES or brings fds; or more
 *                events came unasked than are kept
 */
int channel_next(struct channel *channel, const struct timespec *deadline, const struct wire_arena *elements,
                 wire_VcpuResponse *out_response);
int channel_next_reply(struct channel *channel, const struct wire_arena *elements,
                       wire_VcpuResponse *out_response);

/* True for the messages that come unasked. */
static inline bool channel_is_event(const wire_VcpuResponse *response)
{
	return response->which_message == wire_VcpuResponse_wait_tag ||
	       response->which_message == wire_VcpuResponse_event_tag;
}

/* True if channel_next() would return without looking at the channel: it is broken, or a message is here already. */
bool channel_is_ready(const struct channel *channel);

#endif
