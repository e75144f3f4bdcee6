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


# Whoever is killed in the middle of something, its test has this verdict: the
# status, and words of the report. The parent's own death is kill_at()'s.
VICTIM_TEST = """
provium.timeout = 100
local want, victim = os.getenv("WANT"), os.getenv("VICTIM")
local f = assert(io.open(os.getenv("MOMENT"), "w"))
local function moment(name) f:write(name, "\\n") f:flush() end
test("a", function(t)
  local vm = provium:vm("a")
  if want == "boot" then moment("boot") end
  vm:boot()
  if victim == "agent" then
    vm:run_async("sleep 1; killall -9 provium-agent")
  end
  if want ~= "boot" then moment(want) end
  if want == "shutdown" then vm:shutdown() return end
  if want == "transfer" then vm:read_file("/dev/zero") end
  vm:run("sleep 600")
end)
test("b", function() end)
"""
KILLED = "QEMU was killed by signal 9"
WORKER = "the worker died: SIGKILL (killed from outside"
ENDED = "the agent in the guest ended"
VERDICTS = (
    ("QEMU", "boot", 1, KILLED),
    ("QEMU", "call", 1, KILLED),
    ("QEMU", "transfer", 1, KILLED),
    ("QEMU", "shutdown", 0, "2 passed, 0 failed"),  # it was to end
    ("worker", "boot", 1, WORKER),
    ("worker", "call", 1, WORKER),
    ("worker", "transfer", 1, WORKER),
    ("worker", "shutdown", 1, WORKER),
    ("agent", "call", 1, ENDED),
    ("agent", "transfer", 1, ENDED),
)


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


def child_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        found = f.read().split()
    return int(found[0]) if found else None


def verdict_of(provium, tests, runtime, victim, moment):
    """Status and output of a run whose victim was killed at that moment."""
    fifo = os.path.join(runtime, "moment")
    child = subprocess.Popen(
        [provium, "run", tests],
        env={**os.environ, "XDG_RUNTIME_DIR": runtime, "MOMENT": fifo,
             "WANT": moment, "VICTIM": victim},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with open(fifo, encoding="ascii") as f:
        f.readline()
        pid = child_of(child.pid)
        while victim == "QEMU" and pid and not child_of(pid):
            time.sleep(0.01)  # the boot has begun: it comes
        if victim == "QEMU" and pid:
            pid = child_of(pid)
        if victim != "agent":
            os.kill(pid, signal.SIGKILL)
        out = child.communicate()[0].decode("utf-8", "replace")
    return child.returncode, out


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
        victims = os.path.join(work, "victims")
        os.mkdir(victims)
        with open(os.path.join(victims, "a.test.lua"), "w",
                  encoding="ascii") as f:
            f.write(VICTIM_TEST)
        for victim, moment, status, words in VERDICTS:
            got, out = verdict_of(provium, victims, runtime, victim, moment)
            ok = got == status and words in out and reap_all()
            report(ok, f"{victim} killed at '{moment}': status {status}, "
                       f"'{words}'")
            if not ok:
                print(f"    status {got}\n    " + out.replace("\n", "\n    "))
        report(swept(provium, runtime), "the next run sweeps what they left")
    print(f"{counts[True]} passed, {counts[False]} failed")
    sys.exit(1 if counts[False] else 0)


if __name__ == "__main__":
    main()
