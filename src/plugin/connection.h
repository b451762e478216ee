/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A main connection: one request out, its one response back. Runs in the plugin, on the thread that the
 * connection belongs to. Trusts the host not to be malicious, but it may die at any moment or be an older
 * one: a response is believed only after it was checked.
 */
#ifndef PLUGVM_PLUGIN_CONNECTION_H
#define PLUGVM_PLUGIN_CONNECTION_H

#include <stddef.h>
#include <stdint.h>

#include "plugin/machine.h"
#include "wire/codec.h"
#include "wire/limits.h"

struct crosvm {
	int socket;
	int broken; /* 0, or the negative errno of this and every later call */
	struct machine *machine;
	/* Pages that no response ever reached cost nothing. */
	uint8_t response[LIMIT_RESPONSE_BYTES];
};

/*
 * Send a request, with *sent_fd along unless that pointer is NULL (the fd stays the caller's), and wait for
 * the response. On success exactly `fd_count` fds are in out_fds and belong to the caller, the response is
 * the request's own, and its `bytes` are valid until the next call. On failure no fd is held. Restarts when a
 * signal interrupts it. Returns the host's errno if it refused, or:
 *   -ECONNRESET  the host hung up; from then on for ever
 *   -EPROTO      not an answer to this request, or not with these fds
 *   -EMFILE      this process has no number left for an fd that the host sent
 *   -E2BIG       longer than the host takes; nothing was sent
 */
int connection_call(struct crosvm *connection, const wire_MainRequest *request, const int *sent_fd, int *out_fds,
                    size_t fd_count, wire_MainResponse *out_response);

/* The same for a request without fds whose response has a repeated field: its elements go to `elements`. */
int connection_query(struct crosvm *connection, const wire_MainRequest *request, const struct wire_arena *elements,
                     wire_MainResponse *out_response);

/* The same for a request that has neither fds nor anything in its response. */
int connection_command(struct crosvm *connection, const wire_MainRequest *request);

/* The same for a request whose response has nothing but fds, at most `capacity`; *out_count says how many. */
int connection_fetch_fds(struct crosvm *connection, const wire_MainRequest *request, int *out_fds, size_t capacity,
                         size_t *out_count);

/* Begin a call that the host must have one of CROSVM_FEATURE_* for: 0, -ENOTTY, or why the connection is broken. */
int connection_need(const struct crosvm *connection, uint64_t feature);

#endif
