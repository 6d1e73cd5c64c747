"""Entries of the audit trail, and the chain of hashes that joins them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal, Self

from preview.core.clock import from_ms, now_ms
from preview.core.ids import new_audit_id

Outcome = Literal["ok", "refused", "failed", "unknown"]
"""``refused``: the service said no. ``failed``: an error of the service. ``unknown``: the response was never sent."""

FIRST = "0" * 64
"""Stands for the hash before the first entry."""
SERVICE = "service"
"""User of the service's own entries. No user can have this id's entries: ``via`` is ``service``, too."""
REMOVED = "audit: old entries removed"
"""Action of a checkpoint: the entries up to a number are removed, see ``Checkpoint``."""
BROKEN = "audit: chain broken"
"""Action of the entry that the service writes when the trail does not continue where it had left it."""

_MOST = {"user_id": 128, "owner_id": 128, "action": 64, "subject": 128, "preview_id": 64, "detail": 500}
_MOST |= {"via": 160, "address": 64}


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that somebody did.

    Attributes:
        id: ``audit_…``.
        at_ms: Time of its start, in milliseconds since the epoch.
        user_id: Who did it: a user's id, or ``guest NAME``.
        owner_id: The user whose preview or project it concerns; the same user in most cases.
        action: A few words, from a fixed list.
        subject: Id or name of the thing that it was done to; may be empty.
        preview_id: The preview that it concerns; may be empty.
        detail: The request's method and path, and a few words; never a secret.
        outcome: See ``Outcome``.
        via: ``browser``, ``bearer``, ``token token_…``, ``share share_…``, ``link`` (works once) or ``service``.
        address: The client's address; may be empty.
        seq: Number in the trail, dense from 1; 0 before the entry is stored.
        hash: See ``chained``; empty before the entry is stored.
    """

    id: str
    at_ms: int
    user_id: str
    owner_id: str
    action: str
    subject: str = ""
    preview_id: str = ""
    detail: str = ""
    outcome: str = "ok"
    via: str = ""
    address: str = ""
    seq: int = 0
    hash: str = ""

    @property
    def at(self) -> datetime:
        """The time of its start."""
        return from_ms(self.at_ms)

    @classmethod
    def new(cls, user_id: str, action: str, owner_id: str | None = None, **more: str) -> Self:
        """Return a new entry of now; texts are cut to their columns' lengths."""
        given = {"user_id": user_id, "owner_id": user_id if owner_id is None else owner_id, "action": action} | more
        values: dict[str, Any] = {name: _storable(value)[: _MOST.get(name, 16)] for name, value in given.items()}
        return cls(id=new_audit_id(), at_ms=now_ms(), **values)

    @classmethod
    def read(cls, values: object) -> Self:
        """Return the entry of a mapping that has its fields, as ``as_dict`` makes it.

        Raises:
            ValueError: A field is missing or of another type.
        """
        if not isinstance(values, Mapping):
            raise ValueError("an entry must be an object")  # noqa: TRY004  all that is wrong with a file is one error
        found: dict[str, Any] = {}
        for field in fields(cls):
            value = values.get(field.name)
            wanted = int if field.name in {"at_ms", "seq"} else str
            if type(value) is not wanted:
                raise ValueError(f"{field.name} is missing, or has the wrong type")
            found[field.name] = value if wanted is int else str(value)[: _MOST.get(field.name, 64)]
        return cls(**found)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def chained(entry: AuditEntry, seq: int, before: str) -> AuditEntry:
    """Return the entry as the ``seq``-th of the trail, with its hash.

    The hash is SHA-256, in hexadecimal, over the hash before it, a line end, and the entry as a JSON array in ASCII:
    number, time, then the texts in the order of ``AuditEntry``. So it covers each field and each earlier entry.
    """
    numbered = replace(entry, seq=seq, hash="")
    values = [seq, entry.at_ms, entry.id, entry.user_id, entry.owner_id, entry.action, entry.subject]
    values += [entry.preview_id, entry.detail, entry.outcome, entry.via, entry.address]
    text = f"{before}\n{json.dumps(values, separators=(',', ':'))}"
    return replace(numbered, hash=hashlib.sha256(text.encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class Head:
    """The number and hash of an entry, written down outside the database."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the head that ``str`` has written.

        Raises:
            ValueError: The text is no head.
        """
        number, _, digest = text.strip().partition(":")
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            raise ValueError("a head must be NUMBER:HASH")
        if len(digest) != len(FIRST) or not set(digest) <= set("0123456789abcdef"):
            raise ValueError("a head must be NUMBER:HASH, with 64 hexadecimal digits")
        return cls(int(number), digest)


def removed_through(entry: AuditEntry) -> Head | None:
    """Return the last removed entry that a checkpoint names; None for any other entry."""
    if entry.action != REMOVED or entry.via != SERVICE:
        return None
    try:
        return Head.parse(entry.detail.rpartition(" ")[2])
    except ValueError:
        return None


def _storable(text: str) -> str:
    """Return the text without NUL and lone surrogates, which databases refuse."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
