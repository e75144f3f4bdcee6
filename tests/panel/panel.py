#!/usr/bin/env python3
"""Planted failures, and what their reports must hold: panel.py PROVIUM.

Each NAME.lua beside this file fails in one way that users know. NAME.want says
what its report must be like:

    says: TEXT    one of the first five lines of the report has TEXT
    has: TEXT     some line has it
    short: TEXT   the same, but not of the long form of `provium explain`
    long: TEXT    some line of that long form has it
    never: TEXT   no line has it
    lines: N      the report has N lines at the most
    healthy: yes  a boot that failed shows its lines, healthy as they are

All run at once. The reports for people, in JUnit's XML, in events and in HTML
must hold the texts alike, and none may show a healthy boot. What explain prints
of each failure must hold them too. Of a failure with VMs, it shows the console
from power-on and the calls.
"""
import html
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

HERE = os.path.dirname(os.path.abspath(__file__))
FIRST_LINES = 5
# What the long form of a failure holds if a VM booted.
EXPLAINED = ("Linux version", " since power-on", "calls: when, how long")
HEALTHY = ("Linux version", "Command line:", "Run /.provium/agent",
           "Power Button")


def wanted(name):
    want = {"says": [], "has": [], "short": [], "long": [], "never": [],
            "lines": 0}
    never = HEALTHY
    with open(os.path.join(HERE, name + ".want"), encoding="utf-8") as f:
        for line in f:
            key, value = line.rstrip("\n").split(": ", 1)
            if key == "lines":
                want[key] = int(value)
            elif key == "healthy":
                never = ()
            else:
                want[key].append(value)
    want["never"] += never
    return want


def plain_reports(text):
    """{name: the lines below the line FAIL}, of a file's one failure."""
    reports = {}
    name = None
    lines = None
    for line in text.splitlines():
        head = re.match(r"(?:.*/)?(\w+)\.test\.lua$", line)
        if head:
            name, lines = head[1], None
        elif line.startswith("  FAIL"):
            lines = reports.setdefault(name, [])
        elif line.startswith("        ") and lines is not None:
            lines.append(line)
        else:
            lines = None
    return reports


def junit_reports(path):
    reports = {}
    for suite in ET.parse(path).getroot().iter("testsuite"):
        name = re.search(r"(\w+)\.test\.lua", suite.get("name"))
        text = "".join(
            (f.get("message") or "") + "\n" + (f.text or "")
            for kind in ("failure", "error") for f in suite.iter(kind))
        text += "".join(o.text or "" for o in suite.iter("system-out"))
        if name and text:
            reports[name[1]] = text
    return reports


def event_reports(path):
    reports = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            event = json.loads(line)
            if event["event"] == "file_error" or \
                    event.get("status") == "failed":
                name = re.search(r"(\w+)\.test\.lua", event["file"])[1]
                reports[name] = reports.get(name, "") + "\n".join(
                    strings(event))
    return reports


def strings(value):
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    if not isinstance(value, (int, float, type(None))):
        return [s for v in value for s in strings(v)]
    return [str(value)]


def explained(provium, events, name):
    done = subprocess.run(
        [os.path.abspath(provium), "explain", events,
         f"{name}.test.lua: {the_failure(events, name)}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.stdout.decode("utf-8", "replace")


def the_failure(events, name):
    """The name of the file's failed test, "[" where it is outside of tests."""
    with open(events, encoding="utf-8") as f:
        for line in f:
            event = json.loads(line)
            if event.get("status") == "failed" and \
                    event["file"].endswith(name + ".test.lua"):
                return event["test"]
    return "["


def booted_in(events):
    """The names of the files whose failed test has a VM that booted."""
    booted = set()
    failed = set()
    with open(events, encoding="utf-8") as f:
        for event in map(json.loads, f):
            name = os.path.basename(event.get("file", ""))
            name = name.removesuffix(".test.lua")
            if event.get("state") == "booted":
                booted.add(name)
            if event.get("status") == "failed" and event.get("console"):
                failed.add(name)
    return booted & failed


def run(provium, directory, names):
    for name in os.listdir(HERE):
        if not name.endswith(".lua"):
            continue
        stem = name[:-4]
        to = stem + ".test.lua" if stem in names else name
        os.symlink(os.path.join(HERE, name), os.path.join(directory, to))
    env = dict(os.environ, LUA_PATH=directory + "/?.lua;;")
    out = os.path.join(directory, "out")
    done = subprocess.run(
        [os.path.abspath(provium), "run", "--no-history",
         "--junit", out + ".xml", "--events", out + ".events",
         "--html", out + ".html", "."],
        env=env, cwd=directory, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, check=False)
    with open(out + ".html", encoding="utf-8") as f:
        page = html.unescape(f.read())
    return (done.returncode, done.stdout.decode("utf-8", "replace"),
            {"junit": junit_reports(out + ".xml"),
             "events": event_reports(out + ".events")}, page,
            {name: explained(provium, out + ".events", name)
             for name in names},
            booted_in(out + ".events"))


def judge(want, lines, others, page, long_form, has_booted):
    first = "\n".join(lines[:FIRST_LINES])
    whole = "\n".join(lines)
    problems = [f"not in the first {FIRST_LINES} lines: {s}"
                for s in want["says"] if s not in first]
    problems += [f"nowhere: {s}" for s in want["has"] + want["short"]
                 if s not in whole]
    problems += [f"must not be there: {s}"
                 for s in want["never"] if s in whole]
    if len(lines) > want["lines"]:
        problems.append(f"{len(lines)} lines, {want['lines']} at the most")
    for kind, text in others.items():
        problems += [f"not in {kind}: {s}" for s in want["says"]
                     if not found(s, text)]
        problems += [f"in {kind}: {s}" for s in want["never"] if s in text]
    problems += [f"not in the page: {s}" for s in want["says"]
                 if not found(s, page)]
    problems += [f"not explained: {s}"
                 for s in want["says"] + want["has"] + want["long"]
                 if not found(s, long_form)]
    if has_booted:
        problems += [f"not explained: {s}" for s in EXPLAINED
                     if s not in long_form]
    return problems


def found(text, where):
    """Each word of it: reports differ in what stands between them."""
    def forms(word):
        quoted = json.dumps(word)[1:-1]
        # JSON in a page has no "<" and no ">".
        return (word, quoted, quoted.replace("<", "\\u003c")
                .replace(">", "\\u003e"))

    return all(any(form in where for form in forms(word))
               for word in text.split())


def main():
    names = sorted(f[:-5] for f in os.listdir(HERE) if f.endswith(".want"))
    passed = failed = 0
    lengths = []
    with tempfile.TemporaryDirectory() as directory:
        code, text, others, page, long_forms, booted = run(
            sys.argv[1], directory, names)
    plain = plain_reports(text)
    for name in names:
        lines = plain.get(name, [])
        lengths.append(len(lines))
        problems = judge(
            wanted(name), lines,
            {kind: reports.get(name, "") for kind, reports in others.items()},
            page, long_forms[name], name in booted)
        if not problems:
            print(f"  ok      {name} ({len(lines)} lines)")
            passed += 1
            continue
        failed += 1
        print(f"  FAIL    {name}")
        for p in problems:
            print(f"    {p}")
        print("\n".join(lines))
    if code != 1 or failed:
        print(f"  exit status {code}")
    print(f"  median length: {statistics.median(lengths):g} lines")
    print(f"{passed} passed, {failed + (code != 1)} failed")
    sys.exit(failed > 0 or code != 1)


main()
