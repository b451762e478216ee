/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devices.h - the devices of the machine: what answers when the firmware reads or writes a port or an address
 * that is not memory. Used by one thread at a time.
 */
#ifndef FIRMWARE_DEVICES_H
#define FIRMWARE_DEVICES_H

#include <crosvm.h>
#include <stdbool.h>
#include <stdio.h>

struct devices;

/*
 * Make the devices of a machine with `memory_mib` MiB of memory. They last as long as the program, which ends
 * here if it has no memory for them.
 */
struct devices *devices_new(unsigned int memory_mib);

/* Let the device at the event's address take or answer the access. The event is an IO_ACCESS. */
void devices_access(struct devices *, const struct crosvm_vcpu_event *event);

/* True once the firmware has said in its log that it found nothing to boot. */
bool devices_gave_up(const struct devices *);

/* Print a line for each device: how often it was read and written. */
void devices_print_counts(const struct devices *, FILE *);

#endif
