/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devices.c - the table of devices, and the devices themselves. To add one, write its two functions, give it a
 * line in the table, and its state a member in struct devices.
 */
#define _GNU_SOURCE 1
#include "devices.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>

struct device {
	enum crosvm_address_space space;
	uint64_t first;
	uint64_t last;
	const char *name;
	/*
	 * `address` lies from first to last; the rest of the access may reach past last. NULL: as if nothing were
	 * there, so a write is lost and a read gives all ones, which is what `data` holds before read is called.
	 */
	void (*read)(struct devices *, uint64_t address, uint8_t *data, uint32_t length);
	void (*write)(struct devices *, uint64_t address, const uint8_t *data, uint32_t length);
};

static void debug_read(struct devices *, uint64_t address, uint8_t *data, uint32_t length);
static void debug_write(struct devices *, uint64_t address, const uint8_t *data, uint32_t length);
static void cmos_read(struct devices *, uint64_t address, uint8_t *data, uint32_t length);
static void cmos_write(struct devices *, uint64_t address, const uint8_t *data, uint32_t length);

/* The first line that fits serves an access; the last two take whatever is left. */
static const struct device table[] = {
    {CROSVM_ADDRESS_SPACE_IOPORT, 0x70, 0x71, "cmos", cmos_read, cmos_write},
    {CROSVM_ADDRESS_SPACE_IOPORT, 0x402, 0x402, "debug port", debug_read, debug_write},
    {CROSVM_ADDRESS_SPACE_IOPORT, 0, 0xffff, "other ports", NULL, NULL},
    {CROSVM_ADDRESS_SPACE_MMIO, 0, UINT64_MAX, "other mmio", NULL, NULL},
};

#define DEVICE_COUNT (sizeof(table) / sizeof(table[0]))

struct devices {
	struct {
		uint64_t reads;
		uint64_t writes;
	} counts[DEVICE_COUNT];

	struct {
		uint8_t selected;
		uint8_t registers[128];
	} cmos;

	struct {
		char line[256]; /* of the log, as far as it has come; what is longer is not kept */
		size_t length;
		bool gave_up;
	} debug;
};

/* ---- Debug port: every byte written is a byte of the firmware's log ---- */

/* What SeaBIOS looks for before it writes anything there. */
#define DEBUG_PRESENT 0xe9

static void debug_read(struct devices *devices, uint64_t address, uint8_t *data, uint32_t length)
{
	(void)devices;
	(void)address;
	memset(data, DEBUG_PRESENT, length);
}

static void debug_end_line(struct devices *devices)
{
	static const char gave_up[] = "No bootable device.";
	if (memmem(devices->debug.line, devices->debug.length, gave_up, strlen(gave_up)))
		devices->debug.gave_up = true;
	devices->debug.length = 0;
}

/* `rep outsb` brings many bytes at once. */
static void debug_write(struct devices *devices, uint64_t address, const uint8_t *data, uint32_t length)
{
	(void)address;
	for (uint32_t i = 0; i < length; i++) {
		putchar(data[i]);
		if (data[i] == '\n')
			debug_end_line(devices);
		else if (devices->debug.length < sizeof(devices->debug.line))
			devices->debug.line[devices->debug.length++] = (char)data[i];
	}
}

/* ---- CMOS: 128 registers, of which port 0x70 selects one for port 0x71 ---- */

#define CMOS_SELECT       0x70
#define CMOS_SELECT_MASK  0x7f /* bit 7 of the port masks the NMI, which this machine does not have */
#define CMOS_ABOVE_1_MIB  0x30 /* memory in KiB: low byte, then high byte */
#define CMOS_ABOVE_16_MIB 0x34 /* memory in units of 64 KiB, the same way */

static void cmos_set_16(struct devices *devices, unsigned int index, unsigned int value)
{
	devices->cmos.registers[index] = (uint8_t)value;
	devices->cmos.registers[index + 1] = (uint8_t)(value >> 8);
}

/*
 * The firmware learns the size of memory here. The clock stands still at zero, without an update in progress,
 * which nobody minds before an operating system runs.
 */
static void cmos_init(struct devices *devices, unsigned int memory_mib)
{
	unsigned int above_1_mib = (memory_mib - 1) * 1024;
	unsigned int above_16_mib = memory_mib > 16 ? (memory_mib - 16) * 16 : 0;

	cmos_set_16(devices, CMOS_ABOVE_1_MIB, above_1_mib < 0xffff ? above_1_mib : 0xffff);
	cmos_set_16(devices, CMOS_ABOVE_16_MIB, above_16_mib);
}

static void cmos_read(struct devices *devices, uint64_t address, uint8_t *data, uint32_t length)
{
	(void)length;
	/* The select port can only be written. */
	if (address != CMOS_SELECT)
		data[0] = devices->cmos.registers[devices->cmos.selected];
}

static void cmos_write(struct devices *devices, uint64_t address, const uint8_t *data, uint32_t length)
{
	(void)length;
	if (address == CMOS_SELECT)
		devices->cmos.selected = data[0] & CMOS_SELECT_MASK;
	else
		devices->cmos.registers[devices->cmos.selected] = data[0];
}

/* ---- All of them ---- */

struct devices *devices_new(unsigned int memory_mib)
{
	struct devices *devices = calloc(1, sizeof(*devices));
	if (!devices)
		err(1, "no memory for the devices");
	cmos_init(devices, memory_mib);
	return devices;
}

void devices_access(struct devices *devices, const struct crosvm_vcpu_event *event)
{
	uint64_t address = event->io_access.address;
	uint8_t *data = event->io_access.data;
	uint32_t length = event->io_access.length;

	size_t i = 0;
	while (event->io_access.address_space != table[i].space || address < table[i].first ||
	       address > table[i].last)
		i++;

	if (event->io_access.is_write) {
		devices->counts[i].writes++;
		if (table[i].write)
			table[i].write(devices, address, data, length);
	} else {
		devices->counts[i].reads++;
		memset(data, 0xff, length);
		if (table[i].read)
			table[i].read(devices, address, data, length);
	}
}

bool devices_gave_up(const struct devices *devices)
{
	return devices->debug.gave_up;
}

void devices_print_counts(const struct devices *devices, FILE *stream)
{
	for (size_t i = 0; i < DEVICE_COUNT; i++)
		fprintf(stream, "firmware: %-11s %6llu reads %6llu writes\n", table[i].name,
		        (unsigned long long)devices->counts[i].reads,
		        (unsigned long long)devices->counts[i].writes);
}
