/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin of the system tests: one program that plays whatever its first argument names. It checks what it sees
 * from the inside, says on stderr what is not as it should be, and then exits with status 1.
 */
#ifndef PLUGVM_TESTS_SYSTEM_ACTOR_H
#define PLUGVM_TESTS_SYSTEM_ACTOR_H

#include <crosvm.h>
#include <stddef.h>

/* Guest-physical; the same numbers as in guests.asm. */
#define MEMORY_BYTES   0x10000
#define LOAD_ADDRESS   0x1000
#define BUFFER         0x4000
#define DEVICE_PORT    0x500
#define REPORT_PORT    0x510
#define DONE_PORT      0x604
#define DEVICE_ADDRESS 0x20000
#define WIDE_ADDRESS   0x10000000

#define PAGE 4096

#define PORT CROSVM_ADDRESS_SPACE_IOPORT
#define MMIO CROSVM_ADDRESS_SPACE_MMIO

enum mode { REAL_MODE, LONG_MODE };

struct guest {
	const uint8_t *begin, *end;
	enum mode mode;
};

/* The guest of this name in guests.asm. */
#define GUEST_DECLARE(name) extern const uint8_t guest_##name[], guest_##name##_end[]
#define GUEST(name)         ((struct guest){.begin = guest_##name, .end = guest_##name##_end})
#define GUEST_64(name)      ((struct guest){.begin = guest_##name, .end = guest_##name##_end, .mode = LONG_MODE})

struct machine {
	struct crosvm *vm;
	uint8_t *memory;             /* MEMORY_BYTES from address 0 */
	struct crosvm_vcpu *vcpu;    /* number 0, after machine_start() */
	struct crosvm_memory *extra; /* what a test makes while the guest runs */
	uint8_t *extra_bytes;
	struct crosvm_vcpu_event event; /* the last */
};

/* An access that the guest is expected to make. */
struct access {
	uint32_t space;
	uint64_t address;
	uint32_t length;
	bool is_write;
	uint64_t value;                        /* what is written, or the answer to a read */
	void (*then)(struct machine *machine); /* before the resume */
};

#define WRITES(space, address, length, value)             \
	{                                                 \
		space, address, length, true, value, NULL \
	}
#define READS(space, address, length, value)               \
	{                                                  \
		space, address, length, false, value, NULL \
	}
#define REPORTS(value) WRITES(PORT, REPORT_PORT, 4, value)
#define REPORTS_THEN(value, then)                       \
	{                                               \
		PORT, REPORT_PORT, 4, true, value, then \
	}
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* End the program with status 1 unless it holds. */
#define expect(condition) expect_at(condition, #condition, __FILE__, __LINE__)
void expect_at(bool holds, const char *what, const char *file, int line);
/* End the program with status 1 unless `result` is `wanted`, in words. */
#define expect_result(result, wanted) expect_result_at(result, wanted, #result, __FILE__, __LINE__)
void expect_result_at(long result, long wanted, const char *what, const char *file, int line);

/* Tell the test where the actor is: a line on stderr. */
void say(const char *text);

/* Make a memfd with the usual seal. */
int memory_file(size_t size);

/* Connect, load the guest into memory at 0, and reserve the ports for reports and the end. */
void machine_init(struct machine *machine, const struct guest *guest);
/* Put `size` bytes of memory there. */
void machine_add_memory(struct machine *machine, uint64_t start, size_t size, bool read_only);
/* Start it and get vCPU 0, which has not given its INIT event yet. */
void machine_start(struct machine *machine);
/* Wait for the next event. */
void machine_wait(struct machine *machine);
void machine_resume(struct machine *machine);
/* Set the registers for the guest's entry. */
void machine_enter(struct crosvm_vcpu *vcpu, enum mode mode);
/* Take vCPU 0 through INIT. */
void machine_boot(struct machine *machine, enum mode mode);
/* Expect these accesses and no others, then the end. */
void machine_expect(struct machine *machine, const struct access *accesses, size_t count);

struct act {
	const char *name;
	int (*play)(char **arguments);
};

/* Each file's acts; the last has no name. */
extern const struct act io_acts[], state_acts[], errno_acts[], life_acts[], process_acts[];

#endif
