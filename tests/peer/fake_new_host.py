#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Clients of our library (client_probe.c) with a host of API 0.23 that is played by hand: what the additions send, and
what becomes of answers and events that make sense, or none.

usage: fake_new_host.py CLIENT_PROBE
"""

import errno
import os
import select
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

import tap
import wire
from fake_host import exchanges, play_main, play_vcpu, play_wrong_main_replies, wrong_replies
from original_host import (
    GOLDEN,
    INIT,
    REGS,
    TO_INIT,
    TO_INIT_LINES,
    WRITE,
    WRITE_LINE,
    Host,
    Step,
    command,
    eventfds,
    main_step,
    request,
    response,
    vcpu_request,
)
from tap import equal

BAD = -errno.EPROTO
NOTTY = -errno.ENOTTY
ALL_FEATURES = (1 << 16) - 1
REQUEST_BYTES = 131072
INFO = {
    "version_major": 1,
    "version_minor": 2,
    "version_patch": 3,
    "features": ALL_FEATURES,
    "vcpu_count": 1,
    "irqchip": 1,
    "request_bytes": REQUEST_BYTES,
    "connections": 1,
    "ranges": 2,
    "events": 3,
    "memory_slots": 4,
    "memory_bytes": 5,
    "irq_routes": 6,
    "cpuid_entries": 7,
    "msrs": 8,
}
INFO_LINE = "info 0 1.2.3 features 0xffff vcpus 1 irqchip 1 request 131072 limits 1 2 3 4 5 6 7 8"


class NewHost(Host):
    """One vCPU, every feature; the channels are pipes all the same, which the library takes as well."""

    IS_ORIGINAL = False

    def receive(self, wanted, fd_count=0):
        """Of up to REQUEST_BYTES."""
        data, control, flags, _ = self.main.recvmsg(REQUEST_BYTES, 4096)
        assert not flags, f"recvmsg flags {flags:#x}"
        if wanted is not None:
            equal(data, wanted, "a main request")
        fds = [fd for _, _, rights in control for (fd,) in struct.iter_unpack("i", rights)]
        for fd in fds:
            os.close(fd)
        equal(len(fds), fd_count, "fds of a main request")

    def say_features(self, **changes):
        self.answer(wire.features(), wire.features_response(**{**INFO, **changes}))

    def connect(self, **changes):
        self.say_features(**changes)
        self.answer(wire.get_vcpus_from(0), response("get_vcpus_from"), self.plugin_ends)


# ---- To connect ----


def test_info():
    with NewHost("connect", "info", "version", "last_vcpu") as host:
        host.connect()
        host.ends("connect 0", INFO_LINE, "version 0 0.23.0", "last_vcpu 0 of 1")


def test_replies_to_features():
    """One that says no is an original host; one that makes no sense is none."""
    read_end, write_end = os.pipe()
    for reply, fds, result in (
        (response("features_bare"), [], BAD),
        (response("features_max"), [], BAD),
        (wire.features_response(**{**INFO, "vcpu_count": 0}), [], BAD),
        (wire.features_response(**{**INFO, "vcpu_count": 1025}), [], BAD),
        (wire.features_response(**{**INFO, "request_bytes": 0}), [], BAD),
        (wire.features_response(**{**INFO, "version_major": 0, "version_minor": 0, "version_patch": 0}), [], BAD),
        (response("features"), [write_end], BAD),
        (response("start"), [], BAD),
        (wire.number(77, 1), [], BAD),
        (b"\xff\xff\xff", [], BAD),
        (b"", [], -errno.ECONNRESET),
        (wire.main_error(errno.EPERM), [], -errno.EPERM),
        (wire.main_error(errno.ENOSYS), [], -errno.ENOSYS),
        (wire.main_error(4096), [], BAD),
    ):
        with NewHost("fds", "connect", "fds", "info") as host:
            host.answer(wire.features(), reply, fds)
            host.ends("fds 0 +0", f"connect {result}", "fds 0 -1", f"info -{errno.EINVAL}")
    os.close(read_end)
    os.close(write_end)


def hand_over(host, counts):
    """Packets with so many vCPUs each."""
    first = 0
    for count in counts:
        host.answer(wire.get_vcpus_from(first), response("get_vcpus_from"), host.plugin_ends * count)
        first += count


def test_vcpus_in_packets():
    for counts in (
        [17],
        [1] * 17,
        [10, 7],
        [64],
        [63, 1],
        [64, 1],
        [1, 64],
        [64, 64, 64, 8],
        [63, 64, 1, 9, 63],
    ):
        total = sum(counts)
        with NewHost("fds", "connect", "fds", "last_vcpu", "drop", "fds") as host:
            host.say_features(vcpu_count=total)
            hand_over(host, counts)
            host.ends(
                "fds 0 +0", "connect 0", f"fds 0 +{2 * total}", f"last_vcpu 0 of {total}", "drop 0", "fds 0 -1"
            )


def test_bad_packets_of_vcpus():
    """After none, some, or all but one of 65; none of the fds that came stays."""
    get, no = response("get_vcpus_from"), wire.main_error
    for counts in ([], [1], [17, 30], [64]):
        rest = 65 - sum(counts)
        room = min(rest, 64)
        for reply, fd_count, result in (
            (get, 0, BAD),
            (get, 1, BAD),
            (get, 2 * room + 1, BAD),
            (get, min(2 * room + 2, 253), BAD),
            (get, 253, BAD),
            (response("get_vcpus"), 2, BAD),
            (response("start"), 0, BAD),
            (no(errno.EALREADY), 0, -errno.EALREADY),
            (no(errno.EALREADY), 2, BAD),
            (no(4096), 0, BAD),
            (b"\xff\xff\xff", 2, BAD),
            (None, 0, -errno.ECONNRESET),
        ):
            with NewHost("fds", "connect", "fds") as host:
                host.say_features(vcpu_count=65)
                hand_over(host, counts)
                host.receive(wire.get_vcpus_from(sum(counts)))
                if reply is None:
                    host.main.close()
                else:
                    host.send(reply, (host.plugin_ends * 127)[:fd_count])
                host.ends("fds 0 +0", f"connect {result}", "fds 0 -1")


# ---- The calls ----

CPUID_ENTRY = struct.pack("<7I12x", 0x80000001, 2, 5, 1, 2, 3, 4)
CPUID_TEXT = " of 1, 80000001/2 flags 5: 1 2 3 4"
ALL_ROUTES = wire.set_irq_routing(
    wire.irqchip_route(1, 2, 1), *(wire.msi_route(23 + i, 0xFEE00000, 0x41) for i in range(1, 4096))
)
DEBUG = struct.pack("<I", 3) + bytes(68)


def cpuid_reply(*entries):
    return wire.main_response("get_cpuid", wire.blob(1, b"".join(entries)))


MAIN_ADDITIONS = [
    main_step("end", wire.get_end(), response("get_end"), " 2 8 -1 3 end"),
    main_step(
        "edge_irq_event", wire.create_ext_irq_event(0, 5), response("create_ext"), " 7 alone", fds=eventfds(7)
    ),
    command("io_event_length", wire.create_ext_io_event(1, wire.MMIO, 0x1000, 4), "create_ext", fds=eventfds(0)),
    main_step("signal_msi", request("signal_msi"), response("signal_msi"), result=1),
    main_step("signal_msi", request("signal_msi"), response("signal_msi_blocked")),
    command("pause_set", wire.pause_set(struct.pack("<Q", 1), 2**64 - 1), "pause_set"),
    command("pause_nobody", request("pause_set_none"), "pause_set"),
    command("subscribe", request("subscribe_exits"), "subscribe_exits"),
    command("msr_filter", request("set_msr_filter"), "set_msr_filter"),
    command("msr_filter_none", request("set_msr_filter_unknown"), "set_msr_filter"),
    command("routing_all", ALL_ROUTES, "set_irq_routing"),
    main_step("supported_cpuid", wire.get_cpuid(), cpuid_reply(CPUID_ENTRY), CPUID_TEXT),
    main_step("emulated_cpuid", wire.get_cpuid(emulated=True), response("get_cpuid_nothing"), " of 0"),
    main_step(
        "dirty_log_to",
        wire.dirty_log_to(2, 2048),
        wire.main_response("dirty_log_to", wire.number(1, 2)),
        needs="logged_memory",
        fd_count=1,
    ),
]


def vcpu_done(name, sent, member):
    return Step(name, sent=sent, got=wire.vcpu_response(member))


VCPU_ADDITIONS = [
    Step("set_msrs_counted", " 3", wire.set_msrs_counted((0xC0000080, 0x500), (0x10, 0), (0x174, 0)), GOLDEN["VcpuResponse", "set_msrs_counted"]),
    Step("get_xsave", " 3 aa", wire.get_ext_state(wire.XSAVE), GOLDEN["VcpuResponse", "get_ext_state"]),
    vcpu_done("set_xsave", wire.set_ext_state(wire.XSAVE, b"\xaa\xbb\xcc"), "set_ext_state"),
    Step("get_tsc_khz", " 200000", wire.get_ext_state(wire.TSC_KHZ), wire.vcpu_response("get_ext_state", wire.blob(1, b"\x40\x0d\x03\0"))),
    vcpu_done("set_tsc_khz", vcpu_request("set_ext_state"), "set_ext_state"),
    Step("get_nested", " 3 aa", wire.get_ext_state(wire.NESTED), GOLDEN["VcpuResponse", "get_ext_state"]),
    vcpu_done("set_nested", wire.set_ext_state(wire.NESTED, b"\xaa\xbb\xcc"), "set_ext_state"),
    vcpu_done("interrupt", vcpu_request("interrupt"), "interrupt"),
    vcpu_done("irq_window", vcpu_request("request_irq_window"), "request_irq_window"),
    vcpu_done("nmi", vcpu_request("nmi"), "nmi"),
    vcpu_done("guest_debug", wire.set_guest_debug(DEBUG), "set_guest_debug"),
    Step("translate", " 5000 1 1 1", vcpu_request("translate"), GOLDEN["VcpuResponse", "translate"]),
    vcpu_done("set_cpuid", wire.set_cpuid_raw(struct.pack("<7I12x", 0x80000001, 2, 1, 1, 2, 3, 4)), "set_cpuid_raw"),
]

# What a call says of itself when it fails, beside the error.
TOLD = {
    "set_msrs_counted": " 0",
    "get_xsave": " 0 ee",
    "get_tsc_khz": " 238",
    "get_nested": " 0 ee",
    "supported_cpuid": "",
}


def test_life():
    (log,) = [command("logged_memory", wire.create_memory(2, 0, 0x1000, 0x9000, True, True), "create", fd_count=1)]
    life = [*MAIN_ADDITIONS[:3], log, *MAIN_ADDITIONS[3:]]
    names = [step.name for step in life + VCPU_ADDITIONS]
    with NewHost("connect", *names[: len(life)], "wait", *names[len(life) :]) as host:
        host.connect()
        for step in life:
            step.hear(host)
            step.say(host)
        host.vcpu_receive(vcpu_request("wait"))
        host.vcpu_send(INIT)
        for step in VCPU_ADDITIONS:
            step.hear(host)
            step.say(host)
        lines = [step.line for step in life + VCPU_ADDITIONS]
        host.ends("connect 0", *lines[: len(life)], "wait 0 kind 0", *lines[len(life) :])


def test_wrong_replies_to_each_main_call():
    for step in exchanges(MAIN_ADDITIONS):
        play_wrong_main_replies(step, NewHost)


def test_wrong_replies_to_each_vcpu_call():
    for step in exchanges(VCPU_ADDITIONS):
        told = TOLD.get(step.name, "")
        replies = [(reply, f"{step.name} -{code}{told}") for reply, code in wrong_replies(step)]
        play_vcpu(step, replies, NewHost)


def one(life, name):
    return [step for step in life if step.name == name][0]


def test_wrong_sizes():
    """Sizes and counts that the right member brings."""
    state = wire.vcpu_response
    for name, replies in (
        (
            "get_tsc_khz",
            [(state("get_ext_state", wire.blob(1, bytes(n))), f"{BAD} 238") for n in (0, 1, 3, 5, 8, 4000)],
        ),
        (
            "set_msrs_counted",
            [
                (GOLDEN["VcpuResponse", "set_msrs_counted_none"], "0 0"),
                (state("set_msrs_counted", wire.number(1, 4)), f"{BAD} 0"),
                (GOLDEN["VcpuResponse", "set_msrs_counted_max"], f"{BAD} 0"),
            ],
        ),
        (
            "get_xsave",
            [
                (GOLDEN["VcpuResponse", "get_ext_state_nothing"], "0 0 ee"),
                (state("get_ext_state", wire.blob(1, b"\1" * 64)), "0 64 01"),
                (state("get_ext_state", wire.blob(1, b"\1" * 65)), f"-{errno.E2BIG} 65 ee"),
                (state("get_ext_state", wire.blob(1, b"\1" * 60000)), f"-{errno.E2BIG} 60000 ee"),
            ],
        ),
        (
            "translate",
            [(GOLDEN["VcpuResponse", "translate_nowhere"], "0 0 0 0 0")],
        ),
    ):
        play_vcpu(one(VCPU_ADDITIONS, name), [(reply, f"{name} {text}") for reply, text in replies], NewHost)
    for name, replies in (
        (
            "supported_cpuid",
            [
                (cpuid_reply(CPUID_ENTRY[:-1]), BAD),
                (cpuid_reply(CPUID_ENTRY, b"\1"), BAD),
                (cpuid_reply(*[CPUID_ENTRY] * 4), f"-{errno.E2BIG} of 4"),
                (cpuid_reply(*[CPUID_ENTRY] * 300), f"-{errno.E2BIG} of 300"),
            ],
        ),
        (
            "dirty_log_to",
            [
                (wire.main_response("dirty_log_to", wire.number(1, n)), 0 if n == 8 else BAD)
                for n in (0, 1, 3, 7, 8, 9, 2**64 - 1)
            ],
        ),
        (
            "end",
            [
                (response("get_end_bare"), "0 0 0 0 0 "),
                (response("get_end_max"), f"0 {2**32 - 1} {2**31 - 1} {2**31 - 1} 0 "),
                (response("get_end_min"), f"0 0 {-(2**31)} {-(2**31)} 0 "),
                # As much of a long text as there is room for.
                (wire.get_end_response(1, 9, 0, b"x" * 255), f"0 1 9 0 255 {'x' * 20}"),
                (wire.get_end_response(1, 9, 0, b"x" * 256), f"0 1 9 0 255 {'x' * 20}"),
                (wire.get_end_response(1, 9, 0, b"x" * 60000), f"0 1 9 0 255 {'x' * 20}"),
            ],
        ),
    ):
        step = one(MAIN_ADDITIONS, name)
        for _ in play_main(step, [(reply, (), f"{name} {text}") for reply, text in replies], NewHost):
            pass


def test_request_bytes():
    """What the host takes is what the library sends, and never more than it knows itself."""
    for request_bytes, fits in ((len(ALL_ROUTES), True), (len(ALL_ROUTES) - 1, False), (2**32 - 1, True), (100, False)):
        with NewHost("connect", "info", "routing_all", "extension") as host:
            host.connect(request_bytes=request_bytes)
            if fits:
                host.answer(ALL_ROUTES, response("set_irq_routing"))
            host.answer(request("check_extension"), response("check_extension_yes"))
            info = INFO_LINE.replace("131072", str(min(request_bytes, REQUEST_BYTES)))
            host.ends("connect 0", info, f"routing_all {0 if fits else -errno.E2BIG}", "extension 0 yes")


FEATURE_OF = {
    1: ["edge_irq_event"],
    4: [],  # pause_set falls back
    5: ["signal_msi"],
    6: ["subscribe"],
    7: ["msr_filter", "msr_filter_none"],
    8: ["get_xsave", "set_xsave"],
    9: ["get_tsc_khz", "set_tsc_khz"],
    10: ["get_nested", "set_nested"],
    11: ["interrupt", "irq_window"],
    12: ["guest_debug"],
    13: ["translate"],
    14: ["get_all", "set_all"],
    15: ["end"],
}


def test_features_that_are_missing():
    """Each alone: its calls, and no others, send nothing."""
    for bit, names in FEATURE_OF.items():
        with NewHost("connect", *names, "io_event_length", "extension") as host:
            host.connect(features=ALL_FEATURES & ~(1 << bit))
            lines = [f"{name} {NOTTY}{TOLD.get(name, '')}" for name in names]
            if bit == 1:
                lines.append(f"io_event_length -{errno.ENOTSUP}")
            else:
                host.receive(None)
                host.answer_with(response("create_ext"), [os.eventfd(0)])
                lines.append("io_event_length 0")
            host.answer(request("check_extension"), response("check_extension_yes"))
            host.ends("connect 0", *lines, "extension 0 yes")
            equal(select.select([host.requests], [], [], 0)[0], [], "requests that were left")
    # With the kernel's interrupt controllers it is the VM that has no use for them.
    with NewHost("connect", "interrupt", "irq_window") as host:
        host.connect(features=ALL_FEATURES & ~(1 << 11), irqchip=0)
        host.ends("connect 0", f"interrupt -{errno.ENXIO}", f"irq_window -{errno.ENXIO}")


def test_pause_set():
    """Cut to the vCPUs that there are."""
    for vcpu_count, near, far in (
        (2, struct.pack("<Q", 1), struct.pack("<Q", 1)),
        (64, struct.pack("<Q", 5), struct.pack("<Q", 1)),
        (65, struct.pack("<QQ", 5, 0), struct.pack("<QQ", 1, 1)),
        (200, struct.pack("<QQQ", 5, 0, 0), struct.pack("<QQ", 1, 1)),
    ):
        with NewHost("connect", "pause_set", "pause_far") as host:
            host.say_features(vcpu_count=vcpu_count)
            hand_over(host, [64] * (vcpu_count // 64) + ([vcpu_count % 64] if vcpu_count % 64 else []))
            for mask in (near, far):
                host.answer(wire.pause_set(mask, 2**64 - 1), response("pause_set"))
            host.ends("connect 0", "pause_set 0", "pause_far 0")


# ---- The whole state of a vCPU ----

EXT_STATE = {
    wire.XSAVE: bytes(4096),
    wire.TSC_KHZ: b"\x40\x0d\x03\0",
    wire.NESTED: struct.pack("<HHI", 0, 0, 128) + bytes(120),
    wire.CPUID: CPUID_ENTRY * 3,
    wire.MSR_INDICES: struct.pack("<300I", *range(0x174, 0x174 + 300)),
}


def state_of(data):
    """The reply of a host to a request for a part of the state."""
    ((field, body),) = wire.fields(data)
    if field == 3:
        state = bytes(wire.VCPU_STATE_BYTES[wire.read(body, {1: "set"}).get("set", 0)])
        return wire.vcpu_response("get_state", wire.blob(1, state))
    if field == 102:
        state = EXT_STATE[wire.read(body, {1: "set"}).get("set", 0)]
        return wire.vcpu_response("get_ext_state", wire.blob(1, state))
    equal(field, 5, f"what get_all asks for: {data[:40].hex(' ')}")
    count = sum(not byte & 0x80 for byte in wire.read(body, {1: "indices"})["indices"])
    return wire.vcpu_response("get_msrs", wire.packed(1, [7] * count))


def get_all(line, bad_at=None, bad=None):
    """Return the requests that it made; the one with number `bad_at` gets the reply `bad`."""
    requests = []
    with NewHost(*TO_INIT, "get_all", "resume") as host:
        host.to_init()
        while (data := host.vcpu_read()) != vcpu_request("resume"):
            host.vcpu_send(bad if len(requests) == bad_at else state_of(data))
            requests.append(data)
        host.ends(*TO_INIT_LINES, f"get_all {line}", "resume 0")
    return requests


def test_get_all():
    """A wrong reply to any of its requests is its end, and the vCPU can go on."""
    requests = get_all(0)
    assert len(requests) > 12, requests
    for at, refused in enumerate(requests):
        for bad in (wire.vcpu_response("set_state"), wire.number(77, 1), wire.vcpu_error(4096)):
            equal(get_all(BAD, at, bad), requests[: at + 1], "requests of a get_all that failed")
        # KVM may have no frequency to tell.
        may_fail = refused == wire.get_ext_state(wire.TSC_KHZ)
        made = get_all(0 if may_fail else -errno.EPERM, at, wire.vcpu_error(errno.EPERM))
        equal(made, requests if may_fail else requests[: at + 1], "requests of a get_all that was refused")


# ---- Events ----

EVENTS = [
    # event, what is told of it, what the resume brings without an answer and with one
    ("msr_read", "msr read 174 0 reason 2", wire.event_answer(), wire.event_answer(0x5A, 1)),
    ("msr_write", "msr write c0000080 500 reason 4", wire.event_answer(0x500), wire.event_answer(0x500, 1)),
    ("msr_max", f"msr write ffffffff {2**64 - 1:x} reason {2**32 - 1}", wire.event_answer(2**64 - 1), wire.event_answer(2**64 - 1, 1)),
    ("debug", "debug 1 1000 4000 400", b"", b""),
    ("hlt", "kind 8", b"", b""),
    ("irq_window", "kind 7", b"", b""),
    ("ioapic_eoi", "eoi 41", b"", b""),
    ("shutdown", "kind 10", wire.event_answer(), wire.event_answer(0, 1)),
    ("internal_error", "internal error 1 of 2: 20 ffffffffffffffff", wire.event_answer(), wire.event_answer(0, 1)),
    ("internal_error_bare", "internal error 0 of 0: 0 0", wire.event_answer(), wire.event_answer(0, 1)),
    ("internal_error_unpacked", "internal error 3 of 2: 20 0", wire.event_answer(), wire.event_answer(0, 1)),
]


def test_events():
    """And their answers, byte by byte."""
    equal(wire.resume(wire.event_answer(0x5A, 1)).hex(" "), "12 12 0a 10 5a 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00")
    for name, text, plain, answered in EVENTS:
        with NewHost(*TO_INIT, "resume", "wait", "resume", "wait", "answer", "resume", "wait") as host:
            host.to_init()
            host.vcpu_receive(vcpu_request("resume"))
            host.vcpu_send(GOLDEN["VcpuResponse", name])
            host.vcpu_receive(wire.resume(plain))
            host.vcpu_send(GOLDEN["VcpuResponse", name])
            host.vcpu_receive(wire.resume(answered))
            host.vcpu_send(WRITE)
            line = f"wait 0 {text}"
            host.ends(*TO_INIT_LINES, "resume 0", line, "resume 0", line, "answer 0", "resume 0", WRITE_LINE)


def test_words_of_an_internal_error():
    """Six are kept, all are counted."""
    for count in (6, 7, 16, 1000):
        body = wire.internal_error_event(2, *range(1, count + 1))
        with NewHost(*TO_INIT, "resume", "wait") as host:
            host.to_init()
            host.vcpu_receive(vcpu_request("resume"))
            host.vcpu_send(body)
            host.ends(*TO_INIT_LINES, "resume 0", f"wait 0 internal error 2 of {count}: 1 2")


def test_refused_answer():
    """The same event again, and with it its answer from the beginning."""
    event = GOLDEN["VcpuResponse", "msr_read"]
    with NewHost(*TO_INIT, "resume", "wait", "answer", "resume", "wait", "resume", "wait") as host:
        host.to_init()
        host.vcpu_receive(vcpu_request("resume"))
        host.vcpu_send(event)
        host.vcpu_receive(wire.resume(wire.event_answer(0x5A, 1)))
        host.vcpu_send(wire.vcpu_error(errno.EINVAL) + event)
        host.vcpu_receive(wire.resume(wire.event_answer()))
        host.vcpu_send(GOLDEN["VcpuResponse", "hlt_again"])
        text = "msr read 174 0 reason 2"
        again = f"wait -{errno.EINVAL} {text}"
        hlt = f"wait -{errno.EINVAL} kind 8"
        host.ends(*TO_INIT_LINES, "resume 0", f"wait 0 {text}", "answer 0", "resume 0", again, "resume 0", hlt)


def test_registers_with_an_answer():
    with NewHost(*TO_INIT, "resume", "wait", "set_regs", "answer", "resume") as host:
        host.to_init()
        host.vcpu_receive(vcpu_request("resume"))
        host.vcpu_send(GOLDEN["VcpuResponse", "shutdown"])
        host.vcpu_receive(wire.resume(wire.event_answer(0, 1), regs=REGS))
        host.ends(*TO_INIT_LINES, "resume 0", "wait 0 kind 10", "set_regs 0", "answer 0", "resume 0")


def test_events_of_no_kind():
    """The host holds the vCPU at an event that nobody can answer: the channel is used no more."""
    for body in (
        GOLDEN["VcpuResponse", "event_of_no_kind"],
        wire.event(wire.member(8)),
        wire.event(wire.member(99, wire.number(1, 1))),
    ):
        with NewHost(*TO_INIT, "resume", "wait", "wait", "resume", "poll") as host:
            host.to_init()
            host.vcpu_receive(vcpu_request("resume"))
            host.vcpu_send(body)
            host.ends(
                *TO_INIT_LINES, "resume 0", f"wait {BAD}", f"wait {BAD}", f"resume {BAD}", f"poll {BAD}"
            )


def test_messages_of_no_kind():
    """Neither an event nor a reply that was asked for."""
    for body in (wire.member(151), wire.member(149, b"strange"), wire.vcpu_response("set_state"), b""):
        with NewHost(*TO_INIT, "resume", "wait", "wait") as host:
            host.to_init()
            host.vcpu_receive(vcpu_request("resume"))
            host.vcpu_send(body)
            host.vcpu_send(WRITE)
            host.ends(*TO_INIT_LINES, "resume 0", f"wait {BAD}", WRITE_LINE)


def test_event_before_a_reply():
    """One of the additions is kept as any is."""
    async_write = wire.io_event(wire.IOPORT, 0x3F9, True, b"\1", no_resume=True)
    with NewHost(*TO_INIT, "translate", "resume", "poll", "wait", "wait") as host:
        host.to_init()
        host.vcpu_receive(vcpu_request("translate"))
        host.vcpu_send(async_write, GOLDEN["VcpuResponse", "hlt"], GOLDEN["VcpuResponse", "translate"])
        host.vcpu_receive(vcpu_request("resume"))
        lines = ["translate 0 5000 1 1 1", "resume 0", "poll 1", "wait 0 port write 0x3f9 01", "wait 0 kind 8"]
        host.ends(*TO_INIT_LINES, *lines)


def test_deferred_set_before_each_addition():
    """They arrive before what changes the vCPU at once, or asks where its registers lead."""
    (done,) = [wire.vcpu_response("set_state")]
    for step in VCPU_ADDITIONS:
        if step.name.startswith("get_"):
            continue
        with NewHost(*TO_INIT, "set_regs", step.name, "resume") as host:
            host.to_init()
            host.vcpu_receive(wire.set_state(wire.REGS, REGS))
            host.vcpu_send(done)
            step.hear(host)
            step.say(host)
            host.vcpu_receive(vcpu_request("resume"))
            host.ends(*TO_INIT_LINES, "set_regs 0", step.line, "resume 0")


def test_additions_while_the_vcpu_runs():
    busy = [step.name for step in VCPU_ADDITIONS]
    lines = [f"{name} -{errno.EBUSY}{TOLD.get(name, '')}" for name in busy]
    with NewHost("connect", *busy, "wait", "resume", *busy) as host:
        host.to_init()
        host.vcpu_receive(vcpu_request("resume"))
        host.ends("connect 0", *lines, "wait 0 kind 0", "resume 0", *lines)
        equal(select.select([host.requests], [], [], 0)[0], [], "requests that were left")


def main():
    Host.PROBE = sys.argv[1]
    names = [name for name in globals() if name.startswith("test_")]
    tap.run([(name[len("test_") :], globals()[name]) for name in names])


if __name__ == "__main__":
    main()
