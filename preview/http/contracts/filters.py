"""Explanations of filters; only contract ``v1`` has them."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from preview.http.core.answers import Answer
from preview.logs.filter import Filter


class TermShape(Answer):
    """A term of a filter."""

    text: str = Field(description="The term as written, with sign and parentheses.", examples=["-path:/health"])
    start: int = Field(description="Number of characters (code points) before the term.")
    kind: str = Field(description="`text`, `regex`, `field`, `group`, or the term's key.", examples=["path"])
    negated: bool = Field(description="Whether entries that match are left out.")
    sentence: str = Field(examples=["Without requests with the path '/health'."])
    on_lines: bool = Field(description="Whether the term applies to log lines.")
    on_requests: bool = Field(description="Whether the term applies to recorded requests.")


class FilterShape(Answer):
    """A filter, explained: entries match if all terms match."""

    text: str
    terms: list[TermShape]

    @classmethod
    def of(cls, text: str, parsed: Filter) -> Self:
        """Return the filter's terms in their order."""
        return cls(text=text, terms=[TermShape.model_validate(term.info) for term in parsed.terms])
