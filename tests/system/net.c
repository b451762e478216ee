/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the plugin's network with the example net, whose guest answers ARP and ping: packets of this kernel's own
 * network stack go through the tap, the plugin and the guest, and back.
 *
 * The test and all that it starts live in a network namespace that goes away with them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "harness.h"

#define RUN        PLUGVM, "run"
#define NET        built("examples/net/net")
#define HOST       "10.77.0.1"
#define GUEST      "10.77.0.2"
#define NETMASK    "255.255.255.0"
#define MAC        "02:00:00:00:77:01"
#define NEW_TAP    "host-ip=" HOST ",netmask=" NETMASK ",mac=" MAC
#define NEW_CONFIG "host " HOST ", netmask " NETMASK ", mac " MAC "; guest " GUEST "\n"

/* The first fd of a program that has its stdio. */
#define GIVEN_FD "3"

/* As in examples/net/guest.asm. */
static const uint8_t guest_mac[6] = {2, 0, 0, 0, 0, 0x2a};

/* For the answer to one packet; another is sent after that. */
#define ANSWER_SECONDS 10
#define TRIES          (DEADLINE_MS / 1000 / ANSWER_SECONDS)
#define PAYLOAD_MAX    1472 /* what fits a frame of Ethernet */

static char refusal[128];

/* The highest index of an interface that the namespace began with; those made later have higher ones. */
static unsigned last_own_interface;

/* ---- The namespace ---- */

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : write(fd, text, strlen(text));
	if (fd >= 0)
		close(fd);
	return size < 0 ? -1 : 0;
}

/* Whoever is not root becomes it in a user namespace, which the network namespace then belongs to. */
static int enter_namespace(void)
{
	if (unshare(CLONE_NEWNET) == 0)
		return 0;
	char uid_map[32], gid_map[32];
	snprintf(uid_map, sizeof(uid_map), "0 %u 1", geteuid());
	snprintf(gid_map, sizeof(gid_map), "0 %u 1", getegid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 || write_file("/proc/self/setgroups", "deny") < 0 ||
	    write_file("/proc/self/uid_map", uid_map) < 0 || write_file("/proc/self/gid_map", gid_map) < 0)
		return -1;
	return 0;
}

