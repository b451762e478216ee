/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory: pages of a plugin's memfd, mapped into the host and into the VM. Main thread. The memfd is the
 * plugin's: it may write, grow and punch it at any time; only shrinking is impossible, which the seal makes sure.
 * The host itself never touches the mapping.
 */
#ifndef PLUGVM_HOST_MEMORY_H
#define PLUGVM_HOST_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "plugvm.h"

/* What the plugin asked for; nothing here has been checked. */
struct memory_request {
	uint64_t peer_offset;
	uint64_t peer_start;
	uint64_t peer_length;
	bool read_only;
	bool dirty_log;
};

/* A mapped range. */
struct guest_memory {
	void *host; /* KVM's business only */
	uint64_t length;
	uint64_t start;
	uint32_t slot;
};

/* Return how many bytes the range's dirty log has: one bit for each page, rounded up. */
static inline size_t memory_dirty_log_bytes(const struct guest_memory *memory)
{
	return (size_t)((memory->length / 4096 + 7) / 8);
}

/*
 * Get and clear the dirty log: a bitmap made by malloc(), the caller's, of *out_size bytes. -ENOENT: the range was
 * made without one.
 */
int memory_get_dirty_log(struct plugvm_vm *vm, const struct guest_memory *memory, uint8_t **out_bitmap,
                         size_t *out_size);

/*
 * Where in a memfd of the plugin's a dirty log goes. It is mapped: write(2) and fallocate(2) take a lock of the file,
 * which the plugin can hold for as long as it likes, by a write from memory whose page faults it serves itself.
 */
struct log_window {
	void *pages;
	size_t before; /* bytes of the first page that are not the log's */
	size_t size;
};

/*
 * Map `size` bytes at `offset` of the plugin's `fd`, and make sure of their pages. -EINVAL: it is no memfd, or too
 * short; -EPERM: its seals; -EBADF: it is not for reading and writing; others: mmap(2), madvise(2)
 */
int log_window_init(struct log_window *window, int fd, uint64_t peer_offset, size_t size);
/* Write the log, which has the size of the window. Returns 0 or -errno. */
int log_window_write(const struct log_window *window, const uint8_t *log);
void log_window_fini(struct log_window *window);

/* Check the request against the memfd and the VM. Errors as crosvm_create_memory() says. */
int memory_check(const struct plugvm_vm *vm, int fd, const struct memory_request *request);

/* Map a checked request and give it to KVM under `slot`. `fd` stays the caller's. */
int memory_map(struct plugvm_vm *vm, int fd, const struct memory_request *request, uint32_t slot,
               struct guest_memory *out_memory);

/* Take the range out of the VM and unmap it. On failure nothing has changed. `vm` NULL: the VM is gone already. */
int memory_unmap(struct plugvm_vm *vm, struct guest_memory *memory);

#endif
