/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks guest memory and its ids on a fake KVM: every way a request can be wrong and which wrong counts first,
 * the kinds of files and seals, quotas, slots, dirty logs, and that a refused request leaves nothing mapped and nothing
 * open.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "fake_kvm.h"
#include "host/objects.h"

#define PAGE       4096
#define FILE_BYTES (16 * PAGE)
#define GIB        (UINT64_C(1) << 30)
#define FIRST_SLOT 3

struct rig {
	int fds_before;
	struct sys real;
	struct plugvm_kvm *kvm;
	struct plugvm_vm *vm;
	struct objects objects;
	int memfd;
};

static int count_maps(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	assert_non_null(file);
	char line[512];
	int count = 0;
	/* The heap grows when it likes; a memfd's mapping has its name. */
	while (fgets(line, sizeof(line), file))
		count += strstr(line, "/memfd:test") != NULL;
	fclose(file);
	return count;
}

static int setup(void **state)
{
	static struct rig rig;
	memset(&rig, 0, sizeof(rig));
	rig.fds_before = count_open_fds();
	rig.real = sys;
	fake_kvm_install();
	assert_int_equal(plugvm_kvm_open(NULL, &rig.kvm, NULL), 0);
	assert_int_equal(plugvm_vm_new(rig.kvm, PLUGVM_IRQCHIP_KERNEL, &rig.vm, NULL), 0);
	assert_int_equal(objects_init(&rig.objects, FIRST_SLOT), 0);
	rig.memfd = make_memfd(FILE_BYTES, F_SEAL_SHRINK);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	sys = rig->real;
	objects_fini(&rig->objects, rig->vm);
	assert_int_equal(fake_kvm_slots(), 0);
	assert_int_equal(count_maps(), 0);
	plugvm_vm_free(&rig->vm);
	plugvm_kvm_free(&rig->kvm);
	fd_close(&rig->memfd);
	fake_kvm_remove();
	assert_int_equal(count_open_fds(), rig->fds_before);
	return 0;
}

static int create(struct rig *rig, uint32_t id, int fd, uint64_t offset, uint64_t start, uint64_t length)
{
	struct memory_request request = {.peer_offset = offset, .peer_start = start, .peer_length = length};
	return objects_create_memory(&rig->objects, rig->vm, id, fd, &request);
}

/* A request that is refused must leave nothing behind. */
static void refused(struct rig *rig, int fd, const struct memory_request *request, int code)
{
	int maps = count_maps();
	size_t slots = fake_kvm_slots();
	uint64_t bytes = rig->objects.memory_bytes;
	int fds = count_open_fds();
	assert_int_equal(objects_create_memory(&rig->objects, rig->vm, 1000, fd, request), -code);
	assert_int_equal(count_maps(), maps);
	assert_int_equal(fake_kvm_slots(), slots);
	assert_int_equal(rig->objects.memory_bytes, bytes);
	assert_int_equal(count_open_fds(), fds);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 1000), -ENOENT);
}

static void test_create(void **state)
{
	struct rig *rig = *state;
	struct memory_request request = {.peer_offset = PAGE,
	                                 .peer_start = 0x100000,
	                                 .peer_length = 2 * PAGE,
	                                 .read_only = true,
	                                 .dirty_log = true};
	assert_int_equal(objects_create_memory(&rig->objects, rig->vm, 9, rig->memfd, &request), 0);
	const struct kvm_userspace_memory_region *slot = &fake_kvm.slots[FIRST_SLOT];
	assert_int_equal(slot->guest_phys_addr, 0x100000);
	assert_int_equal(slot->memory_size, 2 * PAGE);
	assert_int_equal(slot->flags, KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES);
	/* It shows the memfd's second page, and stays when the fd is closed. */
	const uint8_t *mapped = (const uint8_t *)(uintptr_t)slot->userspace_addr;
	assert_int_equal(pwrite(rig->memfd, "page", 4, PAGE), 4);
	fd_close(&rig->memfd);
	assert_memory_equal(mapped, "page", 4);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 9), 0);
	assert_int_equal(fake_kvm_slots(), 0);
	assert_int_equal(count_maps(), 0);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 9), -ENOENT);
}

