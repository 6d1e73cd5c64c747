"""Access that one node of a cluster has revoked ends the open requests on the others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from sqlalchemy import insert

from preview.auth import ApiTokens
from preview.auth.members import Members
from preview.auth.token_roles import TokenRole
from preview.cluster import ANYTHING
from preview.cluster.notices import Notices
from preview.errors import Unauthenticated
from preview.http import people as people_module
from preview.http.core.live_requests import LiveRequests
from preview.http.people import Revocations
from preview.people_errors import ApiTokenNotFound
from preview.storage.database import Database, open_database
from preview.storage.people_tables import members
from preview.user import User

ANN, BOB = User("invited:ann", "pro"), User("bob", "pro")


@dataclass
class NodeOfPeople:
    database: Database
    live: LiveRequests
    tokens: ApiTokens
    members: Members
    notices: Notices

    def open(self, key: str) -> trio.Event:
        """Open a request; the event is set when it is cut off."""
        cut = trio.Event()
        self.live.watch(key, cut.set)
        return cut


@asynccontextmanager
async def open_node(url: str) -> AsyncIterator[NodeOfPeople]:
    async with open_database(url) as database, trio.open_nursery() as nursery:
        live = LiveRequests()
        tokens = ApiTokens(database, lambda one: live.cut(f"token {one}"))
        book = Members(database, tokens, lambda one: live.cut(f"member {one}"))
        notices = Notices(database.engine)
        people: Any = SimpleNamespace(api_tokens=tokens, members=book, live_requests=live)
        listening = trio.Event()

        def note(payload: str) -> None:
            if payload == ANYTHING:
                listening.set()

        with notices.subscribed(note):
            nursery.start_soon(Revocations(people, notices).run)
            await nursery.start(notices.run)
            with trio.fail_after(90):
                await listening.wait()
            yield NodeOfPeople(database, live, tokens, book, notices)
        nursery.cancel_scope.cancel()


async def test_what_one_node_revokes_ends_on_the_others(postgres_database_url: str) -> None:
    async with open_node(postgres_database_url) as one, open_node(postgres_database_url) as two:
        # An attacker's attempt first: the id of another user's token.
        token, text = await one.tokens.create(ANN, "ci", TokenRole.READ, 3600)
        other, _ = await one.tokens.create(BOB, "ci", TokenRole.READ, 3600)
        cut, kept = two.open(f"token {token.id}"), two.open(f"token {other.id}")
        assert (await two.tokens.authenticate(text)).user == ANN
        with pytest.raises(ApiTokenNotFound):
            await one.tokens.revoke(BOB.id, token.id)
        await one.tokens.revoke(ANN.id, token.id)
        with trio.fail_after(90):
            await cut.wait()
        assert not kept.is_set()
        # What the other node has known for less than five seconds is forgotten, too.
        with pytest.raises(Unauthenticated):
            await two.tokens.authenticate(text)

        # A member, with tokens.
        row = {"user_id": ANN.id, "invitation_id": "i", "name": "Ann", "role": "use", "created_at": 0}

        await one.database.write(lambda connection: connection.execute(insert(members).values(row)))
        token, _ = await one.tokens.create(ANN, "ci", TokenRole.READ, 3600)
        person, program = two.open(f"member {ANN.id}"), two.open(f"token {token.id}")
        await one.members.remove(ANN.id)
        with trio.fail_after(90):
            await person.wait()
            await program.wait()
        assert not kept.is_set()


async def test_a_node_that_has_missed_a_notice_looks_its_open_requests_up(
    postgres_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people_module, "_LOOK_EACH_S", 0.05)
    monkeypatch.setattr("preview.auth.api_tokens.notify", lambda *_: None)
    async with open_node(postgres_database_url) as one, open_node(postgres_database_url) as two:
        token, _ = await one.tokens.create(ANN, "ci", TokenRole.READ, 3600)
        other, _ = await one.tokens.create(BOB, "ci", TokenRole.READ, 3600)
        cut, kept, guest = (two.open(key) for key in (f"token {token.id}", f"token {other.id}", "guest guest_1"))
        await one.tokens.revoke(ANN.id, token.id)
        with trio.fail_after(90):
            await cut.wait()
        assert not kept.is_set()
        assert not guest.is_set()
