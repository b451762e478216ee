/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the snapshot of a vCPU against a host that keeps its state: there and back, blobs that are damaged in every
 * place, and that a restore which fails at any step leaves the vCPU as it was.
 */
#include "plugin_state_host.c"

#define HEADER 24 /* of a blob: magic, version, irqchip, size, reserved */

static uint8_t blob[65536];
static uint32_t blob_size;

static void take(struct crosvm_vcpu *vcpu)
{
	memset(blob, 0, sizeof(blob));
	assert_int_equal(CALL(crosvm_vcpu_get_all(vcpu, sizeof(blob), blob, &blob_size)), 0);
	assert_true(blob_size > HEADER && blob_size % 8 == 0);
}

static void expect_state(const struct vcpu_state *expected)
{
	assert_memory_equal(&host.state, expected, sizeof(*expected));
}

/* Restoring `bytes` gives `error` and changes nothing. */
static void refuse(struct crosvm_vcpu *vcpu, const void *bytes, uint32_t size, int error)
{
	static struct vcpu_state before;
	before = host.state;
	assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, size, bytes)), error);
	expect_state(&before);
}

/* The same, and the host is not even told. */
static void refuse_unseen(struct crosvm_vcpu *vcpu, const void *bytes, uint32_t size, int error)
{
	unsigned sets = host.sets, gets = host.gets;
	refuse(vcpu, bytes, size, error);
	assert_int_equal(host.sets, sets);
	assert_int_equal(host.gets, gets);
}

/* ---- There and back ---- */

static void check_round_trip(struct crosvm_vcpu *vcpu)
{
	static struct vcpu_state a;
	static uint8_t again[65536];
	uint32_t size;
	fill(1);
	a = host.state;
	take(vcpu);
	expect_state(&a);
	fill(2);
	assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob)), 0);
	/* Restored twice it is the same, and so is what is taken of it. */
	assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob)), 0);
	assert_int_equal(CALL(crosvm_vcpu_get_all(vcpu, sizeof(again), again, &size)), 0);
	assert_int_equal(size, blob_size);
	assert_memory_equal(again, blob, size);
}

static void test_round_trip(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin_ours(fake);
	static struct vcpu_state expected;
	static const uint32_t counts[] = {0, 1, LIMIT_MSRS, LIMIT_MSRS + 1, MSRS_MAX};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		host.msr_count = counts[i];
		check_round_trip(vcpu);
		fill(1);
		expected = host.state;
		fill(2);
		assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob)), 0);
		expect_state(&expected);
	}
}

/* What a host does not have is not in the blob, and stays as it is. */
static void test_parts_that_are_not_there(void **state)
{
	struct fake *fake = *state;
	static struct vcpu_state b;
	struct crosvm_vcpu *vcpu = begin(fake, 0xffff & ~CROSVM_FEATURE_NESTED, CROSVM_IRQCHIP_NONE);
	fill(1);
	take(vcpu);
	fill(2);
	b = host.state;
	assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob)), 0);
	assert_memory_equal(host.state.nested, b.nested, sizeof(b.nested));
	assert_memory_equal(&host.state.lapic, &b.lapic, sizeof(b.lapic));
	fill(1);
	memcpy(host.state.nested, b.nested, sizeof(b.nested));
	host.state.lapic = b.lapic;
	b = host.state;
	fill(2);
	memcpy(host.state.nested, b.nested, sizeof(b.nested));
	host.state.lapic = b.lapic;
	assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob)), 0);
	expect_state(&b);
}

