/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_vcpu_request - packets on a vCPU channel, while an event is delivered on it to a plugin that sends them.
 *
 * Input: one byte of flags (FLAG_...), a byte: how many packets come before the event (EARLY_...), then packets: two
 * bytes of length, the bytes. The link's system calls end in this file: the vCPU's thread gets the next packet whenever it
 * would wait, and the end of the channel when there is none left. So nothing can wait, and every call is cheap.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/sys.h"
#include "fuzz.h"
#include "host/link.h"
#include "host/plugin.h"
#include "kvm/kvm.h"
#include "wire/limits.h"

#define FLAG_EVENT      0x03 /* enum event */
#define FLAG_SIZE       0x0c /* of the access: 1, 4, 8 bytes, or a page */
#define FLAG_NO_VCPU    0x10 /* the embedder passes no vCPU */
#define FLAG_OVERLONG   0x20 /* the last packet is longer than a request may be */
#define FLAG_FDS        0x40 /* the last packet has fds */
#define FLAG_NO_IRQCHIP 0x80 /* the plugin emulates the interrupt controllers */

/* Of the second byte. */
#define EARLY_COUNT     0x7f
#define EARLY_OTHER     0x80 /* the event is one of the additions: */
#define FLAG_OTHER_EXIT 0x07 /* of other_exits, instead of FLAG_EVENT and FLAG_SIZE */

enum event { EVENT_INIT, EVENT_READ, EVENT_WRITE, EVENT_UNCLAIMED };

#define ACCESS_ADDRESS 0x1000

static struct ranges ranges;
static struct hints hints;
static struct vcpu_link link_;
static struct plugvm_plugin_vcpu plugin_vcpu = {.link = &link_};
static atomic_uint exits_wanted = WIRE_EXITS_ALL;
static struct plugvm_vm vm = {.kvm = &fake_kvm, .fd = -1};
static struct kvm_run run;
static struct plugvm_vcpu vcpu = {.vm = &vm, .fd = -1, .run = &run};
static uint64_t elements[LIMIT_VCPU_REQUEST_BYTES];
static const struct wire_arena arena = {elements, sizeof(elements)};

/* The exits of KVM that become events of the additions: by their number in the first byte, with EARLY_OTHER. */
static const struct other_exit {
	uint32_t reason;
	pb_size_t event;
	bool is_answered;
} other_exits[] = {
    {KVM_EXIT_X86_RDMSR, wire_VcpuResponse_Event_msr_tag, true},
    {KVM_EXIT_X86_WRMSR, wire_VcpuResponse_Event_msr_tag, true},
    {KVM_EXIT_DEBUG, wire_VcpuResponse_Event_debug_tag, false},
    {KVM_EXIT_IRQ_WINDOW_OPEN, wire_VcpuResponse_Event_irq_window_tag, false},
    {KVM_EXIT_HLT, wire_VcpuResponse_Event_hlt_tag, false},
    {KVM_EXIT_IOAPIC_EOI, wire_VcpuResponse_Event_ioapic_eoi_tag, false},
    {KVM_EXIT_SHUTDOWN, wire_VcpuResponse_Event_shutdown_tag, true},
    {KVM_EXIT_INTERNAL_ERROR, wire_VcpuResponse_Event_internal_error_tag, true},
};

/* The plugin's side of the exchange. */
static struct {
	struct input input;
	uint8_t flags;
	unsigned early;                /* packets that are there before the event */
	const struct other_exit *exit; /* NULL: the event is of the baseline */
	struct fake_vcpu before_request;
	bool event_is_open; /* an event was sent and has not been resumed */
	wire_VcpuRequest last;
	bool has_last;
	uint8_t last_bytes[LIMIT_VCPU_REQUEST_BYTES];
} plugin;

static void remember(struct wire_bytes packet)
{
	memcpy(plugin.last_bytes, packet.data, packet.size);
	plugin.has_last = wire_decode_vcpu_request(plugin.last_bytes, packet.size, &arena, &plugin.last) == 0;
	plugin.before_request = fake_vcpu;
}

