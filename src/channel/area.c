/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shared memory of a plugin's vCPUs.
 */
#include "channel/area.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/sys.h"
#include "channel/calls.h"

#define AREA_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static const struct area no_area = {.fd = -1};

static size_t size_for(uint32_t vcpu_count)
{
	return AREA_HEADER_BYTES + vcpu_count * sizeof(struct vcpu_page);
}

/* Returns NULL with errno. */
static uint8_t *map(int fd, size_t size)
{
	void *memory = sys.mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

int area_new(uint32_t vcpu_count, struct area *out_area)
{
	assert(vcpu_count > 0 && vcpu_count <= LIMIT_VCPUS);
	*out_area = no_area;
	FD_AUTO fd = channel_calls.memfd_create("plugvm-vcpus");
	if (fd < 0)
		return fd;
	struct area area = {.fd = fd, .vcpu_count = vcpu_count, .size = size_for(vcpu_count)};
	int error = channel_calls.ftruncate(fd, (off_t)area.size);
	if (!error)
		error = channel_calls.add_seals(fd, AREA_SEALS);
	if (error)
		return error;
	area.memory = map(fd, area.size);
	if (!area.memory)
		return -errno;
	const struct area_header header = {
	    .magic = AREA_MAGIC,
	    .version = AREA_VERSION,
	    .vcpu_count = vcpu_count,
	    .stride = sizeof(struct vcpu_page),
	    .header_bytes = AREA_HEADER_BYTES,
	};
	memcpy(area.memory, &header, sizeof(header));
	*out_area = area;
	fd_take(&fd);
	return 0;
}

/* What the plugin's library was built with must be what the host has made. */
static int check(struct area *area)
{
	struct area_header header;
	memcpy(&header, area->memory, sizeof(header));
	if (header.magic != AREA_MAGIC || header.version != AREA_VERSION || header.vcpu_count == 0 ||
	    header.vcpu_count > LIMIT_VCPUS || header.stride != sizeof(struct vcpu_page) ||
	    header.header_bytes != AREA_HEADER_BYTES || area->size != size_for(header.vcpu_count))
		return -EPROTO;
	area->vcpu_count = header.vcpu_count;
	return 0;
}

int area_open(int *fd, struct area *out_area)
{
	FD_AUTO taken = fd_take(fd);
	struct stat status;
	*out_area = no_area;
	int seals = channel_calls.get_seals(taken);
	if (seals < 0)
		return seals == -EINVAL ? -EPROTO : seals;
	if (sys.fstat(taken, &status) < 0)
		return -errno;
	if ((seals & AREA_SEALS) != AREA_SEALS || status.st_size < AREA_HEADER_BYTES ||
	    (uint64_t)status.st_size > size_for(LIMIT_VCPUS))
		return -EPROTO;
	struct area area = {.fd = taken, .size = (size_t)status.st_size};
	area.memory = map(taken, area.size);
	if (!area.memory)
		return -errno;
	int error = check(&area);
	if (error) {
		munmap(area.memory, area.size);
		return error;
	}
	/* Mapped it stays. */
	area.fd = -1;
	*out_area = area;
	return 0;
}

void area_fini(struct area *area)
{
	if (area->memory)
		munmap(area->memory, area->size);
	fd_close(&area->fd);
	*area = no_area;
}

struct vcpu_page *area_page(const struct area *area, uint32_t cpu)
{
	assert(cpu < area->vcpu_count);
	return (struct vcpu_page *)(void *)(area->memory + AREA_HEADER_BYTES + cpu * sizeof(struct vcpu_page));
}
