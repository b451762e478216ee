# SPDX-License-Identifier: BSD-3-Clause
"""Cases of original_client.py that reach through the host into KVM: events, interrupts, state, and what a guest sees
of them."""

import errno
import fcntl
import os
import select
import struct

import wire
from client import (
    ASYNC,
    BELL,
    CONSOLE,
    DEVICE,
    DONE,
    LOGGED,
    PAGE,
    Machine,
    make_memfd,
)
from tap import equal

TIMEOUT_MS = 20000
ALL_ONES = 2**64 - 1

# linux/kvm.h
CAP_HYPERV_SYNIC, CAP_HYPERV_SYNIC2, CAP_HYPERV_CPUID = 123, 148, 167
VM_STATE_BYTES = {wire.PIC0: 16, wire.PIC1: 16, wire.IOAPIC: 216, wire.PIT: 112, wire.CLOCK: 48}

# IRQ 4 as guest.asm programs the PIC, and the vector of the message.
IRQ, IRQ_VECTOR, MSI_GSI, MSI_VECTOR = 4, 0x0C, 24, 0x41

# linux/if_tun.h
TUNGETIFF, IFF_TAP = 0x800454D2, 0x2

MSR_TSC, MSR_SYSENTER_CS, MSR_LSTAR, MSR_NOBODYS = 0x10, 0x174, 0xC0000082, 0xDEAD


def rings(fd):
    """How often an eventfd was written since the last read."""
    os.set_blocking(fd, False)
    try:
        return struct.unpack("<Q", os.read(fd, 8))[0]
    except BlockingIOError:
        return 0


def await_ring(fd, what):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(TIMEOUT_MS), f"{what} does not fire"
    equal(rings(fd), 1, what)


def ring(fd):
    os.write(fd, struct.pack("<Q", 1))


# ---- ioeventfd ----


def case_io_events():
    machine = Machine()
    main = machine.main
    (bell,) = main.ok(wire.create_io_event(10, wire.IOPORT, BELL, 0), "create", fd_count=1)
    request = wire.create_io_event(11, wire.MMIO, DEVICE, 4, 0xCAFE0001)
    (device,) = main.ok(request, "create", fd_count=1)
    main.refused(request, errno.EEXIST)
    main.refused(wire.create_io_event(12, wire.MMIO, DEVICE, 4, 0xCAFE0001), errno.EEXIST)
    vcpu = machine.start_routine("ring")
    # The MMIO write of another value is the first that is no eventfd's.
    vcpu.expect(wire.io_event(wire.MMIO, DEVICE, True, struct.pack("<I", 0xCAFE0002)), "the write of another value")
    equal((rings(bell), rings(device)), (2, 1), "writes that rang")
    main.ok(wire.destroy(11), "destroy")
    main.refused(wire.destroy(11), errno.ENOENT)
    # Once more: now the eventfd's value is a write like any other.
    vcpu.send(wire.resume(regs=registers_at(machine, vcpu, "ring")))
    for value in (0xCAFE0001, 0xCAFE0002):
        vcpu.expect(wire.io_event(wire.MMIO, DEVICE, True, struct.pack("<I", value)), "a write after destroy")
        vcpu.send(wire.resume())
    equal((rings(bell), rings(device)), (2, 0), "writes that rang after destroy")


def registers_at(machine, vcpu, routine):
    """The vCPU's registers, but for rip. Mind that KVM completes an instruction before it looks at them."""
    regs = bytearray(vcpu.get_state(wire.REGS))
    struct.pack_into("<Q", regs, 16 * 8, machine.routine(routine))
    return bytes(regs)


