#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Clients of our library (client_probe.c) with the original host (original_host.py): what each call sends and makes of
the answer, and of answers and ends that make no sense.

usage: fake_host.py CLIENT_PROBE
"""

import errno
import os
import re
import select
import socket
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

import tap
import wire
from original_host import (
    GOLDEN,
    INIT,
    INIT_LIFE,
    LIFE,
    MAIN_LIFE,
    READ,
    REGS,
    SREGS,
    TO_INIT,
    TO_INIT_LINES,
    TO_WRITE,
    TO_WRITE_LINES,
    VCPU_STATES,
    VM_STATES,
    WRITE,
    WRITE_LINE,
    DEBUGREGS,
    REQUEST_BYTES,
    Host,
    pattern,
    request,
    response,
    state_reply,
    vcpu_request,
)
from tap import equal

HERE = os.path.dirname(os.path.abspath(__file__))
PROBE_SOURCES = ("client_probe.c", "client_probe_additions.c")

# ---- A normal life, and a host that dies in it ----


def test_every_function_is_called():
    """By a step of the probe."""
    with open(os.path.join(HERE, "../../src/plugin/libcrosvm_plugin.map"), encoding="ascii") as file:
        functions = re.findall(r"crosvm_\w+", file.read())
    assert len(functions) > 80, functions
    probe = ""
    for name in PROBE_SOURCES:
        with open(os.path.join(HERE, name), encoding="ascii") as file:
            probe += file.read()
    made = {f"crosvm_{verb}_{call}" for verb in ("get", "set") for call in re.findall(r"VM_STATE\(.*, (\w+)\)", probe)}
    made |= {
        f"crosvm_vcpu_{verb}_{call}"
        for verb in ("get", "set")
        for call in re.findall(r"VCPU_STATE\(.*, (\w+)\)", probe)
    }
    equal([name for name in functions if name not in made and f"{name}(" not in probe], [], "functions not called")


def test_life():
    with Host(*(step.name for step in LIFE)) as host:
        for step in LIFE:
            step.hear(host)
            step.say(host)
        host.ends(*(step.line for step in LIFE))


def after_death(index, step):
    """What a call returns when the host has died at step number `index`."""
    if index == 0 and step.name != "answer":
        return f"{step.name} -{errno.EINVAL}"  # there is no connection
    if step.local:
        return step.line
    if step.needs and step.needs not in [before.name for before in LIFE[:index]]:
        return f"{step.name} -{errno.EINVAL}"  # there is no handle
    return f"{step.name} -{errno.ECONNRESET}"


def die_at(index, heard):
    """The host dies before it answers, when it has read what the client sent, or not even that."""
    last = LIFE[index]
    with Host(*(step.name for step in LIFE)) as host:
        for step in LIFE[:index]:
            step.hear(host)
            step.say(host)
        if heard:
            last.hear(host)
        else:
            last.await_sent(host)
        host.die()
        lines = [step.line for step in LIFE[:index]]
        lines.append(last.line if last.got is None else f"{last.name} -{errno.ECONNRESET}")
        lines += [after_death(index, step) for step in LIFE[index + 1 :]]
        host.ends(*lines)


def test_host_dies_at_each_step():
    for index, step in enumerate(LIFE):
        if step.sent is not None or step.got is not None:
            die_at(index, True)


def test_host_dies_before_it_reads():
    for index, step in enumerate(LIFE):
        if step.sent is not None:
            die_at(index, False)


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


def wrong_replies(step):
    """(reply, what comes of it) for answers that no call may take for its own."""
    error = wire.main_error
    if step.is_vcpu:
        others = [wire.vcpu_response(name) for name in ("get_state", "set_state", "set_cpuid")]
    else:
        others = [wire.main_response(name) for name in ("create", "get_state", "start")]
        # On a vCPU channel, what does not decode is its end.
        others.append(wire.blob(1, b"no number"))
    others = [other for other in others if wire.fields(other)[0][0] != wire.fields(step.got)[-1][0]]
    return [
        *((other, errno.EPROTO) for other in others),
        (wire.number(77, 1), errno.EPROTO),
        (error(errno.ENOTTY), errno.ENOTTY),
        (error(errno.ENOTTY) + step.got, errno.ENOTTY),
        (error(4095), 4095),
        (error(4096), errno.EPROTO),
        (error(-errno.EPERM), errno.EPROTO),
        (error(-(2**31)), errno.EPROTO),
    ]


def exchanges(life):
    return [step for step in life if step.sent is not None and step.got is not None]


def play_main(step, replies, host_class=Host):
    """The client makes the step's call for each of the replies (bytes, fds, line), and once for the right one."""
    before = [s for s in MAIN_LIFE if s.name == step.needs]
    with host_class("connect", *(s.name for s in before), *[step.name] * (len(replies) + 1)) as host:
        host.connect()
        for s in before:
            host.receive(None, s.fd_count)  # with another id than in a whole life
            s.say(host)
        for reply, fds, _ in replies:
            host.receive(None, step.fd_count)
            host.send(reply, fds)
        host.receive(None, step.fd_count)
        yield host
        step.say(host)
        host.ends("connect 0", *(s.line for s in before), *(line for _, _, line in replies), step.line)


