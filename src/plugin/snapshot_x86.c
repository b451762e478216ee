/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The whole state of a vCPU as one blob: a header, then sections, each a kind, a size and the kernel's struct. Made here of
 * the single gets and sets of crosvm.h, so that the host has nothing to do with it. Runs in the plugin, on the thread
 * that the vCPU belongs to. A blob to restore may come from a file: its shape is checked before anything changes, its
 * content by KVM.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/extra.h"
#include "plugin/stats.h"
#include "plugin/vcpu.h"

/* More than a message holds, and more than any vCPU of today has. */
#define BLOB_BYTES_MAX 65536

/* Changes with the meaning of a section, or when one is added that a restore needs. */
#define BLOB_VERSION 1

/* More than any kernel has in its list. */
#define MSRS_MAX 1024

#define MAGIC 0x756370766d76676cull /* any; what is not a blob does not begin so */

struct header {
	uint64_t magic;
	uint32_t version;
	uint32_t irqchip;
	uint32_t size; /* of the whole blob */
	uint32_t reserved;
};

/*
 * In the order of restoring. CPUID decides what the rest may be; sregs hold the APIC base and what nested state
 * depends on; the local APIC has to be there before the deadline MSR of its timer.
 */
enum section_kind {
	SECTION_CPUID = 1,
	SECTION_TSC_KHZ,
	SECTION_SREGS,
	SECTION_NESTED,
	SECTION_REGS,
	SECTION_XSAVE,
	SECTION_XCRS,
	SECTION_MP_STATE,
	SECTION_LAPIC,
	SECTION_MSRS,
	SECTION_EVENTS,
	SECTION_DEBUGREGS,
	SECTIONS_END,
};

struct section {
	uint32_t kind;
	uint32_t size; /* of what follows, which is padded to a multiple of 8 */
};

/* A blob that is being written. */
struct blob {
	uint8_t *data; /* BLOB_BYTES_MAX */
	size_t size;
	struct section *open;
};

static size_t padded(size_t size)
{
	return (size + 7) & ~(size_t)7;
}

/* Begin a section and return where its content goes; NULL if `room` bytes do not fit. */
static void *section_begin(struct blob *blob, enum section_kind kind, size_t room)
{
	if (blob->size + sizeof(struct section) + padded(room) > BLOB_BYTES_MAX)
		return NULL;
	blob->open = (struct section *)(blob->data + blob->size);
	blob->open->kind = kind;
	return blob->open + 1;
}

static void section_end(struct blob *blob, size_t size)
{
	blob->open->size = (uint32_t)size;
	blob->size += sizeof(struct section) + padded(size);
}

/* Take a section whose size the call itself tells. */
static int take_sized(struct crosvm_vcpu *vcpu, struct blob *blob, enum section_kind kind,
                      int (*get)(struct crosvm_vcpu *, uint32_t, void *, uint32_t *))
{
	size_t room = BLOB_BYTES_MAX - blob->size;
	void *content = room > 2 * sizeof(struct section) ? section_begin(blob, kind, 0) : NULL;
	uint32_t size;
	int error = content ? get(vcpu, (uint32_t)(room - 2 * sizeof(struct section)), content, &size) : -E2BIG;
	if (!error)
		section_end(blob, size);
	return error;
}

static int take_cpuid(struct crosvm_vcpu *vcpu, struct blob *blob)
{
	return take_sized(vcpu, blob, SECTION_CPUID, extra_get_cpuid);
}

static int restore_cpuid(struct crosvm_vcpu *vcpu, struct wire_bytes content)
{
	if (content.size % sizeof(struct kvm_cpuid_entry2) != 0)
		return -EINVAL;
	uint32_t count = (uint32_t)(content.size / sizeof(struct kvm_cpuid_entry2));
	/* Once the vCPU has run KVM takes no table but the same, and older kernels none at all. */
	uint8_t *now = malloc(BLOB_BYTES_MAX);
	uint32_t size;
	int error = now ? extra_get_cpuid(vcpu, BLOB_BYTES_MAX, now, &size) : -ENOMEM;
	if (!error && (size != content.size || memcmp(now, content.data, size) != 0))
		error = crosvm_vcpu_set_cpuid(vcpu, count, (const struct kvm_cpuid_entry2 *)content.data);
	free(now);
	return error;
}

