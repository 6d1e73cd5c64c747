"""Detection of drift: old pinned packages beside today's versions of unpinned ones, whose imports then fail.

Drift is suspected if the newest pin is a year old and an unpinned package is much newer. Only then are the project's
imports tried. If one fails inside a package, ``Dated`` has the installer choose versions as of the newest pin's date.

A failed resolution is not repeated as of a day: what all versions do not satisfy, fewer versions do not satisfy
either. A package that today's tools cannot build is built alone, with the tools of its own day (``OldBuild``).
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Final

import trio
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pydantic import TypeAdapter, ValidationError

from preview.core.clock import utc_now
from preview.environments.folders.layout import installed_versions
from preview.environments.manifests.stated import StatedPython
from preview.environments.manifests.worked_on import WorkedOn
from preview.environments.python.explain import explain
from preview.environments.requirements.requirements import ProjectRequirement, RequirementSet
from preview.environments.sandbox.interpreter import PythonInterpreter
from preview.environments.sandbox.jail import Cage
from preview.environments.sandbox.program import BUILDER, program_environment, run_program, run_uv
from preview.environments.sandbox.progress import current_progress
from preview.environments.sandbox.sweep import read_left
from preview.runtime.launchers.paths import LAUNCHERS

# Packages of one year mostly go together.
_OLD: Final = timedelta(days=365)
_NEWER: Final = timedelta(days=180)
# Versions of a day within the last week are today's.
_RECENT: Final = timedelta(days=7)
# The oldest build tools that are taken: setuptools 57.4, the last that converts Python 2 (``use_2to3``) on 3.11. Older
# ones than 40.8 satisfy no build. Since Python 3.12 there is no distutils: setuptools 68.2, of its day.
_TOOLS: Final = date(2021, 8, 1)
_NEWER_TOOLS: Final = date(2023, 10, 2)
_NO_DISTUTILS: Final = 12
_AGED: Final = LAUNCHERS / "preview_aged.py"
_CHECK: Final = BUILDER / "check_imports.py"
# Larger applications import pandas and the like, without compiled modules.
_IMPORT_S: Final = 30.0
_MOST_IMPORTS: Final = 400
# Versions that no index has, each found by one offline run of 30 ms.
_TRIES: Final = 4
_PATH: Final = re.compile(r"\([^()\s/]*/[^()\s]*\)|(?:/[^\s/'\"():]+){2,}/?")
_SHOWN: Final = 200
_MOST_LOCK_BYTES: Final = 4 * 1024 * 1024
_UNBUILT: Final = re.compile(r"build `(?P<name>[A-Za-z0-9._-]{1,100})==(?P<version>[^`\s]{1,100})`")


@dataclass(frozen=True, slots=True)
class NewestPin:
    """The newest version that a project writes down, with the day of its upload; or the day that its files tell."""

    text: str
    day: date
    is_told: bool = False

    @property
    def why(self) -> str:
        """Part of a sentence: where the day comes from."""
        return f"according to {self.text}" if self.is_told else f"the date of the newest pin ({self.text})"


# A project without pins that names a Python was mostly written before the second release after that one.
_WRITTEN_BY: Final = {
    6: date(2019, 10, 14),
    7: date(2020, 10, 5),
    8: date(2021, 10, 4),
    9: date(2022, 10, 24),
}


def day_of_python(stated: StatedPython | None) -> NewestPin | None:
    """Return the day that the Python named by a file tells; None for newer ones, and for those that tools name."""
    if stated is None or stated.is_hint or stated.minor not in _WRITTEN_BY:
        return None
    return NewestPin(f"Python 3.{stated.minor} in {stated.file}", _WRITTEN_BY[stated.minor], is_told=True)


def day_of_files(worked_on: WorkedOn | None, *, is_recent: bool = False) -> NewestPin | None:
    """Return the newest day that the project's files tell; None if it is of the last year, or week if ``is_recent``."""
    if worked_on is None or worked_on.day > (utc_now() - (_RECENT if is_recent else _OLD)).date():
        return None
    return NewestPin(worked_on.file, worked_on.day, is_told=True)


def told_day(worked_on: WorkedOn | None, stated: StatedPython | None, *, is_recent: bool = False) -> NewestPin | None:
    """Return the day that a project's files tell: its newest dated file, or else the Python that they name.

    With ``is_recent`` a day of the last year counts too.
    """
    return day_of_files(worked_on, is_recent=is_recent) or day_of_python(stated)


@dataclass(frozen=True, slots=True)
class Upload:
    """The earliest upload time of a version's files, and whether one of them is a wheel."""

    time: datetime
    has_wheel: bool


