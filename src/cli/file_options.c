/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * --file NAME=PATH[:rw]: opened here, with the operator's rights, and inherited by the plugin as an fd.
 */
#include "cli/file_options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"

#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
#define NAME_MAX_BYTES  64
#define PREFIX          "PLUGVM_FD_"

static bool is_taken(const struct file_options *files, const char *name, size_t length)
{
	for (size_t i = 0; i < files->count; i++) {
		const char *other = files->variables[i] + strlen(PREFIX);
		if (strncmp(other, name, length) == 0 && other[length] == '=')
			return true;
	}
	return false;
}

/* Returns an fd, or -1 with *out_wrong. */
static int open_file(const char *path, bool writable, const char **out_wrong)
{
	/* Not blocked by a fifo that nobody writes. */
	FD_AUTO fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat file;
	if (fd < 0 || fstat(fd, &file) < 0) {
		*out_wrong = strerror(errno);
		return -1;
	}
	/* From a directory a plugin could reach what is in it and, without a jail's root, what is above. */
	if (S_ISDIR(file.st_mode)) {
		*out_wrong = "it is a directory; --plugin-mount shows one";
		return -1;
	}
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0) {
		*out_wrong = strerror(errno);
		return -1;
	}
	return fd_take(&fd);
}

const char *file_options_add(struct file_options *files, const char *text, const char **out_wrong)
{
	size_t name = strspn(text, NAME_CHARACTERS);
	*out_wrong = NULL;
	if (name == 0 || name > NAME_MAX_BYTES || text[name] != '=')
		*out_wrong = "it is NAME=PATH or NAME=PATH:rw, with a NAME of at most 64 of A-Z, 0-9 and _";
	else if (files->count == FILES_MAX)
		*out_wrong = "there are 64 files already";
	else if (is_taken(files, text, name))
		*out_wrong = "another file has this name";
	if (*out_wrong)
		return NULL;

	const char *path = text + name + 1;
	size_t length = strlen(path);
	bool writable = length > 3 && strcmp(path + length - 3, ":rw") == 0;
	char *copy = strndup(path, writable ? length - 3 : length);
	int number = FILE_FD_FIRST + (int)files->count;
	char *variable = NULL;
	if (!copy || asprintf(&variable, PREFIX "%.*s=%d", (int)name, text, number) < 0) {
		free(copy);
		*out_wrong = "out of memory";
		return NULL;
	}
	int fd = open_file(copy, writable, out_wrong);
	free(copy);
	if (fd < 0) {
		free(variable);
		return NULL;
	}
	files->fds[files->count] = (struct plugvm_fd_map){.fd = fd, .number = number};
	files->variables[files->count++] = variable;
	return variable;
}

void file_options_fini(struct file_options *files)
{
	for (size_t i = 0; i < files->count; i++) {
		fd_close(&files->fds[i].fd);
		free(files->variables[i]);
	}
	files->count = 0;
}
