"""Tools that send requests: one call, replays, comparisons, probes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import anyio
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from preview.agents.connection import Connection, current
from preview.agents.parameters import FilterText, GenerationId, Numbers, Version
from preview.agents.reading import add_lines
from preview.agents.untrusted import Answer, split
from preview.client.errors import ClientError, PreviewProblem

# A trial is launched for it first.
_SLOW_S = 300.0
_POLL_S = 0.5
_MOST_DIFFERENCES = 10
_FAILED = 500


async def request(
    generation_id: GenerationId,
    path: Annotated[str, Field(max_length=8_000, description="Path and query, from the application's root.")],
    method: Annotated[str, Field(max_length=32)] = "GET",
    headers: Annotated[dict[str, str] | None, Field(max_length=100)] = None,
    body: Annotated[object, Field(description="JSON value, or text that is sent as it is.")] = None,
) -> Answer:
    """Send one request to a running preview; answers with status, headers, body, and the lines that it printed.

    Cancellation: the application may have received it.
    """
    connection = current.get()
    preview, answer = connection.preview(generation_id), Answer()
    try:
        found = await preview.request(method, path, headers=headers, body=body)
    except PreviewProblem as error:
        request_id = error.details.get("request_id")
        if request_id is not None:
            error.detail += f" Its lines: `logs` with request_id={request_id}."
        raise
    connection.keep_token(preview)
    answer.say(f"status: {found.status_code}", f"request_id: {found.request_id}", f"elapsed_ms: {found.elapsed_ms:.0f}")
    answer.quote("headers", [f"{name}: {value}" for name, value in found.headers.items()], rest="…", share=0.15)
    content = split(found.text) if found.found.encoding is None else [f"<{len(found.content)} bytes, not text>"]
    answer.quote("body", content, rest="the response is long; see whether the route supports paging.", share=0.6)
    lines = await found.lines()
    add_lines(answer, "log of this request: number, level, line", lines)
    if not lines:
        answer.say("It printed nothing.")
    if found.status_code >= _FAILED:
        answer.say("`failures` has the cause, with its place in the source.")
    return answer


async def replay(
    generation_id: GenerationId,
    numbers: Numbers | None = None,
    filter: FilterText | None = None,  # noqa: A002  the API's name
    version: Version | None = None,
    on: Annotated[
        Literal["auto", "trial"],
        Field(description="`auto`: the preview itself for requests that only read, else a trial with a copy."),
    ] = "auto",
) -> Answer:
    """Send recorded requests again and show what differs from the recorded responses; default: the last 50.

    Cancellation: some requests may have been sent.
    """
    wanted = {"numbers": numbers or None, "filter": filter, "version": version, "on": on}
    body = {name: value for name, value in wanted.items() if value is not None}
    found = await current.get().ask("POST", generation_id, "/preview/replay", body=body, timeout_s=_SLOW_S)
    answer = Answer()
    answer.say(f"on: {found['on']}", _counts(found["items"]))
    lines = [text for one in found["items"] for text in _compared(one, one["recorded"], one["answer"])]
    answer.quote("results: verdict, number, request, before and now", lines, rest="name fewer `numbers`.")
    return answer


async def compare(
    generation_id: GenerationId,
    version: Annotated[int | None, Field(ge=1, description="Version of its files; default: the newest.")] = None,
    other_generation_id: Annotated[str | None, Field(max_length=128)] = None,
    other_version: Version | None = None,
    numbers: Numbers | None = None,
    filter: FilterText | None = None,  # noqa: A002  the API's name
    ignore: Annotated[list[str] | None, Field(max_length=50, description="JSON paths not to compare.")] = None,
) -> Answer:
    """Send recorded requests to two versions, on trials with the same data, and show what differs.

    To see what a change did: the version before as `version`, and the one after as `other_version`.

    Cancellation: the trials are ended.
    """
    if other_version is None and other_generation_id is None and version is None:
        raise ToolError("Give two versions, as `version` and `other_version`: `reload` returned their numbers.")
    first = {"version": version}
    second = {"generation": other_generation_id, "version": other_version}
    body: dict[str, Any] = {
        "a": {name: value for name, value in first.items() if value is not None},
        "b": {name: value for name, value in second.items() if value is not None},
        "ignore": ignore or [],
    }
    body |= {name: value for name, value in (("numbers", numbers), ("filter", filter)) if value}
    found = await current.get().ask("POST", generation_id, "/preview/compare", body=body, timeout_s=_SLOW_S)
    answer = Answer()
    answer.say(f"verdict: {found['verdict']}", _counts(found["items"]))
    if found["failure"]:
        answer.say("The second version does not start.")
        answer.quote("reason", split(found["failure"]), rest="…", share=0.3)
        answer.quote("last lines", found["last_lines"], rest="…", newest=True)
    lines = [text for one in found["items"] for text in _compared(one, one["first"], one["candidate"])]
    answer.quote("results: verdict, number, request, before and now", lines, rest="name fewer `numbers`.")
    return answer


async def probe(
    generation_id: GenerationId,
    seconds: Annotated[float, Field(ge=1, le=120, description="Time for the requests.")] = 20,
    endpoints: Annotated[
        list[str] | None, Field(max_length=50, description="Only these, such as `GET /books/{id}`.")
    ] = None,
) -> Answer:
    """Find requests that the application handles wrongly, on a trial with a copy of the data.

    Cancellation: the probe is ended.
    """
    connection, path = current.get(), "/preview/probe"
    body = {"seconds": seconds, "endpoints": endpoints or []}
    found = await connection.ask("POST", generation_id, path, body=body)
    try:
        while found["state"] in ("starting", "running"):
            await anyio.sleep(_POLL_S)
            found = await connection.ask("GET", generation_id, path)
    except BaseException:
        await _end(connection, generation_id, path)  # noqa: ASYNC102  it shields itself, for a bounded time
        raise
    return _probed(found)


async def _end(connection: Connection, generation_id: str, path: str) -> None:
    with anyio.move_on_after(2, shield=True):
        try:
            await connection.ask("DELETE", generation_id, path)
        except ClientError:
            return


def _probed(found: dict[str, Any]) -> Answer:
    answer = Answer()
    answer.say(f"state: {found['state']}", f"requests: {found['requests']}", f"findings: {len(found['findings'])}")
    notes = [*found["notes"], *([found["error"]] if found["error"] else [])]
    answer.quote("notes", notes, rest="…", share=0.2)
    lines = []
    for one in found["findings"]:
        doubt = " (may be intended)" if one["is_doubtful"] else ""
        lines.append(f"{one['number']}. {one['method']} {one['path']}: {one['sentence']}{doubt}")
        if one["frame"]:
            lines.append(f"   at {one['frame']}")
        lines += [f"   failure {one['failure']}"] if one["failure"] else []
        lines += [f"   {step['curl']}" for step in one["steps"]]
    answer.quote("findings", lines, rest="probe fewer `endpoints`.")
    return answer


def _counts(items: list[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for one in items:
        verdict = "skipped" if one["skipped"] else str(one["verdict"] or "sent")
        counts[verdict] = counts.get(verdict, 0) + 1
    return "results: " + (", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none")


def _compared(one: dict[str, Any], before: dict[str, Any] | None, now: dict[str, Any] | None) -> list[str]:
    """Return the result of one request as lines."""
    title = f"{one['number'] or '-'} {one['method']} {one['path']}"
    if one["skipped"]:
        return [f"skipped {title}: {one['skipped']}"]
    lines = [f"{one['verdict'] or 'sent'} {title}: {_outcome(before)} → {_outcome(now)}"]
    shown = one["differences"][:_MOST_DIFFERENCES]
    lines += [f"  {each['path']}: {each['before']} → {each['after']}" for each in shown]
    if len(one["differences"]) > _MOST_DIFFERENCES:
        lines.append(f"  and {len(one['differences']) - _MOST_DIFFERENCES} more differences")
    if one["verdict"] == "broke" and now:
        lines += [f"  | {line}" for line in now["lines"][-5:]]
    return lines


def _outcome(found: dict[str, Any] | None) -> str:
    return "nothing" if found is None else str(found["error"] or found["status"])
