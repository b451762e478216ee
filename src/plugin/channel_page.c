/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vCPU channel whose messages are in memory that is shared with the host (src/channel). Runs in the plugin, on the
 * thread that the vCPU belongs to; only channel_kick_page() comes from others. The host may die at any moment.
 */
#include "plugin/channel_page.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "channel/plugin_end.h"

/* The socket hangs up with the host. */
static bool is_dead(void *context)
{
	const struct channel *channel = context;
	struct pollfd poller = {.fd = channel->read_fd};
	return atomic_load(&channel->hung_up) || (poll(&poller, 1, 0) > 0 && poller.revents & (POLLHUP | POLLERR));
}

int channel_use_page(struct channel *channel, struct vcpu_page *page)
{
	struct spin_setting setting = {.mode = SPIN_AUTO};
	const char *text = getenv("PLUGVM_SPIN");
	int error = text ? spin_parse(text, &setting) : 0;
	if (error)
		return error;
	channel->page = malloc(sizeof(*channel->page));
	if (!channel->page)
		return -ENOMEM;
	plugin_end_init(channel->page, page, setting, is_dead, channel);
	return 0;
}

void channel_free_page(struct channel *channel)
{
	free(channel->page);
	channel->page = NULL;
}

void channel_kick_page(struct channel *channel)
{
	atomic_store(&channel->hung_up, true);
	if (channel->page)
		plugin_end_kick(channel->page);
}

/* Returns 0 to wait again, or the error of this call, which is the channel's unless only a deadline has passed. */
static int wait_failed(struct channel *channel, int error)
{
	if (error == -EINTR)
		return atomic_load(&channel->hung_up) ? channel_break(channel, -ECONNRESET) : 0;
	return error == -ETIMEDOUT ? -EAGAIN : channel_break(channel, error);
}

int channel_wait_page(struct channel *channel, const struct timespec *deadline, struct plugin_event *out_event)
{
	if (channel->broken)
		return channel->broken;
	uint64_t deadline_ns = 0;
	if (deadline)
		deadline_ns = (uint64_t)deadline->tv_sec * 1000000000 + (uint64_t)deadline->tv_nsec;
	int error;
	while ((error = plugin_end_wait(channel->page, deadline_ns, out_event)) < 0) {
		error = wait_failed(channel, error);
		if (error < 0)
			return error;
	}
	return 0;
}

void channel_resume_page(struct channel *channel, const void *data, uint32_t size, uint16_t set, uint16_t wanted)
{
	plugin_end_resume(channel->page, data, size, set, wanted);
}

int channel_page_reply(struct channel *channel, const struct wire_arena *elements, wire_VcpuResponse *out_response)
{
	if (channel->broken)
		return channel->broken;
	const uint8_t *message;
	uint32_t size;
	int error;
	while ((error = plugin_end_reply(channel->page, &message, &size)) < 0) {
		error = wait_failed(channel, error);
		if (error < 0)
			return error;
	}
	return wire_decode_vcpu_response(message, size, elements, out_response) < 0
	           ? channel_break(channel, -EPROTO)
	           : 0;
}

bool channel_arm_page(struct channel *channel)
{
	uint8_t told[16];
	while (recv(channel->read_fd, told, sizeof(told), MSG_DONTWAIT) > 0)
		;
	return plugin_end_arm(channel->page);
}
