/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that an exit allocates nothing and takes no lock: 1,000 accesses with a plugin that answers, while
 * every call of the allocator and of a mutex is counted. To be linked with --wrap for each of them.
 */
#include "rig.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define ACCESSES 1000

/* Only what the thread that delivers does is counted. */
static _Thread_local bool counting;
static _Thread_local int calls;

#define WRAP(type, name, parameters, arguments) \
	type __real_##name parameters;          \
	type __wrap_##name parameters;          \
	type __wrap_##name parameters           \
	{                                       \
		calls += counting;              \
		return __real_##name arguments; \
	}
WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, (void *old, size_t size), (old, size))
WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
WRAP(void, free, (void *memory), (memory))
WRAP(int, pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex))
WRAP(int, pthread_mutex_trylock, (pthread_mutex_t * mutex), (mutex))
WRAP(int, pthread_rwlock_rdlock, (pthread_rwlock_t * rwlock), (rwlock))
WRAP(int, pthread_rwlock_wrlock, (pthread_rwlock_t * rwlock), (rwlock))

/* Answers every event: in turn a write, with an empty resume, and a read, with one byte. */
static void *answer(void *argument)
{
	struct link_rig *rig = argument;
	static const uint8_t resume_write[] = {0x12, 0x00}, resume_read[] = {0x12, 0x03, 0x0a, 0x01, 0x5a};
	uint8_t frame[64];
	for (int i = 0; i < ACCESSES; i++) {
		const uint8_t *resume = i % 2 ? resume_read : resume_write;
		if (recv(rig->events, frame, sizeof(frame), 0) <= 0 ||
		    send(rig->requests, resume, i % 2 ? sizeof(resume_read) : sizeof(resume_write), MSG_NOSIGNAL) <
		        0)
			break;
	}
	return NULL;
}

static void test_exits(void **state)
{
	struct link_rig *rig = *state;
	link_pass_init(rig);
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, answer, rig), 0);
	uint8_t data = 0;
	int wrong = 0;
	calls = 0;
	counting = true;
	for (int i = 0; i < ACCESSES; i++) {
		struct guest_access access = {.space = i % 4 < 2 ? ADDRESS_SPACE_PORT : ADDRESS_SPACE_MMIO,
		                              .is_write = i % 2 == 0,
		                              .address = i % 4 < 2 ? 0x100 : 0x1000,
		                              .width = 1,
		                              .data = &data,
		                              .size = 1};
		wrong += link_deliver_access(&rig->link, rig->vcpu, &access) != 1;
		wrong += !access.is_write && data != 0x5a;
	}
	counting = false;
	pthread_join(thread, NULL);
	assert_int_equal(wrong, 0);
	assert_int_equal(calls, 0);
}

/* An access that is nobody's, and the check before every KVM_RUN. */
static void test_unclaimed_exits(void **state)
{
	struct link_rig *rig = *state;
	uint8_t data[4];
	struct guest_access access = {
	    .space = ADDRESS_SPACE_PORT, .address = 0x200, .width = 4, .data = data, .size = 4};
	int wrong = 0;
	calls = 0;
	counting = true;
	for (int i = 0; i < ACCESSES; i++) {
		wrong += link_deliver_access(&rig->link, rig->vcpu, &access) != 0;
		wrong += link_check(&rig->link) != 0;
	}
	counting = false;
	assert_int_equal(wrong, 0);
	assert_int_equal(calls, 0);
}

/* That the counting counts. */
static void test_counting(void **state)
{
	(void)state;
	struct ranges ranges;
	calls = 0;
	counting = true;
	int result = ranges_init(&ranges, 1);
	counting = false;
	ranges_fini(&ranges);
	assert_int_equal(result, 0);
	assert_int_equal(calls, 2);
	calls = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, link_rig_setup, link_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_counting),
	    TEST(test_exits),
	    TEST(test_unclaimed_exits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