def case_io_event_values():
    main = Machine().main
    before = main.host_fds()
    for code, space, address, length in (
        (errno.EINVAL, wire.IOPORT, BELL, 3),
        (errno.EINVAL, wire.IOPORT, BELL, 16),
        (errno.EINVAL, wire.IOPORT, BELL, 2**32 - 1),
        (errno.EINVAL, wire.IOPORT, 0x10000, 1),
        (errno.EINVAL, wire.MMIO, ALL_ONES, 2),
        (errno.EINVAL, 2, BELL, 1),
        (errno.EINVAL, 2**32 - 1, BELL, 1),
    ):
        main.refused(wire.create_io_event(1, space, address, length), code)
    main.refused(wire.create_io_event(1, wire.IOPORT, BELL, 1), errno.EINVAL, [make_memfd(PAGE)])
    equal(main.host_fds(), before, "fds of the host after refusals")
    for length in (0, 1, 2, 4, 8):
        fds = main.ok(wire.create_io_event(1, wire.MMIO, 0x100000, length, 1), "create", fd_count=1)
        os.close(fds[0])
        main.ok(wire.destroy(1), "destroy")
    equal(main.host_fds(), before, "fds of the host after destroy")


# ---- Interrupts ----


def begin_interrupts(machine):
    """The guest idles with interrupts on; on_irq and on_msi are its handlers."""
    fd = make_memfd(PAGE)
    vectors = bytearray(PAGE)
    machine.load()
    for vector, routine in ((IRQ_VECTOR, "on_irq"), (MSI_VECTOR, "on_msi")):
        struct.pack_into("<HH", vectors, 4 * vector, machine.routine(routine), 0)
    os.pwrite(fd, bytes(vectors), 0)
    machine.main.ok(wire.create_memory(1, 0, 0, PAGE), "create", [fd])
    return machine.begin_routine("interrupts")


def begin_messages(machine):
    """The same, with the local APIC enabled."""
    vcpu, entry = begin_interrupts(machine)
    lapic = bytearray(vcpu.get_state(wire.LAPIC))
    struct.pack_into("<I", lapic, 0xF0, 0x1FF)  # spurious vector register: enabled
    vcpu.set_state(wire.LAPIC, bytes(lapic))
    vcpu.send(wire.resume(**entry))
    vcpu.is_done(0xEF)
    vcpu.send(wire.resume())
    return vcpu


def run_interrupts(machine):
    vcpu, entry = begin_interrupts(machine)
    vcpu.send(wire.resume(**entry))
    vcpu.is_done(0xEF)
    vcpu.send(wire.resume())
    return vcpu


def case_irq_line():
    machine = Machine()
    vcpu = run_interrupts(machine)
    for _ in range(3):
        machine.main.ok(wire.set_irq(IRQ, True), "set_irq")
        vcpu.writes(CONSOLE, b"I")
        machine.main.ok(wire.set_irq(IRQ, False), "set_irq")
    assert not vcpu.has_frame(50), "an interrupt without a rising edge"
    for gsi in (4096, 2**32 - 1):
        machine.main.refused(wire.set_irq(gsi, True), errno.EINVAL)
    machine.main.refused(wire.set_irq(IRQ, True), errno.EINVAL, [vcpu.write_fd])


def case_irq_event():
    machine = Machine()
    main = machine.main
    before = main.host_fds()
    trigger, resample = main.ok(wire.create_irq_event(20, IRQ, resample=True), "create", fd_count=2)
    main.refused(wire.create_irq_event(20, IRQ), errno.EEXIST)
    vcpu = run_interrupts(machine)
    for _ in range(3):
        equal(rings(resample), 0, "the resample eventfd before the interrupt")
        ring(trigger)
        vcpu.writes(CONSOLE, b"I")
        await_ring(resample, "the resample eventfd at the end of the interrupt")
    main.ok(wire.destroy(20), "destroy")
    ring(trigger)
    assert not vcpu.has_frame(50), "an interrupt after its event was destroyed"
    # The original host takes no notice of the flag: there is always a resample eventfd.
    fds = main.ok(wire.create_irq_event(20, IRQ), "create", fd_count=2)
    ring(fds[0])
    vcpu.writes(CONSOLE, b"I")
    await_ring(fds[1], "the resample eventfd of the second irq event")
    main.ok(wire.destroy(20), "destroy")
    main.refused(wire.create_irq_event(21, 4096), errno.EINVAL)
    main.refused(wire.create_irq_event(21, IRQ), errno.EINVAL, [trigger])
    machine.main.lives()
    assert main.host_fds() >= before


