"""Entries as lines of text for other systems: JSON Lines, and ArcSight's Common Event Format (CEF)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# 0 to 10; see ArcSight's "Common Event Format Implementation Standard".
_SEVERITY = {"ok": 3, "unknown": 5, "refused": 6, "failed": 7}
# Characters that end a line in some reader, besides those that CEF escapes itself.
_LINE_ENDS = str.maketrans(dict.fromkeys("\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", " "))


def json_line(entry: Mapping[str, Any]) -> str:
    """Return an entry of the API as one line of JSON, in ASCII."""
    return json.dumps(dict(entry), separators=(",", ":"))


def cef_line(entry: Mapping[str, Any], *, at_ms: int, version: str) -> str:
    """Return an entry of the API as one line of CEF.

    Args:
        entry: The fields of ``AuditEntryShape``.
        at_ms: Its time, in milliseconds since the epoch.
        version: The program's version.
    """
    action = _text(entry["action"]).replace("\\", "\\\\").replace("|", "\\|").replace("\r", " ").replace("\n", " ")
    header = f"CEF:0|preview|preview|{version}|{action}|{action}|{_SEVERITY.get(str(entry['outcome']), 5)}"
    pairs = {
        "rt": at_ms,
        "externalId": entry["seq"],
        "suser": entry["user_id"],
        "duser": entry["owner_id"],
        "src": entry["address"],
        "act": entry["action"],
        "outcome": entry["outcome"],
        "msg": entry["detail"],
        "cs1Label": "subject",
        "cs1": entry["subject"],
        "cs2Label": "preview",
        "cs2": entry["preview_id"],
        "cs3Label": "via",
        "cs3": entry["via"],
        "cs4Label": "hash",
        "cs4": entry["hash"],
    }
    return f"{header}|{' '.join(f'{name}={_value(value)}' for name, value in pairs.items() if value != '')}"


def _value(value: Any) -> str:
    text = _text(value).replace("\\", "\\\\").replace("=", "\\=")
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _text(value: Any) -> str:
    return str(value).translate(_LINE_ENDS)
