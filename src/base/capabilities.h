/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Capabilities, which belong to a thread and not to the process.
 */
#ifndef PLUGVM_BASE_CAPABILITIES_H
#define PLUGVM_BASE_CAPABILITIES_H

/* Give up every capability of the calling thread, and of the threads that it makes from now on. -errno. */
int capabilities_drop(void);

#endif
