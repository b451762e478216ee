/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Makes each system call of the table (src/base/sys.h) fail at its first, second ... use in the life of a machine:
 * whatever comes of the run, it must end, without a crash, an fd or a process that is left.
 */
#include "rig.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "role.h"

/* A run takes a few milliseconds; in one that takes this long, somebody waits for what never comes. */
#define HANG_S 10
/* More uses than one run has. */
#define USES_MAX 200

enum call {
	CALL_SOCKETPAIR,
	CALL_EVENTFD,
	CALL_PIPE2,
	CALL_EPOLL_CREATE1,
	CALL_EPOLL_CTL,
	CALL_RECVMSG,
	CALL_SENDMSG,
	CALL_WAITID,
	CALL_FORK_PIDFD,
	CALLS,
};

static struct sys real;
static enum call failing;
static int failing_use, failing_code;
static atomic_int uses;
static bool is_jailed;

static bool fails(enum call call)
{
	if (call != failing || atomic_fetch_add(&uses, 1) + 1 != failing_use)
		return false;
	errno = failing_code;
	return true;
}

static int fail_socketpair(int domain, int type, int protocol, int fds[2])
{
	return fails(CALL_SOCKETPAIR) ? -1 : real.socketpair(domain, type, protocol, fds);
}

static int fail_eventfd(unsigned int value, int flags)
{
	return fails(CALL_EVENTFD) ? -1 : real.eventfd(value, flags);
}

static int fail_pipe2(int fds[2], int flags)
{
	return fails(CALL_PIPE2) ? -1 : real.pipe2(fds, flags);
}

static int fail_epoll_create1(int flags)
{
	return fails(CALL_EPOLL_CREATE1) ? -1 : real.epoll_create1(flags);
}

static int fail_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	return fails(CALL_EPOLL_CTL) ? -1 : real.epoll_ctl(epoll, operation, fd, event);
}

static ssize_t fail_recvmsg(int socket, struct msghdr *message, int flags)
{
	return fails(CALL_RECVMSG) ? -1 : real.recvmsg(socket, message, flags);
}

static ssize_t fail_sendmsg(int socket, const struct msghdr *message, int flags)
{
	return fails(CALL_SENDMSG) ? -1 : real.sendmsg(socket, message, flags);
}

static int fail_waitid(idtype_t type, id_t id, siginfo_t *out_info, int options)
{
	return fails(CALL_WAITID) ? -1 : real.waitid(type, id, out_info, options);
}

static pid_t fail_fork_pidfd(int *out_pidfd)
{
	return fails(CALL_FORK_PIDFD) ? -1 : real.fork_pidfd(out_pidfd);
}

/* Some accesses for the plugin, and then the end. */
static int guest(struct fake_vcpu *vcpu)
{
	vcpu->run->exit_reason = vcpu->regs.rax++ < 3 ? KVM_EXIT_IO : KVM_EXIT_SHUTDOWN;
	if (vcpu->run->exit_reason == KVM_EXIT_IO) {
		vcpu->run->io.direction = KVM_EXIT_IO_IN;
		vcpu->run->io.port = 0x100;
		vcpu->run->io.size = 1;
		vcpu->run->io.count = 1;
		vcpu->run->io.data_offset = FAKE_IO_OFFSET;
	}
	return 0;
}

enum outcome { FINE, FAULT_NOT_REACHED, FD_LEFT, PROCESS_LEFT, NO_ERROR_TEXT };

static enum outcome run_machine(int kvm_fd)
{
	int before = count_open_fds();
	struct plugvm_machine_config config = {.size = sizeof(config),
	                                       .kvm_fd = kvm_fd,
	                                       .vcpu_count = 2,
	                                       .path = role_path(),
	                                       .argv = role_argv("serve"),
	                                       .stdin_fd = -1,
	                                       .stdout_fd = -1,
	                                       .die_with_thread = true,
	                                       .grace_ms = 200};
	struct plugvm_machine *machine = NULL;
	struct plugvm_result result;
	struct plugvm_error error = {.text = ""};
	if (is_jailed && plugvm_jail_new(PLUGVM_JAIL_DEFAULT, &config.jail, &error) < 0)
		return NO_ERROR_TEXT;
	int status = plugvm_machine_new(&config, &machine, &error);
	if (status == 0)
		status = plugvm_machine_run(machine, &result, &error);
	plugvm_machine_free(&machine);
	plugvm_jail_free(&config.jail);
	if (status < 0 && error.text[0] == '\0')
		return NO_ERROR_TEXT;
	if (count_open_fds() != before)
		return FD_LEFT;
	if (waitpid(-1, NULL, WNOHANG) != -1)
		return PROCESS_LEFT;
	return atomic_load(&uses) < failing_use ? FAULT_NOT_REACHED : FINE;
}

