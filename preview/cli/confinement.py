"""What ``--network``, ``--loopback-port`` and ``--isolation`` decide, where whoever types them is the operator."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from preview.cli.exits import CommandFailed, UsageMistake
from preview.core.isolation import Isolation, Network
from preview.errors import InvalidGeneration
from preview.settings_fields import LEAST_LOOPBACK_PORT

NetworkOption = Annotated[
    Network | None, typer.Option("--network", help="What the backend may reach; else PREVIEW_NETWORK, then none.")
]
LoopbackPortOption = Annotated[
    list[int] | None,
    typer.Option(
        "--loopback-port",
        metavar="PORT",
        min=LEAST_LOOPBACK_PORT,
        max=65535,
        help="A port of this machine that it may reach (a database); may be repeated. Means --network loopback-only.",
    ),
]
IsolationOption = Annotated[
    Isolation | None,
    typer.Option("--isolation", help="How the backend is isolated; else PREVIEW_ISOLATION, then auto."),
]


def wanted_network(network: Network | None, ports: Sequence[int] | None) -> Network | None:
    """The network that the options mean together; None where they say nothing of it.

    Raises:
        UsageMistake: They contradict each other, or name no port.
    """
    if ports and network not in (None, Network.LOOPBACK_ONLY):
        raise UsageMistake(f"--loopback-port belongs to --network loopback-only, not to --network {network}.")
    if network is Network.LOOPBACK_ONLY and not ports and not os.environ.get("PREVIEW_LOOPBACK_PORTS"):
        raise UsageMistake("--network loopback-only needs the ports that may be reached: add --loopback-port PORT.")
    return Network.LOOPBACK_ONLY if ports else network


def confinement(network: Network | None, ports: Sequence[int] | None, isolation: Isolation | None) -> dict[str, object]:
    """The options as settings, which win over the environment; nothing for those that were not given.

    Raises:
        UsageMistake: See ``wanted_network``.
    """
    wanted = wanted_network(network, ports)
    given = {
        "network": wanted,
        "loopback_ports": tuple(dict.fromkeys(ports)) if ports else None,
        "isolation": isolation,
    }
    return {name: value for name, value in given.items() if value is not None}


def name_option(error: InvalidGeneration) -> CommandFailed | None:
    """A project that asks for more network than it may have, told to whoever can allow it by an option; else None."""
    if error.details.get("reason") != "network_not_allowed":
        return None
    wanted = error.details["wanted"]
    how = "--loopback-port PORT" if wanted == Network.LOOPBACK_ONLY else f"--network {wanted}"
    return CommandFailed(
        f'Its preview.toml asks for network = "{wanted}", and it may have "{error.details["allowed"]}" at most. '
        f"Allow it with {how}, or run it as it is with --network none."
    )
