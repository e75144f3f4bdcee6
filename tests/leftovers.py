"""What a run of provium may have left behind on this machine."""
import os


def marked(runtime):
    """The processes that were started with that XDG_RUNTIME_DIR."""
    mark = f"XDG_RUNTIME_DIR={runtime}".encode()
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if mark in f.read().split(b"\0"):
                    found.append(int(pid))
        except OSError:
            pass
    return found


def shm():
    return {n for n in os.listdir("/dev/shm") if "provium" in n or "qemu" in n}
