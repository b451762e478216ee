/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * two_vcpus - a machine with two processors, each with a thread of this program at its side.
 *
 *     plugvm run --cpus 2 --stdout inherit -- two_vcpus
 *
 * guest.asm lets the vCPUs count in turns, in memory that they share, and report through a port how often each
 * had its turn. The reports come in any order; the program prints them by vCPU.
 */
#include <crosvm.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "example.h"

#define VCPU_COUNT   2
#define LOAD_ADDRESS 0x1000
#define MEMORY_SIZE  0x1000
#define REPORT_PORT  0x500

/* A connection belongs to one thread at a time, and so does a vCPU: each thread has one of either. */
struct worker {
	struct crosvm *vm;
	uint32_t cpu_id;
	pthread_t thread;
	uint16_t report;
};

extern const uint8_t guest_start[], guest_end[];

static void map_guest(struct crosvm *vm)
{
	int fd;
	uint8_t *memory = guest_memory_new(MEMORY_SIZE, &fd);
	memcpy(memory, guest_start, (size_t)(guest_end - guest_start));

	struct crosvm_memory *ram;
	check(crosvm_create_memory(vm, fd, 0, MEMORY_SIZE, LOAD_ADDRESS, false, false, &ram),
	      "give the guest its memory");
}

static void set_entry(struct crosvm_vcpu *vcpu, uint32_t cpu_id)
{
	struct kvm_sregs sregs;
	check(crosvm_vcpu_get_sregs(vcpu, &sregs), "get the segment registers");
	sregs.cs.selector = 0;
	sregs.cs.base = 0;
	check(crosvm_vcpu_set_sregs(vcpu, &sregs), "set the segment registers");

	struct kvm_regs regs = {.rip = LOAD_ADDRESS, .rflags = 0x2, .rbx = cpu_id};
	check(crosvm_vcpu_set_regs(vcpu, &regs), "set the registers");

	/* As on a real board, every processor but the first would wait until another one wakes it. */
	struct kvm_mp_state state = {.mp_state = KVM_MP_STATE_RUNNABLE};
	check(crosvm_vcpu_set_mp_state(vcpu, &state), "make the vCPU run");
}

static void *worker_run(void *argument)
{
	struct worker *worker = argument;
	struct crosvm_vcpu *vcpu;
	check(crosvm_get_vcpu(worker->vm, worker->cpu_id, &vcpu), "find the vCPU");

	for (;;) {
		struct crosvm_vcpu_event event;
		check(crosvm_vcpu_wait(vcpu, &event), "wait for the vCPU");

		if (event.kind == CROSVM_VCPU_EVENT_KIND_INIT) {
			set_entry(vcpu, worker->cpu_id);
		} else if (event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS && event.io_access.is_write) {
			memcpy(&worker->report, event.io_access.data, sizeof(worker->report));
			return NULL;
		}

		check(crosvm_vcpu_resume(vcpu), "resume the vCPU");
	}
}

/* The vCPUs are numbered from 0 without gaps. */
static bool has_vcpu(struct crosvm *vm, uint32_t cpu_id)
{
	struct crosvm_vcpu *vcpu;
	int ret = crosvm_get_vcpu(vm, cpu_id, &vcpu);
	return ret != -ENOENT && check(ret, "find the vCPU") == 0;
}

int main(void)
{
	struct crosvm *vm;
	check(crosvm_connect(&vm), "connect to the host");
	if (!has_vcpu(vm, VCPU_COUNT - 1) || has_vcpu(vm, VCPU_COUNT)) {
		fprintf(stderr, "two_vcpus: the machine must have two vCPUs: plugvm run --cpus 2\n");
		return 1;
	}

	map_guest(vm);
	check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, REPORT_PORT, 2), "reserve the port");
	check(crosvm_start(vm), "start the machine");

	/* No vCPU runs before all were resumed from INIT, so every thread must be there. */
	struct worker workers[VCPU_COUNT];
	for (uint32_t i = 0; i < VCPU_COUNT; i++) {
		workers[i] = (struct worker){.cpu_id = i};
		check(crosvm_new_connection(vm, &workers[i].vm), "make a connection for a thread");
		check(-pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]), "start a thread");
	}

	for (uint32_t i = 0; i < VCPU_COUNT; i++) {
		pthread_join(workers[i].thread, NULL);
		printf("vCPU %u counted %u times\n", i, workers[i].report);
	}
	return 0;
}
