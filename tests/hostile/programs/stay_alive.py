"""Starts a daemon without any trace of its origin, and ignores every signal that it can."""

import os
import sys


def attack(world):
    code = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; time.sleep(600)"
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.chdir("/")
            for descriptor in range(3, 256):
                try:
                    os.close(descriptor)
                except OSError:
                    continue
            null = os.open("/dev/null", os.O_RDWR)
            os.dup2(null, 1)
            os.dup2(null, 2)
            os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", code], {"HOSTILE": world["name"]})
        os._exit(0)
    os.wait()
    return "started"
