"""The network between guests: against QEMU's own, and against what is asked.

Two guests with three networks between them send over each in turn; then what
an impaired bridge does is measured by guests, and of bare frames on wires.
"""
import statistics
import subprocess

import peers
import targets


def medians(lines):
    """{key: median} of lines of a key, in all words but the last, and a
    value."""
    got = {}
    for line in lines:
        key, value = line.rsplit(" ", 1)
        got.setdefault(key, []).append(float(value))
    return {key: statistics.median(values) for key, values in got.items()}


def bench_network(b, rounds=10):
    """A bridge against a stream and a datagram socket of QEMU's."""
    traffic = b.compile("traffic.c", "-static")
    us = medians(b.run_test("network", rounds, BENCH_TRAFFIC=traffic,
                            BENCH_PORT=str(peers.free_port())))
    for what, name, unit in (("tcp", "TCP between guests", "Mbit/s"),
                             ("udp", "UDP of 64 bytes", "packets/s"),
                             ("trip", "round trip of 64 bytes", "us")):
        for peer in ("stream", "dgram"):
            full = f"{name} / QEMU's own {peer} socket"
            pair = us[what + " ours"], us[f"{what} {peer}"]
            if full in targets.TARGETS:
                b.row(full, *pair, unit)
            else:
                b.extra(full, *pair, unit,
                        "<= 1.11" if what == "trip" else ">= 0.9")
    bench_shaper(b, traffic)


def within(b, name, got, asked, unit, share):
    """Two rows: got is asked, give or take a share."""
    what, peer = name.split(" / ")
    b.extra(f"{what}, at most / {peer}", got, asked, unit,
            f"<= {1 + share:g}")
    b.extra(f"{what}, at least / {peer}", got, asked, unit,
            f">= {1 - share:g}")


def bench_shaper(b, traffic, rounds=3):
    seen = medians(b.run_test("shaper", rounds, BENCH_TRAFFIC=traffic))
    within(b, "guests: latency of 20 ms each way / asked",
           seen["latency 40"], 40, "ms", 0.1)
    within(b, "guests: jitter of 10 ms each way, range / asked",
           seen["jitter 40"], 40, "ms", 0.3)
    within(b, "guests: loss of 30 % / asked", seen["loss 30"], 30, "%", 0.1)
    within(b, "guests: TCP at 8 Mbit/s / asked", seen["rate 8"], 8, "Mbit/s",
           0.05)
    frames = b.compile("bench_shaper.c",
                       libs=b.libs("vmm", "streams", "agent-proto"))
    out = subprocess.run([frames], check=True, capture_output=True, text=True)
    for line in out.stdout.splitlines():
        what, asked, got, *rest = line.split()
        if what == "jitter":
            print(f"  frames: jitter of {asked} ms: from {got} to {rest[0]}")
            continue
        unit = {"latency": "ms", "loss": "%", "rate": "Mbit/s"}[what]
        if rest:
            print(f"  frames: latency of {asked} ms: p99 {rest[0]} ms")
        within(b, f"frames: {what} of {float(asked):g} {unit} / asked",
               float(got), float(asked), unit, 0.25 if asked == "1.000"
               else 0.05)
