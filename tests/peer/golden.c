/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Our codec makes the packets of golden.txt, byte by byte, and reads them. The file's path is GOLDEN_FILE, and the
 * messages there are those in the tables here, no more and no fewer.
 */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/codec.h"

#define PACKET_MAX 128

struct golden {
	char message[16];
	char name[32];
	uint8_t data[PACKET_MAX];
	size_t size;
};

static struct golden goldens[256];
static size_t golden_count;

static void parse_bytes(const char *text, struct golden *golden)
{
	int used;
	unsigned int byte;
	while (sscanf(text, " %2x%n", &byte, &used) == 1) {
		assert_true(golden->size < PACKET_MAX);
		golden->data[golden->size++] = (uint8_t)byte;
		text += used;
	}
}

static int load(void **state)
{
	(void)state;
	FILE *file = fopen(GOLDEN_FILE, "re");
	assert_non_null(file);
	char line[512];
	while (fgets(line, sizeof(line), file)) {
		int used;
		struct golden *golden = &goldens[golden_count];
		if (line[0] == '#' || sscanf(line, "%15s %31s%n", golden->message, golden->name, &used) != 2)
			continue;
		assert_true(golden_count + 1 < sizeof(goldens) / sizeof(goldens[0]));
		parse_bytes(line + used, golden);
		golden_count++;
	}
	fclose(file);
	return 0;
}

static const struct golden *find(const char *message, const char *name)
{
	for (size_t i = 0; i < golden_count; i++) {
		if (strcmp(goldens[i].message, message) == 0 && strcmp(goldens[i].name, name) == 0)
			return &goldens[i];
	}
	fail_msg("golden.txt has no %s %s", message, name);
	return NULL;
}

/* ---- What the packets mean ---- */

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
#define CREATE(object_id, kind, ...)                                                     \
	MAIN_REQUEST(create, {.id = (object_id),                                         \
	                      .which_constructor = wire_MainRequest_Create_##kind##_tag, \
	                      .constructor = {.kind = __VA_ARGS__}})
