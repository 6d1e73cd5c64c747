"""Requests of the probe, the objects that it knows, and the session that sends one and remembers what it made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from preview.replay.probe.confined.preview_probe_channel import Answer, Channel
    from preview.replay.probe.confined.preview_probe_model import Operation, collection_of, plain_path
    from preview.replay.probe.confined.preview_probe_objects import (
        IDS,
        id_for,
        identity_of,
        kind_of_value,
        objects_in,
        one_object,
    )  # fmt: skip
    from preview.replay.probe.confined.preview_probe_values import LEAVE, Values, words_of
else:
    from preview_probe_channel import Answer, Channel
    from preview_probe_model import Operation, collection_of, plain_path
    from preview_probe_objects import IDS, id_for, identity_of, kind_of_value, objects_in, one_object
    from preview_probe_values import LEAVE, Values, words_of

_MOST_KNOWN = 30
_MOST_COLLECTIONS = 300
_MOST_LEARNED = 12
_TOKENS = ("access_token", "token", "accessToken", "jwt")
_LOGIN = frozenset({"login", "signin", "token", "authenticate", "auth", "session", "sessions"})
# Fields that an error names: "name and email are required", "missing field 'name'", "KeyError: 'name'".
_NAMED = re.compile(
    r"((?:['\"`]?\b[a-zA-Z_]\w{0,40}['\"`]?(?:, and |, or |, | and | or )){0,8}['\"`]?\b[a-zA-Z_]\w{0,40}['\"`]?)"
    r" (?:is|are) (?:a )?(?:required|missing)"
    r"|(?:[Mm]issing|[Rr]equired)(?: (?:required|field|fields|parameter|key|property))*:? ['\"`]?([a-zA-Z_]\w{0,40})"
    r"|KeyError: ['\"](\w{1,40})['\"]"
)
_WORD = re.compile(r"[a-zA-Z_]\w{0,40}")
# Types that an error names: "quantity must be a positive integer".
_TYPED = re.compile(
    r"\b([a-zA-Z_]\w{0,40})['\"`]? (?:must|should|has to|needs to) be (?:an? )?(?:[\w-]{1,20} ){0,2}?"
    r"(integer|int|number|float|decimal|boolean|bool|array|list|object|string|text)\b",
    re.IGNORECASE,
)
_TYPES = {
    **dict.fromkeys(("integer", "int"), "integer"),
    **dict.fromkeys(("number", "float", "decimal"), "number"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    **dict.fromkeys(("array", "list"), "array"),
    **dict.fromkeys(("string", "text"), "string"),
    "object": "object",
}
# Words that such sentences have in place of a field's name.
_NO_NAMES = frozenset({"field", "this", "body", "data", "value", "json", "and", "or", "is", "it", "required", "the"})


class Nothing:
    """In place of a body: no content."""


NOTHING = Nothing()


@dataclass(frozen=True)
class Known:
    """An object of the application.

    Attributes:
        collection: Its collection's path, without names of parameters.
        value: The object, as the application has shown it.
        made: The request that made it; None if it was there before.
        is_odd: Whether it was made with unusual values.
    """

    collection: str
    value: Mapping[str, Any]
    made: Sent | None = None
    is_odd: bool = False


@dataclass(frozen=True)
class Request:
    """A request, before it is encoded.

    Attributes:
        path: Values of the path's parameters.
        body: JSON value, ``NOTHING``, or bytes.
        uses: Objects that it refers to.
        is_valid: Whether the schema allows it; None if that is unknown.
        about: Half a sentence about what is unusual; empty if nothing.
    """

    operation: Operation
    path: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = NOTHING
    uses: Mapping[str, Known] = field(default_factory=dict)
    is_valid: bool | None = None
    about: str = ""


@dataclass(frozen=True)
class Sent:
    """A request and its answer."""

    request: Request
    answer: Answer


class Session:
    """Sends requests, and remembers the objects, tokens and fields that answers show.

    Args:
        channel: Connection to the service.
        values: Makes values.
        operations: All operations.
    """

    def __init__(self, channel: Channel, values: Values, operations: list[Operation]) -> None:
        self.channel = channel
        self.values = values
        self.operations = operations
        self._pools: dict[str, list[Known]] = {}
        self._token = ""
        self._account: dict[str, Any] = {}
        # The last request of each operation that was answered well, with usual values.
        self.accepted: dict[int, Request] = {}

    # Send

    def send(self, request: Request, *, is_odd: bool = False) -> Sent:
        """Send a request; remember what the answer shows.

        Raises:
            TimeIsUp: The time is over.
        """
        operation = request.operation
        target, headers, body = self._encode(request)
        sent = Sent(request, self.channel.send(operation.index, operation.method, target, headers, body))
        if sent.answer.is_good:
            self._learn(sent, is_odd=is_odd)
        elif sent.answer.status >= 400:
            self._learn_fields(sent)
        return sent

    def _encode(self, request: Request) -> tuple[str, list[tuple[str, str]], bytes | None]:
        path = request.operation.path
        for name in request.operation.names:
            path = path.replace("{" + name + "}", quote(_text(request.path.get(name, "")), safe=""))
        pairs = [
            (name, _text(one))
            for name, value in request.query.items()
            for one in (value if isinstance(value, list) else [value])
            if value is not LEAVE
        ]
        headers = [(name, value) for name, value in request.headers.items() if value.isascii()]
        if self._token and "Authorization" not in request.headers:
            headers.append(("Authorization", f"Bearer {self._token}"))
        body: bytes | None = None
        if isinstance(request.body, bytes):
            body = request.body
            headers.append(("Content-Type", "application/json"))
        elif request.body is not NOTHING:
            kind = request.operation.body_kind
            if kind == "form" and isinstance(request.body, dict):
                body = urlencode({name: _text(value) for name, value in request.body.items()}).encode(
                    "utf-8", "replace"
                )
                headers.append(("Content-Type", "application/x-www-form-urlencoded"))
            elif kind == "multipart" and isinstance(request.body, dict):
                body = _multipart(request.body)
                headers.append(("Content-Type", "multipart/form-data; boundary=probe"))
            else:
                body = json.dumps(request.body).encode()
                headers.append(("Content-Type", "application/json"))
        query = urlencode(pairs, errors="replace")
        return (f"{path}?{query}" if query else path), headers, body

    # Remember

    def _learn(self, sent: Sent, *, is_odd: bool) -> None:
        operation, found = sent.request.operation, sent.answer.json()
        if not is_odd:
            self.accepted[operation.index] = sent.request
        if operation.method == "POST":
            self._learn_token(sent, found)
        if operation.method not in ("GET", "POST", "PUT"):
            return
        key = plain_path(self._filled(sent.request))
        if operation.method == "GET" and not operation.ends_with_parameter:
            for one in objects_in(found):
                self._know(Known(key, one))
        elif operation.method == "POST":
            made = one_object(found)
            location = sent.answer.header("location").rstrip("/").rpartition("/")[2]
            if location and not any(name in made for name in IDS):
                made = {**made, "id": location}
            if made:
                self._know(Known(key, {**_fields_of(sent.request.body), **made}, sent, is_odd))

    def _know(self, known: Known) -> None:
        pool = self._pools.setdefault(known.collection, [])
        ids = identity_of(known.value)
        if ids is not None:
            kept = [one for one in pool if identity_of(one.value) == ids and one.made is not None]
            pool[:] = [one for one in pool if identity_of(one.value) != ids]
            known = replace(known, made=kept[0].made, is_odd=kept[0].is_odd) if kept and known.made is None else known
        pool.append(known)
        del pool[:-_MOST_KNOWN]
        while len(self._pools) > _MOST_COLLECTIONS:
            del self._pools[next(iter(self._pools))]
        self._learn_model(known)

    def _learn_model(self, known: Known) -> None:
        """Objects of a collection show the fields of a body that no schema describes."""
        for one in self.operations:
            if one.body is not None and known.made is None and _is_instance(known.collection, one.collection):
                _refine(one, known.value)
            if (
                one.body is None
                and one.body_kind
                and not one.learned
                and _is_instance(known.collection, one.collection)
            ):
                one.learned = {
                    name: value
                    for name, value in list(known.value.items())[:_MOST_LEARNED]
                    if name not in IDS and "at" not in words_of(name)[-1:] and value is not None
                }

    def _learn_fields(self, sent: Sent) -> None:
        """Errors name fields, and types, of a body that no document describes."""
        operation = sent.request.operation
        if operation.is_documented:
            return
        said_types = _TYPED.findall(sent.answer.body[:4000].decode("utf-8", "replace"))
        operation.types.update({name: _TYPES[kind.lower()] for name, kind in said_types[:_MOST_LEARNED]})
        if operation.body is not None or not operation.body_kind or len(operation.learned) >= _MOST_LEARNED:
            return
        text = (sent.answer.mark + "\n" + sent.answer.body[:4000].decode("utf-8", "replace"))[:5000]
        names = [one for found in _NAMED.findall(text) for part in found for one in _WORD.findall(part)]
        said = sent.answer.json()
        if sent.answer.status == 400 and isinstance(said, dict):
            names += [name for name, value in said.items() if isinstance(value, list)]
        for name in names[:_MOST_LEARNED]:
            if name.lower() not in _NO_NAMES:
                operation.learned.setdefault(name, None)

    def _learn_token(self, sent: Sent, found: object) -> None:
        body = _fields_of(sent.request.body)
        if any("password" in words_of(name) for name in body) and not _is_login(sent.request.operation):
            self._account = {name: value for name, value in body.items() if isinstance(value, str)}
        for one in (found, found.get("data") if isinstance(found, dict) else None):
            if isinstance(one, dict):
                token = next((one[name] for name in _TOKENS if isinstance(one.get(name), str)), "")
                if token and len(token) < 4000 and token.isascii() and token.isprintable():
                    self._token = token

    def forget(self, known: Known) -> None:
        """Forget an object that was deleted."""
        self._pools.get(known.collection, []).remove(known)

    # Find

    def pool(self, collection: str) -> list[Known]:
        """Return the known objects of a collection, ordinary ones first."""
        return sorted(self._pools.get(collection, ()), key=lambda one: one.is_odd)

    def known_for(self, operation: Operation) -> Iterator[dict[str, tuple[Known, Any]]]:
        """Yield, for the path's parameters, objects that are known, each with its id; the newest of a kind last."""
        if not operation.names:
            return
        for known in self._all_for(operation, operation.names[-1]):
            found = {operation.names[-1]: (known, id_for(operation.names[-1], known.value))}
            for name in operation.names[:-1]:
                others = list(self._all_for(operation, name))
                made = known.made.request.uses.get(name) if known.made else None
                chosen = made or (others[0] if others else None)
                if chosen is None:
                    break
                found[name] = (chosen, id_for(name, chosen.value))
            if len(found) == len(operation.names):
                yield found

    def _all_for(self, operation: Operation, name: str) -> Iterator[Known]:
        wanted = collection_of(operation.path, name)
        for collection, pool in list(self._pools.items()):
            if collection == wanted or _is_instance(collection, wanted):
                for one in sorted(pool, key=lambda known: known.is_odd):
                    if id_for(name, one.value) is not None:
                        yield one

    def reference(self, name: str) -> tuple[Known, Any] | None:
        """Return an object that a field such as ``author_id`` may refer to, with its id."""
        words = words_of(name)
        if len(words) < 2 or words[-1] not in ("id", "uuid", "pk"):
            return None
        base = "".join(words[:-1])
        for collection, pool in self._pools.items():
            last = collection.rpartition("/")[2].replace("-", "").replace("_", "").lower()
            if last in (base, f"{base}s", f"{base}es", f"{base[:-1]}ies"):
                for one in sorted(pool, key=lambda known: known.is_odd):
                    value = id_for("id", one.value)
                    if value is not None:
                        return one, value
        return None

    def _filled(self, request: Request) -> str:
        path = request.operation.path
        for name, value in request.path.items():
            path = path.replace("{" + name + "}", quote(_text(value), safe=""))
        return path

    # Bodies

    def account(self, operation: Operation) -> Mapping[str, Any]:
        """Return the fields of the last account that was made, for a login."""
        return self._account if _is_login(operation) else {}

    def learned_body(self, operation: Operation) -> dict[str, Any]:
        """Return a body of the fields that answers have named or shown."""
        made: dict[str, Any] = {}
        for name, shown in operation.learned.items():
            if isinstance(shown, str) or shown is None:
                made[name] = self.values.valid({"type": guessed(name)} if shown is None else {"type": "string"}, name)
            else:
                made[name] = shown
        return made


