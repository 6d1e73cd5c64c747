"""All facts of an application, and which of its functions run as it comes up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from preview.detection.facts.model import Facts
from preview.detection.facts.visitor import note_facts
from preview.sources import Sources

_MAX_CLOSURE: Final = 400


def read_facts(sources: Sources, files: Iterable[str], factory: str | None = None) -> Facts:
    """Read the files once.

    Args:
        sources: The project's files.
        files: Those that the application loads.
        factory: The function that makes the application.
    """
    facts = Facts()
    for file in files:
        tree = sources.tree(file)
        if tree is not None:
            note_facts(file, tree, facts)
    todo = [*facts.started, *([factory] if factory else [])]
    facts.started.clear()
    while todo and len(facts.started) < _MAX_CLOSURE:
        name = todo.pop()
        # A name that several functions have (`get`, `connect`) says little about which of them is meant.
        if name not in facts.started and facts.defined[name] == 1:
            facts.started.add(name)
            todo += facts.called_by.get(name, ())
    return facts