def play_wrong_main_replies(step, host_class=Host):
    """And fds that nobody asked for are closed, before the next request at the latest."""
    read_end, write_end = os.pipe()
    replies = [(reply, (), f"{step.name} -{code}") for reply, code in wrong_replies(step)]
    right = [write_end] * len(list(step.fds(None)))
    no = f"{step.name} -{errno.EPROTO}"
    replies += [(step.got, [*right, write_end], no), (wire.main_error(errno.EPERM), [write_end], no)]
    if right:
        replies += [(step.got, right[1:], no), (wire.main_response("start"), right, no)]
    for _ in play_main(step, replies, host_class):
        os.close(write_end)
        poll = select.poll()
        poll.register(read_end, 0)
        equal(poll.poll(0), [(read_end, select.POLLHUP)], f"fds that came with replies to {step.name}")
    os.close(read_end)


def test_wrong_replies_to_each_main_call():
    for step in exchanges(MAIN_LIFE):
        play_wrong_main_replies(step)


def play_vcpu(step, replies, host_class=Host):
    """The same on a vCPU that stands at INIT."""
    with host_class(*TO_INIT, *[step.name] * (len(replies) + 1)) as host:
        host.to_init()
        for reply, _ in replies:
            host.vcpu_receive(None)
            host.vcpu_send(reply)
        host.vcpu_receive(None)
        host.vcpu_send(step.got)
        host.ends(*TO_INIT_LINES, *(line for _, line in replies), step.line)


def test_wrong_replies_to_each_vcpu_call():
    for step in exchanges(INIT_LIFE):
        play_vcpu(step, [(reply, f"{step.name} -{code}") for reply, code in wrong_replies(step)])


def sizes_around(size):
    return [n for n in (0, 1, size - 1, size + 1, 2 * size, 4000) if n != size]


def test_sizes_of_state():
    """A set of another size is none, and never half taken."""
    sets = [(name, size) for name, _, size in VCPU_STATES]
    for name, size in [*sets, ("regs", len(REGS)), ("sregs", len(SREGS)), ("debugregs", len(DEBUGREGS))]:
        (step,) = [s for s in INIT_LIFE if s.name == "get_" + name]
        play_vcpu(step, [(state_reply(pattern(n)), f"get_{name} -{errno.EPROTO}") for n in sizes_around(size)])
    for name, _, size in VM_STATES:
        (step,) = [s for s in MAIN_LIFE if s.name == "get_" + name]
        no = f"get_{name} -{errno.EPROTO}"
        wrong = [(wire.main_response("get_state", wire.blob(1, pattern(n))), (), no) for n in sizes_around(size)]
        for _ in play_main(step, wrong):
            pass


def main_step_named(name):
    (step,) = [s for s in MAIN_LIFE if s.name == name]
    return step