static void test_numbers(void **state)
{
	struct rig *rig = *state;
	const uint64_t top = UINT64_C(1) << 46; /* the fake's address bits */
	const uint64_t last_page = UINT64_MAX - PAGE + 1;
	const struct {
		uint64_t offset, start, length;
		int code;
	} cases[] = {
	    {0, 0, 0, EINVAL},
	    {0, 0, 1, EINVAL},
	    {0, 0, PAGE - 1, EINVAL},
	    {0, 0, PAGE + 1, EINVAL},
	    {1, 0, PAGE, EINVAL},
	    {0, 1, PAGE, EINVAL},
	    {0, PAGE / 2, PAGE, EINVAL},
	    {FILE_BYTES, 0, PAGE, EINVAL},
	    {FILE_BYTES - PAGE, 0, 2 * PAGE, EINVAL},
	    {0, 0, FILE_BYTES + PAGE, EINVAL},
	    {UINT64_C(1) << 63, 0, PAGE, EINVAL},
	    {last_page, 0, PAGE, EOVERFLOW},
	    {last_page - PAGE, 0, 4 * PAGE, EOVERFLOW},
	    {0, last_page, PAGE, EOVERFLOW},
	    {0, last_page - PAGE, 4 * PAGE, EOVERFLOW},
	    {0, top, PAGE, EINVAL},
	    {0, top - PAGE, 2 * PAGE, EINVAL},
	    {0, UINT64_C(1) << 63, PAGE, EINVAL},
	    /* Unaligned before too large for 64 bits. */
	    {last_page + 1, 0, PAGE, EINVAL},
	    /* What concerns the file before what concerns the guest. */
	    {FILE_BYTES, last_page, PAGE, EINVAL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct memory_request request = {
		    .peer_offset = cases[i].offset, .peer_start = cases[i].start, .peer_length = cases[i].length};
		refused(rig, rig->memfd, &request, cases[i].code);
	}
	/* The last good ones. */
	assert_int_equal(create(rig, 1, rig->memfd, FILE_BYTES - PAGE, top - PAGE, PAGE), 0);
	assert_int_equal(create(rig, 2, rig->memfd, 0, 0, FILE_BYTES), 0);
}

static void test_address_bits(void **state)
{
	struct rig *rig = *state;
	for (unsigned int bits = 32; bits <= LIMIT_GUEST_ADDRESS_BITS; bits += 4) {
		plugvm_vm_free(&rig->vm);
		fake_kvm.address_bits = bits;
		assert_int_equal(plugvm_vm_new(rig->kvm, PLUGVM_IRQCHIP_KERNEL, &rig->vm, NULL), 0);
		uint64_t end = UINT64_C(1) << bits;
		assert_int_equal(create(rig, 1, rig->memfd, 0, end - PAGE, PAGE), 0);
		assert_int_equal(create(rig, 2, rig->memfd, 0, end, PAGE), -EINVAL);
		assert_int_equal(objects_destroy(&rig->objects, rig->vm, 1), 0);
	}
}

static void test_seals(void **state)
{
	struct rig *rig = *state;
	static const struct {
		int seals, writable, read_only; /* expected errno for each */
	} cases[] = {
	    {0, EPERM, EPERM},
	    {F_SEAL_GROW, EPERM, EPERM},
	    {F_SEAL_WRITE, EPERM, EPERM},
	    {F_SEAL_SHRINK, 0, 0},
	    {F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, 0, 0},
	    {F_SEAL_SHRINK | F_SEAL_WRITE, EPERM, 0},
	    {F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE, EPERM, 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = make_memfd(FILE_BYTES, cases[i].seals);
		for (int read_only = 0; read_only < 2; read_only++) {
			struct memory_request request = {.peer_length = PAGE, .read_only = read_only};
			int code = read_only ? cases[i].read_only : cases[i].writable;
			if (code)
				refused(rig, fd, &request, code);
			else
				assert_int_equal(objects_create_memory(&rig->objects, rig->vm, 1, fd, &request),
				                 0);
			assert_int_equal(objects_destroy(&rig->objects, rig->vm, 1), code ? -ENOENT : 0);
		}
		fd_close(&fd);
	}
}

static void test_other_files(void **state)
{
	struct rig *rig = *state;
	struct memory_request request = {.peer_length = PAGE};
	int pipe_fds[2];
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int directory = open("/", O_PATH | O_CLOEXEC);
	refused(rig, pipe_fds[0], &request, EINVAL);
	refused(rig, zero, &request, EINVAL);
	refused(rig, file, &request, EINVAL);
	refused(rig, directory, &request, EBADF);
	refused(rig, -1, &request, EBADF);
	refused(rig, 1000000, &request, EBADF);
	fd_close_pair(pipe_fds);
	fd_close(&zero);
	fd_close(&file);
	fd_close(&directory);
}

/* The same memfd, but its fd does not allow to write. */
static void test_reopened_for_reading(void **state)
{
	struct rig *rig = *state;
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", rig->memfd);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	struct memory_request request = {.peer_length = PAGE};
	refused(rig, fd, &request, EACCES);
	request.read_only = true;
	assert_int_equal(objects_create_memory(&rig->objects, rig->vm, 1, fd, &request), 0);
	fd_close(&fd);
}

static int no_fstat(int fd, struct stat *out_stat)
{
	(void)fd;
	(void)out_stat;
	errno = EIO;
	return -1;
}

static void *no_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
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

static void test_system_refuses(void **state)
{
	struct rig *rig = *state;
	struct memory_request request = {.peer_length = PAGE};
	sys.fstat = no_fstat;
	refused(rig, rig->memfd, &request, EIO);
	sys = rig->real;
	sys.mmap = no_mmap;
	refused(rig, rig->memfd, &request, ENOMEM);
	sys = rig->real;
	static const int codes[] = {EEXIST, ENOMEM, EINVAL, EFAULT};
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		fake_kvm_fail(KVM_SET_USER_MEMORY_REGION, codes[i], 1);
		refused(rig, rig->memfd, &request, codes[i]);
	}
}

static void test_overlap_and_ids(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(create(rig, 5, rig->memfd, 0, 4 * PAGE, 4 * PAGE), 0);
	struct memory_request request = {.peer_start = 7 * PAGE, .peer_length = PAGE};
	refused(rig, rig->memfd, &request, EEXIST);
	/* The id counts before anything else that is wrong. */
	assert_int_equal(create(rig, 5, -1, 1, 2, 3), -EEXIST);
	assert_int_equal(create(rig, 0, rig->memfd, 0, 0, PAGE), 0);
	assert_int_equal(create(rig, UINT32_MAX, rig->memfd, 0, PAGE, PAGE), 0);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 4), -ENOENT);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 5), 0);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, UINT32_MAX), 0);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 0), 0);
}

