/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin that is linked statically and does what programs of any language do: threads, timers, files, signals to
 * itself. It does not connect.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t signal_count;
static int thread_value;

static void count_signal(int number)
{
	(void)number;
	signal_count++;
}

static void *wait_a_little(void *argument)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	return argument;
}

static void must(const char *what, int is_so)
{
	if (is_so)
		return;
	perror(what);
	exit(1);
}

int main(void)
{
	pthread_t thread;
	void *result;
	timer_t timer;
	must("thread", pthread_create(&thread, NULL, wait_a_little, &thread_value) == 0);
	must("join", pthread_join(thread, &result) == 0 && result == &thread_value);
	must("handler", signal(SIGUSR1, count_signal) != SIG_ERR && signal(SIGALRM, count_signal) != SIG_ERR);
	must("raise", raise(SIGUSR1) == 0 && kill(getpid(), SIGUSR1) == 0 && signal_count == 2);
	must("timer", timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0 && timer_delete(timer) == 0);
	must("chdir", chdir("/tmp") == 0);
	int fd = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	must("file", fd >= 0 && write(fd, "x", 1) == 1 && fchmod(fd, 0644) == 0 && close(fd) == 0);
	must("session", getsid(0) == getpid() && getpgid(0) == getpid());
	puts("plain");
	return 0;
}
