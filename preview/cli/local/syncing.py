"""Synchronize a generation with a folder: find differences by hashes and send them as one change."""

from __future__ import annotations

import base64
import io
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import trio

from preview.cli.client import Api, generation_path
from preview.cli.exits import ApiRefused, NoService
from preview.cli.local.watching import FolderWatch
from preview.cli.terminal import print_json, say, show
from preview.core.quoting import visible
from preview.errors import PreviewError
from preview.generations import FolderChange, FolderChanges

# Larger archives go to a file on disk.
_IN_MEMORY_BYTES = 8 * 1024 * 1024


@contextmanager
def packed(folder: Path) -> Iterator[IO[bytes]]:
    """Provide the folder's files as a tar.gz, at position 0; the file is deleted at the end.

    ``FolderChanges`` selects the files, as for ``preview run``.

    Raises:
        InvalidGeneration: The folder contains something that cannot be uploaded, or no files.
    """
    written = FolderChanges(folder).look().written
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as archive:
            for path, content in sorted(written.items()):
                # Without this machine's user names and ids.
                member = tarfile.TarInfo(path)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        file.seek(0)
        yield file


# Base64 in JSON is a third longer than its content, and is read as a whole. Larger changes are sent as an archive.
_MOST_AS_JSON_BYTES = 4 * 1024 * 1024
_TIMEOUT_S = 600.0
# Attempts if other clients change the generation at the same time; the file list is read again each time.
_TRIES = 3
_SHOWN_PATHS = 3


class Mirror:
    """Sends a folder's changes to a generation, and prints the results. Methods block: call in a thread."""

    def __init__(self, api: Api, generation_id: str, folder: Path, *, as_json: bool) -> None:
        self._api = api
        self._path = generation_path(generation_id, "/files")
        self.folder = folder
        self._as_json = as_json

    def send_all(self) -> bool:
        """Send all differences; return false if a running preview could not be reloaded with them.

        Raises:
            PreviewError: The folder cannot be sent, or the service refused the change.
        """
        changes = FolderChanges(self.folder)
        content = changes.look().written
        for tries_left in reversed(range(_TRIES)):
            listed = self._api.get_json(self._path)
            there = {one["path"]: one["sha256"] for one in listed["files"]}
            wanted = changes.hashes
            change = FolderChange(
                {path: content[path] for path, digest in wanted.items() if there.get(path) != digest},
                [path for path in there if path not in wanted],
            )
            if not change:
                self._tell_same()
                return True
            try:
                return self._send(change, {"If-Match": listed["etag"]})
            except ApiRefused as error:
                if error.problem != "precondition_failed" or not tries_left:
                    raise
        raise AssertionError("the last try has returned or raised")

    def send(self, change: FolderChange) -> bool:
        """Send a saved change regardless of other changes to the generation; returns as ``send_all``."""
        return self._send(change, {})

    def _send(self, change: FolderChange, headers: Mapping[str, str]) -> bool:
        began = time.monotonic()
        if sum(map(len, change.written.values())) > _MOST_AS_JSON_BYTES:
            with packed(self.folder) as archive:
                files = {"archive": ("folder.tar.gz", archive, "application/gzip")}
                answer = self._api.call("PUT", self._path, files=files, headers=headers, timeout_s=_TIMEOUT_S)
        else:
            body = {
                "files": {path: _file(content) for path, content in change.written.items()},
                "remove": list(change.removed),
            }
            answer = self._api.call("PATCH", self._path, body=body, headers=headers, timeout_s=_TIMEOUT_S)
        return self._tell(answer.json(), time.monotonic() - began)

    def _tell_same(self) -> None:
        if self._as_json:
            print_json({"changed": [], "removed": [], "reload": {"status": "none"}})
        else:
            show("nothing to send: the generation holds what the folder holds")

    def _tell(self, answer: dict[str, Any], elapsed_s: float) -> bool:
        reload = answer["reload"]
        if self._as_json:
            print_json(answer)
            return bool(reload["status"] != "failed")
        came_to = {"reloaded": f"reloaded in {elapsed_s:.2f} s", "none": "kept", "failed": "kept"}[reload["status"]]
        show(f"{_shown(answer['changed'], answer['removed'])}: {came_to}")
        if reload["status"] != "failed":
            return True
        error = reload["error"]
        for line in error["details"].get("last_lines", ()):
            say(f"  {line}")
        say(f"the new version does not start; the previous one keeps serving: {error['detail']}")
        return False


async def follow_folder(mirror: Mirror) -> None:
    """Send all differences, then each saved change, until cancelled.

    A refused change is reported, and sent again with the next change.

    Cancellation: a change in progress is made or not.
    """
    watch = FolderWatch(mirror.folder)
    async with trio.open_nursery() as nursery:
        await nursery.start(watch.run)
        await trio.to_thread.run_sync(mirror.send_all, abandon_on_cancel=True)
        while True:
            await watch.wait()
            error, change = watch.error, watch.take()
            if error is not None:
                say(f"not sent: {error.message}")
            if change:
                await _send(mirror, watch, change)


async def _send(mirror: Mirror, watch: FolderWatch, change: FolderChange) -> None:
    try:
        await trio.to_thread.run_sync(mirror.send, change, abandon_on_cancel=True)
    except NoService:
        raise
    except PreviewError as error:
        say(f"not sent: {error.message}")
        await watch.wait()
        watch.give_back(change)


def _file(content: bytes) -> str | dict[str, str]:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _shown(changed: Sequence[str], removed: Sequence[str]) -> str:
    parts = []
    for what, paths in (("changed", changed), ("removed", removed)):
        if paths:
            more = f" and {len(paths) - _SHOWN_PATHS} more" if len(paths) > _SHOWN_PATHS else ""
            parts.append(f"{what} {', '.join(map(visible, paths[:_SHOWN_PATHS]))}{more}")
    return ", ".join(parts)
