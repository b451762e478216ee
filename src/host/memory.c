/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory: pages of a plugin's memfd, mapped into the host and into the VM.
 */
#include "host/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/sys.h"
#include "kvm/kvm.h"

/* KVM's pages on x86, and the host's. */
#define PAGE_SIZE 4096

/* Returns 0 if [offset, offset + length) are pages of a memfd that cannot go away, or -errno. */
static int check_file(int fd, const struct memory_request *request)
{
	/*
	 * Seals first: once F_SEAL_SHRINK is seen it stays, so that the size read after it cannot shrink. In the
	 * other order the plugin could shrink the file and seal it in between.
	 */
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0)
		return -errno; /* EINVAL: this kind of file has no seals, so it is no memfd */
	if (!(seals & F_SEAL_SHRINK))
		return -EPERM;
	if (!request->read_only && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		return -EPERM;

	uint64_t end;
	if (!checked_add_u64(request->peer_offset, request->peer_length, &end))
		return -EOVERFLOW;
	/* Of huge pages the kernel maps whole ones, and unmaps nothing less. */
	struct statfs system;
	if (fstatfs(fd, &system) < 0)
		return -errno;
	if (system.f_type == HUGETLBFS_MAGIC &&
	    !is_aligned_u64(request->peer_offset | request->peer_length, (uint64_t)system.f_bsize))
		return -EINVAL;
	struct stat file;
	if (sys.fstat(fd, &file) < 0)
		return -errno;
	return file.st_size >= 0 && end <= (uint64_t)file.st_size ? 0 : -EINVAL;
}

/* Returns 0 if [start, start + length) are addresses that the guest's CPU has, or -errno. */
static int check_guest_address(const struct plugvm_vm *vm, const struct memory_request *request)
{
	uint64_t end;
	if (!checked_add_u64(request->peer_start, request->peer_length, &end))
		return -EOVERFLOW;
	return end <= UINT64_C(1) << plugvm_vm_address_bits(vm) ? 0 : -EINVAL;
}

int memory_check(const struct plugvm_vm *vm, int fd, const struct memory_request *request)
{
	if (request->peer_length == 0 || !is_aligned_u64(request->peer_length, PAGE_SIZE) ||
	    !is_aligned_u64(request->peer_offset, PAGE_SIZE) || !is_aligned_u64(request->peer_start, PAGE_SIZE))
		return -EINVAL;
	int result = check_file(fd, request);
	return result < 0 ? result : check_guest_address(vm, request);
}

int memory_map(struct plugvm_vm *vm, int fd, const struct memory_request *request, uint32_t slot,
               struct guest_memory *out_memory)
{
	/* Safe for a peer's fd after memory_check(): a sealed memfd, and inside of it. */
	int protection = request->read_only ? PROT_READ : PROT_READ | PROT_WRITE;
	void *host = sys.mmap(NULL, request->peer_length, protection, MAP_SHARED | MAP_NORESERVE, fd,
	                      (off_t)request->peer_offset);
	if (host == MAP_FAILED)
		return -errno;
	/* A core dump of the host must not hold the guest. */
	madvise(host, request->peer_length, MADV_DONTDUMP);

	uint32_t flags = (request->read_only ? KVM_MEM_READONLY : 0) |
	                 (request->dirty_log ? KVM_MEM_LOG_DIRTY_PAGES : 0);
	int result = plugvm_vm_set_memory(vm, slot, flags, request->peer_start, request->peer_length, host);
	if (result < 0) {
		munmap(host, request->peer_length);
		return result;
	}
	*out_memory = (struct guest_memory){
	    .host = host, .length = request->peer_length, .start = request->peer_start, .slot = slot};
	return 0;
}

int memory_unmap(struct plugvm_vm *vm, struct guest_memory *memory)
{
	if (vm) {
		int result = plugvm_vm_set_memory(vm, memory->slot, 0, memory->start, 0, NULL);
		if (result < 0)
			return result;
	}
	munmap(memory->host, memory->length);
	memory->host = NULL;
	return 0;
}

int memory_get_dirty_log(struct plugvm_vm *vm, const struct guest_memory *memory, uint8_t **out_bitmap,
                         size_t *out_size)
{
	/* KVM writes whole 64-bit words. */
	size_t size = memory_dirty_log_bytes(memory);
	uint8_t *bitmap = calloc(1, (size + 7) & ~(size_t)7);
	if (!bitmap)
		return -ENOMEM;
	struct kvm_dirty_log log = {.slot = memory->slot, .dirty_bitmap = bitmap};
	int result = kvm_vm_get_dirty_log(vm, &log);
	if (result < 0) {
		free(bitmap);
		return result;
	}
	*out_bitmap = bitmap;
	*out_size = size;
	return 0;
}

/* Returns 0 if [offset, offset + size) is inside of a memfd that cannot go away and can be written, or -errno. */
static int check_log_file(int fd, uint64_t peer_offset, size_t size)
{
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0)
		return -errno;
	if (!(seals & F_SEAL_SHRINK) || (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		return -EPERM;
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -errno;
	if ((flags & O_ACCMODE) != O_RDWR)
		return -EBADF;
	struct statfs system;
	if (fstatfs(fd, &system) < 0)
		return -errno;
	if (system.f_type == HUGETLBFS_MAGIC)
		return -EINVAL; /* whole huge pages are not worth a map of their own */
	struct stat file;
	if (sys.fstat(fd, &file) < 0)
		return -errno;
	uint64_t end;
	return checked_add_u64(peer_offset, size, &end) && end <= (uint64_t)file.st_size ? 0 : -EINVAL;
}

int log_window_init(struct log_window *window, int fd, uint64_t peer_offset, size_t size)
{
	int result = check_log_file(fd, peer_offset, size);
	if (result < 0)
		return result;
	size_t before = peer_offset % PAGE_SIZE;
	void *pages = sys.mmap(NULL, before + size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
	                       (off_t)(peer_offset - before));
	if (pages == MAP_FAILED)
		return -errno;
	*window = (struct log_window){.pages = pages, .before = before, .size = size};
	madvise(pages, before + size, MADV_DONTDUMP);
	/* EINVAL: older than Linux 5.14, where a shortage shows itself only when the log is written. */
	if (madvise(pages, before + size, MADV_POPULATE_WRITE) < 0 && errno != EINVAL) {
		result = -errno;
		log_window_fini(window);
	}
	return result;
}

int log_window_write(const struct log_window *window, const uint8_t *log)
{
	/* By the kernel, to whom a page that the plugin punched and that cannot be had again is an error, no SIGBUS. */
	struct iovec from = {.iov_base = (void *)log, .iov_len = window->size};
	struct iovec to = {.iov_base = (uint8_t *)window->pages + window->before, .iov_len = window->size};
	ssize_t written = process_vm_writev(getpid(), &from, 1, &to, 1, 0);
	if (written < 0)
		return -errno;
	return (size_t)written == window->size ? 0 : -EIO;
}

void log_window_fini(struct log_window *window)
{
	munmap(window->pages, window->before + window->size);
	window->pages = NULL;
}
