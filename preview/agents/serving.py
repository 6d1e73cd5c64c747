"""The MCP server: its tools, resources and instructions, and how it runs over stdio."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from mcp.server import MCPServer
from mcp_types import ToolAnnotations

from preview.agents import calling, life, reading, resources, stored
from preview.agents.connection import Connection, as_tool, current
from preview.agents.untrusted import NOTICE, Answer

_INSTRUCTIONS = (
    "Runs generated backends in a sandbox. `launch` starts one; `request` calls a route and shows the lines that it "
    "printed; `failures` and `why` explain errors; `reload` sends changed files and keeps the address; `replay` and "
    f"`compare` show what a change did. Errors are sentences that say what to do. {NOTICE}"
)
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
_REPLACES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
_CALLS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True)

_Function = Callable[..., Awaitable[Answer]]
_TOOLS: tuple[tuple[_Function, ToolAnnotations], ...] = (
    (life.wait, _READS),
    (life.status, _READS),
    (life.previews, _READS),
    (reading.logs, _READS),
    (reading.requests, _READS),
    (reading.failures, _READS),
    (reading.why, _READS),
    (reading.endpoints, _READS),
    (stored.sql, _READS),
    (stored.snapshots, _READS),
    (calling.request, _CALLS),
    (calling.replay, _ADDS),
    (calling.compare, _ADDS),
    (calling.probe, _ADDS),
    (stored.snapshot, _ADDS),
    (stored.restore, _REPLACES),
    (life.stop, _REPLACES),
)
_WITH_FILES: tuple[tuple[str, _Function, ToolAnnotations], ...] = (
    ("launch", life.launch, _ADDS),
    ("reload", life.reload, _REPLACES),
)
_WITH_FOLDERS: tuple[tuple[str, _Function, ToolAnnotations], ...] = (
    ("launch", life.launch_folder, _ADDS),
    ("reload", life.reload_folder, _REPLACES),
)


def make_server(*, takes_folders: bool) -> MCPServer[Any]:
    """Return the server; each call works with ``connection.current``.

    Args:
        takes_folders: Whether the agent runs on this machine, so that it may name folders to upload.
    """
    # The SDK configures the root logger, unless it has a handler.
    root, placeholder = logging.getLogger(), logging.NullHandler()
    root.addHandler(placeholder)
    try:
        server: MCPServer[Any] = MCPServer(
            "preview", version=version("preview"), instructions=_INSTRUCTIONS, log_level="ERROR", subscriptions=False
        )
    finally:
        root.removeHandler(placeholder)
    logging.getLogger("mcp").setLevel(logging.ERROR)
    for name, function, hints in _WITH_FOLDERS if takes_folders else _WITH_FILES:
        _add(server, name, function, hints)
    for function, hints in _TOOLS:
        _add(server, function.__name__, function, hints)
    for read in (resources.plan, resources.log, resources.failures):
        address = f"preview://{{generation_id}}/{read.__name__}"
        server.resource(address, description=_about(read), mime_type="text/plain")(read)
    return server


def _add(server: MCPServer[Any], name: str, function: _Function, hints: ToolAnnotations) -> None:
    about = _about(function)
    server.add_tool(as_tool(function), name=name, description=about, annotations=hints, structured_output=False)


def _about(function: Callable[..., Any]) -> str:
    """Return the function's docstring for agents: what follows a cancellation is for people who read the code."""
    return inspect.cleandoc((function.__doc__ or "").partition("Cancellation:")[0]).rstrip()


async def serve_stdio(connection: Connection) -> None:
    """Serve one agent on stdin and stdout until it closes stdin.

    Cancellation: the connection is closed.
    """
    server = make_server(takes_folders=connection.root is not None)
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR)
    token = current.set(connection)
    try:
        await server.run_stdio_async()
    finally:
        current.reset(token)
