/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Start a plugin in a jail: hand the plan to the helper, and listen until it says that the plugin runs or what failed.
 */
#include "jail/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "jail/elf.h"
#include "jail/limit.h"
#include "policy/syscalls.h"

/* How long a jail may take to be built, on a machine that has other work as well. */
#define SPAWN_TIMEOUT_MS 30000
#define REAP_TIMEOUT_MS  3000

/* The helper's program: init_image.S. */
extern const char jail_init_begin[], jail_init_end[];

static const char *const step_names[] = {[STEP_NONE] = "?",
#define STEP_NAME(name, text) [STEP_##name] = text,
                                         PLAN_STEPS(STEP_NAME)
#undef STEP_NAME
};

static const char *step_name(uint32_t step)
{
	return step_names[step < STEP_COUNT ? step : STEP_NONE];
}

/* ---- The lifeline ---- */

struct received {
	struct lifeline_message message;
	pid_t sender; /* as the kernel says */
	int fd;       /* -1: none */
};

/* Keep the one fd that a message may bring: where that has room, the kernel has room for two. */
static void take_fds(const struct cmsghdr *item, struct received *received)
{
	size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	for (size_t i = 0; i < count; i++) {
		int fd;
		memcpy(&fd, CMSG_DATA(item) + i * sizeof(fd), sizeof(fd));
		fd_close(&received->fd);
		received->fd = fd;
	}
}

/*
 * Receive one message. Returns 1, 0 at the end, or -errno (-EAGAIN: nothing is there); only with 1 there can be an fd. Init
 * has the plugin's uid: it may have been taken over.
 */
