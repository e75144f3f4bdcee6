#!/usr/bin/env python3
"""How many of COUNT packets at RATE a second tcpdump writes out. To be run in
a network namespace of its own.

    tcpdump_peer.py SENDER RATE COUNT
"""
import struct
import subprocess
import sys

sender, rate, count = sys.argv[1:4]
subprocess.run([sender, "send", "1", "0"], check=True)  # brings lo up
with subprocess.Popen(["tcpdump", "-i", "lo", "-U", "-w", "-", "-s", "65535",
                       "ether proto 0x88b5"],
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE) as dump:
    dump.stdout.read(24)  # the header: it listens
    with subprocess.Popen([sender, "send", rate, count]) as send:
        got, rest = 0, b""
        want = int(count)
        while got < want:
            if send.poll() is not None:
                dump.terminate()  # it says what is left, then ends
            chunk = dump.stdout.read1(1 << 20)
            if not chunk:
                break
            rest += chunk
            at = 0
            while len(rest) - at >= 16:
                size = struct.unpack_from("<I", rest, at + 8)[0]
                if len(rest) - at < 16 + size:
                    break
                at += 16 + size
                got += 1
            rest = rest[at:]
    dump.terminate()
print(got)