static void test_sizes(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin_ours(fake);
	fill(1);
	take(vcpu);
	static uint8_t out[65536];
	const uint32_t small[] = {0, 1, HEADER, blob_size - 1};
	for (size_t i = 0; i < 4; i++) {
		uint32_t size = 0;
		memset(out, 0x55, sizeof(out));
		assert_int_equal(CALL(crosvm_vcpu_get_all(vcpu, small[i], small[i] ? out : NULL, &size)), -E2BIG);
		assert_int_equal(size, blob_size);
		assert_int_equal(out[0], 0x55);
	}
	uint32_t size;
	memset(out, 0x55, sizeof(out));
	assert_int_equal(CALL(crosvm_vcpu_get_all(vcpu, blob_size, out, &size)), 0);
	assert_memory_equal(out, blob, size);
	assert_int_equal(out[blob_size], 0x55);
	assert_int_equal(CALL(crosvm_vcpu_get_all(vcpu, 1, NULL, &size)), -EINVAL);
	assert_int_equal(CALL(crosvm_vcpu_get_all(vcpu, 1, out, NULL)), -EINVAL);
	assert_int_equal(CALL(crosvm_vcpu_get_all(NULL, 1, out, &size)), -EINVAL);
	refuse_unseen(vcpu, NULL, 1, -EINVAL);
	assert_int_equal(CALL(crosvm_vcpu_set_all(NULL, blob_size, blob)), -EINVAL);
	/* More than a blob holds. */
	host.xsave_size = LIMIT_VCPU_RESPONSE_BYTES - 64;
	assert_int_equal(CALL(crosvm_vcpu_get_all(vcpu, sizeof(out), out, &size)), -E2BIG);
	assert_int_equal(size, 0);
}

/*
 * What a set depends on is there before it: CPUID before all, sregs before nested state, the local APIC before the MSR of
 * its timer.
 */
static void test_order(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin_ours(fake);
	fill(1);
	take(vcpu);
	fill(2);
	host.sets = 0;
	assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob)), 0);
	assert_string_equal(host.order, "CTsNrXxmlMed");
	/* KVM takes no CPUID table once the vCPU has run, nor a frequency for nothing: the same are not set again. */
	memset(host.order, 0, sizeof(host.order));
	host.sets = 0;
	assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob)), 0);
	assert_string_equal(host.order, "sNrXxmlMed");
}

/* ---- MSRs ---- */

static void test_msrs(void **state)
{
	struct fake *fake = *state;
	static struct vcpu_state expected;
	struct crosvm_vcpu *vcpu = begin_ours(fake);
	static const uint32_t places[] = {0, 1, LIMIT_MSRS - 1, LIMIT_MSRS, MSRS_MAX - 1};
	host.msr_count = MSRS_MAX;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		uint32_t place = places[i];
		/* One that cannot be read is left out; the others behind it are not. */
		host.hidden_msr = place;
		fill(1);
		expected = host.state;
		take(vcpu);
		host.hidden_msr = MSRS_MAX;
		fill(2);
		expected.msrs[place] = host.state.msrs[place];
		assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob)), 0);
		expect_state(&expected);
		/* One that cannot be written does no harm if it is right, and fails the whole if it is not. */
		fill(1);
		take(vcpu);
		expected = host.state;
		fill(2);
		host.state.msrs[place] = expected.msrs[place];
		host.read_only_msr = place;
		assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob)), 0);
		expect_state(&expected);
		fill(2);
		host.state.msrs[place] = 1;
		refuse(vcpu, blob, blob_size, -EINVAL);
		host.read_only_msr = MSRS_MAX;
	}
}

/* ---- Damage ---- */

static void put_u32(uint8_t *bytes, uint32_t at, uint32_t value)
{
	memcpy(bytes + at, &value, sizeof(value));
}

static uint32_t get_u32(const uint8_t *bytes, uint32_t at)
{
	uint32_t value;
	memcpy(&value, bytes + at, sizeof(value));
	return value;
}

/* The place behind the section at `at`. */
static uint32_t behind(const uint8_t *bytes, uint32_t at)
{
	return at + 8 + ((get_u32(bytes, at + 4) + 7) & ~7u);
}

static uint8_t damaged[65536];

static void heal(void)
{
	memcpy(damaged, blob, blob_size);
}

