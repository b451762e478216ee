/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VM's own cgroups: made, limited, and removed.
 */
#include "jail/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"

#define NAME_FORMAT "plugvm-%d-%" PRIu64 "-%u"

/* Between the top of a hierarchy and ours. */
#define COMMON_NAME "plugvm"

/* The period that a share of CPU time refers to; the kernel's own default. */
#define CPU_PERIOD_US 100000

/* How long the kernel may take to let go of a cgroup whose processes have ended. */
#define REMOVE_TIMEOUT_MS 250

/* As much of the list of processes as is read at a time; the rest is read when these are gone. */
#define PROCS_BYTES_MAX 4096

const struct cgroup_system cgroup_system = {.proc = "/proc/self"};

/* ---- Files of a cgroup ---- */

static int open_file(const struct cgroup_system *system, int directory, const char *path)
{
	int fd = openat(directory, path, O_WRONLY | O_CLOEXEC | system->open_flags, 0600);
	return fd < 0 ? -errno : fd;
}

static int write_text(int fd, const char *text)
{
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int write_to(const struct cgroup_system *system, int directory, const char *path, const char *text)
{
	FD_AUTO fd = open_file(system, directory, path);
	return fd < 0 ? fd : write_text(fd, text);
}

static int write_number(const struct cgroup_system *system, int directory, const char *path, uint64_t number)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, number);
	return write_to(system, directory, path, text);
}

static int make_directory(int base, const char *name)
{
	if (mkdirat(base, name, 0755) < 0)
		return -errno;
	int fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int code = errno;
	if (fd < 0)
		unlinkat(base, name, AT_REMOVEDIR);
	return fd < 0 ? -code : fd;
}

/* ---- Those of hosts that are gone ---- */

uint64_t process_start_time(pid_t pid)
{
	char path[64], text[1024];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (cgroup_read(AT_FDCWD, path, text, sizeof(text)) < 0)
		return 0;
	/* The name, in parentheses, may hold anything; the start is the twentieth field after it. */
	const char *field = strrchr(text, ')');
	for (int i = 0; field && i < 20; i++)
		field = strchr(field + 1, ' ');
	return field ? strtoull(field, NULL, 10) : 0;
}

static bool is_orphan(const char *name)
{
	int pid;
	uint64_t start;
	unsigned number;
	char again[64];
	if (sscanf(name, NAME_FORMAT, &pid, &start, &number) != 3 || pid <= 0)
		return false;
	/* Exactly as it was made: not "plugvm-1-2-3-of-somebody". */
	snprintf(again, sizeof(again), NAME_FORMAT, pid, start, number);
	return strcmp(name, again) == 0 && process_start_time(pid) != start;
}

/* Kill what is in a cgroup: by version 2's own means, or one by one. */
static void kill_all(int directory)
{
	char text[PROCS_BYTES_MAX];
	if (write_to(&cgroup_system, directory, "cgroup.kill", "1") == 0 ||
	    cgroup_read(directory, "cgroup.procs", text, sizeof(text)) < 0)
		return;
	for (char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		int pid = atoi(line);
		if (pid > 1 && pid != getpid())
			kill(pid, SIGKILL);
	}
}

/* Remove a leaf; it takes a moment until the kernel has let go of what was in it. */
static void remove_leaf(int parent, const char *name, uint64_t deadline_ns)
{
	int wait = 1;
	while (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno == EBUSY) {
		FD_AUTO leaf = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (leaf >= 0)
			kill_all(leaf);
		if (clock_ns() >= deadline_ns)
			return;
		poll(NULL, 0, wait);
		wait = wait < 20 ? wait * 2 : wait;
	}
}

static uint64_t remove_deadline(void)
{
	return clock_ns() + REMOVE_TIMEOUT_MS * UINT64_C(1000000);
}

static void remove_orphan(int base, const char *name)
{
	FD_AUTO directory = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* Beside the name: a process of another pid namespace has a number that says nothing here. */
	if (directory < 0 || flock(directory, LOCK_EX | LOCK_NB) < 0)
		return;
	remove_leaf(directory, "plugin", remove_deadline());
	/* Who lives in the host's leaf was started by a host that is gone, and is nobody's to kill: a shell, a server. */
	unlinkat(directory, "host", AT_REMOVEDIR);
	unlinkat(base, name, AT_REMOVEDIR);
}

