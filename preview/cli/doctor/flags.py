"""Check of the running service's flags: whether launches are stopped, and which flags are set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from preview.cli.client import open_api
from preview.cli.data_folder import read_note
from preview.cli.doctor.result import Check, Result
from preview.errors import PreviewError
from preview.settings import Settings


def flag_checks(settings: Settings) -> Iterator[Check]:
    """Yield what operators have set in the service on this data folder; nothing if it cannot be read."""
    if read_note(settings.data_dir) is None or os.environ.get("PREVIEW_URL"):
        return
    try:
        with open_api(None) as api:
            flags: list[dict[str, Any]] = api.get_json("/operator/flags")["items"]
    except PreviewError:
        return
    yield from checks_of(flags)


def checks_of(flags: list[dict[str, Any]]) -> Iterator[Check]:
    """Yield one check for launches that are stopped, and one for all other flags that are set."""
    stops = [one for one in flags if one["name"] == "launches" and (one["value"] == "off" or _has_off(one))]
    for one in stops:
        whom = "for all users" if one["value"] == "off" else "for some users"
        reason = f": {one['reason']}" if one["reason"] else ""
        yield Check(
            "launches", Result.WARN, f"stopped by an operator {whom}{reason}", "`preview rollout resume` allows them"
        )
    unread = [one["name"] for one in flags if one["problem"]]
    if unread:
        yield Check("flags", Result.WARN, f"not readable: {', '.join(unread)}", "set them again: `preview rollout set`")
    chosen = [one["name"] for one in flags if one["name"] != "launches" and (one["value"] or one["rules"])]
    if chosen:
        yield Check("flags", Result.OK, f"set by operators: {', '.join(chosen)}", "`preview rollout status` shows them")


def _has_off(flag: dict[str, Any]) -> bool:
    return any(rule["value"] == "off" for rule in flag["rules"])
