/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's end of a vCPU channel (src/host/link.c) against a plugin that does not keep to the rules: requests out of
 * time, packets that are none, a channel that closes, times out, is cut, and system calls that fail.
 */
#include "rig.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Out of time ---- */

static void test_resume_twice(void **state)
{
	struct link_rig *rig = *state;
	link_pass_init(rig);
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	link_expect_access(rig, 0);
	link_resume(rig, NULL, 0);
	link_resume(rig, NULL, 0);
	assert_int_equal(link_end(rig), 1);
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	assert_int_equal(link_end(rig), -EPROTO);
	assert_non_null(strstr(rig->link.fault, "resumed"));
	/* No event went out for it. */
	struct pollfd poller = {.fd = rig->events, .events = POLLIN};
	assert_int_equal(poll(&poller, 1, 0), 0);
}

#define STALE_MAX 64

static void put_get_state(struct link_rig *rig, int set)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_get_state_tag};
	request.message.get_state.set = (wire_VcpuRequest_StateSet)set;
	link_put_request(rig, &request);
}

static void send_stale(struct link_rig *rig, int count)
{
	link_pass_init(rig);
	for (int i = 0; i < count; i++)
		put_get_state(rig, wire_VcpuRequest_StateSet_REGS);
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
}

static void expect_refusals_and_event(struct link_rig *rig, int count)
{
	for (int i = 0; i < count; i++)
		link_expect_error(rig, EBUSY);
	link_expect_access(rig, 0);
	link_resume(rig, NULL, 0);
	assert_int_equal(link_end(rig), 1);
}

static void test_stale_requests(void **state)
{
	struct link_rig *rig = *state;
	send_stale(rig, STALE_MAX - 1);
	expect_refusals_and_event(rig, STALE_MAX - 1);
}

static void test_flood_while_running(void **state)
{
	struct link_rig *rig = *state;
	send_stale(rig, STALE_MAX);
	assert_int_equal(link_end(rig), -EPROTO);
	assert_non_null(strstr(rig->link.fault, "64 requests"));
}

static void test_flood_at_event(void **state)
{
	struct link_rig *rig = *state;
	struct link_frame frame;
	link_pass_init(rig);
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	link_expect_access(rig, 0);
	for (int i = 0; i < 2000; i++) {
		put_get_state(rig, wire_VcpuRequest_StateSet_LAPIC);
		assert_true(link_take(rig, &frame));
		assert_int_equal(frame.message.error, 0);
	}
	link_resume(rig, NULL, 0);
	assert_int_equal(link_end(rig), 1);
}

/* ---- Packets that are none ---- */

static const struct {
	const char *data;
	size_t size;
} garbage[] = {
    {"\xff", 1}, {"\x12\x05", 2}, {"\x12", 1}, {"\x12\x03\x0a\x05x", 5}, {"\0", 1}, {"\x0a\x00garbage", 9},
};

static void test_garbage(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3 * COUNT(garbage); i++) {
		struct link_rig rig;
		link_rig_init(&rig, 0);
		if (i % 3 == 0) {
			link_begin_init(&rig);
		} else {
			link_pass_init(&rig);
			if (i % 3 == 1)
				link_put(&rig, garbage[i / 3].data, garbage[i / 3].size);
			link_begin_access(&rig, ADDRESS_SPACE_PORT, false, 1);
		}
		if (i % 3 == 2)
			link_expect_access(&rig, 0);
		if (i % 3 != 1)
			link_put(&rig, garbage[i / 3].data, garbage[i / 3].size);
		assert_int_equal(link_end(&rig), -EPROTO);
		assert_non_null(strstr(rig.link.fault, "does not decode"));
		link_rig_fini(&rig);
	}
}

/* An answer as a number instead of bytes: nothing of the host's memory may pass for it. */
static void test_answer_as_number(void **state)
{
	struct link_rig *rig = *state;
	link_pass_init(rig);
	memset(rig->data, 0x77, sizeof(rig->data));
	link_begin_access(rig, ADDRESS_SPACE_PORT, false, 8);
	link_expect_access(rig, 0);
	link_put(rig, "\x12\x09\x09\1\2\3\4\5\6\7\x08", 11);
	assert_int_equal(link_end(rig), -EPROTO);
	assert_int_equal(rig->data[0], 0x77);
}