void cgroup_remove_stale(int base)
{
	/* A description of its own, with its own place in the list. */
	int fd = openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	if (!directory) {
		fd_close(&fd);
		return;
	}
	for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
		if (is_orphan(entry->d_name))
			remove_orphan(base, entry->d_name);
	}
	closedir(directory);
}

/* ---- Making ---- */

struct making {
	const struct cgroup_system *system;
	const struct cgroup_request *request;
	struct cgroup *cgroup;
	unsigned wanted;
};

static void fail(struct making *m, unsigned controllers, int result, const char *directory, const char *what)
{
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		char *text = m->cgroup->failures[i];
		if (controllers & (1u << i))
			snprintf(text, sizeof(m->cgroup->failures[i]), "%.110s%s%s: %s", directory,
			         what[0] ? "/" : "", what, error_name(-result));
	}
}

/* A process that is in a VM's cgroup already, its own of before, say: beside that, not in it. */
static void leave_own_place(char *home)
{
	char *slash = strrchr(home, '/');
	char *name = slash && strcmp(slash, "/host") == 0 ? memrchr(home, '/', (size_t)(slash - home)) : NULL;
	if (!name || strncmp(name, "/plugvm-", 8) != 0)
		return;
	*name = '\0';
	name = strrchr(home, '/');
	if (name && strcmp(name, "/" COMMON_NAME) == 0)
		*name = '\0';
}

static unsigned enabled_in(const char *directory)
{
	char path[PATH_MAX], text[512];
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", directory);
	return cgroup_read(AT_FDCWD, path, text, sizeof(text)) < 0 ? 0 : cgroup_parse_controllers(text, " \n");
}

/* Tell whether this process is the only one in a directory of version 2. */
static bool is_alone_in(const char *directory)
{
	char path[PATH_MAX], text[64], own[16];
	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	snprintf(own, sizeof(own), "%d\n", (int)getpid());
	return cgroup_read(AT_FDCWD, path, text, sizeof(text)) == 0 && strcmp(text, own) == 0;
}

/*
 * Version 2 gives controllers to the children of a cgroup without processes only. So: this process's own directory, if
 * that has them enabled, or can have when the host is in a leaf of ours; else the one above.
 */
static char *choose_base_v2(const struct making *m, const struct cgroup_hierarchy *hierarchy)
{
	bool is_top = strcmp(hierarchy->home, hierarchy->top) == 0;
	if (enabled_in(hierarchy->home) & m->wanted || is_top ||
	    (m->request->with_host && is_alone_in(hierarchy->home)))
		return strdup(hierarchy->home);
	char *base = strdup(hierarchy->home);
	if (base)
		*strrchr(base, '/') = '\0';
	return base;
}

/* Enable what is wanted, one by one, since one that cannot be is no reason to do without the others. */
static unsigned enable(int control, unsigned controllers, char sign)
{
	unsigned done = 0;
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		char text[16];
		snprintf(text, sizeof(text), "%c%s", sign, cgroup_controller_name(i));
		if (controllers & (1u << i) && write_text(control, text) == 0)
			done |= 1u << i;
	}
	return done;
}

