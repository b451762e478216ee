/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Posted writes of one vCPU.
 */
#include "channel/ring.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/*
 * The reader publishes its tail when this much is behind it. That leaves the writer room for the longest write even if
 * the reader has got everything and waits, so a full ring always has something to get.
 */
#define TAIL_ENTRIES (RING_ENTRIES / 2)
#define TAIL_BYTES   (RING_BYTES / 4)
_Static_assert(TAIL_BYTES + 3 * LIMIT_ACCESS_BYTES <= RING_BYTES, "room for a write that skips the end");

void ring_writer_init(struct ring_writer *writer, struct vcpu_page *page)
{
	memset(writer, 0, sizeof(*writer));
	writer->page = page;
}

/* Look how far the plugin is. */
static int take_tail(struct ring_writer *writer)
{
	uint32_t peer_tail = atomic_load_explicit(&writer->page->plugin.ring, memory_order_acquire);
	if (peer_tail - writer->tail > writer->head - writer->tail)
		return -EPROTO;
	if (peer_tail != writer->tail)
		writer->bytes_tail = writer->bytes_ends[(peer_tail - 1) % RING_ENTRIES];
	writer->tail = peer_tail;
	return 0;
}

/* Where the bytes of a write can lie: not over the end. */
static uint32_t place_bytes(const struct ring_writer *writer, uint32_t size)
{
	uint32_t left = RING_BYTES - writer->bytes_head % RING_BYTES;
	return size <= left ? writer->bytes_head : writer->bytes_head + left;
}

static bool has_room(const struct ring_writer *writer, uint32_t bytes_end)
{
	return writer->head - writer->tail < RING_ENTRIES && bytes_end - writer->bytes_tail <= RING_BYTES;
}

int ring_put(struct ring_writer *writer, uint32_t flags, uint64_t address, const uint8_t *data, uint32_t size)
{
	assert(size > 0 && size <= LIMIT_ACCESS_BYTES);
	struct ring_entry entry = {.address = address, .size = size, .flags = flags};
	uint32_t at = writer->bytes_head, bytes_end = at;
	if (size > PAGE_VALUE_BYTES) {
		at = place_bytes(writer, size);
		bytes_end = at + size;
	}
	/* The plugin's line is only looked at when it must have moved. */
	if (!has_room(writer, bytes_end)) {
		int error = take_tail(writer);
		if (error)
			return error;
		if (!has_room(writer, bytes_end))
			return -EAGAIN;
	}
	if (size > PAGE_VALUE_BYTES) {
		entry.at = at % RING_BYTES;
		memcpy(writer->page->ring_bytes + entry.at, data, size);
	} else {
		memcpy(&entry.value, data, size);
	}
	uint32_t place = writer->head % RING_ENTRIES;
	writer->page->ring[place] = entry;
	writer->bytes_ends[place] = writer->bytes_head = bytes_end;
	writer->head++;
	/* Pairs with ring_head(), and with the turn of an event that carries the head. */
	atomic_store_explicit(&writer->page->host.ring, writer->head, memory_order_release);
	return 0;
}

void ring_reader_init(struct ring_reader *reader, struct vcpu_page *page)
{
	memset(reader, 0, sizeof(*reader));
	reader->page = page;
}

uint32_t ring_head(const struct ring_reader *reader)
{
	/* Pairs with ring_put(). */
	return atomic_load_explicit(&reader->page->host.ring, memory_order_acquire);
}

int ring_get(const struct ring_reader *reader, uint32_t head, struct ring_entry *out_entry)
{
	uint32_t count = head - reader->tail;
	if (count == 0)
		return 0;
	if (count > RING_ENTRIES)
		return -EPROTO;
	page_take(out_entry, &reader->page->ring[reader->tail % RING_ENTRIES], sizeof(*out_entry));
	if (out_entry->size == 0 || out_entry->size > LIMIT_ACCESS_BYTES ||
	    (out_entry->size > PAGE_VALUE_BYTES && out_entry->at > RING_BYTES - out_entry->size))
		return -EPROTO;
	return 1;
}

void ring_publish_tail(struct ring_reader *reader)
{
	if (reader->published == reader->tail)
		return;
	reader->published = reader->tail;
	reader->bytes = 0;
	/* Pairs with take_tail(): what lies before it may be overwritten. */
	atomic_store_explicit(&reader->page->plugin.ring, reader->tail, memory_order_release);
}

bool ring_release(struct ring_reader *reader, uint32_t size)
{
	reader->tail++;
	reader->bytes += size > PAGE_VALUE_BYTES ? size : 0;
	if (reader->tail - reader->published < TAIL_ENTRIES && reader->bytes < TAIL_BYTES)
		return false;
	ring_publish_tail(reader);
	return true;
}
