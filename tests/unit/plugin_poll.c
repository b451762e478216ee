/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks waiting for a vCPU in other ways than for ever: crosvm_vcpu_wait_timeout(), which loses nothing, and the fd
 * of crosvm_vcpu_get_poll_fd(), which is readable exactly while a wait would return at once.
 */
#include "plugin_fake_host.c"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <time.h>

static void run(void **state, void (*test)(struct fake *fake, struct crosvm_vcpu *vcpu))
{
	for (enum fake_kind kind = FAKE_SOCKETS; kind <= FAKE_PIPES; kind++) {
		struct fake *fake = *state;
		fake_connect(fake, kind, 1);
		test(fake, fake_vcpu(fake, 0));
		fake_teardown(state);
		fake_setup(state);
	}
}

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* No event comes, and the caller's struct stays as it was. */
static void check_no_event(struct crosvm_vcpu *vcpu, int timeout_ms)
{
	struct crosvm_vcpu_event event, untouched;
	memset(&event, 0x55, sizeof(event));
	untouched = event;
	uint64_t begin = now_ms();
	assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &event, timeout_ms), -EAGAIN);
	assert_true(now_ms() - begin + 1 >= (uint64_t)timeout_ms);
	assert_memory_equal(&event, &untouched, sizeof(event));
}

/* ---- Timeouts ---- */

static void check_timeout(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	struct crosvm_vcpu_event event;
	check_no_event(vcpu, 0);
	check_no_event(vcpu, 30);
	/* It asked, once. */
	fake_expect_vcpu(fake, 0, REQUEST_WAIT);
	fake_expect_nothing(fake->requests[0]);
	assert_int_equal(crosvm_vcpu_resume(vcpu), -EINVAL);

	fake_write(fake, 0, FRAME_INIT);
	assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &event, 0), 0);
	assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_INIT);
	assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &event, 0), -EBUSY);
	fake_resume(fake, 0);
	check_no_event(vcpu, 0);

	wire_VcpuResponse io = fake_io("xy", 2);
	fake_send(fake, 0, &io);
	assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &event, -1), 0);
	assert_int_equal(event.io_access.length, 2);
	fake_send(fake, 0, &io);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &event, 60000), 0);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &event, -2), -EINVAL);
	assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, NULL, 0), -EINVAL);
	fake_close_vcpus(fake);
	assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &event, 60000), -ECONNRESET);
}

static void test_timeout(void **state)
{
	run(state, check_timeout);
}

/* A frame that comes byte by byte is no event before its last one, and no byte is lost. */
static void test_timeout_within_frame(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_PIPES, 1);
	struct crosvm_vcpu *vcpu = fake_vcpu(fake, 0);
	struct crosvm_vcpu_event event;
	const uint8_t frame[] = {0x04, 0x12, 0x02, 0x0a, 0x00};
	for (size_t i = 0; i < sizeof(frame); i++) {
		check_no_event(vcpu, 0);
		fake_write(fake, 0, &frame[i], 1);
	}
	assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &event, 0), 0);
	assert_int_equal(event.kind, CROSVM_VCPU_EVENT_KIND_INIT);
}

static void ignore_signal(int number)
{
	(void)number;
}

/* Signals neither end the wait nor make it longer. */
static void test_timeout_with_signals(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	struct sigaction action = {.sa_handler = ignore_signal}, before;
	assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
	struct itimerval often = {.it_interval.tv_usec = 5000, .it_value.tv_usec = 5000}, never = {0};
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	uint64_t begin = now_ms();
	check_no_event(fake_vcpu(fake, 0), 100);
	uint64_t took = now_ms() - begin;
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
	assert_true(took < 10000);
}

/* ---- The fd ---- */

static bool is_readable(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	int count = poll(&poller, 1, 0);
	assert_true(count >= 0);
	return count == 1 && (poller.revents & POLLIN);
}

