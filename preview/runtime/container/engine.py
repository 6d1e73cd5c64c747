"""Client of a container engine's interface over its unix socket, of Docker and of Podman alike.

Each answer is bounded in size and time. The engine is the operator's program, so its answers are believed, but a slow
or broken engine must not stop the service. Each request has a connection of its own: nothing is left between requests.

Source: docs.docker.com/reference/api/engine (version 1.41); Podman's compatible interface.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

import httpcore2
import trio

from preview.core.descriptors import is_want_of_descriptors

# A list of a thousand containers has about one mebibyte.
_MOST_BYTES: Final = 4 * 1024 * 1024
_MOST_CHARACTERS: Final = 300
_ANSWER_S: Final = 30.0
_WORDS_S: Final = 2.0
# The stream, padding, and the length of what follows.
_HEAD = struct.Struct(">B3xI")
# An image of mount points has some kilobytes; engines take a second for the first one.
_IMAGE_S: Final = 60.0
_VERSION = re.compile(r"[0-9]{1,2}\.[0-9]{1,3}")
_ID = re.compile(r"[0-9a-f]{64}")
_FIRST_ERROR, _NOT_FOUND, _CONFLICT, _FAULT = 400, 404, 409, 500
_MOST_LISTS = 5


class EngineError(Exception):
    """The engine has not done what it was asked; the message is half a sentence.

    Attributes:
        status: Status of the engine's answer; None if there was none.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class Engine:
    """A container engine.

    Args:
        path: The engine's unix socket.
        answer_s: Seconds for an answer.

    Attributes:
        is_podman: Whether it is Podman; known once ``ping`` has returned.
    """

    def __init__(self, path: Path, *, answer_s: float = _ANSWER_S) -> None:
        self.path = path
        self._answer_s = answer_s
        self._version: str | None = None
        self.is_podman = False

    async def ping(self) -> str:
        """Return the version of the engine's interface, which later requests use. Cancellation: no effect.

        Raises:
            EngineError: No engine answers.
        """
        _, headers, _ = await self._ask("GET", "/_ping", within_s=self._answer_s)
        version = headers.get(b"api-version", b"").decode("ascii", "replace")
        if not _VERSION.fullmatch(version):
            raise EngineError("what answers there is no container engine")
        self._version = version
        self.is_podman = b"libpod-api-version" in headers
        return version

    async def info(self) -> Mapping[str, object]:
        """Return what the engine says about itself. Cancellation: no effect.

        Raises:
            EngineError: See ``ping``.
        """
        return _mapping(await self._call("GET", "/info"))

    async def podman_host(self) -> Mapping[str, object]:
        """Return what Podman says about its host, in its own interface. Cancellation: no effect.

        Raises:
            EngineError: See ``ping``; or it is not Podman.
        """
        return _mapping(_mapping(await self._call("GET", "/libpod/info")).get("host"))

    async def has_image(self, name: str) -> bool:
        """Return whether the engine has the image. Cancellation: no effect.

        Raises:
            EngineError: See ``ping``.
        """
        try:
            await self._call("GET", f"/images/{quote(name, safe='/:@')}/json")
        except EngineError as error:
            if error.status == _NOT_FOUND:
                return False
            raise
        return True

    async def import_image(self, name: str, archive: bytes, changes: Sequence[str] = ()) -> None:
        """Make an image of one layer.

        Args:
            name: Name and tag.
            archive: A tar archive of all its files.
            changes: Instructions of a Dockerfile that apply to it.

        Raises:
            EngineError: See ``ping``.

        Cancellation: the image may have been made.
        """
        repository, _, tag = name.rpartition(":")
        # Podman takes the tag from the name alone.
        named = [("repo", name if self.is_podman else repository), ("tag", tag)]
        query = urlencode([("fromSrc", "-"), *named, *(("changes", one) for one in changes)])
        await self._call("POST", f"/images/create?{query}", archive=archive, within_s=_IMAGE_S)

    async def create(self, name: str, description: Mapping[str, object]) -> str:
        """Create a container and return its id. Cancellation: the container may be created, or be created soon.

        Raises:
            EngineError: The engine refuses.
        """
        said = _mapping(await self._call("POST", f"/containers/create?{urlencode({'name': name})}", body=description))
        found = said.get("Id")
        if not isinstance(found, str) or not _ID.fullmatch(found):
            raise EngineError("the engine has named no container")
        return found

    async def start(self, container: str) -> None:
        """Start the container's first program. Cancellation: it may be started.

        Raises:
            EngineError: It cannot be started.
        """
        await self._call("POST", f"/containers/{container}/start")

    async def wait(self, container: str) -> int:
        """Wait without a time limit until the container has ended; return its exit code. Cancellation: no effect.

        Raises:
            EngineError: The engine or the container has gone.
        """
        said = _mapping(await self._call("POST", f"/containers/{container}/wait", within_s=float("inf")))
        code = said.get("StatusCode")
        return code if isinstance(code, int) else -1

    async def state(self, container: str) -> Mapping[str, object]:
        """Return the container's ``State``. Cancellation: no effect.

        Raises:
            EngineError: See ``wait``.
        """
        return _mapping((await self.describe(container)).get("State"))

    async def describe(self, container: str) -> Mapping[str, object]:
        """Return the engine's description of a container. Cancellation: no effect.

        Raises:
            EngineError: See ``wait``.
        """
        return _mapping(await self._call("GET", f"/containers/{container}/json"))

    async def last_words(self, container: str) -> str:
        """Return the container's last lines as one line, as far as its engine keeps them. Cancellation: no effect."""
        query = urlencode({"stdout": "1", "stderr": "1", "tail": "5"})
        try:
            _, _, said = await self._ask(
                "GET", f"/v{self._version}/containers/{container}/logs?{query}", within_s=_WORDS_S
            )
        except EngineError:
            return ""
        return _printable(b" ".join(_frames(said)).decode("utf-8", "replace"))

    async def signal(self, container: str, name: str) -> None:
        """Signal the container's first process. Cancellation: the signal may have been sent.

        Raises:
            EngineError: See ``wait``.
        """
        await self._call("POST", f"/containers/{container}/kill?{urlencode({'signal': name})}")

    async def remove(self, container: str) -> bool:
        """Kill and remove a container with its volumes, by name or id; return whether it existed.

        Raises:
            EngineError: The engine refuses, or has gone.

        Cancellation: it may have been removed.
        """
        try:
            await self._call("DELETE", f"/containers/{container}?force=1&v=1")
        except EngineError as error:
            if error.status == _NOT_FOUND:
                return False
            # Another request is removing it already.
            if error.status != _CONFLICT:
                raise
        return True

    async def labelled(self, label: str) -> list[str]:
        """Return the ids of all containers with a label, running or not. Cancellation: no effect.

        Raises:
            EngineError: See ``ping``.
        """
        query = urlencode({"all": "1", "filters": json.dumps({"label": [label]})})
        found = await self._list(f"/containers/json?{query}")
        ids = [_mapping(one).get("Id") for one in found] if isinstance(found, list) else []
        return [one for one in ids if isinstance(one, str) and _ID.fullmatch(one)]

    async def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> object:
        """Make one request, and return the JSON value of its answer.

        Raises:
            EngineError: The engine refuses, or does not answer.

        Cancellation: the request may have had its effect.
        """
        return await self._call(method, path, body=body)

    @asynccontextmanager
    async def open_upload(
        self, path: str, size: int, content: AsyncIterator[bytes]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Post a tar archive, and yield the answer in pieces as they come; the caller bounds time and size.

        Args:
            path: Path below the version, with its query.
            size: Size of the archive.
            content: The archive, in pieces.

        Raises:
            EngineError: The engine refuses, does not answer, or breaks off.

        Cancellation: the connection is closed, and the engine gives up.
        """
        headers = [(b"Content-Type", b"application/x-tar"), (b"Content-Length", str(size).encode())]
        async with self._open("POST", path, headers, content) as pieces:
            yield pieces

    @asynccontextmanager
    async def _open(
        self, method: str, path: str, headers: list[tuple[bytes, bytes]], content: AsyncIterator[bytes] | None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        if self._version is None:
            await self.ping()
        target = httpcore2.URL(scheme=b"http", host=b"engine", port=None, target=f"/v{self._version}{path}".encode())
        try:
            async with (
                httpcore2.AsyncConnectionPool(uds=str(self.path), max_connections=1) as pool,
                pool.stream(method, target, headers=[(b"Host", b"engine"), *headers], content=content) as response,
                aclosing(response.aiter_stream()) as pieces,
            ):
                if response.status >= _FIRST_ERROR:
                    said = b""
                    async for piece in pieces:
                        said += piece
                        if len(said) > _MOST_BYTES:
                            break
                    raise EngineError(_reason(said) or f"the engine answered {response.status}", response.status)
                yield pieces
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
            _raise_want(error)
            raise EngineError(f"no engine answers at {self.path}") from error

    @asynccontextmanager
    async def open_download(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Get an answer in pieces as they come; the caller bounds time and size.

        Args:
            path: Path below the version, with its query.

        Raises:
            EngineError: The engine refuses, does not answer, or breaks off.

        Cancellation: the connection is closed.
        """
        async with self._open("GET", path, [], None) as pieces:
            yield pieces

    async def head(self, path: str) -> Mapping[bytes, bytes] | None:
        """Return the headers of an answer; None if the path does not exist. Cancellation: no effect.

        Raises:
            EngineError: The engine refuses, or does not answer.
        """
        status, headers, _ = await self._ask("HEAD", f"/v{self._version}{path}", within_s=self._answer_s)
        if status >= _FIRST_ERROR and status != _NOT_FOUND:
            raise EngineError(f"the engine answered {status}", status)
        return headers if status < _FIRST_ERROR else None

    async def _list(self, path: str) -> object:
        # Podman fails if a container is removed while it looks through all of them.
        for _ in range(_MOST_LISTS - 1):
            try:
                return await self._call("GET", path)
            except EngineError as error:
                if error.status != _FAULT:
                    raise
        return await self._call("GET", path)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        archive: bytes | None = None,
        within_s: float | None = None,
    ) -> object:
        if self._version is None:
            await self.ping()
        kind, content = b"application/x-tar", archive
        if content is None:
            kind, content = b"application/json", b"" if body is None else json.dumps(body).encode()
        status, _, said = await self._ask(
            method, f"/v{self._version}{path}", kind, content, within_s=within_s or self._answer_s
        )
        if status >= _FIRST_ERROR:
            raise EngineError(_reason(said) or f"the engine answered {status}", status)
        # Podman and Docker answer an import with several JSON texts, and a start with none.
        try:
            return json.loads(said) if said else None
        except (ValueError, RecursionError):
            return None

    async def _ask(
        self, method: str, path: str, kind: bytes = b"application/json", content: bytes = b"", *, within_s: float
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        headers = [(b"Host", b"engine"), (b"Content-Type", kind), (b"Content-Length", str(len(content)).encode())]
        target = httpcore2.URL(scheme=b"http", host=b"engine", port=None, target=path.encode())
        found = bytearray()
        try:
            with trio.fail_after(within_s):
                async with (
                    httpcore2.AsyncConnectionPool(uds=str(self.path), max_connections=1) as pool,
                    pool.stream(method, target, headers=headers, content=content) as response,
                    aclosing(response.aiter_stream()) as pieces,
                ):
                    async for piece in pieces:
                        found += piece
                        if len(found) > _MOST_BYTES:
                            raise EngineError("the engine's answer is too long")
        except trio.TooSlowError:
            raise EngineError(f"the engine has not answered within {within_s:g} s") from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError) as error:
            _raise_want(error)
            raise EngineError(f"no engine answers at {self.path}") from error
        return response.status, {name.lower(): value for name, value in response.headers}, bytes(found)


def _raise_want(error: BaseException) -> None:
    """Raise the cause of an error that is only a lack of descriptors: the caller may try again."""
    cause: BaseException | None = error
    while cause is not None:
        if is_want_of_descriptors(cause):
            raise cause
        cause = cause.__cause__ or cause.__context__


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _reason(said: bytes) -> str:
    """Return the message of an error as one printable line."""
    try:
        message = _mapping(json.loads(said)).get("message", "")
    except (ValueError, RecursionError):
        return ""
    return _printable(str(message)).rstrip(".")


def _printable(text: str) -> str:
    line = " ".join(text[: 4 * _MOST_CHARACTERS].split())
    return "".join(one if one.isprintable() else "?" for one in line)[:_MOST_CHARACTERS]


def _frames(said: bytes) -> Iterator[bytes]:
    """Yield the content of each frame: eight bytes of head, of which the last four are its length."""
    at = 0
    while len(said) - at > _HEAD.size:
        length = _HEAD.unpack_from(said, at)[1]
        yield said[at + _HEAD.size : at + _HEAD.size + length]
        at += _HEAD.size + length
