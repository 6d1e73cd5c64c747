"""``preview doctor --bundle``: one file for those who help, without any secret of the settings or the environment."""

from __future__ import annotations

import io
import json
import os
import platform
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from preview.cli.client import open_api
from preview.cli.doctor.result import Check
from preview.cli.exits import CommandFailed
from preview.core.clock import now_ms
from preview.core.quoting import quoted
from preview.settings import Settings, variable_of
from preview.settings_address import ServerAddress
from preview.settings_secrets import SECRET_FIELDS

MASK = "•••"
_LEAST = 4
_LEAST_OTHER = 8
_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASS|PWD|CREDENTIAL|AUTH|DSN|COOKIE|PRIVATE|SIGN", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"://[^/\s@\"']+@")
# Settings whose addresses may have a key in path or query, or that have a secret for any other reason.
_WITH_KEYS = frozenset({*SECRET_FIELDS, "otlp_endpoint"})
# Files of the data folder that have secrets.
_FILES = ("secret", "sealing-keys")
_MOST_BYTES = 32 * 1024 * 1024


def write_bundle(path: Path, settings: Settings, checks: Sequence[Check]) -> Path:
    """Write the bundle, closed to others; return its path.

    Raises:
        CommandFailed: The file exists, or cannot be written.
    """
    secrets = sorted(secrets_of(settings, os.environ), key=len, reverse=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, text in _parts(settings, checks):
                data = masked(text, secrets).encode("utf-8", "replace")[:_MOST_BYTES]
                member = tarfile.TarInfo(f"preview-bundle/{name}")
                member.size, member.mtime, member.mode = len(data), now_ms() // 1000, 0o600
                archive.addfile(member, io.BytesIO(data))
    except FileExistsError as error:
        raise CommandFailed(f"{quoted(str(path))} exists already; name another file.") from error
    except OSError as error:
        raise CommandFailed(f"{quoted(str(path))} cannot be written: {error.strerror}.") from error
    return path


def secrets_of(settings: Settings, environment: Mapping[str, str]) -> set[str]:
    """Return all texts that must not leave this machine: of settings, variables, and files of the data folder."""
    found: set[str] = set()
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            found |= _with_parts(value.get_secret_value())
        elif isinstance(value, ServerAddress):
            found |= {text for text in _texts(value) if len(text) >= _LEAST_OTHER} | {value.password}
        elif isinstance(value, str) and name in _WITH_KEYS:
            found |= _with_parts(value)
    for name, text in environment.items():
        if _SECRET_NAME.search(name):
            found |= _with_parts(text)
        found |= set(re.findall(r"://[^/\s@]*:([^/\s@]+)@", text))
    for name in _FILES:
        try:
            text = (settings.data_dir / name).read_text("utf-8")
        except (OSError, ValueError):
            continue
        found |= _with_parts(text)
    return {one for one in found if len(one) >= _LEAST}


def masked(text: str, secrets: Sequence[str]) -> str:
    """Return the text without the secrets, also as JSON and URLs write them, and without users of addresses."""
    for one in secrets:
        for form in {one, json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1], quote(one, safe="")}:
            text = text.replace(form, MASK)
    return _IN_ADDRESS.sub(f"://{MASK}@", text)


def _with_parts(value: str) -> set[str]:
    """Return a secret with its lines and words: several keys may stand in one value."""
    parts = re.split(r"[\s,]+", value)
    password = re.findall(r"://[^/\s@]*:([^/\s@]+)@", value)
    return {value.strip(), *parts, *password} - {""}


def _texts(address: ServerAddress) -> list[str]:
    return [value for name in address.__dataclass_fields__ if isinstance(value := getattr(address, name), str)]


def _parts(settings: Settings, checks: Sequence[Check]) -> Iterator[tuple[str, str]]:
    yield "versions.json", _json(_versions())
    yield "settings.json", _json(shown_settings(settings))
    yield "checks.json", _json([{"name": one.name, "result": one.result, "found": one.found} for one in checks])
    try:
        with open_api(None) as api:
            found = api.get_json("/operator/diagnostics")
        yield "metrics.txt", found.pop("metrics")
        yield "service-log.jsonl", "".join(f"{line}\n" for line in found.pop("log"))
        yield "service.json", _json(found)
    except CommandFailed as error:
        yield "service.txt", f"No data from the running service: {error}\n"


def shown_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings by variable; of secrets and addresses of servers, only whether they are set."""
    found: dict[str, Any] = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        is_hidden = isinstance(value, SecretStr | ServerAddress) or name in _WITH_KEYS
        is_hidden = is_hidden or _SECRET_NAME.search(name) is not None
        shown = "(set)" if is_hidden and value is not None else value
        found[variable_of(name)] = {"value": shown, "is_default": name not in settings.model_fields_set}
    return found


def _versions() -> dict[str, Any]:
    return {
        "at_ms": now_ms(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "packages": dict(sorted((one.name, one.version) for one in distributions())),
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=1, default=str, ensure_ascii=False) + "\n"
