/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exit/bare-filtered: exit/bare in a process of its own, under the filters that a vCPU's thread of plugvm is under. What
 * the kernel does for them with every KVM_RUN is part of what an exit costs.
 */
#include <err.h>
#include <plugvm.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"
#include "jail/privileges.h"
#include "samples.h"

struct filtered {
	pid_t process;
	int socket;
};

/* Only recvmsg() and write() are allowed. */
__attribute__((noreturn)) static void serve(int socket)
{
	static uint64_t times[BLOCK_EVENTS];
	struct plugvm_error error;
	struct bare *bare = bare_new(false);
	if (plugvm_drop_privileges(&error) < 0 || privileges_narrow(HOST_FILTER_VCPU) < 0)
		errx(1, "the filters");
	char order;
	struct iovec part = {&order, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	while (recvmsg(socket, &message, 0) == 1) {
		bare_block(bare, times);
		if (write(socket, times, sizeof(times)) != (ssize_t)sizeof(times))
			break;
	}
	_exit(1);
}

struct filtered *filtered_new(const struct bench_config *config)
{
	struct filtered *filtered = calloc(1, sizeof(*filtered));
	int pair[2];
	if (!filtered || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		err(1, "socketpair");
	filtered->process = fork();
	if (filtered->process < 0)
		err(1, "fork");
	if (filtered->process == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		pin_to_cpu(config->host_cpu);
		serve(pair[1]);
	}
	close(pair[1]);
	filtered->socket = pair[0];
	return filtered;
}

void filtered_block(void *context, uint64_t *times)
{
	const struct filtered *filtered = context;
	size_t size = BLOCK_EVENTS * sizeof(times[0]);
	if (send(filtered->socket, "", 1, MSG_NOSIGNAL) != 1 ||
	    recv(filtered->socket, times, size, MSG_WAITALL) != (ssize_t)size)
		errx(1, "the filtered program has ended");
}

void filtered_free(struct filtered *filtered)
{
	kill(filtered->process, SIGKILL);
	waitpid(filtered->process, NULL, 0);
	close(filtered->socket);
	free(filtered);
}