static void test_destroy_refused(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(create(rig, 1, rig->memfd, 0, 0, PAGE), 0);
	int maps = count_maps();
	fake_kvm_fail(KVM_SET_USER_MEMORY_REGION, EINTR, 1);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 1), -EINTR);
	assert_int_equal(count_maps(), maps);
	assert_int_equal(fake_kvm_slots(), 1);
	assert_int_equal(rig->objects.memory_bytes, PAGE);
	assert_int_equal(create(rig, 1, rig->memfd, 0, PAGE, PAGE), -EEXIST);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 1), 0);
}

static void test_slots(void **state)
{
	struct rig *rig = *state;
	for (uint32_t id = 0; id < LIMIT_MEMORY_SLOTS; id++) {
		assert_int_equal(create(rig, id * 7919, rig->memfd, 0, (uint64_t)id * PAGE, PAGE), 0);
		assert_int_equal(fake_kvm.slots[FIRST_SLOT + id].guest_phys_addr, (uint64_t)id * PAGE);
	}
	assert_int_equal(create(rig, 1, rig->memfd, 0, GIB, PAGE), -ENOSPC);
	/* The lowest that is free comes first. */
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 508 * 7919), 0);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 64 * 7919), 0);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 63 * 7919), 0);
	static const uint32_t expected[] = {63, 64, 508};
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(create(rig, i + 1, rig->memfd, 0, GIB + i * PAGE, PAGE), 0);
		assert_int_equal(fake_kvm.slots[FIRST_SLOT + expected[i]].guest_phys_addr, GIB + i * PAGE);
	}
	assert_int_equal(create(rig, 4, rig->memfd, 0, 2 * GIB, PAGE), -ENOSPC);
	assert_int_equal(fake_kvm.slots[FIRST_SLOT + LIMIT_MEMORY_SLOTS].memory_size, 0);
}

