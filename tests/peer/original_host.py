# SPDX-License-Identifier: BSD-3-Clause
"""The original host's part, played by hand to a client of our library (client_probe.c): requests are compared byte by
byte, and the vCPU channel is two pipes, as the original's was. And a life of such a client, call by call.
"""

import array
import errno
import fcntl
import os
import select
import socket
import struct
import subprocess
import termios
import time

import wire
from tap import equal

TIMEOUT_S = 30

# What the original host takes in one request.
REQUEST_BYTES, VCPU_REQUEST_BYTES = 4096, 262144

SREGS = bytes(8 * 24 + 2 * 16) + struct.pack("<Q", 0x60000010) + bytes(312 - 8 * 24 - 2 * 16 - 8)
REGS = struct.pack("<18Q", *[0] * 16, 0x1000, 0)

GOLDEN = wire.load_golden()

INIT = GOLDEN["VcpuResponse", "init"]
WRITE = GOLDEN["VcpuResponse", "io_port_write"]
READ = GOLDEN["VcpuResponse", "io_port_read"]
WRITE_LINE = "wait 0 port write 0x3f8 41"


def request(name):
    return GOLDEN["MainRequest", name]


def response(name):
    return GOLDEN["MainResponse", name]


def vcpu_request(name):
    return GOLDEN["VcpuRequest", name]


def member_of(data):
    """The member of a request's oneof: the last that it has."""
    return wire.fields(data)[-1][0]


