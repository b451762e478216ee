/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the vCPU channel over sockets and over pipes: requests as one write each, frames in any number of
 * pieces, frames that are too long or no messages, events that come before the reply that is waited for, the
 * peer's end at every byte, signals, and that nothing works any more once something went wrong.
 */
#include "plugin_fake_host.c"

#include <signal.h>
#include <time.h>

#include "plugin/channel.h"

#define FRAME_BYTES (WIRE_FRAME_HEADER_MAX + LIMIT_VCPU_RESPONSE_BYTES)

struct ends {
	int requests; /* the host's */
	int events;
};

static void open_channel(enum fake_kind kind, struct channel *channel, struct ends *ends)
{
	struct fake fake = {0};
	int fds[2];
	fake_make_vcpu(&fake, kind, fds);
	assert_int_equal(channel_init(channel, fds), 0);
	assert_int_equal(fds[0], -1);
	assert_int_equal(fds[1], -1);
	ends->requests = fake.requests[0];
	ends->events = fake.events[0];
}

static void close_channel(struct channel *channel, struct ends *ends)
{
	channel_fini(channel);
	fd_close(&ends->requests);
	fd_close(&ends->events);
}

static void put(int fd, const uint8_t *data, size_t size)
{
	assert_int_equal(write(fd, data, size), size);
}

/* Two events, a reply and an event; the second event has the most data that there is. */
struct stream {
	uint8_t data[2 * LIMIT_ACCESS_BYTES];
	size_t size;
	size_t ends[4];
};

static void append(struct stream *stream, const wire_VcpuResponse *response)
{
	uint8_t body[FRAME_BYTES];
	ssize_t size = wire_encode_vcpu_response(response, body, sizeof(body));
	assert_true(size >= 0);
	stream->size += wire_frame_header((uint32_t)size, &stream->data[stream->size]);
	memcpy(&stream->data[stream->size], body, (size_t)size);
	stream->size += (size_t)size;
}

static uint8_t pattern[LIMIT_ACCESS_BYTES];

static void make_stream(struct stream *stream)
{
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + (i >> 8));
	wire_VcpuResponse first = fake_io(pattern, 1);
	wire_VcpuResponse second = fake_io(pattern, 300);
	wire_VcpuResponse reply = {.which_message = wire_VcpuResponse_get_state_tag};
	reply.message.get_state.state = (struct wire_bytes){pattern, 144};
	wire_VcpuResponse last = fake_io(pattern, 8);
	stream->size = 0;
	append(stream, &first);
	stream->ends[0] = stream->size;
	append(stream, &second);
	stream->ends[1] = stream->size;
	append(stream, &reply);
	stream->ends[2] = stream->size;
	append(stream, &last);
	stream->ends[3] = stream->size;
}

static void check_bytes(struct wire_bytes bytes, size_t size)
{
	assert_int_equal(bytes.size, size);
	assert_memory_equal(bytes.data, pattern, size);
}

static void expect_event(struct channel *channel, size_t size)
{
	wire_VcpuResponse response;
	assert_int_equal(channel_next(channel, NULL, NULL, &response), 0);
	assert_int_equal(response.which_message, wire_VcpuResponse_wait_tag);
	assert_int_equal(response.message.wait.which_exit, wire_VcpuResponse_Wait_io_tag);
	check_bytes(response.message.wait.exit.io.data, size);
}

static void expect_reply(struct channel *channel)
{
	wire_VcpuResponse response;
	assert_int_equal(channel_next_reply(channel, NULL, &response), 0);
	assert_int_equal(response.which_message, wire_VcpuResponse_get_state_tag);
	check_bytes(response.message.get_state.state, 144);
}

static void check_broken(struct channel *channel, int error)
{
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_wait_tag};
	wire_VcpuResponse response;
	assert_int_equal(channel_next(channel, NULL, NULL, &response), error);
	assert_int_equal(channel_next_reply(channel, NULL, &response), error);
	assert_int_equal(channel_send(channel, &request), error);
}

/* ---- Requests ---- */

static void test_send(void **state)
{
	(void)state;
	for (enum fake_kind kind = FAKE_SOCKETS; kind <= FAKE_PIPES; kind++) {
		struct channel channel;
		struct ends ends;
		open_channel(kind, &channel, &ends);
		wire_VcpuRequest request = {.which_message = wire_VcpuRequest_get_state_tag};
		request.message.get_state.set = wire_VcpuRequest_StateSet_SREGS;
		assert_int_equal(channel_send(&channel, &request), 0);
		uint8_t data[16];
		assert_int_equal(read(ends.requests, data, sizeof(data)), 4);
		const uint8_t expected[] = {0x1a, 2, 0x08, 1};
		assert_memory_equal(data, expected, 4);
		close_channel(&channel, &ends);
	}
}

