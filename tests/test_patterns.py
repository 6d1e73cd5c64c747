"""Every regular expression of the service takes time in proportion to its text, whatever the text.

Each is tried on texts made for it: what comes before a repetition, then the repetition's own text 20,000 times over,
then a character that fits nothing. One that goes back and forth over such a text takes seconds.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from re import _constants as codes  # the parser's words have no public name
from re import _parser as parser
from typing import Any, Final

import pytest

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS: Final = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
REPEATS = 50_000
# A text of 50,000 characters takes a linear one a millisecond; a quadratic one takes seconds.
LIMIT_S = 0.4
# So many tests have them all.
PARTS = 8

# Run by workers and confined programs alone (docs/security.md): their time is bounded, whatever they take.
IN_WORKERS: Final = (
    "preview/replay/probe/confined/",
    "preview/data/confined/", "preview/detection/", "preview/endpoints/", "preview/sources/",
    "preview/environments/manifests/", "preview/environments/imports/",
    "preview/environments/node/manifest.py", "preview/environments/node/locks/",
    "preview/environments/node/registries.py", "preview/environments/node/registries.py",
    "preview/environments/requirements/local_paths.py",
)  # fmt: skip

# Of those folders, run by the service.
IN_SERVICE: Final = "preview/endpoints/merging.py"
# Not written as text: where, and why that is linear.
MADE: Final = {
    "preview/environments/python/relax.py": "parts of sentences, each a text above, over a build's last lines",
    "preview/http/core/line_query.py": "the form of a request id, which preview/logs/model/frames.py has too",
    "preview/logs/filter/fields.py": "the name of a field, escaped, at the start of a word; possessive",
    "preview/logs/filter/keys.py": "the form of a request id, matched as a whole",
    "preview/logs/model/filtering.py": "a text that is looked for, escaped",
    "preview/replay/sending/credentials.py": "the name of a field, escaped, before spaces that no second name shares",
    "preview/supervisor/diagnosis/diagnosis.py": "the path of a folder, escaped",
    "preview/supervisor/mending/container_folder.py": "the path of a folder, escaped, after a quotation mark",
    "preview/supervisor/mending/container_values.py": "the name of a dictionary, escaped, as a whole word",
}
# Put together by functions; found in what the modules have.
IN_TABLES: Final = (
    "preview.environments.python.causes",
    "preview.supervisor.diagnosis.diagnose",
    "preview.supervisor.diagnosis.diagnose_network",
    "preview.supervisor.diagnosis.diagnose_services",
)  # fmt: skip


@dataclass(frozen=True)
class Pattern:
    """One expression in the source."""

    place: str
    text: str | bytes
    flags: int = 0
    uses: tuple[str, ...] = ("search", "fullmatch")

    def __str__(self) -> str:
        return f"{self.place} {self.text!r}"[:150]


class TooSlow(Exception):
    pass


def _flags(node: ast.AST) -> int:
    return sum(
        int(getattr(re, one.attr)) for one in ast.walk(node) if isinstance(one, ast.Attribute) and one.attr.isupper()
    )


def _uses(nodes: list[ast.AST]) -> dict[str, set[str]]:
    """Which functions a module calls of the patterns that it has given names."""
    found: dict[str, set[str]] = {}
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr in FUNCTIONS and isinstance(node.value, ast.Name):
            found.setdefault(node.value.id, set()).add(node.attr)
    return found


def _names(nodes: list[ast.AST]) -> dict[ast.AST, str]:
    """The names that values of a module have."""
    found: dict[ast.AST, str] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.value] = node.targets[0].id
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            found[node.value] = node.target.id
    return found


def _tried(call: ast.Call, names: dict[ast.AST, str], uses: dict[str, set[str]]) -> tuple[str, ...]:
    """What to try a pattern with: ``match`` and ``fullmatch`` begin at the text's beginning alone."""
    assert isinstance(call.func, ast.Attribute)
    called = {call.func.attr} if call.func.attr != "compile" else uses.get(names.get(call, ""), {"search", "fullmatch"})
    anchored = sorted(called & {"match", "fullmatch"})
    return (*anchored, *(["search"] if called - {"match", "fullmatch"} else []))


