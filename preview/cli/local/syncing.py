"""Synchronize a generation with a folder: find differences by hashes and send them as one change."""

from __future__ import annotations

import base64
import io
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import trio
import typer

from preview.cli.client import Api, generation_path
from preview.cli.exits import ApiRefused, NoService, UsageMistake
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


# Files that a synchronization removes without asking, if there is no terminal to ask at.
UNASKED_REMOVALS = 3
_SHOWN_TO_AGREE = 20
_NOTE = {"source": "sync", "agent": "preview CLI"}


class Mirror:
    """Sends a folder's changes to a generation, and prints the results. Methods block: call in a thread."""

    def __init__(self, api: Api, generation_id: str, folder: Path, *, as_json: bool) -> None:
        self._api = api
        self._generation_id = generation_id
        self._path = generation_path(generation_id, "/files")
        self.folder = folder
        self._as_json = as_json

    def agree(self, *, is_agreed: bool) -> None:
        """Show what would be removed, and ask. Small removals need no answer if there is no terminal to ask at.

        Args:
            is_agreed: Whether ``--yes`` was given.

        Raises:
            UsageMistake: Many files would be removed, and there is no terminal to ask at.
            Abort: The user does not agree.
        """
        change, kept, _ = self._difference()
        if not is_agreed:
            agree_to_removals(self._generation_id, change.removed, kept, str(self.folder))

    def show_change(self) -> None:
        """Print what ``send_all`` would change; nothing is sent."""
        change, _, version = self._difference()
        if self._as_json:
            print_json({"version": version, "changed": sorted(change.written), "removed": sorted(change.removed)})
            return
        if not change:
            self._tell_same()
            return
        show_plan(sorted(change.written), sorted(change.removed))

    def _difference(self) -> tuple[FolderChange, int, str]:
        """Return the difference, the number of stored files, and their entity tag."""
        changes = FolderChanges(self.folder)
        content, wanted = changes.look().written, changes.hashes
        listed = self._api.get_json(self._path)
        there = {one["path"]: one["sha256"] for one in listed["files"]}
        written = {path: content[path] for path, digest in wanted.items() if there.get(path) != digest}
        return FolderChange(written, [path for path in there if path not in wanted]), len(there), listed["etag"]

    def send_all(self) -> bool:
        """Send all differences; return false if a running preview could not be reloaded with them.

        Raises:
            PreviewError: The folder cannot be sent, or the service refused the change.
        """
        for tries_left in reversed(range(_TRIES)):
            change, _, tag = self._difference()
            if not change:
                self._tell_same()
                return True
            try:
                return self._send(change, {"If-Match": tag}, is_whole=True)
            except ApiRefused as error:
                if error.problem != "precondition_failed" or not tries_left:
                    raise
        raise AssertionError("the last try has returned or raised")

    def send(self, change: FolderChange) -> bool:
        """Send a saved change regardless of other changes to the generation; returns as ``send_all``."""
        return self._send(change, {})

    def _send(self, change: FolderChange, headers: Mapping[str, str], *, is_whole: bool = False) -> bool:
        began = time.monotonic()
        if sum(map(len, change.written.values())) > _MOST_AS_JSON_BYTES:
            with packed(self.folder) as archive:
                files = {"archive": ("folder.tar.gz", archive, "application/gzip")}
                answer = self._api.call(
                    "PUT", self._path, files=files, params=_NOTE, headers=headers, timeout_s=_TIMEOUT_S
                )
        else:
            body = {
                "files": {path: _file(content) for path, content in change.written.items()},
                "remove": list(change.removed),
            }
            answer = self._api.call("PATCH", self._path, body=body, params=_NOTE, headers=headers, timeout_s=_TIMEOUT_S)
        return self._tell(answer.json(), time.monotonic() - began, is_whole=is_whole)

    def _tell_same(self) -> None:
        if self._as_json:
            print_json({"changed": [], "removed": [], "reload": {"status": "none"}})
        else:
            show("nothing to send: the generation matches the folder")

    def _tell(self, answer: dict[str, Any], elapsed_s: float, *, is_whole: bool) -> bool:
        reload = answer["reload"]
        if self._as_json:
            print_json(answer)
            return bool(reload["status"] != "failed")
        came_to = {"reloaded": f"reloaded in {elapsed_s:.2f} s", "none": "kept", "failed": "kept"}[reload["status"]]
        show(f"{_shown(answer['changed'], answer['removed'])}: {came_to}")
        if is_whole:
            counts = change_words(len(answer["changed"]), len(answer["removed"]))
            undo = f"preview versions restore {self._generation_id} {answer['version'] - 1}"
            show(f"Synced: {counts}. Undo: {undo}")
        return tell_reload(reload)


