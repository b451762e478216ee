/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * irq - two devices that interrupt the guest, each in one of the two ways there are.
 *
 *     plugvm run --stdout inherit -- irq
 *
 * The card sets the level of its line with crosvm_set_irq(): one request to the host each time. The clock has an irq
 * event: its thread writes to an eventfd, the kernel raises the line, and at the end of the guest's handler the
 * kernel lowers it again and writes to a second eventfd. No request is needed, so the clock needs no connection.
 */
#include <crosvm.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "example.h"

/* The interrupt table of real mode begins at 0. */
#define MEMORY_SIZE  0x2000
#define LOAD_ADDRESS 0x1000
#define CARD_STATUS  0x500
#define CARD_START   0x501
#define CLOCK_START  0x502
#define DONE_PORT    0x604

/* Lines of the first interrupt controller. The kernel's own devices have 0 (timer) and 2. */
#define CLOCK_IRQ 5
#define CARD_IRQ  7
#define TICKS     3

struct clock {
	struct crosvm_irq *irq;
	pthread_t thread;
};

extern const uint8_t guest_start[], guest_end[];

static void map_guest(struct crosvm *vm)
{
	int fd;
	uint8_t *memory = guest_memory_new(MEMORY_SIZE, &fd);
	memcpy(memory + LOAD_ADDRESS, guest_start, (size_t)(guest_end - guest_start));

	struct crosvm_memory *ram;
	check(crosvm_create_memory(vm, fd, 0, MEMORY_SIZE, 0, false, false, &ram), "give the guest its memory");
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

static void *clock_run(void *argument)
{
	struct clock *clock = argument;
	for (int i = 1; i <= TICKS; i++) {
		usleep(10000);
		check(eventfd_write(crosvm_irq_event_get_fd(clock->irq), 1) < 0 ? -errno : 0,
		      "raise the interrupt");

		/* A device that still wants attention at this moment would raise its line again. */
		eventfd_t ends;
		check(eventfd_read(crosvm_irq_event_get_resample_fd(clock->irq), &ends) < 0 ? -errno : 0,
		      "wait for the end of the interrupt");
		printf("clock: tick %d was taken\n", i);
	}
	return NULL;
}

/* Returns whether the guest goes on. */
static bool access_port(struct crosvm *vm, struct clock *clock, uint64_t port, uint8_t *data)
{
	switch (port) {
	case CARD_START:
		printf("card: raised its line\n");
		check(crosvm_set_irq(vm, CARD_IRQ, true), "raise the card's line");
		return true;
	case CARD_STATUS:
		/* Before the guest says that it has handled the interrupt, or it would come again. */
		check(crosvm_set_irq(vm, CARD_IRQ, false), "lower the card's line");
		printf("card: the guest read the status, lowered the line\n");
		data[0] = 1;
		return true;
	case CLOCK_START:
		check(-pthread_create(&clock->thread, NULL, clock_run, clock), "start the clock");
		return true;
	default:
		pthread_join(clock->thread, NULL);
		return false;
	}
}

int main(void)
{
	struct crosvm *vm;
	struct clock clock;
	check(crosvm_connect(&vm), "connect to the host");
	map_guest(vm);
	check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, CARD_STATUS, 3), "reserve the devices' ports");
	check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, DONE_PORT, 1), "reserve the done port");
	check(crosvm_create_irq_event(vm, CLOCK_IRQ, &clock.irq), "make the clock's interrupt");
	check(crosvm_start(vm), "start the machine");

	struct crosvm_vcpu *vcpu;
	check(crosvm_get_vcpu(vm, 0, &vcpu), "find the vCPU");

	for (;;) {
		struct crosvm_vcpu_event event;
		check(crosvm_vcpu_wait(vcpu, &event), "wait for the vCPU");

		if (event.kind == CROSVM_VCPU_EVENT_KIND_INIT)
			set_entry(vcpu);
		else if (event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS &&
		         !access_port(vm, &clock, event.io_access.address, event.io_access.data))
			return 0;

		check(crosvm_vcpu_resume(vcpu), "resume the vCPU");
	}
}
