/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks how a waiter learns to spin, against a simulated other side and a clock that is a number: that it spins when that
 * helps, and only then; that it notices when this changes; and what an idle guest costs.
 */
#include "test.h"

#include <errno.h>
#include <string.h>

#include "channel/spin.h"

/* What waking costs when the other side runs on another CPU here. */
#define WAKE_NS 57000

struct world {
	struct spin spin;
	uint64_t now_ns;
	uint64_t spun_ns; /* CPU time that spinning took */
	uint64_t waits, spins, slept;
	uint32_t limit;
	bool same_cpu;
};

static void begin(struct world *world, enum spin_mode mode, uint32_t fixed_ns)
{
	memset(world, 0, sizeof(*world));
	spin_init(&world->spin, (struct spin_setting){mode, fixed_ns});
	world->limit = SPIN_BUDGET_NS;
	world->now_ns = 1;
}

/* One wait for something that comes after `work_ns`, or `penalty_ns` later if this side spins meanwhile. */
static void wait_once(struct world *world, uint64_t work_ns, uint64_t penalty_ns)
{
	struct spin_plan plan = spin_begin(&world->spin, world->limit, world->same_cpu);
	uint64_t comes_ns = plan.budget_ns ? work_ns + penalty_ns : work_ns;
	bool slept = comes_ns > plan.budget_ns;
	uint64_t waited_ns = slept ? comes_ns + WAKE_NS : comes_ns + 100;
	world->waits++;
	world->spins += plan.budget_ns > 0;
	world->slept += slept;
	world->spun_ns += slept ? plan.budget_ns : comes_ns;
	world->now_ns += waited_ns;
	spin_end(&world->spin, plan, slept, plan.timed ? waited_ns : 0, plan.timed ? world->now_ns : 0);
}

static void wait_many(struct world *world, uint64_t for_ns, uint64_t work_ns, uint64_t penalty_ns)
{
	uint64_t until_ns = world->now_ns + for_ns;
	world->waits = world->spins = world->slept = world->spun_ns = 0;
	while (world->now_ns < until_ns)
		wait_once(world, work_ns, penalty_ns);
}

#define SECOND UINT64_C(1000000000)

static void test_fast_answers(void **state)
{
	(void)state;
	struct world world;
	begin(&world, SPIN_AUTO, 0);
	wait_many(&world, SECOND, 5000, 0);
	/* Only the comparisons sleep. */
	assert_true(world.slept * 1000 < world.waits);
	assert_true(world.slept > 0);
	wait_many(&world, 10 * SECOND, 5000, 0);
	assert_true(world.slept * 10000 < world.waits);
}

/* A guest that runs 200 us between exits: to grow a short spin while it helps would never find this. */
static void test_slow_answers(void **state)
{
	(void)state;
	struct world world;
	begin(&world, SPIN_AUTO, 0);
	wait_many(&world, SECOND, 200000, 0);
	assert_true(world.slept * 50 < world.waits);
}

/* The other side has no CPU while this one spins: it does not spin. */
static void test_in_the_way(void **state)
{
	(void)state;
	struct world world;
	begin(&world, SPIN_AUTO, 0);
	wait_many(&world, SECOND, 8000, 100000);
	wait_many(&world, 10 * SECOND, 8000, 100000);
	assert_true(world.spins * 1000 < world.waits);
	assert_true(world.spins > 0);
}

/* It helps a little, but less than the noise. */
static void test_no_gain(void **state)
{
	(void)state;
	struct world world;
	begin(&world, SPIN_AUTO, 0);
	wait_many(&world, SECOND, 8000, WAKE_NS - 500);
	wait_many(&world, 10 * SECOND, 8000, WAKE_NS - 500);
	assert_true(world.spins * 1000 < world.waits);
}

static void test_change(void **state)
{
	(void)state;
	struct world world;
	begin(&world, SPIN_AUTO, 0);
	wait_many(&world, 20 * SECOND, 5000, 0);
	assert_true(world.slept * 1000 < world.waits);
	wait_many(&world, 3 * SECOND, 5000, 200000);
	wait_many(&world, 20 * SECOND, 5000, 200000);
	assert_true(world.spins * 1000 < world.waits);
	wait_many(&world, 3 * SECOND, 5000, 0);
	wait_many(&world, 10 * SECOND, 5000, 0);
	assert_true(world.slept * 1000 < world.waits);
}

/* Patterns of two and four exits, some of them long: all the same it finds that spinning helps. */
static void test_patterns(void **state)
{
	(void)state;
	static const uint64_t works[][4] = {
	    {2000, 90000, 2000, 90000}, {2000, 2000, 90000, 90000}, {2000, 2000, 2000, 90000}};
	for (size_t pattern = 0; pattern < 3; pattern++) {
		struct world world;
		begin(&world, SPIN_AUTO, 0);
		for (uint32_t i = 0; i < 1000000; i++)
			wait_once(&world, works[pattern][i % 4], 0);
		assert_true(world.slept * 100 < world.waits);
	}
}

