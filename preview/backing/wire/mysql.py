"""MySQL's first packets, rewritten so that any user, password and database lead to the preview's own.

The server speaks first. Its greeting goes on to the client without encryption and compression. The client's answer is
not checked; a login with the preview's own user, password and database takes its place.

Source: MySQL's internals manual, "Connection Phase"; MariaDB's documentation, "Connecting". Pure: no input or output.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

HEAD_BYTES = 4
# Greetings and answers are a few hundred bytes; a driver's attributes of the connection may have 64 KiB (lenenc).
MOST_BYTES = 128 * 1024
OK, ERROR = 0x00, 0xFF
PLUGIN = b"mysql_native_password"
# include/mysql_com.h: capabilities of the protocol.
_WITH_DATABASE, _COMPRESS, _PROTOCOL_41, _SSL = 0x8, 0x20, 0x200, 0x800
_SECURE, _NAMES_PLUGIN, _ATTRIBUTES, _LENGTH_ENCODED, _ZSTD = 0x8000, 0x80000, 0x100000, 0x200000, 1 << 26
_REFUSED = _SSL | _COMPRESS | _ZSTD
_SALT_BYTES, _FIRST_SALT_BYTES = 20, 8
# Bytes of an answer before the user's name: capabilities, largest packet, character set, reserved.
_FIXED_BYTES = 32
_PROTOCOL_10, _SWITCH = 10, 0xFE
# A packet of nothing but the fixed bytes asks for a handshake.
TLS_REQUEST_BYTES = HEAD_BYTES + _FIXED_BYTES
# Lengths above this take more than a byte (length-encoded integers); no proof of a password is as long.
_MOST_SHORT = 250
_CANNOT_CONNECT, _TOO_MANY = 1105, 1040


class NotMysql(Exception):
    """The bytes are no start of a session; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """The server's first packet.

    Attributes:
        salt: 20 random bytes, with which a password is proved.
        shown: The packet's content for the client.
        offers_tls: Whether the server encrypts, if it is asked.
        version: The server's version, as it says.
    """

    salt: bytes
    shown: bytes
    offers_tls: bool = False
    version: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The client's first packet, without its user and password.

    Attributes:
        capabilities: What it wants of the protocol.
        fixed: Largest packet, character set and reserved bytes, as they are.
        plugin: How it proves a password; None if it does not say.
        attributes: Attributes of the connection, as they are: length and pairs.
        database: Name of the database that it asks for; empty if it names none.
    """

    capabilities: int
    fixed: bytes
    plugin: bytes | None
    attributes: bytes
    database: bytes = b""


def read_head(head: bytes) -> tuple[int, int]:
    """Return the number of bytes that follow, and the packet's sequence number.

    Args:
        head: The first ``HEAD_BYTES`` bytes.

    Raises:
        NotMysql: The packet is too long.
    """
    size = int.from_bytes(head[:3], "little")
    if not 0 < size <= MOST_BYTES:
        raise NotMysql(f"a first packet of {size} bytes")
    return size, head[3]


def frame(sequence: int, content: bytes) -> bytes:
    """Return a packet; sequence numbers start again after 255."""
    return len(content).to_bytes(3, "little") + bytes([sequence & 0xFF]) + content


def read_greeting(content: bytes) -> Greeting:
    """Read the server's greeting.

    Raises:
        NotMysql: It is none of protocol 10 with a salt of 20 bytes.
    """
    end = content.find(b"\0", 1)
    # version\0, thread id (4), salt (8), 0, capabilities (2), character set, status (2), capabilities (2),
    # length of the salt, reserved (10), rest of the salt (13, ended by a zero)
    at = end + 1 + 4 + _FIRST_SALT_BYTES + 1
    rest = at + 18
    if content[:1] != bytes([_PROTOCOL_10]) or end < 0 or len(content) < rest + _SALT_BYTES - _FIRST_SALT_BYTES:
        raise NotMysql("the server's greeting is not of protocol 10")
    salt = content[at - 1 - _FIRST_SALT_BYTES : at - 1] + content[rest : rest + _SALT_BYTES - _FIRST_SALT_BYTES]
    low, high = content[at : at + 2], content[at + 5 : at + 7]
    said = int.from_bytes(low, "little") | int.from_bytes(high, "little") << 16
    offered = said & ~_REFUSED
    shown = bytearray(content)
    shown[at : at + 2] = (offered & 0xFFFF).to_bytes(2, "little")
    shown[at + 5 : at + 7] = (offered >> 16).to_bytes(2, "little")
    return Greeting(salt, bytes(shown), bool(said & _SSL), content[1:end].decode("ascii", "replace"))


def with_tls(content: bytes) -> bytes:
    """Return the content of a greeting that offers encryption.

    Raises:
        NotMysql: It is no greeting.
    """
    read_greeting(content)
    at = content.find(b"\0", 1) + 1 + 4 + _FIRST_SALT_BYTES + 1
    offered = int.from_bytes(content[at : at + 2], "little") | _SSL
    return content[:at] + offered.to_bytes(2, "little") + content[at + 2 :]


def asks_for_tls(first: bytes) -> bool:
    """Return whether a client's first bytes, at least ``TLS_REQUEST_BYTES`` of an answer, ask for a handshake."""
    if len(first) < TLS_REQUEST_BYTES or int.from_bytes(first[:3], "little") != _FIXED_BYTES:
        return False
    return bool(int.from_bytes(first[HEAD_BYTES : HEAD_BYTES + 4], "little") & _SSL)


