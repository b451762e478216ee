/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `plugvm jail-check`, what a plugin cannot look at from inside: its entries in the host's /proc.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/jail_check.h"

#define FILE_BYTES_MAX 65536

/* Read /proc/PID/NAME. Returns its size, or -1; the text ends with a zero byte either way. */
static ssize_t read_proc(pid_t pid, const char *name, char *out_text, size_t capacity)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t size = fd < 0 ? -1 : 1;
	while (size > 0 && used < capacity - 1) {
		size = read(fd, out_text + used, capacity - 1 - used);
		used += size > 0 ? (size_t)size : 0;
	}
	out_text[used] = '\0';
	return size < 0 ? -1 : (ssize_t)used;
}

static void check_namespaces(pid_t pid)
{
	static const char *const names[] = {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[64], ours[64] = "", theirs[64] = "", name[64];
		snprintf(name, sizeof(name), "%s namespace from outside", names[i]);
		snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
		bool is_known = readlink(path, ours, sizeof(ours) - 1) > 0;
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, names[i]);
		is_known = readlink(path, theirs, sizeof(theirs) - 1) > 0 && is_known;
		jail_check_line(is_known && strcmp(ours, theirs) != 0, name, "%s, the host's is %s", theirs, ours);
	}
}

/* Compare a line of /proc/PID/status. A value of NULL is not compared. */
static void check_status_line(const char *status, const char *name, const char *value)
{
	char found[128] = "", label[64];
	const char *line = strstr(status, name);
	if (line)
		sscanf(line + strlen(name), ": %127[^\n]", found);
	snprintf(label, sizeof(label), "%s from outside", name + 1);
	bool holds = line && strcmp(found, value) == 0;
	/* The kernel's tabs have no place in a line. */
	for (char *tab = strchr(found, '\t'); tab; tab = strchr(tab, '\t'))
		*tab = ' ';
	jail_check_line(holds, label, "%s", found[0] ? found : "nothing");
}

static void check_status(pid_t pid)
{
	static char status[FILE_BYTES_MAX];
	char pids[64];
	static const char *const sets[] = {"\nCapInh", "\nCapPrm", "\nCapEff", "\nCapBnd", "\nCapAmb"};
	read_proc(pid, "status", status, sizeof(status));
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		check_status_line(status, sets[i], "0000000000000000");
	check_status_line(status, "\nNoNewPrivs", "1");
	check_status_line(status, "\nSeccomp", "2");
	check_status_line(status, "\nUmask", "0077");
	check_status_line(status, "\nSigBlk", "0000000000000000");
	snprintf(pids, sizeof(pids), "%d\t2", pid);
	check_status_line(status, "\nNSpid", pids);
	/* Only root can drop them, and /proc ends the empty list with a blank. */
	if (geteuid() == 0)
		jail_check_line(strstr(status, "\nGroups:\t \n") || strstr(status, "\nGroups:\t\n"),
		                "Groups from outside", "none");
}

static void check_ids(pid_t pid)
{
	char text[4096];
	unsigned inner = 0, outer = 0, count = 0;
	read_proc(pid, "uid_map", text, sizeof(text));
	int found = sscanf(text, "%u %u %u", &inner, &outer, &count);
	bool is_dedicated = geteuid() == 0 ? outer != 0 : outer == geteuid();
	jail_check_line(found == 3 && inner == 1000 && count == 1 && is_dedicated && !strchr(text, '\n')[1],
	                "uid_map from outside", "%u is %u", inner, outer);
	found = read_proc(pid, "gid_map", text, sizeof(text)) > 0
	            ? sscanf(text, "%u %u %u", &inner, &outer, &count)
	            : 0;
	jail_check_line(found == 3 && count > 0, "gid_map from outside", "%u is %u%s", inner, outer,
	                strchr(text, '\n') && strchr(text, '\n')[1] ? ", and what the operator maps" : "");
	read_proc(pid, "setgroups", text, sizeof(text));
	jail_check_line(strcmp(text, "deny\n") == 0, "setgroups from outside", "%.*s", (int)strcspn(text, "\n"),
	                text);
	read_proc(pid, "oom_score_adj", text, sizeof(text));
	jail_check_line(atoi(text) == 1000, "oom_score_adj from outside", "%d", atoi(text));
	if (read_proc(pid, "personality", text, sizeof(text)) > 0)
		jail_check_line(strcmp(text, "00000000\n") == 0, "personality from outside", "%.8s", text);
	if (read_proc(pid, "cgroup", text, sizeof(text)) > 0)
		jail_check_line(true, "cgroup from outside", "%.*s", (int)strcspn(text, "\n"), text);
}

/* Does the default profile itself mount this? */
static bool is_of_profile(const char *target)
{
	static const char *const files[] = {"/",         "/tmp",         "/dev/null",       "/dev/zero",
	                                    "/dev/full", "/dev/urandom", "/etc/ld.so.cache"};
	static const char *const below[] = {"/plugin/", "/lib", "/usr/lib", "/usr/local/lib"};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (strcmp(target, files[i]) == 0)
			return true;
	}
	for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
		if (strncmp(target, below[i], strlen(below[i])) == 0)
			return true;
	}
	return false;
}

static void note_shown(struct jail_shown *shown, const char *target)
{
	char *word;
	if (shown->count < sizeof(shown->words) / sizeof(shown->words[0]) &&
	    asprintf(&word, "mount=%s", target) > 0)
		shown->words[shown->count++] = word;
}

static bool has_option(const char *options, const char *name)
{
	size_t length = strlen(name);
	for (const char *at = options; (at = strstr(at, name)); at += length) {
		if ((at == options || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
			return true;
	}
	return false;
}

/* Each mount: no setuid files, no devices but the profile's, nothing that the host's mounts reach, read-only. */
static void check_mounts(pid_t pid, struct jail_shown *out_shown)
{
	static char text[FILE_BYTES_MAX];
	unsigned mounts = 0, writable = 0;
	char *rest = text;
	read_proc(pid, "mountinfo", text, sizeof(text));
	for (char *line = strsep(&rest, "\n"); line && *line; line = strsep(&rest, "\n")) {
		char target[1024], flags[256], other[256];
		if (sscanf(line, "%*u %*u %*s %*s %1023s %255s %255s", target, flags, other) != 3)
			continue;
		bool is_device = strncmp(target, "/dev/", 5) == 0, is_profile = is_of_profile(target);
		bool is_writable = has_option(flags, "rw");
		mounts++;
		writable += is_writable;
		if (!is_profile)
			note_shown(out_shown, target);
		if (!has_option(flags, "nosuid") || (!is_device && !has_option(flags, "nodev")) ||
		    strncmp(other, "shared:", 7) == 0 || strncmp(other, "master:", 7) == 0)
			jail_check_line(false, "mounts from outside", "%s", line);
		if (is_writable && (!has_option(flags, "noexec") || (is_profile && strcmp(target, "/tmp") != 0)))
			jail_check_line(false, "mounts from outside", "what can be written to: %s", line);
	}
	jail_check_line(mounts > 0, "mounts from outside",
	                "%u, %u that can be written to, %zu beside those of the profile", mounts, writable,
	                out_shown->count);
}

void jail_outside_check(pid_t pid, bool is_jailed, struct jail_shown *out_shown)
{
	check_namespaces(pid);
	check_status(pid);
	check_ids(pid);
	/* Unjailed these are the host's. */
	if (is_jailed)
		check_mounts(pid, out_shown);
}
