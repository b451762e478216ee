/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks network taps as far as that needs no privilege: what is no tap is refused and stays the caller's, and nothing
 * is left open. Taps that are some are for the system tests.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "host/tap.h"

static void test_adopt_what_is_none(void **state)
{
	(void)state;
	int sockets[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	int others[] = {eventfd(0, EFD_CLOEXEC), make_memfd(4096, 0), open("/dev/null", O_RDWR | O_CLOEXEC),
	                sockets[0], sockets[1]};
	int before = count_open_fds();
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct plugvm_tap *tap = NULL;
		struct plugvm_error error;
		int flags = fcntl(others[i], F_GETFL);
		assert_true(flags >= 0);
		assert_true(plugvm_tap_adopt(others[i], &tap, &error) < 0);
		assert_null(tap);
		assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
		assert_true(error.text[0] != '\0');
		/* It is as it was, flags included. */
		assert_int_equal(fcntl(others[i], F_GETFL), flags);
		assert_int_equal(plugvm_tap_adopt(others[i], &tap, NULL), -error.code);
	}
	assert_int_equal(count_open_fds(), before);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		fd_close(&others[i]);
	struct plugvm_tap *tap;
	assert_int_equal(plugvm_tap_adopt(-1, &tap, NULL), -EBADF);
}

static void test_open_names(void **state)
{
	(void)state;
	struct plugvm_tap *tap = NULL;
	struct plugvm_error error;
	int before = count_open_fds();
	char name[IFNAMSIZ + 1];
	memset(name, 'x', sizeof(name));
	name[IFNAMSIZ] = '\0';
	assert_int_equal(plugvm_tap_open(name, &tap, &error), -ENAMETOOLONG);
	assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
	/* It opens what there is, and makes nothing, not even of a pattern. */
	const char *const none[] = {"", "plugvm-none", "plugvm%d"};
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		assert_int_equal(plugvm_tap_open(none[i], &tap, &error), -ENODEV);
		assert_int_equal(error.kind, PLUGVM_ERROR_ENVIRONMENT);
		assert_int_equal(error.code, ENODEV);
	}
	assert_null(tap);
	assert_int_equal(count_open_fds(), before);
}

static int make_control(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	return fd;
}

/* The tap has gone, or was never there. */
static void test_config_of_no_interface(void **state)
{
	(void)state;
	int before = count_open_fds();
	struct plugvm_tap gone = {.fd = -1, .control = make_control(), .name = "plugvm-none"};
	struct tap_config config;
	assert_int_equal(tap_get_config(&gone, &config), -ENODEV);
	fd_close(&gone.control);
	assert_int_equal(count_open_fds(), before);
	assert_string_equal(plugvm_tap_name(&gone), "plugvm-none");
}

/* Every machine has an interface with an address: what is read of it is what it is. */
static void test_config_of_loopback(void **state)
{
	(void)state;
	struct plugvm_tap loopback = {.fd = -1, .control = make_control(), .name = "lo"};
	struct tap_config config;
	memset(&config, 0xff, sizeof(config));
	int result = tap_get_config(&loopback, &config);
	fd_close(&loopback.control);
	if (result == -EADDRNOTAVAIL || result == -ENODEV)
		test_skip("the loopback interface has no address here");
	assert_int_equal(result, 0);
	static const uint8_t address[] = {127, 0, 0, 1}, netmask[] = {255, 0, 0, 0}, mac[6];
	assert_memory_equal(&config.address, address, 4);
	assert_memory_equal(&config.netmask, netmask, 4);
	assert_memory_equal(config.mac, mac, 6);
}

static void test_free_none(void **state)
{
	(void)state;
	struct plugvm_tap *tap = NULL;
	plugvm_tap_free(&tap);
	assert_null(tap);
}

/* The plugin, which holds the same open file, tells the interface to stay; it goes all the same. */
static void test_made_one_goes(void **state)
{
	(void)state;
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct plugvm_error error;
	struct plugvm_tap *tap = NULL;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* In a network of its own, which ends with it. */
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 && unshare(CLONE_NEWNET) < 0)
			_exit(77);
		if (plugvm_tap_new(htonl(0xc0000201), htonl(0xffffff00), mac, &tap, &error) < 0)
			_exit(77);
		char name[IFNAMSIZ];
		strcpy(name, plugvm_tap_name(tap));
		/* No socket is made for it: a host's filter forbids that by then. */
		struct tap_config config;
		struct rlimit before;
		if (getrlimit(RLIMIT_NOFILE, &before) < 0 ||
		    setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, before.rlim_max}) < 0 ||
		    tap_get_config(tap, &config) < 0 || setrlimit(RLIMIT_NOFILE, &before) < 0)
			_exit(3);
		int plugin_fd = dup(tap->fd);
		if (plugin_fd < 0 || ioctl(plugin_fd, TUNSETPERSIST, 1L) < 0)
			_exit(1);
		plugvm_tap_free(&tap);
		close(plugin_fd);
		_exit(if_nametoindex(name) != 0 ? 2 : 0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		test_skip("no tap in a network namespace here");
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_adopt_what_is_none),
	    cmocka_unit_test(test_open_names),
	    cmocka_unit_test(test_config_of_no_interface),
	    cmocka_unit_test(test_config_of_loopback),
	    cmocka_unit_test(test_free_none),
	    cmocka_unit_test(test_made_one_goes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
