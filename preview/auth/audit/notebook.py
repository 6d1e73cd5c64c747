"""Files beside the database: entries that are not stored yet, and the head of the trail.

An entry is written here before its change is made, and crossed out when its row is committed. So a change that was made
when the service was killed has an entry with the outcome ``unknown`` after the next start.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import structlog

from preview.auth.audit.entry import AuditEntry, Head

log = structlog.get_logger(__name__)

# Entries that are open at a time; more are not written down. Each is some 600 bytes.
_MOST_OPEN = 4_000
# Lines of the file before it is written again with the open entries only.
_MOST_LINES = 4_000
_MOST_BYTES = 32 * 1024 * 1024


class Notebook:
    """The files in one folder. Writes go to the page cache: they survive a kill of the service, not a power cut.

    Args:
        folder: Their folder; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._open: dict[str, AuditEntry] = {}
        self._lines = 0
        self._descriptor = -1
        self._is_reported = False

    def recover(self) -> list[AuditEntry]:
        """Return the entries that an earlier process has left open, oldest first, and keep them open."""
        if self._folder is None:
            return []
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError), (self._folder / "pending").open("rb") as file:
            for line in file.read(_MOST_BYTES).split(b"\n"):
                self._take(line)
        self._rewrite()
        return list(self._open.values())

    def write(self, entry: AuditEntry) -> None:
        """Write an entry down; a later version of it, with its outcome, counts instead of the earlier one."""
        if self._folder is None or (entry.id not in self._open and len(self._open) >= _MOST_OPEN):
            return
        self._open[entry.id] = entry
        self._append(json.dumps(entry.as_dict()))

    def cross_out(self, ids: list[str]) -> None:
        """Cross entries out: they are stored, or nothing happened."""
        gone = [one for one in ids if self._open.pop(one, None) is not None]
        if gone:
            self._append(json.dumps({"done": gone}))

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read_head(self) -> Head | None:
        """Return the head that was written down last; None if there is none, or it cannot be read."""
        if self._folder is None:
            return None
        try:
            return Head.parse((self._folder / "head").read_text("ascii")[:200])
        except (OSError, ValueError):
            return None

    def write_head(self, head: Head) -> None:
        """Write the head down, in place of the last one."""
        if self._folder is None:
            return
        draft = self._folder / "head.new"
        try:
            draft.write_text(f"{head}\n", "ascii")
            draft.replace(self._folder / "head")
        except OSError as error:
            self._report(error)

    def _take(self, line: bytes) -> None:
        try:
            found = json.loads(line)
            if "done" in found:
                for one in found["done"]:
                    self._open.pop(one, None)
            elif len(self._open) < _MOST_OPEN:
                entry = AuditEntry.read(found)
                self._open[entry.id] = entry
        except (ValueError, TypeError):
            # The last line of a killed process, or of a full disk.
            return

    def _append(self, line: str) -> None:
        assert self._folder is not None, "nothing is open without a folder"  # noqa: S101
        try:
            if self._descriptor < 0 or self._lines >= _MOST_LINES:
                self._rewrite()
                return
            data = f"{line}\n".encode()
            if os.write(self._descriptor, data) != len(data):
                # The next line would join the cut one, and both would be lost.
                self._rewrite()
                return
            self._lines += 1
        except OSError as error:
            self._report(error)

    def _rewrite(self) -> None:
        """Write the file again with the open entries only."""
        assert self._folder is not None, "nothing is open without a folder"  # noqa: S101
        self.close()
        draft = self._folder / "pending.new"
        text = "".join(f"{json.dumps(entry.as_dict())}\n" for entry in self._open.values())
        try:
            draft.write_text(text, "ascii")
            draft.replace(self._folder / "pending")
            flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self._folder / "pending", flags)
            self._lines = 0
        except OSError as error:
            self._report(error)

    def _report(self, error: OSError) -> None:
        if not self._is_reported:
            self._is_reported = True
            log.error("audit files cannot be written", reason=error.strerror, folder=str(self._folder))
