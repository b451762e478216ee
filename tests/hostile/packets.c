/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bad packets and bad values on a main connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "raw.h"

#define NO_ID UINT32_MAX

static void expect_drop(const void *data, size_t size, const int *fds, int fd_count, const char *what)
{
	int other = clone_connection();
	send_packet(other, data, size, fds, fd_count);
	if (!is_dropped(other))
		problem("%s: the connection was not dropped", what);
	close(other);
}

static void empty_packet(void)
{
	expect_drop("", 0, NULL, 0, "an empty packet");
}

static void last_connection(void)
{
	send_packet(MAIN, "", 0, NULL, 0);
	hang();
}

static void long_packet(void)
{
	static uint8_t large[REQUEST_BYTES + 1];
	struct bytes request = {.size = 0};
	memset(large, 0xff, sizeof(large));
	memcpy(request.data, large, sizeof(large));
	request.size = sizeof(large);
	expect(ask(MAIN, &request), EMSGSIZE, "one byte too many");
	int fd = memfd(PAGE, true);
	expect(ask_fds(MAIN, &request, &fd, 1), EMSGSIZE, "one byte too many, and an fd");
	/* As long as can be, and a message: an unknown field is skipped. */
	struct bytes *fits = bytes_new();
	put_varint(fits, 150 << 3 | 2);
	put_varint(fits, REQUEST_BYTES - 5);
	while (fits->size < REQUEST_BYTES)
		put_byte(fits, 0);
	expect(ask(MAIN, fits), ENOTTY, "as long as can be");
	close(fd);
}

