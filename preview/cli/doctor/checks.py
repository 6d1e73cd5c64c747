"""What ``preview doctor`` looks at: each check really tries the thing, and says what to do where it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from preview.cli.data_folder import read_note
from preview.cli.doctor.check import Check, Result
from preview.cli.doctor.isolation_checks import isolation_checks
from preview.cli.local.ports import can_bind
from preview.errors import PreviewError
from preview.runtime import child_subreaper
from preview.settings import Settings
from preview.storage import migrate

# Enough for an environment with a web framework, a database driver and their caches.
_ROOM_BYTES = 1024**3
_PROGRAM_TIMEOUT_S = 10


def run_checks(settings: Settings) -> Iterator[Check]:
    """All checks, one after the other, quickest first; none changes anything but for folders it makes.

    Whoever wants but some of them pays for those alone.
    """
    checks: tuple[Callable[[Settings], Check], ...] = (
        _python,
        _uv,
        _util_linux,
        _subreaper,
        _ports,
        _data_folder,
        _cache_folder,
        _database,
        _service,
    )
    for check in checks:
        yield check(settings)
    if sys.platform == "linux":
        yield from isolation_checks(settings)


def _python(_settings: Settings) -> Check:
    found = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro} on {sys.platform}"
    if sys.platform != "linux":
        return Check("Python", Result.FAIL, found, "previews need Linux")
    return Check("Python", Result.OK, found)


def _uv(_settings: Settings) -> Check:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "uv", "--version"],
            capture_output=True,
            text=True,
            timeout=_PROGRAM_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Check("uv", Result.FAIL, str(error), "install it again: pip install uv")
    return Check("uv", Result.OK, done.stdout.strip().removeprefix("uv "))


def _util_linux(_settings: Settings) -> Check:
    paths = {name: shutil.which(name) for name in ("setpriv", "prlimit")}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        return Check("util-linux", Result.FAIL, f"{' and '.join(missing)} missing", "install the package util-linux")
    return Check("util-linux", Result.OK, ", ".join(path for path in paths.values() if path))


def _subreaper(_settings: Settings) -> Check:
    try:
        with child_subreaper():
            return Check("subreaper", Result.OK, "orphaned processes come back to the service")
    except OSError as error:
        return Check("subreaper", Result.FAIL, str(error), "the kernel or its sandbox forbids prctl(2); allow it")


def _ports(settings: Settings) -> Check:
    name = f"ports {settings.port_min}-{settings.port_max}"
    total = settings.port_max - settings.port_min + 1
    free = sum(can_bind(settings.preview_host, port) for port in range(settings.port_min, settings.port_max + 1))
    found = f"{free} of {total} free on {settings.preview_host}"
    if free == 0:
        return Check(name, Result.FAIL, found, "set PREVIEW_PORT_MIN and PREVIEW_PORT_MAX to a free range")
    if free < total / 2:
        return Check(name, Result.WARN, found, "something else uses this range; see `ss -ltnp`")
    return Check(name, Result.OK, found)


def _data_folder(settings: Settings) -> Check:
    return _folder("data folder", settings.data_dir, "PREVIEW_DATA_DIR")


def _cache_folder(settings: Settings) -> Check:
    return _folder("cache folder", settings.cache_dir, "PREVIEW_CACHE_DIR")


def _folder(name: str, path: Path, variable: str) -> Check:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        return Check(name, Result.FAIL, f"{path}: {error.strerror}", f"set {variable} to a folder you can write")
    if not os.access(path, os.W_OK | os.X_OK):
        return Check(name, Result.FAIL, f"{path} is not writable", f"set {variable} to a folder you can write")
    free = shutil.disk_usage(path).free
    found = f"{path}, {free / 1024**3:.1f} GiB free"
    if free < _ROOM_BYTES:
        return Check(name, Result.WARN, found, f"make room, or set {variable} to a larger disk")
    return Check(name, Result.OK, found)


def _database(settings: Settings) -> Check:
    try:
        url = make_url(settings.resolved_database_url)
        kind = url.get_backend_name()
        if kind == "sqlite" and url.database and not Path(url.database).exists():
            return Check("database", Result.OK, f"sqlite, {url.database}: made by the first start")
        revision = migrate.current(settings.resolved_database_url)
    except ArgumentError:
        return Check("database", Result.FAIL, "PREVIEW_DATABASE_URL is not a database URL", "see docs/settings.md")
    except PreviewError as error:
        return Check("database", Result.FAIL, error.message, "check PREVIEW_DATABASE_URL and that the server runs")
    newest = migrate.head()
    if revision == newest:
        return Check("database", Result.OK, f"{kind}, up to date ({revision})")
    found = f"{kind}, at {revision or 'nothing yet'}; the newest is {newest}"
    if kind == "sqlite":
        return Check("database", Result.OK, f"{found}: brought up to date by the next start")
    return Check("database", Result.FAIL, found, "run `preview db upgrade`")


def _service(settings: Settings) -> Check:
    note = read_note(settings.data_dir)
    if note is None:
        return Check("service", Result.OK, "none is running on this data folder", "start one with `preview serve`")
    found = f"process {note.pid} at {note.url}"
    try:
        answer = httpx2.get(f"{note.url}/readyz", timeout=5, trust_env=False)
    except httpx2.TransportError as error:
        return Check("service", Result.FAIL, f"{found} does not answer ({error})", "look at its output; restart it")
    if answer.is_success:
        return Check("service", Result.OK, f"{found}, ready")
    return Check("service", Result.WARN, f"{found} is not ready ({answer.status_code})", "look at its output")
