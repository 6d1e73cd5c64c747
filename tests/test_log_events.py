"""The service's own log: operators search for its events, so each is one short, constant name; details are fields."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from preview.supervisor import EVENTS

ROOT = Path(__file__).parents[1]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
NAME = re.compile(r"[a-z]+(?:[ -][a-zA-Z]+){1,5}")
# Passes a name of ``EVENTS`` on.
OF_EVENTS = "preview/supervisor/preview/service_log.py"


def is_logger(node: ast.expr) -> bool:
    return "get_logger" in ast.unparse(node)


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Yield the calls that log a line with structlog."""
    loggers = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and is_logger(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
            whose = node.func.value
            if is_logger(whose) or (isinstance(whose, ast.Name) and whose.id in loggers):
                yield node


def test_each_event_is_a_short_constant_name() -> None:
    found: list[str] = []
    count = 0
    for file in sorted((ROOT / "preview").rglob("*.py")):
        name = str(file.relative_to(ROOT))
        for call in calls(ast.parse(file.read_text("utf-8"))):
            count += 1
            event = call.args[0]
            is_good = isinstance(event, ast.Constant) and NAME.fullmatch(str(event.value)) and len(call.args) == 1
            if not is_good and name != OF_EVENTS:
                found.append(f"{name}:{call.lineno}: {ast.unparse(event)}")
    assert count > 90
    assert found == [], "two to six words without punctuation; details are keyword fields"


def test_the_documented_events_are_such_names() -> None:
    assert [name for name in EVENTS if not NAME.fullmatch(name)] == []
