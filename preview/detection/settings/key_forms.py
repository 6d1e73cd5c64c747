"""Find variables whose value is a key of a certain form: ``Fernet(KEY)`` raises for all but 32 bytes in base64."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Final

from preview.detection.settings.model import Need, SettingRead
from preview.sources import Sources


class KeyForm(StrEnum):
    """The form of a key; the value is the placeholder in a plan."""

    BASE64 = "{secret_base64}"
    BYTES_32 = "{secret_32}"


# What takes a key, or turns text into one.
_BASE64: Final = rb"\b(?:Fernet|EncryptedCookieStorage|b64decode|urlsafe_b64decode)\("
_BYTES: Final = rb"\b(?:AES\.new|AESGCM|AESCCM|ChaCha20Poly1305|algorithms\.AES|SecretBox|ChaCha20_Poly1305\.new)\("
_ARGUMENT: Final = rb"\s*(?:bytes\(\s*|str\(\s*)?([\w.]+)(?:\[\s*[\"'](\w+)[\"']|\(\s*[\"'](\w+)[\"'])?"
_TAKEN: Final = (
    (KeyForm.BASE64, re.compile(_BASE64 + _ARGUMENT)),
    (KeyForm.BYTES_32, re.compile(_BYTES + _ARGUMENT)),
)
_WORDS: Final = (b"Fernet", b"AES", b"ChaCha20", b"SecretBox", b"b64decode", b"EncryptedCookieStorage")
_CONVERTED: Final = re.compile(rb"\.(?:encode|get_secret_value|strip)\b.*")
# Of packages that take the key from Django's settings.
_BY_NAME: Final = re.compile(r"FERNET|^FIELD_ENCRYPTION_KEYS?$")
_KEY: Final = re.compile(r"KEY|SECRET|FERNET|CIPHER|CRYPT|TOKEN", re.IGNORECASE)
_ASSIGNED: Final = rb"\b%s\s*(?::[^=\n]{1,60})?=\s*([^\n]{1,200})"
_LENGTHS: Final = (16, 24, 32)


def with_key_forms(reads: Mapping[str, SettingRead], sources: Sources, files: Iterable[str]) -> dict[str, SettingRead]:
    """Return the reads; those whose value becomes a key have its form."""
    names = {name: read for name, read in reads.items() if _KEY.search(name)}
    if not names:
        return dict(reads)
    forms: dict[str, str] = {name: KeyForm.BASE64 for name in names if _BY_NAME.search(name.upper())}
    for file in files:
        text = sources.text(file)
        if not any(word in text for word in _WORDS):
            continue
        for form, pattern in _TAKEN:
            for match in pattern.finditer(text):
                taken = (match[2] or match[3] or _CONVERTED.sub(b"", match[1]).rpartition(b".")[2]).decode()
                forms.update((name, form) for name in names if name not in forms and _is(name, taken, text))
    return {name: _with_form(read, forms[name]) if name in forms else read for name, read in reads.items()}


def _with_form(read: SettingRead, form: str) -> SettingRead:
    """Return the read with the form; an empty default has none."""
    need = Need.REQUIRED if read.need is Need.DEFAULTED and read.default == "" else read.need
    return replace(read, form=form, need=need)


def _is(name: str, taken: str, text: bytes) -> bool:
    """Return true if the argument is the variable's name, or a name that the file assigns from it."""
    if taken.upper() == name.upper():
        return True
    assigned = re.finditer(_ASSIGNED % re.escape(taken.encode()), text)
    word = re.compile(rb"\b" + re.escape(name.encode()) + rb"\b", re.IGNORECASE)
    return any(word.search(match[1]) for match in assigned)


def has_form(value: str, form: str) -> bool:
    """Return true if an example's value is a key of this form."""
    if form == KeyForm.BYTES_32:
        return len(value.encode()) in _LENGTHS
    if form != KeyForm.BASE64:
        return True
    try:
        return len(base64.b64decode(value.encode(), altchars=b"-_", validate=True)) == 32
    except (ValueError, binascii.Error):
        return False
