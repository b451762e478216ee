/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Level 2 of plugvm.h from the inside. machine.c is the main thread: start, requests, the end; machine_vcpu.c is
 * the vCPU threads.
 */
#ifndef PLUGVM_HOST_MACHINE_H
#define PLUGVM_HOST_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "host/exits.h"
#include "host/pace.h"
#include "host/plugin.h"
#include "host/plugin_log.h"

struct machine_vcpu {
	struct plugvm_machine *machine;
	uint32_t cpu;
	struct plugvm_vcpu *vcpu;
	struct plugvm_plugin_vcpu *pv;
	pthread_t thread;
	atomic_bool running; /* the thread exists and has not been joined */
	atomic_bool done;    /* the thread touches nothing any more, and `end` is there to be read */
	bool collected;      /* the main thread has seen that */
	struct vcpu_end end;
};

/* No vCPU enters the guest before all have left INIT. */
struct init_barrier {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t missing;
	bool cancelled;
};

struct plugvm_machine {
	struct plugvm_machine_config config;
	struct log log;
	struct plugvm_kvm *kvm;
	struct plugvm_vm *vm;
	struct plugvm_plugin *plugin;
	struct plugin_log plugin_log;
	struct pace pace;

	struct machine_vcpu *vcpus;
	struct init_barrier barrier;
	int start_error; /* what the first start failed with */
	int vcpu_event;  /* eventfd: a vCPU is done */

	/* plugvm_machine_stop(), from anywhere. */
	int stop_event; /* eventfd */
	atomic_int stop_value;
	atomic_uint stop_count;

	bool stopping;
	bool end_is_weak;
	bool killed;         /* by us, because the grace time was over */
	uint64_t kill_ns;    /* when to, CLOCK_MONOTONIC; while stopping */
	uint64_t give_up_ns; /* once killed: when to stop waiting for its end */
	uint64_t start_ns;
	struct plugvm_result result;
	struct plugvm_exit_count *exit_counts;
	size_t exit_count_lines;
};

/*
 * Make all vCPUs and their threads; called when the plugin asks to start. On failure no thread runs for long; KVM does not make a vCPU
 * twice, so that a later start fails as well.
 */
int machine_start_vcpus(struct plugvm_machine *machine);

/* Get vCPU `cpu` out of KVM_RUN, if it exists. Not while machine_join_vcpus() frees it. */
void machine_kick_vcpu(struct plugvm_machine *machine, uint32_t cpu);

/* Let the vCPUs that wait at the INIT barrier go, to their end. */
void machine_cancel_barrier(struct plugvm_machine *machine);

/* Join the threads, all of which are done, and free the vCPUs. */
void machine_join_vcpus(struct plugvm_machine *machine);

#endif
