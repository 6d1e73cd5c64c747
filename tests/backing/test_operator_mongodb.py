"""A MongoDB of the operator's, against a small server of the tests: none that is real was ever tried."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import bson
import pymongo
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from mongodb_kit import ADMIN, FakeMongodb, open_mongodb, user
from pymongo.errors import OperationFailure, PyMongoError

from preview.backing import ServerUnavailable, check_server
from preview.backing.interface import ClientCommand
from preview.backing.mongodb.bson import NotBson, decode, elements, encode, rewrite
from preview.backing.mongodb.engine import MongodbDatabase, OperatorMongodb
from preview.backing.mongodb.wire import NotMongodb, as_one_server, redirect, redirect_query
from preview.backing.operator.names import Names
from preview.errors import DataUnavailable, QueryRefused
from preview.runtime import beside
from preview.settings import load_settings
from preview.settings_address import ServerAddress

T = TypeVar("T")
MARK = "0123456789ab"


def address_of(server: FakeMongodb, account: str = f"{ADMIN}:sesame-%C3%B6pen") -> ServerAddress:
    found = load_settings(mongodb=f"mongodb://{account}@127.0.0.1:{server.port}").mongodb
    assert isinstance(found, ServerAddress)
    return found


async def no_program(_command: ClientCommand) -> None:
    raise AssertionError("no program is needed")


@asynccontextmanager
async def open_engine(server: FakeMongodb, mark: str = MARK) -> AsyncIterator[OperatorMongodb]:
    engine = OperatorMongodb(address_of(server), Names(mark), connections=20, most_bytes=1024**2)
    async with beside(engine.run):
        yield engine


@asynccontextmanager
async def reached(database: MongodbDatabase) -> AsyncIterator[int]:
    """A port that leads to a preview's database, as one of its own loopback does."""

    async def serve(client: trio.SocketStream) -> None:
        async with client:
            await database.serve(client)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_one() -> AsyncIterator[tuple[FakeMongodb, MongodbDatabase, int]]:
    """A server, a preview's database on it, and the port that leads there."""
    async with (
        open_mongodb(FakeMongodb()) as server,
        open_engine(server) as engine,
        engine.open_database("one", 1) as one,
        reached(one) as port,
    ):
        yield server, one, port


async def using(port: int, work: Callable[[Any], T], options: str = "") -> T:
    """Run a driver in a thread."""

    def run() -> T:
        url = f"mongodb://127.0.0.1:{port}/shop?serverSelectionTimeoutMS=5000{options}"
        with pymongo.MongoClient[dict[str, Any]](url) as client:
            return work(client)

    return await trio.to_thread.run_sync(run)


def titles(client: Any) -> list[str]:
    return [one["title"] for one in client["shop"]["books"].find()]


def inserting(*names: str) -> Callable[[Any], None]:
    documents = [{"_id": number, "title": name} for number, name in enumerate(names)]
    return lambda client: client["shop"]["books"].insert_many(documents) and None


async def test_previews_have_databases_of_their_own_by_any_name_and_leave_nothing() -> None:
    with trio.fail_after(30):
        async with open_mongodb(FakeMongodb()) as server, open_engine(server) as engine:
            async with engine.open_database("one", 1) as one, engine.open_database("two", 2) as two:
                async with reached(one) as first, reached(two) as second:
                    assert await one.measure() is None
                    # Compression would hide what a command says, and members of a set are not reached.
                    await using(first, inserting("Emma", "Persuasion"), "&compressors=zlib")
                    await using(second, inserting("Middlemarch"))
                    assert await using(first, titles) == ["Emma", "Persuasion"]
                    assert await using(second, titles) == ["Middlemarch"]
                    # Another's, by its own name, is one's own.
                    assert await using(first, lambda client: len(list(client[two.name]["books"].find()))) == 2
                    with pytest.raises(OperationFailure, match="not authorized"):
                        await using(first, lambda client: client["admin"].command("usersInfo", 1))
                assert not server.compressed
                assert server.stored.keys() == {one.name, two.name}
                assert (await one.measure() or 0) > 50
            assert server.names == []


async def test_what_slow_means_for_the_whole_server_is_not_a_previews_to_say() -> None:
    with trio.fail_after(30):
        async with open_one() as (server, _one, port):
            await using(port, inserting("Emma"))
            # slowms is of the server, whichever database the command names.
            with pytest.raises(OperationFailure, match="not authorized"):
                await using(port, lambda client: client["shop"].command("profile", 0, slowms=0) and None)
            assert server.slow_ms == 100
            # What projects need is left: an index, and the end of a collection.
            await using(port, lambda client: client["shop"]["books"].create_index("title"))
            await using(port, lambda client: client["shop"]["books"].drop())


