"""Words that this project does not use, as each of them made readers read twice: see CONTRIBUTING.md, "Prose"."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The word, and what stands in its place.
WORDS = {
    r"anew": "again",
    r"begun": "started",
    r"ahead of": "before",
    r"lets? go of|letting go of": "releases",
    r"rooms": "packages",
    r"in other clothes": "in other forms",
    r"gives way|giving way": "yields",
    r"made ahead": "made in advance, a spare slot",
    r"whoever": "the caller, a client: name the person or the part",
    r"(?:is|are) told": "is logged, is reported, is shown, is called with",
    r"what comes|what is there": "name the thing",
    r"held in|holds in": "isolated by, confined; kept in",
}
PATTERN = re.compile(rf"\b(?:{'|'.join(WORDS)})\b", re.IGNORECASE)
# Code in prose: names of functions and files keep theirs.
CODE = re.compile(r"``[^`]*``|`[^`\n]*`|\{[^{}]*\}|\b\w+\.\w+\b|^\s*anew: |^\s*begun: ", re.MULTILINE)


def prose_of_python(file: Path) -> Iterator[tuple[int, str]]:
    """Comments, docstrings and sentences."""
    for token in tokenize.generate_tokens(io.StringIO(file.read_text("utf-8")).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and " " in token.string):
            yield token.start[0], token.string


def prose_of(file: Path) -> Iterator[tuple[int, str]]:
    if file.suffix == ".py":
        yield from prose_of_python(file)
    elif file.suffix == ".md":
        yield from enumerate(file.read_text("utf-8").splitlines(), 1)
    else:
        # Comments and texts: a line of code without either has no space between two words of one.
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            if "//" in line or "*" in line or '"' in line or ">" in line:
                yield number, line


def found_in(file: Path) -> list[str]:
    return [
        f"{file.relative_to(ROOT)}:{number}: {match.group(0)}"
        for number, text in prose_of(file)
        for match in PATTERN.finditer(CODE.sub("", text))
    ]


def files() -> list[Path]:
    pages = [one for one in (ROOT / "frontend" / "src").rglob("*.ts*") if ".test." not in one.name]
    texts = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    return [*(ROOT / "preview").rglob("*.py"), *texts, *pages]


def test_no_text_of_ours_has_such_a_word() -> None:
    assert len(files()) > 600
    found = [one for file in files() for one in found_in(file)]
    assert found == [], f"use instead: {WORDS}"


# A first line is an imperative (ruff D401) or names the thing.
FIRST_WORDS = re.compile(
    r"(?:What|Whether|Whoever|Who|Whom|Whose|Why|How|Where|When|Which|It|As|Then|If|This|That|There|So|But|And)\b"
)


def first_lines(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if docstring := ast.get_docstring(node):
            yield node.body[0].lineno, docstring.splitlines()[0]


def test_a_docstring_begins_with_what_it_is_or_does() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line}"
        for file in sorted((ROOT / "preview").rglob("*.py"))
        for number, line in first_lines(file)
        if FIRST_WORDS.match(line)
    ]
    assert found == [], "name the thing, or say what the function does"


@pytest.mark.parametrize(
    "text", ['"""Made anew."""', "# Ahead of the first.", 'log.say("it is held in by nothing")', "x = 1  # begun early"]
)
def test_a_word_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "one.py").write_text(text)
    assert found_in(tmp_path / "one.py")