@dataclass(frozen=True, slots=True)
class Failing:
    """An import that fails inside an installed package, with the error in one line."""

    module: str
    why: str


@dataclass(slots=True)
class Dated:
    """Options that have uv choose versions as of a day.

    Attributes:
        day: Versions that were uploaded later are not chosen; None chooses from all again.
        exempt: Normalised names of packages of any date.
    """

    day: date | None
    exempt: set[str] = field(default_factory=set)

    @property
    def arguments(self) -> list[str]:
        """Arguments for ``uv pip install`` and ``uv pip compile``."""
        if self.day is None:
            return ["--upgrade"]
        today = utc_now().date() + timedelta(days=1)
        free = [word for name in sorted(self.exempt) for word in ("--exclude-newer-package", f"{name}={_stamp(today)}")]
        return ["--upgrade", *_until_end_of(self.day), *free]


@dataclass(frozen=True, slots=True)
class OldBuild:
    """A package in one version, and the day whose build tools may build it."""

    pin: str
    day: date

    @property
    def arguments(self) -> list[str]:
        """Arguments for ``uv pip install``."""
        return [*_until_end_of(self.day), self.pin]


def _until_end_of(day: date) -> list[str]:
    return ["--exclude-newer", _stamp(day + timedelta(days=1))]


def _stamp(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"


async def find_newest_pin(
    required: RequirementSet,
    folder: Path,
    interpreter: PythonInterpreter,
    cage: Cage | None,
    told: NewestPin | None = None,
    *,
    is_dated: bool = False,
) -> NewestPin | None:
    """Return the newest pin of an environment in which drift is suspected; None if there is none.

    With ``is_dated`` a start has failed, and drift is suspected also among younger packages.

    A project without versions has the day that its files tell (``told``). It also counts if it is later than all pins.

    The dates come from uv's cache, which has them after each resolution: no network is used. An index without upload
    times (PEP 700) has no dates.

    Cancellation: uv is killed.
    """
    installed = await trio.to_thread.run_sync(installed_versions, folder)
    written = _written(required)
    locked = {item.name for item in required.constraints if item.pinned}
    free = installed.keys() - {name for name, (_, is_pin) in written.items() if is_pin} - locked
    if not written:
        return told
    if not free:
        return None
    wanted = {**installed, **{name: version for name, (version, _) in written.items()}}
    uploads = await _uploads(wanted, folder, interpreter, cage, offline=True)
    dates = {name: upload.time for name, upload in uploads.items()}
    pins = [(dates[name], name, version) for name, (version, is_pin) in written.items() if is_pin and name in dates]
    pins = pins or [(dates[name], name, version) for name, (version, _) in written.items() if name in dates]
    if not pins:
        return told if is_dated else None
    newest, name, version = max(pins)
    later = [dates[other] for other in free - written.keys() if other in dates]
    if newest > utc_now() - (_RECENT if is_dated else _OLD):
        return None
    if not is_dated and max(later, default=newest) < newest + _NEWER:
        return None
    if told is not None and told.day > newest.date():
        return told
    return NewestPin(f"{name}=={version}", newest.date())


async def find_old_build(
    package: str, lines: Sequence[str], folder: Path, interpreter: PythonInterpreter, cage: Cage | None
) -> OldBuild | None:
    """Return how to build a package that could not be built, as the installer's lines say, with older build tools.

    None if the version is of the last year, or if it has wheels for other Pythons: it is then compiled, which takes
    minutes, and a version with a wheel for this Python is there sooner.

    The date comes from the index: one resolution without dependencies, which builds nothing and takes 0.1 s.

    Cancellation: uv is killed.
    """
    # What a build prints follows after these marks.
    said = takewhile(lambda line: not line.lstrip().startswith(("[stdout]", "[stderr]")), lines)
    found = (match["version"] for line in said for match in _UNBUILT.finditer(line) if match["name"] == package)
    if (version := next(found, None)) is None:
        return None
    upload = (await _uploads({package: version}, folder, interpreter, cage, offline=False)).get(package)
    if upload is None or upload.has_wheel or upload.time > utc_now() - _OLD:
        return None
    minor = int(interpreter.version.split(".")[1])
    floor = _TOOLS if minor < _NO_DISTUTILS else _NEWER_TOOLS
    return OldBuild(f"{package}=={version}", max(upload.time.date(), floor))


def _written(required: RequirementSet) -> dict[str, tuple[str, bool]]:
    """Return the versions that the project writes down: name to the least version, and whether it is a pin."""
    found: dict[str, tuple[str, bool]] = {}
    for item in required.requirements:
        version = _least(item)
        if item.name is not None and item.applies and version is not None:
            found[item.name] = version
    return found


def _least(item: ProjectRequirement) -> tuple[str, bool] | None:
    """Return the least version that a line allows, and whether it is a pin; bounds on both sides count as one."""
    try:
        specifiers = list(Requirement(item.text.partition(" --hash")[0]).specifier)
    except InvalidRequirement:
        return None
    bounds = [one.version.removesuffix(".*") for one in specifiers if one.operator in {"==", "===", "~=", ">="}]
    is_pin = any(one.operator in {"==", "===", "~=", "<", "<="} for one in specifiers)
    try:
        return (str(max(map(Version, bounds))), is_pin) if bounds else None
    except InvalidVersion:
        return None


async def _uploads(
    versions: Mapping[str, str], folder: Path, interpreter: PythonInterpreter, cage: Cage | None, *, offline: bool
) -> dict[str, Upload]:
    """Return the uploads of these versions, as far as the index, or only uv's cache, has them."""
    left = dict(versions)
    place = folder if cage is None else cage.scratch
    listed, locked = trio.Path(place / "versions.txt"), place / "pylock.versions.toml"
    command = ["pip", "compile", str(listed), "--no-deps", "--no-sources", "--format", "pylock.toml", "--quiet"]
    command += ["--output-file", str(locked), "--python", interpreter.request]
    for _ in range(_TRIES):
        text = "\n".join(f"{name}=={version}" for name, version in left.items())
        await listed.unlink(missing_ok=True)
        await listed.write_text(text + "\n", "utf-8")
        result = await run_uv(command, offline=offline, cage=cage)
        if result.code == 0:
            return read_uploads(await trio.to_thread.run_sync(read_left, locked, _MOST_LOCK_BYTES))
        missing = explain(result.lines, RequirementSet(), offline=False).package
        if missing is None or left.pop(missing, None) is None:
            break
    return {}


def read_uploads(text: str) -> dict[str, Upload]:
    """Return the packages of a lock file (PEP 751) that have upload times, by normalised name."""
    try:
        packages = tomllib.loads(text).get("packages", [])
    except tomllib.TOMLDecodeError:
        return {}
    found: dict[str, Upload] = {}
    for package in packages if isinstance(packages, list) else []:
        wheels = _tables(package.get("wheels"))
        files = [*wheels, *_tables([package.get("sdist")])]
        times = [_aware(one) for file in files if isinstance(one := file.get("upload-time"), datetime)]
        if times:
            found[canonicalize_name(str(package.get("name")))] = Upload(min(times), bool(wheels))
    return found


def _tables(value: object) -> list[dict[str, object]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _aware(moment: datetime) -> datetime:
    return datetime.combine(moment.date(), time(), UTC) if moment.tzinfo is None else moment


_ANSWER: Final = TypeAdapter(dict[str, list[tuple[str, str, str]]])
_KEY: Final = "preview-imports"


async def failing_imports(imports: Sequence[tuple[str, str]], folder: Path, cage: Cage | None) -> tuple[Failing, ...]:
    """Return the project's imports that fail inside installed packages; empty if they cannot be tried.

    Runs code of the packages in the build's jail, without network access. Strangers' code may forge the answer, which
    only decides about versions and the text of a message.

    Cancellation: the program is killed.
    """
    names = trio.Path((folder if cage is None else cage.scratch) / "imports.json")
    await names.unlink(missing_ok=True)
    await names.write_text(json.dumps(list(imports)[:_MOST_IMPORTS]), "utf-8")
    python = str(folder / "bin" / "python")
    argv = [python, "-B", str(_CHECK), str(names), str(_AGED)]
    if (progress := current_progress()) is not None:
        progress.begin("trying the project's imports")
    held = None if cage is None else replace(cage, readable=(*cage.readable, LAUNCHERS))
    with trio.move_on_after(_IMPORT_S):
        environment = {**program_environment(os.environ), "PYTHONDONTWRITEBYTECODE": "1"}
        result = await run_program(argv, environment=environment, directory=Path("/"), cage=held)
        for line in reversed(result.lines):
            if _KEY in line:
                return _answer(line)
    return ()


def _answer(line: str) -> tuple[Failing, ...]:
    try:
        found = _ANSWER.validate_json(line)[_KEY]
    except (ValidationError, KeyError):
        return ()
    return tuple(Failing(_plain(module), _plain(why)) for module, _, why in found)


def _plain(text: str) -> str:
    """Return the text as part of a sentence: one printable line without paths of this machine."""
    line = " ".join(_PATH.sub("", text).split())
    return "".join(one if one.isprintable() else " " for one in line)[:_SHOWN].rstrip(".:; ")
