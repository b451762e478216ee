/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_probe - an ordinary user of crosvm.h for fake_host.py: does what its arguments say, in that order, and
 * prints each step's name and what it returned.
 */
#include "client_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The numbers in golden.txt. */
#define PORT      0x3f8
#define EXTENSION 3
#define ENTRIES   3
#define MSRS      2

/* One more than fit the 4096 bytes that the original host takes. */
#define ROUTES_TOO_MANY 281

/* As many as KVM takes. */
#define ROUTES_MAX 4096

struct crosvm *vm;
struct crosvm_memory *memory;
struct crosvm_io *io;
struct crosvm_irq *irq;
struct crosvm_vcpu *vcpu;
struct crosvm_vcpu_event event;
static struct kvm_regs regs;
static struct kvm_sregs sregs;
static struct kvm_cpuid_entry2 entries[ENTRIES];
static uint32_t entry_count;

char details[256];

/* The size and both ends of a struct: what it is when it comes, what it is when it is sent back tells the rest. */
static int tell_bytes(int result, const void *data, size_t size)
{
	const unsigned char *bytes = data;
	if (result == 0)
		TELL(" %zu %02x %02x", size, bytes[0], bytes[size - 1]);
	return result;
}

static int step_connect(void)
{
	int result = crosvm_connect(&vm);
	return result < 0 ? result : crosvm_get_vcpu(vm, 0, &vcpu);
}

static int step_new_connection(void)
{
	struct crosvm *second;
	int result = crosvm_new_connection(vm, &second);
	return result < 0 ? result : crosvm_destroy_connection(&second);
}

static int step_drop(void)
{
	return crosvm_destroy_connection(&vm);
}

static int create_memory(uint64_t pages, bool read_only, bool dirty_log)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)(pages * PAGE)) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		abort();
	int result = crosvm_create_memory(vm, fd, 0, pages * PAGE, PAGE, read_only, dirty_log, &memory);
	close(fd);
	return result;
}

static int step_memory(void)
{
	return create_memory(1, false, false);
}

/* Nine pages: the log of the last is in a byte of its own. */
static int step_logged_memory(void)
{
	return create_memory(9, true, true);
}

static int step_dirty_log(void)
{
	uint8_t log[2 + 1] = {0, 0, 0xee};
	int result = crosvm_memory_get_dirty_log(vm, memory, log);
	if (result == 0)
		TELL(" %02x %02x %02x", log[0], log[1], log[2]);
	return result;
}

static int step_destroy(void)
{
	return crosvm_destroy_memory(vm, &memory);
}

static int step_reserve(void)
{
	return crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, PORT, 8);
}

static int step_release(void)
{
	return crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, PORT, 0);
}

static int step_reserve_async(void)
{
	return crosvm_reserve_async_write_range(vm, CROSVM_ADDRESS_SPACE_MMIO, 0xfee00000, PAGE);
}

static int step_reserve_nowhere(void)
{
	return crosvm_reserve_range(vm, 2, PORT, 8);
}

static int step_io_event(void)
{
	const uint8_t match[4] = {0xef, 0xbe, 0xad, 0xde};
	int result = crosvm_create_io_event(vm, CROSVM_ADDRESS_SPACE_MMIO, PAGE, 4, match, &io);
	if (result == 0)
		TELL(" %s", fcntl(crosvm_io_event_fd(io), F_GETFD) == FD_CLOEXEC ? "close-on-exec" : "no fd");
	return result;
}

static int step_io_event_any(void)
{
	return crosvm_create_io_event(vm, CROSVM_ADDRESS_SPACE_IOPORT, PORT, 0, NULL, &io);
}

static int step_destroy_io_event(void)
{
	return crosvm_destroy_io_event(vm, &io);
}