/* Once, as whoever runs the tests. */
static void prepare(void)
{
	static bool is_done;
	if (is_done)
		return;
	is_done = true;
	if (enter_namespace() < 0) {
		snprintf(refusal, sizeof(refusal), "a network namespace: %s", strerror(errno));
		return;
	}
	struct if_nameindex *interfaces = if_nameindex();
	for (struct if_nameindex *one = interfaces; one && one->if_name; one++)
		last_own_interface = one->if_index > last_own_interface ? one->if_index : last_own_interface;
	if_freenameindex(interfaces);

	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq interface = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	if (fd < 0 || ioctl(fd, TUNSETIFF, &interface) < 0)
		snprintf(refusal, sizeof(refusal), "/dev/net/tun: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

#define NEED_NETWORK()                      \
	do {                                \
		prepare();                  \
		if (refusal[0])             \
			test_skip(refusal); \
	} while (0)

/* A fresh namespace has lo, and with some kernels more. */
static void expect_no_tap(void)
{
	struct if_nameindex *interfaces = if_nameindex();
	assert_non_null(interfaces);
	for (struct if_nameindex *one = interfaces; one->if_name; one++) {
		if (one->if_index > last_own_interface)
			fail_msg("interface %s is still there", one->if_name);
	}
	if_freenameindex(interfaces);
}

/* ---- Taps of the test's own ---- */

static int set_address(int control, struct ifreq *interface, unsigned long request, const char *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	inet_pton(AF_INET, address, &in.sin_addr);
	memcpy(&interface->ifr_addr, &in, sizeof(in));
	return ioctl(control, request, interface);
}

static int bring_up(int control, struct ifreq *interface)
{
	if (ioctl(control, SIOCGIFFLAGS, interface) < 0)
		return -1;
	interface->ifr_flags |= IFF_UP;
	return ioctl(control, SIOCSIFFLAGS, interface);
}

/* Make a tap; `address` may be NULL. Also called between fork and exec. Returns its fd, which exec keeps, or -1. */
static int make_tap(const char *name, short flags, const char *address)
{
	struct ifreq interface = {.ifr_flags = flags};
	strcpy(interface.ifr_name, name);
	int fd = open("/dev/net/tun", O_RDWR);
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool good = fd >= 0 && control >= 0 && ioctl(fd, TUNSETIFF, &interface) == 0 &&
	            (!address || (set_address(control, &interface, SIOCSIFADDR, address) == 0 &&
	                          set_address(control, &interface, SIOCSIFNETMASK, NETMASK) == 0)) &&
	            bring_up(control, &interface) == 0;
	if (control >= 0)
		close(control);
	if (good)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Make one that stays when nobody has it open. */
static void make_lasting_tap(const char *name, short flags, const char *address)
{
	int fd = make_tap(name, flags, address);
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
	close(fd);
}

/* Also the proof that it has stayed, and that nobody has it open. */
static void remove_tap(const char *name, short flags)
{
	assert_true(if_nametoindex(name) > 0);
	int fd = make_tap(name, flags, NULL);
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 0), 0);
	close(fd);
	expect_no_tap();
}

/* What a program gets as GIVEN_FD. */
struct given {
	short flags;
	const char *address;
};

static void give_tap(void *context)
{
	const struct given *given = context;
	if (make_tap("given0", given->flags, given->address) != atoi(GIVEN_FD))
		_exit(99);
}

/* ---- Ping ---- */

struct echo {
	struct icmphdr header;
	uint8_t payload[PAYLOAD_MAX];
};

/* The sum of the Internet's protocols; of data that holds its own, it is 0. */
static uint16_t checksum(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint32_t sum = 0;
	for (size_t i = 0; i < size; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* Receive until the answer to `request` is there; returns false if it does not come in time. */
static bool receive_answer(int fd, const struct echo *request, size_t size)
{
	struct {
		struct iphdr ip;
		struct echo echo;
	} packet;
	for (;;) {
		ssize_t received = recv(fd, &packet, sizeof(packet), 0);
		if (received < 0)
			return false;
		if (packet.echo.header.type != ICMP_ECHOREPLY ||
		    packet.echo.header.un.echo.sequence != request->header.un.echo.sequence)
			continue;
		assert_int_equal(packet.ip.saddr, inet_addr(GUEST));
		assert_int_equal(packet.ip.daddr, inet_addr(HOST));
		assert_int_equal((size_t)received, sizeof(packet.ip) + size);
		assert_int_equal(checksum(&packet.echo, size), 0);
		assert_int_equal(packet.echo.header.un.echo.id, request->header.un.echo.id);
		assert_memory_equal(packet.echo.payload, request->payload, size - sizeof(request->header));
		return true;
	}
}

/* One ping. It is repeated if no answer comes: ARP gives up after 3 s, in which a machine may do other things. */
static void ping(uint16_t sequence, size_t payload)
{
	struct echo request = {.header = {.type = ICMP_ECHO}};
	size_t size = sizeof(request.header) + payload;
	request.header.un.echo.id = htons(0x7777);
	request.header.un.echo.sequence = htons(sequence);
	for (size_t i = 0; i < payload; i++)
		request.payload[i] = (uint8_t)(i * 7 + sequence);
	request.header.checksum = checksum(&request, size);

	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	assert_true(fd >= 0);
	struct timeval patience = {.tv_sec = ANSWER_SECONDS};
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	struct sockaddr_in guest = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(GUEST)};
	bool answered = false;
	for (int i = 0; i < TRIES && !answered; i++) {
		assert_int_equal(sendto(fd, &request, size, 0, (struct sockaddr *)&guest, sizeof(guest)), size);
		answered = receive_answer(fd, &request, size);
	}
	close(fd);
	if (!answered)
		fail_msg("ping %u was not answered", sequence);
}

/* What this kernel has learnt from the guest's answer to ARP. */
static void expect_guest_mac(const char *tap)
{
	struct sockaddr_in guest = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(GUEST)};
	struct arpreq entry = {.arp_flags = 0};
	memcpy(&entry.arp_pa, &guest, sizeof(guest));
	strcpy(entry.arp_dev, tap);
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int result = ioctl(control, SIOCGARP, &entry);
	close(control);
	assert_int_equal(result, 0);
	assert_memory_equal(entry.arp_ha.sa_data, guest_mac, sizeof(guest_mac));
}

/* ---- Frames through the guest ---- */

/* Start the words, with a plugin that ends after 3 pings, and ping it through this tap. */
static void ping_through(const struct setup *setup, const char *const *words, const char *tap, const char *config)
{
	struct run run;
	run_start(&run, setup, words);
	run_await(&run, "; guest " GUEST "\n");
	ping(1, 56);
	expect_guest_mac(tap);
	ping(2, PAYLOAD_MAX);
	ping(3, 0);
	run_finish(&run);
	run_expect_status(&run, 0);
	char expected[256];
	snprintf(expected, sizeof(expected), "%sthe guest answered 3 pings\n", config ? config : run.out.text);
	if (config)
		run_expect_out(&run, expected);
	run_expect_no_err(&run, "lost");
	run_fini(&run);
}

static void test_new_tap(void **state)
{
	(void)state;
	NEED_NETWORK();
	ping_through(NULL, WORDS(RUN, "--net", NEW_TAP, "--", NET, "3"), "vmtap0", NEW_CONFIG);
	expect_no_tap();
	ping_through(NULL, WORDS(RUN, "--mac", MAC, "--netmask", NETMASK, "--host-ip", HOST, "--", NET, "3"),
	             "vmtap0", NEW_CONFIG);
	expect_no_tap();
}

static void test_tap_by_name(void **state)
{
	(void)state;
	NEED_NETWORK();
	make_lasting_tap("lasting0", IFF_TAP | IFF_NO_PI, HOST);
	ping_through(NULL, WORDS(RUN, "--net", "tap-name=lasting0", "--", NET, "3"), "lasting0", NULL);
	ping_through(NULL, WORDS(RUN, "--tap-name", "lasting0", "--", NET, "3"), "lasting0", NULL);
	remove_tap("lasting0", IFF_TAP | IFF_NO_PI);
}

static void test_tap_by_fd(void **state)
{
	(void)state;
	NEED_NETWORK();
	struct given given = {.flags = IFF_TAP | IFF_NO_PI, .address = HOST};
	struct setup setup = {.in_child = give_tap, .context = &given};
	ping_through(&setup, WORDS(RUN, "--net", "tap-fd=" GIVEN_FD, "--", NET, "3"), "given0", NULL);
	expect_no_tap();
	ping_through(&setup, WORDS(RUN, "--tap-fd", GIVEN_FD, "--", NET, "3"), "given0", NULL);
	expect_no_tap();
}

/* The plugin sees the first. The others are made all the same, and go too. */
static void test_several_taps(void **state)
{
	(void)state;
	NEED_NETWORK();
	struct given given = {.flags = IFF_TAP | IFF_NO_PI, .address = "10.79.0.1"};
	struct setup setup = {.in_child = give_tap, .context = &given};
	ping_through(&setup,
	             WORDS(RUN, "--tap-fd", GIVEN_FD, "--net", NEW_TAP, "--net",
	                   "host-ip=10.78.0.1,netmask=255.255.0.0,mac=02:00:00:00:78:01", "--", NET, "3"),
	             "vmtap0", NEW_CONFIG);
	expect_no_tap();
}

/* However it ends. */
static void test_no_tap_stays(void **state)
{
	(void)state;
	NEED_NETWORK();
	static const struct {
		int signal, status;
	} ends[] = {{SIGTERM, 128 + SIGTERM}, {SIGKILL, -SIGKILL}};
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct run run;
		run_start(&run, NULL, WORDS(RUN, "--net", NEW_TAP, "--", NET, "1000"));
		run_await(&run, "; guest " GUEST "\n");
		assert_true(if_nametoindex("vmtap0") > 0);
		ping(1, 56);
		run_signal(&run, ends[i].signal);
		run_finish(&run);
		run_expect_status(&run, ends[i].status);
		run_fini(&run);
		expect_no_tap();
	}
}

