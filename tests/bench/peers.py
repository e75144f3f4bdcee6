"""What users would pick instead: ssh to a dropbear, and qemu-guest-agent.

Both run in the guest that peers.scripted.lua boots, beside the agent. The test
makes its own calls, times them, and between them asks this file, over two
FIFOs, to make one call of a peer: so all take turns in one guest, and noise
hits all of them. Nothing of the peers is installed: the packages are
unpacked below the benchmark's directory.
"""
import base64
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import threading
import time

from harness import Failure

# The peers and the libraries of theirs that a host may not have.
PACKAGES = ["dropbear-bin", "qemu-guest-agent", "libtomcrypt1", "libtommath1",
            "libgmp10", "libcrypt1", "liburing2", "libnuma1", "libudev1",
            "libglib2.0-0", "libpcre2-8-0", "zlib1g"]
LIBS = "/lib/x86_64-linux-gnu"
# What qemu-guest-agent takes at a time: larger pieces are no faster.
QGA_PIECE = 1 << 20


def unpack_peers(top):
    """Returns {guest path: host path} of dropbear and qemu-ga with libs."""
    os.makedirs(top)
    subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root",
                    "download", *PACKAGES], check=True, cwd=top,
                   env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    for deb in sorted(os.listdir(top)):
        subprocess.run(["dpkg-deb", "-x", deb, "root"], check=True, cwd=top)
    root = os.path.join(top, "root")
    path = f"{root}{LIBS}:{root}/usr{LIBS}"
    files = {}
    for name in ("dropbear", "qemu-ga"):
        files["/usr/sbin/" + name] = f"{root}/usr/sbin/{name}"
        ldd = subprocess.run(["ldd", f"{root}/usr/sbin/{name}"], check=True,
                             env={**os.environ, "LD_LIBRARY_PATH": path},
                             capture_output=True, text=True).stdout
        if "not found" in ldd:
            raise Failure(f"{name} lacks libraries:\n{ldd}")
        for lib in re.findall(r"=> (/\S+)", ldd):
            files[f"{LIBS}/{os.path.basename(lib)}"] = lib
        loader = re.search(r"^\s*(/\S*ld-linux\S*)", ldd, re.M).group(1)
        files[loader] = loader
    files["/usr/sbin/dropbearkey"] = f"{root}/usr/bin/dropbearkey"
    return files


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Qga:
    """A client of qemu-guest-agent over its chardev's socket."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(path)
        # The agent may still be opening its port: sync until it answers.
        self.call("guest-sync", id=1)

    def send(self, line):
        self.sock.sendall(line)
        parts = []
        while not parts or parts[-1][-1:] != b"\n":
            part = self.sock.recv(1 << 20)
            if not part:
                raise Failure("qemu-guest-agent hung up")
            parts.append(part)
        return b"".join(parts)

    def call(self, name, **args):
        line = {"execute": name, "arguments": args} if args \
            else {"execute": name}
        answer = json.loads(self.send(json.dumps(line).encode() + b"\n"))
        if "return" not in answer:
            raise Failure(f"{name}: {answer}")
        return answer["return"]

    def ping(self):
        self.send(b'{"execute":"guest-ping"}\n')

    def run(self, path, *arg):
        pid = self.call("guest-exec", path=path, arg=arg,
                        **{"capture-output": True})["pid"]
        while True:  # a pause between polls made it slower
            done = self.call("guest-exec-status", pid=pid)
            if done["exited"]:
                break
        if done["exitcode"]:
            raise Failure(f"guest-exec {path}: {done}")
        return base64.b64decode(done.get("out-data", ""))

    def open_close(self):
        handle = self.call("guest-file-open", path="/etc/passwd")
        self.call("guest-file-close", handle=handle)

    def read_file(self, path, size):
        handle = self.call("guest-file-open", path=path, mode="r")
        got = 0
        while True:
            r = self.call("guest-file-read", handle=handle, count=QGA_PIECE)
            got += len(base64.b64decode(r["buf-b64"]))
            if r["eof"]:
                break
        self.call("guest-file-close", handle=handle)
        if got != size:
            raise Failure(f"qemu-guest-agent read {got} bytes")

    def write_file(self, path, data):
        handle = self.call("guest-file-open", path=path, mode="w")
        for at in range(0, len(data), QGA_PIECE):
            piece = base64.b64encode(data[at:at + QGA_PIECE]).decode()
            self.call("guest-file-write", handle=handle, **{"buf-b64": piece})
        self.call("guest-file-close", handle=handle)


class Ssh:
    """A client of the guest's dropbear, fresh or over a master."""

    def __init__(self, tmp, port):
        self.prog = shutil.which("ssh")
        self.fresh = [
            self.prog, "-F", "none", "-p", str(port), "-i", tmp + "/key",
            "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
            "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]
        self.master = self.fresh + ["-S", tmp + "/ctl"]
        self.host = "root@127.0.0.1"
        subprocess.run(self.master + ["-M", "-f", "-N", self.host],
                       check=True, stdin=subprocess.DEVNULL, timeout=60)

    def close(self):
        subprocess.run(self.master + ["-O", "exit", self.host], check=False,
                       stderr=subprocess.DEVNULL)

    def run(self, argv, command, **files):
        """One ssh; files: what its descriptors 0 and 1 are opened as."""
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, files.get("stdin", "/dev/null"),
             os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, files.get("stdout", "/dev/null"),
             os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)]
        pid = os.posix_spawn(self.prog, argv + [self.host, command],
                             os.environ, file_actions=actions)
        if os.waitpid(pid, 0)[1] != 0:
            raise Failure(f"ssh {command}: failed")


