#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The original host's part, played by hand to a client of our library (client_probe.c): requests are compared byte by
byte, and the vCPU channel is two pipes, as the original's was.

usage: fake_host.py CLIENT_PROBE
"""

import array
import errno
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import termios
import time

sys.dont_write_bytecode = True

import tap
import wire
from tap import equal

TIMEOUT_S = 30
SREGS = bytes(8 * 24 + 2 * 16) + struct.pack("<Q", 0x60000010) + bytes(312 - 8 * 24 - 2 * 16 - 8)
REGS = struct.pack("<18Q", *[0] * 16, 0x1000, 0)

GOLDEN = wire.load_golden()
PROBE = sys.argv[1]

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


class Host:
    """Our ends, and the probe that has the others. A context, after which neither is left."""

    def __init__(self, *steps):
        self.steps = steps
        self.main, plugin = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.main.settimeout(TIMEOUT_S)
        requests_read, requests_write = os.pipe()
        events_read, events_write = os.pipe()
        self.requests, self.events = requests_read, events_write
        self.plugin_ends = [requests_write, events_read]
        self.probe = subprocess.Popen(
            [PROBE, *steps],
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
        data, control, _, _ = self.main.recvmsg(4096, socket.CMSG_LEN(4 * 4))
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

    def answer(self, wanted, reply, fds=(), fd_count=0):
        self.receive(wanted, fd_count)
        self.send(reply, fds)

    def connect(self):
        self.answer(request("get_vcpus"), response("get_vcpus"), self.plugin_ends)

    def vcpu_receive(self, wanted):
        """One read is one request: the original host does not put them together."""
        poll = select.poll()
        poll.register(self.requests, select.POLLIN)
        assert poll.poll(TIMEOUT_S * 1000), "no vCPU request"
        equal(os.read(self.requests, 262144), wanted, "a vCPU request")

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


TO_INIT = ["connect", "wait"]
TO_INIT_LINES = ["connect 0", "wait 0 kind 0"]
TO_WRITE = [*TO_INIT, "resume", "wait"]
TO_WRITE_LINES = [*TO_INIT_LINES, "resume 0", WRITE_LINE]


# ---- A normal life, and a host that dies in it ----


class Step:
    """One call of the client: what it sends, what it gets, what comes of it. None: nothing."""

    def __init__(self, name, line="", sent=None, got=None, is_vcpu=True, fd_count=0, gives_ends=False):
        self.name, self.line, self.sent, self.got = name, f"{name} 0{line}", sent, got
        self.is_vcpu, self.fd_count, self.gives_ends = is_vcpu, fd_count, gives_ends

    def hear(self, host):
        if self.sent is None:
            return
        if self.is_vcpu:
            host.vcpu_receive(self.sent)
        else:
            host.receive(self.sent, self.fd_count)

    def say(self, host):
        if self.got is None:
            return
        if self.is_vcpu:
            host.vcpu_send(self.got)
        else:
            host.send(self.got, host.plugin_ends if self.gives_ends else ())


def main_step(name, sent, got, **more):
    return Step(name, sent=request(sent), got=response(got), is_vcpu=False, **more)


LIFE = [
    main_step("connect", "get_vcpus", "get_vcpus", gives_ends=True),
    main_step("memory", "create_memory_first", "create", fd_count=1),
    main_step("reserve", "reserve_port", "reserve_range"),
    main_step("extension", "check_extension", "check_extension_yes"),
    main_step("start", "start", "start"),
    Step("wait", " kind 0", vcpu_request("wait"), INIT),
    Step(
        "get_sregs",
        " cr0 0x60000010",
        vcpu_request("get_state_sregs"),
        wire.vcpu_response("get_state", wire.blob(1, SREGS)),
    ),
    # Deferred: they travel with the resume.
    Step("set_sregs"),
    Step("set_regs"),
    Step("resume", sent=wire.resume(regs=REGS, sregs=SREGS)),
    Step("wait", " port write 0x3f8 41", got=WRITE),
    Step("resume", sent=vcpu_request("resume")),
    Step("wait", " port read 0x3f8 00", got=READ),
    Step("answer"),
    Step("resume", sent=vcpu_request("resume_data")),
    Step("wait", " mmio read 0x1000 00 00 00 00", got=GOLDEN["VcpuResponse", "io_mmio_read"]),
    Step("resume", sent=wire.resume(bytes(4))),
    main_step("release", "release_port", "reserve_range"),
    main_step("destroy", "destroy_first", "destroy"),
]
LIFE[3].line = "extension 0 yes"


def test_life():
    with Host(*(step.name for step in LIFE)) as host:
        for step in LIFE:
            step.hear(host)
            step.say(host)
        host.ends(*(step.line for step in LIFE))


def after_death(index, step):
    """What a call returns when the host has died at step number `index`."""
    if step.name == "answer":
        return "answer 0"
    if index == 0 or (step.name == "destroy" and index == 1):
        return f"{step.name} -{errno.EINVAL}"  # there is no handle
    return f"{step.name} -{errno.ECONNRESET}"


def die_at(index):
    """The host dies when it has read what the client sent, and before it answers."""
    last = LIFE[index]
    with Host(*(step.name for step in LIFE)) as host:
        for step in LIFE[:index]:
            step.hear(host)
            step.say(host)
        last.hear(host)
        host.die()
        lines = [step.line for step in LIFE[:index]]
        lines.append(last.line if last.got is None else f"{last.name} -{errno.ECONNRESET}")
        lines += [after_death(index, step) for step in LIFE[index + 1 :]]
        host.ends(*lines)


def test_host_dies_at_each_step():
    for index, step in enumerate(LIFE):
        if step.sent is not None or step.got is not None:
            die_at(index)


def test_host_dead_from_the_start():
    with Host("connect", "wait") as host:
        host.die()
        host.ends(f"connect -{errno.ECONNRESET}", f"wait -{errno.EINVAL}")


def test_host_dies_in_a_frame():
    frame = wire.frame(WRITE)
    for size in range(1, len(frame)):
        with Host(*TO_INIT, "resume", "wait", "resume", "wait") as host:
            host.to_init()
            host.vcpu_receive(vcpu_request("resume"))
            os.write(host.events, frame[:size])
            host.die()
            gone = -errno.ECONNRESET
            host.ends(*TO_INIT_LINES, "resume 0", f"wait {gone}", f"resume {gone}", f"wait {gone}")


# ---- Frames ----


def deliver_pieces(cuts, body, line):
    """One event for each element of `cuts`, a tuple of the positions where its frame is cut."""
    with Host(*TO_INIT, *["resume", "wait"] * len(cuts)) as host:
        host.to_init()
        for positions in cuts:
            host.vcpu_receive(vcpu_request("resume"))
            host.vcpu_send_pieces(wire.frame(body), *positions)
        host.ends(*TO_INIT_LINES, *["resume 0", line] * len(cuts))


def test_frame_cut_anywhere():
    size = len(wire.frame(WRITE))
    deliver_pieces([(at,) for at in range(1, size)] + [tuple(range(1, size))], WRITE, WRITE_LINE)


def test_long_frame_cut_anywhere():
    """Its header has two bytes."""
    data = bytes(range(40)) * 4
    body = wire.io_event(wire.IOPORT, 0x3F8, True, data)
    size = len(wire.frame(body))
    assert size - len(body) == 2
    line = f"wait 0 port write 0x3f8 {data.hex(' ')}"[: len("wait 0") + 255]
    deliver_pieces([(at,) for at in range(1, size)] + [(1, 2, 3)], body, line)


def test_page_in_a_frame():
    """4096 bytes, the longest access."""
    data = bytes(i % 251 for i in range(4096))
    body = wire.io_event(wire.IOPORT, 0x3F8, True, data)
    line = f"wait 0 port write 0x3f8 {data.hex(' ')}"[: len("wait 0") + 255]
    deliver_pieces([(), (1,), (2,), (100, 4000)], body, line)


def test_frames_in_one_write():
    """Events that need no resume, and one that does."""
    async_write = wire.io_event(wire.IOPORT, 0x3F9, True, b"\1", no_resume=True)
    line = "wait 0 port write 0x3f9 01"
    with Host(*TO_INIT, "resume", "wait", "wait", "wait", "resume", "wait") as host:
        host.to_init()
        host.vcpu_receive(vcpu_request("resume"))
        host.vcpu_send(async_write, async_write, WRITE)
        host.vcpu_receive(vcpu_request("resume"))
        host.vcpu_send(READ)
        host.ends(*TO_INIT_LINES, "resume 0", line, line, WRITE_LINE, "resume 0", "wait 0 port read 0x3f8 00")


def test_frames_cut_across():
    """The second frame's beginning comes with the first."""
    async_write = wire.frame(wire.io_event(wire.IOPORT, 0x3F9, True, b"\1", no_resume=True))
    data = async_write + wire.frame(WRITE)
    for at in range(len(async_write) - 2, len(async_write) + 4):
        with Host(*TO_INIT, "resume", "wait", "wait") as host:
            host.to_init()
            host.vcpu_receive(vcpu_request("resume"))
            host.vcpu_send_pieces(data, at)
            host.ends(*TO_INIT_LINES, "resume 0", "wait 0 port write 0x3f9 01", WRITE_LINE)


