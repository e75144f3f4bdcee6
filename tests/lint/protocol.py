#!/usr/bin/env python3
"""The message table of docs/protocol.md, made from the protocol's own table.

    protocol.py          rewrite the table in docs/protocol.md
    protocol.py --check  exit 1 when it is out of date
"""
import re
import sys

PAGE = "docs/protocol.md"
BEGIN = "<!-- messages: made by tests/lint/protocol.py -->\n"
END = "<!-- end of messages -->\n"


def fields():
    with open("agent-proto/msg.h", encoding="ascii") as f:
        text = f.read().replace("\\\n", " ")
    found = {}
    for name, rest in re.findall(r"#define MSG_(\w+)_FIELDS\(F\)(.*)", text):
        found[name] = [f"{n} {k.lower()}"
                       for k, n in re.findall(r"F\((\w+), (\w+)\)", rest)]
    return found


def rows():
    with open("agent-proto/messages.def", encoding="ascii") as f:
        text = f.read()
    known = fields()
    text = text[text.index("*/", text.index("field\n") if "field\n" in text
                           else 0):]
    token = re.compile(r"/\*(.*?)\*/|M\((\w+), (\w+), (\d+), (\w+)\)", re.S)
    note = ""
    for m in token.finditer(text):
        if m.group(1) is not None:
            note = re.sub(r"\s*\n \*\s*", " ", m.group(1)).strip(" *\n")
            continue
        _, name, code, sender = m.group(2, 3, 4, 5)
        yield (f"| {code} | {name} | {sender.lower()} | "
               f"{', '.join(known[name]) or '-'} | {note} |\n")
        note = ""


def main():
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    head, rest = page.split(BEGIN)
    _, tail = rest.split(END)
    table = "| code | message | sent by | fields | meaning |\n"
    table += "|---|---|---|---|---|\n" + "".join(rows())
    new = head + BEGIN + table + END + tail
    if "--check" in sys.argv:
        if new != page:
            sys.exit(f"{PAGE} is out of date: run tests/lint/protocol.py")
        return
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(new)


if __name__ == "__main__":
    main()
