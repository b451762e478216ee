/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What goes on until it is stopped from outside: the VM beside it must not suffer, and a stop must come through.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "raw.h"

/* More tables than a socket holds, and how often a reply with an fd is the first that it does not. */
#define UNREAD_MOST 1000
#define UNREAD_FDS  10
/* How long the host may take to drop it: where it may also never do so, and where it must. */
#define UNREAD_SOON_MS 50
#define UNREAD_LATE_MS 10000

/* What a flood sees go wrong it says at once; the runner reads it. */

/* A peer that never reads its replies: dropped when the socket is full, and others are served. */
static void never_reads(void)
{
	int other = clone_connection();
	struct bytes *request = empty_member(GET_SUPPORTED_CPUID);
	int sent = 0;
	while (sent < 100000 && send_packet(other, request->data, request->size, NULL, 0) == 0) {
		sent++;
		if (sent % 64 == 0)
			lives();
	}
	if (sent == 100000)
		problem("a connection that does not read was served %d times", sent);
	close(other);
}

/* Send requests of a CPUID table, and then `last`, and read nothing. Returns whether that costs the connection, in time. */
static bool costs_connection(int tables, const struct bytes *last, int patience_ms)
{
	struct bytes *request = empty_member(GET_SUPPORTED_CPUID);
	struct pollfd other = {.fd = clone_connection()};
	for (int i = 0; i < tables; i++)
		send_packet(other.fd, request->data, request->size, NULL, 0);
	if (last)
		send_packet(other.fd, last->data, last->size, NULL, 0);
	/* Each turn of the host's serves one request of each connection, if there is time. */
	for (int i = 0; i < tables + 2; i++)
		lives();
	poll(&other, 1, patience_ms);
	close(other.fd);
	return other.revents & POLLHUP;
}

/* The reply that does not go out any more has an fd: the host keeps none of it. */
static void unread_fds(void)
{
	int room = 0, too_many = UNREAD_MOST;
	while (too_many - room > 1) {
		int tables = (room + too_many) / 2;
		if (costs_connection(tables, NULL, UNREAD_SOON_MS))
			too_many = tables;
		else
			room = tables;
	}
	for (int i = 0; i < UNREAD_FDS; i++) {
		if (!costs_connection(room, empty_member(NEW_CONNECTION), UNREAD_LATE_MS))
			problem("%d replies fill a socket, and one more came through", room);
	}
}

static void never_reads_alone(void)
{
	never_reads();
	unread_fds();
}

static void never_reads_for_ever(void)
{
	for (;;)
		never_reads();
}

/* The vCPU writes to an async range, and nobody reads: it waits, and a stop comes through. */
static void channel_full(void)
{
	expect(ASK(MAIN, RESERVE_RANGE, 0, PORT, 0), 0, "the range goes");
	expect(ASK(MAIN, RESERVE_RANGE, 0, PORT, 8, 1), 0, "an async range");
	vcpu_send(&vcpus[0], resume_with(0));
	hang();
}

/* The plugin's direction full: requests that nobody serves, for the VM was not started. */
static void requests_full(void)
{
	fcntl(vcpus[0].requests, F_SETFL, O_NONBLOCK);
	struct bytes *request = state_of(VCPU_SET, 4, 60000);
	while (send_packet(vcpus[0].requests, request->data, request->size, NULL, 0) == 0)
		;
	lives();
	hang();
}

/* Replies of a held vCPU that nobody reads. */
static void replies_full(void)
{
	fcntl(vcpus[0].requests, F_SETFL, O_NONBLOCK);
	struct bytes *request = NUMBERS(VCPU_GET, 4);
	for (int failed = 0; failed < 1000; failed++) {
		while (send_packet(vcpus[0].requests, request->data, request->size, NULL, 0) == 0)
			;
		usleep(100);
	}
	lives();
	hang();
}

