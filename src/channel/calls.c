/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The real system calls behind the table of calls.h.
 */
#include "channel/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* <linux/memfd.h> since 6.3 */
#endif

#define NS_PER_S UINT64_C(1000000000)

/* Give the result of a call its sign, and errno what it had. */
static int result_of(long result, int saved_errno)
{
	int error = errno;
	errno = saved_errno;
	return result < 0 ? -error : (int)result;
}

static int real_memfd_create(const char *name)
{
	int saved = errno;
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	/* Before Linux 6.3. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return result_of(fd, saved);
}

static int real_ftruncate(int fd, off_t size)
{
	int saved = errno;
	return result_of(ftruncate(fd, size), saved);
}

static int add_seals(int fd, int seals)
{
	int saved = errno;
	return result_of(fcntl(fd, F_ADD_SEALS, seals), saved);
}

static int get_seals(int fd)
{
	int saved = errno;
	return result_of(fcntl(fd, F_GET_SEALS), saved);
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

static int futex_waitv(struct futex_waitv *words, unsigned int count, uint64_t until_ns)
{
	int saved = errno;
	struct timespec until = timespec_of(until_ns);
	return result_of(syscall(SYS_futex_waitv, words, count, 0, until_ns ? &until : NULL, CLOCK_MONOTONIC),
	                 saved);
}

static int futex_wait(const _Atomic(uint32_t) *word, uint32_t value, uint64_t for_ns)
{
	int saved = errno;
	struct timespec time = timespec_of(for_ns);
	return result_of(syscall(SYS_futex, word, FUTEX_WAIT, value, &time, NULL, 0), saved);
}

static void futex_wake(_Atomic(uint32_t) *word, bool is_shared)
{
	int saved = errno;
	syscall(SYS_futex, word, is_shared ? FUTEX_WAKE : FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	errno = saved;
}

static uint64_t real_clock_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int affinity(void)
{
	cpu_set_t set;
	int saved = errno;
	int error = result_of(sched_getaffinity(0, sizeof(set), &set), saved);
	return error < 0 ? error : CPU_COUNT(&set);
}

static int online(void)
{
	return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

static ssize_t real_pread(int fd, void *buffer, size_t size, off_t offset)
{
	int saved = errno;
	return result_of(pread(fd, buffer, size, offset), saved);
}

struct channel_calls channel_calls = {
    .memfd_create = real_memfd_create,
    .ftruncate = real_ftruncate,
    .add_seals = add_seals,
    .get_seals = get_seals,
    .futex_waitv = futex_waitv,
    .futex_wait = futex_wait,
    .futex_wake = futex_wake,
    .clock_ns = real_clock_ns,
    .getcpu = sched_getcpu,
    .affinity = affinity,
    .online = online,
    .pread = real_pread,
};
