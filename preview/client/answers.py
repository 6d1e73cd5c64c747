"""The application's response to a request, without the way to its log."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from preview.client.errors import InvalidAnswer
from preview.client.models import ProxiedAnswer


class AnswerBase:
    """Status, headers and content of a response.

    Attributes:
        found: The response as the service returned it.
    """

    def __init__(self, found: ProxiedAnswer) -> None:
        self.found = found
        if found.encoding is None:
            self.content = found.body.encode("utf-8", "surrogatepass")
            return
        try:
            self.content = base64.b64decode(found.body, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidAnswer("The response says that its content is base64, but it is not.") from error

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status_code} {self.request_id}>"

    @property
    def status_code(self) -> int:
        """HTTP status."""
        return self.found.status_code

    @property
    def headers(self) -> Mapping[str, str | list[str]]:
        """Headers; a list for a header that was sent several times."""
        return self.found.headers

    @property
    def request_id(self) -> str:
        """``X-Request-Id`` that the application received; its log lines carry it."""
        return self.found.request_id

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds to the whole response."""
        return self.found.elapsed_ms

    @property
    def text(self) -> str:
        """The content as UTF-8 text."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the content's JSON value.

        Raises:
            ValueError: It is not JSON.
        """
        try:
            return json.loads(self.content)
        except RecursionError as error:
            raise ValueError("The JSON is nested too deeply.") from error