static int take_tsc_khz(struct crosvm_vcpu *vcpu, struct blob *blob)
{
	uint32_t *content = section_begin(blob, SECTION_TSC_KHZ, sizeof(*content));
	if (!content)
		return -E2BIG;
	int error = crosvm_vcpu_get_tsc_khz(vcpu, content);
	if (error == -EPROTO || error == -ECONNRESET)
		return error;
	/* Any other means that KVM does not say. */
	if (!error)
		section_end(blob, sizeof(*content));
	return 0;
}

static int restore_tsc_khz(struct crosvm_vcpu *vcpu, struct wire_bytes content)
{
	uint32_t khz, now;
	memcpy(&khz, content.data, sizeof(khz));
	if (crosvm_vcpu_get_tsc_khz(vcpu, &now) == 0 && now == khz)
		return 0;
	return crosvm_vcpu_set_tsc_khz(vcpu, khz);
}

/* What KVM has of a nested guest; nothing where it has no nested virtualisation. */
static int take_nested(struct crosvm_vcpu *vcpu, struct blob *blob)
{
	if (!machine_has(vcpu->machine, CROSVM_FEATURE_NESTED))
		return 0;
	return take_sized(vcpu, blob, SECTION_NESTED, crosvm_vcpu_get_nested_state);
}

static int restore_nested(struct crosvm_vcpu *vcpu, struct wire_bytes content)
{
	return crosvm_vcpu_set_nested_state(vcpu, (uint32_t)content.size, content.data);
}

static int take_xsave(struct crosvm_vcpu *vcpu, struct blob *blob)
{
	return take_sized(vcpu, blob, SECTION_XSAVE, crosvm_vcpu_get_xsave);
}

static int restore_xsave(struct crosvm_vcpu *vcpu, struct wire_bytes content)
{
	return crosvm_vcpu_set_xsave(vcpu, (uint32_t)content.size, content.data);
}

/* Read those of the `count` MSRs that KVM lets be read; returns how many, which come first then, or -errno. */
static int read_msrs(struct crosvm_vcpu *vcpu, struct kvm_msr_entry *entries, uint32_t count)
{
	uint32_t kept = 0;
	for (uint32_t at = 0; at < count;) {
		uint32_t chunk = count - at < LIMIT_MSRS ? count - at : LIMIT_MSRS, read;
		int error = crosvm_vcpu_get_msrs(vcpu, chunk, &entries[at], &read);
		if (error)
			return error;
		memmove(&entries[kept], &entries[at], read * sizeof(entries[0]));
		kept += read;
		at += read < chunk ? read + 1 : chunk; /* without the one that it refused */
	}
	return (int)kept;
}

static int take_msrs(struct crosvm_vcpu *vcpu, struct blob *blob)
{
	uint32_t indices[MSRS_MAX], size;
	int error = extra_get_msr_indices(vcpu, sizeof(indices), indices, &size);
	if (error)
		return error;
	uint32_t count = size / sizeof(indices[0]);
	struct kvm_msr_entry *content = section_begin(blob, SECTION_MSRS, count * sizeof(*content));
	if (!content)
		return -E2BIG;
	for (uint32_t i = 0; i < count; i++)
		content[i] = (struct kvm_msr_entry){.index = indices[i]};
	int read = read_msrs(vcpu, content, count);
	if (read < 0)
		return read;
	section_end(blob, (size_t)read * sizeof(*content));
	return 0;
}

/* Some can be read and not written: no harm if this one is as it should be. */
static bool has_value(struct crosvm_vcpu *vcpu, const struct kvm_msr_entry *wanted)
{
	struct kvm_msr_entry now = {.index = wanted->index};
	uint32_t read;
	return crosvm_vcpu_get_msrs(vcpu, 1, &now, &read) == 0 && read == 1 && now.data == wanted->data;
}

static int restore_msrs(struct crosvm_vcpu *vcpu, struct wire_bytes content)
{
	const struct kvm_msr_entry *entries = (const struct kvm_msr_entry *)content.data;
	uint32_t count = (uint32_t)(content.size / sizeof(*entries));
	if (content.size % sizeof(*entries) != 0)
		return -EINVAL;
	for (uint32_t at = 0; at < count;) {
		uint32_t chunk = count - at < LIMIT_MSRS ? count - at : LIMIT_MSRS, set;
		int error = crosvm_vcpu_set_msrs_counted(vcpu, chunk, &entries[at], &set);
		if (error)
			return error;
		at += set;
		if (set < chunk && !has_value(vcpu, &entries[at++]))
			return -EINVAL;
	}
	return 0;
}

