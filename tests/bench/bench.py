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

    def row(self, name, value, peer, unit, target):
        """target: the ratio value/peer may be at most."""
        ratio = value / peer
        self.rows.append({"name": name, "value": round(value, 3),
                          "peer": round(peer, 3), "unit": unit,
                          "ratio": round(ratio, 3), "target": target,
                          "met": ratio <= target})
        print(f"  {name}: {value:.3f} against {peer:.3f} {unit}, "
              f"ratio {ratio:.3f} (target <= {target})", flush=True)

    def compile(self, source, *flags):
        out = os.path.join(self.tmp.name, os.path.basename(source)[:-2])
        subprocess.run(["gcc", "-O2", *flags, "-o", out,
                        os.path.join(HERE, source)], check=True)
        return out

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


ROWS = {"boot": bench_boot, "roundtrip": bench_roundtrip}


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
                     f"{r['unit']} | {r['ratio']} | <= {r['target']}"
                     f"{'' if r['met'] else ' **missed**'} |")
    with open(stem + ".md", "w", encoding="utf-8") as f:
        f.write("\n".join(table) + "\n")
    print("\n".join(table))


if __name__ == "__main__":
    main()
