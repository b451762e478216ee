#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The Python peer's messages are those of golden.txt, and it reads them back; golden.c does the same with our codec."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

import tap
import wire

ALL_ONES, ALL_ONES_32 = 2**64 - 1, 2**32 - 1
ENTRY = wire.cpuid_entry(function=0x80000001, has_index=1, index=2, eax=1, ebx=2, ecx=3, edx=4)
MAX = dict.fromkeys(("function", "index", "eax", "ebx", "ecx", "edx"), ALL_ONES_32)
ENTRY_MAX = wire.cpuid_entry(**MAX, has_index=1)
NO_ENTRY = wire.cpuid_entry()


def unpacked(*numbers, field=1):
    """Repeated numbers one by one: no peer of ours makes them, and a reader has to take them."""
    return b"".join(wire.tag(field, wire.VARINT) + wire.varint(value) for value in numbers)


MAIN_REQUESTS = {
    "create_io_event": wire.create_io_event(7, wire.MMIO, 0x1000, 4, 0xDEADBEEF),
    "create_io_event_any": wire.create_io_event(0, wire.IOPORT, 0x3F8, 0),
    "create_memory": wire.create_memory(9, 0x2000, 1 << 32, 0x3000, read_only=True, dirty_log=True),
    "create_memory_first": wire.create_memory(0, 0, 0x1000, 0x1000),
    "create_irq_event": wire.create_irq_event(300, 5, resample=True),
    "create_io_event_max": wire.create_io_event(ALL_ONES_32, wire.MMIO, ALL_ONES, ALL_ONES_32, ALL_ONES),
    "create_memory_max": wire.create_memory(ALL_ONES_32, ALL_ONES, ALL_ONES, ALL_ONES, True, True),
    "create_irq_event_first": wire.create_irq_event(0, 0),
    "create_irq_event_max": wire.create_irq_event(ALL_ONES_32, ALL_ONES_32, resample=True),
    "create_nothing": wire.create(1, b""),
    "destroy": wire.destroy(9),
    "destroy_first": wire.destroy(0),
    "destroy_max": wire.destroy(ALL_ONES_32),
    "new_connection": wire.new_connection(),
    "get_shutdown_eventfd": wire.get_shutdown_eventfd(),
    "check_extension": wire.check_extension(3),
    "check_extension_first": wire.check_extension(0),
    "check_extension_max": wire.check_extension(ALL_ONES_32),
    "get_supported_cpuid": wire.get_supported_cpuid(),
    "get_emulated_cpuid": wire.get_emulated_cpuid(),
    "get_msr_index_list": wire.get_msr_index_list(),
    "get_net_config": wire.get_net_config(),
    "reserve_port": wire.reserve_range(wire.IOPORT, 0x3F8, 8),
    "reserve_mmio_async": wire.reserve_range(wire.MMIO, 0xFEE00000, 0x1000, async_write=True),
    "release_port": wire.reserve_range(wire.IOPORT, 0x3F8, 0),
    "reserve_max": wire.reserve_range(wire.MMIO, ALL_ONES, ALL_ONES, async_write=True),
    "set_irq": wire.set_irq(4, True),
    "set_irq_low": wire.set_irq(4, False),
    "set_irq_first": wire.set_irq(0, False),
    "set_irq_max": wire.set_irq(ALL_ONES_32, True),
    "set_irq_routing": wire.set_irq_routing(wire.irqchip_route(1, 2, 1), wire.msi_route(24, 0xFEE00000, 0x41)),
    "set_irq_routing_none": wire.set_irq_routing(),
    "set_irq_routing_zeros": wire.set_irq_routing(wire.irqchip_route(0, 0, 0)),
    "set_irq_routing_bare": wire.set_irq_routing(wire.bare_route(3)),
    "set_irq_routing_max": wire.set_irq_routing(
        wire.msi_route(ALL_ONES_32, ALL_ONES, ALL_ONES_32),
        wire.irqchip_route(ALL_ONES_32, ALL_ONES_32, ALL_ONES_32),
        wire.msi_route(0, 0, 0),
    ),
    "get_state": wire.get_vm_state(wire.PIT),
    "get_state_pic0": wire.get_vm_state(wire.PIC0),
    "get_state_pic1": wire.get_vm_state(wire.PIC1),
    "get_state_ioapic": wire.get_vm_state(wire.IOAPIC),
    "get_state_clock": wire.get_vm_state(wire.CLOCK),
    "set_state": wire.set_vm_state(wire.CLOCK, b"\xaa\xbb\xcc"),
    "set_state_nothing": wire.set_vm_state(wire.PIC0, b""),
    "set_identity_map_addr": wire.set_identity_map_addr(0xFFFBC000),
    "set_identity_map_addr_none": wire.set_identity_map_addr(0),
    "set_identity_map_addr_max": wire.set_identity_map_addr(ALL_ONES_32),
    "pause_vcpus": wire.pause_vcpus(5, ALL_ONES),
    "pause_vcpus_none": wire.pause_vcpus(0, 0),
    "pause_vcpus_all": wire.pause_vcpus(ALL_ONES, 1),
    "get_vcpus": wire.get_vcpus(),
    "start": wire.start(),
    "set_call_hint": wire.set_call_hint(
        wire.IOPORT, 0x3F8, True, [wire.reg_hint((True, False, False, False), (1, 0, 0, 0), True)]
    ),
    "set_call_hint_all": wire.set_call_hint(
        wire.MMIO, 0x1000, False, [wire.reg_hint((True,) * 4, (1, 2, 3, 4), True, True)]
    ),
    "set_call_hint_none": wire.set_call_hint(),
    "set_call_hint_regs": wire.set_call_hint(wire.IOPORT, 0x3F8, False),
    "set_call_hint_max": wire.set_call_hint(
        wire.MMIO, ALL_ONES, True, [wire.reg_hint((False, True, False, True), (ALL_ONES,) * 4), wire.reg_hint()]
    ),
    "dirty_log": wire.dirty_log(9),
    "dirty_log_first": wire.dirty_log(0),
    "dirty_log_max": wire.dirty_log(ALL_ONES_32),
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
        "get_supported_cpuid_none": wire.main_response("get_supported_cpuid"),
        "get_supported_cpuid_more": wire.main_response("get_supported_cpuid", NO_ENTRY, ENTRY_MAX, ENTRY),
        "get_emulated_cpuid_none": wire.main_response("get_emulated_cpuid"),
        "get_msr_index_list": wire.main_response("get_msr_index_list", wire.packed(1, [0x10, 0x174])),
        "get_msr_index_list_none": wire.main_response("get_msr_index_list"),
        "get_msr_index_list_one": wire.main_response("get_msr_index_list", wire.packed(1, [0])),
        "get_msr_index_list_max": wire.main_response(
            "get_msr_index_list", wire.packed(1, [0, ALL_ONES_32, 0x7F, 0x80])
        ),
        "get_msr_index_list_unpacked": wire.main_response("get_msr_index_list", unpacked(0x10, 0x174)),
        "get_msr_index_list_mixed": wire.main_response("get_msr_index_list", unpacked(0x10), wire.packed(1, [0, 1])),
        "get_net_config": wire.main_response(
            "get_net_config",
            wire.blob(1, bytes.fromhex("525400123456")),
            wire.fixed32(2, bytes([192, 168, 10, 1])),
            wire.fixed32(3, bytes([255, 255, 255, 0])),
        ),
        "get_net_config_bare": wire.main_response("get_net_config"),
        "get_state": wire.main_response("get_state", wire.blob(1, b"\xaa\xbb\xcc")),
        "get_state_nothing": wire.main_response("get_state"),
        "dirty_log_nothing": wire.main_response("dirty_log"),
        "dirty_log": wire.main_response("dirty_log", wire.blob(1, b"\xff\x01")),
        "error_eperm": wire.main_error(1),
        "error_enotty": wire.main_error(25),
        "error_enosys": wire.main_error(38),
        "error_4095": wire.main_error(4095),
        "error_max": wire.main_error(2**31 - 1),
        "error_negative": wire.main_error(-1),
        "error_min": wire.main_error(-(2**31)),
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
    "get_state_fpu": wire.get_state(wire.FPU),
    "get_state_debugregs": wire.get_state(wire.DEBUGREGS),
    "get_state_lapic": wire.get_state(wire.LAPIC),
    "get_state_mp": wire.get_state(wire.MP),
    "get_state_xcregs": wire.get_state(wire.XCREGS),
    "get_state_events": wire.get_state(wire.EVENTS),
    "set_state": wire.set_state(wire.MP, bytes(4)),
    "set_state_nothing": wire.set_state(wire.REGS, b""),
    "get_msrs": wire.get_msrs(0x10, 0x174, 0xC0000080),
    "get_msrs_none": wire.get_msrs(),
    "get_msrs_one": wire.get_msrs(0),
    "get_msrs_max": wire.get_msrs(ALL_ONES_32, 0, 0x7F, 0x80),
    "get_msrs_unpacked": wire.member(5, unpacked(0x10, 0x174, 0)),
    "get_msrs_mixed": wire.member(5, wire.packed(1, [0x10]), unpacked(0x174), wire.packed(1, [0x175, 0x176])),
    "set_msrs": wire.set_msrs((0xC0000080, 0x500)),
    "set_msrs_none": wire.set_msrs(),
    "set_msrs_max": wire.set_msrs((0, 0), (ALL_ONES_32, ALL_ONES), (0x10, 0)),
    "set_cpuid": wire.set_cpuid(ENTRY),
    "set_cpuid_none": wire.set_cpuid(),
    "set_cpuid_more": wire.set_cpuid(NO_ENTRY, ENTRY_MAX, ENTRY),
    "shutdown": wire.shutdown(),
    "get_hyperv_cpuid": wire.get_hyperv_cpuid(),
    "enable_capability": wire.enable_capability(123),
    "enable_capability_first": wire.enable_capability(0),
    "enable_capability_max": wire.enable_capability(ALL_ONES_32),
}

