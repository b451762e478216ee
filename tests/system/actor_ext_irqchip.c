/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about interrupt controllers that are not all KVM's, and about NMIs. The guest "interrupts" is that of
 * actor_irq.c: it reports 1, halts, and reports of each interrupt the vector, and the vector + 0x100 at its end.
 */
#include <errno.h>
#include <string.h>

#include "actor.h"

GUEST_DECLARE(interrupts);

#define NMI_VECTOR 0x02
#define RFLAGS_IF  0x200
#define FIRST      0x51
#define SECOND     0x52
#define LAPIC_ISR  0x100
#define LINE       10
#define MSI_LEVEL  (1u << 15 | 1u << 14) /* level-triggered, asserted */

static void boot(struct machine *machine, uint32_t exits)
{
	machine_init(machine, &GUEST(interrupts));
	expect_result(crosvm_subscribe_exits(machine->vm, exits), 0);
	machine_boot_interrupts(machine);
}

static void check_report(struct machine *machine, uint32_t wanted)
{
	uint32_t value;
	expect_result(machine->event.kind, CROSVM_VCPU_EVENT_KIND_IO_ACCESS);
	expect(machine->event.io_access.address == REPORT_PORT);
	memcpy(&value, machine->event.io_access.data, sizeof(value));
	expect_result((long)value, (long)wanted);
}

static void take_report(struct machine *machine, uint32_t wanted)
{
	machine_wait(machine);
	check_report(machine, wanted);
}

static void pass_report(struct machine *machine, uint32_t wanted)
{
	take_report(machine, wanted);
	machine_resume(machine);
}

static void expect_event(struct machine *machine, enum crosvm_vcpu_event_kind kind)
{
	machine_wait(machine);
	expect_result(machine->event.kind, kind);
}

/* Have it stop where it halts: at the HLT event, or where KVM does the halting by a pause. */
static void stop_halted(struct machine *machine, bool has_hlt)
{
	if (has_hlt) {
		expect_event(machine, CROSVM_VCPU_EVENT_KIND_HLT);
		return;
	}
	expect_result(crosvm_pause_vcpus(machine->vm, 1, NULL), 0);
	expect_event(machine, CROSVM_VCPU_EVENT_KIND_PAUSED);
}

/*
 * An interrupt wakes the halted guest. In its handler it takes no other: a window opens when the handler returns, and
 * once for the one request.
 */
static void inject_two(struct machine *machine, bool has_hlt)
{
	stop_halted(machine, has_hlt);
	expect_result(crosvm_vcpu_interrupt(machine->vcpu, 256), -EINVAL);
	expect_result(crosvm_vcpu_interrupt(machine->vcpu, FIRST), 0);
	expect_result(crosvm_vcpu_interrupt(machine->vcpu, SECOND), -EAGAIN);
	machine_resume(machine);
	take_report(machine, FIRST);
	expect_result(crosvm_vcpu_interrupt(machine->vcpu, SECOND), -EAGAIN);
	expect_result(crosvm_vcpu_request_irq_window(machine->vcpu, true), 0);
	machine_resume(machine);
	pass_report(machine, FIRST + 0x100);
	expect_event(machine, CROSVM_VCPU_EVENT_KIND_IRQ_WINDOW);
	expect_result(crosvm_vcpu_interrupt(machine->vcpu, SECOND), 0);
	machine_resume(machine);
	pass_report(machine, SECOND);
	pass_report(machine, SECOND + 0x100);
	stop_halted(machine, has_hlt);
}

/* A request that is taken back brings no event; a guest that can take one has its window at once. */
static void take_back_window(struct machine *machine, bool has_hlt)
{
	expect_result(crosvm_vcpu_request_irq_window(machine->vcpu, true), 0);
	expect_result(crosvm_vcpu_request_irq_window(machine->vcpu, false), 0);
	machine_resume(machine);
	stop_halted(machine, has_hlt);
	expect_result(crosvm_vcpu_request_irq_window(machine->vcpu, true), 0);
	machine_resume(machine);
	expect_event(machine, CROSVM_VCPU_EVENT_KIND_IRQ_WINDOW);
	machine_resume(machine);
	stop_halted(machine, has_hlt);
}

