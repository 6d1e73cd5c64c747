"""Names of isolation levels and network policies, in settings, projects and launch requests."""

from __future__ import annotations

from enum import StrEnum


class Isolation(StrEnum):
    """Level of isolation of a preview."""

    AUTO = "auto"
    """The best that this machine offers. A service that runs as root starts nothing without a sandbox."""

    REQUIRE = "require"
    """A sandbox with kernel limits on memory and processes; a machine without these launches nothing."""

    TRUSTED = "trusted"
    """Like ``auto``, for trusted code. Without a sandbox, a service that runs as root starts previews as root."""

    CONTAINER = "container"
    """A container of the engine that ``PREVIEW_CONTAINER_ENGINE`` names; without it nothing is launched."""

    PLAIN = "plain"
    """An ordinary process, for trusted code."""


class Network(StrEnum):
    """Network policy of a preview. Under each policy the preview serves on a socket that the service passes in."""

    NONE = "none"
    """No network: a network namespace with only a loopback interface."""

    LOOPBACK_ONLY = "loopback-only"
    """Also the ports of this machine's loopback interface that the operator has listed."""

    HOST = "host"
    """Everything that this machine can reach, including the service itself."""

    @property
    def width(self) -> int:
        """Rank for comparisons: a wider policy allows more."""
        return list(Network).index(self)
