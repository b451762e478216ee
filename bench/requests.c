/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a request on a main connection costs: against two processes that send packets of the same sizes back and forth
 * over a socket pair of the same kind, and do nothing else.
 */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"
#include "guest.h"
#include "samples.h"
#include "wire/codec.h"

#define KINDS      3
#define ORDERS     (KINDS + 1)
#define PACKET_MAX 64

/* A process that answers every packet. */
struct ping_pong {
	size_t request_size, response_size;
	int socket;
	pid_t pid;
};

static struct ping_pong ping_pongs[KINDS];
static struct machine_order orders[ORDERS];

/* What the requests look like on the wire; a release is 3 bytes shorter than this reservation. */
static const wire_MainRequest requests[KINDS] = {
    {.which_message = wire_MainRequest_set_irq_tag, .message.set_irq = {.irq_id = 5, .active = true}},
    {.which_message = wire_MainRequest_check_extension_tag, .message.check_extension = {.extension = 1}},
    {.which_message = wire_MainRequest_reserve_range_tag,
     .message.reserve_range = {.space = wire_AddressSpace_MMIO, .start = 0xd0000000, .length = 0x1000}},
};
static const wire_MainResponse responses[KINDS] = {
    {.which_message = wire_MainResponse_set_irq_tag},
    {.which_message = wire_MainResponse_check_extension_tag, .message.check_extension = {.has_extension = true}},
    {.which_message = wire_MainResponse_reserve_range_tag},
};

static void answer(int socket, size_t request_size, size_t response_size)
{
	uint8_t packet[PACKET_MAX] = {0};
	while (recv(socket, packet, sizeof(packet), 0) == (ssize_t)request_size) {
		if (send(socket, packet, response_size, MSG_NOSIGNAL) < 0)
			break;
	}
}

static void ping_pong_init(struct ping_pong *ping_pong, int cpu, size_t kind)
{
	uint8_t packet[PACKET_MAX];
	int pair[2];
	ping_pong->request_size = (size_t)wire_encode_main_request(&requests[kind], packet, sizeof(packet));
	ping_pong->response_size = (size_t)wire_encode_main_response(&responses[kind], packet, sizeof(packet));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		err(1, "socketpair");
	ping_pong->pid = fork();
	if (ping_pong->pid < 0)
		err(1, "fork");
	if (ping_pong->pid == 0) {
		/* The others' sockets too: their end is what ends those processes. */
		for (size_t i = 0; i < kind; i++)
			close(ping_pongs[i].socket);
		close(pair[0]);
		pin_to_cpu(cpu);
		answer(pair[1], ping_pong->request_size, ping_pong->response_size);
		_exit(0);
	}
	close(pair[1]);
	ping_pong->socket = pair[0];
}

static void ping_pong_block(void *context, uint64_t *times)
{
	const struct ping_pong *ping_pong = context;
	uint8_t packet[PACKET_MAX] = {0};
	for (size_t i = 0; i < BLOCK_EVENTS; i++) {
		uint64_t begin = now_ns();
		if (send(ping_pong->socket, packet, ping_pong->request_size, MSG_NOSIGNAL) < 0 ||
		    recv(ping_pong->socket, packet, sizeof(packet), 0) != (ssize_t)ping_pong->response_size)
			errx(1, "the other process has gone");
		times[i] = now_ns() - begin;
	}
}

static size_t request_open(const struct bench_config *config, struct bench_case *out_cases)
{
	static const char *const names[KINDS] = {"requests/set_irq", "requests/check_extension",
	                                         "requests/reserve_range"};
	static const char *const bare_names[KINDS] = {"requests/set_irq/bare", "requests/check_extension/bare",
	                                              "requests/reserve_range/bare"};
	static const char bytes[KINDS] = {ORDER_SET_IRQ, ORDER_CHECK_EXTENSION, ORDER_RESERVE};
	for (size_t i = 0; i < KINDS; i++)
		ping_pong_init(&ping_pongs[i], config->plugin_cpu, i);
	struct machine *machine = machine_new(config, 1, "requests", 1);
	for (size_t i = 0; i < KINDS; i++) {
		orders[i] = (struct machine_order){machine, bytes[i]};
		out_cases[2 * i] = (struct bench_case){.name = bare_names[i],
		                                       .block = ping_pong_block,
		                                       .context = &ping_pongs[i],
		                                       .events = 1,
		                                       .against = 2 * i};
		out_cases[2 * i + 1] = (struct bench_case){.name = names[i],
		                                           .block = machine_block,
		                                           .context = &orders[i],
		                                           .events = bytes[i] == ORDER_RESERVE ? 2 : 1,
		                                           .against = 2 * i};
	}
	/* What set_irq does, without the host. */
	orders[KINDS] = (struct machine_order){machine, ORDER_IRQ_EVENT};
	out_cases[2 * KINDS] = (struct bench_case){.name = "requests/irq_event",
	                                           .block = machine_block,
	                                           .context = &orders[KINDS],
	                                           .events = 1,
	                                           .against = 1};
	return 2 * KINDS + 1;
}

static void request_close(void)
{
	machine_free(orders[0].machine);
	for (size_t i = 0; i < KINDS; i++) {
		close(ping_pongs[i].socket);
		while (waitpid(ping_pongs[i].pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
}

const struct family request_family = {"requests", request_open, request_close};