def await_input(fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(TIMEOUT_S * 1000), "no request"


class Host:
    """Our ends, and the probe that has the others. A context, after which neither is left."""

    PROBE = None  # its path

    # Requests of a later API are refused, as the original host did, and noted.
    IS_ORIGINAL = True

    def __init__(self, *steps):
        self.steps = steps
        self.unknown = []
        self.main, plugin = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.main.settimeout(TIMEOUT_S)
        requests_read, requests_write = os.pipe()
        events_read, events_write = os.pipe()
        self.requests, self.events = requests_read, events_write
        self.plugin_ends = [requests_write, events_read]
        self.probe = subprocess.Popen(
            [self.PROBE, *steps],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            pass_fds=[plugin.fileno()],
            env={"CROSVM_SOCKET": str(plugin.fileno())},
            text=True,
        )
        plugin.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.die()
        if self.probe.poll() is None:
            self.probe.kill()
        self.probe.communicate()

    def die(self):
        self.main.close()
        for fd in [self.requests, self.events, *self.plugin_ends]:
            if fd >= 0:
                os.close(fd)
        self.requests = self.events = -1
        self.plugin_ends = []

    def receive(self, wanted, fd_count=0):
        """The next request; `wanted` None: whatever it is. One of a later API is refused, and is not the next."""
        while True:
            data, control, flags, _ = self.main.recvmsg(REQUEST_BYTES, socket.CMSG_LEN(4 * 4))
            assert not flags & socket.MSG_TRUNC, "a main request is longer than the original host takes"
            if not data or not self.IS_ORIGINAL or member_of(data) in wire.MAIN_REQUESTS:
                break
            self.unknown.append(data)
            self.send(wire.main_error(errno.ENOTTY))
        if wanted is not None:
            equal(data, wanted, "a main request")
        fds = array.array("i")
        for _, _, rights in control:
            fds.frombytes(rights)
        for fd in fds:
            os.close(fd)
        equal(len(fds), fd_count, "fds of a main request")

    def send(self, data, fds=()):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.main.sendmsg([data], rights)

    def answer_with(self, data, fds):
        """Send fds that are made for it, and close ours."""
        fds = list(fds)
        self.send(data, fds)
        for fd in fds:
            os.close(fd)

    def answer(self, wanted, reply, fds=(), fd_count=0):
        self.receive(wanted, fd_count)
        self.send(reply, fds)

    def connect(self):
        self.answer(request("get_vcpus"), response("get_vcpus"), self.plugin_ends)

    def vcpu_receive(self, wanted):
        """One read is one request: the original host does not put them together."""
        data = self.vcpu_read()
        while data is None:
            data = self.vcpu_read()
        if wanted is not None:
            equal(data, wanted, "a vCPU request")

    def vcpu_read(self):
        """A request, or None if it was one of a later API, which is refused."""
        await_input(self.requests)
        data = os.read(self.requests, VCPU_REQUEST_BYTES)
        if not data or not self.IS_ORIGINAL or member_of(data) in wire.VCPU_REQUESTS:
            return data
        self.unknown.append(data)
        self.vcpu_send(wire.vcpu_error(errno.ENOTTY))
        return None

    def vcpu_send(self, *bodies):
        """All in one write."""
        os.write(self.events, b"".join(wire.frame(body) for body in bodies))

    def vcpu_send_pieces(self, data, *positions):
        """Cut at the positions, each piece only when the one before it has been read."""
        begin = 0
        for end in [*positions, len(data)]:
            deadline = time.monotonic() + TIMEOUT_S
            while struct.unpack("i", fcntl.ioctl(self.plugin_ends[1], termios.FIONREAD, bytes(4)))[0]:
                assert time.monotonic() < deadline, "the client does not read"
                time.sleep(0.0005)
            os.write(self.events, data[begin:end])
            begin = end

    def to_init(self):
        self.connect()
        self.vcpu_receive(vcpu_request("wait"))
        self.vcpu_send(INIT)

    def to_write_event(self):
        """For a probe that begins with TO_WRITE."""
        self.to_init()
        self.vcpu_receive(vcpu_request("resume"))
        self.vcpu_send(WRITE)

    def ends(self, *lines):
        """The probe has said these lines, and exited."""
        output, _ = self.probe.communicate(timeout=TIMEOUT_S)
        equal(output.splitlines(), list(lines), f"what {' '.join(self.steps)} printed")
        equal(self.probe.returncode, 0, "the probe's exit status")
        # It asks once, and then the original host is left alone with what it does not know.
        assert self.unknown in ([], [wire.features()]), [data.hex(" ") for data in self.unknown]


TO_INIT = ["connect", "wait"]
TO_INIT_LINES = ["connect 0", "wait 0 kind 0"]
TO_WRITE = [*TO_INIT, "resume", "wait"]
TO_WRITE_LINES = [*TO_INIT_LINES, "resume 0", WRITE_LINE]


# ---- A life: every call of the API, and what it makes of the original host's answer ----


class Step:
    """One call of the client: what it sends, what it gets, what comes of it. None: nothing.

    needs: the step that made the handle which this one uses. local: the result has nothing to do with the host. fds:
    returns the fds of the answer.
    """

    def __init__(self, name, text="", sent=None, got=None, result=0, **more):
        self.name, self.sent, self.got = name, sent, got
        self.line = f"{name} {result}{text}"
        self.is_vcpu = more.pop("is_vcpu", True)
        self.fd_count = more.pop("fd_count", 0)
        self.fds = more.pop("fds", lambda host: [])
        self.needs = more.pop("needs", None)
        self.local = more.pop("local", False)
        assert not more, more

    def hear(self, host):
        if self.sent is None:
            return
        if self.is_vcpu:
            host.vcpu_receive(self.sent)
        else:
            host.receive(self.sent, self.fd_count)

    def await_sent(self, host):
        """Until it is there, without taking it."""
        if self.sent is not None:
            await_input(host.requests if self.is_vcpu else host.main)

    def say(self, host):
        if self.got is None:
            return
        if self.is_vcpu:
            host.vcpu_send(self.got)
        else:
            host.answer_with(self.got, self.fds(host))


def main_step(name, sent, got, text="", **more):
    return Step(name, text, sent=sent, got=got, is_vcpu=False, **more)


def command(name, sent, member, **more):
    """A main request whose answer says no more than that it was done."""
    return main_step(name, sent, wire.main_response(member), **more)


def local(name, result):
    return Step(name, result=result, local=True)


def eventfds(*values):
    return lambda host: [os.eventfd(value) for value in values]


def null_fd(host):
    return [os.open("/dev/null", os.O_RDWR)]


def socket_fd(host):
    return [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)[0].detach()]


