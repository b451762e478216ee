/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the client library where the vCPUs' messages are in shared memory: events and answers, posted writes, timeouts,
 * the fd for poll(2), and ends that come meanwhile.
 */
#include "plugin_fake_page.c"

/* What the library says it waits at most before it looks whether the host lives, and what a loaded machine adds. */
#define DEAD_MS 20000

static uint64_t now_ms(void)
{
	return clock_ns() / 1000000;
}

/* ---- Events ---- */

static void test_accesses(void **state)
{
	struct fake *fake = *state;
	static const uint32_t sizes[] = {1, 8, 9, 4096, LIMIT_ACCESS_BYTES};
	static uint8_t data[LIMIT_ACCESS_BYTES], taken[LIMIT_ACCESS_BYTES];
	struct crosvm_vcpu *vcpu = begin(fake);
	struct crosvm_vcpu_event event;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + 1);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -EBUSY);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
		assert_int_equal(fake_take_resume(&page).size, 0);
		fake_post_access(fake, &page,
		                 &(struct host_access){.flags = PAGE_IS_WRITE | PAGE_IS_MMIO,
		                                       .address = 0x1234500000 + i,
		                                       .data = data,
		                                       .size = sizes[i]});
		wait_kind(vcpu, &event, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
		assert_int_equal(event.io_access.address_space, CROSVM_ADDRESS_SPACE_MMIO);
		assert_true(event.io_access.address == 0x1234500000 + i);
		assert_int_equal(event.io_access.is_write, 1);
		assert_int_equal(event.io_access.no_resume, 0);
		assert_int_equal(event.io_access.length, sizes[i]);
		assert_memory_equal(event.io_access.data, data, sizes[i]);
		assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
		assert_int_equal(fake_take_resume(&page).size, 0);

		fake_post_access(fake, &page, &(struct host_access){.address = 0x60, .size = sizes[i]});
		wait_kind(vcpu, &event, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
		assert_int_equal(event.io_access.address_space, CROSVM_ADDRESS_SPACE_IOPORT);
		assert_int_equal(event.io_access.is_write, 0);
		memcpy(event.io_access.data, data, sizes[i]);
		assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
		struct page_answer answer = fake_take_resume(&page);
		assert_int_equal(answer.size, sizes[i]);
		host_end_take_data(&page.end, &answer, taken);
		assert_memory_equal(taken, data, sizes[i]);
		assert_int_equal(crosvm_vcpu_resume(vcpu), -EINVAL);
		fake_post_write(fake, &page, 0, 0);
		wait_access(vcpu);
	}
	/* Nothing went over the sockets. */
	fake_expect_nothing(fake->requests[0]);
}

static void test_posted_writes(void **state)
{
	struct fake *fake = *state;
	static const uint8_t long_data[100] = "a long one";
	struct crosvm_vcpu *vcpu = begin(fake);
	struct crosvm_vcpu_event event;
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	fake_take_resume(&page);
	/* More than the ring holds, in parts, each with an event that comes after it. */
	for (uint32_t part = 0; part < 4; part++) {
		for (uint32_t i = 0; i < RING_ENTRIES; i++)
			fake_post_async(fake, &page, i, i % 3 ? (const void *)&i : long_data, i % 3 ? 4 : 100);
		fake_post_write(fake, &page, PAGE_REGS, 0);
		for (uint32_t i = 0; i < RING_ENTRIES; i++) {
			wait_kind(vcpu, &event, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
			assert_int_equal(event.io_access.no_resume, 1);
			assert_int_equal(event.io_access.is_write, 1);
			assert_int_equal(event.io_access.address_space, CROSVM_ADDRESS_SPACE_MMIO);
			assert_true(event.io_access.address == i);
			assert_int_equal(event.io_access.length, i % 3 ? 4 : 100);
			assert_memory_equal(event.io_access.data, i % 3 ? (const void *)&i : long_data,
			                    i % 3 ? 4 : 100);
			assert_int_equal(crosvm_vcpu_resume(vcpu), -EINVAL);
			struct kvm_regs regs;
			assert_int_equal(crosvm_vcpu_get_regs(vcpu, &regs), -EBUSY);
		}
		wait_kind(vcpu, &event, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
		assert_int_equal(event.io_access.no_resume, 0);
		assert_true(event.io_access.address == 0x3f8);
		assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
		fake_take_resume(&page);
	}
}

/* ---- Waiting otherwise ---- */

static void check_no_event(struct crosvm_vcpu *vcpu, int timeout_ms)
{
	struct crosvm_vcpu_event event, untouched;
	memset(&event, 0x55, sizeof(event));
	untouched = event;
	uint64_t begin_ms = now_ms();
	assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &event, timeout_ms), -EAGAIN);
	assert_true(now_ms() - begin_ms + 1 >= (uint64_t)timeout_ms);
	assert_memory_equal(&event, &untouched, sizeof(event));
}

