"""Checks of workers' answers.

An untrusted file may have taken over the worker that read it, so the worker's answer is untrusted too. An answer must
be one that a project's files can produce: its paths lie in the project, and the readers accept its requirements.
"""

from __future__ import annotations

import mmap
import os
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from preview.detection import ServiceKind, StartPlan, Toolchain
from preview.environments.manifests.requirements_file import PASSED_OPTIONS
from preview.environments.manifests.stated import Asked
from preview.environments.python.reading import SERVERS
from preview.environments.requirements.requirements import ProjectRequirement, parse_requirement
from preview.errors import EnvironmentFailed
from preview.sources.image_source import DONE, HEALTHY, MOST_BESIDE, ImageSource
from preview.worker.analysis import Analysis

# A name with extras and versions: this form cannot hold a URL, a path, a variable or an option.
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[A-Za-z0-9._,-]*\])?(?:[<>=!~]=?=?[A-Za-z0-9.*+!,<>=~-]*)?")
_HASH: Final = re.compile(r" --hash[= ] *")
_HASH_VALUE: Final = re.compile(r"[A-Za-z0-9]+:[0-9A-Fa-f]+")
_MAX_VALUE: Final = 1000
_HOST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}")
_SERVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
_MOST_HOSTS: Final = 20
_MOST_VALUES: Final = 300
_IMPORT: Final = re.compile(r"(?:[\w.]{1,500}|\*)?")


class Forged(ValueError):
    """An answer contains something that no project's files can produce."""


def check_analysis(found: Analysis, project: Path, supplied: frozenset[ServiceKind] = frozenset()) -> Analysis:
    """Return the analysis, checked.

    Args:
        found: The answer.
        project: The project's folder.
        supplied: Kinds of servers that the preview gets.

    Raises:
        Forged: A path leads out of the project, a requirement has a form that the readers do not accept, or the plan
            lists a server that the preview does not get.
    """
    _check_plan(found.plan)
    if any(need.supplied and need.kind not in supplied for need in found.plan.services):
        raise Forged("the plan lists a server that the preview does not get")
    if found.asked is not None:
        check_asked(found.asked, project)
    return found


def is_inside(path: str) -> bool:
    """Return whether a relative path stays below its base folder."""
    return "\0" not in path and not path.startswith("/") and posixpath.normpath(path).partition("/")[0] != ".."


def _check_plan(plan: StartPlan) -> None:
    paths = [plan.directory, plan.manifests, *plan.python_path, *(step.directory for step in plan.steps)]
    if plan.target is not None:
        paths += [plan.target.file, plan.target.app_dir]
    has_image = plan.toolchain is Toolchain.IMAGE
    if (plan.dockerfile is not None) != has_image or (plan.image is not None) != has_image:
        raise Forged("an image belongs to the one kind of plan that has one")
    if plan.image is not None:
        paths += [path for one in _images(plan.image) for path in (one.dockerfile, one.context)]
    for path in paths:
        if not is_inside(path):
            raise Forged(f"a path leads out of the project: {path[:200]!r}")


def _images(image: ImageSource) -> list[ImageSource]:
    """Return an image's source with those beside it, checked."""
    if len(image.beside) > MOST_BESIDE:
        raise Forged("too many services run beside the previewed one")
    for one in image.beside:
        if one.source.beside or not _SERVICE.fullmatch(one.name) or not all(map(_HOST.fullmatch, one.names)):
            raise Forged("a service beside the previewed one is invalid")
        if len(one.names) > _MOST_HOSTS or len(one.environment) > _MOST_VALUES:
            raise Forged("a service beside the previewed one has too many values")
        if any("\0" in text or "=" in name for name, value in one.environment.items() for text in (name, value)):
            raise Forged("a variable is invalid")
    found = [image, *(one.source for one in image.beside)]
    for each in found:
        _check_image(each)
    return found