def pattern(size):
    return bytes((7 * i + size) % 251 + 1 for i in range(size))


def ends_of(data):
    return f" {len(data)} {data[0]:02x} {data[-1]:02x}"


def vm_state(name, state_set, size):
    data = pattern(size)
    got = wire.main_response("get_state", wire.blob(1, data))
    return [
        main_step("get_" + name, wire.get_vm_state(state_set), got, ends_of(data)),
        command("set_" + name, wire.set_vm_state(state_set, data), "set_state"),
    ]


def state_reply(data):
    return wire.vcpu_response("get_state", wire.blob(1, data))


def get_vcpu_state(name, state_set, data, text=None):
    return Step("get_" + name, ends_of(data) if text is None else text, wire.get_state(state_set), state_reply(data))


def vcpu_state(name, state_set, size):
    """A set that is not deferred."""
    data = pattern(size)
    sent = wire.set_state(state_set, data)
    return [get_vcpu_state(name, state_set, data), Step("set_" + name, sent=sent, got=wire.vcpu_response("set_state"))]


DEBUGREGS = pattern(128)
LONGEST_ROUTING = wire.set_irq_routing(
    wire.irqchip_route(1, 2, 1), *(wire.msi_route(24 + i, 0xFEE00000, 0x41) for i in range(279))
)
ENTRY_TEXT = " of 1, 80000001/2 flags 1: 1 2 3 4"

VM_STATES = [("pic0", 0, 16), ("pic1", 1, 16), ("ioapic", 2, 216), ("pit", 3, 112), ("clock", 4, 48)]
VCPU_STATES = [("fpu", 2, 416), ("lapic", 4, 1024), ("mp", 5, 4), ("xcrs", 6, 392), ("events", 7, 64)]

MAIN_LIFE = [
    command("new_connection", request("new_connection"), "new_connection", fds=socket_fd),
    main_step("extension", request("check_extension"), response("check_extension_yes"), " yes"),
    command("eventfd", request("get_shutdown_eventfd"), "get_shutdown_eventfd", fds=eventfds(1)),
    local("vm_capability", -errno.EINVAL),
    command("logged_memory", wire.create_memory(0, 0, 0x1000, 0x9000, True, True), "create", fd_count=1),
    main_step(
        "dirty_log",
        wire.dirty_log(0),
        wire.main_response("dirty_log", wire.blob(1, b"\2\1")),
        " 02 01 ee",
        needs="logged_memory",
    ),
    command("reserve", request("reserve_port"), "reserve_range"),
    command("reserve_async", request("reserve_mmio_async"), "reserve_range"),
    local("reserve_nowhere", -errno.EINVAL),
    main_step(
        "io_event",
        wire.create_io_event(1, wire.MMIO, 0x1000, 4, 0xDEADBEEF),
        response("create"),
        " close-on-exec",
        fds=eventfds(0),
    ),
    command("destroy_io_event", wire.destroy(1), "destroy", needs="io_event"),
    command("io_event_any", wire.create_io_event(2, wire.IOPORT, 0x3F8, 0), "create", fds=eventfds(0)),
    main_step(
        "irq_event", wire.create_irq_event(3, 5, resample=True), response("create"), " 7 9", fds=eventfds(7, 9)
    ),
    command("destroy_irq_event", wire.destroy(3), "destroy", needs="irq_event"),
    command("set_irq", request("set_irq"), "set_irq"),
    command("routing", request("set_irq_routing"), "set_irq_routing"),
    command("routing_none", request("set_irq_routing_none"), "set_irq_routing"),
    command("routing_long", LONGEST_ROUTING, "set_irq_routing"),
    Step("routing_too_long", result=-errno.E2BIG),
    local("routing_of_no_kind", -errno.EINVAL),
    main_step("supported_cpuid", request("get_supported_cpuid"), response("get_supported_cpuid"), ENTRY_TEXT),
    main_step(
        "supported_cpuid_short",
        request("get_supported_cpuid"),
        response("get_supported_cpuid_more"),
        " of 3",
        result=-errno.E2BIG,
    ),
    main_step(
        "emulated_cpuid",
        request("get_emulated_cpuid"),
        response("get_emulated_cpuid"),
        " of 1, 0/0 flags 0: 0 0 0 0",
    ),
    main_step("msr_index_list", request("get_msr_index_list"), response("get_msr_index_list"), " of 2: 10 174"),
    main_step(
        "msr_index_list_short",
        request("get_msr_index_list"),
        response("get_msr_index_list"),
        " of 2: ee ee",
        result=-errno.E2BIG,
    ),
    main_step(
        "net_config",
        request("get_net_config"),
        response("get_net_config"),
        " fd 192.168.10.1/255.255.255.0 52..56",
        fds=null_fd,
    ),
    command("identity_map", request("set_identity_map_addr"), "set_identity_map_addr"),
    command("pause", request("pause_vcpus"), "pause_vcpus"),
    command("hint", request("set_call_hint"), "set_call_hint"),
    command("hint_none", request("set_call_hint_none"), "set_call_hint"),
    local("hint_of_later", -errno.EINVAL),
    local("hint_too_long", -errno.EINVAL),
    *(step for state in VM_STATES for step in vm_state(*state)),
    command("start", request("start"), "start"),
]
MAIN_LIFE[2].line += " 8 1"

