"""The probe's own requests, in an order in which answers feed later requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preview.replay.probe.confined.preview_probe_build import Builder, is_paging
    from preview.replay.probe.confined.preview_probe_findings import Findings
    from preview.replay.probe.confined.preview_probe_judge import Verdict
    from preview.replay.probe.confined.preview_probe_model import Operation
    from preview.replay.probe.confined.preview_probe_objects import id_for, identity_of, list_in, one_object
    from preview.replay.probe.confined.preview_probe_relations import Relations
    from preview.replay.probe.confined.preview_probe_requests import Known, Request, Sent, Session  # fmt: skip
    from preview.replay.probe.confined.preview_probe_values import words_of
else:
    from preview_probe_build import Builder, is_paging
    from preview_probe_findings import Findings
    from preview_probe_judge import Verdict
    from preview_probe_model import Operation
    from preview_probe_objects import id_for, identity_of, list_in, one_object
    from preview_probe_relations import Relations
    from preview_probe_requests import Known, Request, Sent, Session  # fmt: skip
    from preview_probe_values import words_of

_MOST_READERS = 8
_MOST_DELETED = 40
_PAGE = 2
_PAGES = 3
_LIMITS = frozenset({"limit", "size", "count", "per"})
_OFFSETS = frozenset({"skip", "offset"})
_CHANGES = ("POST", "PUT", "PATCH")


class Walk:
    """The walk.

    Args:
        session: Sends requests.
        builder: Makes requests.
        findings: Looks at the answers.
    """

    def __init__(self, session: Session, builder: Builder, findings: Findings) -> None:
        self._session = session
        self._builder = builder
        self._findings = findings
        self._relations = Relations(session, builder, findings)
        all_of = session.operations
        self._simple = [one for one in all_of if one.method == "GET" and not one.names]
        self._creators = [one for one in all_of if one.method == "POST" and not one.names]
        self._with_ids = [one for one in all_of if one.names and one.method not in ("DELETE", "OPTIONS", "HEAD")]
        self._deleters = [one for one in all_of if one.names and one.method == "DELETE" and one.ends_with_parameter]
        self._rest = [one for one in all_of if one.method in ("PUT", "PATCH", "DELETE") and not one.names]
        self._rest += [one for one in all_of if one.method == "DELETE" and one.names and not one.ends_with_parameter]
        # Operations whose last valid request was answered well.
        self._good: set[int] = set()

    def run(self) -> None:
        """Send everything. Raises ``TimeIsUp``."""
        self._say("valid requests")
        self._read_all()
        for _ in range(2):
            for one in self._creators:
                made = self._valid(one)
                is_good = made.answer.is_good
                if is_good:
                    self._relations.echoed(made)
                    self._relations.stored(made)
                is_plain_good = self._valid(one, optional=False).answer.is_good
                one.is_plain = is_plain_good and not is_good
        self._read_all()
        for _ in range(2):
            self._with_known()
        self._say("lists")
        for one in self._simple:
            self._relations.lists(one)
        self._say("edges")
        self._edges()
        self._say("pages")
        for one in self._simple:
            self._check_pages(one)
        self._say("deletes")
        for one in self._rest:
            self._valid(one)
        self._delete()
        self._read_all()

    def _say(self, phase: str) -> None:
        self._session.channel.say(phase=phase)

    def _send(self, request: Request, *, is_odd: bool = False) -> Sent:
        sent = self._session.send(request, is_odd=is_odd)
        self._findings.look(sent)
        return sent

    def _valid(self, operation: Operation, *, optional: bool = True) -> Sent:
        sent = self._send(self._builder.valid(operation, optional=optional))
        (self._good.add if sent.answer.is_good else self._good.discard)(operation.index)
        return sent

    def _read_all(self) -> None:
        for one in self._simple:
            self._valid(one, optional=False)
            if one.of("query"):
                self._valid(one)

    def _with_known(self) -> None:
        """Use the objects that are known: read, change, act on them."""
        for one in sorted(
            self._with_ids, key=lambda operation: ("GET", "POST", "PUT", "PATCH").index(operation.method)
        ):
            found: list[dict[str, tuple[Known, Any]] | None] = list(self._session.known_for(one))
            for ids in [*found[:1], *found[-1:]] or [None]:
                sent = self._send(self._builder.valid(one, ids))
                (self._good.add if sent.answer.is_good else self._good.discard)(one.index)
                if one.method in ("PUT", "PATCH") and one.ends_with_parameter and sent.answer.is_good:
                    self._relations.updated(sent)
                known = None if ids is None else ids[one.names[-1]][0]
                if (
                    one.method == "GET"
                    and one.ends_with_parameter
                    and known is not None
                    and known.made is not None
                    and sent.answer.status == 404
                ):
                    self._findings.report(
                        Verdict(("created_not_found", "", "An object that was created is not found under its id.")),
                        sent,
                    )

    # Edges

    def _edges(self) -> None:
        """Send the edges of all operations in turns, so that the time is shared."""
        left: list[tuple[Operation, Iterator[Request]]] = [
            (one, self._builder.edges(one))
            for one in (*self._simple, *self._creators, *self._with_ids, *self._deleters)
        ]
        while left:
            for item in list(left):
                request = next(item[1], None)
                if request is None:
                    left.remove(item)
                    continue
                self._edge(request)

    def _edge(self, request: Request) -> None:
        is_change = request.operation.method in _CHANGES
        sent = self._send(request, is_odd=is_change)
        if is_change and sent.answer.is_good and request.about:
            self._relations.echoed(sent)
            if self._revisit(sent):
                self._undo(sent)

    def _revisit(self, sent: Sent) -> bool:
        """Read again after an unusual object was made; return whether something is wrong."""
        is_wrong = False
        for request in self._readers(sent):
            again = self._session.send(request)
            is_wrong = self._findings.look(again, after=sent) or is_wrong
        return is_wrong

    def _readers(self, sent: Sent) -> list[Request]:
        shown = one_object(sent.answer.json())
        found: list[Request] = []
        collection, names = sent.request.operation.collection, sent.request.operation.names
        for one in self._session.operations:
            if one.method != "GET" or one.index not in self._good:
                continue
            if not one.names:
                found.append(self._builder.valid(one, optional=False))
            elif one.collection == collection or one.path.startswith(sent.request.operation.path):
                known = Known("", shown)
                value = sent.request.path.get(one.names[0]) if names else id_for(one.names[0], shown)
                ids: dict[str, tuple[Known, Any]] = {} if value is None else {one.names[0]: (known, value)}
                if len(ids) == len(one.names):
                    found.append(self._builder.valid(one, ids))
        return found[-_MOST_READERS:]

    def _undo(self, sent: Sent) -> None:
        """Remove or repair an object that breaks what reads it, so that it hides nothing else."""
        operation = sent.request.operation
        if operation.method != "POST":
            valid = self._builder.valid(operation)
            self._session.send(replace(valid, path=sent.request.path))
            return
        for one in self._deleters:
            value = id_for(one.names[-1], one_object(sent.answer.json()))
            if len(one.names) == 1 and one.collection == operation.collection and value is not None:
                self._session.send(Request(one, {one.names[0]: value}))

    # Pages

    def _check_pages(self, operation: Operation) -> None:
        """Compare pages of a list with the list."""
        names = [one.name for one in operation.of("query")]
        size = next((one for one in names if _LIMITS & set(words_of(one))), None)
        place = next((one for one in names if _OFFSETS & set(words_of(one))), None)
        page = next((one for one in names if words_of(one)[:1] == ["page"] and one != size), None)
        if size is None:
            return
        request = self._builder.valid(operation, optional=False)
        plain = {name: value for name, value in request.query.items() if not is_paging(name)}
        whole = _ids_of(self._session.send(replace(request, query={**plain, size: 50})))
        first = self._session.send(replace(request, query={**plain, size: _PAGE}, about=f"{size}={_PAGE}"))
        ids = _ids_of(first)
        if whole is None or ids is None or len(whole) <= _PAGE:
            return
        if len(ids) > _PAGE or len(ids) < _PAGE:
            sentence = f"{size}={_PAGE} returns {len(ids)} items of {len(whole)}."
            self._findings.report(Verdict(("paging", "size", sentence)), first)
        for name, starts in ((place, (0, _PAGE, 2 * _PAGE)), (page, (1, 2, 3))):
            if name is not None:
                self._compare_pages(request, {**plain, size: _PAGE}, name, starts, whole)

    def _compare_pages(
        self, request: Request, query: dict[str, Any], name: str, starts: Sequence[int], whole: Sequence[str]
    ) -> None:
        sent = [self._session.send(replace(request, query={**query, name: start})) for start in starts]
        pages = [_ids_of(one) for one in sent]
        joined = [one for page in pages for one in page or ()]
        expected = [list(whole[: _PAGES * _PAGE]), list(whole[_PAGE : (_PAGES + 1) * _PAGE])]
        if None in pages or joined in (expected if name.startswith("page") else expected[:1]):
            return
        wanted = expected[0]
        missed = [one for one in wanted if one not in joined]
        repeated = [one for one in joined if joined.count(one) > 1]
        if missed or repeated:
            what = f"leave out {missed[0]}" if missed else f"show {repeated[0]} twice"
            sentence = f"Pages of {_PAGE} items ({name}={', '.join(map(str, starts))}) {what}."
            number = next((at for at, page in enumerate(pages) if page != wanted[at * _PAGE : (at + 1) * _PAGE]), 0)
            self._findings.report(Verdict(("paging", name, sentence)), sent[number])

    # Deletes

    def _delete(self) -> None:
        """Delete what is known, look for it again, and delete it again."""
        for one in sorted(self._deleters, key=lambda operation: -len(operation.names)):
            for number, ids in enumerate(list(self._session.known_for(one))[:_MOST_DELETED]):
                request = self._builder.valid(one, ids)
                sent = self._send(request)
                if sent.answer.is_good and number == 0:
                    self._check_deleted(one, request, sent)

    def _check_deleted(self, operation: Operation, request: Request, sent: Sent) -> None:
        gone = replace(request, uses={}, is_valid=None, about="the id of a deleted object")
        for one in self._with_ids:
            if one.path == operation.path:
                valid = self._builder.valid(one, None)
                again = replace(valid, path=request.path, uses={}, is_valid=None, about=gone.about)
                found = self._session.send(again)
                self._findings.look(found, after=sent)
                if one.method == "GET" and found.answer.is_good:
                    sentence = "An object that was deleted is still found under its id."
                    self._findings.report(Verdict(("found_after_delete", "", sentence)), found, after=sent)
        self._send(gone)


def _ids_of(sent: Sent) -> list[str] | None:
    found = list_in(sent.answer.json()) if sent.answer.is_good else None
    if found is None:
        return None
    return [str((identity_of(one) if isinstance(one, dict) else None) or one) for one in found]
