/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program for the tests of filters that does what every plugin does, by way of the C library: memory, threads,
 * signals, memfds, waiting, output. Its exit status is 0, or the line of what failed modulo 256.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define REQUIRE(condition)                        \
	do {                                      \
		if (!(condition))                 \
			exit(__LINE__ % 255 + 1); \
	} while (0)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int value;

static void *change_value(void *argument)
{
	REQUIRE(prctl(PR_SET_NAME, "worker", 0, 0, 0) == 0);
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	pthread_mutex_lock(&lock);
	value = 7;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	return argument;
}

static void use_threads(void)
{
	pthread_t thread;
	REQUIRE(pthread_create(&thread, NULL, change_value, NULL) == 0);
	pthread_mutex_lock(&lock);
	while (value != 7) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += 10;
		REQUIRE(pthread_cond_timedwait(&changed, &lock, &until) == 0);
	}
	pthread_mutex_unlock(&lock);
	REQUIRE(pthread_join(thread, NULL) == 0);
}

static void use_memory(void)
{
	char *block = malloc(10 << 20);
	REQUIRE(block);
	memset(block, 1, 10 << 20);
	block = realloc(block, 30 << 20);
	REQUIRE(block);
	free(block);
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	REQUIRE(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
	REQUIRE(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	void *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	REQUIRE(memory != MAP_FAILED);
	REQUIRE(mprotect(memory, 4096, PROT_NONE) == 0 && madvise(memory, 1 << 20, MADV_DONTDUMP) == 0);
	REQUIRE(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0);
	struct stat stat;
	REQUIRE(fstat(fd, &stat) == 0 && stat.st_size == 1 << 20);
	REQUIRE(munmap(memory, 1 << 20) == 0 && close(fd) == 0);
}

static void use_events(void)
{
	int event = eventfd(1, EFD_CLOEXEC), loop = epoll_create1(EPOLL_CLOEXEC);
	REQUIRE(event >= 0 && loop >= 0);
	struct epoll_event wanted = {.events = EPOLLIN}, got;
	REQUIRE(epoll_ctl(loop, EPOLL_CTL_ADD, event, &wanted) == 0 && epoll_wait(loop, &got, 1, 1000) == 1);
	uint64_t count;
	REQUIRE(read(event, &count, sizeof(count)) == sizeof(count) && count == 1);
	REQUIRE(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EACCES);
	sigset_t mask;
	REQUIRE(signal(SIGUSR1, SIG_IGN) != SIG_ERR && sigprocmask(SIG_BLOCK, NULL, &mask) == 0);
	struct rlimit limit;
	REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0 && setrlimit(RLIMIT_NOFILE, &limit) < 0 && errno == EPERM);
}

/* `full`: also what only a process with files can do. */
int main(int argc, char **argv)
{
	bool is_full = argc > 1 && strcmp(argv[1], "full") == 0;
	use_memory();
	use_threads();
	use_events();
	printf("%d %d %f\n", (int)getpid(), isatty(0), 0.5);
	char path[100];
	REQUIRE(getcwd(path, sizeof(path)) || !is_full);
	FILE *file = fopen("/proc/self/status", "r");
	REQUIRE((file != NULL) == is_full);
	char bytes[8];
	REQUIRE(syscall(SYS_getrandom, bytes, sizeof(bytes), 0) == sizeof(bytes));
	return 0;
}