def agree_to_removals(generation_id: str, removed: Sequence[str], kept: int, source: str) -> None:
    """Show the files that would be removed, and ask. Few need no answer if there is no terminal to ask at.

    Args:
        generation_id: The generation.
        removed: Paths of the files.
        kept: Number of the generation's files.
        source: What does not have these files, for people.

    Raises:
        UsageMistake: Many files would be removed, and there is no terminal to ask at.
        Abort: The user does not agree.
    """
    if not removed:
        return
    if not sys.stdin.isatty():
        if len(removed) > UNASKED_REMOVALS:
            raise UsageMistake(
                f"{len(removed)} of {kept} files are not in {source} and would be removed from "
                f"{generation_id}; give --yes if that is intended, or see all with --dry-run."
            )
        return
    _say_paths("remove", removed)
    if not typer.confirm(f"Remove {len(removed)} of {kept} files from {generation_id}?", err=True):
        raise typer.Abort


def agree_to_replacement(generation_id: str, plan: Mapping[str, Any]) -> None:
    """Show what an import would change, and ask. Without a terminal, only many removals need an answer.

    Args:
        generation_id: The generation.
        plan: The service's response to the dry run.

    Raises:
        UsageMistake: Many files would be removed, and there is no terminal to ask at.
        Abort: The user does not agree.
    """
    changed, removed, origin = plan["changed"], plan["removed"], visible(plan["origin"])
    if not sys.stdin.isatty():
        kept = plan["file_count"] + len(removed) - len(plan["added"])
        agree_to_removals(generation_id, removed, kept, origin)
        return
    if not changed and not removed:
        return
    _say_paths("change", changed)
    _say_paths("remove", removed)
    source = origin + (f" at {plan['commit'][:7]}" if plan["commit"] else "")
    words = change_words(len(changed), len(removed))
    if not typer.confirm(f"Replace the files of {generation_id} by those of {source} ({words})?", err=True):
        raise typer.Abort


def _say_paths(word: str, paths: Sequence[str]) -> None:
    for path in paths[:_SHOWN_TO_AGREE]:
        say(f"{word}  {visible(path)}")
    if len(paths) > _SHOWN_TO_AGREE:
        say(f"… and {len(paths) - _SHOWN_TO_AGREE} more to {word}")


def show_plan(changed: Sequence[str], removed: Sequence[str]) -> None:
    """Print what a dry run would change."""
    for word, paths in (("change", changed), ("remove", removed)):
        for path in paths:
            show(f"{word}  {visible(path)}")
    show(f"Would sync: {change_words(len(changed), len(removed))}")


def tell_reload(reload: dict[str, Any]) -> bool:
    """Print why a preview did not start with a change; return false then."""
    if reload["status"] != "failed":
        return True
    error = reload["error"]
    for line in error["details"].get("last_lines", ()):
        say(f"  {line}")
    say(f"the new version does not start; the previous one keeps serving: {error['detail']}")
    return False


def change_words(changed: int, removed: int) -> str:
    """Return the counts as words: ``1 changed, 19 removed``."""
    words = [f"{count} {word}" for count, word in ((changed, "changed"), (removed, "removed")) if count]
    return ", ".join(words) or "nothing changed"


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
