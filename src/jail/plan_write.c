/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a jail and a program to start in it, a plan: everything that can be decided before anything is started.
 */
#include "jail/plan_write.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "jail/identity.h"
#include "jail/libraries.h"
#include "wire/limits.h"

#define HOSTNAME "plugvm"

/* MFD_EXEC, which the headers may lack. */
#define MFD_EXEC_FLAG 0x10u

/* A block that grows. What fails is found at the end. */
struct writer {
	char *bytes;
	size_t used;
	int result;
	struct plan_entry *entries;
	uint32_t entry_count;
};

static uint32_t put(struct writer *w, const void *data, size_t size, size_t align)
{
	size_t offset = (w->used + align - 1) & ~(align - 1);
	size_t end = offset + size;
	/* The last byte of the plan is always zero, and there must be room for it. */
	if (w->result == 0 && end + 1 > PLAN_BYTES_MAX)
		w->result = -E2BIG;
	char *grown = w->result == 0 ? realloc(w->bytes, (end + 4096) & ~(size_t)4095) : NULL;
	if (!grown) {
		w->result = w->result < 0 ? w->result : -ENOMEM;
		return 0;
	}
	memset(grown + w->used, 0, offset - w->used);
	memcpy(grown + offset, data, size);
	w->bytes = grown;
	w->used = end;
	return (uint32_t)offset;
}

static uint32_t put_string(struct writer *w, const char *text)
{
	return put(w, text, strlen(text) + 1, 1);
}

static struct plan_array put_array(struct writer *w, const void *items, size_t count, size_t size, size_t align)
{
	return (struct plan_array){.offset = count ? put(w, items, count * size, align) : 0,
	                           .count = (uint32_t)count};
}

static struct plan_array put_strings(struct writer *w, char *const *strings, const char *extra)
{
	size_t count = 0;
	while (strings[count])
		count++;
	uint32_t *offsets = calloc(count + 1, sizeof(offsets[0]));
	if (!offsets) {
		w->result = -ENOMEM;
		return (struct plan_array){.count = 0};
	}
	for (size_t i = 0; i < count; i++)
		offsets[i] = put_string(w, strings[i]);
	if (extra)
		offsets[count++] = put_string(w, extra);
	struct plan_array array = put_array(w, offsets, count, sizeof(offsets[0]), sizeof(offsets[0]));
	free(offsets);
	return array;
}

/* ---- What is in the root ---- */

static void add_entry(struct writer *w, uint32_t kind, uint32_t flags, const char *source, const char *target)
{
	struct plan_entry *grown = realloc(w->entries, (w->entry_count + 1) * sizeof(grown[0]));
	if (!grown) {
		w->result = -ENOMEM;
		return;
	}
	w->entries = grown;
	w->entries[w->entry_count++] = (struct plan_entry){.kind = kind,
	                                                   .flags = flags,
	                                                   .source = source ? put_string(w, source) : 0,
	                                                   .target = put_string(w, target),
	                                                   .size = kind == PLAN_TMPFS ? LIMIT_JAIL_TMP_MIB << 20
	                                                                              : 0};
}

/*
 * Show what `source` is at `target`: a symlink as one, the rest as a mount. Whoever may write to its directory could put
 * a symlink there until it is mounted, and have the builder, which may be root, show something else.
 */
static void add_as_it_is(struct writer *w, const char *source, const char *target)
{
	struct stat status;
	char text[PATH_MAX], resolved[PATH_MAX];
	if (lstat(source, &status) < 0)
		return;
	if (S_ISLNK(status.st_mode)) {
		ssize_t length = readlink(source, text, sizeof(text) - 1);
		if (length <= 0)
			return;
		text[length] = '\0';
		add_entry(w, PLAN_SYMLINK, 0, text, target);
	} else if ((S_ISDIR(status.st_mode) || S_ISREG(status.st_mode)) && realpath(source, resolved)) {
		add_entry(w, PLAN_BIND, PLAN_EXEC | PLAN_AS_IT_IS, resolved, target);
	}
}

static void add_devices(struct writer *w)
{
	static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/urandom"};
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		add_entry(w, PLAN_BIND, PLAN_DEVICE | PLAN_WRITABLE, devices[i], devices[i]);
}

static void add_system_libraries(struct writer *w)
{
	/* Where there is a symlink and what it leads to, both are here. */
	static const char *const paths[] = {"/lib",           "/lib32",          "/lib64",     "/libx32",
	                                    "/usr/lib",       "/usr/lib32",      "/usr/lib64", "/usr/libx32",
	                                    "/usr/local/lib", "/etc/ld.so.cache"};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		add_as_it_is(w, paths[i], paths[i]);
}

static void add_default_profile(struct writer *w, const struct libraries *libraries)
{
	/* Before the libraries, which may be in a /tmp of the host's. */
	add_entry(w, PLAN_TMPFS, PLAN_WRITABLE, NULL, "/tmp");
	add_system_libraries(w);
	for (size_t i = 0; i < libraries->count; i++)
		add_entry(w, PLAN_BIND, PLAN_EXEC | PLAN_AS_IT_IS, libraries->sources[i], libraries->files[i]);
	add_devices(w);
}