/* An exit every 10 ms, and one in a while: half a percent of a CPU at most. */
static void test_idle(void **state)
{
	(void)state;
	static const uint64_t works[] = {1000000, 10000000, 100000000};
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
		struct world world;
		begin(&world, SPIN_AUTO, 0);
		wait_many(&world, 10 * SECOND, works[i], 0);
		assert_true(world.spun_ns * 200 < 10 * SECOND);
	}
	/* Also after it has been busy. */
	struct world world;
	begin(&world, SPIN_AUTO, 0);
	wait_many(&world, SECOND, 5000, 0);
	wait_many(&world, 10 * SECOND, 10000000, 0);
	assert_true(world.spun_ns * 200 < 10 * SECOND);
	/* And it comes back. */
	wait_many(&world, 3 * SECOND, 5000, 0);
	wait_many(&world, SECOND, 5000, 0);
	assert_true(world.slept * 100 < world.waits);
}

static void test_limits(void **state)
{
	(void)state;
	struct world world;
	begin(&world, SPIN_AUTO, 0);
	world.limit = 0;
	wait_many(&world, SECOND, 5000, 0);
	assert_int_equal(world.spins, 0);
	world.limit = 20000;
	wait_many(&world, SECOND, 5000, 0);
	assert_true(world.slept * 1000 < world.waits);
	wait_many(&world, SECOND, 30000, 0);
	assert_true(world.spins * 10 < world.waits);
	/* More than anybody may. */
	world.limit = 2000000000;
	assert_true(spin_begin(&world.spin, world.limit, false).budget_ns <= SPIN_BUDGET_NS);
	/* The operator's word. */
	world.limit = 1000000 | SPIN_WORD_FIXED;
	wait_many(&world, SECOND, 900000, 0);
	assert_int_equal(world.slept, 0);
	world.limit = 0 | SPIN_WORD_FIXED;
	wait_many(&world, SECOND, 5000, 0);
	assert_int_equal(world.spins, 0);
}

static void test_same_cpu(void **state)
{
	(void)state;
	static const enum spin_mode modes[] = {SPIN_AUTO, SPIN_FIXED};
	for (size_t i = 0; i < 2; i++) {
		struct world world;
		begin(&world, modes[i], 50000);
		world.same_cpu = true;
		wait_many(&world, SECOND, 5000, 0);
		assert_int_equal(world.spins, 0);
	}
}

static void test_fixed(void **state)
{
	(void)state;
	struct world world;
	begin(&world, SPIN_FIXED, 0);
	wait_many(&world, SECOND, 5000, 0);
	assert_int_equal(world.spins, 0);
	/* A number of its own is not longer than the operator's. */
	begin(&world, SPIN_FIXED, 50000);
	world.limit = 10000 | SPIN_WORD_FIXED;
	assert_int_equal(spin_begin(&world.spin, world.limit, false).budget_ns, 10000);
	world.limit = 60000 | SPIN_WORD_FIXED;
	assert_int_equal(spin_begin(&world.spin, world.limit, false).budget_ns, 50000);
	world.limit = 0 | SPIN_WORD_FIXED;
	assert_int_equal(spin_begin(&world.spin, world.limit, false).budget_ns, 0);
	world.limit = 0;
	wait_many(&world, SECOND, 40000, 0);
	assert_int_equal(world.slept, 0);
	wait_many(&world, SECOND, 60000, 0);
	assert_int_equal(world.spins, world.waits);
}

static void test_parse(void **state)
{
	(void)state;
	struct spin_setting setting;
	assert_int_equal(spin_parse("auto", &setting), 0);
	assert_int_equal(setting.mode, SPIN_AUTO);
	assert_int_equal(spin_parse("0", &setting), 0);
	assert_int_equal(setting.mode, SPIN_FIXED);
	assert_int_equal(setting.fixed_ns, 0);
	assert_int_equal(spin_parse("1000000", &setting), 0);
	assert_int_equal(setting.fixed_ns, SPIN_FIXED_NS_MAX);
	static const char *const bad[] = {"",   "1000001", "-1",   "+1",    " 1",
	                                  "1 ", "1us",     "Auto", "autos", "99999999999999999999"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(spin_parse(bad[i], &setting), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fast_answers), cmocka_unit_test(test_slow_answers),
	    cmocka_unit_test(test_in_the_way),   cmocka_unit_test(test_no_gain),
	    cmocka_unit_test(test_change),       cmocka_unit_test(test_patterns),
	    cmocka_unit_test(test_idle),         cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_same_cpu),     cmocka_unit_test(test_fixed),
	    cmocka_unit_test(test_parse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
