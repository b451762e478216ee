/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks that cmocka lacks.
 */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int count_open_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	assert_non_null(directory);
	int count = 0;
	for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count - 1; /* the directory's own */
}

long private_memory_kib(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	assert_non_null(file);
	char line[128];
	long sum = 0, kib;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Private_Clean: %ld", &kib) == 1 || sscanf(line, "Private_Dirty: %ld", &kib) == 1)
			sum += kib;
	}
	fclose(file);
	return sum;
}

int make_memfd(size_t size, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	if (seals)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}
