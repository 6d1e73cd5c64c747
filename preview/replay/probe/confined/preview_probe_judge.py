"""Verdicts on answers: what is wrong with one, by the rules of HTTP and by the document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preview.replay.probe.confined.preview_probe_model import Document, Operation
    from preview.replay.probe.confined.preview_probe_requests import NOTHING, Sent
else:
    from preview_probe_model import Document, Operation
    from preview_probe_requests import NOTHING, Sent

_MOST_DEPTH = 40
_PATTERN_BYTES = 256 * 1024
_MOST_SHOWN = 160
# Values in all compiled schemas together; the library keeps about 600 bytes for each, of 1 GiB that the program has.
_MOST_VALUES = 600_000
# Answers to a valid request that say that it is not.
_REJECTED = frozenset({400, 422})


class Schemas:
    """Checks values against schemas of the document; without the library, nothing is known of any value.

    Args:
        document: The document; None if there is none.
    """

    def __init__(self, document: Document | None) -> None:
        self._document = document
        self._made: dict[str, Any] = {}
        self._values_left = _MOST_VALUES
        self._library: Any = None
        try:
            import jsonschema_rs  # noqa: PLC0415  an optional dependency

            self._library = jsonschema_rs
        except ImportError:
            pass

    @property
    def can_check(self) -> bool:
        """True if values can be checked."""
        return self._library is not None and self._document is not None

    def why_wrong(self, key: str, schema: Mapping[str, Any] | None, value: object) -> tuple[str, str] | None:
        """Return the place in the value and a sentence, if it does not match; None if it does, or that is unknown.

        Args:
            key: Names the schema.
            schema: The schema, which may refer to parts of the document.
            value: Parsed JSON.
        """
        if not self.can_check or schema is None or self._document is None:
            return None
        if key not in self._made:
            self._made[key] = self._compiled(schema)
        checker = self._made[key]
        if checker is None:
            return None
        try:
            error = next(iter(checker.iter_errors(value)), None)
        except Exception:  # noqa: BLE001  a stranger's schema
            return None
        if error is None:
            return None
        place = "/".join(str(one) for one in error.instance_path)
        # Positions in lists do not make another mistake.
        rule = "/".join("*" if isinstance(one, int) else str(one) for one in error.instance_path)
        return (
            f"{rule}:{error.message.partition(' ')[2][-40:]}",
            f"{place or 'the answer'}: {error.message[:_MOST_SHOWN]}",
        )

    def _compiled(self, schema: Mapping[str, Any]) -> Any:
        assert self._document is not None  # noqa: S101  checked by the caller
        is_old = str(self._document.document.get("openapi", "")).startswith("3.0")
        try:
            whole, values = self._document.with_parts(schema, self._values_left)
            if values > self._values_left:
                return None
            self._values_left -= values
            options = self._library.RegexOptions(size_limit=_PATTERN_BYTES)
            kind = self._library.Draft4Validator if is_old else self._library.Draft202012Validator
            return kind(_with_null(whole) if is_old else whole, pattern_options=options)
        except Exception:  # noqa: BLE001  a stranger's schema
            return None


def _with_null(value: Any, depth: int = 0) -> Any:
    """Return a schema of OpenAPI 3.0 with ``nullable`` written as JSON Schema has it."""
    if depth > _MOST_DEPTH:
        return {}
    if isinstance(value, list):
        return [_with_null(one, depth + 1) for one in value]
    if not isinstance(value, dict):
        return value
    made = {key: _with_null(one, depth + 1) for key, one in value.items()}
    if value.get("nullable") is not True:
        return made
    return {"anyOf": [{key: one for key, one in made.items() if key != "nullable"}, {"type": "null"}]}


def _kind_of(mark: str) -> str:
    """Return an error's type and place, without its message."""
    error, _, frame = mark.partition("\n")
    return f"{error.partition(':')[0]} {frame}" if error else ""


class Verdict(tuple[str, str, str]):
    """Kind, detail (verdicts of one kind and detail are one finding), and sentence."""

    __slots__ = ()


class Judge:
    """Judges answers.

    Args:
        schemas: Checks values.
    """

    def __init__(self, schemas: Schemas) -> None:
        self.schemas = schemas

    def is_valid_body(self, operation: Operation, body: object) -> bool | None:
        """Return whether the schema allows a body; None if that is unknown."""
        if not self.schemas.can_check or not operation.is_documented or operation.body is None or body is NOTHING:
            return None
        return self.schemas.why_wrong(f"{operation.index} body", operation.body, body) is None

    def verdicts(self, sent: Sent) -> Iterator[Verdict]:
        """Yield everything that is wrong with the answer."""
        request, answer = sent.request, sent.answer
        about = f" to a request with {request.about}" if request.about else ""
        if answer.is_refused:
            return
        if answer.error:
            yield Verdict(("no_answer", answer.error[:60], f"No response{about}: {answer.error}"))
            return
        if answer.status >= 500:
            why = f": {answer.mark.partition(chr(10))[0]}" if answer.mark else ""
            detail = _kind_of(answer.mark) or str(answer.status)
            yield Verdict(("server_error", detail, f"Status {answer.status}{about}{why}"))
            return
        if answer.is_good and request.is_valid is False:
            yield Verdict(("accepted_invalid", request.about, f"Status {answer.status}{about}, which is not valid."))
        if answer.status in _REJECTED and request.is_valid and request.operation.is_documented:
            shown = " ".join(answer.body[:_MOST_SHOWN].decode("utf-8", "replace").split())
            yield Verdict(("rejected_valid", "", f"Status {answer.status}{about or ' to a valid request'}: {shown}"))
        yield from self._against_document(sent)

    def _against_document(self, sent: Sent) -> Iterator[Verdict]:
        operation, answer = sent.request.operation, sent.answer
        if not operation.responses or not 200 <= answer.status < 400:
            return
        status, said = str(answer.status), operation.responses
        found = next((one for one in (status, f"{status[0]}XX", "default") if one in said), None)
        if found is None:
            documented = ", ".join(list(said)[:5])
            yield Verdict(
                (
                    "undocumented_status",
                    status,
                    f"The status is {status}; the OpenAPI document declares {documented} for this endpoint.",
                )
            )
            return
        schema = said[found]
        if schema is None or operation.method == "HEAD" or answer.is_cut:
            return
        if "json" not in answer.header("content-type"):
            kind = answer.header("content-type")[:60] or "no type"
            yield Verdict(("schema_mismatch", "type", f"The response is {kind}; the OpenAPI document declares JSON."))
            return
        wrong = self.schemas.why_wrong(f"{operation.index} {found}", schema, answer.json())
        if wrong is not None:
            yield Verdict(("schema_mismatch", wrong[0], f"The response does not match its schema at {wrong[1]}"))
