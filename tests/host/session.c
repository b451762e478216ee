/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the main connections of a session: every request in every phase, fds in every number, packets that are
 * too long or nonsense, plugins that do not read, the number of connections, and what start does.
 */
#include "rig.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define TAG(a, allocation, rules, type, name, tag) tag,
static const pb_size_t tags[] = {0, wire_MainRequest_FIELDLIST(TAG, 0)};
#undef TAG

/* ---- Every request in every phase ---- */

enum column { SETUP, RUNNING, DYING_UNSTARTED, DYING_STARTED, WITHOUT_VM, COLUMNS };

#define EVERYWHERE(code)                     \
	{                                    \
		code, code, code, code, code \
	}
#define NEEDS_VM(code)                         \
	{                                      \
		code, code, code, code, ENODEV \
	}
#define SERVED(name, ...)              \
	wire_MainRequest_##name##_tag, \
	{                              \
		.name = __VA_ARGS__    \
	}
#define CREATE(request_id, kind, ...)                                              \
	SERVED(create, {.id = request_id,                                          \
	                .which_constructor = wire_MainRequest_Create_##kind##_tag, \
	                .constructor = {.kind = __VA_ARGS__}})

#define CREATE_EXT(request_id, kind, ...)                                                 \
	SERVED(create_ext, {.id = request_id,                                             \
	                    .which_constructor = wire_MainRequest_CreateExt_##kind##_tag, \
	                    .constructor = {.kind = __VA_ARGS__}})

