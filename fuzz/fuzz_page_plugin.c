/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_page_plugin - the client library's end of a vCPU's page, against a host that writes anything into it.
 *
 * Input: a byte of the library's next call, then what the host does before it and at each of its sleeps: page_answer().
 */
#include <errno.h>
#include <string.h>

#include "channel/calls.h"
#include "channel/plugin_end.h"
#include "page.h"

#define CALLS_MAX 64

static struct plugin_end end;
static uint8_t bytes[LIMIT_VCPU_REQUEST_BYTES];
static volatile uint8_t sum;

static void kick(void)
{
	plugin_end_kick(&end);
}

static bool is_dead(void *context)
{
	(void)context;
	return false;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	page_install(kick);
	return 0;
}

/* A host: by the book but for what it says, or not. */
void page_answer(struct input *input)
{
	uint8_t kind = input_byte(input);
	if (kind & 0x80) {
		page_lie(input, offsetof(struct vcpu_page, host));
		return;
	}
	if (kind & 1) {
		/* Posted writes. */
		struct ring_entry *entry = &page->ring[page->host.ring % RING_ENTRIES];
		entry->size = input_byte(input) | (kind & 2 ? input_byte(input) << 8 : 0);
		entry->at = kind & 4 ? input_byte(input) << 8 : 0;
		page->host.ring += kind & 8 ? input_byte(input) : 1;
	} else {
		page->event = (struct page_event){
		    .kind = input_byte(input) % 5,
		    .flags = kind >> 1 & 3,
		    .error = kind & 8 ? (int8_t)input_byte(input) : 0,
		    .size = input_byte(input) | (uint32_t)input_byte(input) << 8,
		    .ring_head = page->host.ring + (kind & 0x10 ? input_byte(input) : 0),
		};
		page->host.turn = page_next_turn(end.peer_turn);
	}
	page->host.sequence++;
}

/* Every byte that it shows is in the page or in the end itself. */
static void use(const uint8_t *data, uint32_t size, uint32_t most)
{
	REQUIRE(size <= most);
	for (uint32_t i = 0; data && i < size; i++)
		sum += data[i];
}

static int operate(struct input *input)
{
	uint8_t call = input_byte(input);
	struct plugin_event event = {0};
	const uint8_t *reply;
	uint32_t size;
	int result;
	if (call & 0x40)
		page_answer(input);
	switch (call & 7) {
	case 0:
		plugin_end_resume(&end, bytes, call & 8 ? 4 : LIMIT_ACCESS_BYTES, PAGE_REGS, PAGE_SETS);
		return 0;
	case 1:
		plugin_end_request(&end, bytes, 16u << (call >> 3 & 7));
		result = plugin_end_reply(&end, &reply, &size);
		if (result == 0)
			use(reply, size, LIMIT_VCPU_RESPONSE_BYTES);
		return result;
	case 2:
		plugin_end_arm(&end);
		return 0;
	default:
		result = plugin_end_wait(&end,
		                         call & 8    ? PLUGIN_END_NO_WAIT
		                         : call & 16 ? page_now_ns + 10000000
		                                     : 0,
		                         &event);
		if (result == 0) {
			REQUIRE(event.size > 0 && event.error >= 0);
			REQUIRE(event.data || (event.kind == PLUGIN_ACCESS && !event.is_write));
			use(event.data, event.size,
			    event.kind == PLUGIN_MESSAGE ? LIMIT_VCPU_RESPONSE_BYTES : LIMIT_ACCESS_BYTES);
		}
		return result;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	page_begin(&input);
	plugin_end_init(&end, page, (struct spin_setting){SPIN_FIXED, 0}, is_dead, NULL);
	for (int i = 0; i < CALLS_MAX && input.size > 0; i++) {
		int result = operate(&input);
		REQUIRE(result == 0 || result == -EPROTO || result == -EINTR || result == -ETIMEDOUT ||
		        result == -ECONNRESET);
		if (result < 0 && result != -ETIMEDOUT)
			break;
	}
	return 0;
}
