"""Lies to its starter, over every socket that it has inherited: in words, with descriptors, by a fork, by its name.

``attack`` with ``{"families": […]}``. Packages may be this too: then it is a template that lies.
"""

import ctypes
import os
import socket
import stat
import struct
import threading
import time

# asm-generic/socket.h, Linux 6.5: a pidfd of who is at the other end.
SO_PEERPIDFD = 77
WORDS = (
    b"here", b"app", b"in", b"go", b"f", b"a", b"ready\n", b"closed\n", b"drained\n", b"ready\nclosed\ndrained\n",
    b'{"status": 0}', b'{"status": 65536}', b'{"parked": true}', b'{"error": "\x1b[2J"}', b"\0", b"x" * 5000,
)  # fmt: skip
# linux/prctl.h; what stands between brackets in /proc/PID/stat, which readers may take for its end.
PR_SET_NAME, NAME = 15, b"x) Z 1 1 1 (y"
MIB = 2**20


def channels():
    for number in range(3, 256):
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            one = socket.socket(fileno=os.dup(number))
        except OSError:
            continue
        if one.family == socket.AF_UNIX and not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            yield one
        else:
            one.close()


def say(channel, word, descriptors=()):
    try:
        # What is registered with an event loop does not block, and what is not must not hold this up.
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))]
        channel.sendmsg([word], rights if descriptors else [], socket.MSG_DONTWAIT)
    except OSError:
        return False
    return True


def pidfds(channel):
    """The service's, where the kernel names it, and all that can be seen from here."""
    found = []
    try:
        found.append(channel.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD))
    except OSError:
        pass
    for pid in (1, os.getpid(), os.getppid()):
        try:
            found.append(os.pidfd_open(pid))
        except OSError:
            pass
    return found


def lingering():
    """The ends of a connection whose close waits for an hour (SO_LINGER, socket(7))."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    near.setblocking(False)
    try:
        while True:
            near.send(b"x" * 65536)
    except BlockingIOError:
        pass
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    return near, far


def with_words():
    return sum(say(channel, word) for channel in channels() for word in WORDS)


def with_descriptors():
    said = 0
    for channel in channels():
        for descriptor in pidfds(channel):
            said += sum(say(channel, word, [descriptor]) for word in WORDS[:6])
    return said


def with_lingering():
    said = 0
    for channel in channels():
        near, far = lingering()
        KEPT.append(far)
        given = say(channel, b"app", [near.fileno()]) + say(channel, b"ready\n", [near.fileno()])
        if given:
            # Whoever has it now is the last one to close it.
            near.close()
        else:
            KEPT.append(near)
        said += given
    return said


def by_a_fork():
    """Whatever is forked, starts a session or is sent from here on lies first."""
    fork, setsid, send_fds = os.fork, os.setsid, socket.send_fds

    def forks():
        pid = fork()
        if pid == 0:
            with_descriptors()
            with_words()
        return pid

    def starts():
        with_descriptors()
        with_words()
        return setsid()

    def sends(channel, words, descriptors, *more):
        return send_fds(channel, words, [*pidfds(channel), *descriptors], *more)

    os.fork, os.setsid, socket.send_fds = forks, starts, sends
    return "armed"


def by_its_name():
    """Takes memory under a name that breaks whoever splits the line at the first bracket."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, NAME, 0, 0, 0)
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(PR_SET_NAME, NAME, 0, 0, 0)
        KEPT.append(bytearray(os.urandom(1)) * (60 * MIB))
        time.sleep(600)
    return "named"


KEPT = []
FAMILIES = {
    "words": with_words, "descriptors": with_descriptors, "linger": with_lingering, "fork": by_a_fork,
    "name": by_its_name,
}  # fmt: skip


def attack(world):
    told = [f"{name}: {FAMILIES[name]()}" for name in world["families"]]
    if world.get("again"):
        # And at any moment from here on.
        threading.Thread(target=keep_saying, daemon=True).start()
    return told


def keep_saying():
    for _ in range(200):
        with_words()
        time.sleep(0.01)
