/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a plugin may write into a vCPU's page: words, turns, answers and requests.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <unistd.h>

#include "page.h"

/* ---- Words ---- */

static bool is_in(size_t at, size_t offset, size_t size)
{
	return at >= offset && at < offset + size;
}

/* Must it be right, so that the VM goes on? */
static bool is_checked(size_t at)
{
	return is_in(at, offsetof(struct vcpu_page, plugin.turn), 4) ||
	       is_in(at, offsetof(struct vcpu_page, plugin.ring), 4) ||
	       is_in(at, offsetof(struct vcpu_page, answer), sizeof(struct page_answer)) ||
	       /* Nobody but we ourselves looks at this. */
	       is_in(at, offsetof(struct vcpu_page, host.turn), 4);
}

static void flip_words(bool all)
{
	volatile uint32_t *words = (volatile uint32_t *)(void *)page;
	for (uint32_t i = 0;; i++) {
		/* Three of four hit the words of control. */
		size_t end = i % 4 ? 2 * CHANNEL_LINE + sizeof(struct page_registers) : sizeof(*page);
		size_t at = random_word() % (end / 4) * 4;
		if (all || !is_checked(at))
			words[at / 4] = i % 3 ? ~words[at / 4] : random_word();
		if (i % 64 == 0)
			memset(area, (int)i, AREA_HEADER_BYTES);
	}
}

static void flip_unchecked(void)
{
	flip_words(false);
}

static void flip_all(void)
{
	flip_words(true);
}

/* What may be anything is, while accesses are answered. */
static void page_words(void)
{
	begin(HELD);
	start_thread(flip_unchecked);
	for (unsigned i = 0;; i++) {
		answer((struct page_answer){.kind = PAGE_RESUME, .wanted = i / 16 % (PAGE_SETS + 1)});
		if (i % 64 == 0)
			pause_it();
		await_event();
	}
}

static void page_all_words(void)
{
	begin(HELD);
	start_thread(flip_all);
	for (;;)
		take_turn();
}

/* The same where the guest runs, and the host looks now and then. */
static void page_all_words_running(void)
{
	begin(SPINNING);
	start_thread(flip_all);
	for (;;)
		pause_it();
}

/* ---- Turns and answers ---- */

/* `option` is what is added to the turn. */
static void page_turn(void)
{
	begin(HELD);
	page->answer = (struct page_answer){.kind = PAGE_RESUME};
	atomic_store(&page->plugin.turn, my_turn + (uint32_t)option);
	post();
	hang();
}

static void page_early(void)
{
	begin(SPINNING);
	resume();
	pause_it();
	hang();
}

static void page_twice(void)
{
	begin(HELD);
	for (;;)
		resume();
}

static const struct page_answer bad_answers[] = {
    {.kind = 0},
    {.kind = 3},
    {.kind = UINT16_MAX, .set = UINT16_MAX, .wanted = UINT16_MAX, .size = UINT32_MAX},
    {.kind = PAGE_RESUME, .size = LIMIT_ACCESS_BYTES + 1},
    {.kind = PAGE_RESUME, .size = UINT32_MAX},
    {.kind = PAGE_REQUEST, .size = LIMIT_VCPU_REQUEST_BYTES + 1},
    {.kind = PAGE_REQUEST, .size = UINT32_MAX},
    {.kind = PAGE_RESUME, .set = PAGE_SETS + 1},
    {.kind = PAGE_RESUME, .wanted = PAGE_SETS + 1},
    {.kind = PAGE_RESUME, .wanted = 0x8000},
};

static void page_answer(void)
{
	begin(HELD);
	answer(bad_answers[option % (sizeof(bad_answers) / sizeof(bad_answers[0]))]);
	hang();
}

static void page_resume_sizes(void)
{
	static const uint32_t sizes[] = {0, 2, 7, 8, 9, 64, 4096, LIMIT_ACCESS_BYTES};
	begin(HELD_IN);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		answer((struct page_answer){.kind = PAGE_RESUME, .size = sizes[i]});
		await_event();
		expect(event_now().error, EINVAL, "a wrong size for a read of one byte");
	}
	answer((struct page_answer){.kind = PAGE_RESUME, .size = 1});
	await_event();
	expect(event_now().error, 0, "what is due");
}

