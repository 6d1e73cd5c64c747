"""``preview alerts``: rules that watch previews, their firings, and tests of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from preview.cli.client import Api, generation_path, open_api
from preview.cli.commands.data.showing import ask
from preview.cli.commands.understand.condition import (
    AbsentOption,
    CooldownOption,
    CountOption,
    ErrorRateOption,
    EventOption,
    ExitCodeOption,
    FilterOption,
    MemoryOption,
    OnOption,
    WithinOption,
    condition_of,
)
from preview.cli.exits import CommandFailed, UsageMistake
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption, YesOption
from preview.cli.terminal import counted, listing, print_json, progress, say, show, table_console
from preview.core.quoting import visible

app = typer.Typer(
    help="Watch previews with rules: firings, webhooks, tests.", no_args_is_help=True, add_completion=False
)

AlertArgument = Annotated[str, typer.Argument(metavar="ALERT", help="The rule's id, as `preview alerts ls` shows it.")]
# An attempt to deliver takes 10 s at most.
_TIMEOUT_S = 30.0


def alert_path(alert: str, rest: str = "") -> str:
    """Return the rule's path below ``/api/v1``."""
    return f"/alerts/{quote(alert, safe='')}{rest}"


@app.command(name="ls")
def list_alerts(url: UrlOption = None, ca: CaOption = None, as_json: JsonOption = False) -> None:
    """List your alert rules.

    Example: preview alerts ls
    """
    with open_api(url, ca) as api:
        found = api.get_json("/alerts")
    if as_json:
        print_json(found)
        return
    if not found["items"]:
        say("No alert rules yet; `preview alerts add --filter error` creates one.")
        return
    shown = listing("ALERT", "STATE", "APPLIES TO", "FIRES WHEN")
    for one in found["items"]:
        values = (one["id"], one["state"], _scope(one["scope"]), one["summary"])
        shown.add_row(*(Text(visible(value)) for value in values))
    table_console().print(shown)