/* A guest that was given registers with interrupts masked takes none; it goes on where it halts again. */
static void mask(struct machine *machine, bool has_hlt)
{
	struct kvm_regs regs;
	expect_result(crosvm_vcpu_get_regs(machine->vcpu, &regs), 0);
	expect(regs.rflags & RFLAGS_IF);
	regs.rflags &= ~(uint64_t)RFLAGS_IF;
	expect_result(crosvm_vcpu_set_regs(machine->vcpu, &regs), 0);
	expect_result(crosvm_vcpu_interrupt(machine->vcpu, FIRST), -EAGAIN);
	expect_result(crosvm_vcpu_request_irq_window(machine->vcpu, true), 0);
	machine_resume(machine);
	stop_halted(machine, has_hlt);
	regs.rflags |= RFLAGS_IF;
	expect_result(crosvm_vcpu_set_regs(machine->vcpu, &regs), 0);
	machine_resume(machine);
	expect_event(machine, CROSVM_VCPU_EVENT_KIND_IRQ_WINDOW);
	expect_result(crosvm_vcpu_interrupt(machine->vcpu, FIRST), 0);
	machine_resume(machine);
	pass_report(machine, FIRST);
	pass_report(machine, FIRST + 0x100);
	stop_halted(machine, has_hlt);
}

static void send_nmi(struct machine *machine, bool has_hlt)
{
	expect_result(crosvm_vcpu_nmi(machine->vcpu), 0);
	machine_resume(machine);
	expect_result(crosvm_vcpu_nmi(machine->vcpu), -EBUSY);
	pass_report(machine, NMI_VECTOR);
	pass_report(machine, NMI_VECTOR + 0x100);
	stop_halted(machine, has_hlt);
	expect_result(crosvm_vcpu_nmi(NULL), -EINVAL);
}

static void check_injection_errno(struct machine *machine)
{
	expect_result(crosvm_vcpu_interrupt(NULL, FIRST), -EINVAL);
	expect_result(crosvm_vcpu_request_irq_window(NULL, true), -EINVAL);
	machine_resume(machine);
	expect_result(crosvm_vcpu_interrupt(machine->vcpu, FIRST), -EBUSY);
	expect_result(crosvm_vcpu_request_irq_window(machine->vcpu, true), -EBUSY);
}

static int irqchip_none(char **arguments)
{
	(void)arguments;
	struct machine machine;
	boot(&machine, CROSVM_EXIT_HLT);
	pass_report(&machine, 1);
	inject_two(&machine, true);
	take_back_window(&machine, true);
	mask(&machine, true);
	send_nmi(&machine, true);
	check_injection_errno(&machine);
	return 0;
}

static int irqchip_split(char **arguments)
{
	(void)arguments;
	struct machine machine;
	boot(&machine, CROSVM_EXIT_HLT);
	pass_report(&machine, 1);
	inject_two(&machine, false);
	take_back_window(&machine, false);
	send_nmi(&machine, false);
	check_injection_errno(&machine);
	return 0;
}

static int irqchip_kernel(char **arguments)
{
	(void)arguments;
	struct machine machine;
	boot(&machine, CROSVM_EXIT_HLT);
	take_report(&machine, 1);
	expect_result(crosvm_vcpu_interrupt(machine.vcpu, FIRST), -ENXIO);
	expect_result(crosvm_vcpu_interrupt(machine.vcpu, 256), -EINVAL);
	expect_result(crosvm_vcpu_request_irq_window(machine.vcpu, true), -ENXIO);
	expect_result(crosvm_vcpu_interrupt(NULL, FIRST), -EINVAL);
	send_nmi(&machine, false);
	return 0;
}

/* ---- What is not there ---- */

static void check_no_chips(struct crosvm *vm)
{
	struct kvm_pic_state pic;
	struct kvm_ioapic_state ioapic;
	struct kvm_pit_state2 pit;
	memset(&pic, 0, sizeof(pic));
	memset(&ioapic, 0, sizeof(ioapic));
	memset(&pit, 0, sizeof(pit));
	expect_result(crosvm_get_pic_state(vm, true, &pic), -ENXIO);
	expect_result(crosvm_set_pic_state(vm, true, &pic), -ENXIO);
	expect_result(crosvm_get_ioapic_state(vm, &ioapic), -ENXIO);
	expect_result(crosvm_set_ioapic_state(vm, &ioapic), -ENXIO);
	expect_result(crosvm_get_pit_state(vm, &pit), -ENXIO);
	expect_result(crosvm_set_pit_state(vm, &pit), -ENXIO);
}

