/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks which libraries a jail shows beside the system's: those that an executable finds by its run path, if they are
 * shared objects, and nothing else that a hostile executable may name.
 */
#include "test.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "jail/elf.h"
#include "jail/libraries.h"

/* One page: headers, then the dynamic section, then the strings. */
struct image {
	Elf64_Ehdr file;
	Elf64_Phdr headers[2];
	Elf64_Dyn dynamic[6];
	char strings[512];
};

/* An object that needs `needed` and looks for it in `run_path`. */
static struct image make_image(const char *run_path, const char *needed, int64_t tag)
{
	struct image image = {
	    .file = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64},
	             .e_type = ET_DYN,
	             .e_machine = EM_X86_64,
	             .e_phoff = offsetof(struct image, headers),
	             .e_phentsize = sizeof(Elf64_Phdr),
	             .e_phnum = 2},
	    .headers = {{.p_type = PT_LOAD, .p_vaddr = 0x1000, .p_filesz = sizeof(image)},
	                {.p_type = PT_DYNAMIC,
	                 .p_offset = offsetof(struct image, dynamic),
	                 .p_filesz = sizeof(image.dynamic)}},
	    .dynamic = {{.d_tag = DT_STRTAB, .d_un.d_ptr = 0x1000 + offsetof(struct image, strings)},
	                {.d_tag = DT_STRSZ, .d_un.d_val = sizeof(image.strings)},
	                {.d_tag = tag, .d_un.d_val = 1},
	                {.d_tag = DT_NEEDED, .d_un.d_val = 256}},
	};
	snprintf(image.strings + 1, 255, "%s", run_path);
	snprintf(image.strings + 256, 256, "%s", needed);
	return image;
}

static char directory[64];

static const char *path_of(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static void write_bytes(const char *name, const void *bytes, size_t size)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), (ssize_t)size);
	fd_close(&fd);
}

static int setup(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/plugvm-test-XXXXXX");
	assert_non_null(mkdtemp(directory));
	return mkdir(path_of("lib"), 0755);
}

static int teardown(void **state)
{
	(void)state;
	static const char *const names[] = {"program",    "lib/a.so", "lib/b.so",
	                                    "lib/secret", "lib/fifo", "link.so"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_of(names[i]));
	rmdir(path_of("lib"));
	return rmdir(directory);
}

static void find(struct libraries *out_libraries)
{
	assert_int_equal(libraries_find(path_of("program"), out_libraries), 0);
}

static void expect_nothing(void)
{
	struct libraries libraries;
	find(&libraries);
	assert_int_equal(libraries.count, 0);
	assert_null(libraries.search_path);
	libraries_fini(&libraries);
}

/* What it needs, and what that needs in turn, wherever each is. */
static void test_found(void **state)
{
	(void)state;
	static const int64_t tags[] = {DT_RUNPATH, DT_RPATH};
	struct image a = make_image("${ORIGIN}", "b.so", DT_RUNPATH), b = make_image("", "libc.so.6", DT_RUNPATH);
	write_bytes("lib/a.so", &a, sizeof(a));
	write_bytes("lib/b.so", &b, sizeof(b));
	for (size_t i = 0; i < 2; i++) {
		struct image program = make_image("/usr/lib:/nonexistent:$ORIGIN/lib/../lib", "a.so", tags[i]);
		struct libraries libraries;
		write_bytes("program", &program, sizeof(program));
		find(&libraries);
		assert_int_equal(libraries.count, 2);
		assert_string_equal(libraries.files[0], path_of("lib/a.so"));
		assert_string_equal(libraries.files[1], path_of("lib/b.so"));
		assert_string_equal(libraries.sources[1], path_of("lib/b.so"));
		assert_string_equal(libraries.search_path, path_of("lib"));
		libraries_fini(&libraries);
	}
}

/* What is to be mounted has no symlinks in its path; where it appears is where the loader looks. */
static void test_link(void **state)
{
	(void)state;
	struct image program = make_image("$ORIGIN", "link.so", DT_RUNPATH), a = make_image("", "", DT_RUNPATH);
	struct libraries libraries;
	write_bytes("program", &program, sizeof(program));
	write_bytes("lib/a.so", &a, sizeof(a));
	assert_int_equal(symlink("lib/a.so", path_of("link.so")), 0);
	find(&libraries);
	assert_int_equal(libraries.count, 1);
	assert_string_equal(libraries.files[0], path_of("link.so"));
	assert_string_equal(libraries.sources[0], path_of("lib/a.so"));
	libraries_fini(&libraries);
}

static void expect_count(size_t count)
{
	struct libraries libraries;
	find(&libraries);
	assert_int_equal(libraries.count, count);
	libraries_fini(&libraries);
}