/* The kernel maps whole huge pages and unmaps nothing less: part of one would stay for ever. */
static void test_huge_pages(void **state)
{
	struct rig *rig = *state;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	if (fd < 0)
		test_skip("this kernel has no memfds of huge pages");
	assert_int_equal(ftruncate(fd, 1 << 30), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	struct statfs system;
	assert_int_equal(fstatfs(fd, &system), 0);
	uint64_t huge = (uint64_t)system.f_bsize;
	const struct memory_request wrong[] = {
	    {.peer_length = PAGE},
	    {.peer_length = huge + PAGE},
	    {.peer_length = huge, .peer_offset = PAGE},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		refused(rig, fd, &wrong[i], EINVAL);
	assert_int_equal(create(rig, 1, fd, 0, 0, huge), 0);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 1), 0);
	assert_int_equal(count_maps(), 0);
	fd_close(&fd);
}

static void test_bytes(void **state)
{
	struct rig *rig = *state;
	/* A sparse file: no page of it is ever touched. */
	int fd = make_memfd(65 * GIB, F_SEAL_SHRINK);
	assert_int_equal(create(rig, 1, fd, 0, 0, 64 * GIB + PAGE), -ENOSPC);
	assert_int_equal(create(rig, 1, fd, 0, 0, UINT64_MAX - PAGE + 1), -EINVAL);
	int result = create(rig, 1, fd, 0, 0, 64 * GIB - PAGE);
	if (result == -ENOMEM) {
		fd_close(&fd);
		test_skip("there is no address space for 64 GiB");
	}
	assert_int_equal(result, 0);
	assert_int_equal(create(rig, 2, fd, 0, 64 * GIB, 2 * PAGE), -ENOSPC);
	assert_int_equal(create(rig, 2, fd, 0, 64 * GIB, PAGE), 0);
	assert_int_equal(create(rig, 3, fd, 0, 65 * GIB, PAGE), -ENOSPC);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 1), 0);
	assert_int_equal(rig->objects.memory_bytes, PAGE);
	assert_int_equal(create(rig, 3, fd, 0, 0, GIB), 0);
	fd_close(&fd);
}

static void test_fini_without_vm(void **state)
{
	struct rig *rig = *state;
	assert_int_equal(create(rig, 1, rig->memfd, 0, 0, PAGE), 0);
	assert_int_equal(create(rig, 2, rig->memfd, 0, PAGE, PAGE), 0);
	objects_fini(&rig->objects, NULL);
	assert_int_equal(count_maps(), 0);
	assert_int_equal(fake_kvm_slots(), 2); /* KVM was not asked */
	memset(fake_kvm.slots, 0, sizeof(fake_kvm.slots));
}

/* ---- Dirty logs ---- */

static int create_logged(struct rig *rig, uint32_t id, int fd, uint64_t start, uint64_t length)
{
	struct memory_request request = {.peer_start = start, .peer_length = length, .dirty_log = true};
	return objects_create_memory(&rig->objects, rig->vm, id, fd, &request);
}

