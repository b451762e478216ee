/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image.h - the BIOS image: the file's bytes, once they have passed for a BIOS.
 */
#ifndef FIRMWARE_IMAGE_H
#define FIRMWARE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct image {
	uint8_t *bytes;
	size_t size; /* a multiple of 64 KiB, at most 16 MiB */
};

/* Read the file at `path`. If it is no BIOS, say on stderr what is wrong with it and return false. */
bool image_read(const char *path, struct image *out_image);

void image_free(struct image *);

#endif