def case_routing():
    """A message to the local APIC of vCPU 0, from a line that was the PIC's a moment ago."""
    machine = Machine()
    main = machine.main
    vcpu = begin_messages(machine)
    main.ok(wire.set_irq_routing(wire.msi_route(MSI_GSI, 0xFEE00000, MSI_VECTOR)), "set_irq_routing")
    main.ok(wire.set_irq(IRQ, True), "set_irq")
    assert not vcpu.has_frame(50), "an interrupt from a line that has no route"
    main.ok(wire.set_irq(IRQ, False), "set_irq")
    main.ok(wire.set_irq(MSI_GSI, True), "set_irq")
    vcpu.writes(CONSOLE, b"M")
    main.ok(wire.set_irq_routing(), "set_irq_routing")


def case_routing_values():
    main = Machine().main
    routes = [wire.msi_route(gsi, 0xFEE00000, 0x41) for gsi in range(24, 4096)]
    for code, request in (
        (errno.EINVAL, wire.set_irq_routing(wire.bare_route(3))),
        (errno.EINVAL, wire.set_irq_routing(wire.irqchip_route(1, 0, 1), wire.bare_route(3))),
        (errno.EINVAL, wire.set_irq_routing(wire.member(1, wire.number(1, 3), wire.member(9)))),
        (errno.EINVAL, wire.set_irq_routing(wire.irqchip_route(1, 9, 1))),
        (errno.EINVAL, wire.set_irq_routing(wire.irqchip_route(1, 0, 99))),
        (errno.EINVAL, wire.set_irq_routing(wire.msi_route(4096, 0xFEE00000, 0x41))),
        (errno.EINVAL, wire.set_irq_routing(wire.msi_route(2**32 - 1, 0xFEE00000, 0x41))),
        (errno.E2BIG, wire.set_irq_routing(*routes, *routes)),
    ):
        main.refused(request, code)
    for request in (
        wire.set_irq_routing(wire.irqchip_route(1, 0, 1), wire.irqchip_route(1, 2, 1), routes[0]),
        # A packet of far more than the original host would take.
        wire.set_irq_routing(*routes),
        wire.set_irq_routing(),
    ):
        main.ok(request, "set_irq_routing")


# ---- State and values of the VM ----


def get_vm_state(main, state_set):
    state = wire.read(main.query(wire.get_vm_state(state_set), "get_state"), {1: "state"})["state"]
    equal(len(state), VM_STATE_BYTES[state_set], f"bytes of state set {state_set}")
    return state


def case_vm_state():
    main = Machine().main
    for state_set, size in VM_STATE_BYTES.items():
        state = get_vm_state(main, state_set)
        if state_set == wire.CLOCK:
            state = state[:8] + bytes(40)  # of the flags that it tells, it takes few
        main.ok(wire.set_vm_state(state_set, state), "set_state")
        for wrong in (b"", state[:-1], state + b"\0", bytes(4000 - size)):
            main.refused(wire.set_vm_state(state_set, wrong), errno.EINVAL)
    for state_set in (5, 2**32 - 1):
        main.refused(wire.get_vm_state(state_set), errno.EINVAL)
        main.refused(wire.set_vm_state(state_set, bytes(16)), errno.EINVAL)
    main.refused(wire.set_vm_state(wire.CLOCK, bytes(8) + b"\xff" * 4 + bytes(36)), errno.EINVAL)


def case_vm_state_stays():
    main = Machine().main
    for state_set, at, value in (
        (wire.PIC0, 5, 0x28),  # irq_base
        (wire.PIC1, 5, 0x70),
        (wire.IOAPIC, 24, 0x31),  # the vector of pin 0
        (wire.PIT, 12, 0x02),  # channel 0: rw_mode or the like, whatever it means
    ):
        state = bytearray(get_vm_state(main, state_set))
        state[at] = value
        main.ok(wire.set_vm_state(state_set, bytes(state)), "set_state")
        equal(get_vm_state(main, state_set)[at], value, f"state set {state_set} after it was set")
    main.ok(wire.set_vm_state(wire.CLOCK, struct.pack("<Q", 10**15) + bytes(40)), "set_state")
    assert struct.unpack_from("<Q", get_vm_state(main, wire.CLOCK))[0] >= 10**15, "the clock went back"


