# SPDX-License-Identifier: BSD-3-Clause
"""A client that speaks the wire by hand: what a plugin has of it, for original_client.py and its cases."""

import array
import fcntl
import mmap
import os
import select
import signal
import socket
import struct
import sys

import wire
from tap import equal

# The same numbers as in guest.asm.
LOAD_ADDRESS, PAGE = 0x1000, 0x1000
CONSOLE, DONE, DEVICE = 0x3F8, 0x604, 0xD000
BELL, ASYNC, LOGGED = 0x500, 0x510, 0x4000
TEXT = b"sixteen bytes..."
ROUTINES_AT = 0xF00
ROUTINES = "ring interrupts on_irq on_msi spin write_pages asynchronous hypercall ask_cpuid use_msrs fail".split()

# The original library's own.
RESPONSE_BYTES, RESPONSE_FDS = 256 * 1024, 32

# The host's, src/wire/limits.h.
REQUEST_BYTES, VCPU_REQUEST_BYTES, CONNECTIONS, MEMORY_SLOTS = 131072, 65536, 64, 509
STALE_REQUESTS = 64

GIB = 1 << 30
SEAL_SHRINK, SEAL_WRITE = 0x2, 0x8
GARBAGE = b"\xff" * 12


# ---- A client ----


class Connection:
    """A main connection."""

    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)
        self.socket.settimeout(20)
        self.response_fds = RESPONSE_FDS

    def send(self, data, fds=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([data], control)

    def receive(self):
        data, control, flags, _ = self.socket.recvmsg(RESPONSE_BYTES, socket.CMSG_LEN(4 * self.response_fds))
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

    def query(self, request, member):
        """Ask, want success, and return the member's bytes."""
        answer, got = self.ask(request)
        code, name, body = wire.read_main_response(answer)
        equal((code, name, got), (0, member, []), member)
        return body

    def has(self, extension):
        return wire.read(self.query(wire.check_extension(extension), "check_extension"), {1: "has"}).get("has") == 1

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
        equal(len(state), wire.VCPU_STATE_BYTES[state_set], f"bytes of state set {state_set}")
        return state

    def set_state(self, state_set, state):
        self.ok(wire.set_state(state_set, state), "set_state")

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

    def is_done(self, al):
        """The guest has come to the end of a routine; not resumed."""
        self.expect(wire.io_event(wire.IOPORT, DONE, True, bytes([al])), "the routine's end")

    def ask(self, request):
        """Return (errno, member, body) of the reply."""
        self.send(request)
        return wire.read_vcpu_response(self.receive())

    def ok(self, request, member):
        self.send(request)
        self.expect(wire.vcpu_response(member), member)

    def comes_to_console(self):
        """The guest's first access; not resumed."""
        self.expect(wire.io_event(wire.IOPORT, CONSOLE, True, b"A"), "the guest's first write")


def make_regs(rip=LOAD_ADDRESS, rsp=0):
    """rax rbx rcx rdx rsi rdi rsp rbp r8 to r15 rip rflags"""
    return struct.pack("<18Q", *[0] * 6, rsp, *[0] * 9, rip, 2)


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
        self.memory = None

    def load(self):
        if self.memory:
            return
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

    def routine(self, name):
        """Where in the guest's memory a routine begins."""
        return struct.unpack_from("<H", self.memory, ROUTINES_AT + 2 * ROUTINES.index(name))[0]

    def begin_routine(self, name):
        """The vCPU stands at INIT; return it and the registers with which it begins there. The stack is what is left
        of the page."""
        vcpu = self.start()
        entry = vcpu.begin()
        entry["regs"] = make_regs(self.routine(name), LOAD_ADDRESS + ROUTINES_AT)
        return vcpu, entry

    def start_routine(self, name):
        vcpu, entry = self.begin_routine(name)
        vcpu.send(wire.resume(**entry))
        return vcpu

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


def cannot_run(reason):
    """For test_original_client.py, which skips the case."""
    print(f"case {sys.argv[1]} cannot run: {reason}", file=sys.stderr, flush=True)
    sys.exit(0)


def through():
    print(f"case {sys.argv[1]} is through", file=sys.stderr, flush=True)


# ---- The guest, from its first access ----


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