def test_sizes_of_other_replies():
    log, net = main_step_named("dirty_log"), main_step_named("net_config")
    no = f"dirty_log -{errno.EPROTO}"
    wrong = [(wire.main_response("dirty_log", wire.blob(1, bytes(n))), (), no) for n in (0, 1, 3, 8)]
    for _ in play_main(log, wrong):
        pass
    read_end, write_end = os.pipe()
    no = f"net_config -{errno.EPROTO}"
    wrong = [(wire.main_response("get_net_config", wire.blob(1, bytes(n))), [write_end], no) for n in (0, 5, 7, 8)]
    for _ in play_main(net, wrong):
        os.close(write_end)
        poll = select.poll()
        poll.register(read_end, 0)
        equal(poll.poll(0), [(read_end, select.POLLHUP)], "a tap that came with a MAC of the wrong length")
    os.close(read_end)


def test_counts_of_repeated_fields():
    """None, fewer than there is room for, and more: the number is told, the caller's array stays its own."""
    supported, msrs = main_step_named("supported_cpuid"), main_step_named("msr_index_list")
    entries = [wire.cpuid_entry(function=i, eax=i) for i in range(300)]
    for _ in play_main(
        supported,
        [
            (response("get_supported_cpuid_none"), (), "supported_cpuid 0 of 0"),
            (wire.main_response("get_supported_cpuid", *entries[:4]), (), f"supported_cpuid -{errno.E2BIG} of 4"),
            (wire.main_response("get_supported_cpuid", *entries), (), f"supported_cpuid -{errno.E2BIG} of 300"),
        ],
    ):
        pass
    many = wire.main_response("get_msr_index_list", wire.packed(1, range(1000)))
    for _ in play_main(
        msrs,
        [
            (response("get_msr_index_list_none"), (), "msr_index_list 0 of 0: ee ee"),
            (response("get_msr_index_list_one"), (), "msr_index_list 0 of 1: 0 ee"),
            (response("get_msr_index_list_unpacked"), (), "msr_index_list 0 of 2: 10 174"),
            (many, (), f"msr_index_list -{errno.E2BIG} of 1000: ee ee"),
        ],
    ):
        pass
    (get_msrs,) = [s for s in INIT_LIFE if s.name == "get_msrs"]
    play_vcpu(
        get_msrs,
        [
            (GOLDEN["VcpuResponse", "get_msrs_none"], "get_msrs 0 0 ee ee"),
            (GOLDEN["VcpuResponse", "get_msrs_one"], "get_msrs 0 1 0 ee"),
            (GOLDEN["VcpuResponse", "get_msrs_unpacked"], f"get_msrs -{errno.EPROTO}"),  # three
            (wire.vcpu_response("get_msrs", wire.packed(1, range(300))), f"get_msrs -{errno.EPROTO}"),
        ],
    )
    (hyperv,) = [s for s in INIT_LIFE if s.name == "hyperv_cpuid"]
    play_vcpu(
        hyperv,
        [
            (GOLDEN["VcpuResponse", "get_hyperv_cpuid_none"], "hyperv_cpuid 0 of 0"),
            (wire.vcpu_response("get_hyperv_cpuid", *entries), f"hyperv_cpuid -{errno.E2BIG} of 300"),
        ],
    )


# ---- Registers that are set later, or came along ----


def test_deferred_sets_before_another_call():
    """They arrive before what is not deferred, and before a get of the same set."""
    done = wire.vcpu_response("set_state")
    calls = ["set_sregs", "set_regs", "set_mp", "set_regs", "get_regs", "set_sregs", "get_mp", "resume"]
    with Host(*TO_INIT, *calls) as host:
        regs, sregs = REGS, bytes(312)
        host.to_init()
        host.vcpu_receive(wire.set_state(wire.REGS, regs))
        host.vcpu_send(done)
        host.vcpu_receive(wire.set_state(wire.SREGS, sregs))
        host.vcpu_send(done)
        host.vcpu_receive(wire.set_state(wire.MP, bytes(4)))
        host.vcpu_send(done)
        host.vcpu_receive(wire.set_state(wire.REGS, regs))
        host.vcpu_send(done)
        host.vcpu_receive(wire.get_state(wire.REGS))
        host.vcpu_send(state_reply(regs))
        host.vcpu_receive(wire.get_state(wire.MP))
        host.vcpu_send(state_reply(pattern(4)))
        host.vcpu_receive(wire.resume(sregs=sregs))
        host.ends(
            *TO_INIT_LINES,
            "set_sregs 0",
            "set_regs 0",
            "set_mp 0",
            "set_regs 0",
            f"get_regs 0 {len(regs)} 00 00",
            "set_sregs 0",
            "get_mp 0 4 05 1a",
            "resume 0",
        )


