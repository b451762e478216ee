/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin's end of one vCPU's page.
 */
#include "channel/plugin_end.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

void plugin_end_init(struct plugin_end *end, struct vcpu_page *page, struct spin_setting setting,
                     bool (*is_dead)(void *context), void *context)
{
	memset(end, 0, sizeof(*end));
	end->page = page;
	end->bound = (struct handover_bound){PLUGIN_END_SLEEP_NS, is_dead, context};
	handover_init(&end->handover, &page->plugin, &page->host, setting, &end->bound);
	ring_reader_init(&end->ring, page);
}

void plugin_end_set_spin(struct plugin_end *end, struct spin_setting setting)
{
	spin_init(&end->handover.spin, setting);
}

/* Returns 1 and takes the host's message, 0 if there is none, -EPROTO if its turn is none. */
static int take_turn(struct plugin_end *end, struct page_event *out_event)
{
	/* Pairs with post_turn() of the host. */
	uint32_t turn = atomic_load_explicit(&end->page->host.turn, memory_order_acquire);
	if (turn == end->peer_turn)
		return 0;
	end->peer_turn = page_next_turn(end->peer_turn);
	if (turn != end->peer_turn)
		return -EPROTO;
	page_take(out_event, &end->page->event, sizeof(*out_event));
	return 1;
}

static int take_event(struct plugin_end *end)
{
	int result = take_turn(end, &end->event);
	if (result <= 0)
		return result;
	uint32_t most = end->event.kind == PAGE_ACCESS    ? LIMIT_ACCESS_BYTES
	                : end->event.kind == PAGE_MESSAGE ? LIMIT_VCPU_RESPONSE_BYTES
	                                                  : 0;
	if (end->event.size == 0 || end->event.size > most || end->event.error < 0)
		return -EPROTO;
	end->has_event = true;
	return 0;
}

static void show_entry(const struct plugin_end *end, struct plugin_event *out_event)
{
	const struct ring_entry *entry = &end->entry;
	*out_event = (struct plugin_event){
	    .kind = PLUGIN_POSTED,
	    .is_write = true,
	    .is_mmio = entry->flags & PAGE_IS_MMIO,
	    .address = entry->address,
	    .data = entry->size > PAGE_VALUE_BYTES ? end->page->ring_bytes + entry->at
	                                           : (const uint8_t *)&entry->value,
	    .size = entry->size,
	};
}

static void show_event(const struct plugin_end *end, struct plugin_event *out_event)
{
	const struct page_event *event = &end->event;
	*out_event = (struct plugin_event){
	    .kind = event->kind == PAGE_MESSAGE ? PLUGIN_MESSAGE : PLUGIN_ACCESS,
	    .is_write = event->flags & PAGE_IS_WRITE,
	    .is_mmio = event->flags & PAGE_IS_MMIO,
	    .valid = event->valid,
	    .error = event->error,
	    .address = event->address,
	    .size = event->size,
	};
	if (out_event->kind == PLUGIN_MESSAGE)
		out_event->data = end->page->host_message;
	else if (out_event->is_write)
		out_event->data = event->size > PAGE_VALUE_BYTES ? end->page->data
		                                                 : (const uint8_t *)&event->value;
}

/* Returns 1 with what comes next, 0 if nothing has come, or -EPROTO. */
static int take_next(struct plugin_end *end, struct plugin_event *out_event)
{
	int result = end->has_event ? 0 : take_event(end);
	if (result < 0)
		return result;
	/* The event after what was posted before it. */
	uint32_t head = end->has_event ? end->event.ring_head : ring_head(&end->ring);
	result = ring_get(&end->ring, head, &end->entry);
	if (result < 0)
		return result;
	if (result > 0) {
		end->has_entry = true;
		show_entry(end, out_event);
		return 1;
	}
	if (!end->has_event)
		return 0;
	end->has_event = false;
	show_event(end, out_event);
	return 1;
}

/* The caller has done with the entry that it got last. */
static void release_entry(struct plugin_end *end)
{
	if (!end->has_entry)
		return;
	end->has_entry = false;
	if (ring_release(&end->ring, end->entry.size))
		handover_post(&end->handover);
}

bool plugin_end_is_closed(const struct plugin_end *end)
{
	return atomic_load_explicit(&end->page->host.spin_ns, memory_order_relaxed) == SPIN_WORD_CLOSED;
}

static int wait_for_host(struct plugin_end *end, uint64_t deadline_ns)
{
	/* Pairs with host_end_close(). */
	end->handover.limit = atomic_load(&end->page->host.spin_ns);
	if (end->handover.limit == SPIN_WORD_CLOSED)
		return -ECONNRESET;
	return handover_wait(&end->handover, deadline_ns);
}

int plugin_end_wait(struct plugin_end *end, uint64_t deadline_ns, struct plugin_event *out_event)
{
	release_entry(end);
	for (;;) {
		handover_look(&end->handover);
		int result = take_next(end, out_event);
		if (result != 0)
			return result < 0 ? result : 0;
		if (deadline_ns == PLUGIN_END_NO_WAIT)
			return -ETIMEDOUT;
		result = wait_for_host(end, deadline_ns);
		if (result < 0)
			return result;
	}
}

static void post_turn(struct plugin_end *end, const struct page_answer *answer)
{
	end->page->answer = *answer;
	ring_publish_tail(&end->ring);
	end->turn = page_next_turn(end->turn);
	/* Pairs with has_turn() of the host. */
	atomic_store_explicit(&end->page->plugin.turn, end->turn, memory_order_release);
	handover_post(&end->handover);
}

void plugin_end_resume(struct plugin_end *end, const void *data, uint32_t size, uint16_t set, uint16_t wanted)
{
	assert(size <= LIMIT_ACCESS_BYTES);
	struct page_answer answer = {.kind = PAGE_RESUME, .set = set, .wanted = wanted, .size = size};
	if (size > PAGE_VALUE_BYTES)
		memcpy(end->page->data, data, size);
	else if (size > 0)
		page_copy_access(&answer.value, data, size);
	post_turn(end, &answer);
}

void plugin_end_request(struct plugin_end *end, const uint8_t *message, uint32_t size)
{
	assert(size <= LIMIT_VCPU_REQUEST_BYTES);
	memcpy(end->page->plugin_message, message, size);
	post_turn(end, &(struct page_answer){.kind = PAGE_REQUEST, .size = size});
}

int plugin_end_reply(struct plugin_end *end, const uint8_t **out_message, uint32_t *out_size)
{
	struct page_event reply;
	for (;;) {
		handover_look(&end->handover);
		int result = take_turn(end, &reply);
		if (result > 0) {
			if (reply.kind != PAGE_REPLY || reply.size > LIMIT_VCPU_RESPONSE_BYTES)
				return -EPROTO;
			*out_message = end->page->host_message;
			*out_size = reply.size;
			return 0;
		}
		if (result == 0)
			result = wait_for_host(end, 0);
		if (result < 0)
			return result;
	}
}

void *plugin_end_registers(struct plugin_end *end, enum page_set set)
{
	size_t size;
	return page_registers_find(&end->page->registers, set, &size);
}

bool plugin_end_arm(struct plugin_end *end)
{
	release_entry(end);
	handover_look(&end->handover);
	uint32_t turn = atomic_load_explicit(&end->page->host.turn, memory_order_acquire);
	if (end->has_event || turn != end->peer_turn || ring_head(&end->ring) != end->ring.tail)
		return true;
	return handover_arm(&end->handover);
}

void plugin_end_kick(struct plugin_end *end)
{
	handover_kick(&end->handover);
}
