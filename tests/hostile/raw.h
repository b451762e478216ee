/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plugin that means harm, byte by byte: the wire written by hand, with no line of our libraries in it, so that it can
 * say what they would never let through. Runs in the jail (or beside it), static. README.md lists the cases.
 */
#ifndef PLUGVM_TESTS_HOSTILE_RAW_H
#define PLUGVM_TESTS_HOSTILE_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The first main connection. */
#define MAIN 3

/* The host's limits, as docs/limits.md has them. */
#define REQUEST_BYTES      131072
#define VCPU_REQUEST_BYTES 65536
#define CONNECTIONS        64
#define EVENTS             1024
#define RANGES             16384
#define MEMORY_SLOTS       509
#define GIB                (UINT64_C(1) << 30)

#define PORT     0x3f8
#define PAGE     4096
#define ROM_AT   UINT64_C(0xffff0000)
#define ROM_SIZE 0x10000
#define ROM_ID   1

/* Members of MainRequest. */
enum {
	CREATE = 1,
	DESTROY,
	NEW_CONNECTION,
	GET_SHUTDOWN,
	CHECK_EXTENSION,
	GET_SUPPORTED_CPUID,
	GET_EMULATED_CPUID,
	GET_MSR_LIST,
	GET_NET_CONFIG,
	RESERVE_RANGE,
	SET_IRQ,
	SET_ROUTING,
	GET_STATE,
	SET_STATE,
	SET_IDENTITY_MAP,
	PAUSE,
	GET_VCPUS,
	START,
	SET_HINT,
	DIRTY_LOG = 101,
	FEATURES = 200,
	GET_VCPUS_FROM,
	CREATE_EXT,
	GET_CPUID,
	DIRTY_LOG_TO,
	PAUSE_SET,
	SIGNAL_MSI,
	SUBSCRIBE,
	SET_MSR_FILTER,
	GET_END,
	GET_AREA,
};

/* Members of VcpuRequest. */
enum {
	WAIT = 1,
	RESUME,
	VCPU_GET,
	VCPU_SET,
	GET_MSRS,
	SET_MSRS,
	SET_CPUID,
	SHUTDOWN,
	GET_HYPERV,
	ENABLE_CAP,
	SET_MSRS_COUNTED = 100,
	SET_CPUID_RAW,
	GET_EXT,
	SET_EXT,
	INTERRUPT,
	NMI,
	IRQ_WINDOW,
	GUEST_DEBUG,
	TRANSLATE,
};

/* ---- Bytes ---- */

struct bytes {
	uint8_t data[200000];
	size_t size;
};

/* Return one that is empty, from a ring of them: good for the next few calls of this thread. */
struct bytes *bytes_new(void);
void put_byte(struct bytes *, uint8_t);
void put_varint(struct bytes *, uint64_t);
void put_number(struct bytes *, unsigned field, uint64_t value);
void put_blob(struct bytes *, unsigned field, const void *data, size_t size);
void put_member(struct bytes *, unsigned field, const struct bytes *body);

/* A message whose member `field` has these numbers as its fields 1, 2, ... */
struct bytes *numbers(unsigned field, size_t count, const uint64_t *values);
#define NUMBERS(field, ...) \
	numbers(field, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), (const uint64_t[]){__VA_ARGS__})
/* The fields alone, as the body of a member. */
struct bytes *fields(size_t count, const uint64_t *values);
#define FIELDS(...) fields(sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), (const uint64_t[]){__VA_ARGS__})
struct bytes *empty_member(unsigned field);
struct bytes *state_of(unsigned field, uint64_t set, size_t size);

/* ---- A connection ---- */

#define LOST      (-1)
#define REPLY_FDS 253

struct reply {
	uint8_t data[262144];
	size_t size;
	int fds[REPLY_FDS];
	int fd_count;
};

/* Returns 0 or the errno of sending. */
int send_packet(int socket, const void *data, size_t size, const int *fds, int fd_count);
/* Receive a packet. Returns the reply's error, or LOST if the connection has ended. */
int receive(int socket, struct reply *out_reply);
/* The error of a response. */
int error_of(const uint8_t *data, size_t size);
/* Ask and forget what comes, but its error. */
int ask_fds(int socket, const struct bytes *request, const int *fds, int fd_count);
int ask(int socket, const struct bytes *request);
#define ASK(socket, field, ...) ask(socket, NUMBERS(field, __VA_ARGS__))
/* Ask for fds; problem() unless just so many come. Returns the first. */
int ask_for_fds(int socket, const struct bytes *request, int count, int *out_fds);
int clone_connection(void);
bool is_dropped(int socket);
int create_memory(int socket, uint32_t id, int fd, uint64_t offset, uint64_t start, uint64_t length, bool logged);

/* A memfd of this size; sealed against shrinking if `sealed`. */
int memfd(uint64_t size, bool sealed);

/* ---- A vCPU ---- */

struct vcpu {
	int requests, events;
};
extern struct vcpu vcpus[64];
extern int vcpu_count;

void vcpu_send(const struct vcpu *, const struct bytes *);
/* Receive a frame. Returns its error, or LOST. */
int vcpu_receive(const struct vcpu *);
int vcpu_ask(const struct vcpu *, const struct bytes *);
struct bytes *resume_with(size_t size);

/* ---- States in which a case begins ---- */

enum state {
	BARE,     /* the first connection, nothing done */
	SET_UP,   /* memory, a range, the vCPUs' channels; not started */
	AT_INIT,  /* started, the vCPUs' INIT held */
	HELD,     /* the access of a guest is held: a write of one byte to PORT */
	HELD_IN,  /* a read of one byte */
	SPINNING, /* the guest runs without an exit */
	HALTED,   /* the guest waits for an interrupt */
};
void enter(enum state);
/* What the guest does in a state that is entered by hand. */
void set_guest_of(enum state);
/* The code that the guest runs from its reset on: at most 16 bytes. */
void set_guest(const void *code, size_t size);
extern uint8_t *rom;
extern int rom_fd;

/* ---- Means ---- */

void start_thread(void (*run)(void));
/* The same ones in each thread. */
uint32_t random_word(void);

/* ---- To the runner ---- */

/* Say a line and wait until the runner says go on. */
void mark(const char *text);
void problem(const char *format, ...) __attribute__((format(printf, 1, 2)));
void expect(int got, int wanted, const char *what);
/* The first connection is served. */
void lives(void);
/* Is there a list of what a plugin may call, or only of what none may? */
bool has_policy(void);
/* To be ended from outside. */
void hang(void) __attribute__((noreturn));

/* ---- Cases ---- */

struct hostile_case {
	const char *name;
	enum state state;
	void (*run)(void); /* afterwards the host lives; a flood does not return */
};
extern const struct hostile_case packet_cases[], memory_cases[], vcpu_cases[], flood_cases[], process_cases[],
    area_cases[], page_cases[], wait_cases[];
/* Run a case that has no stdio to talk by, if this is one. */
void run_alone(const char *name);
/* From the command line: seconds, a count or what the case wants. */
extern unsigned long option;

#endif
