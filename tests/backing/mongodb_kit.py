"""A small server of MongoDB's protocol, with users, rights and documents in memory: no real one can be had for tests.

What it refuses, and what it asks for, follows the manual of MongoDB 7.
"""

from __future__ import annotations

import re
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import bson
import trio
from scramp import ScramMechanism  # type: ignore[import-untyped]

ADMIN, PASSWORD = "admin", "sesame-öpen"
ROLES = ("userAdminAnyDatabase", "dbAdminAnyDatabase", "hostManager")
_SYSTEM = {"admin", "config", "local"}
_HELLOS = {"hello", "isMaster", "ismaster"}


class Failed(Exception):
    """An error that a command answers with."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


@dataclass
class User:
    database: str
    roles: list[dict[str, str]]
    proof: Any

    def may(self, database: str, role: str) -> bool:
        return any(one["role"] == role and one["db"] in (database, "admin") for one in self.roles)

    @property
    def is_admin(self) -> bool:
        return any(one["db"] == "admin" for one in self.roles)


def user(database: str, password: str, roles: list[dict[str, str]]) -> User:
    return User(database, roles, ScramMechanism("SCRAM-SHA-256").make_auth_info(password))


@dataclass
class FakeMongodb:
    """The server.

    Attributes:
        is_open: Whether it asks for no password.
        in_set: Whether it is a member of a replica set, whose members no preview reaches.
        stored: Documents by database and collection.
        asked: Database and name of each command.
        compressed: Whether a client asked for compression.
        slow_ms: Time from which commands are logged, of all databases.
    """

    is_open: bool = False
    in_set: bool = True
    users: dict[tuple[str, str], User] = field(default_factory=dict)
    stored: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    indexes: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    compressed: bool = False
    slow_ms: int = 100
    port: int = 0

    def __post_init__(self) -> None:
        self.users["admin", ADMIN] = user("admin", PASSWORD, [{"role": role, "db": "admin"} for role in ROLES])

    @property
    def names(self) -> list[str]:
        return [*(name for _, name in self.users if name != ADMIN), *self.stored]


class Connection:
    """One client's session."""

    def __init__(self, server: FakeMongodb, stream: trio.SocketStream) -> None:
        self.server = server
        self.stream = stream
        self.user: User | None = None
        self._proving: tuple[Any, User] | None = None

    async def _read(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            chunk = await self.stream.receive_some(size - len(read))
            if not chunk:
                raise trio.BrokenResourceError
            read += chunk
        return read

    async def run(self) -> None:
        while True:
            size, number, _, code = struct.unpack("<iiii", await self._read(16))
            content = await self._read(size - 16)
            if code == 2004:
                end = content.index(b"\0", 4)
                asked = bson.decode(content[end + 9 :])
                body = struct.pack("<iqii", 0, 0, 0, 1) + bson.encode(self._answer({**asked, "$db": "admin"}))
                await self._send(1, number, body)
                continue
            assert code == 2013
            assert struct.unpack_from("<I", content)[0] == 0, "no checksum is passed on"
            await self._send(2013, number, b"\0\0\0\0\0" + bson.encode(self._answer(_command(content[4:]))))

    async def _send(self, code: int, answers: int, body: bytes) -> None:
        await self.stream.send_all(struct.pack("<iiii", len(body) + 16, 1, answers, code) + body)

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        name, database = next(iter(asked)), asked["$db"]
        self.server.asked.append((database, name))
        try:
            if name in _HELLOS:
                return {**self._hello(asked), "ok": 1.0}
            if name == "saslStart":
                return self._begin_proof(asked)
            if name == "saslContinue":
                return self._end_proof(asked)
            return {**self._execute(name, database, asked), "ok": 1.0}
        except Failed as error:
            return {"ok": 0.0, "errmsg": str(error), "code": error.code, "codeName": "Error"}

    def _hello(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.server.compressed |= "compression" in asked
        found: dict[str, Any] = {
            "isWritablePrimary": True,
            "ismaster": True,
            "helloOk": True,
            "maxWireVersion": 21,
            "minWireVersion": 0,
        }
        found |= {"maxBsonObjectSize": 16 * 1024**2, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000}
        if self.server.in_set:
            found |= {"setName": "rs0", "hosts": ["elsewhere:1"], "me": "elsewhere:1", "primary": "elsewhere:1"}
        return found

    def _begin_proof(self, asked: dict[str, Any]) -> dict[str, Any]:
        first = bytes(asked["payload"]).decode()
        found = re.search(r"n=([^,]+),", first)
        account = self.server.users.get((asked["$db"], found[1] if found else ""))
        if account is None:
            raise Failed(18, "Authentication failed.")
        server = ScramMechanism("SCRAM-SHA-256").make_server(lambda _name: account.proof)
        server.set_client_first(first)
        self._proving = server, account
        return {"conversationId": 1, "done": False, "payload": server.get_server_first().encode(), "ok": 1.0}

    def _end_proof(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self._proving is not None
        # The server is strict here.
        assert not isinstance(asked["conversationId"], bson.int64.Int64)
        server, account = self._proving
        try:
            server.set_client_final(bytes(asked["payload"]).decode())
        except Exception as error:
            raise Failed(18, "Authentication failed.") from error
        self.user = account
        return {"conversationId": 1, "done": True, "payload": server.get_server_final().encode(), "ok": 1.0}

    def _execute(self, name: str, database: str, asked: dict[str, Any]) -> dict[str, Any]:
        if name in ("ping", "endSessions"):
            return {}
        if name == "buildInfo":
            return {"version": "7.0.99"}
        account, is_admin = self.user, self.server.is_open or (self.user is not None and self.user.is_admin)
        is_alive = account is None or account in self.server.users.values()
        # https://www.mongodb.com/docs/manual/reference/built-in-roles/: only these commands need dbAdmin.
        needed = "dbAdmin" if name in ("dropDatabase", "profile", "collMod", "validate", "compact") else "readWrite"
        is_own = account is not None and account.may(database, needed) and database not in _SYSTEM
        if not is_alive or not (is_admin or is_own):
            raise Failed(13, f"not authorized on {database} to execute command {name}")
        command: Callable[[str, dict[str, Any]], dict[str, Any]] | None = getattr(self, f"_do_{name}", None)
        if command is None:
            raise Failed(59, f"no such command: {name}")
        return command(database, asked)

    def _do_connectionStatus(self, _database: str, _asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        assert self.user is not None
        return {"authInfo": {"authenticatedUserRoles": self.user.roles}}

    def _do_createUser(self, database: str, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = asked["createUser"]
        if (database, name) in self.server.users:
            raise Failed(51003, "User already exists")
        self.server.users[database, name] = user(database, asked["pwd"], asked["roles"])
        return {}

    def _do_dropUser(self, database: str, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if self.server.users.pop((database, asked["dropUser"]), None) is None:
            raise Failed(11, "User not found")
        return {}

    def _do_usersInfo(self, _database: str, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        wanted = re.compile(asked["filter"]["user"]["$regex"])
        return {"users": [{"user": name, "db": base} for base, name in self.server.users if wanted.search(name)]}

    def _do_listDatabases(self, _database: str, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        wanted = re.compile(asked.get("filter", {}).get("name", {}).get("$regex", ""))
        return {"databases": [{"name": name} for name in self.server.stored if wanted.search(name)]}

    def _do_killAllSessions(self, _database: str, _asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {}

    def _do_dropDatabase(self, database: str, _asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.server.stored.pop(database, None)
        for one in [one for one in self.server.indexes if one[0] == database]:
            del self.server.indexes[one]
        return {}

    def _do_dbStats(self, database: str, _asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        documents = [one for found in self.server.stored.get(database, {}).values() for one in found]
        return {"storageSize": float(sum(len(bson.encode(one)) for one in documents)), "indexSize": 0}

    def _do_profile(self, _database: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.server.slow_ms = asked["slowms"]
        return {"was": 0}

    def _do_drop(self, database: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.server.stored.get(database, {}).pop(asked["drop"], None)
        return {}

    def _do_create(self, database: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.server.stored.setdefault(database, {})[asked["create"]] = []
        return {}

    def _do_createIndexes(self, database: str, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.server.indexes.setdefault((database, asked["createIndexes"]), []).extend(asked["indexes"])
        return {}

    def _do_listIndexes(self, database: str, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        own = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
        return _cursor([own, *self.server.indexes.get((database, asked["listIndexes"]), [])])

    def _do_listCollections(self, database: str, _asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        names = self.server.stored.get(database, {})
        return _cursor([{"name": name, "type": "collection", "options": {}, "info": {}} for name in names])

    def _do_count(self, database: str, asked: dict[str, Any]) -> dict[str, Any]:
        return {"n": len(self.server.stored.get(database, {}).get(asked["count"], []))}

    def _do_insert(self, database: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.server.stored.setdefault(database, {}).setdefault(asked["insert"], []).extend(asked["documents"])
        return {"n": len(asked["documents"])}

    def _do_find(self, database: str, asked: dict[str, Any]) -> dict[str, Any]:
        found = self.server.stored.get(database, {}).get(asked["find"], [])
        wanted = [one for one in found if all(one.get(key) == value for key, value in asked.get("filter", {}).items())]
        start = asked.get("skip", 0)
        return _cursor(wanted[start : start + (asked.get("limit") or len(wanted))], f"{database}.{asked['find']}")


def _cursor(found: list[dict[str, Any]], name: str = "x.y") -> dict[str, Any]:
    return {"cursor": {"id": bson.int64.Int64(0), "ns": name, "firstBatch": found}}


def _command(sections: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while sections:
        size = struct.unpack_from("<i", sections, 1)[0]
        content = sections[1 : 1 + size]
        if sections[0] == 0:
            found = {**bson.decode(content), **found}
        else:
            end = content.index(b"\0", 4)
            found[content[4:end].decode()] = bson.decode_all(content[end + 1 :])
        sections = sections[1 + size :]
    return found


@asynccontextmanager
async def open_mongodb(server: FakeMongodb) -> AsyncIterator[FakeMongodb]:
    """Serve on a port of this machine."""

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await Connection(server, stream).run()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        server.port = listeners[0].socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()
