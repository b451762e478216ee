/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The steps of client_probe that API 0.23 adds.
 */
#include "client_probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TIMEOUT_MS 30000

/* ---- The host and the library ---- */

static int step_version(void)
{
	unsigned int major = 99, minor = 99, patch = 99;
	crosvm_version(&major, &minor, &patch);
	TELL(" %u.%u.%u", major, minor, patch);
	return 0;
}

static int step_info(void)
{
	struct crosvm_info info = {.size = sizeof(info)};
	int result = crosvm_get_info(vm, &info);
	if (result == 0)
		TELL(" %u.%u.%u features %#llx vcpus %u irqchip %u request %u limits %u %u %u %u %llu %u %u %u",
		     info.host_major, info.host_minor, info.host_patch, (unsigned long long)info.features,
		     info.vcpu_count, info.irqchip, info.request_bytes, info.connections, info.ranges, info.events,
		     info.memory_slots, (unsigned long long)info.memory_bytes, info.irq_routes, info.cpuid_entries,
		     info.msrs);
	return result;
}

static int step_last_vcpu(void)
{
	uint32_t count = 0;
	struct crosvm_vcpu *each;
	while (crosvm_get_vcpu(vm, count, &each) == 0)
		count++;
	TELL(" of %u", count);
	return crosvm_get_vcpu(vm, count - 1, &vcpu);
}

/* How many more fds there are than at the first such step. */
static int step_fds(void)
{
	static int first = -1;
	int count = 0;
	DIR *directory = opendir("/proc/self/fd");
	if (!directory)
		return -errno;
	while (readdir(directory))
		count++;
	closedir(directory);
	if (first < 0)
		first = count;
	TELL(" %+d", count - first);
	return 0;
}

static int step_end(void)
{
	struct crosvm_end end;
	int result = crosvm_get_end(vm, &end);
	if (result == 0)
		TELL(" %u %d %d %zu %.20s", end.reason, end.value, end.cpu, strlen(end.text), end.text);
	return result;
}

/* ---- Objects and the machine ---- */

static int step_io_event_length(void)
{
	return crosvm_create_io_event(vm, CROSVM_ADDRESS_SPACE_MMIO, PAGE, 4, NULL, &io);
}

static int step_edge_irq_event(void)
{
	int result = crosvm_create_edge_irq_event(vm, 5, &irq);
	if (result < 0)
		return result;
	uint64_t trigger = 0;
	if (read(crosvm_irq_event_get_fd(irq), &trigger, sizeof(trigger)) < 0)
		return -errno;
	TELL(" %llu %s", (unsigned long long)trigger,
	     crosvm_irq_event_get_resample_fd(irq) < 0 ? "alone" : "and another");
	return 0;
}

static int step_signal_msi(void)
{
	return crosvm_signal_msi(vm, 0xfee00000, 0x41);
}

static int step_pause_set(void)
{
	const uint64_t words[3] = {5};
	return crosvm_pause_vcpu_set(vm, 3, words, (void *)UINTPTR_MAX);
}

/* vCPU 0, and the first beyond a word. */
static int step_pause_far(void)
{
	const uint64_t words[2] = {1, 1};
	return crosvm_pause_vcpu_set(vm, 2, words, (void *)UINTPTR_MAX);
}

static int step_pause_nobody(void)
{
	return crosvm_pause_vcpu_set(vm, 0, NULL, NULL);
}

static int step_dirty_log_to(void)
{
	int fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, PAGE) < 0)
		return -errno;
	int result = crosvm_memory_get_dirty_log_to(vm, memory, fd, PAGE / 2);
	close(fd);
	return result;
}

static int step_subscribe(void)
{
	return crosvm_subscribe_exits(vm, CROSVM_EXIT_HLT | CROSVM_EXIT_SHUTDOWN | CROSVM_EXIT_INTERNAL_ERROR |
	                                      CROSVM_EXIT_IOAPIC_EOI);
}

static int step_subscribe_unknown(void)
{
	return crosvm_subscribe_exits(vm, CROSVM_EXIT_IOAPIC_EOI << 1);
}

static int step_msr_filter(void)
{
	const struct crosvm_msr_range ranges[] = {{.first = 0xc0000080, .count = 16, .reads = true},
	                                          {.first = 0x174, .count = 1, .writes = true}};
	return crosvm_set_msr_filter(vm, 2, ranges, false);
}

static int step_msr_filter_none(void)
{
	return crosvm_set_msr_filter(vm, 0, NULL, true);
}

/* As many as there may be: a request of more than 64 KiB. */
static int step_routing_all(void)
{
	return set_routing(4096, CROSVM_IRQ_ROUTE_IRQCHIP);
}

/* ---- A vCPU that is stopped ---- */

static int step_set_msrs_counted(void)
{
	const struct kvm_msr_entry list[3] = {
	    {.index = 0xc0000080, .data = 0x500}, {.index = 0x10}, {.index = 0x174}};
	uint32_t count = 0xee;
	int result = crosvm_vcpu_set_msrs_counted(vcpu, 3, list, &count);
	TELL(" %u", count);
	return result;
}

static uint8_t state[64];

static int tell_state(int result, uint32_t size)
{
	TELL(" %u %02x", size, state[0]);
	return result;
}

static int step_get_xsave(void)
{
	uint32_t size = 0xee;
	memset(state, 0xee, sizeof(state));
	int result = crosvm_vcpu_get_xsave(vcpu, sizeof(state), state, &size);
	return tell_state(result, size);
}

static int step_set_xsave(void)
{
	return crosvm_vcpu_set_xsave(vcpu, 3, "\xaa\xbb\xcc");
}

