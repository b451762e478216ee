/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * machine.c - builds the machine and runs it.
 *
 * There are two threads. The vCPU's thread waits for the guest's accesses and calls the devices; the main thread
 * watches the clock and the host, so that it can act while the guest is silent. The connection belongs to the
 * main thread, the vCPU to the other, and what they share is an eventfd: no lock is needed.
 */
#define _GNU_SOURCE 1
#include "machine.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MIB   ((uint64_t)1 << 20)
#define GIB_4 ((uint64_t)1 << 32)

/* A PC's BIOS also appears below 1 MiB, where real mode reaches it: 0xc0000 to 0xfffff. */
#define LOW_COPY_MAX ((size_t)256 << 10)

/* More than KVM has. */
#define CPUID_MAX 256

#define CR0_PE 0x1u

/* Shorter than the grace time that a host gives by default. */
#define STOP_TIMEOUT_MS 500

struct machine {
	struct crosvm *vm;
	int shutdown_fd;

	pthread_t thread;
	int ended_fd; /* the thread's last act is to write why it ended, an enum machine_end */

	/* The thread's own. */
	struct crosvm_vcpu *vcpu;
	struct devices *devices;
	struct kvm_cpuid_entry2 cpuid[CPUID_MAX];
	uint32_t cpuid_count;
	struct machine_place place;
	bool has_place;
};

static void check(int ret, const char *what)
{
	if (ret < 0) {
		errno = -ret;
		err(1, "cannot %s", what);
	}
}

/* ---- Building ---- */

/* A memfd of `size` bytes, all zero but for `bytes` at `offset`. */
static int memory_fd_new(size_t size, const uint8_t *bytes, size_t length, size_t offset)
{
	int fd = memfd_create("firmware", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		err(1, "cannot make guest memory");
	if (pwrite(fd, bytes, length, (off_t)offset) != (ssize_t)length)
		err(1, "cannot fill guest memory");
	return fd;
}

/*
 * A processor starts 16 bytes below 4 GiB, so the image ends there. Its upper part is in RAM too, and not as a
 * second view of the ROM: a BIOS keeps variables there and writes to them.
 */
static void map_memory(struct crosvm *vm, const struct image *image, uint64_t ram_size)
{
	size_t low_size = image->size < LOW_COPY_MAX ? image->size : LOW_COPY_MAX;
	int ram_fd = memory_fd_new(ram_size, image->bytes + image->size - low_size, low_size, MIB - low_size);
	int rom_fd = memory_fd_new(image->size, image->bytes, image->size, 0);

	struct crosvm_memory *ram;
	struct crosvm_memory *rom;
	check(crosvm_create_memory(vm, ram_fd, 0, ram_size, 0, false, false, &ram), "map the RAM");
	check(crosvm_create_memory(vm, rom_fd, 0, image->size, GIB_4 - image->size, true, false, &rom),
	      "map the ROM");

	/* The host keeps the memory. */
	close(ram_fd);
	close(rom_fd);
}

/* Every access that is not to memory comes to the devices; of the ROM, that is a write. */
static void reserve_addresses(struct crosvm *vm, uint64_t ram_size)
{
	check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, 0, 0x10000), "reserve the ports");
	check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_MMIO, ram_size, UINT64_MAX - ram_size + 1),
	      "reserve the addresses above the RAM");
}

/*
 * Give the processor the features that KVM can offer. KVM answers with the APIC id of the host's processor that
 * the question came to, a matter of chance; the machine's only processor has id 0.
 */
static void find_cpuid(struct machine *machine)
{
	int result = crosvm_get_supported_cpuid(machine->vm, CPUID_MAX, machine->cpuid, &machine->cpuid_count);
	/* Without the answer the processor has no features at all, which is enough for a BIOS. */
	if (result == -ENOSYS)
		machine->cpuid_count = 0;
	else
		check(result, "learn what the processor can do");

	for (uint32_t i = 0; i < machine->cpuid_count; i++) {
		struct kvm_cpuid_entry2 *entry = &machine->cpuid[i];
		if (entry->function == 0x1)
			entry->ebx &= 0x00ffffff;
		else if (entry->function == 0xb || entry->function == 0x1f)
			entry->edx = 0;
	}
}

static void find_vcpu(struct machine *machine)
{
	struct crosvm_vcpu *second;
	if (crosvm_get_vcpu(machine->vm, 1, &second) != -ENOENT)
		errx(1, "this machine has one vCPU: plugvm run --cpus 1");
	check(crosvm_get_vcpu(machine->vm, 0, &machine->vcpu), "find the vCPU");
}

