"""Hypercorn's access log, without what opens a door and without what would forge a line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hypercorn.logging import Logger

# One-time links travel in the path (``/login/CODE``), stream tickets in the query.
_LOGIN = re.compile(r"(/login/)[^/\s?]+")
_QUERY = re.compile(r"\?\S*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# What the client wrote: request line, path, referrer, user agent.
_GIVEN = ("r", "R", "U", "Uq", "f", "a")


class AccessLogger(Logger):
    """Hypercorn's logger; set as ``logger_class`` of its configuration."""

    def atoms(self, request: Any, response: Any, request_time: float) -> Mapping[str, str]:
        """The values that a line is made of; secrets are left out, line breaks and the like are escaped."""
        values: Any = super().atoms(request, response, request_time)
        for name in _GIVEN:
            values[name] = without_secrets(str(values[name]))
        values["q"] = "-"
        for name in ("{authorization}i", "{cookie}i", "{x-preview-token}i", "{set-cookie}o"):
            if name in values:
                values[name] = "-"
        return values  # type: ignore[no-any-return]  # hypercorn's own dict


def without_secrets(text: str) -> str:
    """A request line, path or address as a log may hold it."""
    text = _QUERY.sub("", _LOGIN.sub(r"\1-", text))
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