static int no_chips(char **arguments)
{
	(void)arguments;
	struct machine machine;
	struct crosvm_info info = {.size = sizeof(info)};
	struct kvm_lapic_state lapic;
	machine_init(&machine, &GUEST(interrupts));
	check_no_chips(machine.vm);
	expect_result(crosvm_get_info(machine.vm, &info), 0);
	machine_start(&machine);
	machine_wait(&machine);
	int result = crosvm_vcpu_get_lapic_state(machine.vcpu, &lapic);
	expect_result(result, info.irqchip == CROSVM_IRQCHIP_NONE ? -EINVAL : 0);
	return 0;
}

/* Nobody has asked for HLT: the end, where KVM has no local APIC. */
static int hlt_unasked(char **arguments)
{
	(void)arguments;
	struct machine machine;
	boot(&machine, 0);
	pass_report(&machine, 1);
	expect_result(crosvm_vcpu_wait(machine.vcpu, &machine.event), -ECONNRESET);
	return 0;
}

/* ---- Split: the IOAPIC is the plugin's ---- */

static int split_msi(char **arguments)
{
	(void)arguments;
	struct machine machine;
	boot(&machine, CROSVM_EXIT_HLT);
	need_feature(machine.vm, CROSVM_FEATURE_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI");
	pass_report(&machine, 1);
	expect_result(crosvm_signal_msi(machine.vm, LAPIC_ADDRESS, FIRST), 1);
	pass_report(&machine, FIRST);
	pass_report(&machine, FIRST + 0x100);
	return 0;
}

static void route(struct machine *machine)
{
	struct crosvm_irq_route route = {
	    .irq_id = LINE,
	    .kind = CROSVM_IRQ_ROUTE_MSI,
	    .msi = {.address = LAPIC_ADDRESS, .data = SECOND | MSI_LEVEL},
	};
	expect_result(crosvm_set_irq_routing(machine->vm, 1, &route), 0);
}

/* Take the report of the interrupt. Some software KVMs say its end for the guest, as soon as it has begun. */
static void take_in_service(struct machine *machine)
{
	static const char quirk[] = "to this machine's KVM, an interrupt has ended when it begins";
	struct kvm_lapic_state lapic;
	uint32_t isr;
	machine_wait(machine);
	if (machine->event.kind == CROSVM_VCPU_EVENT_KIND_IOAPIC_EOI)
		skip(quirk);
	check_report(machine, SECOND);
	expect_result(crosvm_vcpu_get_lapic_state(machine->vcpu, &lapic), 0);
	memcpy(&isr, &lapic.regs[LAPIC_ISR + SECOND / 32 * 0x10], sizeof(isr));
	if (!(isr >> SECOND % 32 & 1))
		skip(quirk);
}

/* The guest's EOI of a level-triggered interrupt of a pin comes as an event; unasked, it is forgotten. */
static int ioapic_eoi(char **arguments)
{
	(void)arguments;
	struct machine machine;
	boot(&machine, CROSVM_EXIT_IOAPIC_EOI);
	take_report(&machine, 1);
	route(&machine);
	machine_resume(&machine);
	expect_result(crosvm_set_irq(machine.vm, LINE, true), 0);
	take_in_service(&machine);
	machine_resume(&machine);
	expect_event(&machine, CROSVM_VCPU_EVENT_KIND_IOAPIC_EOI);
	expect_result(machine.event.ioapic_eoi.vector, SECOND);
	machine_resume(&machine);
	take_report(&machine, SECOND + 0x100);
	expect_result(crosvm_subscribe_exits(machine.vm, 0), 0);
	machine_resume(&machine);
	expect_result(crosvm_set_irq(machine.vm, LINE, true), 0);
	pass_report(&machine, SECOND);
	pass_report(&machine, SECOND + 0x100);
	return 0;
}

const struct act ext_irqchip_acts[] = {
    {"ext-irqchip-none", irqchip_none},     {"ext-irqchip-split", irqchip_split},
    {"ext-irqchip-kernel", irqchip_kernel}, {"ext-no-chips", no_chips},
    {"ext-hlt-unasked", hlt_unasked},       {"ext-split-msi", split_msi},
    {"ext-ioapic-eoi", ioapic_eoi},         {NULL, NULL},
};
