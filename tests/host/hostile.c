/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Thousands of requests from a plugin that means harm, well-formed ones and others, with and without fds: the host
 * serves on, and its fds and its memory are where they were.
 */
#include "rig.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define PACKETS 8000
/* What malloc and the C library may keep for themselves. */
#define MEMORY_SLACK_KIB 512

struct attack {
	struct session_rig *rig;
	unsigned int seed;
	int memfd, event;
	int served, refused, dropped;
};

static uint64_t any_number(struct attack *attack)
{
	static const uint64_t edges[] = {0,          1,          7,          0x1000, 0xffff,     0x10000,
	                                 0x7fffffff, 0xffffffff, UINT64_MAX, 0xfff0, 0xfffff000, UINT64_C(1) << 46,
	                                 1};
	uint64_t number = edges[(size_t)rand_r(&attack->seed) % (sizeof(edges) / sizeof(edges[0]))];
	return rand_r(&attack->seed) % 2 ? number : number - (uint64_t)rand_r(&attack->seed) % 3 * 0x1000;
}

/* A request that decodes, with rubbish in it. */
static wire_MainRequest any_request(struct attack *attack)
{
	wire_MainRequest request;
	memset(&request, 0, sizeof(request));
	request.which_message = (pb_size_t)rand_r(&attack->seed) % 21;
	switch (request.which_message) {
	case 20:
		request.which_message = wire_MainRequest_dirty_log_tag;
		break;
	case wire_MainRequest_create_tag:
		request.message.create.id = (uint32_t)rand_r(&attack->seed) % 64;
		request.message.create.which_constructor = (pb_size_t)rand_r(&attack->seed) % 5;
		if (request.message.create.which_constructor == wire_MainRequest_Create_memory_tag) {
			request.message.create.constructor.memory.offset = any_number(attack) & 0x3000;
			request.message.create.constructor.memory.start = any_number(attack);
			request.message.create.constructor.memory.length = 0x1000;
		} else if (request.message.create.which_constructor == 1) {
			request.message.create.which_constructor = 0;
		}
		break;
	case wire_MainRequest_destroy_tag:
		request.message.destroy.id = (uint32_t)rand_r(&attack->seed) % 64;
		break;
	case wire_MainRequest_reserve_range_tag:
		request.message.reserve_range.space = (wire_AddressSpace)(rand_r(&attack->seed) % 3);
		request.message.reserve_range.start = any_number(attack);
		request.message.reserve_range.length = (uint64_t)rand_r(&attack->seed) % 3;
		break;
	default:
		break;
	}
	return request;
}

static void send_any(struct attack *attack, int socket)
{
	uint8_t data[300];
	int fds[PACKET_FDS_MAX];
	size_t fd_count = rand_r(&attack->seed) % 3 ? 0 : (size_t)rand_r(&attack->seed) % 6;
	if (rand_r(&attack->seed) % 200 == 0)
		fd_count = PACKET_FDS_MAX;
	for (size_t i = 0; i < fd_count; i++)
		fds[i] = rand_r(&attack->seed) % 4 ? attack->memfd : attack->event;
	wire_MainRequest request = any_request(attack);
	ssize_t size = wire_encode_main_request(&request, data, sizeof(data));
	assert_true(size >= 0);
	if (size == 0)
		data[size++] = 0x7a, data[size++] = 0;
	/* One in eight is bent, and may be nonsense then. */
	if (rand_r(&attack->seed) % 8 == 0)
		data[(size_t)rand_r(&attack->seed) % (size_t)size] ^= (uint8_t)rand_r(&attack->seed);
	packet_send(socket, data, (size_t)size, fds, fd_count, MSG_DONTWAIT);
}

static void take_answers(struct attack *attack, int socket)
{
	struct answer_packet answer;
	for (rig_receive(socket, &answer); answer.result == 0; rig_receive(socket, &answer)) {
		if (answer.message.error)
			attack->refused++;
		else
			attack->served++;
		rig_close_fds(&answer);
	}
}

/* One connection stays; the other is made anew whenever the host has dropped it. */
static void attack_session(struct attack *attack)
{
	struct session_rig *rig = attack->rig;
	int socket = -1;
	for (int i = 0; i < PACKETS; i++) {
		if (socket < 0)
			assert_int_equal(session_add_connection(&rig->session, &socket), 0);
		send_any(attack, socket);
		int left = session_dispatch(&rig->session, rig->vm);
		take_answers(attack, socket);
		if (left == 1) {
			attack->dropped++;
			fd_close(&socket);
		}
		/* Connections that new_connection made end with their plugin's end, which take_answers() closed. */
	}
	fd_close(&socket);
	session_dispatch(&rig->session, rig->vm);
	assert_int_equal(rig_request_tag(rig, wire_MainRequest_check_extension_tag), 0);
}

