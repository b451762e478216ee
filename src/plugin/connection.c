/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Main connections: how they begin and end, and the transaction that every request is. Runs in the plugin, on
 * the thread that the connection belongs to. The host may die at any moment or be an older one.
 */
#include "plugin/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/packet.h"
#include "base/sys.h"
#include "plugin/info.h"
#include "plugin/peer.h"
#include "plugin/stats.h"
#include "wire/event.h"

#define PACKET_AUTO __attribute__((cleanup(packet_fini))) struct packet

static int break_with(struct crosvm *c, int error)
{
	c->broken = error == -EPIPE ? -ECONNRESET : error;
	return c->broken;
}

static int send_packet(struct crosvm *c, const uint8_t *data, size_t size, const int *sent_fd)
{
	int error = packet_send(c->socket, data, size, sent_fd, sent_fd ? 1 : 0, 0);
	/* Any other failure, a bad fd for instance, sent nothing: the connection is as it was. */
	return error == -EPIPE || error == -ECONNRESET ? break_with(c, error) : error;
}

/* Before the host has said what it takes, it may be an original one. */
static size_t request_limit(const struct crosvm *c)
{
	return c->machine ? c->machine->info.request_bytes : INFO_BASELINE_REQUEST_BYTES;
}

static int send_large(struct crosvm *c, const wire_MainRequest *request, size_t limit, const int *sent_fd)
{
	uint8_t *data = malloc(limit);
	if (!data)
		return -ENOMEM;
	ssize_t size = wire_encode_main_request(request, data, limit);
	int error = size < 0 ? -E2BIG : send_packet(c, data, (size_t)size, sent_fd);
	free(data);
	return error;
}

static int send_request(struct crosvm *c, const wire_MainRequest *request, const int *sent_fd)
{
	/* Nearly all are far shorter. */
	uint8_t data[INFO_BASELINE_REQUEST_BYTES];
	size_t limit = request_limit(c);
	ssize_t size = wire_encode_main_request(request, data, limit < sizeof(data) ? limit : sizeof(data));
	if (size >= 0)
		return send_packet(c, data, (size_t)size, sent_fd);
	return limit > sizeof(data) ? send_large(c, request, limit, sent_fd) : -E2BIG;
}

static int receive_response(struct crosvm *c, struct packet *reply)
{
	reply->data = c->response;
	reply->capacity = sizeof(c->response);
	int error;
	do {
		error = packet_recv(c->socket, reply, 0);
	} while (error == -EINTR);
	/* The response may still come, and the next request would take it for its own. */
	if (error)
		return break_with(c, error);
	return reply->size == 0 ? break_with(c, -ECONNRESET) : 0;
}

static unsigned int response_member(unsigned int request_member)
{
	return request_member < wire_MainRequest_dirty_log_tag ? request_member + 1 : request_member;
}

static int check_response(const struct packet *reply, const wire_MainRequest *request,
                          const struct wire_arena *elements, wire_MainResponse *out_response)
{
	if (reply->fds_truncated && reply->fd_count < reply->fd_capacity)
		return -EMFILE;
	if (reply->truncated || reply->fds_truncated)
		return -EPROTO;
	if (wire_decode_main_response(reply->data, reply->size, elements, out_response) < 0)
		return -EPROTO;
	/* The member of a refusal is not looked at: some hosts send one, some do not. */
	if (out_response->error != 0)
		return reply->fd_count > 0 ? -EPROTO : peer_errno(out_response->error);
	return out_response->which_message == response_member(request->which_message) ? 0 : -EPROTO;
}

/* Leave the fds that came, at most reply->fd_capacity, in the packet. */
static int transact(struct crosvm *c, const wire_MainRequest *request, const int *sent_fd, struct packet *reply,
                    const struct wire_arena *elements, wire_MainResponse *out_response)
{
	if (c->broken)
		return c->broken;
	int error = send_request(c, request, sent_fd);
	if (error)
		return error;
	error = receive_response(c, reply);
	return error ? error : check_response(reply, request, elements, out_response);
}