# 500 stats and 500 of the cheapest thing that a shell has, in one command:
# neither peer has batches, this is what their users would write.
BATCH = "for i in $(seq 500); do stat -c '%s %Y' /etc/passwd; echo $$; done"


class Peers:
    """The measurements of both peers, by the name that the test asks for."""

    def __init__(self, tmp, port, mib):
        self.out = tmp + "/got"
        self.blob = tmp + "/blob"
        self.data = os.urandom(1 << 20) * mib
        with open(self.blob, "wb") as f:
            f.write(self.data)
        self.ssh = ssh = Ssh(tmp, port)
        self.qga = qga = Qga(tmp + "/qga")
        m = ssh.master
        self.calls = {
            "ssh fresh true": lambda: ssh.run(ssh.fresh, "true"),
            "ssh true": lambda: ssh.run(m, "true"),
            "ssh stat": lambda: ssh.run(m, "stat /etc/passwd"),
            "ssh batch": lambda: ssh.run(m, BATCH),
            "ssh read": lambda: ssh.run(m, "cat /tmp/read", stdout=self.out),
            "ssh write": lambda: ssh.run(m, "cat >/tmp/peer",
                                         stdin=self.blob),
            "qga ping": qga.ping,
            "qga true": lambda: qga.run("/bin/true"),
            "qga open": qga.open_close,
            "qga stat": lambda: qga.run("/bin/stat", "/etc/passwd"),
            "qga batch": lambda: qga.run("/bin/sh", "-c", BATCH),
            "qga read": lambda: qga.read_file("/tmp/read", len(self.data)),
            "qga write": lambda: qga.write_file("/tmp/peer", self.data),
        }

    def time_call(self, name):
        start = time.perf_counter()
        self.calls[name]()
        took = time.perf_counter() - start
        if name == "ssh read" and os.path.getsize(self.out) != len(self.data):
            raise Failure("ssh read a file short")
        return took * 1e6


def release(ask, tell, test):
    """Ends the wait for a test that never opened its FIFOs."""
    test.wait()
    for path, mode in ((ask, os.O_WRONLY), (tell, os.O_RDONLY)):
        try:
            os.close(os.open(path, mode | os.O_NONBLOCK))
        except OSError:
            pass  # nobody waits any more


def serve(peers_of, ask, tell, test):
    """Makes the calls that the test asks for; {name: [us, ...]}."""
    got = {}
    peers = None
    threading.Thread(target=release, args=(ask, tell, test),
                     daemon=True).start()
    try:
        with open(ask, encoding="utf-8") as asked, \
                open(tell, "w", encoding="utf-8") as told:
            for line in asked:
                name = line.rstrip("\n")
                if name == "start":
                    peers = peers_of()
                elif name.startswith("ours "):
                    _, what, took = name.split(" ")
                    got.setdefault("ours " + what, []).append(float(took))
                    continue
                else:
                    got.setdefault(name, []).append(peers.time_call(name))
                told.write("done\n")
                told.flush()
    finally:
        if peers:
            peers.ssh.close()
    if test.wait():
        test.log.seek(0)
        raise Failure(f"peers.scripted.lua failed:\n{test.log.read()}")
    return {name: statistics.median(took) for name, took in got.items()}


def measure(b, rounds, mib):
    tmp = os.path.join(b.tmp.name, "peers")
    files = unpack_peers(tmp)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                    tmp + "/key"], check=True)
    with open(tmp + "/files", "w", encoding="utf-8") as f:
        f.writelines(f"{g}\n{h}\n" for g, h in sorted(files.items()))
    for name in ("ask", "tell"):
        os.mkfifo(f"{tmp}/{name}")
    port = free_port()
    log = open(tmp + "/log", "w+", encoding="utf-8")
    test = subprocess.Popen(
        [b.provium, "run", b.test_file("peers")],
        env={**os.environ, "BENCH_DIR": tmp, "BENCH_ROUNDS": str(rounds),
             "BENCH_PORT": str(port)},
        stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    test.log = log
    return serve(lambda: Peers(tmp, port, mib), tmp + "/ask", tmp + "/tell",
                 test)


def bench_surface(b, rounds=30, mib=32):
    """What tests call most, against ssh and qemu-guest-agent."""
    us = measure(b, rounds, mib)
    print("  ssh: fresh %.1f ms, over a master %.1f ms" %
          (us["ssh fresh true"] / 1e3, us["ssh true"] / 1e3))
    us["ssh true"] = min(us["ssh true"], us["ssh fresh true"])

    def beside(ours, peer, what=None):
        unit, scale = ("us", 1) if us["ours " + ours] < 1e4 else ("ms", 1e3)
        return (f"{what or ours} / {peer}", us["ours " + ours] / scale,
                us[peer] / scale, unit)

    for ours, *theirs in (("syscall", "ssh true", "qga true"),
                          ("stat", "ssh stat", "qga stat", "qga open"),
                          ("run", "ssh true", "qga true")):
        for peer in theirs:
            b.row(*beside(ours, peer))
    b.extra(*beside("syscall", "qga ping"), "<= 1")
    for ours, what in (("batch", "batch of 1000 calls"),
                       ("read", f"read_file of {mib} MiB"),
                       ("write", f"write_file of {mib} MiB")):
        for peer in ("ssh", "qga"):
            b.extra(*beside(ours, f"{peer} {ours}", what), "<= 1")
