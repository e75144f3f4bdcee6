#!/usr/bin/env python3
"""docs/api.md, made from the typed description of what tests may call.

    api.py          rewrite docs/api.md
    api.py --check  exit 1 when it is out of date
"""
import re
import sys

SOURCE = "runner/lua/stubs.lua"
PAGE = "docs/api.md"
HEAD = """# API reference

Made by tests/lint/api.py from runner/lua/stubs.lua; `provium lsp-setup` gives
the same to editors. docs/guide.md explains how things are used.

A *Duration* is a number of seconds or a string such as `"500ms"`, `"1.5s"`,
`"2m"`. A *Size* is a number of bytes or a string such as `"64K"`, `"4G"`
(powers of 1024). An *Int64* is a number where that is exact, else `int64_t` or
`uint64_t`. A *Signal* is a number, or a name with or without `SIG`. Every object
has `:close()`, which may be called again, and is closed with its scope.
"""
NAMES = {"Provium": "provium", "Lab": "lab", "VM": "vm", "Worker": "worker",
         "Call": "call", "Process": "process", "RunResult": "result",
         "File": "file", "Snapshot": "snapshot", "LabSnapshot": "lab_snapshot",
         "Stream": "stream", "Console": "console",
         "Clock": "clock", "Disk": "disk", "Bridge": "bridge", "Nic": "nic",
         "Context": "t"}


def split_type(text):
    """A type may hold spaces inside of brackets; what follows is prose."""
    depth = 0
    for i, ch in enumerate(text):
        depth += ch in "([{<"
        depth -= ch in ")]}>"
        if ch == " " and not depth and text[i - 1] not in ":,|":
            return text[:i], text[i + 1:].lstrip("# ")
    return text, ""


def cell(text):
    return text.replace("|", "\\|")


class Block:
    def __init__(self, lines):
        self.text, self.params, self.returns, self.fields = [], [], [], []
        self.cls = None
        for line in lines:
            tag = re.match(r"---@(\w+) ?(.*)", line)
            if not tag:
                self.text.append(line[3:])
            elif tag[1] == "param":
                name, rest = tag[2].split(" ", 1)
                self.params.append((name, *split_type(rest)))
            elif tag[1] == "return":
                self.returns.append(split_type(tag[2]))
            elif tag[1] == "field":
                name, rest = tag[2].split(" ", 1)
                self.fields.append((name, *split_type(rest)))
            elif tag[1] == "class":
                self.cls = tag[2]


def put_fields(out, fields):
    out.append("| field | type | |\n|---|---|---|\n")
    for name, kind, note in fields:
        out.append(f"| `{name}` | `{cell(kind)}` | {cell(note)} |\n")
    out.append("\n")


def put_function(out, call, block):
    result = ", ".join(r[0] for r in block.returns)
    out.append(f"#### `{call}{' -> ' + result if result else ''}`\n\n")
    if block.text:
        out.append("\n".join(block.text) + "\n\n")
    for name, kind, note in block.params:
        if note or len(kind) > 12 or "?" in name:
            out.append(f"- `{name}`: `{kind}`{' ' + note if note else ''}\n")
    for _, note in block.returns:
        if note:
            out.append(f"- returns {note}\n")
    if out[-1].startswith("- "):
        out.append("\n")


def put_class(out, block):
    title = block.cls.split(":")[0].split(" ")[0]
    out.append(f"## {title}\n\n")
    rest = block.cls[len(title):].strip()
    if rest and not rest.startswith(":"):
        out.append(f"{rest[0].upper()}{rest[1:]}.\n\n")
    if block.text:
        out.append("\n".join(block.text) + "\n\n")
    if block.fields:
        put_fields(out, block.fields)


def signature(line):
    m = re.match(r"function ([\w.:]+)\((.*)\) end", line)
    name, args = m[1], m[2]
    owner = re.match(r"(\w+)([.:])(\w+)", name)
    if owner:
        name = NAMES.get(owner[1], owner[1]) + owner[2] + owner[3]
    return name, args


def page():
    out, lines, globals_ = [HEAD], [], False
    with open(SOURCE, encoding="utf-8") as f:
        for line in f.read().split("\n"):
            if line.startswith("---"):
                lines.append(line)
                continue
            block, lines = Block(lines), []
            if block.cls:
                if block.cls == "json":
                    continue
                out.append("\n")
                put_class(out, block)
            if line.startswith("function"):
                name, args = signature(line)
                optional = {p[0].rstrip("?") for p in block.params
                            if p[0].endswith("?")}
                args = ", ".join(a + "?" if a in optional else a
                                 for a in args.split(", "))
                if not re.search(r"[.:]", name) and not globals_:
                    globals_ = True
                    out.append("\n## Globals\n\n")
                put_function(out, f"{name}({args})", block)
    return re.sub(r"\n{3,}", "\n\n", "".join(out)).rstrip() + "\n"


def main():
    text = page()
    if sys.argv[1:] == ["--check"]:
        with open(PAGE, encoding="utf-8") as f:
            if f.read() != text:
                sys.exit(f"{PAGE} is out of date: run tests/lint/api.py")
        return
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(text)


main()
