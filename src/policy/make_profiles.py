#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Make profiles.inc: the built-in policies as C strings, named after their files. usage: make_profiles.py OUTPUT FILE..."""

import os
import sys


def quoted(line):
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '\\n"\n'


def main(output, *files):
    with open(output, "w", encoding="utf-8") as out:
        for path in files:
            name = os.path.splitext(os.path.basename(path))[0]
            with open(path, encoding="ascii") as file:
                lines = "".join(map(quoted, file.read().splitlines()))
            out.write(f"static const char {name}_policy[] =\n{lines};\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
