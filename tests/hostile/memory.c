/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory and quotas.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "raw.h"

static void memory_shapes(void)
{
	int fd = memfd(4 * PAGE, true);
	static const struct {
		const char *what;
		uint64_t offset, start, length;
		int code;
	} shapes[] = {
	    {"no length", 0, 0, 0, EINVAL},
	    {"an unaligned length", 0, 0, PAGE + 1, EINVAL},
	    {"an unaligned start", 0, 1, PAGE, EINVAL},
	    {"an unaligned offset", 512, 0, PAGE, EINVAL},
	    {"one page past the end", 0, 0, 5 * PAGE, EINVAL},
	    {"from the end on", 4 * PAGE, 0, PAGE, EINVAL},
	    {"far past the end", UINT64_C(1) << 40, 0, PAGE, EINVAL},
	    {"an offset that wraps", -(uint64_t)PAGE, 0, 2 * PAGE, EOVERFLOW},
	    {"an address that wraps", 0, -(uint64_t)PAGE, 2 * PAGE, EOVERFLOW},
	    {"a length of nearly everything", 0, 0, -(uint64_t)PAGE, EINVAL},
	    {"on top of other memory", 0, ROM_AT, PAGE, EEXIST},
	};
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		expect(create_memory(MAIN, 5, fd, shapes[i].offset, shapes[i].start, shapes[i].length, false),
		       shapes[i].code, shapes[i].what);
	close(fd);
}

static void refused_kind(int fd, const char *what)
{
	if (fd < 0)
		return; /* not to be had in here */
	int error = create_memory(MAIN, 6, fd, 0, 0x100000, PAGE, false);
	if (error != EINVAL && error != EPERM && error != EBADF)
		problem("%s as memory: %d", what, error);
	struct bytes *request = NUMBERS(DIRTY_LOG_TO, ROM_ID, 0);
	error = ask_fds(MAIN, request, &fd, 1);
	if (error != EINVAL && error != EPERM && error != EBADF)
		problem("%s for a dirty log: %d", what, error);
	close(fd);
}

static void memory_kinds(void)
{
	int pair[2], fd;
	expect(create_memory(MAIN, 6, fd = memfd(PAGE, false), 0, 0x100000, PAGE, false), EPERM, "not sealed");
	close(fd);
	fd = memfd(PAGE, true);
	fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE);
	expect(create_memory(MAIN, 6, fd, 0, 0x100000, PAGE, false), EPERM, "sealed against writing");
	close(fd);
	if (pipe2(pair, O_CLOEXEC) == 0) {
		refused_kind(pair[0], "a pipe");
		refused_kind(pair[1], "a pipe's other end");
	}
	refused_kind(open("/dev/zero", O_RDWR | O_CLOEXEC), "/dev/zero");
	refused_kind(open("/dev/null", O_RDWR | O_CLOEXEC), "/dev/null");
	refused_kind(open("/dev/urandom", O_RDONLY | O_CLOEXEC), "/dev/urandom");
	refused_kind(open("/dev/full", O_RDWR | O_CLOEXEC), "/dev/full");
	refused_kind(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "a directory");
	refused_kind(open("/", O_PATH | O_CLOEXEC), "a path");
	refused_kind(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), "a file");
	refused_kind(eventfd(0, EFD_CLOEXEC), "an eventfd");
	refused_kind(epoll_create1(EPOLL_CLOEXEC), "an epoll");
	refused_kind(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), "a timer");
	refused_kind(dup(MAIN), "the connection");
	refused_kind(dup(vcpus[0].requests), "a vCPU channel");
	refused_kind(dup(STDIN_FILENO), "stdin");
	/* Read-only, for memory that is written. */
	expect(create_memory(MAIN, 6, -1, 0, 0x100000, PAGE, false), EBADF, "nothing");
}

static void holes(void)
{
	/* The guest runs in this memory and has its pages taken away; KVM gets new ones, of zeros. */
	for (int i = 0; i < 2000; i++) {
		if (fallocate(rom_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, ROM_SIZE - PAGE) < 0)
			problem("a hole: %m");
		rom[i % (ROM_SIZE - PAGE)] = 1;
	}
	int fd = memfd(GIB / 16, true);
	expect(create_memory(MAIN, 8, fd, 0, 0x1000000, GIB / 16, true), 0, "more memory");
	expect(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, GIB / 16), 0, "a hole in all of it");
	expect(ASK(MAIN, DIRTY_LOG, 8), 0, "the dirty log of a hole");
	/* A log into a hole, while that is made. */
	int log = memfd(GIB / 16, true);
	for (int i = 0; i < 100; i++) {
		fallocate(log, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, GIB / 16);
		expect(ask_fds(MAIN, NUMBERS(DIRTY_LOG_TO, 8, (uint64_t)i * 7), &log, 1), 0, "a log into a hole");
	}
	expect(ftruncate(fd, 0) < 0 ? errno : 0, EPERM, "a file that shrinks");
	close(fd);
	close(log);
}

static void holes_under_code(void)
{
	/* The guest's code itself vanishes; what it does then is its own affair, and the host lives. */
	fallocate(rom_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, ROM_SIZE);
	nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
}

