/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin that attacks as a process: its end, its fds, its system calls, its neighbours.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "raw.h"

#define HIGH (UINT64_C(1) << 32)

static void ignores_shutdown(void)
{
	for (int number = 1; number < 64; number++)
		signal(number, SIG_IGN);
	lives();
}

static void stops_itself(void)
{
	raise(SIGSTOP);
	hang();
}

static void *idle(void *unused)
{
	(void)unused;
	hang();
}

static void thread_bomb(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 32768);
	int made = 0;
	while (made < 100000 && pthread_create(&thread, &attributes, idle, NULL) == 0)
		made++;
	if (made == 100000)
		problem("%d threads", made);
	if (has_policy())
		expect((int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) < 0 ? errno : 0, EPERM, "a process");
	lives();
}

/* Beside the jail: processes that stay in its group and ignore every signal. */
static void fork_bomb(void)
{
	for (unsigned long i = 0; i < option; i++) {
		if (fork() == 0) {
			for (int number = 1; number < 64; number++)
				signal(number, SIG_IGN);
			hang();
		}
	}
	lives();
}

static void high_bits(void)
{
	/* What a filter must compare on 32 bits: with the others set the kernel does the same. */
	long result = syscall(SYS_clone3, NULL, HIGH);
	expect(result < 0 ? errno : 0, ENOSYS, "clone3");
	if (!has_policy())
		return;
	/* mprotect's and mmap's protection is a long in the kernel: there the high bits alone make it EINVAL. */
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (syscall(SYS_mprotect, page, PAGE, HIGH | PROT_READ | PROT_WRITE | PROT_EXEC) == 0)
		problem("mprotect to W and X");
	if (syscall(SYS_mmap, NULL, PAGE, HIGH | PROT_READ | PROT_WRITE | PROT_EXEC,
	            HIGH | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) > 0)
		problem("mmap of W and X");
	result = syscall(SYS_ioctl, STDIN_FILENO, HIGH | TIOCSTI, "x");
	expect(result < 0 ? errno : 0, ENOTTY, "TIOCSTI");
	result = syscall(SYS_fcntl, STDOUT_FILENO, HIGH | F_SETPIPE_SZ, 4096);
	expect(result < 0 ? errno : 0, EINVAL, "F_SETPIPE_SZ");
	result = syscall(SYS_socket, HIGH | 1, 1, 0);
	expect(result < 0 ? errno : 0, EACCES, "socket");
	result = syscall(SYS_clone, HIGH | CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	if (result == 0)
		_exit(9);
	expect(result < 0 ? errno : 0, EPERM, "clone with a new user namespace");
	munmap(page, PAGE);
}

static void int_0x80(void)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "cc");
	problem("int 0x80: %ld", result);
}

static void x32(void)
{
	problem("x32: %ld", syscall(0x40000000 | SYS_getpid));
}

/* The runner says which number: each of these kills. */
static void one_call(void)
{
	problem("call %lu: %ld", option, syscall((long)option, 1, 0, 0, 0, 0, 0));
}

static void at_others(void)
{
	/* init, itself, the group, everybody; and numbers that may be the host's outside. */
	static const pid_t targets[] = {1, 0, -1, 3, 100, 4711};
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		int result = targets[i] > 2 || targets[i] == 1 ? kill(targets[i], SIGKILL) : kill(targets[i], 0);
		if (result == 0 && targets[i] != 0 && targets[i] != -1 && targets[i] != 1)
			problem("a signal to %d was sent", (int)targets[i]);
	}
	lives();
}

static void look_around(void)
{
	static const char *const paths[] = {"/proc/self/exe",
	                                    "/proc/1/root",
	                                    "/proc/1/fd/0",
	                                    "/proc/self/fd/3",
	                                    "/proc/sys/kernel/core_pattern",
	                                    "/proc/kcore",
	                                    "/sys/kernel",
	                                    "/sys/fs/cgroup",
	                                    "/dev/kvm",
	                                    "/dev/mem",
	                                    "/dev/tty",
	                                    "/dev/fd/3",
	                                    "/etc/passwd",
	                                    "/root",
	                                    "/run",
	                                    "/var",
	                                    "/../etc/shadow",
	                                    "/dev/../proc/1/mem"};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (open(paths[i], O_RDONLY | O_CLOEXEC) >= 0)
			problem("%s can be opened", paths[i]);
	}
	if (open("/written", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0)
		problem("the root can be written");
}

