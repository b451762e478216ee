#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Make constants.inc: the names that a policy may use for numbers, with the system's headers as their source.

usage: make_constants.py OUTPUT CC...    (CC may be several words)

Every macro of a family that is an integer constant is taken, sorted by name. constants.c includes the same headers
and the result.
"""

import glob
import os
import re
import subprocess
import sys

# docs/man/plugvm-policy.5.scd lists the families.
FAMILIES = (
    "AF AT ARCH CLOCK CLONE EFD EPOLL F FALLOC FD FUTEX GRND IPPROTO ITIMER LOCK MADV MAP MCL MFD MREMAP "
    "MSG MS O PF POSIX_FADV PR PRIO PROT P RLIMIT RUSAGE RWF SCHED SEEK SFD SHUT SO SOCK SOL SPLICE_F STATX TCP TFD TIMER"
)
SINGLE = "[RWXF]_OK|S_I[A-Z]+|SIG[A-Z0-9]+|SIG_(?:UN)?BLOCK|SIG_SETMASK|E[A-Z0-9]+|FIO[A-Z]+|TC[A-Z]+|TIOC[A-Z]+|TUN[A-Z]+"
NAME = re.compile(rf"(?:(?:{'|'.join(FAMILIES.split())})_[A-Z0-9_]+|{SINGLE}|SIOC[A-Z0-9]+|W[A-Z]+|__W[A-Z]+)$")
# Macros whose value is no integer constant, or depends on the process.
LEFT_OUT = re.compile(r"SIGRTMIN|SIGRTMAX|SIGSTKSZ|MINSIGSTKSZ|E[A-Z]*_H|WCHAR_.*|EOF|EXIT_.*|SIGEV.*|EPOLL[A-Z]+|SIG_(?:ERR|DFL|IGN)")
# The C library's O_LARGEFILE is 0 on x86-64, but others pass it to the kernel; the rest is missing in older headers.
KERNEL_VALUES = {"O_LARGEFILE": "0100000", "MFD_NOEXEC_SEAL": "0x8", "MFD_EXEC": "0x10", "F_SEAL_EXEC": "0x20"}

PROBE = '#include "policy/constant_headers.h"\n'


def kvm_requests():
    """Return the names of KVM's requests that the host's own policies use; the header has other architectures' too."""
    names = set()
    for path in glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "host_*.policy")):
        with open(path, encoding="ascii") as file:
            names.update(re.findall(r"\bKVM_\w+", file.read()))
    return names


def main(output, *command):
    macros = subprocess.run([*command, "-E", "-dM", "-"], input=PROBE, stdout=subprocess.PIPE, text=True, check=True)
    requests = kvm_requests()
    found = dict(KERNEL_VALUES)
    for name, value in re.findall(r"^#define (\w+) (.+)$", macros.stdout, flags=re.MULTILINE):
        is_named = NAME.match(name) or name in requests
        if is_named and not LEFT_OUT.match(name) and not re.search(r'["{]', value):
            found.setdefault(name, name)
    with open(output, "w", encoding="utf-8") as file:
        file.writelines(f'{{"{name}", (uint64_t)({found[name]})}},\n' for name in sorted(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
