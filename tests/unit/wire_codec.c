/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the codec: every member of the four messages there and back, bytes written out by hand, every truncation,
 * fields that are unknown, repeated, of the wrong type or of absurd length, and frame headers at their edges.
 */
#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/codec.h"

typedef int decode_fn(const uint8_t *data, size_t size, void *out_message);
typedef ssize_t encode_fn(const void *message, uint8_t *buffer, size_t capacity);

/* Where the elements of repeated fields go. */
static uint64_t elements[4096];
static struct wire_arena arena = {elements, sizeof(elements)};

union message {
	wire_MainRequest main_request;
	wire_MainResponse main_response;
	wire_VcpuRequest vcpu_request;
	wire_VcpuResponse vcpu_response;
};

#define CALLS(name, type)                                                               \
	static int decode_##name(const uint8_t *data, size_t size, void *out_message)   \
	{                                                                               \
		return wire_decode_##name(data, size, &arena, out_message);             \
	}                                                                               \
	static ssize_t encode_##name(const void *message, uint8_t *buffer, size_t size) \
	{                                                                               \
		return wire_encode_##name(message, buffer, size);                       \
	}                                                                               \
	static pb_size_t *which_##name(union message *message)                          \
	{                                                                               \
		return &message->name.which_message;                                    \
	}
CALLS(main_request, wire_MainRequest)
CALLS(main_response, wire_MainResponse)
CALLS(vcpu_request, wire_VcpuRequest)
CALLS(vcpu_response, wire_VcpuResponse)

#define TAG(a, allocation, rules, type, name, tag) tag,
static const pb_size_t main_request_tags[] = {wire_MainRequest_FIELDLIST(TAG, 0)};
static const pb_size_t main_response_tags[] = {wire_MainResponse_FIELDLIST(TAG, 0)};
static const pb_size_t vcpu_request_tags[] = {wire_VcpuRequest_FIELDLIST(TAG, 0)};
static const pb_size_t vcpu_response_tags[] = {wire_VcpuResponse_FIELDLIST(TAG, 0)};

static const struct kind {
	decode_fn *decode;
	encode_fn *encode;
	pb_size_t *(*which)(union message *message);
	const pb_size_t *tags;
	size_t tag_count;
	bool is_response; /* has field 1, error, beside the oneof */
} kinds[] = {
#define KIND(name, is_response)                                                                                   \
	{                                                                                                         \
		decode_##name, encode_##name, which_##name, name##_tags, sizeof(name##_tags) / sizeof(pb_size_t), \
		    is_response                                                                                   \
	}
    KIND(main_request, false),
    KIND(main_response, true),
    KIND(vcpu_request, false),
    KIND(vcpu_response, true),
};
enum { MAIN_REQUEST, MAIN_RESPONSE, VCPU_REQUEST, VCPU_RESPONSE, KINDS };

/* Decode from a buffer of just this size (a sanitizer sees its end) into one that is full of rubbish. */
static int decode(const struct kind *kind, const uint8_t *data, size_t size, union message *out_message,
                  uint8_t **out_copy)
{
	uint8_t *copy = malloc(size ? size : 1);
	assert_non_null(copy);
	memcpy(copy, data, size);
	memset(out_message, 0xaa, sizeof(*out_message));
	int result = kind->decode(copy, size, out_message);
	if (out_copy)
		*out_copy = copy;
	else
		free(copy);
	return result;
}

/* Decode and encode again; the bytes must be the same. */
static void check_round_trip(const struct kind *kind, const uint8_t *data, size_t size)
{
	union message message;
	uint8_t *copy, again[512];
	assert_int_equal(decode(kind, data, size, &message, &copy), 0);
	assert_int_equal(kind->encode(&message, again, sizeof(again)), size);
	assert_memory_equal(again, data, size);
	for (size_t capacity = 0; capacity < size; capacity++)
		assert_int_equal(kind->encode(&message, again, capacity), -EMSGSIZE);
	free(copy);
}

