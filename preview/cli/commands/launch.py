"""``preview launch``: starts a generation's preview, and waits for it if told to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from preview.cli.client import Api, generation_path, open_api
from preview.cli.exits import ApiRefused
from preview.cli.options import AppOption, CommandOption, EnvOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.overrides import start_body
from preview.cli.terminal import clean, print_json, progress, say
from preview.cli.tokens import TokenFile

__all__ = ["app", "launch_generation"]

app = typer.Typer(add_completion=False)

# Beyond the wait itself: the request's way, the environment's last bytes.
_SLACK_S = 30.0


@app.command()
def launch(
    generation: GenerationArgument,
    wait: Annotated[
        int | None, typer.Option("--wait", metavar="SECONDS", min=1, help="Return when it answers, or fail.")
    ] = None,
    chosen_app: AppOption = None,
    command: CommandOption = None,
    env: EnvOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Launch a generation's preview.

    Returns at once, while it starts; with --wait when it is healthy. The preview's token is kept for `preview request`.
    """
    body = start_body(chosen_app, command, env)
    with open_api(url) as api:
        instance = launch_generation(api, generation, wait_s=wait, body=body)
    if as_json:
        print_json(instance)
        return
    print(f"{instance['id']} {instance['status']} at {instance['base_url']}")
    if instance["status"] == "starting":
        say(f"watch it: preview logs {generation} -f")


def launch_generation(
    api: Api, generation_id: str, *, wait_s: int | None, body: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """Launch, keep the token, and give the instance (contract ``v1``).

    Raises:
        ApiRefused: It was refused, or it failed while waited for; its last lines are said on stderr.
    """
    headers = {} if wait_s is None else {"Prefer": f"wait={wait_s}"}
    timeout_s = _SLACK_S + (wait_s or 0)
    path = generation_path(generation_id, "/preview/launch")
    with progress("launching…"):
        try:
            response = api.call("POST", path, body=dict(body or {}), headers=headers, timeout_s=timeout_s)
        except ApiRefused as error:
            _say_last_lines(error)
            raise
    instance: dict[str, Any] = response.json()
    TokenFile(api.target.settings.data_dir).keep(api.target.url, generation_id, instance["session_token"])
    return instance


def _say_last_lines(error: ApiRefused) -> None:
    lines: Any = error.facts.get("last_lines")
    for line in lines if isinstance(lines, list) else ():
        say(f"  {clean(str(line))}")