/* Root can read everything; an executable of somebody else's must not have that shown. */
static void test_owner(void **state)
{
	(void)state;
	if (geteuid() != 0)
		test_skip("only root starts what belongs to somebody else");
	struct image program = make_image("$ORIGIN/lib", "a.so", DT_RUNPATH), a = make_image("", "", DT_RUNPATH);
	write_bytes("program", &program, sizeof(program));
	write_bytes("lib/a.so", &a, sizeof(a));
	static const struct {
		uid_t owner;
		gid_t group;
		mode_t top, directory, file;
		size_t count;
	} cases[] = {
	    {54321, 54321, 0755, 0755, 0644, 1}, {54321, 54321, 0755, 0755, 0600, 0},
	    {54321, 54321, 0755, 0700, 0644, 0}, {54321, 54321, 0700, 0755, 0644, 0},
	    {54321, 54321, 0711, 0711, 0604, 1}, {54321, 0, 0750, 0750, 0640, 1},
	    {54321, 0, 0705, 0755, 0644, 0},     {0, 0, 0700, 0700, 0600, 1},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(chown(path_of("program"), cases[i].owner, cases[i].group), 0);
		assert_int_equal(chmod(directory, cases[i].top), 0);
		assert_int_equal(chmod(path_of("lib"), cases[i].directory), 0);
		assert_int_equal(chmod(path_of("lib/a.so"), cases[i].file), 0);
		expect_count(cases[i].count);
	}
	/* His own, where nobody else may look. */
	assert_int_equal(chown(path_of("program"), 54321, 54321), 0);
	assert_int_equal(chown(path_of("lib"), 54321, 54321), 0);
	assert_int_equal(chown(path_of("lib/a.so"), 54321, 54321), 0);
	assert_int_equal(chown(directory, 54321, 54321), 0);
	expect_count(1);
}

/* Two that need each other. */
static void test_circle(void **state)
{
	(void)state;
	struct image program = make_image("$ORIGIN/lib", "a.so", DT_RUNPATH);
	struct image a = make_image("$ORIGIN", "b.so", DT_RUNPATH), b = make_image("$ORIGIN", "a.so", DT_RUNPATH);
	struct libraries libraries;
	write_bytes("program", &program, sizeof(program));
	write_bytes("lib/a.so", &a, sizeof(a));
	write_bytes("lib/b.so", &b, sizeof(b));
	find(&libraries);
	assert_int_equal(libraries.count, 2);
	libraries_fini(&libraries);
}

/* A run path is the plugin's word: what it names is shown only if it is a library. */
static void test_not_a_library(void **state)
{
	(void)state;
	static const char *const names[] = {"secret", "fifo", "../lib/a.so", "", ".", ".."};
	struct image executable = make_image("", "", DT_RUNPATH);
	write_bytes("lib/secret", "a private key\n", 14);
	assert_int_equal(mkfifo(path_of("lib/fifo"), 0600), 0);
	write_bytes("lib/a.so", &executable, sizeof(executable));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct image program = make_image("$ORIGIN/lib", names[i], DT_RUNPATH);
		write_bytes("program", &program, sizeof(program));
		expect_nothing();
	}
	executable.file.e_type = ET_EXEC;
	write_bytes("lib/a.so", &executable, sizeof(executable));
	struct image program = make_image("$ORIGIN/lib", "a.so", DT_RUNPATH);
	write_bytes("program", &program, sizeof(program));
	expect_nothing();
	/* A relative element means the directory that the host happens to be in. */
	executable.file.e_type = ET_DYN;
	write_bytes("lib/a.so", &executable, sizeof(executable));
	program = make_image("lib:./lib", "a.so", DT_RUNPATH);
	write_bytes("program", &program, sizeof(program));
	assert_int_equal(chdir(directory), 0);
	expect_nothing();
	assert_int_equal(chdir("/"), 0);
}

/* Files that contradict themselves, byte by byte; a sanitizer sees what is read outside. */
static void test_hostile_files(void **state)
{
	(void)state;
	static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	struct image image = make_image("$ORIGIN/lib", "a.so", DT_RUNPATH);
	FD_AUTO fd = make_memfd(sizeof(image), 0);
	unsigned refused = 0;
	for (size_t i = 0; i < offsetof(struct image, strings); i++) {
		for (size_t v = 0; v < sizeof(values); v++) {
			struct image wrong = image;
			struct elf_wants wants;
			((uint8_t *)&wrong)[i] = values[v];
			assert_int_equal(pwrite(fd, &wrong, sizeof(wrong), 0), (ssize_t)sizeof(wrong));
			int result = elf_read(fd, &wants);
			assert_true(result == 0 || result == -ENOEXEC);
			refused += result < 0;
			for (size_t n = 0; result == 0 && n < wants.needed_count; n++)
				assert_true(strlen(wants.needed[n]) < ELF_STRINGS_MAX);
			assert_true(result < 0 || strlen(wants.run_path) < ELF_STRINGS_MAX);
			elf_fini(&wants);
		}
	}
	assert_true(refused > 100);
	for (off_t size = 0; size < (off_t)sizeof(image); size += 7) {
		struct elf_wants wants;
		assert_int_equal(pwrite(fd, &image, sizeof(image), 0), (ssize_t)sizeof(image));
		assert_int_equal(ftruncate(fd, size), 0);
		elf_read(fd, &wants);
		elf_fini(&wants);
	}
}

