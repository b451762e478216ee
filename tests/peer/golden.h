/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ways to say what a packet of golden.txt means, and the tables of those that are there.
 */
#ifndef PLUGVM_TESTS_PEER_GOLDEN_H
#define PLUGVM_TESTS_PEER_GOLDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/codec.h"

union message {
	wire_MainRequest main_request;
	wire_MainResponse main_response;
	wire_VcpuRequest vcpu_request;
	wire_VcpuResponse vcpu_response;
};

struct meaning {
	const char *name;
	union message message;
	bool only_read; /* our encoder makes other bytes of it, which mean the same */
};

#define BYTES(text)                                                     \
	{                                                               \
		.data = (const uint8_t *)text, .size = sizeof(text) - 1 \
	}
#define ALL_ONES    UINT64_MAX
#define ALL_ONES_32 UINT32_MAX

/* A repeated field; its elements in braces. */
#define ARRAY(type, ...)                                                                                      \
	{                                                                                                     \
		.items = (const type[])__VA_ARGS__, .count = sizeof((const type[])__VA_ARGS__) / sizeof(type) \
	}
#define ROUTES(...)                                                                \
	{                                                                          \
		.routes = ARRAY(wire_MainRequest_SetIrqRouting_Route, __VA_ARGS__) \
	}
#define MSI(gsi, to, value)                                                                                  \
	{                                                                                                    \
		.irq_id = (gsi), .which_route = wire_MainRequest_SetIrqRouting_Route_msi_tag, .route.msi = { \
			.address = (to),                                                                     \
			.data = (value)                                                                      \
		}                                                                                            \
	}
#define IRQCHIP(gsi, chip, at)                                                                    \
	{                                                                                         \
		.irq_id = (gsi), .which_route = wire_MainRequest_SetIrqRouting_Route_irqchip_tag, \
		.route.irqchip = {                                                                \
			.irqchip = (chip),                                                        \
			.pin = (at)                                                               \
		}                                                                                 \
	}
#define ENTRIES(...)                                           \
	{                                                      \
		.entries = ARRAY(wire_CpuidEntry, __VA_ARGS__) \
	}
#define ENTRY                                                                                                 \
	{                                                                                                     \
		.function = 0x80000001, .has_index = true, .index = 2, .eax = 1, .ebx = 2, .ecx = 3, .edx = 4 \
	}
#define ENTRY_MAX                                                                                     \
	{                                                                                             \
		.function = ALL_ONES_32, .has_index = true, .index = ALL_ONES_32, .eax = ALL_ONES_32, \
		.ebx = ALL_ONES_32, .ecx = ALL_ONES_32, .edx = ALL_ONES_32                            \
	}
#define NO_ENTRY         \
	{                \
		.eax = 0 \
	}

/* A message whose member has fields, and one whose member has none. */
#define MAIN_REQUEST(member, ...)                                         \
	{                                                                 \
		.main_request = {                                         \
			.which_message = wire_MainRequest_##member##_tag, \
			.message = {.member = __VA_ARGS__}                \
		}                                                         \
	}
#define MAIN_RESPONSE(member, ...)                                         \
	{                                                                  \
		.main_response = {                                         \
			.which_message = wire_MainResponse_##member##_tag, \
			.message = {.member = __VA_ARGS__}                 \
		}                                                          \
	}
#define VCPU_REQUEST(member, ...)                                         \
	{                                                                 \
		.vcpu_request = {                                         \
			.which_message = wire_VcpuRequest_##member##_tag, \
			.message = {.member = __VA_ARGS__}                \
		}                                                         \
	}
#define VCPU_RESPONSE(member, ...)                                         \
	{                                                                  \
		.vcpu_response = {                                         \
			.which_message = wire_VcpuResponse_##member##_tag, \
			.message = {.member = __VA_ARGS__}                 \
		}                                                          \
	}
#define EMPTY                    \
	{                        \
		.dummy_field = 0 \
	}

struct meanings {
	const struct meaning *list;
	size_t count;
};

#define MEANINGS_OF(name)                              \
	{                                              \
		name, sizeof(name) / sizeof((name)[0]) \
	}

/* MainRequest, MainResponse, VcpuRequest, VcpuResponse. */
#define GOLDEN_CODECS 4

extern const struct meanings golden_baseline[GOLDEN_CODECS];
extern const struct meanings golden_additions[GOLDEN_CODECS];

#endif