static sig_atomic_t sigpipes;

static void count_sigpipe(int number)
{
	(void)number;
	sigpipes++;
}

/* The host's end of a pipe is gone: an errno, no signal, and no signal left behind. */
static void test_send_to_nobody(void **state)
{
	(void)state;
	struct sigaction old, action = {.sa_handler = count_sigpipe};
	assert_int_equal(sigaction(SIGPIPE, &action, &old), 0);
	sigpipes = 0;
	for (enum fake_kind kind = FAKE_SOCKETS; kind <= FAKE_PIPES; kind++) {
		struct channel channel;
		struct ends ends;
		open_channel(kind, &channel, &ends);
		fd_close(&ends.requests);
		wire_VcpuRequest request = {.which_message = wire_VcpuRequest_wait_tag};
		assert_int_equal(channel_send(&channel, &request), -ECONNRESET);
		check_broken(&channel, -ECONNRESET);
		sigset_t pending, mask;
		assert_int_equal(sigpending(&pending), 0);
		assert_false(sigismember(&pending, SIGPIPE));
		assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
		assert_false(sigismember(&mask, SIGPIPE));
		close_channel(&channel, &ends);
	}
	assert_int_equal(sigpipes, 0);
	sigaction(SIGPIPE, &old, NULL);
}

/* A SIGPIPE that waited before is the program's own, and so is its mask. */
static void test_send_keeps_pending_signal(void **state)
{
	(void)state;
	sigset_t sigpipe, before, pending, mask;
	sigemptyset(&sigpipe);
	sigaddset(&sigpipe, SIGPIPE);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &sigpipe, &before), 0);
	for (int was_pending = 0; was_pending <= 1; was_pending++) {
		if (was_pending)
			raise(SIGPIPE);
		struct channel channel;
		struct ends ends;
		open_channel(FAKE_PIPES, &channel, &ends);
		fd_close(&ends.requests);
		wire_VcpuRequest request = {.which_message = wire_VcpuRequest_wait_tag};
		assert_int_equal(channel_send(&channel, &request), -ECONNRESET);
		assert_int_equal(sigpending(&pending), 0);
		assert_int_equal(sigismember(&pending, SIGPIPE), was_pending);
		assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
		assert_true(sigismember(&mask, SIGPIPE));
		close_channel(&channel, &ends);
	}
	int number;
	assert_int_equal(sigwait(&sigpipe, &number), 0);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

static void ignore_signal(int number)
{
	(void)number;
}

struct slow_reader {
	pthread_t sender;
	int fd;
	uint8_t data[2 * LIMIT_ACCESS_BYTES];
	size_t size;
	size_t wanted;
};

/* Interrupt the sender, then make room a little at a time. */
static void *read_slowly(void *argument)
{
	struct slow_reader *reader = argument;
	const struct timespec time = {.tv_nsec = 2 * 1000 * 1000};
	for (int i = 0; i < 10; i++) {
		nanosleep(&time, NULL);
		pthread_kill(reader->sender, SIGUSR1);
	}
	while (reader->size < reader->wanted) {
		ssize_t size = read(reader->fd, reader->data + reader->size, 1000);
		if (size <= 0)
			break;
		reader->size += (size_t)size;
		pthread_kill(reader->sender, SIGUSR1);
		nanosleep(&time, NULL);
	}
	return NULL;
}

/* A full pipe takes a long request in parts, and signals come in between. */
static void test_send_in_parts(void **state)
{
	(void)state;
	struct sigaction old, action = {.sa_handler = ignore_signal};
	assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
	struct channel channel;
	struct ends ends;
	open_channel(FAKE_PIPES, &channel, &ends);
	assert_int_equal(fcntl(ends.requests, F_SETPIPE_SZ, 4096), 4096);
	make_stream(&(struct stream){.size = 0});

	static uint8_t regs[sizeof(struct kvm_regs)];
	wire_VcpuRequest request = {.which_message = wire_VcpuRequest_resume_tag};
	request.message.resume.data = (struct wire_bytes){pattern, sizeof(pattern)};
	request.message.resume.regs = (struct wire_bytes){regs, sizeof(regs)};
	uint8_t expected[2 * LIMIT_ACCESS_BYTES];
	ssize_t size = wire_encode_vcpu_request(&request, expected, sizeof(expected));
	assert_true(size > 4096);

	static struct slow_reader reader;
	reader = (struct slow_reader){.sender = pthread_self(), .fd = ends.requests, .wanted = (size_t)size};
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
	int error = channel_send(&channel, &request);
	pthread_join(thread, NULL);
	assert_int_equal(error, 0);
	assert_int_equal(reader.size, (size_t)size);
	assert_memory_equal(reader.data, expected, reader.size);
	close_channel(&channel, &ends);
	sigaction(SIGUSR1, &old, NULL);
}

