"""The file ``preview.checks.toml``: checks, and paths that comparisons ignore.

    ignore = ["$.generated_at"]

    [[check]]
    name = "books"
    request = "GET /books?limit=1"
    status = 200
    expect = ["$.items[*].id is number"]

The file is a stranger's: its size is bounded, and it is read in a thread.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from preview.core.quoting import quoted
from preview.errors import InvalidRequest
from preview.replay.checks.expectations import Expectation
from preview.replay.comparing.rules import MOST_RULES, IgnoreRules
from preview.traffic.ready import ReadyRequest

CHECKS_FILE = "preview.checks.toml"
MOST_BYTES = 128 * 1024
MOST_CHECKS = 200
_MOST_EXPECTATIONS = 100
MOST_EXPECTATIONS_IN_ALL = 1000
_REQUEST = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/\S*)")
# A dotted key makes a table for each part; TOML allows thousands, and each costs the parser more than the last.
# A match starts at the start of a part, and tries no part again: else the time would be quadratic.
_DEEP_KEY = re.compile(r"""(?<![\w"'\\-])(?:(?:"(?:[^"\\]|\\.)*+"|'[^']*+'|[\w-]++)\s*+\.\s*+){20}|(?:\[\s*+){40}""")


@dataclass(frozen=True, slots=True)
class Check:
    """A request with the expected answer.

    Attributes:
        name: Name for people, unique in its file.
        request: The request.
        status: Expected status.
        expectations: Expectations of the answer.
    """

    name: str
    request: ReadyRequest
    status: int
    expectations: tuple[Expectation, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckFile:
    """All of the file.

    Attributes:
        checks: In the file's order.
        ignore: Rules of ignored paths; see ``IgnoreRules``.
    """

    checks: tuple[Check, ...] = ()
    ignore: tuple[str, ...] = ()

    def with_check(self, check: Check) -> CheckFile:
        """Return the file with a check added at its end; one of the same name is replaced.

        Raises:
            InvalidRequest: It would have too many checks or expectations.
        """
        others = tuple(one for one in self.checks if one.name != check.name)
        checks = (*others, check)
        _bound(len(checks), sum(len(one.expectations) for one in checks))
        return CheckFile(checks, self.ignore)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CheckTable(_Table):
    """One check as it is written."""

    name: StrictStr = Field(min_length=1, max_length=200, examples=["books"])
    request: StrictStr = Field(max_length=8192, examples=["GET /books?limit=1"])
    headers: dict[StrictStr, StrictStr] = Field(default_factory=dict, max_length=50)
    body: StrictStr | None = None
    body_base64: StrictStr | None = None
    status: Annotated[StrictInt, Field(ge=100, le=599)] = 200
    expect: list[StrictStr] = Field(
        default_factory=list, max_length=_MOST_EXPECTATIONS, examples=[["$.items[*].id is number"]]
    )


class _FileTable(_Table):
    ignore: list[StrictStr] = Field(default_factory=list, max_length=MOST_RULES)
    check: list[CheckTable] = Field(default_factory=list, max_length=MOST_CHECKS)


def read_checks(content: bytes) -> CheckFile:
    """Return the content of a checks file.

    Raises:
        InvalidRequest: It is too large, or cannot be read; the sentence names the place.
    """
    if len(content) > MOST_BYTES:
        raise InvalidRequest(f"{CHECKS_FILE} is larger than {MOST_BYTES} bytes; split or remove checks.")
    try:
        text = content.decode()
        if any(_DEEP_KEY.search(line) for line in text.split("\n")):
            raise InvalidRequest(f"{CHECKS_FILE} cannot be read: it has keys or lists of more than 20 levels.")
        file = _FileTable.model_validate(tomllib.loads(text))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidRequest(f"{CHECKS_FILE} cannot be read: {error}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:200]
        raise InvalidRequest(f"{CHECKS_FILE} has a wrong value at {quoted(where)}: {first['msg']}.") from error
    return check_file(file.check, file.ignore)


def check_file(tables: Sequence[CheckTable], ignore: Sequence[str]) -> CheckFile:
    """Return checks and rules as a file.

    Raises:
        InvalidRequest: A check or a rule cannot be read, there are too many, or two have the same name.
    """
    _bound(len(tables), sum(len(one.expect) for one in tables))
    IgnoreRules(ignore)
    names = [one.name for one in tables]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise InvalidRequest(f"There are two checks with the name {quoted(double)}; rename one.")
    return CheckFile(tuple(map(_check, tables)), tuple(ignore))


def _bound(checks: int, expectations: int) -> None:
    if checks > MOST_CHECKS:
        raise InvalidRequest(f"There are more than {MOST_CHECKS} checks; remove some.")
    if expectations > MOST_EXPECTATIONS_IN_ALL:
        raise InvalidRequest(f"The checks have more than {MOST_EXPECTATIONS_IN_ALL} expectations; remove some.")


def _check(table: CheckTable) -> Check:
    found = _REQUEST.fullmatch(table.request)
    if found is None:
        raise InvalidRequest(
            f"The check {quoted(table.name)} has no request like `GET /books`: {quoted(table.request[:100])}."
        )
    body = None if table.body is None else table.body.encode("utf-8", "replace")
    if table.body_base64 is not None:
        try:
            body = base64.b64decode(table.body_base64, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidRequest(f"The body of the check {quoted(table.name)} is not base64.") from None
    request = ReadyRequest(found[1], found[2], tuple(table.headers.items()), body)
    return Check(table.name, request, table.status, tuple(map(Expectation.parse, table.expect)))


def table_of(check: Check) -> CheckTable:
    """Return a check as it is written."""
    request = check.request
    text, encoded = None, None
    if request.body is not None:
        try:
            text = request.body.decode()
        except UnicodeDecodeError:
            encoded = base64.b64encode(request.body).decode()
    return CheckTable(
        name=check.name,
        request=f"{request.method} {request.target}",
        headers=dict(request.headers),
        body=text,
        body_base64=encoded,
        status=check.status,
        expect=[one.text for one in check.expectations],
    )


def write_checks(file: CheckFile) -> str:
    """Return the file's text."""
    parts = [f"ignore = {_array(file.ignore)}\n"] if file.ignore else []
    for check in file.checks:
        table = table_of(check)
        lines = ["[[check]]", f"name = {_quoted(table.name)}", f"request = {_quoted(table.request)}"]
        if table.headers:
            pairs = ", ".join(f"{_quoted(name)} = {_quoted(value)}" for name, value in table.headers.items())
            lines.append(f"headers = {{ {pairs} }}")
        if table.body is not None:
            lines.append(f"body = {_quoted(table.body)}")
        if table.body_base64 is not None:
            lines.append(f"body_base64 = {_quoted(table.body_base64)}")
        lines.append(f"status = {table.status}")
        if table.expect:
            lines.append(f"expect = {_array(table.expect)}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _array(texts: Sequence[str]) -> str:
    return "[\n" + "".join(f"  {_quoted(one)},\n" for one in texts) + "]"


def _quoted(text: str) -> str:
    """Return a basic string of TOML: its escapes are those of JSON."""
    clean = text.encode("utf-8", "replace").decode()
    return json.dumps(clean, ensure_ascii=False).replace("\x7f", "\\u007f")