/* What the request needs, in a session where nothing was asked before. */
static const struct row {
	pb_size_t tag;
	union {
		wire_MainRequest_Create create;
		wire_MainRequest_Destroy destroy;
		wire_MainRequest_GetArea get_area;
		wire_MainRequest_CheckExtension check_extension;
		wire_MainRequest_ReserveRange reserve_range;
		wire_MainRequest_SetIrq set_irq;
		wire_MainRequest_GetState get_state;
		wire_MainRequest_SetIdentityMapAddr set_identity_map_addr;
		wire_MainRequest_PauseVcpus pause_vcpus;
		wire_MainRequest_SetCallHint set_call_hint;
		wire_MainRequest_MemoryDirtyLog dirty_log;
		wire_MainRequest_GetVcpusFrom get_vcpus_from;
		wire_MainRequest_CreateExt create_ext;
		wire_MainRequest_GetCpuid get_cpuid;
		wire_MainRequest_DirtyLogTo dirty_log_to;
		wire_MainRequest_SignalMsi signal_msi;
		wire_MainRequest_SubscribeExits subscribe_exits;
		wire_MainRequest_SetMsrFilter set_msr_filter;
	} content;
	int expected[COLUMNS];
	bool with_memfd;
	size_t fds_back;
} rows[] = {
    {0, {{0}}, EVERYWHERE(ENOTTY), false, 0},
    {CREATE(1, memory, {.start = 0x1000, .length = 0x1000}), NEEDS_VM(0), true, 0},
    {CREATE(1, memory, {.start = 0x1000, .length = 0x1000}), NEEDS_VM(EBADF), false, 0},
    {CREATE(1, io_event, {.address = 1, .length = 2}), NEEDS_VM(0), false, 1},
    {CREATE(1, io_event, {.address = 1}), NEEDS_VM(EINVAL), true, 0},
    {CREATE(1, io_event, {.address = 0x10000}), NEEDS_VM(EINVAL), false, 0},
    {CREATE(1, io_event, {.space = (wire_AddressSpace)2}), NEEDS_VM(EINVAL), false, 0},
    {CREATE(1, irq_event, {.irq_id = 1}), NEEDS_VM(0), false, 2},
    {CREATE(1, irq_event, {.irq_id = LIMIT_GSI}), NEEDS_VM(0), false, 2},
    {CREATE(1, irq_event, {.irq_id = LIMIT_GSI + 1}), NEEDS_VM(EINVAL), false, 0},
    {CREATE(1, irq_event, {.irq_id = 1}), NEEDS_VM(EINVAL), true, 0},
    {SERVED(create, {.id = 1}), NEEDS_VM(ENOTTY), false, 0},
    {SERVED(destroy, {.id = 1}), NEEDS_VM(ENOENT), false, 0},
    {wire_MainRequest_new_connection_tag, {{0}}, EVERYWHERE(0), false, 1},
    {wire_MainRequest_get_shutdown_eventfd_tag, {{0}}, EVERYWHERE(0), false, 1},
    {SERVED(check_extension, {.extension = KVM_CAP_IRQCHIP}), NEEDS_VM(0), false, 0},
    {wire_MainRequest_get_supported_cpuid_tag, {{0}}, NEEDS_VM(0), false, 0},
    {wire_MainRequest_get_emulated_cpuid_tag, {{0}}, NEEDS_VM(0), false, 0},
    {wire_MainRequest_get_msr_index_list_tag, {{0}}, NEEDS_VM(0), false, 0},
    {wire_MainRequest_get_net_config_tag, {{0}}, EVERYWHERE(ENODATA), false, 0},
    {SERVED(reserve_range, {.start = 0x3f8, .length = 8}), EVERYWHERE(0), false, 0},
    {SERVED(reserve_range, {.start = 0x3f8}), EVERYWHERE(ENOENT), false, 0},
    {SERVED(reserve_range, {.start = 0xffff, .length = 2}), EVERYWHERE(EINVAL), false, 0},
    {SERVED(reserve_range, {.space = (wire_AddressSpace)2, .length = 2}), EVERYWHERE(EINVAL), false, 0},
    {SERVED(reserve_range, {.length = 2, .async_write = true}), EVERYWHERE(0), false, 0},
    {SERVED(set_irq, {.irq_id = LIMIT_GSI, .active = true}), NEEDS_VM(0), false, 0},
    {SERVED(set_irq, {.irq_id = LIMIT_GSI + 1}), NEEDS_VM(EINVAL), false, 0},
    {wire_MainRequest_set_irq_routing_tag, {{0}}, NEEDS_VM(0), false, 0},
    {wire_MainRequest_get_state_tag, {{0}}, NEEDS_VM(0), false, 0},
    {SERVED(get_state, {.set = (wire_MainRequest_StateSet)5}), NEEDS_VM(EINVAL), false, 0},
    {wire_MainRequest_set_state_tag, {{0}}, NEEDS_VM(EINVAL), false, 0}, /* without bytes */
    {SERVED(set_identity_map_addr, {.address = 0xfffbc000}), NEEDS_VM(0), false, 0},
    {SERVED(pause_vcpus, {.cpu_mask = UINT64_MAX}), EVERYWHERE(0), false, 0},
    {wire_MainRequest_get_vcpus_tag, {{0}}, EVERYWHERE(0), false, 4},
    {wire_MainRequest_start_tag, {{0}}, {0, EINVAL, ECANCELED, EINVAL, 0}, false, 0},
    {wire_MainRequest_set_call_hint_tag, {{0}}, EVERYWHERE(0), false, 0},
    {SERVED(set_call_hint, {.space = (wire_AddressSpace)2}), EVERYWHERE(EINVAL), false, 0},
    {SERVED(dirty_log, {.id = 1}), NEEDS_VM(ENOENT), false, 0},
    {wire_MainRequest_features_tag, {{0}}, EVERYWHERE(0), false, 0},
    {SERVED(get_vcpus_from, {.first = 0}), EVERYWHERE(0), false, 4},
    {SERVED(get_vcpus_from, {.first = 1}), EVERYWHERE(0), false, 2},
    {SERVED(get_vcpus_from, {.first = 2}), EVERYWHERE(EINVAL), false, 0},
    {SERVED(get_vcpus_from, {.first = UINT32_MAX}), EVERYWHERE(EINVAL), false, 0},
    {CREATE_EXT(1, io_event, {.address = 1, .length = 2}), NEEDS_VM(0), false, 1},
    {CREATE_EXT(1, io_event, {.address = 1, .length = 3}), NEEDS_VM(EINVAL), false, 0},
    {CREATE_EXT(1, io_event, {.address = 1, .length = 2}), EVERYWHERE(EINVAL), true, 0},
    {CREATE_EXT(1, io_event, {.space = (wire_AddressSpace)2, .length = 2}), NEEDS_VM(EINVAL), false, 0},
    {CREATE_EXT(1, irq_event, {.irq_id = LIMIT_GSI}), NEEDS_VM(0), false, 1},
    {CREATE_EXT(1, irq_event, {.irq_id = LIMIT_GSI + 1}), NEEDS_VM(EINVAL), false, 0},
    {SERVED(create_ext, {.id = 1}), NEEDS_VM(ENOTTY), false, 0},
    {SERVED(get_cpuid, {.emulated = false}), NEEDS_VM(0), false, 0},
    {SERVED(get_cpuid, {.emulated = true}), NEEDS_VM(0), false, 0},
    {SERVED(dirty_log_to, {.id = 1}), NEEDS_VM(EBADF), false, 0},
    {SERVED(dirty_log_to, {.id = 1}), NEEDS_VM(ENOENT), true, 0},
    {wire_MainRequest_pause_set_tag, {{0}}, EVERYWHERE(0), false, 0},
    {SERVED(signal_msi, {.address = 0xfee00000}), NEEDS_VM(0), false, 0},
    {SERVED(subscribe_exits, {.exits = WIRE_EXITS_ALL}), EVERYWHERE(0), false, 0},
    {SERVED(subscribe_exits, {.exits = WIRE_EXITS_ALL + 1}), EVERYWHERE(EINVAL), false, 0},
    {SERVED(set_msr_filter, {.unknown = true}), NEEDS_VM(0), false, 0},
    {wire_MainRequest_get_end_tag, {{0}}, EVERYWHERE(EAGAIN), false, 0},
    {SERVED(get_area, {.version = AREA_VERSION}), {0, EINVAL, EINVAL, EINVAL, 0}, false, 1},
    {SERVED(get_area, {.version = AREA_VERSION + 1}), {ENOTSUP, EINVAL, EINVAL, EINVAL, ENOTSUP}, false, 0},
};

