#!/usr/bin/env python3
"""Arrows between folders point one way: layers.py [BUILD_DIR].

layers.txt says which folders a folder may use. This compares it with every
include line, and with every call between objects of BUILD_DIR, as nm(1) sees
it: a header of a lower folder may declare a function of a higher one. Every
folder with C code has a row. Prints the largest circle of files that call each
other, and fails where one is larger than its folder's row "circle" allows, or
goes through two folders.
"""
import os
import re
import subprocess
import sys

TABLE = os.path.join(os.path.dirname(__file__), "layers.txt")
AGENT = "cmd/provium-agent"  # a program of its own, with objects of its own


def read_table():
    """({folder: the folders it may use}, {folder: circle}, [(regex, folders)])"""
    uses, circles, libraries = {}, {}, []
    with open(TABLE, encoding="utf-8") as f:
        for line in f:
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[0] == "circle":
                circles[words[2]] = int(words[1])
            elif words[0] == "library":
                libraries.append((words[1], words[3:]))
            else:
                folder = words[0].rstrip(":")
                uses[folder] = set(words[1:]) | {folder}
    return uses, circles, libraries


def code_files():
    tops = ["agent-proto", "streams", "vmm", "runner", "cmd"]
    out = subprocess.run(["git", "ls-files", "--"] + tops, check=True,
                         capture_output=True, text=True).stdout
    return [f for f in out.split("\n")
            if re.search(r"\.[ch]$", f) and os.path.exists(f)]


def include_faults(files, uses, libraries):
    for f in files:
        folder = os.path.dirname(f)
        with open(f, encoding="utf-8") as text:
            for kind, name in re.findall(r'^#\s*include ([<"])([^>"]+)',
                                         text.read(), re.M):
                if kind == '"':
                    if os.path.dirname(name) not in uses[folder]:
                        yield f'{f}: includes "{name}"; {folder} may not'
                    continue
                for pattern, owners in libraries:
                    if re.fullmatch(pattern, name) and not any(
                            (folder + "/").startswith(o + "/") for o in owners):
                        yield (f"{f}: includes <{name}>, which belongs to: "
                               + " ".join(owners))


def symbols(objects):
    """{object: (defined, used)}, names that other objects can see."""
    out = subprocess.run(["nm", "-A"] + objects, check=True,
                         capture_output=True, text=True).stdout
    seen = {o: (set(), set()) for o in objects}
    for line in out.splitlines():
        words = re.fullmatch(r"([^:]+):\s*[0-9a-f]*\s+(\w) (\S+)", line)
        if words and words[2] in "Uw":
            seen[words[1]][1].add(words[3])
        elif words and words[2].isupper():
            seen[words[1]][0].add(words[3])
    return seen


def call_graph(sources, build):
    """{file: {file it uses a symbol of: that symbol}}"""
    graph = {}
    for is_agent in (False, True):
        where = "agent" if is_agent else "obj"
        mine = {}
        for f in sources:
            o = os.path.join(build, where, f[:-2] + ".o")
            if f.startswith(AGENT) == is_agent or f.startswith("agent-proto"):
                if os.path.exists(o):
                    mine[o] = f
        if not mine:
            continue
        table = symbols(sorted(mine))
        home = {s: mine[o] for o, (defined, _) in table.items()
                for s in defined}
        for o, (_, used) in table.items():
            edges = graph.setdefault(mine[o], {})
            for s in sorted(used):
                if s in home and home[s] != mine[o]:
                    edges.setdefault(home[s], s)
    return graph


def circles_of(graph):
    """The strongly connected parts with two files or more (Tarjan)."""
    index, low, stack, parts = {}, {}, [], []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in graph.get(v, {}):
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in stack:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            part = stack[stack.index(v):]
            del stack[stack.index(v):]
            if len(part) > 1:
                parts.append(part)

    sys.setrecursionlimit(10000)
    for v in sorted(graph):
        if v not in index:
            visit(v)
    return parts


def call_faults(graph, uses):
    for f, edges in sorted(graph.items()):
        for g, symbol in edges.items():
            if os.path.dirname(g) not in uses[os.path.dirname(f)]:
                yield f"{f}: calls {symbol}() of {g}; its folder may not"


def circle_faults(graph, circles):
    parts = circles_of(graph)
    for part in parts:
        folders = sorted({os.path.dirname(f) for f in part})
        limit = circles.get(folders[0], 0)
        if len(folders) > 1 and not circles.get(" ".join(folders)):
            yield ("a circle of calls goes through "
                   + " ".join(folders) + ": " + " ".join(sorted(part)))
        elif len(part) > limit:
            yield (f"{len(part)} files of {folders[0]} call each other in a "
                   f"circle, {limit} may: " + " ".join(sorted(part)))
    largest = max(parts, key=len, default=[])
    if largest:
        print(f"note: largest circle of calls: {len(largest)} files of "
              + " ".join(sorted({os.path.dirname(f) for f in largest})))


def main():
    uses, circles, libraries = read_table()
    files = code_files()
    faults = [f"{d}: has no row in {TABLE}" for d in
              sorted({os.path.dirname(f) for f in files} - set(uses))]
    if not faults:
        faults += include_faults(files, uses, libraries)
        if len(sys.argv) > 1:
            graph = call_graph([f for f in files if f.endswith(".c")],
                               sys.argv[1])
            faults += call_faults(graph, uses)
            faults += circle_faults(graph, circles)
    print("\n".join(faults), end="\n" if faults else "")
    sys.exit(1 if faults else 0)


main()