static int step_irq_event(void)
{
	int result = crosvm_create_irq_event(vm, 5, &irq);
	if (result < 0)
		return result;
	uint64_t trigger = 0, resample = 0;
	if (read(crosvm_irq_event_get_fd(irq), &trigger, sizeof(trigger)) < 0 ||
	    read(crosvm_irq_event_get_resample_fd(irq), &resample, sizeof(resample)) < 0)
		return -errno;
	TELL(" %llu %llu", (unsigned long long)trigger, (unsigned long long)resample);
	return 0;
}

static int step_destroy_irq_event(void)
{
	return crosvm_destroy_irq_event(vm, &irq);
}

static int step_set_irq(void)
{
	return crosvm_set_irq(vm, 4, true);
}

int set_routing(uint32_t count, uint32_t kind)
{
	static struct crosvm_irq_route routes[ROUTES_MAX];
	for (uint32_t i = 0; i < count; i++)
		routes[i] = (struct crosvm_irq_route){
		    .irq_id = 23 + i, .kind = CROSVM_IRQ_ROUTE_MSI, .msi = {.address = 0xfee00000, .data = 0x41}};
	routes[0] = (struct crosvm_irq_route){.irq_id = 1, .kind = kind, .irqchip = {2, 1}};
	return crosvm_set_irq_routing(vm, count, count > 0 ? routes : NULL);
}

static int step_routing(void)
{
	return set_routing(2, CROSVM_IRQ_ROUTE_IRQCHIP);
}

static int step_routing_none(void)
{
	return set_routing(0, CROSVM_IRQ_ROUTE_IRQCHIP);
}

static int step_routing_of_no_kind(void)
{
	return set_routing(1, 2);
}

static int step_routing_too_long(void)
{
	return set_routing(ROUTES_TOO_MANY, CROSVM_IRQ_ROUTE_IRQCHIP);
}

static int step_routing_long(void)
{
	return set_routing(ROUTES_TOO_MANY - 1, CROSVM_IRQ_ROUTE_IRQCHIP);
}

static int tell_entries(int result)
{
	if (result < 0 && result != -E2BIG)
		return result;
	size_t at = (size_t)TELL(" of %u", entry_count);
	for (uint32_t i = 0; i < entry_count && result == 0 && at < sizeof(details); i++)
		at += (size_t)snprintf(details + at, sizeof(details) - at, ", %x/%x flags %u: %x %x %x %x",
		                       entries[i].function, entries[i].index, entries[i].flags, entries[i].eax,
		                       entries[i].ebx, entries[i].ecx, entries[i].edx);
	return result;
}

static int step_supported_cpuid(void)
{
	return tell_entries(crosvm_get_supported_cpuid(vm, ENTRIES, entries, &entry_count));
}

static int step_supported_cpuid_short(void)
{
	return tell_entries(crosvm_get_supported_cpuid(vm, 1, entries, &entry_count));
}

static int step_emulated_cpuid(void)
{
	return tell_entries(crosvm_get_emulated_cpuid(vm, ENTRIES, entries, &entry_count));
}

static int list_msrs(uint32_t room)
{
	uint32_t indices[MSRS] = {0xee, 0xee}, count = 0xee;
	int result = crosvm_get_msr_index_list(vm, room, indices, &count);
	if (result == 0 || result == -E2BIG)
		TELL(" of %u: %x %x", count, indices[0], indices[1]);
	return result;
}

static int step_msr_index_list(void)
{
	return list_msrs(MSRS);
}

static int step_msr_index_list_short(void)
{
	return list_msrs(1);
}

static int step_net_config(void)
{
	struct crosvm_net_config config;
	int result = crosvm_net_get_config(vm, &config);
	if (result < 0)
		return result;
	const uint8_t *ip = (const uint8_t *)&config.host_ip, *mask = (const uint8_t *)&config.netmask;
	TELL(" %s %u.%u.%u.%u/%u.%u.%u.%u %02x..%02x",
	     fcntl(config.tap_fd, F_GETFD) == FD_CLOEXEC ? "fd" : "no fd", ip[0], ip[1], ip[2], ip[3], mask[0],
	     mask[1], mask[2], mask[3], config.host_mac_address[0], config.host_mac_address[5]);
	close(config.tap_fd);
	return 0;
}

