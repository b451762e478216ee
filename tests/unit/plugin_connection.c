/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks crosvm_connect(), and for every request of a main connection: the exact bytes that it sends, what it
 * makes of a good response, and that no bad one, no missing or surplus fd and no dead host is taken for
 * success or leaks anything.
 */
#include "plugin_fake_host.c"

#include <sys/eventfd.h>

static void test_connect_without_host(void **state)
{
	struct crosvm *plugin = NULL;
	(void)state;
	unsetenv("CROSVM_SOCKET");
	assert_int_equal(crosvm_connect(&plugin), -ENOTCONN);
	static const char *const bad[] = {"",   "x",  "-1",  "+3",         " 3",
	                                  "3 ", "3x", "0x3", "2147483648", "99999999999999"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		setenv("CROSVM_SOCKET", bad[i], 1);
		assert_int_equal(crosvm_connect(&plugin), -EINVAL);
	}
	assert_null(plugin);
}

static void test_connect_to_no_socket(void **state)
{
	struct crosvm *plugin;
	(void)state;
	int fds[2];
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fake_set_env(fds[0]);
	assert_int_equal(crosvm_connect(&plugin), -ENOTSOCK);
	/* It was never the library's. */
	assert_true(fake_is_open(fds[0]));
	fd_close_pair(fds);
	fake_set_env(1000000);
	assert_int_equal(crosvm_connect(&plugin), -EBADF);
}

#define FDS_SEEN 256

static void note_fds(bool out_open[FDS_SEEN])
{
	for (int fd = 0; fd < FDS_SEEN; fd++)
		out_open[fd] = fake_is_open(fd);
}

static void test_connect(void **state)
{
	struct fake *fake = *state;
	bool open_before[FDS_SEEN], open_after[FDS_SEEN];
	note_fds(open_before);
	int inherited = fake->plugin_socket;
	fake_connect(fake, FAKE_SOCKETS, 3);
	note_fds(open_after);
	for (int fd = 0; fd < FDS_SEEN; fd++)
		if (open_after[fd] && (fd == inherited || !open_before[fd]))
			assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);

	struct crosvm_vcpu *vcpus[3], *again;
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(crosvm_get_vcpu(fake->plugin, i, &vcpus[i]), 0);
	assert_ptr_not_equal(vcpus[0], vcpus[1]);
	assert_int_equal(crosvm_get_vcpu(fake->plugin, 1, &again), 0);
	assert_ptr_equal(again, vcpus[1]);
	assert_int_equal(crosvm_get_vcpu(fake->plugin, 3, &again), -ENOENT);
	assert_int_equal(crosvm_get_vcpu(fake->plugin, UINT32_MAX, &again), -ENOENT);
	fake_expect_nothing(fake->socket);
}

static void test_connect_twice(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	struct crosvm *second = NULL;
	assert_int_equal(crosvm_connect(&second), -EALREADY);
	assert_null(second);
	fake_expect_nothing(fake->socket);
}

static void test_connect_most_vcpus(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, FAKE_VCPUS_MAX);
	struct crosvm_vcpu *vcpu;
	assert_int_equal(crosvm_get_vcpu(fake->plugin, FAKE_VCPUS_MAX - 1, &vcpu), 0);
	assert_int_equal(crosvm_get_vcpu(fake->plugin, FAKE_VCPUS_MAX, &vcpu), -ENOENT);
}

/* After a failure the socket is closed and the process may connect again. */
static void check_connect_fails(struct fake *fake, int error)
{
	struct crosvm *plugin = NULL;
	assert_int_equal(crosvm_connect(&plugin), error);
	assert_null(plugin);
	assert_false(fake_is_open(fake->plugin_socket));
	fake->plugin_socket = -1;
	fake_close_vcpus(fake);
	fd_close(&fake->socket);
	assert_int_equal(fake_count_fds(), fake->fds_before);

	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fake->socket = pair[0];
	fake_set_env(pair[1]);
	fake_connect(fake, FAKE_SOCKETS, 1);
}

