/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An fd of a plugin's whose close(2) does not return for a minute.
 */
#include "slow_fd.h"

#include "test.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/packet.h"

int make_slow_fd(int *out_peer)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	*out_peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(*out_peer >= 0);
	close(listener);

	static const uint8_t data[65536];
	while (send(fd, data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	const struct linger linger = {.l_onoff = 1, .l_linger = 60};
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	return fd;
}

void send_slow_fd(int socket, size_t size, int fd)
{
	assert_int_equal(packet_send(socket, "x", size, &fd, fd >= 0 ? 1 : 0, MSG_DONTWAIT), 0);
	if (fd >= 0)
		close(fd);
}
