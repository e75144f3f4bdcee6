"""What one guest more costs: time to boot, and memory beyond QEMU's own."""
import statistics

COUNTS = (1, 2, 4, 8, 16)
ALLOWED = 8


def slope(points):
    """Of the straight line through them, by least squares."""
    mx = statistics.fmean(x for x, _ in points)
    my = statistics.fmean(y for _, y in points)
    return sum((x - mx) * (y - my) for x, y in points) / \
        sum((x - mx) ** 2 for x, _ in points)


def bench_memory(b, rounds=3):
    """Small guests in one worker, all booted at once."""
    got = {}
    for _ in range(rounds):
        for count in COUNTS:
            for line in b.run_test("memory", 1, "--cpus", str(COUNTS[-1]),
                                   BENCH_COUNT=str(count)):
                name, value = line.split()
                got.setdefault((name, count), []).append(float(value))

    def points(name, scale=1):
        return [(n, statistics.median(got[name, n]) / scale) for n in COUNTS]

    # Pages that the run and its worker share count once.
    memory = points("pss", 1024)
    b.row(f"memory of provium per VM / {ALLOWED} MiB allowed", slope(memory),
          ALLOWED, "MiB")
    print(f"  the same by Rss: {slope(points('rss', 1024)):.3f} MiB")
    b.growth("boot of all at once", "VMs", "s", points("boot"))
    b.growth("memory of provium", "VMs", "MiB", memory)
