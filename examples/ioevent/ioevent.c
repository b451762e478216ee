/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ioevent - a doorbell: guest writes that signal an eventfd, while the vCPU runs on.
 *
 *     plugvm run --stdout inherit -- ioevent
 *
 * The guest leaves a number in memory that it shares with the plugin and rings; a thread answers in the same memory.
 * Which of two eventfds is signalled depends on the byte that the guest writes. The kernel does it all: neither host
 * nor plugin has an event to handle, and the port needs no reservation.
 */
#include <crosvm.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "example.h"

#define LOAD_ADDRESS 0x1000
#define MAILBOX      0x2000
#define MEMORY_SIZE  0x2000
#define BELL_PORT    0x500
#define DONE_PORT    0x604

enum { WORK, BYE, BELL_COUNT };

/* What the guest has to write to ring each of them. */
static const uint8_t bell_bytes[BELL_COUNT] = {[WORK] = 1, [BYE] = 2};

/* Guest and plugin use it at the same time, as two threads would. */
struct mailbox {
	_Atomic uint32_t question;
	_Atomic uint32_t answer; /* 0: not yet */
};

struct device {
	struct mailbox *mailbox;
	struct crosvm_io *bells[BELL_COUNT];
};

extern const uint8_t guest_start[], guest_end[];

static struct mailbox *map_guest(struct crosvm *vm)
{
	int fd;
	uint8_t *memory = guest_memory_new(MEMORY_SIZE, &fd);
	memcpy(memory, guest_start, (size_t)(guest_end - guest_start));

	struct crosvm_memory *ram;
	check(crosvm_create_memory(vm, fd, 0, MEMORY_SIZE, LOAD_ADDRESS, false, false, &ram),
	      "give the guest its memory");
	return (struct mailbox *)(memory + (MAILBOX - LOAD_ADDRESS));
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

/* Rings add up in the eventfd until somebody reads it. Returns how many there were. */
static eventfd_t take_rings(struct crosvm_io *bell)
{
	eventfd_t rings;
	check(eventfd_read(crosvm_io_event_fd(bell), &rings) < 0 ? -errno : 0, "read a doorbell");
	return rings;
}

static void *device_run(void *argument)
{
	struct device *device = argument;
	for (;;) {
		struct pollfd fds[BELL_COUNT];
		for (int i = 0; i < BELL_COUNT; i++)
			fds[i] = (struct pollfd){.fd = crosvm_io_event_fd(device->bells[i]), .events = POLLIN};
		check(poll(fds, BELL_COUNT, -1) < 0 ? -errno : 0, "wait for a doorbell");

		if (fds[WORK].revents) {
			take_rings(device->bells[WORK]);
			uint32_t number = atomic_load(&device->mailbox->question);
			printf("%u * %u = %u\n", number, number, number * number);
			atomic_store(&device->mailbox->answer, number * number);
		} else if (fds[BYE].revents) {
			take_rings(device->bells[BYE]);
			printf("the guest said good-bye\n");
			return NULL;
		}
	}
}

int main(void)
{
	struct crosvm *vm;
	struct device device;
	check(crosvm_connect(&vm), "connect to the host");
	device.mailbox = map_guest(vm);
	for (int i = 0; i < BELL_COUNT; i++)
		check(crosvm_create_io_event(vm, CROSVM_ADDRESS_SPACE_IOPORT, BELL_PORT, 1, &bell_bytes[i],
		                             &device.bells[i]),
		      "make a doorbell");
	check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, DONE_PORT, 1), "reserve the done port");
	check(crosvm_start(vm), "start the machine");

	struct crosvm_vcpu *vcpu;
	pthread_t thread;
	check(crosvm_get_vcpu(vm, 0, &vcpu), "find the vCPU");
	check(-pthread_create(&thread, NULL, device_run, &device), "start the device");

	unsigned stops = 0;
	for (;;) {
		struct crosvm_vcpu_event event;
		check(crosvm_vcpu_wait(vcpu, &event), "wait for the vCPU");
		if (event.kind == CROSVM_VCPU_EVENT_KIND_INIT) {
			set_entry(vcpu);
		} else {
			stops++;
			if (event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS && event.io_access.address == DONE_PORT)
				break;
		}
		check(crosvm_vcpu_resume(vcpu), "resume the vCPU");
	}

	pthread_join(thread, NULL);
	printf("the vCPU stopped %u time%s\n", stops, stops == 1 ? "" : "s");
	return 0;
}
