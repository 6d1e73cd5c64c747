"""Targets of shipped lines: syslog over TCP and TLS, a file with rotation, or a program's standard input."""

from __future__ import annotations

import json
import os
import shlex
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, PIPE
from urllib.parse import urlsplit

import trio

from preview.errors import ConfigurationError
from preview.logs.model.batch import Batch
from preview.logs.model.events import Contract, Level
from preview.logs.shipping.target import Encode, Opener, Sink

_CONNECT_S = 10.0
# A file's size until it is renamed, and the number of earlier files that stay.
_FILE_BYTES = 64 * 1024 * 1024
_KEPT_FILES = 4
# RFC 5424, section 6.2.1: facility 16 (local0), and the severities.
_FACILITY = 16 * 8
_SEVERITY = {Level.DEBUG: 7, Level.INFO: 6, Level.WARNING: 4, Level.ERROR: 3}
# Number of a private enterprise for documentation (RFC 5612): there is none for this program.
_ENTERPRISE = "32473"
_SYSLOG_PORT = 514
_SYSLOG_TLS_PORT = 6514
_FAREWELL_S = 1.0
# A target that sends more than this is no syslog server.
_MOST_READ_BYTES = 64 * 1024


def target_at(address: str, *, ca: Path | None = None) -> tuple[Opener, Encode]:
    """Return how to open the target of an address, and the form of its lines.

    Args:
        address: See ``docs/archive.md``.
        ca: Certificate authority of a target with TLS; None for those of the machine.

    Raises:
        ConfigurationError: The address is wrong, or the file of the certificate authority.
    """
    kind, _, rest = address.partition(":")
    if kind in {"syslog+tcp", "syslog+tls"}:
        try:
            parts = urlsplit(address)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if host and kind == "syslog+tls":
            return partial(_open_tls, host, port or _SYSLOG_TLS_PORT, _trust(ca)), syslog_lines
        if host:
            return partial(_open_tcp, host, port or _SYSLOG_PORT), syslog_lines
    elif kind == "file" and rest.startswith("/"):
        return lambda: _open_file(Path(rest)), json_lines
    elif kind == "pipe" and (command := _words(rest)):
        return lambda: _open_program(command), json_lines
    raise ConfigurationError(
        "PREVIEW_LOG_SHIPPING must be syslog+tls://HOST:PORT, syslog+tcp://HOST:PORT, otlp:, file:/PATH, or "
        "pipe:COMMAND."
    )


def _trust(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"PREVIEW_CA ({ca}) is no file with certificates in PEM.") from error


def json_lines(batch: Batch) -> bytes:
    """Return the lines as JSON Lines."""
    return "".join(
        f"{json.dumps(fields, separators=(',', ':'), ensure_ascii=False)}\n" for fields in _fields(batch)
    ).encode("utf-8", "replace")


def _fields(batch: Batch) -> Iterator[dict[str, object]]:
    for line in batch:
        found: dict[str, object] = {
            "preview_id": batch.preview_id,
            "seq": line.seq,
            "timestamp": line.timestamp_ms,
            "level": line.level.name,
            "source": line.source.word(Contract.V1),
            "message": line.message,
        }
        if line.is_stderr:
            found["stream"] = "stderr"
        if line.request_id is not None:
            found["request_id"] = line.request_id
        yield found


