/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what the functions of API 0.23 send to a host that has them, and what they make of its answers, sensible or
 * not.
 */
#include "plugin_fake_host.c"

#include <sys/mman.h>
#include <sys/stat.h>

/* ---- Main connections ---- */

static void test_io_event(void **state)
{
	struct fake *fake = *state;
	fake_connect_ours(fake, FAKE_SOCKETS, 1);
	struct crosvm_io *io = NULL;
	int fd = dup(STDERR_FILENO);
	fake_reply_fds(fake->socket, BYTES(0xd2, 0x0c, 0), &fd, 1);
	assert_int_equal(crosvm_create_io_event(fake->plugin, CROSVM_ADDRESS_SPACE_MMIO, 0x80, 4, NULL, &io), 0);
	fake_expect(fake->socket, BYTES(0xd2, 0x0c, 9, 0x12, 7, 0x08, 1, 0x10, 0x80, 0x01, 0x18, 4));
	assert_true(fake_is_open(crosvm_io_event_fd(io)));
	fake_reply(fake->socket, BYTES(0x1a, 0));
	assert_int_equal(crosvm_destroy_io_event(fake->plugin, &io), 0);
	fake_expect(fake->socket, BYTES(0x12, 0));

	/* The message of API 0.22 where it can say it; ids go on. */
	fake_reply_fds(fake->socket, BYTES(0x12, 0), &fd, 1);
	assert_int_equal(crosvm_create_io_event(fake->plugin, CROSVM_ADDRESS_SPACE_IOPORT, 1, 0, NULL, &io), 0);
	fake_expect(fake->socket, BYTES(0x0a, 6, 0x08, 1, 0x12, 2, 0x10, 1));
	fd_close(&fd);
	fake_reply(fake->socket, BYTES(0x1a, 0));
	assert_int_equal(crosvm_destroy_io_event(fake->plugin, &io), 0);
	fake_expect(fake->socket, BYTES(0x12, 2, 0x08, 1));

	assert_int_equal(crosvm_create_io_event(fake->plugin, 2, 1, 4, NULL, &io), -EINVAL);
	assert_int_equal(crosvm_create_io_event(fake->plugin, 0, 1, 3, NULL, &io), -EINVAL);
	fake_reply(fake->socket, BYTES(0xd2, 0x0c, 0));
	assert_int_equal(crosvm_create_io_event(fake->plugin, 0, 1, 1, NULL, &io), -EPROTO);
	assert_null(io);
}

static void test_edge(void **state)
{
	struct fake *fake = *state;
	fake_connect_ours(fake, FAKE_SOCKETS, 1);
	struct crosvm_irq *irq = NULL;
	int fds[2] = {dup(STDERR_FILENO), dup(STDERR_FILENO)};
	fake_reply_fds(fake->socket, BYTES(0xd2, 0x0c, 0), fds, 1);
	assert_int_equal(crosvm_create_edge_irq_event(fake->plugin, 9, &irq), 0);
	fake_expect(fake->socket, BYTES(0xd2, 0x0c, 4, 0x1a, 2, 0x08, 9));
	assert_true(fake_is_open(crosvm_irq_event_get_fd(irq)));
	assert_int_equal(crosvm_irq_event_get_resample_fd(irq), -ENODATA);
	fake_reply(fake->socket, BYTES(0x1a, 0));
	assert_int_equal(crosvm_destroy_irq_event(fake->plugin, &irq), 0);
	assert_null(irq);

	fake_reply_fds(fake->socket, BYTES(0xd2, 0x0c, 0), fds, 2);
	assert_int_equal(crosvm_create_edge_irq_event(fake->plugin, 9, &irq), -EPROTO);
	assert_null(irq);
	assert_int_equal(crosvm_create_edge_irq_event(fake->plugin, 9, NULL), -EINVAL);
	fd_close_pair(fds);
}

