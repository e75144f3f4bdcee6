#!/usr/bin/env python3
"""Seconds that pexpect takes to find the last bytes of a file in a pipe.

    pexpect_peer.py FILE NEEDLE [MAXREAD]
"""
import subprocess
import sys
import time

import pexpect.fdpexpect

path, needle = sys.argv[1:3]
maxread = int(sys.argv[3]) if len(sys.argv) > 3 else 2000
with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as cat:
    child = pexpect.fdpexpect.fdspawn(cat.stdout, maxread=maxread, timeout=600,
                                      searchwindowsize=len(needle))
    start = time.monotonic()
    child.expect_exact(needle.encode())
    print(f"{time.monotonic() - start:.6f}")
