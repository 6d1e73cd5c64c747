"""Store of preview tokens for ``preview request``, and the options that set a preview's network and isolation.

The service shows a preview's token once, at its launch, and stores only a hash.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from preview.cli.data_folder import write_private
from preview.cli.exits import CommandFailed, UsageMistake
from preview.core.isolation import Isolation, Network
from preview.core.key_file import make_private_folder
from preview.core.portable import lock_file
from preview.errors import InvalidGeneration
from preview.settings_fields import LEAST_LOOPBACK_PORT

# Previews live for hours; far fewer than this many recent launches can still be active.
_MAX_TOKENS = 200


class TokenFile:
    """Preview tokens by service address and generation, in ``data_dir/client/tokens.json`` (mode 0600)."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "client"
        self._path = self._folder / "tokens.json"

    def keep(self, url: str, generation_id: str, token: str) -> None:
        """Store the newest token of this generation. Only the 200 newest tokens are kept."""
        with self._locked():
            tokens = self._read()
            key = _key(url, generation_id)
            tokens.pop(key, None)
            tokens[key] = token
            newest = dict(list(tokens.items())[-_MAX_TOKENS:])
            write_private(self._path, json.dumps(newest, indent=1))

    def find(self, url: str, generation_id: str) -> str | None:
        """Return the token of this generation's last launch from here, or None."""
        return self._read().get(_key(url, generation_id))

    def _read(self) -> dict[str, str]:
        try:
            tokens = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return {str(key): str(value) for key, value in tokens.items()} if isinstance(tokens, dict) else {}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the file, so that two concurrent launches do not lose each other's token."""
        make_private_folder(self._folder)
        descriptor = os.open(self._folder / "tokens.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            lock_file(descriptor, waits=True)
            yield
        finally:
            os.close(descriptor)


def _key(url: str, generation_id: str) -> str:
    return f"{url} {generation_id}"


NetworkOption = Annotated[
    Network | None, typer.Option("--network", help="What the backend may reach. Default: PREVIEW_NETWORK, then none.")
]
LoopbackPortOption = Annotated[
    list[int] | None,
    typer.Option(
        "--loopback-port",
        metavar="PORT",
        min=LEAST_LOOPBACK_PORT,
        max=65535,
        help="A port of this machine that it may reach (a database); may be repeated. Implies --network loopback-only.",
    ),
]
IsolationOption = Annotated[
    Isolation | None,
    typer.Option("--isolation", help="Isolation mode. Default: PREVIEW_ISOLATION, then auto."),
]


def wanted_network(network: Network | None, ports: Sequence[int] | None) -> Network | None:
    """Return the network that the options select; None if they do not set it.

    Raises:
        UsageMistake: The options contradict each other, or no port is given.
    """
    if ports and network not in (None, Network.LOOPBACK_ONLY):
        raise UsageMistake(
            f"--loopback-port can only be used with --network loopback-only, not with --network {network}."
        )
    if network is Network.LOOPBACK_ONLY and not ports and not os.environ.get("PREVIEW_LOOPBACK_PORTS"):
        raise UsageMistake("--network loopback-only needs the ports that may be reached: add --loopback-port PORT.")
    return Network.LOOPBACK_ONLY if ports else network


def confinement(network: Network | None, ports: Sequence[int] | None, isolation: Isolation | None) -> dict[str, object]:
    """Return the given options as settings, which override the environment.

    Raises:
        UsageMistake: See ``wanted_network``.
    """
    loopback_ports = tuple(dict.fromkeys(ports)) if ports else None
    given = {"network": wanted_network(network, ports), "loopback_ports": loopback_ports, "isolation": isolation}
    return {name: value for name, value in given.items() if value is not None}


def name_option(error: InvalidGeneration) -> CommandFailed | None:
    """Return an error that names the option, if ``error`` is about disallowed network access; else None."""
    if error.details.get("reason") != "network_not_allowed":
        return None
    wanted = error.details["wanted"]
    how = "--loopback-port PORT" if wanted == Network.LOOPBACK_ONLY else f"--network {wanted}"
    return CommandFailed(
        f'preview.toml asks for network = "{wanted}", but only "{error.details["allowed"]}" is allowed. '
        f"Allow it with {how}, or run it without network: --network none."
    )
