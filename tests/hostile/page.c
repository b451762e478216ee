/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory that the vCPUs' messages are in, written by one who means harm. What it looks like is all that is taken from
 * the sources; turns, sequences and futexes are by hand. Cases begin where the memory can still be had, and go on to the
 * state that they are about.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "channel/layout.h"
#include "raw.h"

#define POLLS 2 /* of the word "sleeping": whoever posts makes the fd readable */

#define DEADLINE_S  20
#define SPIN_LOOKS  2000
#define LOOK_US     100
#define CONTROL_END offsetof(struct vcpu_page, data)

static int area_fd = -1;
static uint8_t *area;
static size_t area_size;
static struct vcpu_page *page; /* of vCPU 0 */
static uint32_t my_turn, my_sequence, host_turn;

/* ---- The memory ---- */

static void map_area(void)
{
	struct stat status = {.st_size = 0};
	fstat(area_fd, &status);
	area_size = (size_t)status.st_size;
	area = mmap(NULL, area_size, PROT_READ | PROT_WRITE, MAP_SHARED, area_fd, 0);
	if (area == MAP_FAILED) {
		problem("mapping the area of %zu bytes: %m", area_size);
		hang();
	}
	page = (struct vcpu_page *)(void *)(area + AREA_HEADER_BYTES);
}

static void get_area(void)
{
	ask_for_fds(MAIN, NUMBERS(GET_AREA, AREA_VERSION), 1, &area_fd);
	map_area();
}

static long futex(_Atomic(uint32_t) *word, int operation, uint32_t value, const void *more, void *other)
{
	return syscall(SYS_futex, word, operation, value, more, other, 0);
}

/* Something is new, or not: wake the host. */
static void post(void)
{
	atomic_exchange(&page->plugin.sequence, ++my_sequence);
	futex(&page->plugin.sequence, FUTEX_WAKE, 1, NULL, NULL);
}

/* Take the next turn of ours, with whatever is in the page. */
static void take_turn(void)
{
	my_turn = page_next_turn(my_turn);
	atomic_store(&page->plugin.turn, my_turn);
	post();
}

static void answer(struct page_answer answer)
{
	page->answer = answer;
	take_turn();
}

static void resume(void)
{
	answer((struct page_answer){.kind = PAGE_RESUME});
}

/* Has the host spoken? */
static bool has_event(void)
{
	if (atomic_load(&page->host.turn) == host_turn)
		return false;
	host_turn = page_next_turn(host_turn);
	return true;
}

static void await_event(void)
{
	for (int i = 0; i < SPIN_LOOKS; i++) {
		if (has_event())
			return;
	}
	for (int i = 0; i < DEADLINE_S * 1000000 / LOOK_US; i++) {
		if (has_event())
			return;
		usleep(LOOK_US);
	}
	problem("no event came for %d s", DEADLINE_S);
	hang();
}

static struct page_event event_now(void)
{
	struct page_event event;
	page_take(&event, &page->event, sizeof(event));
	return event;
}

/* The guest runs once it has written what is waited for: until then the host may not have taken the resume. */
static void resume_to_spin(void)
{
	static const uint8_t tell[] = {0x2e, 0xc6, 0x06, 0x00,
	                               0x10, 0x01, 0xeb, 0xfe}; /* mov byte cs:[0x1000], 1; jmp $ */
	volatile uint8_t *told = rom + 0x1000;
	set_guest(tell, sizeof(tell));
	resume();
	for (int i = 0; *told == 0; i++) {
		if (i == DEADLINE_S * 1000)
			problem("the guest does not run");
		usleep(1000);
	}
}

/* Begin at the memory, and go to a state. */
static void begin(enum state state)
{
	get_area();
	set_guest_of(state);
	expect(ask(MAIN, empty_member(START)), 0, "start");
	await_event(); /* INIT */
	if (state == AT_INIT)
		return;
	if (state == SPINNING) {
		resume_to_spin();
		return;
	}
	resume();
	if (state == HELD || state == HELD_IN)
		await_event();
}

/* Have the host look at a vCPU that runs. */
static void pause_it(void)
{
	ASK(MAIN, PAUSE, 1, 1);
}

