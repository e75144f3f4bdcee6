"""How costs grow: with RAM, with bytes, with files. Those that grow with the
number of VMs are in memory.py."""
import os
import statistics

import boots
import many
import streams

RAM = {"256M": 256, "512M": 512, "1G": 1024, "2G": 2048, "4G": 4096}
GUESTS = 3  # as many has tests/bench/snapshot.scripted.lua at a time
LOGS = (16, 32, 64, 128, 256)
TRANSFERS = (1, 2, 4, 8, 16, 32, 64)
FILES = (1, 10, 100, 1000)


def room():
    """MiB that guests may have, as provium counts."""
    with open("/proc/meminfo", encoding="ascii") as f:
        for line in f:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 1024 * 0.8
    return 0


def grow_ram(b, rounds):
    restore, snapshot = [], []
    for memory, mib in RAM.items():
        if GUESTS * mib > room():
            print(f"  no room for {GUESTS} guests of {memory}: left out")
            break
        got, _, _ = boots.snapshot_of(b, memory, rounds)
        restore.append((mib / 1024, got["restore"]))
        snapshot.append((mib / 1024, got["snapshot"]))
    b.growth("restore", "GiB", "s", restore)
    b.growth("snapshot", "GiB", "s", snapshot)


def grow_expect(b, rounds):
    program = streams.expect_program(b)
    took = {mib: [] for mib in LOGS}
    path = os.path.join(b.tmp.name, "growing-log")
    for mib, into in took.items():
        streams.write_log(path, mib)
        for _ in range(rounds):
            into.append(streams.seconds([program, path, streams.NEEDLE]))
    os.unlink(path)
    b.growth("expect", "MiB", "s",
             [(mib, statistics.median(t)) for mib, t in took.items()])


def grow_transfers(b, rounds):
    got = {}
    for line in b.run_test("transfer", rounds,
                           BENCH_SIZES=" ".join(map(str, TRANSFERS))):
        name, mib, took = line.split()
        got.setdefault((name, int(mib)), []).append(float(took))
    for name in ("read_file", "write_file"):
        b.growth(name, "MiB", "s", [(mib, statistics.median(got[name, mib]))
                                    for mib in TRANSFERS])


def grow_files(b, rounds):
    top = b.tmp.name + "/growing"
    took = {n: [] for n in FILES}
    for n in FILES:
        many.write_empty(top, n, ("provium",))
    for _ in range(rounds):
        for n, into in took.items():
            into.append(many.run_empty(b, top, n))
    b.growth("run of files of one empty test", "files", "s",
             [(n, statistics.median(t)) for n, t in took.items()])


def bench_growth(b, rounds=3):
    """Each curve by itself; medians."""
    for grow in (grow_ram, grow_expect, grow_transfers, grow_files):
        grow(b, rounds)