/* In the jail no file is larger than the memory quota: the signal for that is ignored. */
static void sparse(void)
{
	signal(SIGXFSZ, SIG_IGN);
	uint64_t size = option * GIB;
	int fd = memfd(size, true);
	expect(create_memory(MAIN, 9, fd, 0, 4 * GIB, size, false), ENOSPC, "memory beyond the quota");
	expect(create_memory(MAIN, 9, fd, 0, 4 * GIB, 32 * GIB, false), 0, "half of the quota");
	expect(create_memory(MAIN, 10, fd, 0, 40 * GIB, 32 * GIB, false), ENOSPC, "and the rest, but for the ROM");
	expect(ASK(MAIN, DESTROY, 9), 0, "it goes");
	close(fd);
}

static void slots(void)
{
	int fd = memfd(PAGE, true);
	uint32_t made = 0;
	int error = 0;
	for (uint32_t i = 0; i < option && (error == 0 || error == ENOSPC); i++) {
		error = create_memory(MAIN, 100 + i, fd, 0, GIB + UINT64_C(2) * PAGE * i, PAGE, false);
		made += error == 0;
	}
	expect(error, ENOSPC, "memory slots without end");
	expect((int)made, MEMORY_SLOTS - 1, "memory slots");
	for (uint32_t i = 0; i < made; i++)
		expect(ASK(MAIN, DESTROY, 100 + i), 0, "a slot goes");
	close(fd);
}

static void ranges(void)
{
	int made = 0, error = 0;
	for (uint64_t i = 0; i < option; i++) {
		error = ASK(MAIN, RESERVE_RANGE, 1, 0x100000 + 16 * i, 8);
		made += error == 0;
	}
	expect(error, ENOSPC, "ranges without end");
	expect(made, RANGES - 1, "ranges");
	for (uint64_t i = 0; i < (uint64_t)made; i++)
		error = ASK(MAIN, RESERVE_RANGE, 1, 0x100000 + 16 * i, 0);
	expect(error, 0, "the last range goes");
}

static struct bytes *io_event(uint32_t id, uint64_t address)
{
	struct bytes *body = bytes_new(), *message = bytes_new(), *inner = NUMBERS(2, 0, address, 4, id);
	put_number(body, 1, id);
	for (size_t i = 0; i < inner->size; i++)
		put_byte(body, inner->data[i]);
	put_member(message, CREATE, body);
	return message;
}

static void events(void)
{
	int made = 0, error = 0;
	for (uint32_t i = 0; i < option; i++) {
		error = ask(MAIN, io_event(1000 + i, 0x5000 + 4 * (i % 0x400)));
		made += error == 0;
	}
	expect(error, ENOSPC, "io events without end");
	/* KVM's own bus may have fewer places than we. */
	if (made < 900 || made > EVENTS)
		problem("%d io events", made);
	for (uint32_t i = 0; i < option; i++)
		ASK(MAIN, DESTROY, 1000 + i);
}

static void connections(void)
{
	static int made[CONNECTIONS];
	int count = 0, error = 0;
	for (int i = 0; i < CONNECTIONS - 1; i++)
		made[count++] = clone_connection();
	/* With the first one there are as many as there may be. Later ones may find the room of one that was closed. */
	expect(ask(MAIN, empty_member(NEW_CONNECTION)), ENOSPC, "a connection too many");
	for (unsigned long i = 0; i < option; i++)
		error = ask(MAIN, empty_member(NEW_CONNECTION));
	expect(error, ENOSPC, "connections without end");
	for (int i = 0; i < count; i++) {
		expect(ASK(made[i], CHECK_EXTENSION, 3), 0, "each is served");
		close(made[i]);
	}
	/* The host sees the ends one after the other. */
	for (int i = 0; i < 1000 && (error = ask(MAIN, empty_member(NEW_CONNECTION))) == ENOSPC; i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	expect(error, 0, "and there is room again");
}

/* The runner has just lowered the host's limit of fds to what it has, and a few. */
static void host_fd_limit(void)
{
	int fd = memfd(PAGE, true);
	expect(ask(MAIN, empty_member(NEW_CONNECTION)), EMFILE, "a connection");
	expect(ask(MAIN, io_event(12, 0x5000)), EMFILE, "an io event");
	expect(create_memory(MAIN, 13, fd, 0, GIB, PAGE, false), EMFILE, "memory");
	for (int i = 0; i < 200; i++)
		ask_fds(MAIN, NUMBERS(CHECK_EXTENSION, 3), (int[]){fd, fd, fd, fd, fd, fd, fd, fd}, 8);
	lives();
	close(fd);
}

const struct hostile_case memory_cases[] = {
    {"memory-shapes", SET_UP, memory_shapes},
    {"memory-kinds", SET_UP, memory_kinds},
    {"holes", SPINNING, holes},
    {"holes-under-code", SPINNING, holes_under_code},
    {"sparse", SET_UP, sparse},
    {"slots", SET_UP, slots},
    {"ranges", SET_UP, ranges},
    {"events", SET_UP, events},
    {"connections", SET_UP, connections},
    {"host-fd-limit", SET_UP, host_fd_limit},
    {},
};
