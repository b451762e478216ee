/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's end of one vCPU's page.
 */
#include "channel/host_end.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "channel/calls.h"
#include "channel/cpu_x86.h"

/* How often the plugin may post nothing of interest before a wait looks at its deadline itself. */
#define FRUITLESS_POSTS 64

void host_end_init(struct host_end *end, struct vcpu_page *page, struct tokens *tokens)
{
	memset(end, 0, sizeof(*end));
	end->page = page;
	handover_init(&end->handover, &page->host, &page->plugin, tokens->setting, NULL);
	end->handover.nap_ns = HOST_END_NAP_NS;
	ring_writer_init(&end->ring, page);
	token_init(&end->token, tokens);
}

static int post_turn(struct host_end *end, const struct page_event *event)
{
	end->page->event = *event;
	end->turn = page_next_turn(end->turn);
	/* Pairs with has_turn() of the plugin: whoever sees the turn sees what is written before. */
	atomic_store_explicit(&end->page->host.turn, end->turn, memory_order_release);
	return handover_post(&end->handover);
}

/* How long either side may spin until the next time. */
static void publish_limit(struct host_end *end)
{
	uint32_t limit = token_limit(&end->token);
	if (limit == end->handover.limit)
		return;
	end->handover.limit = limit;
	atomic_store_explicit(&end->page->host.spin_ns, limit, memory_order_relaxed);
}

void host_end_prepare(struct host_end *end)
{
	cpu_prefetch_for_write(&end->page->host);
}

/* While the guest runs it is not the plugin's turn. */
static bool has_spoken(const struct host_end *end)
{
	return atomic_load_explicit(&end->page->plugin.turn, memory_order_relaxed) != end->peer_turn;
}

int host_end_access(struct host_end *end, const struct host_access *access)
{
	assert(access->size > 0 && access->size <= LIMIT_ACCESS_BYTES);
	struct page_event event = {
	    .kind = PAGE_ACCESS,
	    .flags = access->flags,
	    .valid = access->valid,
	    .error = access->error,
	    .size = access->size,
	    .ring_head = end->ring.head,
	    .address = access->address,
	};
	if (has_spoken(end))
		return -EPROTO;
	if (access->flags & PAGE_IS_WRITE) {
		bool is_long = access->size > PAGE_VALUE_BYTES;
		page_copy_access(is_long ? end->page->data : (uint8_t *)&event.value, access->data, access->size);
	}
	publish_limit(end);
	return post_turn(end, &event);
}

static int post_message(struct host_end *end, const uint8_t *message, size_t size, struct page_event event)
{
	assert(size <= LIMIT_VCPU_RESPONSE_BYTES);
	memcpy(end->page->host_message, message, size);
	event.size = (uint32_t)size;
	event.ring_head = end->ring.head;
	return post_turn(end, &event);
}

int host_end_message(struct host_end *end, const uint8_t *message, size_t size, uint16_t valid, int32_t error)
{
	if (has_spoken(end))
		return -EPROTO;
	publish_limit(end);
	return post_message(end, message, size,
	                    (struct page_event){.kind = PAGE_MESSAGE, .valid = valid, .error = error});
}

int host_end_reply(struct host_end *end, const uint8_t *message, size_t size)
{
	return post_message(end, message, size, (struct page_event){.kind = PAGE_REPLY});
}

/* Returns 1 if the plugin has posted its message, 0 if not yet, -EPROTO if its turn is none. */
static int has_turn(const struct host_end *end)
{
	uint32_t peer_turn = atomic_load_explicit(&end->page->plugin.turn, memory_order_acquire);
	if (peer_turn == page_next_turn(end->peer_turn))
		return 1;
	return peer_turn == end->peer_turn ? 0 : -EPROTO;
}

static int take_answer(struct host_end *end, struct page_answer *out_answer)
{
	end->peer_turn = page_next_turn(end->peer_turn);
	struct page_answer peer_answer;
	page_take(&peer_answer, &end->page->answer, sizeof(peer_answer));
	uint32_t most = peer_answer.kind == PAGE_RESUME    ? LIMIT_ACCESS_BYTES
	                : peer_answer.kind == PAGE_REQUEST ? LIMIT_VCPU_REQUEST_BYTES
	                                                   : 0;
	if (most == 0 || peer_answer.size > most || (peer_answer.set | peer_answer.wanted) & ~PAGE_SETS)
		return -EPROTO;
	*out_answer = peer_answer;
	return 0;
}

/* A plugin that posts without end must not put the deadline off, nor have this side spin on and on for nothing. */
static int wait_for_plugin(struct host_end *end, uint64_t deadline_ns, unsigned int round)
{
	if (round % FRUITLESS_POSTS == FRUITLESS_POSTS - 1) {
		end->handover.limit = 0;
		if (deadline_ns && channel_calls.clock_ns() >= deadline_ns)
			return -ETIMEDOUT;
	}
	return handover_wait(&end->handover, deadline_ns);
}

int host_end_await(struct host_end *end, uint64_t deadline_ns, struct page_answer *out_answer)
{
	for (unsigned int round = 0;; round++) {
		handover_look(&end->handover);
		int result = has_turn(end);
		if (result == 1)
			return take_answer(end, out_answer);
		if (result == 0)
			result = wait_for_plugin(end, deadline_ns, round);
		if (result < 0)
			return result;
	}
}

void host_end_take_data(const struct host_end *end, const struct page_answer *answer, uint8_t *out_data)
{
	assert(answer->size <= LIMIT_ACCESS_BYTES);
	bool is_long = answer->size > PAGE_VALUE_BYTES;
	page_take(out_data, is_long ? end->page->data : (const uint8_t *)&answer->value, answer->size);
}

void host_end_take_message(const struct host_end *end, const struct page_answer *answer, uint8_t *out_message)
{
	assert(answer->size <= LIMIT_VCPU_REQUEST_BYTES);
	page_take(out_message, end->page->plugin_message, answer->size);
}

void host_end_put_registers(struct host_end *end, enum page_set set, const void *registers)
{
	size_t size;
	void *place = page_registers_find(&end->page->registers, set, &size);
	memcpy(place, registers, size);
}

void host_end_take_registers(const struct host_end *end, enum page_set set, void *out_registers)
{
	size_t size;
	const void *place = page_registers_find(&end->page->registers, set, &size);
	page_take(out_registers, place, size);
}

int host_end_posted_write(struct host_end *end, const struct host_access *access, uint64_t deadline_ns)
{
	for (unsigned int round = 0;; round++) {
		handover_look(&end->handover);
		int result = ring_put(&end->ring, access->flags, access->address, access->data, access->size);
		if (result == 0)
			break;
		if (result == -EAGAIN)
			result = wait_for_plugin(end, deadline_ns, round);
		if (result < 0)
			return result;
	}
	publish_limit(end);
	return handover_post(&end->handover);
}

void host_end_close(struct host_end *end)
{
	/* The word first: whoever is woken finds it. */
	atomic_store(&end->page->host.spin_ns, SPIN_WORD_CLOSED);
	handover_alarm(&end->handover);
}

void host_end_kick(struct host_end *end)
{
	handover_kick(&end->handover);
}
