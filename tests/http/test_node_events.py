"""A user's events on the nodes of a cluster: a reader on one learns what happens on another, and nobody else does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import pytest
import trio
import trio.testing
from nodes_kit import open_two

from preview.cluster import ANYTHING, Notices
from preview.core.clock import utc_now
from preview.core.lifecycle import Departure, Health, State, StopCause
from preview.errors import DatabaseUnavailable, PreviewUnavailable
from preview.http.routes.people.events import _retell, _States, tell_removed_comment, telling_people
from preview.logs import StatusChange
from preview.storage.database import Database
from preview.supervisor.preview.outcome import Outcome, departed
from preview.together import EventBook, NodeEvents, UserEvents, node_events

PATIENCE_S = 60


class Line:
    """PostgreSQL as far as it passes notices on."""

    def __init__(self) -> None:
        self.nodes: list[Notices] = []
        self.sent: list[str] = []
        self.is_up = True

    async def write(self, change: Callable[[Any], None]) -> None:
        await trio.lowlevel.checkpoint()
        if not self.is_up:
            raise DatabaseUnavailable("It does not respond.")
        came = list[str]()
        dialect = SimpleNamespace(name="postgresql")
        change(SimpleNamespace(dialect=dialect, execute=lambda _text, values: came.append(values["payload"])))
        self.publish(*came)

    def publish(self, *payloads: str) -> None:
        assert all(len(one.encode()) < 8000 for one in payloads)
        self.sent += payloads
        for node in self.nodes:
            node._publish_all(list(payloads))

    def join(self, nursery: trio.Nursery, name: str, book: EventBook, retell: Callable[[str], None]) -> Notices:
        notices = Notices(cast("Any", None))
        self.nodes.append(notices)
        nursery.start_soon(NodeEvents(name, book, notices, cast("Database", self), retell).run)
        return notices


class Cluster:
    """Two books of events, without services."""

    def __init__(self, line: Line, one: EventBook, two: EventBook) -> None:
        self.line = line
        self.one = one
        self.two = two
        self.retold: list[str] = []

    def tell(self, user: str, subject: str, data: object = 1) -> None:
        events = self.one.find(user)
        if events is not None:
            events.tell(subject, "preview", json.dumps(data), generation_id="g", preview_id="p")


@asynccontextmanager
async def two_books() -> AsyncIterator[Cluster]:
    async with trio.open_nursery() as nursery:
        made = Cluster(Line(), EventBook(), EventBook())
        made.line.join(nursery, "one", made.one, made.retold.append)
        made.line.join(nursery, "two", made.two, lambda _: None)
        await trio.testing.wait_all_tasks_blocked()
        yield made
        nursery.cancel_scope.cancel()


async def settled() -> None:
    """Wait until every event so far has been sent."""
    await trio.sleep(0.5)


async def test_only_the_users_own_readers_learn_of_a_change(autojump_clock: trio.testing.MockClock) -> None:
    async with two_books() as cluster:
        ann, bob = cluster.two.of("ann"), cluster.two.of("bob")
        with ann.reading(), bob.reading():
            await settled()
            cluster.tell("ann", "preview p", "secret")
            cluster.tell("zoe", "preview q", "of nobody here")
            await settled()
            assert [(one.data, one.node) for one in ann.after(0) or ()] == [('"secret"', "one")]
            assert bob.after(0) == []
        assert "of nobody here" not in "".join(cluster.line.sent)


async def test_what_is_no_event_is_left_aside(autojump_clock: trio.testing.MockClock) -> None:
    async with two_books() as cluster:
        events = cluster.two.of("ann")
        with events.reading():
            await settled()
            for payload in (
                "event:",
                "event:[]",
                "event:{}\n{}",
                "event:[1,2,3]\n",
                "readers:",
                "readers:[1,2]",
                "readers:7",
            ):
                cluster.line.publish(payload)
            cluster.tell("ann", "preview p")
            await settled()
            assert len(events.after(0) or ()) == 1


async def test_nothing_is_sent_without_a_reader_elsewhere(autojump_clock: trio.testing.MockClock) -> None:
    async with two_books() as cluster:
        with cluster.one.of("ann").reading():
            await settled()
            cluster.line.sent.clear()
            cluster.tell("ann", "preview p")
            cluster.tell("bob", "preview q")
            await settled()
            assert cluster.line.sent == []
            # The other node announces nothing because of this node's reader.
            await trio.sleep(100)
            assert {json.loads(one.removeprefix("readers:"))[0] for one in cluster.line.sent} == {"one"}


async def test_changes_that_come_together_are_one_event(autojump_clock: trio.testing.MockClock) -> None:
    async with two_books() as cluster:
        events = cluster.two.of("ann")
        with events.reading():
            await settled()
            cluster.line.sent.clear()
            for number in range(100):
                cluster.tell("ann", "preview p", number)
            await settled()
            assert len(cluster.line.sent) == 1
            assert [one.data for one in events.after(0) or ()] == ["99"]


async def test_too_much_for_notices_makes_readers_read_everything_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with two_books() as cluster:
        events = cluster.two.of("ann")
        with events.reading():
            await settled()
            seen = events.last
            cluster.tell("ann", "preview p", "x" * 9000)
            await settled()
            assert events.after(seen) is None
            seen, before = events.last, len(cluster.line.sent)
            for number in range(5000):
                cluster.tell("ann", f"preview {number}")
            await settled()
            assert events.after(seen) is None
            new = cluster.line.sent[before:]
            assert len(new) <= node_events._MOST_WAITING + 1, (new[:2], new[-3:])


async def test_too_many_changes_of_all_users_are_one_notice_for_everybody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    users = [f"u{number}" for number in range(2000)]
    async with two_books() as cluster:
        with ExitStack() as reading:
            for user in users:
                reading.enter_context(cluster.two.of(user).reading())
            await settled()
            seen, before = {user: cluster.two.of(user).last for user in users}, len(cluster.line.sent)
            for user in users:
                cluster.tell(user, "preview p")
            await settled()
            assert len(cluster.line.sent) - before < 800
            unread = [user for user in users if cluster.two.of(user).after(seen[user]) == []]
            assert unread == []
            # And while the database does not respond.
            before, cluster.line.is_up = len(cluster.line.sent), False
            for number in range(5):
                for user in users:
                    cluster.tell(user, f"preview {number}")
                await trio.sleep(1.5)
            cluster.line.is_up = True
            await trio.sleep(5)
            assert len(cluster.line.sent) - before < 800


async def test_readers_of_many_users_read_everything_once_only(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_events, "_MOST_USERS", 100)
    async with two_books() as cluster:
        with ExitStack() as reading:
            for number in range(150):
                reading.enter_context(cluster.two.of(f"u{number}").reading())
            await trio.sleep(61)
            seen, before = {name: cluster.two.of(name).last for name in ("u0", "u149")}, len(cluster.line.sent)
            await trio.sleep(600)
            assert not [one for one in cluster.line.sent[before:] if '"lost"' in one]
            # And no change of theirs is missed.
            for name, last in seen.items():
                cluster.tell(name, "preview p", name)
                await settled()
                assert [one.data for one in cluster.two.of(name).after(last) or ()] == [f'"{name}"']
        await trio.sleep(600)
        # Long after the last reader, nothing is sent.
        before = len(cluster.line.sent)
        cluster.tell("u0", "preview p")
        await settled()
        assert len(cluster.line.sent) == before


async def test_lost_notices_make_readers_read_everything_again(autojump_clock: trio.testing.MockClock) -> None:
    async with two_books() as cluster:
        events = cluster.two.of("ann")
        with events.reading():
            await settled()
            seen, before = events.last, len(cluster.retold)
            cluster.line.nodes[1].publish(ANYTHING)
            assert events.after(seen) is None
            await settled()
            assert len(cluster.retold) == before + 1
            # The answers of all nodes may be too much again, so there is no second round at once.
            for _ in range(5):
                cluster.line.nodes[1].publish(ANYTHING)
                await settled()
            assert len(cluster.retold) == before + 1
            await trio.sleep(31)
            assert len(cluster.retold) == before + 2


async def test_a_node_that_has_missed_an_announcement_learns_of_the_reader(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with two_books() as cluster:
        deaf = cluster.line.nodes.pop(0)
        events = cluster.two.of("ann")
        with events.reading():
            await settled()
            cluster.tell("ann", "preview p")
            cluster.line.nodes.append(deaf)
            await settled()
            assert events.last == 0
            seen = events.last
            await trio.sleep(31)
            assert events.after(seen) is None
            assert cluster.retold == ["ann"]


async def test_a_change_just_before_the_reader_is_known_is_not_missed(autojump_clock: trio.testing.MockClock) -> None:
    async with two_books() as cluster:
        events = cluster.two.of("ann")
        with events.reading():
            seen = events.last
            cluster.tell("ann", "preview p")
            await settled()
            assert events.after(seen) is None


async def test_an_outage_of_the_database_delays_events(autojump_clock: trio.testing.MockClock) -> None:
    async with two_books() as cluster:
        events = cluster.two.of("ann")
        with events.reading():
            await settled()
            cluster.line.is_up = False
            cluster.tell("ann", "preview p", 1)
            await trio.sleep(5)
            cluster.tell("ann", "preview p", 2)
            cluster.tell("ann", "preview q", 3)
            cluster.line.is_up = True
            await trio.sleep(5)
            assert [one.data for one in events.after(0) or ()] == ["2", "3"]


async def test_a_reader_learns_of_previews_people_and_comments_of_the_other_node(tmp_path: Path) -> None:
    line = Line()
    async with open_two(tmp_path, within_s=PATIENCE_S * 3) as two, trio.open_nursery() as nursery:
        one = two.owner
        for name, edge in (("one", one.edge), ("two", two.other)):
            backend = edge.app.backend
            line.join(nursery, name, backend.people.events, partial(_retell, backend))
        await trio.testing.wait_all_tasks_blocked()

        async def seen(events: UserEvents, event_name: str, **fields: object) -> None:
            """An event of this name with these fields comes."""
            while not any(fields.items() <= json.loads(event.data).items() for event in events.newest(event_name)):
                await events.wait()

        async def people(user: str) -> list[tuple[str, int, int]]:
            async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
                answer = await client.get(
                    f"http://{':'.join(map(str, two.other.address))}/api/v1/events", headers=one.bearer(user)
                )
            return [(item["preview_id"], len(item["viewers"]), item["unread"]) for item in answer.json()["items"]]

        with trio.fail_after(PATIENCE_S), two.other.app.backend.people.events.of("ann").reading():
            ann = two.other.app.backend.people.events.of("ann")

            async def has_people(expected: list[tuple[str, int, int]]) -> None:
                while True:
                    before = ann.last
                    if await people("ann") == expected:
                        return
                    if ann.last == before:
                        await ann.wait()

            await seen(ann, "preview", id=one.preview.id, status="running")
            headers = one.bearer() | {"Accept": "text/event-stream"}
            path = f"/api/v1/generations/{one.generation}/preview/viewers"
            async with one.client.stream("GET", path, headers=headers):
                await has_people([(one.preview.id, 1, 0)])
                assert await people("bob") == []
            await has_people([])
            tell_removed_comment(one.edge.app.backend, one.preview.record, "c1")
            await seen(ann, "comment_removed", id="c1")
            renamed = await one.client.patch(
                f"/api/v1/generations/{one.generation}", json={"name": "shop"}, headers=one.bearer()
            )
            assert renamed.status_code == 200, renamed.text
            await seen(ann, "generation", name="shop")
            # As its task tells: a preview that goes on elsewhere has not ended.
            told = _States(one.edge.app.backend.people.events, one.preview)

            async def all_seen(mark: str) -> None:
                """What was sent before this mark has come: events keep their order."""
                tell_removed_comment(one.edge.app.backend, one.preview.record, mark)
                await seen(ann, "comment_removed", id=mark)

            outcomes = (
                departed(Departure.NODE_LOST, PreviewUnavailable("It is lost.")),
                Outcome(State.STOPPED, "stopped on request", StopCause.USER),
            )
            for outcome in outcomes:
                one.preview.outcome = outcome
                one.preview.record = replace(
                    one.preview.record, state=outcome.state, reason=outcome.reason, stopped_at=utc_now()
                )
                told.offer(StatusChange(one.preview.id, outcome.state, Health.UNKNOWN, outcome.reason, 0))
                if outcome.departure is not None:
                    # A reader comes, and a viewer goes: its new node knows better.
                    await all_seen("before")
                    before, backend = len(line.sent), one.edge.app.backend
                    _retell(backend, "ann")
                    with telling_people(backend, one.preview):
                        pass
                    await all_seen("after")
                    sent = [one for one in line.sent[before:] if one.startswith("event:")]
                    assert ["comment_removed" in one for one in sent] == [True], sent
            await seen(ann, "preview", status="stopped")
            assert "node lost ownership" not in "".join(line.sent)
        nursery.cancel_scope.cancel()
