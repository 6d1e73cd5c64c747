"""Example projects that come with the service, for people who have none at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parents[1]
# A wheel has the examples inside the package; a checkout has them beside it.
_FOLDERS: Final = (_PACKAGE / "examples", _PACKAGE.parent / "examples")
_SKIPPED: Final = frozenset({"__pycache__", "node_modules"})


@dataclass(frozen=True, slots=True)
class Example:
    """An example project.

    Attributes:
        name: Name in routes, and of its folder.
        title: Name for people.
        framework: Framework that it uses.
        summary: Content of the example in one sentence.
        first_request: Request that shows something at once, such as ``GET /books``.
    """

    name: str
    title: str
    framework: str
    summary: str
    first_request: str


EXAMPLES: Final = {
    one.name: one
    for one in (
        Example(
            "bookshop", "Bookshop", "FastAPI", "A shop with a database, sample data and a log.", "GET /api/v1/books"
        ),
        Example("hello", "Hello", "FastAPI", "A few endpoints in one file.", "GET /"),
        Example("flask", "Notes", "Flask", "A small API that keeps notes.", "GET /notes"),
        Example("express", "Tasks", "Express", "A small Node.js API that keeps tasks.", "GET /tasks"),
    )
}


def read_example(name: str) -> dict[str, bytes]:
    """Return the content of an example's files by relative path.

    Raises:
        KeyError: No example has this name.
        OSError: The files cannot be read.
    """
    folder = next((one / EXAMPLES[name].name for one in _FOLDERS if (one / EXAMPLES[name].name).is_dir()), _FOLDERS[0])
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _SKIPPED.intersection(path.relative_to(folder).parts)
    }