def test_event_before_a_reply():
    """The event is kept for the next wait."""
    async_write = wire.io_event(wire.IOPORT, 0x3F9, True, b"\1", no_resume=True)
    reply = wire.vcpu_response("get_state", wire.blob(1, SREGS))
    with Host(*TO_WRITE, "get_sregs", "resume", "wait") as host:
        host.to_write_event()
        host.vcpu_receive(vcpu_request("get_state_sregs"))
        host.vcpu_send(async_write, reply)
        host.vcpu_receive(vcpu_request("resume"))
        host.ends(*TO_WRITE_LINES, "get_sregs 0 cr0 0x60000010", "resume 0", "wait 0 port write 0x3f9 01")


# ---- Replies that say no, or make no sense ----


def test_main_replies():
    yes = response("check_extension_yes")
    read_end, write_end = os.pipe()
    replies = [
        (yes, (), "0 yes"),
        (response("check_extension_no"), (), "0 no"),
        (response("error_eperm"), (), f"-{errno.EPERM}"),
        (response("error_enotty"), (), f"-{errno.ENOTTY}"),
        (response("error_enosys"), (), f"-{errno.ENOSYS}"),
        (response("error_4095"), (), "-4095"),
        (response("error_with_member"), (), f"-{errno.EEXIST}"),
        (wire.main_error(errno.EPERM) + yes, (), f"-{errno.EPERM}"),
        (wire.main_error(4096), (), f"-{errno.EPROTO}"),
        (wire.main_error(-errno.EPERM), (), f"-{errno.EPROTO}"),
        (wire.main_error(2**31 - 1), (), f"-{errno.EPROTO}"),
        (wire.main_error(-(2**31)), (), f"-{errno.EPROTO}"),
        (response("start"), (), f"-{errno.EPROTO}"),
        (response("get_state"), (), f"-{errno.EPROTO}"),
        (wire.number(77, 1), (), f"-{errno.EPROTO}"),
        (b"\xff\xff\xff", (), f"-{errno.EPROTO}"),
        (b"\x32\x05\x08\x01", (), f"-{errno.EPROTO}"),
        (yes, (write_end,), f"-{errno.EPROTO}"),
        (response("error_eperm"), (write_end,), f"-{errno.EPROTO}"),
        (wire.number(77, 1) + yes + wire.blob(78, b"later"), (), "0 yes"),
        (yes, (), "0 yes"),
    ]
    with Host("connect", *["extension"] * len(replies)) as host:
        host.connect()
        for reply, fds, _ in replies:
            host.answer(request("check_extension"), reply, fds)
        host.ends("connect 0", *(f"extension {result}" for _, _, result in replies))
    os.close(read_end)
    os.close(write_end)


