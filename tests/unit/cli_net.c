/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the network options: what each value means, what is wrong with the others, and that taps which cannot be had
 * leave nothing open. None of them makes a tap.
 */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/net.h"

static void test_values(void **state)
{
	(void)state;
	struct net_options net;
	memset(&net, 0, sizeof(net));
	assert_null(net_options_add(&net, "tap-name=tap0"));
	assert_null(net_options_add(&net, "tap-fd=7"));
	char value[] = "mac=02:00:00:00:00:01,host-ip=10.0.0.1,netmask=255.255.255.0";
	assert_null(net_options_add(&net, value));
	/* It is kept as it was. */
	memset(value, 'x', sizeof(value) - 1);
	assert_int_equal(net.count, 3);
	assert_string_equal(net.requests[0].tap_name, "tap0");
	assert_null(net.requests[0].tap_fd);
	assert_string_equal(net.requests[1].tap_fd, "7");
	assert_string_equal(net.requests[2].host_ip, "10.0.0.1");
	assert_string_equal(net.requests[2].netmask, "255.255.255.0");
	assert_string_equal(net.requests[2].mac, "02:00:00:00:00:01");
	net_options_fini(&net);
	assert_int_equal(net.count, 0);
}

static void test_wrong_values(void **state)
{
	(void)state;
	static const char *const wrong[] = {
	    "",
	    ",",
	    "tap0",
	    "tap-name",
	    "tap-name=",
	    "=tap0",
	    "tap-name=a,",
	    "tap-name=a,tap-name=b",
	    "tap-name=a,tap-fd=3",
	    "name=a",
	    "TAP-NAME=a",
	    "tap-name =a",
	    "host-ip=10.0.0.1",
	    "host-ip=10.0.0.1,netmask=255.0.0.0",
	    "netmask=255.0.0.0,mac=02:00:00:00:00:01",
	    "tap-name=a,mac=02:00:00:00:00:01",
	    "tap-fd=3,host-ip=10.0.0.1,netmask=255.0.0.0,mac=02:00:00:00:00:01",
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct net_options net;
		memset(&net, 0, sizeof(net));
		const char *words = net_options_add(&net, wrong[i]);
		if (!words)
			print_message("# taken: %s\n", wrong[i]);
		assert_non_null(words);
		net_options_fini(&net);
	}
}

static void test_number(void **state)
{
	(void)state;
	struct net_options net;
	memset(&net, 0, sizeof(net));
	for (int i = 0; i < TAPS_MAX; i++)
		assert_null(net_options_add(&net, "tap-name=a"));
	assert_non_null(net_options_add(&net, "tap-name=a"));
	assert_int_equal(net.count, TAPS_MAX);
	net_options_fini(&net);
}

/* What only shows when the taps are opened. */
static void expect_no_taps(const struct net_options *net, int code, const char *words)
{
	struct net_taps taps;
	struct plugvm_error error;
	int before = count_open_fds();
	memset(&taps, 0xff, sizeof(taps));
	assert_int_equal(net_taps_open(&taps, net, &error), -code);
	assert_int_equal(taps.count, 0);
	assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
	if (!strstr(error.text, words))
		print_message("# %s\n", error.text);
	assert_non_null(strstr(error.text, words));
	assert_int_equal(count_open_fds(), before);
}

static void test_open_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *value, *words;
		int code;
	} cases[] = {
	    {"host-ip=10.0.0,netmask=255.0.0.0,mac=02:00:00:00:00:01", "host-ip '10.0.0'", EINVAL},
	    {"host-ip=::1,netmask=255.0.0.0,mac=02:00:00:00:00:01", "host-ip '::1'", EINVAL},
	    {"host-ip=10.0.0.1,netmask=255.0.0.256,mac=02:00:00:00:00:01", "netmask '255.0.0.256'", EINVAL},
	    {"host-ip=10.0.0.1,netmask=255.0.0.0,mac=02:00:00:00:00", "mac '02:00:00:00:00'", EINVAL},
	    {"host-ip=10.0.0.1,netmask=255.0.0.0,mac=02:00:00:00:00:01:02", "mac '", EINVAL},
	    {"host-ip=10.0.0.1,netmask=255.0.0.0,mac=02:00:00:00:00:xy", "mac '", EINVAL},
	    {"tap-fd=-1", "tap-fd '-1'", EINVAL},
	    {"tap-fd=3x", "tap-fd '3x'", EINVAL},
	    {"tap-fd= 3", "tap-fd ' 3'", EINVAL},
	    {"tap-fd=99999999999999999999", "tap-fd '9999", EINVAL},
	    {"tap-fd=1000000", "tap-fd 1000000", EBADF},
	    {"tap-name=a-name-that-is-too-long", "'a-name-that-is-too-long'", ENAMETOOLONG},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct net_options net;
		memset(&net, 0, sizeof(net));
		assert_null(net_options_add(&net, cases[i].value));
		expect_no_taps(&net, cases[i].code, cases[i].words);
		net_options_fini(&net);
	}
}

/* An fd that is no tap is still the caller's. */
static void test_fd_that_is_no_tap(void **state)
{
	(void)state;
	int fd = eventfd(0, EFD_CLOEXEC);
	char value[32];
	snprintf(value, sizeof(value), "tap-fd=%d", fd);
	struct net_options net;
	struct net_taps taps;
	struct plugvm_error error;
	memset(&net, 0, sizeof(net));
	assert_null(net_options_add(&net, value));
	int before = count_open_fds();
	assert_true(net_taps_open(&taps, &net, &error) < 0);
	assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
	assert_int_equal(count_open_fds(), before);
	net_options_fini(&net);
	assert_int_equal(close(fd), 0);
}

/* The older options: each a tap of its own, the last three one together. */
static void test_older_options(void **state)
{
	(void)state;
	struct net_options net;
	memset(&net, 0, sizeof(net));
	net.tap_fd.tap_fd = "x";
	expect_no_taps(&net, EINVAL, "tap-fd 'x'");
	memset(&net, 0, sizeof(net));
	net.tap_name.tap_name = "a-name-that-is-too-long";
	expect_no_taps(&net, ENAMETOOLONG, "'a-name-that-is-too-long'");

	memset(&net, 0, sizeof(net));
	net.host_ip.mac = "02:00:00:00:00:01";
	expect_no_taps(&net, EINVAL, "`host-ip` is missing from the network configuration");
	net.host_ip.host_ip = "10.0.0.1";
	expect_no_taps(&net, EINVAL, "`netmask` is missing from the network configuration");
	net.host_ip.netmask = "255.255.255.0";
	net.host_ip.mac = NULL;
	expect_no_taps(&net, EINVAL, "`mac` is missing from the network configuration");
	net.host_ip.mac = "nonsense";
	expect_no_taps(&net, EINVAL, "mac 'nonsense'");
}

static void test_none(void **state)
{
	(void)state;
	struct net_options net;
	struct net_taps taps = {.count = 5};
	struct plugvm_error error;
	memset(&net, 0, sizeof(net));
	assert_int_equal(net_taps_open(&taps, &net, &error), 0);
	assert_int_equal(taps.count, 0);
	net_taps_fini(&taps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_wrong_values),
	    cmocka_unit_test(test_number),
	    cmocka_unit_test(test_open_wrong),
	    cmocka_unit_test(test_fd_that_is_no_tap),
	    cmocka_unit_test(test_older_options),
	    cmocka_unit_test(test_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
