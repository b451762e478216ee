/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The new root, built by the builder: still with the host's rights, so that it can reach every source, and in a mount
 * namespace of its own. Init's mount namespace is a copy of it that belongs to a lesser user namespace, in which the
 * kernel locks every mount and every flag.
 */
#include "init/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sys/stat.h>

/* From <sys/mount.h>, which cannot be included beside <linux/mount.h>. */
#define DETACH 2

#define OWN_MAX    8
#define NAME_BYTES 256

static long open_in(int root, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
	return SYS(openat2, root, path, &how, sizeof(how));
}

/* What is being built, and which file systems are its own: there, and nowhere else, mount points are made. */
struct root {
	int fd;
	uint64_t own[OWN_MAX];
	size_t own_count;
};

static long device_of(long fd, uint64_t *out_device)
{
	struct stat status = {};
	long result = SYS(newfstatat, fd, "", &status, AT_EMPTY_PATH);
	*out_device = status.st_dev;
	return result;
}

static long add_own(struct root *root, long fd)
{
	if (root->own_count == OWN_MAX)
		return -E2BIG;
	return device_of(fd, &root->own[root->own_count++]);
}

static long check_own(const struct root *root, long fd)
{
	uint64_t device;
	long result = device_of(fd, &device);
	for (size_t i = 0; i < root->own_count && result == 0; i++) {
		if (root->own[i] == device)
			return 0;
	}
	return result < 0 ? result : -EXDEV;
}

/* Copy the first name of a path and return what follows it. An empty name: there is none, or it is too long. */
static const char *take_name(const char *path, char out_name[NAME_BYTES])
{
	size_t length = 0;
	while (*path == '/')
		path++;
	for (; path[length] && path[length] != '/' && length + 1 < NAME_BYTES; length++)
		out_name[length] = path[length];
	out_name[length + 1 < NAME_BYTES ? length : 0] = '\0';
	return path + length;
}

/*
 * Make what is missing of `path`: directories, and at its end a directory or an empty file. Returns an O_PATH fd of it.
 */
