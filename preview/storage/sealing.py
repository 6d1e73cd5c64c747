"""Encryption of small secrets in the database: AES-256-GCM, with keys that an operator can replace.

A sealed text is ``1.KEY.DATA``: the format, the key's id, and base64 of nonce and ciphertext. The key's id names
the key without revealing it, so a text sealed with a key that is gone is recognised before any decryption.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from preview.core.key_file import MAX_FILE_BYTES, KeyFileUnusable, read_or_create
from preview.core.quoting import quoted
from preview.errors import ConfigurationError, SealedTextUnreadable
from preview.settings import Settings

KEY_FILE = "sealing-keys"
_FORMAT = "1"
# NIST SP 800-38D: 96 bits. With random nonces one key serves 2^32 texts; the bounds of the tables keep far below.
_NONCE_BYTES = 12
_MIN_KEY_BYTES = 32
# Each look-up is one comparison of ids; more old keys than this are a mistake.
_MAX_KEYS = 16
_KEY_ID_BYTES = 4


@dataclass(frozen=True, slots=True, repr=False)
class _Key:
    id: str
    cipher: AESGCM


class Sealer:
    """Encrypts and decrypts texts. Safe to use from any task or thread.

    Args:
        secrets: At least one text of 32 bytes or more. The first one encrypts; each can decrypt.
        source: Name of the setting or file that holds them, for error messages.
    """

    def __init__(self, secrets: Sequence[str], source: str) -> None:
        self._keys = [_derive(secret) for secret in secrets]
        self._source = source

    def __repr__(self) -> str:
        return f"<Sealer of {len(self._keys)} keys from {self._source}>"

    def seal(self, text: str, place: str) -> str:
        """Return the text encrypted with the newest key: printable ASCII, about 4/3 of its size and 60 characters more.

        Args:
            text: The secret. Lone surrogates are kept.
            place: Name of the row and column, for instance ``webhook:webhook_1:secret``. Only ``open`` with the same
                place decrypts the text, so that nobody who can write the database can move it to another row.
        """
        key, nonce = self._keys[0], os.urandom(_NONCE_BYTES)
        content = key.cipher.encrypt(nonce, text.encode("utf-8", "surrogatepass"), _bound(key.id, place))
        return f"{_FORMAT}.{key.id}.{base64.urlsafe_b64encode(nonce + content).decode()}"

    def open(self, sealed: str, place: str) -> str:
        """Return the text of ``seal``.

        Raises:
            SealedTextUnreadable: The service does not have the key, or the sealed text was changed or moved.
        """
        form, _, rest = sealed.partition(".")
        key_id, _, data = rest.partition(".")
        if form != _FORMAT:
            raise self._changed(place)
        key = next((one for one in self._keys if one.id == key_id), None)
        if key is None:
            raise SealedTextUnreadable(
                f"A stored secret ({_named(place)}) is encrypted with the key {quoted(key_id[:16])}, "
                f"which the service does not have. Add that key to {self._source}, or set the secret again.",
                key=key_id[:16],
            )
        try:
            content = base64.urlsafe_b64decode(data)
            if base64.urlsafe_b64encode(content).decode() != data:
                raise self._changed(place)  # unused bits or stray characters: not what ``seal`` wrote
            text = key.cipher.decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], _bound(key.id, place))
            return text.decode("utf-8", "surrogatepass")
        except (InvalidTag, binascii.Error, ValueError):
            raise self._changed(place) from None

    def renew(self, sealed: str, place: str) -> str | None:
        """Return the text sealed with the newest key, or None if it is already.

        Raises:
            SealedTextUnreadable: See ``open``.
        """
        if sealed.startswith(f"{_FORMAT}.{self._keys[0].id}."):
            return None
        return self.seal(self.open(sealed, place), place)

    def _changed(self, place: str) -> SealedTextUnreadable:
        return SealedTextUnreadable(
            f"A stored secret ({_named(place)}) was changed outside the service; set the secret again."
        )


def open_sealer(settings: Settings) -> Sealer:
    """Return the sealer of ``PREVIEW_SEALING_KEYS``, or of the data folder's key file, created (mode 0600) if missing.

    The nodes of a cluster have a key that follows from ``PREVIEW_CLUSTER_SECRET``, in place of the file.

    Any number of processes may call this at the same time; all get the same keys.

    Raises:
        ConfigurationError: A key is too short, or the file cannot be read, created or used.
    """
    if settings.sealing_keys is not None:
        return Sealer(_checked(settings.sealing_keys.get_secret_value().split(","), "PREVIEW_SEALING_KEYS"),
                      "PREVIEW_SEALING_KEYS")  # fmt: skip
    shared = settings.secret_for("stored secrets")
    if shared is not None:
        return Sealer([shared], "PREVIEW_CLUSTER_SECRET or PREVIEW_SEALING_KEYS")
    path = settings.data_dir / KEY_FILE
    try:
        content = read_or_create(path)
    except KeyFileUnusable as error:
        raise _unusable(path, str(error)) from None
    except OSError as error:
        raise _unusable(path, f"cannot be read or made ({error.strerror})") from error
    return Sealer(
        _checked(content.split("\n"), f"the file {path}"), f"PREVIEW_SEALING_KEYS or the data folder's file {KEY_FILE}"
    )


def _checked(given: Sequence[str], source: str) -> list[str]:
    keys = [key for one in given if (key := one.strip())]
    if not keys or any(len(key.encode("utf-8", "surrogateescape")) < _MIN_KEY_BYTES for key in keys):
        raise ConfigurationError(
            f"A key in {source} is missing or shorter than {_MIN_KEY_BYTES} bytes; "
            "make one with `openssl rand -base64 48`.",
            min_bytes=_MIN_KEY_BYTES,
        )
    if len(keys) > _MAX_KEYS:
        raise ConfigurationError(f"{source} has {len(keys)} keys; keep {_MAX_KEYS} at most, the newest first.")
    return keys


def _unusable(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"The key file {path} {what}. Restore it from a backup, or set PREVIEW_SEALING_KEYS; a new key cannot read "
        f"secrets that are already stored. Write one key per line, newest first, at most {MAX_FILE_BYTES} bytes.",
        path=str(path),
    )


def _named(place: str) -> str:
    return quoted(place.partition(":")[0])[1:-1]


def _derive(secret: str) -> _Key:
    content = secret.encode("utf-8", "surrogateescape")
    return _Key(_expand(content, b"preview sealing id", _KEY_ID_BYTES).hex(),
                AESGCM(_expand(content, b"preview sealing key", 32)))  # fmt: skip


def _expand(content: bytes, purpose: bytes, size: int) -> bytes:
    # RFC 5869; the input has the full entropy of a random key, so it needs no salt.
    return HKDF(algorithm=SHA256(), length=size, salt=None, info=purpose).derive(content)


def _bound(key_id: str, place: str) -> bytes:
    return f"{_FORMAT}.{key_id}.{place}".encode("utf-8", "surrogatepass")