static void test_every_member(void **state)
{
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		/* Field 1 of a response is the error, a oneof's member everywhere else. */
		for (size_t i = kinds[k].is_response ? 1 : 0; i < kinds[k].tag_count; i++) {
			union message message;
			uint8_t data[64];
			memset(&message, 0, sizeof(message));
			*kinds[k].which(&message) = kinds[k].tags[i];
			ssize_t size = kinds[k].encode(&message, data, sizeof(data));
			assert_true(size > 0);
			check_round_trip(&kinds[k], data, (size_t)size);
			union message back;
			assert_int_equal(decode(&kinds[k], data, (size_t)size, &back, NULL), 0);
			assert_int_equal(*kinds[k].which(&back), kinds[k].tags[i]);
		}
	}
}

#define BYTES(...) {__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

/* Written by hand from the schema; every field of every message that has some is in here. */
static const struct golden {
	int kind;
	uint8_t data[64];
	size_t size;
} goldens[] = {
    /* create 7: io_event MMIO 0x1000, length 4, datamatch 300 */
    {MAIN_REQUEST, BYTES(0x0a, 0x0e, 0x08, 7, 0x12, 0x0a, 0x08, 1, 0x10, 0x80, 0x20, 0x18, 4, 0x20, 0xac, 0x02)},
    /* create 1: memory offset 0x1000, start 0x2000, length 0x3000, read-only, dirty log */
    {MAIN_REQUEST, BYTES(0x0a, 0x11, 0x08, 1, 0x1a, 0x0d, 0x08, 0x80, 0x20, 0x10, 0x80, 0x40, 0x18, 0x80, 0x60,
                         0x20, 1, 0x28, 1)},
    /* create 2: irq_event 9, resample */
    {MAIN_REQUEST, BYTES(0x0a, 0x08, 0x08, 2, 0x22, 0x04, 0x08, 9, 0x10, 1)},
    {MAIN_REQUEST, BYTES(0x12, 0x02, 0x08, 5)},                                     /* destroy 5 */
    {MAIN_REQUEST, BYTES(0x1a, 0x00)},                                              /* new_connection */
    {MAIN_REQUEST, BYTES(0x2a, 0x03, 0x08, 0xc8, 0x01)},                            /* check_extension 200 */
    {MAIN_REQUEST, BYTES(0x52, 0x09, 0x08, 1, 0x10, 0xf8, 0x07, 0x18, 8, 0x20, 1)}, /* reserve_range */
    {MAIN_REQUEST, BYTES(0x5a, 0x04, 0x08, 4, 0x10, 1)},                            /* set_irq */
    {MAIN_REQUEST, BYTES(0x6a, 0x02, 0x08, 4)},                                     /* get_state CLOCK */
    {MAIN_REQUEST, BYTES(0x72, 0x07, 0x08, 3, 0x12, 0x03, 0, 1, 2)},                /* set_state PIT */
    {MAIN_REQUEST, BYTES(0x7a, 0x02, 0x08, 1)},                                     /* identity map */
    {MAIN_REQUEST, BYTES(0x82, 0x01, 0x04, 0x08, 3, 0x10, 9)},                      /* pause_vcpus */
    {MAIN_REQUEST, BYTES(0x92, 0x01, 0x00)},                                        /* start */
    {MAIN_REQUEST, BYTES(0x9a, 0x01, 0x06, 0x08, 1, 0x10, 0x10, 0x18, 1)},          /* set_call_hint */
    {MAIN_REQUEST, BYTES(0xaa, 0x06, 0x02, 0x08, 3)},                               /* dirty_log 3 */
    {MAIN_RESPONSE, BYTES(0x08, 0x2c)},                                             /* error 22, zigzag */
    {MAIN_RESPONSE, BYTES(0x08, 0x01)},                                             /* error -1 */
    {MAIN_RESPONSE, BYTES(0x32, 0x02, 0x08, 1)},                                    /* has_extension */
    {MAIN_RESPONSE,
     BYTES(0x52, 0x0f, 0x0a, 3, 1, 2, 3, 0x15, 1, 0, 0, 0x7f, 0x1d, 0xff, 0, 0, 0)},      /* net config */
    {MAIN_RESPONSE, BYTES(0x72, 0x03, 0x0a, 1, 0xff)},                                    /* get_state */
    {MAIN_RESPONSE, BYTES(0xaa, 0x06, 0x04, 0x0a, 2, 0xff, 0x01)},                        /* dirty_log */
    {VCPU_REQUEST, BYTES(0x0a, 0x00)},                                                    /* wait */
    {VCPU_REQUEST, BYTES(0x12, 0x00)},                                                    /* resume */
    {VCPU_REQUEST, BYTES(0x12, 0x0d, 0x0a, 1, 1, 0x12, 1, 2, 0x1a, 1, 3, 0x22, 2, 4, 5)}, /* resume, all of it */
    {VCPU_REQUEST, BYTES(0x1a, 0x02, 0x08, 7)},                                           /* get_state EVENTS */
    {VCPU_REQUEST, BYTES(0x22, 0x05, 0x08, 1, 0x12, 1, 0xaa)},                            /* set_state SREGS */
    {VCPU_REQUEST, BYTES(0x52, 0x02, 0x08, 0x7b)},                                        /* enable_capability */
    {VCPU_RESPONSE, BYTES(0x12, 0x02, 0x0a, 0x00)},                                       /* INIT */
    {VCPU_RESPONSE, BYTES(0x12, 0x18, 0x12, 0x16, 0x08, 1, 0x10, 0x80, 0x20, 0x18, 1, 0x20, 1, 0x2a, 2, 7, 8, 0x32,
                          1, 1, 0x3a, 1, 2, 0x42, 1, 3)},                               /* IO, all of it */
    {VCPU_RESPONSE, BYTES(0x12, 0x04, 0x1a, 0x02, 0x08, 5)},                            /* PAUSED */
    {VCPU_RESPONSE, BYTES(0x12, 0x08, 0x22, 0x06, 0x08, 1, 0x10, 2, 0x18, 3)},          /* HYPERV_HCALL */
    {VCPU_RESPONSE, BYTES(0x12, 0x0a, 0x2a, 0x08, 0x08, 1, 0x10, 2, 0x18, 3, 0x20, 4)}, /* HYPERV_SYNIC */
    {VCPU_RESPONSE, BYTES(0x08, 0x20, 0x22, 0x00)}, /* error 16 and get_state */
    /* Beyond API 0.22 */
    {MAIN_REQUEST, BYTES(0xc2, 0x0c, 0x00)},             /* features */
    {MAIN_REQUEST, BYTES(0xca, 0x0c, 0x02, 0x08, 0x40)}, /* get_vcpus_from 64 */
    {MAIN_REQUEST, BYTES(0xd2, 0x0c, 0x0b, 0x08, 0x03, 0x12, 0x07, 0x08, 0x01, 0x10, 0x80, 0x20, 0x18,
                         0x04)}, /* create_ext 3: io_event MMIO 0x1000, length 4 */
    {MAIN_REQUEST, BYTES(0xd2, 0x0c, 0x06, 0x08, 0x03, 0x1a, 0x02, 0x08, 0x09)}, /* create_ext 3: irq_event 9 */
    {MAIN_REQUEST, BYTES(0xda, 0x0c, 0x02, 0x08, 0x01)},                         /* get_cpuid emulated */
    {MAIN_REQUEST, BYTES(0xe2, 0x0c, 0x04, 0x08, 0x03, 0x10, 0x08)},             /* dirty_log_to 3, offset 8 */
    {MAIN_REQUEST, BYTES(0xea, 0x0c, 0x05, 0x0a, 0x01, 0xff, 0x10, 0x07)},       /* pause_set */
    {MAIN_REQUEST, BYTES(0xf2, 0x0c, 0x08, 0x08, 0x80, 0x80, 0x80, 0xf7, 0x0f, 0x10, 0x31)}, /* signal_msi */
    {MAIN_REQUEST, BYTES(0xfa, 0x0c, 0x02, 0x08, 0x05)},                                     /* subscribe_exits */
    {MAIN_REQUEST, BYTES(0x82, 0x0d, 0x0c, 0x0a, 0x08, 0x08, 0x10, 0x10, 0x02, 0x18, 0x01, 0x20, 0x01, 0x10,
                         0x01)},             /* set_msr_filter */
    {MAIN_REQUEST, BYTES(0x8a, 0x0d, 0x00)}, /* get_end */
    {MAIN_RESPONSE, BYTES(0xc2, 0x0c, 0x1e, 0x08, 0x01, 0x10, 0x02, 0x18, 0x03, 0x20, 0x04, 0x28, 0x05, 0x30, 0x01,
                          0x38, 0x06, 0x40, 0x07, 0x48, 0x08, 0x50, 0x09, 0x58, 0x0a, 0x60, 0x0b, 0x68, 0x0c, 0x70,
                          0x0d, 0x78, 0x0e)},                   /* features, all of them */
    {MAIN_RESPONSE, BYTES(0xca, 0x0c, 0x00)},                   /* get_vcpus_from */
    {MAIN_RESPONSE, BYTES(0xd2, 0x0c, 0x00)},                   /* create_ext */
    {MAIN_RESPONSE, BYTES(0xda, 0x0c, 0x03, 0x0a, 0x01, 0xff)}, /* get_cpuid */
    {MAIN_RESPONSE, BYTES(0xe2, 0x0c, 0x03, 0x08, 0xac, 0x02)}, /* dirty_log_to */
    {MAIN_RESPONSE, BYTES(0xf2, 0x0c, 0x02, 0x08, 0x01)},       /* signal_msi */
    {MAIN_RESPONSE, BYTES(0x8a, 0x0d, 0x09, 0x08, 0x02, 0x10, 0x01, 0x18, 0x01, 0x22, 0x01,
                          0x78)},                                                /* get_end: 2, -1, no vCPU, x */
    {VCPU_REQUEST, BYTES(0xa2, 0x06, 0x06, 0x0a, 0x04, 0x08, 0x01, 0x10, 0x02)}, /* set_msrs_counted */
    {VCPU_REQUEST, BYTES(0xaa, 0x06, 0x03, 0x0a, 0x01, 0xaa)},                   /* set_cpuid_raw */
    {VCPU_REQUEST, BYTES(0xb2, 0x06, 0x02, 0x08, 0x02)},                         /* get_ext_state NESTED */
    {VCPU_REQUEST,
     BYTES(0xba, 0x06, 0x08, 0x08, 0x01, 0x12, 0x04, 0x01, 0x02, 0x03, 0x04)}, /* set_ext_state TSC_KHZ */
    {VCPU_REQUEST, BYTES(0xc2, 0x06, 0x02, 0x08, 0x31)},                       /* interrupt */
    {VCPU_REQUEST, BYTES(0xca, 0x06, 0x00)},                                   /* nmi */
    {VCPU_REQUEST, BYTES(0xd2, 0x06, 0x02, 0x08, 0x01)},                       /* request_irq_window */
    {VCPU_REQUEST, BYTES(0xda, 0x06, 0x03, 0x0a, 0x01, 0x05)},                 /* set_guest_debug */
    {VCPU_REQUEST, BYTES(0xe2, 0x06, 0x03, 0x08, 0xb4, 0x24)},                 /* translate */
    {VCPU_RESPONSE, BYTES(0xa2, 0x06, 0x02, 0x08, 0x03)},                      /* set_msrs_counted */
    {VCPU_RESPONSE, BYTES(0xb2, 0x06, 0x03, 0x0a, 0x01, 0x07)},                /* get_ext_state */
    {VCPU_RESPONSE, BYTES(0xe2, 0x06, 0x08, 0x08, 0x05, 0x10, 0x01, 0x18, 0x01, 0x20, 0x01)}, /* translate */
    {VCPU_RESPONSE,
     BYTES(0xb2, 0x09, 0x0b, 0x0a, 0x09, 0x08, 0x10, 0x10, 0x01, 0x18, 0x04, 0x20, 0xac, 0x02)}, /* MSR */
    {VCPU_RESPONSE,
     BYTES(0xb2, 0x09, 0x0a, 0x12, 0x08, 0x08, 0x03, 0x10, 0x01, 0x18, 0x02, 0x20, 0x03)},    /* DEBUG */
    {VCPU_RESPONSE, BYTES(0xb2, 0x09, 0x02, 0x1a, 0x00)},                                     /* HLT */
    {VCPU_RESPONSE, BYTES(0xb2, 0x09, 0x02, 0x22, 0x00)},                                     /* IRQ_WINDOW */
    {VCPU_RESPONSE, BYTES(0xb2, 0x09, 0x04, 0x2a, 0x02, 0x08, 0x31)},                         /* IOAPIC_EOI */
    {VCPU_RESPONSE, BYTES(0xb2, 0x09, 0x02, 0x32, 0x00)},                                     /* SHUTDOWN */
    {VCPU_RESPONSE, BYTES(0xb2, 0x09, 0x08, 0x3a, 0x06, 0x08, 0x01, 0x12, 0x02, 0x01, 0x02)}, /* INTERNAL_ERROR */
};
#define GOLDENS (sizeof(goldens) / sizeof(goldens[0]))

