"""Captures, against tcpdump."""
import os
import subprocess
import sys

from harness import HERE


def bench_capture(b, seconds=2):
    """A capture against tcpdump at the same rates, as root."""
    prog = b.compile("bench_capture.c",
                     libs=b.libs("vmm", "streams", "agent-proto"))
    peer = ["unshare", "-n", sys.executable,
            os.path.join(HERE, "tcpdump_peer.py"), prog]

    def lost(argv, rate):
        count = rate * seconds
        got = subprocess.run([*argv, str(rate), str(count)], check=True,
                             capture_output=True, text=True).stdout
        return count - int(got)

    best = [1, 1]
    for rate in (10000, 20000, 50000, 100000, 200000):
        ours, theirs = lost([prog, "ours"], rate), lost(peer, rate)
        print(f"  {rate}/s: lost {ours}, tcpdump {theirs} "
              f"of {rate * seconds}", flush=True)
        best = [rate if not n else old
                for n, old in zip((ours, theirs), best)]
    b.extra("capture: highest rate without a loss / tcpdump", best[0],
            best[1], "packets/s", ">= 1")
