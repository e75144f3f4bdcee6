"""Writes what was measured: JSON, Markdown, and docs/benchmarks.md."""
import datetime
import json
import os
import shutil

import plot
import targets

INTRODUCTION = """# Benchmarks

Made by `make bench`: one run on {date}, in which each row and its peer took
turns. Figures are medians, but of what takes a minute, which is done once. The
ratio is ours divided by the peer's, so that 0.05 of a time is twenty times as
fast; the target is what it may be. Ratios are what to read: seconds are this
machine's.

"""
PICTURES = "benchmarks"  # beside the page


def figure(x):
    """Three digits or so."""
    return f"{x:.{0 if x >= 100 else 1 if x >= 10 else 2 if x >= 1 else 3}f}"


def table(rows, bound="target"):
    lines = [f"| what / its peer | ours | peer | unit | ratio | {bound} |",
             "|---|--:|--:|---|--:|---|"]
    for r in rows:
        missed = " **missed**" if r["met"] is False else ""
        lines.append(f"| {r['name']} | {figure(r['value'])} | "
                     f"{figure(r['peer'])} | {r['unit']} | "
                     f"{r['ratio']:.3g} | {r['target'] or ''}{missed} |")
    return lines


def by_target(rows):
    """Rows in the order of the targets, and the names without a row."""
    by_name = {r["name"]: r for r in rows}
    return ([by_name[n] for n in targets.TARGETS if n in by_name],
            [n for n in targets.TARGETS if n not in by_name])


class Report:
    def __init__(self, out, docs, facts, whole):
        self.out = out  # the folder of every run's
        self.docs = docs
        self.facts = facts
        self.whole = whole  # all rows run
        self.date = datetime.date.today().isoformat()

    def markdown(self, b, failed, drawn):
        rows, absent = by_target(b.rows)
        text = [INTRODUCTION.format(date=self.date) + "| | |", "|---|---|"]
        text += [f"| {what} | {words} |" for what, words in self.facts.items()]
        text += ["", "## Targets", "", *table(rows), ""]
        missed = [r["name"] for r in rows if not r["met"]]
        if missed:
            text += ["Missed, and why:", ""]
            text += [f"- {n}: {targets.NOTES.get(n, 'not yet explained')}"
                     for n in missed]
            text += [""]
        if self.whole and (absent or failed):
            text += ["Not measured in this run:", ""]
            text += [f"- what was left of `{n}`, which failed" for n in failed]
            text += [f"- {n}" for n in absent]
            text += [""]
        text += ["What the peers are:", ""]
        text += [f"- {n}: {words}" for n, words in targets.PEERS.items()]
        if drawn:
            text += ["", "## How costs grow"]
            for name, title in drawn:
                text += ["", f"![{title}]({PICTURES}/{name}.svg)"]
        extra = [r for r in b.rows if r["extra"]]
        if extra:
            text += ["", "## Extra rows", "",
                     "Nothing is promised of these; a bound is there to be "
                     "watched.", "", *table(extra, "bound")]
        return "\n".join(text) + "\n"

    def write(self, b, failed, drawn=()):
        """<date>.json and <date>.md; anew after every benchmark, so that what
        has been measured is kept whatever follows."""
        os.makedirs(self.out, exist_ok=True)
        stem = os.path.join(self.out, self.date)
        with open(stem + ".json", "w", encoding="utf-8") as f:
            json.dump({"date": self.date, "machine": self.facts,
                       "rows": b.rows, "growth": b.curves,
                       "failed": failed}, f, indent=1)
            f.write("\n")
        with open(stem + ".md", "w", encoding="utf-8") as f:
            f.write(self.markdown(b, failed, drawn))
        return stem

    def draw(self, b):
        """[(file, title)] of the pictures."""
        return plot.draw(os.path.join(self.out, PICTURES), b.curves)

    def publish(self, stem, drawn):
        """The page of docs/, and its pictures. Returns its path."""
        into = os.path.join(self.docs, PICTURES)
        os.makedirs(into, exist_ok=True)
        for name, _ in drawn:
            shutil.copy(os.path.join(self.out, PICTURES, name + ".svg"), into)
        page = into + ".md"
        shutil.copy(stem + ".md", page)
        return page
