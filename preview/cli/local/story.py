"""Output of ``preview run``: launch, log, addresses and end, as text or as JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from preview.cli.local.lines import LinePrinter, ShownLine, columns_of
from preview.cli.terminal import counted, json_line, paint
from preview.cli.tracebacks import TracebackFolder
from preview.core.clock import from_ms, rfc3339_ms
from preview.core.launch_steps import step_fields
from preview.core.quoting import visible
from preview.errors import PreviewError
from preview.logs import Batch, Contract, End, Gap, LineFilter, LogLine, Received, Source, StatusChange

_WITHOUT_CHECKS = LineFilter(checks=False)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of a running preview.

    Attributes:
        page: The service's page, as a one-time login link.
        browser: The preview for a browser, on a separate host, as a one-time link.
        preview: The preview itself.
        example: A command line that calls the preview.
        data: A command line that shows the data in its database servers; empty if it has none.
    """

    page: str
    browser: str
    preview: str
    example: str
    data: str = ""


@dataclass(frozen=True, slots=True)
class Freed:
    """Resources of a preview, checked after its end.

    Attributes:
        processes: Number of its processes; those that still run are in ``left``.
        port: Its port, or None.
        folders: Number of its folders.
        left: Descriptions of resources that are not freed; empty on success.
    """

    processes: int
    port: int | None
    folders: int
    left: Sequence[str] = ()

    def __str__(self) -> str:
        parts = [counted(self.processes, "process", "processes")]
        parts += [f"port {self.port}"] if self.port is not None else []
        parts += [counted(self.folders, "folder")]
        return f"{', '.join(parts[:-1])} and {parts[-1]} freed"


@dataclass(frozen=True, slots=True)
class Reload:
    """Result of a saved change.

    Attributes:
        changed: Paths of written files.
        removed: Paths of removed files.
        elapsed_s: Seconds until the new process served, or failed.
        error: Why the reload failed; the old process then keeps serving. None on success.
    """

    changed: Sequence[str]
    removed: Sequence[str]
    elapsed_s: float
    error: PreviewError | None = None


class Story(Protocol):
    """Reporter that writes to one stream. Every method may block on it, so callers use a thread."""

    def events(self, events: Iterable[Received]) -> None:
        """Report events of the preview's log, in order."""

    def ready(self, addresses: Addresses) -> None:
        """Report that the preview runs, with its addresses."""

    def reloaded(self, reload: Reload) -> None:
        """Report a reload or its failure."""

    def refused(self, error: PreviewError) -> None:
        """Report that the saved folder cannot be used."""

    def waiting(self) -> None:
        """Report a failed preview, which is launched again at the next save."""

    def stopping(self) -> None:
        """Report that the user has requested the end."""

    def freed(self, freed: Freed, reason: str | None) -> None:
        """Report the end and its cleanup; ``reason`` is None if the user stopped the preview."""


class TextStory:
    """Reporter for people."""

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        self._stream = stream
        self._printer = LinePrinter(colour, columns_of(stream))
        self._folder = TracebackFolder(stream.isatty())
        self._colour = colour

    def events(self, events: Iterable[Received]) -> None:
        """Print each log line, and a note for each gap."""
        out: list[str] = []
        for event in events:
            if isinstance(event, Batch):
                shown = (one for line in _without_checks(event) for one in self._folder.take(_shown(line)))
                out += map(self._printer.text, shown)
            elif isinstance(event, Gap):
                out.append(self._printer.note(f"… lines {event.first_seq} to {event.last_seq} are missing …"))
        self._write(out)

    def ready(self, addresses: Addresses) -> None:
        """Print a block between two empty lines."""
        rows = (
            ("Page", addresses.page, "one-time sign-in link, valid 10 min"),
            ("Browser", addresses.browser, "one-time link"),
            ("Preview", addresses.preview, ""),
            ("Try", addresses.example, ""),
            *([("Data", addresses.data, "in another terminal")] if addresses.data else []),
            ("Stop", "Ctrl-C", ""),
        )
        self._write(["", *(self._row(*row) for row in rows), ""])

    def reloaded(self, reload: Reload) -> None:
        """Print nothing: the preview's log already contains the reload."""

    def refused(self, error: PreviewError) -> None:
        """Print one line."""
        self._write([self._printer.note(f"not reloaded: {visible(error.message)}", style="33")])

    def waiting(self) -> None:
        """Print one line."""
        self._write([self._printer.note("waiting for a change; press Ctrl-C to stop")])

    def stopping(self) -> None:
        """Print one line; in a terminal, it replaces the echoed ``^C``."""
        self._write([f"\r\x1b[K{paint('stopping…', '2')}" if self._colour else "stopping…"])

    def freed(self, freed: Freed, reason: str | None) -> None:
        """Print one line about the freed resources, and one for each that is left."""
        head = visible(reason or "stopped")
        self._write(
            [f"{head}; {freed}", *(f"not removed: {visible(what)}; stop or delete it yourself" for what in freed.left)]
        )

    def _row(self, label: str, value: str, remark: str) -> str:
        label = f"  {label:<8}"
        if not self._colour:
            return f"{label} {value}{f'  ({remark})' if remark else ''}"
        return f"{paint(label, '2')} {paint(value, '1')}{paint(f'  {remark}', '2') if remark else ''}"

    def _write(self, lines: Sequence[str]) -> None:
        if lines:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()


