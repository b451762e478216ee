/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bad messages on a vCPU channel, in every state of the vCPU. Those after which the host ends the VM hang afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "raw.h"

static void resume_short(void)
{
	expect(vcpu_ask(&vcpus[0], resume_with(0)), EINVAL, "no data for a read of one byte");
	lives();
}

static void resume_long(void)
{
	expect(vcpu_ask(&vcpus[0], resume_with(2)), EINVAL, "two bytes for a read of one");
	expect(vcpu_ask(&vcpus[0], resume_with(4096)), EINVAL, "a page for a read of one");
	expect(vcpu_ask(&vcpus[0], resume_with(65000)), EINVAL, "the longest for a read of one");
	expect(vcpu_ask(&vcpus[0], resume_with(1)), 0, "what is due");
}

/* One of them meets the guest while it runs. */
static void resume_twice(void)
{
	fcntl(vcpus[0].events, F_SETFL, O_NONBLOCK);
	struct bytes *resume = resume_with(0);
	uint8_t event[4096];
	while (send_packet(vcpus[0].requests, resume->data, resume->size, NULL, 0) == 0) {
		while (read(vcpus[0].events, event, sizeof(event)) > 0)
			;
	}
	hang();
}

static void resume_before_wait(void)
{
	expect(ask(MAIN, empty_member(START)), 0, "start");
	expect(vcpu_ask(&vcpus[0], resume_with(0)), EPROTO, "resume before wait");
	expect(vcpu_ask(&vcpus[0], NUMBERS(VCPU_GET, 0)), EPROTO, "a request before wait");
	expect(vcpu_ask(&vcpus[0], empty_member(99)), ENOTTY, "what is none before wait");
	expect(vcpu_ask(&vcpus[0], empty_member(WAIT)), 0, "wait");
	expect(vcpu_ask(&vcpus[0], empty_member(WAIT)), EPROTO, "wait again");
}

static void garbage(void)
{
	send_packet(vcpus[0].requests, "\xff\xff\xff\xff", 4, NULL, 0);
	hang();
}

static void garbage_unstarted(void)
{
	/* Nobody reads it before the start. */
	send_packet(vcpus[0].requests, "\xff\xff\xff\xff", 4, NULL, 0);
	lives();
	ask(MAIN, empty_member(START));
	hang();
}

static void garbage_running(void)
{
	/* A pause makes the host look. */
	send_packet(vcpus[0].requests, "\xff\xff\xff\xff", 4, NULL, 0);
	ASK(MAIN, PAUSE, 1, 7);
	hang();
}

static void vcpu_empty(void)
{
	send_packet(vcpus[0].requests, "", 0, NULL, 0);
	hang();
}

static void vcpu_long(void)
{
	static uint8_t large[VCPU_REQUEST_BYTES + 1];
	send_packet(vcpus[0].requests, large, sizeof(large), NULL, 0);
	hang();
}

static void vcpu_fds(void)
{
	struct bytes *request = NUMBERS(VCPU_GET, 0);
	send_packet(vcpus[0].requests, request->data, request->size, (int[]){STDERR_FILENO, MAIN}, 2);
	hang();
}

static void vcpu_shutdown(void)
{
	vcpu_send(&vcpus[0], empty_member(SHUTDOWN));
	hang();
}

static void vcpu_closed(void)
{
	close(vcpus[0].requests);
	close(vcpus[0].events);
	hang();
}

static void vcpu_length_lies(void)
{
	/* An announced packed field that is longer than what came. */
	static const uint8_t lie[] = {0x2a, 0x06, 0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f};
	send_packet(vcpus[0].requests, lie, sizeof(lie), NULL, 0);
	hang();
}

static void storm_while_running(void)
{
	for (int i = 0; i < 80; i++)
		vcpu_send(&vcpus[0], NUMBERS(VCPU_GET, 0));
	ASK(MAIN, PAUSE, 1, 7);
	hang();
}

static void requests_while_running(void)
{
	for (int i = 0; i < 40; i++)
		vcpu_send(&vcpus[0], i % 2 ? NUMBERS(VCPU_GET, 0) : empty_member(99));
	expect(ASK(MAIN, PAUSE, 1, 7), 0, "a pause");
	for (int i = 0; i < 40; i++)
		expect(vcpu_receive(&vcpus[0]), i % 2 ? EBUSY : ENOTTY, "a request while the vCPU runs");
	expect(vcpu_receive(&vcpus[0]), 0, "the pause");
}