/* ---- Responses ---- */

static void test_one_by_one(void **state)
{
	(void)state;
	struct stream stream;
	make_stream(&stream);
	for (enum fake_kind kind = FAKE_SOCKETS; kind <= FAKE_PIPES; kind++) {
		struct channel channel;
		struct ends ends;
		open_channel(kind, &channel, &ends);
		/* More often than the buffer would hold without removal. */
		for (size_t round = 0; round < 2 * FRAME_BYTES / 300; round++) {
			size_t start = 0;
			for (size_t i = 0; i < 4; i++) {
				put(ends.events, stream.data + start, stream.ends[i] - start);
				start = stream.ends[i];
				static const size_t sizes[] = {1, 300, 0, 8};
				if (i == 2)
					expect_reply(&channel);
				else
					expect_event(&channel, sizes[i]);
			}
		}
		close_channel(&channel, &ends);
	}
}

/* The reply is found behind the events, which keep their order. */
static void check_stream(struct channel *channel)
{
	expect_reply(channel);
	expect_event(channel, 1);
	expect_event(channel, 300);
	expect_event(channel, 8);
}

struct writer {
	int fd;
	const struct stream *stream;
	size_t split;
	size_t step;
};

static void *write_in_parts(void *argument)
{
	const struct writer *writer = argument;
	const struct timespec time = {.tv_nsec = 100 * 1000};
	if (write(writer->fd, writer->stream->data, writer->split) < 0)
		return NULL;
	for (size_t at = writer->split; at < writer->stream->size;) {
		nanosleep(&time, NULL);
		size_t left = writer->stream->size - at;
		size_t part = left < writer->step ? left : writer->step;
		if (write(writer->fd, writer->stream->data + at, part) < 0)
			break;
		at += part;
	}
	return NULL;
}

static void check_parts(enum fake_kind kind, const struct stream *stream, size_t split, size_t step)
{
	struct channel channel;
	struct ends ends;
	open_channel(kind, &channel, &ends);
	struct writer writer = {ends.events, stream, split, step};
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, write_in_parts, &writer), 0);
	check_stream(&channel);
	pthread_join(thread, NULL);
	close_channel(&channel, &ends);
}

static void test_split_anywhere(void **state)
{
	(void)state;
	struct stream stream;
	make_stream(&stream);
	for (size_t split = 1; split < stream.size; split++)
		check_parts(FAKE_PIPES, &stream, split, stream.size);
}

static void test_byte_by_byte(void **state)
{
	(void)state;
	struct stream stream;
	make_stream(&stream);
	check_parts(FAKE_PIPES, &stream, 1, 1);
	check_parts(FAKE_SOCKETS, &stream, 1, 1);
}

static void test_all_at_once(void **state)
{
	(void)state;
	struct stream stream;
	make_stream(&stream);
	for (enum fake_kind kind = FAKE_SOCKETS; kind <= FAKE_PIPES; kind++) {
		struct channel channel;
		struct ends ends;
		open_channel(kind, &channel, &ends);
		put(ends.events, stream.data, stream.size);
		check_stream(&channel);
		close_channel(&channel, &ends);
	}
}

/* The host dies after each byte: what was whole is still delivered, then it is over. */
static void test_end_anywhere(void **state)
{
	(void)state;
	struct stream stream;
	make_stream(&stream);
	for (enum fake_kind kind = FAKE_SOCKETS; kind <= FAKE_PIPES; kind++) {
		for (size_t size = 0; size <= stream.size; size++) {
			struct channel channel;
			struct ends ends;
			open_channel(kind, &channel, &ends);
			if (size > 0)
				put(ends.events, stream.data, size);
			fd_close(&ends.events);
			wire_VcpuResponse response;
			for (size_t i = 0; i < 4 && stream.ends[i] <= size; i++)
				assert_int_equal(channel_next(&channel, NULL, NULL, &response), 0);
			assert_int_equal(channel_next(&channel, NULL, NULL, &response), -ECONNRESET);
			check_broken(&channel, -ECONNRESET);
			close_channel(&channel, &ends);
		}
	}
}

