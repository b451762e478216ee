/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks how connections and vCPUs of a process begin and end: connections for several threads, one VM at a
 * time, vCPU pointers that outlive the last connection, and threads that are inside a call at that moment.
 */
#include "plugin_fake_host.c"

#include <stdatomic.h>
#include <time.h>

/* A second connection, whose host's end is stored. */
static struct crosvm *add_connection(struct crosvm *plugin, int plugin_host, int *out_host)
{
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fake_reply_fds(plugin_host, BYTES(0x22, 0), &pair[1], 1);
	fd_close(&pair[1]);
	struct crosvm *added = NULL;
	assert_int_equal(crosvm_new_connection(plugin, &added), 0);
	fake_expect(plugin_host, BYTES(0x1a, 0));
	*out_host = pair[0];
	return added;
}

static bool hung_up(int fd)
{
	struct pollfd poller = {.fd = fd};
	return poll(&poller, 1, 0) == 1 && (poller.revents & (POLLHUP | POLLERR));
}

static void test_connections_are_independent(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 2);
	int host;
	struct crosvm *second = add_connection(fake->plugin, fake->socket, &host);
	assert_ptr_not_equal(second, fake->plugin);
	struct crosvm_vcpu *vcpu;
	assert_int_equal(crosvm_get_vcpu(second, 1, &vcpu), 0);
	assert_ptr_equal(vcpu, fake_vcpu(fake, 1));

	fake_reply(host, BYTES(0x9a, 0x01, 0));
	assert_int_equal(crosvm_start(second), 0);
	fake_expect(host, BYTES(0x92, 0x01, 0));
	fake_expect_nothing(fake->socket);

	/* One that the host dropped says nothing about the others. */
	fd_close(&host);
	assert_int_equal(crosvm_start(second), -ECONNRESET);
	fake_refuse(fake->socket, EINVAL);
	assert_int_equal(crosvm_start(fake->plugin), -EINVAL);
	assert_int_equal(crosvm_destroy_connection(&second), 0);
	assert_null(second);
}

static void test_last_connection_ends_it(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	int host;
	struct crosvm *second = add_connection(fake->plugin, fake->socket, &host);
	struct crosvm_vcpu *vcpu = fake_vcpu(fake, 0);
	fake_init(fake, 0);

	assert_int_equal(crosvm_destroy_connection(&fake->plugin), 0);
	assert_null(fake->plugin);
	assert_true(hung_up(fake->socket));
	assert_false(hung_up(fake->requests[0]));
	/* Only the first may go: the vCPU lives on, and the place is taken. */
	assert_int_equal(crosvm_vcpu_resume(vcpu), 0);
	assert_int_equal(crosvm_connect(&fake->plugin), -EALREADY);

	assert_int_equal(crosvm_destroy_connection(&second), 0);
	assert_true(hung_up(host));
	assert_true(hung_up(fake->requests[0]));
	assert_true(hung_up(fake->events[0]));
	fd_close(&host);
}

static void check_not_connected(struct crosvm_vcpu *vcpu)
{
	struct crosvm_vcpu_event event;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	memset(&regs, 0, sizeof(regs));
	memset(&sregs, 0, sizeof(sregs));
	assert_int_equal(crosvm_vcpu_wait(vcpu, &event), -ENOTCONN);
	assert_int_equal(crosvm_vcpu_resume(vcpu), -ENOTCONN);
	assert_int_equal(crosvm_vcpu_get_regs(vcpu, &regs), -ENOTCONN);
	assert_int_equal(crosvm_vcpu_set_regs(vcpu, &regs), -ENOTCONN);
	assert_int_equal(crosvm_vcpu_get_sregs(vcpu, &sregs), -ENOTCONN);
	assert_int_equal(crosvm_vcpu_set_sregs(vcpu, &sregs), -ENOTCONN);
}

static void test_vcpu_outlives_connection(void **state)
{
	struct fake *fake = *state;
	for (enum fake_kind kind = FAKE_SOCKETS; kind <= FAKE_PIPES; kind++) {
		fake_connect(fake, kind, 2);
		struct crosvm_vcpu *vcpus[2] = {fake_vcpu(fake, 0), fake_vcpu(fake, 1)};
		struct crosvm_vcpu_event event;
		wire_VcpuResponse read = fake_io((uint8_t[4]){0}, 4);
		fake_send(fake, 0, &read);
		assert_int_equal(crosvm_vcpu_wait(vcpus[0], &event), 0);
		assert_int_equal(crosvm_destroy_connection(&fake->plugin), 0);
		check_not_connected(vcpus[0]);
		check_not_connected(vcpus[1]);
		/* The data of the event that was never answered. */
		memset(event.io_access.data, 0xff, 4);

		/* Also while a next VM is there, whose vCPUs are others. */
		fake_teardown(state);
		fake_setup(state);
		fake = *state;
		fake_connect(fake, kind, 2);
		for (size_t i = 0; i < 2; i++) {
			check_not_connected(vcpus[i]);
			assert_ptr_not_equal(fake_vcpu(fake, 0), vcpus[i]);
			assert_ptr_not_equal(fake_vcpu(fake, 1), vcpus[i]);
		}
		fake_init(fake, 1);
		fake_teardown(state);
		fake_setup(state);
		fake = *state;
	}
}

