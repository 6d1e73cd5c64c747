"""Find all ports of this machine at which a project expects a server: a second one of a kind, libpq texts, calls."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from preview.detection.databases.services import DEFAULT_PORTS, kind_of_call, kind_of_scheme
from preview.detection.expressions import keyword
from preview.detection.facts import Facts
from preview.detection.plan import ServiceKind, ServiceNeed
from preview.detection.supplied.urls import SCHEMES, is_reached

# Ports of one kind; ports below are the system's.
_MOST: Final = 8
_LEAST_PORT, _MOST_PORT = 1024, 65535
# A scan of very many would take long.
_MOST_FOUND: Final = 200
_URL: Final = re.compile(
    r"\b(?:postgres(?:ql)?|mysql|mariadb|rediss?)(?:\+\w{1,40})?://(?:[^\s'\"`<>/@]{0,300}@)?([^\s'\"`<>/@?#]{1,300})"
)
# host=db port=5433 dbname=shop user=joe, in any order, on one line.
_TEXT: Final = re.compile(
    r"(?:\b(?:host|hostaddr|port|dbname|user|password|sslmode)=[^\s'\"]{1,100}[ \t]+){1,10}\S{0,100}"
)
_WORD: Final = re.compile(r"\b(host|port|dbname)=([^\s'\"]{1,100})")
_NUMBER: Final = re.compile(r"\d{1,5}", re.ASCII)


def with_ports(
    needs: Iterable[ServiceNeed],
    texts: Iterable[str],
    facts: Facts | None = None,
    numbers: Iterable[tuple[ServiceKind, str]] = (),
) -> tuple[ServiceNeed, ...]:
    """Return the needs with all ports that the project names for them.

    Args:
        needs: Needs, one of each kind.
        texts: Files of the application, and values of its variables.
        facts: Facts of a Python application.
        numbers: Values of variables that are the port of a server of a kind.
    """
    found: dict[ServiceKind, dict[int, None]] = {kind: {} for kind in SCHEMES}
    for text in texts:
        for kind, port in (*_of_urls(text), *_of_texts(text)):
            found[kind][port] = None
    for kind, port in _of_calls(facts) if facts is not None else ():
        found[kind][port] = None
    for kind, text in numbers:
        if number := _port(text.strip()):
            found[kind][number] = None
    return tuple(replace(need, ports=_further(need, found.get(need.kind, {}))) for need in needs)


def _further(need: ServiceNeed, ports: Iterable[int]) -> tuple[int, ...]:
    known = {DEFAULT_PORTS[need.kind], need.address[1] if need.address else 0}
    return tuple(port for port in ports if port not in known)[:_MOST]


def _of_urls(text: str) -> Iterator[tuple[ServiceKind, int]]:
    for _, match in zip(range(_MOST_FOUND), _URL.finditer(text), strict=False):
        kind = kind_of_scheme(match[0])
        if kind not in SCHEMES:
            continue
        for place in match[1].split(","):
            host, _, port = place.rpartition(":")
            if is_reached(host) and (number := _port(port)):
                yield kind, number


def _of_texts(text: str) -> Iterator[tuple[ServiceKind, int]]:
    if "port=" not in text:
        return
    for _, match in zip(range(_MOST_FOUND), _TEXT.finditer(text), strict=False):
        words = dict(_WORD.findall(match[0]))
        number = _port(words.get("port", ""))
        if number and "dbname" in words and is_reached(words.get("host", "localhost")):
            yield ServiceKind.POSTGRESQL, number


def _of_calls(facts: Facts) -> Iterator[tuple[ServiceKind, int]]:
    """Yield the constant ports of ``psycopg.connect(host="db", port=5433)``, ``redis.Redis(port=6380)`` and others."""
    for call in facts.calls:
        kind = kind_of_call(call.name)
        port, host = keyword(call.node, "port"), keyword(call.node, "host")
        if kind not in SCHEMES or not isinstance(port, ast.Constant):
            continue
        number = _port(str(port.value))
        fixed = host.value if isinstance(host, ast.Constant) else "localhost"
        if number and isinstance(fixed, str) and is_reached(fixed):
            yield kind, number


def _port(text: str) -> int:
    """Return the number of a port; 0 for any other text."""
    number = int(text) if _NUMBER.fullmatch(text) else 0
    return number if _LEAST_PORT <= number <= _MOST_PORT else 0
