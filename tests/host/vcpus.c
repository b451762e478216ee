/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks how the vCPUs of a session come to the plugin: all at once, and in parts where they do not fit a packet.
 */
#include "rig.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

static void test_get_vcpus(void **state)
{
	(void)state;
	for (uint32_t vcpus = 1; vcpus <= LIMIT_BASELINE_VCPUS; vcpus += 5) {
		struct session_rig rig;
		session_rig_init(&rig, vcpus);
		int before = count_open_fds();
		wire_MainRequest request = {.which_message = wire_MainRequest_get_vcpus_tag};
		struct answer_packet answer;
		assert_int_equal(rig_send(rig.socket, &request, -1, 0), 0);
		session_dispatch(&rig.session, rig.vm);
		rig_receive(rig.socket, &answer);
		assert_int_equal(answer.message.error, 0);
		assert_int_equal(answer.fd_count, 2 * vcpus);
		/* Handed over: the host has no copy. */
		assert_int_equal(count_open_fds(), before);
		for (uint32_t cpu = 0; cpu < vcpus; cpu++) {
			char byte;
			assert_int_equal(write(answer.fds[2 * cpu], &(char){(char)cpu}, 1), 1);
			assert_int_equal(recv(rig.session.links[cpu].requests, &byte, 1, MSG_DONTWAIT), 1);
			assert_int_equal(byte, cpu);
			assert_int_equal(send(rig.session.links[cpu].events, &byte, 1, MSG_DONTWAIT), 1);
			assert_int_equal(recv(answer.fds[2 * cpu + 1], &byte, 1, MSG_DONTWAIT), 1);
		}
		rig_close_fds(&answer);
		for (int i = 0; i < 2; i++)
			assert_int_equal(rig_request_tag(&rig, wire_MainRequest_get_vcpus_tag), EALREADY);
		session_rig_fini(&rig);
	}
}

static void test_more_vcpus_than_fit(void **state)
{
	(void)state;
	struct session_rig rig;
	session_rig_init(&rig, LIMIT_BASELINE_VCPUS + 1);
	assert_int_equal(rig_request_tag(&rig, wire_MainRequest_get_vcpus_tag), E2BIG);
	session_rig_fini(&rig);
}

/* The plugin does not read, so the answer with the vCPUs cannot be sent: their fds are closed all the same. */
static void test_vcpus_for_nobody(void **state)
{
	struct session_rig *rig = *state;
	wire_MainRequest request = {.which_message = wire_MainRequest_get_vcpus_tag};
	assert_int_equal(rig_send(rig->socket, &request, -1, 0), 0);
	fd_close(&rig->socket);
	int before = count_open_fds();
	assert_int_equal(session_dispatch(&rig->session, rig->vm), 0);
	assert_int_equal(count_open_fds(), before - 4 - 1);
}

/* ---- In parts ---- */

/* Ask for the vCPUs from `first` on; the answer's fds are the caller's. */
static int ask_from(struct session_rig *rig, uint32_t first, struct answer_packet *out_answer)
{
	wire_MainRequest request = {.which_message = wire_MainRequest_get_vcpus_from_tag};
	request.message.get_vcpus_from.first = first;
	assert_int_equal(rig_send(rig->socket, &request, -1, 0), 0);
	session_dispatch(&rig->session, rig->vm);
	rig_receive(rig->socket, out_answer);
	assert_int_equal(out_answer->result, 0);
	return out_answer->message.error;
}

/* The two ends at `fds` are those of vCPU `cpu`. */
static void check_ends(struct session_rig *rig, const int *fds, uint32_t cpu)
{
	uint32_t value = cpu, got = UINT32_MAX;
	assert_int_equal(write(fds[0], &value, sizeof(value)), sizeof(value));
	assert_int_equal(recv(rig->session.links[cpu].requests, &got, sizeof(got), MSG_DONTWAIT), sizeof(got));
	assert_int_equal(got, cpu);
	assert_int_equal(send(rig->session.links[cpu].events, &value, sizeof(value), MSG_DONTWAIT), sizeof(value));
	assert_int_equal(recv(fds[1], &got, sizeof(got), MSG_DONTWAIT), sizeof(got));
}