def _found(file: Path) -> Iterator[tuple[str, ast.Call, tuple[str, ...], str]]:
    name = file.relative_to(ROOT).as_posix()
    text = file.read_text()
    # Most modules have no expression, and need not be parsed.
    if "re." not in text:
        return
    nodes = list(ast.walk(ast.parse(text)))
    names, uses = _names(nodes), _uses(nodes)
    for node in nodes:
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in FUNCTIONS
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
        ):
            yield f"{name}:{node.lineno}", node, _tried(node, names, uses), names.get(node, "")


def _made(file: Path, name: str) -> re.Pattern[Any] | None:
    """The pattern that a module has under this name, however it was put together."""
    if not name:
        return None
    module = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    found = getattr(module, name, None)
    return found if isinstance(found, re.Pattern) else None


def _patterns() -> tuple[list[Pattern], list[str]]:
    """Those that are written as text; and the places of all others."""
    written, made = [], []
    for file in sorted((ROOT / "preview").rglob("*.py")):
        for place, call, tried, name in _found(file):
            first = call.args[0] if call.args else None
            flags = sum(map(_flags, [*call.args[1:], *(one.value for one in call.keywords)]))
            try:
                text = ast.literal_eval(first) if first is not None else None
            except ValueError:
                text = None
            if isinstance(text, str | bytes):
                written.append(Pattern(place, text, flags, tried))
            elif (pattern := _made(file, name)) is not None:
                written.append(Pattern(place, pattern.pattern, pattern.flags & ~re.UNICODE, tried))
            else:
                made.append(place)
    return written, made


def _within(value: object, depth: int = 0) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth < 5 and isinstance(value, dict | tuple | list | frozenset):
        for item in [*value, *(value.values() if isinstance(value, dict) else ())]:
            yield from _within(item, depth + 1)
    elif depth < 5 and dataclasses.is_dataclass(value):
        for one in dataclasses.fields(value):
            yield from _within(getattr(value, one.name), depth + 1)


def _in_tables() -> Iterator[Pattern]:
    for name in IN_TABLES:
        place = f"{name.replace('.', '/')}.py"
        for number, found in enumerate(_within(list(vars(importlib.import_module(name)).values()))):
            yield Pattern(f"{place}:#{number}", found.pattern, found.flags & ~re.UNICODE)


@functools.cache
def everything() -> tuple[list[Pattern], list[str]]:
    """As ``_patterns``, with those of tables. Not while tests are collected: all sources are parsed."""
    written, made = _patterns()
    return [*written, *_in_tables()], made


MADE_FILES: Final = {*MADE, *(f"{name.replace('.', '/')}.py" for name in IN_TABLES)}


def _sample(items: Any) -> str:
    """A short text that fits."""
    return "".join(_one(kind, value) for kind, value in items)


def _one(kind: Any, value: Any) -> str:
    match kind:
        case codes.LITERAL:
            return chr(value)
        case codes.NOT_LITERAL:
            return "a" if value != ord("a") else "b"
        case codes.ANY:
            return "a"
        case codes.IN:
            return _of_class(value)
        case codes.MAX_REPEAT | codes.MIN_REPEAT | codes.POSSESSIVE_REPEAT:
            return _sample(value[2]) * max(1, int(value[0]))
        case codes.SUBPATTERN:
            return _sample(value[3])
        case codes.ATOMIC_GROUP:
            return _sample(value)
        case codes.BRANCH:
            return _sample(value[1][0])
        case _:
            return ""


CATEGORIES = {
    codes.CATEGORY_DIGIT: "1", codes.CATEGORY_SPACE: " ", codes.CATEGORY_WORD: "a",
    codes.CATEGORY_NOT_SPACE: "a", codes.CATEGORY_NOT_WORD: "-", codes.CATEGORY_NOT_DIGIT: "a",
}  # fmt: skip


