#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Headers compile alone: the public ones as C11 and C++17 without a warning, those of src/ as what they are.

usage: headers.py ROOT BUILD CC [CXX]    (CC and CXX may be several words)
"""

import os
import shlex
import sys

from files import run, tree
from tap import Tap

PUBLIC = ("plugvm.h", "crosvm.h")
STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror"]


def compile_alone(compiler, language, header, options):
    """Return problems. The header is included twice, as its guard allows."""
    source = f'#include "{header}"\n#include "{header}"\nint main(void);\n'
    result = run([*compiler, *options, "-fsyntax-only", "-x", language, "-"], input=source)
    return result.stdout.splitlines() if result.returncode else []


def main(root, build, cc, cxx=""):
    tap = Tap()
    include = os.path.join(root, "include")
    for header in PUBLIC:
        options = ["-std=c11", *STRICT, "-I", include]
        tap.check(f"{header} compiles alone as C11", compile_alone(shlex.split(cc), "c", header, options))
        title = f"{header} compiles alone as C++17"
        if cxx:
            options = ["-std=c++17", *STRICT, "-I", include]
            tap.check(title, compile_alone(shlex.split(cxx), "c++", header, options))
        else:
            tap.skip(title, "there is no C++ compiler")

    source = os.path.join(root, "src")
    options = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Werror"]
    for directory in (source, include, os.path.join(build, "src")):
        options += ["-I", directory]
    problems = []
    for header in (path for path in tree(source) if path.endswith(".h")):
        problems += compile_alone(shlex.split(cc), "c", header, options)
    tap.check("every header of src/ compiles alone", problems)
    tap.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
