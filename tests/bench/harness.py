"""What every benchmark uses: programs, tests, and where the rows go."""
import os
import subprocess
import tempfile

import targets

HERE = os.path.dirname(os.path.abspath(__file__))


TOLD = 40  # lines of a program that failed


class Failure(Exception):
    """A benchmark cannot go on, and says why."""


def told(done):
    """What a program that failed has said: the begin of it, where a failed
    test says why."""
    lines = f"{done.stdout or ''}{done.stderr or ''}".splitlines()
    return "\n".join(lines[:TOLD] + (["..."] if len(lines) > TOLD else []))


class Bench:
    def __init__(self, provium, build):
        self.provium = provium
        self.build = build
        self.rows = []
        self.curves = []
        self.tmp = tempfile.TemporaryDirectory(prefix="provium-bench-")
        self.image = subprocess.run([provium, "guest", "path"], check=True,
                                    capture_output=True,
                                    text=True).stdout.strip()

    def row(self, name, value, peer, unit):
        """Of one of targets.TARGETS, which has its bound."""
        self._row(name, value, peer, unit, targets.TARGETS[name], False)

    def extra(self, name, value, peer, unit, bound=None):
        """bound: what the ratio value / peer keeps, as "<= 1.5"."""
        if name in targets.TARGETS:
            raise ValueError(f"{name}: has a target")
        self._row(name, value, peer, unit, bound, True)

    def _row(self, name, value, peer, unit, bound, extra):
        if not peer:
            raise Failure(f"{name}: the peer got nothing done")
        ratio = value / peer
        met = targets.holds(bound, ratio) if bound else None
        self.rows.append({
            "name": name, "value": round(value, 6), "peer": round(peer, 6),
            "ratio": round(ratio, 6), "target": bound, "met": met,
            "unit": unit, "peer_name": name.split(" / ", 1)[1],
            "extra": extra})
        print(f"  {name}: {value:.3f} against {peer:.3f} {unit}, "
              f"ratio {ratio:.3g}" + (f" ({bound})" if bound else "") +
              (" MISSED" if met is False else ""), flush=True)

    def growth(self, name, x_unit, y_unit, points):
        """How a cost grows: points are pairs of numbers."""
        self.curves.append({"name": name, "x_unit": x_unit, "y_unit": y_unit,
                            "points": [[x, round(y, 6)] for x, y in points]})
        print(f"  {name}: " + ", ".join(f"{x:g} {x_unit} {y:.3f} {y_unit}"
                                        for x, y in points), flush=True)

    def compile(self, source, *flags, libs=()):
        out = os.path.join(self.tmp.name, os.path.basename(source)[:-2])
        subprocess.run(["gcc", "-O2", "-std=gnu11", "-D_GNU_SOURCE",
                        "-I" + os.path.join(HERE, "../.."), *flags, "-o", out,
                        os.path.join(HERE, source), *libs], check=True)
        return out

    def libs(self, *layers):
        """Archives of these layers and what they stand on."""
        found = subprocess.run(
            ["pkg-config", "--libs", "libevent_core", "libpcap", "jansson",
             "libzstd", "liblzma", "liblz4", "zlib", "libxxhash"],
            check=True, capture_output=True, text=True).stdout.split()
        return [*(f"{self.build}/lib{n}.a" for n in layers), *found,
                "-lslirp"]

    def test_file(self, name):
        """The path of a link to tests/bench/NAME.scripted.lua: provium takes
        files whose names end in .test.lua."""
        link = os.path.join(self.tmp.name, name + ".test.lua")
        if not os.path.islink(link):
            os.symlink(os.path.join(HERE, name + ".scripted.lua"), link)
        return link

    def run_test(self, name, rounds, *options, **env):
        """Runs tests/bench/NAME.scripted.lua; returns the lines it wrote."""
        out = os.path.join(self.tmp.name, name + ".out")
        done = subprocess.run(
            [self.provium, "run", "--no-history", *options,
             self.test_file(name)],
            env={**os.environ, "BENCH_OUT": out,
                 "BENCH_ROUNDS": str(rounds), **env},
            capture_output=True, text=True)
        if done.returncode:
            raise Failure(f"{name}.scripted.lua:\n" + told(done))
        with open(out, encoding="utf-8", errors="replace") as f:
            return f.read().splitlines()