def read_cpuid(body):
    return [wire.read(entry, wire.CPUID_FIELDS) for _, entry in wire.fields(body)]


def case_queries():
    main = Machine().main
    entries = read_cpuid(main.query(wire.get_supported_cpuid(), "get_supported_cpuid"))
    functions = {entry.get("function", 0) for entry in entries}
    assert {0, 1, 0x80000000} <= functions, f"supported CPUID functions {sorted(functions)}"
    assert any(entry.get("has_index") for entry in entries), "no entry has an index"
    read_cpuid(main.query(wire.get_emulated_cpuid(), "get_emulated_cpuid"))
    indices = read_packed(main.query(wire.get_msr_index_list(), "get_msr_index_list"))
    assert {MSR_TSC, MSR_SYSENTER_CS} <= set(indices), f"MSRs {indices}"
    equal(main.has(0xFFFF), False, "an extension that there is not")
    for request in (wire.get_supported_cpuid(), wire.get_msr_index_list()):
        main.refused(request, errno.EINVAL, [main.socket.fileno()])


def read_packed(body):
    """The numbers of a repeated field 1 that is the only one and packed."""
    if not body:
        return []
    ((field, data),) = wire.fields(body)
    equal(field, 1, "the repeated field")
    numbers, at = [], 0
    while at < len(data):
        value, at = wire.read_varint(data, at)
        numbers.append(value)
    return numbers


def case_identity_map():
    machine = Machine()
    for address in (0xFFFBC000, 0):
        machine.main.ok(wire.set_identity_map_addr(address), "set_identity_map_addr")
    machine.start_at_console()
    machine.main.refused(wire.set_identity_map_addr(0xFFFBC000), errno.EINVAL)


def case_no_tap():
    Machine().main.refused(wire.get_net_config(), errno.ENODATA)


def case_tap():
    """The address, netmask and MAC that the runner gave, in a network namespace of its own."""
    main = Machine().main
    before = main.host_fds()
    body = (
        wire.blob(1, bytes.fromhex("020000000001"))
        + wire.fixed32(2, bytes([192, 0, 2, 1]))
        + wire.fixed32(3, bytes([255, 255, 255, 0]))
    )
    for _ in range(3):
        (tap,) = main.ok(wire.get_net_config(), "get_net_config", fd_count=1, body=body)
        name, flags = struct.unpack("16sH22x", fcntl.ioctl(tap, TUNGETIFF, bytes(40)))
        assert flags & IFF_TAP, f"{name} is no tap: flags {flags:#x}"
        # A packet that nobody takes: what counts is that the fd is a tap's.
        equal(os.write(tap, bytes(60)), 60, "writing to the tap")
        os.close(tap)
    equal(main.host_fds(), before, "fds of the host")


# ---- What a guest does ----


def case_dirty_log():
    machine = Machine()
    main = machine.main
    pages = make_memfd(9 * PAGE)
    main.ok(wire.create_memory(5, 0, LOGGED, 9 * PAGE, dirty_log=True), "create", [pages])
    machine.load()
    clean, dirty = (wire.blob(1, bytes(log)) for log in ([0, 0], [0x02, 0x01]))
    main.ok(wire.dirty_log(5), "dirty_log", body=clean)
    vcpu = machine.start_routine("write_pages")
    vcpu.is_done(0)
    equal((os.pread(pages, 1, PAGE), os.pread(pages, 1, 8 * PAGE)), (b"\1", b"\2"), "what the guest wrote")
    main.ok(wire.dirty_log(5), "dirty_log", body=dirty)
    main.ok(wire.dirty_log(5), "dirty_log", body=clean)
    main.refused(wire.dirty_log(0), errno.ENOENT)  # there is no log of it
    main.refused(wire.dirty_log(6), errno.ENOENT)
    main.ok(wire.destroy(5), "destroy")
    main.refused(wire.dirty_log(5), errno.ENOENT)


