/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about interrupts: lines, irqfds, routes, an NMI. The guest "interrupts" reports 1 when it is ready, and then of
 * each interrupt its vector before its end is said (EOI), and the vector + 0x100 after that.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actor.h"

GUEST_DECLARE(interrupts);

/* As guests.asm has the interrupts. */
#define PIC_LINE    5
#define PIC_VECTOR  0x25
#define FIRST       0x51 /* of the local APIC */
#define SECOND      0x52
#define NMI_VECTOR  0x02
#define IOAPIC_LINE 10
#define MSI_LINE    40

/* How a line of the IOAPIC is looked at. */
#define EDGE  0
#define LEVEL (1u << 15)

#define LAPIC_ISR   0x100
#define ROUTES_MAX  4096
#define PATIENCE_MS 20000

/* Boot the guest and come to its first report. */
static void boot(struct machine *machine)
{
	machine_init(machine, &GUEST(interrupts));
	machine_boot_interrupts(machine);
}

static void set_line(struct machine *machine, uint32_t line, bool active)
{
	expect_result(crosvm_set_irq(machine->vm, line, active), 0);
}

static int play(const struct access *accesses, size_t count)
{
	struct machine machine;
	boot(&machine);
	machine_take(&machine, accesses, count);
	return 0;
}

/* ---- A line of the PIC ---- */

static void raise_pic(struct machine *machine)
{
	set_line(machine, PIC_LINE, true);
}

static void lower_pic(struct machine *machine)
{
	set_line(machine, PIC_LINE, false);
}

static int irq_line(char **arguments)
{
	(void)arguments;
	static const struct access accesses[] = {
	    REPORTS_THEN(1, raise_pic),
	    REPORTS_THEN(PIC_VECTOR, lower_pic),
	    REPORTS_THEN(PIC_VECTOR + 0x100, raise_pic),
	    REPORTS_THEN(PIC_VECTOR, lower_pic),
	    REPORTS(PIC_VECTOR + 0x100),
	};
	return play(accesses, COUNT(accesses));
}

/* ---- A line of the IOAPIC, by its state ---- */

static void program_ioapic(struct machine *machine, uint64_t trigger_mode)
{
	struct kvm_ioapic_state state;
	expect_result(crosvm_get_ioapic_state(machine->vm, &state), 0);
	expect(state.redirtbl[IOAPIC_LINE].fields.mask == 1);
	state.redirtbl[IOAPIC_LINE].bits = SECOND | trigger_mode; /* to the first vCPU, not masked */
	expect_result(crosvm_set_ioapic_state(machine->vm, &state), 0);
}

static void raise_edge(struct machine *machine)
{
	program_ioapic(machine, EDGE);
	set_line(machine, IOAPIC_LINE, true);
}

static void raise_level(struct machine *machine)
{
	program_ioapic(machine, LEVEL);
	set_line(machine, IOAPIC_LINE, true);
}

static void lower_ioapic(struct machine *machine)
{
	set_line(machine, IOAPIC_LINE, false);
}

static void raise_again(struct machine *machine)
{
	lower_ioapic(machine);
	set_line(machine, IOAPIC_LINE, true);
}

/* What would come after all that there is, were there more. */
static void send_last(struct machine *machine)
{
	struct crosvm_irq_route last = {
	    .irq_id = MSI_LINE, .kind = CROSVM_IRQ_ROUTE_MSI, .msi = {.address = LAPIC_ADDRESS, .data = FIRST}};
	lower_ioapic(machine);
	expect_result(crosvm_set_irq_routing(machine->vm, 1, &last), 0);
	set_line(machine, MSI_LINE, true);
}

/* One interrupt for each time that the line goes up. */
static int irq_edge(char **arguments)
{
	(void)arguments;
	static const struct access accesses[] = {
	    REPORTS_THEN(1, raise_edge),
	    REPORTS(SECOND),
	    REPORTS_THEN(SECOND + 0x100, raise_again),
	    REPORTS(SECOND),
	    REPORTS_THEN(SECOND + 0x100, send_last),
	    REPORTS(FIRST),
	    REPORTS(FIRST + 0x100),
	};
	return play(accesses, COUNT(accesses));
}

