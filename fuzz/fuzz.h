/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the fuzz targets share: a KVM that is only a table in memory, and a way to cut an input into packets.
 */
#ifndef PLUGVM_FUZZ_FUZZ_H
#define PLUGVM_FUZZ_FUZZ_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/vcpu_state.h"
#include "kvm/kvm.h"

/* An invariant: unlike assert() it is there in every build, and it says which one. */
#define REQUIRE(condition)                                                                      \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                \
		}                                                                               \
	} while (0)

/*
 * Between these two the fuzzer does not look: what a target compares its own model with is no news, and each look takes
 * time.
 */
#define MODEL_BEGIN \
	_Pragma("clang attribute push(__attribute__((no_sanitize(\"coverage\"))), apply_to = function)")
#define MODEL_END _Pragma("clang attribute pop")

/* The fuzzer calls it before the first input, in a target that has one. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- fake_kvm.c ---- */

/* Memory slots below this are not the plugin's. */
#define FAKE_FIRST_SLOT 3

/* Everything that a plugin can get or set of the fake vCPU; compared byte by byte. */
struct fake_vcpu {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp_state;
	struct kvm_xcrs xcrs;
	struct kvm_vcpu_events events;
	uint32_t tsc_khz;
};
extern struct fake_vcpu fake_vcpu;

/* Put the fake in the place of the kernel. The fds of a struct plugvm_vm or plugvm_vcpu are not looked at. */
void fake_kvm_install(void);

/* For struct plugvm_vm. */
extern const struct plugvm_kvm fake_kvm;

/* Return how many memory slots and eventfds KVM has of the plugin's objects. */
size_t fake_kvm_objects(void);

/* ---- input.c ---- */

struct input {
	const uint8_t *data;
	size_t size;
};

/* Return the next byte, 0 at the end. */
uint8_t input_byte(struct input *input);

/* A packet: two bytes of length, least significant first (more than there is left means the rest), then the bytes.
 */
struct wire_bytes input_packet(struct input *input);

#endif
