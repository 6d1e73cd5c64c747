"""A hostile template or snapshot for the fuzzer: says what it is told to, itself, by a fork, or by a fork's process.

Usage: ``fuzz_template.py CONTROL_FD``. Each packet is a script in JSON, with the socket to speak over. Runs as root, or
as root of a user namespace, so that it may name any process that it sees as the sender, which no template may.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import Any

__all__ = ["main"]

_CLONE_NEWUSER, _CLONE_NEWPID = 0x10000000, 0x20000000
_SO_PEERPIDFD, _SCM_CREDENTIALS = 77, 2


def descriptors(kind: str, channel: socket.socket) -> list[int]:
    """Descriptors of this kind to send along; they are closed with this process."""
    match kind:
        case "service":
            return [channel.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)]
        case "init":
            return [os.pidfd_open(1)]
        case "parent":
            return [os.pidfd_open(os.getppid())]
        case "itself":
            return [os.pidfd_open(os.getpid())]
        case "memory":
            return [os.memfd_create("fuzz")]
        case "pipe":
            return list(os.pipe())
        case "epoll":
            return [os.dup(select.epoll().fileno())]
        case "sockets":
            return [one.detach() for one in socket.socketpair()]
        case "channel":
            return [channel.fileno()]
        case "many":
            return [0] * 250
        case _:
            return []


def say(channel: socket.socket, step: dict[str, Any]) -> None:
    """One step of a script."""
    time.sleep(step["pause_s"])
    ancillary: list[tuple[int, int, bytes]] = []
    with suppress(OSError):
        found = descriptors(step["descriptors"], channel)
        if found:
            ancillary.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(found)}i", *found)))
    if step["sender"]:
        credentials = struct.pack("iII", step["sender"], 0, 0)
        ancillary.append((socket.SOL_SOCKET, _SCM_CREDENTIALS, credentials))
    for one in (ancillary, ancillary[-1:] if step["sender"] else []):
        with suppress(OSError):
            channel.sendmsg([bytes.fromhex(step["word"])], one, socket.MSG_DONTWAIT)
            return


def speak(channel: socket.socket, steps: list[dict[str, Any]], *, waits: bool) -> None:
    """All steps; then wait for the service to close its end, or close this one."""
    for step in steps:
        say(channel, step)
    if waits:
        with suppress(OSError):
            while channel.recv(4096):
                pass


def enter_alone(*, is_apart: bool) -> bool:
    """The next fork is the first of a namespace of processes; of a user namespace too, as a real fork is."""
    if ctypes.CDLL(None).unshare(_CLONE_NEWPID | (_CLONE_NEWUSER if is_apart else 0)) != 0:
        return False
    with suppress(OSError):
        for name, text in (("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")) if is_apart else ():
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123
                file.write(text)
    return True


def fork(channel: socket.socket, script: dict[str, Any]) -> None:
    """The first process of a namespace below this one, and a second one, speak; a snapshot's are of its own."""
    signal.alarm(script["life_s"])
    if not script["is_snapshot"] and not enter_alone(is_apart=script["is_apart"]):
        os._exit(1)
    first = os.fork()
    if first != 0:
        channel.close()
        # Until then, unless it has ended: nobody waits for it but this process.
        signal.alarm(0)
        ended = os.pidfd_open(first)
        if not select.select([ended], [], [], script["life_s"])[0]:
            os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        os._exit(0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    speak(channel, script["first"], waits=False)
    if script["is_honest"]:
        with suppress(OSError):
            channel.recv(64)
    if script["second"] is not None and os.fork() == 0:
        speak(channel, script["second"], waits=False)
        for steps in script["suspended"]:
            speak(channel, steps, waits=False)
            with suppress(OSError):
                socket.recv_fds(channel, 64, 16)
        speak(channel, [], waits=script["waits"])
        os._exit(0)
    speak(channel, [], waits=script["waits"])
    channel.close()
    if script["stays"]:
        time.sleep(script["life_s"])
    os._exit(0)


def main(control_fd: int) -> None:
    """Run scripts until the other end is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control = socket.socket(fileno=control_fd)
    control.send(b"ready")
    while True:
        packet, found, _, _ = socket.recv_fds(control, 65536, 4)
        if not packet:
            return
        script = json.loads(packet)
        channel = socket.socket(fileno=found[0])
        if os.fork() == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            fork(channel, script)
        speak(channel, script["itself"], waits=False)
        channel.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
