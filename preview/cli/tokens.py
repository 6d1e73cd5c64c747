"""Preview tokens that this user's client was given, kept so that ``preview request`` need not be told.

The service shows a preview's token once, at its launch, and keeps only a hash.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from preview.cli.data_folder import write_private
from preview.core.private import make_private_folder

# A preview lives for hours; the newest of so many launches are far more than can still be alive.
_MAX_TOKENS = 200


class TokenFile:
    """``data_dir/client/tokens.json``: service address and generation -> preview token (mode 0600).

    Args:
        data_dir: The data folder.
    """

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "client"
        self._path = self._folder / "tokens.json"

    def keep(self, url: str, generation_id: str, token: str) -> None:
        """Remember the newest token of this generation; the oldest beyond 200 are forgotten."""
        with self._locked():
            tokens = self._read()
            key = _key(url, generation_id)
            tokens.pop(key, None)
            tokens[key] = token
            newest = dict(list(tokens.items())[-_MAX_TOKENS:])
            write_private(self._path, json.dumps(newest, indent=1))

    def find(self, url: str, generation_id: str) -> str | None:
        """The token given at this generation's last launch from here."""
        return self._read().get(_key(url, generation_id))

    def _read(self) -> dict[str, str]:
        try:
            tokens = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return {str(key): str(value) for key, value in tokens.items()} if isinstance(tokens, dict) else {}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two launches at once must not lose each other's token."""
        make_private_folder(self._folder)
        descriptor = os.open(self._folder / "tokens.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _key(url: str, generation_id: str) -> str:
    return f"{url} {generation_id}"
