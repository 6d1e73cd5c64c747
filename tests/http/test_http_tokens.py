"""API tokens, usage, and the operator's routes: first those who may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from browser_kit import open_door
from http_kit import FILES, World, open_events, open_world
from together_kit import open_stream
from trio_websocket import ConnectionClosed, wrap_client_stream

from preview.auth.api_tokens import MOST_TOKENS, checksum, is_token
from preview.settings import load_settings


async def new_token(world: World, **body: Any) -> dict[str, Any]:
    answer = await world.ask("POST", "/api/v1/tokens", {"name": "build server"} | body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_an_api_token_does_what_its_role_allows_until_it_is_revoked(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        full, read = await new_token(world), await new_token(world, role="read")
        base = f"/api/v1/generations/{generation}"

        async def ask(token: dict[str, Any], method: str, path: str, body: Any = None) -> int:
            headers = {"Authorization": f"Bearer {token['token']}"}
            return (await world.ask(method, path, body, user=None, headers=headers)).status_code

        # An API token makes no tokens and no sessions: it could not be revoked otherwise.
        for method, path in (
            ("POST", "/api/v1/tokens"), ("GET", "/api/v1/tokens"), ("POST", "/api/v1/session"),
            ("DELETE", f"/api/v1/tokens/{read['id']}"), ("GET", "/api/v1/operator/previews"),
        ):  # fmt: skip
            assert await ask(full, method, path, {"name": "x"} if method == "POST" else None) == 403, path
        assert await ask(read, "GET", f"{base}/preview/status") == 200
        for method, path in (("POST", f"{base}/preview/restart"), ("DELETE", f"{base}/preview"), ("DELETE", base)):
            assert await ask(read, method, path) == 403, path
        for wrong in (
            full["token"][:-1] + "x",
            "pvt_",
            full["token"] + "x",
            full["token"].upper(),
            "pvt_é"[:4] + "a" * 43,
            "pvt_" + "a" * 49,
        ):
            assert await ask({"token": wrong}, "GET", f"{base}/preview/status") == 401, wrong
        # Another user's tokens are not there.
        gone = await world.ask("DELETE", f"/api/v1/tokens/{full['id']}", user="bob")
        assert gone.status_code == 404
        assert (await world.ask("GET", "/api/v1/tokens", user="bob")).json()["items"] == []
        listed = await world.ask("GET", "/api/v1/tokens")
        assert {one["id"] for one in listed.json()["items"]} == {full["id"], read["id"]}
        assert full["token"] not in listed.text
        assert all(one["last_used_at"] is not None for one in listed.json()["items"])

        # A revocation ends open streams within a second, a ticket's too.
        bearer = {"Authorization": f"Bearer {full['token']}"}
        ticket = (await world.ask("POST", f"{base}/preview/logs/ticket", user=None, headers=bearer)).json()["ticket"]
        async with (
            open_events(world, generation, user=None, **bearer) as log,
            open_events(world, generation, user=None, query=f"?ticket={ticket}") as ticketed,
            open_stream(world, f"{base}/preview/requests", bearer) as requests,
        ):
            await log.event()
            assert (await world.ask("DELETE", f"/api/v1/tokens/{full['id']}")).status_code == 204
            with trio.fail_after(1):
                for stream in (log, ticketed, requests):
                    with pytest.raises(Exception, match=r"closed|incomplete|without sending"):
                        await stream.events()
        assert await ask(full, "GET", f"{base}/preview/status") == 401
        late = await world.ask("GET", f"{base}/preview/logs/stream?ticket={ticket}", user=None)
        assert late.status_code == 401
        assert await ask(read, "GET", f"{base}/preview/status") == 200
        # Only the hash is in the database.
        for file in (tmp_path / "data").glob("*.db*"):
            assert read["token"].encode() not in file.read_bytes()


async def test_tokens_have_a_number_and_an_end(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for body in ({"expires_in": 1}, {"expires_in": 1e12}, {"name": ""}, {"name": "a\nb"}, {"role": "operator"}):
            assert (await world.ask("POST", "/api/v1/tokens", {"name": "x"} | body)).status_code == 400, body
        for _ in range(MOST_TOKENS):
            await new_token(world)
        full = await world.ask("POST", "/api/v1/tokens", {"name": "x"})
        assert (full.status_code, full.json()["code"]) == (409, "api_token_limit_reached")
        used = {one["name"]: one for one in (await world.ask("GET", "/api/v1/usage")).json()["items"]}
        assert (used["tokens"]["used"], used["tokens"]["limit"]) == (MOST_TOKENS, MOST_TOKENS)
        assert used["previews"]["setting"] == "PREVIEW_MAX_INSTANCES_PER_USER"


OPERATOR = [
    ("GET", "previews"), ("DELETE", "previews/x"), ("GET", "users"), ("GET", "environments"),
    ("DELETE", "environments/x"), ("DELETE", "templates/x"), ("POST", "templates/x/rebuild"),
]  # fmt: skip


async def test_only_operators_are_operators(tmp_path: Path) -> None:
    async with open_world(tmp_path, operators=("olga",)) as world:
        generation = await world.keep(FILES)
        made = await world.launch(generation)
        for user in (None, "ann", "local", "Olga", "olga "):
            for method, path in OPERATOR:
                answer = await world.ask(method, f"/api/v1/operator/{path}", user=user if user != "olga " else "ann")
                assert answer.status_code == (401 if user is None else 403), (user, path)
        assert (await world.ask("GET", "/api/v1/usage")).json()["is_operator"] is False
        shown = await world.ask("GET", "/api/v1/operator/previews", user="olga")
        assert [(one["user_id"], one["id"]) for one in shown.json()["items"]] == [("ann", made["id"])]
        assert "session_token" not in shown.text
        people = (await world.ask("GET", "/api/v1/operator/users", user="olga")).json()["items"]
        assert [(one["id"], one["previews"], one["generations"]) for one in people] == [("ann", 1, 1)]
        # An operator sees no log, files or requests of others.
        for path, status in (("preview/logs", 403), ("files", 404), ("preview/requests", 404)):
            answer = await world.ask("GET", f"/api/v1/generations/{generation}/{path}", user="olga")
            assert answer.status_code == status
        stored = (await world.ask("GET", "/api/v1/operator/environments", user="olga")).json()["items"]
        in_use = [one for one in stored if one["in_use"]]
        assert in_use
        for key, status in ((in_use[0]["id"], 409), ("..", 404), ("%2e%2e%2fdata", 404)):
            answer = await world.ask("DELETE", f"/api/v1/operator/environments/{key}", user="olga")
            assert answer.status_code == status, key
        stopped = await world.ask("DELETE", f"/api/v1/operator/previews/{made['id']}", user="olga")
        assert stopped.status_code == 204
        assert (await world.ask("GET", "/api/v1/operator/previews", user="olga")).json()["items"] == []


async def test_the_local_user_is_an_operator_only_where_this_machine_alone_signs_tokens(tmp_path: Path) -> None:
    async with open_world(tmp_path / "own") as world:
        assert (await world.ask("GET", "/api/v1/operator/users", user="local")).status_code == 200
        assert (await world.ask("GET", "/api/v1/operator/users", user="ann")).status_code == 403
    async with open_world(tmp_path / "shared", jwt_secret="sesame-sesame-sesame-sesame-sesame") as world:
        assert (await world.ask("GET", "/api/v1/operator/users", user="local")).status_code == 403


def test_operators_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_OPERATORS", "olga, auth0|77")
    assert load_settings().operators == ("olga", "auth0|77")


def test_only_a_text_with_the_right_checksum_is_looked_up() -> None:
    text = "pvt_" + "a" * 43
    assert is_token(text + checksum(text))
    for wrong in (text, text + "AAAAAA", "pvt_" + "b" * 43 + checksum(text), text + checksum(text) + "\n", "pvt_"):
        assert not is_token(wrong), wrong


@pytest.mark.parametrize("relay", [True, False])
async def test_a_revoked_token_ends_its_sockets_to_the_preview(tmp_path: Path, relay: bool) -> None:
    async with open_door(tmp_path, relay=relay) as door, trio.open_nursery() as nursery:
        headers = door.bearer() | {"Host": f"localhost:{door.port}"}
        made = (await door.client.post("/api/v1/tokens", json={"name": "x"}, headers=headers)).json()
        own = [(b"authorization", f"Bearer {made['token']}".encode())]
        stream = await door.connect()
        socket = await wrap_client_stream(nursery, stream, door.host, "/ws", extra_headers=own)
        await socket.send_message("hello")
        assert await socket.get_message() == "hello"
        gone = await door.client.delete(f"/api/v1/tokens/{made['id']}", headers=headers)
        assert gone.status_code == 204
        with trio.fail_after(5), pytest.raises(ConnectionClosed):
            await socket.get_message()
        nursery.cancel_scope.cancel()


async def test_a_tier_s_least_isolation_is_named_and_a_service_without_it_launches_nothing(tmp_path: Path) -> None:
    least: dict[str, Any] = {"isolation_minimum": "free=container", "container_engine": "off"}
    async with open_world(tmp_path, **least) as world:
        generation = await world.keep(FILES)
        refused = await world.ask("POST", f"/api/v1/generations/{generation}/preview/launch", {})
        assert (refused.status_code, refused.json()["code"]) == (503, "isolation_below_minimum")
        assert "PREVIEW_ISOLATION_MINIMUM" in refused.json()["detail"]
        assert (await world.ask("GET", "/api/v1/usage")).json()["isolation_minimum"] == "container"
        pro = {"Authorization": f"Bearer {world.token('bea', tier='pro')}"}
        assert (await world.ask("GET", "/api/v1/usage", user=None, headers=pro)).json()["isolation_minimum"] is None
