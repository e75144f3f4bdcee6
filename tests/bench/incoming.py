"""What QEMU does by itself: a whole migration to a file, and from one."""
import json
import os
import re
import socket
import subprocess
import time

from harness import Failure


class Qemu:
    """provium's own command by hand: its chardevs lead nowhere, QMP is a
    socket file."""

    def __init__(self, argv, initrd, tmp, *extra, stdin=None):
        self.path = os.path.join(tmp, "qmp.sock")
        out = []
        for i, word in enumerate(argv):
            last = argv[i - 1] if i else ""
            if word == "-sandbox" or last == "-sandbox":
                continue
            if word.startswith("socket,id=qmp,"):
                word = f"socket,id=qmp,path={self.path},server=on,wait=off"
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

    def end(self):
        self.process.kill()
        self.process.wait()
        self.file.close()
        self.socket.close()
        os.unlink(self.path)

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
    """Seconds from the start until the guest runs."""
    with open(path, "rb") as f:
        with Qemu(argv, initrd, tmp, "-incoming", "fd:0", stdin=f) as q:
            if q.ask("query-status")["status"] == "inmigrate":
                q.until(lambda m: m.get("event") == "RESUME")
            return time.monotonic() - q.start