def case_read_only_memory():
    """What the guest writes there is an access like any other, and the memory stays as it was."""
    machine = Machine()
    main = machine.main
    pages = make_memfd(9 * PAGE)
    main.ok(wire.create_memory(5, 0, LOGGED, 9 * PAGE, read_only=True), "create", [pages])
    main.ok(wire.reserve_range(wire.MMIO, LOGGED, 9 * PAGE), "reserve_range")
    vcpu = machine.start_routine("write_pages")
    for at, value in ((PAGE, b"\1"), (8 * PAGE, b"\2")):
        vcpu.expect(wire.io_event(wire.MMIO, LOGGED + at, True, value), "a write to read-only memory")
        vcpu.send(wire.resume())
    vcpu.is_done(0)
    equal(os.pread(pages, 9 * PAGE, 0), bytes(9 * PAGE), "read-only memory")


def case_async_writes():
    """They come without a stop, in order, and before the event after them; reads are nobody's."""
    machine = Machine()
    machine.main.ok(wire.reserve_range(wire.IOPORT, ASYNC, 2, async_write=True), "reserve_range")
    machine.main.refused(wire.reserve_range(wire.IOPORT, ASYNC + 1, 2), errno.EPERM)
    vcpu = machine.start_routine("asynchronous")
    writes = [(ASYNC, b"\1"), (ASYNC, b"\2"), (ASYNC + 1, b"\3\4")]
    wanted = [wire.io_event(wire.IOPORT, port, True, data, no_resume=True) for port, data in writes]
    wanted.append(wire.io_event(wire.IOPORT, DONE, True, b"\3"))
    for event in wanted:
        vcpu.expect(event)
    vcpu.send(wire.resume())
    vcpu.is_done(3)
    machine.main.ok(wire.reserve_range(wire.IOPORT, ASYNC, 0), "reserve_range")


def begin_flood(machine):
    """Asynchronous writes without end: the routine's last instruction is one, and it is in a loop."""
    machine.load()
    machine.main.ok(wire.reserve_range(wire.IOPORT, DONE, 0), "reserve_range")
    machine.main.ok(wire.reserve_range(wire.IOPORT, DONE, 1, async_write=True), "reserve_range")
    return machine.start_routine("write_pages")


def case_async_flood():
    """Nobody reads it, and that is no reason not to end."""
    machine = Machine()
    vcpu = begin_flood(machine)
    assert vcpu.has_frame(TIMEOUT_MS), "no write"
    machine.main.lives()
    machine.main.ok(wire.pause_vcpus(1, 7), "pause_vcpus")


def case_pause_in_a_flood():
    """The event stands behind the writes that were before it, and behind it there are none."""
    machine = Machine()
    vcpu = begin_flood(machine)
    write = wire.io_event(wire.IOPORT, DONE, True, b"\0", no_resume=True)
    vcpu.expect(write)
    for user in (1, 2, 3):
        machine.main.ok(wire.pause_vcpus(1, user), "pause_vcpus")
        while (event := vcpu.receive()) == write:
            pass
        equal(event, wire.user_event(user), "what ends the writes")
        assert not vcpu.has_frame(50), "a write while the vCPU is paused"
        vcpu.send(wire.resume())
        vcpu.expect(write)


def case_pause():
    machine = Machine()
    main = machine.main
    # Before the vCPU runs it is kept.
    main.ok(wire.pause_vcpus(1, 1), "pause_vcpus")
    main.ok(wire.pause_vcpus(ALL_ONES - 1, 99), "pause_vcpus")
    vcpu = machine.start_routine("spin")
    counts = []
    for user in (1, 0, ALL_ONES, 0x7FFF_FFFF_FFFF):
        if user != 1:
            main.ok(wire.pause_vcpus(ALL_ONES, user), "pause_vcpus")
        vcpu.expect(wire.user_event(user), "PAUSED")
        counts.append(struct.unpack_from("<Q", vcpu.get_state(wire.REGS), 8)[0])
        vcpu.refused(wire.wait(), errno.EPROTO)
        vcpu.send(wire.resume())
    equal(counts, sorted(counts), "what the guest counted")
    main.ok(wire.pause_vcpus(ALL_ONES - 1, 99), "pause_vcpus")
    assert not vcpu.has_frame(50), "a vCPU was paused that was not asked for"
    # Registers travel with this resume as with any.
    main.ok(wire.pause_vcpus(1, 5), "pause_vcpus")
    vcpu.expect(wire.user_event(5), "PAUSED")
    vcpu.send(wire.resume(regs=registers_at(machine, vcpu, "write_pages")))
    vcpu.is_done(0)


