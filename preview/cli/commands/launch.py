"""``preview launch``: start a generation's preview, and optionally wait until it is healthy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from preview.cli.client import Api, generation_path, open_api
from preview.cli.exits import ApiRefused, UsageMistake
from preview.cli.local.lines import say_last_lines
from preview.cli.options import (
    AppOption,
    CaOption,
    CommandOption,
    EnvOption,
    GenerationArgument,
    JsonOption,
    OnCrashOption,
    TraceOption,
    UrlOption,
)
from preview.cli.overrides import start_body
from preview.cli.terminal import print_json, progress, say, show
from preview.cli.tokens import TokenFile
from preview.core.isolation import Network
from preview.core.quoting import quoted

app = typer.Typer(add_completion=False)

# Added to the requested wait: for the request itself, and the end of an environment's download.
_SLACK_S = 30.0


@app.command()
def launch(
    generation: GenerationArgument,
    wait: Annotated[
        int | None,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            min=1,
            help="Wait up to this many seconds until it is healthy; otherwise exit with an error.",
        ),
    ] = None,
    chosen_app: AppOption = None,
    command: CommandOption = None,
    env: EnvOption = None,
    network: Annotated[
        Network | None, typer.Option("--network", help="Network access of the preview, within the service's policy.")
    ] = None,
    trace: TraceOption = None,
    on_crash: OnCrashOption = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME=VALUE", help="A label that the node must have; only in a cluster."),
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Launch a generation's preview.

    Returns at once, while it starts; with --wait, when it is healthy.

    Example: preview launch GEN --wait 30 --env LOG_LEVEL=debug
    """
    body = start_body(chosen_app, command, env, network, trace=trace, on_crash=on_crash)
    if label:
        body["labels"] = dict(_label(one) for one in label)
    with open_api(url, ca) as api, progress("launching…"):
        instance = start_preview(api, generation, "launch", wait_s=wait, timeout_s=_SLACK_S + (wait or 0), body=body)
        said = "" if as_json else said_of(api, generation, instance)
    if as_json:
        print_json(instance)
        return
    show(said)
    if instance["status"] == "starting":
        say(f"watch it: preview logs {generation} -f")


def _label(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals:
        raise UsageMistake(f"--label needs NAME=VALUE, not {quoted(given)}.")
    return name, value


def _place(api: Api, generation_id: str) -> str:
    """Return where a launch of a cluster waits, in a few words."""
    queue = api.call("GET", generation_path(generation_id, "/preview/status")).json().get("queue")
    return "placed on a node" if queue is None else f"waits for a node: place {queue['place']} of {queue['waiting']}"


def said_of(api: Api, generation_id: str, instance: Mapping[str, Any]) -> str:
    """Return an instance's id, state and address; in a cluster's queue, its place."""
    started = f"{instance['id']} {instance['status']}"
    if instance["base_url"] is None:
        return f"{started}, {_place(api, generation_id)}"
    return f"{started} at {instance['base_url']}"


def start_preview(
    api: Api,
    generation_id: str,
    how: Literal["launch", "restart"],
    *,
    wait_s: int | None,
    timeout_s: float,
    body: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """Launch or restart a preview, store its token, and return the instance (contract ``v1``).

    Raises:
        ApiRefused: The service refused, or the preview failed during the wait; prints its last lines on stderr.
    """
    headers = {} if wait_s is None else {"Prefer": f"wait={wait_s}"}
    path = generation_path(generation_id, f"/preview/{how}")
    try:
        instance: dict[str, Any] = api.call("POST", path, body=body, headers=headers, timeout_s=timeout_s).json()
    except ApiRefused as error:
        say_last_lines(error)
        raise
    TokenFile(api.target.settings.data_dir).keep(api.target.url, generation_id, instance["session_token"])
    return instance