static void test_timeout(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = fake_vcpu(fake, 0);
	struct crosvm_vcpu_event event;
	check_no_event(vcpu, 0);
	check_no_event(vcpu, 30);
	begin(fake);
	assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &event, 0), -EBUSY);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	fake_take_resume(&page);
	check_no_event(vcpu, 0);
	check_no_event(vcpu, 1);
	fake_post_async(fake, &page, 1, "x", 1);
	fake_post_write(fake, &page, 0, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &event, i == 0 ? 0 : 60000), 0);
		assert_int_equal(event.io_access.no_resume, i == 0);
	}
	assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &event, -2), -EINVAL);
}

static bool is_readable(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	return poll(&poller, 1, 0) == 1;
}

static void test_poll_fd(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = fake_vcpu(fake, 0);
	struct crosvm_vcpu_event event;
	int fd = crosvm_vcpu_get_poll_fd(vcpu);
	assert_true(fd >= 0);
	assert_int_equal(crosvm_vcpu_get_poll_fd(vcpu), fd);
	assert_false(is_readable(fd));
	fake_post_init(fake, &page);
	assert_true(is_readable(fd));
	wait_kind(vcpu, &event, CROSVM_VCPU_EVENT_KIND_INIT);
	assert_false(is_readable(fd));
	for (int i = 0; i < 100; i++) {
		assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
		fake_take_resume(&page);
		assert_false(is_readable(fd));
		if (i % 3 == 0)
			check_no_event(vcpu, 0);
		assert_false(is_readable(fd));
		if (i % 2 == 0) {
			fake_post_async(fake, &page, 1, "x", 1);
			assert_true(is_readable(fd));
			fake_post_async(fake, &page, 1, "y", 1);
		}
		fake_post_write(fake, &page, 0, 0);
		assert_true(is_readable(fd));
		for (int rest = i % 2 == 0 ? 2 : 0; rest >= 0; rest--) {
			assert_true(is_readable(fd));
			assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &event, 0), 0);
			assert_int_equal(event.io_access.no_resume, rest > 0);
		}
		assert_false(is_readable(fd));
	}
	/* What was posted before somebody asked for the fd, or while nobody had said that he waits. */
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	fake_take_resume(&page);
	fake_post_async(fake, &page, 1, "x", 1);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	assert_false(is_readable(fd));
	fake_post_async(fake, &page, 1, "x", 1);
	assert_true(is_readable(fd));
	/* The host's death is something to read. */
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
	assert_false(is_readable(fd));
	fake_close_vcpus(fake);
	assert_true(is_readable(fd));
}

static void test_poll_fd_late(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = fake_vcpu(fake, 0);
	fake_post_init(fake, &page);
	int fd = crosvm_vcpu_get_poll_fd(vcpu);
	assert_true(is_readable(fd));
	struct crosvm_vcpu_event event;
	wait_kind(vcpu, &event, CROSVM_VCPU_EVENT_KIND_INIT);
	assert_false(is_readable(fd));
}

