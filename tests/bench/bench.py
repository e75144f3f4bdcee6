#!/usr/bin/env python3
"""Benchmarks beside their peers, side by side in one run.

    bench.py PROVIUM BUILD_DIR [ROW...]

Prints a Markdown table and writes build/bench/<date>.json and .md: medians,
ratios and targets. Figures on a shared machine are noisy; ratios are what to
read.
"""
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # beside the sources
import incoming
import many
import network
import peers

HERE = os.path.dirname(os.path.abspath(__file__))


class Bench:
    def __init__(self, provium, build):
        self.provium = provium
        self.build = build
        self.rows = []
        self.tmp = tempfile.TemporaryDirectory(prefix="provium-bench-")
        self.image = subprocess.run([provium, "guest", "path"], check=True,
                                    capture_output=True,
                                    text=True).stdout.strip()

    def row(self, name, value, peer, unit, target, at_least=False):
        """target: the ratio value/peer may be at most, or at least."""
        ratio = value / peer
        met = ratio >= target if at_least else ratio <= target
        bound = f"{'>=' if at_least else '<='} {target}"
        self.rows.append({"name": name, "value": round(value, 3),
                          "peer": round(peer, 3), "unit": unit,
                          "ratio": round(ratio, 3), "target": bound,
                          "met": met})
        print(f"  {name}: {value:.3f} against {peer:.3f} {unit}, "
              f"ratio {ratio:.3f} (target {bound})", flush=True)

    def compile(self, source, *flags, libs=()):
        out = os.path.join(self.tmp.name, os.path.basename(source)[:-2])
        subprocess.run(["gcc", "-O2", "-std=gnu11", "-D_GNU_SOURCE",
                        "-I" + os.path.join(HERE, "../.."), *flags, "-o", out,
                        os.path.join(HERE, source), *libs], check=True)
        return out

    def libs(self, *layers):
        """Archives of these layers and what they stand on."""
        found = subprocess.run(
            ["pkg-config", "--libs", "libevent_core", "libpcap", "jansson",
             "libzstd", "liblzma", "liblz4", "zlib", "libxxhash"],
            check=True, capture_output=True, text=True).stdout.split()
        return [*(f"{self.build}/lib{n}.a" for n in layers), *found,
                "-lslirp"]

    def plain_kernel(self):
        """The bzImage of the guest's release: installed, or fetched."""
        with open(os.path.join(self.image, "info"), encoding="utf-8") as f:
            info = dict(line.split(" ", 1) for line in f.read().splitlines()
                        if " " in line)
        path = "/boot/vmlinuz-" + info["release"]
        if os.access(path, os.R_OK):
            return path
        subprocess.run(
            "apt-get -qq -o APT::Sandbox::User=root download "
            f"linux-image-{info['release']} && dpkg-deb -x *.deb kernel",
            shell=True, check=True, cwd=self.tmp.name)
        return self.tmp.name + "/kernel" + path

    def run_test(self, name, rounds, **env):
        """Runs tests/bench/NAME.test.lua; returns the lines it wrote."""
        out = os.path.join(self.tmp.name, name + ".out")
        done = subprocess.run(
            [self.provium, "run", os.path.join(HERE, name + ".test.lua")],
            env={**os.environ, "BENCH_OUT": out,
                 "BENCH_ROUNDS": str(rounds), **env},
            capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        with open(out, encoding="utf-8", errors="replace") as f:
            return f.read().splitlines()


def newc(name, data, mode):
    """One entry of a cpio archive in the newc format."""
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08x" % f for f in fields)
    head += name.encode() + b"\0"
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


def floor_argv(argv, initrd):
    """The same QEMU command, without the peers of its chardevs."""
    out = list(argv)
    for i, word in enumerate(out):
        if word.startswith("socket,") and "id=" in word:
            cid = [w for w in word.split(",") if w.startswith("id=")][0]
            out[i] = "null," + cid
        if out[i - 1] == "-initrd":
            out[i] = initrd
        if out[i - 1] == "-append":
            words = [w for w in word.split(" ")
                     if not w.startswith("rdinit=")]
            out[i] = " ".join(words + ["rdinit=/init"])
    return out


def timed(argv):
    start = time.monotonic()
    subprocess.run(argv, check=False, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   timeout=60)
    return time.monotonic() - start


def bench_boot(b, rounds=10):
    """vm:boot() and a first stat, against the floor and a plain boot."""
    init = b.compile("poweroff_init.c", "-static")
    with open(init, "rb") as f:
        program = f.read()
    extra = newc("init", program, 0o100755)
    extra += newc("TRAILER!!!", b"", 0)
    initrd = os.path.join(b.tmp.name, "floor.cpio")
    with open(os.path.join(b.image, "initrd.cpio"), "rb") as f, \
            open(initrd, "wb") as out:
        out.write(f.read())
        out.write(extra)

    ours, floors = [], []
    argv = None
    for _ in range(rounds):  # in turns: noise hits both
        for line in b.run_test("boot", 1):
            word, rest = line.split(" ", 1)
            if word == "boot":
                ours.append(float(rest))
            elif word == "argv":
                argv = rest.strip("\x1f").split("\x1f")
        floors.append(timed(floor_argv(argv, initrd)))
    b.row("boot to the first answer / floor", statistics.median(ours),
          statistics.median(floors), "s", 1.10)

    bzimage = b.plain_kernel()
    plain = [timed(["qemu-system-x86_64", "-M", "q35", "-accel", "tcg",
                    "-m", "256M", "-nodefaults", "-display", "none",
                    "-serial", "null", "-no-reboot",
                    "-kernel", bzimage, "-initrd", initrd,
                    "-append", "console=ttyS0 rdinit=/init"])
             for _ in range(max(3, rounds // 2))]
    b.row("boot to the first answer / plain q35 bzImage",
          statistics.median(ours), statistics.median(plain), "s", 0.7)


def bench_roundtrip(b, rounds=3000):
    """stat, a raw system call and run("true") against a bare echo."""
    echo = b.compile("echo_client.c")
    got = {}
    for _ in range(3):  # the quietest of them is what counts
        for line in b.run_test("roundtrip", rounds, BENCH_ECHO=echo):
            name, p50, p99 = line.split()
            got.setdefault(name, []).append((float(p50), float(p99)))
    best = {k: min(v) for k, v in got.items()}
    for name in ("stat", "syscall"):
        b.row(f"{name} round trip, p50 / bare echo", best[name][0],
              best["echo"][0], "us", 1.3)
        b.row(f"{name} round trip, p99 / bare echo", best[name][1],
              best["echo"][1], "us", 1.3)
    print(f"  run(true): p50 {best['run'][0]} us, p99 {best['run'][1]} us")


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
                  rate[kind + size], rate[peer], "MiB/s", 0.8, True)
    print(f"  64 KiB straight into the port: {rate['raw64k']} MiB/s")


NEEDLE = "needle-at-the-end"


def bench_expect(b, rounds=5):
    """expect over 256 MiB from a pipe, the match at the end."""
    ours = b.compile("bench_expect.c", libs=b.libs("streams", "agent-proto"))
    files = {}
    line = b"an ordinary line of a log, of eighty characters, with nothing"
    line = line.ljust(79, b".") + b"\n"
    for mib in (128, 256):
        files[mib] = os.path.join(b.tmp.name, f"log{mib}")
        with open(files[mib], "wb") as f:
            for _ in range(mib):
                f.write((line * (1048576 // 80 + 1))[:1048576])
            f.write(NEEDLE.encode())

    def seconds(argv):
        return float(subprocess.run(argv, check=True, capture_output=True,
                                    text=True).stdout)

    peer = [sys.executable, os.path.join(HERE, "pexpect_peer.py")]
    half, full, wide = [], [], []
    for _ in range(rounds):  # in turns
        half.append(seconds([ours, files[128], NEEDLE]))
        full.append(seconds([ours, files[256], NEEDLE]))
        wide.append(seconds([*peer, files[256], NEEDLE, "65536"]))
    plain = seconds([*peer, files[256], NEEDLE])
    rate = 256 / statistics.median(full)
    b.row("expect over 256 MiB / pexpect", rate, 256 / plain, "MiB/s", 20,
          True)
    b.row("expect over 256 MiB / pexpect reading 64 KiB", rate,
          256 / statistics.median(wide), "MiB/s", 20, True)
    b.row("expect over 256 MiB / over 128 MiB", statistics.median(full),
          statistics.median(half), "s", 2.2)


def bench_deadline(b, rounds=500):
    """By how much calls overshoot; the peer is the 10 ms that are allowed."""
    for line in b.run_test("deadline", rounds):
        name, p50, p99, most = line.split()
        print(f"  {name}: p50 {p50} ms, p99 {p99} ms, most {most} ms")
        b.row(f"deadline overshoot p99, streams: {name} / 10 ms",
              float(p99), 10.0, "ms", 1.0)


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
    b.row("capture: highest rate without a loss / tcpdump", best[0], best[1],
          "packets/s", 1.0, True)


def snapshot_of(b, memory, rounds):
    """Medians of a guest of that size, in seconds and bytes by name."""
    folder = os.path.join(b.tmp.name, "snapshot-" + memory)
    lines = b.run_test("snapshot", rounds, BENCH_MEMORY=memory,
                       BENCH_DIR=folder)
    found = {}
    for line in lines:
        name, value = line.split(" ", 1)
        if name == "argv":
            argv = value.strip("\x1f").split("\x1f")
        else:
            found.setdefault(name, []).append(float(value))
    got = {name: statistics.median(v) for name, v in found.items()}
    whole = os.path.join(b.tmp.name, "migration")
    initrd = os.path.join(folder, "initrd")
    incoming.save(argv, initrd, b.tmp.name, whole)
    got["incoming"] = statistics.median(
        incoming.load(argv, initrd, b.tmp.name, whole)
        for _ in range(rounds))
    got["whole_size"] = os.stat(whole).st_size
    os.unlink(whole)
    return got


def bench_snapshot(b, rounds=5):
    small = snapshot_of(b, "256M", rounds)
    large = snapshot_of(b, "2G", rounds)
    for memory, got in (("256 MiB", small), ("2 GiB", large)):
        b.row(f"restore to the first answer, {memory}, against a boot",
              got["restore"], got["boot"], "s", 0.05)
        b.row(f"the same against QEMU's own -incoming, {memory}",
              got["restore"], got["incoming"], "s", 1)
        b.row(f"size on the disk, {memory}, against QEMU's own",
              got["size"] / 2**20, got["whole_size"] / 2**20, "MiB", 1.2)
        b.row(f"snapshot, {memory}, against a boot", got["snapshot"],
              got["boot"], "s", 0.5)
        b.row(f"snapshot of a restored guest, {memory}, against a first one",
              got["delta"], got["snapshot"], "s", 1)
        b.row(f"its size, {memory}, against a first one",
              got["delta_size"] / 2**20, got["size"] / 2**20, "MiB", 0.5)
    b.row("restore, 2 GiB against 256 MiB", large["restore"],
          small["restore"], "s", 1.25)
    b.row("snapshot, 2 GiB against 256 MiB", large["snapshot"],
          small["snapshot"], "s", 1.5)


ROWS = {"boot": bench_boot, "snapshot": bench_snapshot, "roundtrip": bench_roundtrip, "tail": bench_tail,
        "expect": bench_expect, "deadline": bench_deadline,
        "capture": bench_capture, "surface": peers.bench_surface,
        "files": many.bench_files, "reset": many.bench_reset, "network": network.bench_network}


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    b = Bench(sys.argv[1], sys.argv[2])
    for name in sys.argv[3:] or ROWS:
        print(name, flush=True)
        ROWS[name](b)

    out = os.path.join(os.path.dirname(os.path.abspath(b.build)), "bench")
    os.makedirs(out, exist_ok=True)
    stem = os.path.join(out, datetime.date.today().isoformat())
    with open(stem + ".json", "w", encoding="utf-8") as f:
        json.dump({"rows": b.rows}, f, indent=1)
    table = ["| what | ours | peer | unit | ratio | target |",
             "|---|---|---|---|---|---|"]
    for r in b.rows:
        table.append(f"| {r['name']} | {r['value']} | {r['peer']} | "
                     f"{r['unit']} | {r['ratio']} | {r['target']}"
                     f"{'' if r['met'] else ' **missed**'} |")
    with open(stem + ".md", "w", encoding="utf-8") as f:
        f.write("\n".join(table) + "\n")
    print("\n".join(table))


if __name__ == "__main__":
    main()