INIT_LIFE = [
    get_vcpu_state("regs", wire.REGS, REGS),
    get_vcpu_state("sregs", wire.SREGS, SREGS, " cr0 0x60000010"),
    get_vcpu_state("debugregs", wire.DEBUGREGS, DEBUGREGS),
    *(step for state in VCPU_STATES for step in vcpu_state(*state)),
    Step(
        "get_msrs",
        " 2 1 ffffffffffffffff",
        wire.get_msrs(0x10, 0x174),
        GOLDEN["VcpuResponse", "get_msrs"],
    ),
    Step("set_msrs", sent=vcpu_request("set_msrs"), got=wire.vcpu_response("set_msrs")),
    Step("set_cpuid", sent=vcpu_request("set_cpuid"), got=wire.vcpu_response("set_cpuid")),
    Step("hyperv_cpuid", ENTRY_TEXT, vcpu_request("get_hyperv_cpuid"), GOLDEN["VcpuResponse", "get_hyperv_cpuid"]),
    Step("capability", sent=vcpu_request("enable_capability"), got=wire.vcpu_response("enable_capability")),
    local("capability_with_args", -errno.EINVAL),
]

LIFE = [
    main_step("connect", request("get_vcpus"), response("get_vcpus"), fds=lambda host: map(os.dup, host.plugin_ends)),
    *MAIN_LIFE,
    Step("wait", " kind 0", vcpu_request("wait"), INIT),
    *INIT_LIFE,
    # Deferred: they travel with the resume.
    Step("set_sregs"),
    Step("set_regs"),
    Step("set_debugregs"),
    Step("resume", sent=wire.resume(regs=REGS, sregs=SREGS, debugregs=DEBUGREGS)),
    Step("wait", " port write 0x3f8 41", got=WRITE),
    Step("resume", sent=vcpu_request("resume")),
    Step("wait", " port read 0x3f8 00", got=READ),
    local("answer", 0),
    Step("resume", sent=vcpu_request("resume_data")),
    Step("wait", " mmio read 0x1000 00 00 00 00", got=GOLDEN["VcpuResponse", "io_mmio_read"]),
    Step("resume", sent=wire.resume(bytes(4))),
    Step("wait", " paused 0xffffffffffffffff", got=GOLDEN["VcpuResponse", "user"]),
    Step("resume", sent=vcpu_request("resume")),
    Step("wait", " call 1 2 3", got=GOLDEN["VcpuResponse", "hyperv_call"]),
    local("answer", 0),
    Step("resume", sent=wire.resume(b"\x5a" + bytes(7))),
    Step("wait", " synic 40000080 1 1000 2000", got=GOLDEN["VcpuResponse", "hyperv_synic"]),
    Step("resume", sent=vcpu_request("resume")),
    command("release", request("release_port"), "reserve_range"),
    command("destroy", wire.destroy(0), "destroy", needs="logged_memory"),
    local("drop", 0),
]
