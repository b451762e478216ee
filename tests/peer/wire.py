# SPDX-License-Identifier: BSD-3-Clause
"""The wire in Python: a protobuf writer and reader of our own, the messages made and read by hand, the frame.

Nothing here is generated and nothing shares code with the C side: that is what makes it a second opinion. Field
numbers are those of the protocol; golden.txt says how bytes come about.
"""

import errno
import os
import struct

IOPORT, MMIO = 0, 1
PIC0, PIC1, IOAPIC, PIT, CLOCK = range(5)
REGS, SREGS, FPU, DEBUGREGS, LAPIC, MP, XCREGS, EVENTS = range(8)
XSAVE, TSC_KHZ, NESTED, CPUID, MSR_INDICES = range(5)  # of the additions

VCPU_STATE_BYTES = {
    REGS: 144,
    SREGS: 312,
    FPU: 416,
    DEBUGREGS: 128,
    LAPIC: 1024,
    MP: 4,
    XCREGS: 392,
    EVENTS: 64,
}

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


# ---- Protobuf ----


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(field, wire_type):
    return varint(field << 3 | wire_type)


def number(field, value):
    """A number, a bool or an enum: absent if zero."""
    return tag(field, VARINT) + varint(int(value)) if value else b""


def sint(field, value):
    return number(field, value * 2 if value >= 0 else -value * 2 - 1)


def fixed32(field, four_bytes):
    return tag(field, FIXED32) + four_bytes


def blob(field, data):
    """A bytes field: absent if empty."""
    return tag(field, BYTES) + varint(len(data)) + data if data else b""


def member(field, *parts):
    """A message: present even if empty, as a member of a oneof or an element of a repeated field is."""
    body = b"".join(parts)
    return tag(field, BYTES) + varint(len(body)) + body


def packed(field, values):
    return blob(field, b"".join(varint(value) for value in values))


class Malformed(Exception):
    pass


def read_varint(data, at):
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise Malformed("a varint is cut off")
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
    raise Malformed("a varint is too long")


def fields(data):
    """Return a list of (field, value): numbers for varints, bytes for the rest."""
    found, at = [], 0
    while at < len(data):
        key, at = read_varint(data, at)
        field, wire_type = key >> 3, key & 7
        if wire_type == VARINT:
            value, at = read_varint(data, at)
        else:
            sizes = {FIXED64: 8, FIXED32: 4}
            if wire_type == BYTES:
                size, at = read_varint(data, at)
            elif wire_type in sizes:
                size = sizes[wire_type]
            else:
                raise Malformed(f"wire type {wire_type}")
            value = data[at : at + size]
            if len(value) != size:
                raise Malformed("a field is cut off")
            at += size
        found.append((field, value))
    return found


def read(data, names):
    """Return {name: value} for a message whose fields are `names` {number: name}. An unknown one is an error: the
    peer that this reads is ours."""
    out = {}
    for field, value in fields(data):
        if field not in names:
            raise Malformed(f"field {field} is none of {sorted(names.values())}")
        out[names[field]] = value
    return out


# ---- MainRequest ----

# The members that a host of API 0.22 knows.
MAIN_REQUESTS = (*range(1, 20), 101)


def create(object_id, constructor):
    return member(1, number(1, object_id), constructor)


def create_io_event(object_id, space, address, length, datamatch=0):
    return create(
        object_id, member(2, number(1, space), number(2, address), number(3, length), number(4, datamatch))
    )


def create_memory(object_id, offset, start, length, read_only=False, dirty_log=False):
    flags = number(4, read_only) + number(5, dirty_log)
    return create(object_id, member(3, number(1, offset), number(2, start), number(3, length), flags))


def create_irq_event(object_id, irq_id, resample=False):
    return create(object_id, member(4, number(1, irq_id), number(2, resample)))


def destroy(object_id):
    return member(2, number(1, object_id))


def new_connection():
    return member(3)


def get_shutdown_eventfd():
    return member(4)


def check_extension(extension):
    return member(5, number(1, extension))


def get_supported_cpuid():
    return member(6)


def get_emulated_cpuid():
    return member(7)


def get_msr_index_list():
    return member(8)


def get_net_config():
    return member(9)


def reserve_range(space, start, length, async_write=False):
    return member(10, number(1, space), number(2, start), number(3, length), number(4, async_write))


def set_irq(irq_id, active):
    return member(11, number(1, irq_id), number(2, active))


def irqchip_route(irq_id, irqchip, pin):
    return member(1, number(1, irq_id), member(2, number(1, irqchip), number(2, pin)))


def msi_route(irq_id, address, data):
    return member(1, number(1, irq_id), member(3, number(1, address), number(2, data)))


def bare_route(irq_id):
    """To nowhere, which no client may ask for."""
    return member(1, number(1, irq_id))


def set_irq_routing(*routes):
    return member(12, *routes)