async def test_a_password_of_the_project_gives_a_sentence() -> None:
    with trio.fail_after(30):
        async with open_one() as (_server, _one, port):
            url = f"mongodb://root:example@127.0.0.1:{port}/?serverSelectionTimeoutMS=5000"

            def log_in() -> None:
                with pymongo.MongoClient[dict[str, Any]](url) as client:
                    client["admin"].command("ping")

            with pytest.raises(OperationFailure, match="remove them from the address"):
                await trio.to_thread.run_sync(log_in)


async def test_its_data_is_shown_saved_and_brought_back(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with open_one() as (server, one, port):
            assert not await one.save(tmp_path / "nothing", no_program)
            await using(port, inserting("Emma", "Persuasion"))
            await using(port, lambda client: client["shop"]["books"].create_index("title"))
            [table] = await one.list_tables()
            assert (table.name, table.rows) == ("books", 2)
            found = await one.read_table("books", offset=1, limit=1)
            assert (found.rows, found.has_more) == ((('{"_id": 1, "title": "Persuasion"}',),), True)
            with pytest.raises(QueryRefused, match="no SQL"):
                await one.query("select 1", most_rows=1)
            assert await one.save(tmp_path / "saved", no_program)
            await one.reset()
            assert await using(port, titles) == []
            await one.load(tmp_path / "saved", no_program)
            assert await using(port, titles) == ["Emma", "Persuasion"]
            assert [index["name"] for index in server.indexes[one.name, "books"]] == ["title_1"]
            whole = (tmp_path / "saved").read_bytes()
            for odd in (
                whole[:-3],
                whole[:40],
                b"\5\0\0\0\0",
                b"\xff\xff\xff\x7fxx",
                whole.replace(b"name\0", b"nome\0"),
            ):
                (tmp_path / "odd").write_bytes(odd)
                with pytest.raises(DataUnavailable):
                    await one.load(tmp_path / "odd", no_program)


def _insert_into(name: str, client: pymongo.MongoClient[dict[str, Any]]) -> None:
    client["shop"][name].insert_one({"_id": 1})


async def test_more_collections_than_a_snapshot_holds_are_refused_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preview.backing.mongodb.contents._MOST_COLLECTIONS", 2)
    with trio.fail_after(30):
        async with open_one() as (_, one, port):
            for name in ("a", "b", "c"):
                await using(port, partial(_insert_into, name))
            assert [table.name for table in await one.list_tables()] == ["a", "b"]
            with pytest.raises(DataUnavailable, match="3 collections here, and a snapshot saves 2 at most"):
                await one.save(tmp_path / "saved", no_program)


async def test_what_a_killed_service_leaves_is_dropped_and_nothing_else() -> None:
    server = FakeMongodb()
    mine, other = f"pv_{MARK}_{'1' * 16}", f"pv_ba9876543210_{'1' * 16}"
    for name in (mine, other, "shop"):
        server.users[name, name] = user(name, "x", [{"role": "readWrite", "db": name}])
        server.stored[name] = {"books": []}
    with trio.fail_after(30):
        async with open_mongodb(server):
            engine = OperatorMongodb(address_of(server), Names(MARK), connections=20, most_bytes=1024**2)
            async with engine.server.open():
                await engine.keeper.set_up()
                assert engine.version == "MongoDB 7.0.99"
                assert list(engine.keeper.orphans) == [mine]
                assert await engine.keeper.drop(mine)
    assert server.names == [other, "shop", other, "shop"]


@pytest.mark.parametrize(
    ("account", "is_open", "said"),
    [
        (f"{ADMIN}:sesame-%C3%B6pen", False, None),
        (f"{ADMIN}:wrong", False, "Authentication failed"),
        (f"{ADMIN}:sesame-%C3%B6pen", True, "asks for no password"),
        ("reader:x", False, "lacks roles in MongoDB 7.0.99: userAdminAnyDatabase"),
    ],
)
async def test_the_account_and_the_server_are_checked(account: str, is_open: bool, said: str | None) -> None:
    server = FakeMongodb(is_open=is_open)
    server.users["admin", "reader"] = user("admin", "x", [{"role": "readAnyDatabase", "db": "admin"}])
    with trio.fail_after(30):
        async with open_mongodb(server):
            if said is None:
                assert await check_server(address_of(server, account)) == "MongoDB 7.0.99"
                return
            with pytest.raises(ServerUnavailable, match=said) as raised:
                await check_server(address_of(server, account))
            assert "sesame" not in str(raised.value)


async def test_a_server_that_is_down_gives_a_sentence() -> None:
    with trio.fail_after(30):
        async with open_mongodb(FakeMongodb()) as server:
            pass
        async with open_engine(server) as engine, engine.open_database("one", 1) as one, reached(one) as port:
            with pytest.raises(PyMongoError, match="MongoDB does not answer"):
                await using(port, titles)


TWICE = struct.pack("<i", 27) + b"\x02$db\0\2\0\0\0a\0\x02$db\0\2\0\0\0b\0\0"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("<iiii", 16, 1, 0, 2013),
        struct.pack("<iiii", 2**31 - 1, 1, 0, 2013) + bytes(64),
        struct.pack("<iiii", 40, 1, 0, 2012) + bytes(24),
        struct.pack("<iiiiI", 30, 1, 0, 2013, 0) + b"\0" + struct.pack("<i", 2**30) + bytes(8),
        struct.pack("<iiiiI", 26, 1, 0, 2013, 1) + b"\0" + encode({}),
        # Two databases: the server would take one, and the check the other.
        struct.pack("<iiiiI", 21 + len(TWICE), 1, 0, 2013, 0) + b"\0" + TWICE,
    ],
)
async def test_what_is_not_the_protocol_ends_the_connection(sent: bytes) -> None:
    with trio.fail_after(30):
        async with open_one() as (_server, _one, port):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                await stream.send_all(sent)
                with suppress(trio.BrokenResourceError):
                    assert await stream.receive_some(1) == b""
            assert await using(port, titles) == []