/* The fd says what a wait does. */
static void check_next(struct crosvm_vcpu *vcpu, int fd, uint32_t kind)
{
	struct crosvm_vcpu_event event;
	assert_true(is_readable(fd));
	assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &event, 0), 0);
	assert_int_equal(event.kind, kind);
	if (kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS && event.io_access.no_resume)
		return;
	assert_false(is_readable(fd));
}

static void check_none(struct crosvm_vcpu *vcpu, int fd)
{
	assert_false(is_readable(fd));
	check_no_event(vcpu, 0);
	assert_false(is_readable(fd));
}

static void check_poll(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	int fd = crosvm_vcpu_get_poll_fd(vcpu);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	/* INIT comes without a wait. */
	fake_expect_vcpu(fake, 0, REQUEST_WAIT);
	assert_int_equal(crosvm_vcpu_get_poll_fd(vcpu), fd);
	fake_expect_nothing(fake->requests[0]);
	check_none(vcpu, fd);
	fake_write(fake, 0, FRAME_INIT);
	check_next(vcpu, fd, CROSVM_VCPU_EVENT_KIND_INIT);
	fake_resume(fake, 0);
	check_none(vcpu, fd);

	wire_VcpuResponse io = fake_io("x", 1);
	fake_send(fake, 0, &io);
	check_next(vcpu, fd, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	/* A reply is no event, and neither is an event that cannot be waited for yet. */
	fake_send(fake, 0, &io);
	assert_false(is_readable(fd));
	wire_VcpuResponse mp = {.which_message = wire_VcpuResponse_get_state_tag};
	struct kvm_mp_state state = {.mp_state = 1};
	mp.message.get_state.state = (struct wire_bytes){(const uint8_t *)&state, sizeof(state)};
	fake_send(fake, 0, &mp);
	assert_false(is_readable(fd));
	assert_int_equal(crosvm_vcpu_get_mp_state(vcpu, &state), 0);
	assert_false(is_readable(fd));
	fake_take_vcpu(fake, 0, NULL);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	/* It is in the library's buffer since then. */
	check_next(vcpu, fd, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	check_none(vcpu, fd);
}

static void test_poll(void **state)
{
	run(state, check_poll);
}

/* Several events in one read of a pipe, the last of them in two parts. */
static void test_poll_with_buffer(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_PIPES, 1);
	struct crosvm_vcpu *vcpu = fake_vcpu(fake, 0);
	int fd = crosvm_vcpu_get_poll_fd(vcpu);
	assert_true(fd >= 0);
	fake_init(fake, 0);
	fake_resume(fake, 0);
	const uint8_t frame[] = {9, 0x12, 7, 0x12, 5, 0x20, 1, 0x2a, 1, 'x'}; /* no_resume */
	uint8_t frames[3 * sizeof(frame)];
	for (size_t i = 0; i < 3; i++)
		memcpy(frames + i * sizeof(frame), frame, sizeof(frame));
	fake_write(fake, 0, frames, sizeof(frames) - 1);
	check_next(vcpu, fd, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	check_next(vcpu, fd, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	check_none(vcpu, fd);
	fake_write(fake, 0, "x", 1);
	check_next(vcpu, fd, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	check_none(vcpu, fd);
	fake_write(fake, 0, BYTES(0xff, 0xff, 0xff, 0xff, 0xff));
	assert_true(is_readable(fd));
	struct crosvm_vcpu_event event;
	assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &event, 0), -EPROTO);
	/* Broken: every wait returns at once. */
	assert_true(is_readable(fd));
}

/* Late, on a vCPU that was used before; also when events wait. */
static void check_late(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	fake_init(fake, 0);
	int fd = crosvm_vcpu_get_poll_fd(vcpu);
	assert_true(fd >= 0);
	assert_false(is_readable(fd));
	wire_VcpuResponse io = fake_io("x", 1);
	fake_send(fake, 0, &io);
	fake_resume(fake, 0);
	check_next(vcpu, fd, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	/* The end is always news. */
	fake_close_vcpus(fake);
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	assert_int_equal(poll(&poller, 1, 0), 1);
	struct crosvm_vcpu_event event;
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -EBUSY);
	assert_int_equal(crosvm_vcpu_resume(vcpu), -ECONNRESET);
	assert_true(is_readable(fd));
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -ECONNRESET);
	assert_true(is_readable(fd));
}

static void test_late(void **state)
{
	run(state, check_late);
}

/* Broken while the vCPU stands still: there is no event, but a wait returns at once. */
static void check_broken(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	fake_init(fake, 0);
	int fd = crosvm_vcpu_get_poll_fd(vcpu);
	fake_write(fake, 0, BYTES(0xff, 0xff, 0xff, 0xff, 0xff));
	assert_false(is_readable(fd));
	struct kvm_mp_state state;
	assert_int_equal(crosvm_vcpu_get_mp_state(vcpu, &state), -EPROTO);
	assert_true(is_readable(fd));
	struct crosvm_vcpu_event event;
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -EPROTO);
}

