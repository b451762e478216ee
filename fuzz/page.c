/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vCPU's page that one side fuzzes and the other reads.
 */
#include "page.h"

#include <errno.h>
#include <string.h>

#include "channel/calls.h"

struct vcpu_page *page;
uint64_t page_now_ns;

static struct input *lies;
static void (*when_done)(void);

static uint32_t take_word(struct input *input)
{
	uint32_t word = 0;
	for (int i = 0; i < 4; i++)
		word |= (uint32_t)input_byte(input) << 8 * i;
	return word;
}

void page_lie(struct input *input, size_t offset)
{
	uint8_t kind = input_byte(input);
	/* Its control words, of 64 bytes, or anything. */
	size_t place = kind & 1 ? offset + input_byte(input) % 64 / 4 * 4
	                        : (input_byte(input) | (size_t)input_byte(input) << 8) * 4 % sizeof(*page);
	_Atomic(uint32_t) *word = (_Atomic(uint32_t) *)(void *)((uint8_t *)page + place);
	/* What is there and something, or something else. */
	*word = kind & 2 ? *word + input_byte(input) - 128 : take_word(input);
}

static int fake_sleep(uint64_t until_ns)
{
	page_now_ns += 1000;
	if (lies->size == 0) {
		when_done();
		return 0;
	}
	if (until_ns && input_byte(lies) % 8 == 0) {
		page_now_ns += until_ns;
		return -ETIMEDOUT;
	}
	page_answer(lies);
	return 0;
}

static int fake_waitv(struct futex_waitv *words, unsigned int count, uint64_t until_ns)
{
	(void)words;
	(void)count;
	return fake_sleep(until_ns);
}

static int fake_wait(const _Atomic(uint32_t) *word, uint32_t value, uint64_t for_ns)
{
	(void)word;
	(void)value;
	return fake_sleep(for_ns);
}

static void fake_wake(_Atomic(uint32_t) *word, bool is_shared)
{
	(void)word;
	(void)is_shared;
}

static uint64_t fake_clock(void)
{
	return page_now_ns += 100000;
}

static int fake_getcpu(void)
{
	return 0;
}

void page_install(void (*done)(void))
{
	channel_calls.futex_waitv = fake_waitv;
	channel_calls.futex_wait = fake_wait;
	channel_calls.futex_wake = fake_wake;
	channel_calls.clock_ns = fake_clock;
	channel_calls.getcpu = fake_getcpu;
	when_done = done;
	page = aligned_alloc(AREA_PAGE_BYTES, sizeof(*page));
	REQUIRE(page);
}

void page_begin(struct input *input)
{
	memset(page, 0, sizeof(*page));
	page_now_ns = 1000000;
	lies = input;
}
