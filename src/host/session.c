/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin's side of one VM: its connections, and what they share.
 */
#include "host/session.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/fd.h"
#include "base/foreign.h"
#include "base/sys.h"
#include "jail/jail.h"

/* More were refused before they were received. */
#define RECEIVE_FDS LIMIT_PACKET_FDS

/* How long a dispatch may go on: requests may be slow, and the caller has other work, such as to stop. */
#define DISPATCH_NS UINT64_C(20000000)

/* Memory for the elements of the largest request. */
#define ELEMENTS_BYTES (LIMIT_IRQ_ROUTES * sizeof(wire_MainRequest_SetIrqRouting_Route))

/* Requests that one dispatch serves, so that a busy plugin does not keep the caller from its other work. */
#define DISPATCH_MAX 16

/* Log a line that the plugin caused; lines over the limit are counted, and the count is logged with the next. */
static void log_peer(struct session *session, const char *text, int code)
{
	uint64_t refused;
	if (!rate_take(&session->peer_log_rate, clock_ns(), &refused))
		return;
	if (refused > 0)
		log_line(&session->log, PLUGVM_LOG_WARNING, "%llu lines like the next were left out",
		         (unsigned long long)refused);
	log_line(&session->log, PLUGVM_LOG_WARNING, "a connection of the plugin was dropped: %s (%s)", text,
	         strerrorname_np(code));
}

