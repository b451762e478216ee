/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A KVM that is only tables in memory. It refuses what the kernel refuses, as far as the host's code has a path for
 * that, checks that the host asks for nothing that it must not, and reads and writes all of the memory that the kernel
 * would, so that a sanitizer sees what is too short.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "kvm/kvm.h"
#include "wire/limits.h"

/* What the fake has fewer of than any request may name. */
#define CPUID_ENTRIES 20
#define MSR_INDICES   30
#define XSAVE_BYTES   8192
#define NESTED_BYTES  (sizeof(struct kvm_nested_state) + 4096)
#define TSC_KHZ_MAX   10000000

struct fake_vcpu fake_vcpu;
const struct plugvm_kvm fake_kvm = {.fd = -1};

MODEL_BEGIN

/* ---- Memory ---- */

static struct {
	uint64_t start, length; /* length 0: free */
	uint32_t flags;
} slots[LIMIT_MEMORY_SLOTS];

static int set_memory(const struct kvm_userspace_memory_region *region)
{
	REQUIRE(region->slot >= FAKE_FIRST_SLOT && region->slot < FAKE_FIRST_SLOT + LIMIT_MEMORY_SLOTS);
	size_t slot = region->slot - FAKE_FIRST_SLOT;
	uint64_t start = region->guest_phys_addr, length = region->memory_size;
	if (length == 0) {
		REQUIRE(slots[slot].length > 0);
		slots[slot].length = 0;
		return 0;
	}
	REQUIRE(slots[slot].length == 0);
	REQUIRE(start % 4096 == 0 && length % 4096 == 0 && start + length > start);
	REQUIRE(region->userspace_addr != 0 && region->userspace_addr % 4096 == 0);
	REQUIRE((region->flags & ~(KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES)) == 0);
	for (size_t i = 0; i < LIMIT_MEMORY_SLOTS; i++) {
		if (slots[i].length > 0 && start < slots[i].start + slots[i].length &&
		    slots[i].start < start + length)
			return -EEXIST;
	}
	slots[slot].start = start;
	slots[slot].length = length;
	slots[slot].flags = region->flags;
	return 0;
}

static int get_dirty_log(const struct kvm_dirty_log *log)
{
	REQUIRE(log->slot >= FAKE_FIRST_SLOT && log->slot < FAKE_FIRST_SLOT + LIMIT_MEMORY_SLOTS);
	size_t slot = log->slot - FAKE_FIRST_SLOT;
	REQUIRE(slots[slot].length > 0);
	if (!(slots[slot].flags & KVM_MEM_LOG_DIRTY_PAGES))
		return -ENOENT;
	memset(log->dirty_bitmap, 0x5a, (slots[slot].length / 4096 + 63) / 64 * 8);
	return 0;
}

/* ---- Events ---- */

static struct fake_event {
	bool is_used;
	struct kvm_ioeventfd io; /* fd and flags of both kinds are here */
	uint32_t gsi;
	bool is_irq;
} events[LIMIT_EVENTS];

static bool are_same(const struct fake_event *a, const struct fake_event *b)
{
	return a->is_irq == b->is_irq && a->io.fd == b->io.fd && a->gsi == b->gsi && a->io.addr == b->io.addr &&
	       a->io.len == b->io.len;
}

static bool collide(const struct fake_event *a, const struct fake_event *b)
{
	uint32_t kind = KVM_IOEVENTFD_FLAG_PIO;
	return !a->is_irq && !b->is_irq && (a->io.flags & kind) == (b->io.flags & kind) &&
	       a->io.addr == b->io.addr && a->io.len == b->io.len && a->io.datamatch == b->io.datamatch;
}

static int add_event(const struct fake_event *event)
{
	struct fake_event *room = NULL;
	for (size_t i = 0; i < LIMIT_EVENTS; i++) {
		if (events[i].is_used && collide(&events[i], event))
			return -EEXIST;
		if (!events[i].is_used && !room)
			room = &events[i];
	}
	REQUIRE(room);
	*room = *event;
	room->is_used = true;
	return 0;
}

static int remove_event(const struct fake_event *event)
{
	for (size_t i = 0; i < LIMIT_EVENTS; i++) {
		if (events[i].is_used && are_same(&events[i], event)) {
			events[i].is_used = false;
			return 0;
		}
	}
	REQUIRE(event->is_used); /* it is there */
	return -ENOENT;
}

