/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about the whole state of a vCPU as a blob. The guest "snapshot" reports five words of its state, changes them
 * all, and begins again: where it was restored, it reports what it reported before.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actor.h"

GUEST_DECLARE(snapshot);

#define BLOB_BYTES  65536
#define WORDS       5 /* of each turn of the guest */
#define TURNS       4
#define SECTIONS    12
#define ENTRIES_MAX 256
#define MSR_LSTAR   0xc0000082
#define CR4_OSXSAVE (1u << 18)

/* As a blob is laid out (src/plugin/snapshot_x86.c). */
struct header {
	uint64_t magic;
	uint32_t version, irqchip, size, reserved;
};
struct section {
	uint32_t kind, size;
};
enum { CPUID = 1, TSC_KHZ, SREGS, NESTED, REGS, XSAVE, XCRS, MP_STATE, LAPIC, MSRS, EVENTS, DEBUGREGS };

struct blob {
	uint32_t size;
	_Alignas(8) uint8_t bytes[BLOB_BYTES];
};

static struct header *header_of(struct blob *blob)
{
	return (struct header *)blob->bytes;
}

/* Return the section, or NULL if the blob has none. */
static struct section *section_of(struct blob *blob, uint32_t kind)
{
	for (size_t at = sizeof(struct header); at < blob->size;) {
		struct section *section = (struct section *)(blob->bytes + at);
		if (section->kind == kind)
			return section;
		at += sizeof(*section) + ((section->size + 7u) & ~7u);
	}
	return NULL;
}

static void take(struct crosvm_vcpu *vcpu, struct blob *blob)
{
	expect_result(crosvm_vcpu_get_all(vcpu, sizeof(blob->bytes), blob->bytes, &blob->size), 0);
	expect(blob->size > sizeof(struct header) && blob->size <= BLOB_BYTES);
}

