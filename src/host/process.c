/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin as a process: start, watch, kill, reap.
 */
#include "host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"
#include "jail/launch.h"
#include "jail/limit.h"

/* Reports of a jail's init that are taken before the caller looks at its other work. */
#define REPORTS_PER_TURN 256

/* How long a killed process may take to go, while the kernel takes it apart. */
#define REAP_TIMEOUT_MS 3000

/* Numbers that an embedder's own fds may have in the plugin. */
#define MAPPED_FD_FIRST (PLUGIN_SOCKET_FD + 1)
#define MAPPED_FD_LAST  255

static int check_fd_map(const struct plugvm_plugin_config *config, struct plugvm_error *out_error)
{
	for (size_t i = 0; i < config->fd_count; i++) {
		int number = config->fds[i].number;
		if (number < MAPPED_FD_FIRST || number > MAPPED_FD_LAST)
			return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
			                       "fd number %d for the plugin is not between %d and %d", number,
			                       MAPPED_FD_FIRST, MAPPED_FD_LAST);
		for (size_t other = 0; other < i; other++) {
			if (config->fds[other].number == number)
				return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
				                       "fd number %d for the plugin is named twice", number);
		}
		if (fcntl(config->fds[i].fd, F_GETFD) < 0)
			return error_set(out_error, PLUGVM_ERROR_CONFIG, EBADF, "fd %d for the plugin",
			                 config->fds[i].fd);
	}
	return 0;
}

static size_t count_strings(const char *const *strings)
{
	size_t count = 0;
	while (strings && strings[count])
		count++;
	return count;
}

/* Fill *out_launch from the configuration; launch_fini() frees it, also after a failure. */
static int launch_init(struct launch *out_launch, const struct plugvm_plugin_config *config, int socket)
{
	static char socket_variable[] = "CROSVM_SOCKET=3";
	_Static_assert(PLUGIN_SOCKET_FD == 3, "the text above says so");

	size_t arguments = config->argv ? count_strings(config->argv) : 1;
	size_t variables = count_strings(config->env);
	*out_launch = (struct launch){
	    .path = config->path,
	    .argv = calloc(arguments + 1, sizeof(char *)),
	    .env = calloc(variables + 2, sizeof(char *)),
	    .fds = calloc(config->fd_count + 4, sizeof(struct plugvm_fd_map)),
	    .die_with_thread = config->die_with_thread,
	};
	if (!out_launch->argv || !out_launch->env || !out_launch->fds)
		return -ENOMEM;

	/* execve(2) takes char *const *, but does not write. */
	if (config->argv)
		memcpy(out_launch->argv, config->argv, arguments * sizeof(char *));
	else
		out_launch->argv[0] = (char *)config->path;
	if (variables > 0)
		memcpy(out_launch->env, config->env, variables * sizeof(char *));
	out_launch->env[variables] = socket_variable;

	const struct plugvm_fd_map own[] = {
	    {config->stdin_fd, STDIN_FILENO},
	    {config->stdout_fd, STDOUT_FILENO},
	    {config->stderr_fd, STDERR_FILENO},
	    {socket, PLUGIN_SOCKET_FD},
	};
	memcpy(out_launch->fds, own, sizeof(own));
	if (config->fd_count > 0)
		memcpy(out_launch->fds + 4, config->fds, config->fd_count * sizeof(config->fds[0]));
	out_launch->fd_count = config->fd_count + 4;
	return 0;
}

static void launch_fini(struct launch *launch)
{
	free(launch->argv);
	free(launch->env);
	free(launch->fds);
}

static int start_unjailed(struct process *process, struct launch *launch, struct plugvm_error *out_error)
{
	struct launch_failure failure;
	*process = (struct process){.pidfd = -1};
	if (launch_start(launch, &process->pid, &process->pidfd, &failure) == 0) {
		process->plugin_pid = process->pid;
		return 0;
	}
	if (process->pid >= 0)
		process_fini(process);
	if (failure.step[0] != '\0')
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, failure.code, "starting the plugin: %s",
		                 failure.step);
	return error_set(out_error, PLUGVM_ERROR_PLUGIN_FILE, failure.code, "cannot execute %s", launch->path);
}

static int start_jailed(struct process *process, const struct plugvm_plugin_config *config,
                        const struct launch *launch, struct plugvm_error *out_error)
{
	const struct jail_limits limits = limits_of_vm(config->vcpu_count);
	*process = (struct process){
	    .pidfd = -1, .is_jailed = true, .log = {.sink = config->log, .context = config->context}};
	int result = jail_spawn(config->jail, launch, &limits, &process->log, &process->jail, out_error);
	process->pid = process->jail.init_pid;
	process->pidfd = process->jail.init_pidfd;
	process->plugin_pid = process->jail.plugin_pid;
	return result;
}