static void request_flood(void)
{
	for (;;)
		ASK(MAIN, RESERVE_RANGE, 0, 0x500, 8);
}

/* One that does not block; -1 while the host has not yet seen the ends of others. */
static int try_clone(void)
{
	static struct reply reply;
	struct bytes *request = empty_member(NEW_CONNECTION);
	send_packet(MAIN, request->data, request->size, NULL, 0);
	if (receive(MAIN, &reply) != 0)
		return -1;
	fcntl(reply.fds[0], F_SETFL, O_NONBLOCK);
	return reply.fds[0];
}

static void unread_flood_on_all(void)
{
	int fds[20];
	for (int i = 0; i < 20; i++)
		fds[i] = try_clone();
	struct bytes *request = empty_member(GET_MSR_LIST);
	for (;;) {
		for (int i = 0; i < 20; i++) {
			if (fds[i] < 0) {
				fds[i] = try_clone();
			} else if (send_packet(fds[i], request->data, request->size, NULL, 0) == EPIPE) {
				close(fds[i]);
				fds[i] = -1;
			}
		}
	}
}

/* What needs no host: as much time as it may have. */
static void burn(void)
{
	for (;;)
		;
}

static void connection_flood(void)
{
	for (;;) {
		int fd = try_clone();
		if (fd >= 0)
			close(fd);
	}
}

static void slow_requests(void)
{
	int fd = memfd(16 * GIB, true);
	for (;;) {
		create_memory(MAIN, 9, fd, 0, 4 * GIB, 16 * GIB, true);
		ASK(MAIN, DESTROY, 9);
	}
}

static void log_flood(void)
{
	for (;;) {
		int other = try_clone();
		if (other < 0)
			continue;
		send_packet(other, "\xff", 1, NULL, 0);
		close(other);
	}
}

static void write_stderr(const char *text, size_t size)
{
	static char block[65536];
	for (size_t at = 0; at < sizeof(block); at++)
		block[at] = text[at % size];
	/* 0: without end. In MiB. */
	for (uint64_t left = option ? option << 4 : UINT64_MAX; left > 0; left--) {
		if (write(STDERR_FILENO, block, sizeof(block)) < 0)
			problem("stderr: %m");
	}
}

static void stderr_lines(void)
{
	write_stderr("a line\n", 7);
}

static void stderr_endless_line(void)
{
	write_stderr("x", 1);
}

static void stderr_ansi(void)
{
	static const char bad[] =
	    "\x1b]0;title\x07\x1b[2J\x1b[31m\x9b\x00\r\b\xff\xc3\x28plugvm: error: not true\n";
	write_stderr(bad, sizeof(bad) - 1);
}

static void pause_storm(void)
{
	uint64_t user = 0;
	int other = clone_connection();
	start_thread(request_flood);
	for (;;) {
		ASK(other, PAUSE, UINT64_MAX, user++);
		vcpu_receive(&vcpus[0]);
		vcpu_ask(&vcpus[0], NUMBERS(VCPU_GET, user % 8));
		vcpu_send(&vcpus[0], resume_with(0));
	}
}

static void exit_storm(void)
{
	for (;;) {
		vcpu_send(&vcpus[0], resume_with(0));
		vcpu_receive(&vcpus[0]);
	}
}

/* Two connections make and destroy the same ids. */
static void race_objects(void)
{
	int other = clone_connection();
	int fd = memfd(16 * PAGE, true);
	for (uint64_t i = 0;; i++) {
		create_memory(other, 20 + (uint32_t)(i % 3), fd, 0, GIB + PAGE * (i % 5), PAGE, i % 2);
		ASK(other, DIRTY_LOG, 20 + i % 3);
		ASK(other, DESTROY, 20 + (i + 1) % 3);
		ASK(other, RESERVE_RANGE, 0, 0x600 + i % 7, i % 3);
		if (i % 16 == 0)
			ask(other, empty_member(GET_SHUTDOWN));
	}
}