/* Take the vCPUs from `first` on, which must be `count`. */
static void take_from(struct session_rig *rig, uint32_t first, uint32_t count)
{
	struct answer_packet answer;
	int before = count_open_fds();
	assert_int_equal(ask_from(rig, first, &answer), 0);
	assert_int_equal(answer.fd_count, 2 * count);
	/* Handed over: the host has no copy. */
	assert_int_equal(count_open_fds(), before);
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(fcntl(answer.fds[2 * i], F_GETFD), FD_CLOEXEC);
		check_ends(rig, &answer.fds[2 * i], first + i);
	}
	rig_close_fds(&answer);
}

static void refuse_from(struct session_rig *rig, uint32_t first, int error)
{
	struct answer_packet answer;
	int before = count_open_fds();
	assert_int_equal(ask_from(rig, first, &answer), error);
	assert_int_equal(count_open_fds(), before);
}

static void test_from_sizes(void **state)
{
	(void)state;
	static const uint32_t counts[] = {1, LIMIT_VCPUS_PER_REPLY - 1, LIMIT_VCPUS_PER_REPLY,
	                                  LIMIT_VCPUS_PER_REPLY + 1, 2 * LIMIT_VCPUS_PER_REPLY};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct session_rig rig;
		session_rig_init(&rig, counts[i]);
		for (uint32_t first = 0; first < counts[i]; first += LIMIT_VCPUS_PER_REPLY) {
			uint32_t rest = counts[i] - first;
			take_from(&rig, first, rest < LIMIT_VCPUS_PER_REPLY ? rest : LIMIT_VCPUS_PER_REPLY);
		}
		refuse_from(&rig, 0, EALREADY);
		refuse_from(&rig, counts[i] - 1, EALREADY);
		refuse_from(&rig, counts[i], EINVAL);
		refuse_from(&rig, UINT32_MAX, EINVAL);
		session_rig_fini(&rig);
	}
}

/* In any order; what overlaps with what was taken is refused as a whole, and takes nothing. */
static void test_from_order(void **state)
{
	(void)state;
	struct session_rig rig;
	session_rig_init(&rig, 3 * LIMIT_VCPUS_PER_REPLY);
	take_from(&rig, 2 * LIMIT_VCPUS_PER_REPLY, LIMIT_VCPUS_PER_REPLY);
	refuse_from(&rig, LIMIT_VCPUS_PER_REPLY + 1, EALREADY);
	refuse_from(&rig, 2 * LIMIT_VCPUS_PER_REPLY - 1, EALREADY);
	refuse_from(&rig, 2 * LIMIT_VCPUS_PER_REPLY, EALREADY);
	take_from(&rig, LIMIT_VCPUS_PER_REPLY, LIMIT_VCPUS_PER_REPLY);
	refuse_from(&rig, 1, EALREADY);
	/* All at once is no way any more, whatever is left: it would not fit either. */
	assert_int_equal(rig_request_tag(&rig, wire_MainRequest_get_vcpus_tag), E2BIG);
	take_from(&rig, 0, LIMIT_VCPUS_PER_REPLY);
	session_rig_fini(&rig);
}

static void test_from_and_all(void **state)
{
	(void)state;
	struct session_rig rig;
	session_rig_init(&rig, LIMIT_BASELINE_VCPUS);
	take_from(&rig, 3, LIMIT_BASELINE_VCPUS - 3);
	assert_int_equal(rig_request_tag(&rig, wire_MainRequest_get_vcpus_tag), EALREADY);
	/* A part is as long as a packet: it cannot end where what was taken begins. */
	refuse_from(&rig, 0, EALREADY);
	session_rig_fini(&rig);
}

