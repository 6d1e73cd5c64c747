"""Values of variables that a project's own tests, workflows and compose files give.

Its tests start the application, so they set what it demands. Each text is read by patterns of bounded length, or as
YAML within the bounds of ``read_yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Final

from preview.detection.settings.example_files import is_placeholder
from preview.detection.settings.values import is_debug, is_environment
from preview.sources.yaml_values import UnreadableYaml, YamlValue, read_yaml

_YAML: Final = re.compile(
    r"(?:\.github/workflows/[^/]{1,100}|(?:docker-)?compose(?:[._-][\w.-]{1,60})?|\.gitlab-ci|\.circleci/config)\.ya?ml"
)
_CONFIGURATION: Final = frozenset({"pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml"})
_CODE: Final = re.compile(
    r"(?:.{0,200}/)?(?:conftest\.py|(?:jest|vitest)?[._-]?(?:setup|env|config)[\w.-]{0,40}\.[cm]?[jt]s|setup_?tests?\.[jt]s)",
    re.IGNORECASE,
)
_OF_TESTS: Final = re.compile(
    r"(?:^|[/._-])(?:tests?|__tests__|spec|e2e|jest|vitest|conftest)(?:[/._-]|$)", re.IGNORECASE
)
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{1,80}")
# `os.environ["A"] = "b"`, `os.environ.setdefault("A", "b")`, `monkeypatch.setenv("A", "b")`, `process.env.A = 'b'`
_SET: Final = re.compile(
    r"^[ \t]{0,40}(?:(?:os\.)?environ(?:\[|\.setdefault\()|(?:\w{1,40}\.)?setenv\(|process\.env(?:\.|\[))[ \t]{0,8}"
    r"(?P<q>[\"']?)(?P<name>[A-Z][A-Z0-9_]{1,80})(?P=q)\]?[ \t]{0,8}(?:=|\?\?=|\|\|=|,)[ \t]{0,8}\(?"
    r"(?P<v>[\"'])(?P<value>[^\"'\n\\]{1,500})(?P=v)\)?[ \t]{0,8};?[ \t]{0,8}(?:(?:#|//).{0,200})?\r?$",
    re.MULTILINE,
)
_OPENS: Final = re.compile(r"[ \t]{0,8}(?:env|setenv|set_env)[ \t]{0,8}=[ \t]{0,8}(?P<rest>\[?.{0,500})", re.IGNORECASE)
_TABLE: Final = re.compile(r"\[tool\.pytest_env\][ \t]{0,8}")
_PAIR: Final = re.compile(r"(?:[DR]:){0,2}(?P<name>[A-Z][A-Z0-9_]{1,80})[ \t]{0,8}=[ \t]{0,8}(?P<value>.{1,500})")
# `echo "SHOP_KEY=abc" >> .env`, in a step of a workflow.
_WRITTEN: Final = re.compile(
    r"\becho[ \t]{1,4}[\"']?(?P<name>[A-Z][A-Z0-9_]{1,80})=(?P<value>[^\"'\n>]{1,500})[\"']?[ \t]{0,8}>{1,2}"
    r"[ \t]{0,8}[^\s>]{0,100}\.env\b"
)
_DEFAULT: Final = re.compile(r"\$\{\w{1,80}:?-(?P<value>[^${}]{1,300})\}")
_TEST_NAME: Final = re.compile(
    r"(?:^|_)(?:TEST(?:S|ING)?|PYTEST|CI)(?:_|$)|SETTINGS(?:_MODULE)?$|CONFIG(?:URATION)?(?:_CLASS|_NAME)?$"
)
_TABLES: Final = ("env", "environment", "variables")
_MOST_FILES: Final = 12
_MOST_PARTS: Final = 5_000
_MOST: Final = 200


def files_of_tests(names: Iterable[str]) -> list[str]:
    """Return the files that may give values, the most telling first: a few at most."""
    found = [
        name
        for name in names
        if name in _CONFIGURATION or _YAML.fullmatch(name) or (_CODE.fullmatch(name) and _OF_TESTS.search(name))
    ]
    # Tests give only what the application demands. Hosts of compose files are those of containers.
    return sorted(found, key=lambda name: (_YAML.fullmatch(name) is not None, "compose" in name, name))[:_MOST_FILES]


def values_of_tests(name: str, text: str) -> dict[str, str]:
    """Return the values that one of these files gives variables, without placeholders and references.

    Names of an environment and what only tests read are left out.
    """
    if _YAML.fullmatch(name):
        written = ((match["name"], match["value"].strip()) for match in _WRITTEN.finditer(text))
        pairs: Iterator[tuple[str, str]] = chain(_of_yaml(name, text), written)
    elif name in _CONFIGURATION:
        pairs = _of_configuration(text)
    else:
        pairs = ((match["name"], match["value"]) for match in _SET.finditer(text))
    found: dict[str, str] = {}
    # One text may stand in a file at many places.
    for key, given in islice(pairs, _MOST_PARTS):
        value = match["value"] if (match := _DEFAULT.fullmatch(given)) is not None else given
        if len(found) < _MOST and _is_value(key, value):
            found.setdefault(key, value)
    return found


def _is_value(name: str, value: str) -> bool:
    is_plain = value.isascii() and value.isprintable() and "$" not in value and bool(value)
    is_known = _NAME.fullmatch(name) is not None and not _TEST_NAME.search(name)
    is_mode = is_environment(name) or is_debug(name)
    return is_plain and is_known and not is_mode and not is_placeholder(value)


def _of_configuration(text: str) -> Iterator[tuple[str, str]]:
    """Yield the lines below ``env =`` (pytest-env) and ``setenv =`` (tox), and those of its table."""
    is_open = in_table = False
    for line in text.splitlines():
        if line.startswith("["):
            is_open, in_table = False, _TABLE.fullmatch(line) is not None
        elif (match := _OPENS.fullmatch(line)) is not None:
            is_open, line = True, match["rest"].lstrip("[")  # noqa: PLW2901  its first value
        elif line[:1] not in {"", " ", "\t", '"', "'"} and not in_table:
            is_open = False
        if is_open or in_table:
            plain = line.strip().rstrip(",]").strip("\"' ")
            if (pair := _PAIR.fullmatch(plain)) is not None:
                yield pair["name"], pair["value"].strip("\"' ")


def _of_yaml(name: str, text: str) -> Iterator[tuple[str, str]]:
    try:
        parts: list[YamlValue] = [read_yaml(text.encode())]
    except UnreadableYaml:
        return
    # Those of a workflow are images of servers, whose variables are not the project's.
    aside = "services" if "compose" not in name else ""
    for part, _ in zip(parts, range(_MOST_PARTS), strict=False):
        table = part if isinstance(part, dict) else {}
        for key in _TABLES:
            yield from _pairs(table.get(key))
        inner = part if isinstance(part, list) else (table[key] for key in table if key != aside)
        # One large table may stand at many places.
        parts += islice(inner, max(0, _MOST_PARTS - len(parts)))


def _pairs(value: YamlValue) -> Iterator[tuple[str, str]]:
    """Yield ``A: b``, ``- A=b`` and GitLab's ``A: {value: b}``."""
    if isinstance(value, dict):
        for key, given in value.items():
            one = given.get("value") if isinstance(given, dict) else given
            if isinstance(one, str):
                yield key, one
    elif isinstance(value, list):
        for item in value[:_MOST]:
            if isinstance(item, str) and "=" in item:
                key, _, one = item.partition("=")
                yield key, one