static void test_signal_msi(void **state)
{
	struct fake *fake = *state;
	fake_connect_ours(fake, FAKE_SOCKETS, 1);
	fake_reply(fake->socket, BYTES(0xf2, 0x0c, 2, 0x08, 1));
	assert_int_equal(crosvm_signal_msi(fake->plugin, 0xfee00000, 0x31), 1);
	fake_expect(fake->socket, BYTES(0xf2, 0x0c, 8, 0x08, 0x80, 0x80, 0x80, 0xf7, 0x0f, 0x10, 0x31));
	fake_reply(fake->socket, BYTES(0xf2, 0x0c, 0));
	assert_int_equal(crosvm_signal_msi(fake->plugin, 0, 0), 0);
	fake_expect(fake->socket, BYTES(0xf2, 0x0c, 0));
}

static void test_pause_set(void **state)
{
	struct fake *fake = *state;
	fake_connect_ours(fake, FAKE_SOCKETS, 70);
	uint64_t words[20];
	memset(words, 0xff, sizeof(words));
	fake_reply(fake->socket, BYTES(0xea, 0x0c, 0));
	assert_int_equal(crosvm_pause_vcpu_set(fake->plugin, 20, words, (void *)3), 0);
	fake_expect(fake->socket, BYTES(0xea, 0x0c, 20, 0x0a, 16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	                                0x3f, 0, 0, 0, 0, 0, 0, 0, 0x10, 3));
	words[0] = 2;
	fake_reply(fake->socket, BYTES(0xea, 0x0c, 0));
	assert_int_equal(crosvm_pause_vcpu_set(fake->plugin, 1, words, NULL), 0);
	fake_expect(fake->socket, BYTES(0xea, 0x0c, 10, 0x0a, 8, 2, 0, 0, 0, 0, 0, 0, 0));
	fake_reply(fake->socket, BYTES(0xea, 0x0c, 0));
	assert_int_equal(crosvm_pause_vcpu_set(fake->plugin, 0, NULL, NULL), 0);
	fake_expect(fake->socket, BYTES(0xea, 0x0c, 0));
	assert_int_equal(crosvm_pause_vcpu_set(fake->plugin, 1, NULL, NULL), -EINVAL);
}

static void test_exits(void **state)
{
	struct fake *fake = *state;
	fake_connect_ours(fake, FAKE_SOCKETS, 1);
	fake_reply(fake->socket, BYTES(0xfa, 0x0c, 0));
	assert_int_equal(crosvm_subscribe_exits(fake->plugin, 15), 0);
	fake_expect(fake->socket, BYTES(0xfa, 0x0c, 2, 0x08, 15));
	assert_int_equal(crosvm_subscribe_exits(fake->plugin, 16), -EINVAL);
	fake_expect_nothing(fake->socket);
}

static void test_msr_filter(void **state)
{
	struct fake *fake = *state;
	fake_connect_ours(fake, FAKE_SOCKETS, 1);
	struct crosvm_msr_range ranges[17];
	for (size_t i = 0; i < 17; i++)
		ranges[i] = (struct crosvm_msr_range){.first = 0x10, .count = 1, .reads = true};
	ranges[1] = (struct crosvm_msr_range){.first = 0x20, .count = 12288, .writes = true};
	fake_reply(fake->socket, BYTES(0x82, 0x0d, 0));
	assert_int_equal(crosvm_set_msr_filter(fake->plugin, 2, ranges, true), 0);
	fake_expect(fake->socket, BYTES(0x82, 0x0d, 19, 0x0a, 6, 0x08, 0x10, 0x10, 1, 0x18, 1, 0x0a, 7, 0x08, 0x20,
	                                0x10, 0x80, 0x60, 0x20, 1, 0x10, 1));
	fake_reply(fake->socket, BYTES(0x82, 0x0d, 0));
	assert_int_equal(crosvm_set_msr_filter(fake->plugin, 0, NULL, false), 0);
	fake_expect(fake->socket, BYTES(0x82, 0x0d, 0));
	ranges[1].count++;
	assert_int_equal(crosvm_set_msr_filter(fake->plugin, 2, ranges, false), -E2BIG);
	ranges[1].count = 0;
	assert_int_equal(crosvm_set_msr_filter(fake->plugin, 2, ranges, false), -EINVAL);
	ranges[1].count = 1;
	assert_int_equal(crosvm_set_msr_filter(fake->plugin, 17, ranges, false), -E2BIG);
	assert_int_equal(crosvm_set_msr_filter(fake->plugin, 1, NULL, false), -EINVAL);
	fake_expect_nothing(fake->socket);
	fake_reply(fake->socket, BYTES(0x82, 0x0d, 0));
	assert_int_equal(crosvm_set_msr_filter(fake->plugin, 16, ranges, false), 0);
}

