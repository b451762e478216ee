/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pid 1 of the jail: reaps, answers the filter's notifications, and ends when the plugin has ended or when the host
 * has. Its end is the end of every process in the jail.
 */
#include "init/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/wait.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <time.h>

/* How many calls per second are told to the host; the rest is counted. */
#define UNLISTED_PER_SECOND 10

/* With that much unread, a host does not want to know. */
#define UNREAD_BYTES_MAX 65536

enum stage {
	STAGE_CONFINED, /* the plugin's process makes its filter, and its messenger hands us the listener */
	STAGE_EXEC,     /* it may execute once */
	STAGE_RUNS,     /* it has */
};

struct supervisor {
	const struct plan *plan;
	int plugin_pid;
	int children; /* signalfd for SIGCHLD */
	int listener; /* -1: none */
	int sync;     /* -1: the plugin has been executed */
	enum stage stage;
	bool messenger_ended; /* so that nobody shares the fds of the plugin's process any more */
	bool is_killed;       /* by us, for a call that it may not make */
	struct {
		int64_t second;
		uint32_t told;
		uint32_t untold;
	} unlisted;
};

#define ALLOW(name) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/*
 * What is needed from here on. Init has the plugin's uid, so that whoever finds a way into it should find nothing there.
 */
static const struct sock_filter own_filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    ALLOW(poll),
    ALLOW(recvmsg),
    ALLOW(sendmsg),
    ALLOW(ioctl),
    ALLOW(read),
    ALLOW(wait4),
    ALLOW(close),
    ALLOW(clock_gettime),
    ALLOW(tgkill),
    ALLOW(tkill),
    ALLOW(exit_group),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