static void *wait_for_event(void *argument)
{
	struct crosvm_vcpu_event event;
	return (void *)(intptr_t)crosvm_vcpu_wait(argument, &event);
}

static void await_readable(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	assert_int_equal(poll(&poller, 1, -1), 1);
}

static void wait_a_little(void)
{
	const struct timespec time = {.tv_nsec = 20 * 1000 * 1000};
	nanosleep(&time, NULL);
}

/* A thread that waits on a vCPU of our host comes back when the last connection goes. */
static void test_destroy_frees_waiters(void **state)
{
	struct fake *fake = *state;
	enum { VCPUS = 4 };
	fake_connect(fake, FAKE_SOCKETS, VCPUS);
	struct crosvm_vcpu *vcpus[VCPUS];
	pthread_t threads[VCPUS];
	for (uint32_t i = 0; i < VCPUS; i++) {
		vcpus[i] = fake_vcpu(fake, i);
		assert_int_equal(pthread_create(&threads[i], NULL, wait_for_event, vcpus[i]), 0);
		/* It has sent the Wait message and reads now, or soon. */
		await_readable(fake->requests[i]);
	}
	wait_a_little();
	assert_int_equal(crosvm_destroy_connection(&fake->plugin), 0);
	for (uint32_t i = 0; i < VCPUS; i++) {
		void *result;
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_int_equal((intptr_t)result, -ECONNRESET);
		check_not_connected(vcpus[i]);
	}
}

/*
 * A pipe gives no means to do so, but its number must not be closed, and taken by another file, while a thread
 * reads from it.
 */
static void test_destroy_spares_fds_in_use(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_PIPES, 1);
	struct crosvm_vcpu *vcpu = fake_vcpu(fake, 0);
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, wait_for_event, vcpu), 0);
	await_readable(fake->requests[0]);
	wait_a_little();
	assert_int_equal(crosvm_destroy_connection(&fake->plugin), 0);
	assert_false(hung_up(fake->events[0]));
	check_not_connected(vcpu);
	fake_write(fake, 0, FRAME_INIT);
	void *result;
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_int_equal((intptr_t)result, 0);
	assert_true(hung_up(fake->events[0]));
	check_not_connected(vcpu);
}

/* ---- Many threads ---- */

struct race {
	struct crosvm *plugin;
	struct crosvm_vcpu *vcpu;
	atomic_bool go;
};

static void *destroy_connection(void *argument)
{
	struct race *race = argument;
	while (!atomic_load(&race->go))
		;
	return (void *)(intptr_t)crosvm_destroy_connection(&race->plugin);
}

static void *use_vcpu(void *argument)
{
	struct race *race = argument;
	struct kvm_regs regs;
	memset(&regs, 0, sizeof(regs));
	while (!atomic_load(&race->go))
		;
	int result;
	do {
		result = crosvm_vcpu_set_regs(race->vcpu, &regs);
	} while (result == 0);
	return (void *)(intptr_t)result;
}

static void test_destroy_from_many_threads(void **state)
{
	for (int round = 0; round < 50; round++) {
		struct fake *fake = *state;
		fake_connect(fake, FAKE_SOCKETS, 1);
		fake_init(fake, 0);
		int host;
		struct race races[3] = {{.vcpu = fake_vcpu(fake, 0)}};
		races[1].plugin = add_connection(fake->plugin, fake->socket, &host);
		races[2].plugin = fake->plugin;
		fake->plugin = NULL;
		pthread_t threads[3];
		assert_int_equal(pthread_create(&threads[0], NULL, use_vcpu, &races[0]), 0);
		for (size_t i = 1; i < 3; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, destroy_connection, &races[i]), 0);
		for (size_t i = 0; i < 3; i++)
			atomic_store(&races[i].go, true);
		for (size_t i = 0; i < 3; i++) {
			void *result;
			assert_int_equal(pthread_join(threads[i], &result), 0);
			assert_int_equal((intptr_t)result, i == 0 ? -ENOTCONN : 0);
		}
		assert_true(hung_up(fake->requests[0]));
		fd_close(&host);
		fake_teardown(state);
		fake_setup(state);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_connections_are_independent), TEST(test_last_connection_ends_it),
	    TEST(test_vcpu_outlives_connection),    TEST(test_destroy_frees_waiters),
	    TEST(test_destroy_spares_fds_in_use),   TEST(test_destroy_from_many_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
