"""What streams bring to the host a second, and how fast they are searched."""
import os
import statistics
import subprocess
import sys

from harness import HERE

NEEDLE = "needle-at-the-end"


def bench_tail(b, rounds=5):
    """Tails against the same bytes raw over the same transport."""
    lines = b.run_test("tail", rounds, BENCH_SINK=b.compile("sink_client.c"),
                       BENCH_PUMP=b.compile("pump.c", "-static"))
    got = {}
    for line in lines:
        name, rate = line.split()
        got.setdefault(name, []).append(float(rate))
    rate = {k: statistics.median(v) for k, v in got.items()}
    for kind in ("stdout", "file"):
        for size, peer in (("64k", "cat64k"), ("100", "raw100")):
            b.row(f"Tail of {kind}, writes of {size} / raw, by a pipe and cat",
                  rate[kind + size], rate[peer], "MiB/s")
    b.extra("Tail of stdout, writes of 64k / straight into the port",
            rate["stdout64k"], rate["raw64k"], "MiB/s")


def write_log(path, mib):
    """Lines of 80 characters, then the needle."""
    line = b"an ordinary line of a log, of eighty characters, with nothing"
    line = line.ljust(79, b".") + b"\n"
    with open(path, "wb") as f:
        for _ in range(mib):
            f.write((line * (1048576 // 80 + 1))[:1048576])
        f.write(NEEDLE.encode())


def seconds(argv):
    return float(subprocess.run(argv, check=True, capture_output=True,
                                text=True).stdout)


def expect_program(b):
    return b.compile("bench_expect.c", libs=b.libs("streams", "agent-proto"))


def bench_expect(b, rounds=5):
    """expect over 256 MiB from a pipe, the match at the end."""
    ours = expect_program(b)
    files = {}
    for mib in (128, 256):
        files[mib] = os.path.join(b.tmp.name, f"log{mib}")
        write_log(files[mib], mib)
    peer = [sys.executable, os.path.join(HERE, "pexpect_peer.py")]
    # Not measured: a host may give a virtual machine memory as it is touched.
    seconds([ours, files[256], NEEDLE])
    half, full, wide = [], [], []
    for _ in range(rounds):  # in turns
        half.append(seconds([ours, files[128], NEEDLE]))
        full.append(seconds([ours, files[256], NEEDLE]))
        wide.append(seconds([*peer, files[256], NEEDLE, "65536"]))
    plain = seconds([*peer, files[256], NEEDLE])
    rate = 256 / statistics.median(full)
    b.row("expect over 256 MiB / pexpect", rate, 256 / plain, "MiB/s")
    b.row("expect over 256 MiB / expect over 128 MiB",
          statistics.median(full), statistics.median(half), "s")
    b.extra("expect over 256 MiB / pexpect reading 64 KiB", rate,
            256 / statistics.median(wide), "MiB/s", ">= 20")
    for path in files.values():
        os.unlink(path)
