/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_client - what the client library receives: streams of frames on a vCPU channel, events of a vCPU, and responses with
 * fds on a main connection. The host at the other end is as hostile as it likes.
 *
 * Input: one byte that says which of the three; then calls of the library, each a byte and what it needs, between which
 * lies what the host sends when the library would wait: a byte of flags (CHUNK_...), and then the bytes. The end of the
 * input is the end of the host. The system calls end in this file; the fds are numbers.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/sys.h"
#include "fuzz.h"
#include "plugin/connection.h"
#include "plugin/info.h"
#include "plugin/vcpu.h"
#include "wire/limits.h"

#define CHUNK_SIZE \
	0x1f /* bytes, or units of 4 KiB of zeros with CHUNK_LARGE; with 0x1f bytes, the next byte is added */
#define CHUNK_LARGE 0x20
#define CHUNK_CUT   0x40 /* the packet was longer */
#define CHUNK_FDS   0x80 /* a channel: fds came. A connection: a byte follows that says how many */

#define FIRST_FD   5000
#define STREAM_MAX (1 << 20)

enum part { PART_CHANNEL, PART_VCPU, PART_CONNECTION, PARTS };

static struct crosvm_vcpu *vcpu;
static struct crosvm connection;
static struct machine machine;
static struct input host;
static enum part part;

/* What the host has sent on the channel, since the last chunk that broke it. */
static uint8_t stream[STREAM_MAX];
static size_t stream_size;
static size_t stream_before; /* without the last chunk */
static bool was_foul;        /* a chunk was cut or had fds */
static bool has_ended;

static size_t fds_sent;
static size_t fds_closed;

/* The last request, and what the library put into it. */
static bool has_request;
static wire_VcpuRequest request;

/* ---- The system ---- */

void __wrap_foreign_close(int *fds, size_t count);
void __wrap_foreign_close(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		REQUIRE(fds[i] >= FIRST_FD);
		fds[i] = -1;
		fds_closed++;
	}
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	if (fd < FIRST_FD)
		return __real_close(fd);
	fds_closed++;
	return 0;
}