def test_deferred_set_before_each_command():
    (done,) = [s.got for s in INIT_LIFE if s.name == "set_fpu"]
    commands = [s for s in exchanges(INIT_LIFE) if s.name.startswith("set_") or s.name == "capability"]
    equal(len(commands), 8, "calls that change the vCPU at once")
    for step in commands:
        with Host(*TO_INIT, "set_regs", step.name, "resume") as host:
            host.to_init()
            host.vcpu_receive(wire.set_state(wire.REGS, REGS))
            host.vcpu_send(done)
            host.vcpu_receive(None)
            host.vcpu_send(step.got)
            host.vcpu_receive(vcpu_request("resume"))
            host.ends(*TO_INIT_LINES, "set_regs 0", step.line, "resume 0")


def test_deferred_set_that_is_refused():
    """The call that it had to arrive before says so, and is not made."""
    with Host(*TO_INIT, "set_sregs", "set_mp", "set_mp") as host:
        host.to_init()
        host.vcpu_receive(wire.set_state(wire.SREGS, bytes(312)))
        host.vcpu_send(wire.vcpu_error(errno.EINVAL))
        host.vcpu_receive(wire.set_state(wire.MP, bytes(4)))
        host.vcpu_send(wire.vcpu_response("set_state"))
        host.ends(*TO_INIT_LINES, "set_sregs 0", f"set_mp -{errno.EINVAL}", "set_mp 0")


def test_registers_that_came_along():
    """Getting and setting them asks the host nothing: it is stopped until the resume."""
    hinted = wire.io_event(wire.IOPORT, 0x3F8, True, b"A", regs=REGS, sregs=SREGS, debugregs=DEBUGREGS)
    calls = ["get_regs", "get_sregs", "get_debugregs", "set_regs", "set_sregs", "set_debugregs"]
    with Host(*TO_INIT, "resume", "wait", *calls, "resume", "wait", "get_sregs") as host:
        host.to_init()
        host.vcpu_receive(vcpu_request("resume"))
        host.vcpu_send(hinted)
        host.vcpu_receive(wire.resume(regs=REGS, sregs=SREGS, debugregs=DEBUGREGS))
        # They hold for their event only.
        host.vcpu_send(READ)
        host.vcpu_receive(wire.get_state(wire.SREGS))
        host.vcpu_send(state_reply(SREGS))
        debug = f"get_debugregs 0 128 {DEBUGREGS[0]:02x} {DEBUGREGS[-1]:02x}"
        sregs = "get_sregs 0 cr0 0x60000010"
        sets = [f"{call} 0" for call in calls[3:]]
        host.ends(
            *TO_INIT_LINES,
            "resume 0",
            WRITE_LINE,
            "get_regs 0 144 00 00",
            sregs,
            debug,
            *sets,
            "resume 0",
            "wait 0 port read 0x3f8 00",
            sregs,
        )


# ---- Calls at the wrong time ----