/* One bit for each page and no byte more, though KVM writes whole 64-bit words. */
static void test_dirty_log(void **state)
{
	struct rig *rig = *state;
	int memfd = make_memfd(200 * PAGE, F_SEAL_SHRINK);
	static const uint64_t pages[] = {1, 7, 8, 9, 63, 64, 65, 128, 129, 200};
	for (uint32_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		uint8_t *bitmap = NULL;
		size_t size = 0;
		assert_int_equal(create_logged(rig, i, memfd, 0x100000, pages[i] * PAGE), 0);
		assert_int_equal(objects_get_dirty_log(&rig->objects, rig->vm, i, 25, &bitmap, &size), 0);
		assert_int_equal(size, (pages[i] + 7) / 8);
		for (uint64_t page = 0; page < size * 8; page++)
			assert_int_equal(bitmap[page / 8] >> page % 8 & 1, page < pages[i]);
		free(bitmap);
		assert_int_equal(objects_destroy(&rig->objects, rig->vm, i), 0);
	}
	assert_int_equal(fake_kvm.dirty_logs, sizeof(pages) / sizeof(pages[0]));
	fd_close(&memfd);
}

/* A log that cannot be handed over is not read, which would clear it. */
static void test_dirty_log_too_large(void **state)
{
	struct rig *rig = *state;
	uint8_t *bitmap = NULL;
	size_t size = 42;
	assert_int_equal(create_logged(rig, 1, rig->memfd, 0, 9 * PAGE), 0);
	assert_int_equal(objects_get_dirty_log(&rig->objects, rig->vm, 1, 1, &bitmap, &size), -EMSGSIZE);
	assert_int_equal(objects_get_dirty_log(&rig->objects, rig->vm, 1, 0, &bitmap, &size), -EMSGSIZE);
	assert_int_equal(fake_kvm.dirty_logs, 0);
	assert_null(bitmap);
	assert_int_equal(size, 42);
	assert_int_equal(objects_get_dirty_log(&rig->objects, rig->vm, 1, 2, &bitmap, &size), 0);
	assert_int_equal(fake_kvm.dirty_logs, 1);
	free(bitmap);
}

static void test_dirty_log_refused(void **state)
{
	struct rig *rig = *state;
	uint8_t *bitmap = NULL;
	size_t size;
	assert_int_equal(objects_get_dirty_log(&rig->objects, rig->vm, 1, 100, &bitmap, &size), -ENOENT);
	/* Memory that was made without one: KVM says so. */
	assert_int_equal(create(rig, 1, rig->memfd, 0, 0, PAGE), 0);
	assert_int_equal(objects_get_dirty_log(&rig->objects, rig->vm, 1, 100, &bitmap, &size), -ENOENT);
	assert_int_equal(create_logged(rig, 2, rig->memfd, PAGE, PAGE), 0);
	fake_kvm_fail(KVM_GET_DIRTY_LOG, EIO, 1);
	assert_int_equal(objects_get_dirty_log(&rig->objects, rig->vm, 2, 100, &bitmap, &size), -EIO);
	assert_null(bitmap);
	assert_int_equal(objects_destroy(&rig->objects, rig->vm, 2), 0);
	assert_int_equal(objects_get_dirty_log(&rig->objects, rig->vm, 2, 100, &bitmap, &size), -ENOENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_create),
	    TEST(test_numbers),
	    TEST(test_address_bits),
	    TEST(test_seals),
	    TEST(test_other_files),
	    TEST(test_reopened_for_reading),
	    TEST(test_system_refuses),
	    TEST(test_overlap_and_ids),
	    TEST(test_destroy_refused),
	    TEST(test_slots),
	    TEST(test_bytes),
	    TEST(test_huge_pages),
	    TEST(test_fini_without_vm),
	    TEST(test_dirty_log),
	    TEST(test_dirty_log_too_large),
	    TEST(test_dirty_log_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
