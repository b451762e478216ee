# SPDX-License-Identifier: BSD-3-Clause
"""Cases of original_client.py for a client of API 0.23: what it may ask more, and what the host must not send to one
that asked for nothing."""

import errno
import os
import socket
import struct

import wire
from client import (
    BELL,
    CONSOLE,
    DEVICE,
    GARBAGE,
    GIB,
    LOAD_ADDRESS,
    LOGGED,
    PAGE,
    SEAL_SHRINK,
    SEAL_WRITE,
    Connection,
    Machine,
    Vcpu,
    cannot_run,
    make_memfd,
)
from client_kvm import (
    ALL_ONES,
    IRQ,
    MSI_VECTOR,
    MSR_NOBODYS,
    MSR_SYSENTER_CS,
    begin_messages,
    read_cpuid,
    ring,
    rings,
    run_interrupts,
)
from tap import equal

SEAL_FUTURE_WRITE = 0x10

# WIRE_FEATURE_* and WIRE_EXIT_* of wire/event.h
MSR_FILTER, XSAVE, TSC_KHZ, NESTED, INTERRUPTS, GUEST_DEBUG = (1 << bit for bit in (7, 8, 9, 10, 11, 12))
EXIT_SHUTDOWN = 1 << 1

# linux/kvm.h
EXIT_REASON_FILTER = 1 << 2
DEBUG_ENABLE, DEBUG_SINGLESTEP = 1, 2
DEBUG_BYTES, CPUID_BYTES = 72, 40

END_PROTOCOL_ERROR = 4


def get_features(main):
    body = main.query(wire.features(), "features")
    features = {name: 0 for name in wire.FEATURES_FIELDS.values()}
    features.update(wire.read(body, wire.FEATURES_FIELDS))
    return features


def has(machine, feature):
    return bool(get_features(machine.main)["features"] & feature)


def case_features():
    main = Machine(2).main
    features = get_features(main)
    assert (features["version_major"], features["version_minor"], features["version_patch"]) != (0, 0, 0), "no version"
    equal(features["features"] & INTERRUPTS, 0, "injection, with the kernel's interrupt controllers")
    equal(features["features"] >> 17, 0, "features that nobody knows")
    limits = {
        "vcpu_count": 2,
        "irqchip": 0,
        "request_bytes": 131072,
        "connections": 64,
        "ranges": 16384,
        "events": 1024,
        "memory_slots": 509,
        "memory_bytes": 64 * GIB,
        "irq_routes": 4096,
        "cpuid_entries": 256,
        "msrs": 255,
    }
    equal({name: features[name] for name in limits}, limits, "limits")


# ---- vCPUs ----


def case_vcpus_in_packets():
    """70 of them: the last ones first."""
    main = Connection(int(os.environ["CROSVM_SOCKET"]))
    main.response_fds = 253
    for first in (70, 71, 2**32 - 1):
        main.refused(wire.get_vcpus_from(first), errno.EINVAL)
    main.refused(wire.get_vcpus(), errno.E2BIG)
    before = main.host_fds()
    last = main.ok(wire.get_vcpus_from(64), "get_vcpus_from", fd_count=12)
    equal(main.host_fds(), before - 12, "fds of the host")
    # A packet that would reach into what is gone takes nothing.
    for first in (64, 69, 10):
        main.refused(wire.get_vcpus_from(first), errno.EALREADY)
    fds = main.ok(wire.get_vcpus_from(0), "get_vcpus_from", fd_count=128) + last
    equal(main.host_fds(), before - 140, "fds of the host")
    for first in (0, 63, 64):
        main.refused(wire.get_vcpus_from(first), errno.EALREADY)
    main.ok(wire.start(), "start")
    for i in range(0, len(fds), 2):
        Vcpu(*fds[i : i + 2]).wait()