static uint32_t word(struct machine *machine)
{
	uint32_t value;
	machine_wait(machine);
	expect_result(machine->event.kind, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	expect(machine->event.io_access.address == REPORT_PORT);
	memcpy(&value, machine->event.io_access.data, sizeof(value));
	return value;
}

/* Let it go on to a PAUSED event after `turns` turns, whose words are stored. */
static void run_turns(struct machine *machine, unsigned turns, uint32_t *out_words)
{
	for (unsigned i = 0; i < turns * WORDS; i++) {
		out_words[i] = word(machine);
		if (i == turns * WORDS - 1)
			expect_result(crosvm_pause_vcpus(machine->vm, 1, NULL), 0);
		machine_resume(machine);
	}
	machine_wait(machine);
	expect_result(machine->event.kind, CROSVM_VCPU_EVENT_KIND_PAUSED);
}

/* Come to a PAUSED event in the middle of the guest. */
static void begin(struct machine *machine)
{
	uint32_t words[WORDS];
	static struct kvm_cpuid_entry2 entries[ENTRIES_MAX];
	uint32_t count;
	machine_init(machine, &GUEST_64(snapshot));
	machine_start(machine);
	machine_wait(machine);
	expect_result(crosvm_get_supported_cpuid(machine->vm, ENTRIES_MAX, entries, &count), 0);
	expect_result(crosvm_vcpu_set_cpuid(machine->vcpu, count, entries), 0);
	machine_enter(machine->vcpu, LONG_MODE);
	struct kvm_sregs sregs;
	expect_result(crosvm_vcpu_get_sregs(machine->vcpu, &sregs), 0);
	sregs.cr4 |= 0x200; /* SSE */
	expect_result(crosvm_vcpu_set_sregs(machine->vcpu, &sregs), 0);
	machine_resume(machine);
	run_turns(machine, 1, words);
}

/* ---- There and back ---- */

static int replay(char **arguments)
{
	(void)arguments;
	static struct blob first, second;
	uint32_t words[TURNS * WORDS], again[TURNS * WORDS];
	struct machine machine;
	begin(&machine);
	take(machine.vcpu, &first);
	machine_resume(&machine);
	run_turns(&machine, TURNS, words);
	for (unsigned i = WORDS; i < TURNS * WORDS; i++)
		expect(words[i] != words[i - WORDS]);
	take(machine.vcpu, &second);
	for (int turn = 0; turn < 3; turn++) {
		expect_result(crosvm_vcpu_set_all(machine.vcpu, first.size, first.bytes), 0);
		machine_resume(&machine);
		run_turns(&machine, TURNS, again);
		expect(memcmp(words, again, sizeof(words)) == 0);
	}
	/* From the end of it, on to where it has not been. */
	expect_result(crosvm_vcpu_set_all(machine.vcpu, second.size, second.bytes), 0);
	machine_resume(&machine);
	run_turns(&machine, 1, again);
	expect(again[0] == words[(TURNS - 1) * WORDS] + 1);
	return 0;
}

/* Deferred sets that came before go first: a get sees them, and a set takes their place. */
static int deferred(char **arguments)
{
	(void)arguments;
	static struct blob blob, changed;
	struct machine machine;
	struct kvm_regs regs;
	uint32_t words[WORDS];
	begin(&machine);
	take(machine.vcpu, &blob);
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
	uint64_t rbx = regs.rbx;
	regs.rbx += 0x1000;
	expect_result(crosvm_vcpu_set_regs(machine.vcpu, &regs), 0);
	take(machine.vcpu, &changed);
	struct kvm_regs *taken = (struct kvm_regs *)(section_of(&changed, REGS) + 1);
	expect(taken->rbx == rbx + 0x1000);
	regs.rbx += 0x1000;
	expect_result(crosvm_vcpu_set_regs(machine.vcpu, &regs), 0);
	expect_result(crosvm_vcpu_set_all(machine.vcpu, blob.size, blob.bytes), 0);
	expect_result(crosvm_vcpu_get_regs(machine.vcpu, &regs), 0);
	expect(regs.rbx == rbx);
	machine_resume(&machine);
	run_turns(&machine, 1, words);
	expect(words[0] == rbx + 1);
	return 0;
}

/* What one VM leaves in a file for the next. */
struct saved {
	struct blob blob;
	uint32_t words[TURNS * WORDS]; /* what the guest reports after it */
};

static struct saved saved;

static int save(char **arguments)
{
	struct machine machine;
	begin(&machine);
	take(machine.vcpu, &saved.blob);
	machine_resume(&machine);
	run_turns(&machine, TURNS, saved.words);
	int fd = open(arguments[0], O_WRONLY | O_CLOEXEC);
	expect(fd >= 0 && write(fd, &saved, sizeof(saved)) == sizeof(saved));
	close(fd);
	return 0;
}

/* A vCPU that has not run, and of which nothing was set. */
static int restore(char **arguments)
{
	struct machine machine;
	uint32_t again[TURNS * WORDS];
	int fd = open(arguments[0], O_RDONLY | O_CLOEXEC);
	expect(fd >= 0 && read(fd, &saved, sizeof(saved)) == sizeof(saved));
	close(fd);
	machine_init(&machine, &GUEST_64(snapshot));
	machine_start(&machine);
	machine_wait(&machine);
	expect_result(crosvm_vcpu_set_all(machine.vcpu, saved.blob.size, saved.blob.bytes), 0);
	machine_resume(&machine);
	run_turns(&machine, TURNS, again);
	expect(memcmp(saved.words, again, sizeof(again)) == 0);
	return 0;
}

/* Some bits of CPUID follow control registers; a blob from before such a change is good after it, and the reverse. */
static int replay_control(char **arguments)
{
	(void)arguments;
	static struct blob without, with;
	struct machine machine;
	struct kvm_sregs sregs;
	uint32_t words[2 * WORDS], again[WORDS];
	begin(&machine);
	expect_result(crosvm_vcpu_get_sregs(machine.vcpu, &sregs), 0);
	sregs.cr4 |= CR4_OSXSAVE;
	take(machine.vcpu, &without);
	int result = crosvm_vcpu_set_sregs(machine.vcpu, &sregs);
	if (result == 0)
		result = crosvm_vcpu_get_sregs(machine.vcpu, &sregs);
	if (result == -EINVAL)
		skip("this machine's processor has no XSAVE for a guest");
	expect_result(result, 0);
	machine_resume(&machine);
	run_turns(&machine, 2, words);
	take(machine.vcpu, &with);
	for (int turn = 0; turn < 3; turn++) {
		expect_result(crosvm_vcpu_set_all(machine.vcpu, without.size, without.bytes), 0);
		expect_result(crosvm_vcpu_get_sregs(machine.vcpu, &sregs), 0);
		expect(!(sregs.cr4 & CR4_OSXSAVE));
		machine_resume(&machine);
		run_turns(&machine, 1, again);
		expect(memcmp(words, again, sizeof(again)) == 0);
		expect_result(crosvm_vcpu_set_all(machine.vcpu, with.size, with.bytes), 0);
		expect_result(crosvm_vcpu_get_sregs(machine.vcpu, &sregs), 0);
		expect(sregs.cr4 & CR4_OSXSAVE);
	}
	return 0;
}

/* ---- What is refused, and changes nothing ---- */

/* Of what is now, whatever does not change by itself must be as in the blob. */
static void expect_same(struct crosvm_vcpu *vcpu, struct blob *blob)
{
	static const uint32_t kinds[] = {SREGS, REGS, XSAVE, XCRS, MP_STATE, DEBUGREGS};
	static struct blob now;
	take(vcpu, &now);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		const struct section *wanted = section_of(blob, kinds[i]), *is = section_of(&now, kinds[i]);
		expect(wanted && is && wanted->size == is->size);
		if (memcmp(wanted + 1, is + 1, is->size) != 0)
			fprintf(stderr, "section %u has changed\n", kinds[i]);
		expect(memcmp(wanted + 1, is + 1, is->size) == 0);
	}
	struct kvm_msr_entry lstar = {.index = MSR_LSTAR};
	uint32_t count;
	expect_result(crosvm_vcpu_get_msrs(vcpu, 1, &lstar, &count), 0);
	const struct section *msrs = section_of(blob, MSRS);
	const struct kvm_msr_entry *entries = (const struct kvm_msr_entry *)(msrs + 1);
	for (size_t i = 0; i < msrs->size / sizeof(*entries); i++)
		expect(entries[i].index != MSR_LSTAR || entries[i].data == lstar.data);
}