/* A request in two packets is two requests, of which the first is none. */
static void test_split_request(void **state)
{
	struct link_rig *rig = *state;
	link_begin_init(rig);
	link_put(rig, "\x0a", 1);
	link_put(rig, "\x00", 1);
	assert_int_equal(link_end(rig), -EPROTO);
}

static void test_request_lengths(void **state)
{
	(void)state;
	static uint8_t data[LIMIT_VCPU_REQUEST_BYTES + 1];
	for (size_t extra = 0; extra <= 1; extra++) {
		struct link_rig rig;
		link_rig_init(&rig, 0);
		size_t total = LIMIT_VCPU_REQUEST_BYTES + extra, content = total - 5;
		memcpy(data,
		       (const uint8_t[]){0xc2, 0x0c, (uint8_t)(content | 0x80), (uint8_t)(content >> 7 | 0x80),
		                         (uint8_t)(content >> 14)},
		       5);
		link_begin_init(&rig);
		link_put(&rig, data, total);
		if (extra) {
			assert_int_equal(link_end(&rig), -EPROTO);
			assert_non_null(strstr(rig.link.fault, "longer than 65536"));
		} else {
			link_expect_error(&rig, ENOTTY);
			link_put_tag(&rig, wire_VcpuRequest_wait_tag);
			link_expect_init(&rig, 0);
			link_resume(&rig, NULL, 0);
			assert_int_equal(link_end(&rig), 0);
		}
		link_rig_fini(&rig);
	}
}

static void test_fds(void **state)
{
	(void)state;
	int event = eventfd(0, EFD_CLOEXEC);
	int fds[PACKET_FDS_MAX];
	for (size_t i = 0; i < PACKET_FDS_MAX; i++)
		fds[i] = event;
	static const size_t counts[] = {1, 2, PACKET_FDS_MAX};
	for (size_t i = 0; i < COUNT(counts); i++) {
		struct link_rig rig;
		link_rig_init(&rig, 0);
		int before = count_open_fds();
		assert_int_equal(packet_send(rig.requests, "\x0a\x00", 2, fds, counts[i], 0), 0);
		link_begin_init(&rig);
		assert_int_equal(link_end(&rig), -EPROTO);
		assert_non_null(strstr(rig.link.fault, "file descriptors"));
		assert_int_equal(count_open_fds(), before);
		link_rig_fini(&rig);
	}
	fd_close(&event);
}

/* ---- Gone, slow, deaf ---- */

static void test_end_of_channel(void **state)
{
	(void)state;
	for (int phase = 0; phase < 4; phase++) {
		struct link_rig rig;
		link_rig_init(&rig, 0);
		if (phase > 0)
			link_pass_init(&rig);
		if (phase == 1 || phase == 3)
			fd_close(phase == 1 ? &rig.requests : &rig.events);
		if (phase == 0)
			link_begin_init(&rig);
		else
			link_begin_access(&rig, ADDRESS_SPACE_PORT, true, 1);
		if (phase == 2)
			link_expect_access(&rig, 0);
		if (phase == 0 || phase == 2)
			fd_close(&rig.requests);
		assert_int_equal(link_end(&rig), -EPIPE);
		assert_non_null(strstr(rig.link.fault, "closed"));
		/* No later call gets through. */
		assert_true(link_check(&rig.link) < 0);
		link_begin_access(&rig, ADDRESS_SPACE_PORT, true, 1);
		assert_true(link_end(&rig) < 0);
		link_rig_fini(&rig);
	}
}

/* link.h: link_check() gives what the link has failed with. */
static void test_failure_is_kept(void **state)
{
	struct link_rig *rig = *state;
	link_pass_init(rig);
	fd_close(&rig->requests);
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	assert_int_equal(link_end(rig), -EPIPE);
	assert_int_equal(link_check(&rig->link), -EPIPE);
}

static void test_empty_packet_is_the_end(void **state)
{
	struct link_rig *rig = *state;
	link_begin_init(rig);
	link_put(rig, "", 0);
	assert_int_equal(link_end(rig), -EPIPE);
}

#define TIMEOUT_MS 80

static void expect_timeout(struct link_rig *rig, uint64_t begin_ns)
{
	assert_int_equal(link_end(rig), -ETIMEDOUT);
	uint64_t took = clock_ns() - begin_ns;
	assert_in_range(took, TIMEOUT_MS * UINT64_C(1000000), PATIENCE_MS * UINT64_C(1000000));
	assert_non_null(strstr(rig->link.fault, "80 ms"));
}

