"""What is promised: a row of `make bench` for each, and the bound of its ratio.

A row's name is what is measured, " / ", and its peer. These come first in
docs/benchmarks.md, in this order; rows that are not here are extra.
"""

TARGETS = {
    "boot to the first answer / floor": "<= 1.10",
    "boot to the first answer / plain q35 bzImage": "<= 0.7",

    "restore to the first answer, 256 MiB / boot": "<= 0.05",
    "restore to the first answer, 2 GiB / boot": "<= 0.05",
    "restore to the first answer, 256 MiB / QEMU's -incoming": "<= 1",
    "restore to the first answer, 2 GiB / QEMU's -incoming": "<= 1",
    "restore to the first answer, 2 GiB / 256 MiB": "<= 1.25",

    "syscall round trip, p50 / bare echo": "<= 1.3",
    "stat round trip, p50 / bare echo": "<= 1.3",
    "syscall / ssh true": "<= 0.05",
    "stat / ssh stat": "<= 0.05",
    "syscall / qga true": "<= 0.2",
    "stat / qga stat": "<= 0.2",
    "stat / qga open": "<= 0.2",

    "run / ssh true": "<= 0.2",
    "run / qga true": "<= 0.2",

    "Tail of stdout, writes of 64k / raw, by a pipe and cat": ">= 0.8",
    "Tail of file, writes of 64k / raw, by a pipe and cat": ">= 0.8",
    "Tail of stdout, writes of 100 / raw, by a pipe and cat": ">= 0.8",
    "Tail of file, writes of 100 / raw, by a pipe and cat": ">= 0.8",

    "expect over 256 MiB / pexpect": ">= 20",
    "expect over 256 MiB / expect over 128 MiB": "<= 2.2",

    "deadline overshoot p99, 1 stream / 10 ms allowed": "<= 1",
    "deadline overshoot p99, 64 streams / 10 ms allowed": "<= 1",

    "runner: 1000 files of one empty test / bats": "<= 0.2",
    "runner: 1000 files of one empty test / busted": "<= 0.2",

    "TCP between guests / QEMU's own stream socket": ">= 0.9",

    "memory of provium per VM / 8 MiB allowed": "<= 1",
}

# What the peers are, where their names do not say it.
PEERS = {
    "floor": "the same QEMU command, kernel and initrd, with an init that "
             "ends the VM at once",
    "plain q35 bzImage": "`-M q35 -kernel bzImage`, the same initrd and init, "
                         "no other option that matters",
    "boot": "`vm:boot()` of the same guest to the first answer",
    "QEMU's -incoming": "QEMU loading a whole migration of the same guest "
                        "from a file, to the agent's first answer",
    "bare echo": "`cat` in the guest over a second port of the same kind; the "
                 "quietest of three runs counts, of either",
    "ssh true, ssh stat": "the command by ssh to a dropbear in the same "
                          "guest; the faster of a fresh connection and one "
                          "that is kept",
    "qga true, qga stat": "guest-exec of qemu-guest-agent in the same guest, "
                          "until its end is known",
    "qga open": "guest-file-open and guest-file-close",
    "raw, by a pipe and cat": "the same bytes from the same program, through "
                              "a pipe and `cat` into a second port of the "
                              "same kind",
    "pexpect": "pexpect on the same bytes from a pipe, reading 2000 bytes at "
               "a time, as it does unless told otherwise",
    "bats, busted": "the same files for these runners, all in one run of "
                    "theirs",
    "QEMU's own stream socket": "`-netdev socket` between the same guests",
    "8 MiB allowed, 10 ms allowed": "no peer: what we allow ourselves",
}

EXEC = ("most of it is the guest's own exec() of a shell, of which an emulated "
        "CPU makes much, and which the peer needs, too; a list of words, run "
        "without a shell, takes a quarter less")
KICK = ("a frame's header is one more write, and so one more kick of the port, "
        "for each 64 KiB")
QUIET = "%s where the host was quiet"

# Why a row is missed, by its name: said only where it is.
NOTES = {
    "boot to the first answer / floor": QUIET % "1.08 to 1.10",
    "boot to the first answer / plain q35 bzImage": QUIET % "0.60 to 0.65",
    "restore to the first answer, 256 MiB / QEMU's -incoming":
        "a quarter of ours is the guest's generator of random numbers, seeded "
        "anew before anything else is answered, by code that an emulated CPU "
        "has to translate first; the peer's guests share theirs",
    "run / ssh true": EXEC,
    "run / qga true": EXEC,
    "Tail of stdout, writes of 64k / raw, by a pipe and cat": KICK,
    "Tail of file, writes of 64k / raw, by a pipe and cat": KICK,
    "expect over 256 MiB / expect over 128 MiB":
        "all of it has to be kept; where the host gives memory to a virtual "
        "machine only when that is touched, more of it is new",
    "runner: 1000 files of one empty test / busted":
        "busted runs all files in one process; here, each has its own and "
        "cannot spoil the next. busted with a process each is an extra row",
}


def holds(bound, ratio):
    sense, number = bound.split()
    return ratio <= float(number) if sense == "<=" else ratio >= float(number)