static void refuse(struct crosvm_vcpu *vcpu, const struct blob *blob, int wanted)
{
	expect_result(crosvm_vcpu_set_all(vcpu, blob->size, blob->bytes), wanted);
}

static void refuse_headers(struct crosvm_vcpu *vcpu, const struct blob *good)
{
	static struct blob bad;
	bad = *good;
	header_of(&bad)->version++;
	refuse(vcpu, &bad, -EPROTONOSUPPORT);
	header_of(&bad)->version = 0;
	refuse(vcpu, &bad, -EPROTONOSUPPORT);
	bad = *good;
	header_of(&bad)->magic++;
	refuse(vcpu, &bad, -EINVAL);
	bad = *good;
	header_of(&bad)->irqchip = (header_of(&bad)->irqchip + 1) % 3;
	refuse(vcpu, &bad, -EINVAL);
	bad = *good;
	header_of(&bad)->size += 8;
	refuse(vcpu, &bad, -EINVAL);
	bad = *good;
	bad.size += 8;
	refuse(vcpu, &bad, -EINVAL);
	memset(&bad.bytes[good->size], 0, 8);
	header_of(&bad)->size += 8;
	refuse(vcpu, &bad, -EINVAL);
}

/* Cut short, with the header as it was and with one that agrees. */
static void refuse_truncated(struct crosvm_vcpu *vcpu, const struct blob *good)
{
	static struct blob bad;
	bad = *good;
	for (bad.size = 0; bad.size < good->size; bad.size += 8)
		refuse(vcpu, &bad, -EINVAL);
	for (bad.size = sizeof(struct header); bad.size < good->size; bad.size += 8) {
		header_of(&bad)->size = bad.size;
		refuse(vcpu, &bad, -EINVAL);
	}
}