def case_pause_one_of_two():
    machine = Machine(2)
    first, entry = machine.begin_routine("spin")
    second = machine.vcpus[1]
    entries = [entry, {**second.begin(), "regs": entry["regs"]}]
    for vcpu, registers in zip(machine.vcpus, entries):
        vcpu.send(wire.resume(**registers))
    for mask, user in ((2, 8), (1, 9), (2, 10)):
        machine.main.ok(wire.pause_vcpus(mask, user), "pause_vcpus")
        paused, other = (second, first) if mask == 2 else (first, second)
        paused.expect(wire.user_event(user), "PAUSED")
        assert not other.has_frame(50), "the other vCPU was paused too"
        paused.send(wire.resume())
    machine.main.ok(wire.pause_vcpus(3, 11), "pause_vcpus")
    for vcpu in machine.vcpus:
        vcpu.expect(wire.user_event(11), "PAUSED")


def case_pause_at_an_event():
    """The vCPU waits for the plugin: the pause comes after, once, with what was asked for last."""
    machine = Machine()
    vcpu = machine.start_at_console()
    for user in (1, 2, 3):
        machine.main.ok(wire.pause_vcpus(1, user), "pause_vcpus")
    assert not vcpu.has_frame(50), "a second event while the first is held"
    vcpu.send(wire.resume())
    vcpu.expect(wire.user_event(3), "PAUSED")
    vcpu.send(wire.resume())
    vcpu.reads(CONSOLE, b"\x5a")
    # At a read, too: the answer is complete before the vCPU pauses.
    vcpu.expect(wire.io_event(wire.IOPORT, CONSOLE + 1, True, b"\x5a\x12"))
    vcpu.send(wire.resume())
    vcpu.expect(wire.io_event(wire.IOPORT, CONSOLE + 4, False, bytes(4)))
    machine.main.ok(wire.pause_vcpus(1, 4), "pause_vcpus")
    vcpu.send(wire.resume(b"\1\2\3\4"))
    vcpu.expect(wire.user_event(4), "PAUSED")
    equal(vcpu.get_state(wire.REGS)[:4], b"\1\2\3\4", "rax after the read")
    vcpu.send(wire.resume())
    vcpu.writes(CONSOLE + 4, b"\1\2\3\4")


def hint(matches=(), send_sregs=False, send_debugregs=False, **values):
    names = ("rax", "rbx", "rcx", "rdx")
    return wire.reg_hint(
        tuple(name in matches for name in names),
        tuple(values.get(name, 0) for name in names),
        send_sregs,
        send_debugregs,
    )


def hypercall(vcpu, is_write, data, sent):
    """The next access of the console comes with just these registers; return them. `sent`: regs sregs debugregs."""
    event = vcpu.receive()
    _, _, body = wire.read_vcpu_response(event)
    io = wire.read(wire.read(body, wire.EXITS)["io"], wire.IO_FIELDS)
    registers = {name: io[name] for name in ("regs", "sregs", "debugregs") if name in io}
    equal(list(registers), sent.split(), "registers that came along")
    equal(event, wire.io_event(wire.IOPORT, CONSOLE, is_write, data, **registers), "an access with registers")
    for name, state_set in (("regs", wire.REGS), ("sregs", wire.SREGS), ("debugregs", wire.DEBUGREGS)):
        if name in registers:
            equal(registers[name], vcpu.get_state(state_set), name)
    return registers


RAX, RBX, RCX = 0xA1A2A3A4, 0xB1B2B3B4, 0xC1C2C3C4

