#!/usr/bin/env python3
"""Many guests for a long time; nothing may fail, and nothing may grow.

    soak.py PROVIUM MINUTES [SEED]

Runs soak.test.lua and, beside it, one that boots one guest after the other.
Prints a table of the worker's and the parent's memory and descriptors. What
must hold: every verdict is a pass; memory at the end is no more than GROWTH
above what it was a third of the way, by the medians of the two last thirds;
descriptors are as many as then.
"""
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

GROWTH_KIB = 8 * 1024  # of a worker of 8 guests: what the allocator may keep
GROWTH_FDS = 2
SAMPLE_SECONDS = 5
SAMPLES_MIN = 6

BOOTS = """
local minutes = tonumber(os.getenv("SOAK_MINUTES"))
provium.timeout = minutes * 60 + 600
test("boots one after the other", function(t)
  local start, n = os.time(), 0
  repeat
    local vm = provium:vm("b" .. n % 5, {memory = "96M"})
    vm:boot({agent_timeout = 300})
    t:assert_eq(vm:run("echo alive").stdout, "alive\\n")
    vm:close()
    n = n + 1
  until os.time() - start > minutes * 60
  local f = assert(io.open(os.getenv("SOAK_LOG") .. ".boots", "w"))
  f:write(n, "\\n")
  f:close()
end)
"""


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


def verdict(name, rows):
    """Prints a table of a few rows, and whether it is flat."""
    if len(rows) < SAMPLES_MIN:
        print(f"  FAIL    {name}: {len(rows)} samples are too few")
        return False
    third = len(rows) // 3
    middle, end = rows[third:2 * third], rows[2 * third:]
    print(f"  {name}: s, VmRSS KiB, descriptors")
    for i in range(0, len(rows), max(1, len(rows) // 10)):
        print("    %6d %9d %5d" % rows[i])
    grown = [statistics.median(r[c] for r in end)
             - statistics.median(r[c] for r in middle) for c in (1, 2)]
    ok = grown[0] <= GROWTH_KIB and grown[1] <= GROWTH_FDS
    print(f"  {'ok     ' if ok else 'FAIL   '} {name}: {grown[0]:+.0f} KiB, "
          f"{grown[1]:+.0f} descriptors")
    return ok


def main():
    provium, minutes = os.path.abspath(sys.argv[1]), sys.argv[2]
    seed = sys.argv[3] if len(sys.argv) > 3 else "1"
    here = os.path.dirname(os.path.abspath(__file__))
    results = []
    with tempfile.TemporaryDirectory(prefix="soak") as work:
        os.mkdir(work + "/r", 0o700)
        with open(work + "/boots.test.lua", "w", encoding="ascii") as f:
            f.write(BOOTS)
        log = work + "/log"
        env = {**os.environ, "XDG_RUNTIME_DIR": work + "/r",
               "SOAK_MINUTES": minutes, "SOAK_SEED": seed, "SOAK_LOG": log}
        # Two runs: one would not start its second file on a busy machine.
        p, beside = [subprocess.Popen([provium, "run", "--cpu-overcommit",
                                       "64", f], env=env)
                     for f in (here + "/soak.test.lua",
                               work + "/boots.test.lua")]
        rows, stop = [], threading.Event()
        t = threading.Thread(target=watch, args=(p.pid, rows, stop))
        t.start()
        status = p.wait()
        stop.set()
        t.join()
        results.append(status == 0)
        results.append(beside.wait() == 0)
        worker = []
        if os.path.exists(log):
            with open(log, encoding="ascii") as f:
                worker = [tuple(map(int, l.split()))[1:] for l in f]
        results.append(verdict("the worker of many guests", worker))
        results.append(verdict("the parent", rows))
        if os.path.exists(log + ".boots"):
            with open(log + ".boots", encoding="ascii") as f:
                print(f"  {len(worker)} rounds, {f.read().strip()} boots "
                      f"one after the other, seed {seed}")
        left = [n for n in os.listdir(work + "/r") if n.startswith("provium-")]
        results.append(not left)
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
