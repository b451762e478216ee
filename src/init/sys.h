/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Plain system calls: the helper has no C library. A call returns what the kernel returns: a negative errno on
 * failure.
 */
#ifndef PLUGVM_INIT_SYS_H
#define PLUGVM_INIT_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

/* What the kernel is to write is initialised by the caller: from here on a pointer is a number like others. */
static inline long sys_call6(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
	return result;
}

#define SYS_PICK(number, a, b, c, d, e, f, ...) \
	sys_call6(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* SYS(close, fd): up to six arguments, pointers too. */
#define SYS(name, ...) SYS_PICK(SYS_##name, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)

static inline size_t text_length(const char *text)
{
	size_t length = 0;
	while (text[length])
		length++;
	return length;
}

/* Append `text` to the string in `buffer`, as much as fits. */
static inline void text_append(char *buffer, size_t capacity, const char *text)
{
	size_t used = text_length(buffer);
	while (*text && used + 1 < capacity)
		buffer[used++] = *text++;
	buffer[used] = '\0';
}

static inline void text_append_number(char *buffer, size_t capacity, uint64_t number)
{
	char digits[24];
	size_t at = sizeof(digits) - 1;
	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	text_append(buffer, capacity, digits + at);
}

#endif
