/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * jailprobe: runs the checks and prints one line for each: ok, FAIL, or why it cannot be looked at. Exits with 1 if
 * one failed.
 *
 *     plugvm run --jail default -- jailprobe [--unprivileged]
 */
#include "probe.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef WITHOUT_LIBRARY
#include <crosvm.h>
#endif

struct expectation expected;

static char failure[256];
static const char *reason;

void expect(bool holds, const char *format, ...)
{
	va_list arguments;
	if (holds || failure[0])
		return;
	va_start(arguments, format);
	vsnprintf(failure, sizeof(failure), format, arguments);
	va_end(arguments);
}

void not_here(const char *why)
{
	reason = why;
}

void expect_errno(const char *call, long result, int code, int other_code)
{
	int got = result < 0 ? errno : 0;
	expect(got == code || got == other_code, "%s gives %s instead of %s", call, strerrorname_np(got),
	       strerrorname_np(code));
}

int in_child(void (*run)(const void *), const void *argument)
{
	int status = 0;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		run(argument);
		_exit(0);
	}
	expect(pid > 0, "fork: %s", strerrorname_np(errno));
	if (pid > 0)
		waitpid(pid, &status, 0);
	return status;
}

static void make_call(const void *argument)
{
	const struct call *call = argument;
	const long *a = call->arguments;
	syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

void expect_killed(const struct call *call)
{
	int status = in_child(make_call, call);
	expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%s does not kill", call->name);
}

#ifndef WITHOUT_LIBRARY
/* A plugin in this jail is a plugin: it reaches its host. */
static void check_connection(void)
{
	struct crosvm *vm;
	int result = crosvm_connect(&vm);
	/* The second is the answer of a host that has no VM. */
	expect(result == 0 || result == -ENODEV, "crosvm_connect: %s", strerrorname_np(-result));
}

static const struct item connection_items[] = {{"connection", check_connection}, {NULL, NULL}};
#endif

int main(int argc, char **argv)
{
	static const struct item *const groups[] = {
	    identity_items,   file_items, limit_items, call_items,
#ifndef WITHOUT_LIBRARY
	    connection_items, /* makes fds and threads: the last */
#endif
	};
	int failures = 0;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--unprivileged") != 0) {
			fprintf(stderr, "jailprobe: what is '%s'?\n", argv[i]);
			return 2;
		}
		expected.unprivileged = true;
	}
	for (size_t group = 0; group < sizeof(groups) / sizeof(groups[0]); group++) {
		for (const struct item *item = groups[group]; item->name; item++) {
			failure[0] = '\0';
			reason = NULL;
			item->check();
			if (failure[0])
				printf("%s: FAIL: %s\n", item->name, failure);
			else if (reason)
				printf("%s: not here: %s\n", item->name, reason);
			else
				printf("%s: ok\n", item->name);
			failures += failure[0] != '\0';
		}
	}
	return failures > 0;
}
