"""Findings: each kind of mistake of an operation once, with the smallest request that shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preview.replay.probe.confined.preview_probe_judge import Judge, Verdict
    from preview.replay.probe.confined.preview_probe_objects import id_for, one_object
    from preview.replay.probe.confined.preview_probe_requests import NOTHING, Known, Request, Sent, Session  # fmt: skip
else:
    from preview_probe_judge import Judge, Verdict
    from preview_probe_objects import id_for, one_object
    from preview_probe_requests import NOTHING, Known, Request, Sent, Session

_MOST_OF_A_KIND = 5
# Doubtful ones: validation that is missing in one place is missing in others.
_MOST_DOUBTFUL = 2
_DOUBTFUL = frozenset({"accepted_invalid", "rejected_valid"})
_MOST_TRIES = 24
_MOST_STEPS = 8
# Below these seconds, findings are reported as they are.
_LEAST_LEFT_S = 1.0
_SHRUNK = frozenset({"server_error", "no_answer", "schema_mismatch"})


class Findings:
    """Looks at each answer, and reports what is wrong once.

    Args:
        session: Sends requests.
        judge: Judges answers.
    """

    def __init__(self, session: Session, judge: Judge) -> None:
        self._session = session
        self._judge = judge
        self._seen: set[tuple[str, int, str]] = set()
        self._counts: Counter[tuple[str, int]] = Counter()
        self._tries = 0

    def look(self, sent: Sent, *, after: Sent | None = None) -> bool:
        """Report what is wrong with an answer; return whether anything is.

        Args:
            sent: The request and its answer.
            after: An earlier request, before which the same one was answered well.
        """
        found = list(self._judge.verdicts(sent))
        for one in found:
            self.report(one, sent, after=after)
        return any(kind in _SHRUNK for kind, _, _ in found)

    def report(self, verdict: Verdict, sent: Sent, *, after: Sent | None = None) -> None:
        """Report one mistake, unless it is known."""
        kind, detail, sentence = verdict
        index = sent.request.operation.index
        most = _MOST_DOUBTFUL if kind in _DOUBTFUL else _MOST_OF_A_KIND
        if (kind, index, detail) in self._seen or self._counts[kind, index] >= most:
            return
        self._seen.add((kind, index, detail))
        self._counts[kind, index] += 1
        smallest = sent
        if kind in _SHRUNK and after is None:
            smallest = self._shrunk(sent, verdict)
            sentence = next((one[2] for one in self._judge.verdicts(smallest) if one[:2] == verdict[:2]), sentence)
        steps = list(dict.fromkeys([*_steps(smallest.request), *([after.answer.number] if after else [])]))
        numbers = [*steps[-_MOST_STEPS:], smallest.answer.number]
        self._session.channel.find(kind, index, numbers, sentence)

    # Shrink

    def _shrunk(self, sent: Sent, verdict: Verdict) -> Sent:
        """Leave out parts of the request as long as the same is wrong; return the smallest."""
        self._tries = 0
        for shrink in (self._without_objects, self._without_query, self._without_fields, self._with_plain_objects):
            sent = shrink(sent, verdict)
        return sent

    def _try(self, request: Request, verdict: Verdict) -> Sent | None:
        """Send a smaller request; return it if the same is wrong."""
        if self._tries >= _MOST_TRIES or self._session.channel.left_s() < _LEAST_LEFT_S:
            return None
        self._tries += 1
        sent = self._session.send(request)
        return sent if any(one[:2] == verdict[:2] for one in self._judge.verdicts(sent)) else None

    def _without_objects(self, sent: Sent, verdict: Verdict) -> Sent:
        """Use an ordinary object in place of one that was made with unusual values."""
        for name, known in sent.request.uses.items():
            if known.is_odd and name in sent.request.path:
                for other in self._session.pool(known.collection)[:2]:
                    value = id_for(name, other.value)
                    if not other.is_odd and value is not None:
                        path = {**sent.request.path, name: value}
                        smaller = replace(sent.request, path=path, uses={**sent.request.uses, name: other})
                        sent = self._try(smaller, verdict) or sent
        return sent

    def _without_query(self, sent: Sent, verdict: Verdict) -> Sent:
        for name in list(sent.request.query):
            rest = {one: value for one, value in sent.request.query.items() if one != name}
            sent = self._try(replace(sent.request, query=rest), verdict) or sent
        for name in list(sent.request.headers):
            kept = {one: value for one, value in sent.request.headers.items() if one != name}
            sent = self._try(replace(sent.request, headers=kept), verdict) or sent
        return sent

    def _without_fields(self, sent: Sent, verdict: Verdict) -> Sent:
        body = sent.request.body
        if body is NOTHING:
            return sent
        sent = self._try(replace(sent.request, body=NOTHING), verdict) or sent
        for name in list(body) if isinstance(body, dict) and sent.request.body is not NOTHING else ():
            rest = {one: value for one, value in sent.request.body.items() if one != name}
            uses = {one: known for one, known in sent.request.uses.items() if one != name}
            sent = self._try(replace(sent.request, body=rest, uses=uses), verdict) or sent
        return sent

    def _with_plain_objects(self, sent: Sent, verdict: Verdict) -> Sent:
        """Leave out fields of an unusual object that the request refers to; each time the object is made again."""
        for name, known in list(sent.request.uses.items()):
            made = known.made
            if not known.is_odd or made is None or not isinstance(made.request.body, dict):
                continue
            for one in list(made.request.body):
                rest = {key: value for key, value in made.request.body.items() if key != one}
                again = self._remade(replace(made.request, body=rest), name)
                if again is None:
                    continue
                path = {**sent.request.path, name: again[1]} if name in sent.request.path else sent.request.path
                smaller = self._try(
                    replace(sent.request, path=path, uses={**sent.request.uses, name: again[0]}), verdict
                )
                if smaller is not None and again[0].made is not None:
                    sent, made = smaller, again[0].made
        return sent

    def _remade(self, request: Request, name: str) -> tuple[Known, Any] | None:
        if self._tries >= _MOST_TRIES or self._session.channel.left_s() < _LEAST_LEFT_S:
            return None
        self._tries += 1
        sent = self._session.send(request, is_odd=True)
        shown = one_object(sent.answer.json()) if sent.answer.is_good else {}
        value = id_for(name, shown)
        return None if value is None else (Known("", shown, sent, is_odd=True), value)


def _steps(request: Request) -> Iterator[int]:
    """Yield the numbers of the requests that made the objects that this one refers to."""
    for known in _used(request.uses):
        if known.made is not None:
            yield from _steps(known.made.request)
            yield known.made.answer.number


def _used(uses: Mapping[str, Known]) -> list[Known]:
    return list(uses.values())
