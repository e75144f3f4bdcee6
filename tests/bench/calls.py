"""Round trips of calls, and how exactly their deadlines are kept."""


def bench_roundtrip(b, rounds=3000):
    """stat, a raw system call and run("true") against a bare echo."""
    echo = b.compile("echo_client.c")
    got = {}
    for _ in range(3):  # the quietest of them is what counts
        for line in b.run_test("roundtrip", rounds, BENCH_ECHO=echo):
            name, p50, p99 = line.split()
            got.setdefault(name, []).append((float(p50), float(p99)))
    best = {k: min(v) for k, v in got.items()}
    for name in ("syscall", "stat"):
        b.row(f"{name} round trip, p50 / bare echo", best[name][0],
              best["echo"][0], "us")
        b.extra(f"{name} round trip, p99 / bare echo", best[name][1],
                best["echo"][1], "us", "<= 1.3")
    for at, which in enumerate(("p50", "p99")):
        b.extra(f"run(true), {which} / bare echo", best["run"][at],
                best["echo"][at], "us")


def bench_deadline(b, rounds=500):
    """By how much calls overshoot; the peer is the 10 ms that are allowed."""
    for line in b.run_test("deadline", rounds):
        name, p50, p99, most = line.split()
        print(f"  {name}: p50 {p50} ms, p99 {p99} ms, most {most} ms")
        many, busy = name.split("-") if "-" in name else (name, "")
        which = f"{many} {busy + ' ' if busy else ''}stream" + \
            ("" if many == "1" else "s")
        what = f"deadline overshoot p99, {which} / 10 ms allowed"
        if busy:
            b.extra(what, float(p99), 10.0, "ms", "<= 1")
        else:
            b.row(what, float(p99), 10.0, "ms")
