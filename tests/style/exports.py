#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Exports: what each library exports is what its header declares and its map lists.

usage: exports.py HEADER MAP LIBRARY SONAME
"""

import re
import sys

from files import declared_functions, differences, read, run, without_comments
from tap import Tap


def exported(library):
    """Return {symbol: version} of what a shared library defines."""
    symbols = {}
    for line in run(["nm", "-D", "--defined-only", library]).stdout.splitlines():
        kind, name = line.split()[-2:]
        symbol, _, version = name.partition("@")
        if kind != "A":
            symbols[symbol] = version.lstrip("@")
    return symbols


def listed(map_text):
    """Return (names of version nodes, symbols)."""
    text = without_comments(map_text)
    nodes = re.findall(r"^(\w[\w.]*)\s*\{", text, flags=re.MULTILINE)
    return nodes, re.findall(r"^\s+(\w+);", text, flags=re.MULTILINE)


def main(header, map_file, library, soname):
    tap = Tap()
    declared = declared_functions(read(header))
    nodes, symbols = listed(read(map_file))
    exports = exported(library)
    tap.check("the header declares functions, each once", [] if len(declared) == len(set(declared)) > 1 else [header])
    tap.check("the map lists what the header declares", differences(declared, symbols, map_file))
    tap.check("the library exports what the header declares", differences(declared, exports, soname))
    tap.check(
        "every export has a version of the map",
        [f"{name} has version '{version}'" for name, version in exports.items() if version not in nodes],
    )
    found = re.findall(r"\(SONAME\).*\[(.*)\]", run(["readelf", "-d", library]).stdout)
    tap.check(f"the SONAME is {soname}", [] if found == [soname] else [f"it is {found}"])
    tap.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
