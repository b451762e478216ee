/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the helper says to the host, and its own processes to each other.
 */
#include "init/init.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static long send_packet(int socket, const void *data, size_t size, int fd)
{
	struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
	union control control = {
	    .header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	if (fd >= 0) {
		*(int *)(void *)CMSG_DATA(&control.header) = fd;
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	long result;
	do {
		result = SYS(sendmsg, socket, &message, MSG_NOSIGNAL);
	} while (result == -EINTR);
	return result;
}

long report_send(const struct lifeline_message *message, int fd)
{
	long result = send_packet(LIFELINE_FD, message, sizeof(*message), fd);
	return result < 0 ? result : 0;
}

void report_failure(enum plan_step step, long result, const char *detail)
{
	struct lifeline_message message = {.kind = LIFELINE_FAILED, .step = step, .code = (int32_t)-result};
	text_append(message.detail, sizeof(message.detail), detail);
	report_send(&message, -1);
	leave(127);
}

long must(const struct init *init, enum plan_step step, long result, const char *detail)
{
	if (init->plan->fail_step == step)
		result = -EIO;
	if (result < 0)
		report_failure(step, result, detail);
	return result;
}

long sync_send(int socket, int fd)
{
	return send_packet(socket, "", 1, fd);
}

long sync_receive(int socket, int *out_fd)
{
	char byte;
	struct iovec part = {.iov_base = &byte, .iov_len = 1};
	union control control = {.header = {.cmsg_len = 0}};
	struct msghdr message = {
	    .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	long result;
	do {
		result = SYS(recvmsg, socket, &message, MSG_CMSG_CLOEXEC);
	} while (result == -EINTR);
	*out_fd = -1;
	if (result > 0 && message.msg_controllen >= CMSG_LEN(sizeof(int)) &&
	    control.header.cmsg_type == SCM_RIGHTS)
		*out_fd = *(int *)(void *)CMSG_DATA(&control.header);
	return result;
}

long write_file(int directory, const char *path, const char *text)
{
	long fd = SYS(openat, directory, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return fd;
	long result = SYS(write, fd, text, text_length(text));
	SYS(close, fd);
	return result < 0 ? result : 0;
}
