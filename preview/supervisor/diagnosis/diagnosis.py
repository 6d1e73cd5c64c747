"""Structure of a diagnosis, and the sentences for missing backing services."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from preview.detection import ServiceKind, ServiceNeed

Address = tuple[str, int | None]

# Default ports of backing services.
DEFAULT_PORTS: Mapping[ServiceKind, int] = {
    ServiceKind.POSTGRESQL: 5432,
    ServiceKind.MYSQL: 3306,
    ServiceKind.REDIS: 6379,
    ServiceKind.MONGODB: 27017,
    ServiceKind.RABBITMQ: 5672,
    ServiceKind.ELASTICSEARCH: 9200,
    ServiceKind.KAFKA: 9092,
    ServiceKind.NATS: 4222,
    ServiceKind.MQTT: 1883,
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Reason for a process's failure.

    Attributes:
        reason: One word for programs: ``missing_service``, ``missing_variable``, ``missing_module``, …
        message: Problem, object and remedy, for people.
        details: JSON-ready facts.
    """

    reason: str
    message: str
    details: Mapping[str, object] = field(default_factory=dict)

    def in_project(self, folder: Path | None) -> Diagnosis:
        """Return the diagnosis with the project's own paths; see ``with_own_paths``."""
        details = {
            name: with_own_paths(value, folder) if isinstance(value, str) else value
            for name, value in self.details.items()
        }
        return replace(self, message=with_own_paths(self.message, folder), details=details)


def with_own_paths(text: str, folder: Path | None) -> str:
    """Return the text with the project's paths as its author knows them, not as they are in the preview's copy.

    Args:
        text: A message that quotes a program.
        folder: The copy's folder, as the program saw it; None changes nothing.
    """
    if folder is None:
        return text
    # A program prints the path that it was given, or the real one behind a link.
    for form in dict.fromkeys((str(folder), os.path.realpath(folder))):
        text = re.sub(rf"(?:file://)?{re.escape(form)}(?:/(?=[\w.@\[-])|(?![\w-]|\.\w))", _own_path, text)
        # A path that leads out of the project (`../package.json`), and not to the preview's other folders.
        above = re.escape(form.rpartition("/")[0])
        text = re.sub(rf"(?:file://)?{above}/(?!project|tmp)(?=[\w.@\[-])", "../", text) if above else text
    return text


def _own_path(match: re.Match[str]) -> str:
    return "" if match[0].endswith("/") else "."


def missing_service(kind: ServiceKind, address: Address | None, needs: Sequence[ServiceNeed]) -> Diagnosis:
    """Diagnose a backing service that does not respond.

    Args:
        kind: Kind of the service.
        address: Host and port of the failed connection, as far as known.
        needs: Backing services found in the project's source.
    """
    need = _need(kind, address, needs)
    where = need.address if need and need.address and is_same_address(address, need.address) else address
    if where is not None and where[0].lower() in _NOT_SET:
        return _without_host(kind, where, need)
    advice = f"Start one or set {need.setting}." if need and need.setting else "Start one there."
    message = f"It needs {kind}{_at(where)}{_source(need)}, and nothing answers there. {advice}"
    return Diagnosis("missing_service", message, _facts(kind, where, need))


# A host that is the text of a variable without a value, in JavaScript and in Python.
_NOT_SET = frozenset({"undefined", "null", "none", "nan"})


def _without_host(kind: ServiceKind, address: Address, need: ServiceNeed | None) -> Diagnosis:
    """Diagnose an address that is made of a variable without a value."""
    setting = need.setting if need else None
    advice = f"Set {setting}." if setting else "Set the variable that the program reads for it."
    what = "address has" if address[1] is None else "host in the address has"
    message = f"It connects to {kind}{_source(need)}, but the {what} no value. {advice}"
    return Diagnosis("missing_service", message, {**_facts(kind, address, need), "host": None})


def refused_service(kind: ServiceKind, said: str, needs: Sequence[ServiceNeed]) -> Diagnosis:
    """Diagnose a backing service that refuses this project, such as for a wrong password or an unknown database."""
    need = _need(kind, None, needs)
    setting = need.setting if need else None
    where = need.address if need else None
    wrong = setting or "the credentials or the database name that it connects with"
    advice = f"Correct {wrong}."
    message = f"{kind}{_at(where)}{_source(need)} answers, but refuses: {said}. {advice}"
    return Diagnosis("service_refused", message, _facts(kind, where, need))


def is_same_address(asked: Address | None, known: Address) -> bool:
    """Return True for equal addresses; ``localhost`` in the source may be 127.0.0.1 or ::1 in the error."""
    return asked is None or asked == known or (asked[1] in (known[1], None) and asked[0] in ("127.0.0.1", "::1"))


def _need(kind: ServiceKind, address: Address | None, needs: Sequence[ServiceNeed]) -> ServiceNeed | None:
    """Return the need for this backing service; prefer one with the same address, then one with a setting."""
    of_kind = [need for need in needs if need.kind is kind]
    return min(of_kind, key=lambda need: (need.address != address, need.setting is None), default=None)


def _at(address: Address | None) -> str:
    if address is None:
        return ""
    host, port = address
    shown = f"[{host}]" if ":" in host else host
    return f" at {shown}" if port is None else f" at {shown}:{port}"


def _source(need: ServiceNeed | None) -> str:
    if need is None:
        return ""
    parts = [f"setting {need.setting}"] if need.setting else []
    parts += [need.where] if need.where else []
    return f" ({', '.join(parts)})" if parts else ""


def _facts(kind: ServiceKind, address: Address | None, need: ServiceNeed | None) -> Mapping[str, object]:
    host, port = address or (None, None)
    return {
        "service": str(kind),
        "host": host,
        "port": port,
        "setting": need.setting if need else None,
        "where": need.where if need else None,
    }
