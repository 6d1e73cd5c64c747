"""Limits of what people keep, on two nodes of a cluster: they hold for both together, also at the same moment."""

from __future__ import annotations

import pytest
import trio

from preview.auth import api_tokens
from preview.auth.api_tokens import ApiTokens
from preview.auth.token_roles import TokenRole
from preview.people_errors import ApiTokenLimitReached
from preview.storage import open_database
from preview.user import User


async def test_a_users_tokens_have_one_limit_on_all_nodes(
    postgres_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_tokens, "MOST_TOKENS", 3)
    refused = 0

    async def create(tokens: ApiTokens) -> None:
        nonlocal refused
        try:
            await tokens.create(User("ann"), "ci", TokenRole.READ, 60)
        except ApiTokenLimitReached:
            refused += 1

    async with open_database(postgres_database_url) as first, open_database(postgres_database_url) as second:
        nodes = [ApiTokens(database, lambda _: None) for database in (first, second)]
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                for node in nodes:
                    nursery.start_soon(create, node)
        assert [len(await node.list("ann")) for node in nodes] == [3, 3]
        assert refused == 5
