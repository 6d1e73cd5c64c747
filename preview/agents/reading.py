"""Tools that only read: log, requests, failures, endpoints, and why a preview failed."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field

from preview.agents.connection import current
from preview.agents.parameters import FilterText, GenerationId, Level
from preview.agents.untrusted import Answer, split
from preview.client.events import Line
from preview.client.models import Failure

MOST_LINES = 500
# Characters of an example of a body.
_MOST_SAMPLE = 500


async def logs(
    generation_id: GenerationId,
    after: Annotated[int | None, Field(ge=0, description="Only lines after this number; else the newest.")] = None,
    limit: Annotated[int, Field(ge=1, le=MOST_LINES, description="Maximum number of lines.")] = 100,
    level: Level | None = None,
    filter: FilterText | None = None,  # noqa: A002  the API's name
    request_id: Annotated[str | None, Field(max_length=200, description="Only lines of this request.")] = None,
) -> Answer:
    """Show what a program printed: the newest lines, those after a number, or those of one request.

    Cancellation: nothing changes.
    """
    found = await current.get().preview(generation_id).lines(
        after=after, limit=limit, level=level, filter=filter, request_id=request_id
    )  # fmt: skip
    answer = Answer()
    if not found:
        answer.say("There are no such lines.")
        return answer
    is_newest = after is None
    shown = add_lines(answer, "log: number, level, line", found, newest=is_newest)
    seen = found[-shown:] if is_newest else found[:shown]
    if seen:
        answer.say(f"Lines {seen[0].seq} to {seen[-1].seq}; for the next ones, call `logs` with after={seen[-1].seq}.")
    return answer


def add_lines(answer: Answer, title: str, lines: list[Line], *, newest: bool = False, share: float = 1.0) -> int:
    """Add lines of a log; return how many were added."""
    rest = "`logs` has them: name another `after`, a `filter` or a `level`."
    shown = [f"{one.seq} {one.level} {one.message}" for one in lines]
    return answer.quote(title, shown, rest=rest, newest=newest, share=share)


async def requests(
    generation_id: GenerationId,
    filter: FilterText | None = None,  # noqa: A002  the API's name
    before: Annotated[int | None, Field(ge=1, description="Only records before this number.")] = None,
    limit: Annotated[int, Field(ge=1, le=200)] = 30,
) -> Answer:
    """List requests that the preview received, newest first, with their numbers for `replay` and `compare`.

    Cancellation: nothing changes.
    """
    page = await current.get().preview(generation_id).requests(filter=filter, before=before, limit=limit)
    answer = Answer()
    if not page.items:
        answer.say("There are none.")
    rows = []
    for one in page.items:
        outcome = one.error or one.status
        cause = f" failure={one.failure}" if one.failure else ""
        rows.append(f"{one.number} {outcome} {one.method} {one.target} {one.request_id}{cause}")
    answer.quote("requests: number, status, method, target, request id", rows, rest="name a smaller `limit`.")
    if page.next is not None:
        answer.say(f"There are older ones: before={page.next}.")
    return answer


async def failures(
    generation_id: GenerationId,
    failure: Annotated[str | None, Field(max_length=100, description="Id of one, to see it in full.")] = None,
    filter: FilterText | None = None,  # noqa: A002  the API's name
) -> Answer:
    """List why requests failed, one record for each cause; or show one with stack, source, request and lines.

    Cancellation: nothing changes.
    """
    preview, answer = current.get().preview(generation_id), Answer()
    if failure is not None:
        text = await preview.failure_text(failure)
        answer.quote("failure", split(text), rest="`logs` and `requests` have them.")
        return answer
    found = await preview.failures(filter=filter)
    if not found:
        answer.say("No request has failed. Rejected ones are in `requests`: filter `status:4xx`.")
    add_failures(answer, found)
    return answer


def add_failures(answer: Answer, found: list[Failure]) -> None:
    """Add a list of failures."""
    rows = []
    for one in found:
        where = f" at {one.frame.path}:{one.frame.line} in {one.frame.function}" if one.frame else ""
        last = f"{one.last.at:%H:%M:%S}"
        rows.append(f"{one.id} {one.count}x, last {last}, {one.type}: {one.message}{where}")
    rest = "narrow the list with `filter`."
    if answer.quote("failures, newest first: id, count, last time (UTC), error, place", rows, rest=rest, share=0.7):
        answer.say("`failures` with an id shows one with stack, source and lines.")


async def why(generation_id: GenerationId) -> Answer:
    """Explain why a preview failed, or why requests to it fail: the cause, and what to do.

    Cancellation: nothing changes.
    """
    found = await current.get().ask("GET", generation_id, "/preview/diagnosis")
    answer = Answer()
    answer.say(f"status: {found['status']}")
    ended = (found.get("exit") or {}).get("words")
    told = [found["summary"], *(f"- {one}" for one in found["advice"]), *([ended] if ended else [])]
    told += [f"Limit of {one['limit']}: {one['message']}" for one in found["reached"]]
    answer.quote("cause and advice", told, rest="…", share=0.4)
    add_failures(answer, [Failure.model_validate(one) for one in found["failures"]])
    if found["status"] == "failed":
        lines = [f"{one['seq']} {one['level']} {one['message']}" for one in found["last_lines"]]
        answer.quote("last lines", lines, rest="`logs` has them.", newest=True)
    return answer


async def endpoints(generation_id: GenerationId) -> Answer:
    """List the application's endpoints with parameters and an example of each body.

    They come from its source and, while it runs, from its own OpenAPI document.

    Cancellation: nothing changes.
    """
    found = await current.get().ask("GET", generation_id, "/preview/endpoints")
    answer = Answer()
    rows = [_endpoint(one) for one in found["endpoints"]]
    answer.quote("endpoints", rows, rest="the application's own document has them.", share=0.8)
    if not rows:
        answer.say("None were found.")
    answer.quote("parts that could not be read", found["unread"], rest="…")
    return answer


def _endpoint(one: dict[str, Any]) -> str:
    names = [str(given.get("name")) for given in one.get("parameters") or () if isinstance(given, dict)]
    place = f" ({one['file']}:{one['line']})" if one.get("file") else ""
    shown = f"{one['method']} {one['path']}" + (f" parameters: {', '.join(names)}" if names else "") + place
    for body in one.get("bodies") or ():
        if isinstance(body, dict) and body.get("sample") is not None:
            sample = json.dumps(body["sample"], ensure_ascii=False)[:_MOST_SAMPLE]
            return f"{shown} body, such as {body.get('content_type')}: {sample}"
    return shown
