#!/usr/bin/env python3
"""Stands for QEMU and becomes it: a child of its own passes QMP on, but for
what the file PROVIUM_TEST_QMP says, which is read for each command:

    ACTION TEXT

of a command that holds TEXT: refuse it, garble its answer, hang (say nothing,
ever), or kill QEMU before it is seen.
"""
import json
import os
import re
import select
import signal
import socket
import sys


def rule():
    try:
        with open(os.environ["PROVIUM_TEST_QMP"], encoding="utf-8") as f:
            action, text = f.read().split(" ", 1)
        return action, text.strip()
    except (OSError, ValueError):
        return "pass", ""


def answer(line, client, qemu):
    """One command of the client's."""
    action, text = rule()
    if action == "pass" or text.encode() not in line:
        qemu.sendall(line)
        return
    ident = json.loads(line)["id"]
    if action == "kill":
        os.kill(os.getppid(), signal.SIGKILL)
    elif action == "refuse":
        client.sendall(json.dumps(
            {"error": {"class": "GenericError", "desc": "not today"},
             "id": ident}).encode() + b"\r\n")
    elif action == "garble":
        client.sendall(json.dumps(
            {"return": "nonsense", "id": ident}).encode() + b"\r\n")


def relay(client, qemu):
    rest = b""
    while True:
        ready, _, _ = select.select([client, qemu], [], [])
        if qemu in ready:
            data = qemu.recv(65536)
            if not data:
                return
            client.sendall(data)
        if client in ready:
            data = client.recv(65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                answer(line + b"\n", client, qemu)


def only(*keep):
    """Closes all else: ends that nobody else holds must be seen to close."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd not in keep:
            try:
                os.close(fd)
            except OSError:
                pass


def main():
    args = [os.environ["PROVIUM_TEST_QEMU"]] + sys.argv[1:]
    at = next(i for i, a in enumerate(args) if a.startswith("socket,id=qmp,"))
    client = socket.socket(fileno=int(re.search(r"fd=(\d+)", args[at])[1]))
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        only(client.fileno(), ours.fileno())
        try:
            relay(client, ours)
        except OSError:
            pass
        os._exit(0)
    os.set_inheritable(theirs.fileno(), True)
    args[at] = f"socket,id=qmp,fd={theirs.detach()}"
    client.close()
    ours.close()
    os.execv(args[0], args)


main()