def get_vm_state(state_set):
    return member(13, number(1, state_set))


def set_vm_state(state_set, state):
    return member(14, number(1, state_set), blob(2, state))


def set_identity_map_addr(address):
    return member(15, number(1, address))


def pause_vcpus(cpu_mask, user):
    return member(16, number(1, cpu_mask), number(2, user))


def get_vcpus():
    return member(17)


def start():
    return member(18)


def reg_hint(match=(False,) * 4, values=(0,) * 4, send_sregs=False, send_debugregs=False):
    matches = b"".join(number(1 + i, match[i]) for i in range(4))
    registers = b"".join(number(5 + i, values[i]) for i in range(4))
    return member(4, matches, registers, number(9, send_sregs), number(10, send_debugregs))


def set_call_hint(space=IOPORT, address=0, on_write=False, hints=()):
    return member(19, number(1, space), number(2, address), number(3, on_write), *hints)


def dirty_log(object_id):
    return member(101, number(1, object_id))


# Additions


def features():
    return member(200)


def get_vcpus_from(first):
    return member(201, number(1, first))


def create_ext(object_id, constructor):
    return member(202, number(1, object_id), constructor)


def create_ext_io_event(object_id, space, address, length):
    return create_ext(object_id, member(2, number(1, space), number(2, address), number(3, length)))


def create_ext_irq_event(object_id, irq_id):
    return create_ext(object_id, member(3, number(1, irq_id)))


def get_cpuid(emulated=False):
    return member(203, number(1, emulated))


def dirty_log_to(object_id, offset):
    return member(204, number(1, object_id), number(2, offset))


def pause_set(cpu_mask, user):
    return member(205, blob(1, cpu_mask), number(2, user))


def signal_msi(address, data):
    return member(206, number(1, address), number(2, data))


def subscribe_exits(exits):
    return member(207, number(1, exits))


def msr_range(first, count, reads=False, writes=False):
    return member(1, number(1, first), number(2, count), number(3, reads), number(4, writes))


def set_msr_filter(*ranges, unknown=False):
    return member(208, *ranges, number(2, unknown))


def get_end():
    return member(209)


# ---- MainResponse ----

MAIN_RESPONSES = {
    2: "create",
    3: "destroy",
    4: "new_connection",
    5: "get_shutdown_eventfd",
    6: "check_extension",
    7: "get_supported_cpuid",
    8: "get_emulated_cpuid",
    9: "get_msr_index_list",
    10: "get_net_config",
    11: "reserve_range",
    12: "set_irq",
    13: "set_irq_routing",
    14: "get_state",
    15: "set_state",
    16: "set_identity_map_addr",
    17: "pause_vcpus",
    18: "get_vcpus",
    19: "start",
    20: "set_call_hint",
    101: "dirty_log",
    200: "features",
    201: "get_vcpus_from",
    202: "create_ext",
    203: "get_cpuid",
    204: "dirty_log_to",
    205: "pause_set",
    206: "signal_msi",
    207: "subscribe_exits",
    208: "set_msr_filter",
    209: "get_end",
}
MAIN_MEMBER = {name: field for field, name in MAIN_RESPONSES.items()}

CPUID_FIELDS = {1: "function", 3: "has_index", 4: "index", 5: "eax", 6: "ebx", 7: "ecx", 8: "edx"}


def cpuid_entry(**values):
    return member(1, *(number(field, values.get(name, 0)) for field, name in CPUID_FIELDS.items()))


FEATURES_FIELDS = {
    1: "version_major",
    2: "version_minor",
    3: "version_patch",
    4: "features",
    5: "vcpu_count",
    6: "irqchip",
    7: "request_bytes",
    8: "connections",
    9: "ranges",
    10: "events",
    11: "memory_slots",
    12: "memory_bytes",
    13: "irq_routes",
    14: "cpuid_entries",
    15: "msrs",
}


def features_response(**values):
    return main_response(
        "features", *(number(field, values.pop(name, 0)) for field, name in FEATURES_FIELDS.items())
    )


def get_end_response(reason, value, cpu, text):
    return main_response("get_end", number(1, reason), sint(2, value), sint(3, cpu), blob(4, text))


def main_error(code):
    return sint(1, code)


def main_response(name, *parts):
    return member(MAIN_MEMBER[name], *parts)


def read_response(data, members):
    """Return (errno, member's name or None, its bytes)."""
    code, name, body = 0, None, b""
    for field, value in fields(data):
        if field == 1:
            code = value // 2 if value % 2 == 0 else -(value + 1) // 2
        elif field in members:
            name, body = members[field], value
        else:
            raise Malformed(f"field {field} in a response")
    return code, name, body


def read_main_response(data):
    return read_response(data, MAIN_RESPONSES)


# ---- VcpuRequest ----

VCPU_REQUESTS = range(1, 11)


def wait():
    return member(1)


