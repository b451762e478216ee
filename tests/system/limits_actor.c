/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin of the tests of limits: takes as much of one thing as it gets, and prints how much that was and what ended it.
 * Without the client library.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB       ((size_t)1 << 20)
#define MIB_MOST  512
#define PIDS_MOST 5000
#define FDS_MOST  100000
#define SPIN_MS   2000

static void tell(unsigned long count, int code)
{
	printf("%lu %s\n", count, code ? strerrorname_np(code) : "no end");
	fflush(stdout);
}

static void take_memory(void)
{
	unsigned long count = 0;
	for (; count < MIB_MOST; count++) {
		char *memory = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			break;
		memset(memory, 1, MIB);
	}
	tell(count, count < MIB_MOST ? errno : 0);
}

/* Without a mapping: a memfd. */
static void take_file(void)
{
	static char block[MIB];
	unsigned long count = 0;
	int fd = memfd_create("file", MFD_CLOEXEC);
	signal(SIGXFSZ, SIG_IGN);
	while (count < MIB_MOST && write(fd, block, MIB) == (ssize_t)MIB)
		count++;
	tell(count, count < MIB_MOST ? errno : 0);
}

static void take_processes(void)
{
	static pid_t pids[PIDS_MOST];
	unsigned long count = 0;
	for (; count < PIDS_MOST; count++) {
		pids[count] = fork();
		if (pids[count] == 0) {
			pause();
			_exit(0);
		}
		if (pids[count] < 0)
			break;
	}
	tell(count, count < PIDS_MOST ? errno : 0);
	for (unsigned long i = 0; i < count; i++)
		kill(pids[i], SIGKILL);
	for (unsigned long i = 0; i < count; i++)
		waitpid(pids[i], NULL, 0);
}

static void take_fds(void)
{
	unsigned long count = 4; /* stdio and the connection */
	while (count < FDS_MOST && open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
		count++;
	tell(count, count < FDS_MOST ? errno : 0);
}

static uint64_t now_ms(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Prints which percentage of one CPU it got. */
static void take_cpu(void)
{
	uint64_t begin = now_ms(CLOCK_MONOTONIC), used = now_ms(CLOCK_PROCESS_CPUTIME_ID), wall;
	do {
		wall = now_ms(CLOCK_MONOTONIC) - begin;
	} while (wall < SPIN_MS);
	tell((now_ms(CLOCK_PROCESS_CPUTIME_ID) - used) * 100 / wall, 0);
}

static void wait_for_ever(void)
{
	printf("up\n");
	fflush(stdout);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*play)(void);
	} acts[] = {{"memory", take_memory}, {"file", take_file}, {"pids", take_processes},
	            {"fds", take_fds},       {"cpu", take_cpu},   {"wait", wait_for_ever}};
	for (size_t i = 0; argc == 2 && i < sizeof(acts) / sizeof(acts[0]); i++) {
		if (strcmp(argv[1], acts[i].name) == 0) {
			acts[i].play();
			return 0;
		}
	}
	return 2;
}