def _refine(operation: Operation, shown: Mapping[str, Any]) -> None:
    """Give fields of a body that no document describes the types that objects show."""
    properties = (operation.body or {}).get("properties")
    if operation.is_documented or not isinstance(properties, dict):
        return
    for name, schema in properties.items():
        kind = kind_of_value(shown.get(name))
        if schema.get("type") in (None, "string") and kind not in ("string", "null"):
            properties[name] = {"type": kind, **({"items": {"type": "string"}} if kind == "array" else {})}


def guessed(name: str) -> str:
    """Return the JSON type that a field's name suggests."""
    numbers = {
        "price",
        "amount",
        "quantity",
        "count",
        "age",
        "year",
        "stock",
        "id",
        "total",
        "number",
        "rating",
        "score",
    }
    return "integer" if numbers & set(words_of(name)) else "string"


def _is_login(operation: Operation) -> bool:
    return bool(_LOGIN & set(words_of(operation.path.rstrip("/").rpartition("/")[2])))


def _is_instance(collection: str, template: str) -> bool:
    """Return whether a path such as ``/users/7/posts`` is one of ``/users/{}/posts``."""
    one, other = collection.split("/"), template.split("/")
    return len(one) == len(other) and all(b in (a, "{}") for a, b in zip(one, other, strict=True))


def _fields_of(body: object) -> dict[str, Any]:
    return dict(body) if isinstance(body, dict) else {}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def _multipart(fields: Mapping[str, Any]) -> bytes:
    parts = []
    for name, value in fields.items():
        named = quote(name, safe=" _-.")
        extra = '; filename="probe.txt"\r\nContent-Type: text/plain' if "file" in words_of(name) else ""
        parts.append(f'--probe\r\nContent-Disposition: form-data; name="{named}"{extra}\r\n\r\n{_text(value)}\r\n')
    return ("".join(parts) + "--probe--\r\n").encode("utf-8", "replace")
