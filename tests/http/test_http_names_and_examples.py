"""Renaming generations, and adding the examples that come with the service."""

from __future__ import annotations

from pathlib import Path

import pytest
from http_kit import open_world

from preview.generations.examples import EXAMPLES, read_example
from preview.settings import Settings

PATH = "/api/v1/generations"
FILES = {"files": {"main.py": "x = 1\n"}, "name": "shop"}


async def test_others_cannot_rename_and_bad_names_are_refused(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = (await world.ask("POST", PATH, FILES)).json()
        path = f"{PATH}/{made['id']}"
        foreign = await world.ask("PATCH", path, {"name": "mine"}, user="bob")
        assert foreign.status_code == (await world.ask("GET", path, user="bob")).status_code
        for name in ("", "x" * 257, "a\x00b", "a\x1b[2J", 7, None):
            assert (await world.ask("PATCH", path, {"name": name})).status_code in {400, 422}, name
        assert (await world.ask("PATCH", path, {"name": "x", "user_id": "bob"})).json().get("user_id") != "bob"
        assert (await world.ask("PATCH", path, {"name": "y" * 10_000})).status_code >= 400


async def test_a_new_name_is_kept(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = (await world.ask("POST", PATH, FILES)).json()
        renamed = await world.ask("PATCH", f"{PATH}/{made['id']}", {"name": "Bücher 📚"})
        assert (renamed.status_code, renamed.json()["name"]) == (200, "Bücher 📚")
        listed = (await world.ask("GET", PATH)).json()["generations"]
        assert [(one["name"], one["version"]) for one in listed] == [("Bücher 📚", 1)]


async def test_a_group_is_the_owners_alone_and_bounded(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = (await world.ask("POST", PATH, FILES)).json()
        path = f"{PATH}/{made['id']}"
        assert made["group"] == ""
        assert (await world.ask("PATCH", path, {"group": "mine"}, user="bob")).status_code in {403, 404}
        for group in ("x" * 81, "a\x00b", "a\nb", "a\x1b[2J", 7, None, ["a"]):
            assert (await world.ask("PATCH", path, {"group": group})).status_code in {400, 422}, group
        moved = (await world.ask("PATCH", path, {"group": " Läden "})).json()
        assert (moved["name"], moved["group"]) == ("shop", "Läden")
        # A new name, and nothing at all, leave it.
        for body in ({"name": "books"}, {}):
            assert (await world.ask("PATCH", path, body)).json()["group"] == "Läden"
        assert [one["group"] for one in (await world.ask("GET", PATH)).json()["generations"]] == ["Läden"]
        assert (await world.ask("PATCH", path, {"group": ""})).json()["group"] == ""


async def test_only_named_examples_can_be_added(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for name in ("broken", "..", "%2e%2e", "bookshop%2f..", "Bookshop", "a" * 2000):
            assert (await world.ask("POST", f"/api/v1/examples/{name}")).status_code in {404, 405, 414}, name
        assert (await world.ask("GET", PATH)).json()["generations"] == []


async def test_an_example_becomes_a_generation(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        listed = (await world.ask("GET", "/api/v1/examples")).json()
        assert [one["name"] for one in listed["items"]] == list(EXAMPLES)
        made = await world.ask("POST", "/api/v1/examples/hello")
        assert (made.status_code, made.json()["name"]) == (201, "Hello")
        shown = (await world.ask("GET", made.headers["location"])).json()
        assert "main.py" in {one["path"] for one in shown["files"]}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_is_a_small_project(name: str) -> None:
    files = read_example(name)
    assert {"requirements.txt", "package.json"} & set(files)
    assert sum(map(len, files.values())) < 100_000


def test_the_own_machine_runs_several_previews_unless_a_limit_is_set() -> None:
    assert Settings().tier(None, "local").max_previews > 1
    assert Settings().tier(None, "ann").max_previews == 1
    assert Settings(max_instances_per_user=1).tier(None, "local").max_previews == 1
    assert Settings(jwt_secret="s" * 40).tier(None, "local").max_previews == 1
