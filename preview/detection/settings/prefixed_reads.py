"""Variables that Flask and Quart read by their prefix: ``app.config.from_prefixed_env()``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from preview.detection.expressions import keyword, last_name
from preview.detection.project_imports import Nodes
from preview.detection.settings.example_files import ExampleValue, is_placeholder
from preview.detection.settings.model import Need, SettingRead
from preview.detection.settings.values import is_database_url

_CALL: Final = b"from_prefixed_env("
# The command line's own: they choose the application, and how it runs.
_OF_COMMANDS: Final = re.compile(r"(?:APP|ENV|DEBUG|SKIP_DOTENV|RUN_\w+|RUN)")
_SECRET: Final = re.compile(r"(?:^|_)SECRET(?:_KEY)?$")

_MOST_PREFIXES: Final = 8
# `KEY = …`, `config["KEY"] = …`, `{"KEY": …}` and `update(KEY=…)`
_SET: Final = re.compile(rb"\b(\w{1,100})(?=[\"']\s{0,9}:|[\"']?\]?\s{0,9}(?::[^=\n]{1,80}+)?=(?!=))")


def prefixed_reads(nodes: Nodes, files: Sequence[str], examples: Mapping[str, ExampleValue]) -> Iterator[SettingRead]:
    """Yield the variables of the example files that such a call gives the application.

    Their names stand in no source. A setting that the source sets keeps that value.
    """
    calls: dict[str, tuple[str, int]] = {}
    for file in files:
        if _CALL in nodes.sources.text(file):
            for line, prefix in _prefixes(nodes.all(file), nodes.sources.text(file)):
                calls.setdefault(prefix, (file, line))
    heads = tuple(calls)[:_MOST_PREFIXES]
    # All files are read once, and not for each variable.
    own = {name for file in files for name in _SET.findall(nodes.sources.text(file))} if heads else set()
    for prefix in heads:
        for name, example in examples.items():
            read = SettingRead(name, *calls[prefix], Need.REQUIRED)
            key = name.removeprefix(f"{prefix}_")
            if key != name and _is_given(read, key, example) and key.encode() not in own:
                yield read


def _prefixes(nodes: Iterable[ast.AST], text: bytes) -> Iterator[tuple[int, str]]:
    """Yield the line and the prefix of each call."""
    for node in nodes:
        if isinstance(node, ast.Call) and last_name(node.func) == "from_prefixed_env":
            given = node.args[0] if node.args else keyword(node, "prefix")
            if given is None:
                yield node.lineno, "QUART" if b"Quart(" in text else "FLASK"
            elif isinstance(given, ast.Constant) and isinstance(given.value, str):
                yield node.lineno, given.value


def _is_given(read: SettingRead, key: str, example: ExampleValue) -> bool:
    """Return true for a usable example; of the others, for a secret and a database, which have made-up values."""
    if not key.isascii() or not key.isidentifier() or _OF_COMMANDS.fullmatch(key):
        return False
    return not is_placeholder(example.value) or is_database_url(read) or _SECRET.search(key) is not None
