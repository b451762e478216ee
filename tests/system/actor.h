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
#define LAPIC_ADDRESS  0xfee00000u
#define FILL_BYTES     0x10000000

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

/* What the guest "script" does next; the numbers are those of guests.asm. */
enum step_kind {
	STEP_OUT8 = 1,
	STEP_OUT16,
	STEP_OUT32,
	STEP_IN8, /* after a read comes a report of EAX */
	STEP_IN16,
	STEP_IN32,
	STEP_STORE8 = 10,
	STEP_STORE16,
	STEP_STORE32,
	STEP_STORE64,
	STEP_LOAD8,
	STEP_LOAD16,
	STEP_LOAD32,
	STEP_LOAD64,    /* two reports */
	STEP_STORE128,  /* XMM0 */
	STEP_CALL = 20, /* store EAX, then report it */
	STEP_REPORT,
	STEP_CPUID, /* reports EAX, EBX, ECX, EDX */
	STEP_RDMSR, /* reports EAX, EDX */
	STEP_WRMSR,
	STEP_FLOOD, /* RBX writes of 4 bytes: 0, 1, 2 ...; after each, at FLOOD_COUNT, how many there were */
	STEP_VMCALL,
	STEP_VMMCALL,
};
#define FLOOD_COUNT (BUFFER - 8)

struct step {
	uint64_t kind;    /* 0: the end */
	uint64_t address; /* a port's in EDX, any other in RDI */
	uint64_t rax, rbx, rcx, rdx;
};

#define STEP(what, where, value)                                         \
	{                                                                \
		.kind = STEP_##what, .address = (where), .rax = (value), \
	}

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
/* As machine_init(), with the guest "script" and its steps; it runs in LONG_MODE. */
void script_init(struct machine *machine, const struct step *steps, size_t count);
/* Start it and get vCPU 0, which has not given its INIT event yet. */
void machine_start(struct machine *machine);
/* Wait for the next event. */
void machine_wait(struct machine *machine);
void machine_resume(struct machine *machine);
/* Set the registers for the guest's entry. */
void machine_enter(struct crosvm_vcpu *vcpu, enum mode mode);
/* Let the guest use XMM registers, after machine_enter(). */
void machine_enable_sse(struct crosvm_vcpu *vcpu);
/* Start the guest "interrupts" and take it through INIT; it has the local APIC at ES. */
void machine_boot_interrupts(struct machine *machine);
/* Take vCPU 0 through INIT. */
void machine_boot(struct machine *machine, enum mode mode);
/* Expect these accesses next. */
void machine_take(struct machine *machine, const struct access *accesses, size_t count);
/* Expect these accesses and no others, then the end. */
void machine_expect(struct machine *machine, const struct access *accesses, size_t count);

/* End the program as a test that cannot run here. */
__attribute__((noreturn)) void skip(const char *reason);
/* Skip unless KVM has all of it. */
void need_extension(struct crosvm *vm, uint32_t extension, const char *name);

/* Skip unless the host has this feature (CROSVM_FEATURE_*). */
void need_feature(struct crosvm *vm, uint64_t feature, const char *name);

struct act {
	const char *name;
	int (*play)(char **arguments);
};

/* Each file's acts; the last has no name. */
extern const struct act async_acts[], awake_acts[], errno_acts[], event_acts[], hint_acts[], hyperv_acts[],
    io_acts[], irq_acts[], life_acts[], memory_acts[], pause_acts[], platform_acts[], process_acts[], start_acts[],
    state_acts[], vcpu_acts[];

/* Those about what API 0.23 adds. */
extern const struct act ext_debug_acts[], ext_event_acts[], ext_failure_acts[], ext_info_acts[],
    ext_irqchip_acts[], ext_memory_acts[], ext_msr_acts[], ext_snapshot_acts[], ext_state_acts[], ext_vcpu_acts[];

#endif
