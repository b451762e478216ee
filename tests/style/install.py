#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Install: what `meson install` puts where, and that programs outside the tree can use it.

usage: install.py ROOT BUILD CC MESON...    (CC and MESON may be several words)
"""

import fnmatch
import os
import re
import shlex
import stat
import sys
import tempfile

from files import declared_functions, differences, read, run
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
    "libexec/plugvm/jailprobe",
    "libexec/plugvm/jailprobe-static",
    "libexec/plugvm/plugvm-init",
    "share/man/man1/plugvm.1",
    "share/man/man3/crosvm_*.3",
    "share/man/man5/plugvm-policy.5",
]
EXECUTABLE = (
    "bin/plugvm",
    "libexec/plugvm/firmware",
    "libexec/plugvm/jailprobe",
    "libexec/plugvm/jailprobe-static",
    "libexec/plugvm/plugvm-init",
)

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


# A library without SONAME and symbol versions, as the original one is.
ORIGINAL_LIBRARY = r"""
struct crosvm;
int crosvm_connect(struct crosvm **out_crosvm);
int crosvm_connect(struct crosvm **out_crosvm)
{
	*out_crosvm = 0;
	return 0;
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

    def check_original(self):
        """A plugin that was linked against the original library runs with this one."""
        directory = os.path.join(self.directory, "original")
        os.mkdir(directory)
        include = os.path.join(self.prefix, "include")
        library = os.path.join(directory, "libcrosvm_plugin.so")
        program = os.path.join(directory, "plugin")
        for name, source in ((library, ORIGINAL_LIBRARY), (program, USES_CROSVM)):
            with open(name + ".c", "w", encoding="utf-8") as file:
                file.write(source)
        for command in (
            [*self.cc, "-shared", "-fPIC", "-o", library, library + ".c"],
            [*self.cc, "-I", include, "-o", program, program + ".c", "-L", directory, "-lcrosvm_plugin"],
        ):
            status, output = self.run(command)
            if status:
                return [shlex.join(command), *output.splitlines()]
        status, output = self.run([program])
        return [f"status {status}: {output}"] if status else []

    def check_commands(self, root, has_kvm):
        """The documents' commands for building and running a plugin, with the example of crosvm_plugin(3)."""
        page = read(root, "docs/man/crosvm_plugin.3.scd")
        example = re.search(r"^```\n(.*?)^```$", page.partition("# EXAMPLES")[2], re.MULTILINE | re.DOTALL).group(1)
        for name in ("plugin.c", "my-plugin.c"):
            with open(os.path.join(self.directory, name), "w", encoding="utf-8") as file:
                file.write(example)
        # What ldconfig does for a real installation: the plugin finds the library without being told.
        environment = {**self.environment, "LD_RUN_PATH": self.libraries}
        environment["PATH"] = os.path.join(self.prefix, "bin") + ":" + os.environ["PATH"]
        for document in ("docs/porting.md", "docs/writing-a-plugin.md", "docs/man/crosvm_plugin.3.scd"):
            pattern = r"^ *(cc .*|plugvm run -- \./.*)$"
            commands = re.findall(pattern, read(root, document), flags=re.MULTILINE)
            if len(commands) != 2:
                yield f"{document}: {commands}"
            for command in commands:
                runs = command.startswith("plugvm run")
                if runs and not has_kvm:
                    continue
                result = run(["sh", "-c", command], cwd=self.directory, env=environment, timeout=60)
                if result.returncode or runs and "ok\n" not in result.stdout:
                    yield f"{document}: `{command}`: status {result.returncode}: {result.stdout!r}"

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


def check_man_aliases(prefix):
    """`man 3 FUNCTION` shows the page that has it: a line that names another page, which is no such line."""
    directory = os.path.join(prefix, "share/man/man3")
    pages = {name: read(directory, name) for name in os.listdir(directory)}
    aliases = {name: text for name, text in pages.items() if text.startswith(".so ")}
    functions = declared_functions(read(prefix, "include/crosvm.h"))
    yield from differences([f"{name}.3" for name in functions], aliases, "share/man/man3")
    for name, text in aliases.items():
        target = text[len(".so ") :].rstrip("\n").removeprefix("man3/")
        if target in aliases or f" {name[:-2]}(" not in pages.get(target, ""):
            yield f"{name} leads to {target}, which does not have it"
    if run(["sh", "-c", "command -v man && command -v groff"]).returncode == 0:
        command = ["man", "-M", os.path.join(prefix, "share/man"), "3", "crosvm_vcpu_wait"]
        shown = run(command, env={**os.environ, "MANPAGER": "cat"})
        if shown.returncode or "crosvm_vcpu_wait(struct" not in shown.stdout:
            yield f"man crosvm_vcpu_wait: {shown.stdout[:200]!r}"


def main(root, build, cc, *meson):
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
        tap.check("a plugin that was linked against the original library runs", user.check_original())
        has_kvm = os.access("/dev/kvm", os.R_OK | os.W_OK)
        title = "a plugin is built" + (" and run" if has_kvm else "") + " as the documents say"
        tap.check(title, user.check_commands(root, has_kvm))
        tap.check("the version is the same everywhere", user.check_version())
        tap.check("the installed programs find their libraries", user.check_alone())
        tap.check("the man page is a man page", check_man_page(prefix))
        tap.check("every function has a man page", check_man_aliases(prefix))
    tap.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
