#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The host's own filters allow the ioctls that src/kvm and src/host make, and no others. usage: host_policies.py ROOT"""

import os
import re
import sys

from files import read, tree, without_comments
from tap import Tap

# Made before the filters are: they are in no policy.
BEFORE = {"KVM_GET_API_VERSION", "KVM_GET_VCPU_MMAP_SIZE", "KVM_CREATE_VM", "KVM_SET_TSS_ADDR", "KVM_CREATE_IRQCHIP"}
BEFORE |= {"KVM_CREATE_PIT2", "TUNGETIFF", "TUNSETIFF", "SIOCSIFHWADDR", "SIOCSIFADDR", "SIOCSIFNETMASK"}
BEFORE |= {"SIOCGIFFLAGS", "SIOCSIFFLAGS"}
# Of the VM or of KVM, but a vCPU's thread makes them too: for the size of the XSAVE area, and for the MSRs of a snapshot.
BOTH = {"KVM_CHECK_EXTENSION", "KVM_GET_MSR_INDEX_LIST"}


def requests_of_kvm(root):
    """Return {request: set of the fds on which it is made}."""
    header = read("/usr/include/linux/kvm.h")
    requests = set(re.findall(r"#\s*define\s+(KVM_\w+)\s+_IO[RW]*\(", header))
    found = {}
    for path in tree(os.path.join(root, "src", "kvm")):
        for statement in re.split(r"[;{}]|\n(?=[A-Z_]+\()", without_comments(read(root, "src", "kvm", path))):
            # Not where a request is only compared.
            for name in re.findall(r"(?<!== )\bKVM_\w+\b", statement):
                if name in requests:
                    is_vcpu = re.search(r"\bvcpu->fd\b|\bkvm_vcpu_[gs]et\(|VCPU_CALL\(|STATE_CALLS\(|KVM_SYNC_X86_", statement)
                    found.setdefault(name, set()).add("vcpu" if is_vcpu else "main")
    return found


def requests_of_taps(root):
    text = without_comments(read(root, "src", "host", "tap.c"))
    return set(re.findall(r"\b(?:SIOC|TUN)[A-Z]+\b", text))


def allowed(root, name):
    """Return the requests in the ioctl rule of a policy, in order."""
    text = read(root, "src", "policy", name).replace("\\\n", " ")
    rule = re.search(r"^ioctl: ([^#]*)", text, flags=re.MULTILINE).group(1)
    return re.findall(r"arg1 == (\w+)", rule)


def check(name, listed, wanted):
    for request in sorted(set(listed) - wanted):
        yield f"{name}: allows {request}, which nobody there makes"
    for request in sorted(wanted - set(listed)):
        yield f"{name}: {request} is missing"
    for request in sorted({request for request in listed if listed.count(request) > 1}):
        yield f"{name}: {request} stands there twice"


def main(root):
    tap = Tap()
    made = requests_of_kvm(root)
    taps = requests_of_taps(root)
    of_main = {name for name, fds in made.items() if "main" in fds} | taps
    of_vcpus = {name for name, fds in made.items() if "vcpu" in fds} | BOTH
    tap.check("what src/kvm does was found", [] if {"KVM_RUN", "KVM_GET_FPU"} <= of_vcpus else ["KVM_RUN is not there"])
    tap.check("what is said of single requests is still true", sorted((BEFORE | BOTH) - of_main))
    tap.check("the main thread's ioctls", check("host_main.policy", allowed(root, "host_main.policy"), of_main - BEFORE))
    tap.check("a vCPU's ioctls", check("host_vcpu.policy", allowed(root, "host_vcpu.policy"), of_vcpus))
    tap.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