/* As many as there can be, and one more. */
static void test_most(void **state)
{
	(void)state;
	struct session_rig rig;
	struct rlimit old, high;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	high = old;
	high.rlim_cur = PLUGVM_FDS_NEEDED((rlim_t)LIMIT_VCPUS);
	if (old.rlim_cur < high.rlim_cur && setrlimit(RLIMIT_NOFILE, &high) < 0)
		test_skip("RLIMIT_NOFILE is too low for 1024 vCPUs");
	session_rig_init(&rig, LIMIT_VCPUS);
	for (uint32_t first = 0; first < LIMIT_VCPUS; first += LIMIT_VCPUS_PER_REPLY)
		take_from(&rig, first, LIMIT_VCPUS_PER_REPLY);
	refuse_from(&rig, LIMIT_VCPUS, EINVAL);
	session_rig_fini(&rig);
	setrlimit(RLIMIT_NOFILE, &old);

	struct plugvm_plugin_config config = {
	    .size = sizeof(config), .path = "/bin/true", .vcpu_count = LIMIT_VCPUS + 1};
	struct plugvm_plugin *plugin = NULL;
	struct plugvm_error error;
	assert_int_equal(plugvm_plugin_new(&config, &plugin, &error), -EINVAL);
	assert_int_equal(error.kind, PLUGVM_ERROR_CONFIG);
	assert_null(plugin);
}

/* Fewer fds than the vCPUs' channels take: nothing is made, and nothing is left. */
static void test_too_few_fds(void **state)
{
	(void)state;
	struct session_rig rig;
	struct rlimit old, low;
	session_rig_init(&rig, 2);
	int lowest = dup(rig.socket);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = (rlim_t)lowest + 100;
	int before = count_open_fds();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	struct session session;
	int socket;
	rig.config.vcpu_count = 30;
	int result = session_init(&session, &rig.config, false, &socket);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(result, -EMFILE);
	assert_int_equal(count_open_fds(), before);
	session_rig_fini(&rig);
}

/* ---- pause_set ---- */

static void pause_set(struct session_rig *rig, const uint8_t *mask, size_t size, uint64_t user)
{
	wire_MainRequest request = {.which_message = wire_MainRequest_pause_set_tag};
	request.message.pause_set.cpu_mask = (struct wire_bytes){mask, size};
	request.message.pause_set.user = user;
	assert_int_equal(rig_request(rig, rig->socket, &request, -1, 0), 0);
}

/* Which vCPUs were asked to pause, and with what; clears it. */
static uint64_t paused(struct session_rig *rig, uint32_t cpu)
{
	struct vcpu_link *link = &rig->session.links[cpu];
	return atomic_exchange(&link->pause_wanted, false) ? atomic_load(&link->pause_user) : 0;
}

static void test_pause_set(void **state)
{
	(void)state;
	struct session_rig rig;
	const uint32_t count = 70;
	session_rig_init(&rig, count);
	for (uint32_t cpu = 0; cpu < count; cpu++) {
		uint8_t mask[9] = {0};
		mask[cpu / 8] = (uint8_t)(1 << cpu % 8);
		/* No longer than it has to be, and longer. */
		const size_t sizes[] = {cpu / 8 + 1, sizeof(mask)};
		for (int i = 0; i < 2; i++) {
			int kicks = rig.kicks;
			pause_set(&rig, mask, sizes[i], cpu + 1);
			assert_int_equal(rig.kicks, kicks + 1);
			for (uint32_t other = 0; other < count; other++)
				assert_int_equal(paused(&rig, other), other == cpu ? cpu + 1 : 0);
		}
		pause_set(&rig, mask, cpu / 8, 9);
		assert_int_equal(paused(&rig, cpu), 0);
	}
	/* Bits of vCPUs that there are not. */
	static uint8_t all[4096];
	memset(all, 0xff, sizeof(all));
	rig.kicks = 0;
	pause_set(&rig, all, sizeof(all), 7);
	assert_int_equal(rig.kicks, count);
	for (uint32_t cpu = 0; cpu < count; cpu++)
		assert_int_equal(paused(&rig, cpu), 7);
	session_rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_get_vcpus),
	    cmocka_unit_test(test_more_vcpus_than_fit),
	    cmocka_unit_test_setup_teardown(test_vcpus_for_nobody, session_rig_setup, session_rig_teardown),
	    cmocka_unit_test(test_from_sizes),
	    cmocka_unit_test(test_from_order),
	    cmocka_unit_test(test_from_and_all),
	    cmocka_unit_test(test_most),
	    cmocka_unit_test(test_too_few_fds),
	    cmocka_unit_test(test_pause_set),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