/* The sections that are one struct of the kernel. */
#define PLAIN_SECTIONS(X)                                      \
	X(SECTION_SREGS, sregs, struct kvm_sregs)              \
	X(SECTION_REGS, regs, struct kvm_regs)                 \
	X(SECTION_XCRS, xcrs, struct kvm_xcrs)                 \
	X(SECTION_MP_STATE, mp_state, struct kvm_mp_state)     \
	X(SECTION_EVENTS, vcpu_events, struct kvm_vcpu_events) \
	X(SECTION_DEBUGREGS, debugregs, struct kvm_debugregs)

#define PLAIN_CALLS(SECTION, name, type)                                               \
	static int take_##name(struct crosvm_vcpu *vcpu, struct blob *blob)            \
	{                                                                              \
		type *content = section_begin(blob, SECTION, sizeof(*content));        \
		int result = content ? crosvm_vcpu_get_##name(vcpu, content) : -E2BIG; \
		if (result == 0)                                                       \
			section_end(blob, sizeof(*content));                           \
		return result;                                                         \
	}                                                                              \
	static int restore_##name(struct crosvm_vcpu *vcpu, struct wire_bytes content) \
	{                                                                              \
		return crosvm_vcpu_set_##name(vcpu, (const type *)content.data);       \
	}
PLAIN_SECTIONS(PLAIN_CALLS)

static int take_lapic(struct crosvm_vcpu *vcpu, struct blob *blob)
{
	if (vcpu->machine->info.irqchip == CROSVM_IRQCHIP_NONE)
		return 0;
	struct kvm_lapic_state *content = section_begin(blob, SECTION_LAPIC, sizeof(*content));
	int error = content ? crosvm_vcpu_get_lapic_state(vcpu, content) : -E2BIG;
	if (!error)
		section_end(blob, sizeof(*content));
	return error;
}

static int restore_lapic(struct crosvm_vcpu *vcpu, struct wire_bytes content)
{
	return crosvm_vcpu_set_lapic_state(vcpu, (const struct kvm_lapic_state *)content.data);
}

/* What every vCPU has: without one of these it is not the whole state. */
#define NEEDED                                                                                     \
	(1u << SECTION_CPUID | 1u << SECTION_SREGS | 1u << SECTION_REGS | 1u << SECTION_XSAVE |    \
	 1u << SECTION_XCRS | 1u << SECTION_MP_STATE | 1u << SECTION_MSRS | 1u << SECTION_EVENTS | \
	 1u << SECTION_DEBUGREGS)

static uint32_t needed_sections(const struct crosvm_vcpu *vcpu)
{
	return NEEDED | (vcpu->machine->info.irqchip == CROSVM_IRQCHIP_NONE ? 0 : 1u << SECTION_LAPIC);
}

static const struct {
	int (*take)(struct crosvm_vcpu *vcpu, struct blob *blob);
	int (*restore)(struct crosvm_vcpu *vcpu, struct wire_bytes content);
	size_t size; /* 0: it varies */
} sections[SECTIONS_END] = {
#define PLAIN_ROW(SECTION, name, type) [SECTION] = {take_##name, restore_##name, sizeof(type)},
    PLAIN_SECTIONS(PLAIN_ROW)[SECTION_CPUID] = {take_cpuid, restore_cpuid, 0},
    [SECTION_TSC_KHZ] = {take_tsc_khz, restore_tsc_khz, sizeof(uint32_t)},
    [SECTION_NESTED] = {take_nested, restore_nested, 0},
    [SECTION_XSAVE] = {take_xsave, restore_xsave, 0},
    [SECTION_LAPIC] = {take_lapic, restore_lapic, sizeof(struct kvm_lapic_state)},
    [SECTION_MSRS] = {take_msrs, restore_msrs, 0},
};

