/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory that the host and a plugin share: a header and then one struct vcpu_page for each vCPU. Everything in it is
 * grouped by who writes it, and both sides map all of it writable, so that the host trusts nothing that it reads here: it
 * loads a word once, into a local, and checks the local. What the host itself has written it never reads back.
 *
 * Turns. A vCPU's messages alternate. The host posts an event, the plugin answers with a request or the resume, the host
 * posts the reply to a request, and so on until the resume; then the guest runs until the host's next event. Each message is
 * a new turn of its sender. Beside that, while the guest runs, the host puts posted writes into the ring (ring.h).
 */
#ifndef PLUGVM_CHANNEL_LAYOUT_H
#define PLUGVM_CHANNEL_LAYOUT_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "channel/layout_x86.h"
#include "wire/limits.h"

#define AREA_MAGIC        UINT64_C(0x6c656e6e61686376) /* "vchannel" */
#define AREA_VERSION      1 /* of everything here: a plugin's library that knows another one has packets instead */
#define AREA_HEADER_BYTES 4096
#define AREA_PAGE_BYTES   4096

/* At the beginning of the memory. For the plugin: the host keeps what it wrote here. */
struct area_header {
	uint64_t magic;
	uint32_t version;
	uint32_t vcpu_count;
	uint32_t stride;       /* from one struct vcpu_page to the next */
	uint32_t header_bytes; /* from the beginning to the first */
};

/* Two lines of 64 bytes: some processors fetch them in pairs. */
#define CHANNEL_LINE 128

/* The control words of one side. Only that side writes them. */
struct page_words {
	_Atomic(uint32_t) sequence; /* the futex of the other side: changes with everything that is posted */
	_Atomic(uint32_t) sleeping; /* 0, or how it sleeps and what it had seen (handover.c) */
	_Atomic(uint32_t) turn;     /* of its last message; never 0 after the first */
	_Atomic(uint32_t) ring;     /* the host's: head of the ring; the plugin's: tail */
	_Atomic(uint32_t) cpu;      /* where its thread last waited, plus one; 0: unknown */
	_Atomic(uint32_t) spin_ns;  /* the host's: how long the plugin may spin, and SPIN_WORD_FIXED (spin.h) */
};

/* The host's messages. */
enum page_event_kind {
	PAGE_ACCESS = 1,  /* the guest touches a reserved address */
	PAGE_MESSAGE = 2, /* any other event: a VcpuResponse, encoded, in host_message */
	PAGE_REPLY = 3,   /* to a request: the same */
};

/* Of an access. */
enum page_access_flag {
	PAGE_IS_WRITE = 1 << 0,
	PAGE_IS_MMIO = 1 << 1, /* else a port */
};

/* Bytes of an access up to this size are in `value`: one line less to fetch. */
#define PAGE_VALUE_BYTES 8

struct page_event {
	uint16_t kind;
	uint16_t flags;
	uint16_t valid; /* enum page_set: the registers in the page are the vCPU's */
	uint16_t reserved;
	int32_t error;      /* the errno of the plugin's last resume, which is undone: the same event again */
	uint32_t size;      /* of the access or of the message */
	uint32_t ring_head; /* the posted writes up to here come before this event */
	uint32_t reserved2;
	uint64_t address;
	uint64_t value; /* of a write of up to PAGE_VALUE_BYTES; a longer one is in `data` */
};

/* The plugin's messages. */
enum page_answer_kind {
	PAGE_RESUME = 1,
	PAGE_REQUEST = 2, /* a VcpuRequest, encoded, in plugin_message */
};

struct page_answer {
	uint16_t kind;
	uint16_t set;    /* enum page_set: registers in the page that the plugin has set */
	uint16_t wanted; /* enum page_set: registers that it wants with the next events */
	uint16_t reserved;
	uint32_t size; /* of the answer's bytes or of the message */
	uint32_t reserved2;
	uint64_t value; /* the answer, as of an event */
};

/* Both are powers of two, so that free-running indices may wrap. */
#define RING_ENTRIES 256
#define RING_BYTES   32768

/* A posted write. */
struct ring_entry {
	uint64_t address;
	uint64_t value; /* as of an event; a longer one is in ring_bytes */
	uint32_t size;
	uint32_t at; /* where in ring_bytes */
	uint32_t flags;
	uint32_t reserved;
};

struct vcpu_page {
	alignas(CHANNEL_LINE) struct page_words host;
	struct page_event event;
	alignas(CHANNEL_LINE) struct page_words plugin;
	struct page_answer answer;
	alignas(CHANNEL_LINE) struct page_registers registers;
	alignas(AREA_PAGE_BYTES) uint8_t data[LIMIT_ACCESS_BYTES]; /* of an access, and the answer to one */
	struct ring_entry ring[RING_ENTRIES];
	uint8_t ring_bytes[RING_BYTES];
	uint8_t host_message[LIMIT_VCPU_RESPONSE_BYTES];
	uint8_t plugin_message[LIMIT_VCPU_REQUEST_BYTES];
};

/* What one exit needs is in one line of each side, and the layout is the same whoever compiles it. */
_Static_assert(offsetof(struct vcpu_page, event) + sizeof(struct page_event) <= 64, "one line of the host");
_Static_assert(offsetof(struct vcpu_page, plugin) == CHANNEL_LINE, "a line for each writer");
_Static_assert(offsetof(struct vcpu_page, registers) == CHANNEL_LINE + CHANNEL_LINE, "a line for each writer");
_Static_assert(sizeof(struct page_words) + sizeof(struct page_answer) <= 64, "one line of the plugin");
_Static_assert(offsetof(struct vcpu_page, data) == AREA_PAGE_BYTES, "the control part is one page");
_Static_assert(sizeof(struct ring_entry) == 32, "two to a line");
_Static_assert(sizeof(struct vcpu_page) % AREA_PAGE_BYTES == 0, "whole pages");
_Static_assert(AREA_VERSION != 1 || sizeof(struct vcpu_page) == 180224, "another layout has another version");
_Static_assert(sizeof(_Atomic(uint32_t)) == 4, "a futex");

/* Return the turn that comes after `turn`. 0 is none: it is what a hole in the memory reads as. */
static inline uint32_t page_next_turn(uint32_t turn)
{
	return turn + 1 ? turn + 1 : 1;
}

/* Copy the bytes of an access. The usual sizes take no call. */
static inline void page_copy_access(void *out, const void *bytes, size_t size)
{
	switch (size) {
	case 1:
		memcpy(out, bytes, 1);
		break;
	case 2:
		memcpy(out, bytes, 2);
		break;
	case 4:
		memcpy(out, bytes, 4);
		break;
	case 8:
		memcpy(out, bytes, 8);
		break;
	default:
		memcpy(out, bytes, size);
		break;
	}
}

/*
 * Copy out of the page. What is checked afterwards is the copy and nothing else: without the last line, which tells the
 * compiler that the copy is looked at and that the page has changed, it may load twice, check one load and hand on the other.
 */
static inline void page_take(void *out, const void *shared, size_t size)
{
	memcpy(out, shared, size);
	__asm__ volatile("" : : "r"(out) : "memory");
}

#endif