static int step_identity_map(void)
{
	return crosvm_set_identity_map_addr(vm, 0xfffbc000);
}

static int step_pause(void)
{
	return crosvm_pause_vcpus(vm, 5, (void *)UINTPTR_MAX);
}

static int set_hint(uint32_t version, uint16_t detail_count)
{
	struct crosvm_hint_detail list[CROSVM_MAX_HINT_DETAIL_COUNT + 1] = {
	    {.match_rax = true, .rax = 1, .send_sregs = true}};
	struct crosvm_hint hint = {.hint_version = version,
	                           .address_space = CROSVM_ADDRESS_SPACE_IOPORT,
	                           .address_flags = CROSVM_HINT_ON_WRITE,
	                           .details_count = detail_count,
	                           .address = PORT,
	                           .details = list};
	return crosvm_set_hypercall_hint(vm, 1, &hint);
}

static int step_hint(void)
{
	return set_hint(0, 1);
}

static int step_hint_none(void)
{
	return crosvm_set_hypercall_hint(vm, 0, NULL);
}

static int step_hint_of_later(void)
{
	return set_hint(1, 1);
}

static int step_hint_too_long(void)
{
	return set_hint(0, CROSVM_MAX_HINT_DETAIL_COUNT + 1);
}

static int step_vm_capability(void)
{
	uint64_t args[4] = {0};
	return crosvm_enable_capability(vm, 123, 0, args);
}