static void put_fds(struct msghdr *message, size_t count)
{
	size_t room = message->msg_controllen < CMSG_LEN(0)
	                  ? 0
	                  : (message->msg_controllen - CMSG_LEN(0)) / sizeof(int);
	if (count > room)
		message->msg_flags |= MSG_CTRUNC;
	if (count > room)
		count = room;
	message->msg_controllen = 0;
	if (count == 0)
		return;
	message->msg_controllen = CMSG_LEN(count * sizeof(int));
	struct cmsghdr *c = message->msg_control;
	*c = (struct cmsghdr){
	    .cmsg_len = message->msg_controllen, .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	for (size_t i = 0; i < count; i++) {
		int fd = FIRST_FD + (int)fds_sent++;
		memcpy(CMSG_DATA(c) + i * sizeof(fd), &fd, sizeof(fd));
	}
}

/* Take the next chunk out of the input into the library's buffer; returns its size. */
static size_t take_chunk(uint8_t flags, struct iovec *room)
{
	size_t size = flags & CHUNK_SIZE;
	bool is_large = flags & CHUNK_LARGE;
	if (size == CHUNK_SIZE && !is_large)
		size += input_byte(&host);
	size = is_large ? size << 12 : size < host.size ? size : host.size;
	if (size > room->iov_len)
		size = room->iov_len;
	if (is_large) {
		memset(room->iov_base, 0, size);
	} else if (size > 0) {
		memcpy(room->iov_base, host.data, size);
		host.data += size;
		host.size -= size;
	}
	return size;
}

static ssize_t fake_recvmsg(int socket, struct msghdr *message, int flags)
{
	REQUIRE(socket == FIRST_FD - 1 && message->msg_iovlen == 1 && flags & MSG_CMSG_CLOEXEC);
	REQUIRE(!has_ended || part == PART_CONNECTION);
	message->msg_flags = 0;
	if (host.size == 0) {
		message->msg_controllen = 0;
		has_ended = true;
		return 0;
	}
	uint8_t chunk = input_byte(&host);
	size_t fd_count = chunk & CHUNK_FDS ? 1 : 0;
	if (part == PART_CONNECTION && fd_count > 0)
		fd_count = input_byte(&host) % 254;
	size_t size = take_chunk(chunk, &message->msg_iov[0]);
	put_fds(message, fd_count);
	message->msg_flags |= chunk & CHUNK_CUT ? MSG_TRUNC : 0;
	was_foul = message->msg_flags != 0;
	has_ended = size == 0;
	stream_before = stream_size;
	if (part != PART_CONNECTION && size <= STREAM_MAX - stream_size) {
		memcpy(stream + stream_size, message->msg_iov[0].iov_base, size);
		stream_size += size;
	}
	return (ssize_t)size;
}

static ssize_t fake_sendmsg(int socket, const struct msghdr *message, int flags)
{
	static uint8_t bytes[LIMIT_VCPU_REQUEST_BYTES];
	static uint64_t elements[LIMIT_VCPU_REQUEST_BYTES];
	static const struct wire_arena arena = {elements, sizeof(elements)};
	REQUIRE(socket == FIRST_FD - 1 && message->msg_iovlen == 1 && flags & MSG_NOSIGNAL);
	const struct iovec *io = &message->msg_iov[0];
	if (part == PART_CONNECTION)
		return (ssize_t)io->iov_len;
	REQUIRE(io->iov_len > 0 && io->iov_len <= sizeof(bytes));
	memcpy(bytes, io->iov_base, io->iov_len);
	has_request = true;
	REQUIRE(wire_decode_vcpu_request(bytes, io->iov_len, &arena, &request) == 0 && request.which_message != 0);
	return (ssize_t)io->iov_len;
}

static int fake_fstat(int fd, struct stat *out_status)
{
	REQUIRE(fd == FIRST_FD - 1);
	memset(out_status, 0, sizeof(*out_status));
	out_status->st_mode = S_IFSOCK;
	return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	int fds[2] = {FIRST_FD - 1, FIRST_FD - 1};
	sys.fstat = fake_fstat;
	sys.recvmsg = fake_recvmsg;
	sys.sendmsg = fake_sendmsg;
	machine.info.features = UINT64_MAX;
	machine.info.host_major = 1;
	machine.info.request_bytes = LIMIT_REQUEST_BYTES;
	connection.socket = FIRST_FD - 1;
	connection.machine = &machine;
	REQUIRE(vcpu_new(&machine, fds, NULL, &vcpu) == 0);
	return 0;
}

MODEL_BEGIN

/* ---- Frames: what is in the stream ---- */

enum found { FOUND_FRAME, FOUND_PART, FOUND_NONSENSE };

/* Find the frame at `at`, by a reading of its own. */
static enum found find_frame(size_t at, size_t end, struct wire_bytes *out_body)
{
	uint64_t size = 0;
	for (unsigned int i = 0; i < WIRE_FRAME_HEADER_MAX; i++) {
		if (at + i == end)
			return FOUND_PART;
		size += (uint64_t)(stream[at + i] % 128) << (7 * i);
		if (stream[at + i] >= 128)
			continue;
		if (size > LIMIT_VCPU_RESPONSE_BYTES)
			return FOUND_NONSENSE;
		*out_body = (struct wire_bytes){stream + at + i + 1, size};
		return at + i + 1 + size > end ? FOUND_PART : FOUND_FRAME;
	}
	return FOUND_NONSENSE;
}

static bool decodes(struct wire_bytes body, const struct wire_arena *arena, wire_VcpuResponse *out)
{
	return wire_decode_vcpu_response(body.data, body.size, arena, out) == 0;
}

/* Find the first message, or the first that is no event, in the first `end` bytes of the stream. */
static enum found find_message(bool want_reply, size_t end, const struct wire_arena *arena, size_t *out_at,
                               struct wire_bytes *out_body)
{
	for (size_t at = 0;;) {
		wire_VcpuResponse response;
		enum found found = find_frame(at, end, out_body);
		if (found != FOUND_FRAME)
			return found;
		if (!decodes(*out_body, arena, &response))
			return FOUND_NONSENSE;
		*out_at = at;
		if (!want_reply || !channel_is_event(&response))
			return FOUND_FRAME;
		at = (size_t)(out_body->data - stream) + out_body->size;
	}
}

static void check_same(const wire_VcpuResponse *a, const wire_VcpuResponse *b)
{
	static uint8_t first[2 * LIMIT_VCPU_RESPONSE_BYTES], second[2 * LIMIT_VCPU_RESPONSE_BYTES];
	ssize_t size = wire_encode_vcpu_response(a, first, sizeof(first));
	REQUIRE(size >= 0 && wire_encode_vcpu_response(b, second, sizeof(second)) == size);
	REQUIRE(memcmp(first, second, (size_t)size) == 0);
}

static void remove_frame(size_t at, struct wire_bytes body)
{
	size_t end = (size_t)(body.data - stream) + body.size;
	memmove(stream + at, stream + end, stream_size - end);
	stream_size -= end - at;
	stream_before = stream_before > end - at ? stream_before - (end - at) : 0;
}

static void check_next(bool want_reply, bool has_waited, int result, const wire_VcpuResponse *response)
{
	static uint64_t elements[LIMIT_VCPU_RESPONSE_BYTES];
	static const struct wire_arena arena = {elements, sizeof(elements)};
	static wire_VcpuResponse wanted;
	struct wire_bytes body = {NULL, 0};
	size_t at = 0;
	enum found found = find_message(want_reply, stream_size, &arena, &at, &body);
	/* It has not waited for more than it needed. */
	struct wire_bytes other;
	size_t other_at;
	if (has_waited)
		REQUIRE(find_message(want_reply, stream_before, &arena, &other_at, &other) == FOUND_PART);
	if (result == 0) {
		REQUIRE(found == FOUND_FRAME && decodes(body, &arena, &wanted));
		check_same(response, &wanted);
		remove_frame(at, body);
		return;
	}
	REQUIRE(result == -EPROTO || result == -ECONNRESET);
	if (has_ended && !was_foul)
		REQUIRE(result == -ECONNRESET);
	else
		REQUIRE(result == -EPROTO &&
		        (was_foul || found == FOUND_NONSENSE ||
		         stream_size >= 2 * (WIRE_FRAME_HEADER_MAX + LIMIT_VCPU_RESPONSE_BYTES)));
}

/* ---- Events ---- */

static bool is_ours(const void *pointer, size_t size)
{
	const uint8_t *bytes = pointer;
	return bytes >= vcpu->answer.bytes && bytes + size <= vcpu->answer.bytes + sizeof(vcpu->answer.bytes);
}

static void check_event(const struct crosvm_vcpu_event *event)
{
	switch (event->kind) {
	case CROSVM_VCPU_EVENT_KIND_IO_ACCESS: {
		uint32_t length = event->io_access.length;
		REQUIRE(length > 0 && length <= LIMIT_ACCESS_BYTES && is_ours(event->io_access.data, length));
		REQUIRE(vcpu->stopped == !event->io_access.no_resume);
		REQUIRE(vcpu->answer_size == (event->io_access.is_write ? 0 : length));
		return;
	}
	case CROSVM_VCPU_EVENT_KIND_HYPERV_HCALL:
		REQUIRE(is_ours(event->hyperv_call.result, sizeof(*event->hyperv_call.result)));
		break;
	case CROSVM_VCPU_EVENT_KIND_MSR:
		REQUIRE(is_ours(event->msr.data, 8) && is_ours(event->msr.fault, 4));
		break;
	case CROSVM_VCPU_EVENT_KIND_SHUTDOWN:
	case CROSVM_VCPU_EVENT_KIND_INTERNAL_ERROR:
		REQUIRE(is_ours(event->failure.go_on, 4));
		break;
	default:
		REQUIRE(event->kind <= CROSVM_VCPU_EVENT_KIND_INTERNAL_ERROR);
	}
	REQUIRE(vcpu->stopped && vcpu->answer_size <= sizeof(vcpu->answer));
}

MODEL_END

/* ---- The calls ---- */

/* Fewer than the host may have. */
#define ENTRIES_MAX 8

static void call_channel(uint8_t call)
{
	static uint64_t elements[LIMIT_VCPU_RESPONSE_BYTES];
	static const struct wire_arena arena = {elements, sizeof(elements)};
	static wire_VcpuResponse response;
	bool want_reply = call & 1;
	int broken = vcpu->channel.broken;
	size_t left = host.size;
	bool is_ready = channel_is_ready(&vcpu->channel);
	int result = want_reply ? channel_next_reply(&vcpu->channel, &arena, &response)
	                        : channel_next(&vcpu->channel, NULL, &arena, &response);
	bool has_waited = host.size < left;
	REQUIRE(result <= 0 && (result == 0 || vcpu->channel.broken == result));
	if (broken) {
		REQUIRE(result == broken && !has_waited);
		return;
	}
	if (!want_reply && is_ready)
		REQUIRE(!has_waited && !has_ended);
	check_next(want_reply, has_waited, result, &response);
}

static void resume(void)
{
	bool was_stopped = vcpu->stopped;
	uint32_t answer_size = vcpu->answer_size;
	int result = crosvm_vcpu_resume(vcpu);
	if (vcpu->channel.broken)
		return;
	REQUIRE(result == (was_stopped ? 0 : -EINVAL));
	if (!was_stopped)
		return;
	REQUIRE(has_request && request.which_message == wire_VcpuRequest_resume_tag && !vcpu->stopped);
	REQUIRE(request.message.resume.data.size == answer_size);
}

static void call_vcpu(uint8_t call)
{
	static struct kvm_msr_entry msrs[ENTRIES_MAX];
	static struct kvm_cpuid_entry2 cpuid[ENTRIES_MAX];
	static uint8_t xsave[64];
	struct crosvm_vcpu_event event;
	union {
		struct kvm_regs regs;
		struct kvm_sregs sregs;
		struct kvm_fpu fpu;
		struct kvm_translation translation;
	} state = {0};
	uint32_t count = 0;
	int result = 0;
	has_request = false;
	switch (call % 12) {
	case 0:
	case 1:
		memset(&event, 0xff, sizeof(event));
		result = crosvm_vcpu_wait(vcpu, &event);
		if (result == 0)
			check_event(&event);
		break;
	case 2:
	case 3:
		resume();
		break;
	case 4:
		result = crosvm_vcpu_get_regs(vcpu, &state.regs);
		break;
	case 5:
		result = crosvm_vcpu_set_sregs(vcpu, &state.sregs);
		break;
	case 6:
		result = crosvm_vcpu_get_sregs(vcpu, &state.sregs);
		break;
	case 7:
		result = crosvm_vcpu_get_msrs(vcpu, ENTRIES_MAX, msrs, &count);
		REQUIRE(count <= ENTRIES_MAX);
		break;
	case 8:
		result = crosvm_get_hyperv_cpuid(vcpu, ENTRIES_MAX, cpuid, &count);
		break;
	case 9:
		result = crosvm_vcpu_get_xsave(vcpu, sizeof(xsave), xsave, &count);
		REQUIRE(result < 0 || count <= sizeof(xsave));
		break;
	case 10:
		result = crosvm_vcpu_translate(vcpu, &state.translation);
		break;
	default:
		result = crosvm_vcpu_get_fpu(vcpu, &state.fpu);
	}
	REQUIRE(result <= 0 && result >= -4095);
}

/* A call that succeeded hands out `count` of the fds that came, and every other one is closed. */
static void check_fds(int result, size_t count)
{
	REQUIRE(fds_closed + (result == 0 ? count : 0) == fds_sent);
}

static void call_connection(uint8_t call)
{
	static struct kvm_cpuid_entry2 cpuid[ENTRIES_MAX];
	static uint32_t indices[ENTRIES_MAX];
	int fds[2 * LIMIT_VCPUS_PER_REPLY] = {-1, -1, -1};
	size_t fd_count = call >> 6;
	uint32_t count = 0;
	struct crosvm_net_config net;
	struct crosvm_info info;
	struct kvm_pic_state pic;
	wire_MainResponse response;
	wire_MainRequest message = {.which_message = input_byte(&host)};
	fds_sent = fds_closed = 0;
	int broken = connection.broken, result;
	switch (call % 8) {
	case 0:
		result = connection_call(&connection, &message, NULL, fds, fd_count, &response);
		check_fds(result, fd_count);
		break;
	case 1: {
		size_t fetched = 0;
		result = connection_fetch_fds(&connection, &message, fds, 1 + fd_count * 40, &fetched);
		REQUIRE(fetched <= 1 + fd_count * 40);
		check_fds(result, fetched);
		break;
	}
	case 2:
		result = info_fetch(&connection, &info);
		if (result == 0)
			REQUIRE(info.vcpu_count > 0 && info.vcpu_count <= LIMIT_VCPUS && info.request_bytes > 0 &&
			        info.request_bytes <= LIMIT_REQUEST_BYTES);
		break;
	case 3:
		result = crosvm_get_supported_cpuid(&connection, ENTRIES_MAX, cpuid, &count);
		break;
	case 4:
		result = crosvm_get_msr_index_list(&connection, ENTRIES_MAX, indices, &count);
		break;
	case 5:
		result = crosvm_net_get_config(&connection, &net);
		check_fds(result, 1);
		break;
	case 6:
		result = crosvm_get_pic_state(&connection, true, &pic);
		break;
	default:
		message.which_message = wire_MainRequest_dirty_log_tag;
		result = connection_query(&connection, &message, NULL, &response);
		if (result == 0) {
			const struct wire_bytes *bitmap = &response.message.dirty_log.bitmap;
			REQUIRE(bitmap->size == 0 || (bitmap->data >= connection.response &&
			                              bitmap->data + bitmap->size <=
			                                  connection.response + sizeof(connection.response)));
		}
	}
	REQUIRE(result <= 0 && result >= -4095);
	if (broken)
		REQUIRE(result == broken);
	if (call % 8 >= 2 && call % 8 != 5)
		check_fds(-1, 0);
}

static void begin(void)
{
	struct channel *channel = &vcpu->channel;
	channel->broken = 0;
	channel->used = channel->taken_at = channel->taken_size = 0;
	vcpu->asked = vcpu->stopped = false;
	vcpu->answer_size = 0;
	memset(&vcpu->state, 0, sizeof(vcpu->state));
	connection.broken = 0;
	stream_size = stream_before = 0;
	was_foul = has_ended = has_request = false;
	fds_sent = fds_closed = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	host = (struct input){.data = data, .size = size};
	part = input_byte(&host) % PARTS;
	begin();
	do {
		uint8_t call = input_byte(&host);
		if (part == PART_CHANNEL)
			call_channel(call);
		else if (part == PART_VCPU)
			call_vcpu(call);
		else
			call_connection(call);
	} while (host.size > 0);
	return 0;
}
