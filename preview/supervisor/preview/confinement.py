"""A preview's isolation, its resource limits, and the limits that it has reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from preview.core.isolation import Network
from preview.runtime import Held, Limits, Runtime, limits_of
from preview.settings import Settings

_MIB = 1024 * 1024

Limit = Literal["memory", "cpu", "processes", "disk", "database", "output"]


@dataclass(frozen=True, slots=True)
class Reached:
    """A limit that was reached.

    Attributes:
        limit: The limit.
        message: One sentence, as in the log.
    """

    limit: Limit
    message: str


@dataclass(slots=True)
class Confinement:
    """Isolation and limits, decided when a preview starts; ``reached`` grows while it runs.

    Attributes:
        runtime: Name of the runtime: ``plain``, ``sandbox``.
        network: Network that the preview can reach.
        described: Active isolation measures, a few words each.
        held: Limits that the kernel enforces on the whole process tree.
        limits: Limits of its processes.
        disk_bytes: Maximum size of its folders.
        output_bytes_per_s: Maximum output rate, averaged over some seconds.
        loopback_ports: Ports of this machine that it can reach, with ``loopback-only``.
        reached: Limits reached, each once, oldest first.
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
        """Memory limit in MiB."""
        return self.limits.memory_bytes // _MIB

    @property
    def disk_mb(self) -> int:
        """Disk limit in MiB."""
        return self.disk_bytes // _MIB

    @property
    def cpu_cores(self) -> float | None:
        """Number of CPU cores; None if this limit is not enforced."""
        return self.limits.cpu_cores if "cpu" in self.held else None

    @property
    def processes(self) -> int | None:
        """Number of processes and threads; None if this limit is not enforced."""
        return self.limits.processes if "processes" in self.held else None

    @property
    def open_files(self) -> int:
        """Open files of each process."""
        return self.limits.open_files

    @property
    def file_bytes(self) -> int:
        """Maximum size of one file in bytes."""
        return self.limits.file_bytes

    @property
    def temp_bytes(self) -> int | None:
        """Size of ``/tmp`` in bytes; None if the preview has no separate ``/tmp``."""
        return None if self.runtime == "plain" else self.limits.temp_bytes

    def has_reached(self, limit: Limit) -> bool:
        """Return True if this limit was already reached."""
        return any(one.limit == limit for one in self.reached)

    def sentence(self) -> str:
        """Describe the confinement for the start of the log."""
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
    """Format a number of cores: ``1 core``, ``0.5 cores``."""
    return f"{number:g} core{'' if number == 1 else 's'}"


# The network has its own field, and the way of starting is not an isolation measure.
_NOT_HELD = ("network", "starts")


def confinement_for(settings: Settings, runtime: Runtime, network: Network) -> Confinement:
    """Return the confinement of a preview that starts now.

    Args:
        settings: Configured limits.
        runtime: Starts the preview's processes.
        network: Network that they should reach.
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