/* A pair of steps: get a struct and tell it, set the one that was got. */
#define STATE_STEPS(name, type, object, get, set)                                                   \
	static struct type name##_state;                                                            \
	static int step_get_##name(void)                                                            \
	{                                                                                           \
		return tell_bytes(get(object, &name##_state), &name##_state, sizeof(name##_state)); \
	}                                                                                           \
	static int step_set_##name(void)                                                            \
	{                                                                                           \
		return set(object, &name##_state);                                                  \
	}
#define VM_STATE(name, type, call)   STATE_STEPS(name, type, vm, crosvm_get_##call, crosvm_set_##call)
#define VCPU_STATE(name, type, call) STATE_STEPS(name, type, vcpu, crosvm_vcpu_get_##call, crosvm_vcpu_set_##call)

#define get_primary(object, state)   crosvm_get_pic_state(object, true, state)
#define set_primary(object, state)   crosvm_set_pic_state(object, true, state)
#define get_secondary(object, state) crosvm_get_pic_state(object, false, state)
#define set_secondary(object, state) crosvm_set_pic_state(object, false, state)

STATE_STEPS(pic0, kvm_pic_state, vm, get_primary, set_primary)
STATE_STEPS(pic1, kvm_pic_state, vm, get_secondary, set_secondary)
VM_STATE(ioapic, kvm_ioapic_state, ioapic_state)
VM_STATE(pit, kvm_pit_state2, pit_state)
VM_STATE(clock, kvm_clock_data, clock)
VCPU_STATE(fpu, kvm_fpu, fpu)
VCPU_STATE(debugregs, kvm_debugregs, debugregs)
VCPU_STATE(xcrs, kvm_xcrs, xcrs)
VCPU_STATE(lapic, kvm_lapic_state, lapic_state)
VCPU_STATE(mp, kvm_mp_state, mp_state)
VCPU_STATE(events, kvm_vcpu_events, vcpu_events)

static int step_extension(void)
{
	bool has = false;
	int result = crosvm_check_extension(vm, EXTENSION, &has);
	if (result == 0)
		snprintf(details, sizeof(details), " %s", has ? "yes" : "no");
	return result;
}

static int step_eventfd(void)
{
	int fd = crosvm_get_shutdown_eventfd(vm);
	if (fd < 0)
		return fd;
	uint64_t value = 0;
	ssize_t size = read(fd, &value, sizeof(value));
	snprintf(details, sizeof(details), " %zd %llu", size, (unsigned long long)value);
	close(fd);
	return 0;
}

static int step_start(void)
{
	return crosvm_start(vm);
}

static int step_get_msrs(void)
{
	struct kvm_msr_entry list[MSRS] = {{.index = 0x10, .data = 0xee}, {.index = 0x174, .data = 0xee}};
	uint32_t count = 0xee;
	int result = crosvm_vcpu_get_msrs(vcpu, MSRS, list, &count);
	if (result == 0)
		TELL(" %u %llx %llx", count, (unsigned long long)list[0].data, (unsigned long long)list[1].data);
	return result;
}

static int step_set_msrs(void)
{
	const struct kvm_msr_entry list[1] = {{.index = 0xc0000080, .data = 0x500}};
	return crosvm_vcpu_set_msrs(vcpu, 1, list);
}

static int step_set_cpuid(void)
{
	const struct kvm_cpuid_entry2 table[1] = {{.function = 0x80000001,
	                                           .index = 2,
	                                           .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
	                                           .eax = 1,
	                                           .ebx = 2,
	                                           .ecx = 3,
	                                           .edx = 4}};
	return crosvm_vcpu_set_cpuid(vcpu, 1, table);
}

static int step_hyperv_cpuid(void)
{
	return tell_entries(crosvm_get_hyperv_cpuid(vcpu, ENTRIES, entries, &entry_count));
}

static int step_capability(void)
{
	uint64_t args[4] = {0};
	return crosvm_vcpu_enable_capability(vcpu, 123, 0, args);
}

static int step_capability_with_args(void)
{
	uint64_t args[4] = {0, 0, 0, 1};
	return crosvm_vcpu_enable_capability(vcpu, 123, 0, args);
}

static void describe_access(void)
{
	size_t at = (size_t)snprintf(
	    details, sizeof(details), " %s %s %#llx",
	    event.io_access.address_space == CROSVM_ADDRESS_SPACE_IOPORT ? "port" : "mmio",
	    event.io_access.is_write ? "write" : "read", (unsigned long long)event.io_access.address);
	for (uint32_t i = 0; i < event.io_access.length && at < sizeof(details); i++)
		at += (size_t)snprintf(details + at, sizeof(details) - at, " %02x", event.io_access.data[i]);
}

int tell_event(int result)
{
	/* Along with an error, too: the event that was refused an answer. */
	if (event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS)
		describe_access();
	else if (result == 0 && event.kind == CROSVM_VCPU_EVENT_KIND_PAUSED)
		TELL(" paused %p", event.user);
	else if (result == 0 && event.kind == CROSVM_VCPU_EVENT_KIND_HYPERV_HCALL)
		TELL(" call %llx %llx %llx", (unsigned long long)event.hyperv_call.input,
		     (unsigned long long)event.hyperv_call.params[0],
		     (unsigned long long)event.hyperv_call.params[1]);
	else if (result == 0 && event.kind == CROSVM_VCPU_EVENT_KIND_HYPERV_SYNIC)
		TELL(" synic %x %llx %llx %llx", event.hyperv_synic.msr,
		     (unsigned long long)event.hyperv_synic.control,
		     (unsigned long long)event.hyperv_synic.evt_page,
		     (unsigned long long)event.hyperv_synic.msg_page);
	else if (result == 0 || event.kind > CROSVM_VCPU_EVENT_KIND_HYPERV_SYNIC)
		tell_addition();
	return result;
}

static int step_wait(void)
{
	memset(&event, 0, sizeof(event));
	return tell_event(crosvm_vcpu_wait(vcpu, &event));
}

static int step_answer(void)
{
	if (event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS)
		memset(event.io_access.data, 0x5a, event.io_access.length);
	if (event.kind == CROSVM_VCPU_EVENT_KIND_HYPERV_HCALL)
		*event.hyperv_call.result = 0x5a;
	answer_addition();
	return 0;
}

static int step_resume(void)
{
	return crosvm_vcpu_resume(vcpu);
}

static int step_get_sregs(void)
{
	int result = crosvm_vcpu_get_sregs(vcpu, &sregs);
	if (result == 0)
		snprintf(details, sizeof(details), " cr0 %#llx", (unsigned long long)sregs.cr0);
	return result;
}

static int step_set_sregs(void)
{
	return crosvm_vcpu_set_sregs(vcpu, &sregs);
}

static int step_get_regs(void)
{
	return tell_bytes(crosvm_vcpu_get_regs(vcpu, &regs), &regs, sizeof(regs));
}

static int step_set_regs(void)
{
	regs.rip = PAGE;
	return crosvm_vcpu_set_regs(vcpu, &regs);
}

static const struct step steps[] = {
    STEP(connect),
    STEP(new_connection),
    STEP(drop),
    STEP(memory),
    STEP(logged_memory),
    STEP(dirty_log),
    STEP(destroy),
    STEP(reserve),
    STEP(release),
    STEP(reserve_async),
    STEP(reserve_nowhere),
    STEP(io_event),
    STEP(io_event_any),
    STEP(destroy_io_event),
    STEP(irq_event),
    STEP(destroy_irq_event),
    STEP(set_irq),
    STEP(routing),
    STEP(routing_none),
    STEP(routing_of_no_kind),
    STEP(routing_too_long),
    STEP(routing_long),
    STEP(supported_cpuid),
    STEP(supported_cpuid_short),
    STEP(emulated_cpuid),
    STEP(msr_index_list),
    STEP(msr_index_list_short),
    STEP(net_config),
    STEP(identity_map),
    STEP(pause),
    STEP(hint),
    STEP(hint_none),
    STEP(hint_of_later),
    STEP(hint_too_long),
    STEP(vm_capability),
    STEP(extension),
    STEP(eventfd),
    STEP(start),
    STEP(get_msrs),
    STEP(set_msrs),
    STEP(set_cpuid),
    STEP(hyperv_cpuid),
    STEP(capability),
    STEP(capability_with_args),
    STEP(wait),
    STEP(answer),
    STEP(resume),
    STEP(get_sregs),
    STEP(set_sregs),
    STEP(get_regs),
    STEP(set_regs),
    STEP(get_pic0),
    STEP(set_pic0),
    STEP(get_pic1),
    STEP(set_pic1),
    STEP(get_ioapic),
    STEP(set_ioapic),
    STEP(get_pit),
    STEP(set_pit),
    STEP(get_clock),
    STEP(set_clock),
    STEP(get_fpu),
    STEP(set_fpu),
    STEP(get_debugregs),
    STEP(set_debugregs),
    STEP(get_xcrs),
    STEP(set_xcrs),
    STEP(get_lapic),
    STEP(set_lapic),
    STEP(get_mp),
    STEP(set_mp),
    STEP(get_events),
    STEP(set_events),
    {NULL, NULL},
};

static const struct step *find_step(const struct step *list, const char *name)
{
	while (list->name && strcmp(list->name, name) != 0)
		list++;
	return list->name ? list : NULL;
}

static int run_step(const char *name)
{
	const struct step *step = find_step(steps, name);
	if (!step)
		step = find_step(additions, name);
	if (step)
		return step->run();
	fprintf(stderr, "client_probe: there is no step '%s'\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	/* A host that hangs is fake_host.py's failure, but no process is to stay behind. */
	alarm(60);
	for (int i = 1; i < argc; i++) {
		details[0] = '\0';
		int result = run_step(argv[i]);
		printf("%s %d%s\n", argv[i], result, details);
	}
	return 0;
}
