"""Draws how costs grow, with gnuplot."""
import math
import os
import subprocess

COLOURS = ("#1f5fa8", "#c8501e")

# A picture each: its file, what it says, the label of the x axis, whether
# both axes are by powers of ten, and its curves by name.
PLOTS = (
    ("boot", "Booting VMs, all at once", "VMs", False,
     ("boot of all at once",)),
    ("memory", "Memory of provium beyond QEMU's own", "VMs", False,
     ("memory of provium",)),
    ("ram", "A snapshot, and restoring it", "RAM of the guest, GiB", False,
     ("restore", "snapshot")),
    ("expect", "expect, the match at the end", "bytes searched, MiB", False,
     ("expect",)),
    ("transfer", "A file into the guest and out of it",
     "size of the file, MiB", False, ("write_file", "read_file")),
    ("files", "A run of files of one empty test", "files", True,
     ("run of files of one empty test",)),
)
UNITS = {"s": "seconds"}

HEAD = """set terminal svg size 640,380 fixed rounded background "#ffffff" \\
    font "Helvetica,Arial,sans-serif,15"
set output "{out}"
set border 3 linecolor "#808080"
set tics nomirror out scale 0.6,0 textcolor "#303030"
set grid ytics linetype 1 linewidth 0.6 linecolor "#e0e0e0"
set title "{title}" font ",17" textcolor "#202020"
set xlabel "{x}" textcolor "#303030"
set ylabel "{y}" textcolor "#303030"
set rmargin {margin}
unset key
"""
CLOSE = 0.08  # of the height: two names on one line, nearly


def step(most):
    """A round number of which three to five reach most."""
    tens = 10 ** math.floor(math.log10(most / 4))
    return next(tens * n for n in (1, 2, 2.5, 5, 10) if tens * n >= most / 4)


def axes(curves, by_tens):
    """Both axes, with few ticks: x has one at each point that has room."""
    points = curves[0]["points"]
    last = points[-1][0]
    if by_tens:
        ticks = [x for x, _ in points]
        text = "set logscale xy 10\nset xrange [0.8:%g]\n" % (last * 1.25)
        text += "set yrange [%g:%g]\n" % (
            10 ** math.floor(math.log10(min(y for _, y in points))),
            10 ** math.ceil(math.log10(max(y for _, y in points))))
    else:
        ticks = [0] + [x for x, _ in points if x >= last / 10]
        most = max(y for c in curves for _, y in c["points"])
        by = step(most)
        text = "set xrange [0:%g]\n" % (last * 1.03)
        text += "set yrange [0:%g]\nset ytics %g\n" % (
            by * math.ceil(most / by), by)
    return text + "set format \"%g\"\nset xtics (" + \
        ", ".join(f"{x:g}" for x in ticks) + ")\n"


def names(curves):
    """The name of each curve beside its end, none on another."""
    ends = sorted((c["points"][-1][1], i) for i, c in enumerate(curves))
    text, below = "", None
    most = max(y for c in curves for _, y in c["points"])
    for y, i in ends:
        if below is not None:
            y = max(y, below + CLOSE * most)
        text += (f'set label "{curves[i]["name"]}" noenhanced at '
                 f'{curves[i]["points"][-1][0]}, {y:g} left offset 1,0 '
                 f'textcolor "{COLOURS[i]}"\n')
        below = y
    return text


def script(out, title, x, by_tens, curves):
    """What gnuplot is told; the points are in it."""
    unit = curves[0]["y_unit"]
    text = HEAD.format(out=out, title=title, x=x, y=UNITS.get(unit, unit),
                       margin=12 if len(curves) > 1 else 3)
    text += axes(curves, by_tens)
    if len(curves) > 1:
        text += names(curves)
    for i, curve in enumerate(curves):
        text += f"$data{i} << END\n"
        text += "".join(f"{x} {y}\n" for x, y in curve["points"]) + "END\n"
    return text + "plot " + ", ".join(
        f"$data{i} using 1:2 with linespoints linewidth 2.2 pointtype 7 "
        f'pointsize 0.6 linecolor "{COLOURS[i]}"'
        for i in range(len(curves))) + "\n"


def draw(folder, curves):
    """Draws the pictures of which there are curves to folder/FILE.svg.
    Returns [(file, title)]."""
    by_name = {c["name"]: c for c in curves}
    drawn = []
    os.makedirs(folder, exist_ok=True)
    for name, title, x, by_tens, wanted in PLOTS:
        have = [by_name[c] for c in wanted if by_name.get(c, {}).get("points")]
        if not have:
            continue
        text = script(f"{folder}/{name}.svg", title, x, by_tens, have)
        subprocess.run(["gnuplot"], input=text, text=True, check=True)
        drawn.append((name, title))
    return drawn
