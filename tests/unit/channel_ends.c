/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the two ends together: two threads over one mapping, as the host and a plugin are, so that TSan sees what one side
 * writes and the other reads without an order. Events with answers, requests in between, registers, posted writes in the
 * guest's order, short bytes and long ones, all at random; and then each thing by itself.
 */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel/area.h"
#include "channel/calls.h"
#include "channel/host_end.h"
#include "channel/plugin_end.h"

#ifdef __SANITIZE_THREAD__
#define EVENTS 4000
#else
#define EVENTS 20000
#endif

struct rig {
	struct area area;
	struct tokens tokens;
	struct host_end host;
	struct plugin_end plugin;
	atomic_bool host_dead;
};

static bool is_dead(void *context)
{
	return atomic_load((atomic_bool *)context);
}

static void begin(struct rig *rig, struct spin_setting host, struct spin_setting plugin)
{
	memset(rig, 0, sizeof(*rig));
	assert_int_equal(area_new(1, &rig->area), 0);
	tokens_init(&rig->tokens, host, 2, -1);
	tokens_add_vcpus(&rig->tokens, 1);
	host_end_init(&rig->host, area_page(&rig->area, 0), &rig->tokens);
	plugin_end_init(&rig->plugin, area_page(&rig->area, 0), plugin, is_dead, &rig->host_dead);
}

static const struct spin_setting automatic = {SPIN_AUTO, 0}, never = {SPIN_FIXED, 0};

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	assert_non_null(rig);
	begin(rig, automatic, automatic);
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

/* ---- Everything at random ---- */

/* Number `number` of a sequence that both sides know. */
static uint32_t random_of(uint32_t number)
{
	uint32_t random = number * 0x9e3779b9;
	random ^= random >> 15;
	random *= 0x85ebca6b;
	return random ^ random >> 13;
}

static uint32_t size_of(uint32_t number)
{
	uint32_t random = random_of(number);
	return random % 4 ? 1 + random / 4 % 8 : 1 + random / 4 % LIMIT_ACCESS_BYTES;
}

static void fill(uint8_t *data, uint32_t number, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		data[i] = (uint8_t)(number + i * 7);
}

static bool is_filled(const uint8_t *data, uint32_t number, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++) {
		if (data[i] != (uint8_t)(number + i * 7))
			return false;
	}
	return true;
}

/* What happens as number `number`: a posted write, an access, or another event. */
static bool is_posted(uint32_t number)
{
	return random_of(number + 1000) % 3 == 0;
}

static bool is_message(uint32_t number)
{
	return random_of(number + 2000) % 8 == 0;
}

static bool is_write(uint32_t number)
{
	return random_of(number + 3000) % 2 == 0;
}

static uint32_t requests_of(uint32_t number)
{
	return random_of(number + 4000) % 5 == 0 ? random_of(number) % 3 : 0;
}

static void host_serves(struct rig *rig, uint32_t number, uint8_t *buffer)
{
	struct page_answer answer;
	for (uint32_t i = 0; i < requests_of(number); i++) {
		assert_int_equal(host_end_await(&rig->host, 0, &answer), 0);
		assert_int_equal(answer.kind, PAGE_REQUEST);
		host_end_take_message(&rig->host, &answer, buffer);
		assert_true(is_filled(buffer, number + i, answer.size));
		fill(buffer, number + i + 1, answer.size);
		assert_int_equal(host_end_reply(&rig->host, buffer, answer.size), 0);
	}
	assert_int_equal(host_end_await(&rig->host, 0, &answer), 0);
	assert_int_equal(answer.kind, PAGE_RESUME);
	if (!is_message(number) && !is_write(number)) {
		assert_int_equal(answer.size, size_of(number));
		host_end_take_data(&rig->host, &answer, buffer);
		assert_true(is_filled(buffer, ~number, answer.size));
	}
	assert_int_equal(answer.set, number % 3 == 0 ? PAGE_REGS : 0);
	assert_int_equal(answer.wanted, PAGE_SREGS);
	if (answer.set) {
		struct kvm_regs regs;
		host_end_take_registers(&rig->host, PAGE_REGS, &regs);
		assert_int_equal(regs.rax, number + 1);
		assert_int_equal(regs.rflags, number);
	}
}

