/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin in a jail, without a VM.
 */
#include "jail_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "policy/syscalls.h"

char *read_file(const char *path)
{
	static const size_t capacity = 1 << 16;
	char *text = calloc(1, capacity);
	assert_non_null(text);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t size = 0;
	while (fd >= 0 && (size = read(fd, text + used, capacity - 1 - used)) > 0)
		used += (size_t)size;
	fd_close(&fd);
	return text;
}

static void keep_log(void *context, enum plugvm_log_level level, const char *line)
{
	struct jail_rig *rig = context;
	(void)level;
	size_t used = strlen(rig->log);
	snprintf(rig->log + used, sizeof(rig->log) - used, "%s\n", line);
}

/* Each call that a policy can allow, but for what a filter cannot tell by numbers alone. */
static void write_wide_policy(FILE *file, int without, const char *rule)
{
	for (int number = 0; number < SYSCALLS_NUMBER_END; number++) {
		if (number == without)
			continue;
		if (number == SYS_clone)
			fprintf(file, "clone: arg0 in ~(CLONE_NEWUSER|CLONE_NEWPID|CLONE_NEWNS|CLONE_NEWNET|"
			              "CLONE_NEWIPC|CLONE_NEWUTS|CLONE_NEWCGROUP)\n");
		else if (number == SYS_clone3)
			fprintf(file, "clone3: return ENOSYS\n");
		else if (number == SYS_ioctl)
			fprintf(file, "ioctl: arg1 != TIOCSTI\n");
		else if (!syscalls_is_never(number))
			fprintf(file, "%d: 1\n", number);
	}
	fprintf(file, "%s", rule);
	fflush(file);
}

void jail_rig_set_wide_policy(struct jail_rig *rig, int without, const char *rule)
{
	FILE *file = tmpfile();
	char path[64];
	assert_non_null(file);
	write_wide_policy(file, without, rule);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(file));
	if (plugvm_jail_set_policy(rig->jail, path, &rig->error) < 0)
		fail_msg("%s", rig->error.text);
	fclose(file);
}

void jail_rig_renew_jail(struct jail_rig *rig, enum plugvm_jail_profile profile)
{
	plugvm_jail_free(&rig->jail);
	assert_int_equal(plugvm_jail_new(profile, &rig->jail, NULL), 0);
	rig->config.jail = rig->jail;
}

int jail_rig_setup(void **state)
{
	static struct jail_rig rig;
	memset(&rig, 0, sizeof(rig));
	rig.fds_before = count_open_fds();
	rig.mounts_before = read_file("/proc/self/mountinfo");
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, rig.socket), 0);
	assert_int_equal(pipe2(rig.output, O_CLOEXEC), 0);
	rig.config = (struct plugvm_plugin_config){.size = sizeof(rig.config),
	                                           .path = "/bin/sh",
	                                           .vcpu_count = 1,
	                                           .stdin_fd = -1,
	                                           .stdout_fd = rig.output[1],
	                                           .stderr_fd = -1,
	                                           .log = keep_log,
	                                           .context = &rig};
	jail_rig_renew_jail(&rig, PLUGVM_JAIL_DEFAULT);
	jail_rig_set_wide_policy(&rig, -1, "");
	*state = &rig;
	return 0;
}

/* Nothing stays: no fd, no mount, no process. */
int jail_rig_teardown(void **state)
{
	struct jail_rig *rig = *state;
	plugvm_jail_free(&rig->jail);
	fd_close_pair(rig->socket);
	fd_close_pair(rig->output);
	assert_int_equal(count_open_fds(), rig->fds_before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	char *mounts = read_file("/proc/self/mountinfo");
	assert_string_equal(mounts, rig->mounts_before);
	free(mounts);
	free(rig->mounts_before);
	return 0;
}

void jail_rig_spawn(struct jail_rig *rig, const char *const *argv)
{
	rig->config.argv = argv;
	int result = process_spawn(&rig->process, &rig->config, rig->socket[1], &rig->error);
	if (result < 0)
		fail_msg("%s", rig->error.text);
	fd_close(&rig->output[1]);
}

bool jail_rig_await_output(struct jail_rig *rig, char *out_text, size_t capacity, const char *text, int timeout_ms)
{
	uint64_t deadline = clock_ns() + (uint64_t)timeout_ms * 1000000;
	size_t used = 0;
	for (;;) {
		struct pollfd output = {.fd = rig->output[0], .events = POLLIN};
		uint64_t now = clock_ns();
		if (now >= deadline || poll(&output, 1, (int)((deadline - now) / 1000000) + 1) == 0)
			return false;
		ssize_t size = read(rig->output[0], out_text + used, capacity - 1 - used);
		used += size > 0 ? (size_t)size : 0;
		out_text[used] = '\0';
		if (size <= 0)
			return text == NULL;
		if (text && strstr(out_text, text))
			return true;
	}
}

void jail_rig_expect_end(struct jail_rig *rig, enum plugvm_plugin_state state, int value)
{
	struct plugvm_plugin_status status;
	assert_int_equal(process_wait(&rig->process, DEADLINE_MS, &status), 0);
	if (status.state != state || status.value != value)
		fail_msg("it ended as %d with %d instead of %d with %d", (int)status.state, status.value,
		         (int)state, value);
	process_fini(&rig->process);
}

void jail_rig_renew_output(struct jail_rig *rig)
{
	fd_close_pair(rig->output);
	assert_int_equal(pipe2(rig->output, O_CLOEXEC), 0);
	rig->config.stdout_fd = rig->output[1];
}

void jail_rig_expect_refusal(struct jail_rig *rig, enum plugvm_error_kind kind, int code, const char *text)
{
	char output[64] = "";
	int before = count_open_fds();
	int result = process_spawn(&rig->process, &rig->config, rig->socket[1], &rig->error);
	if (result != -code || rig->error.kind != kind || !strstr(rig->error.text, text))
		fail_msg("%d, kind %d: %s, instead of %s", result, (int)rig->error.kind, rig->error.text, text);
	assert_int_equal(count_open_fds(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	/* It never ran, and nobody has its stdout. */
	fd_close(&rig->output[1]);
	assert_true(jail_rig_await_output(rig, output, sizeof(output), NULL, PROMPT_MS));
	assert_string_equal(output, "");
	jail_rig_renew_output(rig);
}

int become_ordinary(void **state)
{
	(void)state;
	if (geteuid() != 0)
		return 0;
	/* Groups that a root's plugin must not have, and that others cannot lose. */
	const gid_t groups[] = {ORDINARY_ID + 1, ORDINARY_ID + 2};
	if (setgroups(2, groups) < 0)
		return -1;
	return AS_USER && (setresgid(ORDINARY_ID, ORDINARY_ID, ORDINARY_ID) < 0 ||
	                   setresuid(ORDINARY_ID, ORDINARY_ID, ORDINARY_ID) < 0);
}
