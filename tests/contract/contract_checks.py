"""What every answer of the service is held to, beside what schemathesis knows."""

from __future__ import annotations

import json
from typing import Any

from schemathesis import Case, CheckContext, CheckFunction, Response

from preview import errors, people_errors
from preview.http.core.errors import HTTP_CODES

__all__ = ["CHECKS", "sentence_problem"]

MAX_SENTENCE_CHARS = 300
CODES = {getattr(module, name).code for module in (errors, people_errors) for name in module.__all__}
CODES |= set(HTTP_CODES.values()) | {"head_too_large"}
# What the preview itself does wrong, or that it is not there: not the service's mistake.
PREVIEWS_OWN = {
    "preview_unavailable",
    "upstream_failed",
    # A repository that is not there, or not answered for.
    "import_failed",
    "upstream_timeout",
    "launch_failed",
    "environment_failed",
    "analysis_failed",
    "startup_timeout",
}
PROTECTION = (
    "content-security-policy",
    "referrer-policy",
    "x-content-type-options",
    "x-frame-options",
    "cache-control",
)


def sentence_problem(said: str) -> str | None:
    """What is wrong with a sentence for people, if anything."""
    if not 0 < len(said) <= MAX_SENTENCE_CHARS:
        return f"{len(said)} characters"
    odd = [character for character in said if not character.isprintable()]
    return f"holds {odd[:5]}" if odd else None


def the_status_is_documented(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """Also where schemathesis sends what no document can name, for instance another media type."""
    if case.method.upper() == case.operation.method.upper():
        documented = case.operation.definition.raw["responses"]
        assert str(response.status_code) in documented, f"{response.status_code} is not among {sorted(documented)}"


def an_error_has_a_stable_code_and_a_short_sentence(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """And a status of 500 or above is the preview's fault."""
    del case
    if response.status_code < 400:
        return
    said = response.json()
    code, sentence = said.get("code", said.get("error")), said.get("detail", said.get("message"))
    assert code in CODES, said
    assert sentence_problem(sentence) is None, (sentence_problem(sentence), sentence)
    own = said.get("details", {}).get("reason") if code == "launch_failed" else None
    assert response.status_code < 500 or {code, own} & PREVIEWS_OWN, said


def an_answer_protects_whoever_shows_it(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """Headers for browsers; a 405 names what is allowed (RFC 9110 section 15.5.6), a 401 how to log in."""
    del case
    if response.status_code == 431:  # said by the server, before there is an application
        return
    for name in PROTECTION:
        assert name in response.headers, name
    assert "server" not in response.headers
    assert response.status_code != 405 or response.headers.get("allow")
    assert response.status_code != 401 or response.headers.get("www-authenticate")


def events_are_well_formed(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """Each whole frame of a stream is a comment, a ``retry``, or an event with JSON."""
    del case
    if not response.headers.get("content-type", [""])[0].startswith("text/event-stream"):
        return
    *frames, _rest = response.text.split("\n\n")
    for frame in frames:
        lines = [line.partition(": ") for line in frame.split("\n") if line and not line.startswith(":")]
        assert {name for name, *_ in lines} <= {"id", "event", "data", "retry"}, frame
        for name, _colon, value in lines:
            if name == "data":
                assert isinstance(json.loads(value), dict)


CHECKS: list[CheckFunction] = [
    the_status_is_documented,
    an_error_has_a_stable_code_and_a_short_sentence,
    an_answer_protects_whoever_shows_it,
    events_are_well_formed,
]
