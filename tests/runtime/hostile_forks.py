"""Attacks on the protocol of forks: texts that run in a template or a snapshot, and lie to the service."""

from __future__ import annotations

__all__ = ["IMPORTS", "LINGER"]

# Says a word on every socket of packets that is open, with a pidfd of the process at its other end, which is the
# service: SO_PEERPIDFD is 77 (asm-generic/socket.h, Linux 6.5).
_SAY = """
import array, os, socket, stat, struct, time
def say(word):
    for number in range(3, 256):
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            one = socket.socket(fileno=os.dup(number))
        except OSError:
            continue
        with one:
            if one.type != socket.SOCK_SEQPACKET:
                continue
            try:
                service = one.getsockopt(socket.SOL_SOCKET, 77)
            except OSError:
                service = os.pidfd_open(os.getpid())
            for descriptors in ([service], []):
                try:
                    socket.send_fds(one, [word], descriptors)
                    break
                except OSError:
                    pass
"""
# An application's import: each fork of the snapshot names the service as itself.
_NAME_THE_SERVICE_IN_SNAPSHOT = f"""{_SAY}
fork = os.fork
def attack():
    pid = fork()
    if pid == 0:
        say(b"app")
        time.sleep(600)
    return pid
os.fork = attack
"""
# A package's import: the first process of each fork names the service as itself.
_NAME_THE_SERVICE_IN_TEMPLATE = f"""{_SAY}
def attack():
    say(b"here")
    os._exit(0)
os.setsid = attack
"""
# Fills a connection whose other end does not read, and has its close wait for an hour (SO_LINGER, socket(7)).
_LINGERS = """
import os, socket, struct, time
def lingering():
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
"""
# ``channel`` is a socket to the service: it gets the only descriptor of a connection that lingers.
LINGER = f"""{_LINGERS}
def give(channel, word):
    near, far = lingering()
    try:
        socket.send_fds(channel, [word], [near.fileno()])
    except OSError:
        channel.send(word)
    near.close()
    return far
"""
# The snapshot, or the template, says the word before its fork does, so that the kernel names it as the sender.
_NAME_ITSELF = """
receive, fork, asked = socket.recv_fds, os.fork, []
def wait(*arguments):
    asked.append(receive(*arguments))
    return asked[-1]
def attack():
    if asked:
        say(WORD)
    return fork()
socket.recv_fds, os.fork = wait, attack
"""
IMPORTS = {
    "snapshot": _NAME_THE_SERVICE_IN_SNAPSHOT,
    "template": _NAME_THE_SERVICE_IN_TEMPLATE,
    "snapshot-itself": _SAY + _NAME_ITSELF.replace("WORD", 'b"app"'),
    "template-itself": _SAY + _NAME_ITSELF.replace("WORD", 'b"here"'),
}
