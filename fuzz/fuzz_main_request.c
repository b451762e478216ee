/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_main_request - packets on main connections, through session_handle() of a session with a fake KVM.
 *
 * Input: one byte of flags (FLAG_...), then packets: a control byte (CONTROL_...), two bytes of length, the bytes.
 * One session serves all inputs: restore() brings it back to what it was, and thereby checks that this can be
 * done.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "fuzz.h"
#include "host/session.h"
#include "kvm/kvm.h"

#define FLAG_DYING      0x01 /* the plugin has been told to exit */
#define FLAG_NO_VM      0x02 /* the embedder has no VM yet */
#define FLAG_NO_IRQCHIP 0x04 /* the plugin emulates the interrupt controllers */

#define CONTROL_FD_COUNT 0x03 /* 0, 1, 2, or CONTROL_FDS_MANY */
#define CONTROL_FDS_MANY 3    /* PACKET_FDS_MAX: the host drops the connection */
#define CONTROL_FD_KIND  0x1c /* of fd_kinds */
#define CONTROL_OVERLONG 0x20 /* one byte more than a request may have, whatever the packet says */
/* the two highest bits: which connection, counted from the oldest */

/* Just more than all guest memory together may be. */
#define MEMFD_BYTES (((off_t)LIMIT_MEMORY_GIB << 30) + 4096)

#define PACKETS_MAX 64
#define VCPU_COUNT  2

/* fd numbers that the check for leaks looks at: more than one input can open. */
#define FDS_WATCHED 256

enum { FD_MEMFD, FD_UNSEALED, FD_WRITE_SEALED, FD_PIPE, FD_EVENTFD, FD_ZERO, FD_SOCKET, FD_ODD_SIZE, FD_KINDS };

static int fd_kinds[FD_KINDS];
static struct session session;
static struct plugvm_vm vm = {.kvm = &fake_kvm, .fd = -1, .address_bits = 46};
static uint64_t elements[LIMIT_REQUEST_BYTES];
static const struct wire_arena arena = {elements, sizeof(elements)};
static uint8_t overlong[LIMIT_REQUEST_BYTES + 1];

/* The far ends, in the order of session.connections. */
static int plugin_ends[LIMIT_CONNECTIONS];
static size_t plugin_end_count;

/*
 * In the place of base/foreign.c, whose thread makes sure that nobody waits for close(2): here nothing can make it wait,
 * and a thread for each packet costs more than all the rest.
 */
void __wrap_foreign_close(int *fds, size_t count);
void __wrap_foreign_close(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fd_close(&fds[i]);
}

static int start_vm(void *context)
{
	(void)context;
	return 0;
}

static void check_log_line(void *context, enum plugvm_log_level level, const char *line)
{
	(void)context;
	(void)level;
	REQUIRE(line[0] != '\0' && !strpbrk(line, "\n\033"));
}

static int make_sized_memfd(off_t size, int seals)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	REQUIRE(fd >= 0 && ftruncate(fd, size) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0);
	return fd;
}

static void make_fds(void)
{
	int pair[2];
	REQUIRE(pipe2(pair, O_CLOEXEC) == 0);
	fd_kinds[FD_PIPE] = pair[0];
	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	fd_kinds[FD_SOCKET] = pair[0];
	/* Sparse. */
	fd_kinds[FD_MEMFD] = make_sized_memfd(MEMFD_BYTES, F_SEAL_SHRINK);
	fd_kinds[FD_UNSEALED] = make_sized_memfd(1 << 20, 0);
	fd_kinds[FD_WRITE_SEALED] = make_sized_memfd(1 << 20, F_SEAL_SHRINK | F_SEAL_WRITE);
	fd_kinds[FD_ODD_SIZE] = make_sized_memfd(4097, F_SEAL_SHRINK | F_SEAL_GROW);
	fd_kinds[FD_EVENTFD] = eventfd(0, EFD_CLOEXEC);
	fd_kinds[FD_ZERO] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	REQUIRE(fd_kinds[FD_EVENTFD] >= 0 && fd_kinds[FD_ZERO] >= 0);
}