def case_vcpus_twice():
    main = Connection(int(os.environ["CROSVM_SOCKET"]))
    main.ok(wire.get_vcpus_from(1), "get_vcpus_from", fd_count=4)
    for request in (wire.get_vcpus_from(0), wire.get_vcpus_from(1), wire.get_vcpus_from(2), wire.get_vcpus()):
        main.refused(request, errno.EALREADY)
    main.refused(wire.get_vcpus_from(3), errno.EINVAL)


def case_pause_set():
    machine = Machine()
    main = machine.main
    for mask in (b"", b"\0", b"\xfe", b"\0" * 16, b"\xfe" + b"\xff" * 1000):
        main.ok(wire.pause_set(mask, 99), "pause_set")
    main.ok(wire.pause_set(b"\1", 1), "pause_set")
    vcpu = machine.start_routine("spin")
    for mask, user in ((b"\1", 1), (b"\xff" * 100000, ALL_ONES), (b"\1\0", 0)):
        if user != 1:
            main.ok(wire.pause_set(mask, user), "pause_set")
        vcpu.expect(wire.user_event(user), "PAUSED")
        vcpu.send(wire.resume())
    main.ok(wire.pause_set(b"\xfe", 99), "pause_set")
    assert not vcpu.has_frame(50), "a vCPU was paused that was not asked for"


def case_pause_set_of_nine():
    """The ninth bit is the second byte's."""
    machine = Machine(9)
    machine.main.ok(wire.pause_set(b"\0\1", 5), "pause_set")
    _, entry = machine.begin_routine("spin")
    entries = [entry] + [{**vcpu.begin(), "regs": entry["regs"]} for vcpu in machine.vcpus[1:]]
    for vcpu, registers in zip(machine.vcpus, entries):
        vcpu.send(wire.resume(**registers))
    machine.vcpus[8].expect(wire.user_event(5), "PAUSED")
    for vcpu in machine.vcpus[:8]:
        assert not vcpu.has_frame(0), "a vCPU was paused that was not asked for"


# ---- Objects ----


def case_ext_io_events():
    """Of one length and with any data: others are accesses like any."""
    machine = Machine()
    main = machine.main
    (bell,) = main.ok(wire.create_ext_io_event(10, wire.IOPORT, BELL, 2), "create_ext", fd_count=1)
    (device,) = main.ok(wire.create_ext_io_event(11, wire.MMIO, DEVICE, 4), "create_ext", fd_count=1)
    main.ok(wire.reserve_range(wire.IOPORT, BELL, 2), "reserve_range")
    vcpu, entry = machine.begin_routine("ring")
    vcpu.send(wire.resume(**entry))
    vcpu.expect(wire.io_event(wire.IOPORT, BELL, True, entry["regs"][:1]), "a write of another length")
    vcpu.send(wire.resume())
    vcpu.is_done(0)
    equal((rings(bell), rings(device)), (1, 2), "writes that rang")
    for object_id in (10, 11):
        main.ok(wire.destroy(object_id), "destroy")


def case_ext_values():
    main = Machine().main
    before = main.host_fds()
    main.ok(wire.create_memory(1, 0, PAGE, PAGE), "create", [make_memfd(PAGE)])
    for code, request in (
        (errno.ENOTTY, wire.create_ext(2, b"")),
        (errno.ENOTTY, wire.create_ext(2, wire.member(9))),
        (errno.EEXIST, wire.create_ext_io_event(1, wire.IOPORT, BELL, 1)),
        (errno.EEXIST, wire.create_ext_irq_event(1, IRQ)),
        (errno.EINVAL, wire.create_ext_io_event(2, wire.IOPORT, BELL, 3)),
        (errno.EINVAL, wire.create_ext_io_event(2, wire.IOPORT, BELL, 2**32 - 1)),
        (errno.EINVAL, wire.create_ext_io_event(2, wire.IOPORT, 0x10000, 1)),
        (errno.EINVAL, wire.create_ext_io_event(2, wire.MMIO, ALL_ONES, 2)),
        (errno.EINVAL, wire.create_ext_io_event(2, 2, BELL, 1)),
        (errno.EINVAL, wire.create_ext_irq_event(2, 4096)),
        (errno.EINVAL, wire.create_ext_irq_event(2, 2**32 - 1)),
    ):
        main.refused(request, code)
    main.refused(wire.create_ext_irq_event(2, IRQ), errno.EINVAL, [make_memfd(PAGE)])
    equal(main.host_fds(), before, "fds of the host after refusals")


