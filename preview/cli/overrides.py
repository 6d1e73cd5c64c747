"""What ``--app``, ``--command``, ``--env``, ``--network`` decide about a start, checked before anybody is asked."""

from __future__ import annotations

from collections.abc import Sequence

from preview.cli.exits import UsageMistake
from preview.core.isolation import Network
from preview.core.quoting import quoted
from preview.detection import Overrides, overrides_from_request
from preview.errors import InvalidRequest


def start_body(
    app: str | None, command: str | None, env: Sequence[str] | None, network: Network | None = None
) -> dict[str, object]:
    """The options as the launch request has them; empty where none was given.

    Raises:
        UsageMistake: One of them cannot be meant; the message names it.
    """
    start = {
        name: str(value)
        for name, value in (("app", app), ("command", command), ("network", network))
        if value is not None
    }
    body: dict[str, object] = {"start": start} if start else {}
    if env:
        body["env"] = dict(_pair(one) for one in env)
    if app is not None and command is not None:
        raise UsageMistake("Give either --app or --command: an application is served, a command serves itself.")
    overrides = _read(body)
    return body if not overrides.is_empty else {}


def overrides_from_options(
    app: str | None, command: str | None, env: Sequence[str] | None, network: Network | None = None
) -> Overrides | None:
    """The options as overrides, or None where none was given.

    Raises:
        UsageMistake: See ``start_body``.
    """
    body = start_body(app, command, env, network)
    return _read(body) if body else None


def _read(body: dict[str, object]) -> Overrides:
    try:
        return overrides_from_request(body)
    except InvalidRequest as error:
        said = error.message.removeprefix("The launch request: ")
        for key, option in (('"start.app"', "--app"), ('"start.command"', "--command"), ('"env.', '--env "')):
            said = said.replace(key, option)
        raise UsageMistake(said) from error


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageMistake(f"{quoted(text)} is no variable; write it as --env NAME=VALUE.")
    return name, value
