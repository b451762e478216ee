/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts that ask for what cannot be, and expect the errno that crosvm.h names, then nothing left behind in the
 * host.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actor.h"

#define GIB (UINT64_C(1) << 30)

/* The limits of the host that a plugin can reach. */
#define RANGES_MAX      16384
#define CONNECTIONS_MAX 64
#define SLOTS_MAX       509
#define MEMORY_GIB_MAX  64
#define EVENTS_MAX      1024

/* A host is not dumpable, so that only root's plugin, without a jail, can count; what is expected of them is then so. */
#define FDS_UNKNOWN (-1000000)

/* Return how many fds the host has open. */
static int host_fds(struct crosvm *vm)
{
	/* When it has answered this it is through with all that came before. */
	bool has;
	expect_result(crosvm_check_extension(vm, KVM_CAP_USER_MEMORY, &has), 0);
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/fd", getppid());
	DIR *directory = opendir(path);
	if (!directory && errno == EACCES && geteuid() != 0)
		return FDS_UNKNOWN;
	expect(directory != NULL);
	int count = 0;
	for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

static void expect_host_fds(struct crosvm *vm, int wanted)
{
	int fds = host_fds(vm);
	expect(fds == wanted || fds == FDS_UNKNOWN);
}

static void expect_connect_with(const char *variable, int wanted)
{
	struct crosvm *vm;
	setenv("CROSVM_SOCKET", variable, 1);
	expect_result(crosvm_connect(&vm), wanted);
}

static int errno_connect(char **arguments)
{
	(void)arguments;
	struct crosvm *vm;
	char number[16];
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char *own = getenv("CROSVM_SOCKET");
	expect(own != NULL);
	snprintf(number, sizeof(number), "%s", own);
	unsetenv("CROSVM_SOCKET");
	expect_result(crosvm_connect(&vm), -ENOTCONN);
	static const char *const no_numbers[] = {"", "x", "3x", " 3", "-1", "99999999999"};
	for (size_t i = 0; i < COUNT(no_numbers); i++)
		expect_connect_with(no_numbers[i], -EINVAL);
	expect_connect_with("1000", -EBADF);
	char file_number[16];
	snprintf(file_number, sizeof(file_number), "%d", file);
	expect_connect_with(file_number, -ENOTSOCK);

	/* None of these has spoiled it. */
	setenv("CROSVM_SOCKET", number, 1);
	expect_result(crosvm_connect(&vm), 0);
	struct crosvm *second;
	expect_result(crosvm_connect(&second), -EALREADY);
	return 0;
}

static int sealed_file(size_t size, int seals)
{
	int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	expect(fd >= 0 && ftruncate(fd, (off_t)size) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0);
	return fd;
}

static int errno_memory(char **arguments)
{
	(void)arguments;
	enum { GOOD, UNSEALED, NO_WRITE, PIPE, CLOSED, FILES };
	static const struct {
		int file;
		bool read_only;
		uint64_t offset, length, start;
		int wanted;
	} cases[] = {
	    {GOOD, false, 0, 0, 0, -EINVAL},
	    {GOOD, false, 0, PAGE - 1, 0, -EINVAL},
	    {GOOD, false, 1, PAGE, 0, -EINVAL},
	    {GOOD, false, 0, PAGE, 0x800, -EINVAL},
	    {GOOD, false, 0, 3 * PAGE, 0, -EINVAL},
	    {GOOD, false, 2 * PAGE, PAGE, 0, -EINVAL},
	    {GOOD, false, 0, PAGE, UINT64_C(1) << 52, -EINVAL},
	    {GOOD, false, UINT64_MAX - PAGE + 1, PAGE, 0, -EOVERFLOW},
	    {GOOD, false, 0, 2 * PAGE, UINT64_MAX - PAGE + 1, -EOVERFLOW},
	    {UNSEALED, false, 0, PAGE, 0, -EPERM},
	    {NO_WRITE, false, 0, PAGE, 0, -EPERM},
	    {PIPE, false, 0, PAGE, 0, -EINVAL},
	    {CLOSED, false, 0, PAGE, 0, -EBADF},
	    {GOOD, false, 0, PAGE, 16 * PAGE, -EEXIST},
	    {GOOD, true, 0, 2 * PAGE, 15 * PAGE, -EEXIST},
	};
	struct crosvm *vm;
	struct crosvm_memory *memory, *before = NULL;
	expect_result(crosvm_connect(&vm), 0);
	int pipe_fds[2];
	expect(pipe2(pipe_fds, O_CLOEXEC) == 0);
	int files[FILES] = {[GOOD] = memory_file(2 * PAGE),
	                    [UNSEALED] = sealed_file(PAGE, F_SEAL_GROW),
	                    [NO_WRITE] = sealed_file(PAGE, F_SEAL_SHRINK | F_SEAL_WRITE),
	                    [PIPE] = pipe_fds[0],
	                    [CLOSED] = 1000};
	expect_result(crosvm_create_memory(vm, files[GOOD], 0, PAGE, 16 * PAGE, false, false, &before), 0);
	int fds = host_fds(vm);
	for (size_t i = 0; i < COUNT(cases); i++) {
		memory = NULL;
		int result = crosvm_create_memory(vm, files[cases[i].file], cases[i].offset, cases[i].length,
		                                  cases[i].start, cases[i].read_only, false, &memory);
		if (result != cases[i].wanted)
			fprintf(stderr, "in case %zu:\n", i);
		expect_result(result, cases[i].wanted);
		expect(memory == NULL);
	}
	expect_result(crosvm_create_memory(vm, files[NO_WRITE], 0, PAGE, 0, true, false, &memory), 0);
	expect_result(crosvm_create_memory(vm, files[GOOD], 0, PAGE, 0, false, false, NULL), -EINVAL);
	expect_result(crosvm_destroy_memory(vm, &memory), 0);
	expect_result(crosvm_destroy_memory(vm, &memory), -EINVAL);
	expect_host_fds(vm, fds);
	return 0;
}

static int errno_ranges(char **arguments)
{
	(void)arguments;
	static const struct {
		uint32_t space;
		uint64_t start, length;
		int wanted;
	} cases[] = {
	    {PORT, 0x500, 8, 0},
	    {PORT, 0x507, 1, -EPERM},
	    {PORT, 0x4ff, 2, -EPERM},
	    {PORT, 0x4ff, 16, -EPERM},
	    {PORT, 0x502, 2, -EPERM},
	    {PORT, 0x508, 1, 0},
	    {PORT, 0x4ff, 1, 0},
	    {PORT, 0x501, 0, -ENOENT},
	    {PORT, 0x500, 0, 0},
	    {PORT, 0x500, 0, -ENOENT},
	    {MMIO, 0x500, 0, -ENOENT},
	    {PORT, 0xffff, 1, 0},
	    {PORT, 0xfffe, 2, -EPERM},
	    {PORT, 0xffff, 2, -EINVAL},
	    {PORT, 0x10000, 1, -EINVAL},
	    {MMIO, UINT64_MAX, 1, 0},
	    {MMIO, UINT64_MAX, 2, -EINVAL},
	    {MMIO, 1, UINT64_MAX, -EPERM},
	    {MMIO, 2, UINT64_MAX, -EINVAL},
	    {MMIO, UINT64_MAX, 0, 0},
	    {MMIO, 0, UINT64_MAX, 0},
	    {2, 0x600, 1, -EINVAL},
	};
	struct crosvm *vm;
	expect_result(crosvm_connect(&vm), 0);
	for (size_t i = 0; i < COUNT(cases); i++) {
		int result = crosvm_reserve_range(vm, cases[i].space, cases[i].start, cases[i].length);
		if (result != cases[i].wanted)
			fprintf(stderr, "in case %zu:\n", i);
		expect_result(result, cases[i].wanted);
	}
	return 0;
}

static int errno_start(char **arguments)
{
	(void)arguments;
	struct crosvm *vm;
	struct crosvm_vcpu *vcpu, *again;
	expect_result(crosvm_connect(&vm), 0);
	int fds = host_fds(vm);
	expect_result(crosvm_get_vcpu(vm, 1, &vcpu), -ENOENT);
	expect_result(crosvm_get_vcpu(vm, UINT32_MAX, &vcpu), -ENOENT);
	expect_result(crosvm_get_vcpu(vm, 0, NULL), -EINVAL);
	expect_host_fds(vm, fds);
	expect_result(crosvm_start(vm), 0);
	fds = host_fds(vm);
	expect_result(crosvm_start(vm), -EINVAL);
	expect_host_fds(vm, fds);

	struct crosvm *second;
	expect_result(crosvm_new_connection(vm, &second), 0);
	expect_result(crosvm_get_vcpu(vm, 0, &vcpu), 0);
	expect_result(crosvm_get_vcpu(second, 0, &again), 0);
	expect(vcpu == again);
	expect_result(crosvm_start(second), -EINVAL);
	return 0;
}

static int limit_ranges(char **arguments)
{
	(void)arguments;
	struct crosvm *vm;
	expect_result(crosvm_connect(&vm), 0);
	for (uint64_t i = 0; i < RANGES_MAX; i++)
		expect_result(crosvm_reserve_range(vm, i % 2 ? MMIO : PORT, 2 * i, 1), 0);
	expect_result(crosvm_reserve_range(vm, MMIO, 1, 1), -ENOSPC);
	expect_result(crosvm_reserve_range(vm, PORT, 0, 0), 0);
	expect_result(crosvm_reserve_range(vm, MMIO, 1, 1), 0);
	expect_result(crosvm_reserve_range(vm, MMIO, 0, 1), -ENOSPC);
	return 0;
}

static int limit_connections(char **arguments)
{
	(void)arguments;
	struct crosvm *vms[CONNECTIONS_MAX], *surplus;
	expect_result(crosvm_connect(&vms[0]), 0);
	int fds = host_fds(vms[0]);
	for (int i = 1; i < CONNECTIONS_MAX; i++)
		expect_result(crosvm_new_connection(vms[0], &vms[i]), 0);
	expect_host_fds(vms[0], fds + CONNECTIONS_MAX - 1);
	expect_result(crosvm_new_connection(vms[0], &surplus), -ENOSPC);
	expect_result(crosvm_new_connection(vms[CONNECTIONS_MAX - 1], &surplus), -ENOSPC);
	expect_host_fds(vms[0], fds + CONNECTIONS_MAX - 1);
	for (int i = 1; i < CONNECTIONS_MAX; i++)
		expect_result(crosvm_destroy_connection(&vms[i]), 0);

	/* It sees the ends before, or while, it serves the next request, but not in one turn. */
	for (int turn = 0; turn < CONNECTIONS_MAX && host_fds(vms[0]) != fds; turn++)
		;
	expect_host_fds(vms[0], fds);
	expect_result(crosvm_new_connection(vms[0], &vms[1]), 0);
	return 0;
}

static int limit_slots(char **arguments)
{
	(void)arguments;
	static struct crosvm_memory *memories[SLOTS_MAX];
	struct crosvm_memory *surplus;
	struct crosvm *vm;
	expect_result(crosvm_connect(&vm), 0);
	int fds = host_fds(vm);
	int fd = memory_file(PAGE);
	for (uint64_t i = 0; i < SLOTS_MAX; i++)
		expect_result(crosvm_create_memory(vm, fd, 0, PAGE, 2 * i * PAGE, false, false, &memories[i]), 0);
	expect_result(crosvm_create_memory(vm, fd, 0, PAGE, PAGE, false, false, &surplus), -ENOSPC);
	expect_result(crosvm_destroy_memory(vm, &memories[100]), 0);
	expect_result(crosvm_create_memory(vm, fd, 0, PAGE, PAGE, false, false, &memories[100]), 0);
	expect_result(crosvm_create_memory(vm, fd, 0, PAGE, 3 * PAGE, false, false, &surplus), -ENOSPC);
	for (size_t i = 0; i < SLOTS_MAX; i++)
		expect_result(crosvm_destroy_memory(vm, &memories[i]), 0);
	expect_host_fds(vm, fds);
	return 0;
}

static int limit_memory(char **arguments)
{
	(void)arguments;
	struct crosvm_memory *most, *rest, *surplus;
	struct crosvm *vm;
	expect_result(crosvm_connect(&vm), 0);
	int fd = memory_file((MEMORY_GIB_MAX + 1) * GIB); /* nobody ever writes to it */
	expect_result(crosvm_create_memory(vm, fd, 0, MEMORY_GIB_MAX * GIB + PAGE, 0, false, false, &surplus),
	              -ENOSPC);
	expect_result(crosvm_create_memory(vm, fd, 0, (MEMORY_GIB_MAX - 1) * GIB, 0, false, false, &most), 0);
	expect_result(crosvm_create_memory(vm, fd, 0, GIB + PAGE, MEMORY_GIB_MAX * GIB, false, false, &surplus),
	              -ENOSPC);
	expect_result(crosvm_create_memory(vm, fd, 0, GIB, MEMORY_GIB_MAX * GIB, false, false, &rest), 0);
	expect_result(crosvm_create_memory(vm, fd, 0, PAGE, (MEMORY_GIB_MAX + 1) * GIB, false, false, &surplus),
	              -ENOSPC);
	expect_result(crosvm_destroy_memory(vm, &rest), 0);
	expect_result(crosvm_create_memory(vm, fd, 0, PAGE, (MEMORY_GIB_MAX + 1) * GIB, false, false, &surplus),
	              0);
	return 0;
}

static int limit_events(char **arguments)
{
	(void)arguments;
	static struct crosvm_irq *irqs[EVENTS_MAX];
	struct crosvm_irq *surplus;
	struct crosvm_io *io;
	struct crosvm *vm;
	struct rlimit limit;
	/* Each is two fds of the plugin, and one of the host. */
	expect(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (limit.rlim_max < 2 * EVENTS_MAX + 64)
		skip("a process may not have so many fds here");
	limit.rlim_cur = limit.rlim_max;
	expect(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	expect_result(crosvm_connect(&vm), 0);
	int fds = host_fds(vm);
	for (uint32_t i = 0; i < EVENTS_MAX; i++) {
		int result = crosvm_create_irq_event(vm, 24 + i, &irqs[i]);
		if (result == -EMFILE)
			skip("the host may not have so many fds here");
		expect_result(result, 0);
	}
	expect_result(crosvm_create_irq_event(vm, 5, &surplus), -ENOSPC);
	expect_result(crosvm_create_io_event(vm, PORT, DEVICE_PORT, 0, NULL, &io), -ENOSPC);
	expect_result(crosvm_destroy_irq_event(vm, &irqs[100]), 0);
	expect_result(crosvm_create_io_event(vm, PORT, DEVICE_PORT, 0, NULL, &io), 0);
	expect_result(crosvm_create_irq_event(vm, 5, &surplus), -ENOSPC);
	expect_result(crosvm_destroy_io_event(vm, &io), 0);
	for (uint32_t i = 0; i < EVENTS_MAX; i++) {
		if (irqs[i])
			expect_result(crosvm_destroy_irq_event(vm, &irqs[i]), 0);
	}
	expect_host_fds(vm, fds);
	return 0;
}

const struct act errno_acts[] = {
    {"errno-connect", errno_connect}, {"errno-memory", errno_memory},
    {"errno-ranges", errno_ranges},   {"errno-start", errno_start},
    {"limit-ranges", limit_ranges},   {"limit-connections", limit_connections},
    {"limit-slots", limit_slots},     {"limit-memory", limit_memory},
    {"limit-events", limit_events},   {NULL, NULL},
};