def case_edge_irq_event():
    machine = Machine()
    (trigger,) = machine.main.ok(wire.create_ext_irq_event(20, IRQ), "create_ext", fd_count=1)
    vcpu = run_interrupts(machine)
    for _ in range(3):
        ring(trigger)
        vcpu.writes(CONSOLE, b"I")
    machine.main.ok(wire.destroy(20), "destroy")
    ring(trigger)
    assert not vcpu.has_frame(50), "an interrupt after its event was destroyed"


def begin_log(machine):
    pages = make_memfd(9 * PAGE)
    machine.main.ok(wire.create_memory(5, 0, LOGGED, 9 * PAGE, dirty_log=True), "create", [pages])
    vcpu = machine.start_routine("write_pages")
    vcpu.is_done(0)


def case_dirty_log_to():
    machine = Machine()
    main = machine.main
    begin_log(machine)
    good = make_memfd(PAGE)
    read_only = os.open(f"/proc/self/fd/{good}", os.O_RDONLY)
    before = main.host_fds()
    for code, object_id, offset, fds in (
        (errno.EBADF, 5, 0, []),
        (errno.EINVAL, 5, 0, [good, good]),
        (errno.EINVAL, 5, 0, [os.pipe()[1]]),
        (errno.EINVAL, 5, 0, [socket.socketpair()[0].detach()]),
        (errno.EINVAL, 5, 0, [os.eventfd(0)]),
        (errno.EPERM, 5, 0, [make_memfd(PAGE, 0)]),
        (errno.EPERM, 5, 0, [make_memfd(PAGE, SEAL_SHRINK | SEAL_WRITE)]),
        (errno.EPERM, 5, 0, [make_memfd(PAGE, SEAL_SHRINK | SEAL_FUTURE_WRITE)]),
        (errno.EBADF, 5, 0, [read_only]),
        (errno.EINVAL, 5, PAGE - 1, [good]),
        (errno.EINVAL, 5, PAGE, [good]),
        (errno.EINVAL, 5, 2**63 - 1, [good]),
        (errno.EINVAL, 5, ALL_ONES, [good]),
        (errno.EINVAL, 5, 0, [make_memfd(1)]),
        (errno.ENOENT, 0, 0, [good]),  # there is no log of it
        (errno.ENOENT, 6, 0, [good]),
    ):
        main.refused(wire.dirty_log_to(object_id, offset), code, fds)
    equal(main.host_fds(), before, "fds of the host")
    equal(os.pread(good, PAGE, 0), bytes(PAGE), "a memfd after refusals")
    # None of them has cleared the log.
    for log in (b"\x02\x01", b"\0\0"):
        main.ok(wire.dirty_log_to(5, PAGE - 2), "dirty_log_to", [good], body=wire.number(1, 2))
        equal(os.pread(good, PAGE, 0), bytes(PAGE - 2) + log, "what the host wrote")
    equal(main.host_fds(), before, "fds of the host")


def case_signal_msi():
    machine = Machine()
    vcpu = begin_messages(machine)
    for _ in range(2):
        machine.main.ok(wire.signal_msi(0xFEE00000, MSI_VECTOR), "signal_msi", body=wire.number(1, True))
        vcpu.writes(CONSOLE, b"M")


# ---- CPUID ----