/* Take back what was made, so that two rounds can be compared. */
static void clean_up(struct session_rig *rig)
{
	struct objects *objects = &rig->session.objects;
	while (objects->count > 0)
		assert_int_equal(objects_destroy(objects, rig->vm, objects->sorted[0].id), 0);
	assert_int_equal(fake_kvm_slots() + fake_kvm.io_event_count + fake_kvm.irq_event_count, 0);
	ranges_fini(&rig->session.ranges);
	assert_int_equal(ranges_init(&rig->session.ranges, 2), 0);
}

/* A checker in the process keeps memory of its own. */
static bool is_instrumented(void)
{
	const char *preload = getenv("LD_PRELOAD");
	return SANITIZED || (preload && strstr(preload, "vgpreload"));
}

static void expect_unchanged(int fds_before, long memory_before)
{
	assert_int_equal(count_open_fds(), fds_before);
	if (!is_instrumented())
		assert_true(private_memory_kib() < memory_before + MEMORY_SLACK_KIB);
}

static void test_main_connections(void **state)
{
	struct session_rig *rig = *state;
	struct attack attack = {.rig = rig, .seed = 11};
	attack.memfd = make_memfd(0x4000, F_SEAL_SHRINK);
	attack.event = eventfd(0, EFD_CLOEXEC);
	/* The first round fills what is only ever filled once. */
	attack_session(&attack);
	clean_up(rig);
	int fds = count_open_fds();
	long memory = private_memory_kib();
	for (int round = 0; round < 3; round++) {
		attack_session(&attack);
		clean_up(rig);
	}
	/* It was a real attack, that got everywhere. */
	assert_true(attack.served > 500 && attack.refused > 5000 && attack.dropped > 100);
	expect_unchanged(fds, memory);
	fd_close(&attack.memfd);
	fd_close(&attack.event);
}

static void attack_link(unsigned int *seed)
{
	struct link_rig rig;
	link_rig_init(&rig, 0);
	bool at_init = rand_r(seed) % 2;
	if (at_init) {
		link_begin_init(&rig);
	} else {
		link_pass_init(&rig);
		link_begin_access(&rig, ADDRESS_SPACE_PORT, rand_r(seed) % 2, 1 + (uint32_t)rand_r(seed) % 64);
	}
	for (int i = 0; i < 20; i++) {
		uint8_t data[64];
		size_t size = 1 + (size_t)rand_r(seed) % sizeof(data);
		for (size_t b = 0; b < size; b++)
			data[b] = (uint8_t)rand_r(seed);
		/* Often a request's first bytes. */
		if (rand_r(seed) % 2) {
			data[0] = (uint8_t)((rand_r(seed) % 11) << 3 | 2);
			data[1] = (uint8_t)(size > 2 ? size - 2 : 0);
			size = size < 2 ? 2 : size;
		}
		packet_send(rig.requests, data, size, rig.fds_before % 2 ? &rig.events : NULL,
		            rand_r(seed) % 32 == 0 && rig.fds_before % 2 ? 1 : 0, MSG_DONTWAIT);
	}
	fd_close(&rig.requests);
	/* Whatever it made of that, it is at an end now, or resumed. */
	int result = link_end(&rig);
	assert_true(result == -EPROTO || result == -EPIPE || result >= 0);
	link_rig_fini(&rig);
}

static void test_vcpu_channels(void **state)
{
	(void)state;
	unsigned int seed = 5;
	for (int i = 0; i < 100; i++)
		attack_link(&seed);
	int fds = count_open_fds();
	long memory = private_memory_kib();
	for (int i = 0; i < 500; i++)
		attack_link(&seed);
	expect_unchanged(fds, memory);
}

/* Sessions come and go. */
static void test_sessions(void **state)
{
	(void)state;
	struct session_rig rig;
	int fds = count_open_fds();
	long memory = 0;
	for (int i = 0; i < 150; i++) {
		if (i == 50)
			memory = private_memory_kib();
		session_rig_init(&rig, LIMIT_BASELINE_VCPUS);
		struct attack attack = {
		    .rig = &rig, .seed = (unsigned int)i, .memfd = rig.socket, .event = rig.socket};
		for (int packet = 0; packet < 10; packet++)
			send_any(&attack, rig.socket);
		session_dispatch(&rig.session, rig.vm);
		session_rig_fini(&rig);
	}
	expect_unchanged(fds, memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_main_connections, session_rig_setup, session_rig_teardown),
	    cmocka_unit_test(test_vcpu_channels),
	    cmocka_unit_test(test_sessions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
