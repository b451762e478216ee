#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Make the seeds, a directory for each target: from the golden packets, each alone and some in sequence; from policies; by hand.

usage: make_corpus.py DIRECTORY
"""

import os
import sys

sys.dont_write_bytecode = True

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "peer"))

import wire

GOLDEN = wire.load_golden()

# The targets' own: see the FLAG_ and CONTROL_ constants there.
DYING, NO_VM, NO_IRQCHIP = 1, 2, 4
ONE_FD, TWO_FDS, ALL_FDS = 1, 2, 3
OVERLONG = 0x20
INIT, READ, WRITE, UNCLAIMED = range(4)
SIZE_1, SIZE_4, SIZE_PAGE = 0, 4, 12
NO_VCPU, LAST_OVERLONG, LAST_WITH_FDS, VCPU_NO_IRQCHIP = 0x10, 0x20, 0x40, 0x80
EARLY_OTHER = 0x80
OTHER_EXITS = "rdmsr wrmsr debug irq_window hlt ioapic_eoi shutdown internal_error".split()
UNSEALED_MEMFD, WRITE_SEALED_MEMFD, PIPE = 1 << 2, 2 << 2, 3 << 2


def packet(data):
    return len(data).to_bytes(2, "little") + data


def main_input(*packets, flags=0):
    """packets: bytes, or (control, bytes)."""
    out = bytes([flags])
    for item in packets:
        control, data = item if isinstance(item, tuple) else (0, item)
        out += bytes([control]) + packet(data)
    return out


def vcpu_input(flags, *packets, early=0):
    return bytes([flags, early]) + b"".join(packet(data) for data in packets)


def golden(message):
    return {name: data for (kind, name), data in GOLDEN.items() if kind == message}


def main_seeds():
    g = golden("MainRequest")
    memory = (ONE_FD, wire.create_memory(1, 0, 0x1000, 0x4000))
    with_fd = ("create_memory", "dirty_log_to")
    seeds = {name: main_input((ONE_FD if name.startswith(with_fd) else 0, data)) for name, data in g.items()}
    seeds["life"] = main_input(
        g["get_vcpus"], memory, g["reserve_port"], g["start"], g["release_port"], wire.destroy(1), g["start"]
    )
    seeds["memory_overlaps"] = main_input(memory, (ONE_FD, wire.create_memory(2, 0, 0x2000, 0x1000)), memory)
    seeds["memory_over_quota"] = main_input(*[(ONE_FD, wire.create_memory(i, 0, i << 36, 1 << 35)) for i in range(3)])
    seeds["memory_wraps"] = main_input((ONE_FD, wire.create_memory(1, 2**64 - 4096, 0, 8192)))
    seeds["memory_too_high"] = main_input((ONE_FD, wire.create_memory(1, 0, 1 << 46, 4096)))
    for name, kind in (("unsealed", UNSEALED_MEMFD), ("write_sealed", WRITE_SEALED_MEMFD), ("pipe", PIPE)):
        seeds[f"memory_{name}"] = main_input((ONE_FD | kind, memory[1]))
    seeds["memory_no_fd"] = main_input(memory[1])
    seeds["two_fds"] = main_input((TWO_FDS, memory[1]), (TWO_FDS, g["start"]))
    seeds["all_fds"] = main_input((ALL_FDS, memory[1]))
    seeds["connections"] = main_input(g["new_connection"], g["new_connection"], (0x40, b""), (0x40, g["start"]))
    seeds["connections_quota"] = main_input(*[g["new_connection"]] * 64)
    seeds["overlong"] = main_input((OVERLONG, b""), (OVERLONG | ONE_FD, b""), g["check_extension"])
    seeds["empty_packet"] = main_input(b"")
    seeds["garbage"] = main_input(b"\xff" * 12)
    seeds["dying"] = main_input(g["start"], g["get_shutdown_eventfd"], flags=DYING)
    seeds["no_vm"] = main_input(memory, g["check_extension"], g["destroy"], flags=NO_VM)
    ranges = [wire.reserve_range(wire.MMIO, start, 0x1000) for start in (0x1000, 0x3000, 0x1FFF, 2**64 - 0x1000)]
    seeds["ranges"] = main_input(*ranges, wire.reserve_range(wire.MMIO, 0x3000, 0), ranges[1])
    seeds.update(main_sequences_of_additions(g))
    return seeds


def main_sequences_of_additions(g):
    logged = (ONE_FD, wire.create_memory(9, 0, 0x1000, 0x9000, dirty_log=True))
    seeds = {
        "vcpus_one_by_one": main_input(wire.get_vcpus_from(1), wire.get_vcpus_from(0), g["get_vcpus"]),
        "vcpus_twice": main_input(wire.get_vcpus_from(0), wire.get_vcpus_from(1), wire.get_vcpus_from(2)),
        "events": main_input(
            g["create_io_event"], g["create_ext_io_event"], g["create_irq_event"], g["create_ext_irq_event"]
        ),
        "events_destroyed": main_input(g["create_ext_io_event"], g["create_ext_irq_event"], wire.destroy(7), wire.destroy(300)),
        "filters": main_input(g["set_msr_filter"], g["set_msr_filter_unknown"], g["set_msr_filter_none"]),
        "filter_wraps": main_input(wire.set_msr_filter(wire.msr_range(2**32 - 1, 2, reads=True))),
        "filter_of_many": main_input(wire.set_msr_filter(*[wire.msr_range(i << 8, 12288, True, True) for i in range(17)])),
        "end": main_input(g["get_end"], g["start"], flags=DYING),
        "no_irqchip": main_input(g["features"], g["signal_msi"], flags=NO_IRQCHIP),
        "log_to": main_input(logged, (ONE_FD, wire.dirty_log_to(9, 0)), (ONE_FD, wire.dirty_log_to(9, 4095)), g["dirty_log"]),
        "log_to_no_fd": main_input(logged, wire.dirty_log_to(9, 0), (TWO_FDS, wire.dirty_log_to(9, 0))),
        "log_to_far": main_input(logged, (ONE_FD, wire.dirty_log_to(9, 2**64 - 1)), (ONE_FD, wire.dirty_log_to(9, 1 << 36))),
    }
    for name, kind in (("unsealed", UNSEALED_MEMFD), ("write_sealed", WRITE_SEALED_MEMFD), ("pipe", PIPE)):
        seeds[f"log_to_{name}"] = main_input(logged, (ONE_FD | kind, wire.dirty_log_to(9, 0)))
    return seeds


def vcpu_seeds():
    g = golden("VcpuRequest")
    regs, sregs, debugregs = bytes(144), bytes(312), bytes(128)
    sizes = {wire.REGS: 144, wire.SREGS: 312, wire.FPU: 416, wire.DEBUGREGS: 128}
    sizes.update({wire.LAPIC: 1024, wire.MP: 4, wire.XCREGS: 392, wire.EVENTS: 64})
    seeds = {name: vcpu_input(WRITE, data, g["resume"]) for name, data in g.items()}
    seeds["init"] = vcpu_input(INIT, g["wait"], g["resume"])
    seeds["init_early"] = vcpu_input(INIT, g["get_state_regs"], g["resume"], g["wait"], g["wait"], g["resume"])
    seeds["init_registers"] = vcpu_input(INIT, g["wait"], wire.resume(b"", regs, sregs, debugregs))
    bad_sregs = bytearray(sregs)
    bad_sregs[8 * 24 + 2 * 16 + 3] = 0x80  # cr0.PG without PE; cr0 comes after eight segments, gdt and idt
    bad_debugregs = bytes(47) + b"\1" + debugregs[48:]
    seeds["sregs_refused"] = vcpu_input(WRITE, wire.resume(b"", regs, bytes(bad_sregs)), g["resume"])
    seeds["debugregs_refused"] = vcpu_input(WRITE, wire.resume(b"", regs, b"\1" * 64 + sregs[64:], bad_debugregs), g["resume"])
    seeds["read"] = vcpu_input(READ | SIZE_1, g["resume"], g["resume_data"])
    seeds["read_4"] = vcpu_input(READ | SIZE_4, wire.resume(b"\1\2\3\4"))
    seeds["read_page"] = vcpu_input(READ | SIZE_PAGE, wire.resume(bytes(4096)))
    seeds["no_vcpu"] = vcpu_input(READ | NO_VCPU, g["get_state_regs"], wire.resume(b"\1", regs), g["resume_data"])
    seeds["stale"] = vcpu_input(WRITE, *[g["get_state_regs"]] * 3, g["resume"], early=2)
    seeds["stale_resume"] = vcpu_input(WRITE, g["resume"], early=1)
    seeds["stale_flood"] = vcpu_input(WRITE, *[g["wait"]] * 65, early=65)
    seeds["unclaimed"] = vcpu_input(UNCLAIMED, g["resume"])
    seeds["overlong"] = vcpu_input(WRITE | LAST_OVERLONG, g["resume"])
    seeds["fds"] = vcpu_input(WRITE | LAST_WITH_FDS, g["resume"])
    for state_set, size in sizes.items():
        set_request, get_request = wire.set_state(state_set, bytes(size)), wire.get_state(state_set)
        seeds[f"state_{state_set}"] = vcpu_input(WRITE, set_request, get_request, g["resume"])
    for number, name in enumerate(OTHER_EXITS):
        answer = wire.resume(wire.event_answer(7, 1))
        seeds[f"exit_{name}"] = vcpu_input(number, g["resume"], answer, early=EARLY_OTHER)
    sets = {wire.XSAVE: 8192, wire.TSC_KHZ: 4, wire.NESTED: 128 + 4096}
    for state_set in range(5):
        state = bytearray(sets.get(state_set, 40))
        if state_set == wire.NESTED:
            state[4:8] = len(state).to_bytes(4, "little")
        set_request, get_request = wire.set_ext_state(state_set, bytes(state)), wire.get_ext_state(state_set)
        seeds[f"ext_state_{state_set}"] = vcpu_input(WRITE, set_request, get_request, g["resume"])
    seeds["cpuid_raw"] = vcpu_input(INIT, g["wait"], wire.set_cpuid_raw(bytes(40 * 3)), wire.set_cpuid_raw(bytes(41)), g["resume"])
    debug = [wire.set_guest_debug(control.to_bytes(4, "little") + bytes(68)) for control in (3, 1 << 21, 1 << 5)]
    seeds["debug_flags"] = vcpu_input(WRITE, *debug, g["resume"])
    interrupts = [wire.interrupt(vector) for vector in (255, 255, 256)]
    seeds["interrupts"] = vcpu_input(WRITE | VCPU_NO_IRQCHIP, *interrupts, g["request_irq_window"], g["nmi"], g["resume"])
    return seeds


def policy_input(text, kill=False, number=0x100000001):
    return bytes([kill]) + number.to_bytes(8, "little") + text.encode()


def policy_seeds():
    seeds = {}
    for profile in ("default", "strict"):
        with open(os.path.join(HERE, "..", "src", "policy", profile + ".policy"), encoding="ascii") as file:
            for number, section in enumerate(file.read().split("# ---- ")):
                seeds[f"{profile}_{number}"] = policy_input("# " + section, profile == "strict")
    operators = ("==", "!=", "<", "<=", ">", ">=", "&", "in")
    seeds["operators"] = policy_input(
        "pread64: " + " || ".join(f"arg{i % 4} {op} 0x700000007" for i, op in enumerate(operators) if i % 4)
        + "\nfchmod: " + " && ".join(f"arg1 {op} 0{i + 1}7" for i, op in enumerate(operators)) + "; return EPERM\n"
    )  # fmt: skip
    seeds["values"] = policy_input("openat: arg0 == AT_FDCWD && arg2 in ~(O_CREAT | ~-1|(017|0o2)) || arg3 == 0x1ff")
    seeds["numbers"] = policy_input("0: 1\n0x1:1\r\n511: return 4095 # why\nptrace: return EPERM", number=101)
    seeds["long"] = policy_input("lseek: " + " || ".join(f"arg1 == {i}" for i in range(1, 200)))
    mistakes = (
        "read", "read: 1 2", "read: 1\nread: 1", "512: 1", "ptrace: 1", "read: arg1 == (1", "read: arg1 == 08",
        "read: 1; return 1", "read: 1 # \\\nwrite: 1", "read: \\ 1", "@include ./x", "read: arg0 >= 0", "ioctl: arg1 == 1|1<<",
        "read: arg1 == 18446744073709551616", "read: arg1 == O_WHAT", "read: return 0", "ioctl: arg1 == 0x100000000",
    )  # fmt: skip
    seeds.update({f"mistake_{number}": policy_input(text) for number, text in enumerate(mistakes)})
    return seeds


def wire_seeds(main, vcpu):
    """Each golden packet, with ample room for its elements, with little and with none; and the frames, if they are here."""
    seeds = {}
    for is_vcpu, message in enumerate((main, vcpu)):
        for number, (name, data) in enumerate(golden(message).items()):
            seeds[f"{message}_{name}"] = bytes([is_vcpu | number % 3 << 1]) + data
    if main == "MainResponse":
        seeds.update({f"frame_{name}": bytes([3 << 1]) + data for name, data in golden("Frame").items()})
    return seeds


def words(*numbers):
    return b"".join(number.to_bytes(4, "little") for number in numbers)


# The arrays of a plan, as its header has them: name, bytes of an item.
PLAN_ARRAYS = {"gid_lines": 12, "entries": 24, "rlimits": 16, "filter": 8, "argv": 4, "env": 4, "fds": 4, "cgroups": 4}
PLAN_HEADER = 4 * 30 + 8 * len(PLAN_ARRAYS)


def plan(flags=0, **arrays):
    """A plan with these arrays of items, which get the place of the only string."""
    rows = {name: arrays.get(name, []) for name in PLAN_ARRAYS}
    # Items with 64-bit numbers come first.
    order = sorted(PLAN_ARRAYS, key=lambda name: -PLAN_ARRAYS[name] % 8)
    text = PLAN_HEADER + sum(PLAN_ARRAYS[name] * len(rows[name]) for name in order)
    body, places = b"", {}
    for name in order:
        places[name] = words(PLAN_HEADER + len(body), len(rows[name]))
        body += b"".join(words(*(text if word is None else word for word in row)) for row in rows[name])
    size = text + len(b"/a\0")
    header = words(0x4E4C504A, 2, size, flags, 0, 1, 0, *[0] * 16, 1000, 1000, 100000, 100000, text, text, text)
    return header + b"".join(places[name] for name in PLAN_ARRAYS) + body + b"/a\0"


def plan_seeds():
    rule, text = [(6, 0x7FFF0000)], (None,)
    entries = [(kind, kind - 1, None, None, 4096, 0) for kind in range(1, 5)]
    full = plan(
        3, gid_lines=[(5, 6, 7)], entries=entries, rlimits=[(4096, 0, 7, 0)], filter=rule * 3, argv=[text],
        env=[text, text], fds=[(0,), (2,), (255,)], cgroups=[text],
    )  # fmt: skip
    return {
        "full": b"\0" + full,
        "raw": b"\1" + full,
        "short": b"\0" + full[:PLAN_HEADER],
        "least": b"\0" + plan(filter=rule, argv=[text]),
        "fds_twice": b"\0" + plan(filter=rule, argv=[text], fds=[(3,), (3,)]),
    }


def mounts_seeds():
    gid_map, file = 1, 2
    mounts = "/a\n/a:/b\n/a::true\n/a:/b/c:false\n"
    maps = "5\n100:200\n300::4\n2000:3000:50\n"
    seeds = {
        "mounts": (0, mounts), "mounts_file": (file, "# all\n \t/a:/b:true \r\n\n" + mounts + "/c # why"),
        "mounts_wrong": (0, "a\n/a:b\n/a:/\n/a:/../b\n/a:/./b\n/!:/b\n/a:/b:yes\n/a:/b:true:\n\n/a:/b:\n"),
        "mounts_zero": (file, "/a\0:/b\n"), "mounts_file_wrong": (file, mounts + "/a:b\n"),
        "gids": (gid_map, maps), "gids_file": (gid_map | file, "#\n" + maps),
        "gids_wrong": (gid_map, "1000\n990::20\n4294967295\n4294967296\n5::0\nx\n1:2:3:4\n::\n1:x\n1:1:x\n"),
        "gids_overlap": (gid_map, maps + "101\n7:201\n302\n2049:1\n"), "gids_high": (gid_map, "4294967294\n4294967293::2"),
        "gids_many": (gid_map | file, "".join(f"{i + 2000}\n" for i in range(340))),
    }  # fmt: skip
    return {name: bytes([flags]) + text.encode() for name, (flags, text) in seeds.items()}


def limits_seeds():
    texts = (
        "memory=512M,pids=20,fds=100,cpu=0.5", "cpu=50%\0cpu=2.25", "memory=1k\0memory=16777216T", "memory=1G\0memory=9t,memory=7",
        "pids=0", "memory=18446744073709551616", "memory=18446744073709551615K", "cpu=1.234", "cpu=4294967296", "cpu=1.",
        "fds=-1", "fds= 1", "pids=1,", "", "disk=1", "memory", "memory=1MB",
    )  # fmt: skip
    return {f"text_{number}": text.encode() for number, text in enumerate(texts)}


def elf(needed=(), run_path=b"", rpath=b"", interpreter=b"", elf_type=3):
    """An ELF file: header, program headers, dynamic section, strings, interpreter; addresses are offsets."""
    strings, entries = b"\0", []
    for tag, text in [(1, name) for name in needed] + [(29, run_path), (15, rpath)]:
        if text:
            entries.append((tag, len(strings)))
            strings += text + b"\0"
    entries_at = 64 + 3 * 56
    strings_at = entries_at + (len(entries) + 3) * 16
    entries += [(5, strings_at), (10, len(strings)), (0, 0)]
    dynamic = b"".join(word.to_bytes(8, "little") for entry in entries for word in entry)
    size = strings_at + len(strings) + len(interpreter)
    header = b"\x7fELF\2\1\1" + bytes(9) + elf_type.to_bytes(2, "little") + b"\x3e\0" + words(1)
    header += words(0, 0, 64, 0, 0, 0, 0) + b"".join(n.to_bytes(2, "little") for n in (64, 56, 3, 0, 0, 0))
    rows = ((1, 0, size), (2, entries_at, len(dynamic)), (3 if interpreter else 4, size - len(interpreter), len(interpreter)))
    headers = b"".join(words(kind, 4, at, 0, at, 0, at, 0, length, 0, length, 0, 8, 0) for kind, at, length in rows)
    return header + headers + dynamic + strings + interpreter


def elf_seeds():
    libraries, right = 1, 2
    executable = elf([b"libx.so", b"liby.so"], b"$ORIGIN/../lib:/opt/x:${ORIGIN}:/usr/lib", interpreter=b"/lib64/ld.so")
    library = elf([b"libz.so"], rpath=b"/opt/y:/!:relative:")
    stranger = elf([b"a/b", b"", b"libx.so"], b"/a;b:/c", b"/d", interpreter=b"/opt/musl/ld.so", elf_type=2)
    seeds = {
        "file": bytes([0]) + executable, "file_right": bytes([right]) + stranger, "static": bytes([0]) + elf(),
        "short": bytes([0]) + executable[:80], "rpath": bytes([0]) + library,
    }  # fmt: skip
    for name, (first, second) in {"both": (executable, library), "loader": (stranger, executable)}.items():
        first += bytes(-len(first) % 16)
        for flags in (libraries, libraries | right):
            seeds[f"{name}_{flags}"] = bytes([flags, len(first) // 16]) + first + second
    return seeds


def packet_seeds():
    send, by_hand, receive, look, many, keep = 0, 1, 2, 3, 4, 8
    one = bytes([send, 1, 0, 2]) + b"ab"
    return {
        "one": one + bytes([receive, 1, 63]),
        "kept": one + bytes([receive | keep, 3, 63]),
        "truncated": one + bytes([receive, 0, 1]),
        "all": bytes([send | many, 0, 0, 1]) + b"a" + bytes([look, 7, receive | many, 0, 63]),
        "all_but_one": bytes([send | many, 0, 0, 1]) + b"a" + bytes([receive | many, 1, 63]),
        "by_hand": bytes([by_hand, 7, 1, 3]) + b"abc" + bytes([look, 7, look, 6, receive, 4, 63]),
        "empty": bytes([send, 2, 0, 0, receive, 2, 63]),
        "queue": one * 9 + bytes([look, 0]),
    }


def ranges_seeds():
    reserve, release, fill, drain, find, mmio, asynchronous = 0, 1, 2, 3, 4, 8, 16
    filled = b"".join(bytes([fill | mmio, 0, start, 63, 2]) for start in range(4))
    return {
        "reserve": bytes([reserve, 0xF8, 3, 8, reserve, 0xFF, 3, 1, release, 0xF8, 3, reserve, 0xF8, 3, 8]),
        "asynchronous": bytes([reserve | mmio | asynchronous | 3 << 5, 0, 0, 0xFF, find | mmio | 3 << 5, 9, 9, 8]),
        "ports_end": bytes([reserve | 1 << 5, 0xFF, 0, 1, reserve | 1 << 5, 0xF0, 0, 0x10, reserve | 1 << 5, 0xFE, 0, 2]),
        "chunks": filled + bytes([find | mmio, 1, 0, 1, drain | mmio]) + filled,
        "find": bytes([reserve | mmio, 4, 0, 4, find | mmio, 0, 0, 8, find | mmio, 8, 0, 8]),
    }


def page_host_seeds():
    """The host's calls: a byte, a size; then what the plugin does when the host sleeps."""
    posted, message, access, write, deadline, early = 0, 1, 2, 0x10, 0x80, 0x40
    resume, request, sets, tail = 0, 1, 0xC, 0x10
    return {
        "read": bytes([access, 3, 0, resume, 4, 0]),
        "write": bytes([access | write, 99, 3, resume, 0, 0]),
        "request": bytes([message, 7, 0, request, 30, 0, request, 0, 1, resume | sets, 8, 0, 3, 5]),
        "too_long": bytes([access, 3, 0, resume, 0, 17]) + bytes([access, 3, 0, request | 2, 1, 0]),
        "early": bytes([access | early, 3, 0, resume, 4, 0, resume, 4, 0]),
        "posted": bytes([posted | write, 3, 0] * 5 + [access, 1, 0, resume | tail, 2, 0, 5]) + bytes([posted, 0, 9] * 9),
        "late": bytes([access | deadline, 3, 0, 0x81, 8, 1, 0, 0, 0, 0]),
        "words": bytes([access, 3, 0]) + b"".join(bytes([0x80, 3, word * 4, 129]) for word in range(12)),
    }


