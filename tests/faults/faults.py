#!/usr/bin/env python3
"""Calls of the C library that fail, one at a time, in provium's own processes.

    faults.py PROVIUM INJECT_SO [--runs N | --all] [--only WHO:CALL] [--keep]

A small run (one file, one VM, a stream, a transfer each way, the console, a
snapshot and its restore) is counted, then repeated with one fault each (inject.c): at the first, a middle
and the last call of each function, with each error of the table below, in the
parent and in the worker; a choice of N of these, always the same, or all. For
each:

  - it ends in time, with status 0, 1 or 2, and no process dies by a signal
  - status 0 only if the test came to its end
  - else what failed is said: the error's words are in what it printed
  - no process is left, no directory, nothing in /dev/shm; where it was removing
    itself that failed, the next run does it
"""
import argparse
import concurrent.futures
import errno
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # beside the sources
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                ".."))
from leftovers import marked, shm

# With this one the first choices have writes of a snapshot among them.
SEED = 19
RUN_WITHIN = 150  # seconds, of a run with a fault
GONE_WITHIN = 10  # seconds, of its processes
SHORT = 0

TEST = r"""
provium.timeout = 90
test("small", function(t)
  local vm = provium:vm("a"):boot()
  local console = vm:console()
  local p = vm:run_async("for i in 1 2 3; do echo $i; done")
  local out = p:stdout_stream()
  t:assert_eq(out:read_until("3\n", 20), "1\n2\n3\n")
  out:close()
  t:assert_eq(p:wait(20).exit_code, 0)
  local dir = t:tmpdir()
  local big = ("0123456789abcdef"):rep(8192)
  local f = assert(io.open(dir .. "/there", "wb"))
  assert(f:write(big))
  assert(f:close())
  vm:push_file(dir .. "/there", "/tmp/x")
  vm:pull_file("/tmp/x", dir .. "/back")
  f = assert(io.open(dir .. "/back", "rb"))
  t:assert(f:read("*a") == big, "the file changed on its way")
  f:close()
  vm:run("echo marked >/dev/ttyS0", {check = true})
  console:expect("marked", 20)
  t:assert_eq(vm:run("echo out; echo err >&2").stdout, "out\n")
  local s = vm:snapshot()
  vm:write_file("/tmp/x", "later")
  vm:restore(s)
  t:assert(vm:read_file("/tmp/x") == big, "the guest is another one")
  t:log("came to its end")
  vm:shutdown()
end)
"""

# What each function may fail with. SHORT: it does half of what was asked for.
FAULTS = {
    "open": [errno.EMFILE, errno.EACCES, errno.ENOSPC],
    "openat": [errno.EMFILE, errno.EACCES],
    "fopen": [errno.EMFILE],
    "opendir": [errno.EMFILE],
    "read": [errno.EIO, errno.EINTR, SHORT],
    "pread": [errno.EIO, errno.EINTR, SHORT],
    "write": [errno.ENOSPC, errno.EINTR, errno.EPIPE, SHORT],
    "pwrite": [errno.ENOSPC, errno.EINTR, SHORT],
    "send": [errno.EPIPE, errno.EAGAIN, errno.EINTR, SHORT],
    "recv": [errno.ECONNRESET, errno.EINTR],
    "sendfile": [errno.EIO, SHORT],
    "copy_file_range": [errno.EIO, errno.EXDEV, SHORT],
    "socket": [errno.EMFILE],
    "socketpair": [errno.EMFILE, errno.ENOMEM],
    "bind": [errno.EADDRINUSE],
    "listen": [errno.EADDRINUSE],
    "accept4": [errno.EMFILE],
    "setsockopt": [errno.ENOMEM],
    "pipe2": [errno.EMFILE, errno.ENFILE],
    "mmap": [errno.ENOMEM],
    "ftruncate": [errno.ENOSPC],
    "fsync": [errno.EIO],
    "fork": [errno.EAGAIN, errno.ENOMEM],
    "epoll_create1": [errno.EMFILE],
    "epoll_ctl": [errno.ENOMEM, errno.ENOSPC],
    "mkdir": [errno.ENOSPC, errno.EACCES],
    "mkdtemp": [errno.ENOSPC],
    "unlink": [errno.EACCES],
    "unlinkat": [errno.EACCES],
    "rename": [errno.ENOSPC],
    "flock": [errno.ENOLCK],
    "fcntl": [errno.EMFILE],
    "eventfd": [errno.EMFILE],
    "pidfd_open": [errno.EMFILE],
}

