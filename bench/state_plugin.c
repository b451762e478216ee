/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin's part of what starts and stops cost: bring the machine into a state, say so, and stay there.
 */
#include "state_plugin.h"

#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define VCPUS_MAX 64

/* What all vCPUs run, in real mode: for ever, asleep for ever, and one write after the other to GUEST_PORT. */
static const uint8_t spin[] = {0xeb, 0xfe};
static const uint8_t halt[] = {0xf4, 0xeb, 0xfd};
static const uint8_t write_port[] = {0xba, GUEST_PORT & 0xff, GUEST_PORT >> 8, 0xee, 0xeb, 0xfd};

static const struct {
	const char *name;
	const uint8_t *code; /* NULL: the machine is not started */
	size_t size;
} states[] = {
    {"before-start", NULL, 0},
    {"running", spin, sizeof(spin)},
    {"halted", halt, sizeof(halt)},
    {"waiting", halt, sizeof(halt)},
    {"in-event", write_port, sizeof(write_port)},
    {"answered", write_port, sizeof(write_port)},
    {"channel-full", write_port, sizeof(write_port)},
    {"paused", spin, sizeof(spin)},
    {"plugin-stopped", spin, sizeof(spin)},
};
#define STATES (sizeof(states) / sizeof(states[0]))

static void check(int result, const char *what)
{
	if (result < 0) {
		errno = -result;
		err(1, "%s", what);
	}
}

static void load(struct crosvm *vm, const uint8_t *code, size_t size)
{
	struct crosvm_memory *memory;
	int fd = guest_memory_new();
	if (pwrite(fd, code, size, 0) != (ssize_t)size)
		err(1, "the guest's code");
	check(crosvm_create_memory(vm, fd, 0, GUEST_MEMORY_SIZE, GUEST_LOAD_ADDRESS, false, false, &memory),
	      "memory");
}

static void resume_all(struct crosvm_vcpu **vcpus, unsigned int count)
{
	for (unsigned int cpu = 0; cpu < count; cpu++)
		check(crosvm_vcpu_resume(vcpus[cpu]), "resume");
}

static void enter_all(struct crosvm *vm, struct crosvm_vcpu **vcpus, unsigned int count)
{
	struct crosvm_vcpu_event event;
	for (unsigned int cpu = 0; cpu < count; cpu++) {
		struct kvm_sregs sregs;
		struct kvm_regs regs;
		check(crosvm_get_vcpu(vm, cpu, &vcpus[cpu]), "vcpu");
		check(crosvm_vcpu_wait(vcpus[cpu], &event), "wait for INIT");
		check(crosvm_vcpu_get_sregs(vcpus[cpu], &sregs), "get sregs");
		guest_set_entry(&sregs, &regs, 0);
		check(crosvm_vcpu_set_sregs(vcpus[cpu], &sregs), "set sregs");
		check(crosvm_vcpu_set_regs(vcpus[cpu], &regs), "set regs");
		check(crosvm_vcpu_set_mp_state(vcpus[cpu], &(struct kvm_mp_state){KVM_MP_STATE_RUNNABLE}),
		      "set mp state");
	}
	resume_all(vcpus, count);
}

static void await_all(struct crosvm_vcpu **vcpus, unsigned int count)
{
	struct crosvm_vcpu_event event;
	for (unsigned int cpu = 0; cpu < count; cpu++)
		check(crosvm_vcpu_wait(vcpus[cpu], &event), "wait");
}

static void *wait_thread(void *vcpu)
{
	struct crosvm_vcpu_event event;
	crosvm_vcpu_wait(vcpu, &event);
	return NULL;
}

/* Wait for the next event of each, as a plugin does most of the time. */
static void wait_all(struct crosvm_vcpu **vcpus, unsigned int count)
{
	pthread_t thread;
	for (unsigned int cpu = 0; cpu < count; cpu++)
		check(-pthread_create(&thread, NULL, wait_thread, vcpus[cpu]), "thread");
}

void stay_in_state(struct crosvm *vm, const char *name, unsigned int count)
{
	static struct crosvm_vcpu *vcpus[VCPUS_MAX];
	size_t state = 0;
	while (state < STATES && strcmp(states[state].name, name) != 0)
		state++;
	if (state == STATES || count > VCPUS_MAX)
		errx(2, "there is no state '%s' of %u vCPUs", name, count);
	if (strcmp(name, "in-event") == 0 || strcmp(name, "answered") == 0)
		check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, GUEST_PORT, 1), "range");
	if (strcmp(name, "channel-full") == 0)
		check(crosvm_reserve_async_write_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, GUEST_PORT, 1), "range");
	if (states[state].code) {
		load(vm, states[state].code, states[state].size);
		check(crosvm_start(vm), "start");
		enter_all(vm, vcpus, count);
	}
	if (strcmp(name, "in-event") == 0 || strcmp(name, "answered") == 0)
		await_all(vcpus, count);
	/* The guest goes on after its first exit, to the second. */
	if (strcmp(name, "answered") == 0) {
		resume_all(vcpus, count);
		await_all(vcpus, count);
	}
	if (strcmp(name, "paused") == 0) {
		check(crosvm_pause_vcpus(vm, count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1, NULL),
		      "pause");
		await_all(vcpus, count);
	}
	if (write(STDOUT_FILENO, "", 1) != 1)
		err(1, "write");
	if (strcmp(name, "waiting") == 0)
		wait_all(vcpus, count);
	if (strcmp(name, "plugin-stopped") == 0)
		raise(SIGSTOP);
	for (;;)
		pause();
}