static void test_golden(void **state)
{
	(void)state;
	for (size_t i = 0; i < GOLDENS; i++)
		check_round_trip(&kinds[goldens[i].kind], goldens[i].data, goldens[i].size);
}

static void test_golden_values(void **state)
{
	(void)state;
	union message message;
	uint8_t *copy;
	assert_int_equal(decode(&kinds[MAIN_REQUEST], goldens[1].data, goldens[1].size, &message, NULL), 0);
	const wire_MainRequest_Create *create = &message.main_request.message.create;
	assert_int_equal(message.main_request.which_message, wire_MainRequest_create_tag);
	assert_int_equal(create->id, 1);
	assert_int_equal(create->which_constructor, wire_MainRequest_Create_memory_tag);
	assert_int_equal(create->constructor.memory.offset, 0x1000);
	assert_int_equal(create->constructor.memory.start, 0x2000);
	assert_int_equal(create->constructor.memory.length, 0x3000);
	assert_true(create->constructor.memory.read_only && create->constructor.memory.dirty_log);

	static const uint8_t resume[] = {0x12, 0x0d, 0x0a, 1, 1, 0x12, 1, 2, 0x1a, 1, 3, 0x22, 2, 4, 5};
	assert_int_equal(decode(&kinds[VCPU_REQUEST], resume, sizeof(resume), &message, &copy), 0);
	const wire_VcpuRequest_Resume *got = &message.vcpu_request.message.resume;
	assert_int_equal(got->data.size, 1);
	assert_int_equal(got->debugregs.size, 2);
	/* Not copied, but a part of the input. */
	assert_ptr_equal(got->debugregs.data, copy + sizeof(resume) - 2);
	free(copy);

	static const uint8_t error[] = {0x08, 0x01};
	assert_int_equal(decode(&kinds[MAIN_RESPONSE], error, sizeof(error), &message, NULL), 0);
	assert_int_equal(message.main_response.error, -1);
	assert_int_equal(message.main_response.which_message, 0);
}

