/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the client library's requests that make no object: the bytes of ranges, pauses and hints, which hints are
 * refused before anything is sent, and the network configuration with its fd.
 */
#include "plugin_fake_host.c"

#include <sys/eventfd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Ranges ---- */

static void test_ranges(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	fake_reply(fake->socket, BYTES(0x5a, 0));
	assert_int_equal(crosvm_reserve_range(fake->plugin, CROSVM_ADDRESS_SPACE_MMIO, 0x1000, 5), 0);
	fake_expect(fake->socket, BYTES(0x52, 7, 0x08, 1, 0x10, 0x80, 0x20, 0x18, 5));
	fake_reply(fake->socket, BYTES(0x5a, 0));
	assert_int_equal(crosvm_reserve_async_write_range(fake->plugin, CROSVM_ADDRESS_SPACE_IOPORT, 0x80, 1), 0);
	fake_expect(fake->socket, BYTES(0x52, 7, 0x10, 0x80, 0x01, 0x18, 1, 0x20, 1));
	/* A release says the same. */
	fake_reply(fake->socket, BYTES(0x5a, 0));
	assert_int_equal(crosvm_reserve_async_write_range(fake->plugin, CROSVM_ADDRESS_SPACE_IOPORT, 5, 0), 0);
	fake_expect(fake->socket, BYTES(0x52, 4, 0x10, 5, 0x20, 1));
	fake_refuse(fake->socket, EPERM);
	assert_int_equal(crosvm_reserve_async_write_range(fake->plugin, CROSVM_ADDRESS_SPACE_IOPORT, 0, 0),
	                 -EPERM);
	fake_expect(fake->socket, BYTES(0x52, 2, 0x20, 1));
	static const uint32_t wrong[] = {2, 100, UINT32_MAX};
	for (size_t i = 0; i < COUNT(wrong); i++) {
		assert_int_equal(crosvm_reserve_range(fake->plugin, wrong[i], 0, 1), -EINVAL);
		assert_int_equal(crosvm_reserve_async_write_range(fake->plugin, wrong[i], 0, 1), -EINVAL);
	}
	assert_int_equal(crosvm_reserve_async_write_range(NULL, 0, 0, 1), -EINVAL);
	fake_expect_nothing(fake->socket);
}

/* ---- Pauses ---- */

static void test_pause(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	fake_reply(fake->socket, BYTES(0x8a, 0x01, 0));
	assert_int_equal(crosvm_pause_vcpus(fake->plugin, 5, (void *)0x1000), 0);
	fake_expect(fake->socket, BYTES(0x82, 0x01, 5, 0x08, 5, 0x10, 0x80, 0x20));
	fake_reply(fake->socket, BYTES(0x8a, 0x01, 0));
	assert_int_equal(crosvm_pause_vcpus(fake->plugin, 0, NULL), 0);
	fake_expect(fake->socket, BYTES(0x82, 0x01, 0));
	fake_reply(fake->socket, BYTES(0x8a, 0x01, 0));
	assert_int_equal(crosvm_pause_vcpus(fake->plugin, UINT64_MAX, NULL), 0);
	fake_expect(fake->socket,
	            BYTES(0x82, 0x01, 11, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01));
	fake_refuse(fake->socket, EINVAL);
	assert_int_equal(crosvm_pause_vcpus(fake->plugin, 1, NULL), -EINVAL);
	assert_int_equal(crosvm_pause_vcpus(NULL, 1, NULL), -EINVAL);
}

/* ---- Hints ---- */

static void test_hint(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	struct crosvm_hint_detail details[] = {
	    {.match_rax = true,
	     .match_rbx = true,
	     .match_rcx = true,
	     .match_rdx = true,
	     .rax = 1,
	     .rbx = 2,
	     .rcx = 3,
	     .rdx = 4,
	     .send_sregs = true,
	     .send_debugregs = true},
	    {.send_sregs = true},
	};
	struct crosvm_hint hint = {.address_space = CROSVM_ADDRESS_SPACE_MMIO,
	                           .address_flags = CROSVM_HINT_ON_WRITE,
	                           .details_count = 2,
	                           .address = 0x1000,
	                           .details = details};
	fake_reply(fake->socket, BYTES(0xa2, 0x01, 0));
	assert_int_equal(crosvm_set_hypercall_hint(fake->plugin, 1, &hint), 0);
	fake_expect(fake->socket,
	            BYTES(0x9a, 0x01, 33, 0x08, 1, 0x10, 0x80, 0x20, 0x18, 1, 0x22, 20, 0x08, 1, 0x10, 1, 0x18, 1,
	                  0x20, 1, 0x28, 1, 0x30, 2, 0x38, 3, 0x40, 4, 0x48, 1, 0x50, 1, 0x22, 2, 0x48, 1));
	hint = (struct crosvm_hint){.address = 7};
	fake_reply(fake->socket, BYTES(0xa2, 0x01, 0));
	assert_int_equal(crosvm_set_hypercall_hint(fake->plugin, 1, &hint), 0);
	fake_expect(fake->socket, BYTES(0x9a, 0x01, 2, 0x10, 7));
	/* None. */
	fake_reply(fake->socket, BYTES(0xa2, 0x01, 0));
	assert_int_equal(crosvm_set_hypercall_hint(fake->plugin, 0, NULL), 0);
	fake_expect(fake->socket, BYTES(0x9a, 0x01, 0));
	fake_refuse(fake->socket, ENOMEM);
	assert_int_equal(crosvm_set_hypercall_hint(fake->plugin, 0, NULL), -ENOMEM);
}

