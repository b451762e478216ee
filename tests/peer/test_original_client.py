#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Run each case of original_client.py as a plugin of plugvm and check how that ends.

usage: test_original_client.py PLUGVM GUEST [CASE...]
"""

import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

import tap

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PLUGIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "original_client.py")
TIMEOUT_S = 60

EXITED, PLUGIN_FAILED, GUEST_CRASHED, PROTOCOL_ERROR = 0, 1, 5, 7
KILL_SOON = ["--grace", "50"]

# name: (exit status, what stderr must say, options)
CASES = {
    "life": (EXITED, "the plugin exited", []),
    "registers_by_set_state": (EXITED, "", []),
    "two_vcpus": (EXITED, "", ["--cpus", "2"]),
    "sixteen_vcpus": (EXITED, "", ["--cpus", "16"]),
    "every_state_set": (EXITED, "", []),
    "start_before_connections_close": (EXITED, "", []),
    "ranges_while_running": (EXITED, "", []),
    "memory_values": (EXITED, "", []),
    "memory_files": (EXITED, "", []),
    "memory_quota": (EXITED, "", []),
    "memory_slots": (EXITED, "", []),
    "range_values": (EXITED, "", []),
    "unknown_messages": (EXITED, "", []),
    "unknown_fields": (EXITED, "", []),
    "twice": (EXITED, "", []),
    "surplus_fds": (EXITED, "a request came with too many fds", []),
    "overlong_packet": (EXITED, "", []),
    "connections": (EXITED, "", []),
    "empty_packet": (EXITED, "", []),
    "garbage": (EXITED, "a connection of the plugin was dropped: a request does not decode (EBADMSG)", []),
    "garbage_with_fds": (EXITED, "a request does not decode", []),
    "length_that_lies": (EXITED, "a request does not decode", []),
    "never_reads_replies": (EXITED, "the plugin does not read its replies", []),
    "before_init": (EXITED, "", []),
    "vcpu_values": (EXITED, "", []),
    "resume_data_length": (EXITED, "", []),
    "resume_registers": (EXITED, "", []),
    "requests_while_running": (EXITED, "", ["--cpus", "2"]),
    "nonblocking_ends": (EXITED, "", []),
    "io_events": (EXITED, "", []),
    "io_event_values": (EXITED, "", []),
    "irq_line": (EXITED, "", []),
    "irq_event": (EXITED, "", []),
    "routing": (EXITED, "", []),
    "routing_values": (EXITED, "", []),
    "vm_state": (EXITED, "", []),
    "vm_state_stays": (EXITED, "", []),
    "queries": (EXITED, "", []),
    "identity_map": (EXITED, "", []),
    "no_tap": (EXITED, "", []),
    "tap": (EXITED, "", ["--net", "host-ip=192.0.2.1,netmask=255.255.255.0,mac=02:00:00:00:00:01"]),
    "dirty_log": (EXITED, "", []),
    "read_only_memory": (EXITED, "", []),
    "async_writes": (EXITED, "", []),
    "async_flood": (EXITED, "", []),
    "pause_in_a_flood": (EXITED, "", []),
    "pause": (EXITED, "", []),
    "pause_one_of_two": (EXITED, "", ["--cpus", "2"]),
    "pause_at_an_event": (EXITED, "", []),
    "hints": (EXITED, "", []),
    "hint_values": (EXITED, "", []),
    "cpuid": (EXITED, "", []),
    "msrs": (EXITED, "", []),
    "hyperv": (EXITED, "", []),
    "second_connection": (EXITED, "", []),
    "seventeen_vcpus": (EXITED, "", ["--cpus", "17"]),
    "features": (EXITED, "", ["--cpus", "2"]),
    "vcpus_in_packets": (EXITED, "", ["--cpus", "70"]),
    "vcpus_twice": (EXITED, "", ["--cpus", "3"]),
    "pause_set": (EXITED, "", []),
    "pause_set_of_nine": (EXITED, "", ["--cpus", "9"]),
    "ext_io_events": (EXITED, "", []),
    "ext_values": (EXITED, "", []),
    "edge_irq_event": (EXITED, "", []),
    "dirty_log_to": (EXITED, "", []),
    "signal_msi": (EXITED, "", []),
    "raw_cpuid": (EXITED, "", []),
    "ext_state": (EXITED, "", []),
    "counted_msrs": (EXITED, "", []),
    "vcpu_additions": (EXITED, "", []),
    "injection": (EXITED, "", ["--irqchip", "none"]),
    "single_step": (EXITED, "", []),
    "msr_filter_values": (EXITED, "", []),
    "msr_events": (EXITED, "", []),
    "subscriptions": (EXITED, "", []),
    "shutdown_event": (EXITED, "", []),
    "additions_before_init": (EXITED, "", []),
    "additions_while_running": (EXITED, "", ["--cpus", "2"]),
    "no_event_of_additions": (GUEST_CRASHED, "triple fault", []),
    "get_end": (PROTOCOL_ERROR, "vCPU 0: a request of 12 bytes does not decode", []),
    "vcpu_garbage": (PROTOCOL_ERROR, "vCPU 0: a request of 12 bytes does not decode", []),
    "vcpu_overlong": (PROTOCOL_ERROR, "vCPU 0: a request is longer than 65536 bytes", []),
    "vcpu_shutdown_message": (PROTOCOL_ERROR, "vCPU 0: the plugin sent the host's own shutdown message", []),
    "vcpu_empty_packet": (PROTOCOL_ERROR, "vCPU 0: the plugin has closed the channel", KILL_SOON),
    "vcpu_fds": (PROTOCOL_ERROR, "vCPU 0: a request came with file descriptors", []),
    "resume_twice": (PROTOCOL_ERROR, "vCPU 0: the plugin resumed a vCPU that was running", ["--cpus", "2"]),
    "requests_without_end": (PROTOCOL_ERROR, "vCPU 0: 64 requests came", ["--cpus", "2"]),
    "close_write_end": (PROTOCOL_ERROR, "vCPU 0: the plugin has closed the channel", KILL_SOON),
    "close_read_end": (PROTOCOL_ERROR, "vCPU 0: the plugin has closed the channel", KILL_SOON),
    "close_and_exit": (PLUGIN_FAILED, "the plugin exited with status 3", []),
    "close_before_start": (PROTOCOL_ERROR, "closed its last connection and had not started the VM", KILL_SOON),
    "never_answers": (PROTOCOL_ERROR, "the plugin did not answer for 300 ms", ["--answer-timeout", "300"]),
    "never_reads_events": (PROTOCOL_ERROR, "the plugin did not read its replies", ["--answer-timeout", "300"]),
    "full_eventfd": (PROTOCOL_ERROR, "vCPU 0: a request of 12 bytes does not decode", KILL_SOON),
}

# Cases that look at what their jail does not show them: /proc, with the host's fds and their own; and one that makes a
# file longer than a jail's limit.
UNJAILED = {
    "memory_files", "memory_quota", "unknown_messages", "surplus_fds", "overlong_packet", "empty_packet", "garbage",
    "garbage_with_fds", "length_that_lies", "io_event_values", "irq_event", "tap", "vcpus_in_packets", "ext_values",
    "dirty_log_to", "vcpu_fds",
}


def run_plugvm(command):
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        _, stderr = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        # The plugin goes with its host.
        process.kill()
        _, stderr = process.communicate()
        raise AssertionError(f"plugvm did not end within {TIMEOUT_S} s:\n{stderr}") from None
    return process.returncode, stderr


def own_network():
    """The command that runs another one in a network namespace of its own, where a tap harms nobody."""
    if os.geteuid() != 0:
        raise tap.Skip("only root makes taps")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise tap.Skip("there is no /dev/net/tun")
    command = ["unshare", "--net", "--"]
    if subprocess.run([*command, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        raise tap.Skip("there are no network namespaces here")
    return command


def check(plugvm, guest, name):
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise tap.Skip("there is no /dev/kvm that this user may use")
    status, words, options = CASES[name]
    prefix = own_network() if name == "tap" else []
    # In a jail the interpreter is the plugin, and sees what it is to interpret and to load.
    shown = [word for path in (TESTS, guest) for word in ("--plugin-mount", path)]
    if name in UNJAILED:
        shown = ["--disable-sandbox"]
    interpreted = ["/usr/bin/python3", PLUGIN, name, guest]
    got, stderr = run_plugvm([*prefix, plugvm, "run", *shown, *options, "--", *interpreted])
    report = f"plugvm exited with {got}:\n{stderr}"
    reason = re.search(f"plugin: case {name} cannot run: (.*)", stderr)
    if reason:
        raise tap.Skip(reason.group(1))
    assert f"plugin: case {name} is through" in stderr, report
    assert got == status, f"wanted {status}: {report}"
    assert words in stderr, f"wanted '{words}': {report}"


def main():
    plugvm, guest, *names = sys.argv[1:]
    guest = os.path.abspath(guest)
    tap.run([(name, lambda n=name: check(plugvm, guest, n)) for name in names or CASES])


if __name__ == "__main__":
    main()