int session_add_connection(struct session *session, int *out_plugin_socket)
{
	if (session->connection_count == LIMIT_CONNECTIONS)
		return -ENOSPC;
	int pair[2];
	if (sys.socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	int result = 0;
	struct epoll_event event = {.events = EPOLLIN, .data.fd = pair[0]};
	if (fd_eats_reserve(pair[0], LIMIT_FD_RESERVE) || fd_eats_reserve(pair[1], LIMIT_FD_RESERVE))
		result = -EMFILE;
	else if (sys.epoll_ctl(session->epoll, EPOLL_CTL_ADD, pair[0], &event) < 0)
		result = -errno;
	if (result < 0) {
		fd_close_pair(pair);
		return result;
	}
	session->connections[session->connection_count++] = pair[0];
	*out_plugin_socket = pair[1];
	return 0;
}

static struct spin_setting spin_setting(int us)
{
	if (us == PLUGVM_SPIN_AUTO)
		return (struct spin_setting){.mode = SPIN_AUTO};
	return (struct spin_setting){.mode = SPIN_FIXED, .fixed_ns = us < 0 ? 0 : (uint32_t)us * 1000};
}

static unsigned plugin_cpus(const struct plugvm_jail *jail)
{
	uint64_t percent = jail ? jail->limits[PLUGVM_LIMIT_CPU] : 0;
	return percent > 0 && percent / 100 < UINT_MAX ? (unsigned)(percent / 100) : UINT_MAX;
}

static int init_links(struct session *session, const struct plugvm_plugin_config *config, bool measure)
{
	session->links = calloc(config->vcpu_count, sizeof(session->links[0]));
	if (!session->links)
		return -ENOMEM;
	for (uint32_t cpu = 0; cpu < config->vcpu_count; cpu++) {
		int result = link_init(&session->links[cpu], cpu, &session->ranges, &session->hints,
		                       config->answer_timeout_ms, measure);
		if (result < 0)
			return result;
		session->links[cpu].exits_wanted = &session->exits_wanted;
		session->vcpu_count++;
	}
	return 0;
}

int session_init(struct session *session, const struct plugvm_plugin_config *config, bool measure,
                 int *out_plugin_socket)
{
	memset(session, 0, sizeof(*session));
	session->start = config->start;
	session->kick = config->kick;
	session->context = config->context;
	session->tap = config->tap_count > 0 ? config->taps[0] : NULL;
	session->log = (struct log){.sink = config->log, .context = config->context};
	rate_init(&session->peer_log_rate, LIMIT_LOG_LINES_PER_SECOND, LIMIT_LOG_LINES_BURST);
	atomic_init(&session->started, false);
	atomic_init(&session->dying, false);
	atomic_init(&session->exits_wanted, 0);
	session->notifier.armed = -1;
	session->area.area.fd = session->area.loadavg = -1;

	int result = 0;
	session->epoll = sys.epoll_create1(EPOLL_CLOEXEC);
	if (session->epoll < 0)
		result = -errno;
	if (result == 0)
		result = notifier_init(&session->notifier);
	if (result == 0)
		result = objects_init(&session->objects, config->first_slot);
	if (result == 0)
		result = ranges_init(&session->ranges, config->vcpu_count);
	if (result == 0)
		result = hints_init(&session->hints, config->vcpu_count);
	if (result == 0)
		result = init_links(session, config, measure);
	if (result == 0)
		result = vcpu_area_init(&session->area, config->vcpu_count, spin_setting(config->spin_us),
		                        plugin_cpus(config->jail));
	if (result == 0) {
		/* Large, but only what a message ever reaches costs memory. */
		session->request = malloc(LIMIT_REQUEST_BYTES);
		session->response = malloc(LIMIT_RESPONSE_BYTES);
		session->elements = (struct wire_arena){.memory = malloc(ELEMENTS_BYTES), .size = ELEMENTS_BYTES};
		session->range_names = calloc(1, sizeof(*session->range_names));
		if (!session->request || !session->response || !session->elements.memory || !session->range_names)
			result = -ENOMEM;
	}
	if (result == 0)
		result = session_add_connection(session, out_plugin_socket);
	if (result < 0)
		session_fini(session, NULL);
	return result;
}

/* End a connection and give its socket away, to foreign_close(): what the plugin has queued may hold fds. */
static int take_connection(struct session *session, int *connection)
{
	shutdown(*connection, SHUT_RDWR);
	/* Not left to close(2): a child of the embedder's may hold the same open file. */
	sys.epoll_ctl(session->epoll, EPOLL_CTL_DEL, *connection, NULL);
	return fd_take(connection);
}

static void close_connection(struct session *session, int *connection)
{
	if (*connection < 0)
		return;
	int socket = take_connection(session, connection);
	foreign_close(&socket, 1);
}

/* Close every socket that the plugin could send to; all at once, since each may hang. */
static void close_sockets(struct session *session)
{
	int sockets[LIMIT_CONNECTIONS + 2 * LIMIT_VCPUS];
	size_t count = 0;
	for (size_t i = 0; i < session->connection_count; i++)
		sockets[count++] = take_connection(session, &session->connections[i]);
	for (uint32_t cpu = 0; cpu < session->vcpu_count; cpu++) {
		sockets[count++] = fd_take(&session->links[cpu].requests);
		sockets[count++] = fd_take(&session->links[cpu].events);
	}
	foreign_close(sockets, count);
}

void session_fini(struct session *session, struct plugvm_vm *vm)
{
	close_sockets(session);
	session->connection_count = 0;
	for (uint32_t cpu = 0; cpu < session->vcpu_count; cpu++)
		link_fini(&session->links[cpu]);
	free(session->links);
	vcpu_area_fini(&session->area);
	objects_fini(&session->objects, vm);
	ranges_fini(&session->ranges);
	hints_fini(&session->hints);
	notifier_fini(&session->notifier);
	fd_close(&session->epoll);
	free(session->request);
	free(session->response);
	free(session->elements.memory);
	free(session->range_names);
}

enum phase session_phase(const struct session *session)
{
	if (atomic_load(&session->dying))
		return PHASE_DYING;
	return atomic_load(&session->started) ? PHASE_RUNNING : PHASE_SETUP;
}

/* Encode and send the reply. Returns 0 or -errno; what the reply owned is closed either way. */
static int send_reply(struct session *session, int connection, struct reply *reply)
{
	ssize_t size = wire_encode_main_response(&reply->message, session->response, LIMIT_RESPONSE_BYTES);
	assert(size >= 0); /* the host's own message, whose parts are bounded */

	int result = packet_send(connection, session->response, (size_t)size, reply->fds, reply->fd_count,
	                         MSG_DONTWAIT);
	if (!reply->fds_are_ours) {
		for (size_t i = 0; i < reply->fd_count; i++)
			fd_close(&reply->fds[i]);
	}
	free(reply->memory);
	return result;
}

/* Decode the packet and serve it. Returns 0 with a reply, or -EPROTO if there is no answer to it. */
static int serve_packet(struct session *session, struct plugvm_vm *vm, struct packet *packet,
                        struct reply *out_reply)
{
	if (packet->truncated) {
		memset(out_reply, 0, sizeof(*out_reply));
		out_reply->message.error = EMSGSIZE;
		return 0;
	}
	wire_MainRequest request;
	if (wire_decode_main_request(packet->data, packet->size, &session->elements, &request) < 0)
		return -EPROTO;
	request_serve(session, vm, &request, packet, out_reply);
	return 0;
}

int session_handle(struct session *session, size_t index, struct plugvm_vm *vm)
{
	if (index >= session->connection_count)
		return -EINVAL;
	int connection = session->connections[index];
	if (packet_brings_more_fds(connection, LIMIT_PACKET_FDS)) {
		/* They stay in the queue, and are closed with it (foreign_close()). */
		log_peer(session, "a request came with too many fds", EINVAL);
		return -EPROTO;
	}
	int fds[RECEIVE_FDS];
	struct packet packet = {
	    .data = session->request, .capacity = LIMIT_REQUEST_BYTES, .fds = fds, .fd_capacity = RECEIVE_FDS};
	int result = packet_recv(connection, &packet, MSG_DONTWAIT);
	if (result == -EAGAIN || result == -EINTR)
		return -EAGAIN;
	if (result < 0 || packet.size == 0) {
		packet_fini(&packet);
		return -ECONNRESET;
	}

	struct reply reply;
	result = serve_packet(session, vm, &packet, &reply);
	packet_fini(&packet);
	if (result < 0) {
		log_peer(session, "a request does not decode", EBADMSG);
		return -EPROTO;
	}
	result = send_reply(session, connection, &reply);
	if (result == -EAGAIN) {
		log_peer(session, "the plugin does not read its replies", EAGAIN);
		return -EPROTO;
	}
	return result < 0 ? -ECONNRESET : 0;
}

int session_drop(struct session *session, const size_t *indices, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (indices[i] >= session->connection_count)
			return -EINVAL;
	}
	for (size_t i = 0; i < count; i++)
		close_connection(session, &session->connections[indices[i]]);
	size_t kept = 0;
	for (size_t i = 0; i < session->connection_count; i++) {
		if (session->connections[i] >= 0)
			session->connections[kept++] = session->connections[i];
	}
	session->connection_count = kept;
	return 0;
}

