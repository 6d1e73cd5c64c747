"""Network namespaces for a cluster: one for each node, joined by a bridge; connections can be cut between two of them.

The machine's own network is not touched: the bridge is in a namespace too, which this process enters.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["DATABASE", "Net", "node_address", "open_net"]

DATABASE = "10.213.0.1"
_OURS = "10.213.0.254"
_CLONE_NEWNET = 0x40000000


def node_address(number: int) -> str:
    return f"10.213.0.{number + 2}"


class Net:
    """The namespaces of so many nodes."""

    def __init__(self, count: int) -> None:
        mark = f"pv{os.getpid()}"
        self.hub = f"{mark}h"
        self.nodes = [f"{mark}n{number}" for number in range(count)]

    def make(self) -> None:
        for name in (self.hub, *self.nodes):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", self.hub, "link", "add", "bridge", "type", "bridge")
        for address in (_OURS, DATABASE):
            _ip("-n", self.hub, "address", "add", f"{address}/24", "dev", "bridge")
        _ip("-n", self.hub, "link", "set", "bridge", "up")
        for number, name in enumerate(self.nodes):
            port = f"port{number}"
            _ip("-n", self.hub, "link", "add", port, "type", "veth", "peer", "name", "node", "netns", name)
            _ip("-n", self.hub, "link", "set", port, "master", "bridge", "up")
            _ip("-n", name, "address", "add", f"{node_address(number)}/24", "dev", "node")
            _ip("-n", name, "link", "set", "node", "up")

    def remove(self) -> None:
        for name in (*self.nodes, self.hub):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)

    def prefix(self, number: int) -> list[str]:
        """For a command that runs in the node's namespace."""
        return ["nsenter", f"--net=/run/netns/{self.nodes[number]}"]

    @contextmanager
    def cut_database(self, number: int) -> Iterator[None]:
        """Nothing that the database sends reaches the node; nobody is told."""
        with _silenced(self.hub, DATABASE, node_address(number)):
            yield

    @contextmanager
    def cut(self, one: int, other: int) -> Iterator[None]:
        """Neither node gets what the other one sends."""
        first, second = node_address(one), node_address(other)
        with _silenced(self.nodes[one], first, second), _silenced(self.nodes[other], second, first):
            yield


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@contextmanager
def _silenced(namespace: str, source: str, target: str) -> Iterator[None]:
    rule = ("from", source, "to", target, "blackhole")
    _ip("-n", namespace, "rule", "add", *rule)
    try:
        yield
    finally:
        _ip("-n", namespace, "rule", "delete", *rule)


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def open_net(count: int) -> Iterator[Net]:
    """Make the namespaces, and enter that of the bridge: this thread, and those that it starts. Needs root."""
    net = Net(count)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        net.make()
        inside = os.open(Path("/run/netns") / net.hub, os.O_RDONLY)
        _enter(inside)
        os.close(inside)
        yield net
    finally:
        _enter(before)
        os.close(before)
        net.remove()