def resume(data=b"", regs=b"", sregs=b"", debugregs=b""):
    return member(2, blob(1, data), blob(2, regs), blob(3, sregs), blob(4, debugregs))


def get_state(state_set):
    return member(3, number(1, state_set))


def set_state(state_set, state):
    return member(4, number(1, state_set), blob(2, state))


def get_msrs(*indices):
    return member(5, packed(1, indices))


def set_msrs(*entries):
    return member(6, *(member(1, number(1, index), number(2, data)) for index, data in entries))


def set_cpuid(*entries):
    return member(7, *entries)


def shutdown():
    return member(8)


def get_hyperv_cpuid():
    return member(9)


def enable_capability(capability):
    return member(10, number(1, capability))


# Additions


def set_msrs_counted(*entries):
    return member(100, *(member(1, number(1, index), number(2, data)) for index, data in entries))


def set_cpuid_raw(entries):
    return member(101, blob(1, entries))


def get_ext_state(state_set):
    return member(102, number(1, state_set))


def set_ext_state(state_set, state):
    return member(103, number(1, state_set), blob(2, state))


def interrupt(vector):
    return member(104, number(1, vector))


def nmi():
    return member(105)


def request_irq_window(wanted):
    return member(106, number(1, wanted))


def set_guest_debug(debug):
    return member(107, blob(1, debug))


def translate(linear_address):
    return member(108, number(1, linear_address))


# ---- VcpuResponse ----

VCPU_RESPONSES = {
    2: "wait",
    4: "get_state",
    5: "set_state",
    6: "get_msrs",
    7: "set_msrs",
    8: "set_cpuid",
    9: "get_hyperv_cpuid",
    10: "enable_capability",
    100: "set_msrs_counted",
    101: "set_cpuid_raw",
    102: "get_ext_state",
    103: "set_ext_state",
    104: "interrupt",
    105: "nmi",
    106: "request_irq_window",
    107: "set_guest_debug",
    108: "translate",
    150: "event",
}
VCPU_MEMBER = {name: field for field, name in VCPU_RESPONSES.items()}

EXITS = {1: "init", 2: "io", 3: "user", 4: "hyperv_call", 5: "hyperv_synic"}
IO_FIELDS = {
    1: "space",
    2: "address",
    3: "is_write",
    4: "no_resume",
    5: "data",
    6: "regs",
    7: "sregs",
    8: "debugregs",
}


def init_event():
    return member(2, member(1))


def io_event(space, address, is_write, data, no_resume=False, regs=b"", sregs=b"", debugregs=b""):
    flags = number(3, is_write) + number(4, no_resume)
    snapshots = blob(6, regs) + blob(7, sregs) + blob(8, debugregs)
    return member(2, member(2, number(1, space), number(2, address), flags, blob(5, data), snapshots))


def user_event(user):
    return member(2, member(3, number(1, user)))


def hyperv_call_event(call, params0, params1):
    return member(2, member(4, number(1, call), number(2, params0), number(3, params1)))


def hyperv_synic_event(msr, control, evt_page, msg_page):
    return member(2, member(5, number(1, msr), number(2, control), number(3, evt_page), number(4, msg_page)))


def event(*exit):
    """One of the additions."""
    return member(150, *exit)


def msr_event(index, is_write, reason, data):
    return event(member(1, number(1, index), number(2, is_write), number(3, reason), number(4, data)))


def debug_event(exception, pc, dr6, dr7):
    return event(member(2, number(1, exception), number(2, pc), number(3, dr6), number(4, dr7)))


def hlt_event():
    return event(member(3))


def irq_window_event():
    return event(member(4))


def ioapic_eoi_event(vector):
    return event(member(5, number(1, vector)))


def shutdown_event():
    return event(member(6))


def internal_error_event(suberror, *data):
    return event(member(7, number(1, suberror), packed(2, data)))


def event_answer(data=0, action=0):
    """What the resume of an event that wants an answer has as its data: struct wire_event_answer."""
    return struct.pack("<QII", data, action, 0)


def vcpu_error(code):
    return sint(1, code)


def vcpu_response(name, *parts):
    return member(VCPU_MEMBER[name], *parts)


def read_vcpu_response(data):
    return read_response(data, VCPU_RESPONSES)


def frame(body):
    return varint(len(body)) + body


def read_frames(data):
    """Return the bodies of the frames that `data` is made of."""
    bodies, at = [], 0
    while at < len(data):
        size, at = read_varint(data, at)
        body = data[at : at + size]
        if len(body) != size:
            raise Malformed("a frame is cut off")
        bodies.append(body)
        at += size
    return bodies


# ---- The rest ----


def load_golden(path=os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.txt")):
    """Return {(message, name): bytes}."""
    golden = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                message, name, data = line.split(" ", 2)
                golden[message, name] = bytes.fromhex(data)
    return golden


def error_name(code):
    return errno.errorcode.get(code, str(code)) if code else "0"