VCPU_RESPONSES = {
    "init": wire.init_event(),
    "io_port_write": wire.io_event(wire.IOPORT, 0x3F8, True, b"A"),
    "io_port_read": wire.io_event(wire.IOPORT, 0x3F8, False, b"\0"),
    "io_mmio_read": wire.io_event(wire.MMIO, 0x1000, False, bytes(4)),
    "io_all": wire.io_event(wire.MMIO, 1, True, b"\x07", True, b"\x08", b"\x09", b"\x0a"),
    "io_max": wire.io_event(wire.MMIO, ALL_ONES, False, bytes(8)),
    "user": wire.user_event(ALL_ONES),
    "user_null": wire.user_event(0),
    "hyperv_call": wire.hyperv_call_event(1, 2, 3),
    "hyperv_call_zeros": wire.hyperv_call_event(0, 0, 0),
    "hyperv_call_max": wire.hyperv_call_event(ALL_ONES, ALL_ONES, ALL_ONES),
    "hyperv_synic": wire.hyperv_synic_event(0x40000080, 1, 0x1000, 0x2000),
    "hyperv_synic_zeros": wire.hyperv_synic_event(0, 0, 0, 0),
    "hyperv_synic_max": wire.hyperv_synic_event(ALL_ONES_32, ALL_ONES, ALL_ONES, ALL_ONES),
    "io_again": wire.vcpu_error(22) + wire.io_event(wire.IOPORT, 0x3F8, True, b"A"),
    "get_state": wire.vcpu_response("get_state", wire.blob(1, b"\xaa\xbb\xcc")),
    "get_state_nothing": wire.vcpu_response("get_state"),
    "set_state": wire.vcpu_response("set_state"),
    "get_msrs": wire.vcpu_response("get_msrs", wire.packed(1, [1, ALL_ONES])),
    "get_msrs_none": wire.vcpu_response("get_msrs"),
    "get_msrs_one": wire.vcpu_response("get_msrs", wire.packed(1, [0])),
    "get_msrs_unpacked": wire.vcpu_response("get_msrs", unpacked(ALL_ONES, 0, 0x500)),
    "set_msrs": wire.vcpu_response("set_msrs"),
    "set_cpuid": wire.vcpu_response("set_cpuid"),
    "get_hyperv_cpuid": wire.vcpu_response("get_hyperv_cpuid", ENTRY),
    "get_hyperv_cpuid_none": wire.vcpu_response("get_hyperv_cpuid"),
    "get_hyperv_cpuid_more": wire.vcpu_response("get_hyperv_cpuid", ENTRY, NO_ENTRY),
    "enable_capability": wire.vcpu_response("enable_capability"),
    "error_ebusy": wire.vcpu_error(16),
    "error_max": wire.vcpu_error(2**31 - 1),
    "error_min": wire.vcpu_error(-(2**31)),
}

