"""Requests that are saved for a generation."""

from __future__ import annotations

from pathlib import Path

from http_kit import FILES, open_world
from together_kit import new_guest

from preview.together.saved import MOST_SAVED

ONE = {"name": "a book", "method": "POST", "path": "/books", "more": {"body": '{"title": "x"}'}}


async def test_requests_are_saved_for_a_generation_and_read_by_those_who_may_use_it(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        address = f"/api/v1/generations/{generation}/preview/saved"
        # Others see nothing, and change nothing.
        for user, status in (("eve", 404), (None, 401)):
            assert (await world.ask("GET", address, user=user)).status_code == status
            assert (await world.ask("POST", address, ONE, user=user)).status_code == status
            assert (await world.ask("DELETE", f"{address}/saved_x", user=user)).status_code == status
        bad = [
            {**ONE, "name": " "},
            {**ONE, "name": "x" * 81},
            {**ONE, "name": "\u202e\x00"},
            {**ONE, "method": "get"},
            {**ONE, "more": {"body": "x" * 200_000}},
            {**ONE, "more": []},
            {**ONE, "who": "me"},
        ]
        for body in bad:
            assert (await world.ask("POST", address, body)).status_code == 400, body
        assert (await world.ask("DELETE", f"{address}/saved_%00")).json()["code"] == "saved_request_not_found"
        # Saved once under a name; a second one replaces it.
        made = (await world.ask("POST", address, ONE)).json()
        again = (await world.ask("POST", address, {**ONE, "path": "/books?again=1"})).json()
        assert again["id"] == made["id"]
        (only,) = (await world.ask("GET", address)).json()["items"]
        assert (only["name"], only["path"], only["more"]) == ("a book", "/books?again=1", ONE["more"])
        # Guests who may send requests read them; those who watch do not, and neither changes them.
        await world.launch(generation)
        using, watching = await new_guest(world, generation, "use"), await new_guest(world, generation, "watch")
        assert (await using.ask("GET", address)).json()["items"][0]["name"] == "a book"
        assert (await watching.ask("GET", address)).status_code in {401, 403}
        assert (await using.ask("DELETE", f"{address}/{made['id']}")).status_code in {401, 403}
        assert (await world.ask("DELETE", f"{address}/{made['id']}")).status_code == 204
        assert (await world.ask("DELETE", f"{address}/{made['id']}")).status_code == 404
        # There is a maximum.
        for number in range(MOST_SAVED):
            await world.app.backend.people.saved.save(generation, f"{number}", {})
        refused = await world.ask("POST", address, ONE)
        assert (refused.status_code, refused.json()["code"]) == (409, "saved_request_limit_reached")
        # They go with the generation.
        world_saved = world.app.backend.people.saved
        await world.ask("DELETE", f"/api/v1/generations/{generation}/preview")
        await world.ask("DELETE", f"/api/v1/generations/{generation}")
        await world.ask("DELETE", f"/api/v1/removed/{generation}")
        assert await world_saved.list(generation) == []