static void test_answer_timeout(void **state)
{
	(void)state;
	struct link_rig rig;
	for (int phase = 0; phase < 3; phase++) {
		link_rig_init(&rig, TIMEOUT_MS);
		if (phase == 2)
			link_pass_init(&rig);
		uint64_t begin_ns = clock_ns();
		if (phase == 2) {
			link_begin_access(&rig, ADDRESS_SPACE_PORT, true, 1);
			link_expect_access(&rig, 0);
		} else {
			link_begin_init(&rig);
		}
		if (phase == 1) {
			link_put_tag(&rig, wire_VcpuRequest_wait_tag);
			link_expect_init(&rig, 0);
		}
		expect_timeout(&rig, begin_ns);
		link_rig_fini(&rig);
	}
}

/* Asking and asking does not make the time longer. */
static void test_busy_plugin_times_out(void **state)
{
	(void)state;
	struct link_rig rig;
	link_rig_init(&rig, TIMEOUT_MS);
	link_pass_init(&rig);
	uint64_t begin_ns = clock_ns();
	link_begin_access(&rig, ADDRESS_SPACE_PORT, true, 1);
	link_expect_access(&rig, 0);
	struct pollfd poller = {.fd = rig.events, .events = POLLIN};
	while (clock_ns() - begin_ns < 20 * TIMEOUT_MS * UINT64_C(1000000)) {
		struct link_frame frame;
		put_get_state(&rig, wire_VcpuRequest_StateSet_REGS);
		if (poll(&poller, 1, 4 * TIMEOUT_MS) != 1)
			break;
		assert_true(link_take(&rig, &frame));
	}
	assert_true(clock_ns() - begin_ns < 20 * TIMEOUT_MS * UINT64_C(1000000));
	expect_timeout(&rig, begin_ns);
	link_rig_fini(&rig);
}

/*
 * Fill the channel to the plugin with replies that nobody takes, until the host's thread blocks in send: it is then
 * that it takes no requests any more.
 */
static void fill_replies(struct link_rig *rig)
{
	struct pollfd poller = {.fd = rig->requests, .events = POLLOUT};
	uint8_t request[8];
	wire_VcpuRequest get = {.which_message = wire_VcpuRequest_get_state_tag};
	get.message.get_state.set = wire_VcpuRequest_StateSet_LAPIC;
	ssize_t size = wire_encode_vcpu_request(&get, request, sizeof(request));
	while (poll(&poller, 1, 200) == 1)
		assert_int_equal(packet_send(rig->requests, request, (size_t)size, NULL, 0, MSG_DONTWAIT), 0);
}

static void test_deaf_plugin_times_out(void **state)
{
	(void)state;
	struct link_rig rig;
	link_rig_init(&rig, TIMEOUT_MS);
	link_pass_init(&rig);
	link_begin_access(&rig, ADDRESS_SPACE_PORT, true, 1);
	link_expect_access(&rig, 0);
	fill_replies(&rig);
	assert_int_equal(link_end(&rig), -ETIMEDOUT);
	link_rig_fini(&rig);
}

static void expect_cancelled(struct link_rig *rig)
{
	uint64_t begin_ns = clock_ns();
	link_cut(&rig->link);
	assert_int_equal(link_end(rig), -ECANCELED);
	assert_true(clock_ns() - begin_ns < UINT64_C(5000000000));
	assert_int_equal(link_check(&rig->link), -ECANCELED);
	/* And ever after. */
	link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
	assert_int_equal(link_end(rig), -ECANCELED);
	link_begin_init(rig);
	assert_int_equal(link_end(rig), -ECANCELED);
	assert_string_equal(rig->link.fault, "");
}

/* The thread is in recv once nothing is left to read there; that it has got so far is all that can be known. */
static void test_cut_in_receive(void **state)
{
	(void)state;
	for (int phase = 0; phase < 3; phase++) {
		struct link_rig rig;
		link_rig_init(&rig, phase == 2 ? PATIENCE_MS : 0);
		if (phase == 0) {
			link_begin_init(&rig);
		} else {
			link_pass_init(&rig);
			link_begin_access(&rig, ADDRESS_SPACE_PORT, true, 1);
			link_expect_access(&rig, 0);
		}
		usleep(20000);
		expect_cancelled(&rig);
		/* The plugin sees the end of its channel. */
		struct link_frame frame;
		assert_false(link_take(&rig, &frame));
		link_rig_fini(&rig);
	}
}

