#!/usr/bin/env python3
"""kill -9 of provium at any moment leaves nothing running.

    kill.py PROVIUM

This process is the subreaper of all it starts, so whatever outlives provium
becomes its child: once provium is killed, waiting must run out of children
within a few seconds. The directories of killed runs must be swept by the next
run.
"""
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time

PR_SET_CHILD_SUBREAPER = 36
GONE_WITHIN = 60  # seconds; what is asserted is that it ends at all

TEST = """
local f = assert(io.open(os.getenv("MOMENT"), "w"))
local function moment(name) f:write(name, "\\n") f:flush() end
moment("load")
test("a", function(t)
  local vm = provium:vm("a")
  moment("boot")
  vm:boot()
  moment("call")
  vm:run("sleep 600")
end)
"""


def children():
    """QEMU and provium processes that have this process as an ancestor."""
    me = str(os.getpid())
    out = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True,
                         text=True, check=True).stdout.splitlines()[1:]
    rows = [line.split(None, 2) for line in out]
    return [r[2] for r in rows if r[1] == me and "ps -eo" not in r[2]]


class Overdue(Exception):
    pass


def on_alarm(_signo, _frame):
    raise Overdue


def reap_all():
    """Waits until no descendant is left; false when some would not go."""
    signal.alarm(GONE_WITHIN)
    try:
        while True:
            os.wait()
    except ChildProcessError:
        return True
    except Overdue:
        return False
    finally:
        signal.alarm(0)


def kill_at(provium, tests, runtime, moment, delay):
    fifo = os.path.join(runtime, "moment")
    if not os.path.exists(fifo):
        os.mkfifo(fifo)
    child = subprocess.Popen(
        [provium, "run", tests],
        env={**os.environ, "XDG_RUNTIME_DIR": runtime, "MOMENT": fifo},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(fifo, encoding="ascii") as f:
        for line in f:
            if line.strip() == moment:
                break
        time.sleep(delay)  # the moment that is tried, not a wait
        child.send_signal(signal.SIGKILL)
        child.wait()
        ok = reap_all()
    if not ok:
        print("    still there:", *children(), sep="\n      ")
        subprocess.run(["pkill", "-9", "-P", str(os.getpid())], check=False)
    return ok


def swept(provium, runtime):
    """After a run, nothing is left of those that were killed."""
    empty = tempfile.mkdtemp(dir=runtime)
    with open(os.path.join(empty, "x.test.lua"), "w",
              encoding="ascii") as f:
        f.write('test("x", function() end)\n')
    subprocess.run([provium, "run", empty], check=True,
                   env={**os.environ, "XDG_RUNTIME_DIR": runtime},
                   stdout=subprocess.DEVNULL)
    left = [e for e in os.listdir(runtime)
            if e.startswith("provium")]
    if left:
        print("    left in the runtime directory:", left)
    return not left


def main():
    provium = os.path.abspath(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGALRM, on_alarm)
    counts = {True: 0, False: 0}

    def report(ok, name):
        counts[ok] += 1
        print(f"  {'ok     ' if ok else 'FAIL   '} {name}", flush=True)

    with tempfile.TemporaryDirectory(prefix="provium-kill-") as work:
        tests = os.path.join(work, "tests")
        runtime = os.path.join(work, "run")
        os.mkdir(tests)
        os.mkdir(runtime, 0o700)
        with open(os.path.join(tests, "a.test.lua"), "w",
                  encoding="ascii") as f:
            f.write(TEST)
        for moment, delays in (("load", (0,)),
                               ("boot", (0, 0.01, 0.05, 0.2, 0.8, 1.5)),
                               ("call", (0, 0.3))):
            for delay in delays:
                ok = kill_at(provium, tests, runtime, moment, delay)
                report(ok, f"kill -9, {delay} s after '{moment}'")
        report(swept(provium, runtime), "the next run sweeps what they left")
    print(f"{counts[True]} passed, {counts[False]} failed")
    sys.exit(1 if counts[False] else 0)


if __name__ == "__main__":
    main()