/* ---- CPUID ---- */

static struct kvm_cpuid_entry2 cpuid[LIMIT_CPUID_ENTRIES + 1];

static void fill_cpuid(void)
{
	for (uint32_t i = 0; i <= LIMIT_CPUID_ENTRIES; i++)
		cpuid[i] = (struct kvm_cpuid_entry2){.function = i, .index = 2, .flags = 7, .eax = 4, .edx = ~i};
}

static void reply_cpuid(struct fake *fake, size_t size)
{
	wire_MainResponse response = {.which_message = wire_MainResponse_get_cpuid_tag};
	response.message.get_cpuid.entries = (struct wire_bytes){(const uint8_t *)cpuid, size};
	fake_reply_message(fake->socket, &response);
}

static void test_get_cpuid(void **state)
{
	struct fake *fake = *state;
	fake_connect_ours(fake, FAKE_SOCKETS, 1);
	fill_cpuid();
	static struct kvm_cpuid_entry2 entries[LIMIT_CPUID_ENTRIES];
	uint32_t count = 99;
	const size_t size = sizeof(entries[0]);
	reply_cpuid(fake, LIMIT_CPUID_ENTRIES * size);
	assert_int_equal(crosvm_get_supported_cpuid(fake->plugin, LIMIT_CPUID_ENTRIES, entries, &count), 0);
	fake_expect(fake->socket, BYTES(0xda, 0x0c, 0));
	assert_int_equal(count, LIMIT_CPUID_ENTRIES);
	assert_memory_equal(entries, cpuid, sizeof(entries));
	reply_cpuid(fake, size);
	assert_int_equal(crosvm_get_emulated_cpuid(fake->plugin, 1, entries, &count), 0);
	fake_expect(fake->socket, BYTES(0xda, 0x0c, 2, 0x08, 1));
	assert_int_equal(count, 1);

	memset(entries, 0x55, sizeof(entries));
	reply_cpuid(fake, 2 * size);
	assert_int_equal(crosvm_get_supported_cpuid(fake->plugin, 1, entries, &count), -E2BIG);
	assert_int_equal(count, 2);
	assert_int_equal(entries[0].function, 0x55555555);
	reply_cpuid(fake, 0);
	assert_int_equal(crosvm_get_supported_cpuid(fake->plugin, 0, NULL, &count), 0);
	assert_int_equal(count, 0);
	reply_cpuid(fake, size + 1);
	assert_int_equal(crosvm_get_supported_cpuid(fake->plugin, 9, entries, &count), -EPROTO);
	/* A newer host may have more than this library knows of. */
	reply_cpuid(fake, size * (LIMIT_CPUID_ENTRIES + 1));
	assert_int_equal(crosvm_get_supported_cpuid(fake->plugin, 9, entries, &count), -E2BIG);
	assert_int_equal(count, LIMIT_CPUID_ENTRIES + 1);
}