static void vcpu_unknown(void)
{
	static const unsigned members[] = {11, 50, 99, 109, 150, 1000};
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		expect(vcpu_ask(&vcpus[0], empty_member(members[i])), ENOTTY, "an unknown request");
	for (uint64_t set = 8; set < 300; set++) {
		expect(vcpu_ask(&vcpus[0], NUMBERS(VCPU_GET, set)), EINVAL, "an unknown set");
		expect(vcpu_ask(&vcpus[0], NUMBERS(GET_EXT, set)), EINVAL, "an unknown set of the additions");
	}
	expect(vcpu_ask(&vcpus[0], state_of(VCPU_SET, 8, 4)), EINVAL, "an unknown set to set");
	expect(vcpu_ask(&vcpus[0], state_of(SET_EXT, 3, 40)), EINVAL, "a set that is only to get");
}

static void vcpu_state_lengths(void)
{
	static const size_t sizes[] = {144, 312, 416, 128, 1024, 4, 392, 64};
	for (uint64_t set = 0; set < 8; set++) {
		expect(vcpu_ask(&vcpus[0], state_of(VCPU_SET, set, 0)), EINVAL, "no state");
		expect(vcpu_ask(&vcpus[0], state_of(VCPU_SET, set, sizes[set] - 1)), EINVAL, "a byte less");
		expect(vcpu_ask(&vcpus[0], state_of(VCPU_SET, set, sizes[set] + 1)), EINVAL, "a byte more");
		expect(vcpu_ask(&vcpus[0], state_of(VCPU_SET, set, 60000)), EINVAL, "the longest");
	}
	static const uint64_t ext_sets[] = {0, 1, 2};
	for (size_t i = 0; i < 3; i++) {
		for (size_t size = 0; size < 4; size++) {
			if (vcpu_ask(&vcpus[0], state_of(SET_EXT, ext_sets[i], size)) == 0)
				problem("%zu bytes of set %d of the additions were taken", size, (int)i);
		}
	}
	struct bytes *debug = bytes_new(), *wrong = bytes_new();
	put_blob(debug, 1, "dbg", 3);
	put_member(wrong, GUEST_DEBUG, debug);
	expect(vcpu_ask(&vcpus[0], wrong), EINVAL, "a debug state of a wrong length");
	/* Registers of a wrong length with a resume: nothing is applied, the same event again. */
	for (unsigned field = 2; field <= 4; field++) {
		struct bytes *body = bytes_new(), *message = bytes_new();
		put_blob(body, field, "registers", 9);
		put_member(message, RESUME, body);
		expect(vcpu_ask(&vcpus[0], message), EINVAL, "registers of a wrong length");
	}
}

static void vcpu_counts(void)
{
	struct bytes body = {.size = 0}, *message = bytes_new();
	for (int i = 0; i < 257; i++)
		put_blob(&body, 1, "", 0);
	put_member(message, SET_CPUID, &body);
	expect(vcpu_ask(&vcpus[0], message), E2BIG, "257 CPUID entries");
	message = bytes_new();
	put_member(message, SET_MSRS, &body);
	expect(vcpu_ask(&vcpus[0], message), E2BIG, "257 MSRs");
	message = bytes_new();
	put_member(message, SET_MSRS_COUNTED, &body);
	expect(vcpu_ask(&vcpus[0], message), E2BIG, "257 MSRs, counted");
	static uint8_t indices[60000];
	body.size = 0;
	put_blob(&body, 1, indices, sizeof(indices));
	message = bytes_new();
	put_member(message, GET_MSRS, &body);
	expect(vcpu_ask(&vcpus[0], message), E2BIG, "60000 MSRs");
	static const uint8_t entries[41 * 256];
	static const size_t sizes[] = {1, 39, 41, 40 * 257};
	for (size_t i = 0; i < 4; i++) {
		struct bytes *raw = bytes_new(), *request = bytes_new();
		put_blob(raw, 1, entries, sizes[i]);
		put_member(request, SET_CPUID_RAW, raw);
		if (vcpu_ask(&vcpus[0], request) == 0)
			problem("%zu bytes of CPUID entries were taken", sizes[i]);
	}
}

static void enable_capabilities(void)
{
	for (uint64_t capability = 0; capability <= 300; capability++) {
		/* KVM_CAP_HYPERV_SYNIC and _SYNIC2 change only the guest. */
		int error = vcpu_ask(&vcpus[0], NUMBERS(ENABLE_CAP, capability));
		if (capability != 123 && capability != 148)
			expect(error, EINVAL, "a capability outside of the list");
	}
	expect(vcpu_ask(&vcpus[0], NUMBERS(ENABLE_CAP, UINT32_MAX)), EINVAL, "the last capability");
}

static void set_msr(uint64_t index, uint64_t value)
{
	struct bytes *entry = NUMBERS(1, index, value), *message = bytes_new();
	put_member(message, SET_MSRS, entry);
	if (vcpu_ask(&vcpus[0], message) == LOST)
		problem("MSR %llx ended the channel", (unsigned long long)index);
}

