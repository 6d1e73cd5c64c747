"""What the service reads of a project while the project's own code may change it."""

from __future__ import annotations

import os
from pathlib import Path

import httpx2
import pytest
import trio
from engine_kit import IN_TIME_S
from hostile_kit import SECRET, Rig, a_world, request

from preview.core.lifecycle import State
from preview.sources import Sources


@pytest.fixture
def listed(tmp_path: Path) -> Sources:
    """A project whose files were listed; beside it a folder that is not its own."""
    for folder, text in (("project/routes", "own = 1"), ("another", "secret = 1")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "users.py").write_text(text)
    return Sources(tmp_path / "project")


def test_a_folder_that_became_a_link_since_it_was_listed_is_not_followed(listed: Sources, tmp_path: Path) -> None:
    routes = tmp_path / "project" / "routes"
    routes.rename(tmp_path / "project" / "before")
    routes.symlink_to(tmp_path / "another")
    assert listed.text("routes/users.py") == b""
    assert "routes/users.py" in listed.skipped


def test_a_file_that_became_a_link_since_it_was_listed_is_not_followed(listed: Sources, tmp_path: Path) -> None:
    file = tmp_path / "project" / "routes" / "users.py"
    file.unlink()
    file.symlink_to(tmp_path / "another" / "users.py")
    assert listed.text("routes/users.py") == b""


def test_a_file_that_became_a_pipe_since_it_was_listed_is_not_waited_for(listed: Sources, tmp_path: Path) -> None:
    file = tmp_path / "project" / "routes" / "users.py"
    file.unlink()
    os.mkfifo(file)
    assert listed.text("routes/users.py") == b""


def test_a_file_that_is_still_there_is_read(listed: Sources) -> None:
    assert listed.text("routes/users.py") == b"own = 1"


async def test_what_is_planted_for_the_services_readers_gives_nothing_away(hostile: Rig, tmp_path: Path) -> None:
    with a_world(tmp_path / "world") as world:
        (tmp_path / "world" / "secret.py").write_text("from fastapi import FastAPI\napp = FastAPI()\n")
        given = {"outside": world["outside"], "secret_file": world["secret_file"], "end": True}
        preview = await hostile.running("g1", "hostile_app", "plant_for_readers")
        with trio.fail_after(IN_TIME_S), preview.log.subscribe() as subscription:
            with pytest.raises(httpx2.TransportError):
                await request(preview, "plant_for_readers", given)
            while preview.record.state is not State.FAILED:
                await subscription.receive()
        told = "\n".join([preview.record.reason or "", *preview.last_lines(1000)])
    assert SECRET not in told
    # The names in a folder that a link leads to are not told either: no "did you mean".
    assert "package.secret'?" not in told
