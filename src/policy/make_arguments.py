#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Make arguments_x86.inc: how wide the kernel takes each argument of each system call of x86-64.

usage: make_arguments.py SYSCALLS_H UNISTD_64_H > arguments_x86.inc

SYSCALLS_H is include/linux/syscalls.h of a kernel (Debian has it in linux-headers-VERSION-common), which programs
cannot include; so the result is committed. A type that is not listed here is an error.
"""

import re
import sys

WORDS = {
    "l": "long|unsigned long|size_t|loff_t|off_t|__u64|u64|aio_context_t|__kernel_old_time_t|cap_user_header_t"
    "|cap_user_data_t|__sighandler_t",
    "i": "int|unsigned int|unsigned|pid_t|uid_t|gid_t|u32|__u32|__s32|qid_t|key_t|mqd_t|timer_t|rwf_t|key_serial_t"
    "|clockid_t|enum landlock_rule_type|uint32_t",
    "h": "umode_t",
}
LETTERS = {word: letter for letter, words in WORDS.items() for word in words.split("|")}

# Where the number's name is not the function's.
FUNCTIONS = {"stat": "newstat", "fstat": "newfstat", "lstat": "newlstat", "uname": "newuname", "umount2": "umount"}
FUNCTIONS |= {"sendfile": "sendfile64"}

# Not in the header because they are x86's own, or declared as long although the kernel looks at the low half only.
OWN = {
    "mmap": ("lliiil", "unsigned long, but only low bits of prot, flags and fd are looked at"),
    "mprotect": ("lli", "unsigned long prot, of which only low bits have a meaning"),
    "pkey_mprotect": ("llii", "the same"),
    "readv": ("ill", "unsigned long fd, of which the kernel takes the lower half, vec, vlen"),
    "writev": ("ill", "the same"),
    "preadv": ("illll", "the same, pos_l, pos_h"),
    "pwritev": ("illll", "the same"),
    "preadv2": ("illlli", "the same, rwf_t flags"),
    "pwritev2": ("illlli", "the same"),
    "clone": ("illll", "unsigned long flags, of which the kernel takes the lower half"),
    "arch_prctl": ("il", "int option, unsigned long arg2"),
    "iopl": ("i", "unsigned int level"),
    "ioperm": ("lli", "unsigned long from, unsigned long num, int turn_on"),
    "modify_ldt": ("ill", "int func, void *ptr, unsigned long bytecount"),
    "rt_sigreturn": ("", "void"),
}


def letter(parameter):
    """Return the letter of a parameter, with or without its name."""
    text = " ".join(parameter.replace("const ", "").split())
    if "*" in text or "[" in text:
        return "l"
    for candidate in (text, text.rpartition(" ")[0]):
        if candidate in LETTERS:
            return LETTERS[candidate]
    sys.exit(f"no such type: {parameter!r}")


def prototypes(header):
    """Return {function: parameters}."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    found = re.findall(r"asmlinkage long sys_(\w+)\(([^;]*?)\);", text)
    return {name: " ".join(parameters.replace("__user", "").split()) for name, parameters in found}


def main(syscalls, unistd):
    with open(syscalls, encoding="utf-8") as file:
        functions = prototypes(file.read())
    print("/* SPDX-License-Identifier: BSD-3-Clause */")
    print("/* Made by make_arguments.py. A letter for each argument: h 16 bits, i 32 bits, l 64 bits. */")
    with open(unistd, encoding="utf-8") as file:
        for name, number in re.findall(r"#define __NR_(\w+) (\d+)", file.read()):
            if name in OWN:
                letters, parameters = OWN[name]
            elif parameters := functions.get(FUNCTIONS.get(name, name)):
                letters = "" if parameters == "void" else "".join(map(letter, parameters.split(",")))
            else:
                continue  # without an implementation
            print(f'[{number}] = "{letters}", /* {name}: {parameters} */')


if __name__ == "__main__":
    main(*sys.argv[1:])
