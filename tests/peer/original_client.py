#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A plugin that speaks the wire by hand, as a client of the original library does, and as none would.

usage: plugvm run -- original_client.py CASE GUEST

Run by test_original_client.py, which knows how plugvm has to end in each case. What the host sends is compared byte
by byte with what the protocol says. The last line on stderr tells that a case got to its end.
"""

import array
import errno
import fcntl
import mmap
import os
import select
import signal
import socket
import struct
import sys

sys.dont_write_bytecode = True

import wire
from tap import equal

# The same numbers as in guest.asm.
LOAD_ADDRESS, PAGE = 0x1000, 0x1000
CONSOLE, DONE, DEVICE = 0x3F8, 0x604, 0xD000
TEXT = b"sixteen bytes..."

# The original library's own.
RESPONSE_BYTES, RESPONSE_FDS = 256 * 1024, 32

# The host's, src/wire/limits.h.
REQUEST_BYTES, VCPU_REQUEST_BYTES, CONNECTIONS, MEMORY_SLOTS = 131072, 65536, 64, 509
STALE_REQUESTS = 64

GIB = 1 << 30
SEAL_SHRINK, SEAL_WRITE = 0x2, 0x8
GARBAGE = b"\xff" * 12

STATE_BYTES = {
    wire.REGS: 144,
    wire.SREGS: 312,
    wire.FPU: 416,
    wire.DEBUGREGS: 128,
    wire.LAPIC: 1024,
    wire.MP: 4,
    wire.XCREGS: 392,
    wire.EVENTS: 64,
}


# ---- A client ----


class Connection:
    """A main connection."""

    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)
        self.socket.settimeout(20)

    def send(self, data, fds=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([data], control)

    def receive(self):
        data, control, flags, _ = self.socket.recvmsg(RESPONSE_BYTES, socket.CMSG_LEN(4 * RESPONSE_FDS))
        assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC), f"recvmsg flags {flags:#x}"
        fds = array.array("i")
        for _, _, rights in control:
            fds.frombytes(rights)
        return data, list(fds)

    def ask(self, data, fds=()):
        self.send(data, fds)
        return self.receive()

    def ok(self, request, member, fds=(), fd_count=0, body=b""):
        """Ask, want success in just these bytes, and return the fds."""
        answer, got = self.ask(request, fds)
        equal(answer, wire.main_response(member, body), member)
        equal(len(got), fd_count, f"fds of {member}")
        return got

    def refused(self, request, code, fds=()):
        answer, got = self.ask(request, fds)
        equal((answer.hex(" "), got), (wire.main_error(code).hex(" "), []), f"{code} for {request[:40].hex(' ')}")

    def lives(self):
        """KVM_CAP_USER_MEMORY (3) is there in every KVM."""
        self.ok(wire.check_extension(3), "check_extension", body=wire.number(1, True))

    def is_dropped(self):
        try:
            equal(self.receive(), (b"", []), "at the end of a connection")
        except ConnectionResetError:
            pass

    def host_fds(self):
        """How many the host has open. It closes those of a reply after it was sent: hence a request first."""
        self.lives()
        return len(os.listdir(f"/proc/{os.getppid()}/fd"))

    def clone(self):
        return Connection(self.ok(wire.new_connection(), "new_connection", fd_count=1)[0])

    def close(self):
        self.socket.close()


class Vcpu:
    """The two ends of a vCPU channel."""

    def __init__(self, write_fd, read_fd):
        self.write_fd, self.read_fd = write_fd, read_fd

    def send(self, request):
        equal(os.write(self.write_fd, request), len(request), "write")

    def receive(self):
        """One frame; the original needs it whole in one read."""
        data = os.read(self.read_fd, RESPONSE_BYTES)
        assert data, "the channel has ended"
        frames = wire.read_frames(data)
        equal(len(frames), 1, "frames in one read")
        return frames[0]

    def expect(self, body, what="the next frame"):
        equal(self.receive(), body, what)

    def refused(self, request, code):
        self.send(request)
        self.expect(wire.vcpu_error(code), f"the refusal of {request[:40].hex(' ')}")

    def has_frame(self, timeout_ms):
        poll = select.poll()
        poll.register(self.read_fd, select.POLLIN)
        return bool(poll.poll(timeout_ms))

    def ends(self):
        try:
            while os.read(self.read_fd, RESPONSE_BYTES):
                pass
        except ConnectionResetError:
            pass

    def wait(self):
        self.send(wire.wait())
        self.expect(wire.init_event(), "INIT")

    def get_state(self, state_set):
        self.send(wire.get_state(state_set))
        code, member, body = wire.read_vcpu_response(self.receive())
        equal((code, member), (0, "get_state"), f"state set {state_set}")
        state = wire.read(body, {1: "state"})["state"]
        equal(len(state), STATE_BYTES[state_set], f"bytes of state set {state_set}")
        return state

    def set_state(self, state_set, state):
        self.send(wire.set_state(state_set, state))
        self.expect(wire.vcpu_response("set_state"), "set_state")

    def entry(self):
        """The registers with which the vCPU begins at LOAD_ADDRESS in real mode."""
        sregs = bytearray(self.get_state(wire.SREGS))
        struct.pack_into("<Q", sregs, 0, 0)  # cs.base
        struct.pack_into("<H", sregs, 12, 0)  # cs.selector
        return {"regs": make_regs(), "sregs": bytes(sregs)}

    def begin(self):
        self.wait()
        # A second vCPU waits for a startup interrupt otherwise.
        self.set_state(wire.MP, struct.pack("<I", 0))
        return self.entry()

    def writes(self, port, data, echo=True):
        self.expect(wire.io_event(wire.IOPORT, port, True, data), f"a write to {port:#x}")
        # What the original's library does: its answer is the access's first bytes, also for a write.
        self.send(wire.resume(data[:8] if echo else b""))

    def reads(self, port, answer):
        self.expect(wire.io_event(wire.IOPORT, port, False, bytes(len(answer))), f"a read of {port:#x}")
        self.send(wire.resume(answer))

    def comes_to_console(self):
        """The guest's first access; not resumed."""
        self.expect(wire.io_event(wire.IOPORT, CONSOLE, True, b"A"), "the guest's first write")


