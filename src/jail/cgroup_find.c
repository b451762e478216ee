/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which cgroup hierarchies there are, and where in each this process is. What is read comes from the kernel.
 */
#include "jail/cgroup_find.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

/* A process in a hundred containers has a long list of mounts. */
#define MOUNTINFO_BYTES_MAX ((size_t)1 << 20)
#define CGROUP_BYTES_MAX    16384

static const char *const names[CGROUP_CONTROLLERS] = {"memory", "pids", "cpu", "devices"};

const char *cgroup_controller_name(size_t index)
{
	return names[index];
}

unsigned cgroup_parse_controllers(const char *list, const char *separators)
{
	unsigned controllers = 0;
	while (*list) {
		list += strspn(list, separators);
		size_t length = strcspn(list, separators);
		for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
			if (length == strlen(names[i]) && strncmp(list, names[i], length) == 0)
				controllers |= 1u << i;
		}
		list += length;
	}
	return controllers;
}

int cgroup_read(int directory, const char *path, char *out_text, size_t capacity)
{
	FD_AUTO fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	size_t used = 0;
	ssize_t size;
	do {
		size = read(fd, out_text + used, capacity - 1 - used);
		used += size > 0 ? (size_t)size : 0;
	} while (size > 0);
	out_text[used] = '\0';
	return size < 0 ? -errno : 0;
}

/* Read `proc`/`name`. Returns NULL if that cannot be done; for free(). */
static char *read_proc(const char *proc, const char *name, size_t capacity)
{
	char path[PATH_MAX];
	char *text = malloc(capacity);
	snprintf(path, sizeof(path), "%s/%s", proc, name);
	if (text && cgroup_read(AT_FDCWD, path, text, capacity) == 0)
		return text;
	free(text);
	return NULL;
}

/* What stands for blanks in mountinfo, in place. */
static void unescape(char *text)
{
	char *out = text;
	while (*text) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] && text[3]) {
			*out++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
			text += 4;
		} else {
			*out++ = *text++;
		}
	}
	*out = '\0';
}

/*
 * Find this process's path in the hierarchy that has all of the controllers, or in that of version 2: the lines are
 * "NUMBER:CONTROLLERS:PATH", and version 2's begins with "0::". Returns a copy, or NULL.
 */
static char *path_in(const char *text, unsigned controllers, bool is_v2)
{
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *list = memchr(line, ':', strcspn(line, "\n"));
		const char *path = list ? memchr(list + 1, ':', strcspn(list + 1, "\n")) : NULL;
		if (!path)
			continue;
		char *copy = strndup(list + 1, (size_t)(path - list - 1));
		bool matches = copy && (is_v2 ? !copy[0] && line[0] == '0'
		                              : cgroup_parse_controllers(copy, ",") == controllers);
		free(copy);
		if (matches)
			return strndup(path + 1, strcspn(path + 1, "\n"));
	}
	return NULL;
}

/* The directory of `path`, where the hierarchy's directory `root` is mounted at `top`. NULL: it is not below that. */
static char *directory_of(const char *top, const char *root, const char *path)
{
	size_t skip = strcmp(root, "/") == 0 ? 0 : strlen(root);
	char *directory;
	if (strncmp(path, root, skip) != 0 || (path[skip] && path[skip] != '/') || strstr(path, "/.."))
		return NULL;
	path += skip;
	return asprintf(&directory, "%s%s", top, strcmp(path, "/") == 0 ? "" : path) < 0 ? NULL : directory;
}

/* Take one line of mountinfo apart: "ID PARENT DEVICE ROOT POINT OPTIONS ... - TYPE SOURCE OPTIONS". */
static bool parse_mount_line(char *line, const char *cgroup, struct cgroup_hierarchy *out_hierarchy)
{
	char *fields[6], *rest = NULL, *saved;
	char *dash = strstr(line, " - ");
	if (!dash)
		return false;
	*dash = '\0';
	size_t count = 0;
	for (char *word = strtok_r(line, " ", &saved); word && count < 6; word = strtok_r(NULL, " ", &saved))
		fields[count++] = word;
	char *type = strtok_r(dash + 3, " ", &saved);
	if (strtok_r(NULL, " ", &saved))
		rest = strtok_r(NULL, " ", &saved);
	if (count < 6 || !type || !rest || strncmp(type, "cgroup", 6) != 0)
		return false;
	bool is_v2 = strcmp(type, "cgroup2") == 0;
	unsigned controllers = is_v2 ? 0 : cgroup_parse_controllers(rest, ",");
	if (!is_v2 && controllers == 0)
		return false;
	unescape(fields[3]);
	unescape(fields[4]);
	char *path = path_in(cgroup, controllers, is_v2);
	*out_hierarchy = (struct cgroup_hierarchy){.is_v2 = is_v2,
	                                           .controllers = controllers,
	                                           .top = strdup(fields[4]),
	                                           .home = path ? directory_of(fields[4], fields[3], path) : NULL};
	free(path);
	return true;
}

/* What version 2 has for this process's directory, it says there. */
static void ask_controllers(struct cgroup_hierarchy *hierarchy)
{
	char path[PATH_MAX], text[512] = "";
	snprintf(path, sizeof(path), "%s/cgroup.controllers", hierarchy->home);
	if (cgroup_read(AT_FDCWD, path, text, sizeof(text)) == 0)
		hierarchy->controllers = cgroup_parse_controllers(text, " \n");
}

size_t cgroup_find(const char *proc, struct cgroup_hierarchy *out_hierarchies)
{
	size_t count = 0;
	unsigned seen = 0;
	char *cgroup = read_proc(proc, "cgroup", CGROUP_BYTES_MAX);
	char *mountinfo = read_proc(proc, "mountinfo", MOUNTINFO_BYTES_MAX);
	char *saved = NULL;
	for (char *line = cgroup && mountinfo ? strtok_r(mountinfo, "\n", &saved) : NULL;
	     line && count < CGROUP_HIERARCHIES_MAX; line = strtok_r(NULL, "\n", &saved)) {
		struct cgroup_hierarchy *hierarchy = &out_hierarchies[count];
		if (!parse_mount_line(line, cgroup, hierarchy))
			continue;
		if (hierarchy->is_v2 && hierarchy->home)
			ask_controllers(hierarchy);
		/* One may be mounted in several places. */
		if (hierarchy->top && hierarchy->home && hierarchy->controllers & ~seen) {
			seen |= hierarchy->controllers;
			count++;
		} else {
			cgroup_hierarchy_fini(hierarchy);
		}
	}
	free(cgroup);
	free(mountinfo);
	return count;
}

void cgroup_hierarchy_fini(struct cgroup_hierarchy *hierarchy)
{
	free(hierarchy->top);
	free(hierarchy->home);
	*hierarchy = (struct cgroup_hierarchy){.top = NULL};
}
