#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Print the default profile as a policy that lets the plugin have children and sessions too.

usage: family_policy.py default.policy"""

import re
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    text, count = re.subn(r"^clone: (.*\\\n)*.*\n", "clone: 1\nsetsid: 1\n", file.read(), flags=re.MULTILINE)
if count != 1:
    sys.exit(f"{sys.argv[1]} has {count} rules for clone")
sys.stdout.write(text)