/* Some software KVMs say an interrupt's end for the guest, as soon as it has begun. */
static void in_service(struct machine *machine)
{
	struct kvm_lapic_state lapic;
	uint32_t isr;
	expect_result(crosvm_vcpu_get_lapic_state(machine->vcpu, &lapic), 0);
	memcpy(&isr, &lapic.regs[LAPIC_ISR + SECOND / 32 * 0x10], sizeof(isr));
	if (!(isr >> SECOND % 32 & 1))
		skip("to this machine's KVM, an interrupt has ended when it begins");
}

/* As long as the line is up, the end of one interrupt begins the next. */
static int irq_level(char **arguments)
{
	(void)arguments;
	static const struct access accesses[] = {
	    REPORTS_THEN(1, raise_level),
	    REPORTS_THEN(SECOND, in_service),
	    REPORTS(SECOND + 0x100),
	    REPORTS_THEN(SECOND, lower_ioapic),
	    REPORTS_THEN(SECOND + 0x100, send_last),
	    REPORTS(FIRST),
	    REPORTS(FIRST + 0x100),
	};
	return play(accesses, COUNT(accesses));
}

/* ---- irqfds ---- */

static struct crosvm_irq *irq;

static bool is_resampled(int patience_ms)
{
	struct pollfd fd = {.fd = crosvm_irq_event_get_resample_fd(irq), .events = POLLIN};
	expect(fd.fd >= 0);
	return poll(&fd, 1, patience_ms) == 1;
}

static void trigger(struct machine *machine)
{
	(void)machine;
	uint64_t one = 1;
	expect(write(crosvm_irq_event_get_fd(irq), &one, sizeof(one)) == sizeof(one));
}

static void make_pic_irq(struct machine *machine)
{
	expect_result(crosvm_create_irq_event(machine->vm, PIC_LINE, &irq), 0);
	trigger(machine);
}

static void make_ioapic_irq(struct machine *machine)
{
	program_ioapic(machine, LEVEL);
	expect_result(crosvm_create_irq_event(machine->vm, IOAPIC_LINE, &irq), 0);
	trigger(machine);
}

static void not_resampled(struct machine *machine)
{
	(void)machine;
	expect(!is_resampled(0));
}

static void take_resample(void)
{
	uint64_t count;
	expect(is_resampled(PATIENCE_MS));
	expect(read(crosvm_irq_event_get_resample_fd(irq), &count, sizeof(count)) == sizeof(count) && count == 1);
}

static void resampled_then_again(struct machine *machine)
{
	take_resample();
	trigger(machine);
}

/* A trigger of what is no more does nothing; the PIC's own line still works. */
static void resampled_then_destroy(struct machine *machine)
{
	take_resample();
	int old_trigger = dup(crosvm_irq_event_get_fd(irq));
	int old_resample = crosvm_irq_event_get_resample_fd(irq);
	expect_result(crosvm_destroy_irq_event(machine->vm, &irq), 0);
	expect(irq == NULL);
	expect_result(crosvm_destroy_irq_event(machine->vm, &irq), -EINVAL);
	expect(fcntl(old_resample, F_GETFD) < 0 && errno == EBADF);
	uint64_t one = 1;
	expect(write(old_trigger, &one, sizeof(one)) == sizeof(one));
	expect(poll(&(struct pollfd){.fd = old_trigger, .events = POLLIN}, 1, 0) == 1); /* KVM would take it */
	close(old_trigger);
}

static void destroy_then_raise(struct machine *machine)
{
	resampled_then_destroy(machine);
	raise_pic(machine);
}

static int irq_event_pic(char **arguments)
{
	(void)arguments;
	static const struct access accesses[] = {
	    REPORTS_THEN(1, make_pic_irq),
	    REPORTS_THEN(PIC_VECTOR, not_resampled),
	    REPORTS_THEN(PIC_VECTOR + 0x100, resampled_then_again),
	    REPORTS_THEN(PIC_VECTOR, not_resampled),
	    REPORTS_THEN(PIC_VECTOR + 0x100, destroy_then_raise),
	    REPORTS_THEN(PIC_VECTOR, lower_pic),
	    REPORTS(PIC_VECTOR + 0x100),
	};
	return play(accesses, COUNT(accesses));
}

