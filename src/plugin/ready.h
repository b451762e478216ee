/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An fd for poll(2) that tells when a vCPU's channel has something for its reader. Runs in the plugin, on the thread
 * that the vCPU belongs to. It is an epoll instance over the channel's end to read and over an eventfd, which stands
 * for what the library has read but not handed out.
 */
#ifndef PLUGVM_PLUGIN_READY_H
#define PLUGVM_PLUGIN_READY_H

#include <stdbool.h>

#include "plugin/channel.h"

struct ready {
	bool is_open;
	int epoll;
	int buffered;      /* the eventfd */
	bool has_buffered; /* it is set */
	bool watches;      /* the channel's input counts; its end always does */
};

/* Open a closed one. It is not readable until ready_update(), or until the host is gone. Returns 0 or -errno. */
int ready_open(struct ready *ready, const struct channel *channel);

/* Close it, if it is open. */
void ready_close(struct ready *ready);

/* Follow the channel, if it is open: `wants_message` tells whether a message would be taken now. */
void ready_update(struct ready *ready, struct channel *channel, bool wants_message);

#endif
