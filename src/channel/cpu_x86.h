/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is said to an x86 processor about memory that another one reads and writes.
 */
#ifndef PLUGVM_CHANNEL_CPU_X86_H
#define PLUGVM_CHANNEL_CPU_X86_H

/* Between two looks at a word that another processor will write. */
static inline void cpu_pause(void)
{
	__builtin_ia32_pause();
}

/* The line of `address` is about to be written. (A processor that does not know the instruction does nothing.) */
static inline void cpu_prefetch_for_write(const void *address)
{
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)address));
}

#endif