/* Everything in a prepared root, read-only; the default profile's devices and /tmp where it has none. */
static void add_prepared_root(struct writer *w, const struct plugvm_jail *jail)
{
	bool has_dev = false, has_tmp = false;
	DIR *directory = opendir(jail->root);
	if (!directory) {
		w->result = -errno;
		return;
	}
	for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
		const char *name = entry->d_name;
		char source[PATH_MAX], target[sizeof(entry->d_name) + 1];
		/* The last is where the executable appears. */
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		    strcmp(name, &PLAN_EXECUTABLE_DIR[1]) == 0)
			continue;
		has_dev = has_dev || strcmp(name, "dev") == 0;
		has_tmp = has_tmp || strcmp(name, "tmp") == 0;
		snprintf(target, sizeof(target), "/%s", name);
		if ((size_t)snprintf(source, sizeof(source), "%s/%s", jail->root, name) < sizeof(source))
			add_as_it_is(w, source, target);
	}
	closedir(directory);
	if (jail->profile == PLUGVM_JAIL_DEFAULT && !has_dev)
		add_devices(w);
	if (jail->profile == PLUGVM_JAIL_DEFAULT && !has_tmp)
		add_entry(w, PLAN_TMPFS, PLAN_WRITABLE, NULL, "/tmp");
}

static void add_mounts(struct writer *w, const struct plugvm_jail *jail)
{
	for (size_t i = 0; i < jail->mount_count; i++) {
		const struct jail_mount *mount = &jail->mounts[i];
		struct stat status;
		/* What can be written to cannot be executed. */
		uint32_t flags = mount->writable ? PLAN_WRITABLE : PLAN_EXEC;
		if (stat(mount->source, &status) == 0 && (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)))
			flags = PLAN_DEVICE | (mount->writable ? PLAN_WRITABLE : 0);
		add_entry(w, PLAN_BIND, flags, mount->source, mount->target);
	}
}

/* ---- Numbers ---- */

static struct plan_array put_rlimits(struct writer *w, const struct plugvm_jail *jail,
                                     const struct jail_limits *limits)
{
	const struct plan_rlimit defaults[] = {
	    {.resource = RLIMIT_NOFILE, .value = limits->fds},
	    {.resource = RLIMIT_NPROC, .value = limits->processes},
	    {.resource = RLIMIT_FSIZE, .value = limits->file_bytes},
	    {.resource = RLIMIT_AS, .value = limits->address_space ? limits->address_space : RLIM_INFINITY},
	    {.resource = RLIMIT_CORE, .value = 0},
	    {.resource = RLIMIT_MEMLOCK, .value = LIMIT_JAIL_MEMLOCK_KIB << 10},
	    {.resource = RLIMIT_STACK, .value = LIMIT_JAIL_STACK_MIB << 20},
	    {.resource = RLIMIT_MSGQUEUE, .value = 0},
	    {.resource = RLIMIT_SIGPENDING, .value = LIMIT_JAIL_SIGNALS},
	    {.resource = RLIMIT_RTPRIO, .value = 0},
	    {.resource = RLIMIT_NICE, .value = 0},
	};
	struct plan_rlimit all[RLIM_NLIMITS];
	size_t count = 0;
	for (uint32_t resource = 0; resource < RLIM_NLIMITS; resource++) {
		bool is_set = jail->rlimits[resource].is_set;
		uint64_t value = jail->rlimits[resource].value;
		for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]) && !is_set; i++) {
			is_set = defaults[i].resource == resource && defaults[i].value != RLIM_INFINITY;
			value = defaults[i].value;
		}
		if (is_set)
			all[count++] = (struct plan_rlimit){.resource = resource, .value = value};
	}
	return put_array(w, all, count, sizeof(all[0]), sizeof(uint64_t));
}

static int compare_numbers(const void *a, const void *b)
{
	uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;
	return (first > second) - (first < second);
}

static struct plan_array put_fds(struct writer *w, const struct launch *launch)
{
	uint32_t numbers[PLAN_FD];
	size_t count = 0;
	for (size_t i = 0; i < launch->fd_count && count < PLAN_FD; i++)
		numbers[count++] = (uint32_t)launch->fds[i].number;
	qsort(numbers, count, sizeof(numbers[0]), compare_numbers);
	return put_array(w, numbers, count, sizeof(numbers[0]), sizeof(numbers[0]));
}

/* ---- The whole ---- */

/* Return the environment's LD_LIBRARY_PATH with the libraries' directories behind what the operator said. */
static char *search_variable(char *const *env, const char *search_path)
{
	static const char name[] = "LD_LIBRARY_PATH=";
	const char *own = "";
	for (size_t i = 0; env[i]; i++) {
		if (strncmp(env[i], name, strlen(name)) == 0)
			own = env[i] + strlen(name);
	}
	char *variable;
	return asprintf(&variable, "%s%s%s%s", name, own, own[0] ? ":" : "", search_path) < 0 ? NULL : variable;
}

