/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks io events, irq events and dirty logs in the client library: the bytes, the fds and who has them, what cannot
 * be said in this protocol, and answers that make no sense.
 */
#include "plugin_fake_host.c"

#include <sys/eventfd.h>

#define COUNT(array)  (sizeof(array) / sizeof((array)[0]))
#define REPLY_CREATE  BYTES(0x12, 0)
#define REPLY_DESTROY BYTES(0x1a, 0)

static struct crosvm_io *const no_io;
static struct crosvm_irq *const no_irq;

static int create_io(struct fake *fake, uint32_t length, const uint8_t *datamatch, struct crosvm_io **out_io)
{
	int event = eventfd(0, EFD_CLOEXEC);
	fake_reply_fds(fake->socket, REPLY_CREATE, &event, 1);
	fd_close(&event);
	return crosvm_create_io_event(fake->plugin, CROSVM_ADDRESS_SPACE_MMIO, 0x1000, length, datamatch, out_io);
}

static void destroy_io(struct fake *fake, struct crosvm_io **io)
{
	fake_reply(fake->socket, REPLY_DESTROY);
	assert_int_equal(crosvm_destroy_io_event(fake->plugin, io), 0);
	assert_null(*io);
}

/* ---- io events ---- */

static void test_io_event(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	int event = eventfd(7, EFD_CLOEXEC);
	struct crosvm_io *io = NULL;
	fake_reply_fds(fake->socket, REPLY_CREATE, &event, 1);
	assert_int_equal(crosvm_create_io_event(fake->plugin, CROSVM_ADDRESS_SPACE_IOPORT, 0x80, 0, NULL, &io), 0);
	fake_expect(fake->socket, BYTES(0x0a, 5, 0x12, 3, 0x10, 0x80, 0x01));
	int fd = crosvm_io_event_fd(io);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	uint64_t count;
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 7);
	/* The object's: the same each time, and closed with it. */
	assert_int_equal(crosvm_io_event_fd(io), fd);
	destroy_io(fake, &io);
	fake_expect(fake->socket, BYTES(0x12, 0));
	assert_false(fake_is_open(fd));
	fd_close(&event);
}

static void test_io_event_data(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	static const uint8_t data[9] = {1, 2, 0, 0, 0, 0, 0, 0x10, 0xff};
	static const struct {
		uint32_t length;
		uint8_t request[24];
		size_t size;
	} cases[] = {
	    {1, {0x0a, 11, 0x12, 9, 0x08, 1, 0x10, 0x80, 0x20, 0x18, 1, 0x20, 1}, 13},
	    {2, {0x0a, 14, 0x08, 1, 0x12, 10, 0x08, 1, 0x10, 0x80, 0x20, 0x18, 2, 0x20, 0x81, 0x04}, 16},
	    {4, {0x0a, 14, 0x08, 2, 0x12, 10, 0x08, 1, 0x10, 0x80, 0x20, 0x18, 4, 0x20, 0x81, 0x04}, 16},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct crosvm_io *io = NULL;
		assert_int_equal(create_io(fake, cases[i].length, data, &io), 0);
		fake_expect(fake->socket, cases[i].request, cases[i].size);
		destroy_io(fake, &io);
		fake_expect_with_fd(fake->socket,
		                    i ? (uint8_t[]){0x12, 2, 0x08, (uint8_t)i} : (uint8_t[]){0x12, 0}, i ? 4 : 2);
	}
	/* All eight bytes count. */
	struct crosvm_io *io = NULL;
	assert_int_equal(create_io(fake, 8, data, &io), 0);
	fake_expect(fake->socket, BYTES(0x0a, 21, 0x08, 3, 0x12, 17, 0x08, 1, 0x10, 0x80, 0x20, 0x18, 8, 0x20,
	                                0x81, 0x84, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10));
	destroy_io(fake, &io);
}

static void test_wrong_io_events(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	static const uint8_t data[16];
	struct crosvm_io *io = NULL;
	static const uint32_t lengths[] = {3, 5, 6, 7, 9, 16, UINT32_MAX};
	for (size_t i = 0; i < COUNT(lengths); i++)
		assert_int_equal(crosvm_create_io_event(fake->plugin, 0, 1, lengths[i], data, &io), -EINVAL);
	/* "This length, any data" has no words in this protocol, and must not become "data 0". */
	static const uint32_t good[] = {1, 2, 4, 8};
	for (size_t i = 0; i < COUNT(good); i++)
		assert_int_equal(crosvm_create_io_event(fake->plugin, 0, 1, good[i], NULL, &io), -ENOTSUP);
	assert_int_equal(crosvm_create_io_event(fake->plugin, 2, 1, 1, data, &io), -EINVAL);
	assert_int_equal(crosvm_create_io_event(NULL, 0, 1, 1, data, &io), -EINVAL);
	assert_int_equal(crosvm_create_io_event(fake->plugin, 0, 1, 1, data, NULL), -EINVAL);
	assert_null(io);
	struct crosvm_io *none = no_io;
	assert_int_equal(crosvm_destroy_io_event(fake->plugin, NULL), -EINVAL);
	assert_int_equal(crosvm_destroy_io_event(fake->plugin, &none), -EINVAL);
	assert_int_equal(crosvm_io_event_fd(NULL), -EINVAL);
	fake_expect_nothing(fake->socket);
}

