/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acts about events of the newer kinds: io events of one length and any data, edge irq events, MSIs without an object.
 * The guest "interrupts" is that of actor_irq.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "actor.h"

GUEST_DECLARE(interrupts);

#define PIC_LINE   5
#define PIC_VECTOR 0x25
#define FIRST      0x51 /* of the local APIC */
#define SECOND     0x52
#define EVENTS     7

static struct crosvm_io *events[EVENTS];
static struct crosvm_irq *irq;

static void add(struct machine *machine, size_t index, uint32_t space, uint64_t address, uint32_t length)
{
	expect_result(crosvm_create_io_event(machine->vm, space, address, length, NULL, &events[index]), 0);
	int fd = crosvm_io_event_fd(events[index]);
	expect(fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
}

static void expect_count(size_t index, uint64_t wanted)
{
	uint64_t count = 0;
	ssize_t size = read(crosvm_io_event_fd(events[index]), &count, sizeof(count));
	expect_result(size == sizeof(count) ? (long)count : 0, (long)wanted);
}

/* ---- One length, any data ---- */

static void expect_twice_each(struct machine *machine)
{
	(void)machine;
	for (size_t i = 0; i < EVENTS; i++)
		expect_count(i, 2);
}

static void destroy_first(struct machine *machine)
{
	expect_result(crosvm_destroy_io_event(machine->vm, &events[0]), 0);
	expect(events[0] == NULL);
}

static int io_any_data(char **arguments)
{
	(void)arguments;
	static const struct step steps[] = {
	    STEP(OUT8, DEVICE_PORT, 0),
	    STEP(OUT8, DEVICE_PORT, 0xff),
	    STEP(OUT16, DEVICE_PORT, 1), /* another length */
	    STEP(OUT16, DEVICE_PORT + 4, 1),
	    STEP(OUT16, DEVICE_PORT + 4, 0xfffe),
	    STEP(OUT32, DEVICE_PORT + 4, 2),
	    STEP(OUT32, DEVICE_PORT + 8, 1),
	    STEP(OUT32, DEVICE_PORT + 8, 0xfffffffe),
	    STEP(OUT8, DEVICE_PORT + 8, 3),
	    STEP(STORE8, WIDE_ADDRESS, 1),
	    STEP(STORE8, WIDE_ADDRESS, 0xfe),
	    STEP(STORE16, WIDE_ADDRESS, 4),
	    STEP(STORE16, WIDE_ADDRESS + 0x10, 1),
	    STEP(STORE16, WIDE_ADDRESS + 0x10, 0xfffe),
	    STEP(STORE8, WIDE_ADDRESS + 0x10, 5),
	    STEP(STORE32, WIDE_ADDRESS + 0x20, 1),
	    STEP(STORE32, WIDE_ADDRESS + 0x20, 0xfffffffe),
	    STEP(STORE64, WIDE_ADDRESS + 0x20, 6),
	    STEP(STORE64, WIDE_ADDRESS + 0x30, 0),
	    STEP(STORE64, WIDE_ADDRESS + 0x30, 0x8877665544332211),
	    STEP(STORE32, WIDE_ADDRESS + 0x30, 7),
	    STEP(REPORT, 0, 1),
	    STEP(OUT8, DEVICE_PORT, 8),
	};
	static const struct access accesses[] = {
	    WRITES(PORT, DEVICE_PORT, 2, 1),         WRITES(PORT, DEVICE_PORT + 4, 4, 2),
	    WRITES(PORT, DEVICE_PORT + 8, 1, 3),     WRITES(MMIO, WIDE_ADDRESS, 2, 4),
	    WRITES(MMIO, WIDE_ADDRESS + 0x10, 1, 5), WRITES(MMIO, WIDE_ADDRESS + 0x20, 8, 6),
	    WRITES(MMIO, WIDE_ADDRESS + 0x30, 4, 7), REPORTS_THEN(1, destroy_first),
	    WRITES(PORT, DEVICE_PORT, 1, 8),
	};
	struct machine machine;
	script_init(&machine, steps, COUNT(steps));
	expect_result(crosvm_reserve_range(machine.vm, PORT, DEVICE_PORT, 16), 0);
	expect_result(crosvm_reserve_range(machine.vm, MMIO, WIDE_ADDRESS, 0x100), 0);
	for (uint32_t i = 0; i < 3; i++)
		add(&machine, i, PORT, DEVICE_PORT + 4 * i, 1u << i);
	for (uint32_t i = 0; i < 4; i++)
		add(&machine, 3 + i, MMIO, WIDE_ADDRESS + 0x10 * i, 1u << i);
	machine_start(&machine);
	machine_boot(&machine, LONG_MODE);
	machine_take(&machine, accesses, 7);
	/* All that is quiet lies before the report. */
	machine_wait(&machine);
	expect(machine.event.io_access.address == REPORT_PORT);
	expect_twice_each(&machine);
	destroy_first(&machine);
	machine_resume(&machine);
	machine_expect(&machine, accesses + 8, 1);
	return 0;
}

static int io_any_data_errno(char **arguments)
{
	(void)arguments;
	static const uint8_t match[8] = {1};
	struct crosvm *vm;
	struct crosvm_io *io = NULL, *other = NULL;
	expect_result(crosvm_connect(&vm), 0);
	expect_result(crosvm_create_io_event(vm, PORT, 0x700, 4, NULL, &io), 0);
	expect_result(crosvm_create_io_event(vm, PORT, 0x700, 4, NULL, &other), -EEXIST);
	expect_result(crosvm_create_io_event(vm, PORT, 0x700, 4, match, &other), -EEXIST);
	expect_result(crosvm_create_io_event(vm, PORT, 0x710, 3, NULL, &other), -EINVAL);
	expect_result(crosvm_create_io_event(vm, PORT, 0x710, 16, NULL, &other), -EINVAL);
	expect_result(crosvm_create_io_event(vm, PORT, 0x10000, 1, NULL, &other), -EINVAL);
	expect_result(crosvm_create_io_event(vm, 2, 0x710, 1, NULL, &other), -EINVAL);
	expect_result(crosvm_create_io_event(vm, MMIO, UINT64_MAX - 1, 4, NULL, &other), -EINVAL);
	expect_result(crosvm_create_io_event(vm, PORT, 0x710, 1, NULL, NULL), -EINVAL);
	expect(other == NULL);
	expect_result(crosvm_create_io_event(vm, PORT, 0x700, 2, NULL, &other), 0);
	expect_result(crosvm_destroy_io_event(vm, &io), 0);
	expect_result(crosvm_create_io_event(vm, PORT, 0x700, 4, NULL, &io), 0);
	return 0;
}

/* ---- Edge irq events ---- */

static void boot_interrupts(struct machine *machine)
{
	machine_init(machine, &GUEST(interrupts));
	machine_boot_interrupts(machine);
}

static void trigger(struct machine *machine)
{
	(void)machine;
	uint64_t one = 1;
	expect(write(crosvm_irq_event_get_fd(irq), &one, sizeof(one)) == sizeof(one));
}

static void make_edge(struct machine *machine)
{
	expect_result(crosvm_create_edge_irq_event(machine->vm, PIC_LINE, &irq), 0);
	expect(crosvm_irq_event_get_fd(irq) >= 0);
	expect(crosvm_irq_event_get_resample_fd(irq) < 0);
	trigger(machine);
}

/* What would come after all that there is, were there more. */
static void destroy_edge(struct machine *machine)
{
	int old_trigger = dup(crosvm_irq_event_get_fd(irq));
	uint64_t one = 1;
	expect_result(crosvm_destroy_irq_event(machine->vm, &irq), 0);
	expect(irq == NULL);
	expect(write(old_trigger, &one, sizeof(one)) == sizeof(one));
	close(old_trigger);
	expect_result(crosvm_signal_msi(machine->vm, LAPIC_ADDRESS, FIRST), 1);
}

/* Each write is one interrupt, also before the end of the last; nobody lowers the line. */
static int edge_irq(char **arguments)
{
	(void)arguments;
	static const struct access accesses[] = {
	    REPORTS_THEN(1, make_edge),
	    REPORTS_THEN(PIC_VECTOR, trigger),
	    REPORTS(PIC_VECTOR + 0x100),
	    REPORTS(PIC_VECTOR),
	    REPORTS_THEN(PIC_VECTOR + 0x100, trigger),
	    REPORTS(PIC_VECTOR),
	    REPORTS_THEN(PIC_VECTOR + 0x100, destroy_edge),
	    REPORTS(FIRST),
	    REPORTS(FIRST + 0x100),
	};
	struct machine machine;
	boot_interrupts(&machine);
	need_feature(machine.vm, CROSVM_FEATURE_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI");
	machine_take(&machine, accesses, COUNT(accesses));
	return 0;
}

static int edge_irq_errno(char **arguments)
{
	(void)arguments;
	struct crosvm *vm;
	expect_result(crosvm_connect(&vm), 0);
	expect_result(crosvm_create_edge_irq_event(vm, 4096, &irq), -EINVAL);
	expect_result(crosvm_create_edge_irq_event(vm, UINT32_MAX, &irq), -EINVAL);
	expect_result(crosvm_create_edge_irq_event(vm, PIC_LINE, NULL), -EINVAL);
	expect_result(crosvm_create_edge_irq_event(NULL, PIC_LINE, &irq), -EINVAL);
	expect(irq == NULL);
	expect_result(crosvm_create_edge_irq_event(vm, PIC_LINE, &irq), 0);
	expect_result(crosvm_destroy_irq_event(vm, &irq), 0);
	return 0;
}

/* ---- MSIs ---- */

static void send_first(struct machine *machine)
{
	expect_result(crosvm_signal_msi(machine->vm, LAPIC_ADDRESS, FIRST), 1);
}

static void send_second(struct machine *machine)
{
	expect_result(crosvm_signal_msi(machine->vm, LAPIC_ADDRESS, SECOND), 1);
}

/* Nobody has the local APIC 77: kernels differ in whether that is an error. */
static void send_to_nobody(struct machine *machine)
{
	expect(crosvm_signal_msi(machine->vm, LAPIC_ADDRESS | 77 << 12, SECOND) <= 0);
	send_first(machine);
}

static int msi(char **arguments)
{
	(void)arguments;
	static const struct access accesses[] = {
	    REPORTS_THEN(1, send_first),
	    REPORTS(FIRST),
	    REPORTS_THEN(FIRST + 0x100, send_second),
	    REPORTS(SECOND),
	    REPORTS_THEN(SECOND + 0x100, send_to_nobody),
	    REPORTS(FIRST),
	    REPORTS(FIRST + 0x100),
	};
	struct machine machine;
	boot_interrupts(&machine);
	need_feature(machine.vm, CROSVM_FEATURE_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI");
	machine_take(&machine, accesses, COUNT(accesses));
	return 0;
}

/* A local APIC that is off, as it is at the start, takes none. */
static int msi_blocked(char **arguments)
{
	(void)arguments;
	struct machine machine;
	machine_init(&machine, &GUEST(interrupts));
	need_feature(machine.vm, CROSVM_FEATURE_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI");
	machine_start(&machine);
	machine_wait(&machine);
	expect_result(crosvm_signal_msi(machine.vm, LAPIC_ADDRESS, FIRST), 0);
	expect_result(crosvm_signal_msi(NULL, LAPIC_ADDRESS, FIRST), -EINVAL);
	return 0;
}

/* Without local APICs in the kernel: the feature is not there, and an errno comes. */
static int msi_none(char **arguments)
{
	(void)arguments;
	struct crosvm *vm;
	struct crosvm_info info = {.size = sizeof(info)};
	expect_result(crosvm_connect(&vm), 0);
	expect_result(crosvm_get_info(vm, &info), 0);
	expect(!(info.features & CROSVM_FEATURE_SIGNAL_MSI));
	expect(crosvm_signal_msi(vm, LAPIC_ADDRESS, FIRST) < 0);
	return 0;
}

const struct act ext_event_acts[] = {
    {"ext-io-any-data", io_any_data},
    {"ext-io-any-data-errno", io_any_data_errno},
    {"ext-edge-irq", edge_irq},
    {"ext-edge-irq-errno", edge_irq_errno},
    {"ext-msi", msi},
    {"ext-msi-blocked", msi_blocked},
    {"ext-msi-none", msi_none},
    {NULL, NULL},
};