# on_write, details, what comes along with the first write and with the read after it
HINTS = [
    (True, [], "regs", ""),
    (False, [], "", "regs"),
    (True, [hint()], "regs", ""),
    (True, [hint(send_sregs=True)], "regs sregs", ""),
    (True, [hint(send_debugregs=True)], "regs debugregs", ""),
    (True, [hint(("rax",), True, True, rax=RAX)], "regs sregs debugregs", ""),
    (True, [hint(("rax", "rbx", "rcx", "rdx"), True, rax=RAX, rbx=RBX, rcx=RCX, rdx=CONSOLE)], "regs sregs", ""),
    # No detail matches; the second does; the first of two that do.
    (True, [hint(("rax", "rbx"), True, rax=RAX, rbx=RBX + 1)], "regs", ""),
    (True, [hint(("rcx",), True, rcx=1), hint(("rbx",), False, True, rbx=RBX)], "regs debugregs", ""),
    (True, [hint(("rcx",), True, rcx=RCX), hint(("rbx",), False, True, rbx=RBX)], "regs sregs", ""),
    (True, [hint(("rax",), rax=i) for i in range(31)] + [hint(("rdx",), True, rdx=CONSOLE)], "regs sregs", ""),
]


def case_hints():
    machine = Machine()
    main = machine.main
    vcpu, entry = machine.begin_routine("hypercall")
    for on_write, details, with_write, with_read in HINTS:
        main.ok(wire.set_call_hint(wire.IOPORT, CONSOLE, on_write, details), "set_call_hint")
        vcpu.send(wire.resume(**entry))
        hypercall(vcpu, True, b"\xa4", with_write)
        vcpu.send(wire.resume())
        hypercall(vcpu, False, b"\0", with_read)
        main.ok(wire.set_call_hint(), "set_call_hint")
        vcpu.send(wire.resume(b"\x11"))
        hypercall(vcpu, True, b"\5", "")
        vcpu.send(wire.resume())
        vcpu.is_done(5)


def case_hint_values():
    machine = Machine()
    main = machine.main
    vcpu, entry = machine.begin_routine("hypercall")
    main.ok(wire.set_call_hint(wire.IOPORT, CONSOLE, True), "set_call_hint")
    main.refused(wire.set_call_hint(wire.IOPORT, CONSOLE, False, [hint()] * 33), errno.EINVAL)
    main.refused(wire.set_call_hint(2, CONSOLE, False), errno.EINVAL)
    main.refused(wire.set_call_hint(2**32 - 1, CONSOLE, False), errno.EINVAL)
    # The hint that was set before still holds.
    vcpu.send(wire.resume(**entry))
    hypercall(vcpu, True, b"\xa4", "regs")
    # Another address, another space: neither is the console's.
    for space, address in ((wire.IOPORT, CONSOLE + 1), (wire.MMIO, CONSOLE)):
        main.ok(wire.set_call_hint(space, address, True), "set_call_hint")
        vcpu.send(wire.resume())
        if space == wire.IOPORT:
            hypercall(vcpu, False, b"\0", "")
            vcpu.send(wire.resume(b"\x11"))
            hypercall(vcpu, True, b"\5", "")


def case_cpuid():
    machine = Machine()
    vcpu, entry = machine.begin_routine("ask_cpuid")
    supported = [e for _, e in wire.fields(machine.main.query(wire.get_supported_cpuid(), "get_supported_cpuid"))]
    kept = [e for e in supported if wire.read(e, wire.CPUID_FIELDS).get("function", 0) < 0x40000000]
    entries = [wire.member(1, e) for e in kept]
    entries.append(wire.cpuid_entry(function=0x40000000, eax=0x40000001, ebx=0x6D767073))
    for index in (0, 7):
        entries.append(wire.cpuid_entry(function=0x40000001, has_index=1, index=index, eax=0x1000 + index))
    vcpu.ok(wire.set_cpuid(*entries), "set_cpuid")
    vcpu.send(wire.resume(**entry))
    vcpu.writes(CONSOLE, struct.pack("<I", 0x6D767073))
    vcpu.writes(CONSOLE, struct.pack("<I", 0x1007))
    vcpu.is_done(7)