static void test_io_event_refused(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	struct crosvm_io *io = NULL;
	int event = eventfd(0, EFD_CLOEXEC), two[] = {event, event};
	size_t before = fake_count_fds();
	fake_refuse(fake->socket, EEXIST);
	assert_int_equal(crosvm_create_io_event(fake->plugin, 0, 1, 0, NULL, &io), -EEXIST);
	/* No fd, two fds, the answer to something else. */
	fake_reply(fake->socket, REPLY_CREATE);
	assert_int_equal(crosvm_create_io_event(fake->plugin, 0, 1, 0, NULL, &io), -EPROTO);
	fake_reply_fds(fake->socket, REPLY_CREATE, two, 2);
	assert_int_equal(crosvm_create_io_event(fake->plugin, 0, 1, 0, NULL, &io), -EPROTO);
	fake_reply_fds(fake->socket, REPLY_DESTROY, &event, 1);
	assert_int_equal(crosvm_create_io_event(fake->plugin, 0, 1, 0, NULL, &io), -EPROTO);
	assert_null(io);
	assert_int_equal(fake_count_fds(), before);

	/* What cannot be destroyed stays as it was. */
	assert_int_equal(create_io(fake, 0, NULL, &io), 0);
	struct crosvm_io *kept = io;
	int fd = crosvm_io_event_fd(io);
	fake_refuse(fake->socket, EIO);
	assert_int_equal(crosvm_destroy_io_event(fake->plugin, &io), -EIO);
	assert_ptr_equal(io, kept);
	assert_int_equal(crosvm_io_event_fd(io), fd);
	assert_true(fake_is_open(fd));
	assert_int_equal(crosvm_destroy_io_event(NULL, &io), -EINVAL);
	destroy_io(fake, &io);
	fd_close(&event);
}

/* ---- irq events ---- */