static void test_damaged_headers(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin_ours(fake);
	fill(1);
	take(vcpu);
	fill(2);
	for (uint32_t at = 0; at < 20; at++) {
		heal();
		damaged[at] ^= 0x10;
		bool is_version = at >= 8 && at < 12;
		refuse_unseen(vcpu, damaged, blob_size, is_version ? -EPROTONOSUPPORT : -EINVAL);
	}
	refuse_unseen(vcpu, blob, blob_size - 8, -EINVAL);
	heal();
	refuse_unseen(vcpu, damaged, blob_size + 8, -EINVAL);
	assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, damaged)), 0);
}

/* Every section with a number, a place and a size that it cannot have. */
static void test_damaged_sections(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin_ours(fake);
	fill(1);
	take(vcpu);
	fill(2);
	unsigned sections = 0;
	uint32_t last = 0;
	for (uint32_t at = HEADER; at < blob_size; at = behind(blob, at)) {
		uint32_t kind = get_u32(blob, at), size = get_u32(blob, at + 4);
		const uint32_t kinds[] = {0, last, 13, 255, UINT32_MAX, kind | 0x10000};
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			heal();
			put_u32(damaged, at, kinds[i]);
			refuse_unseen(vcpu, damaged, blob_size, -EINVAL);
		}
		const uint32_t sizes[] = {blob_size - at - 7, UINT32_MAX, UINT32_MAX - 7, INT32_MAX,
		                          size + 0x10000};
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			heal();
			put_u32(damaged, at + 4, sizes[i]);
			refuse_unseen(vcpu, damaged, blob_size, -EINVAL);
		}
		/* A little more or less: what follows is no section then, or this one is not what it says. */
		for (uint32_t wrong = size < 9 ? 1 : size - 9; wrong <= size + 9; wrong++) {
			if (wrong == size)
				continue;
			heal();
			put_u32(damaged, at + 4, wrong);
			refuse(vcpu, damaged, blob_size, -EINVAL);
		}
		last = kind;
		sections++;
	}
	assert_int_equal(sections, 12);
	assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob)), 0);
}

static void test_truncated(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin_ours(fake);
	fill(1);
	take(vcpu);
	fill(2);
	uint32_t next = HEADER;
	heal();
	for (uint32_t size = 0; size < blob_size; size++) {
		refuse_unseen(vcpu, blob, size, -EINVAL);
		/* With a header that says so: it ends with a section, or it is none. */
		if (size == next) {
			next = behind(blob, next);
			continue;
		}
		put_u32(damaged, 16, size);
		refuse_unseen(vcpu, damaged, size, -EINVAL);
	}
}

/* ---- All or nothing ---- */

static void test_every_set_refused(void **state)
{
	struct fake *fake = *state;
	static struct vcpu_state a, b;
	struct crosvm_vcpu *vcpu = begin_ours(fake);
	host.msr_count = MSRS_MAX;
	fill(1);
	a = host.state;
	take(vcpu);
	fill(2);
	host.sets = 0;
	assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob)), 0);
	unsigned all = host.sets;
	/* One for each section, and three for as many MSRs. */
	assert_int_equal(all, 14);
	static const int errors[] = {EINVAL, EBUSY, ENOMEM};
	for (unsigned nth = 1; nth <= all + 1; nth++) {
		fill(2);
		b = host.state;
		host.error = errors[nth % 3];
		host.sets = 0;
		host.fail_set = nth;
		int result = CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob));
		host.fail_set = 0;
		assert_int_equal(result, nth <= all ? -host.error : 0);
		expect_state(nth <= all ? &b : &a);
		/* Nothing is left that would change it later. */
		struct kvm_regs regs;
		assert_int_equal(CALL(crosvm_vcpu_get_regs(vcpu, &regs)), 0);
		assert_memory_equal(&regs, &host.state.regs, sizeof(regs));
		expect_state(nth <= all ? &b : &a);
	}
}