def read_answer(content: bytes) -> Answer:
    """Read the client's answer to the greeting.

    Raises:
        NotMysql: It is none of protocol 4.1, or asks for encryption. Once a session is encrypted, the wish stays in it.
    """
    if len(content) < _FIXED_BYTES:
        raise NotMysql("an answer that is too short")
    capabilities = int.from_bytes(content[:4], "little")
    if capabilities & _SSL and len(content) == _FIXED_BYTES:
        raise NotMysql("it asks for encryption, which was not offered")
    if not capabilities & _PROTOCOL_41:
        raise NotMysql("an answer of an old protocol")
    at = _after_zero(content, _FIXED_BYTES)
    has_length = capabilities & (_LENGTH_ENCODED | _SECURE)
    at = _after_proof(content, at) if has_length else _after_zero(content, at)
    database = b""
    if capabilities & _WITH_DATABASE:
        end = _after_zero(content, at)
        database, at = content[at : end - 1], end
    plugin = None
    if capabilities & _NAMES_PLUGIN and at < len(content):
        end = _after_zero(content, at)
        plugin, at = content[at : end - 1], end
    attributes = content[at:] if capabilities & _ATTRIBUTES else b""
    return Answer(capabilities, content[4:_FIXED_BYTES], plugin, attributes, database)


def switch_request(salt: bytes) -> bytes:
    """Return what has a client use ``PLUGIN``: one that prefers another waits for this."""
    return bytes([_SWITCH]) + PLUGIN + b"\0" + salt + b"\0"


def log_in(answer: Answer, salt: bytes, user: str, password: str, database: str) -> bytes:
    """Return the content of a login with the preview's own user and database.

    Character set, largest packet, attributes and all other wishes of the client are kept. Without a database the
    session begins in none.
    """
    wanted = answer.capabilities | _SECURE | _NAMES_PLUGIN | _PROTOCOL_41
    wanted &= ~(_REFUSED | _WITH_DATABASE | (0 if answer.attributes else _ATTRIBUTES))
    proof = prove(password, salt)
    login = user.encode() + b"\0" + bytes([len(proof)]) + proof
    if database:
        wanted |= _WITH_DATABASE
        login += database.encode("ascii") + b"\0"
    return wanted.to_bytes(4, "little") + answer.fixed + login + PLUGIN + b"\0" + answer.attributes


def ask_for_tls(login: bytes) -> tuple[bytes, bytes]:
    """Return what asks the server to encrypt, and the login that follows, encrypted.

    Both have the same wishes: MariaDB reads those of the first.

    Args:
        login: Content of a login.
    """
    wanted = (int.from_bytes(login[:4], "little") | _SSL).to_bytes(4, "little")
    return wanted + login[4:_FIXED_BYTES], wanted + login[4:]


def read_switch(content: bytes) -> bytes | None:
    """Return the salt with which the server asks for a proof with ``PLUGIN``; None if it asks for anything else."""
    start = bytes([_SWITCH]) + PLUGIN + b"\0"
    salt = content[len(start) : len(start) + _SALT_BYTES]
    return salt if content.startswith(start) and len(salt) == _SALT_BYTES else None


def prove(password: str, salt: bytes) -> bytes:
    """Return the proof of a password for this salt (``mysql_native_password``); empty for an empty one."""
    if not password:
        return b""
    once = _sha1(password.encode())
    mask = _sha1(salt + _sha1(once))
    return bytes(one ^ other for one, other in zip(once, mask, strict=True))


def hash_password(password: str) -> str:
    """Return the hash that a server keeps: ``*`` and 40 digits."""
    return "*" + _sha1(_sha1(password.encode())).hex().upper()


def refusal(sentence: str, *, sequence: int = 0, is_greeted: bool = False) -> bytes:
    """Return an error packet that ends the session; drivers show its sentence.

    Args:
        sentence: For people.
        sequence: Of the packet.
        is_greeted: Whether a greeting was sent. An error in its place has no SQLSTATE.
    """
    return _error(_CANNOT_CONNECT, "HY000", sentence, sequence, is_greeted=is_greeted)


def too_many(sentence: str) -> bytes:
    """Return an error packet in place of a greeting: too many connections (1040)."""
    return _error(_TOO_MANY, "08004", sentence, 0, is_greeted=False)


def _error(number: int, state: str, sentence: str, sequence: int, *, is_greeted: bool) -> bytes:
    said = f"#{state}{sentence}" if is_greeted else sentence
    return frame(sequence, bytes([ERROR]) + struct.pack("<H", number) + said.encode("utf-8", "replace")[:512])


def _after_zero(content: bytes, at: int) -> int:
    end = content.find(b"\0", at)
    if end < 0:
        raise NotMysql("an unterminated response")
    return end + 1


def _after_proof(content: bytes, at: int) -> int:
    if at >= len(content) or content[at] > _MOST_SHORT or at + 1 + content[at] > len(content):
        raise NotMysql("a response with an unterminated password hash")
    return at + 1 + content[at]


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data).digest()  # noqa: S324  the protocol's
