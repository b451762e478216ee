#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A plugin that speaks the wire by hand, as a client of the original library does, and as none would.

usage: plugvm run --plugin-mount TESTS --plugin-mount GUEST -- /usr/bin/python3 TESTS/peer/original_client.py CASE GUEST

Run by test_original_client.py, which knows how plugvm has to end in each case. What the host sends is compared byte
by byte with what the protocol says. The last line on stderr tells that a case got to its end.
"""

import array
import errno
import os
import select
import signal
import socket
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

import client_additions
import client_kvm
import wire
from client import (
    CONNECTIONS,
    CONSOLE,
    GARBAGE,
    GIB,
    MEMORY_SLOTS,
    PAGE,
    REQUEST_BYTES,
    SEAL_SHRINK,
    SEAL_WRITE,
    STALE_REQUESTS,
    VCPU_REQUEST_BYTES,
    Connection,
    Machine,
    be_killed,
    make_memfd,
    make_regs,
    run_guest,
    through,
)
from tap import equal

# ---- Cases: a correct client ----


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
    for state_set in wire.VCPU_STATE_BYTES:
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
    # Within the physical addresses of any processor.
    large = make_memfd(128 * GIB)
    main.refused(wire.create_memory(2, 0, 32 * GIB, 44 * GIB + PAGE), errno.ENOSPC, [large])
    main.refused(wire.create_memory(2, 0, 32 * GIB, 128 * GIB), errno.ENOSPC, [large])
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


def case_unknown_messages():
    main = Machine().main
    for request in (wire.member(100), wire.member(250, wire.number(1, 1)), wire.number(1000, 1), wire.create(1, b"")):
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


def case_seventeen_vcpus():
    """More than an original client can take: it would wait for ever for the ends that the kernel cut off."""
    main = Connection(int(os.environ["CROSVM_SOCKET"]))
    main.refused(wire.get_vcpus(), errno.E2BIG)
    main.lives()


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
    for request, count in ((memory, 2), (memory, 3), (memory, 8), (wire.start(), 8)):
        main.refused(request, errno.EINVAL, [fd] * count)
    # So many cost the connection.
    for request, count in ((memory, 9), (memory, 253), (wire.start(), 253)):
        victim = main.clone()
        victim.send(request, [fd] * count)
        victim.is_dropped()
    main.refused(wire.check_extension(3), errno.EINVAL, [fd])
    # One is as bad for everything but memory and the log that is written to one.
    for (message, name), request in wire.load_golden().items():
        if message == "MainRequest" and not name.startswith(("create_memory", "create_nothing", "dirty_log_to")):
            main.refused(request, errno.EINVAL, [fd])
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
    for request in (
        wire.resume(),
        wire.get_state(wire.REGS),
        wire.set_state(wire.MP, bytes(4)),
        wire.get_msrs(0x10),
        wire.set_msrs((0x10, 0)),
        wire.set_cpuid(),
        wire.get_hyperv_cpuid(),
        wire.enable_capability(123),
    ):
        vcpu.refused(request, errno.EPROTO)
    vcpu.refused(wire.member(150), errno.ENOTTY)
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
    for request in (wire.enable_capability(0), wire.enable_capability(1), wire.enable_capability(2**32 - 1)):
        vcpu.refused(request, errno.EINVAL)
    vcpu.refused(wire.get_msrs(*[0x10] * 256), errno.E2BIG)
    vcpu.refused(wire.set_msrs(*[(0x10, 0)] * 256), errno.E2BIG)
    vcpu.refused(wire.set_cpuid(*[wire.cpuid_entry(function=1)] * 257), errno.E2BIG)
    vcpu.refused(wire.member(150), errno.ENOTTY)
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
    first.send(wire.member(150))
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
    cases = {**vars(client_kvm), **vars(client_additions), **globals()}
    cases["case_" + sys.argv[1]]()
    through()


if __name__ == "__main__":
    main()