# What may be said instead of the error's words: the parent cannot know why its
# worker does not answer; a reset of QMP's connection is an end of it.
SAID = {("parent", "send"): "did not end",
        ("worker", "recv"): "the QMP connection broke"}

# A fault in these may leave what the next run removes.
REMOVES = {"unlink", "unlinkat", "openat", "opendir", "open", "fcntl", "flock",
           "read", "fopen", "epoll_ctl"}


class Fault:
    def __init__(self, who, call, at, errnum):
        self.who, self.call, self.at, self.errnum = who, call, at, errnum

    def __str__(self):
        what = "short" if self.errnum == SHORT else errno.errorcode[self.errnum]
        return f"{self.who}: {self.call} {self.at}, {what}"


class Bench:
    """Where runs take place, each in directories of its own."""

    def __init__(self, provium, inject, work):
        self.provium = os.path.abspath(provium)
        self.inject = os.path.abspath(inject)
        self.work = work
        self.tests = os.path.join(work, "tests")
        self.none = os.path.join(work, "none")
        os.mkdir(self.tests)
        os.mkdir(self.none)
        with open(os.path.join(self.tests, "a.test.lua"), "w",
                  encoding="ascii") as f:
            f.write(TEST)
        with open(os.path.join(self.none, "a.test.lua"), "w",
                  encoding="ascii") as f:
            f.write("test('none', function() end)\n")

    def place(self):
        # Short: sockets live below.
        d = tempfile.mkdtemp(prefix="f", dir=self.work)
        for name in ("r", "t", "c", "h"):
            os.mkdir(os.path.join(d, name), 0o700)
        return d

    def env(self, d, fault, counts):
        e = {**os.environ, "XDG_RUNTIME_DIR": d + "/r", "TMPDIR": d + "/t"}
        e.pop("GITHUB_ACTIONS", None)
        if fault or counts:
            e.update(LD_PRELOAD=self.inject, FAULT_WHO="both")
        if counts:
            e["FAULT_COUNTS"] = d + "/c"
        if fault:
            e.update(FAULT_WHO=fault.who, FAULT_CALL=fault.call,
                     FAULT_AT=str(fault.at), FAULT_ERRNO=str(fault.errnum))
        return e

    def run(self, d, fault=None, counts=False, tests=None):
        """Returns the status (None: too late) and what was printed."""
        with open(d + "/out", "wb+") as out:
            p = subprocess.Popen(
                [self.provium, "run", "-v", "--history", d + "/h/history",
                 tests or self.tests],
                env=self.env(d, fault, counts), stdin=subprocess.DEVNULL,
                stdout=out, stderr=out)
            try:
                status = p.wait(RUN_WITHIN)
            except subprocess.TimeoutExpired:
                p.send_signal(signal.SIGKILL)
                p.wait()
                status = None
            out.seek(0)
            return status, out.read().decode("utf-8", "replace")


def processes_left(d):
    end = time.monotonic() + GONE_WITHIN
    while time.monotonic() < end:
        if not marked(f"{d}/r"):
            return []
        time.sleep(0.05)
    left = marked(f"{d}/r")
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return left


def files_left(d):
    left = []
    for top in ("r", "t"):
        for name in os.listdir(f"{d}/{top}"):
            left.append(f"{top}/{name}")
    # The runtime directory's parent may stay, empty.
    return [p for p in left if not os.path.isdir(f"{d}/{p}")
            or os.listdir(f"{d}/{p}") or p.startswith("r/provium-")]


BAD = re.compile(r"[Aa]ssertion|signal (6|7|8|11)\b|stack smashing"
                 r"|AddressSanitizer|runtime error|core dumped"
                 r"|by SIG(ABRT|SEGV|BUS|FPE)")


