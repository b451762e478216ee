/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host that keeps the state of one vCPU and answers by itself, in a thread of its own. Not a program: the tests of
 * snapshots include it. Any of its answers can be a refusal, or the last.
 */
#include "plugin_fake_host.c"

#define MSRS_MAX   600
#define MSR_FIRST  0x100
#define XSAVE_SIZE 4160

/* What a vCPU is; in an order that needs no padding, so that two of them can be compared. */
struct vcpu_state {
	struct kvm_cpuid_entry2 cpuid[3];
	uint32_t tsc_khz;
	struct kvm_mp_state mp_state;
	struct kvm_sregs sregs;
	uint8_t nested[200];
	struct kvm_regs regs;
	uint8_t xsave[XSAVE_SIZE];
	struct kvm_xcrs xcrs;
	struct kvm_lapic_state lapic;
	uint64_t msrs[MSRS_MAX];
	struct kvm_vcpu_events events;
	struct kvm_debugregs debugregs;
};

struct host {
	struct fake *fake;
	struct vcpu_state state;
	uint32_t msr_count;          /* in the list */
	uint32_t hidden_msr;         /* one that cannot be read, by its place; MSRS_MAX: none */
	uint32_t read_only_msr;      /* one that cannot be written */
	size_t xsave_size;           /* what it says; at most as long as a message */
	unsigned gets, sets;         /* requests of either kind so far */
	unsigned fail_get, fail_set; /* which of them is refused, from 1 on; 0: none */
	unsigned hang_up;            /* the request, of both kinds, at which the host is gone */
	int error;                   /* with which they are refused */
	char order[32];              /* of the sets: a letter for each */
	pthread_t thread;
};

static struct host host;

/* Held by the test, but for calls: what the sockets order anyway, in a way that a sanitizer sees. */
static pthread_mutex_t host_lock = PTHREAD_MUTEX_INITIALIZER;
#define CALL(call)                                \
	({                                        \
		pthread_mutex_unlock(&host_lock); \
		int call_result = (call);         \
		pthread_mutex_lock(&host_lock);   \
		call_result;                      \
	})

static struct wire_bytes whole(void *data, size_t size)
{
	return (struct wire_bytes){data, size};
}

static struct wire_bytes plain_set(wire_VcpuRequest_StateSet set)
{
	struct vcpu_state *state = &host.state;
	switch (set) {
	case wire_VcpuRequest_StateSet_REGS:
		return whole(&state->regs, sizeof(state->regs));
	case wire_VcpuRequest_StateSet_SREGS:
		return whole(&state->sregs, sizeof(state->sregs));
	case wire_VcpuRequest_StateSet_DEBUGREGS:
		return whole(&state->debugregs, sizeof(state->debugregs));
	case wire_VcpuRequest_StateSet_LAPIC:
		return whole(&state->lapic, sizeof(state->lapic));
	case wire_VcpuRequest_StateSet_MP:
		return whole(&state->mp_state, sizeof(state->mp_state));
	case wire_VcpuRequest_StateSet_XCREGS:
		return whole(&state->xcrs, sizeof(state->xcrs));
	case wire_VcpuRequest_StateSet_EVENTS:
		return whole(&state->events, sizeof(state->events));
	case wire_VcpuRequest_StateSet_FPU: /* a part of XSAVE */
		break;
	}
	return whole(NULL, 0);
}

static struct wire_bytes ext_set(wire_VcpuRequest_ExtSet set)
{
	static uint8_t longest[LIMIT_VCPU_RESPONSE_BYTES];
	static uint32_t indices[MSRS_MAX];
	struct vcpu_state *state = &host.state;
	switch (set) {
	case wire_VcpuRequest_ExtSet_XSAVE:
		return whole(host.xsave_size == XSAVE_SIZE ? state->xsave : longest, host.xsave_size);
	case wire_VcpuRequest_ExtSet_TSC_KHZ:
		return whole(&state->tsc_khz, sizeof(state->tsc_khz));
	case wire_VcpuRequest_ExtSet_NESTED:
		return whole(state->nested, sizeof(state->nested));
	case wire_VcpuRequest_ExtSet_CPUID:
		return whole(state->cpuid, sizeof(state->cpuid));
	case wire_VcpuRequest_ExtSet_MSR_INDICES:
		for (uint32_t i = 0; i < host.msr_count; i++)
			indices[i] = MSR_FIRST + i;
		return whole(indices, host.msr_count * sizeof(indices[0]));
	}
	return whole(NULL, 0);
}

/* As the host does it: all of a set or nothing. */
static int put(struct wire_bytes to, struct wire_bytes from)
{
	if (from.size != to.size || to.size == 0)
		return EINVAL;
	memcpy((void *)to.data, from.data, to.size);
	return 0;
}

static void serve_get_msrs(const wire_VcpuRequest *request, wire_VcpuResponse *response)
{
	static uint64_t values[LIMIT_MSRS];
	const struct wire_array *asked = &request->message.get_msrs.entry_indices;
	const uint32_t *indices = asked->items;
	uint32_t count = 0;
	for (; count < asked->count; count++) {
		uint32_t at = indices[count] - MSR_FIRST;
		if (at >= MSRS_MAX || at == host.hidden_msr)
			break;
		values[count] = host.state.msrs[at];
	}
	response->message.get_msrs.entry_data = (struct wire_array){.items = values, .count = count};
}

