"""Read values from a project's ``.env`` and example files."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dotenv.parser import parse_stream

from preview.sources import Sources

_OWN: Final = (".env", ".flaskenv", ".env.local", ".env.dev", ".env.development")
_EXAMPLE: Final = re.compile(
    r"\.?env[._-](example|sample|template|dist|default|defaults|tmpl|tpl)|\.?(example|sample|template|default)[._-]env"
    r"|\.env\.[\w-]+\.(example|sample|template|dist)|env[._-]example\.txt|(?:example|sample|template)[._-]env\.txt|\.env[._-](dev|local|development|test|docker)"
    r"|(?:development|dev|local|example|sample)\.env|env\.txt|env[._-](?:dev|local|development|docker)"
    # `.envs/.local/.django`, of a well-known template.
    r"|\.(?:django|fastapi|flask|app|backend)"
)
# Folders of such files, one for each environment.
_INNER: Final = ("environments", "environment", "envs", "env", ".envs", ".envs/.local", ".envs/local")
# `USE_DOCKER=yes`: the program then asks for the addresses of a container, which a preview is not.
_IN_CONTAINER: Final = re.compile(r"(?:^|_)(?:IN|IS|USE|WITH)_DOCKER$")
_PLACEHOLDER: Final = re.compile(
    r"(?:.*\b(?:change[\s_-]?me|change[\s_-]?this|change[\s_-]?it|replace[\s_-]?(?:me|this|with)|your[\s_-]|my[\s_-]secret"
    r"|todo|fixme|insert[\s_-]|put[\s_-]|enter[\s_-]|fill[\s_-]|choose[\s_-]|placeholder|xxx+|example[\s_-]key|generate)).*"
    r"|<.*>|\{\{.*\}\}|\.{3,}|\*{3,}|-+|x{3,}|secret|password|none|null|sua?[\s_-].*|tu[\s_-].*"
    # The same in Spanish and Portuguese: `CAMBIAR_EN_PRODUCCION`, `PEGAR_CLAVE_AQUI`, `troque-esta-chave`
    r"|(?:cambi(?:a|ar|e)|peg(?:a|ar|ue)|mud(?:ar|e)|troque|alter(?:ar|e)|coloque|insira|cole)[\s_-].*|.*[\s_-]aqu[i\u00ed]"
    # `YourMailServer`, `yourname@gmail.com`
    r"|your[a-z.]\w*(?:[.@-].*)?",
    re.IGNORECASE,
)
_REFERENCE: Final = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_MAX_FILES: Final = 6
# The longest variable that Linux accepts (execve(2), MAX_ARG_STRLEN). All values of one file may have four times that.
_MAX_VALUE: Final = 128 * 1024
_MAX_VALUES: Final = 4 * _MAX_VALUE


@dataclass(frozen=True, slots=True)
class ExampleValue:
    """One value from a ``.env`` or example file."""

    value: str
    file: str


def own_values(sources: Sources, folders: Sequence[str]) -> dict[str, ExampleValue]:
    """Return the values in the project's own ``.env`` files in these folders; the first folder wins."""
    return _read(sources, _named(sources, folders, own=True), is_own=True)


def example_values(sources: Sources, folders: Sequence[str]) -> dict[str, ExampleValue]:
    """Return the values in the example files in these folders; the first folder wins."""
    inner = [name if folder == "." else f"{folder}/{name}" for folder in folders for name in _INNER]
    return _read(sources, _named(sources, [*folders, *inner], own=False), is_own=False)


def find_example_file(sources: Sources, folders: Sequence[str]) -> str | None:
    """Return the first example file in these folders, relative to the project, or None."""
    return next(_named(sources, folders, own=False), None)


def is_example_name(name: str) -> bool:
    """Return whether a file of this name, without its folder, has example values."""
    return _EXAMPLE.fullmatch(name) is not None


def is_placeholder(value: str) -> bool:
    """Return true for a placeholder: ``changeme``, ``<your key>``, ``[host]``, or an empty value.

    A JSON list is a placeholder only if all its elements are.
    """
    value = value.strip()
    if value.startswith("[") and value.endswith("]"):
        members = _listed(value)
        return members is None or (
            members != [] and all(isinstance(one, str) and is_placeholder(one) for one in members)
        )
    return not value or _PLACEHOLDER.fullmatch(value) is not None


def _listed(value: str) -> list[object] | None:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _named(sources: Sources, folders: Sequence[str], *, own: bool) -> Iterator[str]:
    count = 0
    for folder in folders:
        prefix = "" if folder == "." else f"{folder}/"
        inside = [name for name in sources.all_names if name.startswith(prefix) and "/" not in name[len(prefix) :]]
        for name in sorted(inside, key=lambda name: name[len(prefix) :] not in _OWN[:2]):
            last = name[len(prefix) :]
            if (last in _OWN[:2]) if own else _EXAMPLE.fullmatch(last):
                count += 1
                if count > _MAX_FILES:
                    return
                yield name


def _interpolated(value: str, values: Mapping[str, str | None]) -> str:
    """Replace ``${NAME}`` and ``${NAME:-default}`` by values of the same file, never of the service's environment."""
    parts: list[str] = []
    size, end = 0, 0
    for found in _REFERENCE.finditer(value):
        given = values.get(found[1]) or found[2] or ""
        parts += (value[end : found.start()], given)
        size += found.start() - end + len(given)
        end = found.end()
        if size > _MAX_VALUE:
            # No program could receive a value of this length, so the original text is kept.
            return value
    return "".join((*parts, value[end:]))


def _read(sources: Sources, names: Iterator[str], *, is_own: bool) -> dict[str, ExampleValue]:
    found: dict[str, ExampleValue] = {}
    left = _MAX_VALUES
    for name in names:
        text = sources.text(name).decode("utf-8-sig", "replace")
        values = {item.key: item.value for item in parse_stream(io.StringIO(text)) if item.key is not None}
        for key, value in values.items():
            if value is not None and key not in found and not (_IN_CONTAINER.search(key) and not is_own):
                # Over the limit, values keep their original text, which is no longer than the file.
                found[key] = ExampleValue(_interpolated(value, values) if left > 0 else value, name)
                left -= len(found[key].value)
    return found