static void test_end_before_reply(void **state)
{
	(void)state;
	struct stream stream;
	make_stream(&stream);
	for (enum fake_kind kind = FAKE_SOCKETS; kind <= FAKE_PIPES; kind++) {
		struct channel channel;
		struct ends ends;
		open_channel(kind, &channel, &ends);
		put(ends.events, stream.data, stream.ends[1]);
		fd_close(&ends.events);
		wire_VcpuResponse response;
		assert_int_equal(channel_next_reply(&channel, NULL, &response), -ECONNRESET);
		check_broken(&channel, -ECONNRESET);
		close_channel(&channel, &ends);
	}
}

/* A message of just `body_size` bytes: a reply whose blob fills it. */
static size_t make_long_frame(uint8_t *frame, size_t body_size)
{
	static uint8_t blob[LIMIT_VCPU_RESPONSE_BYTES];
	uint8_t *body = frame + WIRE_FRAME_HEADER_MAX;
	wire_VcpuResponse reply = {.which_message = wire_VcpuResponse_get_state_tag};
	reply.message.get_state.state = (struct wire_bytes){blob, body_size - 8};
	ssize_t size = wire_encode_vcpu_response(&reply, body, body_size);
	assert_int_equal(size, body_size);
	uint8_t header[WIRE_FRAME_HEADER_MAX];
	size_t header_size = wire_frame_header((uint32_t)body_size, header);
	memmove(frame + header_size, body, body_size);
	memcpy(frame, header, header_size);
	return header_size + body_size;
}

static void test_longest_frame(void **state)
{
	(void)state;
	static uint8_t frame[FRAME_BYTES];
	size_t size = make_long_frame(frame, LIMIT_VCPU_RESPONSE_BYTES);
	for (enum fake_kind kind = FAKE_SOCKETS; kind <= FAKE_PIPES; kind++) {
		struct channel channel;
		struct ends ends;
		open_channel(kind, &channel, &ends);
		put(ends.events, frame, size);
		put(ends.events, FRAME_INIT);
		wire_VcpuResponse response;
		assert_int_equal(channel_next(&channel, NULL, NULL, &response), 0);
		assert_int_equal(response.message.get_state.state.size, LIMIT_VCPU_RESPONSE_BYTES - 8);
		assert_int_equal(channel_next(&channel, NULL, NULL, &response), 0);
		assert_int_equal(response.which_message, wire_VcpuResponse_wait_tag);
		close_channel(&channel, &ends);
	}
}

static void check_protocol_error(const uint8_t *data, size_t size)
{
	for (enum fake_kind kind = FAKE_SOCKETS; kind <= FAKE_PIPES; kind++) {
		struct channel channel;
		struct ends ends;
		open_channel(kind, &channel, &ends);
		put(ends.events, data, size);
		put(ends.events, FRAME_INIT);
		wire_VcpuResponse response;
		assert_int_equal(channel_next(&channel, NULL, NULL, &response), -EPROTO);
		check_broken(&channel, -EPROTO);
		close_channel(&channel, &ends);
	}
}

static void test_bad_frames(void **state)
{
	(void)state;
	/* LIMIT_VCPU_RESPONSE_BYTES + 1, which needs no body to be refused. */
	check_protocol_error(BYTES(0x81, 0x80, 0x04));
	check_protocol_error(BYTES(0xff, 0xff, 0xff, 0xff, 0x0f));
	check_protocol_error(BYTES(0xff, 0xff, 0xff, 0xff, 0x10));
	check_protocol_error(BYTES(0x80, 0x80, 0x80, 0x80, 0x80, 0x01));
	/* No message: a bare tag, a length past the end, an unfinished number. */
	check_protocol_error(BYTES(1, 0x12));
	check_protocol_error(BYTES(2, 0x12, 0x7f));
	check_protocol_error(BYTES(2, 0x08, 0x80));
	check_protocol_error(BYTES(4, 0x12, 0x02, 0x0a, 0x7f));
}