/* ---- Ends ---- */

static void *wait_for_event(void *context)
{
	struct crosvm_vcpu_event event;
	return (void *)(intptr_t)crosvm_vcpu_wait(context, &event);
}

/* The library sleeps in its wait. */
static void await_sleep(void)
{
	uint64_t begin_ms = now_ms();
	while (atomic_load(&page.end.page->plugin.sleeping) == 0) {
		assert_true(now_ms() - begin_ms < DEAD_MS);
		usleep(1000);
	}
}

static int join(pthread_t thread)
{
	void *result;
	assert_int_equal(pthread_join(thread, &result), 0);
	return (int)(intptr_t)result;
}

static void test_destroyed_meanwhile(void **state)
{
	struct fake *fake = *state;
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, wait_for_event, fake_vcpu(fake, 0)), 0);
	await_sleep();
	uint64_t begin_ms = now_ms();
	assert_int_equal(crosvm_destroy_connection(&fake->plugin), 0);
	assert_int_equal(join(thread), -ECONNRESET);
	assert_true(now_ms() - begin_ms < DEAD_MS);
}

static void expect_broken(struct crosvm_vcpu *vcpu)
{
	struct crosvm_vcpu_event event;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -ECONNRESET);
		assert_int_equal(crosvm_vcpu_wait_timeout(vcpu, &event, 0), -ECONNRESET);
	}
}

static void test_host_dies(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, wait_for_event, vcpu), 0);
	await_sleep();
	uint64_t begin_ms = now_ms();
	fake_close_vcpus(fake);
	assert_int_equal(join(thread), -ECONNRESET);
	assert_true(now_ms() - begin_ms < DEAD_MS);
	expect_broken(vcpu);
}

static void test_host_dies_at_a_request(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	struct kvm_regs regs;
	fake_close_vcpus(fake);
	uint64_t begin_ms = now_ms();
	assert_int_equal(crosvm_vcpu_get_regs(vcpu, &regs), -ECONNRESET);
	assert_true(now_ms() - begin_ms < DEAD_MS);
	assert_int_equal(crosvm_vcpu_get_regs(vcpu, &regs), -ECONNRESET);
}

/* "There is nothing to wait for any more": at once, though the sockets are open. */
static void test_host_closes(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, wait_for_event, vcpu), 0);
	await_sleep();
	host_end_close(&page.end);
	assert_int_equal(join(thread), -ECONNRESET);
	expect_broken(vcpu);
}

/* What was posted before the end comes before it. */
static void test_host_closes_after_an_event(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	struct crosvm_vcpu_event event;
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	fake_take_resume(&page);
	fake_post_async(fake, &page, 1, "x", 1);
	fake_post_async(fake, &page, 2, "y", 1);
	host_end_close(&page.end);
	for (uint64_t i = 1; i <= 2; i++) {
		assert_int_equal(crosvm_vcpu_wait(vcpu, &event), 0);
		assert_true(event.io_access.address == i);
	}
	expect_broken(vcpu);
}

static void test_nonsense(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	struct crosvm_vcpu_event event;
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	fake_take_resume(&page);
	page.end.turn++;
	fake_post_write(fake, &page, 0, 0);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -EPROTO);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -EPROTO);
}

/* A message that is no event. */
static void test_no_event(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = fake_vcpu(fake, 0);
	struct crosvm_vcpu_event event;
	wire_VcpuResponse reply = {.which_message = wire_VcpuResponse_set_state_tag};
	fake_post_message(fake, &page, &reply, 0);
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -EPROTO);
}

/* ---- Settings ---- */

