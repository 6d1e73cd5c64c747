"""Options of a start, as the launch request's body or as overrides."""

from __future__ import annotations

from collections.abc import Sequence

from preview import detection
from preview.cli.exits import UsageMistake
from preview.core.isolation import Network
from preview.core.lifecycle import OnCrash
from preview.core.quoting import quoted
from preview.errors import InvalidRequest


def start_body(
    app: str | None,
    command: str | None,
    env: Sequence[str] | None,
    network: Network | None = None,
    *,
    trace: bool | None = None,
    on_crash: OnCrash | None = None,
) -> dict[str, object]:
    """Return the options as the body of a launch request; empty if none was given.

    Raises:
        UsageMistake: An option is invalid; the message names it.
    """
    start: dict[str, object] = {
        name: str(value)
        for name, value in (("app", app), ("command", command), ("network", network), ("on_crash", on_crash))
        if value is not None
    }
    if trace is not None:
        start["trace"] = trace
    body: dict[str, object] = {"start": start} if start else {}
    if env:
        body["env"] = dict(_pair(one) for one in env)
    if app is not None and command is not None:
        raise UsageMistake("Use --app or --command, not both: a command runs its own server.")
    overrides = _read(body)
    return body if not overrides.is_empty else {}


def overrides_from_options(
    app: str | None, command: str | None, env: Sequence[str] | None, network: Network | None = None
) -> detection.Overrides | None:
    """Return the options as overrides, or None if none was given.

    Raises:
        UsageMistake: See ``start_body``.
    """
    body = start_body(app, command, env, network)
    return _read(body) if body else None


def _read(body: dict[str, object]) -> detection.Overrides:
    try:
        return detection.overrides_from_request(body)
    except InvalidRequest as error:
        said = error.message.removeprefix("The launch request: ")
        for key, option in (('"start.app"', "--app"), ('"start.command"', "--command"), ('"env.', '--env "')):
            said = said.replace(key, option)
        raise UsageMistake(said) from error


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageMistake(f"{quoted(text)} is not a variable; write it as --env NAME=VALUE.")
    return name, value
