/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dirty log of guest memory: a short one comes in the reply, a long one through a memfd. Runs in the plugin, on the
 * thread that the connection belongs to. The host may die at any moment or be an older one.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "plugin/connection.h"
#include "plugin/memory.h"
#include "plugin/stats.h"

#define PAGE_BYTES 4096

/*
 * What the original host's socket takes in one packet, by the kernel's default (net.core.wmem_default), beside the
 * message around it. It reads the log before it finds out that the reply is too long, and the log is lost.
 */
#define ORIGINAL_LOG_BYTES (212992 - 128)

static uint64_t log_bytes(const struct crosvm_memory *memory)
{
	return (memory->length / PAGE_BYTES + 7) / 8;
}

/* KVM writes whole words. */
static uint64_t round_to_words(uint64_t bytes)
{
	return (bytes + 7) & ~(uint64_t)7;
}

static int get_by_reply(struct crosvm *crosvm, const struct crosvm_memory *memory, uint8_t *out_log)
{
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_dirty_log_tag,
	    .message.dirty_log.id = memory->id,
	};
	wire_MainResponse response;
	int error = connection_query(crosvm, &request, NULL, &response);
	if (error)
		return error;
	const struct wire_bytes *bitmap = &response.message.dirty_log.bitmap;
	if (bitmap->size != log_bytes(memory))
		return -EPROTO;
	if (bitmap->size > 0)
		memcpy(out_log, bitmap->data, bitmap->size);
	return 0;
}

static int get_to(struct crosvm *crosvm, const struct crosvm_memory *memory, int fd, uint64_t offset)
{
	wire_MainRequest request = {
	    .which_message = wire_MainRequest_dirty_log_to_tag,
	    .message.dirty_log_to = {.id = memory->id, .offset = offset},
	};
	wire_MainResponse response;
	int error = connection_call(crosvm, &request, &fd, NULL, 0, &response);
	if (error)
		return error;
	uint64_t size = response.message.dirty_log_to.size;
	return size == log_bytes(memory) || size == round_to_words(log_bytes(memory)) ? 0 : -EPROTO;
}

/* Make a memfd that the host can rely on. Returns it or -errno. */
static int make_memfd(uint64_t size)
{
	FD_AUTO fd = memfd_create("dirty log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return -errno;
	return fd_take(&fd);
}

static int read_all(int fd, uint8_t *out, uint64_t size)
{
	for (uint64_t at = 0; at < size;) {
		ssize_t got = pread(fd, out + at, size - at, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EPROTO;
		at += (uint64_t)got;
	}
	return 0;
}

static int get_by_memfd(struct crosvm *crosvm, const struct crosvm_memory *memory, uint8_t *out_log)
{
	FD_AUTO fd = make_memfd(round_to_words(log_bytes(memory)));
	if (fd < 0)
		return fd;
	int error = get_to(crosvm, memory, fd, 0);
	return error ? error : read_all(fd, out_log, log_bytes(memory));
}

int crosvm_memory_get_dirty_log(struct crosvm *crosvm, struct crosvm_memory *memory, uint8_t *out_log)
{
	STATS();
	if (!crosvm || !memory || !out_log)
		return -EINVAL;
	if (crosvm->broken)
		return crosvm->broken;
	uint64_t limit = machine_is_original(crosvm->machine) ? ORIGINAL_LOG_BYTES : LIMIT_DIRTY_LOG_BYTES;
	if (log_bytes(memory) <= limit)
		return get_by_reply(crosvm, memory, out_log);
	if (machine_has(crosvm->machine, CROSVM_FEATURE_DIRTY_LOG_TO))
		return get_by_memfd(crosvm, memory, out_log);
	return -E2BIG;
}

int crosvm_memory_get_dirty_log_to(struct crosvm *crosvm, struct crosvm_memory *memory, int fd, uint64_t offset)
{
	STATS();
	if (!crosvm || !memory)
		return -EINVAL;
	int error = connection_need(crosvm, CROSVM_FEATURE_DIRTY_LOG_TO);
	return error ? error : get_to(crosvm, memory, fd, offset);
}
