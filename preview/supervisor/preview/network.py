"""Network policy of a preview: the project's choice, within the operator's limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from preview.core.isolation import Network
from preview.core.servers import SERVICE_HOSTS
from preview.detection import ServiceNeed, StartPlan
from preview.errors import InvalidGeneration
from preview.settings import Settings
from preview.settings_fields import LEAST_LOOPBACK_PORT

_LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})


@dataclass(frozen=True, slots=True)
class Reach:
    """Network that a preview's processes can reach, and what the operator allows beyond that.

    Attributes:
        network: Active policy.
        allowed: Widest policy that a project may request.
        ports: Loopback ports of this machine that the operator has listed; reachable with ``loopback-only``.
        own_port: Port on which the preview itself serves.
        supplied: Ports of the preview's own loopback that lead to its own servers.
    """

    network: Network
    allowed: Network
    ports: frozenset[int]
    own_port: int | None = None
    supplied: frozenset[int] = frozenset()

    def reaches(self, host: str, port: int | None) -> bool:
        """Return True if the network allows this connection; an unknown port is not allowed."""
        if self.network is Network.HOST or (port is not None and port == self.own_port):
            return True
        if port in self.supplied and is_inside(host):
            return True
        return self.network is Network.LOOPBACK_ONLY and _is_loopback(host) and port in self.ports

    def may_be_asked(self, host: str, port: int) -> bool:
        """Return True if the service itself may connect to this address, to see whether a server responds.

        The program chooses the address. A DNS query or a connection by the service would leak data out of a preview
        whose network forbids that. A connection within this machine is not visible to others. Ports of a preview's own
        servers exist only in its own network: at this machine's, something else may listen.
        """
        if port in self.supplied and self.network is not Network.HOST:
            return False
        return _is_loopback(host) or self.reaches(host, port)

    def advise(self, host: str | None, port: int | None) -> str:
        """Return one sentence about who has to change which setting to allow the connection."""
        can_be_named = host is not None and _is_loopback(host) and (port is None or port >= LEAST_LOOPBACK_PORT)
        needed = Network.LOOPBACK_ONLY if can_be_named else Network.HOST
        if needed.width <= self.allowed.width and (needed is Network.HOST or port in self.ports):
            return f'Ask for it with network = "{needed}" under [start] in preview.toml or in the launch request.'
        if needed is Network.HOST:
            return "To allow it, the operator sets PREVIEW_NETWORK=host (or runs it with --network host)."
        number = "PORT" if port is None else str(port)
        ports = ",".join([*map(str, sorted(self.ports)), number])
        return (
            f"To allow it, the operator sets PREVIEW_NETWORK=loopback-only and PREVIEW_LOOPBACK_PORTS={ports} "
            f"(or runs it with --loopback-port {number})."
        )

    def describe(self) -> str:
        """Return a clause for messages: ``its network is "none", which reaches nothing but itself``."""
        reached = "nothing but itself"
        if self.network is Network.LOOPBACK_ONLY:
            named = ", ".join(map(str, sorted(self.ports))) or "none"
            reached = f"only itself and named ports of this machine ({named})"
        return f'its network is "{self.network}", which reaches {reached}'


def tell_unreachable(reach: Reach | None, needs: Sequence[ServiceNeed]) -> Iterator[str]:
    """Yield a warning for each backing service of the plan that the preview's network does not reach."""
    told: set[tuple[str, int]] = set()
    for need in needs:
        if reach is None or need.address is None or need.address in told or reach.reaches(*need.address):
            continue
        told.add(need.address)
        host, port = need.address
        source = ", ".join(part for part in (f"setting {need.setting}" if need.setting else "", need.where) if part)
        yield f"{need.kind} at {host}:{port} ({source}) is out of reach: {reach.describe()}. {reach.advise(host, port)}"


def is_inside(host: str) -> bool:
    """Return True if the name leads to a sandbox's own loopback."""
    return _is_loopback(host) or host.lower() in SERVICE_HOSTS


def _is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") in _LOOPBACK_NAMES:
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    # Connecting to 0.0.0.0 connects to this machine (ip(7)).
    return address.is_loopback or address.is_unspecified


def choose_network(settings: Settings, plan: StartPlan) -> Network:
    """Return the network policy that the plan or the settings choose.

    Raises:
        InvalidGeneration: The project requests more than is allowed.
    """
    wanted = settings.network if plan.network is None else plan.network
    allowed = _allowed(settings)
    if wanted.width > allowed.width:
        raise InvalidGeneration(
            f'Cannot launch: it asks for network = "{wanted}", and this service allows previews "{allowed}" at most. '
            "Take it out of preview.toml and the launch request, or let the operator set PREVIEW_NETWORK_ALLOWED.",
            reason="network_not_allowed",
            wanted=wanted,
            allowed=allowed,
        )
    return wanted


def reach_of(
    settings: Settings, network: Network, own_port: int | None, supplied: frozenset[int] = frozenset()
) -> Reach:
    """Return the reach of a preview with ``network`` and its own servers at the ports ``supplied``."""
    return Reach(network, _allowed(settings), frozenset(settings.loopback_ports), own_port, supplied)


def _allowed(settings: Settings) -> Network:
    return max(settings.network, settings.network_allowed, key=lambda one: one.width)