def get_msrs(vcpu, *indices):
    code, member, body = vcpu.ask(wire.get_msrs(*indices))
    equal((code, member), (0, "get_msrs"))
    return read_packed(body)


def case_msrs():
    machine = Machine()
    vcpu, entry = machine.begin_routine("use_msrs")
    equal(get_msrs(vcpu), [], "no MSRs")
    vcpu.ok(wire.set_msrs(), "set_msrs")
    vcpu.ok(wire.set_msrs((MSR_SYSENTER_CS, 0x1234), (MSR_LSTAR, 0xFFFF_8000_0000_1000)), "set_msrs")
    # In the order of the request, and as often as it asks.
    values = get_msrs(vcpu, MSR_LSTAR, MSR_SYSENTER_CS, MSR_LSTAR)
    equal(values, [0xFFFF_8000_0000_1000, 0x1234, 0xFFFF_8000_0000_1000], "MSRs after they were set")
    # KVM stops at the first that it does not have: no error for get, one for set.
    equal(get_msrs(vcpu, MSR_SYSENTER_CS, MSR_NOBODYS, MSR_SYSENTER_CS), [0x1234], "up to an MSR that there is not")
    equal(get_msrs(vcpu, MSR_NOBODYS), [], "an MSR that there is not")
    vcpu.refused(wire.set_msrs((MSR_SYSENTER_CS, 0x5678), (MSR_NOBODYS, 1)), errno.EINVAL)
    equal(get_msrs(vcpu, MSR_SYSENTER_CS), [0x5678], "an MSR before the one that was refused")
    equal(get_msrs(vcpu, *[MSR_SYSENTER_CS] * 255), [0x5678] * 255, "as many as there may be")
    # Numbers that are not packed.
    vcpu.send(wire.member(5, wire.number(1, MSR_SYSENTER_CS), wire.packed(1, [MSR_SYSENTER_CS])))
    vcpu.expect(wire.vcpu_response("get_msrs", wire.packed(1, [0x5678, 0x5678])))
    vcpu.send(wire.resume(**entry))
    vcpu.writes(CONSOLE, struct.pack("<I", 0x5678))
    vcpu.is_done(0x77)
    equal(get_msrs(vcpu, MSR_SYSENTER_CS), [0x77], "an MSR that the guest has set")


def case_hyperv():
    """Where KVM has it, what it is; else KVM's own error."""
    machine = Machine()
    vcpu = machine.start_at_console()
    code, member, body = vcpu.ask(wire.get_hyperv_cpuid())
    if machine.main.has(CAP_HYPERV_CPUID):
        equal((code, member), (0, "get_hyperv_cpuid"), "the CPUID of Hyper-V")
        assert any(entry["function"] == 0x40000000 for entry in read_cpuid(body)), "no leaf 0x40000000"
    else:
        assert code > 0 and member is None, f"errno {code}, {member}"
    for capability in (CAP_HYPERV_SYNIC, CAP_HYPERV_SYNIC2):
        if machine.main.has(capability):
            vcpu.ok(wire.enable_capability(capability), "enable_capability")
        else:
            vcpu.refused(wire.enable_capability(capability), errno.EINVAL)
    vcpu.send(wire.resume())
    vcpu.reads(CONSOLE, b"\x5a")


def case_second_connection():
    """Objects are the VM's: what one connection makes, another one uses and destroys."""
    machine = Machine()
    other = machine.main.clone()
    machine.main.ok(wire.create_io_event(1, wire.IOPORT, BELL, 0), "create", fd_count=1)
    other.refused(wire.create_irq_event(1, IRQ), errno.EEXIST)
    other.ok(wire.create_memory(2, 0, LOGGED, PAGE, dirty_log=True), "create", [make_memfd(PAGE)])
    machine.main.ok(wire.dirty_log(2), "dirty_log", body=wire.blob(1, b"\0"))
    machine.main.refused(wire.dirty_log(1), errno.ENOENT)
    other.ok(wire.destroy(1), "destroy")
    other.close()
    machine.main.ok(wire.destroy(2), "destroy")
