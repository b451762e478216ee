#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Print how many lines of each layer and of all are covered, and the files with too few; fail if a layer has too few.

coverage.py SUMMARY PERCENT LAYER...: SUMMARY is what `llvm-cov export -summary-only` says.
"""

import collections
import json
import sys


def main(path, least, *layers):
    least = float(least)
    files = collections.defaultdict(list)
    with open(path, encoding="utf-8") as file:
        for entry in json.load(file)["data"][0]["files"]:
            _, found, name = entry["filename"].rpartition("/src/")
            lines = entry["summary"]["lines"]
            # A header of inline functions counts as what it is: code of its layer.
            if found and lines["count"]:
                files[name.split("/")[0]].append((name, lines["covered"], lines["count"]))
    failed = False
    all_covered = all_count = 0
    for layer in layers:
        covered = sum(entry[1] for entry in files[layer])
        count = sum(entry[2] for entry in files[layer])
        percent = 100 * covered / count if count else 0
        print(f"{layer:8} {percent:5.1f} % of {count} lines")
        all_covered += covered
        all_count += count
        failed = failed or percent < least
        for name, some, total in sorted(files[layer]):
            if 100 * some / total < least:
                print(f"         {100 * some / total:5.1f} % of {total:4} lines of {name}")
    print(f"in all   {100 * all_covered / max(all_count, 1):5.1f} % of {all_count} lines")
    if failed:
        print(f"a layer has less than {least:g} %")
    return 1 if failed else 0


sys.exit(main(*sys.argv[1:]))
