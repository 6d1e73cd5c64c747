"""The words in which isolation is asked for: by the operator's settings, by a project, by a launch request."""

from __future__ import annotations

from enum import StrEnum


class Isolation(StrEnum):
    """Level of isolation of a preview."""

    AUTO = "auto"
    """The best that this machine offers; but a service that is root starts nothing without a sandbox."""

    REQUIRE = "require"
    """A sandbox whose memory and processes the kernel limits; on a machine without, nothing is launched."""

    TRUSTED = "trusted"
    """As ``auto``, for code that is trusted: where there is no sandbox, a service that is root gives previews root."""

    PLAIN = "plain"
    """An ordinary process: for code that is trusted."""


class Network(StrEnum):
    """Network policy of a preview. Its listening socket comes from outside and serves under each policy."""

    NONE = "none"
    """Nothing but itself: a network of its own that holds a loopback interface only."""

    LOOPBACK_ONLY = "loopback-only"
    """Besides, the ports of this machine's loopback interface that the operator names."""

    HOST = "host"
    """All that this machine reaches, the service itself included."""

    @property
    def width(self) -> int:
        """Rank of what it allows, for comparisons."""
        return list(Network).index(self)
