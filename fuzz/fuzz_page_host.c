/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_page_host - the host's end of a vCPU's page, against a plugin that writes anything into it.
 *
 * Input: a byte of the host's next call (CALL_..., size), then two of its size, then what the plugin does before it and
 * at each of its sleeps: page_answer().
 */
#include <errno.h>
#include <string.h>

#include "channel/calls.h"
#include "channel/host_end.h"
#include "page.h"

#define CALLS_MAX 64

static struct tokens tokens;
static struct host_end end;
static uint8_t bytes[LIMIT_VCPU_RESPONSE_BYTES], copy[LIMIT_VCPU_REQUEST_BYTES];

static void kick(void)
{
	host_end_kick(&end);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	page_install(kick);
	return 0;
}

/* A plugin: by the book but for what it says, or not. */
void page_answer(struct input *input)
{
	uint8_t kind = input_byte(input);
	if (kind & 0x80) {
		page_lie(input, offsetof(struct vcpu_page, plugin));
		return;
	}
	page->answer.kind = kind & 1 ? PAGE_REQUEST : PAGE_RESUME;
	page->answer.size = input_byte(input) | (uint32_t)input_byte(input) << 8 | (kind & 2 ? 0x10000 : 0);
	page->answer.set = kind & 4 ? input_byte(input) : 0;
	page->answer.wanted = kind & 8 ? input_byte(input) : 0;
	page->plugin.turn = page_next_turn(end.peer_turn);
	if (kind & 0x10)
		page->plugin.ring += input_byte(input);
	page->plugin.sequence++;
}

/* What comes out can be. */
static void use(const struct page_answer *answer)
{
	struct page_answer taken = *answer;
	REQUIRE(taken.kind == PAGE_RESUME || taken.kind == PAGE_REQUEST);
	REQUIRE(!((taken.set | taken.wanted) & ~PAGE_SETS));
	if (taken.kind == PAGE_REQUEST) {
		REQUIRE(taken.size <= LIMIT_VCPU_REQUEST_BYTES);
		host_end_take_message(&end, &taken, copy);
		REQUIRE(host_end_reply(&end, copy, taken.size) >= 0);
		return;
	}
	struct kvm_sregs registers;
	REQUIRE(taken.size <= LIMIT_ACCESS_BYTES);
	host_end_take_data(&end, &taken, copy);
	for (unsigned int set = 1; set < PAGE_SETS; set <<= 1) {
		if (taken.set & set)
			host_end_take_registers(&end, (enum page_set)set, &registers);
	}
}

static int await(uint64_t deadline_ns)
{
	struct page_answer answer;
	int result;
	do {
		result = host_end_await(&end, deadline_ns, &answer);
		if (result == 0)
			use(&answer);
	} while (result == 0 && answer.kind == PAGE_REQUEST);
	return result;
}

static int operate(struct input *input)
{
	uint8_t call = input_byte(input);
	uint32_t size = input_byte(input) | (uint32_t)input_byte(input) << 8;
	uint64_t deadline_ns = call & 0x80 ? page_now_ns + 10000000 : 0;
	struct host_access access = {
	    .flags = call >> 4 & 3,
	    .valid = PAGE_REGS,
	    .address = size,
	    .data = bytes,
	    .size = 1 + size % LIMIT_ACCESS_BYTES,
	};
	if (call & 0x40)
		page_answer(input);
	int result;
	if ((call & 3) == 0) {
		/* At the end nobody makes room any more, and the kick says so. */
		uint32_t head = end.ring.head;
		result = host_end_posted_write(&end, &access, deadline_ns);
		REQUIRE(end.ring.head - end.ring.tail <= RING_ENTRIES);
		REQUIRE(end.ring.head - head == (result >= 0));
		return result;
	}
	result = (call & 3) == 1 ? host_end_message(&end, bytes, size, 0, 0) : host_end_access(&end, &access);
	return result < 0 ? result : await(deadline_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	page_begin(&input);
	tokens_init(&tokens, (struct spin_setting){SPIN_FIXED, 0}, 1, -1);
	host_end_init(&end, page, &tokens);
	for (int i = 0; i < CALLS_MAX && input.size > 0; i++) {
		int result = operate(&input);
		REQUIRE(result >= 0 || result == -EPROTO || result == -EINTR || result == -ETIMEDOUT ||
		        result == -EAGAIN);
		/* The VM ends, or a nap is over after which a plugin that closes its end would be found. */
		if (result < 0)
			break;
	}
	return 0;
}