static int step_get_tsc_khz(void)
{
	uint32_t khz = 0xee;
	int result = crosvm_vcpu_get_tsc_khz(vcpu, &khz);
	TELL(" %u", khz);
	return result;
}

static int step_set_tsc_khz(void)
{
	return crosvm_vcpu_set_tsc_khz(vcpu, 200000);
}

static int step_get_nested(void)
{
	uint32_t size = 0xee;
	memset(state, 0xee, sizeof(state));
	int result = crosvm_vcpu_get_nested_state(vcpu, sizeof(state), state, &size);
	return tell_state(result, size);
}

static int step_set_nested(void)
{
	return crosvm_vcpu_set_nested_state(vcpu, 3, "\xaa\xbb\xcc");
}

static int step_interrupt(void)
{
	return crosvm_vcpu_interrupt(vcpu, 32);
}

static int step_irq_window(void)
{
	return crosvm_vcpu_request_irq_window(vcpu, true);
}

static int step_nmi(void)
{
	return crosvm_vcpu_nmi(vcpu);
}

static int step_guest_debug(void)
{
	const struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP};
	return crosvm_vcpu_set_guest_debug(vcpu, &debug);
}

static int step_translate(void)
{
	struct kvm_translation translation = {.linear_address = PAGE};
	int result = crosvm_vcpu_translate(vcpu, &translation);
	if (result == 0)
		TELL(" %llx %u %u %u", (unsigned long long)translation.physical_address, translation.valid,
		     translation.writeable, translation.usermode);
	return result;
}

static int step_get_all(void)
{
	static uint8_t blob[65536];
	uint32_t size;
	return crosvm_vcpu_get_all(vcpu, sizeof(blob), blob, &size);
}

static int step_set_all(void)
{
	return crosvm_vcpu_set_all(vcpu, sizeof(state), state);
}

/* ---- Events ---- */

void tell_addition(void)
{
	switch (event.kind) {
	case CROSVM_VCPU_EVENT_KIND_MSR:
		TELL(" msr %s %x %llx reason %llu", event.msr.is_write ? "write" : "read", event.msr.index,
		     (unsigned long long)*event.msr.data, (unsigned long long)event.msr.reason);
		break;
	case CROSVM_VCPU_EVENT_KIND_DEBUG:
		TELL(" debug %u %llx %llx %llx", event.debug.exception, (unsigned long long)event.debug.pc,
		     (unsigned long long)event.debug.dr6, (unsigned long long)event.debug.dr7);
		break;
	case CROSVM_VCPU_EVENT_KIND_IOAPIC_EOI:
		TELL(" eoi %x", event.ioapic_eoi.vector);
		break;
	case CROSVM_VCPU_EVENT_KIND_INTERNAL_ERROR:
		TELL(" internal error %u of %u: %llx %llx", event.failure.suberror, event.failure.data_count,
		     (unsigned long long)event.failure.data[0], (unsigned long long)event.failure.data[1]);
		break;
	default:
		TELL(" kind %u", event.kind);
		break;
	}
}

void answer_addition(void)
{
	if (event.kind == CROSVM_VCPU_EVENT_KIND_MSR) {
		if (!event.msr.is_write)
			*event.msr.data = 0x5a;
		*event.msr.fault = 1;
	}
	if (event.kind == CROSVM_VCPU_EVENT_KIND_SHUTDOWN || event.kind == CROSVM_VCPU_EVENT_KIND_INTERNAL_ERROR)
		*event.failure.go_on = 1;
}

static int wait_for(int timeout_ms)
{
	memset(&event, 0, sizeof(event));
	return tell_event(crosvm_vcpu_wait_timeout(vcpu, &event, timeout_ms));
}

static int step_wait_0(void)
{
	return wait_for(0);
}

static int step_wait_long(void)
{
	return wait_for(TIMEOUT_MS);
}

static int step_wait_ever(void)
{
	return wait_for(-1);
}

static int poll_events(int timeout_ms)
{
	struct pollfd poller = {.fd = crosvm_vcpu_get_poll_fd(vcpu), .events = POLLIN};
	if (poller.fd < 0)
		return poller.fd;
	int count = poll(&poller, 1, timeout_ms);
	return count < 0 ? -errno : count;
}

/* Returns whether there is an event. */
static int step_poll(void)
{
	return poll_events(0);
}

static int step_poll_long(void)
{
	return poll_events(TIMEOUT_MS);
}

static int step_set_spin(void)
{
	return crosvm_vcpu_set_spin(vcpu, 10);
}

const struct step additions[] = {
    STEP(version),
    STEP(info),
    STEP(last_vcpu),
    STEP(fds),
    STEP(end),
    STEP(io_event_length),
    STEP(edge_irq_event),
    STEP(signal_msi),
    STEP(pause_set),
    STEP(pause_far),
    STEP(pause_nobody),
    STEP(dirty_log_to),
    STEP(subscribe),
    STEP(subscribe_unknown),
    STEP(msr_filter),
    STEP(msr_filter_none),
    STEP(routing_all),
    STEP(set_msrs_counted),
    STEP(get_xsave),
    STEP(set_xsave),
    STEP(get_tsc_khz),
    STEP(set_tsc_khz),
    STEP(get_nested),
    STEP(set_nested),
    STEP(interrupt),
    STEP(irq_window),
    STEP(nmi),
    STEP(guest_debug),
    STEP(translate),
    STEP(get_all),
    STEP(set_all),
    STEP(wait_0),
    STEP(wait_long),
    STEP(wait_ever),
    STEP(poll),
    STEP(poll_long),
    STEP(set_spin),
    {NULL, NULL},
};
