/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's end of one vCPU's page: what src/host does with it. All calls are the vCPU thread's, but host_end_kick(). The
 * plugin may have written anything at any moment: what comes out of these functions is copied once and then checked, as
 * far as the channel knows what it means. Handlers check values.
 *
 *     host_end_access() or host_end_message()     an event
 *     host_end_await()                            a request, or the resume
 *     host_end_take_message(), host_end_reply()     a request: serve it, and await again
 *     host_end_take_data(), host_end_take_registers() the resume: apply it, or post the event again with the errno
 *
 * A post that returns 1 asks the caller to make the fd readable on which the plugin waits with poll(2).
 */
#ifndef PLUGVM_CHANNEL_HOST_END_H
#define PLUGVM_CHANNEL_HOST_END_H

#include "channel/handover.h"
#include "channel/ring.h"
#include "channel/tokens.h"

#define HOST_END_NAP_NS UINT64_C(500000000)

struct host_end {
	struct vcpu_page *page;
	struct handover handover;
	struct ring_writer ring;
	struct token token;
	uint32_t turn;      /* of the host's last message */
	uint32_t peer_turn; /* of the plugin's last one that was taken */
};

/* Begin on a page of zeros. `tokens` serves more than this vCPU and must outlive it. */
void host_end_init(struct host_end *end, struct vcpu_page *page, struct tokens *tokens);

/* What the guest does, or did before, where the plugin has refused the registers or KVM those of the plugin. */
struct host_access {
	uint16_t flags; /* enum page_access_flag */
	uint16_t valid; /* enum page_set: host_end_put_registers() was called for these */
	int32_t error;  /* 0, or the errno of the resume that this repeats the event of */
	uint64_t address;
	const uint8_t *data; /* of a write */
	uint32_t size;       /* 1 to LIMIT_ACCESS_BYTES */
};

/*
 * An event will probably be posted next: the line that it goes into comes from the other CPU while the host finds out
 * what it is.
 */
void host_end_prepare(struct host_end *end);

/*
 * Post an event, which the host then awaits the answer of: an access, or a VcpuResponse with any other event, encoded, of
 * up to LIMIT_VCPU_RESPONSE_BYTES. Returns 0 or 1 (see above), or -EPROTO if the plugin has sent something while the
 * vCPU ran.
 */
int host_end_access(struct host_end *end, const struct host_access *access);
int host_end_message(struct host_end *end, const uint8_t *message, size_t size, uint16_t valid, int32_t error);

/* Post the reply to a request. Returns 0 or 1. */
int host_end_reply(struct host_end *end, const uint8_t *message, size_t size);

/*
 * Wait for the plugin's answer. `deadline_ns` is of CLOCK_MONOTONIC; 0: none. Returns 0 with a kind, a size and sets
 * that can be; -EAGAIN after HOST_END_NAP_NS: the caller asks whether the plugin still holds its end; -EINTR if it was
 * kicked: the caller looks why, and may come again; -ETIMEDOUT; -EPROTO; or the errno of the futex.
 */
int host_end_await(struct host_end *end, uint64_t deadline_ns, struct page_answer *out_answer);

/* Copy the resume's bytes. The caller has checked that answer->size is what the event wants. */
void host_end_take_data(const struct host_end *end, const struct page_answer *answer, uint8_t *out_data);

/* Copy the request's message, answer->size bytes: at most LIMIT_VCPU_REQUEST_BYTES. */
void host_end_take_message(const struct host_end *end, const struct page_answer *answer, uint8_t *out_message);

/* Copy one set of registers into the page, before the event, or out of it, which is the only time that it is read. */
void host_end_put_registers(struct host_end *end, enum page_set set, const void *registers);
void host_end_take_registers(const struct host_end *end, enum page_set set, void *out_registers);

/*
 * Post a write that wants no answer; waits while the ring is full, as host_end_await(). Returns 0 or 1 as an event; after
 * -EINTR nothing was posted.
 */
int host_end_posted_write(struct host_end *end, const struct host_access *access, uint64_t deadline_ns);

/*
 * Tell the plugin that nothing comes any more: its waits end. Any thread, or a signal handler. If this vCPU's thread says at
 * that moment how long one may spin, the plugin finds out within PLUGIN_END_SLEEP_NS.
 */
void host_end_close(struct host_end *end);

/* End the wait of this vCPU's thread, now or next time, once. Any thread, or a signal handler. */
void host_end_kick(struct host_end *end);

#endif
