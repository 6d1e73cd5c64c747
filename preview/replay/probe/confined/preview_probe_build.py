"""Requests to send: a valid one for an operation, and the edges of its parameters and fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preview.replay.probe.confined.preview_probe_judge import Judge
    from preview.replay.probe.confined.preview_probe_model import Operation
    from preview.replay.probe.confined.preview_probe_objects import IDS, kind_of_value
    from preview.replay.probe.confined.preview_probe_requests import NOTHING, Known, Request, Session, guessed
    from preview.replay.probe.confined.preview_probe_values import LEAVE, UNICODE, words_of
else:
    from preview_probe_judge import Judge
    from preview_probe_model import Operation
    from preview_probe_objects import IDS, kind_of_value
    from preview_probe_requests import NOTHING, Known, Request, Session, guessed
    from preview_probe_values import LEAVE, UNICODE, words_of

UNKNOWN_ID = 999999999
_UNKNOWN_UUID = "00000000-0000-4000-8000-0badc0de0bad"
_LONG_ID = "9" * 400
_PAGING = frozenset({"limit", "size", "skip", "offset", "page", "count", "per"})
_MOST_EDGES_OF_A_FIELD = 12


def is_paging(name: str) -> bool:
    """Return whether a parameter's name is usual for pages of a list."""
    return bool(_PAGING & set(words_of(name)))


