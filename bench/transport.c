/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How an event gets to another process and its answer back, without KVM: through the shared memory of src/channel, with
 * both sides awake and with both asleep; through two pipes with protobuf both ways, as the original does, and the same
 * with sockets; and what is the least that either costs, one word that changes there and back, and a bare futex. Each
 * other side is a process of its own.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"
#include "channel/area.h"
#include "channel/host_end.h"
#include "channel/plugin_end.h"
#include "guest.h"
#include "samples.h"
#include "wire/codec.h"

/* Round trips that are timed as one where a single one takes little more than reading the clock. */
#define FAST_EVENTS 10

struct transport {
	void (*round)(struct transport *transport);  /* here */
	void (*answer)(struct transport *transport); /* there */
	unsigned int events;
	int orders[2]; /* a byte: answer a block */
	pid_t process;

	struct area area;
	struct tokens tokens;
	struct host_end host;
	struct plugin_end plugin;

	int down[2], up[2]; /* pipes */
	uint8_t buffer[256];

	_Atomic(uint32_t) *words; /* bare ones: for there, for here */
	uint32_t turn;
};

static const uint8_t data[4] = {1, 2, 3, 4};

/* ---- The channel ---- */

static void channel_round(struct transport *transport)
{
	const struct host_access access = {.flags = PAGE_IS_WRITE, .address = GUEST_PORT, .data = data, .size = 4};
	struct page_answer answer;
	if (host_end_access(&transport->host, &access) < 0 || host_end_await(&transport->host, 0, &answer) < 0)
		errx(1, "the hand-over failed");
}

static void channel_answer(struct transport *transport)
{
	struct plugin_event event;
	if (plugin_end_wait(&transport->plugin, 0, &event) < 0 || event.address != GUEST_PORT)
		errx(1, "the hand-over failed");
	plugin_end_resume(&transport->plugin, NULL, 0, 0, 0);
}

static bool is_dead(void *context)
{
	(void)context;
	return getppid() == 1;
}

static void channel_init(struct transport *transport, uint32_t spin_ns)
{
	const struct spin_setting setting = {SPIN_FIXED, spin_ns};
	if (area_new(1, &transport->area) < 0)
		errx(1, "memory");
	struct vcpu_page *page = area_page(&transport->area, 0);
	tokens_init(&transport->tokens, setting, 2, -1);
	host_end_init(&transport->host, page, &transport->tokens);
	plugin_end_init(&transport->plugin, page, setting, is_dead, NULL);
	transport->round = channel_round;
	transport->answer = channel_answer;
}

/* ---- Pipes ---- */

static void write_to(int fd, const uint8_t *bytes, size_t size)
{
	if (write(fd, bytes, size) != (ssize_t)size)
		err(1, "pipe");
}

static size_t read_from(int fd, uint8_t *buffer, size_t capacity)
{
	ssize_t size = read(fd, buffer, capacity);
	if (size <= 0)
		errx(1, "pipe");
	return (size_t)size;
}

static void pipe_round(struct transport *transport)
{
	wire_VcpuResponse event = {.which_message = wire_VcpuResponse_wait_tag};
	wire_VcpuResponse_Wait_Io *io = &event.message.wait.exit.io;
	event.message.wait.which_exit = wire_VcpuResponse_Wait_io_tag;
	*io = (wire_VcpuResponse_Wait_Io){.space = wire_AddressSpace_IOPORT,
	                                  .address = GUEST_PORT,
	                                  .is_write = true,
	                                  .data = {data, sizeof(data)}};
	uint8_t body[128], *frame = transport->buffer;
	ssize_t size = wire_encode_vcpu_response(&event, body, sizeof(body));
	size_t header = size > 0 ? wire_frame_header((uint32_t)size, frame) : 0;
	memcpy(frame + header, body, (size_t)size);
	write_to(transport->down[1], frame, header + (size_t)size);

	wire_VcpuRequest request;
	size_t got = read_from(transport->up[0], transport->buffer, sizeof(transport->buffer));
	if (wire_decode_vcpu_request(transport->buffer, got, NULL, &request) < 0 ||
	    request.which_message != wire_VcpuRequest_resume_tag)
		errx(1, "no resume");
}

static void pipe_answer(struct transport *transport)
{
	wire_VcpuResponse event;
	uint32_t body;
	size_t got = read_from(transport->down[0], transport->buffer, sizeof(transport->buffer));
	ssize_t header = wire_frame_parse(transport->buffer, got, &body);
	if (header <= 0 || wire_decode_vcpu_response(transport->buffer + header, body, NULL, &event) < 0)
		errx(1, "no event");
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_resume_tag};
	uint8_t out[128];
	ssize_t size = wire_encode_vcpu_request(&request, out, sizeof(out));
	write_to(transport->up[1], out, (size_t)size);
}

/* One of each direction; what is read is at 0. */
static void pipe_init(struct transport *transport, bool is_packets)
{
	int *const pairs[] = {transport->down, transport->up};
	for (int i = 0; i < 2; i++) {
		if (is_packets ? socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pairs[i])
		               : pipe2(pairs[i], O_CLOEXEC))
			err(1, "pipe");
	}
	transport->round = pipe_round;
	transport->answer = pipe_answer;
}

/* ---- Bare words ---- */

/* Each on lines of its own. */
#define HERE 64

static void word_round(struct transport *transport)
{
	atomic_exchange(&transport->words[0], ++transport->turn);
	while (atomic_load_explicit(&transport->words[HERE], memory_order_acquire) != transport->turn)
		__builtin_ia32_pause();
}