static void test_wrong_hints(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	static struct crosvm_hint_detail details[CROSVM_MAX_HINT_DETAIL_COUNT + 1];
	const struct crosvm_hint good = {
	    .details_count = CROSVM_MAX_HINT_DETAIL_COUNT, .address = 1, .details = details};
	struct crosvm_hint wrong[8];
	for (size_t i = 0; i < COUNT(wrong); i++)
		wrong[i] = good;
	wrong[0].hint_version = 1;
	wrong[1]._reserved = 1;
	wrong[2].address_space = 2;
	wrong[3].address_flags = 2;
	wrong[4].details_count++;
	wrong[5].address = 0;
	wrong[6].details = NULL;
	wrong[7].address_flags = CROSVM_HINT_ON_WRITE | 0x8000;
	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_int_equal(crosvm_set_hypercall_hint(fake->plugin, 1, &wrong[i]), -EINVAL);
	assert_int_equal(crosvm_set_hypercall_hint(fake->plugin, 2, &good), -EINVAL);
	assert_int_equal(crosvm_set_hypercall_hint(fake->plugin, 1, NULL), -EINVAL);
	assert_int_equal(crosvm_set_hypercall_hint(NULL, 1, &good), -EINVAL);
	assert_int_equal(crosvm_set_hypercall_hint(NULL, 0, NULL), -EINVAL);
	fake_expect_nothing(fake->socket);
	/* As many details as there may be. */
	fake_reply(fake->socket, BYTES(0xa2, 0x01, 0));
	assert_int_equal(crosvm_set_hypercall_hint(fake->plugin, 1, &good), 0);
}

/* ---- The network ---- */

#define NET_CONFIG BYTES(0x52, 18, 0x0a, 6, 2, 0, 0, 0, 0, 1, 0x15, 10, 0, 0, 1, 0x1d, 255, 255, 255, 0)

static void test_net_config(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	int tap = eventfd(7, EFD_CLOEXEC);
	struct crosvm_net_config config;
	memset(&config, 0xff, sizeof(config));
	fake_reply_fds(fake->socket, NET_CONFIG, &tap, 1);
	assert_int_equal(crosvm_net_get_config(fake->plugin, &config), 0);
	fake_expect(fake->socket, BYTES(0x4a, 0));
	/* Network byte order: the bytes are the address. */
	static const uint8_t address[] = {10, 0, 0, 1}, netmask[] = {255, 255, 255, 0},
	                     mac[] = {2, 0, 0, 0, 0, 1, 0, 0};
	assert_memory_equal(&config.host_ip, address, 4);
	assert_memory_equal(&config.netmask, netmask, 4);
	assert_memory_equal(config.host_mac_address, mac, 8);
	assert_int_equal(fcntl(config.tap_fd, F_GETFD), FD_CLOEXEC);
	uint64_t count;
	assert_int_equal(read(config.tap_fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 7);
	close(config.tap_fd);
	fd_close(&tap);
}

static void test_net_config_refused(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	int tap = eventfd(7, EFD_CLOEXEC), taps[] = {tap, tap};
	struct crosvm_net_config config;
	memset(&config, 0xff, sizeof(config));
	size_t before = fake_count_fds();
	fake_refuse(fake->socket, ENODATA);
	assert_int_equal(crosvm_net_get_config(fake->plugin, &config), -ENODATA);
	/* A hardware address of 5 bytes, of 7, and none. */
	fake_reply_fds(fake->socket, BYTES(0x52, 7, 0x0a, 5, 2, 0, 0, 0, 0), &tap, 1);
	assert_int_equal(crosvm_net_get_config(fake->plugin, &config), -EPROTO);
	fake_reply_fds(fake->socket, BYTES(0x52, 9, 0x0a, 7, 2, 0, 0, 0, 0, 0, 0), &tap, 1);
	assert_int_equal(crosvm_net_get_config(fake->plugin, &config), -EPROTO);
	fake_reply_fds(fake->socket, BYTES(0x52, 0), &tap, 1);
	assert_int_equal(crosvm_net_get_config(fake->plugin, &config), -EPROTO);
	/* No fd, or two. */
	fake_reply(fake->socket, NET_CONFIG);
	assert_int_equal(crosvm_net_get_config(fake->plugin, &config), -EPROTO);
	fake_reply_fds(fake->socket, NET_CONFIG, taps, 2);
	assert_int_equal(crosvm_net_get_config(fake->plugin, &config), -EPROTO);
	assert_int_equal(fake_count_fds(), before);
	assert_int_equal(config.tap_fd, -1);
	assert_int_equal(crosvm_net_get_config(NULL, &config), -EINVAL);
	assert_int_equal(crosvm_net_get_config(fake->plugin, NULL), -EINVAL);
	fd_close(&tap);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_ranges),      TEST(test_pause),      TEST(test_hint),
	    TEST(test_wrong_hints), TEST(test_net_config), TEST(test_net_config_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
