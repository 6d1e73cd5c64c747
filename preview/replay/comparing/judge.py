"""The verdict on a candidate's answer, from two answers of the baseline and one of the candidate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from preview.replay.comparing.answer import Answer, content_of, fields_of
from preview.replay.comparing.differences import Difference, Kind, differences
from preview.replay.comparing.shapes import VOLATILE, Shape, is_duration, is_now, shape_of, template_of
from preview.traffic.ready import REDACTED

# Differences in one report, and patterns of each kind.
MOST_SHOWN = 50


class Verdict(StrEnum):
    """Result of a comparison, from the best to the worst.

    ``same``: no difference. ``noisy``: only differences that two runs of the baseline have too. ``changed``: others.
    ``broke``: the candidate fails, and the baseline does not.
    """

    SAME = "same"
    NOISY = "noisy"
    CHANGED = "changed"
    BROKE = "broke"

    @property
    def rank(self) -> int:
        """Order from the best to the worst."""
        return list(Verdict).index(self)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Verdict on one request.

    Attributes:
        verdict: See there.
        differences: Real differences, at most ``MOST_SHOWN``.
        noise: Patterns of paths that were left out as noise, at most ``MOST_SHOWN``.
        ignored: Patterns of paths that a rule leaves out, at most ``MOST_SHOWN``.
        is_cut: There are more differences or patterns, or a part of the content was not compared.
    """

    verdict: Verdict
    differences: Sequence[Difference]
    noise: Sequence[str]
    ignored: Sequence[str] = ()
    is_cut: bool = False


@dataclass(slots=True)
class _Noise:
    """Differences of the two baselines.

    Attributes:
        values: Values by pattern that changed.
        templates: Templates of the values by pattern.
        structure: Patterns of values that one baseline lacks.
    """

    shapes: dict[str, set[Shape]] = field(default_factory=dict)
    templates: dict[str, set[str]] = field(default_factory=dict)
    structure: set[str] = field(default_factory=set)

    def learn(self, found: Sequence[Difference]) -> None:
        for one in found:
            if one.kind is not Kind.CHANGED:
                self.structure.add(one.pattern)
                continue
            self.shapes.setdefault(one.pattern, set()).update((shape_of(one.before), shape_of(one.after)))
            for value in (one.before, one.after):
                if isinstance(value, str):
                    self.templates.setdefault(one.pattern, set()).add(template_of(value))

    def covers(self, one: Difference) -> bool:
        """Return whether a difference of the candidate is of a kind that the baselines have."""
        pattern = one.pattern
        if any(_is_below(pattern, parent) for parent in self.structure):
            return True
        known = self.shapes.get(pattern)
        if known is None or one.kind is not Kind.CHANGED:
            return False
        shape = shape_of(one.after)
        if shape in known - {Shape.TEXT} or (shape in VOLATILE and known & VOLATILE):
            return True
        templates = self.templates.get(pattern, set())
        # If the baselines differ in ids and numbers only, so must the candidate.
        is_same_text = isinstance(one.after, str) and template_of(one.after) in templates
        return shape is Shape.TEXT and Shape.TEXT in known and (is_same_text or len(templates) > 1)


def judge(
    first: Answer,
    second: Answer | None,
    candidate: Answer,
    is_ignored: Callable[[str], bool] = lambda _: False,
) -> Judgement:
    """Compare a candidate's answer with one or two of the baseline.

    Args:
        first: The baseline's answer.
        second: Its answer in a second run; None if there is none. Then all values of the form of ids, times and tokens
            count as noise.
        candidate: The candidate's answer.
        is_ignored: Returns True for a path that a rule leaves out.
    """
    noise, noisy = _Noise(), set[str]()
    if second is not None:
        learned = _compare(first, second)
        noise.learn(learned)
        noisy.update(one.pattern for one in learned)
    real: list[Difference] = []
    ignored: set[str] = set()
    found = _compare(first, candidate)
    for one in found:
        if is_ignored(one.path):
            ignored.add(one.pattern)
        elif noise.covers(one) or _is_noise(one, first, candidate, is_loose=second is None):
            noisy.add(one.pattern)
        else:
            real.append(one)
    noisy = {pattern for pattern in noisy if not is_ignored(pattern)}
    verdict = Verdict.CHANGED if real else Verdict.NOISY if noisy else Verdict.SAME
    if _is_broken(candidate, [one for one in (first, second) if one is not None]):
        verdict = Verdict.BROKE
    is_cut = max(map(len, (real, noisy, ignored))) > MOST_SHOWN or first.is_cut or candidate.is_cut
    noisy_shown, ignored_shown = sorted(noisy)[:MOST_SHOWN], sorted(ignored)[:MOST_SHOWN]
    return Judgement(verdict, real[:MOST_SHOWN], noisy_shown, ignored_shown, is_cut)


def _compare(first: Answer, second: Answer) -> list[Difference]:
    """Return the differences of two answers: status, fields, content."""
    found: list[Difference] = []
    if first.error is not None or second.error is not None:
        if (first.error is None) is not (second.error is None):
            found.append(Difference("answer", Kind.CHANGED, first.error or first.status, second.error or second.status))
        return found
    if first.status != second.status:
        found.append(Difference("status", Kind.CHANGED, first.status, second.status))
    if (first.headers or not first.is_cut) and (second.headers or not second.is_cut):
        found += differences(fields_of(first), fields_of(second), "header")
    if first.is_cut or second.is_cut:
        return found
    (root, before), (other, after) = content_of(first), content_of(second)
    if root != other:
        found.append(Difference("body", Kind.CHANGED, _excerpt(first), _excerpt(second)))
        return found
    return found + differences(before, after, root)


def _excerpt(answer: Answer) -> str:
    return answer.body[:200].decode("utf-8", "replace")


def _is_noise(one: Difference, first: Answer, candidate: Answer, *, is_loose: bool) -> bool:
    """Return whether a difference is noise by its form alone: the time of the answer, or a duration.

    Args:
        one: The difference.
        first: The baseline's answer.
        candidate: The candidate's answer.
        is_loose: Also values of the form of ids, times and tokens, and secrets that were not recorded.
    """
    if one.kind is not Kind.CHANGED:
        return False
    if is_now(one.before, first.at_s) and is_now(one.after, candidate.at_s):
        return True
    shapes = shape_of(one.before), shape_of(one.after)
    if shapes == (Shape.NUMBER, Shape.NUMBER) and is_duration(one.path):
        return True
    if not is_loose:
        return False
    if isinstance(one.before, str) and REDACTED in one.before:
        return True
    if shapes[0] is shapes[1] and shapes[0] in VOLATILE:
        return True
    return Shape.TEXT in shapes and template_of(one.before) == template_of(one.after)


def _is_below(pattern: str, parent: str) -> bool:
    return pattern == parent or (pattern.startswith(parent) and pattern[len(parent)] in ".[")


def _is_broken(candidate: Answer, baselines: Sequence[Answer]) -> bool:
    if candidate.error is not None:
        return all(one.error is None for one in baselines)
    if candidate.status >= 500:
        return all(one.error is None and one.status < 500 for one in baselines)
    return candidate.status >= 400 and all(0 < one.status < 400 for one in baselines)


def worst(verdicts: Mapping[str, Verdict] | Sequence[Verdict]) -> Verdict:
    """Return the worst verdict; ``same`` if there is none."""
    values = verdicts.values() if isinstance(verdicts, Mapping) else verdicts
    return max(values, key=lambda one: one.rank, default=Verdict.SAME)
