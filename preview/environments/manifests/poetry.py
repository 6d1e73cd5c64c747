"""Reader of ``[tool.poetry]``, which uses Poetry's own library for version ranges.

Source: https://python-poetry.org/docs/dependency-specification/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from preview.environments.manifests.manifest_files import Line, Manifest, as_table

# Groups that `poetry install` includes but only developers of the project need.
_FOR_DEVELOPERS: Final = frozenset(
    {"dev", "test", "tests", "testing", "docs", "doc", "lint", "linting", "typing", "types", "format", "ci", "build",
     "notebook", "notebooks", "jupyter", "debug", "profiling", "development", "e2e", "qa", "style", "release"}
)  # fmt: skip
_POETRY_TABLES: Final = frozenset({"path", "file", "url", "git", "svn", "hg"})
_SHOWN: Final = 100


def read_poetry(poetry: Mapping[str, object], source: str) -> Manifest:
    """Return the requirements of ``[tool.poetry]``, without optional groups and groups for developers."""
    notes: list[str] = []
    dependencies = dict(as_table(poetry.get("dependencies")))
    python = dependencies.pop("python", None)
    lines = list(_poetry_lines(dependencies, source, notes))
    groups = poetry_groups(poetry, source)
    for name, table in as_table(poetry.get("group")).items():
        if name not in _FOR_DEVELOPERS and not as_table(table).get("optional"):
            lines += groups.pop(name, ())
    return Manifest(source, tuple(lines), groups, _python(python), notes=tuple(notes))


def poetry_groups(poetry: Mapping[str, object], source: str) -> dict[str, tuple[Line, ...]]:
    """Return all groups by name, including ``dev`` in its old form."""
    tables = {"dev": poetry.get("dev-dependencies")}
    for name, table in as_table(poetry.get("group")).items():
        tables[name] = as_table(table).get("dependencies")
    found = {
        name: tuple(_poetry_lines(as_table(table), f"{source} group {name}", [])) for name, table in tables.items()
    }
    return {name: lines for name, lines in found.items() if lines}


def _poetry_lines(table: Mapping[str, object], source: str, notes: list[str]) -> Iterator[Line]:
    for name, value in table.items():
        # A list has alternatives with different markers.
        for one in value if isinstance(value, list) else [value]:
            line = _line(name, one, source, notes)
            if line is not None:
                yield Line(line, source)


def _line(name: str, value: object, source: str, notes: list[str]) -> str | None:
    table = as_table(value)
    for key in ("path", "file"):
        if isinstance(table.get(key), str):
            return f"{name} @ {table[key]}"
    if not isinstance(value, str | dict):
        return name
    # The import takes 0.1 s, so only projects that need it load it.
    from poetry.core.factory import Factory  # noqa: PLC0415

    try:
        line = Factory.create_dependency(name, value).to_pep_508(with_extras=False)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        if table.keys() & _POETRY_TABLES:
            # No index has this source. As a path that does not exist, it makes the build fail.
            return f"{name} @ {str(value)[:_SHOWN]}"
        notes.append(f"{name} ({source}) cannot be read ({str(error)[:200]}): any version is taken")
        return name
    if "||" in line:  # PEP 508 has no "or"; use the last range, which is the newest
        head, _, rest = line.partition("(")
        ranges, _, marker = rest.partition(")")
        line = f"{head}({ranges.rpartition('||')[2].strip()}){marker}"
    return line


def _python(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    from poetry.core.constraints.version import parse_constraint  # noqa: PLC0415  as above

    try:
        text = str(parse_constraint(value))
    except ValueError:
        return None
    return None if "||" in text or text == "*" else text
