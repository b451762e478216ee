/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * example.c - the plain Linux part of the examples; example.h tells what it is for.
 */
#define _GNU_SOURCE 1
#include "example.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int check(int ret, const char *what)
{
	if (ret < 0) {
		fprintf(stderr, "%s: cannot %s: %s\n", program_invocation_short_name, what, strerror(-ret));
		exit(1);
	}
	return ret;
}

uint8_t *guest_memory_new(size_t size, int *out_fd)
{
	int fd = memfd_create("guest memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		check(-errno, "make guest memory");

	/* Without the seal the plugin could take pages away while the guest is using them. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		check(-errno, "seal guest memory");

	uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		check(-errno, "map guest memory");

	*out_fd = fd;
	return memory;
}