static void own_fds(void)
{
	/* KVM_GET_API_VERSION on each that there is, before anything was asked for. */
	for (int fd = 0; fd < 4096; fd++) {
		bool is_open = fcntl(fd, F_GETFD) >= 0;
		if (is_open != (fd <= MAIN))
			problem("fd %d is %s", fd, is_open ? "open" : "closed");
		if (is_open && ioctl(fd, 0xae00, 0) >= 0)
			problem("fd %d is KVM's", fd);
	}
}

/* The same, and the result is the exit status: there is nobody to tell. */
static void own_fds_quietly(void)
{
	for (int fd = 0; fd < 4096; fd++) {
		if ((fcntl(fd, F_GETFD) >= 0) != (fd <= MAIN))
			_exit(8);
	}
	_exit(0);
}

/* Channels and connections end while the VM stops. */
static void closing_race(void)
{
	int other = clone_connection();
	close(vcpus[0].events);
	send_packet(other, "\xff", 1, NULL, 0);
	close(other);
	close(vcpus[0].requests);
	close(MAIN);
	_exit(7);
}

/* Fills /tmp and its own memory files. */
static void disk_full(void)
{
	static char block[1 << 16];
	int fd = open("/tmp/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	uint64_t size = 0;
	while (size < GIB && write(fd, block, sizeof(block)) > 0)
		size += sizeof(block);
	if (size == GIB)
		problem("/tmp takes a GiB");
	for (int i = 0; i < 100000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "/tmp/%d", i);
		int empty = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (empty < 0)
			break;
		close(empty);
	}
}

static void fds_without_end(void)
{
	int made = 0;
	while (made < 200000 && dup(STDIN_FILENO) >= 0)
		made++;
	if (made == 200000)
		problem("%d fds", made);
	for (int fd = MAIN + 1; fd < made + 100; fd++)
		close(fd);
}

const struct hostile_case process_cases[] = {
    {"ignores-shutdown", SPINNING, ignores_shutdown},
    {"stops-itself", SPINNING, stops_itself},
    {"thread-bomb", SPINNING, thread_bomb},
    {"fork-bomb", SPINNING, fork_bomb},
    {"high-bits", BARE, high_bits},
    {"int-0x80", SPINNING, int_0x80},
    {"x32", BARE, x32},
    {"one-call", BARE, one_call},
    {"at-others", SPINNING, at_others},
    {"look-around", BARE, look_around},
    {"own-fds", BARE, own_fds},
    {"closing-race", HELD, closing_race},
    {"disk-full", BARE, disk_full},
    {"fds-without-end", BARE, fds_without_end},
    {},
};

/*
 * The VM beside the hostile one, which is not hostile: one exit after the other, at most a thousand or so a second. For
 * each its time and how long it took go to stdout, two numbers of 64 bits, in ns.
 */
static void canary(void)
{
	enter(HELD);
	for (;;) {
		struct timespec before, after, nap = {.tv_nsec = 500000};
		nanosleep(&nap, NULL);
		clock_gettime(CLOCK_MONOTONIC, &before);
		vcpu_send(&vcpus[0], resume_with(0));
		if (vcpu_receive(&vcpus[0]) != 0)
			_exit(1);
		clock_gettime(CLOCK_MONOTONIC, &after);
		uint64_t now = (uint64_t)after.tv_sec * 1000000000 + (uint64_t)after.tv_nsec;
		uint64_t then = (uint64_t)before.tv_sec * 1000000000 + (uint64_t)before.tv_nsec;
		uint64_t record[] = {now, now - then};
		if (write(STDOUT_FILENO, record, sizeof(record)) != sizeof(record))
			_exit(1);
	}
}

void run_alone(const char *name)
{
	if (strcmp(name, "canary") == 0)
		canary();
	if (strcmp(name, "own-fds-quietly") == 0)
		own_fds_quietly();
}