static void test_irq_event(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	int events[] = {eventfd(1, EFD_CLOEXEC), eventfd(2, EFD_CLOEXEC)};
	struct crosvm_irq *irq = NULL;
	fake_reply_fds(fake->socket, REPLY_CREATE, events, 2);
	assert_int_equal(crosvm_create_irq_event(fake->plugin, 9, &irq), 0);
	fake_expect(fake->socket, BYTES(0x0a, 6, 0x22, 4, 0x08, 9, 0x10, 1));
	/* The trigger first. */
	int trigger = crosvm_irq_event_get_fd(irq), resample = crosvm_irq_event_get_resample_fd(irq);
	uint64_t count;
	assert_int_equal(read(trigger, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 1);
	assert_int_equal(read(resample, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 2);
	assert_int_equal(fcntl(trigger, F_GETFD) & fcntl(resample, F_GETFD), FD_CLOEXEC);
	/* What is refused leaves all of it. */
	struct crosvm_irq *kept = irq;
	fake_refuse(fake->socket, EIO);
	assert_int_equal(crosvm_destroy_irq_event(fake->plugin, &irq), -EIO);
	assert_ptr_equal(irq, kept);
	assert_true(fake_is_open(trigger) && fake_is_open(resample));
	fake_reply(fake->socket, REPLY_DESTROY);
	assert_int_equal(crosvm_destroy_irq_event(fake->plugin, &irq), 0);
	assert_null(irq);
	assert_false(fake_is_open(trigger) || fake_is_open(resample));
	fd_close_pair(events);
}

static void test_irq_event_refused(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	int event = eventfd(0, EFD_CLOEXEC), three[] = {event, event, event};
	struct crosvm_irq *irq = NULL, *none = no_irq;
	size_t before = fake_count_fds();
	fake_refuse(fake->socket, EINVAL);
	assert_int_equal(crosvm_create_irq_event(fake->plugin, UINT32_MAX, &irq), -EINVAL);
	fake_reply(fake->socket, REPLY_CREATE);
	assert_int_equal(crosvm_create_irq_event(fake->plugin, 1, &irq), -EPROTO);
	fake_reply_fds(fake->socket, REPLY_CREATE, three, 1);
	assert_int_equal(crosvm_create_irq_event(fake->plugin, 1, &irq), -EPROTO);
	fake_reply_fds(fake->socket, REPLY_CREATE, three, 3);
	assert_int_equal(crosvm_create_irq_event(fake->plugin, 1, &irq), -EPROTO);
	assert_null(irq);
	assert_int_equal(fake_count_fds(), before);
	assert_int_equal(crosvm_create_irq_event(NULL, 1, &irq), -EINVAL);
	assert_int_equal(crosvm_create_irq_event(fake->plugin, 1, NULL), -EINVAL);
	assert_int_equal(crosvm_destroy_irq_event(fake->plugin, NULL), -EINVAL);
	assert_int_equal(crosvm_destroy_irq_event(fake->plugin, &none), -EINVAL);
	assert_int_equal(crosvm_irq_event_get_fd(NULL), -EINVAL);
	assert_int_equal(crosvm_irq_event_get_resample_fd(NULL), -EINVAL);
	fd_close(&event);
}

/* ---- Dirty logs ---- */

static struct crosvm_memory *create_memory(struct fake *fake, uint64_t pages)
{
	struct crosvm_memory *memory = NULL;
	uint8_t data[128];
	int fds[1];
	struct packet packet = {.data = data, .capacity = sizeof(data), .fds = fds, .fd_capacity = 1};
	fake_reply(fake->socket, REPLY_CREATE);
	assert_int_equal(
	    crosvm_create_memory(fake->plugin, STDERR_FILENO, 0, pages * 4096, 0, false, true, &memory), 0);
	assert_int_equal(packet_recv(fake->socket, &packet, MSG_DONTWAIT), 0);
	packet_fini(&packet);
	return memory;
}

static void reply_log(struct fake *fake, const uint8_t *bitmap, size_t size)
{
	static uint8_t data[LIMIT_RESPONSE_BYTES];
	wire_MainResponse response = {.which_message = wire_MainResponse_dirty_log_tag};
	response.message.dirty_log.bitmap = (struct wire_bytes){bitmap, size};
	ssize_t length = wire_encode_main_response(&response, data, sizeof(data));
	assert_true(length > 0);
	fake_reply(fake->socket, data, (size_t)length);
}

static void test_dirty_log(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	static const uint8_t bitmap[] = {0x5a, 0xa5, 0x3c, 0xc3};
	static const struct {
		uint64_t pages;
		size_t size;
	} cases[] = {{1, 1}, {8, 1}, {9, 2}, {16, 2}, {17, 3}};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct crosvm_memory *memory = create_memory(fake, cases[i].pages);
		uint8_t log[4];
		memset(log, 0xee, sizeof(log));
		reply_log(fake, bitmap, cases[i].size);
		assert_int_equal(crosvm_memory_get_dirty_log(fake->plugin, memory, log), 0);
		fake_expect_with_fd(fake->socket,
		                    i ? (uint8_t[]){0xaa, 0x06, 2, 0x08, (uint8_t)i} : (uint8_t[]){0xaa, 0x06, 0},
		                    i ? 5 : 3);
		assert_memory_equal(log, bitmap, cases[i].size);
		assert_int_equal(log[cases[i].size], 0xee);
		/* Another length is not what the caller has room for. */
		memset(log, 0xee, sizeof(log));
		for (size_t wrong = 0; wrong <= 4; wrong++) {
			if (wrong == cases[i].size)
				continue;
			reply_log(fake, bitmap, wrong);
			assert_int_equal(crosvm_memory_get_dirty_log(fake->plugin, memory, log), -EPROTO);
			assert_int_equal(log[0], 0xee);
		}
		fake_refuse(fake->socket, EMSGSIZE);
		assert_int_equal(crosvm_memory_get_dirty_log(fake->plugin, memory, log), -EMSGSIZE);
		assert_int_equal(crosvm_memory_get_dirty_log(NULL, memory, log), -EINVAL);
		assert_int_equal(crosvm_memory_get_dirty_log(fake->plugin, NULL, log), -EINVAL);
		assert_int_equal(crosvm_memory_get_dirty_log(fake->plugin, memory, NULL), -EINVAL);
		fake_reply(fake->socket, REPLY_DESTROY);
		assert_int_equal(crosvm_destroy_memory(fake->plugin, &memory), 0);
		/* Take what was sent meanwhile. */
		uint8_t data[64];
		while (recv(fake->socket, data, sizeof(data), MSG_DONTWAIT) > 0)
			;
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_io_event),         TEST(test_io_event_data), TEST(test_wrong_io_events),
	    TEST(test_io_event_refused), TEST(test_irq_event),     TEST(test_irq_event_refused),
	    TEST(test_dirty_log),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
