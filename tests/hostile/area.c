/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fd of the memory that the vCPUs' messages are in, and the whole of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "page.h"

static void area_twice(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	expect(ask_fds(MAIN, NUMBERS(GET_AREA, AREA_VERSION), &null, 1), EINVAL, "the area, with an fd");
	expect(ask_fds(MAIN, NUMBERS(GET_AREA, AREA_VERSION), (int[]){null, null, null}, 3), EINVAL, "with three");
	expect(ask(MAIN, NUMBERS(GET_AREA, AREA_VERSION + 1)), ENOTSUP, "of another version");
	get_area();
	for (int i = 0; i < 100; i++)
		expect(ask(MAIN, NUMBERS(GET_AREA, AREA_VERSION)), EALREADY, "the area again");
	int other = clone_connection();
	expect(ask(other, NUMBERS(GET_AREA, AREA_VERSION)), EALREADY, "by another connection");
	close(other);
	close(null);
}

static void area_late(void)
{
	expect(ask(MAIN, empty_member(GET_AREA)), EINVAL, "the area after the start");
	/* And the packets go on. */
	expect(vcpu_ask(&vcpus[0], NUMBERS(VCPU_GET, 0)), 0, "a request");
}

static void must_refuse(int result, const char *what)
{
	if (result == 0)
		problem("%s was allowed", what);
}

static void area_seals(void)
{
	get_area();
	must_refuse(ftruncate(area_fd, 0), "to truncate the area");
	must_refuse(ftruncate(area_fd, (off_t)area_size - PAGE), "to shrink the area");
	must_refuse(ftruncate(area_fd, (off_t)area_size + PAGE), "to grow the area");
	must_refuse(fallocate(area_fd, 0, (off_t)area_size, PAGE), "to allocate behind the area");
	must_refuse(fallocate(area_fd, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE), "to collapse the area");
	must_refuse(fcntl(area_fd, F_ADD_SEALS, F_SEAL_WRITE), "to seal the area against writing");
	must_refuse(fcntl(area_fd, F_ADD_SEALS, F_SEAL_SEAL), "to seal the seals");
	must_refuse(fcntl(area_fd, F_SETPIPE_SZ, PAGE) < 0 ? -1 : 0, "the size of a pipe");
}

/* The guest's memory is a part of the area: what it writes, the host reads. */
static void area_as_memory(void)
{
	begin(HELD);
	uint64_t size = area_size / PAGE * PAGE;
	expect(create_memory(MAIN, 30, area_fd, 0, GIB, size, false), 0, "the area as memory");
	for (int i = 0; i < 100; i++) {
		resume();
		await_event();
	}
}

static void area_unmapped(void)
{
	begin(HELD);
	munmap(area, area_size);
	close(area_fd);
	lives();
	hang();
}

static void punch(void)
{
	if (fallocate(area_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)area_size) < 0)
		problem("a hole in the area: %m");
}

static void area_holes(void)
{
	begin(HELD);
	punch();
	post();
	hang();
}

static void area_holes_running(void)
{
	begin(SPINNING);
	punch();
	pause_it();
	hang();
}

const struct hostile_case area_cases[] = {
    {"area-twice", SET_UP, area_twice},
    {"area-late", AT_INIT, area_late},
    {"area-seals", SET_UP, area_seals},
    {"area-as-memory", SET_UP, area_as_memory},
    {"area-unmapped", SET_UP, area_unmapped},
    {"area-holes", SET_UP, area_holes},
    {"area-holes-running", SET_UP, area_holes_running},
    {},
};