def test_calls_while_the_vcpu_runs():
    """Nothing of them reaches the host: the next that it reads is what the plugin may ask."""
    busy = [step.name for step in INIT_LIFE if not step.local] + ["set_regs", "set_sregs", "set_debugregs"]
    busy_lines = [f"{name} -{errno.EBUSY}" for name in busy]
    async_write = wire.io_event(wire.IOPORT, 0x3F9, True, b"\1", no_resume=True)
    early = f"resume -{errno.EINVAL}"
    with Host("connect", *busy, "resume", "wait", "wait", "resume", *busy, "resume", "wait", *busy, "resume") as host:
        host.to_init()
        host.vcpu_receive(vcpu_request("resume"))
        host.vcpu_send(async_write)
        host.ends(
            "connect 0",
            *busy_lines,
            early,
            "wait 0 kind 0",
            f"wait -{errno.EBUSY}",
            "resume 0",
            *busy_lines,
            early,
            "wait 0 port write 0x3f9 01",
            *busy_lines,
            early,
        )
        equal(select.select([host.requests], [], [], 0)[0], [], "requests that were left")


# ---- API 0.23 on a host that does not know it ----

ORIGINAL_INFO = "info 0 0.0.0 features 0 vcpus {} irqchip 0 request 4096 limits 0 0 0 0 0 0 0 0"
NOT_THERE = "end edge_irq_event signal_msi dirty_log_to subscribe msr_filter msr_filter_none".split()
NOT_THERE_VCPU = (
    "set_xsave set_tsc_khz set_nested interrupt irq_window nmi guest_debug translate get_all set_all set_spin"
).split()
NOT_THERE_TOLD = {"set_msrs_counted": " 0", "get_xsave": " 0 ee", "get_tsc_khz": " 238", "get_nested": " 0 ee"}
NOTTY = -errno.ENOTTY


def test_additions():
    """None of them sends anything: the next that the host reads is what it knows."""
    calls = [*NOT_THERE, *NOT_THERE_VCPU, *NOT_THERE_TOLD]
    lines = [f"{name} {NOTTY}{NOT_THERE_TOLD.get(name, '')}" for name in calls]
    local_calls = ["version", "info", "subscribe_unknown", "io_event_length", "routing_all"]
    local_lines = [
        "version 0 0.23.0",
        ORIGINAL_INFO.format(1),
        f"subscribe_unknown -{errno.EINVAL}",
        f"io_event_length -{errno.ENOTSUP}",
        f"routing_all -{errno.E2BIG}",
    ]
    log = main_step_named("logged_memory")
    with Host("connect", "logged_memory", *calls, *local_calls, "wait", *calls, "resume", *calls) as host:
        host.connect()
        log.hear(host)
        log.say(host)
        host.vcpu_receive(vcpu_request("wait"))
        host.vcpu_send(INIT)
        host.vcpu_receive(vcpu_request("resume"))
        host.ends(
            "connect 0", log.line, *lines, *local_lines, "wait 0 kind 0", *lines, "resume 0", *lines
        )
        equal(host.unknown, [wire.features()], "requests that the original host does not know")
        equal(select.select([host.requests, host.main], [], [], 0)[0], [host.main], "requests that were left")
        equal(host.main.recv(REQUEST_BYTES), b"", "requests that were left")


def test_additions_after_death():
    """The end of the VM comes before what the host never knew."""
    vcpu_calls = ["wait_0", *NOT_THERE_VCPU]
    main_calls = [name for name in NOT_THERE if name != "dirty_log_to"]
    gone = -errno.ECONNRESET
    with Host("connect", "wait", *vcpu_calls, "extension", *main_calls, "pause_set") as host:
        host.connect()
        host.vcpu_receive(vcpu_request("wait"))
        host.die()
        host.ends(
            "connect 0",
            *(f"{name} {gone}" for name in ("wait", *vcpu_calls, "extension", *main_calls, "pause_set")),
        )


def test_pause_set():
    """By the message of API 0.22, of which it is the first word; vCPUs that there are not are cut off."""
    for vcpu_count, mask, far in ((1, 1, None), (2, 1, None), (3, 5, None), (64, 5, None), (100, 5, NOTTY)):
        with Host("connect", "pause_set", "pause_far", "pause_nobody", "info") as host:
            host.answer(request("get_vcpus"), response("get_vcpus"), host.plugin_ends * vcpu_count)
            host.answer(wire.pause_vcpus(mask, 2**64 - 1), response("pause_vcpus"))
            if far is None:
                host.answer(wire.pause_vcpus(1, 2**64 - 1), response("pause_vcpus"))
            host.answer(wire.pause_vcpus(0, 0), response("pause_vcpus"))
            host.ends(
                "connect 0", "pause_set 0", f"pause_far {far or 0}", "pause_nobody 0", ORIGINAL_INFO.format(vcpu_count)
            )