static void test_every_truncation(void **state)
{
	(void)state;
	union message message;
	for (size_t i = 0; i < GOLDENS; i++) {
		const struct kind *kind = &kinds[goldens[i].kind];
		for (size_t size = 1; size < goldens[i].size; size++) {
			/* Between two fields a message may end. */
			bool at_boundary = kind->is_response && goldens[i].data[0] == 0x08 && size == 2;
			assert_int_equal(decode(kind, goldens[i].data, size, &message, NULL),
			                 at_boundary ? 0 : -EBADMSG);
		}
		assert_int_equal(decode(kind, goldens[i].data, 0, &message, NULL), 0);
		assert_int_equal(*kind->which(&message), 0);
	}
}

static void test_unknown_fields(void **state)
{
	static const struct {
		uint8_t data[24];
		size_t size;
	} unknown[] = {
	    {BYTES(0xba, 0x3e, 0x00)},                                                       /* 999, empty bytes */
	    {BYTES(0xb8, 0x3e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)}, /* 999, varint */
	    {BYTES(0xb9, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8)},                                     /* 999, 64 bits */
	    {BYTES(0xbd, 0x3e, 1, 2, 3, 4)},                                                 /* 999, 32 bits */
	    {BYTES(0xfa, 0xff, 0xff, 0xff, 0x0f, 0x01, 0x00)}, /* the greatest number */
	};
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
			union message message;
			assert_int_equal(decode(&kinds[k], unknown[i].data, unknown[i].size, &message, NULL), 0);
			assert_int_equal(*kinds[k].which(&message), 0);
			/* With a known one before it. */
			uint8_t both[32] = {(uint8_t)(kinds[k].tags[1] << 3 | 2), 0};
			memcpy(both + 2, unknown[i].data, unknown[i].size);
			assert_int_equal(decode(&kinds[k], both, 2 + unknown[i].size, &message, NULL), 0);
			assert_int_equal(*kinds[k].which(&message), kinds[k].tags[1]);
		}
	}
}