def read_raw(entries):
    """As read_cpuid() gives them."""
    equal(len(entries) % CPUID_BYTES, 0, "bytes of CPUID entries")
    return [struct.unpack_from("<7I", entries, at) for at in range(0, len(entries), CPUID_BYTES)]


def baseline_entry(entry):
    names = ("function", "index", "has_index", "eax", "ebx", "ecx", "edx")
    return tuple(entry.get(name, 0) for name in names)


# Leaves that tell which processor one runs on.
LEAVES_OF_THIS_CPU = (0x1, 0xB, 0x1F, 0x8000001E)


def same_entries(raw, baseline):
    def comparable(entry):
        return entry[:3] if entry[0] in LEAVES_OF_THIS_CPU else entry

    equal(
        [comparable((function, index, flags & 1, *values)) for function, index, flags, *values in read_raw(raw)],
        [comparable(baseline_entry(entry)) for entry in read_cpuid(baseline)],
        "CPUID entries",
    )


def case_raw_cpuid():
    machine = Machine()
    main = machine.main
    supported = wire.read(main.query(wire.get_cpuid(), "get_cpuid"), {1: "entries"})["entries"]
    same_entries(supported, main.query(wire.get_supported_cpuid(), "get_supported_cpuid"))
    emulated = wire.read(main.query(wire.get_cpuid(emulated=True), "get_cpuid"), {1: "entries"}).get("entries", b"")
    same_entries(emulated, main.query(wire.get_emulated_cpuid(), "get_emulated_cpuid"))

    vcpu, entry = machine.begin_routine("ask_cpuid")
    entries = [e for e in read_raw(supported) if e[0] < 0x40000000]
    entries.append((0x40000000, 0, 0, 0x40000001, 0x6D767073, 0, 0))
    entries += [(0x40000001, index, 1, 0x1000 + index, 0, 0, 0) for index in (0, 7)]
    raw = b"".join(struct.pack("<7I12x", *e) for e in entries)
    for code, wrong in ((errno.EINVAL, raw[:-1]), (errno.EINVAL, raw + b"\0"), (errno.E2BIG, bytes(257 * CPUID_BYTES))):
        vcpu.refused(wire.set_cpuid_raw(wrong), code)
    vcpu.ok(wire.set_cpuid_raw(raw), "set_cpuid_raw")
    got = read_raw(get_ext_state(vcpu, wire.CPUID))
    equal([e[:3] for e in got], [e[:3] for e in entries], "the CPUID that was set")
    vcpu.send(wire.resume(**entry))
    vcpu.writes(CONSOLE, struct.pack("<I", 0x6D767073))
    vcpu.writes(CONSOLE, struct.pack("<I", 0x1007))
    vcpu.is_done(7)


# ---- State of a vCPU ----


def get_ext_state(vcpu, state_set):
    code, member, body = vcpu.ask(wire.get_ext_state(state_set))
    equal((code, member), (0, "get_ext_state"), f"ext state {state_set}")
    return wire.read(body, {1: "state"}).get("state", b"")


def case_ext_state():
    machine = Machine()
    vcpu = machine.start_at_console()
    for state_set, feature in ((wire.XSAVE, XSAVE), (wire.TSC_KHZ, TSC_KHZ), (wire.NESTED, NESTED)):
        for wrong in (b"", b"\0", bytes(3), bytes(5), bytes(127), bytes(4095), bytes(65000)):
            vcpu.refused(wire.set_ext_state(state_set, wrong), errno.EINVAL)
        if not has(machine, feature):
            code, member, _ = vcpu.ask(wire.get_ext_state(state_set))
            assert code > 0 and member is None, f"state set {state_set}, which this KVM does not have"
            continue
        state = get_ext_state(vcpu, state_set)
        for wrong in (state[:-1], state + b"\0"):
            vcpu.refused(wire.set_ext_state(state_set, wrong), errno.EINVAL)
        vcpu.ok(wire.set_ext_state(state_set, state), "set_ext_state")
    for state_set in (wire.CPUID, wire.MSR_INDICES):
        state = get_ext_state(vcpu, state_set)
        for data in (b"", state):
            vcpu.refused(wire.set_ext_state(state_set, data), errno.EINVAL)
    indices = get_ext_state(vcpu, wire.MSR_INDICES)
    assert MSR_SYSENTER_CS in struct.unpack(f"<{len(indices) // 4}I", indices), "an MSR that every KVM has"
    for state_set in (5, 2**32 - 1):
        vcpu.refused(wire.get_ext_state(state_set), errno.EINVAL)
        vcpu.refused(wire.set_ext_state(state_set, bytes(4)), errno.EINVAL)
    vcpu.send(wire.resume())
    vcpu.reads(CONSOLE, b"\x5a")