/* Every combination of what is set and what is wanted, with the vCPU's own registers and with such as cannot be. */
static void page_sets(void)
{
	begin(HELD);
	answer((struct page_answer){.kind = PAGE_RESUME, .wanted = PAGE_SETS});
	await_event();
	for (unsigned i = 0; i <= PAGE_SETS * 16 + 15; i++) {
		page->registers.debugregs = (struct kvm_debugregs){.dr7 = 0x400};
		answer((struct page_answer){
		    .kind = PAGE_RESUME, .set = (uint16_t)(i / 16), .wanted = (uint16_t)(i % 16)});
		await_event();
		expect(event_now().error, 0, "registers as they are");
	}
	struct kvm_sregs good = page->registers.sregs;
	memset(&page->registers.sregs, 0xff, sizeof(good));
	for (int i = 0; i < 10; i++) {
		answer((struct page_answer){.kind = PAGE_RESUME, .set = PAGE_REGS | PAGE_SREGS});
		await_event();
		if (event_now().error == 0)
			problem("special registers that cannot be were taken");
	}
	page->registers.sregs = good;
	answer((struct page_answer){.kind = PAGE_RESUME, .set = PAGE_SREGS});
	await_event();
	expect(event_now().error, 0, "special registers that can");
}

/* ---- Requests ---- */

static void request(const struct bytes *message)
{
	memcpy(page->plugin_message, message->data, message->size);
	answer((struct page_answer){.kind = PAGE_REQUEST, .size = (uint32_t)message->size});
}

/* Returns the error of the reply. */
static int ask_in_page(const struct bytes *message)
{
	request(message);
	await_event();
	struct page_event event = event_now();
	expect(event.kind, PAGE_REPLY, "the kind of a reply");
	return event.size <= LIMIT_VCPU_RESPONSE_BYTES ? error_of(page->host_message, event.size) : LOST;
}

static void page_requests(void)
{
	begin(AT_INIT);
	expect(ask_in_page(bytes_new()), ENOTTY, "no request at all");
	expect(ask_in_page(empty_member(WAIT)), EPROTO, "wait");
	expect(ask_in_page(empty_member(99)), ENOTTY, "an unknown request");
	expect(ask_in_page(NUMBERS(VCPU_GET, 99)), EINVAL, "an unknown set");
	expect(ask_in_page(state_of(VCPU_SET, 0, 1)), EINVAL, "registers of one byte");
	expect(ask_in_page(state_of(VCPU_SET, 0, 60000)), EINVAL, "registers that are as long as can be");
	expect(ask_in_page(NUMBERS(VCPU_GET, 0)), 0, "the registers");
}

/* `option`: the member that does not belong here. 0: what is no message. */
static void page_bad_request(void)
{
	begin(HELD);
	struct bytes *message = bytes_new();
	if (option == 0)
		put_blob(message, 3, "\xff\xff\xff", 3);
	else
		message = empty_member((unsigned)option);
	request(message);
	hang();
}

/* A request for a set of state, and behind it a field that nobody knows: it is one with and without. */
static const uint8_t raced[] = {VCPU_GET << 3 | 2, 2, 1 << 3, 0, 15 << 3, 1};
#define RACED_SET  3
#define RACED_LESS 4

static void flip_request(void)
{
	volatile uint8_t *message = page->plugin_message;
	volatile uint32_t *size = &page->answer.size;
	for (uint32_t i = 0;; i++) {
		message[RACED_SET] = (uint8_t)(i % 8);
		*size = i % 2 ? sizeof(raced) : RACED_LESS;
	}
}

static void page_request_race(void)
{
	begin(HELD);
	memcpy(page->plugin_message, raced, sizeof(raced));
	page->answer = (struct page_answer){.kind = PAGE_REQUEST, .size = sizeof(raced)};
	start_thread(flip_request);
	for (;;) {
		take_turn();
		await_event();
	}
}

const struct hostile_case page_cases[] = {
    {"page-words", SET_UP, page_words},
    {"page-all-words", SET_UP, page_all_words},
    {"page-all-words-running", SET_UP, page_all_words_running},
    {"page-turn", SET_UP, page_turn},
    {"page-early", SET_UP, page_early},
    {"page-twice", SET_UP, page_twice},
    {"page-answer", SET_UP, page_answer},
    {"page-resume-sizes", SET_UP, page_resume_sizes},
    {"page-sets", SET_UP, page_sets},
    {"page-requests", SET_UP, page_requests},
    {"page-bad-request", SET_UP, page_bad_request},
    {"page-request-race", SET_UP, page_request_race},
    {},
};
