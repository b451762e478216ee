/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shared memory of a plugin's vCPUs: one memfd for all of them, made and sealed by the host, mapped by both sides.
 * Its size is fixed before anybody else has it, so that no access can raise SIGBUS. A plugin can punch a hole into it,
 * which reads as zeros: a turn that no one has, and so an error of its protocol.
 */
#ifndef PLUGVM_CHANNEL_AREA_H
#define PLUGVM_CHANNEL_AREA_H

#include "channel/layout.h"

struct area {
	int fd; /* -1: none */
	uint32_t vcpu_count;
	size_t size;
	uint8_t *memory;
};

/* Make it, all zeros but its header. The host's main thread. Returns 0 or -errno, and then there is none. */
int area_new(uint32_t vcpu_count, struct area *out_area);

/*
 * Map what the host has sent. The fd is taken over, and closed on failure too. Returns 0, or -errno: -EPROTO if it is
 * not such a memory, or is of another version.
 */
int area_open(int *fd, struct area *out_area);

/* Unmap and close. Nobody may use a page of it any more. */
void area_fini(struct area *area);

/* Return the page of vCPU `cpu`, which is below vcpu_count. */
struct vcpu_page *area_page(const struct area *area, uint32_t cpu);

#endif