def case_counted_msrs():
    vcpu = Machine().start_at_console()
    cs, nobodys = (MSR_SYSENTER_CS, 0x1234), (MSR_NOBODYS, 1)
    for entries, count in (((), 0), ((cs,), 1), ((cs, nobodys, cs), 1), ((nobodys, cs), 0), ((cs,) * 255, 255)):
        vcpu.send(wire.set_msrs_counted(*entries))
        vcpu.expect(wire.vcpu_response("set_msrs_counted", wire.number(1, count)), f"{count} MSRs")
    vcpu.refused(wire.set_msrs_counted(*[cs] * 256), errno.E2BIG)


def case_vcpu_additions():
    machine = Machine()
    vcpu = machine.start_at_console()
    # The kernel has the interrupt controllers.
    for vector in (0, 32, 255, 256, 2**32 - 1):
        vcpu.refused(wire.interrupt(vector), errno.ENXIO)
    for wanted in (True, False):
        vcpu.refused(wire.request_irq_window(wanted), errno.ENXIO)
    for size in (0, 4, DEBUG_BYTES - 1, DEBUG_BYTES + 1):
        vcpu.refused(wire.set_guest_debug(bytes(size)), errno.EINVAL)
    for control in (1 << 2, 1 << 15, 1 << 22, 1 << 31):
        vcpu.refused(wire.set_guest_debug(guest_debug(control)), errno.EINVAL)
    vcpu.ok(wire.set_guest_debug(guest_debug(0)), "set_guest_debug")
    # Without paging each address is its own.
    vcpu.send(wire.translate(LOAD_ADDRESS + 5))
    code, member, body = wire.read_vcpu_response(vcpu.receive())
    answer = wire.read(body, {1: "physical", 2: "valid", 3: "writeable", 4: "usermode"})
    equal((code, member, answer["physical"], answer["valid"]), (0, "translate", LOAD_ADDRESS + 5, 1), "a translation")
    for address in (0, ALL_ONES):
        equal(vcpu.ask(wire.translate(address))[:2], (0, "translate"))
    vcpu.send(wire.resume())
    vcpu.reads(CONSOLE, b"\x5a")


def guest_debug(control):
    return struct.pack("<I", control) + bytes(DEBUG_BYTES - 4)


def case_injection():
    """The plugin has the interrupt controllers; this guest takes no interrupt."""
    machine = Machine()
    features = get_features(machine.main)
    equal((features["irqchip"], bool(features["features"] & INTERRUPTS)), (2, True), "irqchip and injection")
    vcpu = machine.start()
    vcpu.wait()
    vcpu.send(wire.resume(**vcpu.entry()))
    vcpu.comes_to_console()
    for vector in (256, 2**32 - 1):
        vcpu.refused(wire.interrupt(vector), errno.EINVAL)
    for vector in (0, 255):
        vcpu.refused(wire.interrupt(vector), errno.EAGAIN)
    for wanted in (True, False):
        vcpu.ok(wire.request_irq_window(wanted), "request_irq_window")
    answer, _ = machine.main.ask(wire.signal_msi(0xFEE00000, MSI_VECTOR))
    assert wire.read_main_response(answer)[0] > 0, "an MSI without a local APIC"
    vcpu.send(wire.resume())
    vcpu.reads(CONSOLE, b"\x5a")


