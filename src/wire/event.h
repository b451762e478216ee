/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the Resume of a VcpuResponse.Event carries as its data, where the event wants an answer, and the numbers that
 * both sides share with crosvm.h. Little-endian, as the machine is.
 */
#ifndef PLUGVM_WIRE_EVENT_H
#define PLUGVM_WIRE_EVENT_H

#include <stdint.h>

struct wire_event_answer {
	uint64_t data;     /* Msr: what is read */
	uint32_t action;   /* Msr: 1 raises #GP in the guest. Shutdown, InternalError: 1 lets the vCPU go on */
	uint32_t reserved; /* 0 */
};

/* MainRequest.SubscribeExits.exits: CROSVM_EXIT_* of crosvm.h. */
enum {
	WIRE_EXIT_HLT = 1 << 0,
	WIRE_EXIT_SHUTDOWN = 1 << 1,
	WIRE_EXIT_INTERNAL_ERROR = 1 << 2,
	WIRE_EXIT_IOAPIC_EOI = 1 << 3,
	WIRE_EXITS_ALL = (1 << 4) - 1,
};

/* MainResponse.Features.features: CROSVM_FEATURE_* of crosvm.h. */
enum {
	WIRE_FEATURE_VCPUS = 1 << 0,
	WIRE_FEATURE_CREATE_EXT = 1 << 1,
	WIRE_FEATURE_CPUID_FLAGS = 1 << 2,
	WIRE_FEATURE_DIRTY_LOG_TO = 1 << 3,
	WIRE_FEATURE_PAUSE_SET = 1 << 4,
	WIRE_FEATURE_SIGNAL_MSI = 1 << 5,
	WIRE_FEATURE_EXITS = 1 << 6,
	WIRE_FEATURE_MSR_FILTER = 1 << 7,
	WIRE_FEATURE_XSAVE = 1 << 8,
	WIRE_FEATURE_TSC_KHZ = 1 << 9,
	WIRE_FEATURE_NESTED = 1 << 10,
	WIRE_FEATURE_INTERRUPTS = 1 << 11,
	WIRE_FEATURE_GUEST_DEBUG = 1 << 12,
	WIRE_FEATURE_TRANSLATE = 1 << 13,
	WIRE_FEATURE_SNAPSHOT = 1 << 14,
	WIRE_FEATURE_END = 1 << 15,
	WIRE_FEATURE_AREA = 1 << 16,
};

#endif
