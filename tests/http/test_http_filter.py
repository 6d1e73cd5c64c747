from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from http_kit import World, open_events, open_world
from http_socket_kit import open_log_socket

START = '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n'
PAID = '{"level":"error","event":"payment failed","user":{"id":7}}'


def backend(version: int) -> str:
    return f"""
print("version {version}", flush=True)
print('{PAID}', flush=True)
print('{{"level":"info","event":"paid","user":{{"id":8}}}}', flush=True)
def app(environ, start_response):
    if environ["PATH_INFO"] != "/":  # the readiness probe's
        print("said {version}", environ["PATH_INFO"], flush=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"{version}"]
"""


async def lines_of(world: World, generation: str, text: str, *, contract: str = "v1", more: str = "") -> list[str]:
    prefix = "/api/v1/generations" if contract == "v1" else "/api/generations"
    answer = await world.ask("GET", f"{prefix}/{generation}/preview/logs?filter={quote(text)}{more}")
    assert answer.status_code == 200, answer.text
    return [line["message"] for line in answer.json()["lines"]]


async def ask(world: World, launched: dict[str, Any], path: str) -> None:
    answer = await world.ask(
        "POST",
        f"/api/v1/generations/{launched['generation_id']}/preview/request",
        {"method": "GET", "path": path},
        headers={"X-Preview-Token": launched["session_token"]},
    )
    assert answer.status_code == 200, answer.text


async def test_a_filter_is_the_same_wherever_lines_are_read(tmp_path: Path) -> None:
    """One preview for many questions: a start costs more than all of them."""
    async with open_world(tmp_path) as world:
        generation = await world.keep({"main.py": backend(1), "preview.toml": START})
        launched = await world.launch(generation)
        await ask(world, launched, "/one")
        for contract in ("v1", "plan"):
            assert await lines_of(world, generation, "@user.id:7", contract=contract) == [PAID]
        assert await lines_of(world, generation, "version source:startup") == ["version 1"]
        assert await lines_of(world, generation, "@user.id:>0", more="&level=error") == [PAID]
        assert await lines_of(world, generation, "@user.id:7 OR (version -warn)") == ["version 1", PAID]
        assert await lines_of(world, generation, "(@user.id:8 OR req:1) said") == ["said 1 /one"]
        assert await lines_of(world, generation, "req:1 said") == ["said 1 /one"]
        for text in (
            "path:/one said",
            "status:200 ms:<1h method:GET said",
            "-path:/ said",
            "(path:/one OR x) said",
        ):
            for contract in ("v1", "plan"):
                assert await lines_of(world, generation, text, contract=contract) == ["said 1 /one"], text
        assert await lines_of(world, generation, "-path:/one said") == []
        assert await lines_of(world, generation, "req:2") == []
        await streams_and_files_take_it(world, generation)
        await a_socket_changes_it(world, generation)
        await mistakes_are_one_sentence(world, generation)
        changed = {"files": {"main.py": backend(2)}}
        assert (await world.ask("PATCH", f"/api/v1/generations/{generation}/files", changed)).status_code == 200
        await ask(world, launched, "/two")
        await reloads_are_known(world, generation)
        assert (await world.ask("DELETE", f"/api/v1/generations/{generation}/preview")).status_code in {200, 204}
        await reloads_are_known(world, generation)


async def streams_and_files_take_it(world: World, generation: str) -> None:
    query = f"?filter={quote('/^version [0-9]$/')}&follow=false"
    for contract in ("v1", "plan"):
        async with open_events(world, generation, query=query, contract=contract) as stream:
            events = await stream.events()
        assert [one.data["message"] for one in events if one.kind == "message"] == ["version 1"]
    path = f"/api/v1/generations/{generation}/preview/logs?format=text&filter={quote('version -path:/x')}"
    answer = await world.ask("GET", path)
    assert answer.text.endswith("version 1\n")
    page = (await world.ask("GET", f"/api/v1/generations/{generation}/preview/logs?filter=version&limit=1")).json()
    assert "filter=version" in page["next"]


async def a_socket_changes_it(world: World, generation: str) -> None:
    async with open_log_socket(world, generation, f"?filter={quote('@user.id:7')}") as client:
        assert (await client.of_type("line"))["message"] == PAID
        await client.say(type="filter", filter="stauts:500")
        told = await client.of_type("error")
        assert (told["code"], told["position"]) == ("invalid_filter", 0)
        assert "status" in told["detail"]
        await client.say(type="filter", filter="since:5m")
        assert (await client.of_type("filter"))["filter"] == "since:5m"


async def mistakes_are_one_sentence(world: World, generation: str) -> None:
    for path in ("", "/stream", "/ws"):
        for text, position in (("error who:owner", 6), ("/(/", 0), ("a since:5y", 2)):
            address = f"/api/v1/generations/{generation}/preview/logs{path}?filter={quote(text)}"
            answer = await world.ask("GET", address)
            if path == "/ws":
                continue  # answered before the upgrade is asked for
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_filter")
            assert answer.json()["details"]["position"] == position
    answer = await world.ask("GET", f"/api/v1/generations/{generation}/preview/logs?filter={'a' * 1001}")
    assert answer.json()["code"] == "invalid_request"


async def reloads_are_known(world: World, generation: str) -> None:
    first, last = (
        await lines_of(world, generation, "reload:0 said"),
        await lines_of(world, generation, "reload:last said"),
    )
    assert (first, last) == (["said 1 /one"], ["said 2 /two"])
    assert await lines_of(world, generation, "reload:1 said") == last
    assert await lines_of(world, generation, "-reload:last said") == first
    assert await lines_of(world, generation, "reload:7") == []


async def test_a_filter_is_explained(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        answer = await world.ask("GET", f"/api/v1/filter?text={quote('error -path:/x who:owner')}")
        assert answer.status_code == 200
        assert answer.json()["text"] == "error -path:/x who:owner"
        assert answer.json()["terms"][1] == {
            "text": "-path:/x",
            "start": 6,
            "kind": "path",
            "negated": True,
            "sentence": "Without requests with the path '/x'.",
            "on_lines": True,
            "on_requests": True,
        }
        assert [one["on_lines"] for one in answer.json()["terms"]] == [True, True, False]
        group = await world.ask("GET", f"/api/v1/filter?text={quote('a OR -b c')}")
        assert [(one["text"], one["kind"]) for one in group.json()["terms"]] == [("(a OR -b c)", "group")]
        assert (await world.ask("GET", "/api/v1/filter")).json() == {"text": "", "terms": []}
        wrong = await world.ask("GET", "/api/v1/filter?text=a%20foo:1")
        assert (wrong.status_code, wrong.json()["code"], wrong.json()["details"]["position"]) == (
            400,
            "invalid_filter",
            2,
        )
        assert (await world.ask("GET", "/api/v1/filter", user=None)).status_code == 401