async def test_large_commands_that_never_end_delay_no_other_preview() -> None:
    half = struct.pack("<iiiiI", 12 * 1024 * 1024, 1, 0, 2013, 0) + b"\0" + struct.pack("<i", 11 * 1024 * 1024)
    with trio.fail_after(10):
        async with (
            open_mongodb(FakeMongodb()) as server,
            open_engine(server) as engine,
            engine.open_database("one", 1) as one,
            engine.open_database("two", 2) as two,
            reached(one) as first,
            reached(two) as second,
            AsyncExitStack() as stack,
        ):
            for _ in range(6):
                stream = await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", first))
                await stream.send_all(half)
            while engine.large.borrowed_tokens < 1:
                await trio.testing.wait_all_tasks_blocked(0.01)
            await trio.testing.wait_all_tasks_blocked(0.2)
            await using(second, lambda client: client["shop"]["books"].find_one({"_id": "x" * 2_000_000}))


NAMES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=4)
SIMPLE: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SIMPLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_documents_are_those_of_the_driver(document: dict[str, Any]) -> None:
    # The driver writes smaller numbers, so it is asked what they mean.
    assert bson.decode(encode(document)) == document
    assert decode(bson.encode(document)) == document


@given(st.dictionaries(NAMES.filter(lambda name: name != "$db"), VALUES, min_size=1, max_size=5), NAMES)
def test_a_command_is_executed_on_its_own_database(document: dict[str, Any], database: str) -> None:
    found = bson.decode(redirect(bson.encode({**document, "$db": database}), "pv_own"))
    wanted = database if database in ("admin", "config", "local") else "pv_own"
    hello = next(iter(document)) in ("hello", "isMaster", "ismaster")
    assert found == {**document, "$db": wanted} or hello


@given(st.binary(max_size=200), st.integers(0, 60), st.integers(0, 255))
def test_any_bytes_are_read_or_refused(noise: bytes, place: int, byte: int) -> None:
    whole = bytearray(bson.encode({"find": "books", "filter": {"a": [1, {"b": b"x"}]}, "n": 1.5, "$db": "shop"}))
    whole[place % len(whole)] = byte
    for content in (noise, bytes(whole), bytes(whole) + noise):
        for read in (
            decode,
            lambda data: list(elements(data)),
            lambda data: rewrite(data, without={b"n"}),
            lambda data: redirect(data, "pv_own"),
            redirect_query,
            partial(as_one_server, 1),
            partial(as_one_server, 2013),
        ):
            try:
                read(content)
            except (NotBson, NotMongodb):
                continue


def test_a_document_of_very_many_elements_is_refused_at_once() -> None:
    content = b"\x0aa\0" * 1_000_000
    document = struct.pack("<i", len(content) + 5) + content + b"\0"
    with pytest.raises(NotBson, match="too many"):
        list(elements(document))
    deep = encode({})
    for _ in range(200):
        deep = struct.pack("<i", len(deep) + 8) + b"\3a\0" + deep + b"\0"
    with pytest.raises(NotBson, match="levels"):
        decode(deep)