static ssize_t fake_recvmsg(int socket, struct msghdr *message, int flags)
{
	REQUIRE(socket == link_.requests && message->msg_iovlen == 1);
	bool may_wait = !(flags & MSG_DONTWAIT);
	if (!may_wait && plugin.early == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (!may_wait)
		plugin.early--;
	message->msg_flags = 0;
	message->msg_controllen = 0;
	plugin.has_last = false;
	if (plugin.input.size == 0)
		return 0;

	struct wire_bytes packet = input_packet(&plugin.input);
	REQUIRE(packet.size <= message->msg_iov[0].iov_len);
	memcpy(message->msg_iov[0].iov_base, packet.data, packet.size);
	if (packet.size > 0)
		remember(packet);
	if (plugin.input.size == 0) {
		message->msg_flags |= plugin.flags & FLAG_OVERLONG ? MSG_TRUNC : 0;
		message->msg_flags |= plugin.flags & FLAG_FDS ? MSG_CTRUNC : 0;
	}
	return (ssize_t)packet.size;
}

static void check_event(const wire_VcpuResponse *response)
{
	/* The same event again means that the resume was refused, and then it has changed nothing. */
	if (plugin.event_is_open) {
		REQUIRE(response->error > 0 && plugin.has_last);
		REQUIRE(plugin.last.which_message == wire_VcpuRequest_resume_tag);
		REQUIRE(memcmp(&fake_vcpu, &plugin.before_request, sizeof(fake_vcpu)) == 0);
	} else {
		REQUIRE(response->error == 0);
	}
	plugin.event_is_open = true;
	if (plugin.exit) {
		REQUIRE(response->which_message == wire_VcpuResponse_event_tag);
		REQUIRE(response->message.event.which_exit == plugin.exit->event);
		return;
	}
	REQUIRE(response->which_message == wire_VcpuResponse_wait_tag);
	const wire_VcpuResponse_Wait *wait = &response->message.wait;
	if ((plugin.flags & FLAG_EVENT) == EVENT_INIT) {
		REQUIRE(wait->which_exit == wire_VcpuResponse_Wait_init_tag);
		return;
	}
	REQUIRE(wait->which_exit == wire_VcpuResponse_Wait_io_tag);
	REQUIRE(wait->exit.io.address == ACCESS_ADDRESS && wait->exit.io.data.size > 0);
}

static void check_reply(const wire_VcpuResponse *response)
{
	REQUIRE(plugin.has_last && plugin.last.which_message != wire_VcpuRequest_shutdown_tag);
	REQUIRE(response->error >= 0 && response->error < 4096);
	if (response->error > 0) {
		REQUIRE(response->which_message == 0);
		REQUIRE(memcmp(&fake_vcpu, &plugin.before_request, sizeof(fake_vcpu)) == 0);
	} else {
		REQUIRE(plugin.event_is_open);
		pb_size_t member = plugin.last.which_message;
		REQUIRE(response->which_message ==
		        (member < wire_VcpuRequest_get_hyperv_cpuid_tag ? member + 1 : member));
	}
}

static ssize_t fake_sendmsg(int socket, const struct msghdr *message, int flags)
{
	REQUIRE(socket == link_.events && message->msg_iovlen == 2 && (flags & MSG_NOSIGNAL));
	const struct iovec *header = &message->msg_iov[0], *body = &message->msg_iov[1];
	uint32_t size;
	REQUIRE(wire_frame_parse(header->iov_base, header->iov_len, &size) == (ssize_t)header->iov_len);
	REQUIRE(size == body->iov_len);
	wire_VcpuResponse response;
	REQUIRE(wire_decode_vcpu_response(body->iov_base, body->iov_len, NULL, &response) == 0);
	if (response.which_message == wire_VcpuResponse_wait_tag ||
	    response.which_message == wire_VcpuResponse_event_tag)
		check_event(&response);
	else
		check_reply(&response);
	return (ssize_t)(header->iov_len + body->iov_len);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	uint32_t id;
	fake_kvm_install();
	REQUIRE(ranges_init(&ranges, 1) == 0);
	REQUIRE(ranges_reserve(&ranges, ADDRESS_SPACE_PORT, ACCESS_ADDRESS, 0x100, false, &id) == 0);
	REQUIRE(hints_init(&hints, 1) == 0);
	REQUIRE(link_init(&link_, 0, &ranges, &hints, 0, false) == 0);
	link_.exits_wanted = &exits_wanted;
	sys.recvmsg = fake_recvmsg;
	sys.sendmsg = fake_sendmsg;
	return 0;
}

static void check_result(int result, const struct guest_access *access)
{
	bool is_resumed = plugin.has_last && plugin.last.which_message == wire_VcpuRequest_resume_tag;
	if (result < 0) {
		REQUIRE(result == -EPIPE || result == -EPROTO);
		REQUIRE(link_.fault[0] != '\0' && link_check(&link_) == result);
		return;
	}
	REQUIRE(link_check(&link_) == 0);
	if (!access) {
		REQUIRE(result == 0 && is_resumed);
	} else if (result == 0) {
		REQUIRE(access->space == ADDRESS_SPACE_MMIO && !plugin.event_is_open);
	} else {
		REQUIRE(is_resumed && plugin.event_is_open);
		const struct wire_bytes *answer = &plugin.last.message.resume.data;
		if (!access->is_write)
			REQUIRE(answer->size == access->size &&
			        memcmp(answer->data, access->data, answer->size) == 0);
	}
}

static void check_answer(void)
{
	struct wire_event_answer answer;
	REQUIRE(plugin.last.message.resume.data.size == sizeof(answer));
	memcpy(&answer, plugin.last.message.resume.data.data, sizeof(answer));
	if (plugin.exit->reason == KVM_EXIT_X86_RDMSR)
		REQUIRE(run.msr.data == answer.data);
	if (plugin.exit->event == wire_VcpuResponse_Event_msr_tag)
		REQUIRE(run.msr.error == (answer.action != 0));
}

/* An exit whose event is one of the additions. */
static void deliver_other(void)
{
	run.exit_reason = plugin.exit->reason;
	/* With a halt, that would be two events (tests/host/other_exits.c). */
	run.request_interrupt_window = run.exit_reason != KVM_EXIT_HLT;
	if (run.exit_reason == KVM_EXIT_INTERNAL_ERROR)
		run.internal.ndata = UINT32_MAX;
	int result = plugvm_plugin_vcpu_other_exit(&plugin_vcpu, &vcpu);
	bool is_failure = plugin.exit->reason == KVM_EXIT_SHUTDOWN ||
	                  plugin.exit->reason == KVM_EXIT_INTERNAL_ERROR;
	REQUIRE(result <= 1 && (result != 0 || is_failure));
	check_result(result < 0 ? result : 0, NULL);
	if (result >= 0 && plugin.exit->is_answered)
		check_answer();
}

static void deliver(struct plugvm_vcpu *maybe_vcpu)
{
	static const uint32_t sizes[] = {1, 4, 8, LIMIT_ACCESS_BYTES};
	static uint8_t data[LIMIT_ACCESS_BYTES];
	enum event event = plugin.flags & FLAG_EVENT;
	uint32_t size = sizes[(plugin.flags & FLAG_SIZE) >> 2];
	if (event == EVENT_INIT) {
		check_result(link_deliver_init(&link_, maybe_vcpu), NULL);
		return;
	}
	memset(data, 0x55, sizeof(data));
	struct guest_access access = {
	    .space = event == EVENT_UNCLAIMED ? ADDRESS_SPACE_MMIO : ADDRESS_SPACE_PORT,
	    .is_write = event == EVENT_WRITE,
	    .address = ACCESS_ADDRESS,
	    .width = size < 8 ? size : 8,
	    .data = data,
	    .size = size,
	};
	check_result(link_deliver_access(&link_, maybe_vcpu, &access), &access);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	plugin.input = (struct input){.data = data, .size = size};
	plugin.flags = input_byte(&plugin.input);
	plugin.early = input_byte(&plugin.input);
	plugin.exit = plugin.early & EARLY_OTHER ? &other_exits[plugin.flags & FLAG_OTHER_EXIT] : NULL;
	plugin.early &= EARLY_COUNT;
	vm.irqchip = plugin.flags & FLAG_NO_IRQCHIP ? PLUGVM_IRQCHIP_NONE : PLUGVM_IRQCHIP_KERNEL;
	memset(&run, 0, sizeof(run));
	run.ready_for_interrupt_injection = 1;
	plugin.event_is_open = false;
	plugin.has_last = false;
	memset(&fake_vcpu, 0, sizeof(fake_vcpu));
	link_.fault[0] = '\0';
	atomic_store(&link_.failed, 0);
	if (plugin.exit)
		deliver_other();
	else
		deliver(plugin.flags & FLAG_NO_VCPU ? NULL : &vcpu);
	return 0;
}