/* Returns the connection with this fd, or connection_count. */
static size_t find_connection(const struct session *session, int fd)
{
	size_t index = 0;
	while (index < session->connection_count && session->connections[index] != fd)
		index++;
	return index;
}

int session_dispatch(struct session *session, struct plugvm_vm *vm)
{
	struct epoll_event events[16];
	uint64_t end_ns = clock_ns() + DISPATCH_NS;
	for (int served = 0; served < DISPATCH_MAX && clock_ns() < end_ns;) {
		int ready = epoll_wait(session->epoll, events, sizeof(events) / sizeof(events[0]), 0);
		if (ready <= 0)
			break;
		for (int i = 0; i < ready && clock_ns() < end_ns; i++, served++) {
			size_t index = find_connection(session, events[i].data.fd);
			int result = session_handle(session, index, vm);
			if (result == -ECONNRESET || result == -EPROTO)
				session_drop(session, &index, 1);
		}
	}
	return (int)session->connection_count;
}

void session_signal_kill(struct session *session)
{
	int saved = errno;
	atomic_store(&session->dying, true);
	notifier_fire(&session->notifier);
	for (uint32_t cpu = 0; cpu < session->vcpu_count; cpu++)
		link_cut(&session->links[cpu]);
	if (session->kick) {
		for (uint32_t cpu = 0; cpu < session->vcpu_count; cpu++)
			session->kick(session->context, cpu);
	}
	errno = saved;
}

void session_pause(struct session *session, uint32_t cpu, uint64_t user)
{
	link_request_pause(&session->links[cpu], user);
	if (session->kick)
		session->kick(session->context, cpu);
}
