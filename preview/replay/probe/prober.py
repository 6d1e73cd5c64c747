"""Starts probes, one at a time for each user, and keeps their results."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog
import trio

from preview.core.clock import utc_now
from preview.core.ids import new_probe_id
from preview.detection import Overrides
from preview.endpoints import Endpoint, Listing
from preview.errors import PreviewError
from preview.generations import Generation
from preview.proxy import PreviewClient, ProxyRequest
from preview.replay.probe.failures import attach_failures
from preview.replay.probe.lines import TrialLines
from preview.replay.probe.messages import ProtocolBroken
from preview.replay.probe.program import ProbePrograms, has_schemathesis
from preview.replay.probe.result import ProbeResult, ProbeState
from preview.replay.probe.run import ProbeRun
from preview.replay.probe.store import ProbeStore
from preview.replay.trial import TrialOptions, open_trial
from preview.service import Service
from preview.supervisor import LivePreview
from preview.user import User

log = structlog.get_logger(__name__)

# Paths at which common frameworks and libraries publish an OpenAPI document.
_DOCUMENTS = ("/openapi.json", "/api/openapi.json", "/swagger.json", "/api-json", "/api/schema/?format=json")
_DOCUMENT_BYTES = 4 * 1024 * 1024
_DOCUMENT_S = 5.0
_MOST_ENDPOINTS = 300
_OK = 200
# Part of the time that is left for requests, however long the trial preview took to start.
_LEAST_PART = 0.5
# Time for the last request, the program's end and the result. The program stops by its own clock; a hostile schema, or
# a busy machine, may keep it from that: then it is ended.
_END_S = 3.0
_GRACE_S = 1.8
# Time to store a result; the end of the service waits for it.
_SAVE_S = 2.0

FindEndpoints = Callable[[Generation, LivePreview], Awaitable[Listing]]
"""Returns the endpoints of a generation and of its preview."""


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """A request for a probe.

    Attributes:
        seconds: Time for the trial preview's start and the requests; the requests get at least half of it.
        endpoints: ``GET /items/{id}`` or ``/items/{id}``; empty for all.
        overrides: Start options of the trial in place of those of detection.
    """

    seconds: float
    endpoints: Sequence[str] = ()
    overrides: Overrides | None = None


@dataclass(slots=True)
class _Active:
    result: ProbeResult
    user_id: str
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    over: trio.Event = field(default_factory=trio.Event)
    is_forgotten: bool = False


class Prober:
    """The probes of a service.

    Args:
        nursery: Runs them.
        service: The running service.
        client: Sends their requests.
        find_endpoints: Finds the endpoints of an application without an OpenAPI document.
    """

    def __init__(
        self, nursery: trio.Nursery, service: Service, client: PreviewClient, find_endpoints: FindEndpoints
    ) -> None:
        self._nursery = nursery
        self._service = service
        self._client = client
        self._find_endpoints = find_endpoints
        self._programs = ProbePrograms(service.settings, service.runtime)
        self._store = ProbeStore(service.database)
        self._active: dict[str, _Active] = {}

    def start(self, user: User, generation: Generation, request: ProbeRequest) -> ProbeResult:
        """Start a probe, and return its result, which fills while it runs. One that runs is returned as it is."""
        active = self._active.get(generation.id)
        if active is None:
            result = ProbeResult(
                id=new_probe_id(),
                generation_id=generation.id,
                state=ProbeState.STARTING,
                started_at=utc_now(),
                seconds=min(request.seconds, self._service.settings.probe_max_s),
                revision=generation.revision,
                phase="starting the trial preview",
            )
            active = self._active[generation.id] = _Active(result, generation.user_id)
            self._nursery.start_soon(self._run, active, user, generation, request)
        return active.result

    async def last(self, generation: Generation) -> ProbeResult | None:
        """Return the running probe of a generation, or its last one; None if there was none.

        Cancellation: nothing changes.
        """
        active = self._active.get(generation.id)
        return active.result if active is not None else await self._store.last(generation.id, generation.user_id)

    def over(self, generation: Generation) -> trio.Event | None:
        """Return the event that is set at the end of the running probe; None if no probe runs."""
        active = self._active.get(generation.id)
        return None if active is None else active.over

    async def stop(self, generation: Generation) -> None:
        """End the running probe of a generation, if there is one; it keeps what it has found.

        Cancellation: it ends all the same.
        """
        active = self._active.get(generation.id)
        if active is not None:
            active.scope.cancel()
            await active.over.wait()

    async def forget(self, generation_id: str) -> None:
        """End the running probe of a deleted generation, and delete its last result. An outage is logged.

        Cancellation: the probe ends all the same; the next start deletes the result.
        """
        active = self._active.get(generation_id)
        if active is not None:
            active.is_forgotten = True
            active.scope.cancel()
            await active.over.wait()
        try:
            await self._store.delete(generation_id)
        except PreviewError as error:
            log.warning("probe result not deleted yet", generation_id=generation_id, error=error.message)

    async def clean(self) -> None:
        """Delete what earlier services have left: folders, and results of deleted generations. Errors are logged.

        Cancellation: some of it may be left.
        """
        try:
            await self._programs.remove_leftovers()
            if self._service.library is not None:
                await self._store.delete_orphans()
        except Exception:
            # An error that leaves this task would cancel the nursery of the application.
            log.exception("probes not cleaned")

    async def _run(self, active: _Active, user: User, generation: Generation, request: ProbeRequest) -> None:
        result = active.result
        try:
            with active.scope:
                await self._probe(result, user, generation, request)
            if active.scope.cancelled_caught:
                result.notes.append("The probe was stopped before its end.")
            result.state = ProbeState.DONE
        except PreviewError as error:
            result.state, result.error = ProbeState.FAILED, error.message
        except ProtocolBroken:
            result.state, result.error = ProbeState.FAILED, "The program that makes the requests could not be started."
        except Exception:
            # An error that leaves this task would cancel the nursery of the application.
            log.exception("probe failed", generation_id=result.generation_id)
            result.state, result.error = (
                ProbeState.FAILED,
                "The probe could not be run; the log of the service says why.",
            )
        finally:
            if result.state in (ProbeState.STARTING, ProbeState.RUNNING):
                result.state, result.error = ProbeState.FAILED, "The service stopped while the probe ran."
            result.phase, result.finished_at = "", utc_now()
            if not active.is_forgotten:
                with trio.move_on_after(_SAVE_S, shield=True) as scope:
                    await self._save(result, active.user_id)
                if scope.cancelled_caught:
                    log.warning("probe result not stored in time", generation_id=result.generation_id)
            del self._active[result.generation_id]
            active.over.set()

    async def _save(self, result: ProbeResult, user_id: str) -> None:
        """Store a result; errors are logged. Cancellation: it may not be stored."""
        try:
            await self._store.save(result, user_id)
        except Exception:
            log.exception("probe result not stored", generation_id=result.generation_id)

    async def _probe(self, result: ProbeResult, user: User, generation: Generation, request: ProbeRequest) -> None:
        lines = TrialLines()
        failures = self._service.failures
        deadline = trio.current_time() + result.seconds
        options = TrialOptions(overrides=request.overrides, observers=(lines.observe, failures.watch))
        async with open_trial(self._service, user, generation, options) as trial:
            result.phase = "reading the endpoints"
            task = await self._task(result, trial, generation, request)
            left_s = max(deadline - trio.current_time() - _END_S, result.seconds * _LEAST_PART)
            async with self._programs.open({**task, "seconds": left_s}) as program:
                result.state, result.phase = ProbeState.RUNNING, "preparing the first requests"
                try:
                    with trio.move_on_after(left_s + _GRACE_S) as scope:
                        await ProbeRun(result, self._client, trial, lines).run(program)
                    await failures.settle(trial.id)
                finally:
                    # Also of a probe that is stopped: those that are known by then.
                    attach_failures(result, failures.known(trial.id))
                if scope.cancelled_caught:
                    result.notes.append("The program that makes the requests did not end in time and was stopped.")
                if program.printed:
                    log.warning("probe program failed", last=program.printed[-500:].decode("utf-8", "replace"))

    async def _task(
        self, result: ProbeResult, trial: LivePreview, generation: Generation, request: ProbeRequest
    ) -> dict[str, object]:
        document = await self._document(trial)
        listing = await self._find_endpoints(generation, trial)
        if document is not None and not has_schemathesis():
            result.notes.append(
                "Responses are not compared with the OpenAPI document: that needs Schemathesis (preview[probe])."
            )
        return {
            "document": document,
            "endpoints": [_described(one) for one in listing.endpoints[:_MOST_ENDPOINTS]],
            "only": list(request.endpoints),
            # It knows no way to probe a part that follows from ours.
            "schemathesis": has_schemathesis() and not request.endpoints,
            "seed": result.id.rpartition("_")[2][:6],
        }

    async def _document(self, trial: LivePreview) -> str | None:
        """Return the text of the application's OpenAPI document, which is not parsed here; None if it has none."""
        address = trial.address
        if address is None:
            return None
        for target in _DOCUMENTS:
            path, _, query = target.partition("?")
            request = ProxyRequest("GET", path, query)
            try:
                answer = await self._client.send(
                    address, request, process=trial.record.pid, timeout_s=_DOCUMENT_S
                )  # fmt: skip
            except PreviewError:
                continue
            if answer.status == _OK and len(answer.body) <= _DOCUMENT_BYTES and b'"paths"' in answer.body:
                return answer.body.decode("utf-8", "replace")
        return None


def _described(endpoint: Endpoint) -> dict[str, object]:
    return {
        "method": endpoint.method,
        "path": endpoint.path,
        "query": dict(endpoint.query),
        "body": endpoint.request_body,
        "path_parameters": dict(endpoint.path_parameters),
    }