static void test_set_cpuid(void **state)
{
	struct fake *fake = *state;
	fake_connect_ours(fake, FAKE_SOCKETS, 1);
	fake_init(fake, 0);
	struct crosvm_vcpu *vcpu = fake_vcpu(fake, 0);
	fill_cpuid();
	fake_send_empty(fake, 0, wire_VcpuResponse_set_cpuid_raw_tag);
	assert_int_equal(crosvm_vcpu_set_cpuid(vcpu, LIMIT_CPUID_ENTRIES, cpuid), 0);
	wire_VcpuRequest request = fake_take_vcpu(fake, 0, NULL);
	assert_int_equal(request.which_message, wire_VcpuRequest_set_cpuid_raw_tag);
	const struct wire_bytes *entries = &request.message.set_cpuid_raw.entries;
	assert_int_equal(entries->size, LIMIT_CPUID_ENTRIES * sizeof(cpuid[0]));
	assert_memory_equal(entries->data, cpuid, entries->size);
	assert_int_equal(crosvm_vcpu_set_cpuid(vcpu, LIMIT_CPUID_ENTRIES + 1, cpuid), -E2BIG);
	fake_expect_nothing(fake->requests[0]);
}

/* ---- Dirty logs ---- */

static uint8_t dirty[LIMIT_DIRTY_LOG_BYTES + 16], got[LIMIT_DIRTY_LOG_BYTES + 16];

static struct crosvm_memory *make_memory(struct fake *fake, uint64_t pages)
{
	struct crosvm_memory *memory;
	fake_reply(fake->socket, BYTES(0x12, 0));
	assert_int_equal(
	    crosvm_create_memory(fake->plugin, STDERR_FILENO, 0, pages * 4096, 0, false, true, &memory), 0);
	fake_take(fake->socket, NULL);
	return memory;
}

static void drop_memory(struct fake *fake, struct crosvm_memory *memory)
{
	fake_reply(fake->socket, BYTES(0x1a, 0));
	assert_int_equal(crosvm_destroy_memory(fake->plugin, &memory), 0);
	fake_take(fake->socket, NULL);
}

static void reply_log(struct fake *fake, const uint8_t *log, size_t size)
{
	wire_MainResponse response = {.which_message = wire_MainResponse_dirty_log_tag};
	response.message.dirty_log.bitmap = (struct wire_bytes){log, size};
	fake_reply_message(fake->socket, &response);
}

static void reply_log_size(struct fake *fake, uint64_t size)
{
	wire_MainResponse response = {.which_message = wire_MainResponse_dirty_log_to_tag};
	response.message.dirty_log_to.size = size;
	fake_reply_message(fake->socket, &response);
}

/* The host of a log that goes through a memfd; a thread, because it writes before it answers. */
static void *write_log(void *argument)
{
	struct fake *fake = argument;
	struct pollfd poller = {.fd = fake->socket, .events = POLLIN};
	uint8_t buffer[64];
	int fds[1];
	struct packet packet = {.data = buffer, .capacity = sizeof(buffer), .fds = fds, .fd_capacity = 1};
	if (poll(&poller, 1, 10000) != 1 || packet_recv(fake->socket, &packet, 0) < 0 || packet.fd_count != 1)
		return "no request with an fd";
	struct stat status;
	const char *problem = NULL;
	if (fcntl(fds[0], F_GET_SEALS) != F_SEAL_SHRINK)
		problem = "other seals";
	else if (fstat(fds[0], &status) < 0 || status.st_size != LIMIT_DIRTY_LOG_BYTES + 8)
		problem = "another size";
	else if (write(fds[0], dirty, LIMIT_DIRTY_LOG_BYTES + 8) != LIMIT_DIRTY_LOG_BYTES + 8)
		problem = "not to be written";
	packet_fini(&packet);
	reply_log_size(fake, LIMIT_DIRTY_LOG_BYTES + 8);
	return (void *)problem;
}