@app.command()
def add(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Display name.")] = "",
    generation: Annotated[
        str | None, typer.Option("--generation", metavar="GEN", help="Only previews of this generation.")
    ] = None,
    project: Annotated[
        str | None, typer.Option("--project", metavar="ID", help="Only previews of this project.")
    ] = None,
    chosen: FilterOption = None,
    on: OnOption = "lines",
    count: CountOption = 1,
    within: WithinOption = 60.0,
    absent: AbsentOption = None,
    event: EventOption = None,
    exit_code: ExitCodeOption = None,
    error_rate: ErrorRateOption = None,
    memory: MemoryOption = None,
    cooldown: CooldownOption = 60.0,
    webhook: Annotated[
        str | None, typer.Option("--webhook", metavar="URL", help="URL to call when the rule fires.")
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option("--secret-file", metavar="FILE", help="File with the key that signs webhooks."),
    ] = None,
    body: Annotated[
        str | None, typer.Option("--body", metavar="JSON", help='Body to send, such as {"text": "{alert}: {summary}"}.')
    ] = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create an alert rule.

    Example: preview alerts add --filter error --count 5 --within 60
    """
    if generation is not None and project is not None:
        raise UsageMistake("Give either --generation or --project, not both.")
    made: dict[str, Any] = {
        "name": name,
        "condition": condition_of(chosen, on, count, within, absent, event, exit_code, error_rate, memory),
        "scope": {"generation_id": generation, "project_id": project},
        "cooldown_s": cooldown,
        "webhook": _webhook(webhook, secret_file, body),
    }
    with open_api(url, ca) as api:
        stored: dict[str, Any] = api.call("POST", "/alerts", body=made).json()
    if as_json:
        print_json(stored)
        return
    show(stored["id"])
    say(f"fires when {stored['summary']}; `preview alerts test {stored['id']}` sends a test")


@app.command(name="show")
def show_alert(alert: AlertArgument, url: UrlOption = None, ca: CaOption = None, as_json: JsonOption = False) -> None:
    """Show an alert rule and its last firings.

    Example: preview alerts show ALERT
    """
    with open_api(url, ca) as api:
        rule, fired = api.get_json(alert_path(alert)), api.get_json(alert_path(alert, "/firings"), params={"limit": 5})
    if as_json:
        print_json(rule)
        return
    webhook = rule["webhook"]
    receiver = "none"
    if webhook is not None:
        receiver = f"{webhook['url']} ({'signed' if webhook['has_secret'] else 'not signed'})"
    for heading, value in (
        ("name", rule["name"]),
        ("fires when", rule["summary"]),
        ("applies to", _scope(rule["scope"])),
        ("state", rule["state"]),
        ("cool-down", f"{rule['cooldown_s']:g} s"),
        ("webhook", receiver),
    ):
        show(f"{heading:11} {value}")
    _print_firings(fired["items"])


@app.command()
def rm(alert: AlertArgument, yes: YesOption = False, url: UrlOption = None, ca: CaOption = None) -> None:
    """Delete an alert rule with its firings.

    Example: preview alerts rm ALERT --yes
    """
    ask(f"Delete {alert} with its firings? This cannot be undone.", is_agreed=yes)
    with open_api(url, ca) as api:
        api.call("DELETE", alert_path(alert))
    show(f"{alert} is deleted")


@app.command(name="test")
def send_test(alert: AlertArgument, url: UrlOption = None, ca: CaOption = None, as_json: JsonOption = False) -> None:
    """Send a test to a rule's webhook; exit code 1 if it is not accepted.

    Example: preview alerts test ALERT
    """
    with open_api(url, ca) as api, progress("sending…"):
        fired: dict[str, Any] = api.call("POST", alert_path(alert, "/test"), timeout_s=_TIMEOUT_S).json()
    delivery = fired["delivery"]
    if as_json:
        print_json(fired)
    elif delivery["state"] == "none":
        say("The rule has no webhook; the test is stored among its firings.")
    elif delivery["state"] == "delivered":
        show(f"delivered: status {delivery['status']}")
    if delivery["state"] == "failed":
        raise CommandFailed(f"The webhook was not delivered. {delivery['problem']}")


@app.command()
def firings(
    alert: AlertArgument,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=200, help="Maximum number of firings.")] = 50,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the firings of a rule, newest first.

    Example: preview alerts firings ALERT
    """
    with open_api(url, ca) as api:
        found = api.get_json(alert_path(alert, "/firings"), params={"limit": limit})
    if as_json:
        print_json(found)
        return
    _print_firings(found["items"])
    if found["next"]:
        say("there are older ones; raise --limit")


@app.command(name="try")
def try_alert(
    generation: GenerationArgument,
    chosen: FilterOption = None,
    count: CountOption = 1,
    within: WithinOption = 60.0,
    absent: AbsentOption = None,
    cooldown: CooldownOption = 60.0,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a rule would have done with past lines.

    Example: preview alerts try GEN --filter error --count 5
    """
    condition = condition_of(chosen, "lines", count, within, absent, None, None, None, None)
    body = {"condition": condition, "cooldown_s": cooldown}
    with open_api(url, ca) as api:
        tried: dict[str, Any] = api.call(
            "POST", generation_path(generation, "/preview/firings/trial"), body=body, timeout_s=_TIMEOUT_S
        ).json()
    if as_json:
        print_json(tried)
        return
    for one in tried["firings"]:
        text = f": {one['text']}" if one["text"] else ""
        show(f"{one['at']}  line {one['line'] or '-'}{text}")
    fired, matched = len(tried["firings"]), tried["matched"]
    say(
        f"{matched} of {tried['examined']} lines would have matched; the rule would have fired {counted(fired, 'time')}"
    )


@app.command()
def pause(alert: AlertArgument, url: UrlOption = None, ca: CaOption = None) -> None:
    """Switch an alert rule off.

    Example: preview alerts pause ALERT
    """
    _switch(alert, url, ca, is_enabled=False)
    show(f"{alert} is off")


@app.command()
def resume(alert: AlertArgument, url: UrlOption = None, ca: CaOption = None) -> None:
    """Switch an alert rule on again.

    Example: preview alerts resume ALERT
    """
    _switch(alert, url, ca, is_enabled=True)
    show(f"{alert} is on")


def _switch(alert: str, url: str | None, ca: Path | None, *, is_enabled: bool) -> None:
    with open_api(url, ca) as api:
        _replace(api, alert, enabled=is_enabled)


def _replace(api: Api, alert: str, **changes: object) -> None:
    rule = api.get_json(alert_path(alert))
    webhook = rule["webhook"]
    if webhook is not None:
        # Without its secret, which stays.
        webhook = {"url": webhook["url"], "body": webhook["body"]}
    kept = {name: rule[name] for name in ("name", "condition", "scope", "cooldown_s", "enabled")}
    api.call("PUT", alert_path(alert), body=kept | {"webhook": webhook} | changes)


def _webhook(url: str | None, secret_file: Path | None, body: str | None) -> dict[str, object] | None:
    """Return the webhook as the API takes it.

    Raises:
        UsageMistake: An option is invalid.
    """
    if url is None:
        if secret_file is not None or body is not None:
            raise UsageMistake("--secret-file and --body can only be used with --webhook URL.")
        return None
    made: dict[str, object] = {"url": url}
    if secret_file is not None:
        try:
            made["secret"] = secret_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageMistake(f"--secret-file ({secret_file}) cannot be read: {error}.") from error
    if body is not None:
        try:
            made["body"] = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise UsageMistake(f"--body is not JSON: {error}.") from error
    return made


def _scope(scope: dict[str, Any]) -> str:
    if scope["generation_id"] is not None:
        return f"generation {scope['generation_id']}"
    return "all previews" if scope["project_id"] is None else f"project {scope['project_id']}"


def _print_firings(found: list[dict[str, Any]]) -> None:
    if not found:
        say("It has not fired yet.")
        return
    shown = listing("FIRED", "PREVIEW", "LINE", "WEBHOOK", "WHY")
    for one in found:
        delivery = one["delivery"]
        state = delivery["state"] if delivery["problem"] is None else f"{delivery['state']}: {delivery['problem']}"
        preview = "test" if one["test"] else one["preview_id"]
        values = (one["fired_at"], preview, str(one["last_line"] or ""), state, one["line"] or one["summary"])
        shown.add_row(*(Text(visible(value)) for value in values))
    table_console().print(shown)
