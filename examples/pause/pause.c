/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pause - stop a guest that never asks for anything, look at its registers, and let it run on.
 *
 *     plugvm run --stdout inherit -- pause
 *
 * A second thread asks for the pauses. They come as events to the thread that serves the vCPU, with the pointer that
 * was given with the request. The numbers, which differ from run to run, go to stderr.
 */
#include <crosvm.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "example.h"

#define LOAD_ADDRESS  0x1000
#define COUNT_ADDRESS 0x2000
#define MEMORY_SIZE   0x2000
#define DONE_PORT     0x604
#define PAUSES        3

struct watch {
	struct crosvm *vm; /* the watching thread's own connection */
	_Atomic uint32_t *count;
	uint32_t last_count;
	int number; /* of the pause */
	sem_t over;
};

extern const uint8_t guest_start[], guest_way_out[], guest_end[];

static _Atomic uint32_t *map_guest(struct crosvm *vm)
{
	int fd;
	uint8_t *memory = guest_memory_new(MEMORY_SIZE, &fd);
	memcpy(memory, guest_start, (size_t)(guest_end - guest_start));

	struct crosvm_memory *ram;
	check(crosvm_create_memory(vm, fd, 0, MEMORY_SIZE, LOAD_ADDRESS, false, false, &ram),
	      "give the guest its memory");
	return (_Atomic uint32_t *)(memory + (COUNT_ADDRESS - LOAD_ADDRESS));
}

static void set_entry(struct crosvm_vcpu *vcpu)
{
	struct kvm_sregs sregs;
	check(crosvm_vcpu_get_sregs(vcpu, &sregs), "get the segment registers");
	sregs.cs.selector = 0;
	sregs.cs.base = 0;
	check(crosvm_vcpu_set_sregs(vcpu, &sregs), "set the segment registers");

	struct kvm_regs regs = {.rip = LOAD_ADDRESS, .rflags = 0x2};
	check(crosvm_vcpu_set_regs(vcpu, &regs), "set the registers");
}

static void *watch_run(void *argument)
{
	struct watch *watch = argument;
	for (watch->number = 1; watch->number <= PAUSES; watch->number++) {
		while (atomic_load(watch->count) == watch->last_count)
			usleep(1000);

		/* The answer says that the pause will come, not that it is there. Bit n stands for vCPU n. */
		uint64_t first_vcpu = 1;
		check(crosvm_pause_vcpus(watch->vm, first_vcpu, watch), "ask for a pause");
		sem_wait(&watch->over);
	}
	return NULL;
}

/* The vCPU stands still now, between two instructions. */
static void on_pause(struct crosvm_vcpu *vcpu, struct watch *watch)
{
	struct kvm_regs regs;
	check(crosvm_vcpu_get_regs(vcpu, &regs), "get the registers");
	uint32_t count = atomic_load(watch->count);
	fprintf(stderr, "RIP %#llx, RFLAGS %#llx, the count is %u\n", regs.rip, regs.rflags, count);

	uint64_t way_out = LOAD_ADDRESS + (uint64_t)(guest_way_out - guest_start);
	printf("pause %d: the guest %s; RIP is %s\n", watch->number,
	       count != watch->last_count ? "has counted on" : "stands still",
	       regs.rip >= LOAD_ADDRESS && regs.rip < way_out ? "in its loop" : "elsewhere");
	watch->last_count = count;

	if (watch->number == PAUSES) {
		regs.rip = way_out;
		check(crosvm_vcpu_set_regs(vcpu, &regs), "set the registers");
	}
}

int main(void)
{
	struct crosvm *vm;
	struct watch watch = {.number = 0};
	sem_init(&watch.over, 0, 0);
	check(crosvm_connect(&vm), "connect to the host");
	watch.count = map_guest(vm);
	check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, DONE_PORT, 1), "reserve the done port");
	check(crosvm_start(vm), "start the machine");

	struct crosvm_vcpu *vcpu;
	pthread_t thread;
	check(crosvm_get_vcpu(vm, 0, &vcpu), "find the vCPU");
	check(crosvm_new_connection(vm, &watch.vm), "make a connection for a thread");
	check(-pthread_create(&thread, NULL, watch_run, &watch), "start a thread");

	for (;;) {
		struct crosvm_vcpu_event event;
		check(crosvm_vcpu_wait(vcpu, &event), "wait for the vCPU");

		if (event.kind == CROSVM_VCPU_EVENT_KIND_INIT)
			set_entry(vcpu);
		else if (event.kind == CROSVM_VCPU_EVENT_KIND_PAUSED)
			on_pause(vcpu, event.user);
		else
			break;
		check(crosvm_vcpu_resume(vcpu), "resume the vCPU");
		if (event.kind == CROSVM_VCPU_EVENT_KIND_PAUSED)
			sem_post(&watch.over);
	}

	pthread_join(thread, NULL);
	printf("the guest took the way out\n");
	return 0;
}