static long install_own_filter(void)
{
	struct sock_fprog program = {.len = sizeof(own_filter) / sizeof(own_filter[0]),
	                             .filter = (struct sock_filter *)(uintptr_t)own_filter};
	return SYS(seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

__attribute__((noreturn)) static void end(void)
{
	leave(0);
}

static int64_t now_seconds(void)
{
	struct timespec now = {.tv_sec = 0};
	SYS(clock_gettime, CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static long tell(enum lifeline_kind kind, const struct seccomp_data *data, uint32_t untold)
{
	struct lifeline_message message = {.kind = kind, .value = data->nr, .code = (int32_t)untold};
	__builtin_memcpy(message.arguments, data->args, sizeof(message.arguments));
	return report_send(&message, -1);
}

/* Tell of a call, unless that would be too much. */
static void tell_sparingly(struct supervisor *s, enum lifeline_kind kind, const struct seccomp_data *data)
{
	int64_t second = now_seconds();
	if (second != s->unlisted.second) {
		s->unlisted.second = second;
		s->unlisted.told = 0;
	}
	int unread = 0;
	SYS(ioctl, LIFELINE_FD, TIOCOUTQ, &unread);
	if (s->unlisted.told >= UNLISTED_PER_SECOND || unread > UNREAD_BYTES_MAX) {
		s->unlisted.untold++;
		return;
	}
	tell(kind, data, s->unlisted.untold);
	s->unlisted.told++;
	s->unlisted.untold = 0;
}

/* ---- Notifications ---- */

/* The kernel's structs may be longer than those of the headers. */
union request {
	struct seccomp_notif notification;
	uint64_t room[32];
};

static void answer(const struct supervisor *s, const union request *request, int32_t error, uint32_t flags)
{
	union {
		struct seccomp_notif_resp response;
		uint64_t room[32];
	} answer = {.room = {0}};
	answer.response.id = request->notification.id;
	answer.response.error = error;
	answer.response.flags = flags;
	long result;
	do {
		result = SYS(ioctl, s->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	} while (result == -EINTR);
	/* Whoever called may have been killed meanwhile; else it would wait for ever, and the host for it. */
	if (result < 0 && result != -ENOENT)
		leave(127);
}

static void let(const struct supervisor *s, const union request *request)
{
	answer(s, request, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

/*
 * End the process that made this call, which stays where it is: it has no answer, and gets none. This is as good as
 * a filter that kills. The kernel makes no call that a listener did not let through: with a listener that is gone the
 * call fails with ENOSYS, and with init gone there is no process left. A signal of the plugin's own to itself before
 * init has looked makes the call fail or begin anew, but does not make it. What it is better for: who called what is
 * known, which no wait status tells.
 */
static void kill_caller(struct supervisor *s, const union request *request)
{
	const struct seccomp_notif *notification = &request->notification;
	uint64_t id = notification->id;
	int thread = (int)notification->pid;
	if (SYS(ioctl, s->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) < 0)
		return; /* it waits no more, and its number may be another's */
	/* Signal 0: is it one of the plugin's threads? */
	if (SYS(tgkill, s->plugin_pid, thread, 0) == 0) {
		if (!s->is_killed)
			tell(LIFELINE_KILLED, &notification->data, 0);
		s->is_killed = true;
	} else {
		tell_sparingly(s, LIFELINE_KILLED_CHILD, &notification->data);
	}
	SYS(tkill, thread, SIGNAL_KILL);
}

/* Could this call make a namespace? clone3's flags are in memory; a C library that cannot have it takes clone. */
static bool makes_namespace(const struct seccomp_data *data)
{
	const uint64_t namespaces = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
	                            CLONE_NEWUTS | CLONE_NEWCGROUP;
	return data->nr == SYS_clone3 || (data->nr == SYS_clone && data->args[0] & namespaces);
}

/* What is let through makes no namespace. Return how it is refused. */
static enum plan_refusal refuse_namespace(const struct supervisor *s, const struct seccomp_data *data)
{
	/* Who observes must know of clone3 all the same: that the plugin has threads. */
	if (s->plan->refusal == PLAN_OBSERVE && data->nr == SYS_clone3)
		tell(LIFELINE_OBSERVED, data, 0);
	return PLAN_ANSWER;
}

static void refuse(struct supervisor *s, const union request *request)
{
	const struct seccomp_data *data = &request->notification.data;
	uint32_t number = (uint32_t)data->nr, refusal = s->plan->refusal;
	if (number / 32 < PLAN_NEVER_WORDS && s->plan->never[number / 32] >> number % 32 & 1)
		refusal = PLAN_KILL;
	else if (number == SYS_execveat && s->plan->exec_error) {
		answer(s, request, -(int32_t)s->plan->exec_error, 0);
		return;
	} else if (refusal != PLAN_KILL && makes_namespace(data))
		refusal = refuse_namespace(s, data);
	switch ((enum plan_refusal)refusal) {
	case PLAN_KILL:
		kill_caller(s, request);
		break;
	case PLAN_LET:
		tell_sparingly(s, LIFELINE_LET, data);
		let(s, request);
		break;
	case PLAN_OBSERVE:
		/* Waits for the host, and fails when it is gone, and we with it. */
		if (tell(LIFELINE_OBSERVED, data, 0) == 0)
			let(s, request);
		break;
	case PLAN_ANSWER:
		answer(s, request, -ENOSYS, 0);
		tell_sparingly(s, LIFELINE_UNLISTED, data);
		break;
	}
}

/* Has it? exec closes the other end before the first instruction of the plugin. */
static bool is_executed(const struct supervisor *s)
{
	struct pollfd sync = {.fd = s->sync, .events = 0};
	return s->sync < 0 || SYS(poll, &sync, 1, 0) != 0;
}

/* What our own program still has to say in the plugin's process. Returns false if it was something else. */
static bool answer_start(struct supervisor *s, const union request *request)
{
	const struct seccomp_data *data = &request->notification.data;
	if (s->stage == STAGE_EXEC && is_executed(s))
		s->stage = STAGE_RUNS;
	if (s->stage == STAGE_RUNS || (int)request->notification.pid != s->plugin_pid)
		return false;
	if (data->nr == CALL_FAILED)
		report_failure(STEP_EXEC, (long)data->args[0], "");
	if (s->stage == STAGE_CONFINED && data->nr == CALL_READY) {
		s->stage = STAGE_EXEC;
		answer(s, request, 0, 0);
		return true;
	}
	if (s->stage == STAGE_EXEC && data->nr == SYS_execveat) {
		let(s, request);
		return true;
	}
	return false;
}

static void answer_notification(struct supervisor *s)
{
	union request request = {.room = {0}};
	if (SYS(ioctl, s->listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
		return; /* whoever called was killed meanwhile */
	if (!answer_start(s, &request))
		refuse(s, &request);
}

/* ---- Events ---- */

static void take_sync(struct supervisor *s)
{
	int fd;
	long result = sync_receive(s->sync, &fd);
	if (result > 0) {
		if (fd >= 0)
			s->listener = fd;
		return;
	}
	/* No end: something is lost that the plugin's process waits for. */
	if (result < 0 && result != -ECONNRESET)
		leave(127);
	/* exec has closed it. If the process ended before, it has said why, and that is what the host reads first. */
	SYS(close, s->sync);
	s->sync = -1;
	/* A host that cannot be told would wait for it; the end of all it sees. */
	if (report_send(&(struct lifeline_message){.kind = LIFELINE_STARTED}, -1) < 0)
		leave(127);
}

static void reap(struct supervisor *s)
{
	uint64_t siginfo[16];
	SYS(read, s->children, siginfo, sizeof(siginfo));
	for (;;) {
		int status = 0;
		long pid = SYS(wait4, -1, &status, WNOHANG | __WALL, NULL);
		if (pid == 0 || (pid < 0 && pid != -EINTR))
			return;
		if (pid != s->plugin_pid) {
			s->messenger_ended = true; /* our first child but for the plugin */
			continue;
		}
		/* Our way to end it is not how it looks to the host. */
		if (s->is_killed && status == SIGNAL_KILL)
			status = SIGNAL_SYS;
		/* Without it the host takes our status for the plugin's, which is not to look like success. */
		if (report_send(&(struct lifeline_message){.kind = LIFELINE_STATUS, .value = status}, -1) < 0)
			leave(127);
		end();
	}
}

/* Move an fd out of the way of those that are the plugin's. */
static int keep(const struct init *init, long fd, const char *what)
{
	must(init, STEP_FORK, fd, what);
	long kept = must(init, STEP_FORK, SYS(fcntl, fd, F_DUPFD_CLOEXEC, LIFELINE_FD + 1), what);
	SYS(close, fd);
	return (int)kept;
}

void supervise(const struct init *init, int plugin_pid, int plugin_pidfd)
{
	const uint64_t sigchld = UINT64_C(1) << (SIGNAL_CHILD - 1);
	struct supervisor s = {.plan = init->plan, .plugin_pid = plugin_pid, .listener = -1};
	must(init, STEP_FORK, report_send(&(struct lifeline_message){.kind = LIFELINE_PLUGIN}, plugin_pidfd),
	     "pidfd");
	s.sync = keep(init, init->sync, "socketpair");
	s.children = keep(init, SYS(signalfd4, -1, &sigchld, sizeof(sigchld), O_CLOEXEC), "signalfd");
	/* What the plugin has is not for its init. */
	must(init, STEP_FDS, SYS(close_range, 0, PLAN_FD - 1, 0), "");
	must(init, STEP_INIT_FILTER, install_own_filter(), "");
	/* From here on nothing can fail: the plugin may run. */
	must(init, STEP_FORK, sync_send(s.sync, -1), "");
	for (;;) {
		struct pollfd fds[] = {{.fd = LIFELINE_FD, .events = POLLIN},
		                       {.fd = s.sync, .events = POLLIN},
		                       {.fd = s.children, .events = POLLIN},
		                       {.fd = s.messenger_ended ? s.listener : -1, .events = POLLIN}};
		if (SYS(poll, fds, 4, -1) < 0)
			continue;
		/* The host never sends anything: this is its end. */
		if (fds[0].revents)
			end();
		if (fds[1].revents)
			take_sync(&s);
		if (fds[3].revents & POLLIN)
			answer_notification(&s);
		else if (fds[3].revents)
			s.listener = -1; /* nobody is left under the filter */
		/* After the others: the plugin's last words come first. */
		if (fds[2].revents)
			reap(&s);
	}
}