static int receive(int lifeline, struct received *out_received)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {.iov_base = &out_received->message, .iov_len = sizeof(out_received->message)};
	struct msghdr header = {.msg_iov = &part,
	                        .msg_iovlen = 1,
	                        .msg_control = control.bytes,
	                        .msg_controllen = sizeof(control.bytes)};
	out_received->sender = -1;
	out_received->fd = -1;
	ssize_t size = sys.recvmsg(lifeline, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (size < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	for (struct cmsghdr *item = CMSG_FIRSTHDR(&header); item; item = CMSG_NXTHDR(&header, item)) {
		if (item->cmsg_level != SOL_SOCKET)
			continue;
		if (item->cmsg_type == SCM_RIGHTS)
			take_fds(item, out_received);
		if (item->cmsg_type == SCM_CREDENTIALS) {
			struct ucred sender;
			memcpy(&sender, CMSG_DATA(item), sizeof(sender));
			out_received->sender = sender.pid;
		}
	}
	if (size != (ssize_t)sizeof(out_received->message) || header.msg_flags & MSG_TRUNC) {
		fd_close(&out_received->fd);
		return size == 0 ? 0 : -EPROTO;
	}
	out_received->message.detail[sizeof(out_received->message.detail) - 1] = '\0';
	return 1;
}

/* ---- Start ---- */

struct spawn {
	const struct launch *launch;
	struct jail_process *process;
	bool is_started;
};

static int check_executable(const char *path, struct plugvm_error *out_error)
{
	struct stat status;
	int code = 0;
	if (stat(path, &status) < 0)
		code = errno;
	else if (!S_ISREG(status.st_mode) || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
		code = EACCES;
	return code ? error_set(out_error, PLUGVM_ERROR_PLUGIN_FILE, code, "cannot execute %s", path) : 0;
}

/* The strict jail has no loader and no libraries. What is not to be read here is for the kernel to refuse. */
static int check_static(const char *path, struct plugvm_error *out_error)
{
	struct elf_wants wants = {.interpreter = ""};
	FD_AUTO fd = elf_open(path);
	int result = fd < 0 ? fd : elf_read(fd, &wants);
	if (result < 0)
		return 0;
	bool is_dynamic = wants.interpreter[0] != '\0';
	elf_fini(&wants);
	return is_dynamic
	           ? error_set_plain(out_error, PLUGVM_ERROR_PLUGIN_FILE, EINVAL,
	                             "%s is dynamically linked: the strict jail is for static executables", path)
	           : 0;
}

static int fail(struct plugvm_error *out_error, int code, const char *what)
{
	return error_set(out_error, PLUGVM_ERROR_JAIL, code, "the jail: %s", what);
}

/* What to look at when a step fails on what the operator said, or on what an ordinary user may not. */
static const char *hint_of(const struct lifeline_message *message)
{
	if (message->step == STEP_MOUNT &&
	    (message->code == EXDEV || message->code == EINVAL || message->code == ENOTDIR))
		return " (its target is missing in what is mounted above it, or is not of its kind)";
	if (message->code != EPERM && message->code != ENOSPC && message->code != EACCES)
		return "";
	if (message->step == STEP_BUILDER_USER_NS || message->step == STEP_CLONE)
		return " (may this user make user namespaces?)";
	if (message->step == STEP_UID_MAP || message->step == STEP_GID_MAP)
		return " (are the ids in this user's range?)";
	return "";
}

static int take_failure(const struct spawn *s, const struct lifeline_message *message,
                        struct plugvm_error *out_error)
{
	int code = message->code > 0 ? message->code : EIO;
	if (message->step == STEP_EXEC && message->detail[0] == '\0')
		return error_set(out_error, PLUGVM_ERROR_PLUGIN_FILE, code, "cannot execute %s in its jail",
		                 s->launch->path);
	return error_set(out_error, PLUGVM_ERROR_JAIL, code, "the jail: %s%s%s%s", step_name(message->step),
	                 message->detail[0] ? ": " : "", message->detail, hint_of(message));
}

static int take_message(struct spawn *s, struct received *received, struct plugvm_error *out_error)
{
	const struct lifeline_message *message = &received->message;
	struct jail_process *process = s->process;
	switch ((enum lifeline_kind)message->kind) {
	case LIFELINE_INIT:
		process->init_pid = message->value;
		process->init_pidfd = fd_take(&received->fd);
		break;
	case LIFELINE_PLUGIN:
		process->plugin_pidfd = fd_take(&received->fd);
		break;
	case LIFELINE_CONFINED:
		process->plugin_pid = received->sender;
		break;
	case LIFELINE_STARTED:
		s->is_started = true;
		break;
	case LIFELINE_STATUS:
		return fail(out_error, EIO, "the plugin's process ended before it was executed");
	case LIFELINE_FAILED:
		return take_failure(s, message, out_error);
	case LIFELINE_UNLISTED:
	case LIFELINE_LET:
	case LIFELINE_OBSERVED:
	case LIFELINE_KILLED:
	case LIFELINE_KILLED_CHILD:
		break; /* init says these of what runs */
	}
	return 0;
}

static int listen_until_started(struct spawn *s, struct plugvm_error *out_error)
{
	uint64_t deadline_ns = clock_ns() + (uint64_t)SPAWN_TIMEOUT_MS * 1000000;
	while (!s->is_started) {
		struct received received;
		int result = receive(s->process->lifeline, &received);
		if (result == -EAGAIN) {
			struct pollfd poll_fd = {.fd = s->process->lifeline, .events = POLLIN};
			uint64_t now = clock_ns();
			if (now >= deadline_ns)
				return fail(out_error, ETIMEDOUT, "it was not complete in time");
			poll(&poll_fd, 1, (int)((deadline_ns - now) / 1000000) + 1);
			continue;
		}
		if (result > 0)
			result = take_message(s, &received, out_error);
		else
			result = fail(out_error, result == 0 ? EPIPE : -result, "the helper ended without a word");
		fd_close(&received.fd);
		if (result < 0)
			return result;
	}
	/* Too few fds are left for what came with a message. */
	if (s->process->init_pidfd < 0 || s->process->plugin_pidfd < 0 || s->process->plugin_pid <= 0)
		return fail(out_error, EMFILE, "a pidfd");
	return 0;
}

/* Wait for a child of ours that has ended or is about to. */
static void reap(pid_t pid)
{
	siginfo_t info;
	uint64_t deadline_ns = clock_ns() + (uint64_t)REAP_TIMEOUT_MS * 1000000;
	int wait = 1;
	for (;;) {
		info.si_pid = 0;
		int result = sys.waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG);
		if ((result == 0 && info.si_pid == pid) || (result < 0 && errno == ECHILD) ||
		    clock_ns() >= deadline_ns)
			return;
		poll(NULL, 0, wait);
		wait = wait < 50 ? wait * 2 : wait;
	}
}

/* What failed may have been to hear of init, which is our child and must be reaped all the same. */
static void learn_init_pid(struct jail_process *process)
{
	struct received received;
	while (process->init_pid <= 0 && receive(process->lifeline, &received) > 0) {
		if (received.message.kind == LIFELINE_INIT)
			process->init_pid = received.message.value;
		fd_close(&received.fd);
	}
}

static void clean_up(struct jail_process *process)
{
	/* The builder has ended: nothing more comes from it. */
	learn_init_pid(process);
	/* Not reaped yet, so the number is nobody else's. */
	if (process->init_pid > 0) {
		kill(process->init_pid, SIGKILL);
		reap(process->init_pid);
	}
	jail_process_fini(process);
}

/* Start the helper with the plugin's fds, the plan and its end of the lifeline. */
static int start_helper(const struct launch *launch, int plan, int lifeline, pid_t *out_pid,
                        struct plugvm_error *out_error)
{
	char name[] = "plugvm-init";
	char *argv[] = {name, NULL}, *env[] = {NULL};
	FD_AUTO image = sealed_memfd(name, jail_init_begin, (size_t)(jail_init_end - jail_init_begin), true);
	if (image < 0)
		return fail(out_error, -image, "the helper's memfd");
	struct plugvm_fd_map *fds = calloc(launch->fd_count + 2, sizeof(fds[0]));
	if (!fds)
		return fail(out_error, ENOMEM, "starting the helper");
	memcpy(fds, launch->fds, launch->fd_count * sizeof(fds[0]));
	fds[launch->fd_count] = (struct plugvm_fd_map){.fd = plan, .number = PLAN_FD};
	fds[launch->fd_count + 1] = (struct plugvm_fd_map){.fd = lifeline, .number = LIFELINE_FD};
	struct launch helper = {.exec_fd = image,
	                        .argv = argv,
	                        .env = env,
	                        .fds = fds,
	                        .fd_count = launch->fd_count + 2,
	                        .die_with_thread = launch->die_with_thread};
	struct launch_failure failure;
	FD_AUTO pidfd = -1;
	int result = launch_start(&helper, out_pid, &pidfd, &failure);
	free(fds);
	if (result == 0)
		return 0;
	if (*out_pid >= 0)
		reap(*out_pid);
	return error_set(out_error, PLUGVM_ERROR_JAIL, failure.code, "the jail: starting the helper%s%s",
	                 failure.step[0] ? ": " : "", failure.step);
}

int jail_spawn(const struct plugvm_jail *jail, const struct launch *launch, const struct jail_limits *limits,
               const struct log *log, struct jail_process *out_process, struct plugvm_error *out_error)
{
	*out_process = (struct jail_process){.init_pid = -1,
	                                     .init_pidfd = -1,
	                                     .plugin_pid = -1,
	                                     .plugin_pidfd = -1,
	                                     .lifeline = -1,
	                                     .observe = jail->observe,
	                                     .observe_context = jail->observe_context};
	FD_AUTO plan = -1;
	int result = check_executable(launch->path, out_error);
	struct jail_limits own = *limits;
	if (result == 0 && jail->profile == PLUGVM_JAIL_STRICT)
		result = check_static(launch->path, out_error);
	if (result == 0)
		result = limits_apply(jail, &cgroup_system, &own, &out_process->cgroup, log, out_error);
	if (result == 0)
		result = plan_write(jail, launch, &own, log, &plan, out_error);
	int ends[2] = {-1, -1};
	if (result == 0 && sys.socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		result = fail(out_error, errno, "the lifeline");
	if (result < 0) {
		jail_process_fini(out_process);
		return result;
	}
	out_process->lifeline = ends[0];
	FD_AUTO helper_end = ends[1];
	const int on = 1;
	pid_t builder = -1;
	if (setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		result = fail(out_error, errno, "the lifeline");
	else
		result = start_helper(launch, plan, helper_end, &builder, out_error);
	fd_close(&helper_end);
	if (result == 0) {
		struct spawn s = {.launch = launch, .process = out_process};
		result = listen_until_started(&s, out_error);
		if (result < 0)
			kill(builder, SIGKILL);
		reap(builder);
	}
	if (result < 0)
		clean_up(out_process);
	return result;
}

/* ---- Afterwards ---- */

static void log_call(const struct lifeline_message *message, const struct log *log, const char *what)
{
	char shown[SYSCALLS_SHOWN_BYTES], more[64] = "";
	if (!log)
		return;
	syscalls_show(message->value, shown);
	if (message->code != 0)
		snprintf(more, sizeof(more), " (%u more calls were refused since the last such line)",
		         (unsigned)message->code);
	log_line(log, PLUGVM_LOG_WARNING, "system call %s is not allowed by the plugin's policy: %s%s", shown,
	         what, more);
}

static void take_report(struct jail_process *process, const struct lifeline_message *message,
                        const struct log *log)
{
	struct plugvm_jail_call call = {.number = message->value};
	switch ((enum lifeline_kind)message->kind) {
	case LIFELINE_STATUS:
		process->has_status = true;
		process->status = message->value;
		break;
	case LIFELINE_KILLED:
		process->has_refused = true;
		process->system_call = message->value;
		break;
	case LIFELINE_UNLISTED:
		log_call(message, log, "it failed with ENOSYS");
		break;
	case LIFELINE_LET:
		log_call(message, log, "it was made all the same");
		break;
	case LIFELINE_KILLED_CHILD:
		log_call(message, log, "it ended the process that made it");
		break;
	case LIFELINE_OBSERVED:
		memcpy(call.arguments, message->arguments, sizeof(call.arguments));
		if (process->observe)
			process->observe(process->observe_context, &call);
		break;
	case LIFELINE_INIT:
	case LIFELINE_FAILED:
	case LIFELINE_PLUGIN:
	case LIFELINE_CONFINED:
	case LIFELINE_STARTED:
		break; /* of the start */
	}
}

void jail_process_drain(struct jail_process *process, const struct log *log, size_t most)
{
	for (size_t taken = 0; taken < most && process->lifeline >= 0; taken++) {
		struct received received;
		int result = receive(process->lifeline, &received);
		/* What makes no sense comes from nobody who has to be heard. */
		if (result == 0 || result == -EPROTO)
			fd_close(&process->lifeline);
		if (result <= 0)
			return;
		fd_close(&received.fd);
		take_report(process, &received.message, log);
	}
}

uint64_t jail_process_over_memory(const struct jail_process *process)
{
	return process->cgroup && cgroup_is_over_memory(process->cgroup) ? process->cgroup->memory : 0;
}

const char *jail_process_explain(const struct jail_process *process, char out_text[JAIL_WHY_BYTES])
{
	char shown[SYSCALLS_SHOWN_BYTES];
	uint64_t over_memory = jail_process_over_memory(process);
	if (over_memory > 0) {
		snprintf(out_text, JAIL_WHY_BYTES, ": over its memory limit of %" PRIu64 " MiB",
		         over_memory >> 20);
		return out_text;
	}
	if (!process->has_status || !WIFSIGNALED(process->status) || WTERMSIG(process->status) != SIGSYS)
		return "";
	/* What does not come to init is of another architecture, unless the plugin has sent the signal itself. */
	if (!process->has_refused)
		return ": a system call of another architecture, or a signal of its own";
	syscalls_show(process->system_call, shown);
	snprintf(out_text, JAIL_WHY_BYTES, ": system call %s is not allowed by its policy", shown);
	return out_text;
}

void jail_process_fini(struct jail_process *process)
{
	fd_close(&process->lifeline);
	fd_close(&process->init_pidfd);
	fd_close(&process->plugin_pidfd);
	cgroup_remove(&process->cgroup);
}
