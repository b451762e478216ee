/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks who may spin: never more vCPUs than there are CPUs left, whoever comes by keeps its token and whoever does not
 * loses it, and a crowded machine takes tokens away until it is quiet again. The clock is a number, the machine a text.
 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "channel/calls.h"
#include "channel/tokens.h"

#define LOADAVG 7 /* no fd: nobody reads from it */
#define CPUS    8

static int running; /* threads of the machine; -1: unreadable */
static int looks;

static ssize_t fake_pread(int fd, void *buffer, size_t size, off_t offset)
{
	assert_int_equal(fd, LOADAVG);
	assert_int_equal(offset, 0);
	looks++;
	return running < 0 ? -1 : snprintf(buffer, size, "0.20 10.18 0.12 %d/80 11206\n", running);
}

static int fake_online(void)
{
	return CPUS;
}

static uint64_t now_ns;

static uint64_t fake_clock(void)
{
	return now_ns;
}

static int setup(void **state)
{
	static struct channel_calls real;
	real = channel_calls;
	*state = &real;
	channel_calls.pread = fake_pread;
	channel_calls.online = fake_online;
	channel_calls.clock_ns = fake_clock;
	running = 1;
	looks = 0;
	now_ns = 1000;
	return 0;
}

static int teardown(void **state)
{
	channel_calls = *(struct channel_calls *)*state;
	return 0;
}

static struct tokens tokens;
static struct token vcpus[CPUS];

static void begin(unsigned int usable, uint32_t count, int loadavg)
{
	tokens_init(&tokens, (struct spin_setting){SPIN_AUTO, 0}, usable, loadavg);
	tokens_add_vcpus(&tokens, count);
	for (uint32_t i = 0; i < CPUS; i++)
		token_init(&vcpus[i], &tokens);
}

/* Everybody comes by; return how many may spin. */
static uint32_t come_by(uint32_t count)
{
	uint32_t spinning = 0;
	now_ns += 1000;
	for (uint32_t i = 0; i < count; i++)
		spinning += token_renew(&vcpus[i], now_ns) == SPIN_BUDGET_NS;
	return spinning;
}

static void test_counts(void **state)
{
	(void)state;
	for (unsigned int usable = 0; usable <= CPUS; usable++) {
		for (uint32_t count = 1; count <= CPUS; count++) {
			uint32_t left = usable > count ? usable - count : 0;
			begin(usable, count, -1);
			for (int round = 0; round < 3; round++)
				assert_int_equal(come_by(count), left < count ? left : count);
		}
	}
}

static void test_leases(void **state)
{
	(void)state;
	begin(3, 2, -1);
	assert_int_equal(token_renew(&vcpus[0], 1000), SPIN_BUDGET_NS);
	assert_int_equal(token_renew(&vcpus[1], 1001), 0);
	/* One that comes by keeps it. */
	for (now_ns = 1000; now_ns < 10 * TOKEN_LEASE_NS; now_ns += TOKEN_LEASE_NS / 2) {
		assert_int_equal(token_renew(&vcpus[0], now_ns), SPIN_BUDGET_NS);
		assert_int_equal(token_renew(&vcpus[1], now_ns + 1), 0);
	}
	/* One that is halted loses it, and does not have it when it wakes up. */
	now_ns += TOKEN_LEASE_NS;
	assert_int_equal(token_renew(&vcpus[1], now_ns), SPIN_BUDGET_NS);
	assert_int_equal(token_renew(&vcpus[0], now_ns), 0);
	assert_int_equal(token_renew(&vcpus[0], now_ns + TOKEN_LEASE_NS - 1), 0);
	assert_int_equal(token_renew(&vcpus[0], now_ns + TOKEN_LEASE_NS), SPIN_BUDGET_NS);
	assert_int_equal(token_renew(&vcpus[1], now_ns + TOKEN_LEASE_NS), 0);
	/* If nobody else wanted it, it is still its own. */
	assert_int_equal(token_renew(&vcpus[0], now_ns + 100 * TOKEN_LEASE_NS), SPIN_BUDGET_NS);
}