/* What cannot be taken cannot be put back: nothing is begun. */
static void test_every_get_refused(void **state)
{
	struct fake *fake = *state;
	static struct vcpu_state a;
	struct crosvm_vcpu *vcpu = begin_ours(fake);
	fill(1);
	host.error = EIO;
	host.gets = 0;
	take(vcpu);
	unsigned all = host.gets;
	for (unsigned nth = 1; nth <= all; nth++) {
		static uint8_t out[65536];
		uint32_t size = 99;
		fill(1);
		a = host.state;
		host.gets = 0;
		host.fail_get = nth;
		int result = CALL(crosvm_vcpu_get_all(vcpu, sizeof(out), out, &size));
		/* The second is the frequency, which not every KVM tells. */
		assert_int_equal(result, nth == 2 ? 0 : -EIO);
		assert_int_equal(size, nth == 2 ? blob_size - 16 : 0);
		expect_state(&a);
		if (nth == 2)
			continue;
		fill(2);
		host.sets = host.gets = 0;
		refuse(vcpu, blob, blob_size, -EIO);
		assert_int_equal(host.sets, 0);
		host.fail_get = 0;
	}
}

/* The host goes away in the middle. */
static void test_host_gone(void **state)
{
	unsigned all = 1;
	for (unsigned nth = 0; nth <= all; nth += 3) {
		struct fake *fake = *state;
		struct crosvm_vcpu *vcpu = begin_ours(fake);
		fill(1);
		take(vcpu);
		fill(2);
		host.gets = host.sets = 0;
		host.hang_up = nth;
		assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob)), nth == 0 ? 0 : -ECONNRESET);
		if (nth == 0) {
			all = host.gets + host.sets;
			host.hang_up = 1;
		}
		uint32_t size;
		assert_int_equal(CALL(crosvm_vcpu_get_all(vcpu, 0, NULL, &size)), -ECONNRESET);
		state_host_teardown(state);
		fake_setup(state);
	}
}

/* ---- Among other state ---- */

/* Registers that the plugin has set and that have not travelled yet are a part of the state. */
static void test_deferred(void **state)
{
	struct fake *fake = *state;
	static struct vcpu_state b;
	struct crosvm_vcpu *vcpu = begin_ours(fake);
	struct kvm_regs regs = {.rax = 77};
	fill(1);
	take(vcpu);
	/* They are in a blob that is taken now. */
	assert_int_equal(CALL(crosvm_vcpu_set_regs(vcpu, &regs)), 0);
	take(vcpu);
	fill(2);
	assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob)), 0);
	assert_int_equal(host.state.regs.rax, 77);
	/* A restore that fails leaves them. */
	fill(2);
	b = host.state;
	regs.rax = 78;
	assert_int_equal(CALL(crosvm_vcpu_set_regs(vcpu, &regs)), 0);
	host.sets = 0;
	host.fail_set = 6;
	assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob)), -EINVAL);
	host.fail_set = 0;
	b.regs = regs;
	expect_state(&b);
	/* One that succeeds does not. */
	regs.rax = 79;
	assert_int_equal(CALL(crosvm_vcpu_set_regs(vcpu, &regs)), 0);
	assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob)), 0);
	assert_int_equal(CALL(crosvm_vcpu_get_regs(vcpu, &regs)), 0);
	assert_int_equal(regs.rax, 77);
	assert_int_equal(host.state.regs.rax, 77);
}

static void test_running(void **state)
{
	struct fake *fake = *state;
	struct crosvm_vcpu *vcpu = begin_ours(fake);
	fill(1);
	take(vcpu);
	assert_int_equal(CALL(crosvm_vcpu_resume(vcpu)), 0);
	uint32_t size;
	unsigned sets = host.sets;
	assert_int_equal(CALL(crosvm_vcpu_get_all(vcpu, sizeof(damaged), damaged, &size)), -EBUSY);
	assert_int_equal(CALL(crosvm_vcpu_set_all(vcpu, blob_size, blob)), -EBUSY);
	assert_int_equal(host.sets, sets);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, state_host_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_round_trip),
	    TEST(test_parts_that_are_not_there),
	    TEST(test_sizes),
	    TEST(test_order),
	    TEST(test_msrs),
	    TEST(test_damaged_headers),
	    TEST(test_damaged_sections),
	    TEST(test_truncated),
	    TEST(test_every_set_refused),
	    TEST(test_every_get_refused),
	    TEST(test_host_gone),
	    TEST(test_deferred),
	    TEST(test_running),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
