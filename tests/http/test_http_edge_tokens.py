"""Each secret opens one thing, for one user: none of them stands in for another."""

from __future__ import annotations

from pathlib import Path

import httpx2
from http_kit import FILES, World, open_world

ECHO = {"method": "GET", "path": "/echo"}
V1 = "/api/v1/generations"


async def proxied(world: World, generation: str, user: str, token: str) -> httpx2.Response:
    return await world.ask(
        "POST", f"{V1}/{generation}/preview/request", ECHO, user=user, headers={"X-Preview-Token": token}
    )


async def test_no_secret_opens_what_another_is_for(tmp_path: Path) -> None:
    async with open_world(tmp_path, max_instances_per_user=2) as world:
        mine, other = await world.keep(FILES), await world.keep(FILES)
        theirs = await world.keep(FILES, user="bob", project="proj_2")
        token = (await world.launch(mine))["session_token"]
        other_token = (await world.launch(other))["session_token"]
        their_token = (await world.launch(theirs, user="bob"))["session_token"]
        ticket = (await world.ask("POST", f"{V1}/{mine}/preview/logs/ticket")).json()["ticket"]
        bearer = world.token("ann")
        stream = f"{V1}/{{}}/preview/logs/stream?follow=false&ticket={{}}"

        async def get(path: str, **headers: str) -> int:
            return (await world.client.get(path, headers=headers)).status_code

        # As they are meant.
        assert (await proxied(world, mine, "ann", token)).json()["status_code"] == 200
        assert await get(stream.format(mine, ticket)) == 200
        # Preview tokens: of another preview of mine, of somebody else's, and on somebody else's preview.
        for generation, user, wrong in [
            (mine, "ann", other_token),
            (mine, "ann", their_token),
            (theirs, "ann", their_token),
            (theirs, "bob", token),
            (mine, "bob", token),
            (mine, "ann", ticket),
            (mine, "ann", bearer),
            (mine, "ann", token.upper()),
            (mine, "ann", token + "x"),
            (mine, "ann", ""),
        ]:
            assert (await proxied(world, generation, user, wrong)).status_code == 403
        # Tickets: for another preview of mine, for somebody else's, and what is none.
        assert await get(stream.format(other, ticket)) == 403
        assert await get(stream.format(theirs, ticket)) == 403
        for wrong in (token, bearer, world.secret, ticket + "x", ticket[:-1], ""):
            assert await get(stream.format(mine, wrong)) == 401
        # Neither is a bearer token or a session, and no token counts in an address.
        for wrong in (token, ticket, world.secret):
            assert await get("/api/v1/previews", Authorization=f"Bearer {wrong}") == 401
            assert await get("/api/v1/previews", Cookie=f"{world.app.backend.session_cookie}={wrong}") == 401
        for name in ("token", "access_token", "ticket", "authorization"):
            assert await get(f"/api/v1/previews?{name}={bearer}") == 401
            assert await get(f"{V1}/{mine}/preview/status?{name}={ticket}") == 401
        # A ticket opens the stream and nothing more of the log.
        assert await get(f"{V1}/{mine}/preview/logs?ticket={ticket}") == 401
        # A restart in place is of the same preview; the next launch is another one.
        answer = await world.ask("POST", f"{V1}/{mine}/preview/restart", headers={"Prefer": "wait=60"})
        assert answer.status_code in {200, 201}, answer.text
        assert (await proxied(world, mine, "ann", token)).status_code == 200
        assert (await world.ask("DELETE", f"{V1}/{mine}/preview")).status_code == 204
        assert (await proxied(world, mine, "ann", token)).status_code in {403, 503}
        anew = (await world.launch(mine))["session_token"]
        assert (await proxied(world, mine, "ann", token)).status_code == 403
        assert (await proxied(world, mine, "ann", anew)).status_code == 200


async def test_the_service_s_own_authorization_and_cookie_do_not_reach_the_preview(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        token = (await world.launch(generation))["session_token"]
        fields = {
            "Cookie": f"{world.app.backend.session_cookie}=sesame; own=1",
            "X-Own": "sesame",
            "Forwarded": "for=sesame",
        }
        headers = fields | {"X-Preview-Token": token}
        answer = await world.ask("POST", f"{V1}/{generation}/preview/request", ECHO, headers=headers)
        said = answer.json()["body"]
        for secret in ("sesame", token, "own=1", "Bearer"):
            assert secret not in said
