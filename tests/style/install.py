#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Install: what `meson install` puts where, and that programs outside the tree can use it.

usage: install.py BUILD CC MESON...    (CC and MESON may be several words)
"""

import fnmatch
import os
import shlex
import stat
import sys
import tempfile

from files import run
from tap import Tap

# Below the prefix; the directory of the libraries has the machine's name on Debian.
WANTED = [
    "bin/plugvm",
    "include/crosvm.h",
    "include/plugvm.h",
    "lib*/libcrosvm_plugin.so",
    "lib*/libcrosvm_plugin.so.0",
    "lib*/libcrosvm_plugin.so.0.*",
    "lib*/libplugvm.so",
    "lib*/libplugvm.so.0",
    "lib*/libplugvm.so.0.*",
    "lib*/pkgconfig/crosvm_plugin.pc",
    "lib*/pkgconfig/plugvm.pc",
    "libexec/plugvm/firmware",
    "share/man/man1/plugvm.1",
]
EXECUTABLE = ("bin/plugvm", "libexec/plugvm/firmware")

USES_PLUGVM = r"""
#include <plugvm.h>
#include <stdio.h>

int main(void)
{
	unsigned int major, minor, patch;
	plugvm_version(&major, &minor, &patch);
	printf("%u.%u.%u\n", major, minor, patch);
	return major == PLUGVM_VERSION_MAJOR && minor == PLUGVM_VERSION_MINOR ? 0 : 1;
}
"""

# Not started by a host, so there is nothing to connect to.
USES_CROSVM = r"""
#include <crosvm.h>
#include <errno.h>

int main(void)
{
	struct crosvm *vm;
	return crosvm_connect(&vm) == -ENOTCONN ? 0 : 1;
}
"""


def installed(prefix):
    for directory, _, files in os.walk(prefix):
        for name in files:
            yield os.path.relpath(os.path.join(directory, name), prefix)


def check_files(prefix):
    files = sorted(installed(prefix))
    for pattern in WANTED:
        if not fnmatch.filter(files, pattern):
            yield f"{pattern} is missing"
    for name in files:
        if not any(fnmatch.fnmatch(name, pattern) for pattern in WANTED):
            yield f"{name} is too much"
        mode = os.lstat(os.path.join(prefix, name)).st_mode
        if name in EXECUTABLE and not mode & stat.S_IXOTH:
            yield f"{name} is not executable"


def library_directory(prefix):
    for directory, _, files in os.walk(prefix):
        if "libplugvm.so.0" in files:
            return directory
    return prefix


class Outside:
    """A directory outside the tree, from which only the installed files are seen."""

    def __init__(self, directory, destdir, prefix, cc):
        self.directory = directory
        self.prefix = prefix
        self.cc = cc
        self.libraries = library_directory(prefix)
        self.environment = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C",
            "PKG_CONFIG_PATH": os.path.join(self.libraries, "pkgconfig"),
            "PKG_CONFIG_SYSROOT_DIR": destdir,
            "LD_LIBRARY_PATH": self.libraries,
        }

    def run(self, command):
        result = run(command, cwd=self.directory, env=self.environment)
        return result.returncode, result.stdout

    def check_program(self, package, source):
        """Compile and link a program with a package's flags, and run it."""
        status, flags = self.run(["pkg-config", "--cflags", "--libs", package])
        if status:
            return [f"pkg-config {package}: {flags}"]
        program = os.path.join(self.directory, package)
        with open(program + ".c", "w", encoding="utf-8") as file:
            file.write(source)
        command = [*self.cc, "-Wall", "-Wextra", "-Werror", "-o", program, program + ".c", *flags.split()]
        status, output = self.run(command)
        if status:
            return [shlex.join(command), *output.splitlines()]
        status, output = self.run([program])
        return [f"{package}: status {status}: {output}"] if status else []

    def check_alone(self):
        """What is installed starts, wherever the prefix is, without being told where the libraries are."""
        for name, argument in zip(EXECUTABLE, ("--version", "--help")):
            command = [os.path.join(self.prefix, name), argument]
            result = run(command, env={"PATH": os.environ["PATH"], "LC_ALL": "C"})
            if result.returncode:
                yield f"{name} {argument}: {result.stdout.strip()}"

    def check_version(self):
        """The program, the library's .pc file and the header tell the same version."""
        _, package = self.run(["pkg-config", "--modversion", "plugvm"])
        status, program = self.run([os.path.join(self.prefix, "bin/plugvm"), "--version"])
        _, library = self.run([os.path.join(self.directory, "plugvm")])
        if status or program.split() != ["plugvm", package.strip()] or library != package:
            yield f"plugvm --version: {program!r}; plugvm.pc: {package!r}; plugvm_version(): {library!r}"


def check_man_page(prefix):
    path = os.path.join(prefix, "share/man/man1/plugvm.1")
    if not os.path.exists(path):
        yield "share/man/man1/plugvm.1 is missing"
        return
    with open(path, encoding="utf-8") as file:
        page = file.read()
    for word in ('.TH "plugvm" "1"', ".SH OPTIONS", ".SH EXIT STATUS"):
        if word not in page:
            yield f"plugvm.1 lacks {word}"


def main(build, cc, *meson):
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="plugvm-install.") as directory:
        destdir = os.path.join(directory, "root")
        outside = os.path.join(directory, "outside")
        os.mkdir(outside)
        result = run([*meson, "install", "-C", build, "--no-rebuild", "--destdir", destdir])
        tap.check("meson install succeeds", result.stdout.splitlines() if result.returncode else [])
        # The prefix is the build directory's.
        prefix = next((top for top, directories, _ in os.walk(destdir) if "include" in directories), destdir)
        user = Outside(outside, destdir, prefix, shlex.split(cc))
        tap.check("it installs what it should, and nothing else", check_files(prefix))
        tap.check("a host builds against libplugvm and runs", user.check_program("plugvm", USES_PLUGVM))
        tap.check("a plugin builds against libcrosvm_plugin and runs", user.check_program("crosvm_plugin", USES_CROSVM))
        tap.check("the version is the same everywhere", user.check_version())
        tap.check("the installed programs find their libraries", user.check_alone())
        tap.check("the man page is a man page", check_man_page(prefix))
    tap.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
