"""Programs read facts; sentences are for people, and may change. So no code of the page matches on a sentence."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from tree_sitter import Parser

from preview.sources.javascript import TSX

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "frontend" / "src"
# Methods whose argument is a sentence that a person reads: a preview's log, and the reason of its end.
_SAYING = frozenset({"say"})
_TEXT = re.compile(r"(?:startsWith|endsWith|includes|indexOf)\(\s*\"([^\"\n]+)\"")
_COMMENT = re.compile(r"/\*.*?\*/|(?m:^\s*//.*$)|(?m:\s//\s.*$)", re.DOTALL)
# What anything may look like: an expression that matches one of these is not about our sentences.
_ANYTHING = (
    "lorem ipsum, dolor sit amet.", "Lorem: ipsum (12)", "12 dolor", "lorem.json", "a/b", "x=1", "\x1b[0m", "", "a b!",
    "GET /lorem HTTP/1.1 200", "http://lorem:1/x?y=z", "exit code 7", "lorem error", '{"a": [1]}', "a\nb", "a\tb",
    "-x'", "007",
)  # fmt: skip


@cache
def sentences() -> list[str]:
    """What the service says in logs and as reasons; each value in an f-string is one that might stand there."""
    found = ["process 7 started, port 3001", "stopped: the service ended"]
    for file in (ROOT / "preview" / "supervisor").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _SAYING:
                found += map(_text_of, node.args[:1])
    lifecycle = ast.parse((ROOT / "preview" / "core" / "lifecycle.py").read_text("utf-8"))
    found += [
        node.value
        for node in ast.walk(lifecycle)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("stopped")
    ]
    return [one for one in found if " " in one]


def _text_of(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "0.50" for part in node.values)
    return ""


def matches(source: str) -> Iterator[re.Pattern[str]]:
    """The expressions of a TypeScript source, and the texts that it looks for, as expressions."""
    waiting = [Parser(TSX).parse(source.encode()).root_node]
    while waiting:
        node = waiting.pop()
        waiting += node.children
        if node.type == "regex":
            body, _, flags = (node.text or b"").decode()[1:].rpartition("/")
            yield re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", body), re.IGNORECASE if "i" in flags else 0)
    code = _COMMENT.sub("", source)
    for text in _TEXT.findall(code):
        yield re.compile(re.escape(text))


def about_sentences(source: str) -> list[str]:
    """Those that match a sentence of the service, and not just anything."""
    said = sentences()
    return [
        one.pattern for one in matches(source) if not any(map(one.search, _ANYTHING)) and any(map(one.search, said))
    ]


def product() -> list[Path]:
    return [file for kind in ("*.ts", "*.tsx") for file in PAGE.rglob(kind) if ".test." not in file.name]


def test_the_service_says_sentences() -> None:
    said = sentences()
    assert len(said) > 30
    assert any(one.startswith("files ready in") for one in said)


@pytest.mark.parametrize(
    "source",
    [
        "const F = /^files ready in (.+)$/;",
        "const T = /^(reloaded|restarted) in |^ready in .* takes over$/;",
        "const P = { said: /^process \\d+ started, (.+)$/ };",
        "if (/service is shutting down/.test(end.reason ?? '')) return;",
        'if (line.message.startsWith("ready in ")) return;',
        'return [/time limit reached/, "over"];',
    ],
)
def test_a_match_on_a_sentence_is_found(source: str) -> None:
    assert about_sentences(source)


@pytest.mark.parametrize(
    "source", [r"const W = /\s+/g;", r"const U = /^https?:\/\//;", 'path.startsWith("/")', "// says: ready in 5 s"]
)
def test_other_matches_are_let_pass(source: str) -> None:
    assert not about_sentences(source)


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
def test_the_page_matches_on_no_sentence() -> None:
    assert len(product()) > 80
    # The two that tell how a reason begins: `stopped: …` of a limit is a form, see docs/api.md.
    allowed = {r"^(stopped|failed):\s*", re.escape("stopped: "), "^failed: "}
    found = {
        str(file.relative_to(ROOT)): wrong
        for file in product()
        if (wrong := [one for one in about_sentences(file.read_text("utf-8")) if one not in allowed])
    }
    assert found == {}
