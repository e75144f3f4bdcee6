"""The machine that figures are of."""
import os
import platform
import subprocess


def first(path, start):
    """The value of the first line that starts so, as in /proc/cpuinfo."""
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            if line.startswith(start):
                return line.split(":", 1)[1].strip()
    return "unknown"


def doctor(provium):
    """{subject: words} of `provium doctor`."""
    out = subprocess.run([provium, "doctor"], check=False,
                         capture_output=True, text=True).stdout
    found = {}
    for line in out.splitlines():
        mark, _, rest = line.strip().partition("  ")
        if mark == "ok":
            name, _, words = rest.strip().partition("  ")
            found[name] = words.strip()
    return found


def describe(provium):
    """{what: words}, in the order to be told."""
    said = doctor(provium)
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], check=True,
                          capture_output=True, text=True).stdout
    mib = int(first("/proc/meminfo", "MemTotal:").split()[0]) / 1024
    return {
        "CPU": first("/proc/cpuinfo", "model name"),
        "cores": str(os.cpu_count()),
        "memory": f"{mib / 1024:.0f} GiB",
        "kernel": platform.release(),
        "QEMU": qemu.splitlines()[0].replace("QEMU emulator version ", ""),
        "accelerator": said.get("accelerator", "unknown").split(":")[0],
        "transport": said.get("transport", "unknown").split(":")[0],
        "load": f"{os.getloadavg()[0]:.1f} before the first benchmark",
    }
