"""Sessions on a MongoDB of the operator's: the administrator's, and those of the previews' users."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trio
from scramp import ScramClient, ScramException  # type: ignore[import-untyped]

from preview.backing.mongodb.bson import Document, NotBson, Value, decode
from preview.backing.mongodb.wire import HEAD_BYTES, NotMongodb, body_of, command, message, read_head
from preview.backing.operator.connection import Connector
from preview.backing.server import ServerUnavailable
from preview.backing.streams import SessionEnded, read_exactly
from preview.runtime import beside
from preview.settings_address import ServerAddress, Tls

NAME = "MongoDB"
_MECHANISM = "SCRAM-SHA-256"
_ANSWER_S = 15.0
_MOST_ITERATIONS = 1_000_000
_MOST_SAID = 200
# MongoDB 5.0.
_LEAST_WIRE_VERSION = 13
_ITERATIONS = re.compile(r"(?:\A|,)i=(\d{1,9})(?:,|\Z)", re.ASCII)
_UNAUTHORIZED = 13
_WANTED = ("userAdminAnyDatabase", "dbAdminAnyDatabase", "hostManager")
_ENOUGH = frozenset({"root", "__system"})


class Refused(Exception):
    """The server refuses a command; the message is its sentence.

    Attributes:
        code: Number of the error.
    """

    def __init__(self, sentence: str, code: int = 0) -> None:
        super().__init__(sentence)
        self.code = code


class Session:
    """A session on the server; one command at a time.

    Args:
        stream: The connection; the session closes it.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._number = 0

    async def ask(self, body: bytes, documents: tuple[str, bytes] | None = None) -> bytes:
        """Execute a command; return its answer as it is.

        Raises:
            SessionEnded, NotMongodb, trio.BrokenResourceError: There is no answer.

        Cancellation: the session cannot be used any more.
        """
        self._number += 1
        await self.stream.send_all(message(self._number, body, documents))
        head = read_head(await read_exactly(self.stream, HEAD_BYTES))
        if head.answers != self._number:
            raise NotMongodb("an answer to another command")
        return body_of(head.code, await read_exactly(self.stream, head.left))

    async def execute(
        self, database: str, document: Document, documents: tuple[str, bytes] | None = None
    ) -> dict[str, Value]:
        """Execute a command; return its answer.

        Raises:
            Refused: The server refuses it.
            SessionEnded, NotMongodb, trio.BrokenResourceError: There is no answer.

        Cancellation: the session cannot be used any more.
        """
        return read_answer(await self.ask(command(document, database), documents))

    async def log_in(self, user: str, password: str, source: str) -> None:
        """Prove a password, which is not sent.

        Args:
            user: User.
            password: Its password.
            source: Database that the user belongs to.

        Raises: as ``execute``. Cancellation: the session cannot be used any more.
        """
        try:
            client = ScramClient([_MECHANISM], user, password)
            first = client.get_client_first().encode()
            said = await self.execute(
                source,
                {"saslStart": 1, "mechanism": _MECHANISM, "payload": first, "options": {"skipEmptyExchange": True}},
            )
            client.set_server_first(_payload(said, is_first=True))
            final = await trio.to_thread.run_sync(client.get_client_final)
            proof: Document = {
                "saslContinue": 1, "conversationId": said.get("conversationId"), "payload": final.encode()
            }  # fmt: skip
            said = await self.execute(source, proof)
            client.set_server_final(_payload(said))
        except ScramException as error:
            raise NotMongodb("the server failed to authenticate itself") from error
        if said.get("done") is not True:
            raise NotMongodb("the login does not complete")


def read_answer(body: bytes) -> dict[str, Value]:
    """Return an answer's values. Raises: Refused: It is an error. NotMongodb: It is none."""
    try:
        found = decode(body)
    except NotBson as error:
        raise NotMongodb(str(error)) from error
    if found.get("ok") != 1:
        said, code = found.get("errmsg"), found.get("code")
        text = said if isinstance(said, str) else "no reason was given"
        shown = "".join(one if one.isprintable() else " " for one in text[:_MOST_SAID])
        raise Refused(shown, code if isinstance(code, int) else 0)
    return found


def _payload(said: Document, *, is_first: bool = False) -> str:
    payload = said.get("payload")
    text = payload.decode("ascii", "replace") if isinstance(payload, bytes) else ""
    found = _ITERATIONS.search(text)
    if is_first and (found is None or int(found[1]) > _MOST_ITERATIONS):
        raise NotMongodb("the server did not authenticate itself")
    return text