# ---- Additions ----

MAIN_REQUESTS.update(
    {
        "features": wire.features(),
        "get_vcpus_from": wire.get_vcpus_from(64),
        "get_vcpus_from_first": wire.get_vcpus_from(0),
        "get_vcpus_from_max": wire.get_vcpus_from(ALL_ONES_32),
        "create_ext_io_event": wire.create_ext_io_event(7, wire.MMIO, 0x1000, 4),
        "create_ext_io_event_first": wire.create_ext_io_event(0, wire.IOPORT, 0, 0),
        "create_ext_io_event_max": wire.create_ext_io_event(ALL_ONES_32, wire.MMIO, ALL_ONES, ALL_ONES_32),
        "create_ext_irq_event": wire.create_ext_irq_event(300, 5),
        "create_ext_irq_event_first": wire.create_ext_irq_event(0, 0),
        "create_ext_irq_event_max": wire.create_ext_irq_event(ALL_ONES_32, ALL_ONES_32),
        "create_ext_nothing": wire.create_ext(1, b""),
        "get_cpuid": wire.get_cpuid(),
        "get_cpuid_emulated": wire.get_cpuid(emulated=True),
        "dirty_log_to": wire.dirty_log_to(9, 0x1000),
        "dirty_log_to_first": wire.dirty_log_to(0, 0),
        "dirty_log_to_max": wire.dirty_log_to(ALL_ONES_32, ALL_ONES),
        "pause_set": wire.pause_set(b"\x01\0\x80", ALL_ONES),
        "pause_set_none": wire.pause_set(b"", 0),
        "signal_msi": wire.signal_msi(0xFEE00000, 0x41),
        "signal_msi_zeros": wire.signal_msi(0, 0),
        "signal_msi_max": wire.signal_msi(ALL_ONES, ALL_ONES_32),
        "subscribe_exits": wire.subscribe_exits(15),
        "subscribe_exits_none": wire.subscribe_exits(0),
        "subscribe_exits_max": wire.subscribe_exits(ALL_ONES_32),
        "set_msr_filter": wire.set_msr_filter(
        wire.msr_range(0xC0000080, 16, reads=True), wire.msr_range(0x174, 1, writes=True)
    ),
        "set_msr_filter_none": wire.set_msr_filter(),
        "set_msr_filter_unknown": wire.set_msr_filter(unknown=True),
        "set_msr_filter_max": wire.set_msr_filter(
        wire.msr_range(0, 0), wire.msr_range(ALL_ONES_32, ALL_ONES_32, True, True), unknown=True
    ),
        "get_end": wire.get_end(),
    }
)

