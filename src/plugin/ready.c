/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An fd for poll(2) that tells when a vCPU's channel has something for its reader. Runs in the plugin, on the thread
 * that the vCPU belongs to.
 */
#include "plugin/ready.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"

int ready_open(struct ready *ready, const struct channel *channel)
{
	FD_AUTO buffered = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (buffered < 0)
		return -errno;
	FD_AUTO epoll = sys.epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		return -errno;
	struct epoll_event input = {.events = EPOLLIN};
	struct epoll_event end_only = {.events = 0}; /* EPOLLHUP needs no asking */
	if (sys.epoll_ctl(epoll, EPOLL_CTL_ADD, buffered, &input) < 0 ||
	    sys.epoll_ctl(epoll, EPOLL_CTL_ADD, channel->read_fd, &end_only) < 0)
		return -errno;
	*ready = (struct ready){.is_open = true, .epoll = fd_take(&epoll), .buffered = fd_take(&buffered)};
	return 0;
}

void ready_close(struct ready *ready)
{
	if (!ready->is_open)
		return;
	ready->is_open = false;
	fd_close(&ready->epoll);
	fd_close(&ready->buffered);
}

static void set_buffered(struct ready *ready, bool has_buffered)
{
	uint64_t count = 1;
	ssize_t size = has_buffered ? write(ready->buffered, &count, sizeof(count))
	                            : read(ready->buffered, &count, sizeof(count));
	if (size == (ssize_t)sizeof(count))
		ready->has_buffered = has_buffered;
}

static void set_watches(struct ready *ready, const struct channel *channel, bool watches)
{
	struct epoll_event event = {.events = watches ? EPOLLIN : 0};
	if (sys.epoll_ctl(ready->epoll, EPOLL_CTL_MOD, channel->read_fd, &event) == 0)
		ready->watches = watches;
}

void ready_update(struct ready *ready, struct channel *channel, bool wants_message)
{
	if (!ready->is_open)
		return;
	bool is_ready = wants_message && !channel->broken &&
	                (channel->page ? channel_arm_page(channel) : channel_is_ready(channel));
	bool has_buffered = channel->broken || is_ready;
	if (has_buffered != ready->has_buffered)
		set_buffered(ready, has_buffered);
	if (wants_message != ready->watches)
		set_watches(ready, channel, wants_message);
}