static void serve_set_msrs(const wire_VcpuRequest *request, wire_VcpuResponse *response)
{
	const struct wire_array *asked = &request->message.set_msrs_counted.entries;
	const wire_VcpuRequest_MsrEntry *entries = asked->items;
	uint32_t count = 0;
	for (; count < asked->count; count++) {
		uint32_t at = entries[count].index - MSR_FIRST;
		if (at >= MSRS_MAX || at == host.read_only_msr)
			break;
		host.state.msrs[at] = entries[count].data;
	}
	response->message.set_msrs_counted.count = count;
}

static int serve_set(const wire_VcpuRequest *request, wire_VcpuResponse *response)
{
	if (++host.sets == host.fail_set)
		return host.error;
	char letter = request->which_message == wire_VcpuRequest_set_state_tag
	                  ? "rsfdlmxe"[request->message.set_state.set]
	              : request->which_message == wire_VcpuRequest_set_ext_state_tag
	                  ? "XTN"[request->message.set_ext_state.set]
	              : request->which_message == wire_VcpuRequest_set_cpuid_raw_tag ? 'C'
	                                                                             : 'M';
	if (host.sets <= sizeof(host.order) - 1)
		host.order[host.sets - 1] = letter;
	switch (request->which_message) {
	case wire_VcpuRequest_set_state_tag:
		response->which_message = wire_VcpuResponse_set_state_tag;
		return put(plain_set(request->message.set_state.set), request->message.set_state.state);
	case wire_VcpuRequest_set_cpuid_raw_tag:
		return put(ext_set(wire_VcpuRequest_ExtSet_CPUID), request->message.set_cpuid_raw.entries);
	case wire_VcpuRequest_set_ext_state_tag:
		return put(ext_set(request->message.set_ext_state.set), request->message.set_ext_state.state);
	case wire_VcpuRequest_set_msrs_counted_tag:
		serve_set_msrs(request, response);
		return 0;
	default:
		return ENOTTY;
	}
}

static int serve(const wire_VcpuRequest *request, wire_VcpuResponse *response)
{
	/* Replies to additions have the number of the request. */
	response->which_message = request->which_message;
	switch (request->which_message) {
	case wire_VcpuRequest_get_state_tag:
		response->which_message = wire_VcpuResponse_get_state_tag;
		response->message.get_state.state = plain_set(request->message.get_state.set);
		break;
	case wire_VcpuRequest_get_ext_state_tag:
		response->message.get_ext_state.state = ext_set(request->message.get_ext_state.set);
		break;
	case wire_VcpuRequest_get_msrs_tag:
		response->which_message = wire_VcpuResponse_get_msrs_tag;
		serve_get_msrs(request, response);
		break;
	default:
		return serve_set(request, response);
	}
	return ++host.gets == host.fail_get ? host.error : 0;
}

/* Answer one request; false if there is none any more. */
static bool answer(const struct fake *fake)
{
	static uint8_t buffer[LIMIT_VCPU_REQUEST_BYTES];
	static uint64_t elements[4096];
	const struct wire_arena arena = {elements, sizeof(elements)};
	ssize_t size = read(fake->requests[0], buffer, sizeof(buffer));
	wire_VcpuRequest request;
	wire_VcpuResponse response = {.error = 0};
	if (size <= 0 || wire_decode_vcpu_request(buffer, (size_t)size, &arena, &request) < 0)
		return false;
	if (request.which_message == wire_VcpuRequest_resume_tag)
		return true; /* has no reply */
	pthread_mutex_lock(&host_lock);
	bool goes_on = host.hang_up == 0 || --host.hang_up > 0;
	if (goes_on) {
		response.error = serve(&request, &response);
		if (response.error)
			response = (wire_VcpuResponse){.error = response.error};
		fake_send(host.fake, 0, &response);
	} else {
		shutdown(fake->events[0], SHUT_RDWR);
	}
	pthread_mutex_unlock(&host_lock);
	return goes_on;
}

static void *run_host(void *argument)
{
	while (answer(argument))
		;
	return NULL;
}

/* A host with these features and controllers, whose vCPU is at INIT. */
static struct crosvm_vcpu *begin(struct fake *fake, uint64_t features, uint32_t irqchip)
{
	wire_MainResponse answer = fake_features(1);
	answer.message.features.features = features;
	answer.message.features.irqchip = irqchip;
	fake_connect_to(fake, FAKE_SOCKETS, &answer);
	fake_init(fake, 0);
	memset(&host, 0, sizeof(host));
	host.fake = fake;
	host.msr_count = 20;
	host.hidden_msr = host.read_only_msr = MSRS_MAX;
	host.xsave_size = XSAVE_SIZE;
	host.error = EINVAL;
	assert_int_equal(pthread_create(&host.thread, NULL, run_host, fake), 0);
	pthread_mutex_lock(&host_lock);
	return fake_vcpu(fake, 0);
}

static struct crosvm_vcpu *begin_ours(struct fake *fake)
{
	return begin(fake, 0xffff, CROSVM_IRQCHIP_SPLIT);
}

/* End the host too, whatever became of the test. */
static int state_host_teardown(void **state)
{
	struct fake *fake = *state;
	if (host.fake == fake) {
		pthread_mutex_unlock(&host_lock);
		shutdown(fake->requests[0], SHUT_RDWR);
		pthread_join(host.thread, NULL);
		host.fake = NULL;
	}
	return fake_teardown(state);
}

/* A vCPU that has `seed` in all of its state. */
static void fill(uint8_t seed)
{
	uint8_t *bytes = (uint8_t *)&host.state;
	for (size_t i = 0; i < sizeof(host.state); i++)
		bytes[i] = (uint8_t)(seed + i * 7 + i / 256);
	for (uint32_t i = host.msr_count; i < MSRS_MAX; i++)
		host.state.msrs[i] = 0;
}
