"""The checks of ``preview doctor``: each tests the actual feature, and gives advice for a failure."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import httpx2
import trio
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from preview.cli.data_folder import read_note
from preview.cli.doctor.container import container_check
from preview.cli.doctor.flags import flag_checks
from preview.cli.doctor.result import Check, Result
from preview.cli.doctor.servers import server_checks
from preview.cli.local.own_range import try_range
from preview.cli.local.scope import NoScope, enter_scope
from preview.core.isolation import Isolation, Network
from preview.environments import find_newer
from preview.errors import PreviewError
from preview.people_errors import IsolationBelowMinimum
from preview.replay.probe import has_schemathesis
from preview.rollout import FlagName
from preview.rollout.offers import offers, raised
from preview.runtime import Held, IsolationSupport, Runtime, child_subreaper, open_ladder
from preview.runtime.listener import can_bind
from preview.runtime.reading import closed_to_previews
from preview.runtime.sandbox.users import users_here
from preview.settings import Settings
from preview.storage import migrate

_MIB = 1024 * 1024
_SECTION = "isolation"
_OWN_PYTHON = sys.version_info[:2]
# Since this version a template's objects can be immortal, without reference counts (PEP 683).
_SHARES_OBJECTS = (3, 12)
_REACHES = {
    Network.NONE: "nothing but itself",
    Network.LOOPBACK_ONLY: "itself, and the ports that PREVIEW_LOOPBACK_PORTS names on this machine's loopback",
    Network.HOST: "everything that this machine reaches, including the service itself",
}


def isolation_checks(settings: Settings) -> Iterator[Check]:
    """Yield a check of each isolation level, and of the resulting network and limits.

    Does not affect a service that uses the data folder: tests use a separate folder and separate control groups. Enters
    a scope, as the service does.
    """
    scope = None if settings.isolation is Isolation.PLAIN else enter_scope()
    try:
        ladder = trio.run(_look, settings)
    except (PreviewError, OSError) as error:
        yield Check("isolation", Result.FAIL, str(error), "fix what the message names, then run this again", _SECTION)
        return
    yield from _rungs(settings, ladder, scope)
    yield from _minimum(settings, ladder)
    yield from _users(settings, ladder)
    yield _network(settings, ladder.runtime)
    yield _builds(settings, ladder)
    yield _starts(settings, ladder.runtime)
    yield from _limits(settings, ladder.runtime)
    yield from server_checks(settings, ladder.runtime)
    yield _probes()
    yield _hosts()


async def _look(settings: Settings) -> IsolationSupport:
    """Test the isolation levels and clean up. Cancellation: the test is cleaned up too."""
    with tempfile.TemporaryDirectory(prefix="preview-doctor-") as folder, child_subreaper():
        own = settings.model_copy(update={"data_dir": Path(folder)})
        async with open_ladder(own, check=False) as ladder:
            return ladder


_NEEDS = {
    Isolation.REQUIRE: "PREVIEW_ISOLATION=require needs it",
    Isolation.AUTO: "a service that runs as root needs it (PREVIEW_ISOLATION=auto)",
}


def _rungs(settings: Settings, ladder: IsolationSupport, scope: NoScope | None) -> Iterator[Check]:
    for rung in ladder.rungs:
        needed = settings.isolation is Isolation.REQUIRE or (
            # See ``RootWithoutSandbox``.
            settings.isolation is Isolation.AUTO and rung.name == "sandbox" and os.geteuid() == 0
        )
        missing = Result.FAIL if needed else Result.WARN
        found = rung.found if rung.holds or not needed else f"{rung.found}; {_NEEDS[settings.isolation]}"
        advice = rung.advice
        if rung.name == "control groups" and not rung.holds and scope is not None and scope.advice:
            found, advice = f"{found}; {scope.reason}", scope.advice
        yield Check(rung.name, Result.OK if rung.holds else missing, found, advice, _SECTION)


def _minimum(settings: Settings, ladder: IsolationSupport) -> Iterator[Check]:
    """Yield whether this machine has the least level that each tier must have."""
    if not settings.isolation_minimum:
        return
    offer = offers(settings, ladder.runtime.name, ladder.further)[FlagName.ISOLATION]
    found, lacking = [], []
    for tier, least in settings.isolation_minimum:
        found.append(f"{tier} {least}")
        try:
            raised(offer.default, least, offer.values, tier)
        except IsolationBelowMinimum:
            lacking.append(f"{tier} ({least})")
    if lacking:
        said = f"launches of {', '.join(lacking)} are refused: this machine has only {', '.join(offer.values)}"
        advice = (
            "install what the missing isolation levels need (see the lines above), or change PREVIEW_ISOLATION_MINIMUM"
        )
        yield Check("minimum", Result.FAIL, said, advice, _SECTION)
    else:
        yield Check("minimum", Result.OK, f"at least {', '.join(found)}", "", _SECTION)


def _users(settings: Settings, ladder: IsolationSupport) -> Iterator[Check]:
    """Yield which user previews have, if the service has a sandbox; of root, only what its previews cannot read."""
    sandboxed = any(rung.name == "sandbox" and rung.holds for rung in ladder.rungs)
    if settings.isolation is Isolation.PLAIN or not sandboxed:
        return
    if os.geteuid() == 0:
        if users_here() is not None and (closed := closed_to_previews()) is not None:
            found = f"previews run as separate users, and these cannot read {closed}"
            yield Check("users", Result.WARN, found, f"`chmod -R go+rX {shlex.quote(str(closed))}`", _SECTION)
        return
    lack = try_range(settings)
    if lack is None:
        found = (
            "`preview serve` runs each preview as a separate user; with `preview run`, and in a service inside another "
            "application, previews run as your user"
        )
        yield Check("users", Result.OK, found, "", _SECTION)
        return
    advice = f"to run each preview as a separate user, {lack.advice}" if lack.advice else ""
    yield Check("users", Result.OK, f"previews run as your user: {lack.reason}", advice, _SECTION)


def _network(settings: Settings, runtime: Runtime) -> Check:
    wanted, held = settings.network, runtime.network(settings.network)
    if held is not wanted:
        found = f"{held}, though PREVIEW_NETWORK={wanted}: previews reach {_REACHES[held]}"
        return Check("network", Result.WARN, found, "only a sandbox restricts a preview's network: see above", _SECTION)
    allowed = max(wanted, settings.network_allowed, key=lambda one: one.width)
    ports = ", ".join(map(str, settings.loopback_ports))
    found = f"{wanted}: a preview reaches {_REACHES[wanted]}; "
    found += "it may not ask for more" if allowed is wanted else f"it may ask for {allowed}"
    if ports and allowed is Network.NONE:
        advice = "set PREVIEW_NETWORK=loopback-only, or PREVIEW_NETWORK_ALLOWED=loopback-only for those that ask for it"
        return Check(
            "network", Result.WARN, f"{found}: PREVIEW_LOOPBACK_PORTS ({ports}) has no effect", advice, _SECTION
        )
    if Network.LOOPBACK_ONLY not in (wanted, allowed):
        return Check("network", Result.OK, found, "", _SECTION)
    if not ports:
        advice = "list ports, as in PREVIEW_LOOPBACK_PORTS=5432,6379: without any, loopback-only means the same as none"
        return Check("network", Result.WARN, found, advice, _SECTION)
    return Check("network", Result.OK, f"{found} (ports {ports})", "", _SECTION)


def _probes() -> Check:
    """Check whether probes compare answers with an application's OpenAPI document."""
    if has_schemathesis():
        return Check("probes", Result.OK, "with Schemathesis, for OpenAPI documents", "", _SECTION)
    advice = "install preview[probe] with pip to compare responses with an application's OpenAPI document"
    return Check("probes", Result.OK, "without Schemathesis", advice, _SECTION)