def syslog_lines(batch: Batch) -> bytes:
    """Return the lines as syslog messages (RFC 5424), each with its length before it (RFC 6587, section 3.4.1)."""
    host, parts = _host(), []
    for line in batch:
        at = datetime.fromtimestamp(line.timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
        request = "" if line.request_id is None else f' request="{_escaped(line.request_id)}"'
        source, stream = line.source.word(Contract.V1), ' stream="stderr"' if line.is_stderr else ""
        data = f'[preview@{_ENTERPRISE} seq="{line.seq}" source="{source}"{stream}{request}]'
        head = f"<{_FACILITY + _SEVERITY[line.level]}>1 {at.replace('+00:00', 'Z')} {host} preview {batch.preview_id} -"
        text = f"{head} {data} \ufeff{line.message}".encode("utf-8", "replace")
        parts.append(b"%d %s" % (len(text), text))
    return b"".join(parts)


def _escaped(text: str) -> str:
    """Return a parameter's value (RFC 5424, section 6.3.3)."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _host() -> str:
    name = socket.gethostname()
    return name if name.isascii() and name.isprintable() and name and " " not in name else "-"


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


@asynccontextmanager
async def _open_tcp(host: str, port: int) -> AsyncIterator[Sink]:
    with trio.fail_after(_CONNECT_S):
        stream = await trio.open_tcp_stream(host, port)
    async with stream, trio.open_nursery() as nursery:
        sink = _Stream(stream)
        nursery.start_soon(_read_off, stream, sink)
        yield sink
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _open_tls(host: str, port: int, trust: ssl.SSLContext) -> AsyncIterator[Sink]:
    """Open a connection of RFC 5425; its framing is that of RFC 6587 too."""
    with trio.fail_after(_CONNECT_S):
        plain = await trio.open_tcp_stream(host, port)
        stream = trio.SSLStream(plain, trust, server_hostname=host)
        try:
            await stream.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(plain)
            raise
    async with trio.open_nursery() as nursery:
        sink = _Stream(stream)
        nursery.start_soon(_read_off, stream, sink)
        try:
            yield sink
        finally:
            with trio.move_on_after(_FAREWELL_S, shield=True):
                await stream.aclose()
            await trio.aclose_forcefully(plain)
            nursery.cancel_scope.cancel()


async def _read_off(stream: trio.abc.ReceiveStream, sink: _Stream) -> None:
    """Read what a collector sends, which has no meaning, and notice its end: sends alone notice it one batch later."""
    read = 0
    try:
        while read < _MOST_READ_BYTES:
            part = await stream.receive_some(4096)
            if not part:
                break
            read += len(part)
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        pass
    sink.is_gone = True


class _Stream:
    def __init__(self, stream: trio.abc.SendStream) -> None:
        self._stream = stream
        self.is_gone = False

    async def send(self, data: bytes) -> None:
        if self.is_gone:
            raise trio.BrokenResourceError("the target has ended the connection")
        await self._stream.send_all(data)


@asynccontextmanager
async def _open_program(command: list[str]) -> AsyncIterator[Sink]:
    """Run a program that reads lines; it gets no setting and no secret of the service."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    process = await trio.lowlevel.open_process(command, stdin=PIPE, stdout=DEVNULL, env=environment)
    try:
        assert process.stdin is not None  # noqa: S101  for the type checker
        async with process.stdin:
            yield _Stream(process.stdin)
    finally:
        # Its input is closed: it may read the rest.
        with trio.move_on_after(1, shield=True):
            await process.wait()
        if process.returncode is None:
            process.kill()
            with trio.move_on_after(1, shield=True):
                await process.wait()


@asynccontextmanager
async def _open_file(path: Path) -> AsyncIterator[Sink]:
    file = _File(path)
    await trio.to_thread.run_sync(file.open)
    try:
        yield file
    finally:
        file.close()


class _File:
    """A file that is renamed when it is large: ``NAME.1`` is the newest of the earlier ones."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._size = 0

    def open(self) -> None:
        """Open the file for more lines."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        if self._size and not self._ends_with_line():
            # A service was killed while it wrote: the next line would be the rest of this one.
            self._size += os.write(self._descriptor, b"\n")

    def _ends_with_line(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except PermissionError:
            # Some logs may only be written.
            return True
        try:
            return os.pread(descriptor, 1, self._size - 1) == b"\n"
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    async def send(self, data: bytes) -> None:
        """See ``Sink``. Cancellation: the lines are written."""
        await trio.to_thread.run_sync(self._write, data)

    def _write(self, data: bytes) -> None:
        if self._size and self._size + len(data) > _FILE_BYTES:
            self.close()
            for number in range(_KEPT_FILES, 0, -1):
                earlier = self._path if number == 1 else Path(f"{self._path}.{number - 1}")
                if earlier.exists():
                    earlier.replace(f"{self._path}.{number}")
            self.open()
        rest = memoryview(data)
        # Not ``self._size``: another program may have cut the file.
        before = os.fstat(self._descriptor).st_size
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            # The batch is sent again: its lines would follow the part of a line. What others have written stays.
            with suppress(OSError):
                if os.fstat(self._descriptor).st_size == before + len(data) - len(rest):
                    os.ftruncate(self._descriptor, before)
            raise
        self._size += len(data)