int connection_call(struct crosvm *c, const wire_MainRequest *request, const int *sent_fd, int *out_fds,
                    size_t fd_count, wire_MainResponse *out_response)
{
	PACKET_AUTO reply = {.fds = out_fds, .fd_capacity = fd_count};
	int error = transact(c, request, sent_fd, &reply, NULL, out_response);
	if (error)
		return error;
	if (reply.fd_count != fd_count)
		return -EPROTO;
	reply.fd_count = 0;
	return 0;
}

int connection_query(struct crosvm *c, const wire_MainRequest *request, const struct wire_arena *elements,
                     wire_MainResponse *out_response)
{
	PACKET_AUTO reply = {.fd_capacity = 0};
	return transact(c, request, NULL, &reply, elements, out_response);
}

int connection_command(struct crosvm *c, const wire_MainRequest *request)
{
	wire_MainResponse response;
	return connection_query(c, request, NULL, &response);
}

int connection_fetch_fds(struct crosvm *c, const wire_MainRequest *request, int *out_fds, size_t capacity,
                         size_t *out_count)
{
	PACKET_AUTO reply = {.fds = out_fds, .fd_capacity = capacity};
	wire_MainResponse response;
	int error = transact(c, request, NULL, &reply, NULL, &response);
	if (error)
		return error;
	*out_count = reply.fd_count;
	reply.fd_count = 0;
	return 0;
}

int connection_need(const struct crosvm *c, uint64_t feature)
{
	if (c->broken)
		return c->broken;
	return machine_has(c->machine, feature) ? 0 : -ENOTTY;
}

/* Take *socket over; on failure it stays the caller's. */
static int connection_new(int *socket, struct crosvm **out_connection)
{
	/* Not calloc(): the response buffer is large, and only its first pages are ever written. */
	struct crosvm *c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->socket = fd_take(socket);
	c->broken = 0;
	c->machine = NULL;
	*out_connection = c;
	return 0;
}

static void connection_free(struct crosvm *c)
{
	fd_close(&c->socket);
	free(c);
}

static int parse_fd(const char *text, int *out_fd)
{
	int value = 0;
	if (*text == '\0')
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, *text - '0', &value))
			return -EINVAL;
	}
	*out_fd = value;
	return 0;
}

/* Find the socket that the host left to this process. It is not ours yet. */
static int find_socket(int *out_socket)
{
	const char *text = getenv("CROSVM_SOCKET");
	if (!text)
		return -ENOTCONN;
	int fd;
	int error = parse_fd(text, &fd);
	if (error)
		return error;
	struct stat status;
	if (sys.fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISSOCK(status.st_mode))
		return -ENOTSOCK;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	*out_socket = fd;
	return 0;
}

/* An original host hands over all vCPUs at once, and nobody else says how many there are. */
static int fetch_all_vcpus(struct crosvm *c, int *fds, struct crosvm_info *info)
{
	wire_MainRequest request = {.which_message = wire_MainRequest_get_vcpus_tag};
	size_t count;
	int error = connection_fetch_fds(c, &request, fds, PACKET_FDS_MAX, &count);
	if (error)
		return error;
	info->vcpu_count = (uint32_t)(count / 2);
	return count == 0 || count % 2 != 0 ? -EPROTO : 0;
}

static int fetch_vcpus(struct crosvm *c, int *fds, const struct crosvm_info *info)
{
	for (size_t have = 0; have < info->vcpu_count;) {
		wire_MainRequest request = {
		    .which_message = wire_MainRequest_get_vcpus_from_tag,
		    .message.get_vcpus_from.first = (uint32_t)have,
		};
		size_t room = info->vcpu_count - have;
		if (room > LIMIT_VCPUS_PER_REPLY)
			room = LIMIT_VCPUS_PER_REPLY;
		size_t count;
		int error = connection_fetch_fds(c, &request, &fds[2 * have], 2 * room, &count);
		if (error)
			return error;
		if (count == 0 || count % 2 != 0)
			return -EPROTO;
		have += count / 2;
	}
	return 0;
}

