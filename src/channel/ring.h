/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Posted writes of one vCPU: a ring of small entries in its page, and a ring of bytes for those that are longer than a word.
 * The host's vCPU thread puts, the plugin's thread of that vCPU gets; indices run freely and belong to one writer each. The
 * host trusts nothing of it: it reads the tail alone, once, and checks it; what it wrote it does not read back.
 *
 * None of these functions wakes anybody: that is handover_post(), after them.
 */
#ifndef PLUGVM_CHANNEL_RING_H
#define PLUGVM_CHANNEL_RING_H

#include <stdbool.h>

#include "channel/layout.h"

struct ring_writer {
	struct vcpu_page *page;
	uint32_t head; /* as published */
	uint32_t tail; /* the plugin's, checked: between the one before and the head */
	uint32_t bytes_head;
	uint32_t bytes_tail;
	uint32_t bytes_ends[RING_ENTRIES]; /* bytes_head after each entry */
};

void ring_writer_init(struct ring_writer *writer, struct vcpu_page *page);

/*
 * Put a write of 1 to LIMIT_ACCESS_BYTES bytes and publish it. Returns 0; -EAGAIN if there is no room, until the plugin has
 * posted something; or -EPROTO if the plugin's tail is none.
 */
int ring_put(struct ring_writer *writer, uint32_t flags, uint64_t address, const uint8_t *data, uint32_t size);

struct ring_reader {
	struct vcpu_page *page;
	uint32_t tail;
	uint32_t published;
	uint32_t bytes; /* of the entries in between */
};

void ring_reader_init(struct ring_reader *reader, struct vcpu_page *page);

/* Return the head now. */
uint32_t ring_head(const struct ring_reader *reader);

/*
 * Get the oldest entry before `head`. Returns 1, 0 if there is none, or -EPROTO if it makes no sense. *out_entry is a copy;
 * the bytes of a long one stay in the page until ring_release().
 */
int ring_get(const struct ring_reader *reader, uint32_t head, struct ring_entry *out_entry);

/*
 * Give the oldest entry back. Returns true if so many were given back that it was published, and the host is to be told.
 * A tail that moves with each entry would take its line away from the host every time.
 */
bool ring_release(struct ring_reader *reader, uint32_t size);

/* Publish the tail along with something else that is posted. */
void ring_publish_tail(struct ring_reader *reader);

#endif
