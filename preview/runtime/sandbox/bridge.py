"""When a program needs connections carried into its network, or out of it, and by what."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from preview.core.isolation import Network
from preview.runtime.interface import ProcessSpec
from preview.runtime.launchers import BRIDGE
from preview.runtime.sandbox.view import interpreter_paths


def bridge_prefix(spec: ProcessSpec, *, listener: int | None, way_out: int | None, carried: bool = False) -> list[str]:
    """What stands before the program; nothing, where it takes the listening socket and asks for no port.

    Args:
        spec: What is started.
        listener: The listening socket's number in the child.
        way_out: The number of the socket that hands listening ones out.
        carried: Whether the socket under that number is a local one, which the program cannot serve on.
    """
    options: list[str] = []
    if listener is not None and spec.network is not Network.HOST:
        if spec.port is not None:
            options += ["--serve", str(listener), str(spec.port)]
        elif carried:
            options += ["--stand-in", str(listener), str(spec.slot)]
    if way_out is not None:
        options += _reach(way_out, (port for port in spec.loopback_ports if port not in (spec.port, spec.slot)))
    return _bridge(options) if options else []


def handout_prefix(way_out: int, ports: Iterable[int]) -> list[str]:
    """What stands before a program whose network hands out sockets that listen on these ports, and nothing else.

    Args:
        way_out: The number of the socket that hands them out.
        ports: Which.
    """
    return _bridge(_reach(way_out, ports))


def _reach(way_out: int, ports: Iterable[int]) -> list[str]:
    return ["--reach", str(way_out), ",".join(map(str, ports))]


def _bridge(options: Iterable[str]) -> list[str]:
    return [sys.executable, "-I", "-S", str(BRIDGE), *options, "--"]


def bridge_needs() -> tuple[Path, ...]:
    """What the sandbox has to show for it: the service's own interpreter, for a project may have none."""
    return (BRIDGE.parent, *interpreter_paths(Path(sys.executable)))
