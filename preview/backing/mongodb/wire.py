"""Messages of MongoDB's protocol. A preview's are a stranger's: sizes are checked before anything is read.

Source: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from preview.backing.mongodb.bson import Document, NotBson, elements, encode, rewrite, size_of

HEAD_BYTES = 16
REPLY, QUERY, MESSAGE = 1, 2004, 2013
# ``maxMessageSizeBytes`` of the server, and a reserve.
MOST_BYTES = 48_000_000 + 64 * 1024
# A command with a document of the greatest size.
MOST_BODY_BYTES = 17 * 1024 * 1024
CHECKSUM = 1
CHECKSUM_BYTES = 4
# Before the body's own size: the flags, and its kind.
BODY_AT = 5
_HEAD = struct.Struct("<iiii")
_REPLY = struct.Struct("<iqii")
_FLAGS = struct.Struct("<I")
HELLOS = frozenset({b"hello", b"isMaster", b"ismaster"})
LOGINS = frozenset({b"saslStart", b"saslContinue", b"authenticate", b"logout", b"getnonce"})
# A client is neither compressed nor logged in: the service has logged in, and reads the start of each message.
_NOT_ASKED = frozenset({b"compression", b"speculativeAuthenticate", b"saslSupportedMechs"})
# A client would connect to the members of a replica set by their own names, which no preview reaches.
_NOT_TOLD = frozenset(
    {b"hosts", b"passives", b"arbiters", b"primary", b"me", b"setName", b"setVersion", b"electionId", b"tags",
     b"lastWrite", b"topologyVersion", b"compression", b"saslSupportedMechs", b"speculativeAuthenticate"}
)  # fmt: skip
# Databases of the server's own, on which commands without data are executed.
_SYSTEM = frozenset({b"admin", b"config", b"local"})
_COMMANDS = b"admin.$cmd\0"


class NotMongodb(Exception):
    """A message is not of the protocol, or beyond a limit; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a message.

    Attributes:
        left: Bytes that follow.
        number: Number of the message.
        answers: Number of the message that it answers.
        code: Kind of the message.
    """

    left: int
    number: int
    answers: int
    code: int


def read_head(head: bytes) -> Head:
    """Return the head of a message. Raises: NotMongodb: Its size is none."""
    size, number, answers, code = _HEAD.unpack(head)
    if not HEAD_BYTES < size <= MOST_BYTES:
        raise NotMongodb("a message of an impossible size")
    return Head(size - HEAD_BYTES, number, answers, code)


def write_head(head: Head, left: int) -> bytes:
    """Return the head of a message whose content has another size."""
    return _HEAD.pack(left + HEAD_BYTES, head.number, head.answers, head.code)


def message(number: int, body: bytes, documents: tuple[str, bytes] | None = None, *, answers: int = 0) -> bytes:
    """Return a message.

    Args:
        number: Its number.
        body: The command, or the answer.
        documents: Name and bytes of documents that belong to a command.
        answers: Number of the message that it answers.
    """
    content = _FLAGS.pack(0) + b"\0" + body
    if documents is not None:
        named = documents[0].encode() + b"\0" + documents[1]
        content += b"\1" + (len(named) + 4).to_bytes(4, "little") + named
    return _HEAD.pack(len(content) + HEAD_BYTES, number, answers, MESSAGE) + content


def refusal(asked: Head, sentence: str, code: int) -> bytes:
    """Return the answer to a command that is not executed."""
    body = encode({"ok": 0.0, "errmsg": sentence, "code": code, "codeName": "AuthenticationFailed"})
    if asked.code == MESSAGE:
        return message(0, body, answers=asked.number)
    content = _REPLY.pack(0, 0, 0, 1) + body
    return _HEAD.pack(len(content) + HEAD_BYTES, 0, asked.number, REPLY) + content


def split_start(start: bytes) -> tuple[int, int]:
    """Return the flags of a message and the size of its body, from its first nine bytes.

    Raises:
        NotMongodb: It does not begin with a body, or that is too large.
    """
    try:
        size = size_of(start[BODY_AT:])
    except NotBson as error:
        raise NotMongodb(str(error)) from error
    if start[BODY_AT - 1] or size > MOST_BODY_BYTES:
        raise NotMongodb("a message that does not begin with its command, or one that is too large")
    return _FLAGS.unpack_from(start)[0], size


def command_of(body: bytes) -> bytes:
    """Return the name of a command. Raises: NotMongodb: There is none."""
    try:
        return next(elements(body)).name
    except (NotBson, StopIteration) as error:
        raise NotMongodb("no command") from error


def redirect(body: bytes, database: str) -> bytes:
    """Return a command that is executed on the preview's own database, whatever database it names.

    Raises:
        NotMongodb: It names none, or is no command.
    """
    try:
        found = [one for one in elements(body) if one.name == b"$db"]
        if len(found) != 1:
            raise NotMongodb("a command without a database, or with several")
        named = body[found[0].value + 4 : found[0].end - 1]
        texts = {} if named in _SYSTEM else {b"$db": database.encode()}
        return rewrite(body, without=_NOT_ASKED if command_of(body) in HELLOS else (), texts=texts)
    except NotBson as error:
        raise NotMongodb(str(error)) from error


def redirect_query(content: bytes) -> bytes:
    """Return an old form of the first command of a client, without what the service answers itself.

    Raises:
        NotMongodb: It is another command.
    """
    document = content[4 + len(_COMMANDS) + 8 :]
    if content[4 : 4 + len(_COMMANDS)] != _COMMANDS or command_of(document) not in HELLOS:
        raise NotMongodb("an obsolete command format")
    try:
        return content[: 4 + len(_COMMANDS) + 8] + rewrite(document, without=_NOT_ASKED)
    except NotBson as error:
        raise NotMongodb(str(error)) from error


def as_one_server(code: int, content: bytes) -> bytes:
    """Return the answer to a client's first command, as of a server that stands alone.

    Raises:
        NotMongodb: It is none.
    """
    start = _REPLY.size if code == REPLY else BODY_AT
    try:
        if code == MESSAGE and split_start(content[: BODY_AT + 4])[0] & CHECKSUM:
            content = _FLAGS.pack(0) + content[_FLAGS.size : -CHECKSUM_BYTES]
        return content[:start] + rewrite(content[start:], without=_NOT_TOLD)
    except NotBson as error:
        raise NotMongodb(str(error)) from error


def body_of(code: int, content: bytes) -> bytes:
    """Return the document of an answer. Raises: NotMongodb: It is none."""
    if code != MESSAGE or len(content) < BODY_AT + 4:
        raise NotMongodb("no answer")
    _, size = split_start(content[: BODY_AT + 4])
    if BODY_AT + size > len(content):
        raise NotMongodb("an answer of a wrong size")
    return content[BODY_AT : BODY_AT + size]


def command(document: Document, database: str) -> bytes:
    """Return a command of the service's."""
    return encode({**document, "$db": database})
