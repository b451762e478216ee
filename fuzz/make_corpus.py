#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Make the seed corpora in corpus/ from the golden packets: each alone, and some in sequence. And from policies.

usage: make_corpus.py [DIRECTORY]
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
        with open(os.path.join(HERE, "..", "src", "jail", profile + ".policy"), encoding="ascii") as file:
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


def main():
    directory = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "corpus")
    targets = {"fuzz_main_request": main_seeds(), "fuzz_vcpu_request": vcpu_seeds(), "fuzz_policy": policy_seeds()}
    for target, seeds in targets.items():
        os.makedirs(os.path.join(directory, target), exist_ok=True)
        for name, data in seeds.items():
            with open(os.path.join(directory, target, name), "wb") as file:
                file.write(data)


if __name__ == "__main__":
    main()