/* PLUGVM_CHANNEL=packets in the environment keeps the packets: to compare, and to find out who is to blame. */
static bool wants_area(void)
{
	const char *text = getenv("PLUGVM_CHANNEL");
	return !text || strcmp(text, "packets") != 0;
}

/* Fetch the memory that takes the vCPUs' messages. Where the host has none for us, the packets do. */
static int fetch_area(struct crosvm *c, const struct crosvm_info *info, struct area *out_area)
{
	wire_MainRequest request = {.which_message = wire_MainRequest_get_area_tag,
	                            .message.get_area.version = AREA_VERSION};
	int fd;
	int error = connection_call(c, &request, NULL, &fd, 1, &(wire_MainResponse){.error = 0});
	if (error)
		return error == -ENOTSUP || error == -EBUSY ? 0 : error;
	error = area_open(&fd, out_area);
	if (!error && out_area->vcpu_count != info->vcpu_count) {
		area_fini(out_area);
		error = -EPROTO;
	}
	return error;
}

static int fetch_machine_into(struct crosvm *c, int *fds)
{
	struct crosvm_info info;
	struct area area = {.memory = NULL};
	int error = info_fetch(c, &info);
	if (!error) {
		error = fetch_vcpus(c, fds, &info);
		if (!error && info.features & WIRE_FEATURE_AREA && wants_area())
			error = fetch_area(c, &info, &area);
	} else if (error == -ENOTTY) {
		info_of_original(&info);
		error = fetch_all_vcpus(c, fds, &info);
	}
	if (!error)
		error = machine_new(&info, fds, area.memory ? &area : NULL, &c->machine);
	if (error && area.memory)
		area_fini(&area);
	return error;
}

static int fetch_machine(struct crosvm *c)
{
	const size_t fd_count = (size_t)2 * LIMIT_VCPUS;
	int *fds = malloc(fd_count * sizeof(fds[0]));
	if (!fds)
		return -ENOMEM;
	for (size_t i = 0; i < fd_count; i++)
		fds[i] = -1;
	int error = fetch_machine_into(c, fds);
	for (size_t i = 0; i < fd_count; i++)
		fd_close(&fds[i]);
	free(fds);
	return error;
}

static int connect_claimed(struct crosvm **out_crosvm)
{
	int socket = -1;
	int error = find_socket(&socket);
	if (error)
		return error;
	struct crosvm *c;
	error = connection_new(&socket, &c);
	if (error)
		return error;
	error = fetch_machine(c);
	if (error) {
		connection_free(c);
		return error;
	}
	*out_crosvm = c;
	return 0;
}

int crosvm_connect(struct crosvm **out_crosvm)
{
	STATS();
	if (!out_crosvm)
		return -EINVAL;
	if (!machine_claim())
		return -EALREADY;
	int error = connect_claimed(out_crosvm);
	if (error)
		machine_unclaim();
	return error;
}

int crosvm_new_connection(struct crosvm *crosvm, struct crosvm **out_crosvm)
{
	STATS();
	if (!crosvm || !out_crosvm)
		return -EINVAL;
	wire_MainRequest request = {.which_message = wire_MainRequest_new_connection_tag};
	wire_MainResponse response;
	FD_AUTO socket = -1;
	int error = connection_call(crosvm, &request, NULL, &socket, 1, &response);
	if (error)
		return error;
	struct crosvm *c;
	error = connection_new(&socket, &c);
	if (error)
		return error;
	c->machine = crosvm->machine;
	machine_ref(c->machine);
	*out_crosvm = c;
	return 0;
}

int crosvm_destroy_connection(struct crosvm **crosvm)
{
	STATS();
	if (!crosvm || !*crosvm)
		return -EINVAL;
	struct machine *machine = (*crosvm)->machine;
	connection_free(*crosvm);
	machine_unref(machine);
	*crosvm = NULL;
	return 0;
}
