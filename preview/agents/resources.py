"""Resources that an agent reads by address: plan, log, failures."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from mcp.server.mcpserver.exceptions import ResourceError, ToolError

from preview.agents import reading
from preview.agents.connection import current, sentence_of
from preview.agents.untrusted import Answer, split
from preview.client.errors import ClientError


async def plan(generation_id: str) -> str:
    """Show how the project is started and why, from its files; nothing is run.

    Cancellation: nothing changes.
    """
    return await _text(lambda: _plan(generation_id))


async def log(generation_id: str) -> str:
    """Show the newest lines of the log.

    Cancellation: nothing changes.
    """
    return await _text(lambda: reading.logs(generation_id, limit=200))


async def failures(generation_id: str) -> str:
    """Show why requests failed.

    Cancellation: nothing changes.
    """
    return await _text(lambda: reading.failures(generation_id))


async def _plan(generation_id: str) -> Answer:
    found = await current.get().ask("GET", generation_id, "/plan")
    answer = Answer()
    answer.quote("plan", split(json.dumps(found, indent=1, ensure_ascii=False)), rest="`preview detect` has all of it.")
    return answer


async def _text(make: Callable[[], Awaitable[Answer]]) -> str:
    try:
        return (await make()).text()
    except ClientError as error:
        raise ResourceError(sentence_of(error)) from error
    except ToolError as error:
        raise ResourceError(str(error)) from error