MAIN_RESPONSES.update(
    {
        "features": wire.features_response(
            version_major=1,
            version_minor=2,
            version_patch=3,
            features=0xFFFF,
            vcpu_count=2,
            irqchip=1,
            request_bytes=131072,
            connections=1,
            ranges=2,
            events=3,
            memory_slots=4,
            memory_bytes=5,
            irq_routes=6,
            cpuid_entries=7,
            msrs=8,
        ),
        "features_bare": wire.features_response(),
        "features_max": wire.features_response(
            **{**dict.fromkeys(wire.FEATURES_FIELDS.values(), ALL_ONES_32), "features": ALL_ONES, "memory_bytes": ALL_ONES}
        ),
        "get_vcpus_from": wire.main_response("get_vcpus_from"),
        "create_ext": wire.main_response("create_ext"),
        "get_cpuid": wire.main_response("get_cpuid", wire.blob(1, b"\xaa\xbb\xcc")),
        "get_cpuid_nothing": wire.main_response("get_cpuid"),
        "dirty_log_to": wire.main_response("dirty_log_to", wire.number(1, 8)),
        "dirty_log_to_nothing": wire.main_response("dirty_log_to"),
        "dirty_log_to_max": wire.main_response("dirty_log_to", wire.number(1, ALL_ONES)),
        "pause_set": wire.main_response("pause_set"),
        "signal_msi": wire.main_response("signal_msi", wire.number(1, True)),
        "signal_msi_blocked": wire.main_response("signal_msi"),
        "subscribe_exits": wire.main_response("subscribe_exits"),
        "set_msr_filter": wire.main_response("set_msr_filter"),
        "get_end": wire.get_end_response(2, 8, -1, b"end"),
        "get_end_bare": wire.get_end_response(0, 0, 0, b""),
        "get_end_max": wire.get_end_response(ALL_ONES_32, 2**31 - 1, 2**31 - 1, b""),
        "get_end_min": wire.get_end_response(0, -(2**31), -(2**31), b""),
    }
)

