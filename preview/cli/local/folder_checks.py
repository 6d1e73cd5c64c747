"""Probe and checks of a folder's application, which runs in this process for that time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from preview.cli.client import LOCAL_USER
from preview.cli.exits import CommandFailed
from preview.cli.local.running import hurried_by_signals
from preview.cli.tokens import name_option
from preview.core.lifecycle import State
from preview.detection import Overrides
from preview.errors import InvalidGeneration, NoActivePreview
from preview.generations import FolderGenerations
from preview.http.contracts.probe import ProbeShape
from preview.http.contracts.replay import ChecksRunShape
from preview.http.endpoint_book import EndpointBook
from preview.logs.failures.model import FailureRecord
from preview.proxy import PreviewClient, ProxyRequest, ProxyResponse, open_preview_client
from preview.replay.checks import CHECKS_FILE, Check, CheckFile, CheckResult, ChecksRun, read_checks
from preview.replay.checks.running import check_preview
from preview.replay.probe import Prober, ProbeRequest
from preview.replay.probe.curl import curl_command
from preview.replay.probe.lines import error_in
from preview.service import Service, open_service
from preview.settings import Settings
from preview.supervisor import LaunchRequest, LivePreview, User

_GENERATION = "folder"
_USER = User(LOCAL_USER, "enterprise")
# Characters of a line in which a frame is looked for, and of an error.
_LINE = 500


@dataclass(frozen=True, slots=True)
class FolderTask:
    """Work to do with a folder's application.

    Attributes:
        content: The checks file; None runs no check.
        probe_s: Seconds for the requests of a probe before the checks; None runs no probe.
        overrides: Start options.
        on_phase: Called with half a sentence when a part starts.
    """

    content: bytes | None = None
    probe_s: float | None = None
    overrides: Overrides | None = None
    on_phase: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class FolderResult:
    """Results, as the API has them; None for a part that was not run.

    Attributes:
        probe: As ``ProbeShape``.
        checks: As ``ChecksRunShape``. A check that broke has ``curl``, and ``error`` and
            ``frame`` of its failure (empty if unknown), too.
    """

    probe: dict[str, Any] | None
    checks: dict[str, Any] | None


async def run_folder_checks(settings: Settings, folder: Path, task: FolderTask) -> FolderResult | None:
    """Launch the folder, probe a copy, run the checks, and stop it. Returns None if a signal ended the command.

    All checks run on one preview, which begins with empty data. The probe has a trial preview.

    Args:
        settings: Settings of this command's own service.
        folder: The backend.
        task: The parts to run.

    Raises:
        PreviewError: The launch was refused, the preview failed, or the file cannot be read.

    Cancellation: the preview is torn down within the stop budget.
    """
    file = None if task.content is None else read_checks(task.content)
    if file is not None and not file.checks:
        raise CommandFailed(f"{CHECKS_FILE} has no checks; `preview check GEN --save NUMBER` adds one.")
    with trio.CancelScope() as asked:
        async with hurried_by_signals(asked.cancel):
            return await _run(settings, folder, file, task)
    return None


async def _run(settings: Settings, folder: Path, file: CheckFile | None, task: FolderTask) -> FolderResult:
    source = FolderGenerations(folder, generation_id=_GENERATION, user_id=LOCAL_USER, project_id="local")
    async with open_service(settings, generations=source) as service, open_preview_client(settings) as client:
        preview = await _launch(service, task.overrides)
        probe = None
        if task.probe_s is not None:
            task.on_phase("probing…")
            probe = await _probe(service, client, ProbeRequest(task.probe_s, overrides=task.overrides))
        if file is None:
            return FolderResult(probe, None)
        task.on_phase("checking…")
        send = _Sender(client)
        found = await check_preview(preview, file.checks, send, settings.proxy_body_bytes, allow_changes=True)
        failures = await _failures(service, preview) if found.counts[1] else {}
        return FolderResult(probe, _checks(found, file.checks, failures))


async def _launch(service: Service, overrides: Overrides | None) -> LivePreview:
    try:
        launched = await service.previews.launch(LaunchRequest(_USER, _GENERATION, overrides=overrides))
    except InvalidGeneration as error:
        named = name_option(error)
        if named is None:
            raise
        raise named from error
    preview = service.previews.find(launched.record.id)
    if preview is None:
        raise CommandFailed("The application ended before it was ready; `preview run DIR` shows its output.")
    await preview.settled.wait()
    if preview.record.state is not State.RUNNING:
        raise preview.cause
    return preview


async def _probe(service: Service, client: PreviewClient, request: ProbeRequest) -> dict[str, Any]:
    generation = await service.generations.get(_GENERATION)
    book = EndpointBook(service.generations, client, service.reader)
    async with trio.open_nursery() as nursery:
        prober = Prober(nursery, service, client, book.find)
        found = prober.start(_USER, generation, request)
        over = prober.over(generation)
        if over is not None:
            await over.wait()
    return ProbeShape.of(found).model_dump(mode="json")


async def _failures(service: Service, preview: LivePreview) -> dict[str, FailureRecord]:
    """Stop the preview, as some servers log a failure after the answer; return its failures by their requests."""
    with suppress(NoActivePreview):
        await service.previews.stop(_GENERATION)
    records, _, _ = await service.failures.records(preview.id)
    return {time.request_id: record for record in records for time in record.occurrences if time.request_id}


def _checks(found: ChecksRun, checks: Sequence[Check], failures: Mapping[str, FailureRecord]) -> dict[str, Any]:
    shown = ChecksRunShape.of(found).model_dump(mode="json")
    for check, result, one in zip(checks, found.results, shown["results"], strict=True):
        if result.problems:
            request = check.request
            one["curl"] = curl_command(request.method, request.target, request.headers, request.body)
            one["error"], one["frame"] = _cause(result, failures.get(result.request_id))
    return shown


def _cause(result: CheckResult, record: FailureRecord | None) -> tuple[str, str]:
    """Return the error that was logged for a check's request, and its deepest own place; empty if unknown."""
    if record is None:
        return error_in([line[:_LINE] for line in result.lines])
    frame = record.frame
    place = "" if frame is None else f"{frame.path}:{frame.line}" + (f" in {frame.function}" if frame.function else "")
    return f"{record.type}: {record.message}"[:_LINE], place


class _Sender:
    """Sends requests to a preview, without records of them."""

    def __init__(self, client: PreviewClient) -> None:
        self._client = client

    async def __call__(self, preview: LivePreview, asked: ProxyRequest) -> ProxyResponse:
        if preview.address is None:
            raise preview.cause
        return await self._client.send(preview.address, asked)
