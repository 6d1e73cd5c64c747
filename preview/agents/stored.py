"""Tools for what a preview has stored: statements that read, snapshots."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field

from preview.agents.connection import current
from preview.agents.parameters import GenerationId
from preview.agents.untrusted import Answer, word


async def sql(
    generation_id: GenerationId,
    statement: Annotated[str, Field(max_length=20_000, description="One read-only statement.")],
    database: Annotated[
        str | None, Field(max_length=200, description="Such as `postgresql` or `sqlite:app.db`, if there are several.")
    ] = None,
    limit: Annotated[int, Field(ge=1, le=1_000, description="Maximum number of rows.")] = 50,
) -> Answer:
    """Execute one SQL statement in a running preview's database; it can only read.

    Cancellation: nothing changes.
    """
    body = {"sql": statement, "limit": limit} | ({"database": database} if database else {})
    found = await current.get().ask("POST", generation_id, "/preview/data/query", body=body)
    answer = Answer()
    answer.say(
        f"rows: {len(found['rows'])}" + (" (there are more rows, or a value was truncated)" if found["is_cut"] else "")
    )
    rows = [json.dumps(row, ensure_ascii=False) for row in found["rows"]]
    columns = json.dumps([one["name"] for one in found["columns"]], ensure_ascii=False)
    answer.quote("columns, then one row per line", [columns, *rows], rest="select less, or use LIMIT and OFFSET.")
    return answer


async def snapshot(
    generation_id: GenerationId,
    name: Annotated[str, Field(max_length=100, description="Name for people.")] = "",
) -> Answer:
    """Save what the application has stored, in files and databases, to restore it later.

    Cancellation: it may have been saved.
    """
    made = await current.get().preview(generation_id).snapshot(name)
    answer = Answer()
    answer.say(f"snapshot: {made.id}", f"size_bytes: {made.size_bytes}")
    return answer


async def snapshots(generation_id: GenerationId) -> Answer:
    """List the saved data of a generation, newest first.

    Cancellation: nothing changes.
    """
    answer = Answer()
    for one in await current.get().preview(generation_id).snapshots():
        answer.say(f"{one.id} {one.created_at.isoformat()} {one.kind} {one.size_bytes} bytes {word(one.name)}")
    return answer


async def restore(
    generation_id: GenerationId,
    snapshot: Annotated[str, Field(max_length=100, description="Id of the snapshot, from `snapshots`.")],
) -> Answer:
    """Replace the running preview's data by a snapshot; what was replaced is a snapshot itself.

    Cancellation: the data may have been replaced.
    """
    found = await current.get().preview(generation_id).restore(snapshot)
    answer = Answer()
    answer.say(f"The data was replaced in {found.elapsed_ms:.0f} ms; `restore` with {found.before.id} undoes it.")
    return answer