/* In a process of its own, so that a hang or a crash is a result too. */
static int run_watched(void)
{
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		alarm(HANG_S);
		int kvm_fd = kvm_backend.open("/dev/kvm");
		atomic_store(&uses, 0);
		sys = (struct sys){.socketpair = fail_socketpair,
		                   .eventfd = fail_eventfd,
		                   .pipe2 = fail_pipe2,
		                   .epoll_create1 = fail_epoll_create1,
		                   .epoll_ctl = fail_epoll_ctl,
		                   .dup_cloexec = real.dup_cloexec,
		                   .fstat = real.fstat,
		                   .mmap = real.mmap,
		                   .recvmsg = fail_recvmsg,
		                   .sendmsg = fail_sendmsg,
		                   .waitid = fail_waitid,
		                   .fork_pidfd = fail_fork_pidfd};
		_exit(run_machine(kvm_fd));
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void fail_every_use(enum call call, int code)
{
	int bad = 0;
	failing = call;
	failing_code = code;
	for (failing_use = 1; failing_use < USES_MAX; failing_use++) {
		int status = run_watched();
		if (WIFEXITED(status) && WEXITSTATUS(status) == FAULT_NOT_REACHED)
			break;
		if (status == 0)
			continue;
		bad++;
		print_message("# use %d: %s %d\n", failing_use,
		              !WIFSIGNALED(status)          ? "outcome"
		              : WTERMSIG(status) == SIGALRM ? "hang, signal"
		                                            : "signal",
		              WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	}
	assert_true(failing_use > 1 && failing_use < USES_MAX);
	assert_int_equal(bad, 0);
}

static int setup(void **state)
{
	(void)state;
	real = sys;
	fake_kvm_install();
	fake_kvm.run = guest;
	return 0;
}

/* The plugin is in a jail: those of its spawn fail too. */
static int setup_jailed(void **state)
{
	is_jailed = true;
	return setup(state);
}

static int teardown(void **state)
{
	(void)state;
	is_jailed = false;
	fake_kvm_remove();
	return 0;
}

#define FAULT_TEST(name, call, code)          \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		fail_every_use(call, code);   \
	}
FAULT_TEST(socketpair, CALL_SOCKETPAIR, EMFILE)
FAULT_TEST(eventfd, CALL_EVENTFD, ENFILE)
FAULT_TEST(pipe2, CALL_PIPE2, ENFILE)
FAULT_TEST(epoll_create1, CALL_EPOLL_CREATE1, EMFILE)
FAULT_TEST(epoll_ctl, CALL_EPOLL_CTL, ENOSPC)
FAULT_TEST(recvmsg, CALL_RECVMSG, ENOBUFS)
FAULT_TEST(sendmsg, CALL_SENDMSG, ENOBUFS)
FAULT_TEST(waitid, CALL_WAITID, ENOMEM)
FAULT_TEST(waitid_interrupted, CALL_WAITID, EINTR)
FAULT_TEST(fork_pidfd, CALL_FORK_PIDFD, EAGAIN)

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define JAILED_TEST(name)                                           \
	{                                                           \
		"jailed_" #name, name, setup_jailed, teardown, NULL \
	}

int main(int argc, char **argv)
{
	role_main(argc, argv);
	const struct CMUnitTest tests[] = {
	    TEST(test_socketpair),
	    TEST(test_eventfd),
	    TEST(test_pipe2),
	    TEST(test_epoll_create1),
	    TEST(test_epoll_ctl),
	    TEST(test_recvmsg),
	    TEST(test_sendmsg),
	    TEST(test_waitid),
	    TEST(test_fork_pidfd),
	    TEST(test_waitid_interrupted),
	    JAILED_TEST(test_socketpair),
	    JAILED_TEST(test_pipe2),
	    JAILED_TEST(test_recvmsg),
	    JAILED_TEST(test_waitid),
	    JAILED_TEST(test_waitid_interrupted),
	    JAILED_TEST(test_fork_pidfd),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