static void in_service_not_resampled(struct machine *machine)
{
	in_service(machine);
	not_resampled(machine);
}

static int irq_event_ioapic(char **arguments)
{
	(void)arguments;
	static const struct access accesses[] = {
	    REPORTS_THEN(1, make_ioapic_irq),
	    REPORTS_THEN(SECOND, in_service_not_resampled),
	    REPORTS_THEN(SECOND + 0x100, resampled_then_again),
	    REPORTS_THEN(SECOND, not_resampled),
	    REPORTS_THEN(SECOND + 0x100, destroy_then_raise),
	    REPORTS_THEN(PIC_VECTOR, lower_pic),
	    REPORTS(PIC_VECTOR + 0x100),
	};
	return play(accesses, COUNT(accesses));
}

/* ---- Routes ---- */

static struct crosvm_irq_route msi_route(uint32_t line, uint32_t vector)
{
	return (struct crosvm_irq_route){
	    .irq_id = line, .kind = CROSVM_IRQ_ROUTE_MSI, .msi = {.address = LAPIC_ADDRESS, .data = vector}};
}

static struct crosvm_irq_route chip_route(uint32_t line, uint32_t chip, uint32_t pin)
{
	return (struct crosvm_irq_route){
	    .irq_id = line, .kind = CROSVM_IRQ_ROUTE_IRQCHIP, .irqchip = {.irqchip = chip, .pin = pin}};
}

static void pulse(struct machine *machine, uint32_t line)
{
	set_line(machine, line, true);
	set_line(machine, line, false);
}

/* Only the message: the PIC's line is in the table no more. */
static void route_message(struct machine *machine)
{
	struct crosvm_irq_route routes[] = {msi_route(MSI_LINE, FIRST)};
	expect_result(crosvm_set_irq_routing(machine->vm, 1, routes), 0);
	pulse(machine, PIC_LINE);
	pulse(machine, MSI_LINE);
}

/* The next table, in which a line of another number is the PIC's. */
static void route_both(struct machine *machine)
{
	struct crosvm_irq_route routes[] = {msi_route(MSI_LINE + 1, SECOND),
	                                    chip_route(MSI_LINE + 2, KVM_IRQCHIP_PIC_MASTER, PIC_LINE)};
	expect_result(crosvm_set_irq_routing(machine->vm, 2, routes), 0);
	pulse(machine, MSI_LINE);
	pulse(machine, MSI_LINE + 1);
}

static void raise_other_line(struct machine *machine)
{
	set_line(machine, MSI_LINE + 2, true);
}

/* An empty table, then one that is refused: nothing comes of any line, until there is a table again. */
static void route_nothing(struct machine *machine)
{
	set_line(machine, MSI_LINE + 2, false);
	expect_result(crosvm_set_irq_routing(machine->vm, 0, NULL), 0);
	struct crosvm_irq_route bad[] = {msi_route(MSI_LINE, FIRST), {.irq_id = 1, .kind = 2}};
	expect_result(crosvm_set_irq_routing(machine->vm, 2, bad), -EINVAL);
	pulse(machine, MSI_LINE);
	pulse(machine, MSI_LINE + 1);
	pulse(machine, MSI_LINE + 2);
	struct crosvm_irq_route last = msi_route(MSI_LINE, SECOND);
	expect_result(crosvm_set_irq_routing(machine->vm, 1, &last), 0);
	expect_result(crosvm_create_irq_event(machine->vm, MSI_LINE, &irq), 0);
	trigger(machine);
}

