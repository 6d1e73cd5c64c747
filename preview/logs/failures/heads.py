"""First lines of records and of exceptions in a log. All patterns are bounded, and anchored or single-pass."""

from __future__ import annotations

import re

from preview.logs.ingest.line_marks import mark_by_looks
from preview.logs.model.events import ACCESS

_LOG_HEAD = re.compile(
    r"[\[(<]?(?:DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)\b|\[?\d{4}-\d\d-\d\d|\[?\d\d:\d\d|\[\d\d/\w{3}/\d{4}"
)
_PYTHON_END = re.compile(r"([A-Za-z_][\w.]{0,300})(?:: ?|$)")
_NODE_HEAD = re.compile(
    r"(?:^|[\s:\[(])((?:[A-Za-z_$][\w$.]{0,100})?(?:Error|Exception))(?: \[([\w-]{1,64})\])?"
    r"(?::(?: |$)|(?=\]?(?: \{)?$))"
)
_NODE_OTHER = re.compile(r"\s*(?:Uncaught )?([A-Z][\w$]{0,100}): ")
_MEASURED = 400


def is_log_head(text: str) -> bool:
    """Return True if a new record of a log starts here, or an access line."""
    return _LOG_HEAD.match(text) is not None or mark_by_looks(text[:_MEASURED]) >= ACCESS


def python_end(text: str) -> tuple[str, str] | None:
    """Return type and message of the line that ends a Python traceback; None if it is no such line."""
    match = _PYTHON_END.match(text)
    if match is None or is_log_head(text):
        return None
    return match[1], text[match.end() :]


def node_head(text: str) -> tuple[str, str] | None:
    """Return type and message of the line above a stack of Node; None if it names no error."""
    match = _NODE_HEAD.search(text[: 4 * _MEASURED])
    if match is None:
        return None
    message = text[match.end() :].removesuffix(" {")
    if text.lstrip().startswith("["):
        message = message.removesuffix("]")
    return f"{match[1]} [{match[2]}]" if match[2] else match[1], message


def node_other_head(text: str) -> tuple[str, str]:
    """Return type and message of the line above a stack, whatever its class is called."""
    match = _NODE_OTHER.match(text)
    return (match[1], text[match.end() :]) if match else ("Error", text.strip())
