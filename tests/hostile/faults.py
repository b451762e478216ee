# SPDX-License-Identifier: BSD-3-Clause
"""Number 30: each system call that a jail is made of fails, by a filter that the host inherits. It must refuse, name the
step, and never run the plugin. tests/system/jail.c does the same by the helper's own list of steps."""

import ctypes
import errno
import os
import struct
import subprocess

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
libc = ctypes.CDLL(None, use_errno=True)

# Name, number on x86-64, as root only.
CALLS = (
    ("mount", 165, False),
    ("pivot_root", 155, False),
    ("umount2", 166, False),
    ("seccomp", 317, False),
    ("setresuid", 117, False),
    ("setgroups", 116, True),
    ("capset", 126, False),
    ("prlimit64", 302, False),
    ("sethostname", 170, False),
    ("setsid", 112, False),
    ("memfd_create", 319, False),
    ("unshare", 272, False),
    ("execveat", 322, False),
    ("landlock_restrict_self", 446, False),
)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def refuse(number):
    """Have a system call fail with EIO from now on, in us and whatever we start."""
    code = [
        (0x20, 0, 0, 0),  # the number
        (0x15, 0, 1, number),
        (0x06, 0, 0, ERRNO | errno.EIO),
        (0x06, 0, 0, ALLOW),
    ]
    program = Program(len(code), b"".join(struct.pack("=HBBI", *line) for line in code))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program)):
        os._exit(99)


def attempt(rig, name, install):
    before = rig.world()
    command = [rig.plugvm, "run", *(["--kvm-device", rig.kvm] if rig.kvm else []), "--jail", "default", "--", rig.plugin]
    run = subprocess.run(
        [*command, "list"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        preexec_fn=install,
        env=dict(os.environ, TMPDIR=rig.temporary),
    )
    problems = []
    lines = run.stderr.splitlines()
    if "fds-without-end" in run.stdout:
        problems.append(f"{name} failed, and the plugin ran")
    if len(lines) != 1 or run.returncode not in (3, 8, 9):
        problems.append(f"{name} failed: status {run.returncode}, {lines}")
    elif not any(word in lines[0] for word in ("jail", "plugin", "execute")):
        problems.append(f"{name} failed: no step is named: {lines[0]}")
    else:
        print(f"# {name}: {lines[0]}")
    if rig.world() != before:
        problems.append(f"{name} failed, and something is left: {before} before, {rig.world()} now")
    return problems


def run(rig, only):
    """Yield (name, numbers, what, problems) for each call."""
    todo = []
    for name, number, needs_root in CALLS:
        if not needs_root or os.geteuid() == 0:
            todo.append((name, lambda number=number: refuse(number)))
    for name, install in todo:
        title = f"jail-without-{name}"
        if not only or only in title:
            yield title, [30], f"{name} fails: no start, and the step is named", attempt(rig, name, install)