static void msrs(void)
{
	static const struct {
		uint64_t first, count;
	} parts[] = {{0, 0x1000},         {0x40000000, 0x200}, {0x4b564d00, 0x10},
	             {0xc0000000, 0x200}, {0xc0010000, 0x200}, {0xfffffff0, 0x10}};
	for (size_t part = 0; part < sizeof(parts) / sizeof(parts[0]); part++) {
		for (uint64_t i = 0; i < parts[part].count; i += 1 + option) {
			uint64_t index = parts[part].first + i;
			set_msr(index, 0);
			set_msr(index, UINT64_MAX);
			set_msr(index, 0x5555aaaa00001000);
		}
	}
	expect(vcpu_ask(&vcpus[0], NUMBERS(VCPU_GET, 0)), 0, "the registers afterwards");
}

static void strange_states(void)
{
	/* All ones in everything that KVM takes: refused or set, and then the guest runs with it. */
	static const size_t sizes[] = {144, 312, 416, 128, 1024, 4, 392, 64};
	static uint8_t ones[1024];
	for (uint64_t set = 0; set < 8; set++) {
		for (int pattern = 0; pattern < 3; pattern++) {
			memset(ones, pattern == 0 ? 0xff : pattern == 1 ? 0x55 : 0x80, sizeof(ones));
			struct bytes *body = bytes_new(), *message = bytes_new();
			put_number(body, 1, set);
			put_blob(body, 2, ones, sizes[set]);
			put_member(message, VCPU_SET, body);
			if (vcpu_ask(&vcpus[0], message) == LOST)
				problem("set %d with pattern %d ended the channel", (int)set, pattern);
		}
	}
	vcpu_send(&vcpus[0], resume_with(0));
	hang();
}

static void vcpu_ext(void)
{
	for (uint64_t vector = 0; vector < 300; vector += 50)
		vcpu_ask(&vcpus[0], NUMBERS(INTERRUPT, vector));
	expect(vcpu_ask(&vcpus[0], NUMBERS(INTERRUPT, UINT32_MAX)) == 0, 0, "vector 2^32-1");
	for (int i = 0; i < 100; i++)
		vcpu_ask(&vcpus[0], empty_member(NMI));
	for (uint64_t bit = 0; bit < 64; bit++)
		vcpu_ask(&vcpus[0], NUMBERS(TRANSLATE, UINT64_C(1) << bit));
	expect(vcpu_ask(&vcpus[0], NUMBERS(VCPU_GET, 0)), 0, "the registers afterwards");
}

/* The plugin exits in this state with 7. */
static void leave(void)
{
	_exit(7);
}

const struct hostile_case vcpu_cases[] = {
    {"resume-short", HELD_IN, resume_short},
    {"resume-long", HELD_IN, resume_long},
    {"resume-twice", AT_INIT, resume_twice},
    {"resume-twice-held", HELD, resume_twice},
    {"resume-before-wait", SET_UP, resume_before_wait},
    {"garbage-unstarted", SET_UP, garbage_unstarted},
    {"garbage-at-init", AT_INIT, garbage},
    {"garbage-held", HELD, garbage},
    {"garbage-held-in", HELD_IN, garbage},
    {"garbage-running", SPINNING, garbage_running},
    {"garbage-halted", HALTED, garbage_running},
    {"vcpu-empty", HELD, vcpu_empty},
    {"vcpu-long", HELD, vcpu_long},
    {"vcpu-fds", HELD, vcpu_fds},
    {"vcpu-shutdown", HELD, vcpu_shutdown},
    {"vcpu-closed", HELD, vcpu_closed},
    {"vcpu-length-lies", HELD, vcpu_length_lies},
    {"storm-while-running", SPINNING, storm_while_running},
    {"requests-while-running", SPINNING, requests_while_running},
    {"vcpu-unknown", AT_INIT, vcpu_unknown},
    {"vcpu-state-lengths", AT_INIT, vcpu_state_lengths},
    {"vcpu-counts", AT_INIT, vcpu_counts},
    {"enable-capabilities", AT_INIT, enable_capabilities},
    {"msrs", AT_INIT, msrs},
    {"strange-states", AT_INIT, strange_states},
    {"vcpu-ext", HELD, vcpu_ext},
    {"exit-bare", BARE, leave},
    {"exit-set-up", SET_UP, leave},
    {"exit-at-init", AT_INIT, leave},
    {"exit-held", HELD, leave},
    {"exit-running", SPINNING, leave},
    {"exit-halted", HALTED, leave},
    {},
};