/* ---- To get it ---- */

static void area_twice(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	expect(ask_fds(MAIN, NUMBERS(GET_AREA, AREA_VERSION), &null, 1), EINVAL, "the area, with an fd");
	expect(ask_fds(MAIN, NUMBERS(GET_AREA, AREA_VERSION), (int[]){null, null, null}, 3), EINVAL, "with three");
	expect(ask(MAIN, NUMBERS(GET_AREA, AREA_VERSION + 1)), ENOTSUP, "of another version");
	get_area();
	for (int i = 0; i < 100; i++)
		expect(ask(MAIN, NUMBERS(GET_AREA, AREA_VERSION)), EALREADY, "the area again");
	int other = clone_connection();
	expect(ask(other, NUMBERS(GET_AREA, AREA_VERSION)), EALREADY, "by another connection");
	close(other);
	close(null);
}

static void area_late(void)
{
	expect(ask(MAIN, empty_member(GET_AREA)), EINVAL, "the area after the start");
	/* And the packets go on. */
	expect(vcpu_ask(&vcpus[0], NUMBERS(VCPU_GET, 0)), 0, "a request");
}

static void must_refuse(int result, const char *what)
{
	if (result == 0)
		problem("%s was allowed", what);
}

static void area_seals(void)
{
	get_area();
	must_refuse(ftruncate(area_fd, 0), "to truncate the area");
	must_refuse(ftruncate(area_fd, (off_t)area_size - PAGE), "to shrink the area");
	must_refuse(ftruncate(area_fd, (off_t)area_size + PAGE), "to grow the area");
	must_refuse(fallocate(area_fd, 0, (off_t)area_size, PAGE), "to allocate behind the area");
	must_refuse(fallocate(area_fd, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE), "to collapse the area");
	must_refuse(fcntl(area_fd, F_ADD_SEALS, F_SEAL_WRITE), "to seal the area against writing");
	must_refuse(fcntl(area_fd, F_ADD_SEALS, F_SEAL_SEAL), "to seal the seals");
	must_refuse(fcntl(area_fd, F_SETPIPE_SZ, PAGE) < 0 ? -1 : 0, "the size of a pipe");
}

/* The guest's memory is a part of the area: what it writes, the host reads. */
static void area_as_memory(void)
{
	begin(HELD);
	uint64_t size = area_size / PAGE * PAGE;
	expect(create_memory(MAIN, 30, area_fd, 0, GIB, size, false), 0, "the area as memory");
	for (int i = 0; i < 100; i++) {
		resume();
		await_event();
	}
}

static void area_unmapped(void)
{
	begin(HELD);
	munmap(area, area_size);
	close(area_fd);
	lives();
	hang();
}

static void punch(void)
{
	if (fallocate(area_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)area_size) < 0)
		problem("a hole in the area: %m");
}

static void area_holes(void)
{
	begin(HELD);
	punch();
	post();
	hang();
}

static void area_holes_running(void)
{
	begin(SPINNING);
	punch();
	pause_it();
	hang();
}

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
		if (i == DEADLINE_S * 1000)
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
	for (int i = 0; i < DEADLINE_S * 1000 && requeued == 0; i++) {
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

const struct hostile_case page_cases[] = {
    {"area-twice", SET_UP, area_twice},
    {"area-late", AT_INIT, area_late},
    {"area-seals", SET_UP, area_seals},
    {"area-as-memory", SET_UP, area_as_memory},
    {"area-unmapped", SET_UP, area_unmapped},
    {"area-holes", SET_UP, area_holes},
    {"area-holes-running", SET_UP, area_holes_running},
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
    {"ring-full", SET_UP, ring_full},
    {"ring-tail", SET_UP, ring_tail},
    {"ring-words", SET_UP, ring_words},
    {"page-swallow", SET_UP, page_swallow},
    {"page-requeue", SET_UP, page_requeue},
    {"page-posts", SET_UP, page_posts},
    {"page-silent", SET_UP, page_silent},
    {"page-stops-itself", SET_UP, page_stops_itself},
    {"page-unread", SET_UP, page_unread},
    {"page-packets", SET_UP, page_packets},
    {"page-closed", SET_UP, page_closed},
    {},
};
