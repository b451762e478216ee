#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The Python peer's messages are those of golden.txt, and it reads them back; golden.c does the same with our codec."""

import sys

sys.dont_write_bytecode = True

import tap
import wire

ENTRY = wire.cpuid_entry(function=0x80000001, has_index=1, index=2, eax=1, ebx=2, ecx=3, edx=4)
ALL_ONES = 2**64 - 1

MAIN_REQUESTS = {
    "create_io_event": wire.create_io_event(7, wire.MMIO, 0x1000, 4, 0xDEADBEEF),
    "create_io_event_any": wire.create_io_event(0, wire.IOPORT, 0x3F8, 0),
    "create_memory": wire.create_memory(9, 0x2000, 1 << 32, 0x3000, read_only=True, dirty_log=True),
    "create_memory_first": wire.create_memory(0, 0, 0x1000, 0x1000),
    "create_irq_event": wire.create_irq_event(300, 5, resample=True),
    "create_nothing": wire.create(1, b""),
    "destroy": wire.destroy(9),
    "destroy_first": wire.destroy(0),
    "new_connection": wire.new_connection(),
    "get_shutdown_eventfd": wire.get_shutdown_eventfd(),
    "check_extension": wire.check_extension(3),
    "get_supported_cpuid": wire.get_supported_cpuid(),
    "get_emulated_cpuid": wire.get_emulated_cpuid(),
    "get_msr_index_list": wire.get_msr_index_list(),
    "get_net_config": wire.get_net_config(),
    "reserve_port": wire.reserve_range(wire.IOPORT, 0x3F8, 8),
    "reserve_mmio_async": wire.reserve_range(wire.MMIO, 0xFEE00000, 0x1000, async_write=True),
    "release_port": wire.reserve_range(wire.IOPORT, 0x3F8, 0),
    "set_irq": wire.set_irq(4, True),
    "set_irq_routing": wire.set_irq_routing(wire.irqchip_route(1, 2, 1), wire.msi_route(24, 0xFEE00000, 0x41)),
    "set_irq_routing_none": wire.set_irq_routing(),
    "get_state": wire.get_vm_state(wire.PIT),
    "get_state_pic0": wire.get_vm_state(wire.PIC0),
    "set_state": wire.set_vm_state(wire.CLOCK, b"\xaa\xbb\xcc"),
    "set_identity_map_addr": wire.set_identity_map_addr(0xFFFBC000),
    "pause_vcpus": wire.pause_vcpus(5, ALL_ONES),
    "get_vcpus": wire.get_vcpus(),
    "start": wire.start(),
    "set_call_hint": wire.set_call_hint(
        wire.IOPORT, 0x3F8, True, [wire.reg_hint((True, False, False, False), (1, 0, 0, 0), True)]
    ),
    "set_call_hint_all": wire.set_call_hint(
        wire.MMIO, 0x1000, False, [wire.reg_hint((True,) * 4, (1, 2, 3, 4), True, True)]
    ),
    "set_call_hint_none": wire.set_call_hint(),
    "dirty_log": wire.dirty_log(9),
}

MAIN_RESPONSES = {
    name: wire.main_response(name)
    for name in (
        "create destroy new_connection get_shutdown_eventfd reserve_range set_irq set_irq_routing set_state "
        "set_identity_map_addr pause_vcpus get_vcpus start set_call_hint"
    ).split()
}
MAIN_RESPONSES.update(
    {
        "check_extension_yes": wire.main_response("check_extension", wire.number(1, True)),
        "check_extension_no": wire.main_response("check_extension"),
        "get_supported_cpuid": wire.main_response("get_supported_cpuid", ENTRY),
        "get_emulated_cpuid": wire.main_response("get_emulated_cpuid", wire.cpuid_entry()),
        "get_msr_index_list": wire.main_response("get_msr_index_list", wire.packed(1, [0x10, 0x174])),
        "get_net_config": wire.main_response(
            "get_net_config",
            wire.blob(1, bytes.fromhex("525400123456")),
            wire.fixed32(2, bytes([192, 168, 10, 1])),
            wire.fixed32(3, bytes([255, 255, 255, 0])),
        ),
        "get_state": wire.main_response("get_state", wire.blob(1, b"\xaa\xbb\xcc")),
        "dirty_log": wire.main_response("dirty_log", wire.blob(1, b"\xff\x01")),
        "error_eperm": wire.main_error(1),
        "error_enotty": wire.main_error(25),
        "error_enosys": wire.main_error(38),
        "error_4095": wire.main_error(4095),
        "error_with_member": wire.main_error(17) + wire.main_response("create"),
    }
)