static int irq_routes(char **arguments)
{
	(void)arguments;
	static const struct access accesses[] = {
	    REPORTS_THEN(1, route_message),
	    REPORTS(FIRST),
	    REPORTS_THEN(FIRST + 0x100, route_both),
	    REPORTS(SECOND),
	    REPORTS_THEN(SECOND + 0x100, raise_other_line),
	    REPORTS(PIC_VECTOR),
	    REPORTS_THEN(PIC_VECTOR + 0x100, route_nothing),
	    REPORTS(SECOND),
	    REPORTS(SECOND + 0x100),
	};
	return play(accesses, COUNT(accesses));
}

/* ---- An NMI, by the vCPU's events ---- */

static void inject_nmi(struct machine *machine)
{
	struct kvm_vcpu_events state;
	expect_result(crosvm_vcpu_get_vcpu_events(machine->vcpu, &state), 0);
	expect(!state.nmi.pending);
	state.nmi.pending = 1;
	state.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	expect_result(crosvm_vcpu_set_vcpu_events(machine->vcpu, &state), 0);
}

static int nmi(char **arguments)
{
	(void)arguments;
	static const struct access accesses[] = {REPORTS_THEN(1, inject_nmi), REPORTS(NMI_VECTOR),
	                                         REPORTS(NMI_VECTOR + 0x100)};
	return play(accesses, COUNT(accesses));
}

/* ---- What cannot be ---- */

static int irq_errno(char **arguments)
{
	(void)arguments;
	struct crosvm *vm;
	expect_result(crosvm_connect(&vm), 0);
	expect_result(crosvm_set_irq(vm, ROUTES_MAX - 1, true), 0); /* leads nowhere */
	expect_result(crosvm_set_irq(vm, ROUTES_MAX, true), -EINVAL);
	expect_result(crosvm_set_irq(vm, UINT32_MAX, false), -EINVAL);
	expect_result(crosvm_create_irq_event(vm, ROUTES_MAX, &irq), -EINVAL);
	expect_result(crosvm_create_irq_event(vm, 3, NULL), -EINVAL);
	expect_result(crosvm_irq_event_get_fd(NULL), -EINVAL);
	expect_result(crosvm_irq_event_get_resample_fd(NULL), -EINVAL);

	struct crosvm_irq_route *routes = calloc(ROUTES_MAX + 1, sizeof(*routes));
	expect(routes != NULL);
	for (uint32_t i = 0; i <= ROUTES_MAX; i++)
		routes[i] = msi_route(i, FIRST);
	expect_result(crosvm_set_irq_routing(vm, ROUTES_MAX, routes), 0);
	expect_result(crosvm_set_irq_routing(vm, ROUTES_MAX + 1, routes), -E2BIG);
	expect_result(crosvm_set_irq_routing(vm, UINT32_MAX, routes), -E2BIG);
	expect_result(crosvm_set_irq_routing(vm, 1, NULL), -EINVAL);
	expect_result(crosvm_set_irq_routing(vm, 0, NULL), 0);
	expect_result(crosvm_set_irq_routing(vm, 0, routes), 0);

	const struct crosvm_irq_route bad[] = {
	    msi_route(ROUTES_MAX, FIRST),
	    {.irq_id = 1, .kind = 2},
	    {.irq_id = 1, .kind = UINT32_MAX},
	    chip_route(1, 3, 0),
	    chip_route(1, KVM_IRQCHIP_PIC_SLAVE, 8),
	    chip_route(1, KVM_IRQCHIP_IOAPIC, KVM_IOAPIC_NUM_PINS),
	};
	for (size_t i = 0; i < COUNT(bad); i++) {
		int result = crosvm_set_irq_routing(vm, 1, &bad[i]);
		if (result != -EINVAL)
			fprintf(stderr, "in case %zu:\n", i);
		expect_result(result, -EINVAL);
	}
	free(routes);
	return 0;
}

const struct act irq_acts[] = {
    {"irq-line", irq_line},
    {"irq-edge", irq_edge},
    {"irq-level", irq_level},
    {"irq-event-pic", irq_event_pic},
    {"irq-event-ioapic", irq_event_ioapic},
    {"irq-routes", irq_routes},
    {"nmi", nmi},
    {"irq-errno", irq_errno},
    {NULL, NULL},
};
