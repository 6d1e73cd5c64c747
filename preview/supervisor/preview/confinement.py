"""A preview's isolation, its resource limits, and the limits it has reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from preview.core.isolation import Network
from preview.runtime import Held, Limits, Runtime
from preview.settings import Settings

_MIB = 1024 * 1024

Limit = Literal["memory", "cpu", "processes", "disk", "output"]


@dataclass(frozen=True, slots=True)
class Reached:
    """A limit that was reached.

    Attributes:
        limit: Which.
        message: One sentence, as the log has it.
    """

    limit: Limit
    message: str


@dataclass(slots=True)
class Confinement:
    """Decided when a preview starts; what it reaches is added as it comes.

    Attributes:
        runtime: Its name: ``plain``, ``sandbox``.
        network: What the preview reaches.
        described: What holds, a few words each.
        held: What the kernel holds the whole tree to by itself.
        limits: What its processes may use.
        disk_bytes: What its folders may hold.
        output_bytes_per_s: What it may print, averaged over some seconds.
        loopback_ports: The machine's ports that it reaches, under ``loopback-only``.
        reached: Each limit once, the first first.
    """

    runtime: str
    network: Network
    described: tuple[str, ...]
    held: frozenset[Held]
    limits: Limits
    disk_bytes: int
    output_bytes_per_s: int
    loopback_ports: tuple[int, ...] = ()
    reached: list[Reached] = field(default_factory=list)

    @property
    def memory_mb(self) -> int:
        """MiB of memory."""
        return self.limits.memory_bytes // _MIB

    @property
    def disk_mb(self) -> int:
        """MiB of disk."""
        return self.disk_bytes // _MIB

    @property
    def cpu_cores(self) -> float | None:
        """Processor time per time; None where nothing holds it to that."""
        return self.limits.cpu_cores if "cpu" in self.held else None

    @property
    def processes(self) -> int | None:
        """Processes and threads; None where nothing holds it to that."""
        return self.limits.processes if "processes" in self.held else None

    @property
    def open_files(self) -> int:
        """Of each process."""
        return self.limits.open_files

    @property
    def file_bytes(self) -> int:
        """Size of one file."""
        return self.limits.file_bytes

    @property
    def temp_bytes(self) -> int | None:
        """Size of ``/tmp``; None where the preview has none of its own."""
        return None if self.runtime == "plain" else self.limits.temp_bytes

    def has_reached(self, limit: Limit) -> bool:
        """Return whether this limit was reached already."""
        return any(one.limit == limit for one in self.reached)

    def sentence(self) -> str:
        """For the log's first lines."""
        parts = [f"{self.memory_mb} MB of memory"]
        if self.cpu_cores is not None:
            parts.append(cores(self.cpu_cores))
        if self.processes is not None:
            parts.append(f"{self.processes} processes")
        parts.append(f"{self.disk_mb} MB of disk")
        runtime = f"{self.runtime} (not sandboxed)" if self.runtime == "plain" else self.runtime
        named = f" (ports {', '.join(map(str, self.loopback_ports))})" if self.loopback_ports else ""
        return f"isolation: {runtime}, network {self.network}{named}; up to {', '.join(parts)}"


def cores(number: float) -> str:
    """``1 core``, ``0.5 cores``."""
    return f"{number:g} core{'' if number == 1 else 's'}"


def limits_of(settings: Settings) -> Limits:
    """Return the operator's limits for each preview's processes."""
    return Limits(
        memory_bytes=settings.memory_limit_mb * _MIB,
        open_files=settings.max_open_files,
        processes=settings.max_processes,
        file_bytes=settings.max_file_bytes,
        cpu_cores=settings.cpu_limit,
        temp_bytes=settings.temp_limit_mb * _MIB,
    )


# Told elsewhere, and how it is started holds nothing in.
_NOT_HELD = ("network", "starts")


def confinement_for(settings: Settings, runtime: Runtime, network: Network) -> Confinement:
    """Return the isolation of a preview that starts now.

    Args:
        settings: The operator's bounds.
        runtime: What starts its processes.
        network: What they are to reach.
    """
    reached = runtime.network(network)
    described = runtime.describe()
    return Confinement(
        runtime=runtime.name,
        network=reached,
        described=tuple(f"{name}: {words}" for name, words in described.items() if name not in _NOT_HELD),
        held=runtime.holds(),
        limits=limits_of(settings),
        disk_bytes=settings.disk_limit_mb * _MIB,
        output_bytes_per_s=settings.output_bytes_per_s,
        loopback_ports=settings.loopback_ports if reached is Network.LOOPBACK_ONLY else (),
    )