/* One system call for all of them: poll(2) marks the numbers that are closed. */
static size_t count_fds(void)
{
	struct pollfd fds[FDS_WATCHED];
	for (int i = 0; i < FDS_WATCHED; i++)
		fds[i] = (struct pollfd){.fd = i};
	REQUIRE(poll(fds, FDS_WATCHED, 0) >= 0);
	size_t count = 0;
	for (int i = 0; i < FDS_WATCHED; i++)
		count += !(fds[i].revents & POLLNVAL);
	return count;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fake_kvm_install();
	make_fds();
	struct plugvm_plugin_config config = {
	    .size = sizeof(config),
	    .path = "/none",
	    .vcpu_count = VCPU_COUNT,
	    .first_slot = FAKE_FIRST_SLOT,
	    .start = start_vm,
	    .log = check_log_line,
	};
	REQUIRE(session_init(&session, &config, false, &plugin_ends[0]) == 0);
	plugin_end_count = 1;
	return 0;
}

static void drop_connection(size_t index)
{
	REQUIRE(session_drop(&session, &index, 1) == 0);
	fd_close(&plugin_ends[index]);
	plugin_end_count--;
	memmove(&plugin_ends[index], &plugin_ends[index + 1], (plugin_end_count - index) * sizeof(plugin_ends[0]));
	REQUIRE(session.connection_count == plugin_end_count);
}

static size_t fds_of_object(const wire_MainRequest_Create *create)
{
	switch (create->which_constructor) {
	case wire_MainRequest_Create_io_event_tag:
		return 1;
	case wire_MainRequest_Create_irq_event_tag:
		return 2;
	default:
		return 0;
	}
}

static size_t fds_of_answer(const wire_MainRequest *request)
{
	switch (request->which_message) {
	case wire_MainRequest_create_tag:
		return fds_of_object(&request->message.create);
	case wire_MainRequest_new_connection_tag:
	case wire_MainRequest_get_shutdown_eventfd_tag:
	case wire_MainRequest_create_ext_tag:
		return 1;
	case wire_MainRequest_get_vcpus_tag:
		return 2 * VCPU_COUNT;
	case wire_MainRequest_get_vcpus_from_tag:
		return 2 * (VCPU_COUNT - request->message.get_vcpus_from.first);
	default:
		return 0;
	}
}

static pb_size_t member_of_answer(pb_size_t request)
{
	return request < wire_MainRequest_dirty_log_tag ? request + 1 : request;
}

/* Pages of the memfd that a log was written to: an input may not leave any. */
static bool log_was_written;

/* Is this packet's answer a well-formed one to `request`? */
static void check_answer(const wire_MainRequest *request, struct packet *answer)
{
	wire_MainResponse response;
	REQUIRE(!answer->truncated && !answer->fds_truncated);
	REQUIRE(wire_decode_main_response(answer->data, answer->size, NULL, &response) == 0);
	if (response.error != 0) {
		REQUIRE(response.error > 0 && response.error < 4096);
		REQUIRE(response.which_message == 0 && answer->fd_count == 0);
		return;
	}
	REQUIRE(request && request->which_message != 0);
	REQUIRE(response.which_message == member_of_answer(request->which_message));
	REQUIRE(answer->fd_count == fds_of_answer(request));
	if (request->which_message == wire_MainRequest_new_connection_tag) {
		REQUIRE(plugin_end_count < LIMIT_CONNECTIONS);
		plugin_ends[plugin_end_count++] = packet_take_fd(answer, 0);
	}
	if (request->which_message == wire_MainRequest_dirty_log_to_tag)
		log_was_written = true;
	REQUIRE(session.connection_count == plugin_end_count);
}

static void take_answer(size_t index, const wire_MainRequest *request)
{
	static uint8_t data[LIMIT_RESPONSE_BYTES];
	int fds[PACKET_FDS_MAX];
	struct packet answer = {.data = data, .capacity = sizeof(data), .fds = fds, .fd_capacity = PACKET_FDS_MAX};
	REQUIRE(packet_recv(plugin_ends[index], &answer, MSG_DONTWAIT) == 0 && answer.size > 0);
	check_answer(request, &answer);
	packet_fini(&answer);
}

static void send_packet(size_t index, uint8_t control, struct wire_bytes packet)
{
	size_t fd_count = control & CONTROL_FD_COUNT;
	if (fd_count == CONTROL_FDS_MANY)
		fd_count = PACKET_FDS_MAX;
	int fds[PACKET_FDS_MAX];
	for (size_t i = 0; i < fd_count; i++)
		fds[i] = fd_kinds[(control & CONTROL_FD_KIND) >> 2];
	REQUIRE(packet_send(plugin_ends[index], packet.data, packet.size, fds, fd_count, MSG_DONTWAIT) == 0);
}

