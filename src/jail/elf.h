/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an ELF file wants from its loader. The file is the plugin's or one that it names: nothing in it is trusted.
 */
#ifndef PLUGVM_JAIL_ELF_H
#define PLUGVM_JAIL_ELF_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define ELF_STRINGS_MAX 65536
#define ELF_NEEDED_MAX  128

struct elf_wants {
	char interpreter[PATH_MAX]; /* "": none */
	char *strings;              /* the string table; the next two point into it */
	const char *run_path;       /* "": none */
	const char *needed[ELF_NEEDED_MAX];
	size_t needed_count;
	bool is_shared_object;
};

/*
 * Open a regular file to read it. Nothing else is opened, not even for a moment: to open a device can do something,
 * and that of a FIFO can block. Returns the fd, or -errno: -EACCES if it is no regular file.
 */
int elf_open(const char *path);

/*
 * Read what the x86-64 ELF file `fd` wants; elf_fini() frees it. Returns 0 or -errno: -ENOEXEC if it is no such file or
 * one that contradicts itself.
 */
int elf_read(int fd, struct elf_wants *out_wants);
void elf_fini(struct elf_wants *wants);

#endif
