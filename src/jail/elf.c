/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an ELF file wants from its loader.
 */
#include "jail/elf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define HEADERS_MAX 64
#define DYNAMIC_MAX 1024

static bool read_at(int fd, void *out_data, size_t size, uint64_t offset)
{
	return offset <= INT64_MAX && pread(fd, out_data, size, (off_t)offset) == (ssize_t)size;
}

/* Return where in the file the byte at an address is, or UINT64_MAX. */
static uint64_t offset_of(const Elf64_Phdr *headers, size_t count, uint64_t address)
{
	for (size_t i = 0; i < count; i++) {
		const Elf64_Phdr *header = &headers[i];
		if (header->p_type == PT_LOAD && address >= header->p_vaddr &&
		    address - header->p_vaddr < header->p_filesz)
			return header->p_offset + (address - header->p_vaddr);
	}
	return UINT64_MAX;
}

static const char *string_at(const struct elf_wants *wants, uint64_t size, uint64_t offset)
{
	return offset < size ? wants->strings + offset : "";
}

static int read_dynamic(int fd, const Elf64_Phdr *headers, size_t header_count, const Elf64_Phdr *dynamic,
                        struct elf_wants *wants)
{
	Elf64_Dyn entries[DYNAMIC_MAX];
	size_t count = dynamic->p_filesz / sizeof(entries[0]);
	if (count > DYNAMIC_MAX || !read_at(fd, entries, count * sizeof(entries[0]), dynamic->p_offset))
		return -ENOEXEC;
	uint64_t table = UINT64_MAX, size = 0;
	for (size_t i = 0; i < count && entries[i].d_tag != DT_NULL; i++) {
		if (entries[i].d_tag == DT_STRTAB)
			table = offset_of(headers, header_count, entries[i].d_un.d_ptr);
		if (entries[i].d_tag == DT_STRSZ)
			size = entries[i].d_un.d_val;
	}
	if (size > ELF_STRINGS_MAX)
		size =
		    ELF_STRINGS_MAX; /* of a large library: the names in question are those at its begin, or are lost */
	wants->strings = calloc(1, size + 1);
	if (!wants->strings)
		return -ENOMEM;
	if (size > 0 && !read_at(fd, wants->strings, size, table))
		return -ENOEXEC;
	for (size_t i = 0; i < count && entries[i].d_tag != DT_NULL; i++) {
		const char *text = string_at(wants, size, entries[i].d_un.d_val);
		/* DT_RPATH only counts where there is no DT_RUNPATH. */
		if (entries[i].d_tag == DT_RUNPATH || (entries[i].d_tag == DT_RPATH && !wants->run_path[0]))
			wants->run_path = text;
		if (entries[i].d_tag == DT_NEEDED && wants->needed_count < ELF_NEEDED_MAX)
			wants->needed[wants->needed_count++] = text;
	}
	return 0;
}

int elf_open(const char *path)
{
	struct stat status;
	char again[32];
	FD_AUTO found = open(path, O_PATH | O_CLOEXEC);
	if (found < 0 || fstat(found, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EACCES;
	/* The same file, whatever has the name by now. */
	snprintf(again, sizeof(again), "/proc/self/fd/%d", found);
	int fd = open(again, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int elf_read(int fd, struct elf_wants *out_wants)
{
	Elf64_Ehdr file;
	Elf64_Phdr headers[HEADERS_MAX];
	memset(out_wants, 0, sizeof(*out_wants));
	out_wants->run_path = "";
	if (!read_at(fd, &file, sizeof(file), 0) || memcmp(file.e_ident, ELFMAG, SELFMAG) != 0 ||
	    file.e_ident[EI_CLASS] != ELFCLASS64 || file.e_machine != EM_X86_64 ||
	    file.e_phentsize != sizeof(headers[0]) || file.e_phnum > HEADERS_MAX ||
	    !read_at(fd, headers, file.e_phnum * sizeof(headers[0]), file.e_phoff))
		return -ENOEXEC;
	out_wants->is_shared_object = file.e_type == ET_DYN;
	const Elf64_Phdr *dynamic = NULL, *interpreter = NULL;
	for (size_t i = 0; i < file.e_phnum; i++) {
		const Elf64_Phdr *header = &headers[i];
		if (header->p_type == PT_DYNAMIC)
			dynamic = header;
		/* The first one counts, as for the kernel. */
		if (header->p_type == PT_INTERP && !interpreter)
			interpreter = header;
	}
	if (interpreter && (interpreter->p_filesz >= sizeof(out_wants->interpreter) ||
	                    !read_at(fd, out_wants->interpreter, interpreter->p_filesz, interpreter->p_offset)))
		return -ENOEXEC;
	return dynamic ? read_dynamic(fd, headers, file.e_phnum, dynamic, out_wants) : 0;
}

void elf_fini(struct elf_wants *wants)
{
	free(wants->strings);
	wants->strings = NULL;
}