static void racing_connections(void)
{
	start_thread(race_objects);
	start_thread(race_objects);
	race_objects();
}

static atomic_int stop_racing;

static void flip_memory(void)
{
	volatile uint32_t *words = (volatile uint32_t *)rom;
	for (uint32_t i = 0; !atomic_load(&stop_racing); i++)
		words[i % ((ROM_SIZE - PAGE) / 4)] = ~words[i % ((ROM_SIZE - PAGE) / 4)];
}

static void flip_flags(void)
{
	for (int i = 0; !atomic_load(&stop_racing); i++) {
		fcntl(MAIN, F_SETFL, i % 2 ? O_NONBLOCK : 0);
		fcntl(vcpus[0].events, F_SETFL, i % 2 ? O_NONBLOCK : 0);
		fcntl(vcpus[0].requests, F_SETFL, i % 2 ? O_NONBLOCK : 0);
		int size = i % 3 ? 1 : 1 << 20;
		setsockopt(vcpus[0].events, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		setsockopt(vcpus[0].requests, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
}

static int shutdown_fd;

static void flip_eventfd(void)
{
	while (!atomic_load(&stop_racing)) {
		uint64_t value = UINT64_MAX - 1;
		ssize_t ignored = write(shutdown_fd, &value, sizeof(value));
		ignored = read(shutdown_fd, &value, sizeof(value));
		(void)ignored;
	}
}

/* Everything that is shared with the host changes while it is used. */
static void shared_words(void)
{
	ask_for_fds(MAIN, empty_member(GET_SHUTDOWN), 1, &shutdown_fd);
	fcntl(shutdown_fd, F_SETFL, O_NONBLOCK);
	start_thread(flip_memory);
	start_thread(flip_flags);
	start_thread(flip_eventfd);
	int log = memfd(PAGE, true);
	expect(create_memory(MAIN, 30, rom_fd, 0, GIB, ROM_SIZE, true), 0, "the same pages again");
	for (;;) {
		ask_fds(MAIN, NUMBERS(DIRTY_LOG_TO, 30, 0), &log, 1);
		ASK(MAIN, PAUSE, 1, 1);
		vcpu_send(&vcpus[0], resume_with(0));
		vcpu_receive(&vcpus[0]);
	}
}

/* Async writes: the queue is the socket, and the guest fills it while the plugin reads as it likes. */
static void async_queue(void)
{
	expect(ASK(MAIN, RESERVE_RANGE, 0, PORT, 0), 0, "the range goes");
	expect(ASK(MAIN, RESERVE_RANGE, 0, PORT, 8, 1), 0, "an async range");
	vcpu_send(&vcpus[0], resume_with(0));
	for (unsigned i = 0;; i++) {
		vcpu_receive(&vcpus[0]);
		if (i % 100 == 0) {
			/* The range comes and goes under the queue. */
			ASK(MAIN, RESERVE_RANGE, 0, PORT, 0);
			ASK(MAIN, RESERVE_RANGE, 0, PORT, 8, 1);
		}
		if (i % 1000 == 999)
			usleep(1000);
	}
}

/* To answer to a queue is against the rules, and ends the VM. */
static void async_answers(void)
{
	expect(ASK(MAIN, RESERVE_RANGE, 0, PORT, 0), 0, "the range goes");
	expect(ASK(MAIN, RESERVE_RANGE, 0, PORT, 8, 1), 0, "an async range");
	vcpu_send(&vcpus[0], resume_with(0));
	for (int i = 0; i < 100; i++)
		vcpu_send(&vcpus[0], resume_with(0));
	ASK(MAIN, PAUSE, 1, 1);
	for (;;)
		if (vcpu_receive(&vcpus[0]) == LOST)
			hang();
}

static void fill(int fd)
{
	uint64_t value = UINT64_MAX - 1;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	ssize_t ignored = write(fd, &value, sizeof(value));
	value = 1;
	/* KVM takes what is written to one of its own at once. */
	for (int i = 0; i < 4; i++)
		ignored = write(fd, &value, sizeof(value));
	(void)ignored;
	fcntl(fd, F_SETFL, 0);
}

static void eventfds_full(void)
{
	int io, irq[2], stop;
	/* An io event on the port that the guest writes without end. */
	struct bytes *body = bytes_new(), *message = bytes_new(), *inner = bytes_new();
	put_number(inner, 2, PORT);
	put_number(body, 1, 50);
	put_member(body, 2, inner);
	put_member(message, CREATE, body);
	ask_for_fds(MAIN, message, 1, &io);
	message = bytes_new();
	body = bytes_new();
	put_number(body, 1, 51);
	inner = bytes_new();
	put_number(inner, 1, 5);
	put_member(body, 4, inner);
	put_member(message, CREATE, body);
	ask_for_fds(MAIN, message, 2, irq);
	ask_for_fds(MAIN, empty_member(GET_SHUTDOWN), 1, &stop);
	fill(stop);
	fill(irq[1]);
	fill(io);
	vcpu_send(&vcpus[0], resume_with(0));
	for (int i = 0; i < 100; i++) {
		fill(irq[0]);
		fill(io);
		lives();
		usleep(1000);
	}
}

/* What the plugin does to its own ends is no concern of the host's. */
static void shared_flags(void)
{
	for (int fd = 0; fd <= MAIN; fd++)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 100; i++) {
		vcpu_send(&vcpus[0], resume_with(0));
		expect(vcpu_receive(&vcpus[0]), 0, "an access");
	}
	fcntl(vcpus[0].requests, F_SETFL, O_NONBLOCK);
	fcntl(vcpus[0].events, F_SETFL, O_NONBLOCK);
	int small = 1;
	setsockopt(vcpus[0].requests, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	setsockopt(vcpus[0].events, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	setsockopt(MAIN, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (int i = 0; i < 100; i++) {
		vcpu_send(&vcpus[0], resume_with(0));
		expect(vcpu_receive(&vcpus[0]), 0, "an access");
	}
}

/* Only beside the jail: its filter knows no F_SETPIPE_SZ. */
static void pipe_size(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_SETPIPE_SZ, 4096) < 0 && errno != EBADF)
			problem("the size of pipe %d: %m", fd);
		fcntl(fd, F_SETFL, O_NONBLOCK);
	}
	for (int i = 0; i < 100; i++) {
		ssize_t ignored = write(STDERR_FILENO, "to a small pipe\n", 16);
		(void)ignored;
	}
}

const struct hostile_case flood_cases[] = {
    {"never-reads", SET_UP, never_reads_alone},
    {"never-reads-flood", HELD, never_reads_for_ever},
    {"channel-full", AT_INIT, channel_full},
    {"requests-full", SET_UP, requests_full},
    {"replies-full", HELD, replies_full},
    {"request-flood", HELD, request_flood},
    {"burn-held", HELD, burn},
    {"burn-spinning", SPINNING, burn},
    {"unread-flood", HELD, unread_flood_on_all},
    {"connection-flood", SET_UP, connection_flood},
    {"slow-requests", AT_INIT, slow_requests},
    {"log-flood", SET_UP, log_flood},
    {"stderr-lines", SET_UP, stderr_lines},
    {"stderr-endless-line", SET_UP, stderr_endless_line},
    {"stderr-ansi", SET_UP, stderr_ansi},
    {"pause-storm", SPINNING, pause_storm},
    {"exit-storm", HELD, exit_storm},
    {"racing-connections", SPINNING, racing_connections},
    {"shared-words", HELD, shared_words},
    {"async-queue", AT_INIT, async_queue},
    {"async-answers", AT_INIT, async_answers},
    {"eventfds-full", AT_INIT, eventfds_full},
    {"shared-flags", HELD, shared_flags},
    {"pipe-size", HELD, pipe_size},
    {},
};
