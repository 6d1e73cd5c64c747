"""What a preview tries to reach, on each rung: the sandbox stops it; what plain does not is in the ledger."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from engine_kit import IN_TIME_S, is_podman
from hostile_kit import PROGRAMS, RUNGS, SECRET, a_world, isolation_of, open_hostile_rig, request
from hostile_ledger import ATTACKS, EXCESSES, Attack
from process_kit import is_zombie

from preview.settings import Settings

Told = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: pytest.TempPathFactory, hostile_cache_dir: Path) -> Callable[[str], Told]:
    """What came of all attacks on a rung: made once, by one preview, one after the other."""
    made: dict[tuple[str, bool], Told] = {}

    def attack(rung: str) -> Told:
        # Docker and Podman are the same rung.
        key = rung, is_podman()
        if key not in made:
            made[key] = _attack_all(rung, tmp_path_factory.mktemp(rung), hostile_cache_dir)
        return made[key]

    return attack


def _attack_all(rung: str, folder: Path, cache_dir: Path) -> Told:
    base = 20_000 + os.getpid() % 200 * 50
    settings = Settings(
        data_dir=folder / "data",
        cache_dir=cache_dir,
        db_path=folder / "db",
        port_min=base,
        port_max=base + 49,
        **isolation_of(rung),
    )
    told: Told = {}

    async def main(world: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        with trio.fail_after(IN_TIME_S):
            async with open_hostile_rig(settings, monkeypatch) as rig:
                other = await rig.running("other", "hostile_app", "leave_for_others")
                told["left"] = await request(other, "leave_for_others", {})
                programs = (one.program for one in ATTACKS)
                preview = await rig.running("hostile", "hostile_app", "leave_for_others", *programs)
                given = {name: value for name, value in world.items() if name not in ("victims", "datagrams")}
                given |= {"other_project": str(other.directory), "other_port": other.record.port}
                for one in ATTACKS:
                    told[one.program] = await request(preview, one.program, given)
                told["taken back"] = await request(other, "leave_for_others", {"take_back": True})
                told["afterwards"] = {
                    "written": [path.name for path in (folder / "world").iterdir()],
                    "other answers": await request(other) is not None,
                    "bystander": is_zombie(world["bystander"]),
                    "victim": is_zombie(world["victim"]),
                    "isolation": rig.service.previews._context.runtime.name,
                    "project": str(preview.directory),
                }

    with pytest.MonkeyPatch.context() as monkeypatch, a_world(folder / "world") as world:
        monkeypatch.setenv("HOSTILE_SERVICE_ONLY", SECRET)
        with _echo(world["datagrams"]):
            trio.run(main, world, monkeypatch)
    return told


@contextmanager
def _echo(datagrams: socket.socket) -> Iterator[None]:
    """Whoever sends a datagram gets it back."""

    def run() -> None:
        # Ended by a datagram of no bytes.
        while (received := datagrams.recvfrom(100))[0]:
            datagrams.sendto(*received)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        datagrams.sendto(b"", datagrams.getsockname())
        thread.join()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda one: one.program)
@pytest.mark.parametrize("rung", RUNGS, indirect=True)
def test_an_attack_is_stopped_where_the_ledger_says_so(
    attack: Attack, rung: str, attacked: Callable[[str], Told]
) -> None:
    told = attacked(rung)[attack.program]
    assert told["told"] != ""
    stopped = attack.plain if rung == "plain" else attack.sandbox
    if stopped is not None:
        assert told["done"] is not stopped, told["told"]


@pytest.mark.parametrize("rung", RUNGS, indirect=True)
def test_what_is_left_for_others_is_really_left(rung: str, attacked: Callable[[str], Told]) -> None:
    assert [attacked(rung)[name]["told"] for name in ("left", "taken back")] == ["left", "taken back"]


@pytest.mark.parametrize("rung", RUNGS[1:], indirect=True)
def test_nothing_around_a_sandboxed_preview_was_changed_by_all_its_attacks(
    rung: str, attacked: Callable[[str], Told]
) -> None:
    afterwards = dict(attacked(rung)["afterwards"])
    assert afterwards.pop("isolation") == ("container" if rung == "container" else "sandbox")
    afterwards.pop("project")
    assert sorted(afterwards.pop("written")) == ["secret", "socket"]
    assert afterwards == {"other answers": True, "bystander": False, "victim": False}


def test_every_hostile_program_is_in_the_ledger_and_every_test_that_it_names_exists() -> None:
    named = {one.program for one in (*ATTACKS, *EXCESSES)}
    assert {path.stem for path in PROGRAMS.glob("*.py")} == named | {"hostile_app", "leave_for_others"}
    tests = "".join(path.read_text() for path in PROGRAMS.parent.glob("test_hostile_*.py"))
    assert [one.test for one in EXCESSES if f"def {one.test}(" not in tests] == []