static void test_repeated_fields(void **state)
{
	(void)state;
	union message message;
	/* The last of a oneof's members counts, and nothing of the others is left. */
	static const uint8_t two[] = {0x12, 0x03, 0x0a, 1, 7, 0x22, 0x02, 0x08, 1};
	assert_int_equal(decode(&kinds[VCPU_REQUEST], two, sizeof(two), &message, NULL), 0);
	assert_int_equal(message.vcpu_request.which_message, wire_VcpuRequest_set_state_tag);
	assert_int_equal(message.vcpu_request.message.set_state.state.size, 0);
	assert_int_equal(message.vcpu_request.message.set_state.set, 1);
	/* The same member twice is merged; a field in it that occurs twice counts as it was last. */
	static const uint8_t same[] = {0x12, 0x03, 0x0a, 1, 7, 0x12, 0x06, 0x12, 1, 8, 0x12, 1, 9};
	uint8_t *copy;
	assert_int_equal(decode(&kinds[VCPU_REQUEST], same, sizeof(same), &message, &copy), 0);
	const wire_VcpuRequest_Resume *resume = &message.vcpu_request.message.resume;
	assert_int_equal(resume->data.size, 1);
	assert_int_equal(resume->data.data[0], 7);
	assert_int_equal(resume->regs.size, 1);
	assert_int_equal(resume->regs.data[0], 9);
	free(copy);
	/* An empty one last is empty. */
	static const uint8_t emptied[] = {0x12, 0x05, 0x0a, 1, 7, 0x0a, 0};
	assert_int_equal(decode(&kinds[VCPU_REQUEST], emptied, sizeof(emptied), &message, NULL), 0);
	assert_int_equal(message.vcpu_request.message.resume.data.size, 0);
}