/* ---- Running ---- */

static void note_place(struct machine *machine)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	machine->has_place = crosvm_vcpu_get_regs(machine->vcpu, &regs) == 0 &&
	                     crosvm_vcpu_get_sregs(machine->vcpu, &sregs) == 0;
	if (machine->has_place)
		machine->place = (struct machine_place){.cs = sregs.cs.selector,
		                                        .address = sregs.cs.base + regs.rip,
		                                        .is_real = !(sregs.cr0 & CR0_PE)};
}

/* Serve one event. Returns 0 if there is another one to come. */
static int vcpu_step(struct machine *machine)
{
	struct crosvm_vcpu_event event;
	int ret = crosvm_vcpu_wait(machine->vcpu, &event);
	if (ret < 0)
		goto out;

	switch (event.kind) {
	case CROSVM_VCPU_EVENT_KIND_INIT:
		/* The registers are those of a processor after a reset: right for a BIOS. */
		if (machine->cpuid_count > 0)
			ret = crosvm_vcpu_set_cpuid(machine->vcpu, machine->cpuid_count, machine->cpuid);
		if (ret < 0)
			goto out;
		break;
	case CROSVM_VCPU_EVENT_KIND_IO_ACCESS:
		devices_access(machine->devices, &event);
		if (devices_gave_up(machine->devices))
			return MACHINE_GAVE_UP;
		break;
	case CROSVM_VCPU_EVENT_KIND_PAUSED:
		note_place(machine);
		return MACHINE_STOPPED;
	}

	ret = crosvm_vcpu_resume(machine->vcpu);
out:
	if (ret == -ECONNRESET)
		return MACHINE_STOPPED;
	if (ret < 0) {
		errno = -ret;
		warn("the vCPU failed");
		return MACHINE_FAILED;
	}
	return 0;
}

static void *vcpu_run(void *argument)
{
	struct machine *machine = argument;
	int end;
	do
		end = vcpu_step(machine);
	while (end == 0);

	eventfd_write(machine->ended_fd, (eventfd_t)end);
	return NULL;
}

struct machine *machine_start(const struct image *image, unsigned int memory_mib, struct devices *devices)
{
	struct machine *machine = calloc(1, sizeof(*machine));
	if (!machine)
		err(1, "no memory for the machine");
	machine->devices = devices;

	check(crosvm_connect(&machine->vm), "connect to the host (plugvm run)");
	machine->shutdown_fd = crosvm_get_shutdown_eventfd(machine->vm);
	check(machine->shutdown_fd, "get the shutdown eventfd");
	map_memory(machine->vm, image, memory_mib * MIB);
	reserve_addresses(machine->vm, memory_mib * MIB);
	find_vcpu(machine);
	find_cpuid(machine);

	machine->ended_fd = eventfd(0, EFD_CLOEXEC);
	if (machine->ended_fd < 0)
		err(1, "cannot make an eventfd");
	check(crosvm_start(machine->vm), "start the machine");
	check(-pthread_create(&machine->thread, NULL, vcpu_run, machine), "start the vCPU's thread");
	return machine;
}

enum machine_end machine_wait(struct machine *machine, unsigned int timeout_s)
{
	struct pollfd fds[] = {
	    {.fd = machine->ended_fd, .events = POLLIN},
	    {.fd = machine->shutdown_fd, .events = POLLIN},
	};
	int ready = poll(fds, 2, (int)timeout_s * 1000);
	if (ready < 0)
		err(1, "poll");
	if (ready == 0)
		return MACHINE_TIMED_OUT;
	if (fds[0].revents == 0)
		return MACHINE_STOPPED;

	eventfd_t end;
	if (eventfd_read(machine->ended_fd, &end) < 0)
		err(1, "eventfd");
	return (enum machine_end)end;
}

bool machine_stop(struct machine *machine)
{
	/* Its PAUSED event ends the thread; where that has ended already, or the VM has, nothing is lost. */
	crosvm_pause_vcpus(machine->vm, 0x1, NULL);

	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += STOP_TIMEOUT_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	return pthread_timedjoin_np(machine->thread, NULL, &until) == 0;
}

bool machine_place(const struct machine *machine, struct machine_place *out_place)
{
	*out_place = machine->place;
	return machine->has_place;
}
