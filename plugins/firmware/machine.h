/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * machine.h - the machine around the devices: memory, the processor, and how it all ends. Everything that the
 * program asks of the host is in machine.c.
 */
#ifndef FIRMWARE_MACHINE_H
#define FIRMWARE_MACHINE_H

#include "devices.h"
#include "image.h"

struct machine;

enum machine_end {
	MACHINE_GAVE_UP = 1, /* the firmware found nothing to boot */
	MACHINE_TIMED_OUT,   /* the time was up first */
	MACHINE_STOPPED,     /* the host ended the machine */
	MACHINE_FAILED,      /* the host refused something; stderr says what */
};

/*
 * Build a machine with `memory_mib` MiB of memory and the image as its BIOS, and let it run. `devices` is used
 * by the machine's own thread until machine_stop(). Ends the program with a message if the host refuses. The
 * machine lasts as long as the program.
 */
struct machine *machine_start(const struct image *, unsigned int memory_mib, struct devices *devices);

/* Wait until the machine ends, for at most `timeout_s` seconds, and return why. */
enum machine_end machine_wait(struct machine *, unsigned int timeout_s);

/*
 * Stop the processor and its thread, so that the devices are the caller's again. Returns false if the thread
 * did not come back in time, which happens when nobody reads what it prints: then it still uses the devices and
 * stdout, and only _exit() is safe.
 */
bool machine_stop(struct machine *);

/* Where the processor was when machine_stop() stopped it. */
struct machine_place {
	uint16_t cs;
	uint64_t address; /* of the next instruction, linear */
	bool is_real;     /* in real mode */
};

/* After machine_stop(). Returns false if nobody knows: the machine had ended by itself. */
bool machine_place(const struct machine *, struct machine_place *out_place);

#endif
