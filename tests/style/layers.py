#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Layers: includes under src/ go one way, and only src/kvm speaks to KVM. usage: layers.py ROOT"""

import os
import re
import sys

from files import read, tree, without_comments
from tap import Tap

# What each layer may include, beside the system's headers. docs/architecture.md has the same table.
LAYERS = {
    "base": {"base", "plugvm.h"},
    "wire": {"base", "wire"},
    "kvm": {"base", "wire", "kvm", "plugvm.h"},
    "channel": {"base", "wire/limits.h", "channel"},
    "policy": {"base", "wire/limits.h", "policy", "plugvm.h"},
    "jail": {"base", "wire/limits.h", "policy", "jail", "plugvm.h"},
    "init": {"init", "jail"},
    "host": {"base", "wire", "channel", "kvm", "jail", "host", "plugvm.h"},
    "plugin": {"base", "wire", "channel", "plugin", "crosvm.h"},
    "cli": {"base", "cli", "plugvm.h"},
}
# Plugins and examples are users: of the installed header, and of what lies beside them.
USERS = ("examples", "plugins")
# Who else has to do with devices: network taps.
IOCTL_USERS = ("kvm/", "host/tap.c")
KVM_HEADER = "/usr/include/linux/kvm.h"


def includes(text):
    """Yield (line number, name, is quoted)."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line):
            yield number, found.group(2), found.group(1) == '"'


def is_source(path):
    return path.endswith((".c", ".h"))


def is_generated(name):
    """Tables that the build makes are beside nothing."""
    return name.endswith(".inc") and "/" not in name


def check_layers(root):
    for path in filter(is_source, tree(os.path.join(root, "src"))):
        layer = path.split("/")[0]
        if layer not in LAYERS:
            yield f"src/{path}: src/{layer} is no layer"
            continue
        for number, name, quoted in includes(read(root, "src", path)):
            if not quoted and name not in ("plugvm.h", "crosvm.h"):
                continue
            if name.split("/")[0] not in LAYERS[layer] and name not in LAYERS[layer] and not is_generated(name):
                yield f"src/{path}:{number}: {layer} must not include {name}"


def check_users(root):
    for top in USERS:
        for path in filter(is_source, tree(os.path.join(root, top))):
            for number, name, quoted in includes(read(root, top, path)):
                if name == "plugvm.h":
                    yield f"{top}/{path}:{number}: a plugin has no business with plugvm.h"
                if quoted and "/" in name:
                    yield f"{top}/{path}:{number}: {name} is not beside it"


def kvm_requests():
    """Return the names of all KVM ioctl requests."""
    header = read(KVM_HEADER) if os.path.exists(KVM_HEADER) else ""
    return set(re.findall(r"#\s*define\s+(KVM_\w+)\s+_IO[RW]*\(", header))


def check_kvm(root, requests):
    for top in ("src", *USERS):
        for path in filter(is_source, tree(os.path.join(root, top))):
            if top == "src" and path.startswith("kvm/"):
                continue
            for number, line in enumerate(without_comments(read(root, top, path)).splitlines(), 1):
                code = re.sub(r'"(?:[^"\\]|\\.)*"', "", line)
                for name in re.findall(r"\bKVM_\w+\b", code):
                    if name in requests:
                        yield f"{top}/{path}:{number}: {name} outside src/kvm"
                if re.search(r"\bioctl\s*\(", code) and not (top == "src" and path.startswith(IOCTL_USERS)):
                    yield f"{top}/{path}:{number}: ioctl() outside src/kvm and src/host/tap.c"


def main(root):
    tap = Tap()
    tap.check("includes under src/ go one way", check_layers(root))
    tap.check("plugins and examples use what is installed", check_users(root))
    requests = kvm_requests()
    tap.check("the kernel's header names KVM's requests", [] if "KVM_RUN" in requests else [KVM_HEADER])
    tap.check("only src/kvm names a KVM request", check_kvm(root, requests))
    tap.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