def page_plugin_seeds():
    """The library's calls: a byte; then what the host does when the library sleeps."""
    resume, request, arm, wait, early = 0, 1, 2, 3, 0x40
    event, posted = 0, 1
    access = bytes([event | 2, 1, 4, 0])
    return {
        "access": bytes([wait]) + access + bytes([resume, wait]) + bytes([event, 1, 0, 1, resume]),
        "message": bytes([wait, event, 2, 30, 0, request, event, 3, 8, 0, resume]),
        "error": bytes([wait, event | 8, 1, 22, 4, 0, wait, event | 8, 1, 128, 4, 0]),
        "posted": bytes([wait, posted, 4, wait, posted | 2, 0, 16, wait, posted | 6, 0, 16, 127, wait, posted | 6, 0, 16, 128]),
        "order": bytes([wait | early, posted, 4, wait | early, posted, 8, wait | early]) + access + bytes([wait, wait, wait]),
        "head": bytes([wait, event | 0x10, 1, 4, 0, 3, wait]),
        "arm": bytes([arm, arm | early]) + access + bytes([wait | 8, wait | 8]),
        "words": bytes([wait]) + b"".join(bytes([0x80, 3, word * 4, 129]) for word in range(16)),
    }


def objects_seeds():
    memory, io, irq, destroy, get_log, write_log = range(6)
    some, logged = bytes([memory, 1, 0, 0, 1, 4]), bytes([memory, 2, 0x20, 0, 9, 4])
    events = bytes([io, 3, 0x14, 1, io, 4, 0x14, 1, io, 5, 0x34, 1, irq, 6, 5, irq, 7, 0x85, irq, 8, 0x43])
    return {
        "memory": b"\0" + some + some + bytes([memory, 3, 0, 0, 4, 1, destroy, 1]) + some,
        "memory_huge": b"\0" + bytes([memory, 1, 4, 0, 0x88, 0x88, memory, 2, 5, 0, 0, 0x86, memory, 3, 5, 0, 0x84, 0x84]),
        "memory_kinds": b"\0" + b"".join(bytes([memory, kind, kind, 0, kind, 1]) for kind in range(8)),
        "log": b"\0" + logged + bytes([get_log, 2, 1, write_log, 2, 0, 0, write_log, 2, 7, 0, get_log, 1, 1]),
        "events": b"\0" + events + bytes([destroy, 4]),
        "full": b"\1" + events + some + logged + bytes([memory, 9, 5, 0, 99, 0x84]),
        "failures": b"\0" + b"".join(bytes([fail << 5 | io, fail, 0x14, 1]) + bytes([fail << 5, 8, 0, 0, 1, 1]) for fail in range(5)),
        "log_failures": b"\0" + logged + b"".join(bytes([fail << 5 | write_log, 2, 0, 0]) for fail in (3, 5, 6)),
    }


