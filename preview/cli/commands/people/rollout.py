"""``preview rollout``: flags of the service, the kill switch, and canaries; for operators."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from preview.cli.canary import next_step, read_steps, why_not
from preview.cli.client import Api, open_api
from preview.cli.exits import CommandFailed, UsageMistake
from preview.cli.options import CaOption, JsonOption, UrlOption
from preview.cli.terminal import listing, print_json, say, show, table_console
from preview.core.quoting import quoted, visible

app = typer.Typer(
    help="Try isolation levels, start modes and capabilities with some users first, or stop launches; for operators.",
    no_args_is_help=True,
    add_completion=False,
)

# Flags whose values launches keep, so that they can be compared.
_COMPARED = ("isolation", "warm", "tracing", "capture")

FlagArgument = Annotated[str, typer.Argument(metavar="FLAG", help="The flag, as `preview rollout status` lists it.")]
HoursOption = Annotated[
    float, typer.Option("--hours", metavar="N", min=0.01, max=8784, help="Compare the launches of the last N hours.")
]
UsersOption = Annotated[list[str] | None, typer.Option("--user", metavar="ID", help="Only this user; repeatable.")]
TiersOption = Annotated[list[str] | None, typer.Option("--tier", metavar="TIER", help="Only this tier; repeatable.")]
ProjectsOption = Annotated[
    list[str] | None, typer.Option("--project", metavar="ID", help="Only projects with this id; repeatable.")
]
PercentOption = Annotated[
    float | None, typer.Option("--percent", metavar="N", min=0, max=100, help="Only this share of the users.")
]


@app.command()
def status(
    flag: Annotated[str | None, typer.Argument(metavar="[FLAG]", help="Only this flag.")] = None,
    hours: HoursOption = 24.0,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the flags, and for each value its launches, failures and launch times.

    Example: preview rollout status
    """
    with open_api(url, ca) as api:
        flags = [_find(api, flag)] if flag is not None else api.get_json("/operator/flags")["items"]
        arms = {
            one["name"]: _arms(api, one["name"], hours)
            for one in flags
            if one["name"] in _COMPARED and (flag is not None or one["version"])
        }
    if as_json:
        print_json({"items": [one | {"arms": arms.get(one["name"])} for one in flags]})
        return
    table = listing("FLAG", "VALUE", "RULES", "VERSION", "CHANGED BY")
    for one in flags:
        value = one["value"] or f"{one['default']} (default)"
        cells = (one["name"], value, _rules(one["rules"]), str(one["version"] or "-"), one["updated_by"] or "-")
        table.add_row(*(Text(visible(cell)) for cell in cells))
    table_console().print(table)
    for one in flags:
        if one["problem"]:
            say(f"{one['name']}: {one['problem']}")
        if one["reason"]:
            show(f'{one["name"]}: users see "{one["reason"]}"')
    for name, found in arms.items():
        _show_arms(name, found)


@app.command(name="set")
def set_flag(
    flag: FlagArgument,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="The value, or `default`.")],
    users: UsersOption = None,
    tiers: TiersOption = None,
    projects: ProjectsOption = None,
    percent: PercentOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how many users would get each value; change nothing.")
    ] = False,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a flag a value for all users, or for those that the options name.

    With options, a rule is added before the others. Without, the value is for all users whom no rule concerns;
    `default` removes the value and all rules.

    Example: preview rollout set warm cold --user ann --dry-run
    """
    given: dict[str, Any] = {"users": users, "tiers": tiers, "projects": projects, "percent": percent}
    conditions = {name: some for name, some in given.items() if some not in (None, [])}
    if value == "default" and conditions:
        raise UsageMistake("`default` removes all rules; leave the other options out.")
    with open_api(url, ca) as api:
        found = _find(api, flag)
        content = _content(found)
        if value == "default":
            content = {"value": None, "rules": [], "reason": ""}
        elif conditions:
            content["rules"] = [{"value": value, **conditions}, *content["rules"]]
        else:
            content["value"] = value
        if dry_run:
            _show_reach(flag, api.call("POST", _path(flag, "/dry-run"), body=content).json(), as_json=as_json)
            return
        stored = _put(api, found, content)
    if as_json:
        print_json(stored)
    else:
        say(f"{flag}: {stored['value'] or stored['default']}; rules: {_rules(stored['rules'])}")


@app.command()
def stop(
    reason: Annotated[str, typer.Argument(metavar="[REASON]", help="A sentence for users.")] = "",
    tiers: TiersOption = None,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop new launches. Running previews keep running, and can be reloaded and stopped.

    Example: preview rollout stop "A disk is being replaced until noon."
    """
    with open_api(url, ca) as api:
        found = _find(api, "launches")
        content = _content(found) | {"reason": reason}
        if tiers:
            content["rules"] = [{"value": "off", "tiers": tiers}, *content["rules"]]
        else:
            content |= {"value": "off", "rules": []}
        stored = _put(api, found, content)
    if as_json:
        print_json(stored)
    else:
        say("launches are stopped; `preview rollout resume` allows them again")