static void serve_packet(uint8_t control, struct wire_bytes packet, struct plugvm_vm *maybe_vm)
{
	size_t index = (size_t)(control >> 6) % plugin_end_count;
	bool is_overlong = control & CONTROL_OVERLONG;
	if (is_overlong)
		packet = (struct wire_bytes){.data = overlong, .size = sizeof(overlong)};
	/* The host decodes the same bytes to the same, or the codec has a state. */
	wire_MainRequest request;
	bool decodes = !is_overlong && packet.size > 0 &&
	               wire_decode_main_request(packet.data, packet.size, &arena, &request) == 0;

	send_packet(index, control, packet);
	int result = session_handle(&session, index, maybe_vm);
	if ((control & CONTROL_FD_COUNT) == CONTROL_FDS_MANY) {
		REQUIRE(result == -EPROTO);
		drop_connection(index);
	} else if (result == 0) {
		REQUIRE(decodes || is_overlong);
		take_answer(index, decodes ? &request : NULL);
	} else {
		REQUIRE(!decodes && !is_overlong);
		REQUIRE(result == (packet.size == 0 ? -ECONNRESET : -EPROTO));
		drop_connection(index);
	}
}

static void restore_links(void)
{
	for (uint32_t cpu = 0; cpu < VCPU_COUNT; cpu++) {
		struct vcpu_link *link = &session.links[cpu];
		atomic_store(&link->pause_wanted, false);
		if (link->plugin_ends[0] >= 0)
			continue;
		link_fini(link);
		REQUIRE(link_init(link, cpu, &session.ranges, &session.hints, 0, false) == 0);
		link->exits_wanted = &session.exits_wanted;
	}
}

static void restore_ranges(void)
{
	if (session.ranges.next_id == 0)
		return;
	ranges_fini(&session.ranges);
	REQUIRE(ranges_init(&session.ranges, VCPU_COUNT) == 0);
	session.range_names->count = 0;
}

static void restore_log_files(void)
{
	if (log_was_written)
		REQUIRE(fallocate(fd_kinds[FD_MEMFD], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		                  MEMFD_BYTES) == 0);
	log_was_written = false;
}

static void restore(void)
{
	static const wire_MainRequest_SetCallHint no_hint;
	while (plugin_end_count > 1)
		drop_connection(plugin_end_count - 1);
	if (plugin_end_count == 0) {
		REQUIRE(session_add_connection(&session, &plugin_ends[0]) == 0);
		plugin_end_count = 1;
	}
	while (session.objects.count > 0)
		REQUIRE(objects_destroy(&session.objects, &vm, session.objects.sorted[0].id) == 0);
	REQUIRE(session.objects.memory_bytes == 0 && session.objects.event_count == 0 && fake_kvm_objects() == 0);
	REQUIRE(hints_set(&session.hints, &no_hint) == 0);
	restore_log_files();
	restore_links();
	restore_ranges();
	rate_init(&session.peer_log_rate, LIMIT_LOG_LINES_PER_SECOND, LIMIT_LOG_LINES_BURST);
	atomic_store(&session.started, false);
	atomic_store(&session.dying, false);
	atomic_store(&session.exits_wanted, 0);
	session.msr_unknown_exits = false;
	session.end.is_set = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	uint8_t flags = input_byte(&input);
	/* The fuzzer itself opens some, between two inputs. */
	size_t fds_before = count_fds();
	atomic_store(&session.dying, flags & FLAG_DYING);
	if (flags & FLAG_DYING)
		session.end = (struct vm_end){.is_set = true, .cpu = -1, .text = "the end"};
	vm.irqchip = flags & FLAG_NO_IRQCHIP ? PLUGVM_IRQCHIP_NONE : PLUGVM_IRQCHIP_KERNEL;
	for (int i = 0; i < PACKETS_MAX && input.size > 0 && plugin_end_count > 0; i++) {
		uint8_t control = input_byte(&input);
		serve_packet(control, input_packet(&input), flags & FLAG_NO_VM ? NULL : &vm);
		REQUIRE(session.objects.count == fake_kvm_objects());
		REQUIRE(session.objects.memory_bytes <= (uint64_t)LIMIT_MEMORY_GIB << 30);
	}
	restore();
	REQUIRE(count_fds() == fds_before);
	return 0;
}
