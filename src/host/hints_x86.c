/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hypercall hint, on x86: matched by up to four of the general registers.
 */
#include "host/hints.h"

#include <errno.h>
#include <stdlib.h>

#include "host/address_space.h"
#include "wire/limits.h"

struct call_hint {
	enum address_space space;
	uint64_t address;
	bool on_write;
	uint32_t detail_count;
	wire_MainRequest_SetCallHint_RegHint details[LIMIT_HINT_DETAILS];
};

int hints_init(struct hints *hints, uint32_t reader_count)
{
	return published_init(&hints->hint, reader_count, free);
}

void hints_fini(struct hints *hints)
{
	published_fini(&hints->hint);
}

int hints_set(struct hints *hints, const wire_MainRequest_SetCallHint *peer_hint)
{
	enum address_space space;
	int result = address_space_from_wire(peer_hint->space, &space);
	if (result < 0)
		return result;
	if (peer_hint->hints.count > LIMIT_HINT_DETAILS || peer_hint->hints.stored != peer_hint->hints.count)
		return -EINVAL;
	struct call_hint *hint = NULL;
	if (peer_hint->address != 0) {
		hint = malloc(sizeof(*hint));
		if (!hint)
			return -ENOMEM;
		hint->space = space;
		hint->address = peer_hint->address;
		hint->on_write = peer_hint->on_write;
		hint->detail_count = peer_hint->hints.count;
		const wire_MainRequest_SetCallHint_RegHint *details = peer_hint->hints.items;
		for (uint32_t i = 0; i < hint->detail_count; i++)
			hint->details[i] = details[i];
	}
	published_replace(&hints->hint, hint);
	return 0;
}

static bool detail_matches(const wire_MainRequest_SetCallHint_RegHint *detail, const struct kvm_regs *regs)
{
	return (!detail->match_rax || detail->rax == regs->rax) &&
	       (!detail->match_rbx || detail->rbx == regs->rbx) &&
	       (!detail->match_rcx || detail->rcx == regs->rcx) &&
	       (!detail->match_rdx || detail->rdx == regs->rdx);
}

/* Returns the first detail that the registers match, or NULL. */
static const wire_MainRequest_SetCallHint_RegHint *find_detail(const struct call_hint *hint,
                                                               const struct kvm_regs *regs)
{
	for (uint32_t i = 0; i < hint->detail_count; i++) {
		if (detail_matches(&hint->details[i], regs))
			return &hint->details[i];
	}
	return NULL;
}

static void attach(const struct call_hint *hint, struct plugvm_vcpu *vcpu, wire_VcpuResponse_Wait_Io *io,
                   struct hint_registers *registers)
{
	if (plugvm_vcpu_get_regs(vcpu, &registers->regs) < 0)
		return;
	io->regs = (struct wire_bytes){(const uint8_t *)&registers->regs, sizeof(registers->regs)};
	const wire_MainRequest_SetCallHint_RegHint *detail = find_detail(hint, &registers->regs);
	if (!detail)
		return;
	if (detail->send_sregs && plugvm_vcpu_get_sregs(vcpu, &registers->sregs) == 0)
		io->sregs = (struct wire_bytes){(const uint8_t *)&registers->sregs, sizeof(registers->sregs)};
	if (detail->send_debugregs && plugvm_vcpu_get_debugregs(vcpu, &registers->debugregs) == 0)
		io->debugregs = (struct wire_bytes){(const uint8_t *)&registers->debugregs,
		                                    sizeof(registers->debugregs)};
}

void hints_attach(struct hints *hints, uint32_t reader, struct plugvm_vcpu *vcpu, enum address_space space,
                  wire_VcpuResponse_Wait_Io *io, struct hint_registers *registers)
{
	const struct call_hint *hint = published_read(&hints->hint, reader);
	if (!hint)
		return;
	if (vcpu && hint->space == space && hint->address == io->address && hint->on_write == io->is_write)
		attach(hint, vcpu, io, registers);
	published_done(&hints->hint, reader);
}

void hints_refresh(struct plugvm_vcpu *vcpu, wire_VcpuResponse_Wait_Io *io, struct hint_registers *registers)
{
	static const struct wire_bytes none;
	if (io->regs.size > 0 && plugvm_vcpu_get_regs(vcpu, &registers->regs) < 0)
		io->regs = none;
	if (io->sregs.size > 0 && plugvm_vcpu_get_sregs(vcpu, &registers->sregs) < 0)
		io->sregs = none;
	if (io->debugregs.size > 0 && plugvm_vcpu_get_debugregs(vcpu, &registers->debugregs) < 0)
		io->debugregs = none;
}