/* To open a device can do something: rewind a tape, start a watchdog. What is no file is not even opened. */
static void test_not_opened(void **state)
{
	(void)state;
	char events[4096];
	struct image program = make_image("$ORIGIN/lib", "fifo", DT_RUNPATH), a = make_image("", "", DT_RUNPATH);
	write_bytes("program", &program, sizeof(program));
	write_bytes("lib/a.so", &a, sizeof(a));
	assert_int_equal(mkfifo(path_of("lib/fifo"), 0600), 0);
	FD_AUTO watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	assert_true(watch >= 0);
	assert_true(inotify_add_watch(watch, path_of("lib"), IN_OPEN) >= 0);
	expect_nothing();
	assert_int_equal(read(watch, events, sizeof(events)), -1);
	/* The watch sees what is opened. */
	struct libraries libraries;
	program = make_image("$ORIGIN/lib", "a.so", DT_RUNPATH);
	write_bytes("program", &program, sizeof(program));
	find(&libraries);
	assert_int_equal(libraries.count, 1);
	libraries_fini(&libraries);
	assert_true(read(watch, events, sizeof(events)) > 0);
}

/* As many names in as many directories as fit: the host does not look for minutes. */
static void test_endless_search(void **state)
{
	(void)state;
	enum { NEEDED = 120, STRINGS = 65536 };
	struct {
		Elf64_Ehdr file;
		Elf64_Phdr headers[2];
		Elf64_Dyn dynamic[NEEDED + 4];
		char strings[STRINGS];
	} *image = calloc(1, sizeof(*image));
	assert_non_null(image);
	struct image small = make_image("", "", DT_RUNPATH);
	image->file = small.file;
	memcpy(image->headers, small.headers, sizeof(image->headers));
	image->headers[0].p_filesz = sizeof(*image);
	image->headers[1].p_offset = (size_t)((char *)image->dynamic - (char *)image);
	image->headers[1].p_filesz = sizeof(image->dynamic);
	image->dynamic[0] = (Elf64_Dyn){.d_tag = DT_STRTAB,
	                                .d_un.d_ptr = 0x1000 + (size_t)((char *)image->strings - (char *)image)};
	image->dynamic[1] = (Elf64_Dyn){.d_tag = DT_STRSZ, .d_un.d_val = STRINGS};
	image->dynamic[2] = (Elf64_Dyn){.d_tag = DT_RUNPATH, .d_un.d_val = 1};
	memcpy(image->strings + STRINGS - 8, "none.so", 8);
	for (size_t i = 0; i < NEEDED; i++)
		image->dynamic[3 + i] = (Elf64_Dyn){.d_tag = DT_NEEDED, .d_un.d_val = STRINGS - 8};
	/* Short elements, of which there are many, and long ones, of which each takes long. */
	static const char *const elements[] = {"/:", "/./tmp/../usr/../tmp/../usr/../tmp/../usr/../tmp/../usr/.."};
	for (size_t e = 0; e < 2; e++) {
		for (size_t i = 1; i < STRINGS - 10; i++)
			image->strings[i] = i % 4000 == 0 ? ':' : elements[e][(i - 1) % strlen(elements[e])];
		struct libraries libraries;
		write_bytes("program", image, sizeof(*image));
		uint64_t begin = clock_ns();
		find(&libraries);
		print_message("# %u ms\n", (unsigned)((clock_ns() - begin) / 1000000));
		assert_true(libraries.probed <= LIBRARIES_PROBED_MAX + STRINGS);
		libraries_fini(&libraries);
	}
	free(image);
}

static void test_none(void **state)
{
	(void)state;
	write_bytes("program", "#!/bin/sh\n", 10);
	expect_nothing();
	unlink(path_of("program"));
	expect_nothing();
	struct libraries libraries;
	assert_int_equal(libraries_find("/bin/sh", &libraries), 0);
	assert_int_equal(libraries.count, 0);
	libraries_fini(&libraries);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_found),      TEST(test_link),           TEST(test_owner),
	    TEST(test_circle),     TEST(test_not_a_library),  TEST(test_hostile_files),
	    TEST(test_not_opened), TEST(test_endless_search), TEST(test_none),
	};
	return cmocka_run_group_tests_name("jail_libraries", tests, NULL, NULL);
}
