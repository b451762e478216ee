/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about the plugin as a process: its stdio, its fds, its environment. None of them connects.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actor.h"

/* Write the bytes of all arguments, in which "\xNN" and "\n" stand for bytes, to an fd. */
static int write_escaped(int fd, char **arguments)
{
	for (; *arguments; arguments++) {
		const char *at = *arguments;
		while (*at) {
			uint8_t byte = (uint8_t)*at++;
			if (byte == '\\' && *at == 'n') {
				byte = '\n';
				at++;
			} else if (byte == '\\' && *at == 'x') {
				char digits[3] = {at[1], at[1] ? at[2] : '\0', '\0'};
				byte = (uint8_t)strtoul(digits, NULL, 16);
				at += 3;
			}
			expect(write(fd, &byte, 1) == 1);
		}
	}
	return 0;
}

static int to_stderr(char **arguments)
{
	return write_escaped(STDERR_FILENO, arguments);
}

static int to_stdout(char **arguments)
{
	return write_escaped(STDOUT_FILENO, arguments);
}

/* One line of as many bytes as the argument says. */
static int long_line(char **arguments)
{
	for (long i = strtol(arguments[0], NULL, 10); i > 0; i--)
		fputc('x', stderr);
	fputc('\n', stderr);
	return 0;
}

static int many_lines(char **arguments)
{
	static char buffer[65536];
	setvbuf(stderr, buffer, _IOFBF, sizeof(buffer));
	long count = strtol(arguments[0], NULL, 10);
	for (long i = 0; i < count; i++)
		fprintf(stderr, "line %ld\n", i);
	return 0;
}

static int copy(char **arguments)
{
	(void)arguments;
	char chunk[4096];
	ssize_t size;
	while ((size = read(STDIN_FILENO, chunk, sizeof(chunk))) > 0)
		expect(write(STDOUT_FILENO, chunk, (size_t)size) == size);
	return size < 0;
}

static int print_environment(char **arguments)
{
	(void)arguments;
	for (char **variable = environ; *variable; variable++)
		puts(*variable);
	return 0;
}

static int print_fds(char **arguments)
{
	(void)arguments;
	/* A jail has no /proc to look at. */
	for (int fd = 0; fd < 65536; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			printf("%d\n", fd);
	}
	return 0;
}

/* None is blocked, ignored or handled. */
static int check_signals(char **arguments)
{
	(void)arguments;
	sigset_t blocked;
	expect(sigprocmask(SIG_BLOCK, NULL, &blocked) == 0);
	for (int number = 1; number < NSIG; number++) {
		struct sigaction action;
		expect(sigismember(&blocked, number) <= 0);
		/* The C library keeps two for itself. */
		if (sigaction(number, NULL, &action) == 0)
			expect(action.sa_handler == SIG_DFL);
	}
	return 0;
}

static int check_session(char **arguments)
{
	(void)arguments;
	expect(getsid(0) == getpid());
	expect(getpgrp() == getpid());
	expect(getpgid(getppid()) != getpgrp());
	return 0;
}

const struct act process_acts[] = {
    {"stderr", to_stderr},
    {"stdout", to_stdout},
    {"long-line", long_line},
    {"many-lines", many_lines},
    {"copy", copy},
    {"environment", print_environment},
    {"fds", print_fds},
    {"signals", check_signals},
    {"session", check_session},
    {NULL, NULL},
};
