#!/usr/bin/env python3
"""Whoever is killed, at whatever moment: the run says so, and nothing is left.

    kill.py PROVIUM [--only VICTIM:MOMENT]

A table of victims and moments: provium itself (the parent), its worker, QEMU,
the agent in the guest. For each row:

  - the run has the status and the words that are said there
  - no process is left: whoever works on a row is the subreaper of all it
    starts, so waiting must run out of children
  - the next run sweeps the directories that were left
  - nothing is new in /dev/shm
  - a snapshot that was being written is none for the next run, or a whole one

A second table has what provium starts beside guests: QEMU's `--version`, build
commands. Each of them leaves its session, and changes its user: the kernel then
forgets that it is to die with its parent.

Rows run two at a time, each in directories of its own.
"""
import argparse
import collections
import concurrent.futures
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # beside the sources
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                ".."))
from leftovers import shm

PR_SET_CHILD_SUBREAPER = 36
GONE_WITHIN = 60  # seconds; what is asserted is that it ends at all
AT_A_TIME = 2

# The deadlines are far beyond what is asserted: no death is told by one.
TEST = r"""
provium.timeout = 100
local want, victim = os.getenv("WANT"), os.getenv("VICTIM")
local f = assert(io.open(os.getenv("MOMENT"), "w"))
local function moment(name)
  if name == want then f:write(name, "\n") f:flush() end
end
moment("load")

-- An image's own init, which kills the agent as soon as that has its port.
local KILLS = [[#!/bin/sh
export PATH=/bin:/sbin
mount -t proc proc /proc
until ls -l /proc/$(pidof provium-agent)/fd | grep -q vport; do :; done
killall -9 provium-agent
exec sleep 100000
]]

local function boot()
  local options = {agent_timeout = 600}
  if victim == "agent" then
    options.files = {{path = "/init", content = KILLS, mode = 493}}
  end
  moment("boot")
  return provium:vm("a", options):boot()
end

local deeds = {}
function deeds.call(vm) vm:run("sleep 600") end
function deeds.transfer(vm) vm:read_file("/dev/zero") end
function deeds.shutdown(vm)
  vm:shutdown()
  -- These are to be killed, however late: the run may not end before.
  if victim == "parent" or victim == "worker" then deeds.call(vm:boot()) end
end
function deeds.snapshot(vm) vm:snapshot("../kept") vm:run("sleep 600") end
function deeds.restore(vm) vm:run("sleep 600") end

-- In so many seconds of the guest's.
local function kill_agent(vm, after)
  return vm:run_async("sleep " .. after .. "; killall -9 provium-agent")
end

test("a", function(t)
  if want == "boot" or want == "load" then
    return deeds.call(boot())
  end
  local vm = provium:vm("a")
  if want == "restore" and victim ~= "agent" then moment(want) end
  if want == "snapshot" then
    vm:boot()
    vm:write_file("/tmp/kept", "whole")
  else
    vm:restore("../base")
  end
  if victim == "agent" and want == "shutdown" then
    -- It is asked, and dies before it can answer.
    vm:run_async("killall -STOP provium-agent; echo it stands >/dev/console; "
      .. "sleep 1; killall -9 provium-agent")
    vm:console():expect("it stands", 60)
  elseif victim == "agent" and want == "restore" then
    kill_agent(vm, os.getenv("DELAY"))
    vm:restore(vm:snapshot())
  elseif victim == "agent" then
    kill_agent(vm, os.getenv("DELAY"))
  end
  moment(want)
  deeds[want](vm)
end)
test("b", function() end)
"""

# What the restores begin with.
BASE = r"""
test("base", function()
  local vm = provium:vm("a"):boot()
  vm:write_file("/tmp/kept", "whole")
  vm:snapshot("../base")
end)
"""

# The next run: it sweeps, and looks at what was being written.
NEXT = r"""
test("the snapshot is none, or whole", function(t)
  local vm = provium:vm("a")
  local ok, got = pcall(function()
    vm:restore("../kept")
    return vm:read_file("/tmp/kept")
  end)
  local err = not ok and tostring(got)
  -- In a whole one, who was to kill the agent goes on, and does.
  local is_killed = err and os.getenv("VICTIM") == "agent"
    and err:find("the agent in the guest ended", 1, true)
  if ok then
    t:assert_eq(got, "whole")
  elseif not is_killed then
    t:assert_contains(err, "there is no snapshot in")
  end
end)
"""
NOTHING = "test('nothing', function() end)\n"

KILLED = "QEMU was killed by signal 9"
WORKER = "the worker died: SIGKILL (killed from outside"
ENDED = "the agent in the guest ended"
PASSED = "2 passed, 0 failed"  # it was to end
DIED = -signal.SIGKILL

# QEMU is no child of the worker's, and in a group of its own.
WRAPPER = """#!/bin/sh
timeout 1000 qemu-system-x86_64 "$@"
"""

Row = collections.namedtuple("Row", "victim moment delays status words "
                             "is_wrapped", defaults=(False,))
