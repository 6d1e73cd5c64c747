"""Variables of requests: values for ``{{name}}`` in requests to a generation's preview."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from preview.core.clock import from_ms, now_ms
from preview.errors import BodyTooLarge
from preview.people_errors import VariableLimitReached, VariableNotFound
from preview.storage import Database, Sealer
from preview.storage.people_tables import request_variables as table

MOST_VARIABLES: Final = 100
"""Most variables of one generation."""
MOST_VALUE_CHARACTERS: Final = 16 * 1024
NAME: Final = r"[A-Za-z_][A-Za-z0-9_.-]{0,63}"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_REFERENCE = re.compile(r"\{\{ *([A-Za-z_][A-Za-z0-9_.-]{0,63}) *\}\}")


def is_name(name: str) -> bool:
    """Return whether a variable can have this name."""
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable as its users may see it.

    Attributes:
        name: Letters, digits, ``_``, ``.`` and ``-``.
        value: None for a secret: it is never returned.
    """

    name: str
    value: str | None
    updated_at: datetime

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        """Return the variable of a row."""
        return cls(row.name, None if row.is_secret else row.value, from_ms(row.updated_at))


@dataclass(frozen=True, slots=True)
class Values:
    """Values in clear, only on their way into a request.

    Attributes:
        plain: Values by name.
        secret: Those that nobody may read.
    """

    plain: Mapping[str, str] = field(default_factory=dict)
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)


class RequestVariables:
    """The rows of ``request_variables``. All methods raise ``DatabaseUnavailable`` on an outage.

    Args:
        database: The service's database.
        sealer: Encrypts secrets.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def list(self, generation_id: str) -> list[Variable]:
        """Return all variables of a generation, by name; secrets without values. Cancellation: nothing changes."""
        return [Variable.of(row) for row in await self._rows(generation_id)]

    async def set(self, generation_id: str, name: str, value: str, *, is_secret: bool) -> Variable:
        """Store a variable; one of the same name is replaced.

        Raises:
            VariableLimitReached: The generation has the maximum number of variables.

        Cancellation: stored, or nothing changes.
        """
        at = now_ms()
        stored = self._sealer.seal(value, _place(generation_id, name)) if is_secret else value
        values = {"value": stored, "is_secret": int(is_secret), "updated_at": at}
        same = (table.c.generation_id == generation_id, table.c.name == name)

        def change(connection: Connection) -> None:
            if connection.execute(update(table).where(*same).values(values)).rowcount:
                return
            of_generation = select(func.count()).select_from(table).where(table.c.generation_id == generation_id)
            if (connection.scalar(of_generation) or 0) >= MOST_VARIABLES:
                raise VariableLimitReached(
                    f"The generation has {MOST_VARIABLES} variables, the maximum; delete some first.",
                    limit=MOST_VARIABLES,
                )
            connection.execute(insert(table).values(generation_id=generation_id, name=name, **values))

        await self._database.write(change)
        return Variable(name, None if is_secret else value, from_ms(at))

    async def delete(self, generation_id: str, name: str) -> None:
        """Delete a variable.

        Raises:
            VariableNotFound: The generation has no such variable.

        Cancellation: deleted, or nothing changes.
        """
        found = 0
        if is_name(name):
            # PostgreSQL refuses some characters.
            change = delete(table).where(table.c.generation_id == generation_id, table.c.name == name)
            found = await self._database.write(lambda connection: connection.execute(change).rowcount)
        if not found:
            raise VariableNotFound("The generation has no such variable; it may have been deleted.")

    async def values(self, generation_id: str) -> Values:
        """Return the values for a request.

        Raises:
            SealedTextUnreadable: A secret's key is gone.

        Cancellation: nothing changes.
        """
        plain, secret = {}, {}
        for row in await self._rows(generation_id):
            if row.is_secret:
                secret[row.name] = self._sealer.open(row.value, _place(generation_id, row.name))
            else:
                plain[row.name] = row.value
        return Values(plain, secret)

    async def _rows(self, generation_id: str) -> Sequence[Any]:
        query = (
            select(table.c.name, table.c.value, table.c.is_secret, table.c.updated_at)
            .where(table.c.generation_id == generation_id)
            .order_by(table.c.name)
        )
        return await self._database.read(lambda connection: connection.execute(query).all())


class Filling:
    """Puts values into one request.

    Args:
        values: The values. A value that has references itself is not filled again.
        limit: Most characters of all values together: a request of a few bytes must not become one of gigabytes.

    Attributes:
        unresolved: Names that have no value, in the order of their first use.
        secrets: Names of the secrets that were used.
    """

    def __init__(self, values: Values, limit: int) -> None:
        self._values = {**values.plain, **values.secret}
        self._secret_names = values.secret.keys()
        self._limit = self._left = limit
        self.unresolved: dict[str, None] = {}
        self.secrets: dict[str, None] = {}

    def text(self, text: str) -> str:
        """Return the text with its variables' values.

        Raises:
            BodyTooLarge: The values would make the request too large.
        """
        return _REFERENCE.sub(self._value, text)

    def whole(self, value: object) -> object:
        """Return a JSON value with all its texts filled in; names of keys stay. Raises as ``text``."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.whole(one) for one in value]
        if isinstance(value, dict):
            return {key: self.whole(one) for key, one in value.items()}
        return value

    def _value(self, found: re.Match[str]) -> str:
        name = found[1]
        value = self._values.get(name)
        if value is None:
            self.unresolved[name] = None
            return found[0]
        if name in self._secret_names:
            self.secrets[name] = None
        self._left -= len(value)
        if self._left < 0:
            raise BodyTooLarge(
                f"With the values of its variables, the request has more than {self._limit} characters.",
                limit_bytes=self._limit,
            )
        return value


def _place(generation_id: str, name: str) -> str:
    return f"request-variable:{generation_id}:{name}"
