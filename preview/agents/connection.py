"""The connection of tools to a service: the client, what the agent may read here, and errors as sentences."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

from mcp.server.mcpserver.exceptions import ToolError

from preview.agents.untrusted import Answer, split, word
from preview.client.asynchronous import AsyncClient, AsyncPreview
from preview.client.calls import TIMEOUT_S, Call
from preview.client.errors import ClientError, PreviewProblem
from preview.client.session import PreviewSession, checked_id
from preview.core.bounded_dict import BoundedDict

P = ParamSpec("P")

_MOST_TOKENS = 200
# Details of errors that a program has written.
_LAST_LINES = "last_lines"
_MOST_DETAILS = 500
_NOT_STARTED = frozenset({"launch_failed", "startup_timeout"})


@dataclass(frozen=True, slots=True)
class Connection:
    """Context of one agent's tools.

    Attributes:
        client: The service.
        root: Folder below which the agent may name folders; None if it may name none.
        tokens: Preview tokens by generation.
    """

    client: AsyncClient
    root: Path | None = None
    tokens: BoundedDict[str, str] = field(default_factory=lambda: BoundedDict(_MOST_TOKENS))

    def preview(self, generation_id: str) -> AsyncPreview:
        """Return the newest preview of a generation.

        Raises:
            ToolError: It is no id.
        """
        session = PreviewSession(_id(generation_id), token=self.tokens.get(generation_id))
        return AsyncPreview(self.client, session)

    def keep_token(self, preview: AsyncPreview) -> None:
        """Remember the preview token, for further requests."""
        if preview.session.token is not None:
            self.tokens[preview.generation_id] = preview.session.token

    async def ask(
        self, method: str, generation_id: str, path: str, *, body: object = None, timeout_s: float = TIMEOUT_S,
        params: dict[str, str | int] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Send a request about a generation, and return the JSON object of its response.

        Raises:
            ClientError: See ``AsyncClient.call``.

        Cancellation: the service may have received the request.
        """
        where = f"/generations/{_id(generation_id)}{path}"
        reply = await self.client.call(Call(method, where, params or {}, body=body, timeout_s=timeout_s))
        found: dict[str, Any] = reply.json() if reply.content else {}
        return found

    def folder(self, given: str) -> Path:
        """Return a folder that the agent names, if it lies below ``root``.

        Raises:
            ToolError: It does not, or folders cannot be named here.
        """
        if self.root is None:
            raise ToolError("Folder paths cannot be used over HTTP; send the files themselves.")
        path = (self.root / given).resolve()
        if not path.is_relative_to(self.root):
            raise ToolError(
                f"{word(given)} is not inside {self.root}, the folder that this agent may upload; a person can "
                "change that with `preview mcp --root FOLDER`."
            )
        return path


current: ContextVar[Connection] = ContextVar("preview.agents.connection")
"""The connection of the running call."""


def as_tool(function: Callable[P, Awaitable[Answer]]) -> Callable[P, Awaitable[str]]:
    """Return the tool of a function: its answer is a text, and its errors are sentences.

    The SDK hides every exception that is no ``ToolError``.
    """

    @wraps(function)
    async def run(*args: P.args, **kwargs: P.kwargs) -> str:
        try:
            return (await function(*args, **kwargs)).text()
        except ClientError as error:
            raise ToolError(sentence_of(error)) from error

    return run


def sentence_of(error: ClientError) -> str:
    """Return an error as an answer for the agent: what is wrong, what to do, and what the program printed."""
    answer = Answer()
    if not isinstance(error, PreviewProblem):
        answer.say(str(error))
        return answer.text()
    generation = error.details.get("generation_id")
    has_not_started = error.code in _NOT_STARTED
    answer.say(f"{error.code or 'error'}: {'the backend did not start' if has_not_started else 'this was not done'}.")
    if generation is not None:
        answer.say(f"generation_id: {word(generation)}")
    # It may have words of the program in it.
    answer.quote("reason", split(error.detail), rest="`why` has all of it.", share=0.4)
    lines = error.details.get(_LAST_LINES)
    if isinstance(lines, list):
        answer.quote("last lines", map(_text, lines), rest="`logs` has all of them.", newest=True, share=0.8)
    more = {name: one for name, one in error.details.items() if name not in (_LAST_LINES, "generation_id")}
    if more:
        answer.quote("details", [json.dumps(more, default=str)[:_MOST_DETAILS]], rest="they are not kept.")
    if error.code == "generation_not_found":
        answer.say("`previews` lists the generations that have run.")
    if has_not_started:
        answer.say("Read `why` and `logs`, then send corrected files with `reload`, and `launch` with generation_id.")
    return answer.text()


def _text(line: object) -> str:
    return str(line.get("message", line)) if isinstance(line, dict) else str(line)


def _id(generation_id: str) -> str:
    try:
        return checked_id(generation_id)
    except ValueError as error:
        raise ToolError(f"{word(generation_id)} is not a generation's id; `previews` lists them.") from error