TABLE = (
    Row("parent", "boot", (0.2, 0.8), DIED, "", True),
    Row("parent", "call", (0,), DIED, "", True),
    Row("worker", "call", (0,), 1, WORKER, True),
    Row("parent", "load", (0,), DIED, ""),
    Row("parent", "boot", (0, 0.01, 0.05, 0.2, 0.8, 1.5), DIED, ""),
    Row("parent", "call", (0, 0.3), DIED, ""),
    Row("parent", "transfer", (0, 0.3), DIED, ""),
    Row("parent", "shutdown", (0, 0.05), DIED, ""),
    Row("parent", "snapshot", (0, 0.1, 0.3, 0.5), DIED, ""),
    Row("parent", "restore", (0, 0.03, 0.1), DIED, ""),
    Row("worker", "boot", (0,), 1, WORKER),
    Row("worker", "call", (0,), 1, WORKER),
    Row("worker", "transfer", (0,), 1, WORKER),
    Row("worker", "shutdown", (0,), 1, WORKER),
    Row("worker", "snapshot", (0, 0.1, 0.3, 0.5), 1, WORKER),
    Row("worker", "restore", (0, 0.03, 0.1), 1, WORKER),
    Row("QEMU", "boot", (0,), 1, KILLED),
    Row("QEMU", "call", (0,), 1, KILLED),
    Row("QEMU", "transfer", (0,), 1, KILLED),
    Row("QEMU", "shutdown", (0,), 0, PASSED),
    Row("QEMU", "snapshot", (0, 0.1, 0.3, 0.5), 1, KILLED),
    Row("QEMU", "restore", (0, 0.03, 0.1), 1, KILLED),
    Row("agent", "boot", (0,), 1, ENDED),
    Row("agent", "call", (0.5,), 1, ENDED),
    Row("agent", "transfer", (0.5,), 1, ENDED),
    Row("agent", "shutdown", (0,), 0, PASSED),
    Row("agent", "snapshot", (0.02, 0.1), 1, ENDED),
    Row("agent", "restore", (0.05, 0.1, 0.3), 1, ENDED),
)


# Becomes another user; where it may not, it says itself that it is not to die
# with its parent. Then it starts one like itself in a session of its own.
STRAY = """#!/usr/bin/python3
import ctypes, os, time
moment = open(os.environ["MOMENT"], "w")
if os.geteuid() == 0:
    os.setuid(65534)
else:
    ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
if os.fork() == 0:
    os.setsid()
    os.execvp("sleep", ["sleep", "100000"])
moment.write("now\\n")
moment.close()
os.execvp("sleep", ["sleep", "100000"])
"""
BUILD = """return {profiles = {default = {
    build_out = "out", build = "exec %s"}}}
"""
Command = collections.namedtuple("Command", "name args is_qemu")
COMMANDS = (
    Command("QEMU's --version", ("doctor",), True),
    Command("a build command", ("run", "--no-history", "."), False),
)


class Overdue(Exception):
    pass


def on_alarm(_signo, _frame):
    raise Overdue


def become_reaper():
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGALRM, on_alarm)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(n) for n in f.read().split()]


def reap_all():
    """Waits until no descendant is left; the pids of those that would not go,
    which are killed."""
    signal.alarm(GONE_WITHIN)
    try:
        while True:
            os.wait()
    except ChildProcessError:
        return []
    except Overdue:
        left = children(os.getpid())
        # Those of whoever is killed become ours.
        while below := children(os.getpid()):
            os.kill(below[0], signal.SIGKILL)
            os.waitpid(below[0], 0)
        return left
    finally:
        signal.alarm(0)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


class Place:
    """The directories of one row."""

    def __init__(self, provium, work):
        self.provium = provium
        # Short: sockets live below.
        self.dir = tempfile.mkdtemp(prefix="k", dir=work)
        for name in ("r", "t"):
            os.mkdir(f"{self.dir}/{name}", 0o700)
        if os.path.isdir(f"{work}/base"):
            os.symlink(f"{work}/base", f"{self.dir}/base")

    def start(self, test, **env):
        return self.start_command(("run", "--no-history", "."), test, **env)

    def start_command(self, args, test, **env):
        write(f"{self.dir}/test/a.test.lua", test)
        return subprocess.Popen(
            [self.provium, *args], cwd=f"{self.dir}/test",
            env={**os.environ, "XDG_RUNTIME_DIR": f"{self.dir}/r",
                 "TMPDIR": f"{self.dir}/t", **env},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)

    def run(self, test, **env):
        """Status and output of a run to its end."""
        p = self.start(test, **env)
        out = p.communicate()[0].decode("utf-8", "replace")
        return p.returncode, out

    def left(self):
        return [f"{top}/{n}" for top in ("r", "t")
                for n in os.listdir(f"{self.dir}/{top}")
                if n.startswith("provium")]


def victim_of(row, child):
    """Whom to kill; None: nobody, it has ended by itself."""
    pid = child.pid
    try:
        for name in ("worker", "QEMU"):
            if row.victim in (name, "QEMU"):
                while not (below := children(pid)):
                    if child.poll() is not None:
                        return None
                    time.sleep(0.005)  # it has begun: it comes
                pid = below[0]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return pid


