/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the host share: a session on a fake KVM with its plugin's end in the test's hands, and a
 * vCPU's link whose host side runs in a thread of its own. Every read of the plugin's end has a time limit, so
 * that a test fails rather than hangs.
 */
#ifndef PLUGVM_TESTS_HOST_RIG_H
#define PLUGVM_TESTS_HOST_RIG_H

#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"
#include "fake_kvm.h"
#include "host/exits.h"
#include "host/plugin.h"
#include "host/session.h"

/* How long anything may take that takes no time. */
#define PATIENCE_MS 20000

/* ---- Main connections ---- */

struct session_rig {
	int fds_before;
	struct sys real;
	struct plugvm_kvm *kvm;
	struct plugvm_vm *vm;
	struct plugvm_plugin_config config;
	struct session session;
	int socket; /* the plugin's end of the first connection */
	int starts, kicks, log_lines;
	int start_result;
};

/* A session of `vcpu_count`; fini checks that no fd is left. */
void session_rig_init(struct session_rig *rig, uint32_t vcpu_count);
void session_rig_fini(struct session_rig *rig);
/* The same as fixtures, with two vCPUs. */
int session_rig_setup(void **state);
int session_rig_teardown(void **state);

#define ANSWER_FDS_MAX (2 * LIMIT_VCPUS_PER_REPLY)

struct answer_packet {
	int result; /* of packet_recv(): -EAGAIN: none came */
	wire_MainResponse message;
	int fds[ANSWER_FDS_MAX];
	size_t fd_count;
	uint8_t data[LIMIT_RESPONSE_BYTES]; /* of bytes fields */
	uint64_t elements[4096];            /* of repeated fields */
};

/* Send a request with fds, all of them `fd`. Returns 0 or -errno. */
int rig_send(int socket, const wire_MainRequest *request, int fd, size_t fd_count);
/* Take an answer that is there already, or not. */
void rig_receive(int socket, struct answer_packet *out_answer);
void rig_close_fds(struct answer_packet *answer);
/* Send, dispatch, take the answer and close its fds; returns its error, or -errno if none came. */
int rig_request(struct session_rig *rig, int socket, const wire_MainRequest *request, int fd, size_t fd_count);
/* The same for a request without content. */
int rig_request_tag(struct session_rig *rig, pb_size_t tag);

/* ---- A vCPU's channel ---- */

struct link_rig {
	int fds_before;
	struct sys real;
	struct plugvm_kvm *kvm;
	struct plugvm_vm *vm;
	struct plugvm_vcpu *vcpu;
	struct fake_vcpu *fake;
	struct ranges ranges;
	struct hints hints;
	struct vcpu_link link;
	int requests; /* the plugin's ends */
	int events;
	pthread_t thread;
	struct guest_access access;
	uint8_t data[LIMIT_ACCESS_BYTES];
	enum { LINK_INIT, LINK_ACCESS, LINK_PRE_RUN } step; /* what the host's thread does */
	int result;
};

/* Ports 0x100 to 0x1ff and MMIO 0x1000 to 0x1fff are reserved. */
void link_rig_init(struct link_rig *rig, unsigned int answer_timeout_ms);
void link_rig_fini(struct link_rig *rig);
int link_rig_setup(void **state);
int link_rig_teardown(void **state);

/* Have the host's thread deliver INIT, or an access of `size` bytes in rig->data to the reserved range. */
void link_begin_init(struct link_rig *rig);
void link_begin_access(struct link_rig *rig, enum address_space space, bool is_write, uint32_t size);
/* The same for what comes before KVM_RUN: PAUSED, if that was asked for. */
void link_begin_pre_run(struct link_rig *rig);
/* Wait for it and return its result. */
int link_end(struct link_rig *rig);

/* What the plugin sends: a packet, a request, one without content. */
void link_put(struct link_rig *rig, const void *data, size_t size);
void link_put_request(struct link_rig *rig, const wire_VcpuRequest *request);
void link_put_tag(struct link_rig *rig, pb_size_t tag);
/* Resume with this answer. */
void link_resume(struct link_rig *rig, const void *data, size_t size);

struct link_frame {
	uint8_t bytes[LINK_RESPONSE_BYTES + WIRE_FRAME_HEADER_MAX];
	uint64_t elements[LIMIT_CPUID_ENTRIES * sizeof(wire_CpuidEntry) / 8]; /* of repeated fields */
	wire_VcpuResponse message;
};
/* Take the next frame; false if the channel has ended. */
bool link_take(struct link_rig *rig, struct link_frame *out_frame);
/* The next frame must be a bare error, or INIT, or an access. */
void link_expect_error(struct link_rig *rig, int code);
void link_expect_init(struct link_rig *rig, int code);
void link_expect_access(struct link_rig *rig, int code);
void link_expect_paused(struct link_rig *rig, int code, uint64_t user);
/* Nothing was sent to the plugin. */
void link_expect_nothing(struct link_rig *rig);
/* Bring the vCPU past INIT. */
void link_pass_init(struct link_rig *rig);

/* ---- The exits of a vCPU, on a shared page that the test fills in ---- */

struct exit_rig {
	struct link_rig link;
	struct plugvm_plugin_vcpu pv;
	struct kvm_run *run;
	struct vcpu_end end;
	enum exit_verdict verdict;
	pthread_t thread;
};

int exit_rig_setup(void **state);
int exit_rig_teardown(void **state);

/* Handle an exit in this thread. */
enum exit_verdict exit_now(struct exit_rig *rig, uint32_t reason);
/* Have the host's thread handle one; wait for it. */
void exit_begin(struct exit_rig *rig, uint32_t reason);
enum exit_verdict exit_end(struct exit_rig *rig);

#endif
