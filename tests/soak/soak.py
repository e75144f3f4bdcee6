#!/usr/bin/env python3
"""Many guests, many boots, many restores; nothing may fail or grow.

    soak.py PROVIUM [--minutes N] [--boots N] [--restores N] [--seed N]

Three phases, one after the other, so that what grows is known:
many.scripted.lua, boots.scripted.lua and restores.scripted.lua, each a run of
its own; a phase of 0 is left out. Of each a table of the worker's and the parent's memory and
descriptors is printed. What must hold:

  - every verdict is a pass
  - memory at the end is no more than GROWTH_KIB above what it was a third of
    the way, by the medians of the two last thirds; descriptors likewise
  - nothing is left: no process, no directory, no snapshot, nothing in /dev/shm
"""
import argparse
import collections
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True  # beside the sources
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                ".."))
from leftovers import marked, shm

GROWTH_KIB = 8 * 1024  # of a worker of 8 guests: what the allocator may keep
GROWTH_FDS = 2
SAMPLE_SECONDS = 2
SAMPLES_MIN = 6  # 18 boots, 24 restores
TABLE_ROWS = 12
GONE_WITHIN = 10  # seconds, of a run's processes
SHOWN = 20000     # bytes of what a run that failed has printed, from the end

Phase = collections.namedtuple("Phase", "name option unit")
PHASES = (
    Phase("many", "minutes", "rounds"),
    Phase("boots", "boots", "boots"),
    Phase("restores", "restores", "restores"),
)


def figures(pid):
    """VmRSS in KiB and the number of descriptors."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        rss = [int(l.split()[1]) for l in f if l.startswith("VmRSS:")]
    return rss[0], len(os.listdir(f"/proc/{pid}/fd"))


def watch(pid, rows, stop):
    start = time.monotonic()
    while not stop.wait(SAMPLE_SECONDS):
        try:
            rss, fds = figures(pid)
        except (OSError, IndexError):
            return
        rows.append((int(time.monotonic() - start), rss, fds))


def is_flat(name, rows):
    """Prints a table of a few rows, and whether it grows."""
    if len(rows) < SAMPLES_MIN:
        print(f"  FAIL    {name}: {len(rows)} samples are too few")
        return False
    third = len(rows) // 3
    middle, end = rows[third:2 * third], rows[2 * third:]
    print(f"  {name}: s, VmRSS KiB, descriptors")
    for i in range(0, len(rows), max(1, len(rows) // TABLE_ROWS)):
        print("    %6d %9d %5d" % rows[i])
    grown = [statistics.median(r[c] for r in end)
             - statistics.median(r[c] for r in middle) for c in (1, 2)]
    ok = grown[0] <= GROWTH_KIB and grown[1] <= GROWTH_FDS
    print(f"  {'ok     ' if ok else 'FAIL   '} {name}: {grown[0]:+.0f} KiB, "
          f"{grown[1]:+.0f} descriptors")
    return ok


def files_below(top):
    """The folders and files below top, as paths from there."""
    return {os.path.relpath(os.path.join(d, n), top)
            for d, dirs, files in os.walk(top) for n in dirs + files}


class Place:
    """Directories of this soak's own, and what is found there afterwards."""

    def __init__(self, work):
        self.work = work
        self.shm = shm()
        self.cache = os.path.join(
            os.environ.get("XDG_CACHE_HOME")
            or os.path.expanduser("~/.cache"), "provium")
        self.cached = files_below(self.cache)
        for name in ("r", "t"):
            os.mkdir(os.path.join(work, name), 0o700)

    def env(self):
        return {**os.environ, "XDG_RUNTIME_DIR": self.work + "/r",
                "TMPDIR": self.work + "/t"}

    def left(self):
        end = time.monotonic() + GONE_WITHIN
        while marked(f"{self.work}/r") and time.monotonic() < end:
            time.sleep(0.1)
        found = [f"process {pid}" for pid in marked(f"{self.work}/r")]
        for top in ("r", "t"):
            found += [f"{top}/{n}" for n in os.listdir(f"{self.work}/{top}")]
        found += [f"/dev/shm/{n}" for n in shm() - self.shm]
        # Others on the machine may use the cache, but keep no snapshot in it.
        found += [f"{self.cache}/{n}" for n
                  in files_below(self.cache) - self.cached
                  if os.path.basename(n) in ("info.json", "info.tmp", "ram")]
        return found


class Run:
    """One phase: a run of provium, watched."""

    def __init__(self, provium, phase, place, env):
        here = os.path.dirname(os.path.abspath(__file__))
        self.log = f"{place.work}/{phase.name}.rounds"
        self.parent, stop = [], threading.Event()
        # provium takes files whose names end in .test.lua.
        test = f"{place.work}/{phase.name}.test.lua"
        os.symlink(f"{here}/{phase.name}.scripted.lua", test)
        with open(f"{place.work}/{phase.name}.out", "wb+") as out:
            p = subprocess.Popen(
                [provium, "run", "--no-history", "--cpu-overcommit", "64",
                 test],
                env={**env, "SOAK_LOG": self.log}, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out)
            t = threading.Thread(target=watch, args=(p.pid, self.parent, stop))
            t.start()
            self.status = p.wait()
            stop.set()
            t.join()
            out.seek(0)
            self.out = out.read().decode("utf-8", "replace")

    def rounds(self):
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="ascii") as f:
            return [tuple(map(int, l.split())) for l in f]


def soak(provium, phase, place, env):
    """The verdicts of one phase, said as they come."""
    print(f"== {phase.name}", flush=True)
    run = Run(provium, phase, place, env)
    rounds = run.rounds()
    results = [run.status == 0]
    done, seconds = rounds[-1][:2] if rounds else (0, 0)
    print(f"  {'ok     ' if results[0] else 'FAIL   '} {done} {phase.unit} in "
          f"{seconds} s, status {run.status}")
    if not results[0]:
        print("    " + run.out[-SHOWN:].replace("\n", "\n    "))
    results.append(is_flat("the worker", [r[1:] for r in rounds]))
    results.append(is_flat("the parent", run.parent))
    left = place.left()
    results.append(not left)
    print(f"  {'FAIL   ' if left else 'ok     '} nothing is left", *left[:20],
          sep="\n    ", flush=True)
    return results


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("provium")
    ap.add_argument("--minutes", type=float, default=2)
    ap.add_argument("--boots", type=int, default=20)
    ap.add_argument("--restores", type=int, default=200)
    ap.add_argument("--seed", type=int, default=1)
    args = ap.parse_args()
    results = []
    # Short: sockets live below.
    with tempfile.TemporaryDirectory(prefix="ps", dir="/tmp") as work:
        place = Place(work)
        env = {**place.env(), "SOAK_SEED": str(args.seed)}
        for phase in PHASES:
            n = getattr(args, phase.option)
            if n:
                env["SOAK_" + phase.option.upper()] = str(n)
                results += soak(os.path.abspath(args.provium), phase, place,
                                env)
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    sys.exit(0 if results and all(results) else 1)


if __name__ == "__main__":
    main()