def make_regs(rip=LOAD_ADDRESS):
    return struct.pack("<18Q", *[0] * 16, rip, 2)


def make_memfd(size, seals=SEAL_SHRINK):
    fd = os.memfd_create("guest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


class Machine:
    """What a plugin has after set-up: one page of memory with the guest, the ports, the vCPUs."""

    def __init__(self, vcpu_count=1):
        self.main = Connection(int(os.environ["CROSVM_SOCKET"]))
        fds = self.main.ok(wire.get_vcpus(), "get_vcpus", fd_count=2 * vcpu_count)
        self.vcpus = [Vcpu(*fds[i : i + 2]) for i in range(0, len(fds), 2)]
        self.shutdown = self.main.ok(wire.get_shutdown_eventfd(), "get_shutdown_eventfd", fd_count=1)[0]

    def load(self):
        with open(sys.argv[2], "rb") as file:
            guest = file.read()
        fd = make_memfd(PAGE)
        self.memory = mmap.mmap(fd, PAGE)
        self.memory[: len(guest)] = guest
        self.main.ok(wire.create_memory(0, 0, LOAD_ADDRESS, PAGE), "create", fds=[fd])
        os.close(fd)
        for space, start, length in ((wire.IOPORT, CONSOLE, 8), (wire.IOPORT, DONE, 1), (wire.MMIO, DEVICE, 16)):
            self.main.ok(wire.reserve_range(space, start, length), "reserve_range")

    def start(self):
        self.load()
        self.main.ok(wire.start(), "start")
        return self.vcpus[0]

    def start_at_console(self):
        """The vCPU has an event that waits for its answer."""
        vcpu = self.start()
        vcpu.send(wire.resume(**vcpu.begin()))
        vcpu.comes_to_console()
        return vcpu

    def start_at_barrier(self):
        """With two vCPUs: the first was resumed and does not run before the second is."""
        first = self.start()
        second = self.vcpus[1]
        entries = [vcpu.begin() for vcpu in (first, second)]
        first.send(wire.resume(**entries[0]))
        return first, second, entries[1]

    def is_told_to_exit(self):
        equal(os.read(self.shutdown, 8), struct.pack("<Q", 1), "the shutdown eventfd")


def be_killed():
    """The host has to end this plugin, whatever it waits for."""
    through()
    while True:
        signal.pause()


def through():
    print(f"case {sys.argv[1]} is through", file=sys.stderr, flush=True)


# ---- Cases: a correct client ----


def run_guest(machine, vcpu):
    """Everything that guest.asm does, from its first access."""
    vcpu.writes(CONSOLE, b"A")
    vcpu.reads(CONSOLE, b"\x5a")
    vcpu.writes(CONSOLE + 1, b"\x5a\x12")
    vcpu.reads(CONSOLE + 4, b"\x78\x56\x34\x12")
    vcpu.writes(CONSOLE + 4, b"\x78\x56\x34\x12")
    text_at = bytes(machine.memory).index(TEXT)
    moved = 0
    while moved < len(TEXT):
        moved += string_write(vcpu, TEXT[moved:])
    answer = bytes(range(0xA0, 0xA0 + len(TEXT)))
    moved = 0
    while moved < len(answer):
        moved += string_read(vcpu, answer[moved:])
    vcpu.writes(CONSOLE, b"\0")
    equal(machine.memory[text_at + len(TEXT) : text_at + 2 * len(TEXT)], answer, "what rep insb stored")
    vcpu.expect(wire.io_event(wire.MMIO, DEVICE, True, b"\xef\xbe"), "an MMIO write")
    vcpu.send(wire.resume(b"\xef\xbe"))
    vcpu.expect(wire.io_event(wire.MMIO, DEVICE + 8, False, bytes(4)), "an MMIO read")
    vcpu.send(wire.resume(b"\1\2\3\4"))
    vcpu.expect(wire.io_event(wire.MMIO, DEVICE + 8, True, b"\1\2\3\4"), "an MMIO write of what was read")
    vcpu.send(wire.resume())
    vcpu.expect(wire.io_event(wire.IOPORT, DONE, True, b"\1"), "the last write")


def io_data(event):
    """The length of an event's data, which alone says how many bytes a string instruction moves at once."""
    _, member, body = wire.read_vcpu_response(event)
    equal(member, "wait")
    return wire.read(wire.read(body, wire.EXITS)["io"], wire.IO_FIELDS)["data"]


def string_write(vcpu, rest):
    event = vcpu.receive()
    size = len(io_data(event))
    equal(event, wire.io_event(wire.IOPORT, CONSOLE, True, rest[:size]), "rep outsb")
    vcpu.send(wire.resume(rest[: min(size, 8)]))
    return size


def string_read(vcpu, rest):
    event = vcpu.receive()
    size = len(io_data(event))
    equal(event, wire.io_event(wire.IOPORT, CONSOLE, False, bytes(size)), "rep insb")
    vcpu.send(wire.resume(rest[:size]))
    return size


def case_life():
    machine = Machine()
    vcpu = machine.start()
    vcpu.send(wire.resume(**vcpu.begin()))
    run_guest(machine, vcpu)


def case_registers_by_set_state():
    """Instead of with the resume."""
    machine = Machine()
    vcpu = machine.start()
    entry = vcpu.begin()
    vcpu.set_state(wire.SREGS, entry["sregs"])
    vcpu.set_state(wire.REGS, entry["regs"])
    equal(vcpu.get_state(wire.REGS), entry["regs"], "REGS after they were set")
    vcpu.send(wire.resume())
    run_guest(machine, vcpu)


def case_two_vcpus():
    machine = Machine(2)
    first, second, entry = machine.start_at_barrier()
    assert not first.has_frame(100), "a vCPU runs before all were resumed from INIT"
    second.send(wire.resume(**entry))
    # Both run the same code; what each does with the text is its own, the buffer is not looked at.
    for vcpu in (first, second):
        vcpu.writes(CONSOLE, b"A")
        vcpu.reads(CONSOLE, b"\x5a")
        vcpu.writes(CONSOLE + 1, b"\x5a\x12", echo=False)


def case_sixteen_vcpus():
    """As many as an original client takes."""
    machine = Machine(16)
    machine.start()
    for vcpu in machine.vcpus:
        vcpu.wait()


def case_every_state_set():
    vcpu = Machine().start_at_console()
    for state_set in STATE_BYTES:
        vcpu.set_state(state_set, vcpu.get_state(state_set))
    vcpu.send(wire.resume())
    vcpu.reads(CONSOLE, b"\x5a")


def case_start_before_connections_close():
    """The VM needs no connection once it is started."""
    machine = Machine()
    other = machine.main.clone()
    vcpu = machine.start()
    other.close()
    machine.main.close()
    vcpu.send(wire.resume(**vcpu.begin()))
    run_guest(machine, vcpu)


def case_ranges_while_running():
    machine = Machine()
    vcpu = machine.start_at_console()
    machine.main.ok(wire.reserve_range(wire.IOPORT, CONSOLE, 0), "reserve_range")
    machine.main.ok(wire.reserve_range(wire.IOPORT, CONSOLE + 4, 4), "reserve_range")
    # 0x3f8 and 0x3f9 are nobody's now: the next that is seen is the read of 0x3fc.
    vcpu.send(wire.resume())
    vcpu.reads(CONSOLE + 4, b"\x78\x56\x34\x12")
    vcpu.writes(CONSOLE + 4, b"\x78\x56\x34\x12")


# ---- Cases: values that are refused, and the connection lives ----


def case_memory_values():
    main = Machine().main
    fd = make_memfd(4 * PAGE)
    main.refused(wire.create_memory(1, 0, PAGE, PAGE), errno.EBADF)
    wraps = 2**64 - PAGE
    for code, offset, start, length in (
        (errno.EINVAL, 1, PAGE, PAGE),
        (errno.EINVAL, 0, PAGE + 1, PAGE),
        (errno.EINVAL, 0, PAGE, PAGE - 1),
        (errno.EINVAL, 0, PAGE, 0),
        (errno.EINVAL, 0, PAGE, 5 * PAGE),
        (errno.EINVAL, 4 * PAGE, PAGE, PAGE),
        (errno.EOVERFLOW, wraps, PAGE, 2 * PAGE),
        (errno.EOVERFLOW, 0, wraps, 2 * PAGE),
        (errno.EINVAL, 0, 1 << 52, PAGE),
    ):
        main.refused(wire.create_memory(1, offset, start, length), code, [fd])
    main.ok(wire.create_memory(1, 0, PAGE, 2 * PAGE), "create", [fd])
    main.refused(wire.create_memory(1, 0, 8 * PAGE, PAGE), errno.EEXIST, [fd])
    main.refused(wire.create_memory(2, 0, 2 * PAGE, PAGE), errno.EEXIST, [fd])
    main.refused(wire.destroy(2), errno.ENOENT)
    main.ok(wire.destroy(1), "destroy")
    main.refused(wire.destroy(1), errno.ENOENT)


def case_memory_files():
    main = Machine().main
    before = main.host_fds()
    for code, fd in (
        (errno.EPERM, make_memfd(PAGE, 0)),
        (errno.EPERM, make_memfd(PAGE, SEAL_SHRINK | SEAL_WRITE)),
        (errno.EINVAL, os.pipe()[0]),
        (errno.EINVAL, os.open("/dev/zero", os.O_RDWR)),
        (errno.EINVAL, socket.socketpair()[0].detach()),
        (errno.EINVAL, os.open("/", os.O_RDONLY)),
    ):
        main.refused(wire.create_memory(1, 0, PAGE, PAGE), code, [fd])
    read_only = make_memfd(PAGE, SEAL_SHRINK | SEAL_WRITE)
    main.ok(wire.create_memory(1, 0, PAGE, PAGE, read_only=True), "create", [read_only])
    equal(main.host_fds(), before, "fds of the host")


def case_memory_quota():
    """Of bytes: 64 GiB in all, and a sparse file is as good as any."""
    main = Machine().main
    main.ok(wire.create_memory(1, 0, GIB, 20 * GIB), "create", [make_memfd(20 * GIB)])
    large = make_memfd(1 << 40)
    main.refused(wire.create_memory(2, 0, 32 * GIB, 44 * GIB + PAGE), errno.ENOSPC, [large])
    main.refused(wire.create_memory(2, 0, 32 * GIB, 1 << 40), errno.ENOSPC, [large])
    main.ok(wire.destroy(1), "destroy")


def case_memory_slots():
    main = Machine().main
    fd = make_memfd(PAGE)
    for index in range(MEMORY_SLOTS):
        main.ok(wire.create_memory(index, 0, index * PAGE, PAGE), "create", [fd])
    main.refused(wire.create_memory(MEMORY_SLOTS, 0, MEMORY_SLOTS * PAGE, PAGE), errno.ENOSPC, [fd])
    main.ok(wire.destroy(7), "destroy")
    main.ok(wire.create_memory(MEMORY_SLOTS, 0, MEMORY_SLOTS * PAGE, PAGE), "create", [fd])


def case_range_values():
    main = Machine().main
    main.ok(wire.reserve_range(wire.MMIO, 0x1000, 0x1000), "reserve_range")
    for code, space, start, length in (
        (errno.EPERM, wire.MMIO, 0x1FFF, 1),
        (errno.EPERM, wire.MMIO, 0xFFF, 2),
        (errno.EPERM, wire.MMIO, 0, 0x10000),
        (errno.ENOENT, wire.MMIO, 0x1001, 0),
        (errno.ENOENT, wire.IOPORT, 0x1000, 0),
        (errno.EINVAL, wire.MMIO, 2**64 - 1, 2),
        (errno.EINVAL, wire.IOPORT, 0x10000, 1),
        (errno.EINVAL, wire.IOPORT, 0xFFFF, 2),
        (errno.EINVAL, 2, 0, 1),
        (errno.EINVAL, 2**32 - 1, 0, 1),
    ):
        main.refused(wire.reserve_range(space, start, length), code)
    for space, start, length in ((wire.MMIO, 2**64 - 1, 1), (wire.IOPORT, 0xFFFF, 1), (wire.MMIO, 0x1000, 0)):
        main.ok(wire.reserve_range(space, start, length), "reserve_range")


def case_unserved_requests():
    main = Machine().main
    for request in (
        wire.create_io_event(1, wire.IOPORT, CONSOLE, 1),
        wire.create_irq_event(1, 5),
        wire.get_supported_cpuid(),
        wire.get_emulated_cpuid(),
        wire.get_msr_index_list(),
        wire.get_net_config(),
        wire.reserve_range(wire.MMIO, 0x1000, 0x1000, async_write=True),
        wire.set_irq(4, True),
        wire.set_irq_routing(wire.msi_route(24, 0xFEE00000, 0x41)),
        wire.get_vm_state(wire.PIC0),
        wire.set_vm_state(wire.CLOCK, bytes(48)),
        wire.set_identity_map_addr(0xFFFBC000),
        wire.pause_vcpus(1, 2),
        wire.set_call_hint(wire.IOPORT, CONSOLE, True),
        wire.dirty_log(0),
    ):
        main.refused(request, errno.ENOSYS)


def case_unknown_messages():
    main = Machine().main
    for request in (wire.member(100), wire.member(200, wire.number(1, 1)), wire.number(1000, 1), wire.create(1, b"")):
        main.refused(request, errno.ENOTTY)
    # A constructor of the future, with an fd along.
    before = main.host_fds()
    main.refused(wire.create(1, wire.member(9)), errno.ENOTTY, [make_memfd(PAGE)])
    equal(main.host_fds(), before, "fds of the host")
    main.lives()


def case_unknown_fields():
    """They are ignored, wherever they are."""
    main = Machine().main
    strange = wire.number(77, 5) + wire.blob(78, b"strange") + wire.fixed32(79, b"four")
    yes = wire.number(1, True)
    main.ok(wire.member(5, wire.number(1, 3), strange), "check_extension", body=yes)
    main.ok(strange + wire.check_extension(3), "check_extension", body=yes)
    main.ok(wire.check_extension(3) + strange, "check_extension", body=yes)
    # Of two members, the last counts.
    main.ok(wire.start() + wire.check_extension(3), "check_extension", body=yes)


def case_twice():
    machine = Machine()
    machine.main.refused(wire.get_vcpus(), errno.EALREADY)
    machine.main.clone().refused(wire.get_vcpus(), errno.EALREADY)
    machine.start()
    machine.main.refused(wire.start(), errno.EINVAL)
    machine.main.clone().refused(wire.start(), errno.EINVAL)


def case_surplus_fds():
    main = Machine().main
    fd = make_memfd(PAGE)
    before = main.host_fds()
    memory = wire.create_memory(1, 0, PAGE, PAGE)
    for request, count in ((memory, 2), (memory, 3), (memory, 253), (wire.check_extension(3), 1), (wire.start(), 253)):
        main.refused(request, errno.EINVAL, [fd] * count)
    equal(main.host_fds(), before, "fds of the host")
    main.ok(memory, "create", [fd])


def case_overlong_packet():
    main = Machine().main
    before = main.host_fds()
    request = wire.check_extension(3)
    # A strange field's tag takes two bytes and its length three.
    padding = REQUEST_BYTES - len(request) - 5
    longest = request + wire.blob(77, bytes(padding))
    equal(len(longest), REQUEST_BYTES, "the longest packet")
    overlong = request + wire.blob(77, bytes(padding + 1))
    main.refused(overlong, errno.EMSGSIZE)
    main.refused(overlong, errno.EMSGSIZE, [make_memfd(PAGE)])
    main.ok(longest, "check_extension", body=wire.number(1, True))
    equal(main.host_fds(), before, "fds of the host")


def case_connections():
    main = Machine().main
    clones = [main.clone() for _ in range(CONNECTIONS - 1)]
    main.refused(wire.new_connection(), errno.ENOSPC)
    for clone in clones:
        clone.lives()
    clones[5].close()
    # The host learns of it in the same loop as of the next request, but in which order is its business.
    while True:
        answer, fds = main.ask(wire.new_connection())
        if answer != wire.main_error(errno.ENOSPC):
            break
    equal((answer, len(fds)), (wire.main_response("new_connection"), 1))


# ---- Cases: packets that cost the connection, and not the VM ----


def loses_connection(bad, fds=()):
    machine = Machine()
    victim = machine.main.clone()
    before = machine.main.host_fds()
    victim.send(bad, fds)
    victim.is_dropped()
    machine.main.lives()
    equal(machine.main.host_fds(), before - 1, "fds of the host")
    vcpu = machine.start()
    vcpu.send(wire.resume(**vcpu.begin()))
    run_guest(machine, vcpu)


def case_empty_packet():
    loses_connection(b"")


def case_garbage():
    loses_connection(GARBAGE)


def case_garbage_with_fds():
    loses_connection(GARBAGE, [make_memfd(PAGE), make_memfd(PAGE)])


def case_length_that_lies():
    loses_connection(b"\x2a\x7f\x08\x03")


def case_never_reads_replies():
    machine = Machine()
    rude = machine.main.clone()
    try:
        while True:
            rude.send(wire.check_extension(3))
    except (BrokenPipeError, ConnectionResetError):
        pass
    machine.main.lives()
    vcpu = machine.start()
    vcpu.send(wire.resume(**vcpu.begin()))
    run_guest(machine, vcpu)


# ---- Cases: vCPU requests that are refused, and the VM lives ----


def case_before_init():
    vcpu = Machine().start()
    for request in (wire.resume(), wire.get_state(wire.REGS), wire.enable_capability(1), wire.set_cpuid()):
        vcpu.refused(request, errno.EPROTO)
    vcpu.refused(wire.member(100), errno.ENOTTY)
    vcpu.wait()
    vcpu.refused(wire.wait(), errno.EPROTO)
    vcpu.send(wire.resume(**vcpu.entry()))
    vcpu.comes_to_console()


def case_vcpu_values():
    vcpu = Machine().start_at_console()
    for request in (
        wire.get_state(8),
        wire.get_state(2**32 - 1),
        wire.set_state(8, bytes(4)),
        wire.set_state(wire.REGS, bytes(143)),
        wire.set_state(wire.REGS, bytes(145)),
        wire.set_state(wire.SREGS, b""),
    ):
        vcpu.refused(request, errno.EINVAL)
    for request in (
        wire.get_msrs(0x10),
        wire.set_msrs((0x10, 0)),
        wire.set_cpuid(wire.cpuid_entry(function=1)),
        wire.get_hyperv_cpuid(),
        wire.enable_capability(123),
    ):
        vcpu.refused(request, errno.ENOSYS)
    vcpu.refused(wire.member(100), errno.ENOTTY)
    vcpu.refused(wire.number(77, 1), errno.ENOTTY)
    vcpu.refused(wire.wait(), errno.EPROTO)
    vcpu.send(wire.resume() + wire.number(77, 1))
    vcpu.reads(CONSOLE, b"\x5a")
    vcpu.writes(CONSOLE + 1, b"\x5a\x12")


def case_resume_data_length():
    vcpu = Machine().start_at_console()
    vcpu.send(wire.resume(b"A"))
    event = wire.io_event(wire.IOPORT, CONSOLE, False, b"\0")
    vcpu.expect(event)
    for data in (b"", b"\x5a\x5b", bytes(8), bytes(4096)):
        vcpu.send(wire.resume(data))
        vcpu.expect(wire.vcpu_error(errno.EINVAL) + event, f"the event again after {len(data)} bytes")
    vcpu.send(wire.resume(b"\x5a"))
    vcpu.writes(CONSOLE + 1, b"\x5a\x12")


def case_resume_registers():
    """Registers of the wrong length, or that KVM does not take: none of them is set, not even the good ones."""
    vcpu = Machine().start_at_console()
    event = wire.vcpu_error(errno.EINVAL) + wire.io_event(wire.IOPORT, CONSOLE, True, b"A")
    before = vcpu.get_state(wire.REGS), vcpu.get_state(wire.SREGS)
    elsewhere = make_regs(0x8000)
    other_gdt = bytearray(before[1])
    struct.pack_into("<Q", other_gdt, 8 * 24, 0x1000)
    paging_alone = bytearray(before[1])
    cr0_at = 8 * 24 + 2 * 16
    struct.pack_into("<Q", paging_alone, cr0_at, 0x80000000)
    bad_debugregs = bytearray(vcpu.get_state(wire.DEBUGREGS))
    struct.pack_into("<Q", bad_debugregs, 5 * 8, 1 << 40)  # dr7
    for request in (
        wire.resume(regs=elsewhere[:-1]),
        wire.resume(regs=elsewhere, sregs=bytes(311)),
        wire.resume(regs=elsewhere, sregs=bytes(paging_alone)),
        wire.resume(regs=elsewhere, sregs=bytes(other_gdt), debugregs=bytes(bad_debugregs)),
    ):
        vcpu.send(request)
        vcpu.expect(event)
        equal((vcpu.get_state(wire.REGS), vcpu.get_state(wire.SREGS)), before, "registers after a refused resume")
    vcpu.send(wire.resume())
    vcpu.reads(CONSOLE, b"\x5a")


def case_requests_while_running():
    """Their refusals come before the next event."""
    first, second, entry = Machine(2).start_at_barrier()
    for request in (wire.get_state(wire.REGS), wire.set_state(wire.REGS, make_regs(0)), wire.get_msrs(1)):
        first.send(request)
    first.send(wire.wait())
    first.send(wire.member(100))
    second.send(wire.resume(**entry))
    for code in (errno.EBUSY, errno.EBUSY, errno.EBUSY, errno.EPROTO, errno.ENOTTY):
        first.expect(wire.vcpu_error(code))
    first.writes(CONSOLE, b"A")
    first.reads(CONSOLE, b"\x5a")


def case_nonblocking_ends():
    """The plugin's file flags are the plugin's: the host still waits, for a request and for room."""
    machine = Machine()
    vcpu = machine.start_at_console()
    for fd in (vcpu.write_fd, vcpu.read_fd, machine.main.socket.fileno(), machine.shutdown):
        os.set_blocking(fd, False)
    assert not vcpu.has_frame(50), "the host did not wait for the answer"
    for _ in range(3):
        vcpu.send(wire.get_state(wire.LAPIC))
        assert vcpu.has_frame(20000), "no reply"
        vcpu.receive()
    vcpu.send(wire.resume())
    assert vcpu.has_frame(20000), "no event"
    vcpu.reads(CONSOLE, b"\x5a")
    machine.main.socket.settimeout(20)
    machine.main.lives()


# ---- Cases: what ends the VM ----


def ends_the_vm(bad):
    machine = Machine()
    vcpu = machine.start_at_console()
    vcpu.send(bad)
    vcpu.ends()
    machine.is_told_to_exit()
    machine.main.refused(wire.start(), errno.EINVAL)


def case_vcpu_garbage():
    ends_the_vm(GARBAGE)


def case_vcpu_overlong():
    ends_the_vm(wire.resume(bytes(VCPU_REQUEST_BYTES)))


def case_vcpu_shutdown_message():
    ends_the_vm(wire.shutdown())


def case_vcpu_empty_packet():
    """No different from a closed channel."""
    machine = Machine()
    vcpu = machine.start_at_console()
    vcpu.send(b"")
    vcpu.ends()
    machine.is_told_to_exit()
    be_killed()


def case_vcpu_fds():
    machine = Machine()
    vcpu = machine.start_at_console()
    before = machine.main.host_fds()
    with socket.socket(fileno=os.dup(vcpu.write_fd)) as channel:
        rights = array.array("i", [make_memfd(PAGE)])
        channel.sendmsg([wire.resume()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    vcpu.ends()
    machine.is_told_to_exit()
    assert machine.main.host_fds() <= before


def case_resume_twice():
    first, second, entry = Machine(2).start_at_barrier()
    first.send(wire.resume())
    second.send(wire.resume(**entry))
    first.ends()
    second.ends()


def case_requests_without_end():
    first, second, entry = Machine(2).start_at_barrier()
    for _ in range(STALE_REQUESTS + 1):
        first.send(wire.get_state(wire.REGS))
    second.send(wire.resume(**entry))
    first.ends()
    second.ends()


def closes(which):
    machine = Machine()
    vcpu = machine.start_at_console()
    # An unread frame behind, so that the host's next send meets an end that is closed.
    if which == "read_fd":
        os.close(vcpu.read_fd)
        vcpu.send(wire.get_state(wire.REGS))
    else:
        os.close(vcpu.write_fd)
    machine.is_told_to_exit()
    be_killed()


def case_close_write_end():
    closes("write_fd")


def case_close_read_end():
    closes("read_fd")


def case_close_and_exit():
    """What the plugin's exit status says explains it better."""
    machine = Machine()
    vcpu = machine.start_at_console()
    os.close(vcpu.write_fd)
    machine.is_told_to_exit()
    through()
    sys.exit(3)


def case_close_before_start():
    machine = Machine()
    machine.main.close()
    machine.is_told_to_exit()
    be_killed()


def case_never_answers():
    machine = Machine()
    machine.start_at_console()
    machine.is_told_to_exit()


def case_never_reads_events():
    """Requests without end, and none of their replies is read: the host's send has its limit too."""
    machine = Machine()
    vcpu = machine.start_at_console()
    os.set_blocking(vcpu.write_fd, False)
    poll = select.poll()
    poll.register(vcpu.write_fd, select.POLLOUT)
    poll.register(machine.shutdown, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll(20000)]
        assert ready, "the host waits for ever"
        if machine.shutdown in ready:
            break
        try:
            os.write(vcpu.write_fd, wire.get_state(wire.LAPIC))
        except (BlockingIOError, BrokenPipeError):
            pass


def case_full_eventfd():
    """The host's write to the eventfd that it shares with the plugin cannot go through; it ends nevertheless."""
    machine = Machine()
    vcpu = machine.start_at_console()
    os.write(machine.shutdown, struct.pack("<Q", 2**64 - 2))
    vcpu.send(GARBAGE)
    vcpu.ends()
    be_killed()


def main():
    # Whatever the host does, this process does not stay.
    signal.alarm(60)
    globals()["case_" + sys.argv[1]]()
    through()


if __name__ == "__main__":
    main()