/* ---- Refusals ---- */

static void test_tap_without_address(void **state)
{
	(void)state;
	NEED_NETWORK();
	make_lasting_tap("lasting0", IFF_TAP | IFF_NO_PI, NULL);
	run_check(WORDS(RUN, "--net", "tap-name=lasting0", "--", NET), 1,
	          "plugin: net: cannot get the network (plugvm run --net): Cannot assign requested address");
	remove_tap("lasting0", IFF_TAP | IFF_NO_PI);
}

static void expect_refusal(const char *net, int status, const char *text)
{
	run_check(WORDS(RUN, "--net", net, "--", NET), status, text);
}

static void test_options_refused(void **state)
{
	(void)state;
	NEED_NETWORK();
	expect_refusal("tap", 2, "takes KEY=VALUE");
	expect_refusal("host-ip=" HOST, 2, "host-ip, netmask and mac go together");
	expect_refusal("host-ip=" HOST ",netmask=" NETMASK, 2, "host-ip, netmask and mac go together");
	expect_refusal("tap-name=a,tap-fd=3", 2, "give one of");
	expect_refusal("host-ip=10.77.0.256,netmask=" NETMASK ",mac=" MAC, 2,
	               "host-ip '10.77.0.256' is no IPv4 address");
	expect_refusal("host-ip=" HOST ",netmask=24,mac=" MAC, 2, "netmask '24' is no IPv4 netmask");
	expect_refusal("host-ip=" HOST ",netmask=" NETMASK ",mac=02:00:00:00:77", 2,
	               "mac '02:00:00:00:77' is not");
	expect_refusal("tap-fd=" GIVEN_FD, 2, "tap-fd " GIVEN_FD ": Bad file descriptor");
	expect_refusal("tap-fd=0", 2, "tap-fd 0 is no tap");
	expect_refusal("tap-fd=-1", 2, "tap-fd '-1' is no file descriptor number");
	expect_refusal("tap-name=sixteen-letters-", 2, "the name of an interface has at most 15 characters");
	run_check(WORDS(RUN, "--host-ip", HOST, "--mac", MAC, "--", NET), 2,
	          "`netmask` is missing from the network configuration");
	/* What only the kernel knows. */
	expect_refusal("host-ip=" HOST ",netmask=" NETMASK ",mac=01:00:5e:00:00:01", 3, "configuring tap vmtap0");
	expect_refusal("host-ip=" HOST ",netmask=255.0.255.0,mac=" MAC, 3, "configuring tap vmtap0");
	expect_no_tap();
}