static void test_connect_no_vcpus(void **state)
{
	struct fake *fake = *state;
	fake_be_original(fake);
	fake_reply(fake->socket, REPLY_VCPUS);
	check_connect_fails(fake, -EPROTO);
}

static void connect_with_spare_fd(struct fake *fake, size_t vcpus)
{
	int fds[PACKET_FDS_MAX];
	for (size_t i = 0; i < vcpus; i++)
		fake_make_vcpu(fake, FAKE_SOCKETS, &fds[2 * i]);
	fds[2 * vcpus] = dup(fake->socket);
	fake_be_original(fake);
	fake_reply_fds(fake->socket, REPLY_VCPUS, fds, 2 * vcpus + 1);
	for (size_t i = 0; i < 2 * vcpus + 1; i++)
		fd_close(&fds[i]);
	check_connect_fails(fake, -EPROTO);
}

static void test_connect_odd_fds(void **state)
{
	connect_with_spare_fd(*state, 1);
}

static void test_connect_most_fds(void **state)
{
	connect_with_spare_fd(*state, FAKE_VCPUS_MAX);
}

static void test_connect_refused(void **state)
{
	struct fake *fake = *state;
	fake_be_original(fake);
	fake_refuse(fake->socket, E2BIG);
	check_connect_fails(fake, -E2BIG);
}

static void test_connect_to_dead_host(void **state)
{
	struct fake *fake = *state;
	fd_close(&fake->socket);
	check_connect_fails(fake, -ECONNRESET);
}

static int fstats_left;

static int failing_fstat(int fd, struct stat *out_stat)
{
	if (fstats_left-- > 0)
		return fstat(fd, out_stat);
	errno = ENOMEM;
	return -1;
}