static void bring_to(struct session_rig *rig, enum column column)
{
	if (column == RUNNING || column == DYING_STARTED)
		assert_int_equal(rig_request_tag(rig, wire_MainRequest_start_tag), 0);
	if (column == DYING_UNSTARTED || column == DYING_STARTED)
		session_signal_kill(&rig->session);
	static const enum phase phases[COLUMNS] = {PHASE_SETUP, PHASE_RUNNING, PHASE_DYING, PHASE_DYING,
	                                           PHASE_SETUP};
	assert_int_equal(session_phase(&rig->session), phases[column]);
}

static void check_row(const struct row *row, enum column column)
{
	struct session_rig rig;
	session_rig_init(&rig, 2);
	bring_to(&rig, column);
	wire_MainRequest request;
	memset(&request, 0, sizeof(request));
	request.which_message = row->tag;
	memcpy(&request.message, &row->content, sizeof(row->content));
	int memfd = make_memfd(0x1000, F_SEAL_SHRINK);

	assert_int_equal(rig_send(rig.socket, &request, memfd, row->with_memfd ? 1 : 0), 0);
	session_dispatch(&rig.session, column == WITHOUT_VM ? NULL : rig.vm);
	struct answer_packet answer;
	rig_receive(rig.socket, &answer);
	assert_int_equal(answer.result, 0);
	if (answer.message.error != row->expected[column])
		print_message("# request %u in column %d\n", row->tag, column);
	assert_int_equal(answer.message.error, row->expected[column]);
	if (answer.message.error == 0) {
		/* The number of the request plus one, and from dirty_log on the same. */
		assert_int_equal(answer.message.which_message, row->tag >= 101 ? row->tag : row->tag + 1);
		assert_int_equal(answer.fd_count, row->fds_back);
		for (size_t i = 0; i < answer.fd_count; i++)
			assert_int_equal(fcntl(answer.fds[i], F_GETFD), FD_CLOEXEC);
	}
	rig_close_fds(&answer);
	fd_close(&memfd);
	session_rig_fini(&rig);
}

