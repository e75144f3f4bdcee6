"""Many files: what a file costs, and what running them side by side saves."""
import os
import statistics
import subprocess
import time

from harness import Failure

FILES = 1000
APART = 50
VM_FILES = 8

EMPTY = {
    "provium": ("f%d.test.lua", 'test("nothing", function() end)\n'),
    "bats": ("f%d.bats", '@test "nothing" {\n  true\n}\n'),
    "busted": ("f%d_spec.lua", 'describe("f", function()\n'
               '  it("nothing", function() end)\nend)\n'),
}

ONE_VM = """test("a guest answers", function(t)
  local vm = provium:vm("a")
  vm:boot()
  t:assert_eq(vm:run("echo here").stdout, "here\\n")
end)
"""


TESTS = 50  # after a restore, QEMU translates anew what the guest runs: 0.1 s

# The same tests on a guest that is restored for each, and on one that boots.
RESET = """provium.reset_between_tests = true
local vm = provium:vm("a"):boot()
for i = 1, %d do
  test("test " .. i, function(t)
    t:assert_eq(vm:run("test -e /spoilt || echo fresh").stdout, "fresh\\n")
    vm:write_file("/spoilt", "")
  end)
end
"""
BOOTS = """for i = 1, %d do
  test("test " .. i, function(t)
    local vm = provium:vm("a"):boot()
    t:assert_eq(vm:run("test -e /spoilt || echo fresh").stdout, "fresh\\n")
    vm:write_file("/spoilt", "")
  end)
end
"""


def timed(argv, want):
    """Seconds; `want` is in what it prints."""
    start = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600)
    took = time.monotonic() - start
    if done.returncode or want not in done.stdout:
        raise Failure(f"{argv}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return took


def write_empty(top, n, tools=tuple(EMPTY)):
    for tool in tools:
        name, text = EMPTY[tool]
        os.makedirs(f"{top}/{tool}{n}")
        for i in range(n):
            with open(f"{top}/{tool}{n}/{name % i}", "w",
                      encoding="utf-8") as f:
                f.write(text)


def run_empty(b, top, n):
    """Seconds of a run of n files of write_empty()."""
    return timed([b.provium, "run", "-q", "--no-history",
                  f"{top}/provium{n}"], f"{n} passed, 0 failed")


def bench_empty(b, rounds=5):
    """1,000 files of one empty test, against bats and busted."""
    top = b.tmp.name + "/many"
    write_empty(top, FILES)
    write_empty(top, 1)
    took = {"provium": [], "bats": [], "busted": []}
    alone = []
    for i in range(rounds):
        took["provium"].append(run_empty(b, top, FILES))
        alone.append(run_empty(b, top, 1))
        took["busted"].append(timed(["busted", f"{top}/busted{FILES}"],
                                    f"{FILES} successes"))
        if i < 2:  # it takes its time
            took["bats"].append(timed(["bats", f"{top}/bats{FILES}"],
                                      f"ok {FILES}"))
    median = {tool: statistics.median(t) for tool, t in took.items()}
    for peer in ("bats", "busted"):
        b.row(f"runner: {FILES} files of one empty test / {peer}",
              median["provium"], median[peer], "s")
    write_empty(top, APART)
    apart = timed(["sh", "-c", f"for f in {top}/busted{APART}/*; do busted $f; "
                   "done"], "1 success") / APART * FILES
    b.extra(f"runner: {FILES} files of one empty test / busted, "
            "a process each", median["provium"], apart, "s", "<= 0.2")
    each = (median["provium"] - statistics.median(alone)) / (FILES - 1)
    print(f"  a file costs {1000 * each:.2f} ms, a run of one "
          f"{1000 * statistics.median(alone):.0f} ms")


def bench_beside(b, rounds=3):
    """Files of one VM each, two at a time."""
    top = b.tmp.name + "/beside"
    os.makedirs(f"{top}/vms")
    for i in range(VM_FILES):
        with open(f"{top}/vms/f{i}.test.lua", "w", encoding="utf-8") as f:
            f.write(ONE_VM)
    serial, beside = [], []
    for _ in range(rounds):
        for jobs, into in (("1", serial), ("2", beside)):
            into.append(timed([b.provium, "run", "-q", "--no-history", "--jobs",
                               jobs, f"{top}/vms"],
                              f"{VM_FILES} passed, 0 failed"))
    b.extra(f"runner: {VM_FILES} files of one VM, 2 at a time / one by one",
            statistics.median(beside), statistics.median(serial), "s",
            "<= 0.65")


def bench_files(b):
    """Many files: what one costs, and what running them in pairs saves."""
    bench_empty(b)
    bench_beside(b)


def bench_reset(b, rounds=3):
    """A fresh guest for each test: restored against booted."""
    top = b.tmp.name + "/reset"
    os.makedirs(top)
    took = {"reset": [], "boots": []}
    for name, text in (("reset", RESET), ("boots", BOOTS)):
        with open(f"{top}/{name}.test.lua", "w", encoding="utf-8") as f:
            f.write(text % TESTS)
    for i in range(rounds):
        for name, into in took.items():
            if i and name == "boots":
                continue  # fifty boots are many already
            into.append(timed([b.provium, "run", "-q", "--no-history",
                               f"{top}/{name}.test.lua"],
                              f"{TESTS} passed, 0 failed"))
    b.extra(f"{TESTS} tests on a fresh guest, reset / booted",
            statistics.median(took["reset"]),
            statistics.median(took["boots"]), "s", "<= 0.15")
