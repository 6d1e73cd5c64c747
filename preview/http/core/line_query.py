"""Parse the parameters that select log lines into a filter, or into one clear error sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from preview.core.ids import REQUEST_ID
from preview.core.quoting import quoted
from preview.logs import Contract, Level, LineFilter, Source
from preview.logs.filter import MAX_CHARACTERS, Filter
from preview.logs.model.events import SOURCE_WORDS as KNOWN_SOURCES

MAX_Q = 200

LEVEL_WORDS: Mapping[str, Level] = MappingProxyType(
    {level.word(contract): level for level in Level for contract in (Contract.V1, Contract.PLAN)}
)
# The words of both contracts are accepted in both; no word has two meanings.
SOURCE_WORDS: Mapping[str, frozenset[Source]] = MappingProxyType(
    {word: frozenset(source for source in Source if word in source.words) for word in KNOWN_SOURCES}
)

_WORD = "|".join(SOURCE_WORDS)
_REQUEST = f"^{REQUEST_ID}$"


def _level(word: str) -> str:
    if word.upper() not in LEVEL_WORDS:
        raise ValueError(f"{quoted(word)} is not a level; use DEBUG, INFO, WARNING, WARN or ERROR")
    return word.upper()


def _sources(words: str) -> str:
    for word in words.split(","):
        if word not in SOURCE_WORDS:
            named = ", ".join(SOURCE_WORDS)
            raise ValueError(f"{quoted(word)} is not a source; use one or more of {named}, separated by commas")
    return words


def _text(words: str) -> str:
    # No line contains NUL (see ``logs.sanitise``), and PostgreSQL clients reject it.
    if "\0" in words:
        raise ValueError("no line holds a NUL character; search for its picture, U+2400")
    return words


def _request(word: str) -> str:
    if re.fullmatch(REQUEST_ID, word) is None:
        raise ValueError(f"{quoted(word)} is not a request id; send 1 to 64 characters as X-Request-Id has them")
    return word


class FilterQuery(BaseModel):
    """A filter to explain."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    text: str = Field(default="", max_length=MAX_CHARACTERS, examples=["error -path:/health"])


class LineQuery(BaseModel):
    """Filter for log lines: a line must match every given field."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    level: (
        Annotated[
            str, AfterValidator(_level), WithJsonSchema({"type": "string", "enum": [*LEVEL_WORDS]}, mode="validation")
        ]
        | None
    ) = Field(default=None, description="Only lines of at least this severity; upper or lower case.")
    source: (
        Annotated[
            str,
            AfterValidator(_sources),
            WithJsonSchema({"type": "string", "pattern": f"^({_WORD})(,({_WORD}))*$"}, mode="validation"),
        ]
        | None
    ) = Field(default=None, description="Only lines from these sources, separated by commas; words of either contract.")
    q: Annotated[str, Field(max_length=MAX_Q), AfterValidator(_text)] | None = Field(
        default=None,
        description="Only lines that contain this text; case is ignored for the letters A to Z.",
    )
    request_id: (
        Annotated[
            str, AfterValidator(_request), WithJsonSchema({"type": "string", "pattern": _REQUEST}, mode="validation")
        ]
        | None
    ) = Field(default=None, description="Only lines known to belong to the request with this `X-Request-Id`.")

    checks: Literal["show", "hide"] = Field(
        default="show",
        description="`hide` leaves out lines below ERROR that were printed for the service's health checks.",
    )

    filter: Annotated[str, Field(max_length=MAX_CHARACTERS)] | None = Field(
        default=None,
        description="Only lines that match this filter, see docs/filter.md; combined with the other parameters.",
        examples=['(error OR path:/pay) -path:/health since:5m "payment failed"'],
    )

    def chosen(self, terms: Filter) -> LineFilter:
        """Return the parameters as a line filter.

        Args:
            terms: The parsed and resolved terms of ``filter``.
        """
        return LineFilter(
            level=Level.DEBUG if self.level is None else LEVEL_WORDS[self.level],
            sources=None
            if self.source is None
            else frozenset(source for word in self.source.split(",") for source in SOURCE_WORDS[word]),
            q=self.q or "",
            request_id=self.request_id or "",
            terms=None if terms.is_empty else terms,
            checks=self.checks == "show",
        )
