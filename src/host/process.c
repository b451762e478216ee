/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin as a process: start, watch, kill, reap.
 */
#include "host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"

/* How long a killed process may take to go, while the kernel takes it apart. */
#define REAP_TIMEOUT_MS 3000

/* Numbers that an embedder's own fds may have in the plugin. */
#define MAPPED_FD_FIRST (PLUGIN_SOCKET_FD + 1)
#define MAPPED_FD_LAST  255

/* Everything that the child needs, made before the fork: after it only async-signal-safe calls are legal. */
struct launch {
	const char *path;
	char **argv;
	char **env;
	struct plugvm_fd_map *fds; /* stdio and the socket too; an fd of -1 means /dev/null */
	size_t fd_count;
	int report;   /* where the child says what failed */
	pid_t parent; /* whose end is the plugin's end; 0: nobody's */
};

/* What the child reports; an exec that works closes the pipe without a word. */
struct failure {
	int code;
	char step[44];
};

__attribute__((noreturn)) static void child_fail(const struct launch *launch, const char *step)
{
	struct failure failure = {.code = errno};
	for (size_t i = 0; i + 1 < sizeof(failure.step) && step[i]; i++)
		failure.step[i] = step[i];
	ssize_t ignored = write(launch->report, &failure, sizeof(failure));
	(void)ignored;
	_exit(127);
}

static void child_reset_signals(void)
{
	struct sigaction action;
	memset(&action, 0, sizeof(action));
	action.sa_handler = SIG_DFL;
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL); /* refused for SIGKILL, SIGSTOP and the C library's own two */
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Bring every fd to its number: first all of them above the numbers in question, so that none is overwritten before it
 * was copied, then down. The rest closes at exec.
 */
static void child_arrange_fds(struct launch *launch)
{
	int above = 0;
	for (size_t i = 0; i < launch->fd_count; i++)
		above = launch->fds[i].number >= above ? launch->fds[i].number + 1 : above;

	int report = fcntl(launch->report, F_DUPFD_CLOEXEC, above);
	if (report < 0)
		child_fail(launch, "duplicating an fd");
	launch->report = report;
	for (size_t i = 0; i < launch->fd_count; i++) {
		int source = launch->fds[i].fd;
		if (source < 0)
			source = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (source < 0)
			child_fail(launch, "opening /dev/null");
		launch->fds[i].fd = fcntl(source, F_DUPFD_CLOEXEC, above);
		if (launch->fds[i].fd < 0)
			child_fail(launch, "duplicating an fd");
	}
	if (syscall(SYS_close_range, 0u, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		child_fail(launch, "close_range (Linux 5.11 or later is needed)");
	for (size_t i = 0; i < launch->fd_count; i++) {
		if (dup2(launch->fds[i].fd, launch->fds[i].number) < 0)
			child_fail(launch, "bringing an fd to its number");
	}
}

__attribute__((noreturn)) static void child_main(struct launch *launch)
{
	/* A session of its own: no signal to our group reaches the plugin, none of its to its group reaches us. */
	setsid();
	child_reset_signals();
	if (launch->parent) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
			child_fail(launch, "prctl(PR_SET_PDEATHSIG)");
		if (getppid() != launch->parent)
			_exit(127); /* it ended before the line above took effect */
	}
	child_arrange_fds(launch);
	execve(launch->path, launch->argv, launch->env);
	child_fail(launch, "");
}

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
static int launch_init(struct launch *out_launch, const struct plugvm_plugin_config *config, int socket,
                       int report)
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
	    .report = report,
	    .parent = config->die_with_thread ? getpid() : 0,
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

/* Read what the child says; returns 0 if it was executed. */
static int await_exec(int report, const char *path, struct plugvm_error *out_error)
{
	struct failure failure;
	ssize_t size;
	do {
		size = read(report, &failure, sizeof(failure));
	} while (size < 0 && errno == EINTR);
	if (size == 0)
		return 0;
	if (size != (ssize_t)sizeof(failure))
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, EPIPE, "starting %s", path);
	failure.step[sizeof(failure.step) - 1] = '\0';
	if (failure.step[0] != '\0')
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, failure.code, "starting the plugin: %s",
		                 failure.step);
	return error_set(out_error, PLUGVM_ERROR_PLUGIN_FILE, failure.code, "cannot execute %s", path);
}

int process_spawn(struct process *process, const struct plugvm_plugin_config *config, int socket,
                  struct plugvm_error *out_error)
{
	int result = check_fd_map(config, out_error);
	if (result < 0)
		return result;
	int pipe_fds[2];
	if (sys.pipe2(pipe_fds, O_CLOEXEC) < 0)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, errno, "starting the plugin: pipe");
	FD_AUTO report_read = pipe_fds[0];
	FD_AUTO report_write = pipe_fds[1];

	struct launch launch;
	result = launch_init(&launch, config, socket, report_write);
	if (result < 0) {
		launch_fini(&launch);
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, -result, "starting the plugin");
	}

	/* No handler of ours may run in the child before it has reset them. */
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int pidfd = -1;
	pid_t pid = sys.fork_pidfd(&pidfd);
	if (pid == 0)
		child_main(&launch);
	int fork_errno = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	launch_fini(&launch);
	if (pid < 0)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, fork_errno, "starting the plugin: clone3");

	*process = (struct process){.pid = pid, .pidfd = pidfd};
	fd_close(&report_write);
	result = await_exec(report_read, config->path, out_error);
	if (result < 0)
		process_fini(process);
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
		if (result <= LOOK_RUNS) {
			*out_status = (struct plugvm_plugin_status){.state = PLUGVM_PLUGIN_RUNNING};
			return result;
		}
		/* As long as the zombie is there, its group cannot be anybody else's. */
		if (result == LOOK_ZOMBIE)
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
		struct pollfd poll_fd = {.fd = process->pidfd, .events = POLLIN};
		poll(&poll_fd, 1, left);
	}
}

void process_fini(struct process *process)
{
	struct plugvm_plugin_status status;
	process_kill(process);
	process_wait(process, REAP_TIMEOUT_MS, &status);
	fd_close(&process->pidfd);
}
