"""``preview serve``: run the service in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preview.cli.data_folder import hold_data_folder
from preview.cli.exits import UsageMistake
from preview.cli.local.own_range import Outside, enter_range, read_outside
from preview.cli.local.scope import enter_scope
from preview.cli.options import JsonOption, NoScopeOption, OneUserOption, warn_of_skipped
from preview.cli.tokens import IsolationOption, LoopbackPortOption, NetworkOption, confinement
from preview.core.env_file import find_env_file
from preview.core.isolation import Isolation
from preview.core.quoting import quoted
from preview.settings import load_settings

app = typer.Typer(add_completion=False)


@app.command()
def serve(
    bind: Annotated[str | None, typer.Option("--bind", metavar="HOST:PORT", help="Where to listen.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A hypercorn.toml. Default: the one in this folder.")
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option("--tls-cert", metavar="FILE", help="Serve HTTPS: the certificate with its chain, PEM."),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="The certificate's key, PEM.")
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    network: NetworkOption = None,
    loopback_port: LoopbackPortOption = None,
    isolation: IsolationOption = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Be a node of a cluster: see docs/cluster.md. Needs PostgreSQL.")
    ] = False,
    no_scope: NoScopeOption = False,
    one_user: OneUserOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run the service until SIGTERM or Ctrl-C.

    The first signal ends streams, stops previews, and exits with 0; a second signal forces a faster exit.

    Example: preview serve --bind 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem
    """
    if bind is not None:
        _check_address(bind)
    given: dict[str, object] = {
        name: file for name, file in (("tls_cert", tls_cert), ("tls_key", tls_key)) if file is not None
    }
    if cluster:
        given["cluster"] = True
    entered = read_outside()
    file = find_env_file() if entered is None else entered.file
    if entered is None:
        warn_of_skipped(file)
    settings = load_settings(file, **confinement(network, loopback_port, isolation), **given)
    if entered is None and settings.isolation is not Isolation.PLAIN:
        if not no_scope:
            enter_scope()
        if not one_user:
            enter_range(settings, file, opens_browser=open_browser)
    with hold_data_folder(settings.data_dir):
        # Imported here, because the command that enters a range is executed a second time.
        from preview.cli.local.serving import Serving, run_service  # noqa: PLC0415

        code = run_service(settings, Serving(bind, config, open_browser, as_json), entered or Outside(file))
    raise typer.Exit(code)


def _check_address(bind: str) -> None:
    """Check an address before anything else starts.

    Raises:
        UsageMistake: It is not an address to listen at.
    """
    if bind.startswith(("unix:", "fd://")):
        return
    host, colon, port = bind.rpartition(":")
    # Hypercorn's port for a host alone.
    is_valid = (
        bool(host) and port.isascii() and port.isdigit() and int(port) < 65_536
        if colon
        else "." in bind or bind == "localhost"
    )
    if not is_valid:
        raise UsageMistake(f"{quoted(bind)} is not an address to listen on; write HOST:PORT, such as 127.0.0.1:8000.")
