"""A check from a recorded request: it expects what the answer had, and of values that change, their form."""

from __future__ import annotations

import json

from preview.replay.checks.expectations import Expectation
from preview.replay.checks.file import Check
from preview.replay.comparing.answer import Json, content_of
from preview.replay.comparing.shapes import VOLATILE, Shape, is_duration, is_now, shape_of
from preview.replay.sending.sequence import Step
from preview.traffic.ready import REDACTED

_MOST_EXPECTATIONS = 25
_MOST_TEXT = 200
# Fields that a check sends again; others belong to the client that was recorded.
_SENT = frozenset({"accept", "content-type", "authorization", "x-api-key"})
_TYPES = {Shape.ID: "id", Shape.TIME: "time", Shape.TOKEN: "token", Shape.NULL: "null"}


def check_of(step: Step, name: str | None = None) -> Check:
    """Return a check of a recorded request and its answer.

    Args:
        step: The record.
        name: Name of the check; None: method and path.
    """
    request, recorded = step.request, step.recorded
    headers = tuple((one, value) for one, value in request.headers if one.lower() in _SENT)
    kept = type(request)(request.method, request.target, headers, request.body)
    texts: list[str] = []
    if recorded is not None and not recorded.is_cut:
        root, value = content_of(recorded)
        if root == "$":
            _expect(value, "$", recorded.at_s, texts)
    status = 200 if recorded is None or not 100 <= recorded.status <= 599 else recorded.status
    label = name or f"{request.method} {request.target}"[:200]
    return Check(label, kept, status, tuple(Expectation.parse(one) for one in texts[:_MOST_EXPECTATIONS]))


def _expect(value: Json, path: str, at_s: float, texts: list[str], *, is_exact: bool = True) -> None:
    """Add expectations of a value; of a list's elements, only types."""
    if len(texts) > _MOST_EXPECTATIONS or path.count(".") + path.count("[") > 8:
        return
    if isinstance(value, dict):
        if not value:
            texts.append(f"{path} is object")
        for name, one in value.items():
            if name.isidentifier() and name.isascii():
                _expect(one, f"{path}.{name}", at_s, texts, is_exact=is_exact)
    elif isinstance(value, list):
        texts.append(f"{path} is list")
        if value:
            _expect(value[0], f"{path}[*]", at_s, texts, is_exact=False)
    else:
        texts.append(f"{path} {_form(value, path, at_s, is_exact=is_exact)}")


def _form(value: Json, path: str, at_s: float, *, is_exact: bool) -> str:
    shape = shape_of(value)
    if isinstance(value, str) and REDACTED in value:
        return "is text"
    if is_now(value, at_s):
        return "is time"
    if shape in VOLATILE:
        return f"is {_TYPES[shape]}"
    if shape is Shape.NUMBER and (not is_exact or is_duration(path)):
        return "is number"
    if is_exact and (not isinstance(value, str) or len(value) <= _MOST_TEXT):
        return f"== {json.dumps(value)}"
    return {Shape.NULL: "is null", Shape.BOOLEAN: "is boolean", Shape.NUMBER: "is number"}.get(shape, "is text")
