/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The jail as an object: what the operator wants, checked as it comes.
 */
#include "jail/jail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

#define MOUNTS_MAX 256

int plugvm_jail_new(enum plugvm_jail_profile profile, struct plugvm_jail **out_jail,
                    struct plugvm_error *out_error)
{
	if (profile != PLUGVM_JAIL_DEFAULT && profile != PLUGVM_JAIL_STRICT)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "there is no jail profile %d",
		                       (int)profile);
	struct plugvm_jail *jail = calloc(1, sizeof(*jail));
	if (!jail)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "making a jail");
	jail->profile = profile;
	jail->uid = PLUGVM_JAIL_UID_DEFAULT;
	*out_jail = jail;
	return 0;
}

enum plugvm_jail_profile plugvm_jail_get_profile(const struct plugvm_jail *jail)
{
	return jail->profile;
}

void plugvm_jail_free(struct plugvm_jail **jail)
{
	struct plugvm_jail *j = *jail;
	if (!j)
		return;
	for (size_t i = 0; i < j->mount_count; i++) {
		free(j->mounts[i].source);
		free(j->mounts[i].target);
	}
	for (size_t i = 0; i < JAIL_CGROUPS_MAX; i++)
		free(j->cgroups[i]);
	free(j->mounts);
	free(j->gid_lines);
	free(j->policy);
	free(j->root);
	free(j);
	*jail = NULL;
}

int plugvm_jail_set_uid(struct plugvm_jail *jail, uid_t uid, struct plugvm_error *out_error)
{
	if (geteuid() != 0 && uid != geteuid())
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EPERM,
		                       "uid %u for the plugin: only root can give it another uid than one's own",
		                       uid);
	if (uid == 0 || uid == PLUGVM_JAIL_UID_DEFAULT)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                       "uid %u for the plugin: it cannot be root", uid);
	jail->uid = uid;
	return 0;
}

int plugvm_jail_set_root(struct plugvm_jail *jail, const char *directory, struct plugvm_error *out_error)
{
	struct stat status;
	if (directory[0] != '/')
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                       "the plugin's root '%s' is not an absolute path", directory);
	if (stat(directory, &status) < 0)
		return error_set(out_error, PLUGVM_ERROR_CONFIG, errno, "the plugin's root %s", directory);
	if (!S_ISDIR(status.st_mode))
		return error_set(out_error, PLUGVM_ERROR_CONFIG, ENOTDIR, "the plugin's root %s", directory);
	char *copy = strdup(directory);
	if (!copy)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "the plugin's root");
	free(jail->root);
	jail->root = copy;
	return 0;
}

/* Tell whether a path stays below the root, and names something in it other than where the executable is. */
static bool is_plain_target(const char *path)
{
	static const char *const taken = &PLAN_EXECUTABLE_DIR[1];
	bool has_name = false;
	while (*path) {
		path += strspn(path, "/");
		size_t length = strcspn(path, "/");
		if ((length == 1 || length == 2) && strncmp(path, "..", length) == 0)
			return false;
		if (!has_name && length == strlen(taken) && strncmp(path, taken, length) == 0)
			return false;
		has_name = has_name || length > 0;
		path += length;
	}
	return has_name;
}

int plugvm_jail_mount(struct plugvm_jail *jail, const char *source, const char *target, bool writable,
                      struct plugvm_error *out_error)
{
	if (source[0] != '/')
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		                       "the source is not an absolute path");
	if (target[0] != '/' || !is_plain_target(target))
		return error_set_plain(
		    out_error, PLUGVM_ERROR_CONFIG, EINVAL,
		    "the target is not an absolute path below the root, other than /plugin and in it");
	if (access(source, F_OK) < 0)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "the source: %s (%s)",
		                       strerrordesc_np(errno), error_name(errno));
	if (jail->mount_count == MOUNTS_MAX)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "more than %d mounts", MOUNTS_MAX);
	struct jail_mount *grown = realloc(jail->mounts, (jail->mount_count + 1) * sizeof(jail->mounts[0]));
	if (!grown)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "a mount");
	jail->mounts = grown;
	struct jail_mount mount = {.source = strdup(source), .target = strdup(target), .writable = writable};
	if (!mount.source || !mount.target) {
		free(mount.source);
		free(mount.target);
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "a mount");
	}
	jail->mounts[jail->mount_count++] = mount;
	return 0;
}

int plugvm_jail_join_cgroup(struct plugvm_jail *jail, const char *directory, struct plugvm_error *out_error)
{
	size_t count = 0;
	while (jail->cgroups[count])
		count++;
	if (directory[0] != '/' || count == JAIL_CGROUPS_MAX)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "cgroup %s: %s", directory,
		                       count == JAIL_CGROUPS_MAX ? "too many" : "not an absolute path");
	if (asprintf(&jail->cgroups[count], "%s/cgroup.procs", directory) < 0) {
		jail->cgroups[count] = NULL;
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "cgroup %s", directory);
	}
	if (access(jail->cgroups[count], W_OK) == 0)
		return 0;
	int result = error_set(out_error, PLUGVM_ERROR_CONFIG, errno, "cgroup %s", directory);
	free(jail->cgroups[count]);
	jail->cgroups[count] = NULL;
	return result;
}

int plugvm_jail_set_rlimit(struct plugvm_jail *jail, int resource, uint64_t value, struct plugvm_error *out_error)
{
	if (resource < 0 || resource >= (int)RLIM_NLIMITS)
		return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "there is no resource limit %d",
		                       resource);
	jail->rlimits[resource] = (struct jail_rlimit){.is_set = true, .value = value};
	return 0;
}