static void length_lies(void)
{
	static const struct {
		const char *what;
		uint8_t data[16];
		size_t size;
	} lies[] = {
	    {"longer than the packet", {0x0a, 0x7f, 0x08, 0x01}, 4},
	    {"an inner length longer than the outer", {0x0a, 0x04, 0x08, 0x01, 0x1a, 0x7f}, 6},
	    {"a length of 2^64-1", {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 11},
	    {"a length of 2^32-1", {0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, 6},
	    {"a varint without end", {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 11},
	    {"a varint cut off", {0x0a, 0x80}, 2},
	    {"half a number", {0x12, 0x02, 0x08}, 3},
	    {"wire type 7", {0x0f, 0x01}, 2},
	    {"wire type 3", {0x0b, 0x01}, 2},
	    {"field 0", {0x02, 0x00}, 2},
	};
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		expect_drop(lies[i].data, lies[i].size, NULL, 0, lies[i].what);
}

static void huge_counts(void)
{
	/* Routes: more than the table takes, in a message of the longest. */
	struct bytes body = {.size = 0}, *message = bytes_new();
	for (int i = 0; i < 20000; i++)
		put_blob(&body, 1, "", 0);
	put_member(message, SET_ROUTING, &body);
	expect(ask(MAIN, message), E2BIG, "20000 routes");
	/* A hint with more details than there can be. */
	body.size = 0;
	put_number(&body, 2, PORT);
	for (int i = 0; i < 33; i++)
		put_blob(&body, 4, "", 0);
	message = bytes_new();
	put_member(message, SET_HINT, &body);
	expect(ask(MAIN, message), EINVAL, "33 details of a hint");
	/* count x size that wraps: a filter of 2^32-1 MSRs from 2^32-1 on. */
	struct bytes *range = NUMBERS(1, UINT32_MAX, UINT32_MAX, 1, 1);
	message = bytes_new();
	put_member(message, SET_MSR_FILTER, range);
	int error = ask(MAIN, message);
	if (error != EINVAL && error != E2BIG)
		problem("an MSR filter that wraps: %d", error);
	/* Numbers of more than 32 bits where 32 are due. */
	struct bytes *wide = bytes_new();
	put_varint(wide, GET_STATE << 3 | 2);
	put_varint(wide, 11);
	put_number(wide, 1, UINT64_MAX);
	int other = clone_connection();
	error = ask(other, wide);
	if (error != LOST && error != EINVAL)
		problem("an enum of 64 bits: %d", error);
	close(other);
	/* vCPUs from the last number on. */
	expect(ASK(MAIN, GET_VCPUS_FROM, UINT32_MAX), EINVAL, "vCPUs from 2^32-1 on");
	/* A pause of vCPUs that are none. */
	struct bytes *mask = bytes_new();
	put_varint(mask, PAUSE_SET << 3 | 2);
	struct bytes *blob = bytes_new();
	static const uint8_t ones[60000] = {1};
	put_blob(blob, 1, ones, sizeof(ones));
	mask->size = 0;
	put_member(mask, PAUSE_SET, blob);
	expect(ask(MAIN, mask), 0, "a pause of 480000 vCPUs");
}

static void start_twice(void)
{
	expect(ask(MAIN, empty_member(START)), EINVAL, "start again");
	int other = clone_connection();
	expect(ask(other, empty_member(START)), EINVAL, "start again, elsewhere");
	expect(ask(MAIN, empty_member(GET_VCPUS)), EALREADY, "the vCPUs again");
	close(other);
}

static void unknown(void)
{
	static const unsigned members[] = {20, 21, 99, 100, 102, 150, 199, 211, 1000, 536870911};
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		expect(ask(MAIN, empty_member(members[i])), ENOTTY, "an unknown message");
	expect(ASK(MAIN, CREATE, 5), ENOTTY, "an object of no kind");
	expect(ASK(MAIN, CREATE_EXT, 5), ENOTTY, "another object of no kind");
	for (uint64_t set = 5; set < 300; set++)
		expect(ASK(MAIN, GET_STATE, set), EINVAL, "an unknown set of state");
	expect(ask(MAIN, state_of(SET_STATE, 77, 8)), EINVAL, "an unknown set to set");
	expect(ASK(MAIN, RESERVE_RANGE, 2, 0x100, 1), EINVAL, "an address space that is none");
	expect(ASK(MAIN, SUBSCRIBE, UINT32_MAX), EINVAL, "exits that are none");
	expect(ASK(MAIN, SUBSCRIBE, UINT64_C(1) << 31), EINVAL, "one exit that is none");
}

static void addresses(void)
{
	int fd = memfd(4 * PAGE, true);
	expect(create_memory(MAIN, 7, fd, 0, UINT64_C(1) << 52, PAGE, false), EINVAL, "beyond the physical bits");
	expect(create_memory(MAIN, 7, fd, 0, UINT64_C(1) << 63, PAGE, false), EINVAL, "half of everything");
	expect(ASK(MAIN, SET_IRQ, 4096, 1), EINVAL, "GSI 4096");
	expect(ASK(MAIN, SET_IRQ, UINT32_MAX, 1), EINVAL, "GSI 2^32-1");
	struct bytes *route = bytes_new(), *routes = bytes_new(), *message = bytes_new();
	put_number(route, 1, 4096);
	put_member(route, 2, FIELDS(0, 0));
	put_member(routes, 1, route);
	put_member(message, SET_ROUTING, routes);
	if (ask(MAIN, message) == 0)
		problem("a route of GSI 4096 was taken");
	struct bytes *event = bytes_new(), *create = bytes_new();
	put_number(event, 1, 9);
	put_member(event, 4, FIELDS(4096));
	create->size = 0;
	put_member(create, CREATE, event);
	if (ask(MAIN, create) == 0)
		problem("an irq event of GSI 4096 was taken");
	expect(ASK(MAIN, RESERVE_RANGE, 1, UINT64_MAX, 2), EINVAL, "a range that wraps");
	if (ASK(MAIN, RESERVE_RANGE, 0, 0xffff, 2) == 0)
		problem("a range of ports beyond the last was taken");
	close(fd);
}

static void ids(void)
{
	int fd = memfd(PAGE, true);
	expect(create_memory(MAIN, NO_ID, fd, 0, 0x1000, PAGE, true), 0, "the highest id");
	expect(create_memory(MAIN, NO_ID, fd, 0, 0x2000, PAGE, true), EEXIST, "the highest id twice");
	expect(ASK(MAIN, DIRTY_LOG, NO_ID), 0, "its dirty log");
	expect(ASK(MAIN, DESTROY, NO_ID), 0, "it goes");
	expect(ASK(MAIN, DESTROY, NO_ID), ENOENT, "it is gone");
	expect(ASK(MAIN, DIRTY_LOG, NO_ID), ENOENT, "and has no log");
	expect(ASK(MAIN, DESTROY, 0), ENOENT, "id 0, which is none");
	close(fd);
}

static void state_lengths(void)
{
	static const size_t sizes[] = {512, 512, 512, 112, 48}; /* of the kernel's structs, PIC to CLOCK */
	for (uint64_t set = 0; set < 5; set++) {
		expect(ask(MAIN, state_of(SET_STATE, set, 0)), EINVAL, "no state");
		expect(ask(MAIN, state_of(SET_STATE, set, 1)), EINVAL, "one byte of state");
		expect(ask(MAIN, state_of(SET_STATE, set, 4096)), EINVAL, "a page of state");
		for (size_t size = sizes[set] - 1; size <= sizes[set] + 1; size += 2)
			expect(ask(MAIN, state_of(SET_STATE, set, size)), EINVAL, "a byte more or less");
	}
}

static void two_messages(void)
{
	/* Two in one packet: one request to a reader of this format, whose last member counts; one reply. */
	struct bytes *both = NUMBERS(CHECK_EXTENSION, 3);
	struct bytes *second = NUMBERS(DESTROY, 4711);
	memcpy(both->data + both->size, second->data, second->size);
	both->size += second->size;
	expect(ask(MAIN, both), ENOENT, "two messages in one packet");
	lives();
}

static void half_message(void)
{
	struct bytes *whole = NUMBERS(RESERVE_RANGE, 0, 0x500, 8);
	for (size_t size = 1; size < whole->size; size++)
		expect_drop(whole->data, size, NULL, 0, "half a message");
}

static void two_fds(void)
{
	int fds[8];
	for (int i = 0; i < 8; i++)
		fds[i] = memfd(PAGE, true);
	struct bytes *memory = NUMBERS(3, 0, 0x1000, PAGE), *create = bytes_new();
	struct bytes *body = bytes_new();
	put_number(body, 1, 77);
	for (size_t i = 0; i < memory->size; i++)
		put_byte(body, memory->data[i]);
	put_member(create, CREATE, body);
	struct bytes kept = *create;
	for (int count = 2; count <= 8; count++)
		expect(ask_fds(MAIN, &kept, fds, count), EINVAL, "more fds than are due");
	expect(ask(MAIN, &kept), EBADF, "no fd where one is due");
	for (int i = 0; i < 8; i++)
		close(fds[i]);
}

static void many_fds(void)
{
	int fds[253];
	for (int i = 0; i < 253; i++)
		fds[i] = dup(STDERR_FILENO);
	struct bytes *request = NUMBERS(CHECK_EXTENSION, 3);
	struct bytes kept = *request;
	static const int counts[] = {9, 10, 100, 252, 253};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		expect_drop(kept.data, kept.size, fds, counts[i], "too many fds");
	for (int i = 0; i < 253; i++)
		close(fds[i]);
}

static void fds_on_bad_frame(void)
{
	int fds[8], ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		problem("a pipe: %m");
	for (int i = 0; i < 8; i++)
		fds[i] = i % 2 ? ends[0] : ends[1];
	for (int round = 0; round < 50; round++)
		expect_drop("\xff\xff\xff", 3, fds, 1 + round % 8, "fds on a bad frame");
	close(ends[0]);
	close(ends[1]);
	/* And on an empty packet. */
	for (int i = 0; i < 8; i++)
		fds[i] = STDERR_FILENO;
	expect_drop("", 0, fds, 8, "fds on an empty packet");
}

/* Every request with one fd of every kind: those that want none refuse it, and the host keeps none. */
static void unwanted_fds(void)
{
	static const unsigned wanted[] = {DESTROY,
	                                  NEW_CONNECTION,
	                                  GET_SHUTDOWN,
	                                  CHECK_EXTENSION,
	                                  GET_SUPPORTED_CPUID,
	                                  GET_EMULATED_CPUID,
	                                  GET_MSR_LIST,
	                                  GET_NET_CONFIG,
	                                  RESERVE_RANGE,
	                                  SET_IRQ,
	                                  SET_ROUTING,
	                                  GET_STATE,
	                                  SET_STATE,
	                                  SET_IDENTITY_MAP,
	                                  PAUSE,
	                                  GET_VCPUS,
	                                  START,
	                                  SET_HINT,
	                                  DIRTY_LOG,
	                                  FEATURES,
	                                  GET_VCPUS_FROM,
	                                  GET_CPUID,
	                                  PAUSE_SET,
	                                  SIGNAL_MSI,
	                                  SUBSCRIBE,
	                                  SET_MSR_FILTER,
	                                  GET_END};
	int pair[2], fds[6];
	if (pipe2(pair, O_CLOEXEC) < 0)
		problem("a pipe: %m");
	fds[0] = memfd(PAGE, true);
	fds[1] = pair[0];
	fds[2] = pair[1];
	fds[3] = MAIN;
	fds[4] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	fds[5] = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t r = 0; r < sizeof(wanted) / sizeof(wanted[0]); r++) {
		for (int i = 0; i < 6; i++) {
			if (fds[i] >= 0)
				expect(ask_fds(MAIN, empty_member(wanted[r]), &fds[i], 1), EINVAL,
				       "a request with an fd");
		}
	}
	for (int i = 0; i < 6; i++) {
		if (i != 3)
			close(fds[i]);
	}
}

static void capabilities(void)
{
	for (uint64_t capability = 0; capability <= 300; capability++)
		expect(ASK(MAIN, CHECK_EXTENSION, capability), 0, "a question for a capability");
	expect(ASK(MAIN, CHECK_EXTENSION, UINT32_MAX), 0, "a question for the last capability");
}

/* Each connection that is broken costs a line, up to a limit. */
static void broken_connections(void)
{
	for (unsigned long i = 0; i < option; i++)
		expect_drop("\xff\xff", 2, NULL, 0, "garbage");
}

static void msis(void)
{
	for (uint64_t bit = 0; bit < 64; bit++) {
		int error = ASK(MAIN, SIGNAL_MSI, UINT64_C(1) << bit, UINT32_MAX);
		if (error == LOST)
			problem("an MSI at bit %d of the address", (int)bit);
	}
	expect(ASK(MAIN, SET_IDENTITY_MAP, UINT32_MAX) == 0, 0, "an identity map at 2^32-1");
}

const struct hostile_case packet_cases[] = {
    {"empty-packet", SET_UP, empty_packet},
    {"last-connection", BARE, last_connection},
    {"long-packet", SET_UP, long_packet},
    {"length-lies", SET_UP, length_lies},
    {"huge-counts", SET_UP, huge_counts},
    {"start-twice", SPINNING, start_twice},
    {"unknown", SET_UP, unknown},
    {"addresses", SET_UP, addresses},
    {"ids", SET_UP, ids},
    {"state-lengths", SET_UP, state_lengths},
    {"two-messages", SET_UP, two_messages},
    {"half-message", SET_UP, half_message},
    {"two-fds", SET_UP, two_fds},
    {"many-fds", SET_UP, many_fds},
    {"fds-on-bad-frame", SET_UP, fds_on_bad_frame},
    {"unwanted-fds", SET_UP, unwanted_fds},
    {"check-capabilities", SET_UP, capabilities},
    {"broken-connections", SET_UP, broken_connections},
    {"msis", AT_INIT, msis},
    {},
};
