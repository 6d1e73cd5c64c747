"""Roles of API tokens: each tries every route of the document, then what it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from browser_kit import open_door
from http_kit import FILES, World, open_world
from sqlalchemy import update
from test_http_guests import all_routes

from preview.auth import TokenRole
from preview.http.roles import role_needed
from preview.storage.people_tables import api_tokens

ROLES = list(TokenRole)
# Tokens, sessions and the operator's routes: not for any API token.
_NEVER = ("account.", "operator.", "session.exchange", "session.logout", "together.join")
_SECRETS = ("hidden-value-of-a-secret", "value-of-a-variable", "hooks.example")


async def make_token(world: World, role: str) -> dict[str, Any]:
    made = await world.ask("POST", "/api/v1/tokens", {"name": role, "role": role})
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


async def ask(world: World, token: dict[str, Any], method: str, path: str, body: Any = None) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token['token']}"}
    return await world.ask(method, path, body, user=None, headers=headers)


async def test_each_role_gets_its_routes_only_and_reading_shows_no_secret(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        project = "/api/v1/projects/proj_1"
        await world.ask("PATCH", f"{project}/environment", {"set": {"PLAIN": _SECRETS[1]}})
        await world.ask("PUT", f"{project}/secrets/API_KEY", {"value": _SECRETS[0]})
        routes = await all_routes(world, generation)
        tokens = {role: await make_token(world, role.value) for role in ROLES}
        before = await world.ask("GET", f"/api/v1/generations/{generation}")
        for role in ROLES[:-1]:
            for name, method, address in routes:
                if role.contains(role_needed(name)) and not name.startswith(_NEVER):
                    continue
                body: Any = None if method in {"GET", "DELETE"} else {}
                refused = await ask(world, tokens[role], method, address, body)
                if name != "account.usage" and name not in {"session.logout", "together.join"}:
                    assert refused.status_code == 403, (role, name, refused.status_code, refused.text)
        assert (await world.ask("GET", f"/api/v1/generations/{generation}")).json() == before.json()
        status = await world.ask("GET", f"/api/v1/generations/{generation}/preview/status")
        assert status.json()["status"] == "running"
        # All that it may read shows no value of a variable or secret, and none of it changes anything.
        for name, method, address in routes:
            if role_needed(name) is TokenRole.READ and not name.endswith((".stream", ".events", "agents.serve")):
                assert method == "GET", name
                found = await ask(world, tokens[TokenRole.READ], method, address.replace("/x/", "/proj_1/"))
                assert found.status_code != 403, name
                assert not [one for one in _SECRETS if one in found.text], name


def test_every_name_in_the_table_is_a_route(tmp_path: Path) -> None:
    from http_kit import make_settings

    from preview.http import create_app
    from preview.http.roles import _ROLE_OF

    rules = list(create_app(make_settings(tmp_path)).url_map.iter_rules())
    methods = {one.endpoint: set(one.methods or ()) - {"HEAD", "OPTIONS"} for one in rules}
    assert set(_ROLE_OF) <= set(methods) | {"agents.serve"}
    changing = {name for name, given in methods.items() if given - {"GET"}}
    assert {name for name in changing if role_needed(name) is TokenRole.READ} <= {"agents.serve"}


async def test_each_role_does_what_it_is_for(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        made = await world.launch(generation)
        base = f"/api/v1/generations/{generation}"
        read, use, launch = [await make_token(world, one) for one in ("read", "use", "launch")]
        for token in (read, use, launch):
            assert (await ask(world, token, "GET", f"{base}/preview/logs")).status_code == 200
        call = {"method": "GET", "path": "/health"}
        headers = {"X-Preview-Token": made["session_token"]}
        for token, status in ((read, 403), (use, 200)):
            sent = {"Authorization": f"Bearer {token['token']}"} | headers
            answer = await world.ask("POST", f"{base}/preview/request", call, user=None, headers=sent)
            assert answer.status_code == status
            assert (status == 200) or answer.json()["details"]["reason"] == "role"
        assert (await ask(world, use, "POST", f"{base}/preview/restart", {})).status_code == 403
        change = {"files": {"note.txt": "x"}}
        assert (await ask(world, use, "PATCH", f"{base}/files", change)).status_code == 403
        assert (await ask(world, launch, "PATCH", f"{base}/files", change)).status_code == 200
        assert (await ask(world, launch, "DELETE", base)).status_code == 403
        assert (await ask(world, launch, "DELETE", f"{base}/preview")).status_code == 204
        admin = await make_token(world, "full")
        assert admin["role"] == "admin"
        # A token that was made before there were four roles has the rights that it had.
        older = update(api_tokens).where(api_tokens.c.id == admin["id"]).values(role="full")
        await world.service.database.write(lambda connection: connection.execute(older))
        assert (await ask(world, admin, "DELETE", base)).status_code == 204
        listed = (await world.ask("GET", "/api/v1/tokens")).json()["items"]
        assert [one["role"] for one in listed] == ["admin", "launch", "use", "read"]


@pytest.mark.parametrize("relay", [True, False])
async def test_a_token_that_reads_reaches_no_preview_at_its_own_address(tmp_path: Path, relay: bool) -> None:
    async with open_door(tmp_path, relay=relay) as door:
        headers = door.bearer() | {"Host": f"localhost:{door.port}"}
        statuses = {}
        for role in ("read", "use"):
            made = await door.client.post("/api/v1/tokens", json={"name": "x", "role": role}, headers=headers)
            own = {"Authorization": f"Bearer {made.json()['token']}", "Host": door.host}
            statuses[role] = (await door.client.get("/", headers=own)).status_code
        assert statuses["use"] < 400
        assert statuses["read"] in {401, 403}
