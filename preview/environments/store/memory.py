"""What projects ask for, remembered by what their files say: a launch of the same files need not parse them again."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Final

from preview.core.descriptors import raise_want
from preview.environments.folders.environment import EnvironmentRequest
from preview.environments.manifests.asked import Asked
from preview.environments.manifests.stated import STATED_IN
from preview.environments.python.recipe import read_request
from preview.sources import Sources

# Each takes a few kilobytes.
_MAX_ANSWERS: Final = 256
# What manifests are called. Requirements may be included from any text file.
_READ: Final = (".py", ".txt", ".toml", ".lock", ".cfg", ".in", ".yml", ".yaml", "Pipfile", *STATED_IN)


class RequestMemory:
    """Answers by the hash of a project's files; may be asked from several threads."""

    def __init__(self) -> None:
        self._answers: OrderedDict[bytes, Asked] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, request: EnvironmentRequest, sources: Sources | None = None) -> Asked:
        """What the project asks for. Runs nothing; call it in a thread.

        Args:
            request: What is asked for.
            sources: The project's files, where somebody has read them already.

        Raises:
            EnvironmentFailed: A manifest cannot be read.
        """
        sources = sources or Sources(request.project)
        key = _digest(sources, request)
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]
        asked = read_request(request, sources)
        if is_shareable(asked):
            with self._lock:
                self._answers[key] = asked
                if len(self._answers) > _MAX_ANSWERS:
                    self._answers.popitem(last=False)
        return asked


def is_shareable(asked: Asked) -> bool:
    """Whether another copy of the project asks for the same.

    A package in the project is named by where it lies now, and by all that is in it.
    """
    return not any("file:" in item.text or item.text.startswith("/") for item in asked.required.requirements)


def _digest(sources: Sources, request: EnvironmentRequest) -> bytes:
    digest = hashlib.sha256(repr((request.folder, request.extra, request.server, request.entry)).encode())
    for name in sources.all_names:
        last = name.rpartition("/")[2]
        if name.endswith(_READ) or last.startswith(".env"):
            text = sources.text(name) or _large(sources, name)
            digest.update(f"\0{name}\0{len(text)}\0".encode("utf-8", "surrogateescape"))
            digest.update(text)
    return digest.digest()


def _large(sources: Sources, name: str) -> bytes:
    """The hash of a file that is too large to be kept as source: a lock file."""
    path = sources.root / name
    if path.is_symlink() or not path.is_file():
        return b""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise_want(error)
        return b""
