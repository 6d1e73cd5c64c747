"""Schemathesis as a second engine: generates from the document, follows its links, and checks what belongs together.

Its requests go through a WSGI application here, which has the service send them. Answers are judged as all others are.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from preview.replay.probe.confined.preview_probe_channel import Channel, TimeIsUp
    from preview.replay.probe.confined.preview_probe_findings import Findings
    from preview.replay.probe.confined.preview_probe_judge import Verdict
    from preview.replay.probe.confined.preview_probe_model import Document, Operation
    from preview.replay.probe.confined.preview_probe_requests import NOTHING, Request, Sent, Session
else:
    from preview_probe_channel import Channel, TimeIsUp
    from preview_probe_findings import Findings
    from preview_probe_judge import Verdict
    from preview_probe_model import Document, Operation
    from preview_probe_requests import NOTHING, Request, Sent, Session

# Of its checks, those that the judge here does not make, by the class of the failure.
_KINDS = {
    "AcceptedNegativeData": ("accepted_invalid", "An invalid request gets a success response"),
    "RejectedPositiveData": ("rejected_valid", "A valid request is rejected"),
    "UseAfterFree": ("found_after_delete", "An object that was deleted is still found"),
    "EnsureResourceAvailability": ("created_not_found", "An object that was created is not found"),
}
_NUMBER = "X-Probe-Number"
_MOST_CASES = 5_000
_MOST_SENTENCE = 200

StartResponse = Callable[[str, list[tuple[str, str]]], object]


def load_library() -> tuple[Any, Any, Any] | None:
    """Import the library; return the module, the class of its settings and the maker of engines, None without it."""
    try:
        import schemathesis  # noqa: PLC0415  an optional dependency
        from schemathesis.config import SchemathesisConfig  # noqa: PLC0415
        from schemathesis.engine import from_schema  # noqa: PLC0415
    except ImportError:
        return None
    return schemathesis, SchemathesisConfig, from_schema


class Schemathesis:
    """Runs the engine until the time is over.

    Args:
        channel: Connection to the service.
        document: The application's document.
        session: Sends requests, and knows the token.
        findings: Looks at the answers.
    """

    def __init__(self, channel: Channel, document: Document, session: Session, findings: Findings) -> None:
        self._channel = channel
        self._document = document
        self._session = session
        self._findings = findings
        # The engine calls the application from a thread of its own.
        self._lock = threading.RLock()
        self._sent: dict[int, Sent] = {}
        self._is_over = False

    def run(self) -> bool:
        """Run; return whether the library is there and can read the document."""
        library = load_library()
        if library is None:
            return False
        schemathesis, configured, from_schema = library
        left_s = max(1, int(self._channel.left_s()))
        generation = {"no-shrink": True, "database": "none", "max-examples": 50}
        try:
            config = configured.from_dict({"generation": generation, "workers": 1, "max-time": left_s})
            schema = schemathesis.openapi.from_dict(dict(self._document.document), config=config)
            schema.app = self._application
            for event in from_schema(schema).execute():
                self._take(event)
                if self._is_over:
                    break
        except Exception as error:  # noqa: BLE001  a stranger's document
            self._channel.say(note=f"Schemathesis cannot use the OpenAPI document ({type(error).__name__}).")
            return False
        return True

    # Requests

    def _application(self, environ: Mapping[str, Any], start: StartResponse) -> Iterable[bytes]:
        """Have the service send the request of a WSGI call."""
        with self._lock:
            request = self._request_of(environ)
            if request is None or self._is_over:
                start("404 Not Found", [("Content-Type", "application/json")])
                return [b"{}"]
            try:
                sent = self._session.send(request, is_odd=True)
                self._findings.look(sent)
            except TimeIsUp:
                self._is_over = True
                start("503 Service Unavailable", [])
                return [b""]
            number = sent.answer.number
            if len(self._sent) < _MOST_CASES:
                self._sent[number] = sent
            fields = [(name, value) for name, value in sent.answer.headers if name.lower() != "content-length"]
            start(f"{sent.answer.status or 502} Answer", [*fields, (_NUMBER, str(number))])
            return [sent.answer.body]

    def _request_of(self, environ: Mapping[str, Any]) -> Request | None:
        raw = str(environ.get("REQUEST_URI") or environ["PATH_INFO"]).partition("?")[0]
        found = self._operation(str(environ["REQUEST_METHOD"]), raw)
        if found is None:
            return None
        operation, path = found
        pairs = parse_qsl(str(environ.get("QUERY_STRING", "")), keep_blank_values=True)
        query: dict[str, Any] = {}
        for name, value in pairs:
            query.setdefault(name, []).append(value)
        body: Any = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if not body:
            body = NOTHING
        elif operation.body_kind == "json":
            with contextlib.suppress(ValueError, RecursionError):
                body = json.loads(body)
        return Request(operation, path, query, {}, body)

    def _operation(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """Return the operation of a path, and the values of its parameters."""
        parts = path.split("/")
        for one in self._session.operations:
            template = one.path.split("/")
            if one.method != method or len(template) != len(parts):
                continue
            values: dict[str, str] = {}
            for expected, part in zip(template, parts, strict=True):
                if expected.startswith("{") and expected.endswith("}"):
                    values[expected[1:-1]] = unquote(part)
                elif expected != part:
                    break
            else:
                return one, values
        return None

    # Findings

    def _take(self, event: Any) -> None:
        """Report the failures of a finished scenario."""
        recorder = getattr(event, "recorder", None)
        if recorder is None:
            return
        for case_id, checks in recorder.checks.items():
            for check in checks:
                failure = getattr(getattr(check, "failure_info", None), "failure", None)
                kind = _KINDS.get(type(failure).__name__)
                interaction = recorder.interactions.get(case_id)
                response = getattr(interaction, "response", None)
                if kind is None or response is None:
                    continue
                numbers = response.headers.get(_NUMBER.lower()) or response.headers.get(_NUMBER) or ["0"]
                sent = self._sent.get(int(numbers[0]))
                if sent is not None:
                    about = str(getattr(failure, "message", "")).partition("\n")[0][:_MOST_SENTENCE]
                    sentence = f"{kind[1]} (status {sent.answer.status}). {about}".strip()
                    with self._lock:
                        self._findings.report(Verdict((kind[0], "schemathesis", sentence)), sent)
