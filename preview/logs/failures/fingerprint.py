"""The place to look at in a failure, and the fingerprint by which failures of one cause are grouped.

The fingerprint has the types of the exceptions, and file, function and text of the deepest line of the project's own
code. It has no line numbers, as other code above moves them. The message counts only where the code does not decide it:
when a library raised the error, or when the line's text is unknown. Then its values (numbers, ids, quoted text) are
left out.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

from preview.logs.failures.model import Frame, Language, Raised, Relation

_ID_DIGITS = 12
_MESSAGE = 300
_DEEP = frozenset({"RecursionError", "RangeError"})
_RAISES = re.compile(r"(?:raise|throw)\b")
# One pass each, with bounded or possessive runs.
_VALUES = (
    (re.compile(r"'[^'\n]{0,200}'|\"[^\"\n]{0,200}\"|`[^`\n]{0,200}`"), "<text>"),
    (re.compile(r"\b\w{1,20}://[^\s<>]{1,300}"), "<url>"),
    (re.compile(r"[\w.+-]{1,64}@[\w.-]{1,100}"), "<mail>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b0x[0-9a-f]{1,32}\b|\b(?=[a-f0-9]{0,40}\d)[0-9a-f]{8,64}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"(?<![\w/])/[\w./%-]{1,300}"), "<path>"),
    (re.compile(r"\d{1,40}"), "<n>"),
)
# Values in the messages of JavaScript's engine are quoted; names of properties are quoted too.
_ENGINE = re.compile(r"(?:TypeError|ReferenceError)$")
_ENGINE_VALUES = _VALUES[1:]


def where_to_look(exceptions: Sequence[Raised]) -> Frame | None:
    """Return the deepest frame of the project's own code that explains the failure; None if it has none.

    1. The deepest own frame of the exception that reached the server.
    2. If it was raised from another one, that one's, and so on.
    3. If it was raised on purpose while another one was handled, that one's: its own line is a ``raise``.
    4. Without any: of the first member of its group that has one.
    """
    top, *others = exceptions
    frame, upper = top.deepest_own, top
    for one in others:
        if one.relation not in (Relation.CAUSE, Relation.CONTEXT):
            break
        deeper = one.deepest_own
        if deeper is not None and (frame is None or one.relation is Relation.CAUSE or _is_wrapped(upper)):
            frame = deeper
        upper = one
    if frame is None or any(one.relation is Relation.MEMBER for one in others):
        members = [one for one in others if one.relation is Relation.MEMBER]
        frame = next((one.deepest_own for one in members if one.deepest_own is not None), frame)
    return frame


def _is_wrapped(raised: Raised) -> bool:
    return bool(raised.frames) and raised.frames[0].is_own and _RAISES.match(raised.frames[0].code) is not None


def fingerprint_of(language: Language, exceptions: Sequence[Raised], code: str = "") -> str:
    """Return the fingerprint of a failure: 32 hexadecimal digits.

    Args:
        language: Language of the program.
        exceptions: The exceptions.
        code: Text of the line in ``where_to_look``, if the program did not print it; empty if unknown.
    """
    frame = where_to_look(exceptions)
    parts: list[str] = [language]
    origin = next((one for one in exceptions if frame is not None and frame in one.frames), exceptions[0])
    parts += [one.type for one in dict.fromkeys((exceptions[0], origin))]
    if exceptions[0].type in _DEEP and (turn := _repeated(origin)) is not None:
        return _hash([*parts, turn.path, turn.function])
    if frame is not None:
        code = " ".join((frame.code or code).split())
        parts += [frame.path, frame.function, code]
    is_decided = frame is not None and bool(code) and origin.frames[0] is frame
    if not is_decided:
        parts.append(shape_of(origin))
    return _hash(parts)


def id_of(fingerprint: str) -> str:
    """Return the id of the record with this fingerprint."""
    return fingerprint[:_ID_DIGITS]


def shape_of(raised: Raised) -> str:
    """Return an exception's message without values that differ from one time to the next."""
    text = next(iter(raised.message[: 4 * _MESSAGE].split("\n")))
    by_engine = _ENGINE.match(raised.type) is not None
    for pattern, word in _ENGINE_VALUES if by_engine else _VALUES:
        text = pattern.sub(word, text)
    return text[:_MESSAGE]


def _repeated(raised: Raised) -> Frame | None:
    """Return the frame that stands for a recursion: of those that repeat, the first by name."""
    places = Counter((frame.path, frame.function) for frame in raised.frames if frame.is_own)
    turns = [frame for frame in raised.frames if frame.is_own and places[frame.path, frame.function] > 2]
    return min(turns, key=lambda frame: (frame.path, frame.function), default=None)


def _hash(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]