static void word_answer(struct transport *transport)
{
	transport->turn++;
	while (atomic_load_explicit(&transport->words[0], memory_order_acquire) != transport->turn)
		__builtin_ia32_pause();
	atomic_exchange(&transport->words[HERE], transport->turn);
}

static void futex_post(_Atomic(uint32_t) *word, uint32_t turn)
{
	atomic_store(word, turn);
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void futex_await(_Atomic(uint32_t) *word, uint32_t turn)
{
	while (atomic_load(word) != turn)
		syscall(SYS_futex, word, FUTEX_WAIT, turn - 1, NULL, NULL, 0);
}

static void futex_round(struct transport *transport)
{
	transport->turn++;
	futex_post(&transport->words[0], transport->turn);
	futex_await(&transport->words[HERE], transport->turn);
}

static void futex_answer(struct transport *transport)
{
	transport->turn++;
	futex_await(&transport->words[0], transport->turn);
	futex_post(&transport->words[HERE], transport->turn);
}

static void words_init(struct transport *transport, bool sleeps)
{
	transport->words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (transport->words == MAP_FAILED)
		err(1, "mmap");
	transport->round = sleeps ? futex_round : word_round;
	transport->answer = sleeps ? futex_answer : word_answer;
}

/* ---- All of them ---- */

static void serve(struct transport *transport)
{
	uint8_t order;
	while (read(transport->orders[0], &order, 1) == 1) {
		for (size_t i = 0; i < (size_t)BLOCK_EVENTS * transport->events; i++)
			transport->answer(transport);
	}
	_exit(0);
}

static void start(struct transport *transport, int cpu, unsigned int events)
{
	transport->events = events;
	if (pipe2(transport->orders, O_CLOEXEC) < 0)
		err(1, "pipe");
	transport->process = fork();
	if (transport->process < 0)
		err(1, "fork");
	if (transport->process == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(transport->orders[1]);
		pin_to_cpu(cpu);
		serve(transport);
	}
	close(transport->orders[0]);
}

static void transport_block(void *context, uint64_t *times)
{
	struct transport *transport = context;
	write_to(transport->orders[1], data, 1);
	for (size_t i = 0; i < BLOCK_EVENTS; i++) {
		uint64_t begin = now_ns();
		for (unsigned int event = 0; event < transport->events; event++)
			transport->round(transport);
		times[i] = now_ns() - begin;
	}
}

static void stop(struct transport *transport)
{
	close(transport->orders[1]);
	kill(transport->process, SIGKILL);
	waitpid(transport->process, NULL, 0);
	for (int i = 0; i < 2 && transport->round == pipe_round; i++) {
		close(transport->down[i]);
		close(transport->up[i]);
	}
	if (transport->words)
		munmap(transport->words, 4096);
	if (transport->round == channel_round)
		area_fini(&transport->area);
}

enum { FAST, PIPE, PACKETS, WORD, ASLEEP_ACROSS, FUTEX_ACROSS, ASLEEP, FUTEX, PIPE_SAME, TRANSPORTS };
static struct transport transports[TRANSPORTS];
static size_t first_transport;

static size_t transport_open(const struct bench_config *config, struct bench_case *out_cases)
{
	static const struct bench_case cases[TRANSPORTS] = {
	    [FAST] = {"channel/fast", transport_block, &transports[FAST], FAST_EVENTS, PIPE, 0.05, 0, 300},
	    [PIPE] = {"channel/pipe", transport_block, &transports[PIPE], 1, FAST, 0, 0, 0},
	    [PACKETS] = {"channel/packets", transport_block, &transports[PACKETS], 1, PIPE, 0, 0, 0},
	    [WORD] = {"channel/word", transport_block, &transports[WORD], FAST_EVENTS, FAST, 0, 0, 0},
	    [ASLEEP_ACROSS] = {"channel/fast-asleep-across", transport_block, &transports[ASLEEP_ACROSS], 1,
	                       FUTEX_ACROSS, 1.2, 0, 0},
	    [FUTEX_ACROSS] = {"channel/futex-across", transport_block, &transports[FUTEX_ACROSS], 1, FUTEX_ACROSS,
	                      0, 0, 0},
	    [ASLEEP] = {"channel/fast-asleep", transport_block, &transports[ASLEEP], 1, FUTEX, 1.2, 0, 0},
	    [FUTEX] = {"channel/futex", transport_block, &transports[FUTEX], 1, FUTEX, 0, 0, 0},
	    [PIPE_SAME] = {"channel/pipe-same", transport_block, &transports[PIPE_SAME], 1, FUTEX, 0, 0, 0},
	};
	/* Across needs two CPUs. */
	first_transport = config->other_cpu == config->host_cpu ? ASLEEP : FAST;
	memset(transports, 0, sizeof(transports));
	for (size_t i = first_transport; i < TRANSPORTS; i++) {
		struct transport *transport = &transports[i];
		if (i == FAST)
			channel_init(transport, SPIN_FIXED_NS_MAX);
		else if (i == ASLEEP || i == ASLEEP_ACROSS)
			channel_init(transport, 0);
		else if (i == PIPE || i == PIPE_SAME || i == PACKETS)
			pipe_init(transport, i == PACKETS);
		else
			words_init(transport, i != WORD);
		start(transport, i < ASLEEP ? config->other_cpu : config->host_cpu, cases[i].events);
		out_cases[i - first_transport] = cases[i];
		out_cases[i - first_transport].against -= first_transport;
	}
	return TRANSPORTS - first_transport;
}

static void transport_close(void)
{
	for (size_t i = first_transport; i < TRANSPORTS; i++)
		stop(&transports[i]);
}

const struct family transport_family = {"channel", transport_open, transport_close};