def _hosts() -> Check:
    """Return what the service lacks in an application of the user's own, or under another ASGI server."""
    found = "if the service runs in another application or ASGI server, direct streams and the relay are off"
    return Check("embedding", Result.OK, f"{found}: a streamed line costs twice the processor time", "", _SECTION)


def _builds(settings: Settings, ladder: IsolationSupport) -> Check:
    if settings.build_code == "deny":
        found = "no package code runs during install: only wheels, no install scripts"
    else:
        jailed = any(rung.name == "sandbox" and rung.holds for rung in ladder.rungs)
        found = "package code runs during install, "
        jail = "in a sandbox that reaches only the package indexes"
        found += jail if jailed else "with this machine's network and all that the service's user may do"
        found += "; PREVIEW_BUILD_CODE=deny prevents this"
    return Check("builds", Result.OK, found, "", _SECTION)


def _starts(settings: Settings, runtime: Runtime) -> Check:
    why = "warm templates need a sandbox" if settings.warm_templates else "PREVIEW_WARM_TEMPLATES=0"
    found = runtime.describe().get("starts", f"cold: {why}")
    advice = ""
    if "forked" in found and settings.environment_python is None and _OWN_PYTHON < _SHARES_OBJECTS:
        newer = trio.run(find_newer)
        if newer is None:
            advice = "previews in Python 3.12 to 3.14 share more memory and start faster: install one of these as well"
        else:
            found += (
                f"; in Python {newer.interpreter.version} if all of the project runs on it, otherwise in the "
                "service's own Python"
            )
    return Check("starts", Result.OK, found, advice, _SECTION)


def _limits(settings: Settings, runtime: Runtime) -> Iterator[Check]:
    """Yield one preview's exact limits, and how each is enforced."""
    held = runtime.holds()
    memory = f"{settings.memory_limit_mb} MB for all its processes, "
    memory += "enforced by the kernel" if "memory" in held else "monitored by the service"
    yield _limit("memory", memory)
    yield _held("processor", held, "cpu", f"{settings.cpu_limit:g} of this machine's cores")
    yield _held("processes", held, "processes", f"{settings.max_processes} with their threads")
    yield _limit("files", f"{settings.max_open_files} open, each up to {_size(settings.max_file_bytes)}")
    disk = f"{settings.disk_limit_mb} MB in its folders, measured every {settings.disk_interval_s:g} s"
    if runtime.name == "sandbox":
        disk += f"; {settings.temp_limit_mb} MB of memory each in /tmp and /dev/shm"
    yield _limit("disk", disk)
    yield _limit("output", f"{_size(settings.output_bytes_per_s)} per second")


