"""One probe: sends what the confined program wants to a trial preview, and keeps what came of it."""

from __future__ import annotations

import base64
from collections import OrderedDict
from dataclasses import dataclass, replace

import trio

from preview.errors import PreviewError, PreviewUnavailable, UpstreamFailed
from preview.proxy import PreviewClient, ProxyRequest, ProxyResponse, make_request
from preview.replay.probe.curl import curl_command
from preview.replay.probe.lines import TrialLines
from preview.replay.probe.messages import (
    Done,
    Found,
    Message,
    Operations,
    ProtocolBroken,
    Said,
    Send,
    answer_line,
    parse_message,
)
from preview.replay.probe.program import ProgramConnection
from preview.replay.probe.result import DOUBTFUL, MISMATCHES, Finding, FindingKind, ProbeLine, ProbeResult, Row, Step
from preview.supervisor import LivePreview
from preview.traffic.redaction import Redaction, Redactor

_REQUEST_S = 5.0
_BODY_BYTES = 512 * 1024
# What the program reads of an answer.
_ANSWER_BYTES = 256 * 1024
_MOST_REQUESTS = 20_000
_MOST_FINDINGS = 100
_MOST_NOTES = 20
# Messages that need no answer: more would be a program that floods.
_MOST_SAID = 1000
_KEPT_BYTES = 32 * 1024 * 1024
_KEPT_BODY_BYTES = 8 * 1024
_SHOWN_BODY = 4096
_SHOWN_ANSWER = 2048
_GOOD, _CLIENT_ERROR, _SERVER_ERROR = range(200, 400), range(400, 500), range(500, 600)
_UNREACHED = frozenset({401, 403, 404, 405, 429})


@dataclass(frozen=True, slots=True)
class _Kept:
    """A request that was sent, and its answer."""

    request: ProxyRequest
    status: int | None
    answer: bytes
    error: tuple[str, str] = ("", "")
    lines: tuple[ProbeLine, ...] = ()

    @property
    def size_bytes(self) -> int:
        return 1000 + len(self.request.body or b"") + len(self.answer) + sum(len(one.message) for one in self.lines)


