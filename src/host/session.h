/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin's side of one VM, as far as it does not matter that the plugin is a process: main connections and their
 * requests, vCPU channels, and everything that was made on behalf of the plugin. Main thread, but for what says
 * otherwise. Trusts nothing that arrives on a connection.
 */
#ifndef PLUGVM_HOST_SESSION_H
#define PLUGVM_HOST_SESSION_H

#include <stdatomic.h>
#include <sys/types.h>

#include "base/log.h"
#include "base/packet.h"
#include "host/link.h"
#include "host/notifier.h"
#include "host/objects.h"
#include "host/tap.h"
#include "host/vcpu_area.h"
#include "host/vm_state.h"
#include "plugvm.h"

/* When a request may come; the bits form a set in the request table. */
enum phase {
	PHASE_SETUP = 1,   /* before start */
	PHASE_RUNNING = 2, /* started */
	PHASE_DYING = 4,   /* the plugin was told to exit; started or not */
};
#define PHASE_ANY (PHASE_SETUP | PHASE_RUNNING | PHASE_DYING)

/* Why the VM ends, for a plugin that asks. */
struct vm_end {
	bool is_set;
	enum plugvm_end reason;
	int value;
	int cpu; /* -1: none */
	char text[256];
};

struct session {
	uint32_t vcpu_count;
	int (*start)(void *context);
	void (*kick)(void *context, uint32_t cpu);
	void *context;
	struct log log;
	struct rate peer_log_rate; /* of lines that a peer can cause */

	atomic_bool started;
	atomic_bool dying;
	int connections[LIMIT_CONNECTIONS];
	size_t connection_count;
	int epoll;
	uint8_t *request;  /* LIMIT_REQUEST_BYTES */
	uint8_t *response; /* LIMIT_RESPONSE_BYTES */
	struct wire_arena elements;

	struct notifier notifier;
	struct objects objects;
	struct ranges ranges;
	struct hints hints;
	struct vcpu_link *links; /* vcpu_count */
	struct vcpu_area area;
	struct range_names *range_names;
	const struct plugvm_tap *tap; /* the first of the configuration; NULL: none */
	atomic_uint exits_wanted;     /* WIRE_EXIT_*: what the plugin asked for */
	bool msr_unknown_exits;       /* msr_filter_set() */
	struct vm_end end;
};

/*
 * Make a session and its first connection, whose far end goes to *out_plugin_socket. Of `config` it uses what does
 * not concern the process. `measure` times exits.
 */
int session_init(struct session *session, const struct plugvm_plugin_config *config, bool measure,
                 int *out_plugin_socket);
/* Take everything out of `vm` (NULL: there is none) and free. No vCPU thread may use a link any more. */
void session_fini(struct session *session, struct plugvm_vm *vm);

enum phase session_phase(const struct session *session);

/* As plugvm_plugin_handle_socket(), drop_sockets(), dispatch() and signal_kill(). */
int session_handle(struct session *session, size_t index, struct plugvm_vm *vm);
int session_drop(struct session *session, const size_t *indices, size_t count);
int session_dispatch(struct session *session, struct plugvm_vm *vm);
void session_signal_kill(struct session *session);

/* Have vCPU `cpu` deliver PAUSED with `user`; a request that was not delivered yet is replaced. */
void session_pause(struct session *session, uint32_t cpu, uint64_t user);

/*
 * Add a connection: make a socket pair, keep one end, store the other.
 *   -ENOSPC  there are LIMIT_CONNECTIONS; -EMFILE  fds run low
 */
int session_add_connection(struct session *session, int *out_plugin_socket);

/* ---- requests.c ---- */

#define REPLY_FDS_MAX (2 * LIMIT_VCPUS_PER_REPLY)

/* The answer to a request, made by a handler. */
struct reply {
	wire_MainResponse message;
	int fds[REPLY_FDS_MAX];
	size_t fd_count;
	bool fds_are_ours;     /* the host keeps them; otherwise they are closed once sent */
	struct tap_config tap; /* what the message may point to, as the next two */
	union vm_state state;  /* what the message may point to */
	void *memory;          /* the same, freed once sent */
};

/* Serve a decoded request and the fds in its packet; out_reply->message.error says how that went. */
void request_serve(struct session *session, struct plugvm_vm *vm, const wire_MainRequest *request,
                   struct packet *packet, struct reply *out_reply);

#endif