def chunk(data, flags=0):
    """What the host sends at once: up to 286 bytes. CHUNK_SIZE is a byte more, if all its bits are set."""
    size = min(len(data), 31)
    return bytes([flags | size]) + (bytes([len(data) - size]) if size == 31 else b"") + data


def chunks(*parts):
    """What the host sends on a channel."""
    data = b"".join(parts)
    return b"".join(chunk(data[at : at + 286]) for at in range(0, len(data), 286))


# The numbers of the target's calls.
CHANNEL, VCPU, CONNECTION = range(3)
GET_REGS, GET_SREGS, GET_MSRS, GET_HYPERV, GET_XSAVE, TRANSLATE, GET_FPU = 4, 6, 7, 8, 9, 10, 11
FETCH_FDS, FEATURES, GET_CPUID, GET_MSR_LIST, GET_NET, GET_PIC, DIRTY_LOG = range(1, 8)
# Loops and copies are of so many kinds of turns.
COUNTS = (*range(10), 15, 16, 17)


def client_replies():
    """What a vCPU's calls are answered with, by the call: lengths and counts that fit, and those that are just wrong."""
    state = lambda size: wire.member(4, wire.blob(1, bytes(size)))
    yield from ((GET_REGS, f"regs_{size}", state(size)) for size in (143, 144, 145))
    yield from ((GET_SREGS, f"sregs_{size}", state(size)) for size in (311, 312, 313))
    yield from ((GET_FPU, f"fpu_{size}", state(size)) for size in (415, 416, 417))
    for count in COUNTS:
        entries = [wire.member(1, wire.number(1, n), wire.number(2, n % 2), wire.number(3, n)) for n in range(count)]
        yield GET_MSRS, f"msrs_{count}", wire.member(6, wire.packed(1, range(count)))
        yield GET_HYPERV, f"hyperv_{count}", wire.member(9, *entries)
    yield from ((GET_XSAVE, f"xsave_{size}", wire.member(102, wire.blob(1, bytes(size)))) for size in (0, 1, 63, 64, 65))
    yield TRANSLATE, "translate", wire.member(108, wire.number(1, 1 << 40), *[wire.number(n, 1) for n in (2, 3, 4)])


