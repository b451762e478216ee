/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * jailprobe: runs the checks and prints one line for each:
 *
 *     ok NAME[: DETAIL]
 *     not ok NAME: WHAT DOES NOT HOLD
 *     skip NAME: WHY IT CANNOT BE LOOKED AT
 *
 *     plugvm jail-check                    each item in a jail of its own, and what is seen from outside
 *     plugvm run -- jailprobe [WORD...]    all in one process; what ends it is tried in a child, if it may have one
 *
 * Words: --list, --item NAME, --wait (until stdin ends), --unprivileged, mount=PATH, setuid=PATH,
 * socket=NAME. Exits with 1 if an item does not hold.
 */
#include "probe.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef WITHOUT_LIBRARY
#include <crosvm.h>
#endif

#define STATUS_USAGE 2

struct expectation expected;

static char failure[256], found[256];
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

void detail(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(found, sizeof(found), format, arguments);
	va_end(arguments);
}

void expect_errno(const char *call, long result, int code, int other_code)
{
	int got = result < 0 ? errno : 0;
	expect(got == code || got == other_code || is_refusal(got), "%s gives %s instead of %s", call,
	       strerrorname_np(got), strerrorname_np(code));
}

bool is_refusal(int code)
{
	return code == ENOSYS || code == EPERM || code == EACCES || code == ENOTTY;
}

/* ---- Calls that must not come back ---- */

static void make_call(const struct call *call)
{
	const long *a = call->arguments;
	long result = syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
	int code = result < 0 ? errno : 0;
	if (call->number == SYS_clone && result == 0)
		_exit(0);
	expect(is_refusal(code), "it gives %s", code ? strerrorname_np(code) : "success");
	detail("refused with %s", strerrorname_np(code));
}

/* Do what may end this process. */
static void run_body(const struct item *item)
{
	if (item->check)
		item->check();
	else
		make_call(item->call);
}

static void run_in_child(const struct item *item)
{
	int status = 0;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		run_body(item);
		_exit(failure[0] != '\0');
	}
	if (pid < 0) {
		not_here("it may end this process, and the filter allows no other");
		return;
	}
	waitpid(pid, &status, 0);
	/* By the filter or by init; or by a kernel without 32-bit calls. */
	int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	expect(status == 0 || signal == SIGSYS || signal == SIGKILL || signal == SIGSEGV, "it is not refused");
	detail(status ? "ends the plugin" : "refused");
}

/* ---- Items ---- */

#ifndef WITHOUT_LIBRARY
/* A plugin in this jail is a plugin: it reaches its host. */
static void check_connection(void)
{
	struct crosvm *vm;
	int result = crosvm_connect(&vm);
	/* The second is the answer of a host that has no VM. */
	expect(result == 0 || result == -ENODEV, "crosvm_connect: %s", strerrorname_np(-result));
}

static const struct item connection_items[] = {{"connection", check_connection, NULL, false},
                                               {NULL, NULL, NULL, false}};
#endif

static const struct item *const groups[] = {
    identity_items,   file_items, limit_items, call_items,
#ifndef WITHOUT_LIBRARY
    connection_items, /* makes fds and threads: the last */
#endif
};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

/* Returns 1 if it does not hold. */
static int run_item(const struct item *item, bool is_alone)
{
	failure[0] = found[0] = '\0';
	reason = NULL;
	if (is_alone || !item->may_end)
		run_body(item);
	else
		run_in_child(item);
	if (failure[0])
		printf("not ok %s: %s\n", item->name, failure);
	else if (reason)
		printf("skip %s: %s\n", item->name, reason);
	else
		printf("ok %s%s%s\n", item->name, found[0] ? ": " : "", found);
	fflush(stdout);
	return failure[0] != '\0';
}

/* Run all, or one by its name, or only print their names. */
static int run_items(const char *name, bool is_list)
{
	int failures = 0;
	bool is_known = !name;
	for (size_t group = 0; group < GROUPS; group++) {
		for (const struct item *item = groups[group]; item->name; item++) {
			if (name && strcmp(name, item->name) != 0)
				continue;
			is_known = true;
			if (is_list)
				printf("%s %s\n", item->may_end ? "call" : "look", item->name);
			else
				failures += run_item(item, name != NULL);
		}
	}
	return is_known ? failures > 0 : STATUS_USAGE;
}

static int wait_for_end(void)
{
	char byte;
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}

/* The end of the item `setuid files`: this process is what such a file became. */
static int check_own_uid(const char *uid)
{
	char ours[16];
	snprintf(ours, sizeof(ours), "%u", geteuid());
	bool is_same = strcmp(uid, ours) == 0;
	printf("%s setuid files: executed as %s\n", is_same ? "ok" : "not ok", ours);
	return !is_same;
}

static bool take_expectation(const char *word)
{
	if (strcmp(word, "--unprivileged") == 0)
		expected.unprivileged = true;
	else if (strncmp(word, "setuid=", 7) == 0)
		expected.setuid_file = word + 7;
	else if (strncmp(word, "socket=", 7) == 0)
		expected.socket = word + 7;
	else if (strncmp(word, "mount=", 6) == 0 && expected.mount_count < 255)
		expected.mounts[expected.mount_count++] = word + 6;
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	const char *name = NULL;
	bool is_list = false, is_wait = false;
	if (argc == 3 && strcmp(argv[1], "--own-uid") == 0)
		return check_own_uid(argv[2]);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--item") == 0 && i + 1 < argc) {
			name = argv[++i];
		} else if (strcmp(argv[i], "--list") == 0) {
			is_list = true;
		} else if (strcmp(argv[i], "--wait") == 0) {
			is_wait = true;
		} else if (!take_expectation(argv[i])) {
			fprintf(stderr, "jailprobe: what is '%s'?\n", argv[i]);
			return STATUS_USAGE;
		}
	}
	return is_wait ? wait_for_end() : run_items(name, is_list);
}
