"""The content of a webhook: fields, the user's template, and the signature."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from preview.core.quoting import quoted
from preview.errors import InvalidRequest

Template = Mapping[str, object]
"""A JSON object; ``{name}`` in its texts stands for a field."""

Fields = Mapping[str, str | int | bool | None]
"""Values by name."""

FIELD_NAMES: Final = (
    "id",
    "test",
    "alert_id",
    "alert",
    "summary",
    "generation_id",
    "project_id",
    "preview_id",
    "fired_at",
    "matches",
    "line",
    "first_line",
    "last_line",
    "request",
    "suppressed",
)
"""Names that a template may use; ``docs/alerts.md`` explains them."""

MOST_TEMPLATE_BYTES: Final = 4 * 1024
_MOST_DEPTH: Final = 8
_MOST_FIELDS: Final = 64
_FIELD: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def check_template(template: Template) -> None:
    """Check a template that a user has written.

    Raises:
        InvalidRequest: It is too large or too deep, or names a field that does not exist.
    """
    texts = list(_texts(template, _MOST_DEPTH))
    if len(json.dumps(template)) > MOST_TEMPLATE_BYTES:
        raise InvalidRequest(f"The webhook's body has more than {MOST_TEMPLATE_BYTES} bytes; write a shorter one.")
    names = [name for text in texts for name in _FIELD.findall(text)]
    if len(names) > _MOST_FIELDS:
        raise InvalidRequest(f"The webhook's body names more than {_MOST_FIELDS} fields; write a shorter one.")
    for name in names:
        if name not in FIELD_NAMES:
            known = ", ".join(f"{{{one}}}" for one in FIELD_NAMES)
            raise InvalidRequest(f"The webhook's body names the field {quoted(name)}; there are only {known}.")


def _texts(value: object, depth: int) -> list[str]:
    if depth < 0:
        raise InvalidRequest(f"The webhook's body is nested deeper than {_MOST_DEPTH} levels; write a flatter one.")
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item, depth - 1)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item, depth - 1)]
    return []


def body_of(template: Template | None, fields: Fields) -> bytes:
    """Return the JSON content of a webhook.

    Args:
        template: Checked by ``check_template``; None means all fields.
        fields: A value for each name of ``FIELD_NAMES``.
    """
    filled = dict(fields) if template is None else _filled(template, fields)
    return json.dumps(filled, ensure_ascii=False).encode("utf-8", "replace")


def _filled(value: object, fields: Fields) -> object:
    """Replace fields in texts, once: a value is never searched again. A text that is one field keeps its type."""
    if isinstance(value, str):
        alone = _FIELD.fullmatch(value)
        if alone is not None:
            return fields[alone[1]]
        return _FIELD.sub(lambda found: _text(fields[found[1]]), value)
    if isinstance(value, Mapping):
        return {name: _filled(item, fields) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, fields) for item in value]
    return value


def _text(value: str | int | bool | None) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return the value of ``X-Preview-Signature``: HMAC-SHA256 over timestamp, a dot and the body."""
    signed = timestamp.encode() + b"." + body
    return f"v1={hmac.new(secret.encode(), signed, sha256).hexdigest()}"