static void test_broken(void **state)
{
	run(state, check_broken);
}

/* The end of a vCPU that runs, and an epoll instance of the plugin's. */
static void check_end(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	int fd = crosvm_vcpu_get_poll_fd(vcpu);
	FD_AUTO epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN};
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
	fake_init(fake, 0);
	fake_resume(fake, 0);
	assert_int_equal(epoll_wait(epoll, &event, 1, 0), 0);
	fake_close_vcpus(fake);
	assert_int_equal(epoll_wait(epoll, &event, 1, 0), 1);
	struct crosvm_vcpu_event none;
	assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &none, 0), -ECONNRESET);
	assert_int_equal(epoll_wait(epoll, &event, 1, 0), 1);
	/* It goes with the last connection. */
	assert_int_equal(crosvm_destroy_connection(&fake->plugin), 0);
	assert_false(fake_is_open(fd));
	assert_int_equal(crosvm_vcpu_get_poll_fd(vcpu), -ENOTCONN);
}

static void test_end(void **state)
{
	run(state, check_end);
}

/* ---- A system that fails ---- */

static int calls_left;

static bool may_call(void)
{
	if (calls_left > 0)
		return calls_left-- > 0;
	errno = EMFILE;
	return false;
}

static int failing_eventfd(unsigned int value, int flags)
{
	(void)value;
	(void)flags;
	errno = EMFILE;
	return -1;
}

static int failing_epoll_create(int flags)
{
	(void)flags;
	errno = EMFILE;
	return -1;
}

static int failing_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	return may_call() ? epoll_ctl(epoll, operation, fd, event) : -1;
}

static void check_failure(struct fake *fake, struct crosvm_vcpu *vcpu)
{
	size_t fds = fake_count_fds();
	sys.eventfd = failing_eventfd;
	assert_int_equal(crosvm_vcpu_get_poll_fd(vcpu), -EMFILE);
	sys = fake->real;
	sys.epoll_create1 = failing_epoll_create;
	assert_int_equal(crosvm_vcpu_get_poll_fd(vcpu), -EMFILE);
	sys = fake->real;
	sys.epoll_ctl = failing_epoll_ctl;
	for (int good = 0; good < 2; good++) {
		calls_left = good;
		assert_int_equal(crosvm_vcpu_get_poll_fd(vcpu), -EMFILE);
	}
	sys = fake->real;
	assert_int_equal(fake_count_fds(), fds);
	fake_expect_nothing(fake->requests[0]);
	/* The vCPU is as it was. */
	int fd = crosvm_vcpu_get_poll_fd(vcpu);
	assert_true(fd >= 0);
	fake_write(fake, 0, FRAME_INIT);
	check_next(vcpu, fd, CROSVM_VCPU_EVENT_KIND_INIT);
}

static void test_failure(void **state)
{
	run(state, check_failure);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_timeout),
	    TEST(test_timeout_within_frame),
	    TEST(test_timeout_with_signals),
	    TEST(test_poll),
	    TEST(test_poll_with_buffer),
	    TEST(test_late),
	    TEST(test_broken),
	    TEST(test_end),
	    TEST(test_failure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