static void test_every_request_in_every_phase(void **state)
{
	(void)state;
	for (size_t t = 0; t < COUNT(tags); t++) {
		size_t found = 0;
		for (size_t r = 0; r < COUNT(rows); r++) {
			if (rows[r].tag != tags[t])
				continue;
			found++;
			for (int column = 0; column < COLUMNS; column++)
				check_row(&rows[r], column);
		}
		if (!found)
			print_message("# no row for request %u\n", tags[t]);
		assert_true(found > 0);
	}
}

/* ---- Fds ---- */

/* How many fds a request may bring. */
static size_t fds_allowed(pb_size_t tag)
{
	return tag == wire_MainRequest_create_tag || tag == wire_MainRequest_dirty_log_to_tag ? 1 : 0;
}

static void test_every_fd_count(void **state)
{
	struct session_rig *rig = *state;
	static const size_t counts[] = {0, 1, 2, LIMIT_PACKET_FDS, LIMIT_PACKET_FDS + 1, PACKET_FDS_MAX};
	int event = eventfd(0, EFD_CLOEXEC);
	int before = count_open_fds();
	for (size_t t = 0; t < COUNT(tags); t++) {
		for (size_t c = 0; c < COUNT(counts); c++) {
			wire_MainRequest request;
			memset(&request, 0, sizeof(request));
			request.which_message = tags[t];
			/* What succeeds changes the session, and that is for another test. */
			if (counts[c] <= fds_allowed(tags[t]) && tags[t] != 0)
				continue;
			int socket;
			assert_int_equal(session_add_connection(&rig->session, &socket), 0);
			int error = rig_request(rig, socket, &request, event, counts[c]);
			/* Too many end the connection. */
			bool is_received = counts[c] <= LIMIT_PACKET_FDS;
			assert_int_equal(rig->session.connection_count, is_received ? 2 : 1);
			if (is_received)
				assert_int_equal(error, tags[t] == 0 ? ENOTTY : EINVAL);
			else
				assert_true(error < 0);
			fd_close(&socket);
			session_dispatch(&rig->session, rig->vm);
			assert_int_equal(rig->session.connection_count, 1);
			assert_int_equal(count_open_fds(), before);
		}
	}
	fd_close(&event);
}

static void test_fds_on_bad_packet(void **state)
{
	struct session_rig *rig = *state;
	int event = eventfd(0, EFD_CLOEXEC);
	int fds[3] = {event, event, event};
	for (size_t count = 0; count <= 3; count++) {
		int socket;
		assert_int_equal(session_add_connection(&rig->session, &socket), 0);
		int before = count_open_fds();
		assert_int_equal(packet_send(socket, "\xff\xff", 2, fds, count, 0), 0);
		assert_int_equal(session_dispatch(&rig->session, rig->vm), 1);
		/* Only the host's end of that connection is gone. */
		assert_int_equal(count_open_fds(), before - 1);
		fd_close(&socket);
	}
	fd_close(&event);
}

static void test_create_with_every_kind_of_fd(void **state)
{
	struct session_rig *rig = *state;
	wire_MainRequest request = {.which_message = wire_MainRequest_create_tag};
	request.message.create = (wire_MainRequest_Create){
	    .id = 1,
	    .which_constructor = wire_MainRequest_Create_memory_tag,
	    .constructor = {.memory = {.length = 0x1000}},
	};
	int event = eventfd(0, EFD_CLOEXEC), unsealed = make_memfd(0x1000, 0);
	int memfd = make_memfd(0x1000, F_SEAL_SHRINK);
	assert_int_equal(rig_request(rig, rig->socket, &request, event, 1), EINVAL);
	assert_int_equal(rig_request(rig, rig->socket, &request, unsealed, 1), EPERM);
	assert_int_equal(rig_request(rig, rig->socket, &request, rig->socket, 1), EINVAL);
	assert_int_equal(rig_request(rig, rig->socket, &request, memfd, 1), 0);
	assert_int_equal(rig_request(rig, rig->socket, &request, memfd, 1), EEXIST);
	assert_int_equal(fake_kvm_slots(), 1);
	fd_close(&event);
	fd_close(&unsealed);
	fd_close(&memfd);
}