int process_spawn(struct process *process, const struct plugvm_plugin_config *config, int socket,
                  struct plugvm_error *out_error)
{
	int result = check_fd_map(config, out_error);
	if (result < 0)
		return result;
	struct launch launch;
	result = launch_init(&launch, config, socket);
	if (result < 0)
		result = error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, -result, "starting the plugin");
	else if (config->jail)
		result = start_jailed(process, config, &launch, out_error);
	else
		result = start_unjailed(process, &launch, out_error);
	launch_fini(&launch);
	return result;
}

void process_kill(struct process *process)
{
	/* By the pidfd, which never means another process; its group is killed when it is reaped. */
	int saved = errno;
	syscall(SYS_pidfd_send_signal, process->pidfd, SIGKILL, NULL, 0u);
	errno = saved;
}

enum look { LOOK_RUNS, LOOK_ZOMBIE, LOOK_GONE };

/* Look whether it has exited and how, but leave it a zombie. Returns an enum look, or -errno. */
static int look(const struct process *process, struct plugvm_plugin_status *out_status)
{
	siginfo_t info = {.si_pid = 0};
	if (sys.waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0) {
		/* Somebody else in this process has reaped it, or SIGCHLD is ignored: nobody knows how it ended. */
		*out_status = (struct plugvm_plugin_status){.state = PLUGVM_PLUGIN_EXITED,
		                                            .value = PLUGVM_PLUGIN_STATUS_LOST};
		return errno == ECHILD ? LOOK_GONE : errno == EINTR ? LOOK_RUNS : -errno;
	}
	out_status->state = info.si_code == CLD_EXITED ? PLUGVM_PLUGIN_EXITED : PLUGVM_PLUGIN_SIGNALED;
	out_status->value = info.si_status;
	return info.si_pid == 0 ? LOOK_RUNS : LOOK_ZOMBIE;
}

/* What init said of the plugin's end is how it ended, and what init did itself is not. */
static void take_jailed_status(struct process *process, bool has_ended)
{
	/* A plugin whose calls are observed can have init speak without end, until that has ended. */
	jail_process_drain(&process->jail, &process->log, has_ended ? SIZE_MAX : REPORTS_PER_TURN);
	if (!process->jail.has_status)
		return; /* init was killed, and the plugin with it */
	int status = process->jail.status;
	process->status.state = WIFSIGNALED(status) ? PLUGVM_PLUGIN_SIGNALED : PLUGVM_PLUGIN_EXITED;
	process->status.value = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
	process->status.is_refused = process->jail.has_refused && WIFSIGNALED(status);
	process->status.system_call = process->jail.system_call;
}

/* Take the zombie away. On failure it is still there, and the next call tries again. */
static int reap(struct process *process)
{
	siginfo_t info;
	int result;
	do {
		result = sys.waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG);
	} while (result < 0 && errno == EINTR);
	if (result < 0 && errno != ECHILD)
		return -errno;
	process->reaped = true;
	return 0;
}

int process_try_wait(struct process *process, struct plugvm_plugin_status *out_status)
{
	if (!process->reaped) {
		int result = look(process, &process->status);
		if (process->is_jailed)
			take_jailed_status(process, result > LOOK_RUNS);
		if (result <= LOOK_RUNS) {
			*out_status = (struct plugvm_plugin_status){.state = PLUGVM_PLUGIN_RUNNING};
			return result;
		}
		/* As long as the zombie is there, its group cannot be anybody else's. */
		if (result == LOOK_ZOMBIE && !process->is_jailed)
			kill(-process->pid, SIGKILL);
		result = reap(process);
		if (result < 0) {
			*out_status = (struct plugvm_plugin_status){.state = PLUGVM_PLUGIN_RUNNING};
			return result;
		}
	}
	*out_status = process->status;
	return 0;
}

int process_wait(struct process *process, int timeout_ms, struct plugvm_plugin_status *out_status)
{
	uint64_t deadline_ns = clock_ns() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms) * 1000000;
	for (;;) {
		int result = process_try_wait(process, out_status);
		if (result < 0 || out_status->state != PLUGVM_PLUGIN_RUNNING)
			return result;
		int left = -1;
		if (timeout_ms >= 0) {
			uint64_t now = clock_ns();
			if (now >= deadline_ns)
				return -ETIMEDOUT;
			left = (int)((deadline_ns - now) / 1000000) + 1;
		}
		/* Init waits until it is heard, if calls are observed, and its plugin with it. */
		struct pollfd fds[] = {{.fd = process->pidfd, .events = POLLIN},
		                       {.fd = process->is_jailed ? process->jail.lifeline : -1, .events = POLLIN}};
		poll(fds, 2, left);
	}
}

void process_fini(struct process *process)
{
	struct plugvm_plugin_status status;
	process_kill(process);
	process_wait(process, REAP_TIMEOUT_MS, &status);
	if (process->is_jailed)
		jail_process_fini(&process->jail);
	else
		fd_close(&process->pidfd);
	process->pidfd = -1;
}