static void test_malformed(void **state)
{
	static const struct {
		uint8_t data[24];
		size_t size;
	} malformed[] = {
	    {BYTES(0x08, 0x01, 0x00)},                   /* field 1 as a varint, then field number 0 */
	    {BYTES(0x00)},                               /* field number 0 */
	    {BYTES(0x13)},                               /* a group */
	    {BYTES(0x14)},                               /* a group's end */
	    {BYTES(0x16)},                               /* wire type 6 */
	    {BYTES(0x17)},                               /* wire type 7 */
	    {BYTES(0x10, 0x01)},                         /* a message's number as a varint */
	    {BYTES(0x12, 0x01)},                         /* length beyond the end */
	    {BYTES(0x12, 0xff, 0xff, 0xff, 0xff, 0x0f)}, /* 2^32 - 1 */
	    {BYTES(0x12, 0xff, 0xff, 0xff, 0xff, 0x7f)}, /* more than 32 bits */
	    {BYTES(0x12, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01)}, /* 2^63 */
	    {BYTES(0x12, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
	           0x01)},                                     /* a varint of 11 bytes */
	    {BYTES(0xba, 0x3e, 0xff, 0xff, 0xff, 0xff, 0x0f)}, /* the same in an unknown field */
	    {BYTES(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)},
	};
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
			union message message;
			assert_int_equal(decode(&kinds[k], malformed[i].data, malformed[i].size, &message, NULL),
			                 -EBADMSG);
		}
	}
	/* Inside a member: bytes longer than the member, though not than the packet. */
	static const uint8_t inner[] = {0x12, 0x03, 0x0a, 0x05, 1, 2, 3, 4, 5, 6};
	union message message;
	assert_int_equal(decode(&kinds[VCPU_REQUEST], inner, sizeof(inner), &message, NULL), -EBADMSG);
}

