"""Requests replayed, compared and checked through the API, against real previews."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import trio
from http_kit import open_world
from replay_kit import FILES, FIXED, SHOP, Caller

from preview.traffic import Capture

WEBKIT = {"log": {"entries": [{"request": {"method": "GET", "url": "http://shop.test/orders"}}]}}


async def test_the_story_of_a_bug(tmp_path: Path) -> None:
    """A request fails; after the fix and a reload, its replay shows what has changed, and a check guards it."""
    async with open_world(tmp_path) as world:
        shop = await Caller.launch(world, FILES)
        assert (await shop.call("GET", "/books"))["status_code"] == 200
        failed = await shop.call("GET", "/books/0")
        assert failed["status_code"] == 500
        # Replayed as it is, nothing differs but ids and times.
        again = await shop.ask("POST", "/replay", {"numbers": [1, 2]})
        assert again["on"] == "preview"
        assert [(one["number"], one["verdict"], one["differences"]) for one in again["items"]] == [
            (1, "noisy", []),
            (2, "same", []),
        ]
        assert any("ZeroDivisionError" in line for line in again["items"][1]["answer"]["lines"])
        changed = await shop.push(main_py=FIXED)
        assert changed["reload"]["status"] == "reloaded", changed
        now = await shop.ask("POST", "/requests/2/replay", {})
        [item] = now["items"]
        assert (item["verdict"], item["recorded"]["status"], item["answer"]["status"]) == ("changed", 500, 200)
        assert {one["path"] for one in item["differences"]} >= {"status", "$.error", "$.title"}
        # The failure record, in which the request, its replay and the frame are.
        failures: list[dict[str, Any]] = []
        with trio.fail_after(30):
            # Uvicorn prints a traceback after it has sent the 500.
            while sum(one["count"] for one in failures) < 2:
                failures = (await shop.ask("GET", "/failures"))["items"]
        assert [(one["type"], one["count"]) for one in failures] == [("ZeroDivisionError", 2)]
        # The replay is recorded too; the next one compares with it.
        assert (await shop.ask("POST", "/replay", {"filter": "status:200 path:/books/0"}))["items"][0]["number"] == 5
        saved = await shop.ask("POST", "/requests/5/check", {"name": "a book without pages"}, status=201)
        assert '$.title == "Emma"' in saved["checks"][0]["expect"][0]
        assert "$.request is id" in saved["checks"][0]["expect"]
        run = await shop.ask("POST", "/checks/run", {})
        assert (run["summary"], run["on"]) == ("1 ok", "preview")
        # The bug comes back: the run after the reload marks it.
        await shop.push(main_py=SHOP)
        preview = world.service.previews.require(shop.generation)
        with preview.log.subscribe() as events:
            while not any("checks: 0 ok" in line for line in preview.last_lines(50)):
                await events.receive()
        read = await shop.ask("GET", "/checks")
        assert read["last_run"]["summary"] == "0 ok, 1 broke since reload 2"
        status = await shop.ask("GET", "/status")
        assert status["checks"] == "0 ok, 1 broke since reload 2"
        assert read["last_run"]["results"][0]["problems"] == ["The status is 500, and 200 was expected."]
        # Others learn nothing.
        for method, path in (
            ("POST", "/replay"),
            ("GET", "/checks"),
            ("POST", "/compare"),
            ("POST", "/requests/2/check"),
        ):
            await shop.ask(method, path, {} if method == "POST" else None, status=404, user="eve")


async def test_a_login_is_replayed_on_a_trial_with_new_tokens_and_ids(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        shop = await Caller.launch(world, FILES)
        login = await shop.call("POST", "/login", {"password": "correct horse"})
        token = (
            json.loads(login["body"])["access_token"]
            if isinstance(login["body"], str)
            else login["body"]["access_token"]
        )
        made = await shop.call("POST", "/orders", {"title": "Emma"}, Authorization=f"Bearer {token}")
        order = json.loads(made["body"])["id"] if isinstance(made["body"], str) else made["body"]["id"]
        await shop.call("GET", f"/orders/{order}")
        assert (await shop.call("GET", "/orders"))["status_code"] == 200
        # The password is no longer known after a restart of the service; then the caller gives it.
        originals = world.service.previews.require(shop.generation).traffic.originals
        known = originals.find(1)
        assert known is not None
        assert b"correct horse" in (known.body or b"")
        originals._drafts.clear()
        lacking = await shop.ask("POST", "/replay", {})
        assert [one["answer"]["status"] for one in lacking["items"]] == [401, 401, 200, 200]
        assert [one["lacks_secrets"] for one in lacking["items"]][:2] == [True, True]
        found = await shop.ask("POST", "/replay", {"secrets": {"password": "correct horse"}})
        assert found["on"] == "trial"
        assert [(one["path"].partition("/orders/")[0], one["answer"]["status"]) for one in found["items"]] == [
            ("/login", 200),
            ("/orders", 201),
            ("", 200),
            ("/orders", 200),
        ]
        assert [one["verdict"] for one in found["items"]] == ["noisy", "noisy", "same", "changed"]
        # The trial had a copy of the data; the preview's own is as it was.
        assert found["items"][3]["differences"][0] == {
            "path": "$.count",
            "kind": "changed",
            "before": "1",
            "after": "2",
        }
        body = (await shop.call("GET", "/orders"))["body"]
        assert (json.loads(body) if isinstance(body, str) else body)["count"] == 1
        skipped = await shop.ask("POST", "/requests/1/replay", {"on": "preview"})
        assert "may change data" in skipped["items"][0]["skipped"]
        # Requests of a file become records; a pasted command is a request to send.
        imported = await shop.ask("POST", "/requests/import", WEBKIT)
        assert (imported["host"], len(imported["numbers"])) == ("shop.test", 1)
        number = imported["numbers"][0]
        assert (await shop.ask("POST", f"/requests/{number}/replay", {}))["items"][0]["answer"]["status"] == 200
        traffic = world.service.previews.require(shop.generation).traffic
        traffic.capture, last = Capture.OFF, traffic.last_number
        unstored = await shop.ask("POST", "/requests/import", WEBKIT)
        assert (unstored["numbers"], len(unstored["requests"]), traffic.last_number) == ([], 1, last)
        traffic.capture = Capture.META
        got = await world.client.post(
            f"{shop.path}/requests/import",
            content="curl 'http://h/books?x=1' -H 'Accept: */*'",
            headers=world.headers("ann") | {"Content-Type": "text/plain"},
        )
        assert got.json()["requests"] == [
            {"method": "GET", "path": "/books?x=1", "headers": {"Accept": "*/*"}, "body": None, "body_base64": None}
        ]
        got = await world.ask("GET", f"{shop.path}/requests/1?format=curl")
        assert got.text.startswith("curl --globoff http://localhost:")
        assert "correct horse" not in got.text
        archive = (await world.ask("GET", f"{shop.path}/requests?format=har&limit=2")).json()
        assert [one["request"]["method"] for one in archive["log"]["entries"]] == ["GET", "GET"]
        # With recording off, a file leaves nothing.
        last = (await shop.ask("GET", "/requests"))["items"][0]["number"]
        await shop.ask("PUT", "/capture", {"capture": "off"})
        assert (await shop.ask("POST", "/requests/import", WEBKIT))["numbers"] == []
        assert (await shop.ask("GET", "/requests"))["items"][0]["number"] == last
        assert (await shop.ask("POST", "/requests/99/replay", {}, status=404))["code"] == "request_not_found"
        assert (await shop.ask("POST", "/replay", {"filter": "status:999x"}, status=400))["code"] == "invalid_filter"


async def test_two_versions_are_compared(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        whole = SHOP.replace('"pages": 240}]', '"pages": 240}, {"title": "Sanditon", "price": 8, "pages": 90}]')
        shop = await Caller.launch(world, FILES | {"main.py": whole})
        for path in ("/books", "/books/1", "/", "/orders"):
            await shop.call("GET", path)
        broken = await world.keep(FILES | {"main.py": "raise SystemExit('no')\n"})
        # Without the third book. A number, a word, a field and a title are others too, and one endpoint fails.
        worse = SHOP.replace('"price": 12', '"price": 13').replace("Persuasion", "Persuasions")
        worse = worse.replace('"count": len(BOOKS), ', "").replace("{**book, ", '{**book, "title": None, ')
        other = await world.keep(FILES | {"main.py": worse.replace('{"ok": True}', "1 / 0")})
        same = await shop.ask("POST", "/compare", {})
        assert same["verdict"] == "noisy"
        assert [one["differences"] for one in same["items"]] == [[], [], [], []]
        found = await shop.ask("POST", "/compare", {"b": {"generation": other}, "ignore": ["$.cents_a_page"]})
        assert found["verdict"] == "broke"
        assert {one["endpoint"]: one["verdict"] for one in found["endpoints"]} == {
            "GET /books": "changed",
            "GET /books/{id}": "changed",
            "GET /": "broke",
            "GET /orders": "same",
        }
        paths = [sorted(one["path"] for one in item["differences"]) for item in found["items"]]
        assert paths[:2] == [
            ["$.count", "$.items[1].price", "$.items[1].title", "$.items[2]"],
            ["$.price", "$.title"],
        ]
        assert paths[3] == []
        assert found["items"][1]["ignored"] == ["$.cents_a_page"]
        failed = await shop.ask("POST", "/compare", {"b": {"generation": broken}})
        assert (failed["verdict"], failed["last_lines"][-1:]) != ("same", [])
        assert "no" in failed["last_lines"]
        eves = await world.keep(FILES, user="eve")
        await shop.ask("POST", "/compare", {"b": {"generation": eves}}, status=404)
        assert len(world.service.previews.all_active) == 1


async def test_a_version_of_the_files_and_a_preset_are_compared(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        priced = SHOP.replace('"price": 10', '"price": int(os.environ.get("PRICE", "10"))')
        shop = await Caller.launch(world, FILES | {"main.py": priced})
        await shop.call("GET", "/books")
        await shop.push(main_py=priced.replace('"Emma"', '"Emma, again"'))
        found = await shop.ask("POST", "/compare", {"a": {"version": 1}})
        assert [one["path"] for one in found["items"][0]["differences"]] == ["$.items[0].title"]
        made = await world.ask("POST", "/api/v1/projects/proj_1/presets", {"name": "sale"})
        assert made.status_code == 201
        changed = await world.ask("PATCH", "/api/v1/projects/proj_1/environment?preset=sale", {"set": {"PRICE": "7"}})
        assert changed.status_code == 200
        found = await shop.ask("POST", "/compare", {"b": {"preset": "sale"}})
        assert [one["path"] for one in found["items"][0]["differences"]] == ["$.items[0].price"]
        assert (await shop.ask("POST", "/compare", {"b": {"version": 9}}, status=404))["code"] == "version_not_found"
        assert (await shop.ask("POST", "/compare", {"b": {"preset": "no"}}, status=404))["code"] == "preset_not_found"