static void *run_host(void *argument)
{
	struct rig *rig = argument;
	uint8_t *buffer = malloc(LIMIT_VCPU_REQUEST_BYTES);
	assert_non_null(buffer);
	for (uint32_t number = 0; number < EVENTS; number++) {
		struct host_access access = {
		    .flags = number & 1 ? PAGE_IS_MMIO : 0,
		    .address = UINT64_C(0xfe0000000) + number,
		    .data = buffer,
		    .size = size_of(number),
		};
		fill(buffer, number, access.size);
		if (is_posted(number)) {
			access.flags |= PAGE_IS_WRITE;
			assert_int_equal(host_end_posted_write(&rig->host, &access, 0), 0);
			continue;
		}
		struct kvm_regs regs = {.rax = number, .rflags = number};
		host_end_put_registers(&rig->host, PAGE_REGS, &regs);
		access.valid = PAGE_REGS;
		access.error = (int32_t)(number % 2);
		access.flags |= is_write(number) ? PAGE_IS_WRITE : 0;
		if (is_message(number))
			assert_int_equal(
			    host_end_message(&rig->host, buffer, access.size, PAGE_REGS, access.error), 0);
		else
			assert_int_equal(host_end_access(&rig->host, &access), 0);
		host_serves(rig, number, buffer);
	}
	free(buffer);
	return NULL;
}

static void plugin_asks(struct rig *rig, uint32_t number, uint8_t *buffer)
{
	for (uint32_t i = 0; i < requests_of(number); i++) {
		const uint8_t *reply;
		uint32_t size = size_of(number + i), reply_size;
		fill(buffer, number + i, size);
		plugin_end_request(&rig->plugin, buffer, size);
		assert_int_equal(plugin_end_reply(&rig->plugin, &reply, &reply_size), 0);
		assert_int_equal(reply_size, size);
		assert_true(is_filled(reply, number + i + 1, size));
	}
}

static void plugin_takes(struct rig *rig, uint32_t number, uint8_t *buffer)
{
	struct plugin_event event;
	assert_int_equal(plugin_end_wait(&rig->plugin, 0, &event), 0);
	assert_int_equal(event.kind, is_posted(number)    ? PLUGIN_POSTED
	                             : is_message(number) ? PLUGIN_MESSAGE
	                                                  : PLUGIN_ACCESS);
	assert_int_equal(event.size, size_of(number));
	if (event.kind != PLUGIN_MESSAGE) {
		assert_int_equal(event.address, UINT64_C(0xfe0000000) + number);
		assert_int_equal(event.is_mmio, number & 1);
	}
	if (event.data)
		assert_true(is_filled(event.data, number, event.size));
	if (event.kind == PLUGIN_POSTED)
		return;
	assert_true(event.data || !is_write(number));
	assert_int_equal(event.error, number % 2);
	assert_int_equal(event.valid, PAGE_REGS);
	struct kvm_regs *regs = plugin_end_registers(&rig->plugin, PAGE_REGS);
	assert_int_equal(regs->rax, number);
	plugin_asks(rig, number, buffer);
	if (number % 3 == 0)
		regs->rax++;
	uint32_t size = event.data ? 0 : event.size;
	fill(buffer, ~number, size);
	plugin_end_resume(&rig->plugin, buffer, size, number % 3 == 0 ? PAGE_REGS : 0, PAGE_SREGS);
}

static void run_both(struct rig *rig)
{
	pthread_t thread;
	uint8_t *buffer = malloc(LIMIT_VCPU_REQUEST_BYTES);
	assert_non_null(buffer);
	assert_int_equal(pthread_create(&thread, NULL, run_host, rig), 0);
	for (uint32_t number = 0; number < EVENTS; number++)
		plugin_takes(rig, number, buffer);
	pthread_join(thread, NULL);
	free(buffer);
}

