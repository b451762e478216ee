/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_probe - an ordinary user of crosvm.h for fake_host.py: does what its arguments say, in that order, and
 * prints each step's name and what it returned.
 */
#include <crosvm.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The numbers in golden.txt. */
#define PAGE      4096
#define PORT      0x3f8
#define EXTENSION 3

static struct crosvm *vm;
static struct crosvm_memory *memory;
static struct crosvm_vcpu *vcpu;
static struct crosvm_vcpu_event event;
static struct kvm_regs regs;
static struct kvm_sregs sregs;

/* What is to be told of a step beside what it returned. */
static char details[256];

static int step_connect(void)
{
	int result = crosvm_connect(&vm);
	return result < 0 ? result : crosvm_get_vcpu(vm, 0, &vcpu);
}

static int step_new_connection(void)
{
	struct crosvm *second;
	int result = crosvm_new_connection(vm, &second);
	return result < 0 ? result : crosvm_destroy_connection(&second);
}

static int step_memory(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, PAGE) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		abort();
	int result = crosvm_create_memory(vm, fd, 0, PAGE, PAGE, false, false, &memory);
	close(fd);
	return result;
}

static int step_destroy(void)
{
	return crosvm_destroy_memory(vm, &memory);
}

static int step_reserve(void)
{
	return crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, PORT, 8);
}

static int step_release(void)
{
	return crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, PORT, 0);
}

static int step_extension(void)
{
	bool has = false;
	int result = crosvm_check_extension(vm, EXTENSION, &has);
	if (result == 0)
		snprintf(details, sizeof(details), " %s", has ? "yes" : "no");
	return result;
}

static int step_eventfd(void)
{
	int fd = crosvm_get_shutdown_eventfd(vm);
	if (fd < 0)
		return fd;
	uint64_t value = 0;
	ssize_t size = read(fd, &value, sizeof(value));
	snprintf(details, sizeof(details), " %zd %llu", size, (unsigned long long)value);
	close(fd);
	return 0;
}

static int step_start(void)
{
	return crosvm_start(vm);
}

static void describe_access(void)
{
	size_t at = (size_t)snprintf(
	    details, sizeof(details), " %s %s %#llx",
	    event.io_access.address_space == CROSVM_ADDRESS_SPACE_IOPORT ? "port" : "mmio",
	    event.io_access.is_write ? "write" : "read", (unsigned long long)event.io_access.address);
	for (uint32_t i = 0; i < event.io_access.length && at < sizeof(details); i++)
		at += (size_t)snprintf(details + at, sizeof(details) - at, " %02x", event.io_access.data[i]);
}

static int step_wait(void)
{
	memset(&event, 0, sizeof(event));
	int result = crosvm_vcpu_wait(vcpu, &event);
	/* Along with an error, too: the event that was refused an answer. */
	if (event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS)
		describe_access();
	else if (result == 0)
		snprintf(details, sizeof(details), " kind %u", event.kind);
	return result;
}

static int step_answer(void)
{
	if (event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS)
		memset(event.io_access.data, 0x5a, event.io_access.length);
	return 0;
}

static int step_resume(void)
{
	return crosvm_vcpu_resume(vcpu);
}

static int step_get_sregs(void)
{
	int result = crosvm_vcpu_get_sregs(vcpu, &sregs);
	if (result == 0)
		snprintf(details, sizeof(details), " cr0 %#llx", (unsigned long long)sregs.cr0);
	return result;
}

static int step_set_sregs(void)
{
	return crosvm_vcpu_set_sregs(vcpu, &sregs);
}

static int step_set_regs(void)
{
	regs.rip = PAGE;
	return crosvm_vcpu_set_regs(vcpu, &regs);
}

static const struct {
	const char *name;
	int (*run)(void);
} steps[] = {
    {"connect", step_connect},     {"new_connection", step_new_connection},
    {"memory", step_memory},       {"destroy", step_destroy},
    {"reserve", step_reserve},     {"release", step_release},
    {"extension", step_extension}, {"eventfd", step_eventfd},
    {"start", step_start},         {"wait", step_wait},
    {"answer", step_answer},       {"resume", step_resume},
    {"get_sregs", step_get_sregs}, {"set_sregs", step_set_sregs},
    {"set_regs", step_set_regs},
};

static int run_step(const char *name)
{
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (strcmp(steps[i].name, name) == 0)
			return steps[i].run();
	}
	fprintf(stderr, "client_probe: there is no step '%s'\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	/* A host that hangs is fake_host.py's failure, but no process is to stay behind. */
	alarm(60);
	for (int i = 1; i < argc; i++) {
		details[0] = '\0';
		int result = run_step(argv[i]);
		printf("%s %d%s\n", argv[i], result, details);
	}
	return 0;
}
