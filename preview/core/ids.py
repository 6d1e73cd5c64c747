"""Identifiers: unguessable, and safe in a URL path, a file name and a shell."""

from __future__ import annotations

import re
import secrets

# No look-alikes (0/o, 1/l/i), lower case only: people read ids aloud, and host names are case-insensitive.
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
# 16 symbols of 31: log2(31) * 16 = 79 bits.
_LENGTH = 16

GENERATION_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"

REQUEST_ID = r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}"
"""Pattern of a request id: characters of a token (RFC 9110 section 5.6.2), which need no escape in JSON or in a
header field. At most 64 characters, because the id precedes each log line of its request."""
REQUEST_MARK = secrets.token_hex(4)
"""Start of each request id that this run of the service makes. Launchers get it, to leave such requests out of their
reports. A client that has seen it can only hide its own request."""
CHECK_SUFFIX = ".check"
"""End of the ids of the service's own requests to a preview: health checks, and reads of its OpenAPI document. Logs may
leave out their lines. The relay gives each visitor's request a new id, so a visitor cannot use this."""
_GENERATION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


def _random() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def new_preview_id() -> str:
    """Return a new preview's id: ``preview_`` and 16 symbols."""
    return f"preview_{_random()}"


def new_generation_id() -> str:
    """Return a new generation's id: ``gen_`` and 16 symbols."""
    return f"gen_{_random()}"


def new_project_id() -> str:
    """Return a new project's id: ``project_`` and 16 symbols."""
    return f"project_{_random()}"


def new_share_id() -> str:
    """Return a new share link's id: ``share_`` and 16 symbols."""
    return f"share_{_random()}"


def new_snapshot_id() -> str:
    """Return a new data snapshot's id: ``snapshot_`` and 16 symbols."""
    return f"snapshot_{_random()}"


def new_probe_id() -> str:
    """Return a new probe's id: ``probe_`` and 16 symbols."""
    return f"probe_{_random()}"


def new_audit_id() -> str:
    """Return a new audit entry's id: ``audit_`` and 16 symbols."""
    return f"audit_{_random()}"


def new_guest_id() -> str:
    """Return a new guest's id: ``guest_`` and 16 symbols."""
    return f"guest_{_random()}"


def new_comment_id() -> str:
    """Return a new comment's id: ``comment_`` and 16 symbols."""
    return f"comment_{_random()}"


def new_saved_request_id() -> str:
    """Return a new saved request's id: ``saved_`` and 16 symbols."""
    return f"saved_{_random()}"


def new_api_token_id() -> str:
    """Return a new API token's id: ``token_`` and 16 symbols."""
    return f"token_{_random()}"


def new_invitation_id() -> str:
    """Return a new invitation's id: ``invitation_`` and 16 symbols."""
    return f"invitation_{_random()}"


def new_member_suffix() -> str:
    """Return 16 symbols that make the user id of an invited person one that nobody has had."""
    return _random()


def new_check_id() -> str:
    """Return a new request id for a request of the service itself; see ``CHECK_SUFFIX``."""
    return f"{REQUEST_MARK}{secrets.token_hex(8)}{CHECK_SUFFIX}"


def new_token() -> str:
    """Return a secret for bearer use: 32 random bytes, URL-safe base64, 43 characters."""
    return secrets.token_urlsafe(32)


def is_valid_id(value: str) -> bool:
    """Return True if an id from outside is acceptable (see ``GENERATION_ID_PATTERN``)."""
    return _GENERATION_ID.fullmatch(value) is not None