/* Make our directory, and lock it. */
static int make_own(struct making *m, struct cgroup_part *part)
{
	part->fd = make_directory(part->base_fd, m->cgroup->name);
	if (part->fd < 0)
		return part->fd;
	return flock(part->fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static int move_host(struct making *m, struct cgroup_part *part)
{
	char home[PATH_MAX];
	snprintf(home, sizeof(home), "%s/cgroup.procs", part->hierarchy.home);
	part->home_procs = open_file(m->system, AT_FDCWD, home);
	if (part->home_procs < 0)
		return part->home_procs;
	FD_AUTO leaf = make_directory(part->fd, "host");
	if (leaf < 0)
		return leaf;
	int result = write_to(m->system, leaf, "cgroup.procs", "0");
	part->has_host = result == 0;
	return result;
}

static void limit_memory(struct making *m, struct cgroup_part *part)
{
	bool is_v2 = part->hierarchy.is_v2;
	const char *file = is_v2 ? "memory.max" : "memory.limit_in_bytes";
	int result = write_number(m->system, part->fd, file, m->request->memory);
	if (result < 0) {
		fail(m, CGROUP_MEMORY, result, part->base, file);
		return;
	}
	/* No way out into swap; where a kernel counts none, it has none of these. */
	if (is_v2)
		write_to(m->system, part->fd, "memory.swap.max", "0");
	else if (write_number(m->system, part->fd, "memory.memsw.limit_in_bytes", m->request->memory) < 0)
		write_to(m->system, part->fd, "memory.swappiness", "0");
	part->controllers |= CGROUP_MEMORY;
}

static void limit_pids(struct making *m, struct cgroup_part *part)
{
	int result = write_number(m->system, part->plugin_fd, "pids.max", m->request->pids);
	if (result < 0)
		fail(m, CGROUP_PIDS, result, part->base, "pids.max");
	else
		part->controllers |= CGROUP_PIDS;
}

static void limit_cpu(struct making *m, struct cgroup_part *part)
{
	const char *file = part->hierarchy.is_v2 ? "cpu.max" : "cpu.cfs_quota_us";
	uint64_t quota = m->request->cpu_percent * (CPU_PERIOD_US / 100);
	char text[64];
	snprintf(text, sizeof(text), part->hierarchy.is_v2 ? "%" PRIu64 " %d" : "%" PRIu64, quota, CPU_PERIOD_US);
	int result = part->hierarchy.is_v2
	                 ? 0
	                 : write_number(m->system, part->plugin_fd, "cpu.cfs_period_us", CPU_PERIOD_US);
	if (result == 0)
		result = write_to(m->system, part->plugin_fd, file, text);
	if (result < 0)
		fail(m, CGROUP_CPU, result, part->base, file);
	else
		part->controllers |= CGROUP_CPU;
}

static void limit_devices(struct making *m, struct cgroup_part *part)
{
	int result = write_to(m->system, part->plugin_fd, "devices.deny", "a");
	const char *line = m->request->devices;
	while (*line && result == 0) {
		char text[32] = "";
		size_t length = strcspn(line, "\n");
		memcpy(text, line, length < sizeof(text) ? length : sizeof(text) - 1);
		result = write_to(m->system, part->plugin_fd, "devices.allow", text);
		line += length + (line[length] == '\n');
	}
	if (result < 0)
		fail(m, CGROUP_DEVICES, result, part->base, "devices");
	else
		part->controllers |= CGROUP_DEVICES;
}

/* Give the plugin's leaf the controllers: enable them in the base, where that can be done and is not yet, and in ours. */
static void enable_v2(struct making *m, struct cgroup_part *part, unsigned controllers)
{
	unsigned missing = controllers & ~enabled_in(part->base);
	part->base_control = missing ? open_file(m->system, part->base_fd, "cgroup.subtree_control") : -1;
	part->enabled = part->base_control >= 0 ? enable(part->base_control, missing, '+') : 0;
	part->control = open_file(m->system, part->fd, "cgroup.subtree_control");
	if (part->control >= 0)
		enable(part->control, controllers, '+');
}

static int make_leaf(struct making *m, struct cgroup_part *part, unsigned controllers)
{
	part->plugin_fd = make_directory(part->fd, "plugin");
	if (part->plugin_fd < 0)
		return part->plugin_fd;
	if (asprintf(&part->procs, "%s/%s/plugin/cgroup.procs", part->base, m->cgroup->name) < 0) {
		part->procs = NULL;
		return -ENOMEM;
	}
	if (controllers & CGROUP_PIDS)
		limit_pids(m, part);
	if (controllers & CGROUP_CPU)
		limit_cpu(m, part);
	if (controllers & CGROUP_DEVICES)
		limit_devices(m, part);
	if (part->hierarchy.is_v2 && part->controllers & CGROUP_MEMORY)
		write_to(m->system, part->plugin_fd, "memory.oom.group", "1");
	return 0;
}

/* Can this user remove what he makes there without a capability, too? */
static bool allows_removal(int base)
{
	struct stat status;
	return fstat(base, &status) == 0 && status.st_mode & (status.st_uid == geteuid() ? S_IWUSR : S_IWOTH);
}

/*
 * The top of a hierarchy is writable for nobody, and root makes directories there by a capability, which the host no
 * longer has when it removes them. So there is one for all of root's VMs, in which its owner may write. Nobody removes
 * it: another host may be about to make its own there.
 */
static int go_into_common(struct making *m, struct cgroup_part *part, unsigned controllers)
{
	char *path;
	if (asprintf(&path, "%s/%s", part->base, COMMON_NAME) < 0)
		return -ENOMEM;
	if (part->hierarchy.is_v2) {
		unsigned missing = controllers & ~enabled_in(part->base);
		part->top_control = missing ? open_file(m->system, part->base_fd, "cgroup.subtree_control") : -1;
		part->top_enabled = part->top_control >= 0 ? enable(part->top_control, missing, '+') : 0;
	}
	int made = mkdirat(part->base_fd, COMMON_NAME, 0755);
	int code = errno;
	fd_close(&part->base_fd);
	free(part->base);
	part->base = path;
	if (made < 0 && code != EEXIST)
		return -code;
	part->base_fd = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return part->base_fd < 0 ? -errno : 0;
}

static int open_base(struct making *m, struct cgroup_part *part, unsigned controllers)
{
	part->base = part->hierarchy.is_v2 ? choose_base_v2(m, &part->hierarchy) : strdup(part->hierarchy.home);
	if (!part->base)
		return -ENOMEM;
	part->base_fd = openat(AT_FDCWD, part->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (part->base_fd < 0)
		return -errno;
	return allows_removal(part->base_fd) ? 0 : go_into_common(m, part, controllers);
}

/* The whole of one hierarchy. */
static int make_part(struct making *m, struct cgroup_part *part, unsigned controllers)
{
	bool is_v2 = part->hierarchy.is_v2;
	bool has_memory = controllers & CGROUP_MEMORY;
	int result = open_base(m, part, controllers);
	if (result < 0)
		return result;
	cgroup_remove_stale(part->base_fd);
	result = make_own(m, part);
	/* In version 1 before the leaves, which inherit that they may not swap. */
	if (result == 0 && has_memory && !is_v2)
		limit_memory(m, part);
	/* There, too, only where the host is to be limited: each move costs milliseconds. */
	if (result == 0 && m->request->with_host && (is_v2 || has_memory))
		result = move_host(m, part);
	/* In version 2 a cgroup with processes in it can have no controllers for its leaves. */
	if (result == 0 && is_v2)
		enable_v2(m, part, controllers);
	if (result == 0 && has_memory && is_v2)
		limit_memory(m, part);
	return result < 0 ? result : make_leaf(m, part, controllers);
}

static void part_remove(struct cgroup *cgroup, struct cgroup_part *part)
{
	uint64_t deadline_ns = remove_deadline();
	if (part->fd >= 0)
		remove_leaf(part->fd, "plugin", deadline_ns);
	/* Ours first, which has them from the base; and this process can go home only where nothing is enabled. */
	if (part->enabled) {
		enable(part->control, part->enabled, '-');
		enable(part->base_control, part->enabled, '-');
	}
	if (part->top_enabled)
		enable(part->top_control, part->top_enabled, '-');
	if (part->has_host)
		write_text(part->home_procs, "0");
	if (part->fd >= 0) {
		/* Never with this process in it: nothing there is to be killed. */
		unlinkat(part->fd, "host", AT_REMOVEDIR);
		unlinkat(part->base_fd, cgroup->name, AT_REMOVEDIR);
	}
	fd_close(&part->plugin_fd);
	fd_close(&part->control);
	fd_close(&part->base_control);
	fd_close(&part->top_control);
	fd_close(&part->home_procs);
	fd_close(&part->fd);
	fd_close(&part->base_fd);
	free(part->procs);
	free(part->base);
	cgroup_hierarchy_fini(&part->hierarchy);
}

static void add_part(struct making *m, struct cgroup_hierarchy *hierarchy, unsigned controllers)
{
	struct cgroup *cgroup = m->cgroup;
	struct cgroup_part *part = &cgroup->parts[cgroup->part_count];
	*part = (struct cgroup_part){.hierarchy = *hierarchy,
	                             .base_fd = -1,
	                             .fd = -1,
	                             .home_procs = -1,
	                             .control = -1,
	                             .base_control = -1,
	                             .top_control = -1,
	                             .plugin_fd = -1};
	*hierarchy = (struct cgroup_hierarchy){.top = NULL};
	leave_own_place(part->hierarchy.home);
	int result = make_part(m, part, controllers);
	if (result < 0)
		fail(m, controllers, result, part->base ? part->base : part->hierarchy.home, "");
	if (result < 0 || !part->controllers) {
		part_remove(cgroup, part);
		return;
	}
	cgroup->procs[cgroup->part_count++] = part->procs;
	cgroup->controllers |= part->controllers;
	if (part->controllers & CGROUP_MEMORY) {
		const char *file = part->hierarchy.is_v2 ? "memory.events" : "memory.oom_control";
		cgroup->events = openat(part->plugin_fd, file, O_RDONLY | O_CLOEXEC);
	}
	fd_close(&part->plugin_fd);
}

/*
 * The host shares the limit, but is not to pay for what the plugin does: the kernel takes the plugin, and ends the guest's
 * access with an error when that was not enough. Needs CAP_SYS_RESOURCE.
 */
static void spare_host(struct cgroup *cgroup)
{
	if (cgroup_read(AT_FDCWD, "/proc/self/oom_score_adj", cgroup->old_oom_score,
	                sizeof(cgroup->old_oom_score)) < 0)
		return;
	cgroup->oom_score = openat(AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (cgroup->oom_score >= 0 && write_text(cgroup->oom_score, "-1000") < 0)
		fd_close(&cgroup->oom_score);
}

int cgroup_make(const struct cgroup_system *system, const struct cgroup_request *request,
                struct cgroup **out_cgroup)
{
	struct cgroup_hierarchy hierarchies[CGROUP_HIERARCHIES_MAX];
	struct cgroup *cgroup = calloc(1, sizeof(*cgroup));
	if (!cgroup)
		return -ENOMEM;
	static atomic_uint number;
	snprintf(cgroup->name, sizeof(cgroup->name), NAME_FORMAT, (int)getpid(), process_start_time(getpid()),
	         atomic_fetch_add(&number, 1));
	cgroup->memory = request->memory;
	cgroup->events = -1;
	cgroup->oom_score = -1;
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++)
		snprintf(cgroup->failures[i], sizeof(cgroup->failures[i]), "no hierarchy has this controller");
	struct making m = {.system = system,
	                   .request = request,
	                   .cgroup = cgroup,
	                   .wanted = (request->memory ? CGROUP_MEMORY : 0u) | (request->pids ? CGROUP_PIDS : 0u) |
	                             (request->cpu_percent ? CGROUP_CPU : 0u) |
	                             (request->devices ? CGROUP_DEVICES : 0u)};
	size_t count = cgroup_find(system->proc, hierarchies);
	for (size_t i = 0; i < count; i++) {
		unsigned controllers = hierarchies[i].controllers & m.wanted;
		if (controllers)
			add_part(&m, &hierarchies[i], controllers);
		cgroup_hierarchy_fini(&hierarchies[i]);
	}
	if (cgroup->controllers & CGROUP_MEMORY && request->with_host)
		spare_host(cgroup);
	*out_cgroup = cgroup;
	return 0;
}

bool cgroup_is_over_memory(const struct cgroup *cgroup)
{
	char text[1024];
	ssize_t size = cgroup->events < 0 ? -1 : pread(cgroup->events, text, sizeof(text) - 1, 0);
	text[size < 0 ? 0 : size] = '\0';
	const char *count = strstr(text, "oom_kill ");
	return count && strtoull(count + strlen("oom_kill "), NULL, 10) > 0;
}

void cgroup_remove(struct cgroup **cgroup)
{
	struct cgroup *c = *cgroup;
	if (!c)
		return;
	if (c->oom_score >= 0)
		write_text(c->oom_score, c->old_oom_score);
	fd_close(&c->oom_score);
	fd_close(&c->events);
	while (c->part_count > 0)
		part_remove(c, &c->parts[--c->part_count]);
	free(c);
	*cgroup = NULL;
}
