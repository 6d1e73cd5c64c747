"""Reader of ``Pipfile``.

Source: https://pipenv.pypa.io/en/latest/pipfile.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from preview.environments.manifests.manifest_files import Line, Manifest, as_table, as_texts, load_toml
from preview.environments.requirements.requirements import OwnIndex

_PIPFILE_SECTIONS: Final = frozenset({"path", "file", "git", "url", "uri", "hg", "svn", "bzr"})
_SHOWN: Final = 100


def read_pipfile(folder: Path, source: str) -> Manifest:
    """Return the requirements of ``Pipfile``.

    Raises:
        EnvironmentFailed: The file cannot be read.
    """
    content = load_toml(folder / "Pipfile", source)
    python = as_table(content.get("requires")).get("python_version")
    return Manifest(
        source,
        tuple(_pipfile_lines(as_table(content.get("packages")), source)),
        {"dev": tuple(_pipfile_lines(as_table(content.get("dev-packages")), f"{source} group dev"))},
        f"=={python}.*" if isinstance(python, str) and python.count(".") == 1 else None,
        indexes=tuple(_indexes(content.get("source"), source)),
    )


def _indexes(value: object, source: str) -> Iterator[OwnIndex]:
    for one in value if isinstance(value, list) else [value] if value else []:
        yield OwnIndex(str(as_table(one).get("url", "")), f"{source} [[source]]")


def _pipfile_lines(table: Mapping[str, object], origin: str) -> Iterator[Line]:
    for name, value in table.items():
        yield Line(_line(name, value), origin)


def _line(name: str, value: object) -> str:
    if isinstance(value, str):
        return name if value in {"*", ""} else f"{name}{value if value[0] in '<>=!~' else f'=={value}'}"
    details = as_table(value)
    extras = as_texts(details.get("extras"))
    head = f"{name}[{','.join(extras)}]" if extras else name
    marker = details.get("markers")
    tail = f" ; {marker}" if isinstance(marker, str) else ""
    for key in ("path", "file"):
        if isinstance(details.get(key), str):
            return f"{head} @ {details[key]}{tail}"
    if isinstance(details.get("git"), str):
        reference = details.get("ref")
        return f"{head} @ git+{details['git']}{f'@{reference}' if isinstance(reference, str) else ''}{tail}"
    if details.keys() & _PIPFILE_SECTIONS:
        # No index has this source. As a path that does not exist, it makes the build fail.
        return f"{head} @ {str(value)[:_SHOWN]}"
    version = details.get("version")
    return f"{head}{version if isinstance(version, str) and version != '*' else ''}{tail}"
