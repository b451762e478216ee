# SPDX-License-Identifier: BSD-3-Clause
"""A hostile plugin in Python: what is easier to vary here than in C. usage: plugin.py PEER_FOLDER CASE [ARGUMENT...]

PEER_FOLDER has wire.py, a writer of messages that shares nothing with the host. Speaks with the runner as raw.c does.
"""

import array
import errno
import fcntl
import os
import random
import select
import socket
import sys
import threading

sys.path.insert(0, sys.argv[1])
import wire  # noqa: E402

PAGE, SEAL_SHRINK = 4096, 2
RESPONSE_BYTES = 262144
DEADLINE_S = 20


def say(text):
    os.write(1, f"{text}\n".encode())


def mark(name):
    say(f"mark {name}")
    if not os.read(0, 1):
        hang()


def problem(text):
    say(f"problem: {text}")


def hang():
    while True:
        select.select([], [], [], 3600)


class Connection:
    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)
        self.socket.settimeout(DEADLINE_S)

    def ask(self, data, fds=()):
        """Returns (errno, fds), or (None, []) if the connection has ended."""
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self.socket.sendmsg([data], control)
            answer, rights, _, _ = self.socket.recvmsg(RESPONSE_BYTES, socket.CMSG_SPACE(4 * 253))
        except (BrokenPipeError, ConnectionResetError):
            return None, []
        if not answer:
            return None, []
        got = array.array("i")
        for _, _, part in rights:
            got.frombytes(part)
        return wire.read_main_response(answer)[0], list(got)

    def error(self, data, fds=()):
        """The same, and closes what came."""
        code, got = self.ask(data, fds)
        for fd in got:
            os.close(fd)
        return code

    def clone(self):
        code, fds = self.ask(wire.new_connection())
        if code:
            problem(f"a connection: {code}")
            hang()
        return Connection(fds[0])

    def close(self):
        self.socket.close()


def memfd(size):
    fd = os.memfd_create("hostile", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEAL_SHRINK)
    return fd


def samples():
    """One of each request that leaves the VM as it is, or nearly."""
    return [
        wire.create_io_event(1, wire.IOPORT, 0x500, 4, 7),
        wire.create_memory(2, 0, 0x10000, PAGE, True, True),
        wire.create_irq_event(3, 5),
        wire.destroy(1),
        wire.get_shutdown_eventfd(),
        wire.check_extension(3),
        wire.get_supported_cpuid(),
        wire.get_msr_index_list(),
        wire.reserve_range(wire.IOPORT, 0x3F8, 8, True),
        wire.set_irq(5, True),
        wire.set_irq_routing(wire.irqchip_route(5, 1, 5), wire.msi_route(6, 0xFEE00000, 0x40)),
        wire.get_vm_state(wire.PIT),
        wire.set_vm_state(wire.CLOCK, bytes(48)),
        wire.pause_vcpus(1, 7),
        wire.set_call_hint(wire.IOPORT, 0x3F8, True, [wire.reg_hint((True,) * 4, (1, 2, 3, 4))]),
        wire.dirty_log(2),
        wire.features(),
        wire.create_ext_io_event(4, wire.MMIO, 0xD0000000, 8),
        wire.get_cpuid(True),
        wire.pause_set(b"\x01", 1),
        wire.signal_msi(0xFEE00000, 0x40),
        wire.subscribe_exits(1),
        wire.set_msr_filter(wire.msr_range(0x10, 4, True, True)),
        wire.get_end(),
    ]


def frames(main):
    other = main.clone()
    dropped = 0
    for sample in samples():
        variants = [sample[:cut] for cut in range(1, len(sample))]
        for at in range(len(sample)):
            for bits in (0x01, 0x08, 0x80, 0xFF):
                variants.append(sample[:at] + bytes([sample[at] ^ bits]) + sample[at + 1 :])
        for variant in variants:
            if other.error(variant) is None:
                other.close()
                other = main.clone()
                dropped += 1
    other.close()
    if not dropped:
        problem("nothing was dropped")
    for object_id in range(1024):
        main.error(wire.destroy(object_id))


def toctou(main):
    shared = [bytearray(sample) for sample in samples()]
    lock = threading.Lock()

    def flip():
        choice = random.Random(1)
        while True:
            message = choice.choice(shared)
            message[choice.randrange(len(message))] ^= 1 << choice.randrange(8)

    def send():
        choice = random.Random(2)
        with lock:
            own = main.clone()
        while True:
            if own.error(choice.choice(shared)) is None:
                own.close()
                with lock:
                    own = main.clone()

    for run in (flip, send, send):
        threading.Thread(target=run, daemon=True).start()
    hang()