def test_surplus_fds_are_closed():
    """While the client lives: a pipe's write end is then only in our hands."""
    read_end, write_end = os.pipe()
    poll = select.poll()
    poll.register(read_end, 0)
    with Host("connect", "extension", "eventfd", "new_connection", "extension") as host:
        host.connect()
        host.answer(request("check_extension"), response("check_extension_yes"), [write_end])
        host.answer(request("get_shutdown_eventfd"), response("get_shutdown_eventfd"), [write_end] * 2)
        host.answer(request("new_connection"), response("error_eperm"), [write_end])
        host.receive(request("check_extension"))
        equal(poll.poll(0), [], "the far end of a pipe")
        os.close(write_end)
        equal(poll.poll(0), [(read_end, select.POLLHUP)], "the far end of a pipe")
        host.send(response("check_extension_no"))
        bad = -errno.EPROTO
        host.ends("connect 0", f"extension {bad}", f"eventfd {bad}", f"new_connection {bad}", "extension 0 no")
    os.close(read_end)


def test_empty_reply_ends_a_connection():
    with Host("connect", "extension", "extension") as host:
        host.connect()
        host.answer(request("check_extension"), b"")
        host.ends("connect 0", *[f"extension -{errno.ECONNRESET}"] * 2)


def test_fds_of_replies():
    eventfd = os.eventfd(1) if hasattr(os, "eventfd") else None
    if eventfd is None:
        raise tap.Skip("this Python has no os.eventfd")
    other, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with Host("connect", *["eventfd"] * 3, *["new_connection"] * 3) as host:
        host.connect()
        for fds in ([], [eventfd, eventfd], [eventfd]):
            host.answer(request("get_shutdown_eventfd"), response("get_shutdown_eventfd"), fds)
        for fds in ([], [other.fileno()] * 3, [other.fileno()]):
            host.answer(request("new_connection"), response("new_connection"), fds)
        bad = -errno.EPROTO
        host.ends(
            "connect 0",
            *[f"eventfd {bad}"] * 2,
            "eventfd 0 8 1",
            *[f"new_connection {bad}"] * 2,
            "new_connection 0",
        )
    for end in (other, ours):
        end.close()
    os.close(eventfd)


