"""What QEMU does by itself: a whole migration to a file, and from one."""
import json
import os
import re
import socket
import struct
import subprocess
import time

from harness import Failure

ANSWER_WITHIN = 60  # seconds


def hello():
    """What a host begins a session with (agent-proto/frame.h), and what its
    answer begins with: up to the nonce both are the same."""
    with open("agent-proto/frame.c", encoding="ascii") as f:
        marker = re.findall(r"X\(\d+, (0x[0-9a-f]{2})\)", f.read())
    with open("agent-proto/session.h", encoding="ascii") as f:
        version = re.search(r"define PROTO_VERSION (\d+)", f.read())[1]
    begin = bytes(int(b, 16) for b in marker) + struct.pack(
        "<IQ", int(version), time.monotonic_ns())
    return begin, begin + struct.pack("<QI", 0, 1 << 16)


class Qemu:
    """provium's own command by hand: QMP and the agent's port are socket
    files, other chardevs lead nowhere."""

    def __init__(self, argv, initrd, tmp, *extra, stdin=None):
        self.path = os.path.join(tmp, "qmp.sock")
        self.agent_path = os.path.join(tmp, "agent.sock")
        out = []
        for i, word in enumerate(argv):
            last = argv[i - 1] if i else ""
            if word == "-sandbox" or last == "-sandbox":
                continue
            if word.startswith("socket,id=qmp,"):
                word = f"socket,id=qmp,path={self.path},server=on,wait=off"
            elif word.startswith("socket,id=agent,"):
                word = (f"socket,id=agent,path={self.agent_path},server=on,"
                        "wait=off")
            elif word.startswith("socket,id="):
                word = "null," + re.search("id=[^,]*", word)[0]
            elif last == "-initrd":
                word = initrd
            out.append(word)
        self.start = time.monotonic()
        self.process = subprocess.Popen([*out, *extra], stdin=stdin)
        self.socket = socket.socket(socket.AF_UNIX)
        while self.socket.connect_ex(self.path):
            if self.process.poll() is not None:
                raise Failure(f"QEMU ended with {self.process.returncode}: "
                              f"{' '.join([*out, *extra])}")
            time.sleep(0.001)
        self.file = self.socket.makefile("rw", encoding="utf-8")
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.file.write(json.dumps({"execute": command,
                                    "arguments": arguments}) + "\n")
        self.file.flush()
        return self.until(lambda m: "return" in m or "error" in m)["return"]

    def until(self, fits):
        for line in self.file:
            message = json.loads(line)
            if fits(message):
                return message
        raise Failure("QEMU ended before it had migrated")

    def answer(self):
        """Waits until the agent has answered."""
        begin, whole = hello()
        got = b""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(ANSWER_WITHIN)
            s.connect(self.agent_path)
            s.sendall(whole)
            while begin not in got:
                more = s.recv(1 << 16)
                if not more:
                    raise Failure("the agent's port ended")
                got += more

    def end(self):
        self.process.kill()
        self.process.wait()
        self.file.close()
        self.socket.close()
        os.unlink(self.path)
        os.unlink(self.agent_path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def save(argv, initrd, tmp, path):
    """Boots until the agent has opened its port; migrates to path, running."""
    with Qemu(argv, initrd, tmp) as q:
        q.until(lambda m: m.get("event") == "VSERPORT_CHANGE"
                and m["data"]["open"])
        q.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        q.ask("migrate", uri=f"exec:cat >{path}")
        status = None
        while status not in ("completed", "failed"):
            status = q.ask("query-migrate").get("status")
            time.sleep(0.05)
        if status == "failed":
            raise Failure(f"QEMU could not migrate to {path}")


def load(argv, initrd, tmp, path):
    """Seconds from the start to the agent's first answer."""
    with open(path, "rb") as f:
        with Qemu(argv, initrd, tmp, "-incoming", "fd:0", stdin=f) as q:
            q.answer()
            return time.monotonic() - q.start
