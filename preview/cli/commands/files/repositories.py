"""Import repositories from GitHub through the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preview.cli.client import Api, generation_path
from preview.cli.local.syncing import agree_to_removals, change_words, show_plan, tell_reload
from preview.cli.terminal import print_json, progress, say, show
from preview.core.quoting import visible

# The service bounds the download; the rest is for its reload.
_TIMEOUT_S = 600.0


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

    The change is shown before it is made: it is that of one commit.

    Raises:
        UsageMistake, Abort: See ``agree_to_removals``.
    """
    path = generation_path(generation_id, "/import")
    with progress("comparing…"):
        plan = api.call("POST", path, body={"url": address}, params={"dry_run": "true"}, timeout_s=_TIMEOUT_S).json()
    if is_dry and as_json:
        print_json(plan)
    elif is_dry:
        show_plan(plan["changed"], plan["removed"])
    if is_dry:
        return True
    if not is_agreed:
        kept = plan["file_count"] + len(plan["removed"]) - len(plan["added"])
        agree_to_removals(generation_id, plan["removed"], kept, plan["origin"])
    for note in plan["notes"]:
        say(visible(note))
    body = {"url": plan["origin"], "commit": plan["commit"]}
    with progress("importing…"):
        done = api.call("POST", path, body=body, timeout_s=_TIMEOUT_S).json()
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