static void refuse_sections(struct crosvm_vcpu *vcpu, struct blob *good)
{
	static const uint32_t sizes[] = {1, 7, 8, 24, 65536, UINT32_MAX - 7, UINT32_MAX};
	static struct blob bad;
	unsigned sections = 0;
	for (uint32_t kind = CPUID; kind <= DEBUGREGS; kind++) {
		if (!section_of(good, kind))
			continue;
		sections++;
		size_t at = (size_t)((uint8_t *)section_of(good, kind) - good->bytes);
		struct section *section = (struct section *)(bad.bytes + at);
		bad = *good;
		for (size_t i = 0; i < COUNT(sizes); i++) {
			section->size = ((struct section *)(good->bytes + at))->size + sizes[i];
			refuse(vcpu, &bad, -EINVAL);
		}
		section->size = ((struct section *)(good->bytes + at))->size - 1;
		refuse(vcpu, &bad, -EINVAL);
		section->size = 0;
		refuse(vcpu, &bad, -EINVAL);
		bad = *good;
		/* Not in order, or not at all; the others as well are then missing or twice. */
		for (uint32_t other = 0; other <= SECTIONS + 1; other++) {
			section->kind = other;
			if (other != kind)
				refuse(vcpu, &bad, -EINVAL);
		}
		section->kind = UINT32_MAX;
		refuse(vcpu, &bad, -EINVAL);
	}
	expect(sections >= 9);
}

static int corrupt(char **arguments)
{
	(void)arguments;
	static struct blob good, now;
	struct machine machine;
	uint32_t words[WORDS], size;
	begin(&machine);
	take(machine.vcpu, &good);
	machine_resume(&machine);
	run_turns(&machine, 1, words);
	take(machine.vcpu, &now);

	refuse_headers(machine.vcpu, &good);
	expect_same(machine.vcpu, &now);
	refuse_truncated(machine.vcpu, &good);
	expect_same(machine.vcpu, &now);
	refuse_sections(machine.vcpu, &good);
	expect_same(machine.vcpu, &now);
	expect_result(crosvm_vcpu_set_all(machine.vcpu, 0, NULL), -EINVAL);
	expect_result(crosvm_vcpu_set_all(machine.vcpu, good.size, NULL), -EINVAL);
	expect_result(crosvm_vcpu_set_all(NULL, good.size, good.bytes), -EINVAL);
	expect_result(crosvm_vcpu_set_all(machine.vcpu, UINT32_MAX, good.bytes), -EINVAL);

	expect_result(crosvm_vcpu_get_all(machine.vcpu, good.size - 1, now.bytes, &size), -E2BIG);
	expect(size == good.size);
	expect_result(crosvm_vcpu_get_all(machine.vcpu, 0, NULL, &size), -E2BIG);
	expect_result(crosvm_vcpu_get_all(machine.vcpu, good.size, NULL, &size), -EINVAL);
	expect_result(crosvm_vcpu_get_all(machine.vcpu, good.size, now.bytes, NULL), -EINVAL);
	expect_result(crosvm_vcpu_get_all(NULL, good.size, now.bytes, &size), -EINVAL);
	/* It is at any alignment. */
	memmove(good.bytes + 3, good.bytes, good.size);
	expect_result(crosvm_vcpu_set_all(machine.vcpu, good.size, good.bytes + 3), 0);
	machine_resume(&machine);
	uint32_t again[WORDS];
	run_turns(&machine, 1, again);
	expect(memcmp(words, again, sizeof(words)) == 0);
	return 0;
}

/* ---- Content that KVM refuses: some is set by then, and goes back ---- */

static void spoil_sregs(struct blob *blob)
{
	struct kvm_sregs *sregs = (struct kvm_sregs *)(section_of(blob, SREGS) + 1);
	sregs->cr4 = UINT64_MAX;
}

static void spoil_msr(struct blob *blob)
{
	struct section *msrs = section_of(blob, MSRS);
	struct kvm_msr_entry *entries = (struct kvm_msr_entry *)(msrs + 1);
	for (size_t i = 0; i < msrs->size / sizeof(*entries); i++) {
		if (entries[i].index == MSR_LSTAR)
			entries[i].data = UINT64_C(1) << 63; /* no address */
	}
}

static void spoil_msr_index(struct blob *blob)
{
	struct section *msrs = section_of(blob, MSRS);
	struct kvm_msr_entry *entries = (struct kvm_msr_entry *)(msrs + 1);
	entries[msrs->size / sizeof(*entries) - 1].index = 0xdeadbeef;
}

static void spoil_events(struct blob *blob)
{
	struct kvm_vcpu_events *events = (struct kvm_vcpu_events *)(section_of(blob, EVENTS) + 1);
	events->flags = UINT32_MAX;
}

