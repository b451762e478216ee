/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin's end of a vCPU's page by hand, and the way into each state.
 */
#include "page.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPIN_LOOKS 2000
#define LOOK_US    100

int area_fd = -1;
uint8_t *area;
size_t area_size;
struct vcpu_page *page;
uint32_t my_turn;
static uint32_t my_sequence, host_turn;

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

void get_area(void)
{
	ask_for_fds(MAIN, NUMBERS(GET_AREA, AREA_VERSION), 1, &area_fd);
	map_area();
}

long futex(_Atomic(uint32_t) *word, int operation, uint32_t value, const void *more, void *other)
{
	return syscall(SYS_futex, word, operation, value, more, other, 0);
}

void post(void)
{
	atomic_exchange(&page->plugin.sequence, ++my_sequence);
	futex(&page->plugin.sequence, FUTEX_WAKE, 1, NULL, NULL);
}

void take_turn(void)
{
	my_turn = page_next_turn(my_turn);
	atomic_store(&page->plugin.turn, my_turn);
	post();
}

void answer(struct page_answer answer)
{
	page->answer = answer;
	take_turn();
}

void resume(void)
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

void await_event(void)
{
	for (int i = 0; i < SPIN_LOOKS; i++) {
		if (has_event())
			return;
	}
	for (int i = 0; i < EVENT_DEADLINE_S * 1000000 / LOOK_US; i++) {
		if (has_event())
			return;
		usleep(LOOK_US);
	}
	problem("no event came for %d s", EVENT_DEADLINE_S);
	hang();
}

struct page_event event_now(void)
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
		if (i == EVENT_DEADLINE_S * 1000)
			problem("the guest does not run");
		usleep(1000);
	}
}

void begin(enum state state)
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

void pause_it(void)
{
	ASK(MAIN, PAUSE, 1, 1);
}