static void test_automatic(void **state)
{
	run_both(*state);
}

static void test_asleep(void **state)
{
	struct rig *rig = *state;
	area_fini(&rig->area);
	begin(rig, never, never);
	run_both(rig);
}

static int no_waitv(struct futex_waitv *words, unsigned int count, uint64_t until_ns)
{
	(void)words;
	(void)count;
	(void)until_ns;
	return -ENOSYS;
}

static void test_old_kernel(void **state)
{
	const struct channel_calls real = channel_calls;
	struct rig *rig = *state;
	area_fini(&rig->area);
	begin(rig, never, never);
	channel_calls.futex_waitv = no_waitv;
	run_both(rig);
	channel_calls = real;
}

/* ---- One thing at a time ---- */

static const uint8_t bytes[] = {1, 2, 3, 4};
static const struct host_access four_bytes = {.flags = PAGE_IS_WRITE, .address = 0x3f8, .data = bytes, .size = 4};

static uint64_t soon(void)
{
	return channel_calls.clock_ns() + 20000000;
}

/* The host alone never waits for ever, and the plugin speaks only when it is its turn. */
static void test_turns(void **state)
{
	struct rig *rig = *state;
	struct plugin_event event;
	struct page_answer answer;
	assert_int_equal(plugin_end_wait(&rig->plugin, PLUGIN_END_NO_WAIT, &event), -ETIMEDOUT);
	assert_int_equal(plugin_end_wait(&rig->plugin, soon(), &event), -ETIMEDOUT);
	assert_int_equal(host_end_access(&rig->host, &four_bytes), 0);
	assert_int_equal(host_end_await(&rig->host, soon(), &answer), -ETIMEDOUT);
	assert_int_equal(plugin_end_wait(&rig->plugin, PLUGIN_END_NO_WAIT, &event), 0);
	plugin_end_resume(&rig->plugin, NULL, 0, 0, 0);
	assert_int_equal(host_end_await(&rig->host, soon(), &answer), 0);
	/* Once more, while the guest runs. */
	plugin_end_resume(&rig->plugin, NULL, 0, 0, 0);
	assert_int_equal(host_end_access(&rig->host, &four_bytes), -EPROTO);
	assert_int_equal(host_end_message(&rig->host, bytes, 4, 0, 0), -EPROTO);
}

static void test_full_ring(void **state)
{
	struct rig *rig = *state;
	struct plugin_event event;
	for (int i = 0; i < RING_ENTRIES; i++)
		assert_int_equal(host_end_posted_write(&rig->host, &four_bytes, 0), 0);
	assert_int_equal(host_end_posted_write(&rig->host, &four_bytes, soon()), -ETIMEDOUT);
	host_end_kick(&rig->host);
	assert_int_equal(host_end_posted_write(&rig->host, &four_bytes, 0), -EINTR);
	for (int i = 0; i < RING_ENTRIES; i++)
		assert_int_equal(plugin_end_wait(&rig->plugin, PLUGIN_END_NO_WAIT, &event), 0);
	assert_int_equal(host_end_posted_write(&rig->host, &four_bytes, 0), 0);
}

static void *fill_ring(void *argument)
{
	struct rig *rig = argument;
	for (int i = 0; i < 3 * RING_ENTRIES; i++)
		assert_int_equal(host_end_posted_write(&rig->host, &four_bytes, 0), 0);
	return NULL;
}

/* A host that sleeps because the ring is full is woken when there is room. */
static void test_wait_for_room(void **state)
{
	struct rig *rig = *state;
	struct plugin_event event;
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, fill_ring, rig), 0);
	while (atomic_load(&rig->host.page->host.sleeping) == 0)
		usleep(100);
	for (int i = 0; i < 3 * RING_ENTRIES; i++)
		assert_int_equal(plugin_end_wait(&rig->plugin, channel_calls.clock_ns() + 10000000000, &event), 0);
	pthread_join(thread, NULL);
}