static void test_dirty_log(void **state)
{
	struct fake *fake = *state;
	fake_connect_ours(fake, FAKE_SOCKETS, 1);
	for (size_t i = 0; i < sizeof(dirty); i++)
		dirty[i] = (uint8_t)(i * 7 + i / 256);

	/* The longest that a reply brings. */
	struct crosvm_memory *memory = make_memory(fake, LIMIT_DIRTY_LOG_BYTES * 8);
	reply_log(fake, dirty, LIMIT_DIRTY_LOG_BYTES);
	assert_int_equal(crosvm_memory_get_dirty_log(fake->plugin, memory, got), 0);
	assert_memory_equal(got, dirty, LIMIT_DIRTY_LOG_BYTES);
	wire_MainRequest request = fake_take(fake->socket, NULL);
	assert_int_equal(request.which_message, wire_MainRequest_dirty_log_tag);
	drop_memory(fake, memory);

	/* One page more, so that the log is not a whole number of words. */
	memory = make_memory(fake, LIMIT_DIRTY_LOG_BYTES * 8 + 1);
	memset(got, 0x55, sizeof(got));
	pthread_t thread;
	void *problem;
	assert_int_equal(pthread_create(&thread, NULL, write_log, fake), 0);
	int error = crosvm_memory_get_dirty_log(fake->plugin, memory, got);
	pthread_join(thread, &problem);
	if (problem)
		print_message("# %s\n", (const char *)problem);
	assert_null(problem);
	assert_int_equal(error, 0);
	assert_memory_equal(got, dirty, LIMIT_DIRTY_LOG_BYTES + 1);
	assert_int_equal(got[LIMIT_DIRTY_LOG_BYTES + 1], 0x55);

	reply_log_size(fake, LIMIT_DIRTY_LOG_BYTES);
	assert_int_equal(crosvm_memory_get_dirty_log(fake->plugin, memory, got), -EPROTO);
	fake_take(fake->socket, NULL);
	fake_refuse(fake->socket, ENOENT);
	assert_int_equal(crosvm_memory_get_dirty_log(fake->plugin, memory, got), -ENOENT);
	fake_take(fake->socket, NULL);
	drop_memory(fake, memory);
}

static void test_dirty_log_to(void **state)
{
	struct fake *fake = *state;
	fake_connect_ours(fake, FAKE_SOCKETS, 1);
	struct crosvm_memory *memory = make_memory(fake, 70);
	FD_AUTO memfd = memfd_create("log", MFD_CLOEXEC);
	reply_log_size(fake, 9);
	assert_int_equal(crosvm_memory_get_dirty_log_to(fake->plugin, memory, memfd, 0x100), 0);
	int sent = fake_expect_with_fd(fake->socket, BYTES(0xe2, 0x0c, 3, 0x10, 0x80, 0x02));
	struct stat ours, theirs;
	assert_int_equal(fstat(memfd, &ours), 0);
	assert_int_equal(fstat(sent, &theirs), 0);
	assert_int_equal(ours.st_ino, theirs.st_ino);
	fd_close(&sent);
	reply_log_size(fake, 16);
	assert_int_equal(crosvm_memory_get_dirty_log_to(fake->plugin, memory, memfd, 0), 0);
	const uint64_t wrong[] = {0, 8, 10, 15, 17, 24};
	for (size_t i = 0; i < 6; i++) {
		reply_log_size(fake, wrong[i]);
		assert_int_equal(crosvm_memory_get_dirty_log_to(fake->plugin, memory, memfd, 0), -EPROTO);
	}
	for (size_t i = 0; i < 7; i++)
		fake_take(fake->socket, NULL);
	assert_int_equal(crosvm_memory_get_dirty_log_to(fake->plugin, memory, -1, 0), -EBADF);
	assert_int_equal(crosvm_memory_get_dirty_log_to(fake->plugin, NULL, memfd, 0), -EINVAL);
	fake_expect_nothing(fake->socket);
	drop_memory(fake, memory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_io_event),  TEST(test_edge),         TEST(test_signal_msi), TEST(test_pause_set),
	    TEST(test_exits),     TEST(test_msr_filter),   TEST(test_get_cpuid),  TEST(test_set_cpuid),
	    TEST(test_dirty_log), TEST(test_dirty_log_to),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
