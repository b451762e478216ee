/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the objects of a VM: the bytes and the fd of a create, the handle's life, and that no id is ever used
 * twice, whichever connection asks and whatever became of the object before.
 */
#include "plugin_fake_host.c"

#include <sys/mman.h>
#include <sys/stat.h>

#define REPLY_CREATE  BYTES(0x12, 0)
#define REPLY_DESTROY BYTES(0x1a, 0)

static int create(struct crosvm *plugin, int fd, struct crosvm_memory **out_memory)
{
	return crosvm_create_memory(plugin, fd, 0, 0x1000, 0x2000, false, false, out_memory);
}

/* Take a create of the above out of the socket and return its id. */
static uint32_t expect_create(int socket)
{
	uint8_t data[64];
	int fds[1];
	struct packet packet = {.data = data, .capacity = sizeof(data), .fds = fds, .fd_capacity = 1};
	assert_int_equal(packet_recv(socket, &packet, MSG_DONTWAIT), 0);
	assert_int_equal(packet.fd_count, 1);
	packet_fini(&packet);
	wire_MainRequest request;
	assert_int_equal(wire_decode_main_request(data, packet.size, NULL, &request), 0);
	assert_int_equal(request.which_message, wire_MainRequest_create_tag);
	const wire_MainRequest_Create *create = &request.message.create;
	assert_int_equal(create->which_constructor, wire_MainRequest_Create_memory_tag);
	assert_int_equal(create->constructor.memory.offset, 0);
	assert_int_equal(create->constructor.memory.length, 0x1000);
	assert_int_equal(create->constructor.memory.start, 0x2000);
	assert_false(create->constructor.memory.read_only);
	assert_false(create->constructor.memory.dirty_log);
	return create->id;
}

static void test_memory(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	int memfd = memfd_create("memory", MFD_CLOEXEC);
	assert_true(memfd >= 0);
	struct crosvm_memory *memory = NULL;
	fake_reply(fake->socket, REPLY_CREATE);
	assert_int_equal(
	    crosvm_create_memory(fake->plugin, memfd, 0x1000, 0x2000, UINT64_C(1) << 51, true, false, &memory), 0);
	assert_non_null(memory);
	int sent = fake_expect_with_fd(fake->socket,
	                               BYTES(0x0a, 19, 0x1a, 17, 0x08, 0x80, 0x20, 0x10, 0x80, 0x80, 0x80, 0x80,
	                                     0x80, 0x80, 0x80, 0x04, 0x18, 0x80, 0x40, 0x20, 1));
	/* The very memfd, which is still the caller's. */
	struct stat ours, theirs;
	assert_int_equal(fstat(memfd, &ours), 0);
	assert_int_equal(fstat(sent, &theirs), 0);
	assert_int_equal(ours.st_ino, theirs.st_ino);
	close(sent);
	close(memfd);

	fake_reply(fake->socket, REPLY_DESTROY);
	assert_int_equal(crosvm_destroy_memory(fake->plugin, &memory), 0);
	assert_null(memory);
	fake_expect(fake->socket, BYTES(0x12, 0));
	assert_int_equal(crosvm_destroy_memory(fake->plugin, &memory), -EINVAL);
	fake_expect_nothing(fake->socket);
}

static void test_memory_bad_fd(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	struct crosvm_memory *memory = NULL;
	assert_int_equal(create(fake->plugin, -1, &memory), -EBADF);
	assert_int_equal(create(fake->plugin, 1000000, &memory), -EBADF);
	assert_null(memory);
	fake_expect_nothing(fake->socket);
	/* Nothing was sent, so the connection goes on. */
	fake_reply(fake->socket, REPLY_CREATE);
	assert_int_equal(create(fake->plugin, STDERR_FILENO, &memory), 0);
	expect_create(fake->socket);
	fake_reply(fake->socket, REPLY_DESTROY);
	assert_int_equal(crosvm_destroy_memory(fake->plugin, &memory), 0);
}

static void test_destroy_refused(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	struct crosvm_memory *memory;
	fake_reply(fake->socket, REPLY_CREATE);
	assert_int_equal(create(fake->plugin, STDERR_FILENO, &memory), 0);
	assert_int_equal(expect_create(fake->socket), 0);

	struct crosvm_memory *kept = memory;
	static const int errors[] = {ENOENT, EIO, 0};
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		/* The last one is no refusal but the response to a create. */
		if (errors[i])
			fake_refuse(fake->socket, errors[i]);
		else
			fake_reply(fake->socket, REPLY_CREATE);
		int result = crosvm_destroy_memory(fake->plugin, &memory);
		assert_int_equal(result, errors[i] ? -errors[i] : -EPROTO);
		assert_ptr_equal(memory, kept);
		fake_expect(fake->socket, BYTES(0x12, 0));
	}
	fake_reply(fake->socket, REPLY_DESTROY);
	assert_int_equal(crosvm_destroy_memory(fake->plugin, &memory), 0);
	assert_null(memory);
}

static void test_ids_are_never_used_again(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fake_reply_fds(fake->socket, BYTES(0x22, 0), &pair[1], 1);
	fd_close(&pair[1]);
	struct crosvm *second;
	assert_int_equal(crosvm_new_connection(fake->plugin, &second), 0);
	fake_expect(fake->socket, BYTES(0x1a, 0));

	for (uint32_t id = 0; id < 300; id++) {
		struct crosvm *plugin = id % 2 ? second : fake->plugin;
		int socket = id % 2 ? pair[0] : fake->socket;
		struct crosvm_memory *memory = NULL;
		if (id % 3 == 0) {
			fake_refuse(socket, EINVAL);
			assert_int_equal(create(plugin, STDERR_FILENO, &memory), -EINVAL);
			assert_null(memory);
			assert_int_equal(expect_create(socket), id);
			continue;
		}
		fake_reply(socket, REPLY_CREATE);
		assert_int_equal(create(plugin, STDERR_FILENO, &memory), 0);
		assert_int_equal(expect_create(socket), id);
		/* Any connection may destroy it. */
		fake_reply(fake->socket, REPLY_DESTROY);
		assert_int_equal(crosvm_destroy_memory(fake->plugin, &memory), 0);
		if (id == 0)
			fake_expect(fake->socket, BYTES(0x12, 0));
		else if (id < 128)
			fake_expect(fake->socket, BYTES(0x12, 2, 0x08, (uint8_t)id));
		else
			fake_expect(fake->socket, BYTES(0x12, 3, 0x08, (uint8_t)(id | 0x80), (uint8_t)(id >> 7)));
	}
	assert_int_equal(crosvm_destroy_connection(&second), 0);
	fd_close(&pair[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_memory),
	    TEST(test_memory_bad_fd),
	    TEST(test_destroy_refused),
	    TEST(test_ids_are_never_used_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
