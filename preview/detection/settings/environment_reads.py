"""Variables that source reads by a call, and what the code around each makes of it: its type, its default, its need."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from preview.detection.expressions import is_none, last_name, written_text
from preview.detection.nodes import Nodes
from preview.detection.settings.environment_calls import CASTS, RawRead, ReaderCalls, environment_read, own_readers
from preview.detection.settings.model import Kind, Need, SettingRead
from preview.detection.settings.refusals import raises, refused_names

_WORDS: Final = re.compile(rb"\benviron\b|getenv|decouple|starlette\.config|\bEnv\(|\bget_env|\benv[.(]")
# One of these is in each of them: to look for a text costs a tenth of what the pattern does.
_WORD_PARTS: Final = (b"env", b"Env(", b"decouple", b"starlette.config")
# What they are given must be no None.
_STRICT_CASTS: Final = frozenset({"int", "float", "loads", "literal_eval", "Path", "strtobool", "timedelta", "Secret"})
_STRICT_METHODS: Final = frozenset(
    {"split", "lower", "upper", "strip", "replace", "encode", "startswith", "endswith", "rstrip", "lstrip", "title"}
)


def environment_reads(nodes: Nodes, files: Iterable[str]) -> list[SettingRead]:
    """All such reads of the files, in order."""
    texts = {file: nodes.sources.text(file) for file in files}
    names = [file for file, text in texts.items() if any(map(text.__contains__, _WORD_PARTS)) and _WORDS.search(text)]
    helpers = {name: need for file in names for name, need in own_readers(nodes, file)}
    called = (
        re.compile(rb"\b(?:" + b"|".join(re.escape(name.encode()) for name in helpers) + rb")\(") if helpers else None
    )
    found: list[SettingRead] = []
    for file, text in texts.items():
        if file in names or (called is not None and called.search(text)):
            found += _Reader(file, nodes.all(file), helpers).reads()
    return found


class _Reader:
    """Reads one file."""

    def __init__(self, file: str, nodes: Sequence[ast.AST], helpers: dict[str, Need]) -> None:
        self._file = file
        self._nodes = nodes
        self._parents: dict[ast.AST, ast.AST] = {}
        self._calls = ReaderCalls(nodes, helpers)
        self._given = set(_given_here(nodes))
        self._refused = set(refused_names(nodes))

    def reads(self) -> list[SettingRead]:
        """What the file reads, less what it sets itself."""
        raws = [(node, raw) for node in self._nodes if (raw := environment_read(node) or self._calls.read(node))]
        if raws:
            self._parents = {child: node for node in self._nodes for child in ast.iter_child_nodes(node)}
        found = [
            self._read(node, raw, raw.key.value)
            for node, raw in raws
            if isinstance(raw.key, ast.Constant) and isinstance(raw.key.value, str)
        ]
        return [read for read in found if read.name.isidentifier()]

    def _read(self, node: ast.AST, raw: RawRead, name: str) -> SettingRead:
        read = SettingRead(name, self._file, getattr(node, "lineno", 1), Need.OPTIONAL, raw.kind)
        if raw.default is not None and not is_none(raw.default):
            return replace(self._typed(read, node), need=Need.DEFAULTED, default=written_text(raw.default))
        if raw.default is not None:
            return replace(self._typed(read, node), need=Need.DEFAULTED)
        read = self._typed(read, node)
        if self._has_fallback(node) or name in self._given:
            return replace(read, need=Need.DEFAULTED, default=self._fallback(node))
        if raw.strict or read.need is Need.REQUIRED or self._is_refused(node):
            return replace(read, need=Need.REQUIRED)
        return read

    def _typed(self, read: SettingRead, node: ast.AST) -> SettingRead:
        """What the surroundings make of it: ``int(…)``, ``….split(",")``, ``… == "true"``."""
        parent = self._parents.get(node)
        while isinstance(parent, ast.BoolOp):
            parent = self._parents.get(parent)
        if isinstance(parent, ast.Call) and node in parent.args:
            name = last_name(parent.func)
            kind = CASTS.get(name, read.kind)
            return replace(read, kind=kind, need=Need.REQUIRED if name in _STRICT_CASTS else read.need)
        if isinstance(parent, ast.keyword) and parent.arg in {"minutes", "hours", "days", "seconds", "port"}:
            return replace(read, kind=Kind.INTEGER, need=Need.REQUIRED)
        if isinstance(parent, ast.Attribute) and parent.attr in _STRICT_METHODS:
            outer = self._parents.get(self._parents.get(parent, parent), parent)
            compared = isinstance(outer, ast.Compare)
            kind = Kind.WORDS if parent.attr == "split" else Kind.BOOLEAN if compared else read.kind
            return replace(read, kind=kind, need=Need.REQUIRED)
        if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Add | ast.Div):
            return replace(read, need=Need.REQUIRED)
        if isinstance(parent, ast.Compare):
            return replace(read, kind=Kind.BOOLEAN, choices=tuple(_constants(parent)))
        return read

    def _has_fallback(self, node: ast.AST) -> bool:
        """``… or "value"``, an ``if "X" in os.environ`` around it, a ``try`` that goes on without it."""
        parent = self._parents.get(node)
        if isinstance(parent, ast.BoolOp) and isinstance(parent.op, ast.Or) and parent.values[-1] is not node:
            return not is_none(parent.values[-1])
        while parent is not None:
            if isinstance(parent, ast.Try) and parent.handlers and not raises(parent.handlers):
                return True
            if isinstance(parent, ast.If | ast.IfExp) and "environ" in ast.dump(parent.test):
                return True
            if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                return False
            parent = self._parents.get(parent)
        return False

    def _fallback(self, node: ast.AST) -> str | None:
        parent = self._parents.get(node)
        return written_text(parent.values[-1]) if isinstance(parent, ast.BoolOp) else None

    def _is_refused(self, node: ast.AST) -> bool:
        """It is given a name, and the file raises when that name holds nothing."""
        parent = self._parents.get(node)
        if isinstance(parent, ast.AnnAssign | ast.NamedExpr):
            targets: list[ast.expr] = [parent.target]
        else:
            targets = parent.targets if isinstance(parent, ast.Assign) else []
        return any(last_name(target) in self._refused for target in targets)


def _given_here(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Variables that the file sets itself."""
    for node in nodes:
        key: ast.expr | None = None
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and last_name(node.value) == "environ":
            key = node.slice
        elif (
            isinstance(node, ast.Call)
            and last_name(node.func) == "setdefault"
            and node.args
            and "environ" in ast.dump(node.func)
        ):
            key = node.args[0]
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value


def _constants(node: ast.Compare) -> Iterator[str]:
    for item in (node.left, *node.comparators):
        members = item.elts if isinstance(item, ast.Tuple | ast.List | ast.Set) else [item]
        for member in members:
            if isinstance(member, ast.Constant) and isinstance(member.value, str):
                yield member.value
