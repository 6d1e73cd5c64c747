"""One bounded download of an archive, from the operator's hosts only."""

from __future__ import annotations

import errno
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import IO, Final
from urllib.parse import urljoin, urlsplit

import httpcore2
import trio

from preview.errors import TooLarge
from preview.github.address import Site
from preview.people_errors import ImportFailed

_MOST_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_REFUSED: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})
_KINDS: Final = frozenset({"application/zip", "application/x-zip-compressed", "application/octet-stream", ""})
# Seconds for one step; the caller bounds the whole.
_STEP_S: Final[Mapping[str, float]] = {"connect": 10, "read": 20, "write": 10, "pool": 10}
# httpcore2's errors have no common base class.
_FAILURES: Final = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
    httpcore2.UnsupportedProtocol,
    OSError,
)
# What this machine may run out of; GitHub is not to blame for it.
_SHORTAGES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ENOSPC, errno.EDQUOT})


class Downloader:
    """Downloads archives.

    Args:
        site: The only hosts that are reached, also after redirects.
        limit_bytes: Maximum size of an archive.
    """

    def __init__(self, site: Site, limit_bytes: int) -> None:
        self._site = site
        self._limit = limit_bytes
        self._trust: ssl.SSLContext | None = None

    async def fetch(self, address: str, target: IO[bytes]) -> bool:
        """Write the archive at an address to ``target``; return False if there is none.

        Raises:
            ImportFailed: The host does not answer, or not with an archive.
            TooLarge: The archive is over the limit.
            OSError: This machine is out of disk space, memory or file descriptors.

        Cancellation: the connection is closed; a part may have been written.
        """
        async with httpcore2.AsyncConnectionPool(
            ssl_context=await self._trusted(), max_connections=1, http1=True, http2=False
        ) as pool:
            for _ in range(_MOST_REDIRECTS + 1):
                try:
                    following = await self._take(pool, address, target)
                except _FAILURES as error:
                    _raise_shortage(error)
                    raise ImportFailed(
                        f"{self._site.host} could not be reached or broke the download off "
                        f"({str(error) or type(error).__name__}); try again in a moment."
                    ) from error
                if isinstance(following, bool):
                    return following
                address = self._checked(following, address)
        raise ImportFailed(f"{self._site.host} redirects in a circle; try again in a moment.")

    async def _take(self, pool: httpcore2.AsyncConnectionPool, address: str, target: IO[bytes]) -> bool | str:
        """Return whether the archive was written, or the address that it has moved to."""
        parts = urlsplit(address)
        # Uncompressed, so the content cannot become larger than the bytes that were read.
        headers = [("Host", parts.netloc), ("User-Agent", "preview"), ("Accept-Encoding", "identity")]
        url = httpcore2.URL(
            scheme=parts.scheme.encode(),
            host=(parts.hostname or "").encode(),
            port=parts.port,
            target=(parts.path + (f"?{parts.query}" if parts.query else "")).encode(),
        )
        async with pool.stream("GET", url, headers=headers, extensions={"timeout": dict(_STEP_S)}) as response:
            fields = {name.lower(): value for name, value in response.headers}
            if response.status in _REDIRECTS:
                return fields.get(b"location", b"").decode("ascii", "replace")
            if response.status == HTTPStatus.NOT_FOUND:
                return False
            self._check(response.status, fields)
            async with aclosing(response.aiter_stream()) as pieces:
                await self._write(pieces, target)
        return True

    def _check(self, status: int, fields: Mapping[bytes, bytes]) -> None:
        host = self._site.host
        if status in _REFUSED:
            raise ImportFailed(f"{host} refuses downloads for now (status {status}); try again in some minutes.")
        if status != HTTPStatus.OK:
            raise ImportFailed(f"{host} answered with status {status}; try again in a moment.")
        kind = fields.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        if kind not in _KINDS or fields.get(b"content-encoding", b"identity").lower() != b"identity":
            raise ImportFailed(f"{host} did not send an archive; check PREVIEW_GITHUB_ARCHIVES_URL.")
        length = fields.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._limit:
            raise self._too_large()

    async def _write(self, pieces: AsyncIterator[bytes], target: IO[bytes]) -> None:
        left = self._limit
        async for piece in pieces:
            left -= len(piece)
            if left < 0:
                raise self._too_large()
            await trio.to_thread.run_sync(target.write, piece)

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"The repository's archive is larger than {self._limit} bytes; clone it and upload the part that runs with "
            "`preview push`.",
            limit_bytes=self._limit,
        )

    def _checked(self, location: str, address: str) -> str:
        """Return the address of a redirect, if it is on one of the two configured hosts."""
        try:
            found = urlsplit(urljoin(address, location))
            origin = f"{found.scheme}://{found.netloc}".lower()
            allowed = {_origin(self._site.pages), _origin(self._site.archives)}
            if location and found.port != 0 and origin in allowed and location.isascii() and location.isprintable():
                return found.geturl()
        except ValueError:
            pass
        raise ImportFailed(f"{self._site.host} redirects to another host, which imports do not follow.")

    async def _trusted(self) -> ssl.SSLContext:
        if self._trust is None:
            # Reads some hundred certificates: once, and not in the event loop.
            self._trust = await trio.to_thread.run_sync(ssl.create_default_context)
        return self._trust


def _raise_shortage(error: BaseException) -> None:
    """Raise the shortage of this machine that caused an error, if one did."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _SHORTAGES:
            raise cause
        cause = cause.__cause__


def _origin(address: str) -> str:
    found = urlsplit(address)
    return f"{found.scheme}://{found.netloc}".lower()
