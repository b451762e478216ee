/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the dirty log that goes into a file of the plugin's: that KVM, which clears what it tells, is not asked before
 * the file is sure to take it, and that no file does harm to the host.
 */
#include "rig.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define FILE_BYTES 8192

/* A range under `id` whose log has `pages` bits. */
static void create(struct session_rig *rig, uint32_t id, uint64_t pages, bool dirty_log)
{
	int memfd = make_memfd(pages * 4096, F_SEAL_SHRINK);
	wire_MainRequest request = {.which_message = wire_MainRequest_create_tag};
	request.message.create = (wire_MainRequest_Create){
	    .id = id,
	    .which_constructor = wire_MainRequest_Create_memory_tag,
	    .constructor = {.memory = {.start = (uint64_t)id << 32,
	                               .length = pages * 4096,
	                               .dirty_log = dirty_log}},
	};
	assert_int_equal(rig_request(rig, rig->socket, &request, memfd, 1), 0);
	fd_close(&memfd);
}

/* Ask for the log of `id`; *out_size is how long it was, or 0. */
static int log_to(struct session_rig *rig, uint32_t id, int fd, uint64_t offset, uint64_t *out_size)
{
	static struct answer_packet answer;
	wire_MainRequest request = {.which_message = wire_MainRequest_dirty_log_to_tag};
	request.message.dirty_log_to.id = id;
	request.message.dirty_log_to.offset = offset;
	int before = count_open_fds();
	assert_int_equal(rig_send(rig->socket, &request, fd, fd >= 0 ? 1 : 0), 0);
	session_dispatch(&rig->session, rig->vm);
	rig_receive(rig->socket, &answer);
	assert_int_equal(answer.result, 0);
	assert_int_equal(count_open_fds(), before);
	*out_size = answer.message.error ? 0 : answer.message.message.dirty_log_to.size;
	return answer.message.error;
}

/* Refused, and KVM knows nothing of it. */
static void refuse(struct session_rig *rig, uint32_t id, int fd, uint64_t offset, int error)
{
	uint64_t size;
	unsigned int before = fake_kvm.dirty_logs;
	assert_int_equal(log_to(rig, id, fd, offset, &size), error);
	assert_int_equal(fake_kvm.dirty_logs, before);
}

static void test_sizes(void **state)
{
	struct session_rig *rig = *state;
	static const uint64_t pages[] = {1, 7, 8, 9, 63, 64, 65, 1000};
	for (uint32_t i = 0; i < COUNT(pages); i++) {
		const size_t log_bytes = (pages[i] + 7) / 8;
		create(rig, i + 1, pages[i], true);
		const uint64_t offsets[] = {0, 1, 4095, FILE_BYTES - log_bytes};
		for (size_t o = 0; o < COUNT(offsets); o++) {
			int fd = make_memfd(FILE_BYTES, F_SEAL_SHRINK | F_SEAL_GROW);
			uint8_t *file = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			assert_true(file != MAP_FAILED);
			memset(file, 0x55, FILE_BYTES);
			uint64_t size;
			assert_int_equal(log_to(rig, i + 1, fd, offsets[o], &size), 0);
			assert_int_equal(size, log_bytes);
			/* All is dirty, and what is not of the log is as it was. */
			for (size_t at = 0; at < FILE_BYTES; at++) {
				bool is_last = at + 1 == offsets[o] + log_bytes;
				uint8_t last = (uint8_t)(0xff >> (8 - pages[i] % 8) % 8);
				bool is_log = at >= offsets[o] && at < offsets[o] + log_bytes;
				assert_int_equal(file[at], !is_log ? 0x55 : is_last ? last : 0xff);
			}
			refuse(rig, i + 1, fd, FILE_BYTES - log_bytes + 1, EINVAL);
			munmap(file, FILE_BYTES);
			fd_close(&fd);
		}
	}
}

/* Re-open a memfd with other flags, as any plugin can. */
static int reopen(int fd, int flags)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = open(path, flags | O_CLOEXEC);
	assert_true(again >= 0);
	return again;
}

static void test_refused_files(void **state)
{
	struct session_rig *rig = *state;
	create(rig, 1, 64, true);
	int good = make_memfd(FILE_BYTES, F_SEAL_SHRINK);
	const struct {
		int fd, error;
	} files[] = {
	    {eventfd(0, EFD_CLOEXEC), EINVAL},
	    {open("/dev/null", O_RDWR | O_CLOEXEC), EINVAL},
	    {make_memfd(FILE_BYTES, 0), EPERM},
	    {make_memfd(FILE_BYTES, F_SEAL_GROW), EPERM},
	    {make_memfd(FILE_BYTES, F_SEAL_SHRINK | F_SEAL_WRITE), EPERM},
	    {make_memfd(FILE_BYTES, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE), EPERM},
	    {make_memfd(0, F_SEAL_SHRINK), EINVAL},
	    {make_memfd(7, F_SEAL_SHRINK), EINVAL},
	    {reopen(good, O_RDONLY), EBADF},
	    {reopen(good, O_WRONLY), EBADF},
	};
	for (size_t i = 0; i < COUNT(files); i++) {
		int fd = files[i].fd;
		refuse(rig, 1, fd, 0, files[i].error);
		fd_close(&fd);
	}
	static const uint64_t offsets[] = {FILE_BYTES - 7,    FILE_BYTES,     INT64_MAX,
	                                   UINT64_C(1) << 63, UINT64_MAX - 7, UINT64_MAX};
	for (size_t i = 0; i < COUNT(offsets); i++)
		refuse(rig, 1, good, offsets[i], EINVAL);
	refuse(rig, 1, -1, 0, EBADF);
	refuse(rig, 2, good, 0, ENOENT);
	fd_close(&good);
}

