"""Files and commands of one sandbox: what E2B's daemon ``envd`` answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import trio
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from quart import Request, Response
from werkzeug.datastructures import FileStorage

from preview.http.e2b.box import MAX_COMMANDS, Box
from preview.http.e2b.command import Command, longest_of
from preview.http.e2b.connect import STREAM, message_of, read_body, stream, stream_error, unary, unary_error
from preview.http.e2b.errors import E2bError, not_covered

M = TypeVar("M", bound=BaseModel)

_SIGNALS = {"SIGNAL_SIGKILL": 9, "SIGNAL_SIGTERM": 15, 9: 9, 15: 15}
_MAX_DEPTH = 32
_PIECE_BYTES = 64 * 1024
# Seconds between two signs of life on the stream of a silent command.
_PING_S = 30.0
_MAX_FILES = 100


class _Message(BaseModel):
    """A message; fields that later SDKs add are ignored."""

    model_config = ConfigDict(extra="ignore")


class _Config(_Message):
    cmd: str = Field(min_length=1, max_length=4096)
    args: list[str] = Field(default_factory=list, max_length=1000)
    envs: dict[str, str] = Field(default_factory=dict, max_length=1000)
    cwd: str | None = Field(None, max_length=4096)


class _Start(_Message):
    process: _Config
    pty: dict[str, Any] | None = None
    tag: str | None = Field(None, max_length=200)
    stdin: bool = False


class _Selector(_Message):
    pid: int | None = None
    tag: str | None = None


class _Signal(_Message):
    process: _Selector
    signal: str | int = 0


class _Path(_Message):
    path: str = Field("", max_length=4096)
    depth: int = Field(1, ge=0, le=_MAX_DEPTH)


class _Move(_Message):
    source: str = Field(max_length=4096)
    destination: str = Field(max_length=4096)


async def answer(box: Box, request: Request, path: str) -> Response:
    """Answer a request for a sandbox.

    Args:
        box: The sandbox; its token was checked.
        request: The request.
        path: Path without the prefix.

    Raises:
        E2bError: A file cannot be read or written.

    Cancellation: an operation is killed; a command runs on.
    """
    if path == "/health":
        return Response(b"", status=204)
    if path == "/files" and request.method == "GET":
        return await _download(box, request)
    if path == "/files" and request.method == "POST":
        return await _upload(box, request)
    if request.method == "POST" and path.count("/") == 2:
        return await _call(box, request, path[1:])
    raise not_covered(f"{request.method} {path[:100]}")


async def _call(box: Box, request: Request, name: str) -> Response:
    is_stream = request.mimetype == STREAM
    try:
        message = message_of(request.mimetype, await read_body(request))
        _check_user(request.authorization.username if request.authorization else None)
        if name == "process.Process/Start" and is_stream:
            return stream(await _start(box, request, _read(_Start, message)))
        method = _METHODS.get(name)
        if method is None:
            raise not_covered(name[:100])
        return unary(await method(box, message))
    except E2bError as error:
        return stream_error(error) if is_stream else unary_error(error)


def _read(model: type[M], message: dict[str, Any]) -> M:
    try:
        return model.model_validate(message)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise E2bError("invalid_argument", f"The field {where} is not valid: {first['msg']}.") from error


def _check_user(name: str | None) -> None:
    if name not in (None, "", "user"):
        raise not_covered("Another user than `user`")


async def _start(box: Box, request: Request, asked: _Start) -> AsyncIterator[dict[str, Any]]:
    if asked.pty is not None:
        raise not_covered("A terminal (pty)")
    if asked.stdin:
        raise not_covered("Input of a command (stdin)")
    config = asked.process
    if "\0" in "".join((config.cmd, *config.args, *config.envs, *config.envs.values(), config.cwd or "")):
        raise E2bError("invalid_argument", "A command cannot have a NUL character.")
    if any("=" in name or not name for name in config.envs):
        raise E2bError("invalid_argument", "A variable's name is empty or has an equals sign.")
    if box.busy >= MAX_COMMANDS:
        raise E2bError(
            "resource_exhausted", f"The sandbox is already running {MAX_COMMANDS} commands; wait, or kill one."
        )
    if box.is_full:
        await box.measure()
    longest = longest_of(request.headers.get("Connect-Timeout-Ms"), box.settings.max_uptime_s)
    command = Command(box.next_number(), config.cmd, config.args, config.envs, config.cwd, asked.tag, longest)
    await box.nursery.start(command.run, box)
    return command.follow(_PING_S)


async def _list(box: Box, _message: dict[str, Any]) -> dict[str, Any]:
    return {"processes": [command.describe() for command in box.commands.values()]}


async def _signal(box: Box, message: dict[str, Any]) -> dict[str, Any]:
    asked = _read(_Signal, message)
    command = _selected(box, asked.process)
    number = _SIGNALS.get(asked.signal)
    if number is None:
        raise E2bError("invalid_argument", "Only SIGKILL and SIGTERM can be sent.")
    command.signal = number
    if number == 9:
        command.end()
    else:
        command.stopping.set()
    return {}


def _selected(box: Box, selector: _Selector) -> Command:
    for command in box.commands.values():
        if command.pid == selector.pid or (selector.tag is not None and command.tag == selector.tag):
            return command
    raise E2bError("not_found", "The command is not running.")


async def _file_method(name: str, box: Box, message: dict[str, Any]) -> dict[str, Any]:
    asked = _read(_Path, message)
    found = await box.operate(name, asked.path, depth=max(1, asked.depth))
    if name == "list":
        return {"entries": [_entry(one) for one in found["entries"]]}
    return {"entry": _entry(found["entry"])} if "entry" in found else {}


async def _move(box: Box, message: dict[str, Any]) -> dict[str, Any]:
    asked = _read(_Move, message)
    return {"entry": _entry((await box.operate("move", asked.source, to=asked.destination))["entry"])}


def _entry(said: dict[str, Any]) -> dict[str, Any]:
    """Return an entry as JSON of protobuf has it."""
    modified = datetime.fromtimestamp(min(max(float(said.pop("modified")), 0), 4e9), UTC)
    return said | {"modifiedTime": modified.isoformat().replace("+00:00", "Z")}


_METHODS: dict[str, Callable[[Box, dict[str, Any]], Awaitable[dict[str, Any]]]] = {
    "process.Process/List": _list,
    "process.Process/SendSignal": _signal,
    "filesystem.Filesystem/Stat": partial(_file_method, "stat"),
    "filesystem.Filesystem/ListDir": partial(_file_method, "list"),
    "filesystem.Filesystem/MakeDir": partial(_file_method, "make"),
    "filesystem.Filesystem/Remove": partial(_file_method, "remove"),
    "filesystem.Filesystem/Move": _move,
}


async def _download(box: Box, request: Request) -> Response:
    _check_user(request.args.get("username"))
    size, content = await box.read(request.args.get("path", ""))

    async def pieces() -> AsyncIterator[bytes]:
        with content:
            async for piece in content:
                yield piece  # noqa: ASYNC119  Quart closes the generator of a response

    return Response(
        pieces(), headers={"Content-Length": str(size)}, content_type="application/octet-stream"
    )  # fmt: skip


async def _upload(box: Box, request: Request) -> Response:
    _check_user(request.args.get("username"))
    if request.mimetype != "multipart/form-data":
        raise not_covered("An upload that is no form")
    # The content waits in files of the service's own until it is written.
    with box.uploading():
        return await _write_all(box, request)


async def _write_all(box: Box, request: Request) -> Response:
    files = (await request.files).getlist("file")
    if not 0 < len(files) <= _MAX_FILES:
        raise E2bError("invalid_argument", f"Send 1 to {_MAX_FILES} files, each as a part `file`.")
    one_path = request.args.get("path")
    written = []
    for file in files:
        path = one_path if one_path is not None and len(files) == 1 else file.filename or ""
        if not path:
            raise E2bError("invalid_argument", "A file has no path.")
        written.append(await box.operate("write", path, source=_content(file)))
    return Response(json.dumps(written), content_type="application/json")


async def _content(file: FileStorage) -> AsyncIterator[bytes]:
    while piece := await trio.to_thread.run_sync(file.read, _PIECE_BYTES):
        yield piece