static int take_all(struct crosvm_vcpu *vcpu, struct blob *blob)
{
	blob->data = calloc(1, BLOB_BYTES_MAX);
	if (!blob->data)
		return -ENOMEM;
	blob->size = sizeof(struct header);
	int error = 0;
	for (enum section_kind kind = SECTION_CPUID; kind < SECTIONS_END && !error; kind++)
		error = sections[kind].take(vcpu, blob);
	const struct header header = {.magic = MAGIC,
	                              .version = BLOB_VERSION,
	                              .irqchip = vcpu->machine->info.irqchip,
	                              .size = (uint32_t)blob->size};
	memcpy(blob->data, &header, sizeof(header));
	return error;
}

static int check_header(const struct crosvm_vcpu *vcpu, uint32_t size, const void *blob)
{
	struct header header;
	if (size < sizeof(header))
		return -EINVAL;
	memcpy(&header, blob, sizeof(header));
	if (header.magic != MAGIC)
		return -EINVAL;
	if (header.version != BLOB_VERSION)
		return -EPROTONOSUPPORT;
	return header.size == size && header.irqchip == vcpu->machine->info.irqchip ? 0 : -EINVAL;
}

/* Go through the sections, in their order and without a gap in what is needed. Without `apply` they are only checked. */
static int walk(struct crosvm_vcpu *vcpu, const uint8_t *blob, size_t size, bool apply)
{
	size_t at = sizeof(struct header);
	uint32_t last_kind = 0, found = 0;
	while (at < size) {
		const struct section *section = (const struct section *)(blob + at);
		size_t left = size - at;
		if (left < sizeof(*section) || padded(section->size) > left - sizeof(*section))
			return -EINVAL;
		if (section->kind <= last_kind || section->kind >= SECTIONS_END)
			return -EINVAL;
		if (sections[section->kind].size != 0 && sections[section->kind].size != section->size)
			return -EINVAL;
		struct wire_bytes content = {(const uint8_t *)(section + 1), section->size};
		int error = apply ? sections[section->kind].restore(vcpu, content) : 0;
		if (error)
			return error;
		last_kind = section->kind;
		found |= 1u << section->kind;
		at += sizeof(*section) + padded(section->size);
	}
	return needed_sections(vcpu) & ~found ? -EINVAL : 0;
}

/* Apply a blob of good shape, to its last deferred set. */
static int apply_all(struct crosvm_vcpu *vcpu, const uint8_t *blob, size_t size)
{
	int error = walk(vcpu, blob, size, true);
	if (error)
		return error;
	error = vcpu_enter_stopped(vcpu);
	if (error)
		return error;
	error = state_flush(vcpu);
	vcpu_leave(vcpu);
	return error;
}

int crosvm_vcpu_get_all(struct crosvm_vcpu *vcpu, uint32_t size, void *out_blob, uint32_t *out_size)
{
	STATS();
	if (!vcpu || !out_size || (size > 0 && !out_blob))
		return -EINVAL;
	*out_size = 0;
	struct blob blob = {.data = NULL};
	int error = vcpu_need(vcpu, machine_has(vcpu->machine, CROSVM_FEATURE_SNAPSHOT));
	if (!error)
		error = take_all(vcpu, &blob);
	if (!error) {
		*out_size = (uint32_t)blob.size;
		error = blob.size > size ? -E2BIG : 0;
	}
	if (!error)
		memcpy(out_blob, blob.data, blob.size);
	free(blob.data);
	return error;
}

int crosvm_vcpu_set_all(struct crosvm_vcpu *vcpu, uint32_t size, const void *blob)
{
	STATS();
	if (!vcpu || (size > 0 && !blob))
		return -EINVAL;
	int error = vcpu_need(vcpu, machine_has(vcpu->machine, CROSVM_FEATURE_SNAPSHOT));
	if (!error)
		error = check_header(vcpu, size, blob);
	if (error)
		return error;
	/* A copy, for the alignment. */
	uint8_t *copy = malloc(size);
	struct blob before = {.data = NULL};
	error = copy ? 0 : -ENOMEM;
	if (!error) {
		memcpy(copy, blob, size);
		error = walk(vcpu, copy, size, false);
	}
	if (!error)
		error = take_all(vcpu, &before);
	if (!error) {
		error = apply_all(vcpu, copy, size);
		if (error)
			apply_all(vcpu, before.data, before.size);
	}
	free(before.data);
	free(copy);
	return error;
}