def _of_class(items: Any) -> str:
    fitting: list[str] = []
    negated = items[0][0] is codes.NEGATE
    for kind, value in items:
        if kind is codes.LITERAL:
            fitting.append(chr(value))
        elif kind is codes.RANGE:
            fitting.append(chr(value[0]))
        elif kind is codes.CATEGORY:
            fitting.append(CATEGORIES[value])
    if not negated:
        return fitting[0]
    compiled = {chr(value) for kind, value in items if kind is codes.LITERAL}
    return next(one for one in "ab -/.1" if one not in compiled and one not in fitting)


def _attacks(items: Any, before: str = "") -> Iterator[str]:
    """For each repetition without an end: what comes before it, and its own text many times over."""
    repeated: list[str] = []
    for kind, value in items:
        bodies: list[Any] = []
        if kind in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            _low, high, body = value
            if high is codes.MAXREPEAT:
                own = _sample(body)
                yield from (before + own * REPEATS, own * REPEATS, (before + own) * REPEATS)
                yield from (before + one * REPEATS + own * REPEATS for one in repeated)
                repeated.append(own)
            bodies = [body]
        elif kind is codes.SUBPATTERN:
            bodies = [value[3]]
        elif kind is codes.BRANCH:
            bodies = value[1]
        elif kind in (codes.ASSERT, codes.ASSERT_NOT):
            bodies = [value[1]]
        for body in bodies:
            yield from _attacks(body, before)
        before += _one(kind, value)
    # Of a search that begins anew at each character.
    yield before * (REPEATS // max(1, len(before)))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def attack_on(pattern: Pattern) -> str | None:
    """A text that takes it too long, shortened; None without one."""
    compiled: re.Pattern[Any] = re.compile(pattern.text, pattern.flags)
    text = pattern.text if isinstance(pattern.text, str) else pattern.text.decode("latin-1")
    for attack in dict.fromkeys(_attacks(parser.parse(text, pattern.flags))):
        for ending in ("\0", ""):
            data = attack + ending if isinstance(pattern.text, str) else (attack + ending).encode("latin-1", "replace")
            try:
                with within(LIMIT_S):
                    for use in pattern.uses:
                        getattr(compiled, use)(data)
            except TooSlow:
                return f"{attack[:20]!r}… ({len(attack)} characters)"
    return None


def in_service(pattern: Pattern) -> bool:
    return pattern.place.startswith(IN_SERVICE) or not pattern.place.startswith(IN_WORKERS)


def test_a_pattern_that_is_not_linear_is_found() -> None:
    assert attack_on(Pattern("", r"(a+)+$")) is not None
    assert attack_on(Pattern("", r"\s*x\s*\s*$")) is not None
    assert attack_on(Pattern("", r"x*y")) is not None
    assert attack_on(Pattern("", r"[a-z]{1,9}=\d+")) is None


def test_patterns_are_found() -> None:
    patterns, made = everything()
    assert len(patterns) > 100
    unknown = [place for place in made if place.rpartition(":")[0] not in MADE_FILES]
    assert [place for place in unknown if in_service(Pattern(place, ""))] == []


@pytest.mark.parametrize("part", range(PARTS))
def test_a_pattern_takes_time_in_proportion_to_its_text(part: int) -> None:
    patterns = [one for one in everything()[0] if in_service(one)]
    attacks = {str(one): attack_on(one) for one in patterns[part::PARTS]}
    assert {name: attack for name, attack in attacks.items() if attack is not None} == {}


if __name__ == "__main__":
    patterns, made = everything()
    for one in patterns:
        found = attack_on(one)
        if found is not None:
            sys.stdout.write(f"{'service' if in_service(one) else 'worker'} {one}: {found}\n")
    sys.stdout.write("\n".join(made) + f"\n{len(patterns)} patterns\n")
