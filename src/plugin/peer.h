/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The error number in a host's response. Runs in the plugin, on any thread; no state. The host may be of
 * another make, so the number is only believed if it can be one.
 */
#ifndef PLUGVM_PLUGIN_PEER_H
#define PLUGVM_PLUGIN_PEER_H

#include <errno.h>
#include <stdint.h>

/* The kernel's own bound for an errno (MAX_ERRNO of <linux/err.h>). */
#define PEER_ERRNO_MAX 4095

/* Turn the `error` of a response into a return value: 0, the negative errno, or -EPROTO if it is none. */
static inline int peer_errno(int32_t peer_error)
{
	return peer_error < 0 || peer_error > PEER_ERRNO_MAX ? -EPROTO : -peer_error;
}

#endif
