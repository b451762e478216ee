/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what host and plugin share: the ends of channels, which nobody can open a second time, and the plugin's
 * memfds, which are left as they are and mapped as guest memory should be. And values of plugins that the wire widens: masks of many vCPUs, bools.
 */
#include "rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PAGE 4096

static void ask(struct session_rig *rig, const wire_MainRequest *request, int fd, struct answer_packet *out_answer)
{
	assert_int_equal(rig_send(rig->socket, request, fd, fd < 0 ? 0 : 1), 0);
	session_dispatch(&rig->session, rig->vm);
	rig_receive(rig->socket, out_answer);
	assert_int_equal(out_answer->result, 0);
	assert_int_equal(out_answer->message.error, 0);
}

/* A pipe's end could be opened anew for the other direction, and what is in it taken away. */
static void test_ends_cannot_be_reopened(void **state)
{
	struct session_rig *rig = *state;
	wire_MainRequest request = {.which_message = wire_MainRequest_get_vcpus_tag};
	struct answer_packet answer;
	ask(rig, &request, -1, &answer);
	assert_int_equal(answer.fd_count, 4);
	for (size_t i = 0; i <= answer.fd_count; i++) {
		char path[64];
		int end = i < answer.fd_count ? answer.fds[i] : rig->socket;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", end);
		assert_int_equal(open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC), -1);
		assert_int_equal(errno, ENXIO);
	}
	rig_close_fds(&answer);
}

/* Find the VmFlags of the mapping of the memfd that make_memfd() makes. */
static void find_mapping_flags(char *out_flags, size_t size)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	assert_non_null(file);
	char line[512];
	bool is_it = false;
	out_flags[0] = '\0';
	while (fgets(line, sizeof(line), file)) {
		is_it = is_it || strstr(line, "/memfd:test");
		if (is_it && strncmp(line, "VmFlags:", 8) == 0) {
			snprintf(out_flags, size, "%s", line);
			break;
		}
	}
	fclose(file);
}

static void test_memfd_is_left_as_it_is(void **state)
{
	struct session_rig *rig = *state;
	int memfd = make_memfd(16 * PAGE, F_SEAL_SHRINK);
	assert_int_equal(lseek(memfd, 123, SEEK_SET), 123);
	wire_MainRequest request = {.which_message = wire_MainRequest_create_tag};
	request.message.create = (wire_MainRequest_Create){
	    .id = 1,
	    .which_constructor = wire_MainRequest_Create_memory_tag,
	    .constructor = {.memory = {.length = 16 * PAGE}},
	};
	struct answer_packet answer;
	ask(rig, &request, memfd, &answer);
	assert_int_equal(lseek(memfd, 0, SEEK_CUR), 123);

	char flags[512];
	find_mapping_flags(flags, sizeof(flags));
	assert_non_null(strstr(flags, " sh")); /* the plugin's own pages */
	assert_non_null(strstr(flags, " dd")); /* not in a core dump */
	assert_null(strstr(flags, " mg"));     /* not to be compared with other guests' pages */
	request = (wire_MainRequest){.which_message = wire_MainRequest_destroy_tag, .message.destroy.id = 1};
	ask(rig, &request, -1, &answer);
	fd_close(&memfd);
}

/* Where the host writes a dirty log is the plugin's memory, too. */
static void test_log_window_is_in_no_dump(void **state)
{
	(void)state;
	char flags[512];
	struct log_window window;
	int memfd = make_memfd(2 * PAGE, F_SEAL_SHRINK);
	assert_int_equal(log_window_init(&window, memfd, PAGE - 8, 16), 0);
	find_mapping_flags(flags, sizeof(flags));
	assert_non_null(strstr(flags, " sh"));
	assert_non_null(strstr(flags, " dd"));
	log_window_fini(&window);
	fd_close(&memfd);
}

/* What the plugin would do just after the host has seen the size of its file. */
static int shrink_after_fstat(int fd, struct stat *out_status)
{
	int result = fstat(fd, out_status);
	if (ftruncate(fd, 0) == 0)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return result;
}

/* The size counts only once it cannot shrink any more. */
static void test_memfd_that_shrinks_meanwhile(void **state)
{
	struct session_rig *rig = *state;
	int memfd = make_memfd(16 * PAGE, 0);
	wire_MainRequest request = {.which_message = wire_MainRequest_create_tag};
	request.message.create = (wire_MainRequest_Create){
	    .id = 1,
	    .which_constructor = wire_MainRequest_Create_memory_tag,
	    .constructor = {.memory = {.length = 16 * PAGE}},
	};
	sys.fstat = shrink_after_fstat;
	int result = rig_request(rig, rig->socket, &request, memfd, 1);
	sys.fstat = rig->real.fstat;
	assert_int_equal(result, EPERM);
	fd_close(&memfd);
}

static void expect_pauses(struct session_rig *rig, const wire_MainRequest *request, const char *wanted)
{
	struct answer_packet answer;
	rig->kicks = 0;
	ask(rig, request, -1, &answer);
	int count = 0;
	for (uint32_t cpu = 0; cpu < strlen(wanted); cpu++) {
		bool is_wanted = wanted[cpu] == '1';
		assert_int_equal(atomic_exchange(&rig->session.links[cpu].pause_wanted, false), is_wanted);
		count += is_wanted;
	}
	assert_int_equal(rig->kicks, count);
}

static void test_pause_of_many(void **state)
{
	(void)state;
	struct session_rig rig;
	session_rig_init(&rig, 70);
	wire_MainRequest request = {.which_message = wire_MainRequest_pause_vcpus_tag,
	                            .message.pause_vcpus.cpu_mask = UINT64_MAX};
	expect_pauses(&rig, &request, "1111111111111111111111111111111111111111111111111111111111111111000000");
	/* vCPUs 63, 64 and 69, and some that there are not. */
	static const uint8_t mask[] = {[7] = 0x80, [8] = 0xe1, [15] = 0xff};
	request = (wire_MainRequest){.which_message = wire_MainRequest_pause_set_tag,
	                             .message.pause_set.cpu_mask = {mask, sizeof(mask)}};
	expect_pauses(&rig, &request, "0000000000000000000000000000000000000000000000000000000000000001100001");
	session_rig_fini(&rig);
}

/* A plugin's bool may be any number, in its struct and on the wire. */
static void test_bool_of_any_number(void **state)
{
	struct session_rig *rig = *state;
	static const uint8_t levels[] = {0, 1, 2, 0x7f};
	for (size_t i = 0; i < sizeof(levels); i++) {
		/* MainRequest.set_irq, irq_id 5, active */
		const uint8_t packet[] = {0x5a, 4, 0x08, 5, 0x10, levels[i]};
		struct answer_packet answer;
		assert_int_equal(send(rig->socket, packet, sizeof(packet), 0), sizeof(packet));
		session_dispatch(&rig->session, rig->vm);
		rig_receive(rig->socket, &answer);
		assert_int_equal(answer.message.error, 0);
		assert_int_equal(fake_kvm.line.irq, 5);
		assert_int_equal(fake_kvm.line.level, levels[i] != 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, session_rig_setup, session_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_ends_cannot_be_reopened),   TEST(test_memfd_is_left_as_it_is),
	    TEST(test_log_window_is_in_no_dump),  TEST(test_memfd_that_shrinks_meanwhile),
	    cmocka_unit_test(test_pause_of_many), TEST(test_bool_of_any_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