static int set_io_event(const struct kvm_ioeventfd *io)
{
	const uint32_t flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_DEASSIGN;
	struct fake_event event = {.io = *io};
	REQUIRE(io->fd >= 0 && (io->flags & ~flags) == 0);
	REQUIRE(io->len == 0 || io->len == 1 || io->len == 2 || io->len == 4 || io->len == 8);
	REQUIRE(!(io->flags & KVM_IOEVENTFD_FLAG_PIO) || io->addr <= 0xffff);
	if (io->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		return remove_event(&event);
	if (io->addr + io->len < io->addr || (io->len == 0 && io->flags & KVM_IOEVENTFD_FLAG_DATAMATCH))
		return -EINVAL;
	return add_event(&event);
}

static int set_irq_event(const struct kvm_irqfd *irq)
{
	struct fake_event event = {.is_irq = true, .gsi = irq->gsi, .io.fd = (int)irq->fd};
	REQUIRE((int)irq->fd >= 0 && irq->gsi <= LIMIT_GSI);
	REQUIRE((irq->flags & ~(uint32_t)(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE)) == 0);
	REQUIRE(!(irq->flags & KVM_IRQFD_FLAG_RESAMPLE) || (int)irq->resamplefd >= 0);
	return irq->flags & KVM_IRQFD_FLAG_DEASSIGN ? remove_event(&event) : add_event(&event);
}

size_t fake_kvm_objects(void)
{
	size_t used = 0;
	for (size_t i = 0; i < LIMIT_MEMORY_SLOTS; i++)
		used += slots[i].length > 0;
	for (size_t i = 0; i < LIMIT_EVENTS; i++)
		used += events[i].is_used;
	return used;
}

MODEL_END

/* ---- The rest of a VM ---- */

static int set_routing(const struct kvm_irq_routing *routing)
{
	REQUIRE(routing->nr <= LIMIT_IRQ_ROUTES && routing->flags == 0);
	for (uint32_t i = 0; i < routing->nr; i++) {
		const struct kvm_irq_routing_entry *entry = &routing->entries[i];
		REQUIRE(entry->gsi <= LIMIT_GSI && entry->flags == 0);
		REQUIRE(entry->type == KVM_IRQ_ROUTING_IRQCHIP || entry->type == KVM_IRQ_ROUTING_MSI);
		if (entry->type == KVM_IRQ_ROUTING_IRQCHIP && entry->u.irqchip.irqchip > KVM_IRQCHIP_IOAPIC)
			return -EINVAL;
	}
	return 0;
}

static int enable_capability(const struct kvm_enable_cap *capability)
{
	REQUIRE(capability->flags == 0);
	switch (capability->cap) {
	case KVM_CAP_X86_USER_SPACE_MSR:
		REQUIRE(capability->args[0] <= 7);
		return 0;
	case KVM_CAP_HYPERV_SYNIC:
		return 0;
	default:
		REQUIRE(capability->cap == KVM_CAP_HYPERV_SYNIC2);
		return -EINVAL;
	}
}

static int set_msr_filter(const struct kvm_msr_filter *filter)
{
	unsigned int allowed = 0;
	REQUIRE(filter->flags == KVM_MSR_FILTER_DEFAULT_ALLOW);
	for (size_t i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++) {
		const struct kvm_msr_filter_range *range = &filter->ranges[i];
		if (range->nmsrs == 0)
			continue;
		REQUIRE(range->nmsrs <= 0x600 * 8 && range->base + (range->nmsrs - 1) >= range->base);
		REQUIRE(range->flags != 0 && range->flags <= 3);
		for (size_t byte = 0; byte < (range->nmsrs + 7) / 8; byte++)
			allowed |= range->bitmap[byte];
	}
	REQUIRE(allowed == 0);
	return 0;
}

static int vm_call(unsigned long request, void *argument)
{
	switch (request) {
	case KVM_SET_USER_MEMORY_REGION:
		return set_memory(argument);
	case KVM_GET_DIRTY_LOG:
		return get_dirty_log(argument);
	case KVM_IOEVENTFD:
		return set_io_event(argument);
	case KVM_IRQFD:
		return set_irq_event(argument);
	case KVM_IRQ_LINE: {
		const struct kvm_irq_level *line = argument;
		REQUIRE(line->irq <= LIMIT_GSI && line->level <= 1);
		return 0;
	}
	case KVM_SET_GSI_ROUTING:
		return set_routing(argument);
	case KVM_SIGNAL_MSI: {
		const struct kvm_msi *msi = argument;
		REQUIRE(msi->flags == 0);
		return msi->address_hi ? -EINVAL : (int)(msi->data & 1);
	}
	case KVM_GET_IRQCHIP:
	case KVM_SET_IRQCHIP: {
		struct kvm_irqchip *chip = argument;
		REQUIRE(chip->chip_id <= KVM_IRQCHIP_IOAPIC);
		if (request == KVM_GET_IRQCHIP)
			memset(&chip->chip, 0x11, sizeof(chip->chip));
		return 0;
	}
	case KVM_GET_PIT2:
		memset(argument, 0x22, sizeof(struct kvm_pit_state2));
		return 0;
	case KVM_GET_CLOCK:
		memset(argument, 0x33, sizeof(struct kvm_clock_data));
		return 0;
	case KVM_SET_PIT2:
		return ((const struct kvm_pit_state2 *)argument)->flags ? -EINVAL : 0;
	case KVM_SET_CLOCK:
		return ((const struct kvm_clock_data *)argument)->flags ? -EINVAL : 0;
	case KVM_SET_IDENTITY_MAP_ADDR:
		return 0;
	case KVM_ENABLE_CAP:
		return enable_capability(argument);
	case KVM_X86_SET_MSR_FILTER:
		return set_msr_filter(argument);
	default:
		return -ENOTTY;
	}
}

/* ---- CPUID and MSRs ---- */

static int get_cpuid(struct kvm_cpuid2 *cpuid)
{
	REQUIRE(cpuid->nent == LIMIT_CPUID_ENTRIES);
	cpuid->nent = CPUID_ENTRIES;
	for (uint32_t i = 0; i < CPUID_ENTRIES; i++)
		cpuid->entries[i] = (struct kvm_cpuid_entry2){.function = i, .flags = i & 1, .eax = UINT32_MAX};
	return 0;
}

static int set_cpuid(const struct kvm_cpuid2 *cpuid)
{
	uint32_t last = 0;
	REQUIRE(cpuid->nent <= LIMIT_CPUID_ENTRIES);
	for (uint32_t i = 0; i < cpuid->nent; i++)
		last = cpuid->entries[i].eax;
	return last == 0xbad ? -EINVAL : 0;
}

static int list_msrs(struct kvm_msr_list *list)
{
	uint32_t room = list->nmsrs;
	list->nmsrs = MSR_INDICES;
	if (room < MSR_INDICES)
		return -E2BIG;
	for (uint32_t i = 0; i < MSR_INDICES; i++)
		list->indices[i] = 0x174 + i;
	return 0;
}

/* Nobody has the odd ones. */
static int use_msrs(struct kvm_msrs *msrs, bool reads)
{
	REQUIRE(msrs->nmsrs <= LIMIT_MSRS);
	for (uint32_t i = 0; i < msrs->nmsrs; i++) {
		if (msrs->entries[i].index & 1)
			return (int)i;
		if (reads)
			msrs->entries[i].data = UINT64_MAX - i;
	}
	return (int)msrs->nmsrs;
}

/* ---- A vCPU ---- */

/* What the kernel refuses, in short. */

static bool sregs_are_good(const struct kvm_sregs *sregs)
{
	bool paging = sregs->cr0 & 0x80000000u, protection = sregs->cr0 & 1;
	return protection || !paging;
}

static bool debugregs_are_good(const struct kvm_debugregs *debugregs)
{
	return debugregs->flags == 0 && debugregs->dr6 >> 32 == 0 && debugregs->dr7 >> 32 == 0;
}

/* Its XSAVE area is longer than struct kvm_xsave; the first byte says whether KVM takes it. */
static int set_xsave(const uint8_t *xsave)
{
	uint8_t copy[XSAVE_BYTES];
	memcpy(copy, xsave, sizeof(copy));
	return copy[0] == 0xff ? -EINVAL : 0;
}

static int get_nested(struct kvm_nested_state *state)
{
	REQUIRE(state->size >= NESTED_BYTES);
	memset(state, 0, NESTED_BYTES);
	state->size = NESTED_BYTES;
	return 0;
}

static int set_nested(const struct kvm_nested_state *state)
{
	uint8_t sum = 0;
	REQUIRE(state->size >= sizeof(*state));
	for (uint32_t i = 0; i < state->size; i++)
		sum ^= ((const uint8_t *)state)[i];
	return state->flags || sum & 1 ? -EINVAL : 0;
}

static int set_guest_debug(const struct kvm_guest_debug *debug)
{
	REQUIRE((debug->control & 0xffff) <= 3 && debug->control >> 16 <= 0x3f);
	return debug->control >> 16 & 0x20 ? -EINVAL : 0;
}

static int translate(struct kvm_translation *translation)
{
	translation->physical_address = translation->linear_address ^ 0x1000;
	translation->valid = translation->linear_address >> 63 == 0;
	translation->writeable = translation->usermode = 1;
	return 0;
}

static int vcpu_call(unsigned long request, void *argument)
{
	switch (request) {
#define STATE(NAME, name, good)                                            \
	case KVM_GET_##NAME:                                               \
		memcpy(argument, &fake_vcpu.name, sizeof(fake_vcpu.name)); \
		return 0;                                                  \
	case KVM_SET_##NAME: {                                             \
		__typeof__(fake_vcpu.name) wanted;                         \
		memcpy(&wanted, argument, sizeof(wanted));                 \
		if (!(good))                                               \
			return -EINVAL;                                    \
		fake_vcpu.name = wanted;                                   \
		return 0;                                                  \
	}
		STATE(REGS, regs, true)
		STATE(SREGS, sregs, sregs_are_good(&wanted))
		STATE(FPU, fpu, true)
		STATE(DEBUGREGS, debugregs, debugregs_are_good(&wanted))
		STATE(LAPIC, lapic, true)
		STATE(MP_STATE, mp_state, wanted.mp_state <= KVM_MP_STATE_AP_RESET_HOLD)
		STATE(XCRS, xcrs, wanted.nr_xcrs <= KVM_MAX_XCRS && wanted.flags == 0)
		STATE(VCPU_EVENTS, events, wanted.flags < 0x40)
#undef STATE
	case KVM_GET_SUPPORTED_CPUID:
	case KVM_GET_EMULATED_CPUID:
	case KVM_GET_SUPPORTED_HV_CPUID:
	case KVM_GET_CPUID2:
		return get_cpuid(argument);
	case KVM_SET_CPUID2:
		return set_cpuid(argument);
	case KVM_GET_MSR_INDEX_LIST:
		return list_msrs(argument);
	case KVM_GET_MSRS:
	case KVM_SET_MSRS:
		return use_msrs(argument, request == KVM_GET_MSRS);
	case KVM_GET_XSAVE2:
		memset(argument, 0x44, XSAVE_BYTES);
		return 0;
	case KVM_SET_XSAVE:
		return set_xsave(argument);
	case KVM_GET_TSC_KHZ:
		return (int)fake_vcpu.tsc_khz;
	case KVM_SET_TSC_KHZ:
		if ((uintptr_t)argument > TSC_KHZ_MAX)
			return -EINVAL;
		fake_vcpu.tsc_khz = (uint32_t)(uintptr_t)argument;
		return 0;
	case KVM_GET_NESTED_STATE:
		return get_nested(argument);
	case KVM_SET_NESTED_STATE:
		return set_nested(argument);
	case KVM_INTERRUPT:
		REQUIRE(((const struct kvm_interrupt *)argument)->irq <= 255);
		return 0;
	case KVM_NMI:
		return 0;
	case KVM_SET_GUEST_DEBUG:
		return set_guest_debug(argument);
	case KVM_TRANSLATE:
		return translate(argument);
	default:
		REQUIRE(request == 0); /* this version has no use for any other */
		return -ENOTTY;
	}
}

static int fake_ioctl(int fd, unsigned long request, void *argument)
{
	(void)fd;
	if (request == KVM_CHECK_EXTENSION && (uintptr_t)argument == KVM_CAP_XSAVE2)
		return XSAVE_BYTES;
	if (request == KVM_CHECK_EXTENSION)
		return (uintptr_t)argument % 3 == 0 ? 2 : 0;
	int result = vm_call(request, argument);
	if (result == -ENOTTY)
		result = vcpu_call(request, argument);
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

void fake_kvm_install(void)
{
	kvm_backend.ioctl = fake_ioctl;
}