def _limit(name: str, found: str) -> Check:
    return Check(name, Result.OK, found, "", "limits")


def _held(name: str, held: frozenset[Held], what: Held, found: str) -> Check:
    if what in held:
        return _limit(name, found)
    return Check(name, Result.WARN, f"not limited; with control groups: {found}", "see control groups above", "limits")


def _size(amount_bytes: int) -> str:
    mib = amount_bytes / _MIB
    return f"{mib / 1024:g} GB" if mib >= 1024 else f"{mib:.3g} MB"


# Enough for an environment with a web framework, a database driver and their caches.
_ROOM_BYTES = 1024**3
_PROGRAM_TIMEOUT_S = 10


def run_checks(settings: Settings) -> Iterator[Check]:
    """Yield all checks, quickest first. They change nothing except for folders they create.

    Checks run lazily, so a caller can stop early.
    """
    checks: tuple[Callable[[Settings], Check], ...] = (
        _python,
        _uv,
        _agents,
        _util_linux,
        _subreaper,
        _ports,
        lambda settings: _folder("data folder", settings.data_dir, "PREVIEW_DATA_DIR"),
        lambda settings: _folder("cache folder", settings.cache_dir, "PREVIEW_CACHE_DIR"),
        _database,
        _service,
    )
    for check in checks:
        yield check(settings)
    yield from flag_checks(settings)
    if (container := container_check()) is not None:
        yield container
    if sys.platform == "linux":
        yield from isolation_checks(settings)


def _python(_settings: Settings) -> Check:
    found = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro} on {sys.platform}"
    if sys.platform != "linux":
        return Check("Python", Result.FAIL, found, "previews need Linux")
    return Check("Python", Result.OK, found)


def _uv(_settings: Settings) -> Check:
    try:
        command = [sys.executable, "-m", "uv", "--version"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROGRAM_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Check("uv", Result.FAIL, str(error), "install it again: pip install uv")
    return Check("uv", Result.OK, done.stdout.strip().removeprefix("uv "))


def _agents(_settings: Settings) -> Check:
    try:
        return Check("agents", Result.OK, f"mcp {version('mcp')}")
    except PackageNotFoundError:
        return Check("agents", Result.OK, "no tools for AI agents; pip install 'preview[mcp]' adds them")


def _util_linux(_settings: Settings) -> Check:
    paths = {name: shutil.which(name) for name in ("setpriv", "prlimit")}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        return Check("util-linux", Result.FAIL, f"{' and '.join(missing)} missing", "install the package util-linux")
    return Check("util-linux", Result.OK, ", ".join(path for path in paths.values() if path))


def _subreaper(_settings: Settings) -> Check:
    try:
        with child_subreaper():
            return Check("subreaper", Result.OK, "orphaned processes are reparented to the service")
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
        return Check(name, Result.WARN, found, f"free some space, or set {variable} to a larger disk")
    return Check(name, Result.OK, found)


def _database(settings: Settings) -> Check:
    try:
        url = make_url(settings.resolved_database_url)
        kind = url.get_backend_name()
        if kind == "sqlite" and url.database and not Path(url.database).exists():
            return Check("database", Result.OK, f"sqlite, {url.database}: created at the first start")
        revision = migrate.current(settings.resolved_database_url)
    except ArgumentError:
        return Check("database", Result.FAIL, "PREVIEW_DATABASE_URL is not a database URL", "see docs/settings.md")
    except PreviewError as error:
        return Check("database", Result.FAIL, error.message, "check PREVIEW_DATABASE_URL and that the server runs")
    newest = migrate.head()
    if revision == newest:
        return Check("database", Result.OK, f"{kind}, up to date ({revision})")
    if revision is None:
        found = f"{kind}, no tables yet; the newest revision is {newest}"
    else:
        found = f"{kind}, at revision {revision}; the newest is {newest}"
    if kind == "sqlite" or settings.database_upgrade == "auto":
        return Check("database", Result.OK, f"{found}: upgraded at the next start")
    return Check("database", Result.FAIL, found, "run `preview db upgrade`")


def _service(settings: Settings) -> Check:
    note = read_note(settings.data_dir)
    if note is None:
        return Check("service", Result.OK, "none is running on this data folder", "start one with `preview serve`")
    found = f"process {note.pid} at {note.url}"
    try:
        # Outside the API: it needs no token, and its statuses are no errors, so the client is not for it.
        answer = httpx2.get(f"{note.url}/readyz", timeout=5, trust_env=False)
    except httpx2.TransportError as error:
        return Check(
            "service",
            Result.FAIL,
            f"{found} does not answer ({error})",
            "see its output, then restart it with `preview serve`",
        )
    if answer.is_success:
        return Check("service", Result.OK, f"{found}, ready")
    return Check("service", Result.WARN, f"{found} is not ready ({answer.status_code})", "look at its output")