def client_events():
    for count in COUNTS:
        data = wire.packed(2, [1 << 63] * count)
        yield f"internal_error_{count}", wire.member(150, wire.member(7, wire.number(1, 3), data))
        io = lambda *more: wire.member(2, wire.member(2, wire.number(1, 1), *more))
        yield f"read_{count}", io(wire.blob(5, bytes(count)))
        yield f"write_{count}", io(wire.number(3, 1), wire.blob(5, bytes(count)))
    registers = [wire.blob(field, bytes(size)) for field, size in ((6, 144), (7, 312), (8, 128))]
    for kept in range(8):
        yield f"registers_{kept}", io(wire.blob(5, b"1"), *[blob for n, blob in enumerate(registers) if kept >> n & 1])
    yield "page", io(wire.blob(5, bytes(4096)))
    yield "more_than_a_page", io(wire.blob(5, bytes(4097)))


def client_responses():
    """What a connection's calls are answered with: call, name, message, number of fds."""
    for count in COUNTS:
        entries = [wire.member(1, wire.number(1, n), wire.number(2, n % 2), wire.number(3, n)) for n in range(count)]
        yield GET_CPUID, f"cpuid_{count}", wire.member(203, wire.blob(1, bytes(40 * count)))
        yield GET_CPUID, f"cpuid_{count}_more", wire.member(203, wire.blob(1, bytes(40 * count + 1)))
        yield GET_CPUID, f"cpuid_baseline_{count}", wire.member(7, *entries)
        yield GET_MSR_LIST, f"msr_list_{count}", wire.member(9, wire.packed(1, range(count)))
        yield DIRTY_LOG, f"dirty_log_{count}", wire.member(101, wire.blob(1, bytes(count)))
        yield GET_PIC, f"pic_{count}", wire.member(14, wire.blob(1, bytes(count)))
    for n, missing in enumerate((0, 1, 5, 7)):
        numbers = [wire.number(field, 2) for field in range(1, 16) if field != missing]
        yield FEATURES, f"features_{n}", wire.member(200, *numbers)
    yield FEATURES, "features_no_version", wire.member(200, *[wire.number(field, 2) for field in range(4, 16)])
    yield FEATURES, "features_vcpus", wire.member(200, *[wire.number(field, 2000) for field in range(1, 16)])


