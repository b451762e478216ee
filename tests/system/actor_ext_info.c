/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about what a host says of itself and of its VM: versions, features, limits, why the VM ended.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "actor.h"

GUEST_DECLARE(spin);
GUEST_DECLARE(triple_fault);

/* What every host of API 0.23 has. */
#define ALWAYS                                                                           \
	(CROSVM_FEATURE_VCPUS | CROSVM_FEATURE_CREATE_EXT | CROSVM_FEATURE_CPUID_FLAGS | \
	 CROSVM_FEATURE_DIRTY_LOG_TO | CROSVM_FEATURE_PAUSE_SET | CROSVM_FEATURE_EXITS | \
	 CROSVM_FEATURE_TRANSLATE | CROSVM_FEATURE_SNAPSHOT | CROSVM_FEATURE_END | CROSVM_FEATURE_AREA)

/* What the library says beside the host: they were built together. */
static void check_versions(const struct crosvm_info *info)
{
	unsigned int major, minor, patch;
	crosvm_version(&major, &minor, &patch);
	expect(major == CROSVM_API_MAJOR && minor == CROSVM_API_MINOR && patch == CROSVM_API_PATCH);
	crosvm_version(NULL, NULL, NULL);
	expect(info->host_major || info->host_minor || info->host_patch);
}

static void check_features(struct crosvm *vm, const struct crosvm_info *info)
{
	static const struct {
		uint64_t feature;
		uint32_t extension;
	} conditions[] = {
	    {CROSVM_FEATURE_MSR_FILTER, KVM_CAP_X86_MSR_FILTER},   {CROSVM_FEATURE_XSAVE, KVM_CAP_XSAVE},
	    {CROSVM_FEATURE_TSC_KHZ, KVM_CAP_GET_TSC_KHZ},         {CROSVM_FEATURE_NESTED, KVM_CAP_NESTED_STATE},
	    {CROSVM_FEATURE_GUEST_DEBUG, KVM_CAP_SET_GUEST_DEBUG},
	};
	uint64_t wanted = ALWAYS;
	bool has;
	for (size_t i = 0; i < COUNT(conditions); i++) {
		expect_result(crosvm_check_extension(vm, conditions[i].extension, &has), 0);
		wanted |= has ? conditions[i].feature : 0;
	}
	expect_result(crosvm_check_extension(vm, KVM_CAP_SIGNAL_MSI, &has), 0);
	if (has && info->irqchip != CROSVM_IRQCHIP_NONE)
		wanted |= CROSVM_FEATURE_SIGNAL_MSI;
	if (info->irqchip != CROSVM_IRQCHIP_KERNEL)
		wanted |= CROSVM_FEATURE_INTERRUPTS;
	expect_result((long)info->features, (long)wanted);
}

static void check_limits(const struct crosvm_info *info)
{
	expect(info->size == sizeof(*info));
	expect(info->request_bytes >= 4096 && info->connections == 64 && info->ranges == 16384);
	expect(info->memory_slots == 509 && info->memory_bytes == UINT64_C(64) << 30);
	expect(info->events > 0 && info->irq_routes == 4096 && info->cpuid_entries == 256 && info->msrs == 255);
}

static int show_info(const char *irqchip, uint32_t vcpu_count)
{
	static const char *const names[] = {
	    [CROSVM_IRQCHIP_KERNEL] = "kernel", [CROSVM_IRQCHIP_SPLIT] = "split", [CROSVM_IRQCHIP_NONE] = "none"};
	struct crosvm *vm, *second;
	expect_result(crosvm_connect(&vm), 0);
	struct crosvm_info info = {.size = sizeof(info)}, same = {.size = sizeof(same)};
	expect_result(crosvm_get_info(vm, &info), 0);
	check_versions(&info);
	check_features(vm, &info);
	check_limits(&info);
	expect(info.irqchip < COUNT(names) && strcmp(names[info.irqchip], irqchip) == 0);
	expect(info.vcpu_count == vcpu_count);
	expect_result(crosvm_new_connection(vm, &second), 0);
	expect_result(crosvm_get_info(second, &same), 0);
	expect(memcmp(&info, &same, sizeof(info)) == 0);
	return 0;
}

static int info_kernel(char **arguments)
{
	(void)arguments;
	return show_info("kernel", 1);
}