/*
 * A bytes field that comes as a number is no bytes field. (A decoder that takes it for one has only a copy to point to,
 * and the copy is gone by then.)
 */
static void test_bytes_of_wrong_type(void **state)
{
	static const struct {
		int kind;
		uint8_t data[20];
		size_t size;
	} cases[] = {
	    {VCPU_REQUEST, BYTES(0x12, 0x02, 0x08, 0x05)},                   /* resume, data: varint */
	    {VCPU_REQUEST, BYTES(0x12, 0x05, 0x0d, 1, 2, 3, 4)},             /* 32 bits */
	    {VCPU_REQUEST, BYTES(0x12, 0x09, 0x09, 1, 2, 3, 4, 5, 6, 7, 8)}, /* 64 bits */
	    {VCPU_REQUEST, BYTES(0x12, 0x02, 0x10, 0x05)},                   /* regs */
	    {VCPU_REQUEST, BYTES(0x12, 0x02, 0x18, 0x05)},                   /* sregs */
	    {VCPU_REQUEST, BYTES(0x12, 0x02, 0x20, 0x05)},                   /* debugregs */
	    {VCPU_REQUEST, BYTES(0x22, 0x02, 0x10, 0x05)},                   /* set_state, state */
	    {VCPU_REQUEST, BYTES(0x22, 0x09, 0x11, 1, 2, 3, 4, 5, 6, 7, 8)}, /* the same, 64 bits */
	    {MAIN_REQUEST, BYTES(0x72, 0x02, 0x10, 0x05)},                   /* set_state, state */
	    {VCPU_RESPONSE, BYTES(0x22, 0x02, 0x08, 0x01)},                  /* get_state, state */
	    {VCPU_RESPONSE, BYTES(0x12, 0x04, 0x12, 0x02, 0x28, 0x01)},      /* IO, data */
	    {VCPU_RESPONSE, BYTES(0x12, 0x04, 0x12, 0x02, 0x30, 0x01)},      /* IO, regs */
	    {MAIN_RESPONSE, BYTES(0x72, 0x02, 0x08, 0x01)},                  /* get_state, state */
	    {MAIN_RESPONSE, BYTES(0x52, 0x02, 0x08, 0x01)},                  /* host_mac_address */
	    {MAIN_RESPONSE, BYTES(0xaa, 0x06, 0x02, 0x08, 0x01)},            /* dirty_log, bitmap */
	    {MAIN_REQUEST, BYTES(0xea, 0x0c, 0x02, 0x08, 0x05)},             /* pause_set, cpu_mask */
	    {VCPU_REQUEST, BYTES(0xaa, 0x06, 0x02, 0x08, 0x05)},             /* set_cpuid_raw, entries */
	    {VCPU_REQUEST, BYTES(0xba, 0x06, 0x02, 0x10, 0x05)},             /* set_ext_state, state */
	    {VCPU_REQUEST, BYTES(0xda, 0x06, 0x02, 0x08, 0x05)},             /* set_guest_debug, debug */
	    {VCPU_RESPONSE, BYTES(0xb2, 0x06, 0x02, 0x08, 0x01)},            /* get_ext_state, state */
	    {MAIN_RESPONSE, BYTES(0xda, 0x0c, 0x02, 0x08, 0x01)},            /* get_cpuid, entries */
	    {MAIN_RESPONSE, BYTES(0x8a, 0x0d, 0x02, 0x20, 0x01)},            /* get_end, text */
	};
	(void)state;
	int accepted = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		union message message;
		accepted += decode(&kinds[cases[i].kind], cases[i].data, cases[i].size, &message, NULL) !=
		            -EBADMSG;
	}
	assert_int_equal(accepted, 0);
}

