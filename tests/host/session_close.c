/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that nothing that a plugin leaves in the queue of a socket makes the host wait when that is closed.
 */
#include "rig.h"

#include <sys/resource.h>

#include "base/packet.h"
#include "slow_fd.h"

/* Far less than the minute that closing such an fd takes. */
#define SOON_NS UINT64_C(20000000000)

static int peers[8];
static int peer_count;

static int slow_fd(void)
{
	return make_slow_fd(&peers[peer_count++]);
}

static void close_peers(void)
{
	while (peer_count > 0)
		fd_close(&peers[--peer_count]);
}

/* Behind an empty packet, which otherwise means the end. */
static void test_dropped_connection(void **state)
{
	struct session_rig *rig = *state;
	send_slow_fd(rig->socket, 0, -1);
	send_slow_fd(rig->socket, 1, slow_fd());
	send_slow_fd(rig->socket, 1, slow_fd());
	uint64_t begin_ns = clock_ns();
	session_dispatch(&rig->session, rig->vm);
	assert_int_equal(rig->session.connection_count, 0);
	assert_true(clock_ns() - begin_ns < SOON_NS);
	close_peers();
}

/* On both ends of a vCPU channel, of which the host reads only one, and that not after the end. */
static void test_vcpu_channels(void **state)
{
	struct session_rig *rig = *state;
	for (uint32_t cpu = 0; cpu < 2; cpu++) {
		send_slow_fd(rig->session.links[cpu].plugin_ends[0], 1, slow_fd());
		send_slow_fd(rig->session.links[cpu].plugin_ends[1], 1, slow_fd());
	}
	uint64_t begin_ns = clock_ns();
	session_fini(&rig->session, rig->vm);
	assert_true(clock_ns() - begin_ns < SOON_NS);
	close_peers();
	/* For the fixture. */
	int socket;
	assert_int_equal(session_init(&rig->session, &rig->config, false, &socket), 0);
	fd_close(&socket);
}

/* With a request that takes none. */
static void test_request(void **state)
{
	struct session_rig *rig = *state;
	wire_MainRequest request = {.which_message = wire_MainRequest_get_vcpus_tag};
	int fd = slow_fd();
	assert_int_equal(rig_send(rig->socket, &request, fd, 1), 0);
	fd_close(&fd);
	uint64_t begin_ns = clock_ns();
	session_dispatch(&rig->session, rig->vm);
	assert_true(clock_ns() - begin_ns < SOON_NS);
	close_peers();
}

/* So many that they would take all numbers, and the kernel would close the rest. */
static void test_many_fds(void **state)
{
	struct session_rig *rig = *state;
	struct rlimit old, low;
	int fds[PACKET_FDS_MAX];
	int fd = slow_fd();
	for (size_t i = 0; i < PACKET_FDS_MAX; i++)
		fds[i] = fd;
	assert_int_equal(packet_send(rig->socket, "x", 1, fds, PACKET_FDS_MAX, 0), 0);
	assert_int_equal(packet_send(rig->session.links[0].plugin_ends[0], "x", 1, fds, PACKET_FDS_MAX, 0), 0);
	fd_close(&fd);
	int before = count_open_fds();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = (struct rlimit){.rlim_cur = (rlim_t)before + 8, .rlim_max = old.rlim_max};
	setrlimit(RLIMIT_NOFILE, &low);
	uint64_t begin_ns = clock_ns();
	session_dispatch(&rig->session, rig->vm);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_true(clock_ns() - begin_ns < SOON_NS);
	assert_int_equal(rig->session.connection_count, 0);
	assert_int_equal(count_open_fds(), before - 1);
	close_peers();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, session_rig_setup, session_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_dropped_connection),
	    TEST(test_vcpu_channels),
	    TEST(test_request),
	    TEST(test_many_fds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