def test_wait_with_timeout():
    """Nothing is lost, neither the question nor a part of an event."""
    frame = wire.frame(WRITE)
    calls = ["wait_0", "wait_0", "extension", "wait_long", "wait_0", "resume", "wait_0", "extension", "wait_0"]
    with Host("connect", *calls, "extension", "wait_ever") as host:
        host.connect()
        host.vcpu_receive(vcpu_request("wait"))
        host.answer(request("check_extension"), response("check_extension_yes"))
        host.vcpu_send(INIT)
        host.vcpu_receive(vcpu_request("resume"))
        for piece in (frame[:3], frame[3:]):
            host.receive(request("check_extension"))
            os.write(host.events, piece)
            host.send(response("check_extension_yes"))
        again = f"wait_0 -{errno.EAGAIN}"
        host.ends(
            "connect 0",
            again,
            again,
            "extension 0 yes",
            "wait_long 0 kind 0",
            f"wait_0 -{errno.EBUSY}",
            "resume 0",
            again,
            "extension 0 yes",
            again,
            "extension 0 yes",
            WRITE_LINE.replace("wait", "wait_ever"),
        )
        equal(select.select([host.requests], [], [], 0)[0], [], "requests that were left")


def send_when_asked(host, *bodies):
    """Events that come at the client's step "extension", hence after the one before it."""
    host.receive(request("check_extension"))
    host.vcpu_send(*bodies)
    host.send(response("check_extension_yes"))


def test_poll_fd():
    """It asks for events, is silent while one is held, and tells of each of several that came in one read."""
    async_write = wire.io_event(wire.IOPORT, 0x3F9, True, b"\1", no_resume=True)
    first = ["poll", "extension", "poll_long", "poll", "wait", "poll", "resume", "poll", "extension", "poll_long"]
    with Host("connect", *first, *["wait", "poll"] * 3) as host:
        host.connect()
        host.vcpu_receive(vcpu_request("wait"))
        send_when_asked(host, INIT)
        host.vcpu_receive(vcpu_request("resume"))
        send_when_asked(host, async_write, async_write, WRITE)
        line = "wait 0 port write 0x3f9 01"
        polls = ["poll 0", "extension 0 yes", "poll_long 1", "poll 1", "wait 0 kind 0", "poll 0", "resume 0"]
        polls += ["poll 0", "extension 0 yes", "poll_long 1"]
        host.ends("connect 0", *polls, line, "poll 1", line, "poll 1", WRITE_LINE, "poll 0")


def test_poll_fd_and_an_event_before_a_reply():
    """The event was read along with the reply, and nothing is in the pipe any more."""
    async_write = wire.io_event(wire.IOPORT, 0x3F9, True, b"\1", no_resume=True)
    calls = ["poll", "get_sregs", "poll", "resume", "poll", "wait", "poll", "extension", "poll_long", "wait"]
    with Host(*TO_WRITE, *calls) as host:
        host.to_write_event()
        host.vcpu_receive(vcpu_request("get_state_sregs"))
        host.vcpu_send(async_write, state_reply(SREGS))
        host.vcpu_receive(vcpu_request("resume"))
        send_when_asked(host, READ)
        host.ends(
            *TO_WRITE_LINES,
            "poll 0",
            "get_sregs 0 cr0 0x60000010",
            "poll 0",
            "resume 0",
            "poll 1",
            "wait 0 port write 0x3f9 01",
            "poll 0",
            "extension 0 yes",
            "poll_long 1",
            "wait 0 port read 0x3f8 00",
        )