static void test_random(void **state)
{
	(void)state;
	unsigned int seed = 1;
	for (int round = 0; round < 20000; round++) {
		const struct golden *golden = &goldens[(size_t)rand_r(&seed) % GOLDENS];
		uint8_t data[64];
		memcpy(data, golden->data, golden->size);
		for (int flips = rand_r(&seed) % 4; flips >= 0; flips--)
			data[(size_t)rand_r(&seed) % golden->size] = (uint8_t)rand_r(&seed);
		union message message;
		uint8_t *copy, again[512];
		if (decode(&kinds[golden->kind], data, golden->size, &message, &copy) == 0)
			assert_true(kinds[golden->kind].encode(&message, again, sizeof(again)) >= 0);
		free(copy);
	}
}

static void test_frame_edges(void **state)
{
	static const struct {
		uint32_t size;
		size_t header;
	} edges[] = {{0, 1},          {1, 1},           {0x7f, 1},           {0x80, 2},      {0x3fff, 2},
	             {0x4000, 3},     {0x1fffff, 3},    {0x200000, 4},       {0xfffffff, 4}, {0x10000000, 5},
	             {0x7fffffff, 5}, {0x80000000u, 5}, {UINT32_MAX - 1, 5}, {UINT32_MAX, 5}};
	(void)state;
	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		uint8_t header[WIRE_FRAME_HEADER_MAX + 1];
		memset(header, 0xaa, sizeof(header));
		assert_int_equal(wire_frame_header(edges[i].size, header), edges[i].header);
		assert_int_equal(header[edges[i].header], 0xaa);
		uint32_t size = 42;
		for (size_t part = 0; part < edges[i].header; part++) {
			assert_int_equal(wire_frame_parse(header, part, &size), 0);
			assert_int_equal(size, 42);
		}
		assert_int_equal(wire_frame_parse(header, edges[i].header, &size), edges[i].header);
		assert_int_equal(size, edges[i].size);
		/* What follows is not looked at. */
		assert_int_equal(wire_frame_parse(header, sizeof(header), &size), edges[i].header);
	}
}

static void test_frame_malformed(void **state)
{
	(void)state;
	uint32_t size = 42;
	static const uint8_t too_big[] = {0xff, 0xff, 0xff, 0xff, 0x1f};
	assert_int_equal(wire_frame_parse(too_big, 5, &size), -EBADMSG);
	static const uint8_t just_over[] = {0x80, 0x80, 0x80, 0x80, 0x10};
	assert_int_equal(wire_frame_parse(just_over, 5, &size), -EBADMSG);
	static const uint8_t endless[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
	assert_int_equal(wire_frame_parse(endless, 4, &size), 0);
	assert_int_equal(wire_frame_parse(endless, 5, &size), -EBADMSG);
	assert_int_equal(wire_frame_parse(endless, 6, &size), -EBADMSG);
	assert_int_equal(size, 42);
	static const uint8_t padded[] = {0x81, 0x80, 0x00};
	assert_int_equal(wire_frame_parse(padded, 3, &size), 3);
	assert_int_equal(size, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_member),        cmocka_unit_test(test_golden),
	    cmocka_unit_test(test_golden_values),       cmocka_unit_test(test_every_truncation),
	    cmocka_unit_test(test_unknown_fields),      cmocka_unit_test(test_repeated_fields),
	    cmocka_unit_test(test_malformed),           cmocka_unit_test(test_random),
	    cmocka_unit_test(test_bytes_of_wrong_type), cmocka_unit_test(test_frame_edges),
	    cmocka_unit_test(test_frame_malformed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