static int fail_fstat(int fd, struct stat *out_stat)
{
	(void)fd;
	(void)out_stat;
	errno = EIO;
	return -1;
}

static void test_system_failures(void **state)
{
	struct session_rig *rig = *state;
	uint64_t size;
	create(rig, 1, 64, true);
	create(rig, 2, 64, false);
	int good = make_memfd(FILE_BYTES, F_SEAL_SHRINK);
	sys.fstat = fail_fstat;
	refuse(rig, 1, good, 0, EIO);
	sys = rig->real;
	fake_kvm_fail(KVM_GET_DIRTY_LOG, ENOMEM, 0);
	refuse(rig, 1, good, 0, ENOMEM);
	fake_kvm_fail(0, 0, 0);
	/* A range without a log. */
	refuse(rig, 2, good, 0, ENOENT);
	assert_int_equal(log_to(rig, 1, good, 0, &size), 0);
	fd_close(&good);
}

static void test_huge_pages(void **state)
{
	struct session_rig *rig = *state;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	if (fd < 0)
		test_skip("this kernel has no memfds of huge pages");
	create(rig, 1, 64, true);
	assert_int_equal(ftruncate(fd, 2 << 20), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	refuse(rig, 1, fd, 0, EINVAL);
	fd_close(&fd);
}

static int race_fd;

static void punch_it(void)
{
	assert_int_equal(fallocate(race_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
}

static void seal_it(void)
{
	/* It is in use, for writing. */
	assert_int_equal(fcntl(race_fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_int_equal(fcntl(race_fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
}

/*
 * The plugin shares the open file: what was checked may be otherwise by the time that the log is written. It is written
 * all the same, where it belongs; neither the flags of the file nor a limit of the host's own matter.
 */
static void test_file_changes(void **state)
{
	static void (*const changes[])(void) = {punch_it, seal_it, NULL};
	struct session_rig *rig = *state;
	struct rlimit old;
	create(rig, 1, 64, true);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	for (size_t i = 0; i < COUNT(changes); i++) {
		uint64_t size, log = 0, behind = 1;
		race_fd = make_memfd(4096, F_SEAL_SHRINK);
		assert_int_equal(fcntl(race_fd, F_SETFL, O_APPEND), 0);
		fake_kvm.on_dirty_log = changes[i];
		setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max});
		int error = log_to(rig, 1, race_fd, 8, &size);
		setrlimit(RLIMIT_FSIZE, &old);
		assert_int_equal(error, 0);
		assert_int_equal(pread(race_fd, &log, sizeof(log), 8), sizeof(log));
		assert_true(log == UINT64_MAX);
		assert_int_equal(pread(race_fd, &behind, sizeof(behind), 16), sizeof(behind));
		assert_true(behind == 0);
		fd_close(&race_fd);
	}
}

/* Memory whose page faults wait for whoever serves `*out_fault_fd`. */
static void *make_slow_page(int *out_fault_fd)
{
	*out_fault_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (*out_fault_fd < 0)
		return NULL;
	struct uffdio_api api = {.api = UFFD_API};
	assert_int_equal(ioctl(*out_fault_fd, UFFDIO_API, &api), 0);
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(page != MAP_FAILED);
	struct uffdio_register range = {.range = {.start = (uintptr_t)page, .len = 4096},
	                                .mode = UFFDIO_REGISTER_MODE_MISSING};
	assert_int_equal(ioctl(*out_fault_fd, UFFDIO_REGISTER, &range), 0);
	return page;
}

struct slow_write {
	int fd;
	void *page;
};

static void *write_slowly(void *argument)
{
	const struct slow_write *slow = argument;
	assert_int_equal(write(slow->fd, slow->page, 4096), 4096);
	return NULL;
}

/* While a write of the plugin's hangs in the middle, and with it whoever writes the file too. */
static void test_file_is_busy(void **state)
{
	struct session_rig *rig = *state;
	int fault_fd;
	struct slow_write slow = {.page = make_slow_page(&fault_fd)};
	if (!slow.page)
		test_skip("no userfaultfd here");
	create(rig, 1, 64, true);
	slow.fd = make_memfd(FILE_BYTES, F_SEAL_SHRINK);
	pthread_t writer;
	assert_int_equal(pthread_create(&writer, NULL, write_slowly, &slow), 0);
	struct pollfd fault = {.fd = fault_fd, .events = POLLIN};
	assert_int_equal(poll(&fault, 1, PATIENCE_MS), 1);

	/* It hangs here if it fails: the test's own time limit ends that. */
	uint64_t size;
	assert_int_equal(log_to(rig, 1, slow.fd, 4096, &size), 0);

	struct uffdio_zeropage zeros = {.range = {.start = (uintptr_t)slow.page, .len = 4096}};
	assert_int_equal(ioctl(fault_fd, UFFDIO_ZEROPAGE, &zeros), 0);
	assert_int_equal(pthread_join(writer, NULL), 0);
	munmap(slow.page, 4096);
	fd_close(&slow.fd);
	fd_close(&fault_fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, session_rig_setup, session_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_sizes),      TEST(test_refused_files), TEST(test_system_failures),
	    TEST(test_huge_pages), TEST(test_file_changes),  TEST(test_file_is_busy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
