/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * firmware - a plugin that boots an unmodified PC BIOS, such as SeaBIOS, and shows its log.
 *
 *     plugvm run --plugin-mount /usr/share/seabios -- firmware /usr/share/seabios/bios.bin
 *
 * The machine has memory, one processor with its timer and interrupt controllers, a CMOS and the debug port that
 * takes the log; everything else on a PC's bus is absent. So the firmware looks around, finds nothing to boot
 * and says so, and there the program ends.
 *
 * main.c has the command line and the messages, image.c the file, machine.c the machine, devices.c its devices.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices.h"
#include "image.h"
#include "machine.h"

#define STATUS_FAILED 1
#define STATUS_USAGE  2

#define TIMEOUT_DEFAULT 60
#define TIMEOUT_MAX     (24 * 60 * 60)

/* The upper part of the first 4 GiB is for devices. */
#define MEMORY_DEFAULT 64
#define MEMORY_MIN     2
#define MEMORY_MAX     3072

struct options {
	unsigned int timeout_s;
	unsigned int memory_mib;
	const char *image;
};

static void print_usage(FILE *stream)
{
	fprintf(stream,
	        "usage: firmware [--timeout SECONDS] [--memory MIB] [--help] IMAGE\n"
	        "Boot a PC BIOS image and print its log, until it finds nothing to boot.\n"
	        "  --timeout SECONDS  give up after this time, 1 to %d (%d)\n"
	        "  --memory MIB       memory of the machine, %d to %d (%d)\n",
	        TIMEOUT_MAX, TIMEOUT_DEFAULT, MEMORY_MIN, MEMORY_MAX, MEMORY_DEFAULT);
}

static unsigned int parse_number(const char *option, const char *text, unsigned int min, unsigned int max)
{
	char *end;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || strchr(text, '-') || value < min || value > max)
		errx(STATUS_USAGE, "--%s: %s is not a number from %u to %u", option, text, min, max);
	return (unsigned int)value;
}

static void parse_options(int argc, char **argv, struct options *out_options)
{
	static const struct option known[] = {
	    {"timeout", required_argument, NULL, 't'},
	    {"memory", required_argument, NULL, 'm'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};

	*out_options = (struct options){.timeout_s = TIMEOUT_DEFAULT, .memory_mib = MEMORY_DEFAULT};
	for (int option; (option = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
		switch (option) {
		case 't':
			out_options->timeout_s = parse_number("timeout", optarg, 1, TIMEOUT_MAX);
			break;
		case 'm':
			out_options->memory_mib = parse_number("memory", optarg, MEMORY_MIN, MEMORY_MAX);
			break;
		case 'h':
			print_usage(stdout);
			exit(0);
		default:
			print_usage(stderr);
			exit(STATUS_USAGE);
		}
	}
	if (argc - optind != 1) {
		print_usage(stderr);
		exit(STATUS_USAGE);
	}
	out_options->image = argv[optind];
}

/* Say how the machine ended and return the exit status. */
static int report_end(enum machine_end end, unsigned int timeout_s)
{
	switch (end) {
	case MACHINE_GAVE_UP:
		warnx("no bootable device, the machine stops here");
		return 0;
	case MACHINE_STOPPED:
		warnx("the host ended the machine");
		return 0;
	case MACHINE_TIMED_OUT:
		warnx("timeout: the firmware was still running after %u s", timeout_s);
		return STATUS_FAILED;
	case MACHINE_FAILED:
		return STATUS_FAILED;
	}
	return STATUS_FAILED;
}

static void report_place(const struct machine *machine)
{
	struct machine_place place;
	if (machine_place(machine, &place))
		warnx("the processor was at 0x%llx, CS 0x%x, in %s mode", (unsigned long long)place.address,
		      place.cs, place.is_real ? "real" : "protected");
}

int main(int argc, char **argv)
{
	struct options options;
	parse_options(argc, argv, &options);

	struct image image;
	if (!image_read(options.image, &image))
		return STATUS_USAGE;

	/* The log is for watching, even through a pipe. */
	setvbuf(stdout, NULL, _IOLBF, 0);

	struct devices *devices = devices_new(options.memory_mib);
	struct machine *machine = machine_start(&image, options.memory_mib, devices);
	image_free(&image);

	enum machine_end end = machine_wait(machine, options.timeout_s);
	int status = report_end(end, options.timeout_s);

	if (!machine_stop(machine))
		_exit(STATUS_FAILED);
	if (end == MACHINE_TIMED_OUT)
		report_place(machine);

	if (fflush(stdout) != 0 || ferror(stdout)) {
		warnx("the log could not be written");
		status = STATUS_FAILED;
	}
	devices_print_counts(devices, stderr);
	return status;
}