VCPU_REQUESTS.update(
    {
        "set_msrs_counted": wire.set_msrs_counted((0xC0000080, 0x500)),
        "set_msrs_counted_none": wire.set_msrs_counted(),
        "set_msrs_counted_max": wire.set_msrs_counted((0, 0), (ALL_ONES_32, ALL_ONES)),
        "set_cpuid_raw": wire.set_cpuid_raw(b"\xaa\xbb\xcc"),
        "set_cpuid_raw_nothing": wire.set_cpuid_raw(b""),
        "get_ext_state_xsave": wire.get_ext_state(wire.XSAVE),
        "get_ext_state_tsc_khz": wire.get_ext_state(wire.TSC_KHZ),
        "get_ext_state_nested": wire.get_ext_state(wire.NESTED),
        "get_ext_state_cpuid": wire.get_ext_state(wire.CPUID),
        "get_ext_state_msr_indices": wire.get_ext_state(wire.MSR_INDICES),
        "set_ext_state": wire.set_ext_state(wire.TSC_KHZ, b"\x40\x0d\x03\0"),
        "set_ext_state_nothing": wire.set_ext_state(wire.XSAVE, b""),
        "interrupt": wire.interrupt(32),
        "interrupt_first": wire.interrupt(0),
        "interrupt_max": wire.interrupt(ALL_ONES_32),
        "nmi": wire.nmi(),
        "request_irq_window": wire.request_irq_window(True),
        "request_irq_window_end": wire.request_irq_window(False),
        "set_guest_debug": wire.set_guest_debug(b"\3\0\0\0"),
        "set_guest_debug_nothing": wire.set_guest_debug(b""),
        "translate": wire.translate(0x1000),
        "translate_first": wire.translate(0),
        "translate_max": wire.translate(ALL_ONES),
    }
)

VCPU_RESPONSES.update(
    {
        "set_msrs_counted": wire.vcpu_response("set_msrs_counted", wire.number(1, 3)),
        "set_msrs_counted_none": wire.vcpu_response("set_msrs_counted"),
        "set_msrs_counted_max": wire.vcpu_response("set_msrs_counted", wire.number(1, ALL_ONES_32)),
        "set_cpuid_raw": wire.vcpu_response("set_cpuid_raw"),
        "get_ext_state": wire.vcpu_response("get_ext_state", wire.blob(1, b"\xaa\xbb\xcc")),
        "get_ext_state_nothing": wire.vcpu_response("get_ext_state"),
        "set_ext_state": wire.vcpu_response("set_ext_state"),
        "interrupt": wire.vcpu_response("interrupt"),
        "nmi": wire.vcpu_response("nmi"),
        "request_irq_window": wire.vcpu_response("request_irq_window"),
        "set_guest_debug": wire.vcpu_response("set_guest_debug"),
        "translate": wire.vcpu_response("translate", wire.number(1, 0x5000), *(wire.number(i, True) for i in (2, 3, 4))),
        "translate_nowhere": wire.vcpu_response("translate"),
        "translate_max": wire.vcpu_response("translate", wire.number(1, ALL_ONES), wire.number(3, True)),
        "msr_write": wire.msr_event(0xC0000080, True, 4, 0x500),
        "msr_read": wire.msr_event(0x174, False, 2, 0),
        "msr_zeros": wire.msr_event(0, False, 0, 0),
        "msr_max": wire.msr_event(ALL_ONES_32, True, ALL_ONES_32, ALL_ONES),
        "debug": wire.debug_event(1, 0x1000, 0x4000, 0x400),
        "debug_zeros": wire.debug_event(0, 0, 0, 0),
        "debug_max": wire.debug_event(ALL_ONES_32, ALL_ONES, ALL_ONES, ALL_ONES),
        "hlt": wire.hlt_event(),
        "irq_window": wire.irq_window_event(),
        "ioapic_eoi": wire.ioapic_eoi_event(0x41),
        "ioapic_eoi_max": wire.ioapic_eoi_event(ALL_ONES_32),
        "shutdown": wire.shutdown_event(),
        "internal_error": wire.internal_error_event(1, 0x20, ALL_ONES),
        "internal_error_bare": wire.internal_error_event(0),
        "internal_error_unpacked": wire.event(wire.member(7, wire.number(1, 3), unpacked(0x20, 0, field=2))),
        "event_of_no_kind": wire.event(),
        "hlt_again": wire.vcpu_error(22) + wire.hlt_event(),
    }
)

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
        assert (code != 0) == (name.startswith("error") or name.endswith("_again")), name
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
    tap.run(tests)


if __name__ == "__main__":
    main()