def kill_if_there(pid):
    """A QEMU that was asked to shut down may have ended; its row says what
    the run is to be then."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def killed(row, delay, place):
    """Status and output of a run whose victim was killed at that moment."""
    fifo = f"{place.dir}/moment"
    os.mkfifo(fifo)
    env = {}
    if row.is_wrapped:
        env["PROVIUM_QEMU"] = f"{place.dir}/wrapper"
        write(env["PROVIUM_QEMU"], WRAPPER)
        os.chmod(env["PROVIUM_QEMU"], 0o755)
    child = place.start(TEST, MOMENT=fifo, WANT=row.moment, VICTIM=row.victim,
                        DELAY=str(delay), **env)
    with open(fifo, encoding="ascii") as f:
        f.readline()
        if row.victim != "agent":
            pid = victim_of(row, child)
            time.sleep(delay)  # the moment that is tried, not a wait
            if pid:
                kill_if_there(pid)
        out = child.communicate()[0].decode("utf-8", "replace")
    return child.returncode, out


def complaint(row, delay, place):
    """What is wrong with that row, or None."""
    before = shm()
    status, out = killed(row, delay, place)
    left = reap_all()
    if status != row.status or row.words not in out:
        return f"status {status}\n{out}"
    if left:
        return f"processes are left: {left}"
    status, out = place.run(NEXT if row.moment == "snapshot" else NOTHING,
                            VICTIM=row.victim)
    if status:
        return f"the next run: status {status}\n{out}"
    if place.left():
        return f"the next run leaves: {place.left()}"
    # Of rows at the same time nothing is there, for nothing ever is.
    if shm() - before:
        return f"left in /dev/shm: {shm() - before}"
    return None


def command_complaint(command, place):
    """What is left when provium is killed beside that command, or None."""
    env = {"MOMENT": f"{place.dir}/moment"}
    stray = f"{place.dir}/stray"
    os.mkfifo(env["MOMENT"])
    write(stray, STRAY)
    os.chmod(stray, 0o755)
    if command.is_qemu:
        env["PROVIUM_QEMU"] = stray
    else:
        write(f"{place.dir}/test/provium.lua", BUILD % stray)
    child = place.start_command(command.args, NOTHING, **env)
    # Open for writing, too: a run that ends early opens it never.
    fd = os.open(env["MOMENT"], os.O_RDWR)
    said = select.select([fd], [], [], GONE_WITHIN)[0]
    word = os.read(fd, 4) if said else b""
    os.close(fd)
    child.kill()
    child.wait()
    left = reap_all()  # first: who is left holds the output
    out = child.communicate()[0].decode("utf-8", "replace")
    if word != b"now\n" or child.returncode != DIED:
        return f"said {word}, status {child.returncode}\n{out}"
    return f"processes are left: {left}" if left else None


def try_in_place(args):
    complain, what, provium, work = args
    place = Place(provium, work)
    try:
        return complain(*what, place)
    finally:
        shutil.rmtree(place.dir)


def make_base(provium, work):
    place = Place(provium, work)
    status, out = place.run(BASE)
    if status:
        sys.exit(f"no snapshot to begin with: {out}")
    os.rename(f"{place.dir}/base", f"{work}/base")
    shutil.rmtree(place.dir)


def say(bad, text):
    print(f"  {'FAIL   ' if bad else 'ok     '} {text}", flush=True)
    if bad:
        print("    " + bad.replace("\n", "\n    "), flush=True)


def row_text(row, delay):
    wrapped = ", QEMU in a wrapper" if row.is_wrapped else ""
    return (f"{row.victim} killed, {delay} s after '{row.moment}'{wrapped}: "
            f"status {row.status}{', ' if row.words else ''}{row.words}")


def jobs(only):
    """(text, function, its arguments before the place)"""
    for command in COMMANDS:
        if only in ([], ["command"]):
            yield (f"parent killed beside {command.name}: nothing is left",
                   command_complaint, (command,))
    for row in TABLE:
        for delay in row.delays:
            if [row.victim, row.moment][:len(only)] == only:
                yield row_text(row, delay), complaint, (row, delay)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("provium")
    ap.add_argument("--only", default="",
                    help="VICTIM:MOMENT, or VICTIM, or 'command'")
    args = ap.parse_args()
    provium = os.path.abspath(args.provium)
    counts = {True: 0, False: 0}
    with tempfile.TemporaryDirectory(prefix="pk", dir="/tmp") as work, \
         concurrent.futures.ProcessPoolExecutor(
             AT_A_TIME, initializer=become_reaper) as pool:
        os.chmod(work, 0o711)  # for who has become another user
        make_base(provium, work)
        todo = list(jobs(args.only.split(":") if args.only else []))
        found = pool.map(try_in_place, [(complain, what, provium, work)
                                        for _, complain, what in todo])
        for (text, *_), bad in zip(todo, found):
            counts[not bad] += 1
            say(bad, text)
    print(f"{counts[True]} passed, {counts[False]} failed")
    sys.exit(1 if counts[False] or not counts[True] else 0)


if __name__ == "__main__":
    main()