class ProbeRun:
    """A probe of a trial preview.

    Args:
        result: Filled while the probe runs.
        client: Sends the requests.
        preview: The trial.
        lines: The trial's lines.
    """

    def __init__(self, result: ProbeResult, client: PreviewClient, preview: LivePreview, lines: TrialLines) -> None:
        self._result = result
        self._client = client
        self._preview = preview
        self._lines = lines
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._kept_bytes = 0
        self._said = 0
        self._redactor = Redactor()

    async def run(self, program: ProgramConnection) -> None:
        """Serve the program until it is done, breaks its protocol, or the application is over.

        Cancellation: the result has what was found so far.
        """
        began = trio.current_time()
        try:
            while (line := await program.receive()) and not self._preview.over.is_set():
                message = parse_message(line)
                if isinstance(message, Done):
                    return
                answer = await self._handle(message)
                self._result.elapsed_s = round(trio.current_time() - began, 3)
                if answer is not None:
                    await program.send(answer)
            if self._preview.over.is_set():
                self._note("The application has ended, so the probe has too; see the last finding.")
            else:
                self._note(program.why_ended or "The program that makes the requests has ended too early.")
        except ProtocolBroken:
            self._note("The program that makes the requests has broken its protocol and was stopped.")
        finally:
            self._result.elapsed_s = round(trio.current_time() - began, 3)

    async def _handle(self, message: Message) -> bytes | None:
        if isinstance(message, Send):
            return await self._send(message)
        self._said += 1
        if self._said > _MOST_SAID:
            raise ProtocolBroken("too many messages")
        if isinstance(message, Operations) and not self._result.rows:
            self._result.rows = [Row(method, path, known) for method, path, known in message.items]
        elif isinstance(message, Found):
            self._find(message)
        elif isinstance(message, Said):
            self._say(message)
        return None

    def _say(self, message: Said) -> None:
        if message.what == "phase":
            self._result.phase = message.text
        elif message.what == "engine" and message.text == "schemathesis":
            self._result.engine = message.text
        elif message.what == "note" and len(self._result.notes) < _MOST_NOTES:
            self._note(message.text)

    def _note(self, sentence: str) -> None:
        if sentence not in self._result.notes:
            self._result.notes.append(sentence)

    # Requests

    async def _send(self, message: Send) -> bytes:
        """Send one request; return the answer for the program."""
        if message.operation >= len(self._result.rows):
            raise ProtocolBroken("no such operation")
        if self._result.requests >= _MOST_REQUESTS:
            self._note(f"The probe ended after {_MOST_REQUESTS} requests, the most that it sends.")
            return answer_line(number=0, error="No more requests are sent.")
        try:
            request = _request_of(message)
        except PreviewError as error:
            return answer_line(number=0, error=error.message[:200])
        self._result.requests += 1
        number, row = self._result.requests, self._result.rows[message.operation]
        row.requests += 1
        self._preview.touch()
        self._lines.begin(request.request_id)
        address = self._preview.address
        try:
            if address is None:
                return answer_line(number=0, error="The application is not running.")
            response = await self._ask(address, request)
        except PreviewError as error:
            row.no_answers += 1
            await self._lines.wait()
            self._keep(number, _Kept(request, None, b"", self._lines.error(), self._lines.shown()))
            return answer_line(number=number, error=error.message[:200], mark="\n".join(self._lines.error()))
        return await self._answered(number, row, request, response)

    async def _ask(self, address: tuple[str, int], request: ProxyRequest) -> ProxyResponse:
        """Send a request; once more if the connection broke, which the answer before may have been the cause of."""
        process = self._preview.record.pid
        try:
            return await self._client.send(address, request, process=process, timeout_s=_REQUEST_S)
        except (UpstreamFailed, PreviewUnavailable):
            return await self._client.send(address, request, process=process, timeout_s=_REQUEST_S)

    async def _answered(self, number: int, row: Row, request: ProxyRequest, response: ProxyResponse) -> bytes:
        error, lines = ("", ""), tuple[ProbeLine, ...]()
        if response.status in _SERVER_ERROR:
            await self._lines.wait()
            error, lines = self._lines.error(), self._lines.shown()
        row.ok += response.status in _GOOD
        row.client_errors += response.status in _CLIENT_ERROR
        row.server_errors += response.status in _SERVER_ERROR
        row.is_reached |= response.status not in _UNREACHED
        self._keep(number, _Kept(request, response.status, response.body[:_SHOWN_ANSWER], error, lines))
        body = response.body[:_ANSWER_BYTES]
        return answer_line(
            number=number,
            status=response.status,
            headers=[[name[:200], value[:2000]] for name, value in response.headers[:50]],
            body=base64.b64encode(body).decode(),
            is_cut=len(body) < len(response.body),
            mark="\n".join(error) if error[0] else "",
        )

    def _keep(self, number: int, kept: _Kept) -> None:
        """Keep a request for findings; the oldest are dropped for lack of space."""
        if kept.request.body is not None and len(kept.request.body) > _KEPT_BODY_BYTES:
            kept = replace(kept, request=replace(kept.request, body=kept.request.body[:_KEPT_BODY_BYTES]))
        self._kept[number] = kept
        self._kept_bytes += kept.size_bytes
        while self._kept_bytes > _KEPT_BYTES:
            self._kept_bytes -= self._kept.popitem(last=False)[1].size_bytes

    # Findings

    def _find(self, message: Found) -> None:
        steps = [(number, self._kept[number]) for number in message.steps if number in self._kept]
        if message.operation >= len(self._result.rows) or not steps:
            raise ProtocolBroken("no such request")
        if len(self._result.findings) >= _MOST_FINDINGS:
            self._note(f"There are more than {_MOST_FINDINGS} findings; the rest is not kept.")
            return
        row, last = self._result.rows[message.operation], steps[-1][1]
        row.mismatches += message.kind in MISMATCHES
        redaction = Redaction(self._redactor)
        shown = [_step(number, kept, redaction) for number, kept in steps]
        if redaction.secrets:
            self._note(
                "Secrets in requests and responses are replaced by placeholders; fill in your own in the curl command."
            )
        self._result.findings.append(
            Finding(
                number=len(self._result.findings) + 1,
                kind=FindingKind(message.kind),
                is_doubtful=message.kind in DOUBTFUL,
                method=row.method,
                path=row.path,
                sentence=_clean(message.sentence, redaction),
                steps=shown,
                answer=_clean(last.answer.decode("utf-8", "replace"), redaction),
                error=_clean(last.error[0], redaction) or None,
                frame=_clean(last.error[1], redaction) or None,
                lines=[replace(one, message=_clean(one.message, redaction)) for one in last.lines],
            )
        )


def _request_of(message: Send) -> ProxyRequest:
    """Return the request as it may be sent.

    Raises:
        PreviewError: It cannot be sent.
    """
    request = make_request(message.method, message.target, headers=message.headers, body_limit_bytes=_BODY_BYTES)
    if message.body is not None and len(message.body) > _BODY_BYTES:
        raise ProtocolBroken("body too large")
    return replace(request, body=message.body)


def _step(number: int, kept: _Kept, redaction: Redaction) -> Step:
    """Return a request without its secrets: the command too has marks in their place."""
    request = kept.request
    # Secrets of the answer, which later requests repeat.
    _clean(kept.answer.decode("utf-8", "replace"), redaction)
    headers = redaction.fields(request.headers)
    target = redaction.sweep(redaction.target(request.target.decode("ascii")))
    body = None
    if request.body is not None:
        kind = next((value for name, value in request.headers if name.lower() == "content-type"), "")
        body = _clean(request.body.decode("utf-8", "replace"), redaction, kind.lower())
    curl = curl_command(request.method, target, headers, None if body is None else body.encode())
    return Step(
        number,
        request.method,
        target[:_SHOWN_BODY],
        None if body is None else body[:_SHOWN_BODY],
        kept.status,
        curl,
    )


def _clean(text: str, redaction: Redaction, kind: str = "") -> str:
    """Return a text without secrets. A null byte would make it binary, and is replaced."""
    return redaction.body(text.replace("\0", "\ufffd").encode("utf-8", "replace"), kind).decode("utf-8", "replace")