class JsonStory:
    """Reporter for programs: one JSON object on each line, its kind under ``event``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def events(self, events: Iterable[Received]) -> None:
        """Write ``log``, ``status``, ``gap`` and ``end``, without lines of health checks, as ``preview logs`` does."""
        out: list[dict[str, Any]] = []
        for event in events:
            if isinstance(event, Batch):
                out += map(_line_fields, _without_checks(event))
            else:
                out.append(_event_fields(event))
        self._write(out)

    def ready(self, addresses: Addresses) -> None:
        """Write ``ready``."""
        links = {"page": addresses.page, "browser": addresses.browser, "base_url": addresses.preview}
        self._write([{"event": "ready", **links, "example": addresses.example, "data": addresses.data or None}])

    def reloaded(self, reload: Reload) -> None:
        """Write ``reload``."""
        error = None if reload.error is None else _error_fields(reload.error)
        fields = {"changed": list(reload.changed), "removed": list(reload.removed), "error": error}
        status, elapsed_ms = "failed" if error else "reloaded", round(reload.elapsed_s * 1000, 1)
        self._write([{"event": "reload", "status": status, "elapsed_ms": elapsed_ms, **fields}])

    def refused(self, error: PreviewError) -> None:
        """Write ``refused``."""
        self._write([{"event": "refused", "error": _error_fields(error)}])

    def waiting(self) -> None:
        """Write the event ``waiting``: the preview has ended, and the next saved file launches it again."""
        self._write([{"event": "waiting"}])

    def stopping(self) -> None:
        """Write ``stopping``."""
        self._write([{"event": "stopping"}])

    def freed(self, freed: Freed, reason: str | None) -> None:
        """Write ``freed``."""
        fields = {"processes": freed.processes, "port": freed.port, "folders": freed.folders, "left": list(freed.left)}
        self._write([{"event": "freed", "reason": reason, **fields}])

    def _write(self, objects: Sequence[dict[str, Any]]) -> None:
        self._stream.write("".join(f"{json_line(one)}\n" for one in objects))
        self._stream.flush()


def _without_checks(batch: Batch) -> list[LogLine]:
    """Return the lines, without those below ERROR that were printed for the service's own requests."""
    return [batch.line_at(at) for at in _WITHOUT_CHECKS.positions(batch.columns)]


def _shown(line: LogLine) -> ShownLine:
    system = line.source in {Source.SYSTEM, Source.SYSTEM_STARTUP}
    return ShownLine(line.seq, from_ms(line.timestamp_ms), line.level.name, system, line.message, line.is_stderr)


def _line_fields(line: LogLine) -> dict[str, Any]:
    return {
        "event": "log",
        "seq": line.seq,
        "timestamp": rfc3339_ms(line.timestamp_ms),
        "level": line.level.word(Contract.V1),
        "source": line.source.word(Contract.V1),
        "message": line.message,
        **({"stream": "stderr"} if line.is_stderr else {}),
    }


def _event_fields(event: StatusChange | Gap | End) -> dict[str, Any]:
    if isinstance(event, Gap):
        return {"event": "gap", "first": event.first_seq, "last": event.last_seq, "reason": event.reason}
    steps = [step_fields(one, camel=False) for one in event.steps]
    kept: dict[str, Any] = {"timestamp": rfc3339_ms(event.timestamp_ms), "reason": event.reason, "steps": steps}
    if isinstance(event, StatusChange):
        facts = {"status": event.state, "health": event.health, "restarts": event.restarts}
        return {"event": "status", **facts, **kept}
    ended = {"exit_code": event.exit_code, "exit_signal": event.exit_signal, "cause": event.cause}
    return {"event": "end", "status": event.state, **ended, **kept}


def _error_fields(error: PreviewError) -> dict[str, Any]:
    return {"code": error.code, "detail": error.message}