def _check_image(image: ImageSource) -> None:
    names = (*image.hosts, *image.names)
    if len(names) > 2 * _MOST_HOSTS or not all(map(_HOST.fullmatch, names)):
        raise Forged("a name of a host is invalid")
    if len(image.volumes) > _MOST_VALUES or len(image.arguments) > _MOST_VALUES:
        raise Forged("an image has too many values")
    if any(one not in (HEALTHY, DONE) for one in image.waits.values()):
        raise Forged("a condition of a service beside is invalid")
    if len(image.waits) > MOST_BESIDE or len(image.health_times) > _MOST_VALUES:
        raise Forged("an image has too many values")
    if image.port is not None and not 0 < image.port < 65536:
        raise Forged("a port is invalid")


def check_asked(asked: Asked, project: Path) -> Asked:
    """Return the requirements, checked.

    Raises:
        Forged: See ``check_analysis``.
    """
    required = asked.required
    company = [item for pair in required.company for item in pair]
    for item in (*required.requirements, *required.constraints, *required.spare, *company):
        _check_requirement(item, project)
    for line in (*(one.distribution for one in asked.wanted), *_some(asked.server)):
        _check_line(line)
    if not all(_IMPORT.fullmatch(part) for names in asked.imports for part in names):
        raise Forged("an import is invalid")
    if asked.server is not None and asked.server not in SERVERS.values():
        raise Forged("the server is not one of the service's")
    options = list(required.options)
    names, values = options[::2], options[1::2]
    if not PASSED_OPTIONS.issuperset(names) or len(names) != len(values):
        raise Forged("an option is not allowed")
    for value in (*values, required.requires_python or ""):
        if value.startswith("-") or len(value) > _MAX_VALUE or len(value.splitlines()) > 1:
            raise Forged("a value contains several values")
    return asked


def _some(text: str | None) -> Iterable[str]:
    return () if text is None else (text,)


def _check_requirement(item: ProjectRequirement, project: Path) -> None:
    text, *hashes = _HASH.split(item.text)
    if not all(map(_HASH_VALUE.fullmatch, hashes)):
        raise Forged(f"a requirement has options other than hashes: {item.text[:200]!r}")
    if item.name is None or text.startswith("/"):
        _check_place(text.partition("[")[0], project)
        return
    address = text.partition(" @ ")[2]
    if address.startswith("file:"):
        _check_place(unquote(urlsplit(address.partition(" ;")[0]).path), project)
        _check_one_line(text)
        return
    _check_line(text)


def _check_line(text: str) -> None:
    if _PLAIN.fullmatch(text):
        return
    _check_one_line(text)
    try:
        parse_requirement(text, "an answer")
    except EnvironmentFailed as error:
        raise Forged(error.message) from error


def _check_one_line(text: str) -> None:
    if len(text.splitlines()) > 1 or " --" in text or text.startswith("-"):
        raise Forged(f"a requirement contains several: {text[:200]!r}")


def _check_place(text: str, project: Path) -> None:
    try:
        inside = len(text.splitlines()) == 1 and Path(text).resolve().is_relative_to(project.resolve())
    except (OSError, RuntimeError, ValueError):
        inside = False
    if not inside:
        raise Forged(f"a package lies outside the project: {text[:200]!r}")


_SIZE_BYTES: Final = mmap.PAGESIZE
_MAX_NAME_BYTES: Final = 1024


class Progress:
    """Shared memory page in which a worker writes the name of the file that it reads.

    Attributes:
        descriptor: Descriptor of the memory, which the service receives.
    """

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("progress", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, _SIZE_BYTES)
        self._page = mmap.mmap(self.descriptor, _SIZE_BYTES)

    def tell(self, name: str) -> None:
        """Record the file that is read next."""
        data = name.encode("utf-8", "replace")[:_MAX_NAME_BYTES] + b"\0"
        self._page[: len(data)] = data

    def close(self) -> None:
        """Release the memory."""
        self._page.close()
        os.close(self.descriptor)


def read_progress(descriptor: int) -> str:
    """Return the file name that the worker wrote last; empty if none. Untrusted: check the name before use."""
    data = os.pread(descriptor, _MAX_NAME_BYTES, 0).partition(b"\0")[0]
    return data.decode("utf-8", "replace")