@app.command()
def resume(url: UrlOption = None, ca: CaOption = None, as_json: JsonOption = False) -> None:
    """Allow launches again, for all users.

    Example: preview rollout resume
    """
    with open_api(url, ca) as api:
        stored = _put(api, _find(api, "launches"), {"value": None, "rules": [], "reason": ""})
    if as_json:
        print_json(stored)
    else:
        say("launches are allowed")


@app.command()
def canary(
    change: Annotated[str, typer.Argument(metavar="FLAG=VALUE", help="The value that users get step by step.")],
    steps: Annotated[
        str, typer.Option("--steps", metavar="N,N…", help="Shares of the users, in percent.")
    ] = "5,25,50,100",
    force: Annotated[
        bool,
        typer.Option("--force", help="Continue even if launches with the value fail more often, or there are none."),
    ] = False,
    hours: HoursOption = 24.0,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Roll a value out to the next share of users, one step at a time.

    Refused if launches with the value fail more often than launches without it.

    Example: preview rollout canary isolation=container --steps 5,25,50,100
    """
    flag, equals, value = change.partition("=")
    if not equals or not value:
        raise UsageMistake(f"{quoted(change)} is not FLAG=VALUE, such as isolation=container.")
    if flag not in _COMPARED:
        raise UsageMistake(f"A canary needs one of the flags {', '.join(_COMPARED)}; others cannot be compared.")
    shares = read_steps(steps)
    with open_api(url, ca) as api:
        found = _find(api, flag)
        content = _content(found)
        step = next_step(content["rules"], value, shares)
        if step is None:
            say(f"{flag}={value}: the last step is reached")
            return
        arms = _arms(api, flag, hours)
        problem = why_not(value, step.before, arms["items"])
        if problem is not None and not force:
            raise CommandFailed(
                f"The share stays at {step.before:g} %: {problem}. Check those launches first, or use --force."
            )
        stored = _put(api, found, content | {"rules": step.rules})
    if as_json:
        print_json(stored | {"before": step.before, "after": step.after})
        return
    say(f"{flag}={value}: {step.before:g} % -> {step.after:g} % of users")
    _show_arms(flag, arms)


def _path(flag: str, rest: str = "") -> str:
    return f"/operator/flags/{quote(flag, safe='')}{rest}"


def _find(api: Api, flag: str) -> dict[str, Any]:
    """Return one flag.

    Raises:
        UsageMistake: There is none of this name.
    """
    items: list[dict[str, Any]] = api.get_json("/operator/flags")["items"]
    for one in items:
        if one["name"] == flag:
            return one
    raise UsageMistake(f"{quoted(flag)} is not a flag; the flags are {', '.join(one['name'] for one in items)}.")


def _arms(api: Api, flag: str, hours: float) -> dict[str, Any]:
    found: dict[str, Any] = api.call("GET", _path(flag, "/arms"), params={"hours": f"{hours:g}"}).json()
    return found


def _content(flag: dict[str, Any]) -> dict[str, Any]:
    """Return what was set of a flag, as a change takes it."""
    rules = []
    for rule in flag["rules"]:
        kept = {name: some for name, some in rule.items() if name != "by" and some not in (None, [])}
        rules.append(kept | ({"by": rule["by"]} if "percent" in kept else {}))
    return {"value": flag["value"], "rules": rules, "reason": flag["reason"]}


def _put(api: Api, flag: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    body = content | {"version": flag["version"]}
    stored: dict[str, Any] = api.call("PUT", _path(flag["name"]), body=body).json()
    return stored


def _rules(rules: list[dict[str, Any]]) -> str:
    return "; ".join(_rule(rule) for rule in rules[:3]) + (f"; {len(rules) - 3} more" if len(rules) > 3 else "") or "-"


def _rule(rule: dict[str, Any]) -> str:
    parts = [] if rule["percent"] is None else [f"{rule['percent']:g} % of {rule['by']}s"]
    for name in ("users", "tiers", "projects"):
        names = rule[name]
        parts += [f"{name[:-1]} {names[0]}"] if len(names) == 1 else [f"{len(names)} {name}"] if names else []
    return f"{rule['value']} for {' and '.join(parts) or 'all'}"


def _show_reach(flag: str, found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    for value, number in found["by_value"].items():
        say(f"{flag}={value}: {number} of {found['users']} users")
    if not found["is_whole"]:
        say("only the newest users were counted")


def _show_arms(flag: str, found: dict[str, Any]) -> None:
    if not found["items"]:
        say(f"{flag}: no launches to compare in the last {found['hours']:g} hours")
        return
    table = listing(flag.upper(), "LAUNCHES", "FAILED", "RATE", "MEDIAN", "P95")
    for one in found["items"]:
        rate = "-" if one["failure_rate"] is None else f"{100 * one['failure_rate']:.1f} %"
        times = ("-" if one[key] is None else f"{one[key]} ms" for key in ("median_ms", "p95_ms"))
        table.add_row(Text(visible(one["value"])), str(one["launches"]), str(one["failed"]), rate, *times)
    table_console().print(table)
    for sentence in found["sentences"]:
        say(sentence)
