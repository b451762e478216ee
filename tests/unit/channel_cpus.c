/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks how many CPUs count as usable: the affinity, and the least quota of the cgroup and those above it, of both
 * versions, in a directory that looks like theirs.
 */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel/calls.h"
#include "channel/cpus.h"

static int allowed;
static char top[] = "/tmp/plugvm-cpus-XXXXXX", middle[64], home[80];

static int fake_affinity(void)
{
	return allowed;
}

static void put(const char *directory, const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (!text) {
		unlink(path);
		return;
	}
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
	static struct channel_calls real;
	real = channel_calls;
	*state = &real;
	channel_calls.affinity = fake_affinity;
	allowed = 16;
	assert_non_null(mkdtemp(top));
	snprintf(middle, sizeof(middle), "%s/middle", top);
	snprintf(home, sizeof(home), "%s/home", middle);
	assert_int_equal(mkdir(middle, 0700), 0);
	assert_int_equal(mkdir(home, 0700), 0);
	return 0;
}

static int teardown(void **state)
{
	channel_calls = *(struct channel_calls *)*state;
	const char *const directories[] = {home, middle, top};
	for (size_t i = 0; i < 3; i++) {
		put(directories[i], "cpu.max", NULL);
		put(directories[i], "cpu.cfs_quota_us", NULL);
		put(directories[i], "cpu.cfs_period_us", NULL);
		assert_int_equal(rmdir(directories[i]), 0);
	}
	return 0;
}

static void test_usable(void **state)
{
	(void)state;
	const struct cpus_cgroup v2 = {.top = top, .home = home, .is_v2 = true}, v1 = {.top = top, .home = home};
	assert_int_equal(cpus_usable(NULL), 16);
	assert_int_equal(cpus_usable(&v2), 16);
	assert_int_equal(cpus_usable(&v1), 16);
	put(home, "cpu.max", "max 100000\n");
	assert_int_equal(cpus_usable(&v2), 16);
	put(middle, "cpu.max", "450000 100000\n");
	assert_int_equal(cpus_usable(&v2), 4);
	put(home, "cpu.max", "200000 100000\n");
	assert_int_equal(cpus_usable(&v2), 2);
	put(top, "cpu.max", "50000 100000\n");
	assert_int_equal(cpus_usable(&v2), 0);
	static const char *const odd[] = {"", "nothing", "100000", "100000 0", "9223372036854775807 1"};
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		put(top, "cpu.max", odd[i]);
		assert_int_equal(cpus_usable(&v2), 2);
	}

	put(home, "cpu.cfs_quota_us", "-1\n");
	put(home, "cpu.cfs_period_us", "100000\n");
	assert_int_equal(cpus_usable(&v1), 16);
	put(top, "cpu.cfs_quota_us", "300000\n");
	assert_int_equal(cpus_usable(&v1), 16);
	put(top, "cpu.cfs_period_us", "100000\n");
	assert_int_equal(cpus_usable(&v1), 3);

	allowed = 1;
	assert_int_equal(cpus_usable(&v1), 1);
	allowed = -EPERM;
	assert_int_equal(cpus_usable(NULL), 1);
}

static void test_real(void **state)
{
	channel_calls = *(struct channel_calls *)*state;
	assert_true(cpus_usable(NULL) >= 1);
	assert_true(channel_calls.online() >= 1);
	channel_calls.affinity = fake_affinity;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_usable), cmocka_unit_test(test_real)};
	return cmocka_run_group_tests(tests, setup, teardown);
}