def complaint(bench, d, fault, status, out):
    """What is wrong with that run, or None."""
    if status is None:
        return "it did not end"
    if status not in (0, 1, 2):
        return f"status {status}"
    m = BAD.search(out)
    if m:
        return f"it died: {m.group(0)}"
    passed = re.search(r"^1 passed, 0 failed", out, re.M) is not None
    if status == 0 and not passed:
        return "status 0 without a passed test"
    if status == 1 and passed and fault.who == "worker":
        return "status 1 with a passed test"
    words = [os.strerror(fault.errnum), SAID.get((fault.who, fault.call))]
    if fault.errnum == errno.ENOSPC:
        words.append(" is full")  # the file system at DIR
    if status and fault.errnum != SHORT and not any(
            w and w in out for w in words):
        return f"'{words[0]}' is not said"
    left = processes_left(d)
    if left:
        return f"processes left: {left}"
    if files_left(d) and fault.call in REMOVES:
        bench.run(d, tests=bench.none)
    if files_left(d):
        return f"left behind: {' '.join(files_left(d))}"
    return None


def plan(counts):
    faults = []
    for (who, call), n in sorted(counts.items()):
        for at in sorted({1, (n + 1) // 2, n}):
            for e in FAULTS[call]:
                faults.append(Fault(who, call, at, e))
    return faults


def choose(faults, n):
    """n of them: two of the worker's, which does more, to one of the parent's;
    of each in a shuffled order of its functions, one of each before a second.
    """
    rnd = random.Random(SEED)
    turns = {"worker": [], "parent": []}
    for who, queue in turns.items():
        groups = {}
        for f in faults:
            if f.who == who:
                groups.setdefault(f.call, []).append(f)
        order = list(groups.values())
        rnd.shuffle(order)
        for g in order:
            rnd.shuffle(g)
        while any(order):
            queue += [g.pop() for g in order if g]
    chosen = []
    while len(chosen) < n and any(turns.values()):
        for who in ("worker", "worker", "parent"):
            if turns[who] and len(chosen) < n:
                chosen.append(turns[who].pop(0))
    return chosen


def count(bench):
    d = bench.place()
    status, out = bench.run(d, counts=True)
    if status != 0:
        print(out)
        sys.exit("the run without a fault does not pass")
    counts = {}
    for name in os.listdir(d + "/c"):
        who = name.split(".")[0]
        with open(f"{d}/c/{name}", encoding="ascii") as f:
            for line in f:
                call, n = line.split()
                if int(n):
                    counts[who, call] = int(n)
    shutil.rmtree(d)
    return counts


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("provium")
    ap.add_argument("inject")
    ap.add_argument("--runs", type=int, default=60)
    ap.add_argument("--all", action="store_true")
    ap.add_argument("--only", help="WHO:CALL, or WHO:CALL:AT")
    ap.add_argument("--keep", action="store_true",
                    help="print what each run printed")
    args = ap.parse_args()
    counted = {True: 0, False: 0}
    before = shm()

    with tempfile.TemporaryDirectory(prefix="pf", dir="/tmp") as work:
        bench = Bench(args.provium, args.inject, work)
        counts = count(bench)
        faults = plan(counts)
        if args.only:
            only = args.only.split(":")
            faults = [f for f in faults
                      if [f.who, f.call, str(f.at)][:len(only)] == only]
        elif not args.all:
            faults = choose(faults, args.runs)
        print("  calls: " + ", ".join(f"{w} {c} {n}" for (w, c), n
                                      in sorted(counts.items())))

        def one(fault):
            d = bench.place()
            status, out = bench.run(d, fault)
            bad = complaint(bench, d, fault, status, out)
            shutil.rmtree(d, ignore_errors=True)
            return fault, status, out, bad

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for fault, status, out, bad in pool.map(one, faults):
                counted[not bad] += 1
                print(f"  {'FAIL   ' if bad else 'ok     '} {fault}: "
                      f"{bad or f'status {status}'}", flush=True)
                if bad or args.keep:
                    print("    " + out[-3000:].replace("\n", "\n    "))
    left = shm() - before
    counted[not left] += 1
    if left:
        print("  FAIL    left in /dev/shm:", *left)
    print(f"{counted[True]} passed, {counted[False]} failed")
    sys.exit(1 if counted[False] else 0)


if __name__ == "__main__":
    main()