static int info_split(char **arguments)
{
	(void)arguments;
	return show_info("split", 1);
}

static int info_none(char **arguments)
{
	(void)arguments;
	return show_info("none", 1);
}

static int info_many(char **arguments)
{
	(void)arguments;
	return show_info("kernel", 64);
}

/* A plugin of an older header has a shorter struct, one of a newer header a longer one. */
static int info_sizes(char **arguments)
{
	(void)arguments;
	struct crosvm *vm;
	union {
		struct crosvm_info info;
		uint8_t bytes[2 * sizeof(struct crosvm_info)];
	} buffer;
	expect_result(crosvm_connect(&vm), 0);
	memset(&buffer, 0xaa, sizeof(buffer));
	buffer.info.size = offsetof(struct crosvm_info, vcpu_count);
	expect_result(crosvm_get_info(vm, &buffer.info), 0);
	expect(buffer.info.size == offsetof(struct crosvm_info, vcpu_count));
	expect((buffer.info.features & ALWAYS) == ALWAYS && buffer.info.vcpu_count == 0xaaaaaaaa);

	memset(&buffer, 0xaa, sizeof(buffer));
	buffer.info.size = sizeof(buffer);
	expect_result(crosvm_get_info(vm, &buffer.info), 0);
	expect(buffer.info.size == sizeof(struct crosvm_info) && buffer.info.vcpu_count == 1);
	for (size_t i = sizeof(struct crosvm_info); i < sizeof(buffer); i++)
		expect(buffer.bytes[i] == 0xaa);
	expect_result(crosvm_get_info(vm, NULL), -EINVAL);
	expect_result(crosvm_get_info(NULL, &buffer.info), -EINVAL);
	return 0;
}

/* ---- Why it ended ---- */

static void print_end(const struct crosvm_end *end)
{
	printf("reason %u, vCPU %d: %s\n", end->reason, end->cpu, end->text);
	fflush(stdout);
}

/* While it runs there is nothing to say; after a crash, what the host prints too. */
static int end_of_crash(char **arguments)
{
	(void)arguments;
	struct machine machine;
	struct crosvm_end end;
	uint64_t count;
	machine_init(&machine, &GUEST_64(triple_fault));
	int shutdown = crosvm_get_shutdown_eventfd(machine.vm);
	expect(shutdown >= 0);
	expect_result(crosvm_get_end(machine.vm, &end), -EAGAIN);
	expect_result(crosvm_get_end(machine.vm, NULL), -EINVAL);
	expect_result(crosvm_get_end(NULL, &end), -EINVAL);
	machine_start(&machine);
	machine_wait(&machine);
	machine_enter(machine.vcpu, LONG_MODE);
	expect_result(crosvm_get_end(machine.vm, &end), -EAGAIN);
	machine_resume(&machine);
	expect_result(crosvm_vcpu_wait(machine.vcpu, &machine.event), -ECONNRESET);
	expect(read(shutdown, &count, sizeof(count)) == sizeof(count));
	expect_result(crosvm_get_end(machine.vm, &end), 0);
	expect(end.reason == CROSVM_END_GUEST_CRASHED && end.cpu == 0);
	expect(end.value == KVM_EXIT_SHUTDOWN || end.value == KVM_EXIT_INTERNAL_ERROR);
	print_end(&end);
	return 0;
}

/* The other ends that a plugin lives to see: a signal to the host, and a broken rule. */
static int end_of_stop(char **arguments)
{
	(void)arguments;
	struct machine machine;
	struct crosvm_end end;
	machine_init(&machine, &GUEST(spin));
	machine_start(&machine);
	machine_boot(&machine, REAL_MODE);
	machine_wait(&machine);
	machine_resume(&machine);
	say("ready");
	expect_result(crosvm_vcpu_wait(machine.vcpu, &machine.event), -ECONNRESET);
	expect_result(crosvm_get_end(machine.vm, &end), 0);
	expect(end.cpu == -1);
	print_end(&end);
	return 0;
}

const struct act ext_info_acts[] = {
    {"ext-info-kernel", info_kernel}, {"ext-info-split", info_split},
    {"ext-info-none", info_none},     {"ext-info-many", info_many},
    {"ext-info-sizes", info_sizes},   {"ext-end-of-crash", end_of_crash},
    {"ext-end-of-stop", end_of_stop}, {NULL, NULL},
};