def test_replies_to_connect():
    for reply, pairs, result in (
        (response("get_vcpus"), 0, -errno.EPROTO),
        (response("get_vcpus"), 0.5, -errno.EPROTO),
        (response("get_vcpus"), 1.5, -errno.EPROTO),
        (response("start"), 1, -errno.EPROTO),
        (response("error_enotty"), 0, -errno.ENOTTY),
        (wire.main_error(errno.E2BIG), 0, -errno.E2BIG),
        (response("get_vcpus"), 16, 0),
    ):
        with Host("connect") as host:
            fds = (host.plugin_ends * 16)[: int(pairs * 2)]
            host.answer(request("get_vcpus"), reply, fds)
            host.ends(f"connect {result}")


def test_vcpu_replies():
    sregs = wire.vcpu_response("get_state", wire.blob(1, SREGS))
    replies = [
        (sregs, "0 cr0 0x60000010"),
        (GOLDEN["VcpuResponse", "error_ebusy"], f"-{errno.EBUSY}"),
        (wire.vcpu_error(errno.ENOTTY), f"-{errno.ENOTTY}"),
        (wire.vcpu_error(4095), "-4095"),
        (wire.vcpu_error(4096), f"-{errno.EPROTO}"),
        (wire.vcpu_error(-1), f"-{errno.EPROTO}"),
        (wire.vcpu_error(errno.EPERM) + sregs, f"-{errno.EPERM}"),
        (GOLDEN["VcpuResponse", "get_state"], f"-{errno.EPROTO}"),  # three bytes
        (GOLDEN["VcpuResponse", "set_state"], f"-{errno.EPROTO}"),
        (b"", f"-{errno.EPROTO}"),
        (sregs + wire.number(77, 1), "0 cr0 0x60000010"),
    ]
    with Host(*TO_WRITE, *["get_sregs"] * len(replies)) as host:
        host.to_write_event()
        for reply, _ in replies:
            host.vcpu_receive(vcpu_request("get_state_sregs"))
            host.vcpu_send(reply)
        host.ends(*TO_WRITE_LINES, *(f"get_sregs {result}" for _, result in replies))


def test_refused_resume():
    """The same event again, with the reason."""
    with Host(*TO_WRITE, "resume", "wait", "resume", "wait") as host:
        host.to_write_event()
        host.vcpu_receive(vcpu_request("resume"))
        host.vcpu_send(GOLDEN["VcpuResponse", "io_again"])
        host.vcpu_receive(vcpu_request("resume"))
        host.vcpu_send(READ)
        again = f"wait -{errno.EINVAL} port write 0x3f8 41"
        host.ends(*TO_WRITE_LINES, "resume 0", again, "resume 0", "wait 0 port read 0x3f8 00")


def test_bad_frames():
    """None of them is followed by a hang, and the channel is used no more."""
    bad = -errno.EPROTO
    for data in (
        b"\xff\xff\xff\xff\xff",
        wire.varint(65537),
        wire.varint(2**32 - 1),
        wire.frame(b"\xff\xff"),
        wire.frame(wire.member(2)),
        wire.frame(wire.io_event(wire.IOPORT, 0x3F8, True, b"")),
        wire.frame(wire.io_event(wire.IOPORT, 0x3F8, True, bytes(4097))),
        wire.frame(wire.io_event(2, 0x3F8, True, b"\1")),
        wire.frame(wire.member(2, wire.member(9))),
    ):
        with Host(*TO_INIT, "resume", "wait", "wait") as host:
            host.to_init()
            host.vcpu_receive(vcpu_request("resume"))
            os.write(host.events, data)
            host.ends(*TO_INIT_LINES, "resume 0", f"wait {bad}", f"wait {bad}")


def main():
    names = [name for name in globals() if name.startswith("test_")]
    return tap.run([(name[len("test_") :], globals()[name]) for name in names])


if __name__ == "__main__":
    sys.exit(main())