static void put_env(struct writer *w, struct plan *plan, char *const *env, const struct libraries *libraries)
{
	char *extra = NULL;
	if (libraries->search_path) {
		extra = search_variable(env, libraries->search_path);
		if (!extra)
			w->result = -ENOMEM;
	}
	/* The first of two is what getenv(3) and the loader take. */
	plan->env = put_strings(w, env, extra);
	if (extra && w->result == 0 && plan->env.count > 1) {
		uint32_t *offsets = (uint32_t *)(void *)(w->bytes + plan->env.offset);
		uint32_t last = offsets[plan->env.count - 1];
		memmove(offsets + 1, offsets, (plan->env.count - 1) * sizeof(offsets[0]));
		offsets[0] = last;
	}
	free(extra);
}

/* `plan` comes with what jail_make_filter() and set_identity() have filled in. */
static void put_plan(struct writer *w, struct plan plan, const struct filter *filter,
                     const struct plugvm_jail *jail, const struct launch *launch, const struct jail_limits *limits,
                     const struct libraries *libraries)
{
	const char *slash = strrchr(launch->path, '/');
	plan.magic = PLAN_MAGIC;
	plan.version = PLAN_VERSION;
	plan.fail_step = jail->fail_step;
	put(w, &plan, sizeof(plan), 8);
	plan.flags |= launch->die_with_thread ? PLAN_DIE_WITH_PARENT : 0;
	plan.hostname = put_string(w, HOSTNAME);
	plan.executable = put_string(w, launch->path);
	plan.executable_name = put_string(w, slash ? slash + 1 : launch->path);
	plan.gid_lines = put_array(w, jail->gid_lines, jail->gid_line_count, sizeof(struct plan_id_line), 4);
	plan.rlimits = put_rlimits(w, jail, limits);
	plan.filter = put_array(w, filter->code, filter->count, sizeof(filter->code[0]), sizeof(uint32_t));
	plan.argv = put_strings(w, launch->argv, NULL);
	put_env(w, &plan, launch->env, libraries);
	plan.fds = put_fds(w, launch);
	plan.cgroups = put_strings(w, limits->cgroups ? limits->cgroups : jail->cgroups, NULL);
	if (jail->root)
		add_prepared_root(w, jail);
	else if (jail->profile == PLUGVM_JAIL_DEFAULT)
		add_default_profile(w, libraries);
	add_mounts(w, jail);
	plan.entries = put_array(w, w->entries, w->entry_count, sizeof(w->entries[0]), 8);
	put(w, "", 1, 1);
	if (w->result == 0) {
		plan.size = (uint32_t)w->used;
		memcpy(w->bytes, &plan, sizeof(plan));
	}
}

static int set_identity(struct plan *plan, const struct plugvm_jail *jail, const struct log *log,
                        struct plugvm_error *out_error)
{
	struct identity identity;
	int result = identity_choose("/proc/self", jail, log, &identity, out_error);
	if (result < 0)
		return result;
	plan->uid = JAIL_UID;
	plan->gid = JAIL_GID;
	plan->outer_uid = identity.uid;
	plan->outer_gid = identity.gid;
	plan->flags |= identity.is_own ? PLAN_UNPRIVILEGED : 0;
	return 0;
}

int sealed_memfd(const char *name, const void *bytes, size_t size, bool is_program)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	/* The first flag for kernels that would else make it not executable; the second for those without. */
	int fd = is_program ? memfd_create(name, flags | MFD_EXEC_FLAG) : -1;
	if (fd < 0)
		fd = memfd_create(name, flags);
	if (fd < 0)
		return -errno;
	ssize_t written = write(fd, bytes, size);
	if (written == (ssize_t)size &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
		return fd;
	int code = written < 0 ? errno : written < (ssize_t)size ? ENOSPC : errno;
	fd_close(&fd);
	return -code;
}

int plan_write(const struct plugvm_jail *jail, const struct launch *launch, const struct jail_limits *limits,
               const struct log *log, int *out_memfd, struct plugvm_error *out_error)
{
	struct libraries libraries = {.count = 0};
	struct writer writer = {.result = 0};
	struct plan plan = {.magic = 0};
	struct filter filter;
	if (jail->gid_line_count > 0 && geteuid() != 0)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EPERM,
		                       "--plugin-gid-map needs CAP_SETGID: only root can map other gids");
	int result = jail_make_filter(jail, &plan, &filter, out_error);
	if (result == 0)
		result = set_identity(&plan, jail, log, out_error);
	if (result < 0)
		return result;
	if (jail->profile == PLUGVM_JAIL_DEFAULT && !jail->root)
		writer.result = libraries_find(launch->path, &libraries);
	if (writer.result == 0)
		put_plan(&writer, plan, &filter, jail, launch, limits, &libraries);
	result = writer.result;
	if (result == 0 && !plan_check(writer.bytes, writer.used))
		result = -EINVAL;
	if (result == 0)
		result = sealed_memfd("plugvm-plan", writer.bytes, writer.used, false);
	libraries_fini(&libraries);
	free(writer.bytes);
	free(writer.entries);
	if (result < 0)
		return error_set(out_error, PLUGVM_ERROR_JAIL, -result, "the jail's plan");
	*out_memfd = result;
	return 0;
}