/* The first fstat is that of the socket, which stays the caller's then. */
static void test_connect_fstat_fails(void **state)
{
	struct fake *fake = *state;
	sys.fstat = failing_fstat;
	fstats_left = 0;
	struct crosvm *plugin;
	assert_int_equal(crosvm_connect(&plugin), -ENOMEM);
	assert_true(fake_is_open(fake->plugin_socket));
	for (int good = 1; good <= 4; good++) {
		fstats_left = good;
		fake_be_original(fake);
		fake_reply_vcpus(fake, FAKE_PIPES, 2);
		assert_int_equal(crosvm_connect(&plugin), -ENOMEM);
		assert_false(fake_is_open(fake->plugin_socket));
		fd_close(&fake->socket);
		fake_close_vcpus(fake);
		fake->plugin_socket = -1;
		assert_int_equal(fake_count_fds(), fake->fds_before);

		int pair[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		fake->socket = pair[0];
		fake->plugin_socket = pair[1];
		fake_set_env(pair[1]);
	}
}

/* ---- Every request ---- */

static int call_new_connection(struct crosvm *plugin)
{
	struct crosvm *other = NULL;
	int result = crosvm_new_connection(plugin, &other);
	assert_int_equal(other != NULL, result == 0);
	if (other)
		assert_int_equal(crosvm_destroy_connection(&other), 0);
	return result;
}

static int call_get_shutdown_eventfd(struct crosvm *plugin)
{
	int fd = crosvm_get_shutdown_eventfd(plugin);
	if (fd < 0)
		return fd;
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	return 0;
}

static int call_check_extension(struct crosvm *plugin)
{
	bool has = false;
	int result = crosvm_check_extension(plugin, 129, &has);
	assert_int_equal(has, result == 0);
	return result;
}

static int call_start(struct crosvm *plugin)
{
	return crosvm_start(plugin);
}

static int call_reserve_ports(struct crosvm *plugin)
{
	return crosvm_reserve_range(plugin, CROSVM_ADDRESS_SPACE_IOPORT, 0x3f8, 8);
}

static int call_reserve_last_mmio(struct crosvm *plugin)
{
	return crosvm_reserve_range(plugin, CROSVM_ADDRESS_SPACE_MMIO, UINT64_MAX, 1);
}

static int call_release_range(struct crosvm *plugin)
{
	return crosvm_reserve_range(plugin, CROSVM_ADDRESS_SPACE_MMIO, 0x1000, 0);
}

static int call_memory(struct crosvm *plugin)
{
	struct crosvm_memory *memory = NULL;
	int result = crosvm_create_memory(plugin, STDERR_FILENO, 0x1000, 0x2000, 0x3000, true, true, &memory);
	assert_int_equal(memory != NULL, result == 0);
	/* The test has no use for it, and the id is all that is in it. */
	free(memory);
	return result;
}

static const struct {
	const char *name;
	int (*call)(struct crosvm *);
	uint8_t request[24];
	size_t request_size;
	size_t sent_fds;
	uint8_t response[8];
	size_t response_size;
	size_t received_fds;
} requests[] = {
    {"new_connection", call_new_connection, {0x1a, 0}, 2, 0, {0x22, 0}, 2, 1},
    {"get_shutdown_eventfd", call_get_shutdown_eventfd, {0x22, 0}, 2, 0, {0x2a, 0}, 2, 1},
    {"check_extension", call_check_extension, {0x2a, 3, 0x08, 0x81, 0x01}, 5, 0, {0x32, 2, 0x08, 1}, 4, 0},
    {"start", call_start, {0x92, 0x01, 0}, 3, 0, {0x9a, 0x01, 0}, 3, 0},
    {"reserve_range ports", call_reserve_ports, {0x52, 5, 0x10, 0xf8, 0x07, 0x18, 8}, 7, 0, {0x5a, 0}, 2, 0},
    {"reserve_range last",
     call_reserve_last_mmio,
     {0x52, 15, 0x08, 1, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x18, 1},
     17,
     0,
     {0x5a, 0},
     2,
     0},
    {"reserve_range release", call_release_range, {0x52, 5, 0x08, 1, 0x10, 0x80, 0x20}, 7, 0, {0x5a, 0}, 2, 0},
    {"create_memory",
     call_memory,
     {0x0a, 15, 0x1a, 13, 0x08, 0x80, 0x20, 0x10, 0x80, 0x60, 0x18, 0x80, 0x40, 0x20, 1, 0x28, 1},
     17,
     1,
     {0x12, 0},
     2,
     0},
};

#define REQUESTS (sizeof(requests) / sizeof(requests[0]))

/* What a host may answer. */
enum answer {
	ANSWER_GOOD,
	ANSWER_REFUSAL,
	ANSWER_REFUSAL_WITH_MEMBER,
	ANSWER_REFUSAL_WITH_FD,
	ANSWER_ERRNO_LAST,
	ANSWER_ERRNO_TOO_HIGH,
	ANSWER_ERRNO_NEGATIVE,
	ANSWER_ERRNO_LOWEST,
	ANSWER_NO_MEMBER,
	ANSWER_OTHER_MEMBER,
	ANSWER_UNKNOWN_MEMBER,
	ANSWER_GARBAGE,
	ANSWER_TOO_LONG,
	ANSWER_TOO_MANY_FDS,
	ANSWER_TOO_FEW_FDS,
	ANSWERS,
};

static const int results[ANSWERS] = {
    [ANSWER_GOOD] = 0,
    [ANSWER_REFUSAL] = -EEXIST,
    [ANSWER_REFUSAL_WITH_MEMBER] = -EEXIST,
    [ANSWER_REFUSAL_WITH_FD] = -EPROTO,
    [ANSWER_ERRNO_LAST] = -4095,
    [ANSWER_ERRNO_TOO_HIGH] = -EPROTO,
    [ANSWER_ERRNO_NEGATIVE] = -EPROTO,
    [ANSWER_ERRNO_LOWEST] = -EPROTO,
    [ANSWER_NO_MEMBER] = -EPROTO,
    [ANSWER_OTHER_MEMBER] = -EPROTO,
    [ANSWER_UNKNOWN_MEMBER] = -EPROTO,
    [ANSWER_GARBAGE] = -EPROTO,
    [ANSWER_TOO_LONG] = -EPROTO,
    [ANSWER_TOO_MANY_FDS] = -EPROTO,
    [ANSWER_TOO_FEW_FDS] = -EPROTO,
};

/* What is cut off must not make a good response of the rest: `error` 0, over and over. */
static void answer_too_long(int socket, const uint8_t *good, size_t good_size)
{
	uint8_t *data = calloc(1, LIMIT_RESPONSE_BYTES + 2);
	assert_non_null(data);
	memcpy(data, good, good_size);
	for (size_t i = good_size; i < LIMIT_RESPONSE_BYTES; i += 2)
		data[i] = 0x08;
	int size = 2 * LIMIT_RESPONSE_BYTES;
	assert_int_equal(setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	fake_reply(socket, data, LIMIT_RESPONSE_BYTES + 1);
	free(data);
}

static void answer(struct fake *fake, size_t i, enum answer answer)
{
	int socket = fake->socket;
	int fds[3];
	for (size_t n = 0; n < 3; n++)
		fds[n] = eventfd(0, EFD_CLOEXEC);
	const uint8_t *good = requests[i].response;
	size_t good_size = requests[i].response_size;
	size_t good_fds = requests[i].received_fds;
	uint8_t refusal[16] = {0x08, EEXIST << 1};
	memcpy(&refusal[2], good, good_size);
	switch (answer) {
	case ANSWER_GOOD:
		fake_reply_fds(socket, good, good_size, fds, good_fds);
		break;
	case ANSWER_REFUSAL:
		fake_reply(socket, refusal, 2);
		break;
	case ANSWER_REFUSAL_WITH_MEMBER:
		fake_reply(socket, refusal, 2 + good_size);
		break;
	case ANSWER_REFUSAL_WITH_FD:
		fake_reply_fds(socket, refusal, 2, fds, 1);
		break;
	case ANSWER_ERRNO_LAST:
		fake_refuse(socket, 4095);
		break;
	case ANSWER_ERRNO_TOO_HIGH:
		fake_refuse(socket, 4096);
		break;
	case ANSWER_ERRNO_NEGATIVE:
		fake_refuse(socket, -1);
		break;
	case ANSWER_ERRNO_LOWEST:
		fake_refuse(socket, INT32_MIN);
		break;
	case ANSWER_NO_MEMBER:
		fake_reply_fds(socket, BYTES(0x08, 0), fds, good_fds);
		break;
	case ANSWER_OTHER_MEMBER:
		fake_reply_fds(socket, BYTES(0x62, 0), fds, good_fds);
		break;
	case ANSWER_UNKNOWN_MEMBER:
		fake_reply_fds(socket, BYTES(0xc2, 0x3e, 0), fds, good_fds);
		break;
	case ANSWER_GARBAGE:
		fake_reply_fds(socket, BYTES(0xff), fds, good_fds);
		break;
	case ANSWER_TOO_LONG:
		answer_too_long(socket, good, good_size);
		break;
	case ANSWER_TOO_MANY_FDS:
		fake_reply_fds(socket, good, good_size, fds, good_fds + 1);
		break;
	case ANSWER_TOO_FEW_FDS:
	case ANSWERS:
		fake_reply(socket, good, good_size);
		break;
	}
	for (size_t n = 0; n < 3; n++)
		fd_close(&fds[n]);
}

static void expect_request(struct fake *fake, size_t i)
{
	uint8_t data[64];
	int fds[2];
	struct packet packet = {.data = data, .capacity = sizeof(data), .fds = fds, .fd_capacity = 2};
	assert_int_equal(packet_recv(fake->socket, &packet, MSG_DONTWAIT), 0);
	assert_int_equal(packet.fd_count, requests[i].sent_fds);
	packet_fini(&packet);
	if (requests[i].call == call_memory && data[2] == 0x08) {
		/* An id that is not 0, which grows with every try: the rest must be the same. */
		assert_int_equal(data[1], requests[i].request[1] + 2);
		memmove(&data[2], &data[4], packet.size - 4);
		data[1] = requests[i].request[1];
		packet.size -= 2;
	}
	assert_int_equal(packet.size, requests[i].request_size);
	assert_memory_equal(data, requests[i].request, packet.size);
}

static void test_every_answer(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	size_t fds = fake_count_fds();
	for (size_t i = 0; i < REQUESTS; i++) {
		for (enum answer a = 0; a < ANSWERS; a++) {
			if (a == ANSWER_TOO_FEW_FDS && requests[i].received_fds == 0)
				continue;
			answer(fake, i, a);
			int result = requests[i].call(fake->plugin);
			if (result != results[a])
				print_message("%s, answer %d: %d\n", requests[i].name, (int)a, result);
			assert_int_equal(result, results[a]);
			expect_request(fake, i);
			assert_int_equal(fake_count_fds(), fds);
		}
		/* One packet was one answer, whatever was in it: the connection is in step. */
		answer(fake, i, ANSWER_GOOD);
		assert_int_equal(requests[i].call(fake->plugin), 0);
		expect_request(fake, i);
	}
}

static void test_answer_no(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	bool has = true;
	fake_reply(fake->socket, BYTES(0x32, 0));
	assert_int_equal(crosvm_check_extension(fake->plugin, 0, &has), 0);
	assert_false(has);
	fake_expect(fake->socket, BYTES(0x2a, 0));
}

/* ---- A host that goes ---- */

static void check_gone(struct fake *fake)
{
	for (size_t i = 0; i < REQUESTS; i++)
		assert_int_equal(requests[i].call(fake->plugin), -ECONNRESET);
	/* Closing needs no host. */
	assert_int_equal(crosvm_destroy_connection(&fake->plugin), 0);
}

static void test_host_gone_before(void **state)
{
	struct fake *fake = *state;
	for (size_t i = 0; i < REQUESTS; i++) {
		fake_connect(fake, FAKE_SOCKETS, 1);
		fd_close(&fake->socket);
		assert_int_equal(requests[i].call(fake->plugin), -ECONNRESET);
		check_gone(fake);
		fake_teardown(state);
		fake_setup(state);
		fake = *state;
	}
}

/* The host takes the request and answers nothing: end of file. */
static void test_host_gone_after(void **state)
{
	struct fake *fake = *state;
	for (size_t i = 0; i < REQUESTS; i++) {
		fake_connect(fake, FAKE_SOCKETS, 1);
		shutdown(fake->socket, SHUT_WR);
		assert_int_equal(requests[i].call(fake->plugin), -ECONNRESET);
		expect_request(fake, i);
		check_gone(fake);
		fake_expect_nothing(fake->plugin_socket);
		fake_teardown(state);
		fake_setup(state);
		fake = *state;
	}
}

static void test_empty_packet(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	int fd = eventfd(0, EFD_CLOEXEC);
	fake_reply_fds(fake->socket, (const uint8_t *)"", 0, &fd, 1);
	close(fd);
	assert_int_equal(crosvm_get_shutdown_eventfd(fake->plugin), -ECONNRESET);
	check_gone(fake);
}

static void *close_unread(void *argument)
{
	struct fake *fake = argument;
	struct pollfd poller = {.fd = fake->socket, .events = POLLIN};
	poll(&poller, 1, -1);
	fd_close(&fake->socket);
	return NULL;
}

/* The host dies with the request in its queue, which the kernel reports in its own way. */
static void test_host_gone_unread(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, close_unread, fake), 0);
	assert_int_equal(crosvm_start(fake->plugin), -ECONNRESET);
	pthread_join(thread, NULL);
	check_gone(fake);
}