class MongodbServer:
    """The administrator's account on a server.

    Args:
        address: Its address.
    """

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        self._connector = Connector(NAME, address, address.host)
        # MongoDB offers no encryption on a plain connection: without a word about it, only this machine's are plain.
        self._is_plain = address.tls is Tls.OFF or (address.tls is Tls.PREFERRED and address.is_private)
        self._turn = trio.Lock()
        self._session: Session | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Carry connections with TLS. Cancellation: they end."""
        async with beside(self._connector.run):
            try:
                yield
            finally:
                self._close()

    def _close(self) -> None:
        if self._session is not None:
            self._session.stream.socket.close()
            self._session = None

    @asynccontextmanager
    async def open_session(self, user: str = "", password: str = "", source: str = "") -> AsyncIterator[Session]:
        """Open a session of a user; without one, of nobody. The connection is closed at the end.

        Raises:
            ServerUnavailable: There is none.

        Cancellation: no connection is left.
        """
        session = Session(await self._connector.connect(None if self._is_plain else _always))
        try:
            with _Translated():
                if user:
                    with trio.fail_after(_ANSWER_S):
                        await session.log_in(user, password, source)
            yield session
        finally:
            session.stream.socket.close()

    async def connect(self, user: str, password: str) -> trio.SocketStream:
        """Return a connection on which a preview's user is logged in; the caller closes it. Raises like ``execute``.

        Cancellation: no connection is left.
        """
        session = Session(await self._connector.connect(None if self._is_plain else _always))
        is_used = False
        try:
            with _Translated(), trio.fail_after(_ANSWER_S):
                await session.log_in(user, password, user)
            is_used = True
        finally:
            if not is_used:
                session.stream.socket.close()
        return session.stream

    async def execute(self, database: str, *commands: Document) -> dict[str, Value]:
        """Execute commands of the administrator, one after the other; return the last one's answer.

        Raises:
            ServerUnavailable: The server does not answer in time, or refuses (``Refused`` is the cause then).

        Cancellation: some may have been executed.
        """
        async with self._turn:
            is_usable = False
            try:
                with _Translated(), trio.fail_after(_ANSWER_S):
                    if self._session is None:
                        self._session = Session(await self._connector.connect(None if self._is_plain else _always))
                        await self._session.log_in(self._address.user, self._address.password, self._source)
                    try:
                        for one in commands:
                            said = await self._session.execute(database, one)
                        is_usable = True
                    except Refused:
                        is_usable = True
                        raise
            finally:
                if not is_usable:
                    self._close()
            return said

    @property
    def _source(self) -> str:
        return self._address.database or "admin"

    async def check(self) -> str:
        """Return the server's version.

        Raises:
            ServerUnavailable: It does not answer, is too old, asks for no password, or the account lacks rights.

        Cancellation: nothing changes.
        """
        said = await self.execute("admin", {"hello": 1})
        wire_version = said.get("maxWireVersion")
        if not isinstance(wire_version, int) or wire_version < _LEAST_WIRE_VERSION:
            raise ServerUnavailable(f"{NAME} is too old: previews need 5.0 or newer")
        version = (await self.execute("admin", {"buildInfo": 1})).get("version")
        shown = "".join(one for one in str(version) if one.isalnum() or one in ".-")[:20]
        await self._check_closed(shown)
        status = (await self.execute("admin", {"connectionStatus": 1})).get("authInfo")
        roles = status.get("authenticatedUserRoles") if isinstance(status, dict) else None
        names = {one.get("role") for one in roles if isinstance(one, dict)} if isinstance(roles, list) else set()
        lacking = [one for one in _WANTED if one not in names]
        if lacking and not names & _ENOUGH:
            raise ServerUnavailable(f"the account lacks roles in {NAME} {shown}: {', '.join(lacking)}")
        return shown

    async def _check_closed(self, shown: str) -> None:
        """Check that the server asks for a password. Raises: ServerUnavailable: Anybody reads all of it."""
        async with self.open_session() as session:
            with suppress(Refused), _Translated(keep=True), trio.fail_after(_ANSWER_S):
                await session.execute("admin", {"listDatabases": 1, "nameOnly": True})
                raise ServerUnavailable(
                    f"{NAME} {shown} asks for no password, so previews would read each other's data: start it with "
                    "--auth"
                )


class _Translated:
    """Translates what fails on the server into ``ServerUnavailable``."""

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Refused) and not self._keep:
            raise ServerUnavailable(f"{NAME} refuses: {error}") from error
        if isinstance(error, SessionEnded | NotMongodb | trio.BrokenResourceError | trio.ClosedResourceError):
            raise ServerUnavailable(f"{NAME} does not answer (it has ended a session)") from error
        if isinstance(error, trio.TooSlowError):
            raise ServerUnavailable(f"{NAME} does not answer (within {_ANSWER_S:g} s)") from error


async def _always(_plain: trio.SocketStream) -> bool:
    """MongoDB encrypts from the first byte."""
    await trio.lowlevel.checkpoint()
    return True


async def check_mongodb(address: ServerAddress) -> str:
    """Return the version of a server whose account has the rights that are needed; see ``check_server``.

    Raises:
        ServerUnavailable: It does not answer, or lacks something.

    Cancellation: no connection is left.
    """
    server = MongodbServer(address)
    async with server.open():
        return await server.check()
