/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the host's end against a plugin that means harm: one that writes anything into the page at any moment, that
 * moves the host's sleeping thread elsewhere, swallows its wake-ups, posts without end or punches holes. The host reads no
 * byte that is not in the page, gets nothing that it did not check, and is out of any wait soon after a kick.
 *
 * The racer writes while the host reads, without an order, on purpose: TSan has nothing to find here.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "channel/area.h"
#include "channel/calls.h"
#include "channel/host_end.h"

/* What a stop may take on a machine that does much else; 100 ms on one that does not. */
#define STOP_NS UINT64_C(5000000000)

struct rig {
	struct area area;
	struct vcpu_page *page;
	struct tokens tokens;
	struct host_end host;
	atomic_bool stop;
	atomic_uint answers, errors;
	pthread_t vcpu;
};

static const uint8_t bytes[LIMIT_ACCESS_BYTES] = {1, 2, 3};

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	assert_non_null(rig);
	assert_int_equal(area_new(1, &rig->area), 0);
	rig->page = area_page(&rig->area, 0);
	tokens_init(&rig->tokens, (struct spin_setting){SPIN_AUTO, 0}, 2, -1);
	tokens_add_vcpus(&rig->tokens, 1);
	host_end_init(&rig->host, rig->page, &rig->tokens);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	area_fini(&rig->area);
	free(rig);
	return 0;
}

/* What a vCPU's thread does with an answer. */
static void use(struct rig *rig, const struct page_answer *answer, uint8_t *buffer)
{
	struct kvm_sregs sregs;
	assert_true(answer->kind == PAGE_RESUME || answer->kind == PAGE_REQUEST);
	assert_int_equal((answer->set | answer->wanted) & ~PAGE_SETS, 0);
	if (answer->kind == PAGE_REQUEST) {
		host_end_take_message(&rig->host, answer, buffer);
		host_end_reply(&rig->host, buffer, answer->size);
	} else {
		host_end_take_data(&rig->host, answer, buffer);
		host_end_take_registers(&rig->host, PAGE_SREGS, &sregs);
	}
	atomic_fetch_add(&rig->answers, 1);
}

/* A machine would end with the first error; this goes on as if nothing were, and begins anew where it cannot. */
static void note_error(struct rig *rig, int error)
{
	if (error >= 0 || error == -EINTR)
		return;
	assert_true(error == -EPROTO || error == -ETIMEDOUT);
	atomic_fetch_add(&rig->errors, 1);
	rig->host.peer_turn = atomic_load(&rig->page->plugin.turn);
	rig->host.ring.tail = rig->host.ring.head;
}

static void *run_vcpu(void *argument)
{
	struct rig *rig = argument;
	uint8_t *buffer = malloc(LIMIT_VCPU_REQUEST_BYTES);
	assert_non_null(buffer);
	for (uint32_t i = 0; !atomic_load(&rig->stop); i++) {
		const struct host_access access = {
		    .flags = i & 1 ? PAGE_IS_WRITE : 0,
		    .address = i,
		    .data = bytes,
		    .size = i % 5 ? 4 : 1 + i % LIMIT_ACCESS_BYTES,
		};
		struct page_answer answer;
		int result = i % 7 ? host_end_access(&rig->host, &access)
		                   : host_end_posted_write(&rig->host, &access, 0);
		if (result >= 0 && i % 7)
			result = host_end_await(&rig->host, i % 3 ? 0 : channel_calls.clock_ns() + 1000000,
			                        &answer);
		if (result == 0 && i % 7)
			use(rig, &answer, buffer);
		note_error(rig, result);
	}
	free(buffer);
	return NULL;
}

static void start(struct rig *rig)
{
	assert_int_equal(pthread_create(&rig->vcpu, NULL, run_vcpu, rig), 0);
}

/* Stop it as link_cut() would: the flag, one kick. */
static void stop(struct rig *rig)
{
	struct timespec until;
	atomic_store(&rig->stop, true);
	host_end_kick(&rig->host);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (time_t)(STOP_NS / 1000000000);
	assert_int_equal(pthread_timedjoin_np(rig->vcpu, NULL, &until), 0);
}

static uint64_t seed = 0x2545f4914f6cdd1d;