def client_seeds():
    frame = lambda data: wire.varint(len(data)) + data
    events, main = golden("VcpuResponse"), golden("MainResponse")
    events = {name: frame(data) for name, data in events.items()}
    seeds = {f"event_{name}": bytes([VCPU, 0]) + chunks(data) + bytes([2]) for name, data in events.items()}
    seeds.update({f"frame_{name}": bytes([CHANNEL, n % 2]) + chunks(data) for n, (name, data) in enumerate(events.items())})
    for name, data in client_events():
        seeds[f"event_{name}"] = bytes([VCPU, 0]) + chunks(frame(data)) + bytes([2])
    replies = {"get_state": GET_REGS, "get_msrs": GET_MSRS, "get_hyperv": GET_HYPERV, "get_ext_state": GET_XSAVE, "translate": TRANSLATE}
    for name, data in events.items():
        for start, call in replies.items():
            if name.startswith(start):
                seeds[f"reply_{name}"] = bytes([VCPU, 0]) + chunks(events["init"]) + bytes([call]) + chunks(data)
    for call, name, data in client_replies():
        seeds[f"reply_{name}"] = bytes([VCPU, 0]) + chunks(events["init"]) + bytes([call]) + chunks(frame(data))
    seeds.update(client_connection_seeds(main))
    return seeds


