/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiting by a vCPU's page: the ring that fills, sleep and wake-ups, and what there was before the page.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "page.h"

#define POLLS 2 /* of the word "sleeping": whoever posts makes the fd readable */

/* ---- The ring ---- */

static void begin_ring(void)
{
	expect(ASK(MAIN, RESERVE_RANGE, 0, PORT, 0), 0, "the range goes");
	expect(ASK(MAIN, RESERVE_RANGE, 0, PORT, 8, 1), 0, "an async range");
	begin(AT_INIT);
	set_guest_of(HELD);
	resume();
}

static void ring_full(void)
{
	begin_ring();
	for (int i = 0; atomic_load(&page->host.ring) < RING_ENTRIES; i++) {
		if (i == EVENT_DEADLINE_S * 1000)
			problem("the ring does not become full: %u", atomic_load(&page->host.ring));
		usleep(1000);
	}
	usleep(1000);
	expect((int)atomic_load(&page->host.ring), RING_ENTRIES, "entries in a full ring");
	hang();
}

/* `option` is added to the head. */
static void ring_tail(void)
{
	begin_ring();
	for (;;) {
		atomic_store(&page->plugin.ring, atomic_load(&page->host.ring) + (uint32_t)option);
		post();
		usleep(100);
	}
}

/* The tail is where it may be, and everything else about the ring is not. */
static void ring_words(void)
{
	begin_ring();
	for (uint32_t i = 0;; i++) {
		uint32_t head = atomic_load(&page->host.ring);
		page->ring[i % RING_ENTRIES] = (struct ring_entry){
		    .size = random_word(), .at = random_word(), .flags = random_word(), .address = i};
		page->ring_bytes[i % RING_BYTES] = (uint8_t)i;
		atomic_store(&page->plugin.ring, head);
		/* Not each of them is said. */
		if (i % 3)
			post();
	}
}

/* ---- Sleep ---- */

static void swallow(void)
{
	for (;;)
		futex(&page->plugin.sequence, FUTEX_WAIT, atomic_load(&page->plugin.sequence), NULL, NULL);
}

/* Others of ours wait where the host does, and have its wake-ups: nobody but we ourselves is the worse for it. */
static void page_swallow(void)
{
	begin(HELD);
	for (int i = 0; i < 4; i++)
		start_thread(swallow);
	for (;;) {
		resume();
		await_event();
	}
}

static void page_requeue(void)
{
	begin(HELD);
	_Atomic(uint32_t) *other = (_Atomic(uint32_t) *)(void *)page->plugin_message;
	long requeued = 0;
	for (int i = 0; i < EVENT_DEADLINE_S * 1000 && requeued == 0; i++) {
		requeued = futex(&page->plugin.sequence, FUTEX_REQUEUE, 0, (const void *)1000L, other);
		if (requeued < 0)
			break;
		usleep(1000);
	}
	int error = requeued < 0 ? errno : 0;
	if (has_policy()) {
		expect(error, ENOSYS, "to requeue");
		return;
	}
	if (requeued <= 0)
		problem("the host's thread was not requeued: %ld, %s", requeued, strerror(error));
	resume();
	hang();
}

static void page_posts(void)
{
	begin(HELD);
	for (;;)
		post();
}

static void page_silent(void)
{
	begin(HELD);
	hang();
}

/* The host looks for the next answer at once, and whoever should give it stands still. */
static void page_stops_itself(void)
{
	begin(HELD);
	resume();
	raise(SIGSTOP);
	hang();
}

/* "It waits with poll(2)", and it reads nothing. */
static void page_unread(void)
{
	begin(HELD);
	for (uint32_t i = 0; i < 5000; i++) {
		atomic_store(&page->plugin.sleeping, i << 2 | POLLS);
		resume();
		await_event();
	}
}

/* What once was the channel is none any more. */
static void page_packets(void)
{
	begin(HELD);
	fcntl(vcpus[0].requests, F_SETFL, O_NONBLOCK);
	while (send_packet(vcpus[0].requests, "\xff\xff\xff\xff", 4, NULL, 0) == 0)
		;
	for (int i = 0; i < 100; i++) {
		resume();
		await_event();
	}
}

static void page_closed(void)
{
	begin(HELD);
	close(vcpus[0].requests);
	close(vcpus[0].events);
	hang();
}

const struct hostile_case wait_cases[] = {
    {"ring-full", SET_UP, ring_full},       {"ring-tail", SET_UP, ring_tail},
    {"ring-words", SET_UP, ring_words},     {"page-swallow", SET_UP, page_swallow},
    {"page-requeue", SET_UP, page_requeue}, {"page-posts", SET_UP, page_posts},
    {"page-silent", SET_UP, page_silent},   {"page-stops-itself", SET_UP, page_stops_itself},
    {"page-unread", SET_UP, page_unread},   {"page-packets", SET_UP, page_packets},
    {"page-closed", SET_UP, page_closed},   {},
};