/* ---- System calls that fail ---- */

static int recvmsg_errno;
static int recvmsg_failures;

static ssize_t failing_recvmsg(int socket, struct msghdr *message, int flags)
{
	if (recvmsg_failures-- <= 0)
		return recvmsg(socket, message, flags);
	errno = recvmsg_errno;
	return -1;
}

static void test_interrupted(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	sys.recvmsg = failing_recvmsg;
	recvmsg_errno = EINTR;
	recvmsg_failures = 3;
	fake_reply(fake->socket, BYTES(0x9a, 0x01, 0));
	assert_int_equal(crosvm_start(fake->plugin), 0);
}

/* The answer that could not be fetched must not be taken for that to the next request. */
static void test_receive_fails(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	sys.recvmsg = failing_recvmsg;
	recvmsg_errno = ENOMEM;
	recvmsg_failures = 1;
	fake_reply(fake->socket, BYTES(0x9a, 0x01, 0));
	assert_int_equal(crosvm_start(fake->plugin), -ENOMEM);
	assert_int_equal(crosvm_start(fake->plugin), -ENOMEM);
	assert_int_equal(crosvm_reserve_range(fake->plugin, 0, 0, 1), -ENOMEM);
}

/* What the kernel does when the process has no fd number left. */
static ssize_t recvmsg_without_numbers(int socket, struct msghdr *message, int flags)
{
	ssize_t size = recvmsg(socket, message, flags);
	struct cmsghdr *control = CMSG_FIRSTHDR(message);
	assert_non_null(control);
	int fd;
	memcpy(&fd, CMSG_DATA(control), sizeof(fd));
	close(fd);
	message->msg_controllen = 0;
	message->msg_flags |= MSG_CTRUNC;
	return size;
}

