"""The form of the documents: links, tables, length. ``test_docs.py`` compares their content with the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCS = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md"), ROOT / "benchmarks" / "README.md"])
each_document = pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
CELL_WORDS = 12


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield numbered lines outside of fenced examples."""
    fenced = False
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def anchors(path: Path) -> set[str]:
    """Return the names that GitHub gives to the headings; repeated ones are numbered."""
    names: list[str] = []
    for _, line in prose(path):
        if heading := re.fullmatch(r"#+ (.*)", line):
            text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading[1])
            names.append(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-"))
    return {name if not before.count(name) else f"{name}-{before.count(name)}" for name, before in before_each(names)}


def before_each(names: list[str]) -> Iterator[tuple[str, list[str]]]:
    return ((name, names[:index]) for index, name in enumerate(names))


@each_document
def test_links_and_their_anchors_lead_somewhere(path: Path) -> None:
    for number, line in prose(path):
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", line):
            aim = (path.parent / target).resolve() if target else path
            assert aim.exists(), f"{path.name}:{number} links to {target}"
            if anchor:
                assert anchor in anchors(aim), f"{path.name}:{number} links to {target}#{anchor}"


def cells(line: str) -> list[str]:
    """Return the cells of a table's row, with code and links as one word each."""
    line = re.sub(r"`[^`]*`", "code", line)
    line = re.sub(r"\[([^]]*)\]\([^)]*\)", "link", line)
    return line.strip().strip("|").split("|")


@pytest.mark.parametrize(
    "path", [path for path in DOCS if path.parent.name != "benchmarks"], ids=lambda path: path.name
)
def test_tables_hold_short_facts(path: Path) -> None:
    long = [
        f"{path.name}:{number}: {cell.strip()}"
        for number, line in prose(path)
        if line.startswith("|")
        for cell in cells(line)
        if len(re.findall(r"\S*\w\S*", cell)) > CELL_WORDS
    ]
    assert long == [], f"at most {CELL_WORDS} words in a cell; the rest is prose below the table"


def test_the_readme_is_the_index_of_all_documents() -> None:
    text = README.read_text("utf-8")
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f"](docs/{path.name})" not in text] == []
    groups = re.findall(r"^- \*\*(.+?)\*\*:", text.partition("## Documentation")[2], re.MULTILINE)
    assert groups == ["Getting started", "Guides", "Reference", "Internals"]


def test_the_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 150
