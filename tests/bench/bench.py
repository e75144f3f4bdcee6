#!/usr/bin/env python3
"""Benchmarks beside their peers, side by side in one run.

    bench.py PROVIUM BUILD_DIR [ROW...]

Writes build/bench/<date>.json and .md: medians, ratios and targets. With all
rows it also writes docs/benchmarks.md. Figures on a shared machine are noisy;
ratios are what to read. A row that fails is told of at the end, with exit
code 1; the others are kept.
"""
import os
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # beside the sources
import boots
import calls
import capture
import growth
import machine
import many
import memory
import network
import peers
import report
import streams
from harness import HERE, Bench, told

ROWS = {"boot": boots.bench_boot, "snapshot": boots.bench_snapshot,
        "roundtrip": calls.bench_roundtrip, "surface": peers.bench_surface,
        "tail": streams.bench_tail, "expect": streams.bench_expect,
        "deadline": calls.bench_deadline, "files": many.bench_files,
        "network": network.bench_network, "memory": memory.bench_memory,
        "reset": many.bench_reset, "capture": capture.bench_capture,
        "growth": growth.bench_growth}


def attempt(failed, name, call, otherwise=None):
    """What the call returns; where it fails, failed[name] says why."""
    try:
        return call()
    except subprocess.CalledProcessError as e:
        failed[name] = f"{e}\n{told(e)}".rstrip()
    except Exception as e:  # whatever it is, the other rows go on
        failed[name] = f"{type(e).__name__}: {e}"
    return otherwise


def run_rows(b, out, names):
    """{name: why} of those that failed."""
    failed = {}
    for i, name in enumerate(names):
        print(f"[{i + 1}/{len(names)}] {name}: {ROWS[name].__doc__}",
              flush=True)
        start = time.monotonic()
        attempt(failed, name, lambda: ROWS[name](b))
        print(f"  {name} {'FAILED after' if name in failed else 'took'} "
              f"{time.monotonic() - start:.0f} s", flush=True)
        out.write(b, failed)
    return failed


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    unknown = [n for n in sys.argv[3:] if n not in ROWS]
    if unknown:
        sys.exit(f"bench: no row '{unknown[0]}': there are "
                 f"{' '.join(ROWS)}")
    start = time.monotonic()
    whole = not sys.argv[3:]
    b = Bench(sys.argv[1], sys.argv[2])
    out = report.Report(
        os.path.join(os.path.dirname(os.path.abspath(b.build)), "bench"),
        os.path.join(HERE, "../../docs"), machine.describe(b.provium), whole)
    failed = run_rows(b, out, sys.argv[3:] or list(ROWS))

    drawn = attempt(failed, "pictures", lambda: out.draw(b), [])
    stem = out.write(b, failed, drawn)
    rows, absent = report.by_target(b.rows)
    print("\n".join(report.table(rows + [r for r in b.rows if r["extra"]])))
    print(f"{stem}.json, {stem}.md")
    if whole:
        print(os.path.relpath(out.publish(stem, drawn)))
    print(f"took {time.monotonic() - start:.0f} s in all")
    for name, why in failed.items():
        print(f"bench: {name} failed: {why}", file=sys.stderr)
    if whole and absent and not failed:
        sys.exit(f"bench: no row for the target '{absent[0]}'")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    # Ends as by ^C: programs and files of the run go.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("bench: interrupted; rows that were done are in build/bench")