def client_connection_seeds(main):
    seeds = {}
    calls = {
        "features": FEATURES, "get_supported_cpuid": GET_CPUID, "get_cpuid": GET_CPUID, "get_msr_index_list": GET_MSR_LIST,
        "get_net_config": GET_NET, "get_state": GET_PIC, "dirty_log": DIRTY_LOG,
    }  # fmt: skip
    for name, data in main.items():
        if len(data) > 286:
            continue
        for start, call in calls.items():
            if name.startswith(start):
                seeds[f"response_{name}"] = bytes([CONNECTION, call, 0]) + with_fds(data, int(call == GET_NET))
        if data[0] & 7 == 2:
            member = data[0] >> 3 if data[0] < 128 else (data[0] & 127 | data[1] << 7) >> 3
            request = member - 1 if member < 101 else member
            for fds in range(3):
                seeds[f"call_{name}_{fds}"] = bytes([CONNECTION, fds << 6, request]) + with_fds(data, fds)
    for call, name, data in client_responses():
        if len(data) <= 286:
            seeds[f"response_{name}"] = bytes([CONNECTION, call, 0]) + with_fds(data, 0)
    for fds in (0, 1, 2, 32, 33, 80, 81, 82, 253):
        seeds[f"fetch_{fds}"] = bytes([CONNECTION, FETCH_FDS | 2 << 6, 18]) + with_fds(wire.member(18), fds)
    return seeds