VCPU_REQUESTS = {
    "wait": wire.wait(),
    "resume": wire.resume(),
    "resume_data": wire.resume(b"\x5a"),
    "resume_all": wire.resume(b"\x01\x02", b"\x03", b"\x04\x05", b"\x06"),
    "get_state_regs": wire.get_state(wire.REGS),
    "get_state_sregs": wire.get_state(wire.SREGS),
    "get_state_events": wire.get_state(wire.EVENTS),
    "set_state": wire.set_state(wire.MP, bytes(4)),
    "get_msrs": wire.get_msrs(0x10, 0x174, 0xC0000080),
    "set_msrs": wire.set_msrs((0xC0000080, 0x500)),
    "set_cpuid": wire.set_cpuid(ENTRY),
    "shutdown": wire.shutdown(),
    "get_hyperv_cpuid": wire.get_hyperv_cpuid(),
    "enable_capability": wire.enable_capability(123),
}

VCPU_RESPONSES = {
    "init": wire.init_event(),
    "io_port_write": wire.io_event(wire.IOPORT, 0x3F8, True, b"A"),
    "io_port_read": wire.io_event(wire.IOPORT, 0x3F8, False, b"\0"),
    "io_mmio_read": wire.io_event(wire.MMIO, 0x1000, False, bytes(4)),
    "io_all": wire.io_event(wire.MMIO, 1, True, b"\x07", True, b"\x08", b"\x09", b"\x0a"),
    "user": wire.user_event(ALL_ONES),
    "hyperv_call": wire.hyperv_call_event(1, 2, 3),
    "hyperv_synic": wire.hyperv_synic_event(0x40000080, 1, 0x1000, 0x2000),
    "io_again": wire.vcpu_error(22) + wire.io_event(wire.IOPORT, 0x3F8, True, b"A"),
    "get_state": wire.vcpu_response("get_state", wire.blob(1, b"\xaa\xbb\xcc")),
    "set_state": wire.vcpu_response("set_state"),
    "get_msrs": wire.vcpu_response("get_msrs", wire.packed(1, [1, ALL_ONES])),
    "set_msrs": wire.vcpu_response("set_msrs"),
    "set_cpuid": wire.vcpu_response("set_cpuid"),
    "get_hyperv_cpuid": wire.vcpu_response("get_hyperv_cpuid", ENTRY),
    "enable_capability": wire.vcpu_response("enable_capability"),
    "error_ebusy": wire.vcpu_error(16),
}

MESSAGES = {
    "MainRequest": MAIN_REQUESTS,
    "MainResponse": MAIN_RESPONSES,
    "VcpuRequest": VCPU_REQUESTS,
    "VcpuResponse": VCPU_RESPONSES,
}


def compare(golden, message):
    wanted = {name: data for (kind, name), data in golden.items() if kind == message}
    tap.equal(sorted(MESSAGES[message]), sorted(wanted), "the names")
    for name, data in MESSAGES[message].items():
        tap.equal(data, wanted[name], name)


def compare_frames(golden):
    frames = [(int(name), data) for (kind, name), data in golden.items() if kind == "Frame"]
    assert frames
    for size, header in frames:
        tap.equal(wire.varint(size), header, f"frame of {size}")
        tap.equal(wire.read_varint(header + b"\0", 0), (size, len(header)), f"reading a frame of {size}")


def read_responses(golden):
    for (message, name), data in golden.items():
        if message == "MainResponse":
            code, member, _ = wire.read_main_response(data)
        elif message == "VcpuResponse":
            code, member, _ = wire.read_vcpu_response(data)
        else:
            continue
        assert (code != 0) == (name.startswith("error") or name == "io_again"), name
        assert member or code, name
    tap.equal(wire.read_main_response(golden["MainResponse", "error_4095"]), (4095, None, b""))
    tap.equal(wire.read_main_response(golden["MainResponse", "error_with_member"]), (17, "create", b""))


def refuse_what_is_cut(golden):
    """A reader that took anything would keep nobody honest."""
    for bad in (b"\x08", b"\x0a\x02\x00", b"\x0b", b"\xff" * 11, b"\x15\x01\x02"):
        try:
            wire.fields(bad)
        except wire.Malformed:
            continue
        raise AssertionError(f"{bad.hex()} was taken")


def main():
    golden = wire.load_golden()
    tests = [(f"{message} is made as golden", lambda m=message: compare(golden, m)) for message in MESSAGES]
    tests += [
        ("frame headers are as golden", lambda: compare_frames(golden)),
        ("golden responses are read", lambda: read_responses(golden)),
        ("malformed bytes are refused", lambda: refuse_what_is_cut(golden)),
    ]
    return tap.run(tests)


if __name__ == "__main__":
    sys.exit(main())
