/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin's end of one vCPU's page: what src/plugin does with it, on the thread that the vCPU belongs to; only
 * plugin_end_kick() is for others. Trusts the host not to be malicious, but whatever comes is bounded and checked.
 */
#ifndef PLUGVM_CHANNEL_PLUGIN_END_H
#define PLUGVM_CHANNEL_PLUGIN_END_H

#include "channel/handover.h"
#include "channel/ring.h"

/* How long a wait sleeps before it asks whether the host still lives. */
#define PLUGIN_END_SLEEP_NS UINT64_C(500000000)

struct plugin_end {
	struct vcpu_page *page;
	struct handover handover;
	struct handover_bound bound;
	struct ring_reader ring;
	uint32_t turn;      /* of the plugin's last message */
	uint32_t peer_turn; /* of the host's last one that was taken */
	bool has_event;     /* `event` was taken, and waits for the posted writes before it */
	bool has_entry;     /* the caller has the oldest entry of the ring, `entry` */
	struct page_event event;
	struct ring_entry entry;
};

/* Begin. `is_dead` tells, without blocking, whether the host has gone. */
void plugin_end_init(struct plugin_end *end, struct vcpu_page *page, struct spin_setting setting,
                     bool (*is_dead)(void *context), void *context);

/* Another setting from the next wait on; what was learned is forgotten. */
void plugin_end_set_spin(struct plugin_end *end, struct spin_setting setting);

enum plugin_event_kind {
	PLUGIN_ACCESS,  /* wants a resume */
	PLUGIN_POSTED,  /* a write that wants none */
	PLUGIN_MESSAGE, /* `data` is an encoded VcpuResponse, an event, and wants a resume */
};

struct plugin_event {
	enum plugin_event_kind kind;
	bool is_write, is_mmio; /* of an access */
	uint16_t valid;         /* enum page_set: plugin_end_registers() are the vCPU's */
	int32_t error;          /* the errno of the last resume: this is its event again */
	uint64_t address;
	const uint8_t
	    *data; /* `size` bytes, until the next wait or, of an event, the next request; NULL for a read */
	uint32_t size;
};

#define PLUGIN_END_NO_WAIT UINT64_C(1)

/* Whether the host says that nothing comes any more. */
bool plugin_end_is_closed(const struct plugin_end *end);

/*
 * Wait for an event: posted writes first, as they were before it. `deadline_ns` is of CLOCK_MONOTONIC; 0: none;
 * PLUGIN_END_NO_WAIT: only look.
 *   0           there is one
 *   -EINTR      kicked
 *   -ETIMEDOUT  the deadline has passed
 *   -ECONNRESET the host has gone
 *   -EPROTO     what came makes no sense
 */
int plugin_end_wait(struct plugin_end *end, uint64_t deadline_ns, struct plugin_event *out_event);

/*
 * Resume the vCPU: the bytes that a read or an event gets, at most LIMIT_ACCESS_BYTES; which of plugin_end_registers() were
 * set; which are wanted with the next events.
 */
void plugin_end_resume(struct plugin_end *end, const void *data, uint32_t size, uint16_t set, uint16_t wanted);

/* Send an encoded VcpuRequest, at most LIMIT_VCPU_REQUEST_BYTES, of a vCPU that is stopped at an event. */
void plugin_end_request(struct plugin_end *end, const uint8_t *message, uint32_t size);

/*
 * Wait for its reply, an encoded VcpuResponse, which stays in the page until the next request or resume. Returns as
 * plugin_end_wait(), and after -EINTR it may be called again.
 */
int plugin_end_reply(struct plugin_end *end, const uint8_t **out_message, uint32_t *out_size);

/* Return the place of a set of registers in the page, to read where it is valid and to write before the resume. */
void *plugin_end_registers(struct plugin_end *end, enum page_set set);

/*
 * Before poll(2) on the vCPU's fd: ask the host to make it readable with the next event. Returns true if there is
 * something already, and the host was not asked: then the caller makes it readable.
 */
bool plugin_end_arm(struct plugin_end *end);

/* End a wait of this end, now, at the next time or within PLUGIN_END_SLEEP_NS, once. Any thread. */
void plugin_end_kick(struct plugin_end *end);

#endif
