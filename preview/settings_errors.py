"""Error messages for wrong settings that never show a secret."""

from __future__ import annotations

from pydantic_core import ErrorDetails

from preview.core.quoting import quoted

__all__ = ["problem_of"]

# Values never shown, because they may contain passwords or keys.
_SECRET = frozenset(
    {
        *("PREVIEW_BUS_URL", "PREVIEW_DATABASE_URL", "PREVIEW_JWT_SECRET", "PREVIEW_JWKS_URL", "PREVIEW_SEALING_KEYS"),
        *("PREVIEW_POSTGRES", "PREVIEW_MYSQL", "PREVIEW_REDIS", "PREVIEW_MONGODB"),
    }
)


def problem_of(item: ErrorDetails) -> str:
    """Describe one wrong value. The value is shown shortened, or not at all if it may be a secret."""
    said = item["msg"].removeprefix("Value error, ")
    if not item["loc"]:
        return said
    name = str(item["loc"][0])
    variable = name if name.startswith("PREVIEW_") else f"PREVIEW_{name.upper()}"
    if variable in _SECRET:
        return f"{variable}: {said}"
    return f"{variable}: {said} (got {quoted(str(item['input']))})"
