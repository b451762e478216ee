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

struct supervisor {
	int plugin_pid;
	int children; /* signalfd for SIGCHLD */
	int listener; /* -1: none */
	int sync;     /* -1: the plugin has been executed */
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

static void tell_unlisted(struct supervisor *s, int number)
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
	report_send(&(struct lifeline_message){.kind = LIFELINE_UNLISTED,
	                                       .value = number,
	                                       .code = (int32_t)s->unlisted.untold},
	            -1);
	s->unlisted.told++;
	s->unlisted.untold = 0;
}

static void answer_notification(struct supervisor *s)
{
	/* The kernel's structs may be longer than those of the headers. */
	union {
		struct seccomp_notif notification;
		uint64_t room[32];
	} request = {.room = {0}};
	union {
		struct seccomp_notif_resp response;
		uint64_t room[32];
	} answer = {.room = {0}};
	if (SYS(ioctl, s->listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
		return; /* whoever called was killed meanwhile */
	answer.response.id = request.notification.id;
	answer.response.error = -ENOSYS;
	SYS(ioctl, s->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	tell_unlisted(s, request.notification.data.nr);
}

static void take_sync(struct supervisor *s)
{
	int fd;
	if (sync_receive(s->sync, &fd) > 0) {
		if (fd >= 0)
			s->listener = fd;
		return;
	}
	/* exec has closed it. If the process ended before, it has said why, and that is what the host reads first. */
	SYS(close, s->sync);
	s->sync = -1;
	report_send(&(struct lifeline_message){.kind = LIFELINE_STARTED}, -1);
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
		if (pid != s->plugin_pid)
			continue;
		report_send(&(struct lifeline_message){.kind = LIFELINE_STATUS, .value = status}, -1);
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
	struct supervisor s = {.plugin_pid = plugin_pid, .listener = -1};
	must(init, STEP_FORK, report_send(&(struct lifeline_message){.kind = LIFELINE_PLUGIN}, plugin_pidfd),
	     "pidfd");
	s.sync = keep(init, init->sync, "socketpair");
	s.children = keep(init, SYS(signalfd4, -1, &sigchld, sizeof(sigchld), O_CLOEXEC), "signalfd");
	/* What the plugin has is not for its init. */
	SYS(close_range, 0, PLAN_FD - 1, 0);
	must(init, STEP_INIT_FILTER, install_own_filter(), "");
	/* From here on nothing can fail: the plugin may run. */
	must(init, STEP_FORK, sync_send(s.sync, -1), "");
	for (;;) {
		struct pollfd fds[] = {{.fd = LIFELINE_FD, .events = POLLIN},
		                       {.fd = s.sync, .events = POLLIN},
		                       {.fd = s.children, .events = POLLIN},
		                       {.fd = s.listener, .events = POLLIN}};
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