# ---- Events ----


def case_single_step():
    machine = Machine()
    if not has(machine, GUEST_DEBUG):
        cannot_run("this KVM has no KVM_CAP_SET_GUEST_DEBUG")
    vcpu = machine.start()
    entry = vcpu.begin()
    vcpu.ok(wire.set_guest_debug(guest_debug(DEBUG_ENABLE | DEBUG_SINGLESTEP)), "set_guest_debug")
    vcpu.send(wire.resume(**entry))
    code, member, body = wire.read_vcpu_response(vcpu.receive())
    equal((code, member), (0, "event"))
    debug = wire.read(wire.read(body, {2: "debug"})["debug"], {1: "exception", 2: "pc", 3: "dr6", 4: "dr7"})
    # "mov dx, imm16" has three bytes.
    equal((debug["exception"], debug["pc"]), (1, LOAD_ADDRESS + 3), "a step")
    vcpu.ok(wire.set_guest_debug(guest_debug(0)), "set_guest_debug")
    # It wants no answer, and takes any for none.
    vcpu.send(wire.resume(b"\1\2\3"))
    vcpu.comes_to_console()


def case_msr_filter_values():
    machine = Machine()
    main = machine.main
    if not has(machine, MSR_FILTER):
        code = wire.read_main_response(main.ask(wire.set_msr_filter())[0])[0]
        assert code > 0, "a filter, which this KVM does not have"
        return
    ranges = [wire.msr_range(0x400 * i, 16, reads=True) for i in range(4, 21)]
    for code, request in (
        (errno.E2BIG, wire.set_msr_filter(*ranges)),
        (errno.E2BIG, wire.set_msr_filter(*ranges * 100)),
        (errno.E2BIG, wire.set_msr_filter(wire.msr_range(0x10000, 12289, True, True))),
        (errno.E2BIG, wire.set_msr_filter(wire.msr_range(0, 2**32 - 1, True, True))),
        (errno.EINVAL, wire.set_msr_filter(wire.msr_range(0x174, 0, True, True))),
        (errno.EINVAL, wire.set_msr_filter(wire.msr_range(0x174, 1))),
        (errno.EINVAL, wire.set_msr_filter(wire.msr_range(2**32 - 1, 2, True, True))),
        (errno.EINVAL, wire.set_msr_filter(wire.msr_range(2**32 - 12287, 12288, True, True))),
        (errno.EINVAL, wire.set_msr_filter(ranges[0], wire.msr_range(0x174, 0, True, True))),
    ):
        main.refused(request, code)
    for request in (
        wire.set_msr_filter(*ranges[:16]),
        wire.set_msr_filter(wire.msr_range(0x10000, 12288, True, True)),
        wire.set_msr_filter(wire.msr_range(2**32 - 1, 1, True, True)),
        wire.set_msr_filter(unknown=True),
        wire.set_msr_filter(),
    ):
        main.ok(request, "set_msr_filter")


def case_msr_events():
    machine = Machine()
    if not has(machine, MSR_FILTER):
        cannot_run("this KVM has no KVM_CAP_X86_MSR_FILTER")
    both = wire.set_msr_filter(wire.msr_range(MSR_SYSENTER_CS, 1, reads=True, writes=True))
    machine.main.ok(both, "set_msr_filter")
    vcpu = machine.start_routine("use_msrs")
    event = wire.msr_event(MSR_SYSENTER_CS, False, EXIT_REASON_FILTER, 0)
    vcpu.expect(event, "a read of an MSR")
    answer = wire.event_answer(0xFFFF_FFFF_1234_5678)
    # It comes again until it has the right answer.
    for wrong in (b"", answer[:8], answer[:-1], answer + b"\0"):
        vcpu.send(wire.resume(wrong))
        vcpu.expect(wire.vcpu_error(errno.EINVAL) + event, "the event again")
    vcpu.send(wire.resume(answer))
    vcpu.writes(CONSOLE, struct.pack("<I", 0x12345678))
    vcpu.expect(wire.msr_event(MSR_SYSENTER_CS, True, EXIT_REASON_FILTER, 0x77), "a write of an MSR")
    vcpu.send(wire.resume(wire.event_answer()))
    vcpu.is_done(0x77)