#define EVENT(kind, ...) \
	VCPU_RESPONSE(wait, {.which_exit = wire_VcpuResponse_Wait_##kind##_tag, .exit = {.kind = __VA_ARGS__}})

static const struct meaning main_requests[] = {
    {.name = "create_io_event",
     .message = CREATE(
         7, io_event, {.space = wire_AddressSpace_MMIO, .address = 0x1000, .length = 4, .datamatch = 0xdeadbeef})},
    {.name = "create_io_event_any", .message = CREATE(0, io_event, {.address = 0x3f8})},
    {.name = "create_memory",
     .message = CREATE(
         9, memory,
         {.offset = 0x2000, .start = UINT64_C(1) << 32, .length = 0x3000, .read_only = true, .dirty_log = true})},
    {.name = "create_memory_first", .message = CREATE(0, memory, {.start = 0x1000, .length = 0x1000})},
    {.name = "create_irq_event", .message = CREATE(300, irq_event, {.irq_id = 5, .resample = true})},
    {.name = "create_io_event_max",
     .message = CREATE(
         ALL_ONES_32, io_event,
         {.space = wire_AddressSpace_MMIO, .address = ALL_ONES, .length = ALL_ONES_32, .datamatch = ALL_ONES})},
    {.name = "create_memory_max",
     .message = CREATE(
         ALL_ONES_32, memory,
         {.offset = ALL_ONES, .start = ALL_ONES, .length = ALL_ONES, .read_only = true, .dirty_log = true})},
    {.name = "create_irq_event_first", .message = CREATE(0, irq_event, {.irq_id = 0})},
    {.name = "create_irq_event_max",
     .message = CREATE(ALL_ONES_32, irq_event, {.irq_id = ALL_ONES_32, .resample = true})},
    {.name = "create_nothing", .message = MAIN_REQUEST(create, {.id = 1})},
    {.name = "destroy", .message = MAIN_REQUEST(destroy, {.id = 9})},
    {.name = "destroy_first", .message = MAIN_REQUEST(destroy, {.id = 0})},
    {.name = "destroy_max", .message = MAIN_REQUEST(destroy, {.id = ALL_ONES_32})},
    {.name = "new_connection", .message = MAIN_REQUEST(new_connection, EMPTY)},
    {.name = "get_shutdown_eventfd", .message = MAIN_REQUEST(get_shutdown_eventfd, EMPTY)},
    {.name = "check_extension", .message = MAIN_REQUEST(check_extension, {.extension = 3})},
    {.name = "check_extension_first", .message = MAIN_REQUEST(check_extension, {.extension = 0})},
    {.name = "check_extension_max", .message = MAIN_REQUEST(check_extension, {.extension = ALL_ONES_32})},
    {.name = "get_supported_cpuid", .message = MAIN_REQUEST(get_supported_cpuid, EMPTY)},
    {.name = "get_emulated_cpuid", .message = MAIN_REQUEST(get_emulated_cpuid, EMPTY)},
    {.name = "get_msr_index_list", .message = MAIN_REQUEST(get_msr_index_list, EMPTY)},
    {.name = "get_net_config", .message = MAIN_REQUEST(get_net_config, EMPTY)},
    {.name = "reserve_port", .message = MAIN_REQUEST(reserve_range, {.start = 0x3f8, .length = 8})},
    {.name = "reserve_mmio_async",
     .message = MAIN_REQUEST(
         reserve_range,
         {.space = wire_AddressSpace_MMIO, .start = 0xfee00000, .length = 0x1000, .async_write = true})},
    {.name = "release_port", .message = MAIN_REQUEST(reserve_range, {.start = 0x3f8})},
    {.name = "reserve_max",
     .message = MAIN_REQUEST(
         reserve_range,
         {.space = wire_AddressSpace_MMIO, .start = ALL_ONES, .length = ALL_ONES, .async_write = true})},
    {.name = "set_irq", .message = MAIN_REQUEST(set_irq, {.irq_id = 4, .active = true})},
    {.name = "set_irq_low", .message = MAIN_REQUEST(set_irq, {.irq_id = 4})},
    {.name = "set_irq_first", .message = MAIN_REQUEST(set_irq, {.irq_id = 0})},
    {.name = "set_irq_max", .message = MAIN_REQUEST(set_irq, {.irq_id = ALL_ONES_32, .active = true})},
    {.name = "set_irq_routing",
     .message = MAIN_REQUEST(set_irq_routing, ROUTES({IRQCHIP(1, 2, 1), MSI(24, 0xfee00000, 0x41)}))},
    {.name = "set_irq_routing_none", .message = MAIN_REQUEST(set_irq_routing, {.routes = {.count = 0}})},
    {.name = "set_irq_routing_zeros", .message = MAIN_REQUEST(set_irq_routing, ROUTES({IRQCHIP(0, 0, 0)}))},
    {.name = "set_irq_routing_bare", .message = MAIN_REQUEST(set_irq_routing, ROUTES({{.irq_id = 3}}))},
    {.name = "set_irq_routing_max",
     .message = MAIN_REQUEST(set_irq_routing,
                             ROUTES({MSI(ALL_ONES_32, ALL_ONES, ALL_ONES_32),
                                     IRQCHIP(ALL_ONES_32, ALL_ONES_32, ALL_ONES_32), MSI(0, 0, 0)}))},
    {.name = "get_state", .message = MAIN_REQUEST(get_state, {.set = wire_MainRequest_StateSet_PIT})},
    {.name = "get_state_pic0", .message = MAIN_REQUEST(get_state, {.set = wire_MainRequest_StateSet_PIC0})},
    {.name = "get_state_pic1", .message = MAIN_REQUEST(get_state, {.set = wire_MainRequest_StateSet_PIC1})},
    {.name = "get_state_ioapic", .message = MAIN_REQUEST(get_state, {.set = wire_MainRequest_StateSet_IOAPIC})},
    {.name = "get_state_clock", .message = MAIN_REQUEST(get_state, {.set = wire_MainRequest_StateSet_CLOCK})},
    {.name = "set_state",
     .message = MAIN_REQUEST(set_state, {.set = wire_MainRequest_StateSet_CLOCK, .state = BYTES("\xaa\xbb\xcc")})},
    {.name = "set_state_nothing", .message = MAIN_REQUEST(set_state, {.state = {NULL, 0}})},
    {.name = "set_identity_map_addr", .message = MAIN_REQUEST(set_identity_map_addr, {.address = 0xfffbc000})},
    {.name = "set_identity_map_addr_none", .message = MAIN_REQUEST(set_identity_map_addr, {.address = 0})},
    {.name = "set_identity_map_addr_max",
     .message = MAIN_REQUEST(set_identity_map_addr, {.address = ALL_ONES_32})},
    {.name = "pause_vcpus", .message = MAIN_REQUEST(pause_vcpus, {.cpu_mask = 5, .user = ALL_ONES})},
    {.name = "pause_vcpus_none", .message = MAIN_REQUEST(pause_vcpus, {.cpu_mask = 0})},
    {.name = "pause_vcpus_all", .message = MAIN_REQUEST(pause_vcpus, {.cpu_mask = ALL_ONES, .user = 1})},
    {.name = "get_vcpus", .message = MAIN_REQUEST(get_vcpus, EMPTY)},
    {.name = "start", .message = MAIN_REQUEST(start, EMPTY)},
    {.name = "set_call_hint",
     .message = MAIN_REQUEST(set_call_hint,
                             {.address = 0x3f8,
                              .on_write = true,
                              .hints = ARRAY(wire_MainRequest_SetCallHint_RegHint,
                                             {{.match_rax = true, .rax = 1, .send_sregs = true}})})},
    {.name = "set_call_hint_all",
     .message = MAIN_REQUEST(set_call_hint,
                             {.space = wire_AddressSpace_MMIO,
                              .address = 0x1000,
                              .hints = ARRAY(wire_MainRequest_SetCallHint_RegHint, {{.match_rax = true,
                                                                                     .match_rbx = true,
                                                                                     .match_rcx = true,
                                                                                     .match_rdx = true,
                                                                                     .rax = 1,
                                                                                     .rbx = 2,
                                                                                     .rcx = 3,
                                                                                     .rdx = 4,
                                                                                     .send_sregs = true,
                                                                                     .send_debugregs = true}})})},
    {.name = "set_call_hint_none", .message = MAIN_REQUEST(set_call_hint, {.address = 0})},
    {.name = "set_call_hint_regs", .message = MAIN_REQUEST(set_call_hint, {.address = 0x3f8})},
    {.name = "set_call_hint_max",
     .message = MAIN_REQUEST(set_call_hint,
                             {.space = wire_AddressSpace_MMIO,
                              .address = ALL_ONES,
                              .on_write = true,
                              .hints = ARRAY(wire_MainRequest_SetCallHint_RegHint, {{.match_rbx = true,
                                                                                     .match_rdx = true,
                                                                                     .rax = ALL_ONES,
                                                                                     .rbx = ALL_ONES,
                                                                                     .rcx = ALL_ONES,
                                                                                     .rdx = ALL_ONES},
                                                                                    {.rax = 0}})})},
    {.name = "dirty_log", .message = MAIN_REQUEST(dirty_log, {.id = 9})},
    {.name = "dirty_log_first", .message = MAIN_REQUEST(dirty_log, {.id = 0})},
    {.name = "dirty_log_max", .message = MAIN_REQUEST(dirty_log, {.id = ALL_ONES_32})},
};

static const struct meaning main_responses[] = {
    {.name = "create", .message = MAIN_RESPONSE(create, EMPTY)},
    {.name = "destroy", .message = MAIN_RESPONSE(destroy, EMPTY)},
    {.name = "new_connection", .message = MAIN_RESPONSE(new_connection, EMPTY)},
    {.name = "get_shutdown_eventfd", .message = MAIN_RESPONSE(get_shutdown_eventfd, EMPTY)},
    {.name = "check_extension_yes", .message = MAIN_RESPONSE(check_extension, {.has_extension = true})},
    {.name = "check_extension_no", .message = MAIN_RESPONSE(check_extension, {.has_extension = false})},
    {.name = "get_supported_cpuid", .message = MAIN_RESPONSE(get_supported_cpuid, ENTRIES({ENTRY}))},
    {.name = "get_supported_cpuid_none", .message = MAIN_RESPONSE(get_supported_cpuid, {.entries = {.count = 0}})},
    {.name = "get_supported_cpuid_more",
     .message = MAIN_RESPONSE(get_supported_cpuid, ENTRIES({NO_ENTRY, ENTRY_MAX, ENTRY}))},
    {.name = "get_emulated_cpuid", .message = MAIN_RESPONSE(get_emulated_cpuid, ENTRIES({NO_ENTRY}))},
    {.name = "get_emulated_cpuid_none", .message = MAIN_RESPONSE(get_emulated_cpuid, {.entries = {.count = 0}})},
    {.name = "get_msr_index_list",
     .message = MAIN_RESPONSE(get_msr_index_list, {.indices = ARRAY(uint32_t, {0x10, 0x174})})},
    {.name = "get_msr_index_list_none", .message = MAIN_RESPONSE(get_msr_index_list, {.indices = {.count = 0}})},
    {.name = "get_msr_index_list_one",
     .message = MAIN_RESPONSE(get_msr_index_list, {.indices = ARRAY(uint32_t, {0})})},
    {.name = "get_msr_index_list_max",
     .message = MAIN_RESPONSE(get_msr_index_list, {.indices = ARRAY(uint32_t, {0, ALL_ONES_32, 0x7f, 0x80})})},
    {.name = "get_msr_index_list_unpacked",
     .message = MAIN_RESPONSE(get_msr_index_list, {.indices = ARRAY(uint32_t, {0x10, 0x174})}),
     .only_read = true},
    {.name = "get_msr_index_list_mixed",
     .message = MAIN_RESPONSE(get_msr_index_list, {.indices = ARRAY(uint32_t, {0x10, 0, 1})}),
     .only_read = true},
    /* The raw s_addr: as a number of this machine, its bytes are in network order. */
    {.name = "get_net_config",
     .message = MAIN_RESPONSE(
         get_net_config,
         {.host_mac_address = BYTES("RT\0\x12\x34\x56"), .host_ipv4_address = 0x010aa8c0, .netmask = 0x00ffffff})},
    {.name = "get_net_config_bare", .message = MAIN_RESPONSE(get_net_config, {.netmask = 0})},
    {.name = "reserve_range", .message = MAIN_RESPONSE(reserve_range, EMPTY)},
    {.name = "set_irq", .message = MAIN_RESPONSE(set_irq, EMPTY)},
    {.name = "set_irq_routing", .message = MAIN_RESPONSE(set_irq_routing, EMPTY)},
    {.name = "get_state", .message = MAIN_RESPONSE(get_state, {.state = BYTES("\xaa\xbb\xcc")})},
    {.name = "get_state_nothing", .message = MAIN_RESPONSE(get_state, {.state = {NULL, 0}})},
    {.name = "set_state", .message = MAIN_RESPONSE(set_state, EMPTY)},
    {.name = "set_identity_map_addr", .message = MAIN_RESPONSE(set_identity_map_addr, EMPTY)},
    {.name = "pause_vcpus", .message = MAIN_RESPONSE(pause_vcpus, EMPTY)},
    {.name = "get_vcpus", .message = MAIN_RESPONSE(get_vcpus, EMPTY)},
    {.name = "start", .message = MAIN_RESPONSE(start, EMPTY)},
    {.name = "set_call_hint", .message = MAIN_RESPONSE(set_call_hint, EMPTY)},
    {.name = "dirty_log", .message = MAIN_RESPONSE(dirty_log, {.bitmap = BYTES("\xff\x01")})},
    {.name = "dirty_log_nothing", .message = MAIN_RESPONSE(dirty_log, {.bitmap = {NULL, 0}})},
    {.name = "error_eperm", .message = {.main_response = {.error = EPERM}}},
    {.name = "error_enotty", .message = {.main_response = {.error = ENOTTY}}},
    {.name = "error_enosys", .message = {.main_response = {.error = ENOSYS}}},
    {.name = "error_4095", .message = {.main_response = {.error = 4095}}},
    {.name = "error_max", .message = {.main_response = {.error = INT32_MAX}}},
    {.name = "error_negative", .message = {.main_response = {.error = -1}}},
    {.name = "error_min", .message = {.main_response = {.error = INT32_MIN}}},
    {.name = "error_with_member",
     .message = {.main_response = {.error = EEXIST, .which_message = wire_MainResponse_create_tag}}},
};

static const struct meaning vcpu_requests[] = {
    {.name = "wait", .message = VCPU_REQUEST(wait, EMPTY)},
    {.name = "resume", .message = VCPU_REQUEST(resume, {.data = {NULL, 0}})},
    {.name = "resume_data", .message = VCPU_REQUEST(resume, {.data = BYTES("\x5a")})},
    {.name = "resume_all",
     .message = VCPU_REQUEST(resume, {.data = BYTES("\x01\x02"),
                                      .regs = BYTES("\x03"),
                                      .sregs = BYTES("\x04\x05"),
                                      .debugregs = BYTES("\x06")})},
    {.name = "get_state_regs", .message = VCPU_REQUEST(get_state, {.set = wire_VcpuRequest_StateSet_REGS})},
    {.name = "get_state_sregs", .message = VCPU_REQUEST(get_state, {.set = wire_VcpuRequest_StateSet_SREGS})},
    {.name = "get_state_fpu", .message = VCPU_REQUEST(get_state, {.set = wire_VcpuRequest_StateSet_FPU})},
    {.name = "get_state_debugregs",
     .message = VCPU_REQUEST(get_state, {.set = wire_VcpuRequest_StateSet_DEBUGREGS})},
    {.name = "get_state_lapic", .message = VCPU_REQUEST(get_state, {.set = wire_VcpuRequest_StateSet_LAPIC})},
    {.name = "get_state_mp", .message = VCPU_REQUEST(get_state, {.set = wire_VcpuRequest_StateSet_MP})},
    {.name = "get_state_xcregs", .message = VCPU_REQUEST(get_state, {.set = wire_VcpuRequest_StateSet_XCREGS})},
    {.name = "get_state_events", .message = VCPU_REQUEST(get_state, {.set = wire_VcpuRequest_StateSet_EVENTS})},
    {.name = "set_state",
     .message = VCPU_REQUEST(set_state, {.set = wire_VcpuRequest_StateSet_MP, .state = BYTES("\0\0\0\0")})},
    {.name = "set_state_nothing", .message = VCPU_REQUEST(set_state, {.state = {NULL, 0}})},
    {.name = "get_msrs",
     .message = VCPU_REQUEST(get_msrs, {.entry_indices = ARRAY(uint32_t, {0x10, 0x174, 0xc0000080})})},
    {.name = "get_msrs_none", .message = VCPU_REQUEST(get_msrs, {.entry_indices = {.count = 0}})},
    {.name = "get_msrs_one", .message = VCPU_REQUEST(get_msrs, {.entry_indices = ARRAY(uint32_t, {0})})},
    {.name = "get_msrs_max",
     .message = VCPU_REQUEST(get_msrs, {.entry_indices = ARRAY(uint32_t, {ALL_ONES_32, 0, 0x7f, 0x80})})},
    {.name = "get_msrs_unpacked",
     .message = VCPU_REQUEST(get_msrs, {.entry_indices = ARRAY(uint32_t, {0x10, 0x174, 0})}),
     .only_read = true},
    {.name = "get_msrs_mixed",
     .message = VCPU_REQUEST(get_msrs, {.entry_indices = ARRAY(uint32_t, {0x10, 0x174, 0x175, 0x176})}),
     .only_read = true},
    {.name = "set_msrs",
     .message = VCPU_REQUEST(set_msrs, {.entries = ARRAY(wire_VcpuRequest_MsrEntry, {{0xc0000080, 0x500}})})},
    {.name = "set_msrs_none", .message = VCPU_REQUEST(set_msrs, {.entries = {.count = 0}})},
    {.name = "set_msrs_max",
     .message = VCPU_REQUEST(
         set_msrs, {.entries = ARRAY(wire_VcpuRequest_MsrEntry, {{0, 0}, {ALL_ONES_32, ALL_ONES}, {0x10, 0}})})},
    {.name = "set_cpuid", .message = VCPU_REQUEST(set_cpuid, ENTRIES({ENTRY}))},
    {.name = "set_cpuid_none", .message = VCPU_REQUEST(set_cpuid, {.entries = {.count = 0}})},
    {.name = "set_cpuid_more", .message = VCPU_REQUEST(set_cpuid, ENTRIES({NO_ENTRY, ENTRY_MAX, ENTRY}))},
    {.name = "shutdown", .message = VCPU_REQUEST(shutdown, EMPTY)},
    {.name = "get_hyperv_cpuid", .message = VCPU_REQUEST(get_hyperv_cpuid, EMPTY)},
    {.name = "enable_capability", .message = VCPU_REQUEST(enable_capability, {.capability = 123})},
    {.name = "enable_capability_first", .message = VCPU_REQUEST(enable_capability, {.capability = 0})},
    {.name = "enable_capability_max", .message = VCPU_REQUEST(enable_capability, {.capability = ALL_ONES_32})},
};

static const struct meaning vcpu_responses[] = {
    {.name = "init", .message = EVENT(init, EMPTY)},
    {.name = "io_port_write", .message = EVENT(io, {.address = 0x3f8, .is_write = true, .data = BYTES("A")})},
    {.name = "io_port_read", .message = EVENT(io, {.address = 0x3f8, .data = BYTES("\0")})},
    {.name = "io_mmio_read",
     .message = EVENT(io, {.space = wire_AddressSpace_MMIO, .address = 0x1000, .data = BYTES("\0\0\0\0")})},
    {.name = "io_all",
     .message = EVENT(io, {.space = wire_AddressSpace_MMIO,
                           .address = 1,
                           .is_write = true,
                           .no_resume = true,
                           .data = BYTES("\x07"),
                           .regs = BYTES("\x08"),
                           .sregs = BYTES("\x09"),
                           .debugregs = BYTES("\x0a")})},
    {.name = "io_max",
     .message = EVENT(io,
                      {.space = wire_AddressSpace_MMIO, .address = ALL_ONES, .data = BYTES("\0\0\0\0\0\0\0\0")})},
    {.name = "user", .message = EVENT(user, {.user = ALL_ONES})},
    {.name = "user_null", .message = EVENT(user, {.user = 0})},
    {.name = "hyperv_call", .message = EVENT(hyperv_call, {.input = 1, .params0 = 2, .params1 = 3})},
    {.name = "hyperv_call_zeros", .message = EVENT(hyperv_call, {.input = 0})},
    {.name = "hyperv_call_max",
     .message = EVENT(hyperv_call, {.input = ALL_ONES, .params0 = ALL_ONES, .params1 = ALL_ONES})},
    {.name = "hyperv_synic_zeros", .message = EVENT(hyperv_synic, {.msr = 0})},
    {.name = "hyperv_synic_max",
     .message = EVENT(hyperv_synic,
                      {.msr = ALL_ONES_32, .control = ALL_ONES, .evt_page = ALL_ONES, .msg_page = ALL_ONES})},
    {.name = "hyperv_synic",
     .message = EVENT(hyperv_synic, {.msr = 0x40000080, .control = 1, .evt_page = 0x1000, .msg_page = 0x2000})},
    {.name = "io_again",
     .message = {.vcpu_response =
                     {.error = EINVAL,
                      .which_message = wire_VcpuResponse_wait_tag,
                      .message.wait = {.which_exit = wire_VcpuResponse_Wait_io_tag,
                                       .exit.io = {.address = 0x3f8, .is_write = true, .data = BYTES("A")}}}}},
    {.name = "get_state", .message = VCPU_RESPONSE(get_state, {.state = BYTES("\xaa\xbb\xcc")})},
    {.name = "set_state", .message = VCPU_RESPONSE(set_state, EMPTY)},
    {.name = "get_state_nothing", .message = VCPU_RESPONSE(get_state, {.state = {NULL, 0}})},
    {.name = "get_msrs", .message = VCPU_RESPONSE(get_msrs, {.entry_data = ARRAY(uint64_t, {1, ALL_ONES})})},
    {.name = "get_msrs_none", .message = VCPU_RESPONSE(get_msrs, {.entry_data = {.count = 0}})},
    {.name = "get_msrs_one", .message = VCPU_RESPONSE(get_msrs, {.entry_data = ARRAY(uint64_t, {0})})},
    {.name = "get_msrs_unpacked",
     .message = VCPU_RESPONSE(get_msrs, {.entry_data = ARRAY(uint64_t, {ALL_ONES, 0, 0x500})}),
     .only_read = true},
    {.name = "set_msrs", .message = VCPU_RESPONSE(set_msrs, EMPTY)},
    {.name = "set_cpuid", .message = VCPU_RESPONSE(set_cpuid, EMPTY)},
    {.name = "get_hyperv_cpuid", .message = VCPU_RESPONSE(get_hyperv_cpuid, ENTRIES({ENTRY}))},
    {.name = "get_hyperv_cpuid_none", .message = VCPU_RESPONSE(get_hyperv_cpuid, {.entries = {.count = 0}})},
    {.name = "get_hyperv_cpuid_more", .message = VCPU_RESPONSE(get_hyperv_cpuid, ENTRIES({ENTRY, NO_ENTRY}))},
    {.name = "enable_capability", .message = VCPU_RESPONSE(enable_capability, EMPTY)},
    {.name = "error_ebusy", .message = {.vcpu_response = {.error = EBUSY}}},
    {.name = "error_max", .message = {.vcpu_response = {.error = INT32_MAX}}},
    {.name = "error_min", .message = {.vcpu_response = {.error = INT32_MIN}}},
};

/* ---- The tests ---- */

/* Memory for the elements of the message that was decoded last. */
static uint64_t elements[512];

#define CODEC(name)                                                                                \
	static int decode_##name(const uint8_t *data, size_t size, union message *out_message)     \
	{                                                                                          \
		const struct wire_arena arena = {elements, sizeof(elements)};                      \
		return wire_decode_##name(data, size, &arena, &out_message->name);                 \
	}                                                                                          \
	static ssize_t encode_##name(const union message *message, uint8_t *data, size_t capacity) \
	{                                                                                          \
		return wire_encode_##name(&message->name, data, capacity);                         \
	}

CODEC(main_request)
CODEC(main_response)
CODEC(vcpu_request)
CODEC(vcpu_response)

struct codec {
	const char *message;
	const struct meaning *meanings;
	size_t count;
	int (*decode)(const uint8_t *data, size_t size, union message *out_message);
	ssize_t (*encode)(const union message *message, uint8_t *data, size_t capacity);
};

#define CODEC_OF(message, name)                                                                      \
	{                                                                                            \
		message, name##s, sizeof(name##s) / sizeof(name##s[0]), decode_##name, encode_##name \
	}

static const struct codec codecs[] = {
    CODEC_OF("MainRequest", main_request),
    CODEC_OF("MainResponse", main_response),
    CODEC_OF("VcpuRequest", vcpu_request),
    CODEC_OF("VcpuResponse", vcpu_response),
};

static const struct codec *codec_of(void **state)
{
	return *state;
}

static void assert_packet(const struct golden *golden, const uint8_t *data, ssize_t size)
{
	if (size != (ssize_t)golden->size || memcmp(data, golden->data, golden->size) != 0)
		fail_msg("%s %s: other bytes, or %zd of them instead of %zu", golden->message, golden->name, size,
		         golden->size);
}

static void test_names(void **state)
{
	const struct codec *codec = codec_of(state);
	size_t found = 0;
	for (size_t i = 0; i < golden_count; i++)
		found += strcmp(goldens[i].message, codec->message) == 0;
	assert_int_equal(found, codec->count);
	for (size_t i = 0; i < codec->count; i++)
		find(codec->message, codec->meanings[i].name);
}

static void test_encode(void **state)
{
	const struct codec *codec = codec_of(state);
	for (size_t i = 0; i < codec->count; i++) {
		const struct meaning *meaning = &codec->meanings[i];
		if (meaning->only_read)
			continue;
		const struct golden *golden = find(codec->message, meaning->name);
		uint8_t data[PACKET_MAX];
		assert_packet(golden, data, codec->encode(&meaning->message, data, golden->size));
		assert_int_equal(codec->encode(&meaning->message, data, golden->size - 1), -EMSGSIZE);
	}
}

/* What a packet is read as makes the same bytes as what it means. */
static void test_decode(void **state)
{
	const struct codec *codec = codec_of(state);
	for (size_t i = 0; i < codec->count; i++) {
		const struct meaning *meaning = &codec->meanings[i];
		const struct golden *golden = find(codec->message, meaning->name);
		union message decoded;
		uint8_t data[PACKET_MAX];
		struct golden wanted = *golden;
		wanted.size = (size_t)codec->encode(&meaning->message, wanted.data, PACKET_MAX);
		assert_int_equal(codec->decode(golden->data, golden->size, &decoded), 0);
		assert_packet(&wanted, data, codec->encode(&decoded, data, sizeof(data)));
	}
}

/* Each piece is in memory of just its size, so that a sanitizer sees a read past the end. */
static void test_cut_off(void **state)
{
	const struct codec *codec = codec_of(state);
	for (size_t i = 0; i < codec->count; i++) {
		const struct golden *golden = find(codec->message, codec->meanings[i].name);
		for (size_t size = 1; size < golden->size; size++) {
			uint8_t *piece = malloc(size);
			assert_non_null(piece);
			memcpy(piece, golden->data, size);
			union message decoded;
			int result = codec->decode(piece, size, &decoded);
			free(piece);
			/* A message that begins with its errno may end right after it. */
			bool may_be_whole = golden->data[0] == 0x08;
			assert_true(result == -EBADMSG || (may_be_whole && result == 0));
		}
	}
}

/* Of two members the last one counts, with nothing left of the first: not even its elements. */
static void assert_last_counts(const struct codec *codec, const struct golden *first, const struct meaning *last)
{
	const struct golden *golden = find(codec->message, last->name);
	uint8_t data[2 * PACKET_MAX], wanted[PACKET_MAX], got[PACKET_MAX];
	memcpy(data, first->data, first->size);
	memcpy(data + first->size, golden->data, golden->size);
	union message decoded;
	assert_int_equal(codec->decode(data, first->size + golden->size, &decoded), 0);
	ssize_t size = codec->encode(&last->message, wanted, sizeof(wanted));
	if (codec->encode(&decoded, got, sizeof(got)) != size || memcmp(got, wanted, (size_t)size) != 0)
		fail_msg("%s %s after %s is read as another message", codec->message, last->name, first->name);
}

static void test_last_member(void **state)
{
	const struct codec *codec = codec_of(state);
	for (size_t i = 0; i < codec->count; i++) {
		const struct golden *first = find(codec->message, codec->meanings[i].name);
		for (size_t j = 0; j < codec->count; j++) {
			const struct golden *last = find(codec->message, codec->meanings[j].name);
			/* The same member twice is one, merged; an errno is no member. */
			if (first->data[0] != last->data[0] && first->data[0] != 0x08 && last->data[0] != 0x08)
				assert_last_counts(codec, first, &codec->meanings[j]);
		}
	}
}

/* Elements for which there is no memory are counted; the memory is of just its size. */
static void test_too_little_memory(void **state)
{
	(void)state;
	const struct golden *golden = find("MainRequest", "set_irq_routing_max");
	const size_t element = sizeof(wire_MainRequest_SetIrqRouting_Route);
	for (size_t size = 8; size <= 3 * element; size += 8) {
		const struct wire_arena arena = {malloc(size), size};
		assert_non_null(arena.memory);
		wire_MainRequest request;
		assert_int_equal(wire_decode_main_request(golden->data, golden->size, &arena, &request), 0);
		assert_int_equal(request.message.set_irq_routing.routes.count, 3);
		assert_int_equal(request.message.set_irq_routing.routes.stored, size / element);
		free(arena.memory);
	}
}

static void test_frames(void **state)
{
	(void)state;
	size_t found = 0;
	for (size_t i = 0; i < golden_count; i++) {
		const struct golden *golden = &goldens[i];
		if (strcmp(golden->message, "Frame") != 0)
			continue;
		found++;
		uint32_t size = (uint32_t)strtoul(golden->name, NULL, 10), parsed;
		uint8_t header[WIRE_FRAME_HEADER_MAX];
		assert_packet(golden, header, (ssize_t)wire_frame_header(size, header));
		assert_int_equal(wire_frame_parse(header, golden->size, &parsed), golden->size);
		assert_int_equal(parsed, size);
		assert_int_equal(wire_frame_parse(header, golden->size - 1, &parsed), 0);
	}
	assert_true(found > 0);
}

#define CODEC_TESTS(index, name)                                                                         \
	{name " has the golden names", test_names, NULL, NULL, (void *)&codecs[index]},                  \
	    {name " is made as golden", test_encode, NULL, NULL, (void *)&codecs[index]},                \
	    {name " is read as golden", test_decode, NULL, NULL, (void *)&codecs[index]},                \
	    {name " has the last of two members", test_last_member, NULL, NULL, (void *)&codecs[index]}, \
	{                                                                                                \
		name " cut off anywhere is refused", test_cut_off, NULL, NULL, (void *)&codecs[index]    \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CODEC_TESTS(0, "MainRequest"), CODEC_TESTS(1, "MainResponse"),
	    CODEC_TESTS(2, "VcpuRequest"), CODEC_TESTS(3, "VcpuResponse"),
	    cmocka_unit_test(test_frames), cmocka_unit_test(test_too_little_memory),
	};
	return cmocka_run_group_tests(tests, load, NULL);
}
