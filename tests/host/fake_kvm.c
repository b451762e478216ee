/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVM as a table.
 */
#include "fake_kvm.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum fake_kind { FAKE_NONE, FAKE_DEVICE, FAKE_VM, FAKE_VCPU };

struct fake_kvm fake_kvm;

static struct kvm_backend real;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	unsigned long request;
	int code;
	unsigned int nth, seen;
} failure;

static int make_fd(void)
{
	int fd = memfd_create("fake-kvm", MFD_CLOEXEC);
	if (fd >= 0 && ftruncate(fd, FAKE_RUN_BYTES) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* What a fd is stands in its file, so that it holds for duplicates too and nothing for a number used again. */
static int make_kind(uint32_t kind, uint32_t number)
{
	int fd = make_fd();
	uint32_t words[] = {0x6b766d66, kind, number};
	if (fd >= 0 && pwrite(fd, words, sizeof(words), FAKE_RUN_BYTES - 64) != sizeof(words)) {
		close(fd);
		return -1;
	}
	return fd;
}

static enum fake_kind kind_of(int fd, uint32_t *out_number)
{
	uint32_t words[3];
	if (pread(fd, words, sizeof(words), FAKE_RUN_BYTES - 64) != sizeof(words) || words[0] != 0x6b766d66)
		return FAKE_NONE;
	*out_number = words[2];
	return (enum fake_kind)words[1];
}

static bool must_fail(unsigned long request)
{
	if (failure.code == 0 || failure.request != request)
		return false;
	failure.seen++;
	if (failure.nth != 0 && failure.seen != failure.nth)
		return false;
	errno = failure.code;
	return true;
}

static int fake_open(const char *path)
{
	(void)path;
	pthread_mutex_lock(&lock);
	int fd = must_fail(FAKE_OPEN) ? -1 : make_kind(FAKE_DEVICE, 0);
	pthread_mutex_unlock(&lock);
	return fd;
}

static int refuse(int code)
{
	errno = code;
	return -1;
}

static int get_msr_list(struct kvm_msr_list *list)
{
	uint32_t room = list->nmsrs, count = fake_kvm.msr_count ? fake_kvm.msr_count : FAKE_MSRS;
	list->nmsrs = count;
	if (room < count)
		return refuse(E2BIG);
	for (uint32_t i = 0; i < count; i++)
		list->indices[i] = FAKE_MSR_FIRST + i;
	return 0;
}

/* Two leaves, told apart by `mark`; the second has an index. */
static int get_cpuid(struct kvm_cpuid2 *cpuid, uint32_t mark)
{
	if (cpuid->nent < 2)
		return refuse(E2BIG);
	cpuid->nent = 2;
	cpuid->entries[0] = (struct kvm_cpuid_entry2){.function = mark, .eax = 1, .ebx = 2, .ecx = 3, .edx = 4};
	cpuid->entries[1] = (struct kvm_cpuid_entry2){
	    .function = mark + 1, .index = 7, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .edx = UINT32_MAX};
	return 0;
}

static int check_extension(unsigned long capability)
{
	switch (capability) {
	case KVM_CAP_IMMEDIATE_EXIT:
		return !fake_kvm.no_immediate_exit;
	case KVM_CAP_MAX_VCPUS:
		return fake_kvm.max_vcpus;
	case KVM_CAP_XSAVE2:
		return fake_kvm.xsave_size;
	case KVM_CAP_SYNC_REGS:
		return (int)fake_kvm.sync_sets;
	default:
		return capability == fake_kvm.extension ||
		       (capability < FAKE_CAPS_MAX && fake_kvm.caps[capability]);
	}
}

static int device_ioctl(unsigned long request, void *argument)
{
	switch (request) {
	case KVM_GET_API_VERSION:
		return fake_kvm.api_version;
	case KVM_GET_VCPU_MMAP_SIZE:
		return fake_kvm.run_size;
	case KVM_CHECK_EXTENSION:
		return check_extension((unsigned long)argument);
	case KVM_CREATE_VM:
		return make_kind(FAKE_VM, 0);
	case KVM_GET_SUPPORTED_CPUID: {
		struct kvm_cpuid2 *cpuid = argument;
		cpuid->nent = fake_kvm.address_bits ? 2 : 1;
		memset(cpuid->entries, 0, cpuid->nent * sizeof(cpuid->entries[0]));
		if (fake_kvm.address_bits) {
			cpuid->entries[1].function = 0x80000008;
			cpuid->entries[1].eax = 0x3000 | fake_kvm.address_bits;
		}
		return 0;
	}
	case KVM_GET_EMULATED_CPUID:
		return get_cpuid(argument, FAKE_EMULATED_LEAF);
	case KVM_GET_MSR_INDEX_LIST:
		return get_msr_list(argument);
	default:
		return refuse(ENOTTY);
	}
}

static int set_slot(const struct kvm_userspace_memory_region *region)
{
	if (region->slot >= FAKE_SLOTS_MAX)
		return refuse(EINVAL);
	for (size_t i = 0; i < FAKE_SLOTS_MAX && region->memory_size > 0; i++) {
		const struct kvm_userspace_memory_region *other = &fake_kvm.slots[i];
		if (other->memory_size && region->guest_phys_addr < other->guest_phys_addr + other->memory_size &&
		    other->guest_phys_addr < region->guest_phys_addr + region->memory_size)
			return refuse(EEXIST);
	}
	fake_kvm.slots[region->slot] = *region;
	return 0;
}

static int create_vcpu(uint32_t id)
{
	if (fake_kvm.vcpu_count == FAKE_VCPUS_MAX)
		return refuse(ENOSPC);
	int fd = make_kind(FAKE_VCPU, (uint32_t)fake_kvm.vcpu_count);
	if (fd >= 0)
		fake_kvm.vcpus[fake_kvm.vcpu_count++] = (struct fake_vcpu){.fd = fd, .id = id};
	return fd;
}

static int io_event_ioctl(const struct kvm_ioeventfd *event)
{
	size_t i = 0;
	while (i < fake_kvm.io_event_count &&
	       (fake_kvm.io_events[i].addr != event->addr || fake_kvm.io_events[i].len != event->len ||
	        fake_kvm.io_events[i].datamatch != event->datamatch ||
	        (fake_kvm.io_events[i].flags ^ event->flags) & ~KVM_IOEVENTFD_FLAG_DEASSIGN))
		i++;
	if (event->flags & KVM_IOEVENTFD_FLAG_DEASSIGN) {
		if (i == fake_kvm.io_event_count)
			return refuse(ENOENT);
		fake_kvm.io_events[i] = fake_kvm.io_events[--fake_kvm.io_event_count];
		return 0;
	}
	if (i < fake_kvm.io_event_count)
		return refuse(EEXIST);
	if (fake_kvm.io_event_count == FAKE_EVENTS_MAX)
		return refuse(ENOSPC);
	fake_kvm.io_events[fake_kvm.io_event_count++] = *event;
	return 0;
}

static int irq_event_ioctl(const struct kvm_irqfd *event)
{
	if (event->flags & KVM_IRQFD_FLAG_DEASSIGN) {
		for (size_t i = 0; i < fake_kvm.irq_event_count; i++) {
			if (fake_kvm.irq_events[i].fd == event->fd && fake_kvm.irq_events[i].gsi == event->gsi)
				fake_kvm.irq_events[i] = fake_kvm.irq_events[--fake_kvm.irq_event_count];
		}
		return 0;
	}
	if (fake_kvm.irq_event_count == FAKE_EVENTS_MAX)
		return refuse(ENOSPC);
	fake_kvm.irq_events[fake_kvm.irq_event_count++] = *event;
	return 0;
}

/* Like KVM, which writes whole 64-bit words. */
static int get_dirty_log(const struct kvm_dirty_log *log)
{
	if (log->slot >= FAKE_SLOTS_MAX || !(fake_kvm.slots[log->slot].flags & KVM_MEM_LOG_DIRTY_PAGES))
		return refuse(ENOENT);
	uint64_t pages = fake_kvm.slots[log->slot].memory_size / 4096;
	memset(log->dirty_bitmap, 0, (pages + 63) / 64 * 8);
	memset(log->dirty_bitmap, 0xff, pages / 8);
	for (uint64_t page = pages & ~UINT64_C(7); page < pages; page++)
		((uint8_t *)log->dirty_bitmap)[page / 8] |= (uint8_t)(1 << page % 8);
	fake_kvm.dirty_logs++;
	if (fake_kvm.on_dirty_log)
		fake_kvm.on_dirty_log();
	return 0;
}

static int set_routing(const struct kvm_irq_routing *routing)
{
	if (routing->nr > FAKE_ROUTES_MAX)
		return refuse(EINVAL);
	fake_kvm.route_count = routing->nr;
	memcpy(fake_kvm.routes, routing->entries, routing->nr * sizeof(routing->entries[0]));
	return 0;
}

static int chip_ioctl(unsigned long request, struct kvm_irqchip *chip)
{
	if (chip->chip_id >= sizeof(fake_kvm.chips) / sizeof(fake_kvm.chips[0]))
		return refuse(EINVAL);
	if (request == KVM_GET_IRQCHIP)
		memcpy(&chip->chip, &fake_kvm.chips[chip->chip_id].chip, sizeof(chip->chip));
	else
		fake_kvm.chips[chip->chip_id] = *chip;
	return 0;
}

static void note_msr_call(const struct fake_msr_call *call)
{
	if (fake_kvm.msr_call_count < FAKE_MSR_CALLS_MAX)
		fake_kvm.msr_calls[fake_kvm.msr_call_count++] = *call;
}

static int enable_capability(const struct kvm_enable_cap *capability)
{
	fake_kvm.capability = *capability;
	if (capability->cap == KVM_CAP_X86_USER_SPACE_MSR) {
		struct fake_msr_call call = {.reasons = capability->args[0]};
		note_msr_call(&call);
	}
	return 0;
}

static int set_msr_filter(const struct kvm_msr_filter *filter)
{
	struct fake_msr_call call = {.is_filter = true, .filter = *filter, .denies_all = true};
	for (size_t i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++) {
		const struct kvm_msr_filter_range *range = &filter->ranges[i];
		for (uint32_t bit = 0; bit < range->nmsrs; bit++)
			call.denies_all = call.denies_all && !(range->bitmap[bit / 8] >> bit % 8 & 1);
		call.filter.ranges[i].bitmap = NULL;
	}
	note_msr_call(&call);
	return 0;
}

static int vm_ioctl(unsigned long request, void *argument)
{
	switch (request) {
	case KVM_SET_TSS_ADDR:
	case KVM_CREATE_IRQCHIP:
	case KVM_CREATE_PIT2:
		return 0;
	case KVM_CHECK_EXTENSION:
		return check_extension((unsigned long)argument);
	case KVM_SET_USER_MEMORY_REGION:
		return set_slot(argument);
	case KVM_CREATE_VCPU:
		return create_vcpu((uint32_t)(unsigned long)argument);
	case KVM_IOEVENTFD:
		return io_event_ioctl(argument);
	case KVM_IRQFD:
		return irq_event_ioctl(argument);
	case KVM_IRQ_LINE:
		fake_kvm.line = *(const struct kvm_irq_level *)argument;
		return 0;
	case KVM_GET_DIRTY_LOG:
		return get_dirty_log(argument);
	case KVM_SET_GSI_ROUTING:
		return set_routing(argument);
	case KVM_GET_IRQCHIP:
	case KVM_SET_IRQCHIP:
		return chip_ioctl(request, argument);
	case KVM_GET_PIT2:
		*(struct kvm_pit_state2 *)argument = fake_kvm.pit;
		return 0;
	case KVM_SET_PIT2:
		fake_kvm.pit = *(const struct kvm_pit_state2 *)argument;
		return 0;
	case KVM_GET_CLOCK:
		*(struct kvm_clock_data *)argument = fake_kvm.clock;
		return 0;
	case KVM_SET_CLOCK:
		fake_kvm.clock = *(const struct kvm_clock_data *)argument;
		return 0;
	case KVM_ENABLE_CAP:
		return enable_capability(argument);
	case KVM_X86_SET_MSR_FILTER:
		return set_msr_filter(argument);
	case KVM_SIGNAL_MSI:
		fake_kvm.msi = *(const struct kvm_msi *)argument;
		return fake_kvm.msi_result;
	case KVM_SET_IDENTITY_MAP_ADDR:
		fake_kvm.identity_map = *(const uint64_t *)argument;
		return 0;
	default:
		return refuse(ENOTTY);
	}
}

/* Like KVM, stop at the first MSR that there is not, and say how many were done. */
static int msrs_ioctl(struct fake_vcpu *vcpu, struct kvm_msrs *msrs, bool set)
{
	uint32_t i = 0;
	for (; i < msrs->nmsrs; i++) {
		struct kvm_msr_entry *entry = &msrs->entries[i];
		if (entry->index < FAKE_MSR_FIRST || entry->index >= FAKE_MSR_FIRST + FAKE_MSRS)
			break;
		uint64_t *value = &vcpu->msrs[entry->index - FAKE_MSR_FIRST];
		if (set)
			*value = entry->data;
		else
			entry->data = *value;
	}
	return (int)i;
}

static int set_cpuid(struct fake_vcpu *vcpu, const struct kvm_cpuid2 *cpuid)
{
	if (cpuid->nent > FAKE_CPUID_MAX)
		return refuse(E2BIG);
	memcpy(vcpu->cpuid, cpuid->entries, cpuid->nent * sizeof(cpuid->entries[0]));
	vcpu->cpuid_count = cpuid->nent;
	return 0;
}

static int get_vcpu_cpuid(const struct fake_vcpu *vcpu, struct kvm_cpuid2 *cpuid)
{
	uint32_t room = cpuid->nent;
	cpuid->nent = vcpu->cpuid_count;
	if (room < vcpu->cpuid_count)
		return refuse(E2BIG);
	memcpy(cpuid->entries, vcpu->cpuid, vcpu->cpuid_count * sizeof(cpuid->entries[0]));
	return 0;
}

/* Like KVM, which says how much room it takes. */
static int get_nested(struct kvm_nested_state *state)
{
	uint32_t room = state->size;
	state->size = fake_kvm.nested_size;
	if (room < fake_kvm.nested_size)
		return refuse(E2BIG);
	memcpy(state, fake_kvm.nested, fake_kvm.nested_size);
	state->size = fake_kvm.nested_size;
	return 0;
}

static int xsave_ioctl(unsigned long request, void *argument)
{
	size_t size = fake_kvm.xsave_size > 4096 ? (size_t)fake_kvm.xsave_size : 4096;
	if (request == KVM_GET_XSAVE2)
		memcpy(argument, fake_kvm.xsave, size);
	else if (request == KVM_GET_XSAVE)
		memcpy(argument, fake_kvm.xsave, 4096);
	else
		memcpy(fake_kvm.xsave, argument, size);
	return 0;
}

static int translate(struct kvm_translation *translation)
{
	translation->physical_address = translation->linear_address + FAKE_TRANSLATION;
	translation->valid = translation->linear_address & 1;
	translation->writeable = translation->linear_address >> 1 & 1;
	translation->usermode = translation->linear_address >> 2 & 1;
	return 0;
}

static int vcpu_ioctl(struct fake_vcpu *vcpu, unsigned long request, void *argument)
{
#define STATE(name, get_request, set_request)                      \
	if (request == get_request) {                              \
		memcpy(argument, &vcpu->name, sizeof(vcpu->name)); \
		return 0;                                          \
	}                                                          \
	if (request == set_request) {                              \
		memcpy(&vcpu->name, argument, sizeof(vcpu->name)); \
		return 0;                                          \
	}
	STATE(regs, KVM_GET_REGS, KVM_SET_REGS)
	STATE(sregs, KVM_GET_SREGS, KVM_SET_SREGS)
	STATE(fpu, KVM_GET_FPU, KVM_SET_FPU)
	STATE(debugregs, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS)
	STATE(lapic, KVM_GET_LAPIC, KVM_SET_LAPIC)
	STATE(mp_state, KVM_GET_MP_STATE, KVM_SET_MP_STATE)
	STATE(xcrs, KVM_GET_XCRS, KVM_SET_XCRS)
	STATE(events, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS)
#undef STATE
	switch (request) {
	case KVM_GET_MSRS:
	case KVM_SET_MSRS:
		return msrs_ioctl(vcpu, argument, request == KVM_SET_MSRS);
	case KVM_SET_CPUID2:
		return set_cpuid(vcpu, argument);
	case KVM_GET_CPUID2:
		return get_vcpu_cpuid(vcpu, argument);
	case KVM_GET_XSAVE:
	case KVM_GET_XSAVE2:
	case KVM_SET_XSAVE:
		return xsave_ioctl(request, argument);
	case KVM_GET_TSC_KHZ:
		return (int)vcpu->tsc_khz;
	case KVM_SET_TSC_KHZ:
		vcpu->tsc_khz = (uint32_t)(unsigned long)argument;
		return 0;
	case KVM_GET_NESTED_STATE:
		return get_nested(argument);
	case KVM_SET_NESTED_STATE:
		memcpy(fake_kvm.nested, argument, ((const struct kvm_nested_state *)argument)->size);
		return 0;
	case KVM_INTERRUPT:
		vcpu->interrupts++;
		vcpu->vector = ((const struct kvm_interrupt *)argument)->irq;
		return 0;
	case KVM_NMI:
		vcpu->nmis++;
		return 0;
	case KVM_SET_GUEST_DEBUG:
		vcpu->debug = *(const struct kvm_guest_debug *)argument;
		return 0;
	case KVM_TRANSLATE:
		return translate(argument);
	case KVM_GET_SUPPORTED_HV_CPUID:
		return get_cpuid(argument, FAKE_HYPERV_LEAF);
	case KVM_ENABLE_CAP:
		vcpu->capability = ((const struct kvm_enable_cap *)argument)->cap;
		return 0;
	default:
		return refuse(ENOTTY);
	}
}

int fake_kvm_idle(struct fake_vcpu *vcpu)
{
	while (!__atomic_load_n(&vcpu->run->immediate_exit, __ATOMIC_SEQ_CST))
		usleep(1000);
	return EINTR;
}

/* Take what is dirty; returns 0 or an errno. */
static int take_dirty(struct fake_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	if (run->kvm_valid_regs & ~(uint64_t)fake_kvm.sync_sets || run->kvm_dirty_regs & ~UINT64_C(1))
		return EINVAL;
	if (run->kvm_dirty_regs & KVM_SYNC_X86_REGS)
		vcpu->regs = run->s.regs.regs;
	run->kvm_dirty_regs = 0;
	return 0;
}

/* As KVM does it: what is dirty first, what is wanted last, whatever is returned. */
static int fake_run(struct fake_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	int code = 0;
	if (vcpu->mp_state.mp_state == KVM_MP_STATE_UNINITIALIZED)
		code = EAGAIN;
	else
		code = take_dirty(vcpu);
	if (code == 0 && __atomic_load_n(&run->immediate_exit, __ATOMIC_SEQ_CST))
		code = EINTR;
	if (code == 0)
		code = fake_kvm.run ? fake_kvm.run(vcpu) : fake_kvm_idle(vcpu);
	if (run->kvm_valid_regs & KVM_SYNC_X86_REGS)
		run->s.regs.regs = vcpu->regs;
	if (run->kvm_valid_regs & KVM_SYNC_X86_SREGS)
		run->s.regs.sregs = vcpu->sregs;
	if (run->kvm_valid_regs & KVM_SYNC_X86_EVENTS)
		run->s.regs.events = vcpu->events;
	return code ? refuse(code) : 0;
}

static int fake_ioctl(int fd, unsigned long request, void *argument)
{
	uint32_t number = 0;
	int result;
	pthread_mutex_lock(&lock);
	enum fake_kind kind = kind_of(fd, &number);
	bool runs = kind == FAKE_VCPU && request == KVM_RUN;
	if (must_fail(request)) {
		runs = false;
		result = -1;
	} else {
		result = runs                  ? 0
		         : kind == FAKE_DEVICE ? device_ioctl(request, argument)
		         : kind == FAKE_VM     ? vm_ioctl(request, argument)
		         : kind == FAKE_VCPU   ? vcpu_ioctl(&fake_kvm.vcpus[number], request, argument)
		                               : refuse(ENOTTY);
	}
	pthread_mutex_unlock(&lock);
	return runs ? fake_run(&fake_kvm.vcpus[number]) : result;
}

static void *fake_map(int fd, size_t size)
{
	uint32_t number;
	pthread_mutex_lock(&lock);
	void *run = must_fail(FAKE_MAP) ? MAP_FAILED : real.map(fd, size);
	if (run != MAP_FAILED && kind_of(fd, &number) == FAKE_VCPU)
		fake_kvm.vcpus[number].run = run;
	pthread_mutex_unlock(&lock);
	return run;
}

void fake_kvm_install(void)
{
	if (!real.open)
		real = kvm_backend;
	memset(&fake_kvm, 0, sizeof(fake_kvm));
	fake_kvm.api_version = KVM_API_VERSION;
	fake_kvm.run_size = FAKE_RUN_BYTES;
	fake_kvm.address_bits = 46;
	fake_kvm.extension = KVM_CAP_IRQCHIP;
	fake_kvm.sync_sets = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
	fake_kvm_fail(0, 0, 0);
	kvm_backend = (struct kvm_backend){.open = fake_open, .ioctl = fake_ioctl, .map = fake_map};
}

void fake_kvm_remove(void)
{
	kvm_backend = real;
}

void fake_kvm_fail(unsigned long request, int code, unsigned int nth)
{
	pthread_mutex_lock(&lock);
	failure.request = request;
	failure.code = code;
	failure.nth = nth;
	failure.seen = 0;
	pthread_mutex_unlock(&lock);
}

size_t fake_kvm_slots(void)
{
	size_t count = 0;
	for (size_t i = 0; i < FAKE_SLOTS_MAX; i++)
		count += fake_kvm.slots[i].memory_size > 0;
	return count;
}

struct fake_vcpu *fake_kvm_vcpu(uint32_t id)
{
	struct fake_vcpu *found = NULL;
	for (size_t i = 0; i < fake_kvm.vcpu_count; i++) {
		if (fake_kvm.vcpus[i].id == id)
			found = &fake_kvm.vcpus[i];
	}
	return found;
}