def case_subscriptions():
    main = Machine().main
    for exits in (16, 31, 1 << 31, 2**32 - 1):
        main.refused(wire.subscribe_exits(exits), errno.EINVAL)
    for exits in (15, 1, 0):
        main.ok(wire.subscribe_exits(exits), "subscribe_exits")


def begin_triple_fault(machine):
    """An invalid instruction, with a table of no interrupt descriptor."""
    vcpu, entry = machine.begin_routine("fail")
    sregs = bytearray(entry["sregs"])
    # idt, behind eight segments and the gdt: base, limit
    struct.pack_into("<QH", sregs, 8 * 24 + 16, 0, 0)
    vcpu.send(wire.resume(regs=entry["regs"], sregs=bytes(sregs)))
    return vcpu


def case_shutdown_event():
    machine = Machine()
    machine.main.ok(wire.subscribe_exits(EXIT_SHUTDOWN), "subscribe_exits")
    vcpu = begin_triple_fault(machine)
    vcpu.expect(wire.shutdown_event(), "a triple fault")
    vcpu.send(wire.resume())
    vcpu.expect(wire.vcpu_error(errno.EINVAL) + wire.shutdown_event(), "the event again")
    registers = vcpu.entry()
    registers["regs"] = registers["regs"][:128] + struct.pack("<QQ", machine.routine("write_pages"), 2)
    vcpu.send(wire.resume(wire.event_answer(action=1), **registers))
    vcpu.is_done(0)


def case_no_event_of_additions():
    """A client that asked for none of them: its VM ends as ever."""
    machine = Machine()
    vcpu = begin_triple_fault(machine)
    try:
        equal(os.read(vcpu.read_fd, 65536), b"", "at a triple fault")
    except ConnectionResetError:
        pass
    machine.is_told_to_exit()


def case_get_end():
    machine = Machine()
    machine.main.refused(wire.get_end(), errno.EAGAIN)
    vcpu = machine.start_at_console()
    machine.main.refused(wire.get_end(), errno.EAGAIN)
    vcpu.send(GARBAGE)
    vcpu.ends()
    machine.is_told_to_exit()
    body = machine.main.query(wire.get_end(), "get_end")
    end = wire.read(body, {1: "reason", 2: "value", 3: "cpu", 4: "text"})
    equal((end["reason"], end.get("cpu", 0)), (END_PROTOCOL_ERROR, 0), "why the VM ends")
    assert b"a request of 12 bytes does not decode" in end["text"], end["text"]


def case_additions_before_init():
    vcpu = Machine().start()
    for (message, name), request in wire.load_golden().items():
        if message == "VcpuRequest" and wire.fields(request)[0][0] >= 100:
            vcpu.refused(request, errno.EPROTO)
    vcpu.send(wire.resume(**vcpu.begin()))
    vcpu.comes_to_console()


def case_additions_while_running():
    """Their refusals come before the next event."""
    first, second, entry = Machine(2).start_at_barrier()
    requests = [
        request
        for (message, _), request in wire.load_golden().items()
        if message == "VcpuRequest" and wire.fields(request)[0][0] >= 100
    ]
    for request in requests:
        first.send(request)
    second.send(wire.resume(**entry))
    for _ in requests:
        first.expect(wire.vcpu_error(errno.EBUSY))
    first.writes(CONSOLE, b"A")