/* An interface of another kind, or one that another has. */
static void test_taps_refused(void **state)
{
	(void)state;
	NEED_NETWORK();
	make_lasting_tap("lasting0", IFF_TUN | IFF_NO_PI, HOST);
	expect_refusal("tap-name=lasting0", 3, "tap lasting0: ");
	remove_tap("lasting0", IFF_TUN | IFF_NO_PI);

	int fd = make_tap("lasting0", IFF_TAP | IFF_NO_PI, HOST);
	assert_true(fd >= 0);
	expect_refusal("tap-name=lasting0", 3, "tap lasting0: Device or resource busy");
	close(fd);

	static const short other_formats[] = {IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, IFF_TUN | IFF_NO_PI};
	for (size_t i = 0; i < sizeof(other_formats) / sizeof(other_formats[0]); i++) {
		struct given given = {.flags = other_formats[i], .address = HOST};
		struct run run;
		run_start(&run, &(struct setup){.in_child = give_tap, .context = &given},
		          WORDS(RUN, "--net", "tap-fd=" GIVEN_FD, "--", NET));
		run_finish(&run);
		run_expect_status(&run, 2);
		run_expect_err(&run, "interface given0 is not a tap with plain packets");
		run_fini(&run);
	}
	expect_no_tap();
}

/* In a user namespace of its own the program has no say over this network. */
static void leave_privilege(void *context)
{
	(void)context;
	if (unshare(CLONE_NEWUSER) < 0)
		_exit(99);
}

static void test_without_privilege(void **state)
{
	(void)state;
	NEED_NETWORK();
	struct run run;
	run_start(&run, &(struct setup){.in_child = leave_privilege}, WORDS(RUN, "--net", NEW_TAP, "--", NET));
	run_finish(&run);
	if (run.status == 99) {
		run_fini(&run);
		test_skip("a user namespace cannot be made");
	}
	run_expect_status(&run, 3);
	run_expect_err(&run, "Operation not permitted");
	run_fini(&run);
	expect_no_tap();
}

int main(void)
{
	struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_new_tap),           cmocka_unit_test(test_tap_by_name),
	    cmocka_unit_test(test_tap_by_fd),         cmocka_unit_test(test_several_taps),
	    cmocka_unit_test(test_no_tap_stays),      cmocka_unit_test(test_tap_without_address),
	    cmocka_unit_test(test_options_refused),   cmocka_unit_test(test_taps_refused),
	    cmocka_unit_test(test_without_privilege),
	};
	return SYSTEM_MAIN("net", tests);
}
