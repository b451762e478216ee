/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_elf - executables and libraries of a hostile plugin: what the host reads out of them, and what it finds by their run
 * paths.
 *
 * Input: one byte of flags (FLAG_...), then one file, or two with a byte before them that says how long the first one is,
 * in units of 16 bytes: the executable, and every other file there is. The system calls that would read them end in this
 * file.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "jail/elf.h"
#include "jail/libraries.h"

#define FLAG_LIBRARIES 0x01 /* else one file alone */
#define FLAG_RIGHT     0x02 /* make the first bytes those of an ELF file for x86-64 */

#define EXECUTABLE "/plugin/bin/exe"

#define FILES_MAX 2
#define FILE_MAX  8192
#define FAKE_FD   1000

static struct fake_file {
	uint8_t bytes[FILE_MAX];
	size_t size;
} files[FILES_MAX];
static size_t opened;
static size_t closed;
static bool is_active; /* else the calls are the fuzzer's own */

/* ---- The system ---- */

ssize_t __wrap_pread64(int fd, void *buffer, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *buffer, size_t size, off_t offset)
{
	REQUIRE(fd >= FAKE_FD && fd < FAKE_FD + FILES_MAX && offset >= 0);
	const struct fake_file *file = &files[fd - FAKE_FD];
	if ((size_t)offset >= file->size)
		return 0;
	if (size > file->size - (size_t)offset)
		size = file->size - (size_t)offset;
	memcpy(buffer, file->bytes + offset, size);
	return (ssize_t)size;
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	if (!is_active)
		return __real_open64(path, flags, 0600);
	opened++;
	if (flags & O_PATH) {
		REQUIRE(flags == (O_PATH | O_CLOEXEC) && path[0] == '/' && strlen(path) < PATH_MAX);
		return FAKE_FD + (strcmp(path, EXECUTABLE) != 0);
	}
	/* Only what was looked at, to see that it is a file. */
	int fd;
	REQUIRE(flags == (O_RDONLY | O_CLOEXEC) && sscanf(path, "/proc/self/fd/%d", &fd) == 1);
	REQUIRE(fd >= FAKE_FD && fd < FAKE_FD + FILES_MAX);
	return fd;
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	if (!is_active)
		return __real_close(fd);
	REQUIRE(fd >= FAKE_FD && fd < FAKE_FD + FILES_MAX);
	closed++;
	return 0;
}

/* Every file is a regular one. */
int __real_fstat64(int fd, struct stat *out_status);
int __wrap_fstat64(int fd, struct stat *out_status);
int __wrap_fstat64(int fd, struct stat *out_status)
{
	if (!is_active)
		return __real_fstat64(fd, out_status);
	memset(out_status, 0, sizeof(*out_status));
	out_status->st_mode = S_IFREG | 0644;
	return 0;
}

/* No links; what has a '!' does not exist. */
char *__wrap_realpath(const char *path, char *out_path);
char *__wrap_realpath(const char *path, char *out_path)
{
	REQUIRE(path[0] == '/' && out_path);
	size_t length = strlen(path);
	if (strchr(path, '!') || length >= PATH_MAX) {
		errno = ENOENT;
		return NULL;
	}
	memcpy(out_path, path, length + 1);
	while (length > 1 && out_path[length - 1] == '/')
		out_path[--length] = '\0';
	return out_path;
}

MODEL_BEGIN

/* ---- One file ---- */

static bool is_text(const struct elf_wants *wants, const char *name)
{
	return name[0] == '\0' || (name >= wants->strings && name - wants->strings <= ELF_STRINGS_MAX);
}

/* Everything is a string, and those of the table are in the file. */
static void check_wants(const struct elf_wants *wants, const struct fake_file *file)
{
	REQUIRE(memchr(wants->interpreter, '\0', sizeof(wants->interpreter)));
	REQUIRE(wants->needed_count <= ELF_NEEDED_MAX && is_text(wants, wants->run_path));
	size_t length = strlen(wants->run_path);
	REQUIRE(length == 0 || memmem(file->bytes, file->size, wants->run_path, length));
	length = strlen(wants->interpreter);
	REQUIRE(length == 0 || memmem(file->bytes, file->size, wants->interpreter, length));
	for (size_t i = 0; i < wants->needed_count; i++) {
		REQUIRE(is_text(wants, wants->needed[i]));
		length = strlen(wants->needed[i]);
		REQUIRE(length == 0 || memmem(file->bytes, file->size, wants->needed[i], length));
	}
}

/* ---- An executable and its libraries ---- */

static bool has_directory(const char *search_path, const char *file)
{
	size_t length = (size_t)(strrchr(file, '/') - file);
	for (const char *at = search_path; at; at = strchr(at, ':') ? strchr(at, ':') + 1 : NULL) {
		if (strncmp(at, file, length) == 0 && (at[length] == ':' || at[length] == '\0'))
			return true;
	}
	return false;
}

static void check_libraries(const struct libraries *libraries)
{
	REQUIRE(libraries->count <= LIBRARIES_MAX);
	size_t strangers = 0; /* a loader lies anywhere */
	for (size_t i = 0; i < libraries->count; i++) {
		const char *file = libraries->files[i];
		REQUIRE(file[0] == '/' && strlen(file) < PATH_MAX);
		REQUIRE(strncmp(file, "/usr/lib/", 9) != 0 && strncmp(file, "/lib/", 5) != 0);
		strangers += !libraries->search_path || !has_directory(libraries->search_path, file);
		for (size_t other = 0; other < i; other++)
			REQUIRE(strcmp(file, libraries->files[other]) != 0);
	}
	/* The executable's and the libraries', which are all the same. */
	REQUIRE(strangers <= 2);
}

MODEL_END

static void read_one(void)
{
	struct elf_wants wants;
	int result = elf_read(FAKE_FD, &wants);
	REQUIRE(result == 0 || result == -ENOEXEC);
	if (result == 0)
		check_wants(&wants, &files[0]);
	elf_fini(&wants);
}

static void find_libraries(void)
{
	struct libraries libraries;
	opened = closed = 0;
	is_active = true;
	int result = libraries_find(EXECUTABLE, &libraries);
	is_active = false;
	REQUIRE(result == 0 && opened == closed);
	check_libraries(&libraries);
	libraries_fini(&libraries);
}

static void load(struct fake_file *file, struct input *input, size_t size, bool make_right)
{
	file->size = size < input->size ? size : input->size;
	if (file->size > FILE_MAX)
		file->size = FILE_MAX;
	if (file->size > 0)
		memcpy(file->bytes, input->data, file->size);
	input->data += file->size;
	input->size -= file->size;
	if (!make_right || file->size < sizeof(Elf64_Ehdr))
		return;
	Elf64_Ehdr header;
	memcpy(&header, file->bytes, sizeof(header));
	memcpy(header.e_ident, ELFMAG, SELFMAG);
	header.e_ident[EI_CLASS] = ELFCLASS64;
	header.e_machine = EM_X86_64;
	header.e_phentsize = sizeof(Elf64_Phdr);
	header.e_phnum %= 8;
	memcpy(file->bytes, &header, sizeof(header));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	uint8_t flags = input_byte(&input);
	if (!(flags & FLAG_LIBRARIES)) {
		load(&files[0], &input, input.size, flags & FLAG_RIGHT);
		read_one();
		return 0;
	}
	size_t first = (size_t)input_byte(&input) * 16;
	load(&files[0], &input, first, flags & FLAG_RIGHT);
	load(&files[1], &input, input.size, flags & FLAG_RIGHT);
	find_libraries();
	return 0;
}