/* An event comes after all that was posted before it, whatever the plugin saw first. */
static void test_order(void **state)
{
	struct rig *rig = *state;
	struct plugin_event event;
	for (int i = 0; i < 3; i++)
		assert_int_equal(host_end_posted_write(&rig->host, &four_bytes, 0), 0);
	assert_int_equal(host_end_access(&rig->host, &four_bytes), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(plugin_end_wait(&rig->plugin, 0, &event), 0);
		assert_int_equal(event.kind, PLUGIN_POSTED);
	}
	assert_int_equal(plugin_end_wait(&rig->plugin, 0, &event), 0);
	assert_int_equal(event.kind, PLUGIN_ACCESS);
}

static void test_kicks(void **state)
{
	struct rig *rig = *state;
	struct plugin_event event;
	struct page_answer answer;
	plugin_end_kick(&rig->plugin);
	assert_int_equal(plugin_end_wait(&rig->plugin, 0, &event), -EINTR);
	assert_int_equal(host_end_access(&rig->host, &four_bytes), 0);
	host_end_kick(&rig->host);
	assert_int_equal(host_end_await(&rig->host, 0, &answer), -EINTR);
	/* It may go on. */
	assert_int_equal(plugin_end_wait(&rig->plugin, 0, &event), 0);
	plugin_end_resume(&rig->plugin, NULL, 0, 0, 0);
	assert_int_equal(host_end_await(&rig->host, 0, &answer), 0);
}

static void test_dead_host(void **state)
{
	struct rig *rig = *state;
	struct plugin_event event;
	const uint8_t *reply;
	uint32_t size;
	atomic_store(&rig->host_dead, true);
	assert_int_equal(plugin_end_wait(&rig->plugin, 0, &event), -ECONNRESET);
	plugin_end_request(&rig->plugin, bytes, 4);
	assert_int_equal(plugin_end_reply(&rig->plugin, &reply, &size), -ECONNRESET);
}

/* Each set has a place of its own, and is as the kernel has it. */
static void test_registers(void **state)
{
	struct rig *rig = *state;
	static const size_t sizes[] = {sizeof(struct kvm_regs), sizeof(struct kvm_sregs),
	                               sizeof(struct kvm_vcpu_events), sizeof(struct kvm_debugregs)};
	uint8_t registers[sizeof(struct page_registers)], taken[sizeof(struct page_registers)];
	for (unsigned int i = 0; i < 4; i++) {
		memset(registers, (int)i + 1, sizeof(registers));
		host_end_put_registers(&rig->host, (enum page_set)(1 << i), registers);
	}
	for (unsigned int i = 0; i < 4; i++) {
		memset(registers, (int)i + 1, sizeof(registers));
		assert_memory_equal(plugin_end_registers(&rig->plugin, (enum page_set)(1 << i)), registers,
		                    sizes[i]);
		memset(taken, 0, sizeof(taken));
		host_end_take_registers(&rig->host, (enum page_set)(1 << i), taken);
		assert_memory_equal(taken, registers, sizes[i]);
		assert_int_equal(taken[sizes[i]], 0);
	}
}

