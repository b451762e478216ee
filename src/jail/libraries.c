/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shared libraries that an executable finds by its run path.
 */
#include "jail/libraries.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "jail/elf.h"

/* What looking for a file costs beside the length of its path, in the same unit. */
#define PROBE_BYTES 64

/* What every jail of the default profile has whole. */
static const char *const system_directories[] = {"/lib",       "/lib32",      "/lib64",
                                                 "/libx32",    "/usr/lib",    "/usr/lib32",
                                                 "/usr/lib64", "/usr/libx32", "/usr/local/lib"};

static bool is_in_system(const char *path)
{
	for (size_t i = 0; i < sizeof(system_directories) / sizeof(system_directories[0]); i++) {
		size_t length = strlen(system_directories[i]);
		if (strncmp(path, system_directories[i], length) == 0 &&
		    (path[length] == '/' || path[length] == '\0'))
			return true;
	}
	return false;
}

/* Read what a file wants, if it is one that a loader would map, and of the same file whose it is, if that is asked. */
static bool read_object(const char *path, struct elf_wants *out_wants, struct stat *out_owner)
{
	FD_AUTO fd = elf_open(path);
	if (fd < 0 || (out_owner && fstat(fd, out_owner) < 0))
		return false;
	if (elf_read(fd, out_wants) == 0)
		return true;
	elf_fini(out_wants);
	return false;
}

static bool has_file(const struct libraries *libraries, const char *path)
{
	for (size_t i = 0; i < libraries->count; i++) {
		if (strcmp(libraries->files[i], path) == 0)
			return true;
	}
	return false;
}

/* May a user with this group, and no other, read a file or search a directory, by the mode? */
static bool may_use(const char *path, const struct stat *user)
{
	struct stat status;
	if (stat(path, &status) < 0)
		return false;
	mode_t wanted = S_ISDIR(status.st_mode) ? S_IXOTH : S_IROTH;
	if (status.st_uid == user->st_uid)
		wanted <<= 6;
	else if (status.st_gid == user->st_gid)
		wanted <<= 3;
	return status.st_mode & wanted;
}

/*
 * What an executable of root's names, root names. One of somebody else's must not show what only root can reach: so
 * that its owner can open the file, by every directory on the way. `path` has no symlinks.
 */
static bool may_show(const struct libraries *libraries, char *path)
{
	const struct stat *owner = &libraries->owner;
	if (geteuid() != 0 || owner->st_uid == 0)
		return true;
	bool may = may_use("/", owner);
	for (char *slash = strchr(path + 1, '/'); slash && may; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		may = may_use(path, owner);
		*slash = '/';
	}
	return may && may_use(path, owner);
}

static int add_file(struct libraries *libraries, const char *path)
{
	char resolved[PATH_MAX];
	if (libraries->count == LIBRARIES_MAX || has_file(libraries, path) || !realpath(path, resolved) ||
	    !may_show(libraries, resolved))
		return 0;
	char *copy = strdup(path), *source = strdup(resolved);
	if (!copy || !source) {
		free(copy);
		free(source);
		return -ENOMEM;
	}
	libraries->sources[libraries->count] = source;
	libraries->files[libraries->count++] = copy;
	return 0;
}

static int add_search_path(struct libraries *libraries, const char *directory)
{
	const char *old = libraries->search_path ? libraries->search_path : "";
	size_t length = strlen(directory);
	for (const char *at = strstr(old, directory); at; at = strstr(at + 1, directory)) {
		if ((at == old || at[-1] == ':') && (at[length] == ':' || at[length] == '\0'))
			return 0;
	}
	char *grown;
	if (asprintf(&grown, "%s%s%s", old, old[0] ? ":" : "", directory) < 0)
		return -ENOMEM;
	free(libraries->search_path);
	libraries->search_path = grown;
	return 0;
}

/* Expand $ORIGIN or ${ORIGIN} at the begin of one element of a run path, and make it a real directory's path. */
static bool expand(const char *element, size_t length, const char *origin, char out_directory[PATH_MAX])
{
	static const char *const names[] = {"$ORIGIN", "${ORIGIN}"};
	char path[PATH_MAX];
	int written = snprintf(path, sizeof(path), "%.*s", (int)length, element);
	for (size_t i = 0; i < 2; i++) {
		size_t name = strlen(names[i]);
		if (length >= name && strncmp(element, names[i], name) == 0)
			written = snprintf(path, sizeof(path), "%s%.*s", origin, (int)(length - name),
			                   element + name);
	}
	return written > 0 && (size_t)written < sizeof(path) && path[0] == '/' && realpath(path, out_directory);
}

/* Look for a needed library in the directories of the run path, as the loader would: the first that fits. */
static int find_needed(struct libraries *libraries, const char *name, const char *run_path, const char *origin)
{
	if (!name[0] || strchr(name, '/'))
		return 0;
	for (const char *element = run_path; *element;) {
		size_t length = strcspn(element, ":");
		char directory[PATH_MAX], path[PATH_MAX];
		struct elf_wants wants;
		if (libraries->probed > LIBRARIES_PROBED_MAX)
			return 0;
		libraries->probed += PROBE_BYTES + length;
		if (length < PATH_MAX && expand(element, length, origin, directory) && !is_in_system(directory) &&
		    !strpbrk(directory, ":;") &&
		    (size_t)snprintf(path, sizeof(path), "%s/%s", directory, name) < sizeof(path) &&
		    read_object(path, &wants, NULL)) {
			bool fits = wants.is_shared_object;
			elf_fini(&wants);
			if (fits)
				return add_file(libraries, path) < 0 ? -ENOMEM
				                                     : add_search_path(libraries, directory);
		}
		element += length + (element[length] == ':');
	}
	return 0;
}

/* Add what one object needs. */
static int scan_object(struct libraries *libraries, const char *path, struct stat *out_owner)
{
	struct elf_wants wants;
	char origin[PATH_MAX];
	if (!realpath(path, origin) || !read_object(path, &wants, out_owner))
		return 0;
	*strrchr(origin, '/') = '\0';
	int result = 0;
	for (size_t i = 0; i < wants.needed_count && result == 0; i++)
		result = find_needed(libraries, wants.needed[i], wants.run_path, origin);
	/* A loader from elsewhere, of another C library. */
	if (result == 0 && wants.interpreter[0] == '/' && !is_in_system(wants.interpreter)) {
		struct elf_wants loader;
		if (read_object(wants.interpreter, &loader, NULL)) {
			bool fits = loader.is_shared_object;
			elf_fini(&loader);
			result = fits ? add_file(libraries, wants.interpreter) : 0;
		}
	}
	elf_fini(&wants);
	return result;
}

int libraries_find(const char *executable, struct libraries *out_libraries)
{
	*out_libraries = (struct libraries){.count = 0};
	int result = scan_object(out_libraries, executable, &out_libraries->owner);
	/* What it finds is appended, and its turn comes. */
	for (size_t i = 0; i < out_libraries->count && result == 0; i++)
		result = scan_object(out_libraries, out_libraries->files[i], NULL);
	return result;
}

void libraries_fini(struct libraries *libraries)
{
	for (size_t i = 0; i < libraries->count; i++) {
		free(libraries->files[i]);
		free(libraries->sources[i]);
	}
	free(libraries->search_path);
}
