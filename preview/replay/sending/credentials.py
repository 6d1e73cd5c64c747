"""Secrets and ids that later requests of a sequence need: those of the new answers in place of the recorded ones.

Records have marks in place of secrets, and equal secrets have equal marks. If a replayed answer has a value where the
record has a mark, later requests get the value where they have that mark. Nothing here is stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote_plus

from preview.replay.comparing.answer import Answer, Json
from preview.replay.comparing.shapes import VOLATILE, shape_of
from preview.traffic.ready import ReadyRequest

_MARK = re.compile(r"\[redacted:[0-9a-f]{2,64}\]")
_MARK_IN_TARGET = re.compile(r"(?:\[|%5[Bb])redacted(?::|%3[Aa])([0-9a-f]{2,64})(?:\]|%5[Dd])")
_SCHEMES = re.compile(r"(?i)(bearer|token|jwt)\s+(.+)")
_TOKEN_NAMES = frozenset(
    {"accesstoken", "token", "idtoken", "jwt", "authtoken", "bearer", "key", "sessiontoken", "apitoken"}
)
_CSRF_COOKIES = ("csrftoken", "xsrf-token", "_csrf", "csrf_token", "csrf")
_CSRF_FIELDS = frozenset({"x-csrftoken", "x-csrf-token", "x-xsrf-token"})
_ID_NAME = re.compile(r"(?:^|_)id$|Id$|^uuid$|^pk$")
_MOST_VALUES = 5000
_MOST_KNOWN = 2000
_MOST_CHARACTERS = 8192


@dataclass(slots=True)
class Credentials:
    """Secrets and ids of the answers so far.

    Attributes:
        given: Values by the name of a JSON field, form field, header or cookie, from the caller.
        marks: Values by mark.
        ids: New ids by recorded id.
        cookies: Cookies by name.
        token: The newest token; None before the first.
    """

    given: Mapping[str, str] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    token: str | None = None

    # Learning

    def learn(self, request: ReadyRequest, recorded: Answer | None, answer: Answer) -> None:
        """Take the secrets and ids of an answer.

        Args:
            request: The request.
            recorded: The recorded answer; None if it was not recorded with its content.
            answer: The new answer.
        """
        self._learn_cookies(recorded, answer)
        now, before = _parsed(answer), None if recorded is None else _parsed(recorded)
        for name, old, new in _pairs(before, now):
            if isinstance(new, str) and 4 <= len(new) <= _MOST_CHARACTERS and _plain(name) in _TOKEN_NAMES:
                self.token = new
            if isinstance(old, str) and isinstance(new, str) and _MARK.fullmatch(old):
                self._note(self.marks, old, new)
            elif old != new and _is_new_id(request.method, name, old, new):
                self._note(self.ids, str(old), str(new))
        granted = _SCHEMES.match(answer.header("authorization"))
        if granted is not None:
            self.token = granted[2]

    def _learn_cookies(self, recorded: Answer | None, answer: Answer) -> None:
        old = {} if recorded is None else dict(_set_cookies(recorded))
        for name, value in _set_cookies(answer):
            self._note(self.cookies, name, value)
            if _MARK.fullmatch(old.get(name, "")):
                self._note(self.marks, old[name], value)

    def _note(self, known: dict[str, str], name: str, value: str) -> None:
        if len(known) < _MOST_KNOWN or name in known:
            known[name] = value

    # Filling

    def fill(self, request: ReadyRequest) -> ReadyRequest:
        """Return the request with the values known so far; unknown marks stay."""
        target = _MARK_IN_TARGET.sub(self._in_target, request.target)
        target = self._with_ids(target)
        headers = tuple((name, self._field(name.lower(), value)) for name, value in request.headers)
        if self.cookies and request.header("cookie") is None:
            headers += (("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items())),)
        return replace(request, target=target, headers=headers, body=self._body(request))

    def _in_target(self, found: re.Match[str]) -> str:
        value = self.marks.get(f"[redacted:{found[1]}]")
        return found[0] if value is None else quote_plus(value)

    def _with_ids(self, target: str) -> str:
        """Replace recorded ids that are a whole segment of the path, or a whole value of the query."""
        if not self.ids:
            return target
        path, mark, query = target.partition("?")
        path = "/".join(self.ids.get(one, one) for one in path.split("/"))
        pairs = (one.partition("=") for one in query.split("&"))
        return path + mark + "&".join(f"{name}{sign}{self.ids.get(value, value)}" for name, sign, value in pairs)

    def _field(self, name: str, value: str) -> str:
        if name == "cookie":
            return "; ".join(self._cookie(pair) for pair in value.split(";"))
        if name in self.given:
            return self.given[name]
        filled = self._marks_in(value, str)
        if name in _CSRF_FIELDS and _MARK.search(filled):
            token = next((self.cookies[one] for one in self.cookies if one.lower() in _CSRF_COOKIES), None)
            return filled if token is None else _MARK.sub(lambda _: token, filled)
        if name == "authorization" and self.token is not None:
            scheme = _SCHEMES.match(filled)
            if scheme is not None and _MARK.search(scheme[2]):
                return f"{scheme[1]} {self.token}"
        return filled

    def _cookie(self, pair: str) -> str:
        name, sign, value = pair.strip().partition("=")
        known = self.given.get(name) or self.cookies.get(name)
        return f"{name}{sign}{self._marks_in(value, str) if known is None else known}"

    def _marks_in(self, text: str, escape: Callable[[str], str]) -> str:
        def value(found: re.Match[str]) -> str:
            known = self.marks.get(found[0])
            return found[0] if known is None else escape(known)

        return _MARK.sub(value, text)

    def _body(self, request: ReadyRequest) -> bytes | None:
        if request.body is None:
            return None
        try:
            text = request.body.decode()
        except UnicodeDecodeError:
            return request.body
        kind = (request.header("content-type") or "").lower()
        is_json = "json" in kind or text[:1] in ("{", "[")
        escape: Callable[[str], str] = _json_escaped if is_json else quote_plus if "form-urlenc" in kind else str
        for name, value in self.given.items():
            text = _with_given(text, name, escape(value), is_json=is_json)
        text = self._marks_in(text, escape)
        if is_json:
            # Ids that are whole strings. Numbers stay: 7 may be anything.
            text = re.sub(r'"([^"\\]{8,128})"', lambda one: f'"{self.ids.get(one[1], one[1])}"', text)
        return text.encode()


def _with_given(text: str, name: str, value: str, *, is_json: bool) -> str:
    """Put a value of the caller in place of the mark of a field with this name."""
    start = rf'"{re.escape(name)}"\s*:\s*"' if is_json else rf"(?:^|&){re.escape(name)}="
    return re.sub(
        f"({start})" + r"(?:\[redacted:[0-9a-f]+\]|%5Bredacted%3A[0-9a-f]+%5D)", lambda one: one[1] + value, text
    )


def _json_escaped(value: str) -> str:
    return json.dumps(value)[1:-1]


def _set_cookies(answer: Answer) -> Iterator[tuple[str, str]]:
    for name, value in answer.headers:
        if name.lower() == "set-cookie":
            cookie, sign, content = value.partition(";")[0].strip().partition("=")
            if sign and len(content) <= _MOST_CHARACTERS:
                yield cookie, content


def _parsed(answer: Answer) -> Json:
    if answer.body[:1] not in (b"{", b"[") or len(answer.body) > 1024 * 1024:
        return None
    try:
        value: Json = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return value


def _pairs(old: Json, new: Json) -> Iterator[tuple[str, Json, Json]]:
    """Yield the scalars of the new value, each with its name and the old value at the same place."""
    open_pairs: list[tuple[str, Json, Json]] = [("", old, new)]
    for _ in range(_MOST_VALUES):
        if not open_pairs:
            return
        name, before, now = open_pairs.pop()
        if isinstance(now, dict):
            known = before if isinstance(before, dict) else {}
            open_pairs.extend((key, known.get(key), value) for key, value in now.items())
        elif isinstance(now, list):
            items = before if isinstance(before, list) else []
            open_pairs.extend((name, items[at] if at < len(items) else None, one) for at, one in enumerate(now))
        else:
            yield name, before, now


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _is_new_id(method: str, name: str, old: Json, new: Json) -> bool:
    """Return whether two values are ids of the same thing: made by a POST, or of a form that no other value has."""
    if old is None or isinstance(old, bool) or isinstance(new, bool):
        return False
    if isinstance(old, str) and isinstance(new, str) and shape_of(old) in VOLATILE and shape_of(old) is shape_of(new):
        return len(old) >= 8 and len(new) <= 512
    return method == "POST" and isinstance(old, int | str) and type(old) is type(new) and bool(_ID_NAME.search(name))