def with_fds(data, count):
    """A packet of a connection, for which a byte after the flags says how many fds came."""
    head = chunk(data)
    return bytes([head[0] | 0x80, count]) + head[1:] if count else head


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    directory = sys.argv[1]
    targets = {
        "fuzz_client": client_seeds(),
        "fuzz_elf": elf_seeds(),
        "fuzz_limits": limits_seeds(),
        "fuzz_main_request": main_seeds(),
        "fuzz_mounts": mounts_seeds(),
        "fuzz_objects": objects_seeds(),
        "fuzz_packet": packet_seeds(),
        "fuzz_page_host": page_host_seeds(),
        "fuzz_page_plugin": page_plugin_seeds(),
        "fuzz_plan": plan_seeds(),
        "fuzz_policy": policy_seeds(),
        "fuzz_ranges": ranges_seeds(),
        "fuzz_vcpu_request": vcpu_seeds(),
        "fuzz_wire_host": wire_seeds("MainRequest", "VcpuRequest"),
        "fuzz_wire_plugin": wire_seeds("MainResponse", "VcpuResponse"),
    }
    for target, seeds in targets.items():
        os.makedirs(os.path.join(directory, target), exist_ok=True)
        for name, data in seeds.items():
            with open(os.path.join(directory, target, name), "wb") as file:
                file.write(data)


if __name__ == "__main__":
    main()
