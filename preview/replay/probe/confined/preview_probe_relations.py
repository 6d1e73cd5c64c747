"""Relations between operations: a value that is sent is read again, a list has what was created, a filter narrows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preview.replay.probe.confined.preview_probe_build import Builder, is_paging
    from preview.replay.probe.confined.preview_probe_findings import Findings
    from preview.replay.probe.confined.preview_probe_judge import Verdict
    from preview.replay.probe.confined.preview_probe_model import Operation, plain_path
    from preview.replay.probe.confined.preview_probe_objects import IDS, id_for, identity_of, list_in, one_object
    from preview.replay.probe.confined.preview_probe_requests import Known, Request, Sent, Session
    from preview.replay.probe.confined.preview_probe_values import UNICODE, words_of
else:
    from preview_probe_build import Builder, is_paging
    from preview_probe_findings import Findings
    from preview_probe_judge import Verdict
    from preview_probe_model import Operation, plain_path
    from preview_probe_objects import IDS, id_for, identity_of, list_in, one_object
    from preview_probe_requests import Known, Request, Sent, Session
    from preview_probe_values import UNICODE, words_of

# Words of fields that applications set themselves, keep secret, or write in a form of their own.
_OWN = frozenset({
    "password", "secret", "token", "hash", "phone", "telephone", "status", "state", "role", "roles", "admin", "staff",
    "superuser", "verified", "approved", "paid", "active", "enabled", "version", "revision", "total", "subtotal",
    "balance", "count", "at", "by", "created", "updated", "slug",
})  # fmt: skip
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOST_FILTERS = 20
# A list that is longer may be a page.
_MOST_LIST = 10


class Relations:
    """Compares answers of one operation with requests to another.

    Args:
        session: Sends requests.
        builder: Makes requests.
        findings: Reports mistakes.
    """

    def __init__(self, session: Session, builder: Builder, findings: Findings) -> None:
        self._session = session
        self._builder = builder
        self._findings = findings
        self._updated: set[int] = set()

    # Values

    def echoed(self, sent: Sent) -> None:
        """Report a field that the answer to a change shows with another value than was sent."""
        shown = one_object(sent.answer.json())
        for name, value in _fields(sent.request):
            if name in shown and self._is_lost(sent.request.operation, name, value, shown[name]):
                self._report_value(name, value, shown[name], sent, None)

    def stored(self, sent: Sent) -> None:
        """Read an object that was just made or changed; report a field that has another value than was sent."""
        if not isinstance(sent.request.body, dict):
            return
        got = self._read(sent)
        if got is None:
            return
        found, shown = one_object(got.answer.json()), one_object(sent.answer.json())
        for name, value in _fields(sent.request):
            # The answer to the change has shown it already.
            is_known = name in shown and self._is_lost(sent.request.operation, name, value, shown[name])
            if name not in found or is_known:
                continue
            # An answer that confirms a field describes it as well as a document.
            is_confirmed = type(shown.get(name)) is type(value) and shown[name] == value and not _is_own(name)
            is_forgotten = is_confirmed and name not in IDS and _differs(value, found[name])
            if is_forgotten or self._is_lost(sent.request.operation, name, value, found[name]):
                self._report_value(name, value, found[name], got, sent)

    def updated(self, sent: Sent) -> None:
        """Change an object once more with other numbers, and in one field only; read it after each."""
        self.echoed(sent)
        self.stored(sent)
        body, index = sent.request.body, sent.request.operation.index
        if not isinstance(body, dict) or index in self._updated:
            return
        self._updated.add(index)
        other = {name: value + 2 if type(value) is int and name not in IDS else value for name, value in body.items()}
        if other != body:
            self._after_change(replace(sent.request, body=other, is_valid=None))
        if sent.request.operation.method == "PATCH" and len(body) > 1:
            self._one_field(sent, next((one for one in body if isinstance(body[one], str)), next(iter(body))))

    def _after_change(self, request: Request) -> None:
        sent = self._session.send(request)
        if sent.answer.is_good:
            self.echoed(sent)
            self.stored(sent)

    def _one_field(self, sent: Sent, name: str) -> None:
        """Change one field; report any other one that changes with it."""
        before = self._read(sent)
        fresh = self._builder.valid(sent.request.operation).body
        if before is None or not isinstance(fresh, dict) or name not in fresh:
            return
        changed = self._session.send(replace(sent.request, body={name: fresh[name]}, is_valid=None))
        after = self._read(changed) if changed.answer.is_good else None
        if after is None:
            return
        one, two = one_object(before.answer.json()), one_object(after.answer.json())
        for other, _ in _fields(sent.request):
            if other == name or other not in one:
                continue
            if self._is_lost(sent.request.operation, other, one[other], two.get(other)):
                values = f"from {_short(one[other])} to {_short(two.get(other))}"
                sentence = f"Changing only {name} also changed {other} {values}."
                self._findings.report(Verdict(("changed_value", f"only {other}", sentence)), after, after=changed)

    def _report_value(self, name: str, value: object, back: object, sent: Sent, after: Sent | None) -> None:
        how = "came back" if after is None else "is read"
        sentence = f"{name} was sent as {_short(value)} and {how} as {_short(back)}."
        self._findings.report(Verdict(("changed_value", name, sentence)), sent, after=after)

    def _is_lost(self, operation: Operation, name: str, value: object, back: object) -> bool:
        """Return whether a value has become another one, and not only another form of it."""
        if name in IDS:
            return False
        is_own = _is_own(name)
        if value is False or (value == 0 and not isinstance(value, bool)) or (value == UNICODE and not is_own):
            # The edges that are lost most often are compared in fields that nothing describes too.
            return _is_changed(value, back)
        declared = (operation.body or {}).get("properties")
        if operation.is_documented:
            declared = self._session.values.resolved(operation.body).get("properties")
        if not isinstance(declared, dict) or name not in declared or is_own:
            return False
        if (
            isinstance(value, str)
            and self._session.values.resolved(declared[name]).get("format")
            and not _DATE.match(value)
        ):
            # Such as a date that is written as a number of seconds.
            return False
        if back is None:
            return operation.is_documented and value not in (None, "", 0, False) and _is_plain(value)
        return _differs(value, back)

    # Lists

    def lists(self, operation: Operation) -> None:
        """Look for new objects in a list, and compare its filters with what they show."""
        whole = self._session.send(self._builder.valid(operation, optional=False))
        items = _items(whole)
        if items is None:
            return
        if len(items) < _MOST_LIST:
            self._created_in_list(operation, whole, items)
        for number, one in enumerate(operation.of("query")):
            if number < _MOST_FILTERS and not is_paging(one.name):
                self._filter(operation, one.name, items)

    def _created_in_list(self, operation: Operation, whole: Sent, items: Sequence[Mapping[str, Any]]) -> None:
        shown = {identity_of(one) for one in items}
        made = [
            one
            for one in self._session.pool(plain_path(operation.path))
            if one.made and not one.is_odd and identity_of(one.value) not in (None, *shown)
        ]
        for known in made[-1:]:
            identity = identity_of(known.value)
            if known.made is None or None in shown:
                continue
            got = self._read(known.made)
            if got is not None and identity_of(one_object(got.answer.json())) == identity:
                sentence = "An object that was created, and is found under its id, is not in the list."
                self._findings.report(Verdict(("created_not_found", "list", sentence)), whole, after=known.made)

    def _filter(self, operation: Operation, name: str, items: Sequence[Mapping[str, Any]]) -> None:
        words = words_of(name)
        bound = next((one for one in ("min", "max") if one in (words[:1] + words[-1:])), "")
        rest = [one for one in words if one != bound]
        field = next((one for item in items for one in item if one == name or words_of(one) == rest), None)
        values = [item[field] for item in items if field and _is_plain(item.get(field)) and item[field] != ""]
        if field is None or not values or isinstance(values[0], bool):
            return
        if bound:
            numbers = [one for one in values if isinstance(one, int | float)]
            if not numbers:
                return
            value: Any = max(numbers) if bound == "min" else min(numbers)
        else:
            value = values[0]
        request = self._builder.valid(operation, optional=False)
        sent = self._session.send(replace(request, query={**request.query, name: value}, about=f"{name}={value}"))
        found = _items(sent)
        if found is None:
            return
        wrong = next((one for one in found if field in one and not _passes(one[field], value, bound)), None)
        left_out = [one for one in items if field in one and _passes(one[field], value, bound, is_exact=True)]
        shown = {identity_of(one) for one in found}
        if wrong is not None:
            sentence = f"{name}={_short(value)} shows an object with {field} {_short(wrong[field])}."
        elif len(items) < _MOST_LIST and None not in shown and any(identity_of(one) not in shown for one in left_out):
            sentence = f"{name}={_short(value)} leaves out an object with {field} {_short(left_out[0][field])}."
        else:
            return
        self._findings.report(Verdict(("filter", name, sentence)), sent)

    # Read

    def _read(self, sent: Sent) -> Sent | None:
        """Read the object that a change was about; None if there is no way to, or it fails."""
        operation = sent.request.operation
        shown = one_object(sent.answer.json())
        for one in self._session.operations:
            if one.method != "GET" or not one.ends_with_parameter:
                continue
            if operation.names and plain_path(one.path) == plain_path(operation.path):
                path = {new: sent.request.path.get(old) for new, old in zip(one.names, operation.names, strict=True)}
            elif not operation.names and one.collection == plain_path(operation.path) and len(one.names) == 1:
                path = {one.names[0]: id_for(one.names[0], shown)}
            else:
                continue
            if None in path.values():
                return None
            valid = self._builder.valid(one, {name: (Known("", shown), value) for name, value in path.items()})
            got = self._session.send(replace(valid, uses=sent.request.uses))
            return got if got.answer.is_good else None
        return None


def _fields(request: Request) -> Iterator[tuple[str, Any]]:
    if isinstance(request.body, dict):
        yield from request.body.items()


def _items(sent: Sent) -> list[dict[str, Any]] | None:
    found = list_in(sent.answer.json()) if sent.answer.is_good else None
    return None if found is None else [one for one in found if isinstance(one, dict)]


def _is_own(name: str) -> bool:
    """Return whether applications usually set a field of this name themselves."""
    return bool(_OWN & set(words_of(name)))


def _short(value: object) -> str:
    return repr(value)[:80]


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def _passes(value: object, wanted: Any, bound: str, *, is_exact: bool = False) -> bool:
    """Return whether an object's value is one that a filter shows; texts may be searched in."""
    if bound:
        return not isinstance(value, int | float) or (value >= wanted if bound == "min" else value <= wanted)
    if isinstance(value, str) and isinstance(wanted, str):
        return value == wanted if is_exact else wanted.casefold() in value.casefold()
    return bool(value == wanted)


def _is_changed(value: object, back: object) -> bool:
    """Return whether an edge came back as another value, apart from the case of letters."""
    if value == UNICODE:
        return isinstance(back, str) and back.casefold() != UNICODE.casefold()
    if isinstance(value, bool):
        return isinstance(back, bool) and value is False and back is True
    return value == 0 and isinstance(back, int | float) and back != 0


def _differs(value: object, back: object) -> bool:
    """Return whether two values of one type differ in more than form: blanks, case, digits, time zone."""
    if isinstance(value, bool) or isinstance(back, bool):
        return isinstance(value, bool) and isinstance(back, bool) and value is not back
    if isinstance(value, int | float) and isinstance(back, int | float):
        return abs(value - back) > max(0.011, 1e-9 * abs(value))
    if not isinstance(value, str) or not isinstance(back, str):
        return False
    if any(one in value for one in ("\x00", "<", "/..")) or not value.strip():
        return False
    if _DATE.match(value):
        return value[:10] != back[:10]
    return " ".join(value.casefold().split()).rstrip("/") != " ".join(back.casefold().split()).rstrip("/")