def test_poll_fd_and_the_end():
    gone = -errno.ECONNRESET
    for held in (False, True):
        calls = ["poll"] if held else ["resume"]
        with Host(*TO_INIT, *calls, "extension", "poll_long", "wait_0" if not held else "resume", "poll") as host:
            host.to_init()
            if not held:
                host.vcpu_receive(vcpu_request("resume"))
            host.receive(request("check_extension"))
            host.die()
            last = f"resume {gone}" if held else f"wait_0 {gone}"
            first = "poll 0" if held else "resume 0"
            host.ends(*TO_INIT_LINES, first, f"extension {gone}", "poll_long 1", last, f"poll {gone}")


def test_event_of_a_later_api():
    """An original host sends none, and a client that gets one makes of it what it is."""
    with Host(*TO_INIT, "resume", "wait", "resume", "wait") as host:
        host.to_init()
        host.vcpu_receive(vcpu_request("resume"))
        host.vcpu_send(GOLDEN["VcpuResponse", "hlt"])
        host.vcpu_receive(vcpu_request("resume"))
        host.vcpu_send(WRITE)
        host.ends(*TO_INIT_LINES, "resume 0", "wait 0 kind 8", "resume 0", WRITE_LINE)


# ---- Ends of a channel, and extensions ----


def test_no_sigpipe():
    """The host has closed the end that the client writes, and no other."""
    for last in ("resume", "get_mp", "set_mp", "get_msrs"):
        with Host(*TO_INIT, last, "wait", "extension") as host:
            host.connect()
            host.vcpu_receive(vcpu_request("wait"))
            os.close(host.requests)
            host.requests = -1
            host.vcpu_send(INIT)
            host.answer(request("check_extension"), response("check_extension_yes"))
            gone = -errno.ECONNRESET
            host.ends(*TO_INIT_LINES, f"{last} {gone}", f"wait {gone}", "extension 0 yes")


def test_events_kept_while_a_reply_is_awaited():
    """As many as come, in their order, cut anywhere."""
    writes = [wire.io_event(wire.IOPORT, 0x3F9, True, bytes([i]), no_resume=True) for i in range(5)]
    reply = wire.vcpu_response("get_state", wire.blob(1, SREGS))
    data = b"".join(wire.frame(body) for body in (*writes, reply))
    for cut in (len(wire.frame(writes[0])) + 1, len(data) - len(SREGS), len(data) - 1):
        with Host(*TO_WRITE, "get_sregs", "resume", *["wait"] * 6) as host:
            host.to_write_event()
            host.vcpu_receive(vcpu_request("get_state_sregs"))
            host.vcpu_send_pieces(data, cut)
            host.vcpu_receive(vcpu_request("resume"))
            host.vcpu_send(READ)
            lines = [f"wait 0 port write 0x3f9 {i:02x}" for i in range(5)]
            host.ends(
                *TO_WRITE_LINES, "get_sregs 0 cr0 0x60000010", "resume 0", *lines, "wait 0 port read 0x3f8 00"
            )


def test_extensions_are_refused():
    """What this host says to members that it does not know, and that it then waits for the next request."""
    with Host("connect") as host:
        # In the client's place, which has said what it had to say.
        host.connect()
        host.ends("connect 0")
        host.main.close()
        host.main, client = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for data in (wire.member(200), wire.member(250, wire.number(1, 1)), wire.start()):
            client.send(data)
        host.receive(wire.start())
        equal([client.recv(64) for _ in range(2)], [wire.main_error(errno.ENOTTY)] * 2, "answers to extensions")
        client.close()
        os.write(host.plugin_ends[0], wire.member(100))
        # One request at a time: the original host takes what it reads for one.
        equal(host.vcpu_read(), None, "an extension on the vCPU channel")
        equal(os.read(host.plugin_ends[1], 64), wire.frame(wire.vcpu_error(errno.ENOTTY)), "its answer")


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
    Host.PROBE = sys.argv[1]
    names = [name for name in globals() if name.startswith("test_")]
    tap.run([(name[len("test_") :], globals()[name]) for name in names])


if __name__ == "__main__":
    main()