/* A host that makes no sense is told from one that does. */
static void test_odd_host(void **state)
{
	struct rig *rig = *state;
	static const struct page_event odd[] = {
	    {.kind = 0, .size = 4},
	    {.kind = PAGE_REPLY, .size = 4},
	    {.kind = PAGE_ACCESS, .size = 0},
	    {.kind = PAGE_ACCESS, .size = LIMIT_ACCESS_BYTES + 1},
	    {.kind = PAGE_MESSAGE, .size = LIMIT_VCPU_RESPONSE_BYTES + 1},
	    {.kind = PAGE_ACCESS, .size = 4, .error = -1},
	    {.kind = PAGE_ACCESS, .size = 4, .ring_head = RING_ENTRIES + 1},
	};
	struct vcpu_page *page = rig->plugin.page;
	struct plugin_event event;
	const uint8_t *reply;
	uint32_t size;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		memset(page, 0, AREA_PAGE_BYTES);
		plugin_end_init(&rig->plugin, page, never, is_dead, &rig->host_dead);
		page->event = odd[i];
		atomic_store(&page->host.turn, 1);
		assert_int_equal(plugin_end_wait(&rig->plugin, PLUGIN_END_NO_WAIT, &event), -EPROTO);
	}
	memset(page, 0, AREA_PAGE_BYTES);
	plugin_end_init(&rig->plugin, page, never, is_dead, &rig->host_dead);
	atomic_store(&page->host.turn, 2);
	assert_int_equal(plugin_end_wait(&rig->plugin, PLUGIN_END_NO_WAIT, &event), -EPROTO);
	plugin_end_init(&rig->plugin, page, never, is_dead, &rig->host_dead);
	page->event = (struct page_event){.kind = PAGE_ACCESS, .size = 4};
	atomic_store(&page->host.turn, 1);
	assert_int_equal(plugin_end_reply(&rig->plugin, &reply, &size), -EPROTO);
	page->event = (struct page_event){.kind = PAGE_REPLY, .size = LIMIT_VCPU_RESPONSE_BYTES + 1};
	atomic_store(&page->host.turn, 2);
	assert_int_equal(plugin_end_reply(&rig->plugin, &reply, &size), -EPROTO);
}

static unsigned int clock_reads;

static uint64_t counting_clock(void)
{
	return 1000000 + 1000 * (uint64_t)clock_reads++;
}

/* A spin reads the clock, a plain sleep does not. */
static void test_set_spin(void **state)
{
	struct rig *rig = *state;
	struct plugin_event event;
	const struct channel_calls real = channel_calls;
	channel_calls.clock_ns = counting_clock;
	atomic_store(&rig->host_dead, true);
	plugin_end_set_spin(&rig->plugin, (struct spin_setting){SPIN_FIXED, 50000});
	assert_int_equal(plugin_end_wait(&rig->plugin, 0, &event), -ECONNRESET);
	assert_true(clock_reads > 10);
	clock_reads = 0;
	plugin_end_set_spin(&rig->plugin, never);
	assert_int_equal(plugin_end_wait(&rig->plugin, 0, &event), -ECONNRESET);
	assert_int_equal(clock_reads, 0);
	channel_calls = real;
}

static void test_poll(void **state)
{
	struct rig *rig = *state;
	struct plugin_event event;
	assert_false(plugin_end_arm(&rig->plugin));
	assert_int_equal(host_end_posted_write(&rig->host, &four_bytes, 0), 1);
	assert_int_equal(host_end_access(&rig->host, &four_bytes), 0);
	assert_true(plugin_end_arm(&rig->plugin));
	assert_int_equal(plugin_end_wait(&rig->plugin, PLUGIN_END_NO_WAIT, &event), 0);
	/* The event is still there. */
	assert_true(plugin_end_arm(&rig->plugin));
	assert_int_equal(plugin_end_wait(&rig->plugin, PLUGIN_END_NO_WAIT, &event), 0);
	plugin_end_resume(&rig->plugin, NULL, 0, 0, 0);
	assert_false(plugin_end_arm(&rig->plugin));
	struct page_answer answer;
	assert_int_equal(host_end_await(&rig->host, 0, &answer), 0);
	assert_int_equal(host_end_access(&rig->host, &four_bytes), 1);
}

#define ENDS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    ENDS_TEST(test_automatic), ENDS_TEST(test_asleep),    ENDS_TEST(test_old_kernel),
	    ENDS_TEST(test_turns),     ENDS_TEST(test_full_ring), ENDS_TEST(test_wait_for_room),
	    ENDS_TEST(test_order),     ENDS_TEST(test_kicks),     ENDS_TEST(test_dead_host),
	    ENDS_TEST(test_registers), ENDS_TEST(test_odd_host),  ENDS_TEST(test_set_spin),
	    ENDS_TEST(test_poll),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
