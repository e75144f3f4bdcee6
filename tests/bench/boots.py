"""Booting, snapshots and restoring, against what QEMU does by itself."""
import os
import statistics
import subprocess
import time

import incoming


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


def floor_initrd(b):
    """The guest's, with an init that ends the VM at once."""
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
    return initrd


def plain_kernel(b):
    """The bzImage of the guest's release: installed, or fetched."""
    with open(os.path.join(b.image, "info"), encoding="utf-8") as f:
        info = dict(line.split(" ", 1) for line in f.read().splitlines()
                    if " " in line)
    path = "/boot/vmlinuz-" + info["release"]
    if os.access(path, os.R_OK):
        return path
    subprocess.run(
        "apt-get -qq -o APT::Sandbox::User=root download "
        f"linux-image-{info['release']} && dpkg-deb -x *.deb kernel",
        shell=True, check=True, cwd=b.tmp.name)
    return b.tmp.name + "/kernel" + path


def timed(argv):
    start = time.monotonic()
    subprocess.run(argv, check=False, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   timeout=60)
    return time.monotonic() - start


def words_of(line):
    """Of a command line that a test has written."""
    return line.strip("\x1f").split("\x1f")


def bench_boot(b, rounds=10):
    """vm:boot() and a first stat, against the floor and a plain boot."""
    initrd = floor_initrd(b)
    bzimage = plain_kernel(b)
    ours, floors, plain = [], [], []
    for _ in range(rounds):  # in turns: noise hits all
        for line in b.run_test("boot", 1):
            word, rest = line.split(" ", 1)
            if word == "boot":
                ours.append(float(rest))
            elif word == "argv":
                argv = words_of(rest)
        floors.append(timed(floor_argv(argv, initrd)))
        plain.append(timed([
            argv[0], "-M", "q35", "-accel", argv[argv.index("-accel") + 1],
            "-m", "256M", "-nodefaults", "-display", "none",
            "-serial", "null", "-no-reboot",
            "-kernel", bzimage, "-initrd", initrd,
            "-append", "console=ttyS0 rdinit=/init"]))
    for peer, took in (("floor", floors), ("plain q35 bzImage", plain)):
        b.row(f"boot to the first answer / {peer}", statistics.median(ours),
              statistics.median(took), "s")


def snapshot_of(b, memory, rounds):
    """What tests/bench/snapshot.scripted.lua finds of a guest of that size:
    medians of seconds and bytes by name, QEMU's words, and its folder."""
    folder = os.path.join(b.tmp.name, "snapshot-" + memory)
    found = {}
    for line in b.run_test("snapshot", rounds, BENCH_MEMORY=memory,
                           BENCH_DIR=folder):
        name, value = line.split(" ", 1)
        if name == "argv":
            argv = words_of(value)
        else:
            found.setdefault(name, []).append(float(value))
    return ({name: statistics.median(v) for name, v in found.items()}, argv,
            folder)


def with_incoming(b, memory, rounds):
    """snapshot_of(), and the same by QEMU's own means."""
    got, argv, folder = snapshot_of(b, memory, rounds)
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
    """Restoring against booting and QEMU's -incoming; what a snapshot costs."""
    small = with_incoming(b, "256M", rounds)
    large = with_incoming(b, "2G", rounds)
    for memory, got in (("256 MiB", small), ("2 GiB", large)):
        restore = f"restore to the first answer, {memory}"
        b.row(f"{restore} / boot", got["restore"], got["boot"], "s")
        b.row(f"{restore} / QEMU's -incoming", got["restore"],
              got["incoming"], "s")
        b.extra(f"size on the disk, {memory} / QEMU's own",
                got["size"] / 2**20, got["whole_size"] / 2**20, "MiB",
                "<= 1.2")
        b.extra(f"snapshot, {memory} / boot", got["snapshot"], got["boot"],
                "s", "<= 0.5")
        b.extra(f"snapshot of a restored guest, {memory} / first snapshot",
                got["delta"], got["snapshot"], "s", "<= 1")
        b.extra(f"its size, {memory} / first snapshot",
                got["delta_size"] / 2**20, got["size"] / 2**20, "MiB",
                "<= 0.5")
    b.row("restore to the first answer, 2 GiB / 256 MiB", large["restore"],
          small["restore"], "s")
    b.extra("snapshot, 2 GiB / 256 MiB", large["snapshot"],
            small["snapshot"], "s", "<= 1.5")
