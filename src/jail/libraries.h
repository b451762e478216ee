/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shared libraries that an executable finds by its run path (DT_RUNPATH, DT_RPATH), outside the system's
 * directories.
 */
#ifndef PLUGVM_JAIL_LIBRARIES_H
#define PLUGVM_JAIL_LIBRARIES_H

#include <stddef.h>
#include <sys/stat.h>

#define LIBRARIES_MAX 128

/* How long the search may be, in bytes of the paths that are tried: a run path of thousands ends the search. */
#define LIBRARIES_PROBED_MAX ((size_t)4 << 20)

struct libraries {
	char *files[LIBRARIES_MAX];   /* absolute paths, as the loader will look for them */
	char *sources[LIBRARIES_MAX]; /* the same without symlinks */
	size_t count;
	/*
	 * For LD_LIBRARY_PATH: where they were found. Without /proc a loader does not know what $ORIGIN is. NULL:
	 * nowhere.
	 */
	char *search_path;
	size_t probed;
	struct stat owner; /* of the executable */
};

/*
 * Collect them; libraries_fini() frees. Only files that are shared objects are taken, each by itself: the run path is
 * the plugin's word, and must not open a directory of the operator's to it. What cannot be read is left out; for root,
 * who can read all, what the owner of the executable cannot. Returns 0 or -ENOMEM.
 */
int libraries_find(const char *executable, struct libraries *out_libraries);
void libraries_fini(struct libraries *libraries);

#endif