static void test_no_fd_numbers(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	int fd = eventfd(0, EFD_CLOEXEC);
	fake_reply_fds(fake->socket, BYTES(0x2a, 0), &fd, 1);
	close(fd);
	sys.recvmsg = recvmsg_without_numbers;
	assert_int_equal(crosvm_get_shutdown_eventfd(fake->plugin), -EMFILE);
	sys.recvmsg = fake->real.recvmsg;
	fake_reply(fake->socket, BYTES(0x9a, 0x01, 0));
	assert_int_equal(crosvm_start(fake->plugin), 0);
}

/* ---- Arguments ---- */

static void test_unknown_space(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	assert_int_equal(crosvm_reserve_range(fake->plugin, 2, 0, 1), -EINVAL);
	assert_int_equal(crosvm_reserve_range(fake->plugin, UINT32_MAX, 0, 1), -EINVAL);
	fake_expect_nothing(fake->socket);
}

static void test_no_vm_capability(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	uint64_t args[4] = {0};
	assert_int_equal(crosvm_enable_capability(fake->plugin, KVM_CAP_HYPERV_SYNIC, 0, args), -EINVAL);
	fake_expect_nothing(fake->socket);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_connect_without_host),
	    TEST(test_connect_to_no_socket),
	    TEST(test_connect),
	    TEST(test_connect_twice),
	    TEST(test_connect_most_vcpus),
	    TEST(test_connect_no_vcpus),
	    TEST(test_connect_odd_fds),
	    TEST(test_connect_most_fds),
	    TEST(test_connect_refused),
	    TEST(test_connect_to_dead_host),
	    TEST(test_connect_fstat_fails),
	    TEST(test_every_answer),
	    TEST(test_answer_no),
	    TEST(test_host_gone_before),
	    TEST(test_host_gone_after),
	    TEST(test_empty_packet),
	    TEST(test_host_gone_unread),
	    TEST(test_interrupted),
	    TEST(test_receive_fails),
	    TEST(test_no_fd_numbers),
	    TEST(test_unknown_space),
	    TEST(test_no_vm_capability),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
