"""Names of roles, users and databases on a server of the operator's.

Each contains the mark of one service, so two services and the operator's own databases never touch each other's.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

_NAME = re.compile(r"pv_([0-9a-f]{12})_[0-9a-f]{16}", re.ASCII)
_MARK = re.compile(r"[0-9a-f]{12}", re.ASCII)
_SECRET = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Names:
    """The names that one service gives.

    Attributes:
        mark: Mark of the service's data folder; see ``read_mark``.
        secret: Secret of the data folder; see ``read_secret``.
    """

    mark: str
    secret: str = field(default="", repr=False)

    def new(self) -> str:
        """Return a new name of 32 characters, the most that MySQL accepts for a user."""
        return f"pv_{self.mark}_{secrets.token_hex(8)}"

    @property
    def number(self) -> int:
        """The mark as a number, for a lock."""
        return int(self.mark, 16)

    @property
    def lock(self) -> str:
        """Name of a lock that no preview can guess: in MySQL each user may take any."""
        return f"preview_{hashlib.sha256(f'{self.secret} {self.mark}'.encode()).hexdigest()[:32]}"

    def is_own(self, name: str | None) -> bool:
        """Return whether a name is one of this service's."""
        found = _NAME.fullmatch(name or "")
        return found is not None and found[1] == self.mark


def read_mark(folder: Path) -> str:
    """Return the mark of a data folder; make it the first time. Blocks on the disk.

    It is random: services on two machines may have their data in folders of the same name.

    Args:
        folder: Private folder of the service.
    """
    return _read_or_make(folder, "mark", _MARK, secrets.token_hex(6))


def read_secret(folder: Path) -> str:
    """Return a secret of a data folder, which no preview learns; make it the first time. Blocks on the disk."""
    return _read_or_make(folder, "secret", _SECRET, secrets.token_hex(16))


def _read_or_make(folder: Path, name: str, form: re.Pattern[str], made: str) -> str:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / name
    if file.exists():
        found = file.read_text("ascii", "replace").strip()
        if form.fullmatch(found):
            return found
    new = folder / f"{name}.new"
    new.touch(mode=0o600)
    new.write_text(made, "ascii")
    # A service that is killed here has made nothing on a server yet.
    os.replace(new, file)  # noqa: PTH105  atomic
    return file.read_text("ascii")
