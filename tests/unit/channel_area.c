/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the shared memory: what is made is what can be opened, its size is fixed for good, everything else is refused,
 * and nothing stays open after a failure.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "channel/area.h"
#include "channel/calls.h"

static int copy_fd(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	assert_true(copy >= 0);
	return copy;
}

static void test_both_sides(void **state)
{
	(void)state;
	struct area host, plugin;
	int before = count_open_fds();
	assert_int_equal(area_new(3, &host), 0);
	int fd = copy_fd(host.fd);
	assert_int_equal(area_open(&fd, &plugin), 0);
	assert_int_equal(fd, -1);
	assert_int_equal(plugin.vcpu_count, 3);
	for (uint32_t cpu = 0; cpu < 3; cpu++) {
		struct vcpu_page *page = area_page(&host, cpu);
		assert_int_equal((uintptr_t)page % AREA_PAGE_BYTES, 0);
		static const struct vcpu_page zeros;
		assert_memory_equal(page, &zeros, sizeof(zeros));
		page->data[0] = (uint8_t)(cpu + 1);
		page->plugin_message[LIMIT_VCPU_REQUEST_BYTES - 1] = (uint8_t)(cpu + 7);
		assert_int_equal(area_page(&plugin, cpu)->data[0], cpu + 1);
		assert_int_equal(area_page(&plugin, cpu)->plugin_message[LIMIT_VCPU_REQUEST_BYTES - 1], cpu + 7);
	}
	area_fini(&plugin);
	area_fini(&host);
	area_fini(&host);
	assert_int_equal(count_open_fds(), before);
}

static void test_most_vcpus(void **state)
{
	(void)state;
	struct area area;
	assert_int_equal(area_new(LIMIT_VCPUS, &area), 0);
	area_page(&area, LIMIT_VCPUS - 1)->plugin_message[LIMIT_VCPU_REQUEST_BYTES - 1] = 1;
	area_fini(&area);
}

/* A plugin with the fd can change neither the size, which would raise SIGBUS in the host, nor the seals. */
static void test_sealed(void **state)
{
	(void)state;
	struct area area;
	assert_int_equal(area_new(1, &area), 0);
	assert_int_equal(ftruncate(area.fd, (off_t)area.size - 1), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(area.fd, (off_t)area.size + 1), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(fcntl(area.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_int_equal(errno, EPERM);
	area_fini(&area);
}

static const struct area_header good = {AREA_MAGIC, AREA_VERSION, 1, sizeof(struct vcpu_page), AREA_HEADER_BYTES};
#define GOOD_BYTES (AREA_HEADER_BYTES + sizeof(struct vcpu_page))

static int open_with(const struct area_header *header, size_t size, int seals)
{
	struct area area;
	int fd = make_memfd(size, 0);
	assert_int_equal(pwrite(fd, header, sizeof(*header), 0), sizeof(*header));
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	int error = area_open(&fd, &area);
	assert_int_equal(fd, -1);
	area_fini(&area);
	return error;
}

static void test_refused(void **state)
{
	(void)state;
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	int before = count_open_fds();
	assert_int_equal(open_with(&good, GOOD_BYTES, seals), 0);
	assert_int_equal(open_with(&good, GOOD_BYTES, F_SEAL_SHRINK | F_SEAL_GROW), -EPROTO);
	assert_int_equal(open_with(&good, GOOD_BYTES, F_SEAL_GROW | F_SEAL_SEAL), -EPROTO);
	assert_int_equal(open_with(&good, GOOD_BYTES + AREA_PAGE_BYTES, seals), -EPROTO);
	assert_int_equal(open_with(&good, GOOD_BYTES - 1, seals), -EPROTO);
	assert_int_equal(open_with(&good, sizeof(good), seals), -EPROTO);
	struct area_header bad[] = {good, good, good, good, good, good};
	bad[0].magic ^= 1;
	bad[1].version++;
	bad[2].vcpu_count = 0;
	bad[3].vcpu_count = 2;
	bad[4].stride += AREA_PAGE_BYTES;
	bad[5].header_bytes = 0;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(open_with(&bad[i], GOOD_BYTES, seals), -EPROTO);
	/* No memfd at all. */
	struct area area;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(area_open(&fd, &area), -EPROTO);
	assert_int_equal(area.fd, -1);
	assert_int_equal(count_open_fds(), before);
}

static int no_memfd(const char *name)
{
	(void)name;
	return -EMFILE;
}

static int no_size(int fd, off_t size)
{
	(void)fd;
	(void)size;
	return -ENOSPC;
}

static int no_seals(int fd, int seals)
{
	(void)fd;
	(void)seals;
	return -EPERM;
}

static void *no_mapping(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	(void)address;
	(void)length;
	(void)protection;
	(void)flags;
	(void)fd;
	(void)offset;
	errno = ENOMEM;
	return MAP_FAILED;
}

static void test_failures(void **state)
{
	(void)state;
	const struct channel_calls calls = channel_calls;
	const struct sys real = sys;
	struct area area, other;
	int before = count_open_fds();
	channel_calls.memfd_create = no_memfd;
	assert_int_equal(area_new(1, &area), -EMFILE);
	channel_calls = calls;
	channel_calls.ftruncate = no_size;
	assert_int_equal(area_new(1, &area), -ENOSPC);
	channel_calls = calls;
	channel_calls.add_seals = no_seals;
	assert_int_equal(area_new(1, &area), -EPERM);
	channel_calls = calls;
	sys.mmap = no_mapping;
	assert_int_equal(area_new(1, &area), -ENOMEM);
	sys = real;
	assert_int_equal(area_new(1, &area), 0);
	int fd = copy_fd(area.fd);
	sys.mmap = no_mapping;
	assert_int_equal(area_open(&fd, &other), -ENOMEM);
	sys = real;
	assert_int_equal(other.fd, -1);
	area_fini(&area);
	assert_int_equal(count_open_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_both_sides), cmocka_unit_test(test_most_vcpus), cmocka_unit_test(test_sealed),
	    cmocka_unit_test(test_refused),    cmocka_unit_test(test_failures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