static void set_fd_limit(rlim_t limit, struct rlimit *out_old)
{
	assert_int_equal(getrlimit(RLIMIT_NOFILE, out_old), 0);
	struct rlimit low = {.rlim_cur = limit, .rlim_max = out_old->rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
}

/*
 * Near the process's limit a plugin's fds are refused, and beyond it the kernel does not even deliver them; the
 * host keeps its reserve and can still be told to end.
 */
static void test_fd_limit(void **state)
{
	struct session_rig *rig = *state;
	struct rlimit old;
	wire_MainRequest request = {.which_message = wire_MainRequest_create_tag};
	request.message.create = (wire_MainRequest_Create){
	    .id = 1,
	    .which_constructor = wire_MainRequest_Create_memory_tag,
	    .constructor = {.memory = {.length = 0x1000}},
	};
	int memfd = make_memfd(0x1000, F_SEAL_SHRINK);
	int lowest = dup(memfd);
	close(lowest);
	/* The least limit is the highest fd that is open plus one, then nothing is left at all. */
	for (rlim_t room = 0; room <= LIMIT_FD_RESERVE + 2; room++) {
		set_fd_limit((rlim_t)lowest + room, &old);
		int error = rig_request(rig, rig->socket, &request, memfd, 1);
		int connect = rig_request_tag(rig, wire_MainRequest_new_connection_tag);
		int check = rig_request_tag(rig, wire_MainRequest_check_extension_tag);
		setrlimit(RLIMIT_NOFILE, &old);
		assert_int_equal(error, room <= LIMIT_FD_RESERVE       ? EMFILE
		                        : room == LIMIT_FD_RESERVE + 1 ? 0
		                                                       : EEXIST);
		/* A connection needs two, and one of them is the plugin's again. */
		assert_int_equal(connect, room <= LIMIT_FD_RESERVE + 1 ? EMFILE : 0);
		assert_int_equal(check, 0);
	}
	set_fd_limit((rlim_t)lowest, &old);
	session_signal_kill(&rig->session);
	struct pollfd poller = {.fd = rig->session.notifier.target, .events = POLLIN};
	int ready = poll(&poller, 1, PATIENCE_MS);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(ready, 1);
	assert_int_equal(rig->kicks, 2);
	fd_close(&memfd);
}

/* ---- Packets ---- */

static void test_packet_lengths(void **state)
{
	struct session_rig *rig = *state;
	static uint8_t data[LIMIT_REQUEST_BYTES + 1];
	struct answer_packet answer;
	int size = 1 << 20;
	assert_int_equal(setsockopt(rig->socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	/* An unknown field of just the length that fills the packet. */
	for (size_t extra = 0; extra <= 1; extra++) {
		size_t total = LIMIT_REQUEST_BYTES + extra, content = total - 5;
		data[0] = 0xba;
		data[1] = 0x3e;
		data[2] = (uint8_t)(content | 0x80);
		data[3] = (uint8_t)(content >> 7 | 0x80);
		data[4] = (uint8_t)(content >> 14);
		int result = packet_send(rig->socket, data, total, NULL, 0, MSG_DONTWAIT);
		if (result == -EMSGSIZE)
			test_skip("net.core.wmem_max is less than the longest request");
		assert_int_equal(result, 0);
		assert_int_equal(session_dispatch(&rig->session, rig->vm), 1);
		rig_receive(rig->socket, &answer);
		assert_int_equal(answer.result, 0);
		assert_int_equal(answer.message.error, extra ? EMSGSIZE : ENOTTY);
	}
	/* The connection lives. */
	assert_int_equal(rig_request_tag(rig, wire_MainRequest_check_extension_tag), 0);
	assert_int_equal(rig->log_lines, 0);
}

static void test_bad_packets_end_one_connection(void **state)
{
	struct session_rig *rig = *state;
	static const struct {
		const char *data;
		size_t size;
		int result;
	} cases[] = {{"", 0, -ECONNRESET},     {"\xff", 1, -EPROTO},
	             {"\x0a\x05", 2, -EPROTO}, {"\x12\x00garbage", 9, -EPROTO},
	             {"\0\0\0\0", 4, -EPROTO}, {"\x92\x01\x02\x08", 4, -EPROTO}};
	for (size_t i = 0; i < COUNT(cases); i++) {
		int socket;
		struct answer_packet answer;
		assert_int_equal(session_add_connection(&rig->session, &socket), 0);
		assert_int_equal(packet_send(socket, cases[i].data, cases[i].size, NULL, 0, 0), 0);
		assert_int_equal(session_handle(&rig->session, 1, rig->vm), cases[i].result);
		assert_int_equal(session_drop(&rig->session, &(size_t){1}, 1), 0);
		rig_receive(socket, &answer);
		assert_int_equal(answer.result, -ECONNRESET);
		assert_int_equal(rig_request_tag(rig, wire_MainRequest_check_extension_tag), 0);
		fd_close(&socket);
	}
	assert_int_equal(rig->starts, 0);
}

static void test_handle(void **state)
{
	struct session_rig *rig = *state;
	assert_int_equal(session_handle(&rig->session, 0, rig->vm), -EAGAIN);
	assert_int_equal(session_handle(&rig->session, 1, rig->vm), -EINVAL);
	wire_MainRequest request = {.which_message = wire_MainRequest_check_extension_tag};
	assert_int_equal(rig_send(rig->socket, &request, -1, 0), 0);
	assert_int_equal(session_handle(&rig->session, 0, rig->vm), 0);
	assert_int_equal(session_handle(&rig->session, 0, rig->vm), -EAGAIN);
	/* One that is there, though its sender has gone, is served; nobody takes the answer. */
	assert_int_equal(rig_send(rig->socket, &request, -1, 0), 0);
	fd_close(&rig->socket);
	assert_int_equal(session_handle(&rig->session, 0, rig->vm), -ECONNRESET);
}

/* Who never reads is dropped once its buffer is full; others are served meanwhile. */
static void test_plugin_that_does_not_read(void **state)
{
	struct session_rig *rig = *state;
	int deaf;
	assert_int_equal(session_add_connection(&rig->session, &deaf), 0);
	wire_MainRequest request = {.which_message = wire_MainRequest_get_shutdown_eventfd_tag};
	int left = 2;
	for (int i = 0; i < 100000 && left == 2; i++) {
		assert_int_equal(rig_send(deaf, &request, -1, 0), 0);
		left = session_dispatch(&rig->session, rig->vm);
		if (i % 16 == 0)
			assert_int_equal(rig_request_tag(rig, wire_MainRequest_check_extension_tag), 0);
	}
	assert_int_equal(left, 1);
	assert_int_equal(rig->log_lines, 1);
	assert_int_equal(rig_request_tag(rig, wire_MainRequest_check_extension_tag), 0);
	fd_close(&deaf);
}

/* A busy connection does not keep dispatch for ever. */
static void test_dispatch_is_bounded(void **state)
{
	struct session_rig *rig = *state;
	wire_MainRequest request = {.which_message = wire_MainRequest_check_extension_tag};
	int sent = 0, answered = 0;
	while (rig_send(rig->socket, &request, -1, 0) == 0)
		sent++;
	assert_true(sent > 64);
	struct pollfd poller = {.fd = rig->session.epoll, .events = POLLIN};
	while (poll(&poller, 1, 0) == 1) {
		struct answer_packet answer;
		int before = answered;
		session_dispatch(&rig->session, rig->vm);
		for (rig_receive(rig->socket, &answer); answer.result == 0; rig_receive(rig->socket, &answer))
			answered++;
		assert_in_range(answered - before, 1, 64 + 16);
	}
	assert_int_equal(answered, sent);
}

static void test_peer_log_is_limited(void **state)
{
	struct session_rig *rig = *state;
	for (int i = 0; i < LIMIT_LOG_LINES_BURST + 500; i++) {
		int socket;
		assert_int_equal(session_add_connection(&rig->session, &socket), 0);
		assert_int_equal(packet_send(socket, "\xff", 1, NULL, 0, 0), 0);
		assert_int_equal(session_dispatch(&rig->session, rig->vm), 1);
		fd_close(&socket);
	}
	assert_in_range(rig->log_lines, LIMIT_LOG_LINES_BURST, LIMIT_LOG_LINES_BURST + 499);
}

/* ---- Connections ---- */

/* One dispatch is bounded in requests and in time; this goes on until nothing is left. Returns the connections left. */
static int dispatch_all(struct session_rig *rig)
{
	struct pollfd poll_fd = {.fd = rig->session.epoll, .events = POLLIN};
	int left = (int)rig->session.connection_count;
	while (poll(&poll_fd, 1, 0) > 0)
		left = session_dispatch(&rig->session, rig->vm);
	return left;
}

static void test_number_of_connections(void **state)
{
	struct session_rig *rig = *state;
	int sockets[LIMIT_CONNECTIONS];
	sockets[0] = rig->socket;
	wire_MainRequest request = {.which_message = wire_MainRequest_new_connection_tag};
	for (size_t i = 1; i < LIMIT_CONNECTIONS; i++) {
		struct answer_packet answer;
		assert_int_equal(rig_send(sockets[i - 1], &request, -1, 0), 0);
		assert_int_equal(session_dispatch(&rig->session, rig->vm), i + 1);
		rig_receive(sockets[i - 1], &answer);
		assert_int_equal(answer.message.error, 0);
		sockets[i] = answer.fds[0];
	}
	for (size_t i = 0; i < LIMIT_CONNECTIONS; i++)
		assert_int_equal(rig_request(rig, sockets[i], &request, -1, 0), ENOSPC);
	/* All at once, and then some of them gone at once. */
	request.which_message = wire_MainRequest_check_extension_tag;
	for (size_t i = 0; i < LIMIT_CONNECTIONS; i++)
		assert_int_equal(rig_send(sockets[i], &request, -1, 0), 0);
	dispatch_all(rig);
	for (size_t i = 0; i < LIMIT_CONNECTIONS; i++) {
		struct answer_packet answer;
		rig_receive(sockets[i], &answer);
		assert_int_equal(answer.result, 0);
	}
	for (size_t i = 1; i < LIMIT_CONNECTIONS; i += 2)
		fd_close(&sockets[i]);
	assert_int_equal(dispatch_all(rig), LIMIT_CONNECTIONS / 2);
	for (size_t i = 0; i < LIMIT_CONNECTIONS; i += 2)
		assert_int_equal(rig_request(rig, sockets[i], &request, -1, 0), 0);
	for (size_t i = 2; i < LIMIT_CONNECTIONS; i += 2)
		fd_close(&sockets[i]);
	assert_int_equal(dispatch_all(rig), 1);
}

static void test_drop(void **state)
{
	struct session_rig *rig = *state;
	int sockets[3], host[4];
	for (int i = 0; i < 3; i++)
		assert_int_equal(session_add_connection(&rig->session, &sockets[i]), 0);
	for (int i = 0; i < 4; i++)
		host[i] = rig->session.connections[i];
	assert_int_equal(session_drop(&rig->session, (const size_t[]){1, 4}, 2), -EINVAL);
	assert_int_equal(rig->session.connection_count, 4);
	assert_int_equal(session_drop(&rig->session, (const size_t[]){2, 0, 2}, 3), 0);
	assert_int_equal(rig->session.connection_count, 2);
	assert_int_equal(rig->session.connections[0], host[1]);
	assert_int_equal(rig->session.connections[1], host[3]);
	assert_int_equal(session_drop(&rig->session, (const size_t[]){0, 1}, 2), 0);
	assert_int_equal(session_dispatch(&rig->session, rig->vm), 0);
	for (int i = 0; i < 3; i++)
		fd_close(&sockets[i]);
}

/* Objects belong to the VM: another connection destroys them, and they outlive theirs. */
static void test_objects_outlive_connections(void **state)
{
	struct session_rig *rig = *state;
	int other, memfd = make_memfd(0x1000, F_SEAL_SHRINK);
	assert_int_equal(session_add_connection(&rig->session, &other), 0);
	wire_MainRequest request = {.which_message = wire_MainRequest_create_tag};
	request.message.create = (wire_MainRequest_Create){
	    .id = 7,
	    .which_constructor = wire_MainRequest_Create_memory_tag,
	    .constructor = {.memory = {.length = 0x1000}},
	};
	assert_int_equal(rig_request(rig, other, &request, memfd, 1), 0);
	fd_close(&other);
	fd_close(&memfd);
	assert_int_equal(session_dispatch(&rig->session, rig->vm), 1);
	assert_int_equal(fake_kvm_slots(), 1);
	request = (wire_MainRequest){.which_message = wire_MainRequest_destroy_tag, .message.destroy.id = 7};
	assert_int_equal(rig_request(rig, rig->socket, &request, -1, 0), 0);
	assert_int_equal(fake_kvm_slots(), 0);
}

/* ---- Start, shutdown ---- */

static void test_start(void **state)
{
	struct session_rig *rig = *state;
	rig->start_result = -ENOMEM;
	for (int i = 1; i <= 2; i++) {
		assert_int_equal(rig_request_tag(rig, wire_MainRequest_start_tag), ENOMEM);
		assert_int_equal(rig->starts, i);
		assert_int_equal(session_phase(&rig->session), PHASE_SETUP);
	}
	rig->start_result = 0;
	assert_int_equal(rig_request_tag(rig, wire_MainRequest_start_tag), 0);
	assert_int_equal(session_phase(&rig->session), PHASE_RUNNING);
	assert_int_equal(rig_request_tag(rig, wire_MainRequest_start_tag), EINVAL);
	assert_int_equal(rig->starts, 3);
}

static void test_shutdown_eventfd(void **state)
{
	struct session_rig *rig = *state;
	wire_MainRequest request = {.which_message = wire_MainRequest_get_shutdown_eventfd_tag};
	int fds[2];
	for (int i = 0; i < 2; i++) {
		struct answer_packet answer;
		assert_int_equal(rig_send(rig->socket, &request, -1, 0), 0);
		session_dispatch(&rig->session, rig->vm);
		rig_receive(rig->socket, &answer);
		assert_int_equal(answer.fd_count, 1);
		fds[i] = answer.fds[0];
	}
	struct pollfd poller = {.fd = fds[0], .events = POLLIN};
	assert_int_equal(poll(&poller, 1, 0), 0);
	session_signal_kill(&rig->session);
	session_signal_kill(&rig->session);
	poller.fd = fds[1];
	assert_int_equal(poll(&poller, 1, PATIENCE_MS), 1);
	uint64_t value;
	assert_int_equal(read(fds[0], &value, sizeof(value)), sizeof(value));
	assert_int_equal(value, 1);
	assert_int_equal(rig->kicks, 4);
	/* Requests are served to the end. */
	assert_int_equal(rig_request_tag(rig, wire_MainRequest_check_extension_tag), 0);
	fd_close_pair(fds);
}

/* A plugin that fills the shutdown eventfd holds up nothing. */
static void test_saturated_shutdown_eventfd(void **state)
{
	struct session_rig *rig = *state;
	uint64_t full = UINT64_MAX - 1;
	assert_int_equal(write(rig->session.notifier.target, &full, sizeof(full)), sizeof(full));
	session_signal_kill(&rig->session);
	assert_int_equal(rig_request_tag(rig, wire_MainRequest_check_extension_tag), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, session_rig_setup, session_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_request_in_every_phase),
	    TEST(test_every_fd_count),
	    TEST(test_fds_on_bad_packet),
	    TEST(test_create_with_every_kind_of_fd),
	    TEST(test_fd_limit),
	    TEST(test_packet_lengths),
	    TEST(test_bad_packets_end_one_connection),
	    TEST(test_handle),
	    TEST(test_plugin_that_does_not_read),
	    TEST(test_dispatch_is_bounded),
	    TEST(test_peer_log_is_limited),
	    TEST(test_number_of_connections),
	    TEST(test_drop),
	    TEST(test_objects_outlive_connections),
	    TEST(test_start),
	    TEST(test_shutdown_eventfd),
	    TEST(test_saturated_shutdown_eventfd),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
