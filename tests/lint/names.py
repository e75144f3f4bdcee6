#!/usr/bin/env python3
"""Static functions can be grepped: no name is defined in two product files.

Reads the definitions as clang-format lays them out: "static" begins the line,
and the name stands before "(" there or at the start of the next line.
"""
import collections
import re
import subprocess
import sys

DEFINITION = re.compile(
    r"^static (?:inline )?[\w \n*]*?\b(\w+)\([^;{]*?\)\n\{", re.M)


def main():
    files = subprocess.run(
        ["git", "ls-files", "*.c", "*.h"], check=True, capture_output=True,
        text=True).stdout.split()
    homes = collections.defaultdict(set)
    for f in files:
        if f.startswith(("tests/", "findings/")):
            continue
        with open(f, encoding="utf-8") as text:
            for name in DEFINITION.findall(
                    re.sub(r"__attribute__\(\(.*?\)\)\s*", "", text.read())):
                homes[name].add(f)
    shared = {n: fs for n, fs in homes.items() if len(fs) > 1}
    for name, where in sorted(shared.items()):
        print(f"{name}() is static in " + " and ".join(sorted(where)))
    if not homes:
        print("no static function was found")
    sys.exit(1 if shared or not homes else 0)


main()