/* The last byte that is kept, and the first that is not. */
static void check_backlog(enum fake_kind kind, size_t kept)
{
	struct channel channel;
	struct ends ends;
	open_channel(kind, &channel, &ends);
	static const uint8_t init[] = {4, 0x12, 2, 0x0a, 0};
	static uint8_t events[2 * FRAME_BYTES];
	for (size_t i = 0; i + sizeof(init) <= kept; i += sizeof(init))
		memcpy(&events[i], init, sizeof(init));
	size_t count = kept / sizeof(init);
	size_t size = count * sizeof(init);
	put(ends.events, events, size / 2);
	put(ends.events, events + size / 2, size - size / 2);
	wire_VcpuResponse response;
	put(ends.events, BYTES(2, 0x2a, 0));
	bool fits = size + 3 <= 2 * FRAME_BYTES;
	assert_int_equal(channel_next_reply(&channel, NULL, &response), fits ? 0 : -EPROTO);
	if (!fits) {
		check_broken(&channel, -EPROTO);
	} else {
		assert_int_equal(response.which_message, wire_VcpuResponse_set_state_tag);
		for (size_t i = 0; i < count; i++)
			assert_int_equal(channel_next(&channel, NULL, NULL, &response), 0);
		put(ends.events, BYTES(2, 0x2a, 0));
		assert_int_equal(channel_next(&channel, NULL, NULL, &response), 0);
		assert_int_equal(response.which_message, wire_VcpuResponse_set_state_tag);
	}
	close_channel(&channel, &ends);
}

static void test_backlog_is_bounded(void **state)
{
	(void)state;
	for (enum fake_kind kind = FAKE_SOCKETS; kind <= FAKE_PIPES; kind++) {
		check_backlog(kind, FRAME_BYTES);
		check_backlog(kind, 2 * FRAME_BYTES - 5);
		check_backlog(kind, 2 * FRAME_BYTES);
	}
}

/* A packet that does not fit loses its end, so it is no use to begin with it. */
static void test_long_packet(void **state)
{
	(void)state;
	static const uint8_t init[] = {4, 0x12, 2, 0x0a, 0};
	static uint8_t events[(2 * FRAME_BYTES / 5 + 1) * sizeof(init)];
	for (size_t i = 0; i < sizeof(events); i += sizeof(init))
		memcpy(&events[i], init, sizeof(init));
	struct channel channel;
	struct ends ends;
	open_channel(FAKE_SOCKETS, &channel, &ends);
	put(ends.events, events, sizeof(events));
	wire_VcpuResponse response;
	assert_int_equal(channel_next(&channel, NULL, NULL, &response), -EPROTO);
	check_broken(&channel, -EPROTO);
	close_channel(&channel, &ends);
}

static void test_fds_are_refused(void **state)
{
	(void)state;
	struct channel channel;
	struct ends ends;
	open_channel(FAKE_SOCKETS, &channel, &ends);
	size_t fds = fake_count_fds();
	int fd = ends.events;
	assert_int_equal(packet_send(ends.events, FRAME_INIT, &fd, 1, 0), 0);
	wire_VcpuResponse response;
	assert_int_equal(channel_next(&channel, NULL, NULL, &response), -EPROTO);
	check_broken(&channel, -EPROTO);
	assert_int_equal(fake_count_fds(), fds);
	close_channel(&channel, &ends);
}

/* ---- Signals ---- */

struct interrupter {
	pthread_t waiter;
	int fd;
};

static void *interrupt(void *argument)
{
	const struct interrupter *interrupter = argument;
	const struct timespec time = {.tv_nsec = 2 * 1000 * 1000};
	for (int i = 0; i < 10; i++) {
		nanosleep(&time, NULL);
		pthread_kill(interrupter->waiter, SIGUSR1);
	}
	return write(interrupter->fd, FRAME_INIT) < 0 ? argument : NULL;
}

static void test_wait_is_restarted(void **state)
{
	(void)state;
	struct sigaction old, action = {.sa_handler = ignore_signal};
	assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
	for (enum fake_kind kind = FAKE_SOCKETS; kind <= FAKE_PIPES; kind++) {
		struct channel channel;
		struct ends ends;
		open_channel(kind, &channel, &ends);
		struct interrupter interrupter = {pthread_self(), ends.events};
		pthread_t thread;
		assert_int_equal(pthread_create(&thread, NULL, interrupt, &interrupter), 0);
		wire_VcpuResponse response;
		int error = channel_next(&channel, NULL, NULL, &response);
		pthread_join(thread, NULL);
		assert_int_equal(error, 0);
		close_channel(&channel, &ends);
	}
	sigaction(SIGUSR1, &old, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_send),
	    TEST(test_send_to_nobody),
	    TEST(test_send_keeps_pending_signal),
	    TEST(test_send_in_parts),
	    TEST(test_one_by_one),
	    TEST(test_split_anywhere),
	    TEST(test_byte_by_byte),
	    TEST(test_all_at_once),
	    TEST(test_end_anywhere),
	    TEST(test_end_before_reply),
	    TEST(test_longest_frame),
	    TEST(test_bad_frames),
	    TEST(test_backlog_is_bounded),
	    TEST(test_long_packet),
	    TEST(test_fds_are_refused),
	    TEST(test_wait_is_restarted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