static void test_cut_in_send(void **state)
{
	(void)state;
	for (int with_timeout = 0; with_timeout < 2; with_timeout++) {
		struct link_rig rig;
		link_rig_init(&rig, with_timeout ? PATIENCE_MS : 0);
		link_pass_init(&rig);
		link_begin_access(&rig, ADDRESS_SPACE_PORT, true, 1);
		link_expect_access(&rig, 0);
		fill_replies(&rig);
		expect_cancelled(&rig);
		link_rig_fini(&rig);
	}
}

static void test_cut_before(void **state)
{
	struct link_rig *rig = *state;
	link_cut(&rig->link);
	link_cut(&rig->link);
	link_begin_init(rig);
	assert_int_equal(link_end(rig), -ECANCELED);
	/* Accesses that are nobody's too. */
	uint8_t data = 0;
	struct guest_access access = {
	    .space = ADDRESS_SPACE_PORT, .address = 0x200, .width = 1, .data = &data, .size = 1};
	assert_int_equal(link_deliver_access(&rig->link, rig->vcpu, &access), -ECANCELED);
}

/* ---- System calls ---- */

static int calls_left;

static int limited_socketpair(int domain, int type, int protocol, int fds[2])
{
	if (calls_left-- > 0)
		return socketpair(domain, type, protocol, fds);
	errno = ENFILE;
	return -1;
}

static void test_no_socketpair(void **state)
{
	struct link_rig *rig = *state;
	int before = count_open_fds();
	sys.socketpair = limited_socketpair;
	for (int left = 0; left < 2; left++) {
		struct vcpu_link link;
		calls_left = left;
		assert_int_equal(link_init(&link, 0, &rig->ranges, &rig->hints, 0, true), -ENFILE);
		assert_int_equal(count_open_fds(), before);
	}
}

static ssize_t interrupted_sendmsg(int socket, const struct msghdr *message, int flags)
{
	if (calls_left-- > 0) {
		errno = EINTR;
		return -1;
	}
	return sendmsg(socket, message, flags);
}

static ssize_t interrupted_recvmsg(int socket, struct msghdr *message, int flags)
{
	if (calls_left-- > 0) {
		errno = EINTR;
		return -1;
	}
	return recvmsg(socket, message, flags);
}

static void test_interruptions(void **state)
{
	struct link_rig *rig = *state;
	link_pass_init(rig);
	for (int which = 0; which < 2; which++) {
		calls_left = 3;
		if (which)
			sys.sendmsg = interrupted_sendmsg;
		else
			sys.recvmsg = interrupted_recvmsg;
		/* Sent by hand: packet_recv() of the test would be interrupted too. */
		link_begin_access(rig, ADDRESS_SPACE_PORT, true, 1);
		uint8_t frame[64];
		assert_true(recv(rig->events, frame, sizeof(frame), 0) > 0);
		assert_int_equal(send(rig->requests, "\x12\x00", 2, 0), 2);
		assert_int_equal(link_end(rig), 1);
		assert_int_equal(calls_left < 0, true);
		sys = rig->real;
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, link_rig_setup, link_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_resume_twice),
	    TEST(test_stale_requests),
	    TEST(test_flood_while_running),
	    TEST(test_flood_at_event),
	    cmocka_unit_test(test_garbage),
	    TEST(test_answer_as_number),
	    TEST(test_split_request),
	    cmocka_unit_test(test_request_lengths),
	    cmocka_unit_test(test_fds),
	    cmocka_unit_test(test_end_of_channel),
	    TEST(test_failure_is_kept),
	    TEST(test_empty_packet_is_the_end),
	    cmocka_unit_test(test_answer_timeout),
	    cmocka_unit_test(test_busy_plugin_times_out),
	    cmocka_unit_test(test_deaf_plugin_times_out),
	    cmocka_unit_test(test_cut_in_receive),
	    cmocka_unit_test(test_cut_in_send),
	    TEST(test_cut_before),
	    TEST(test_no_socketpair),
	    TEST(test_interruptions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
