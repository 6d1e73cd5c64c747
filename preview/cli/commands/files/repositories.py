"""Import repositories from GitHub through the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preview.cli.client import Api, generation_path
from preview.cli.exits import ApiRefused
from preview.cli.local.syncing import agree_to_replacement, change_words, show_plan, tell_reload
from preview.cli.terminal import print_json, progress, say, show
from preview.core.quoting import visible

# The service bounds the download; the rest is for its reload.
_TIMEOUT_S = 600.0
# Attempts if other clients change the generation at the same time; each compares again.
_TRIES = 3


def add_repository(api: Api, fields: Mapping[str, str]) -> dict[str, Any]:
    """Import a repository as a new generation, and return the response."""
    with progress("importing…"):
        made: dict[str, Any] = api.call("POST", "/imports", body=fields, timeout_s=_TIMEOUT_S).json()
    for note in made["notes"]:
        say(visible(note))
    return made


def sync_repository(
    api: Api, generation_id: str, address: str, *, is_dry: bool, is_agreed: bool, as_json: bool
) -> bool:
    """Make a generation's files those of a repository; return false if its preview does not start with them.

    The change is shown before it is made: it is that of one commit, and of the files that were compared.

    Raises:
        UsageMistake, Abort: See ``agree_to_replacement``.
    """
    plan = _plan(api, generation_id, address)
    if is_dry and as_json:
        print_json(plan)
    elif is_dry:
        show_plan(plan["changed"], plan["removed"])
    if is_dry:
        return True
    for tries_left in reversed(range(_TRIES)):
        if not is_agreed:
            agree_to_replacement(generation_id, plan)
        try:
            done = _import_planned(api, generation_id, plan)
            break
        except ApiRefused as error:
            if error.problem != "precondition_failed" or not tries_left:
                raise
            say("the generation's files have changed meanwhile")
            plan = _plan(api, generation_id, address)
    for note in plan["notes"]:
        say(visible(note))
    if as_json:
        print_json(done)
        return bool(done["reload"]["status"] != "failed")
    changed, removed = len(done["changed"]), len(done["removed"])
    if not changed + removed:
        show(f"nothing to change: the generation matches {visible(done['origin'])}")
        return True
    undo = f"preview versions restore {generation_id} {done['version'] - 1}"
    show(f"Synced: {change_words(changed, removed)}. Undo: {undo}")
    return tell_reload(done["reload"])


def _plan(api: Api, generation_id: str, address: str) -> dict[str, Any]:
    """Return what an import of the repository would change."""
    path, body = generation_path(generation_id, "/import"), {"url": address}
    with progress("comparing…"):
        plan: dict[str, Any] = api.call(
            "POST", path, body=body, params={"dry_run": "true"}, timeout_s=_TIMEOUT_S
        ).json()
    return plan


def _import_planned(api: Api, generation_id: str, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Make just the change that was planned, and return the response.

    Raises:
        ApiRefused: With ``precondition_failed``, if the generation's files are others now.
    """
    path, body = generation_path(generation_id, "/import"), {"url": plan["origin"], "commit": plan["commit"]}
    with progress("importing…"):
        done: dict[str, Any] = api.call(
            "POST", path, body=body, headers={"If-Match": plan["etag"]}, timeout_s=_TIMEOUT_S
        ).json()
    return done
