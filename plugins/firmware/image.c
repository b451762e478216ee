/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image.c - reads a BIOS image and tells it from other files. No knowledge of plugins or of the machine.
 */
#define _GNU_SOURCE 1
#include "image.h"

#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* One real-mode segment, which the processor starts in; larger images are made of whole ones. */
#define SEGMENT_SIZE ((size_t)64 << 10)
/* Chip sets decode no more than this for a BIOS, and the local APIC lies not far below it. */
#define MAX_SIZE ((size_t)16 << 20)

/* The first instruction after a reset stands 16 bytes before the image's end: a far jump into the image. */
#define RESET_VECTOR_DISTANCE 16
#define FAR_JUMP              0xea

static bool check_file(int fd, const char *path, size_t *out_size)
{
	struct stat status;
	if (fstat(fd, &status) < 0) {
		warn("%s", path);
		return false;
	}
	if (S_ISDIR(status.st_mode)) {
		warnx("%s: is a directory", path);
		return false;
	}
	if (!S_ISREG(status.st_mode)) {
		warnx("%s: is not a regular file", path);
		return false;
	}

	size_t size = (size_t)status.st_size;
	if (size < SEGMENT_SIZE) {
		warnx("%s: is too small for a BIOS: %zu bytes, the least is 64 KiB", path, size);
		return false;
	}
	if (size > MAX_SIZE) {
		warnx("%s: is too big for a BIOS: %zu bytes, the most is 16 MiB", path, size);
		return false;
	}
	if (size % SEGMENT_SIZE != 0) {
		warnx("%s: is no BIOS: its size, %zu bytes, is not a multiple of 64 KiB", path, size);
		return false;
	}

	*out_size = size;
	return true;
}

static bool read_all(int fd, const char *path, struct image *image)
{
	for (size_t done = 0; done < image->size;) {
		ssize_t ret = read(fd, image->bytes + done, image->size - done);
		if (ret < 0) {
			warn("%s", path);
			return false;
		}
		if (ret == 0) {
			warnx("%s: became shorter while it was read", path);
			return false;
		}
		done += (size_t)ret;
	}

	if (image->bytes[image->size - RESET_VECTOR_DISTANCE] != FAR_JUMP) {
		warnx("%s: is no BIOS: there is no far jump at its reset vector, 16 bytes before its end", path);
		return false;
	}
	return true;
}

bool image_read(const char *path, struct image *out_image)
{
	/* Opening a FIFO would wait for a writer; like this it is told apart below. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		warn("%s", path);
		return false;
	}

	struct image image = {0};
	bool good = check_file(fd, path, &image.size);
	if (good) {
		image.bytes = malloc(image.size);
		if (!image.bytes)
			err(1, "no memory for the image");
		good = read_all(fd, path, &image);
	}
	close(fd);

	if (good)
		*out_image = image;
	else
		image_free(&image);
	return good;
}

void image_free(struct image *image)
{
	free(image->bytes);
	*image = (struct image){0};
}