class Model:
    """What the host must answer to a random sequence, for the few things that this knows."""

    def __init__(self, main, seed):
        self.choice = random.Random(seed)
        self.main = main
        self.connections = [self.main]
        self.objects = {}  # id: pages of guest memory, or None for an event
        self.ranges = {}
        self.has_vcpus = self.started = True  # main() has done that
        self.fds = [memfd(64 * PAGE) for _ in range(2)]

    def memory(self):
        object_id, page, count = self.choice.randrange(8), self.choice.randrange(16), self.choice.randrange(1, 5)
        taken = {p for pages in self.objects.values() if pages for p in pages}
        wanted = set(range(page, page + count))
        code = errno.EEXIST if object_id in self.objects or taken & wanted else 0
        fds = [self.choice.choice(self.fds)]
        if self.choice.randrange(8) == 0:
            fds, code = fds * 2, errno.EINVAL
        request = wire.create_memory(object_id, 0, PAGE * (256 + page), PAGE * count, False, True)
        if code == 0:
            self.objects[object_id] = wanted
        return request, fds, code

    def destroy(self):
        object_id = self.choice.randrange(8)
        code = 0 if object_id in self.objects else errno.ENOENT
        self.objects.pop(object_id, None)
        return wire.destroy(object_id), [], code

    def log(self):
        object_id = self.choice.randrange(8)
        return wire.dirty_log(object_id), [], 0 if self.objects.get(object_id) else errno.ENOENT

    def reserve(self):
        start, length = 0x800 + self.choice.randrange(32), self.choice.randrange(6)
        if length == 0:
            code = 0 if start in self.ranges else errno.ENOENT
            self.ranges.pop(start, None)
        else:
            code = errno.EPERM if any(s < start + length and start < s + n for s, n in self.ranges.items()) else 0
            if code == 0:
                self.ranges[start] = length
        return wire.reserve_range(wire.IOPORT, start, length), [], code

    def event(self):
        object_id = self.choice.randrange(8)
        code = errno.EEXIST if object_id in self.objects else 0
        if code == 0:
            self.objects[object_id] = None
        return wire.create_irq_event(object_id, self.choice.randrange(16)), [], code

    def vcpus(self):
        code, self.has_vcpus = errno.EALREADY if self.has_vcpus else 0, True
        return wire.get_vcpus(), [], code

    def start(self):
        code, self.started = errno.EINVAL if self.started else 0, True
        return wire.start(), [], code

    def unknown(self):
        return wire.member(self.choice.choice((20, 100, 199, 300))), [], errno.ENOTTY

    def connect(self):
        if len(self.connections) < 8:
            self.connections.append(self.main.clone())
        elif len(self.connections) > 4:
            self.connections.pop().close()
        return wire.get_end(), [], errno.EAGAIN

    def step(self):
        moves = (self.memory, self.memory, self.destroy, self.destroy, self.log, self.reserve, self.reserve,
                 self.event, self.unknown, self.connect)
        if self.choice.randrange(100) == 0:
            moves = (self.vcpus, self.start)
        move = self.choice.choice(moves)
        request, fds, wanted = move()
        code, got = self.choice.choice(self.connections).ask(request, fds)
        for fd in got:
            os.close(fd)
        return code == wanted, f"{move.__name__} {request.hex(' ')}: {code} instead of {wanted}"


def model(main, seed, steps):
    a_model = Model(main, int(seed))
    for step in range(int(steps)):
        fine, text = a_model.step()
        if not fine:
            problem(f"seed {seed}, step {step}: {text}")
            break
    for connection in a_model.connections[1:]:
        connection.close()
    for object_id in range(8):
        a_model.main.error(wire.destroy(object_id))


def main():
    # Held for ever: a mutation must not fetch them, for it would close them and so end the VM.
    first = Connection(3)
    _, channels = first.ask(wire.get_vcpus())
    code, _ = first.ask(wire.start())
    if len(channels) != 2 or code:
        problem("no vCPUs, or no start")
    mark("ready")
    {"frames": frames, "toctou": toctou, "model": model}[sys.argv[2]](first, *sys.argv[3:])
    if first.error(wire.check_extension(3)) != 0:
        problem("the host does not answer afterwards")
    mark("done")
    hang()


main()