static void test_vms(void **state)
{
	(void)state;
	begin(4, 2, -1);
	assert_int_equal(come_by(2), 2);
	tokens_add_vcpus(&tokens, 1);
	assert_int_equal(come_by(3), 1);
	tokens_add_vcpus(&tokens, 1);
	assert_int_equal(come_by(4), 0);
}

/* A plugin that may use fewer CPUs than are left. */
static void test_most(void **state)
{
	(void)state;
	begin(4, 1, -1);
	tokens.most = 2;
	assert_int_equal(come_by(4), 2);
	now_ns += 2 * TOKEN_LEASE_NS;
	tokens.most = 0;
	assert_int_equal(come_by(4), 0);
}

static void look(void)
{
	now_ns += TOKENS_LOOK_NS;
	int before = looks;
	come_by(1);
	assert_int_equal(looks, before + 1);
}

static void test_crowded(void **state)
{
	(void)state;
	begin(CPUS, 3, LOADAVG);
	look();
	assert_int_equal(come_by(3), 3);
	/* One look may be chance. */
	running = CPUS + 3;
	look();
	assert_int_equal(come_by(3), 3);
	look();
	/* 5 were there, 3 are taken. */
	assert_int_equal(come_by(3), 2);
	look();
	assert_int_equal(come_by(3), 0);
	running = 1000;
	look();
	assert_int_equal(come_by(3), 0);
	/* As many come back as there are idle CPUs. */
	running = CPUS - 1;
	look();
	assert_int_equal(come_by(3), 1);
	running = CPUS;
	look();
	assert_int_equal(come_by(3), 1);
	/* And one, if none is for long, unless somebody more wants to run meanwhile. */
	for (int i = 2; i < TOKENS_CALM - 1; i++)
		look();
	running = CPUS + 1;
	look();
	running = CPUS;
	for (int i = 1; i < TOKENS_CALM; i++)
		look();
	assert_int_equal(come_by(3), 1);
	look();
	assert_int_equal(come_by(3), 2);
	running = 1;
	look();
	assert_int_equal(come_by(3), 3);
}

static void test_unreadable(void **state)
{
	(void)state;
	begin(CPUS, 1, LOADAVG);
	running = -1;
	look();
	assert_int_equal(come_by(1), 1);
	begin(CPUS, 1, -1);
	looks = 0;
	now_ns += 10 * TOKENS_LOOK_NS;
	assert_int_equal(come_by(1), 1);
	assert_int_equal(looks, 0);
}

static void test_fixed(void **state)
{
	(void)state;
	begin(1, 4, LOADAVG);
	tokens.setting = (struct spin_setting){SPIN_FIXED, 50000};
	assert_int_equal(token_limit(&vcpus[3]), 50000 | SPIN_WORD_FIXED);
	tokens.setting.fixed_ns = 0;
	assert_int_equal(token_renew(&vcpus[3], 1), SPIN_WORD_FIXED);
	assert_int_equal(looks, 0);
}

/* Most events do not read the clock. */
static void test_limit(void **state)
{
	(void)state;
	begin(2, 1, LOADAVG);
	assert_int_equal(token_limit(&vcpus[0]), SPIN_BUDGET_NS);
	uint64_t until_ns = vcpus[0].until_ns;
	now_ns += 1000;
	for (int i = 0; i < TOKEN_EVENTS - 1; i++) {
		assert_int_equal(token_limit(&vcpus[0]), SPIN_BUDGET_NS);
		assert_int_equal(vcpus[0].until_ns, until_ns);
	}
	assert_int_equal(token_limit(&vcpus[0]), SPIN_BUDGET_NS);
	assert_int_equal(vcpus[0].until_ns, until_ns + 1000);
}

#define TOKENS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TOKENS_TEST(test_counts),  TOKENS_TEST(test_leases),     TOKENS_TEST(test_vms),
	    TOKENS_TEST(test_crowded), TOKENS_TEST(test_unreadable), TOKENS_TEST(test_fixed),
	    TOKENS_TEST(test_limit),   TOKENS_TEST(test_most),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
