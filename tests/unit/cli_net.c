/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the network options of `plugvm run`: what --net takes, which taps are asked for in which order and with
 * which values, and what becomes of them when one of them fails. The taps are not real ones.
 */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "cli/net.h"

/* ---- Taps that only remember how they were asked for ---- */

struct plugvm_tap {
	char asked[64];
	int fd;
	bool open;
};

static struct plugvm_tap taps[TAPS_MAX + 3];
static size_t tap_count, failing_tap;
static int tap_failure;

static struct plugvm_tap *next_tap(void)
{
	assert_true(tap_count < sizeof(taps) / sizeof(taps[0]));
	return &taps[tap_count++];
}

static int tap_result(struct plugvm_tap *tap, struct plugvm_tap **out_tap, struct plugvm_error *out_error)
{
	if (tap_failure && tap_count - 1 == failing_tap)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, -tap_failure, "the tap's own words");
	tap->open = true;
	*out_tap = tap;
	return 0;
}

int plugvm_tap_new(uint32_t address, uint32_t netmask, const uint8_t mac[6], struct plugvm_tap **out_tap,
                   struct plugvm_error *out_error)
{
	struct plugvm_tap *tap = next_tap();
	snprintf(tap->asked, sizeof(tap->asked), "new %08x %08x %02x%02x%02x%02x%02x%02x", ntohl(address),
	         ntohl(netmask), mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	tap->fd = -1;
	return tap_result(tap, out_tap, out_error);
}

int plugvm_tap_open(const char *name, struct plugvm_tap **out_tap, struct plugvm_error *out_error)
{
	struct plugvm_tap *tap = next_tap();
	snprintf(tap->asked, sizeof(tap->asked), "open %s", name);
	tap->fd = -1;
	return tap_result(tap, out_tap, out_error);
}

int plugvm_tap_adopt(int fd, struct plugvm_tap **out_tap, struct plugvm_error *out_error)
{
	struct plugvm_tap *tap = next_tap();
	snprintf(tap->asked, sizeof(tap->asked), "adopt %s",
	         fcntl(fd, F_GETFD) == FD_CLOEXEC ? "a private copy" : "?");
	tap->fd = fd;
	return tap_result(tap, out_tap, out_error);
}

void plugvm_tap_free(struct plugvm_tap **tap)
{
	assert_true((*tap)->open);
	fd_close(&(*tap)->fd);
	(*tap)->open = false;
	*tap = NULL;
}

/* ---- Tests ---- */

struct rig {
	int fds_before;
	int inherited; /* an fd such as a caller passes on */
	struct net_options options;
	struct net_taps taps;
	struct plugvm_error error;
};

static int setup(void **state)
{
	static struct rig rig;
	memset(&rig, 0, sizeof(rig));
	memset(taps, 0, sizeof(taps));
	tap_count = 0;
	tap_failure = 0;
	rig.fds_before = count_open_fds();
	rig.inherited = open("/dev/null", O_RDWR);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	net_options_fini(&rig->options);
	fd_close(&rig->inherited);
	for (size_t i = 0; i < tap_count; i++)
		assert_false(taps[i].open);
	assert_int_equal(count_open_fds(), rig->fds_before);
	return 0;
}

static void add(struct rig *rig, const char *value)
{
	const char *wrong = net_options_add(&rig->options, value);
	if (wrong)
		fail_msg("%s: %s", value, wrong);
}

static void expect_refused(const char *value, const char *text)
{
	struct net_options options = {.count = 0};
	const char *wrong = net_options_add(&options, value);
	if (!wrong || !strstr(wrong, text))
		fail_msg("'%s' gives '%s', not '%s'", value, wrong ? wrong : "", text);
	net_options_fini(&options);
}

/* Open the taps of the options and compare how they were asked for, one after the other. */
static void expect_taps(struct rig *rig, const char *const *asked, size_t count)
{
	assert_int_equal(net_taps_open(&rig->taps, &rig->options, &rig->error), 0);
	assert_int_equal(rig->taps.count, count);
	for (size_t i = 0; i < count; i++) {
		assert_ptr_equal(rig->taps.taps[i], &taps[i]);
		assert_string_equal(taps[i].asked, asked[i]);
	}
	net_taps_fini(&rig->taps);
	assert_int_equal(rig->taps.count, 0);
}

/* Open them, which fails with this kind and these words. */
static void expect_failure(struct rig *rig, enum plugvm_error_kind kind, const char *text)
{
	assert_true(net_taps_open(&rig->taps, &rig->options, &rig->error) < 0);
	assert_int_equal(rig->taps.count, 0);
	assert_int_equal(rig->error.kind, kind);
	if (!strstr(rig->error.text, text))
		fail_msg("'%s' lacks '%s'", rig->error.text, text);
}

static void test_nothing(void **state)
{
	struct rig *rig = *state;
	expect_taps(rig, NULL, 0);
}

static void test_values(void **state)
{
	struct rig *rig = *state;
	/* The value is the caller's and may change; the keys come in any order. */
	char value[] = "mac=02:aB:0:00:5:fe,host-ip=10.1.2.3,netmask=255.255.255.128";
	add(rig, value);
	memset(value, 'x', sizeof(value) - 1);
	add(rig, "tap-name=tap=0");
	add(rig, "tap-name=x");
	assert_int_equal(rig->options.count, 3);
	expect_taps(rig, (const char *const[]){"new 0a010203 ffffff80 02ab000005fe", "open tap=0", "open x"}, 3);
}

static void test_values_refused(void **state)
{
	(void)state;
	static const char *const no_pairs[] = {
	    "",          "tap0",       "tap-name",    "tap-name=", "=", ",", "tap-name=a,", ",tap-name=a",
	    "host-ip==", "tap-fd=,3=", "tap-name=a,,"};
	for (size_t i = 0; i < sizeof(no_pairs) / sizeof(no_pairs[0]); i++) {
		struct net_options options = {.count = 0};
		if (!net_options_add(&options, no_pairs[i]))
			fail_msg("'%s' is taken", no_pairs[i]);
		net_options_fini(&options);
	}
	expect_refused("tap-name", "takes KEY=VALUE");
	expect_refused("tap-name=", "takes KEY=VALUE");
	expect_refused("name=a", "the keys are tap-name, tap-fd, host-ip, netmask and mac");
	expect_refused("Tap-Name=a", "the keys are");
	expect_refused(" tap-name=a", "the keys are");
	expect_refused("tap-name=a,tap-name=a", "a key is given twice");
	expect_refused("tap-name=a,tap-fd=3", "give one of");
	expect_refused("tap-fd=3,mac=02:00:00:00:00:01", "give one of");
	expect_refused("tap-name=a,host-ip=10.0.0.1,netmask=255.0.0.0,mac=02:00:00:00:00:01", "give one of");
	expect_refused("host-ip=10.0.0.1", "go together");
	expect_refused("netmask=255.0.0.0", "go together");
	expect_refused("mac=02:00:00:00:00:01", "go together");
	expect_refused("host-ip=10.0.0.1,mac=02:00:00:00:00:01", "go together");
}

static void test_too_many(void **state)
{
	struct rig *rig = *state;
	static const char *asked[TAPS_MAX + 3];
	for (size_t i = 0; i < TAPS_MAX; i++) {
		add(rig, "tap-name=a");
		asked[i] = "open a";
	}
	const char *wrong = net_options_add(&rig->options, "tap-name=a");
	assert_non_null(wrong);
	assert_string_equal(wrong, "there are too many");
	/* There is room for the deprecated options as well. */
	rig->options.tap_name.tap_name = "b";
	rig->options.tap_fd.tap_fd = "0";
	rig->options.host_ip = (struct net_request){
	    .host_ip = "10.0.0.1", .netmask = "255.0.0.0", .mac = "02:00:00:00:00:01"};
	asked[TAPS_MAX] = "open b";
	asked[TAPS_MAX + 1] = "adopt a private copy";
	asked[TAPS_MAX + 2] = "new 0a000001 ff000000 020000000001";
	expect_taps(rig, asked, TAPS_MAX + 3);
}

static void test_deprecated(void **state)
{
	struct rig *rig = *state;
	rig->options.host_ip = (struct net_request){
	    .host_ip = "192.168.0.1", .netmask = "255.255.0.0", .mac = "02:00:00:00:00:01"};
	rig->options.tap_name.tap_name = "b";
	add(rig, "tap-name=a");
	expect_taps(rig, (const char *const[]){"open a", "open b", "new c0a80001 ffff0000 020000000001"}, 3);
}

static void test_deprecated_missing(void **state)
{
	struct rig *rig = *state;
	struct net_request *request = &rig->options.host_ip;
	request->netmask = "255.0.0.0";
	expect_failure(rig, PLUGVM_ERROR_CONFIG, "`host-ip` is missing from the network configuration");
	*request = (struct net_request){.host_ip = "10.0.0.1", .mac = "02:00:00:00:00:01"};
	expect_failure(rig, PLUGVM_ERROR_CONFIG, "`netmask` is missing");
	*request = (struct net_request){.host_ip = "10.0.0.1", .netmask = "255.0.0.0"};
	expect_failure(rig, PLUGVM_ERROR_CONFIG, "`mac` is missing");
	assert_int_equal(tap_count, 0);
}

static void expect_addresses_refused(struct rig *rig, const char *host_ip, const char *netmask, const char *mac,
                                     const char *text)
{
	rig->options.host_ip = (struct net_request){.host_ip = host_ip, .netmask = netmask, .mac = mac};
	expect_failure(rig, PLUGVM_ERROR_CONFIG, text);
	assert_int_equal(tap_count, 0);
}

static void test_addresses_refused(void **state)
{
	struct rig *rig = *state;
	static const char ip[] = "10.0.0.1", netmask[] = "255.0.0.0", mac[] = "02:00:00:00:00:01";
	static const char *const no_addresses[] = {"",          "10.0.0", "10.0.0.256", "10.0.0.1/8",
	                                           " 10.0.0.1", "::1",    "host"};
	for (size_t i = 0; i < sizeof(no_addresses) / sizeof(no_addresses[0]); i++) {
		expect_addresses_refused(rig, no_addresses[i], netmask, mac, "is no IPv4 address");
		expect_addresses_refused(rig, ip, no_addresses[i], mac, "is no IPv4 netmask");
	}
	static const char *const no_macs[] = {"",
	                                      "02:00:00:00:00",
	                                      "02:00:00:00:00:",
	                                      "02:00:00:00:00:01:02",
	                                      "02:00:00:00:00:01 ",
	                                      "02:00:00:00:00:101",
	                                      "02-00-00-00-00-01",
	                                      "020000000001",
	                                      "0g:00:00:00:00:01",
	                                      "-1:00:00:00:00:01",
	                                      "02: 0:00:00:00:01",
	                                      "0x:00:00:00:00:01",
	                                      "::::::"};
	for (size_t i = 0; i < sizeof(no_macs) / sizeof(no_macs[0]); i++)
		expect_addresses_refused(rig, ip, netmask, no_macs[i], "is not like 02:00:00:00:00:01");
}

static void test_fd(void **state)
{
	struct rig *rig = *state;
	char number[16];
	snprintf(number, sizeof(number), "%d", rig->inherited);
	rig->options.tap_fd.tap_fd = number;
	expect_taps(rig, (const char *const[]){"adopt a private copy"}, 1);
	/* The caller's own is still there. */
	assert_int_equal(fcntl(rig->inherited, F_GETFD), 0);
}

static void test_fds_refused(void **state)
{
	struct rig *rig = *state;
	static const char *const no_numbers[] = {
	    "-1", "+3", " 3", "3x", "0x3", "three", "", "1048577", "99999999999999999999"};
	for (size_t i = 0; i < sizeof(no_numbers) / sizeof(no_numbers[0]); i++) {
		rig->options.tap_fd.tap_fd = no_numbers[i];
		expect_failure(rig, PLUGVM_ERROR_CONFIG, "is no file descriptor number");
	}
	char number[16];
	snprintf(number, sizeof(number), "%d", rig->inherited);
	rig->options.tap_fd.tap_fd = number;

	/* One of the program's own, and none at all. */
	assert_int_equal(fcntl(rig->inherited, F_SETFD, FD_CLOEXEC), 0);
	expect_failure(rig, PLUGVM_ERROR_CONFIG, "Bad file descriptor");
	fd_close(&rig->inherited);
	expect_failure(rig, PLUGVM_ERROR_CONFIG, "Bad file descriptor");
	assert_int_equal(tap_count, 0);
}

static void test_fd_is_no_tap(void **state)
{
	struct rig *rig = *state;
	char number[16], text[32];
	snprintf(number, sizeof(number), "%d", rig->inherited);
	snprintf(text, sizeof(text), "tap-fd %d is no tap", rig->inherited);
	rig->options.tap_fd.tap_fd = number;
	tap_failure = -ENOTTY;
	expect_failure(rig, PLUGVM_ERROR_CONFIG, text);
	tap_failure = -EBADFD;
	failing_tap = 1;
	expect_failure(rig, PLUGVM_ERROR_CONFIG, text);
	/* Anything else in its own words. */
	tap_failure = -ENOMEM;
	failing_tap = 2;
	expect_failure(rig, PLUGVM_ERROR_ENVIRONMENT, "the tap's own words");
}

/* Those before it are closed again (teardown looks), and those after it are not tried. */
static void test_one_fails(void **state)
{
	struct rig *rig = *state;
	add(rig, "host-ip=10.0.0.1,netmask=255.0.0.0,mac=02:00:00:00:00:01");
	add(rig, "tap-fd=0");
	add(rig, "tap-name=a");
	add(rig, "tap-name=b");
	rig->options.tap_name.tap_name = "c";
	tap_failure = -EPERM;
	failing_tap = 2;
	expect_failure(rig, PLUGVM_ERROR_ENVIRONMENT, "the tap's own words");
	assert_int_equal(tap_count, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_nothing),           TEST(test_values),     TEST(test_values_refused),
	    TEST(test_too_many),          TEST(test_deprecated), TEST(test_deprecated_missing),
	    TEST(test_addresses_refused), TEST(test_fd),         TEST(test_fds_refused),
	    TEST(test_fd_is_no_tap),      TEST(test_one_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