class Builder:
    """Builds requests.

    Args:
        session: Knows objects and values.
        judge: Knows the schema of bodies.
    """

    def __init__(self, session: Session, judge: Judge) -> None:
        self._session = session
        self._judge = judge

    def valid(
        self, operation: Operation, ids: Mapping[str, tuple[Known, Any]] | None = None, *, optional: bool = True
    ) -> Request:
        """Return a valid request, as far as that is known.

        Args:
            operation: The operation.
            ids: Object and id for each parameter of the path; None for the first that are known.
            optional: Whether optional parameters and fields get values.
        """
        values = self._session.values
        if ids is None:
            ids = next(self._session.known_for(operation), {})
        schemas = {one.name: one.schema for one in operation.of("path")}
        path = {
            name: ids[name][1]
            if name in ids
            else _path_value(values.valid(schemas.get(name, {}), name), schemas.get(name))
            for name in operation.names
        }
        uses = {name: known for name, (known, _) in ids.items()}
        query = {
            one.name: values.valid(one.schema, one.name)
            for one in operation.of("query")
            if one.is_required or (optional and self._is_fit(operation, one.schema))
        }
        headers = {
            one.name: str(values.valid(one.schema, one.name)) for one in operation.of("header") if one.is_required
        }
        body, referred, is_sure = self._body(operation, optional=optional)
        is_valid = operation.is_documented and len(ids) == len(operation.names) and is_sure
        if self._judge.is_valid_body(operation, body) is False:
            is_valid = False
        return Request(operation, path, query, headers, body, {**uses, **referred}, is_valid or None)

    def _is_fit(self, operation: Operation, schema: Mapping[str, Any]) -> bool:
        # A filter for any text finds nothing; without a document, parameters are texts as often as not.
        kind = self._session.values.kind_of(self._session.values.resolved(schema))
        return kind in ("integer", "number", "boolean") or (operation.is_documented and "enum" in schema)

    def _body(self, operation: Operation, *, optional: bool) -> tuple[Any, dict[str, Known], bool]:
        """Return the body, the objects that it refers to, and whether all that it refers to is known."""
        if not operation.body_kind:
            return NOTHING, {}, True
        if operation.body is None:
            learned = self._session.learned_body(operation)
            return (learned or ({} if operation.method != "POST" else NOTHING)), {}, False
        schema = self._schema(operation, is_plain=operation.is_plain or not optional)
        body = self._session.values.valid(schema, optional=optional)
        referred: dict[str, Known] = {}
        is_sure = True
        if isinstance(body, dict):
            for name in body:
                found = self._session.reference(name)
                if found is not None and isinstance(body[name], str | int):
                    referred[name], body[name] = found[0], _like(found[1], body[name])
                elif words_of(name)[-1:] in (["id"], ["ids"], ["uuid"]):
                    is_sure = False
            body.update({name: value for name, value in self._session.account(operation).items() if name in body})
        return body, referred, is_sure

    def _schema(self, operation: Operation, *, is_plain: bool) -> Mapping[str, Any]:
        """Return the schema of the body; without a document, names and answers tell more than the source."""
        schema = operation.body or {}
        properties = schema.get("properties")
        if operation.is_documented or not isinstance(properties, dict):
            return schema
        made = {}
        for name, one in properties.items():
            kind = operation.types.get(name)
            if kind is None and not is_plain and one.get("type") in (None, "string"):
                kind = guessed(name)
            made[name] = {**one, "type": kind} if kind else one
        return {**schema, "properties": made}

    # Edges

    def edges(self, operation: Operation) -> Iterator[Request]:
        """Yield the requests at the edges, each from a new valid one."""
        yield from self._path_edges(operation)
        yield from self._query_edges(operation)
        yield from self._body_edges(operation)

    def _path_edges(self, operation: Operation) -> Iterator[Request]:
        schemas = {one.name: one.schema for one in operation.of("path")}
        for name in reversed(operation.names):
            kind = self._session.values.kind_of(self._session.values.resolved(schemas.get(name, {})))
            for value, about in (
                (UNKNOWN_ID, "an unknown id"),
                (0, "the id 0"),
                (-1, "the id -1"),
                ("abc", "a string as id"),
                (_UNKNOWN_UUID, "an unknown id"),
                (2**63, "a huge number as id"),
                (UNICODE, "an id with letters of many scripts"),
                (_LONG_ID, "a long id"),
                ("a'b\"c%00", "an id with quotes and punctuation"),
            ):
                request = self.valid(operation)
                is_known = self._knows(operation, name)
                is_valid = (
                    False if is_known and about == "an unknown id" and operation.method in ("GET", "PATCH") else None
                )
                if kind in ("integer", "number") and isinstance(value, str) and operation.is_documented:
                    is_valid = False
                uses = {one: known for one, known in request.uses.items() if one != name}
                yield replace(request, path={**request.path, name: value}, uses=uses, is_valid=is_valid, about=about)

    def _knows(self, operation: Operation, name: str) -> bool:
        """Return whether objects are known that the parameter names."""
        return name == operation.names[-1] and operation.ends_with_parameter and any(self._session.known_for(operation))

    def _query_edges(self, operation: Operation) -> Iterator[Request]:
        for one in operation.of("query"):
            found = self._session.values.edges(one.schema, is_text=True, is_known=operation.is_documented)
            for number, edge in enumerate(found):
                if number == _MOST_EDGES_OF_A_FIELD:
                    break
                request = self.valid(operation, optional=False)
                is_valid = edge.is_valid if request.is_valid or edge.is_valid is False else None
                value = edge.value
                if is_paging(one.name) and value == -1:
                    is_valid = False
                if isinstance(value, list):
                    value = value or LEAVE
                yield replace(
                    request,
                    query={**request.query, one.name: value},
                    is_valid=is_valid,
                    about=f"{edge.about} as {one.name}",
                )

    def _body_edges(self, operation: Operation) -> Iterator[Request]:
        if not operation.body_kind:
            return
        before = self._session.accepted.get(operation.index)
        if before is not None and operation.method == "POST":
            yield replace(before, about="the same content as before", is_valid=None)
        fields = self._fields(operation)
        for name, schema in fields.items():
            for number, edge in enumerate(
                self._session.values.edges(schema, is_known=operation.is_documented)
            ):  # fmt: skip
                if number < _MOST_EDGES_OF_A_FIELD:
                    yield self._with_field(operation, name, edge.value, f"{edge.about} as {name}", edge.is_valid)
            yield self._with_field(operation, name, LEAVE, f"no {name}", None)
            if words_of(name)[-1:] == ["id"]:
                yield self._with_field(operation, name, UNKNOWN_ID, f"an unknown {name}", None)
        is_full = operation.method == "POST" and operation.body is not None and len(fields) > 1
        for body, about, is_valid in (
            (NOTHING, "no content", False if operation.body_required else None),
            ({}, "an empty object", False if is_full and not operation.is_documented else None),
            ([], "a list in place of an object", False if fields else None),
            ("text", "a string instead of an object", False if fields else None),
            (None, "null in place of an object", None),
            (b'{"broken": ', "broken JSON", False),
        ):
            yield self._with_body(self.valid(operation), body, about, is_valid)
        request = self.valid(operation)
        if isinstance(request.body, dict):
            yield self._with_body(request, {**request.body, "probe_extra": "x"}, "a field that is not known", None)

    def _fields(self, operation: Operation) -> Mapping[str, Any]:
        """Return the fields of the body with their schemas, without the id, which applications mostly ignore."""
        if operation.body is not None:
            schema = self._schema(operation, is_plain=operation.is_plain)
            found = self._session.values.resolved(schema).get("properties")
        else:
            body = self._session.learned_body(operation)
            found = {name: {"type": kind_of_value(value)} for name, value in body.items()}
        return {name: one for name, one in found.items() if name not in IDS[:2]} if isinstance(found, dict) else {}

    def _with_field(self, operation: Operation, name: str, value: object, about: str, is_valid: bool | None) -> Request:
        request = self.valid(operation)
        body = dict(request.body) if isinstance(request.body, dict) else {}
        if value is LEAVE:
            body.pop(name, None)
        else:
            body[name] = value
        uses = {one: known for one, known in request.uses.items() if one != name}
        return self._with_body(replace(request, uses=uses), body, about, is_valid)

    def _with_body(self, request: Request, body: Any, about: str, is_valid: bool | None) -> Request:
        is_json = request.operation.body_kind == "json"
        known = self._judge.is_valid_body(request.operation, body) if is_json and not isinstance(body, bytes) else None
        if known is False:
            is_valid = False
        elif is_valid or known:
            # Rules besides the schema's may forbid what it allows.
            is_valid = request.is_valid if known else None
        elif not is_json and is_valid is False and not isinstance(body, dict):
            is_valid = None
        return replace(request, body=body, about=about, is_valid=is_valid)


def _path_value(value: Any, schema: Mapping[str, Any] | None) -> Any:
    return value if schema else 1


def _like(value: Any, sample: Any) -> Any:
    """Return an id in the type that a field has."""
    if isinstance(sample, str):
        return str(value)
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19 else value
