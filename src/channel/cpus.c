/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many CPUs this process can keep busy. What is read comes from the kernel.
 */
#include "channel/cpus.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "channel/calls.h"

/* Read the first line of a small file. */
static bool read_file(const char *directory, const char *name, char *out_text, size_t capacity)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
		return false;
	FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : channel_calls.pread(fd, out_text, capacity - 1, 0);
	out_text[size > 0 ? size : 0] = '\0';
	return size > 0;
}

/* Return the quota of one cgroup in whole CPUs; UINT_MAX: there is none. */
static unsigned int quota_of(const char *directory, bool is_v2)
{
	char text[64], period_text[64];
	char *end = text;
	if (!read_file(directory, is_v2 ? "cpu.max" : "cpu.cfs_quota_us", text, sizeof(text)))
		return UINT_MAX;
	/* "max" or "-1" is none. */
	long long quota = strtoll(text, &end, 10);
	if (end == text || quota < 0)
		return UINT_MAX;
	if (!is_v2 && !read_file(directory, "cpu.cfs_period_us", period_text, sizeof(period_text)))
		return UINT_MAX;
	long long period = strtoll(is_v2 ? end : period_text, NULL, 10);
	if (period <= 0 || quota / period > INT_MAX)
		return UINT_MAX;
	return (unsigned int)(quota / period);
}

static unsigned int quota_up_to_top(const struct cpus_cgroup *cgroup)
{
	char directory[PATH_MAX];
	size_t top = strlen(cgroup->top);
	unsigned int least = UINT_MAX;
	if (snprintf(directory, sizeof(directory), "%s", cgroup->home) >= (int)sizeof(directory))
		return least;
	for (;;) {
		unsigned int quota = quota_of(directory, cgroup->is_v2);
		least = quota < least ? quota : least;
		char *slash = strrchr(directory, '/');
		if (strlen(directory) <= top || !slash)
			return least;
		*slash = '\0';
	}
}

unsigned int cpus_usable(const struct cpus_cgroup *cgroup)
{
	int affinity = channel_calls.affinity();
	unsigned int count = affinity > 0 ? (unsigned int)affinity : 1;
	unsigned int quota = cgroup ? quota_up_to_top(cgroup) : UINT_MAX;
	return quota < count ? quota : count;
}