static long make_path(const struct root *root, const char *path, bool is_directory)
{
	long found = open_in(root->fd, path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	if (found != -ENOENT)
		return found;
	char name[NAME_BYTES];
	long at = SYS(fcntl, root->fd, F_DUPFD_CLOEXEC, 0);
	for (path = take_name(path, name); at >= 0 && name[0]; path = take_name(path, name)) {
		long next = open_in((int)at, name, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
		if (next == -ENOENT)
			next = check_own(root, at);
		if (next == 0) {
			bool is_last = path[0] == '\0';
			next = is_last && !is_directory ? SYS(mknodat, at, name, S_IFREG | 0644, 0)
			                                : SYS(mkdirat, at, name, 0755);
			if (next == 0)
				next = open_in((int)at, name, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
		}
		SYS(close, at);
		at = next;
	}
	return at < 0 || path[0] == '\0' ? at : -ENAMETOOLONG;
}

static long attach(int mount, const struct root *root, const char *target, bool is_directory, uint64_t attributes)
{
	struct mount_attr attr = {.attr_set = attributes};
	long result = SYS(mount_setattr, mount, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr));
	long at = result < 0 ? result : make_path(root, target, is_directory);
	if (at >= 0) {
		result = SYS(move_mount, mount, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
		SYS(close, at);
	} else {
		result = at;
	}
	SYS(close, mount);
	return result;
}

static uint64_t attributes_of(uint32_t flags)
{
	uint64_t attributes = MOUNT_ATTR_NOSUID;
	/* What is written to a device is not written to its file system. */
	if (!(flags & PLAN_WRITABLE) || flags & PLAN_DEVICE)
		attributes |= MOUNT_ATTR_RDONLY;
	if (!(flags & PLAN_EXEC))
		attributes |= MOUNT_ATTR_NOEXEC;
	if (!(flags & PLAN_DEVICE))
		attributes |= MOUNT_ATTR_NODEV;
	return attributes;
}

/* Make a mount of what is there, which is attached nowhere yet. */
static long clone_mount(const char *source, uint32_t flags)
{
	const unsigned how = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
	if (!(flags & PLAN_AS_IT_IS))
		return SYS(open_tree, AT_FDCWD, source, how);
	long fd = open_in(AT_FDCWD, source, O_PATH, RESOLVE_NO_SYMLINKS);
	if (fd < 0)
		return fd;
	long mount = SYS(open_tree, fd, "", how | AT_EMPTY_PATH);
	SYS(close, fd);
	return mount;
}

static long bind(const struct root *root, const char *source, const char *target, uint32_t flags)
{
	long mount = clone_mount(source, flags);
	if (mount < 0)
		return mount;
	struct stat status = {};
	long result = SYS(newfstatat, mount, "", &status, AT_EMPTY_PATH);
	if (result < 0) {
		SYS(close, mount);
		return result;
	}
	return attach((int)mount, root, target, S_ISDIR(status.st_mode), attributes_of(flags));
}

/* Make a tmpfs that is not attached yet. */
static long make_tmpfs(const char *bytes, const char *mode)
{
	long context = SYS(fsopen, "tmpfs", FSOPEN_CLOEXEC);
	if (context < 0)
		return context;
	long result = SYS(fsconfig, context, FSCONFIG_SET_STRING, "size", bytes, 0);
	if (result == 0)
		result = SYS(fsconfig, context, FSCONFIG_SET_STRING, "mode", mode, 0);
	if (result == 0)
		result = SYS(fsconfig, context, FSCONFIG_SET_STRING, "nr_inodes", "4096", 0);
	if (result == 0)
		result = SYS(fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (result == 0)
		result = SYS(fsmount, context, FSMOUNT_CLOEXEC,
		             MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	SYS(close, context);
	return result;
}

static long make_symlink(const struct root *root, const char *text, const char *target)
{
	/* The plan has these only for names directly below a directory that exists or is the root. */
	size_t slash = 0;
	for (size_t i = 0; target[i]; i++)
		slash = target[i] == '/' ? i : slash;
	char parent[256];
	if (slash >= sizeof(parent))
		return -ENAMETOOLONG;
	for (size_t i = 0; i < slash; i++)
		parent[i] = target[i];
	parent[slash] = '\0';
	long at = make_path(root, slash ? parent : "/", true);
	if (at < 0)
		return at;
	long result = SYS(symlinkat, text, at, target + slash + 1);
	SYS(close, at);
	return result;
}

static long make_entry(const struct plan *plan, const struct plan_entry *entry, struct root *root)
{
	const char *target = plan_string(plan, entry->target);
	long result;
	char bytes[24] = "";
	switch ((enum plan_entry_kind)entry->kind) {
	case PLAN_DIRECTORY:
		result = make_path(root, target, true);
		if (result >= 0)
			SYS(close, result);
		return result;
	case PLAN_SYMLINK:
		return make_symlink(root, plan_string(plan, entry->source), target);
	case PLAN_BIND:
		return bind(root, plan_string(plan, entry->source), target, entry->flags);
	case PLAN_TMPFS:
		text_append_number(bytes, sizeof(bytes), entry->size);
		result = make_tmpfs(bytes, "1777");
		if (result >= 0 && add_own(root, result) < 0)
			return -E2BIG;
		return result < 0 ? result : attach((int)result, root, target, true, attributes_of(entry->flags));
	}
	return -EINVAL;
}

/* The root's mount itself, on top of the old root, where everything below the old one can still be reached by path. */
static long make_root(void)
{
	long mount = make_tmpfs("1m", "0755");
	if (mount < 0)
		return mount;
	long result = SYS(move_mount, mount, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH);
	return result < 0 ? result : mount;
}

static void bind_executable(const struct init *init, const struct root *root)
{
	const struct plan *plan = init->plan;
	const char *executable = plan_string(plan, plan->executable);
	char target[512] = PLAN_EXECUTABLE_DIR "/";
	text_append(target, sizeof(target), plan_string(plan, plan->executable_name));
	must(init, STEP_EXECUTABLE, bind(root, executable, target, PLAN_EXEC), executable);
}

void root_build(const struct init *init)
{
	const struct plan *plan = init->plan;
	/* Nothing that is done here is seen outside, nor the other way round. */
	must(init, STEP_PRIVATE, SYS(mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "");
	struct root root = {.fd = (int)must(init, STEP_ROOT, make_root(), "")};
	must(init, STEP_ROOT, add_own(&root, root.fd), "");
	bind_executable(init, &root);
	const struct plan_entry *entries = plan_items(plan, plan->entries);
	for (uint32_t i = 0; i < plan->entries.count; i++)
		must(init, STEP_MOUNT, make_entry(plan, &entries[i], &root),
		     plan_string(plan, entries[i].kind == PLAN_BIND ? entries[i].source : entries[i].target));

	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
	must(init, STEP_READ_ONLY, SYS(mount_setattr, root.fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)), "");
	must(init, STEP_PIVOT_ROOT, SYS(fchdir, root.fd), "");
	/* Old and new root in one place: the old one comes to lie on top, and is taken off. */
	must(init, STEP_PIVOT_ROOT, SYS(pivot_root, ".", "."), "");
	must(init, STEP_DETACH, SYS(umount2, ".", DETACH), "");
	must(init, STEP_DETACH, SYS(chdir, "/"), "");
	SYS(close, root.fd);
}
