/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vCPU threads of a machine.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "host/machine.h"
#include "jail/privileges.h"

/* Returns false if the machine stops. */
static bool pass_barrier(struct init_barrier *barrier)
{
	pthread_mutex_lock(&barrier->lock);
	if (--barrier->missing == 0)
		pthread_cond_broadcast(&barrier->changed);
	while (barrier->missing > 0 && !barrier->cancelled)
		pthread_cond_wait(&barrier->changed, &barrier->lock);
	bool passed = !barrier->cancelled;
	pthread_mutex_unlock(&barrier->lock);
	return passed;
}

void machine_cancel_barrier(struct plugvm_machine *machine)
{
	pthread_mutex_lock(&machine->barrier.lock);
	machine->barrier.cancelled = true;
	pthread_cond_broadcast(&machine->barrier.changed);
	pthread_mutex_unlock(&machine->barrier.lock);
}

/* The life of an exit begins and ends here. */
static void run_vcpu(struct machine_vcpu *self)
{
	enum exit_verdict verdict = EXIT_CONTINUE;
	while (verdict == EXIT_CONTINUE) {
		int result = plugvm_plugin_vcpu_pre_run(self->pv, self->vcpu);
		if (result < 0) {
			exit_from_link_error(result, self->pv, &self->end);
			return;
		}
		result = plugvm_vcpu_run(self->vcpu);
		if (result < 0) {
			verdict = exit_handle_error(result, self->vcpu, &self->end);
			continue;
		}
		plugvm_plugin_vcpu_post_run(self->pv, self->vcpu);
		verdict = exit_handle(self->pv, self->vcpu, &self->end);
	}
}

static void *vcpu_thread(void *argument)
{
	struct machine_vcpu *self = argument;
	struct plugvm_machine *machine = self->machine;

	char name[16];
	snprintf(name, sizeof(name), "vcpu%u", self->cpu);
	pthread_setname_np(pthread_self(), name);

	int result = privileges_narrow(HOST_FILTER_VCPU);
	if (result == 0)
		result = plugvm_plugin_vcpu_init(self->pv, self->vcpu);
	if (result < 0)
		exit_from_link_error(result, self->pv, &self->end);
	else if (!pass_barrier(&machine->barrier))
		exit_from_link_error(-ECANCELED, self->pv, &self->end);
	else
		run_vcpu(self);

	atomic_store(&self->done, true);
	uint64_t one = 1;
	ssize_t ignored = write(machine->vcpu_event, &one, sizeof(one));
	(void)ignored;
	return NULL;
}

void machine_kick_vcpu(struct plugvm_machine *machine, uint32_t cpu)
{
	struct machine_vcpu *vcpu = &machine->vcpus[cpu];
	if (!atomic_load(&vcpu->running) || atomic_load(&vcpu->done))
		return;
	/* The flag catches a vCPU that is about to enter the guest, the signal one that is inside. */
	plugvm_vcpu_set_immediate_exit(vcpu->vcpu, true);
	pthread_kill(vcpu->thread, machine->config.kick_signal);
}

/* Only the kick signal reaches a vCPU thread: the embedder's handlers run on its own threads. */
static int start_thread(struct machine_vcpu *vcpu)
{
	sigset_t mask, old;
	sigfillset(&mask);
	sigdelset(&mask, vcpu->machine->config.kick_signal);
	pthread_sigmask(SIG_SETMASK, &mask, &old);
	int error = pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error == 0)
		atomic_store(&vcpu->running, true);
	return -error;
}

static void free_vcpus(struct plugvm_machine *machine)
{
	for (uint32_t cpu = 0; cpu < machine->config.vcpu_count; cpu++) {
		plugvm_plugin_vcpu_free(&machine->vcpus[cpu].pv);
		plugvm_vcpu_free(&machine->vcpus[cpu].vcpu);
	}
}

int machine_start_vcpus(struct plugvm_machine *machine)
{
	uint32_t count = machine->config.vcpu_count;
	struct plugvm_error error = {.text = "out of memory"};
	int result = 0;
	/* Every vCPU before the first thread, so that a failure leaves nobody at the barrier. */
	for (uint32_t cpu = 0; cpu < count && result == 0; cpu++) {
		struct machine_vcpu *vcpu = &machine->vcpus[cpu];
		result = plugvm_vcpu_new(machine->vm, cpu, &vcpu->vcpu, &error);
		if (result == 0)
			result = plugvm_plugin_vcpu_new(machine->plugin, cpu, &vcpu->pv);
	}
	if (result < 0) {
		log_line(&machine->log, PLUGVM_LOG_ERROR, "the VM was not started: %s", error.text);
		free_vcpus(machine);
		return result;
	}
	machine->barrier.missing = count;
	for (uint32_t cpu = 0; cpu < count; cpu++) {
		result = start_thread(&machine->vcpus[cpu]);
		if (result < 0) {
			log_line(&machine->log, PLUGVM_LOG_ERROR, "the VM was not started: thread of vCPU %u: %s",
			         cpu, error_name(-result));
			return result;
		}
	}
	return 0;
}

void machine_join_vcpus(struct plugvm_machine *machine)
{
	for (uint32_t cpu = 0; cpu < machine->config.vcpu_count; cpu++) {
		struct machine_vcpu *vcpu = &machine->vcpus[cpu];
		if (!atomic_load(&vcpu->running))
			continue;
		pthread_join(vcpu->thread, NULL);
		atomic_store(&vcpu->running, false);
	}
	free_vcpus(machine);
}