static void spoil_debugregs(struct blob *blob)
{
	struct kvm_debugregs *debugregs = (struct kvm_debugregs *)(section_of(blob, DEBUGREGS) + 1);
	debugregs->dr7 = UINT64_MAX;
}

static void spoil_xsave(struct blob *blob)
{
	memset((uint8_t *)(section_of(blob, XSAVE) + 1) + 512, 0xff, 8); /* XSTATE_BV */
}

static void spoil_xcrs(struct blob *blob)
{
	struct kvm_xcrs *xcrs = (struct kvm_xcrs *)(section_of(blob, XCRS) + 1);
	xcrs->xcrs[0].value = 0; /* x87 must be */
}

static void spoil_mp_state(struct blob *blob)
{
	((struct kvm_mp_state *)(section_of(blob, MP_STATE) + 1))->mp_state = 77;
}

static int roll_back(char **arguments)
{
	(void)arguments;
	static void (*const spoilers[])(struct blob *) = {
	    spoil_sregs,     spoil_msr,   spoil_msr_index, spoil_events,
	    spoil_debugregs, spoil_xsave, spoil_xcrs,      spoil_mp_state,
	};
	static struct blob good, now, bad;
	struct machine machine;
	uint32_t words[2 * WORDS], again[WORDS];
	begin(&machine);
	take(machine.vcpu, &good);
	machine_resume(&machine);
	run_turns(&machine, 2, words);
	take(machine.vcpu, &now);
	for (size_t i = 0; i < COUNT(spoilers); i++) {
		bad = good;
		spoilers[i](&bad);
		int result = crosvm_vcpu_set_all(machine.vcpu, bad.size, bad.bytes);
		if (result != -EINVAL)
			fprintf(stderr, "in case %zu:\n", i);
		expect_result(result, -EINVAL);
		expect_same(machine.vcpu, &now);
	}
	machine_resume(&machine);
	run_turns(&machine, 1, again);
	expect(again[0] == words[WORDS] + 1);
	for (unsigned i = 0; i < WORDS; i++)
		expect(again[i] != words[WORDS + i]);
	return 0;
}

/* ---- CPUID ---- */

#define STATEFUL (KVM_CPUID_FLAG_STATEFUL_FUNC | KVM_CPUID_FLAG_STATE_READ_NEXT)

/* Every flag of an entry comes through, what the old messages have no room for as well. */
static int cpuid_flags(char **arguments)
{
	(void)arguments;
	static struct kvm_cpuid_entry2 entries[ENTRIES_MAX];
	static struct blob blob;
	struct machine machine;
	uint32_t count;
	bool has_index = false;
	machine_init(&machine, &GUEST_64(snapshot));
	machine_start(&machine);
	machine_wait(&machine);
	expect_result(crosvm_get_supported_cpuid(machine.vm, ENTRIES_MAX - 1, entries, &count), 0);
	for (uint32_t i = 0; i < count; i++)
		has_index |= (entries[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) && entries[i].index > 0;
	expect(has_index);
	entries[count++] = (struct kvm_cpuid_entry2){
	    .function = 0x40001234, .flags = STATEFUL, .eax = 0x11, .edx = 0x44};
	expect_result(crosvm_vcpu_set_cpuid(machine.vcpu, count, entries), 0);
	take(machine.vcpu, &blob);
	const struct section *section = section_of(&blob, CPUID);
	expect(section->size == count * sizeof(entries[0]));
	const struct kvm_cpuid_entry2 *now = (const struct kvm_cpuid_entry2 *)(section + 1);
	for (uint32_t i = 0; i < count; i++) {
		expect(now[i].function == entries[i].function && now[i].index == entries[i].index);
		expect_result((long)now[i].flags, (long)entries[i].flags);
	}
	expect(now[count - 1].eax == 0x11 && now[count - 1].edx == 0x44);
	return 0;
}

const struct act ext_snapshot_acts[] = {
    {"ext-replay", replay},
    {"ext-replay-control", replay_control},
    {"ext-save", save},
    {"ext-restore", restore},
    {"ext-deferred", deferred},
    {"ext-corrupt", corrupt},
    {"ext-roll-back", roll_back},
    {"ext-cpuid-flags", cpuid_flags},
    {NULL, NULL},
};