static void test_spin(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin(fake);
	assert_int_equal(crosvm_vcpu_set_spin(NULL, 0), -EINVAL);
	assert_int_equal(crosvm_vcpu_set_spin(vcpu, -2), -EINVAL);
	assert_int_equal(crosvm_vcpu_set_spin(vcpu, 1000001), -EINVAL);
	static const int good[] = {0, 1, 50, 1000000, CROSVM_SPIN_AUTO};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(crosvm_vcpu_set_spin(vcpu, good[i]), 0);
		next(fake, vcpu, 0);
	}
	/* It looks all the time and does not sleep: a timeout ends that too. */
	assert_int_equal(crosvm_vcpu_set_spin(vcpu, 1000000), 0);
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	check_no_event(vcpu, 30);
}

static int bare_teardown(void **state)
{
	unsetenv("PLUGVM_SPIN");
	unsetenv("PLUGVM_CHANNEL");
	return fake_teardown(state);
}

static void test_spin_of_environment(void **state)
{
	static const struct {
		const char *text;
		int result;
	} cases[] = {{"auto", 0},   {"0", 0},        {"1000000", 0},   {"1000001", -EINVAL},
	             {"", -EINVAL}, {"-1", -EINVAL}, {"fast", -EINVAL}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setenv("PLUGVM_SPIN", cases[i].text, 1);
		assert_int_equal(fake_try_connect_page(*state, &page, 1), cases[i].result);
		page_teardown(state);
		fake_setup(state);
	}
}

/* Without a page. */
static void test_packets(void **state)
{
	struct fake *fake = *state;
	wire_MainResponse features = fake_features(1);
	features.message.features.features |= WIRE_FEATURE_AREA;
	setenv("PLUGVM_CHANNEL", "packets", 1);
	/* It does not ask for the area. */
	fake_connect_to(fake, FAKE_SOCKETS, &features);
	assert_int_equal(crosvm_vcpu_set_spin(fake_vcpu(fake, 0), 0), -ENOTTY);
	fake_init(fake, 0);
	fake_resume(fake, 0);
}

/* A host that has none for this library, or none any more, has packets. */
static void test_refused_area(void **state)
{
	static const int errors[] = {ENOTSUP, EBUSY, ENOMEM};
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct fake *fake = *state;
		wire_MainResponse features = fake_features(1);
		features.message.features.features |= WIRE_FEATURE_AREA;
		fake_reply_message(fake->socket, &features);
		fake_reply_new_vcpus(fake, FAKE_SOCKETS, 1, REPLY_VCPUS_FROM);
		fake_refuse(fake->socket, errors[i]);
		int result = crosvm_connect(&fake->plugin);
		fake->plugin_socket = -1;
		if (errors[i] == ENOMEM) {
			assert_int_equal(result, -ENOMEM);
		} else {
			assert_int_equal(result, 0);
			assert_int_equal(crosvm_vcpu_set_spin(fake_vcpu(fake, 0), 0), -ENOTTY);
			fake_init(fake, 0);
			fake_resume(fake, 0);
		}
		fake_teardown(state);
		fake_setup(state);
	}
}

/* An area of another number of vCPUs, or something else. */
static void test_wrong_area(void **state)
{
	assert_int_equal(fake_try_connect_page(*state, &page, 2), -EPROTO);
	page_teardown(state);
	fake_setup(state);
}

int main(void)
{
#define CASE(name)      cmocka_unit_test_setup_teardown(name, page_setup, page_teardown)
#define BARE_CASE(name) cmocka_unit_test_setup_teardown(name, fake_setup, bare_teardown)
	const struct CMUnitTest tests[] = {
	    CASE(test_accesses),
	    CASE(test_posted_writes),
	    CASE(test_timeout),
	    CASE(test_poll_fd),
	    CASE(test_poll_fd_late),
	    CASE(test_destroyed_meanwhile),
	    CASE(test_host_dies),
	    CASE(test_host_dies_at_a_request),
	    CASE(test_host_closes),
	    CASE(test_host_closes_after_an_event),
	    CASE(test_nonsense),
	    CASE(test_no_event),
	    CASE(test_spin),
	    BARE_CASE(test_spin_of_environment),
	    BARE_CASE(test_packets),
	    BARE_CASE(test_refused_area),
	    BARE_CASE(test_wrong_area),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
