"""Saved requests of a project: the page saves them, and ``preview request --saved`` sends them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any
from urllib.parse import quote, urlencode

from preview.cli.client import Api, generation_path
from preview.cli.exits import UsageMistake
from preview.core.quoting import quoted

# A parameter of a path. ``{{name}}`` is a variable.
_PATH_FIELD = re.compile(r"(?<!\{)\{([^{}/]+)\}(?!\})")
_VARIABLE = re.compile(r"(\{\{ *[A-Za-z_][A-Za-z0-9_.-]{0,63} *\}\})")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def saved_requests(api: Api, generation_id: str) -> Sequence[dict[str, Any]]:
    """Return the saved requests of a generation, by name."""
    items: list[dict[str, Any]] = api.get_json(generation_path(generation_id, "/preview/saved"))["items"]
    return items


def find_saved(api: Api, generation_id: str, name: str) -> dict[str, Any]:
    """Return the saved request of this name; the case of letters counts only if two names differ in nothing else.

    Raises:
        UsageMistake: There is none.
    """
    items = saved_requests(api, generation_id)
    found = [one for one in items if one["name"] == name]
    found = found or [one for one in items if one["name"].casefold() == name.casefold()]
    if len(found) == 1:
        return found[0]
    close = get_close_matches(name, [one["name"] for one in items], n=1)
    hint = f"did you mean {quoted(close[0])}?" if close else f"`preview request {generation_id} --list` shows them."
    raise UsageMistake(f"No saved request is called {quoted(name)}; {hint}")


def envelope_of(saved: dict[str, Any], *, has_body: bool = False) -> dict[str, Any]:
    """Return a saved request as the service sends it. Variables stay as ``{{name}}``.

    What the page has saved has parameters, headers and a body; another client may have saved method and path alone.

    Args:
        saved: The request.
        has_body: Leave its body out: another one takes its place.

    Raises:
        UsageMistake: A parameter has no value, or a file is missing: files are not saved.
    """
    draft = saved["more"].get("draft")
    draft = draft if isinstance(draft, dict) else {}
    method = str(saved["method"])
    headers = {name: value for name, value, kind in _fields(draft, "headers") if value or kind is None}
    cookies = [f"{name}={value}" for name, value, _ in _fields(draft, "cookies") if value]
    if cookies:
        headers["Cookie"] = "; ".join(cookies)
    query: dict[str, list[str]] = {}
    for name, value, _ in _fields(draft, "query"):
        if value:
            query.setdefault(name, []).append(value)
    is_own = method in _WITH_BODY and not has_body
    body = _body(draft, headers, str(saved["name"])) if is_own else None
    return {
        "method": method,
        "path": _path(str(saved["path"]), draft, str(saved["name"])),
        "query": {name: values[0] if len(values) == 1 else values for name, values in query.items()},
        "headers": headers,
        "body": body,
        **({} if draft.get("isLiteral") is True else {"resolve": True}),
    }


def _fields(draft: dict[str, Any], place: str) -> list[tuple[str, str, Any]]:
    """Return name, value and type of the fields that have a name."""
    listed = draft.get(place)
    fields = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [(str(one["name"]), str(one.get("value") or ""), one.get("type")) for one in fields if one.get("name")]


def _path(path: str, draft: dict[str, Any], name: str) -> str:
    values = {field: value for field, value, _ in _fields(draft, "pathFields")}

    def put_in(found: re.Match[str]) -> str:
        field, _, kind = found[1].partition(":")
        if not values.get(field):
            raise UsageMistake(
                f"The saved request {quoted(name)} has no value for {quoted(field)}; add one on the page."
            )
        safe = "/" if kind == "path" else ""
        parts = _VARIABLE.split(values[field])
        return "".join(part if index % 2 else quote(part, safe=safe) for index, part in enumerate(parts))

    return _PATH_FIELD.sub(put_in, path)


def _body(draft: dict[str, Any], headers: dict[str, str], name: str) -> str | None:
    kind = draft.get("bodyKind") or "text"
    if kind in {"file", "multipart"}:
        raise UsageMistake(
            f"The saved request {quoted(name)} contains files, which are not saved; send it from the page, or give its "
            "body with --data."
        )
    if kind == "form":
        return urlencode([(field, value) for field, value, _ in _fields(draft, "form")], safe="{}")
    text = str(draft.get("body") or "")
    if text and not any(field.lower() == "content-type" for field in headers):
        headers["Content-Type"] = "application/json"
    return text or None