static uint32_t random_number(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

/* A number that is like one that belongs there, or is not. */
static uint32_t odd_word(uint32_t now)
{
	uint32_t random = random_number();
	switch (random % 6) {
	case 0:
		return random;
	case 1:
		return now + 1;
	case 2:
		return now ^ 1u << random / 8 % 32;
	case 3:
		return random / 8 % 5000;
	case 4:
		return PAGE_RESUME + random / 8 % 2;
	default:
		return 0;
	}
}

static void flip(struct vcpu_page *page, size_t words, size_t first)
{
	_Atomic(uint32_t) *word = (_Atomic(uint32_t) *)(void *)page + first + random_number() % words;
	atomic_store_explicit(word, odd_word(atomic_load_explicit(word, memory_order_relaxed)),
	                      memory_order_relaxed);
}

static void wake_host(struct vcpu_page *page)
{
	syscall(SYS_futex, &page->plugin.sequence, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void race(struct rig *rig, uint64_t for_ns)
{
	struct vcpu_page *page = rig->page;
	uint64_t until_ns = channel_calls.clock_ns() + for_ns;
	start(rig);
	while (channel_calls.clock_ns() < until_ns) {
		for (int i = 0; i < 64; i++) {
			/* Its own words most of all; sometimes it speaks as it should. */
			flip(page, (sizeof(page->plugin) + sizeof(page->answer)) / 4,
			     offsetof(struct vcpu_page, plugin) / 4);
			if (i % 16 == 0)
				flip(page, sizeof(*page) / 4, 0);
			if (i % 4 == 0) {
				atomic_store(&page->plugin.turn, atomic_load(&page->plugin.turn) + 1);
				atomic_fetch_add(&page->plugin.sequence, 1);
				wake_host(page);
			}
		}
		sched_yield();
	}
	stop(rig);
	print_message("# %u answers, %u errors\n", atomic_load(&rig->answers), atomic_load(&rig->errors));
	assert_true(atomic_load(&rig->answers) > 0);
	assert_true(atomic_load(&rig->errors) > 0);
}

static void test_race(void **state)
{
#ifdef __SANITIZE_THREAD__
	test_skip("a race on purpose");
#endif
	const char *seconds = getenv("PLUGVM_RACE_SECONDS");
	race(*state, (seconds ? strtoull(seconds, NULL, 10) : 2) * 1000000000);
}

static void *change_answer(void *argument)
{
	struct rig *rig = argument;
	volatile struct page_answer *answer = &rig->page->answer;
	while (!atomic_load_explicit(&rig->stop, memory_order_relaxed)) {
		answer->set = 0;
		answer->size = 4;
		answer->kind = PAGE_RESUME;
		answer->set = UINT16_MAX;
		answer->size = LIMIT_VCPU_REQUEST_BYTES;
		answer->kind = PAGE_REQUEST;
		answer->size = UINT32_MAX;
	}
	return NULL;
}

/* An answer that changes between what is right and what is wrong: what was checked is what comes out. */
static void test_changing_answer(void **state)
{
#ifdef __SANITIZE_THREAD__
	test_skip("a race on purpose");
#endif
	struct rig *rig = *state;
	struct page_answer answer;
	unsigned int good = 0, bad = 0;
	assert_int_equal(pthread_create(&rig->vcpu, NULL, change_answer, rig), 0);
	/* Until both have come, which takes longer where the two threads share a CPU. */
	for (uint32_t i = 0; i < 3000000 || ((good == 0 || bad == 0) && i < 1000000000); i++) {
		atomic_store(&rig->page->plugin.turn, page_next_turn(rig->host.peer_turn));
		int result = host_end_await(&rig->host, 0, &answer);
		good += result == 0;
		bad += result == -EPROTO;
		if (result == 0)
			assert_true(answer.set == 0 &&
			            (answer.size == 4 || answer.size == LIMIT_VCPU_REQUEST_BYTES));
	}
	atomic_store(&rig->stop, true);
	pthread_join(rig->vcpu, NULL);
	print_message("# %u good, %u bad\n", good, bad);
	assert_true(good > 0 && bad > 0);
}

/* The sleeping thread is moved to another futex, where no wake-up of the plugin's word finds it. */
static void test_requeue(void **state)
{
	struct rig *rig = *state;
	start(rig);
	long moved = 0;
	uint64_t until_ns = channel_calls.clock_ns() + STOP_NS;
	while (moved <= 0 && channel_calls.clock_ns() < until_ns) {
		sched_yield();
		moved = syscall(SYS_futex, &rig->page->plugin.sequence, FUTEX_REQUEUE, 0, 100L,
		                &rig->page->plugin_message, 0);
	}
	assert_int_equal(moved, 1);
	stop(rig);
}

/* It never says anything. */
static void test_silence(void **state)
{
	struct rig *rig = *state;
	start(rig);
	while (atomic_load(&rig->page->host.sleeping) == 0)
		sched_yield();
	stop(rig);
}

/* It posts without end, and there is never anything. */
static void test_noise(void **state)
{
	struct rig *rig = *state;
	start(rig);
	for (int i = 0; i < 100000; i++) {
		atomic_fetch_add(&rig->page->plugin.sequence, 1);
		if (i % 16 == 0)
			wake_host(rig->page);
	}
	atomic_store(&rig->stop, true);
	host_end_kick(&rig->host);
	for (int i = 0; i < 100000; i++)
		atomic_fetch_add(&rig->page->plugin.sequence, 1);
	stop(rig);
}

static void *post_without_end(void *argument)
{
	struct rig *rig = argument;
	while (!atomic_load(&rig->stop)) {
		atomic_fetch_add(&rig->page->plugin.sequence, 1);
		wake_host(rig->page);
	}
	return NULL;
}

/* Nor does it put a deadline off. */
static void test_noise_until_deadline(void **state)
{
	struct rig *rig = *state;
	struct page_answer answer;
	assert_int_equal(pthread_create(&rig->vcpu, NULL, post_without_end, rig), 0);
	assert_int_equal(host_end_await(&rig->host, channel_calls.clock_ns() + 50000000, &answer), -ETIMEDOUT);
	atomic_store(&rig->stop, true);
	pthread_join(rig->vcpu, NULL);
}

/* A hole reads as zeros, which is no turn. */
static void test_hole(void **state)
{
	struct rig *rig = *state;
	const struct host_access access = {.flags = PAGE_IS_WRITE, .data = bytes, .size = 4};
	struct page_answer answer;
	assert_int_equal(host_end_access(&rig->host, &access), 0);
	rig->page->answer = (struct page_answer){.kind = PAGE_RESUME};
	atomic_store(&rig->page->plugin.turn, 1);
	assert_int_equal(host_end_await(&rig->host, 0, &answer), 0);
	assert_int_equal(host_end_access(&rig->host, &access), 0);
	assert_int_equal(
	    fallocate(rig->area.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)rig->area.size), 0);
	assert_int_equal(host_end_await(&rig->host, 0, &answer), -EPROTO);
	assert_int_equal(host_end_access(&rig->host, &access), -EPROTO);
}

/* Each answer that cannot be. */
static void test_bad_answers(void **state)
{
	struct rig *rig = *state;
	static const struct page_answer bad[] = {
	    {.kind = 0},
	    {.kind = 3},
	    {.kind = UINT16_MAX},
	    {.kind = PAGE_RESUME, .size = LIMIT_ACCESS_BYTES + 1},
	    {.kind = PAGE_RESUME, .size = UINT32_MAX},
	    {.kind = PAGE_REQUEST, .size = LIMIT_VCPU_REQUEST_BYTES + 1},
	    {.kind = PAGE_RESUME, .set = PAGE_SETS + 1},
	    {.kind = PAGE_RESUME, .wanted = 0x8000},
	};
	static const struct page_answer good[] = {
	    {.kind = PAGE_RESUME, .size = LIMIT_ACCESS_BYTES, .set = PAGE_SETS, .wanted = PAGE_SETS},
	    {.kind = PAGE_REQUEST, .size = LIMIT_VCPU_REQUEST_BYTES},
	};
	struct page_answer answer;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rig->page->answer = bad[i];
		atomic_store(&rig->page->plugin.turn, rig->host.peer_turn + 1);
		assert_int_equal(host_end_await(&rig->host, 0, &answer), -EPROTO);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		rig->page->answer = good[i];
		atomic_store(&rig->page->plugin.turn, rig->host.peer_turn + 1);
		assert_int_equal(host_end_await(&rig->host, 0, &answer), 0);
		assert_memory_equal(&answer, &good[i], sizeof(answer));
	}
	/* Turns that are not the next. */
	static const int32_t steps[] = {-1, 2, INT32_MAX, INT32_MIN};
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		atomic_store(&rig->page->plugin.turn, rig->host.peer_turn + (uint32_t)steps[i]);
		assert_int_equal(host_end_await(&rig->host, 0, &answer), -EPROTO);
	}
	/* After the last number comes 1. */
	rig->host.peer_turn = UINT32_MAX;
	atomic_store(&rig->page->plugin.turn, 0);
	assert_int_equal(host_end_await(&rig->host, 0, &answer), -EPROTO);
	atomic_store(&rig->page->plugin.turn, 1);
	assert_int_equal(host_end_await(&rig->host, 0, &answer), 0);
}

#define HOSTILE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    HOSTILE_TEST(test_race),    HOSTILE_TEST(test_changing_answer),
	    HOSTILE_TEST(test_requeue), HOSTILE_TEST(test_silence),
	    HOSTILE_TEST(test_noise),   HOSTILE_TEST(test_noise_until_deadline),
	    HOSTILE_TEST(test_hole),    HOSTILE_TEST(test_bad_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
