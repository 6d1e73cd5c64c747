"""What a preview, or a package in a template, says to its starter: it moves, ends and counts nothing but its own."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
from hostile_kit import _SERVED, ANN, MIB, PROGRAMS, Rig, a_world, is_warm, isolation_of, open_hostile_rig, request
from planned_kit import give_plan
from process_kit import is_zombie

from preview.core.lifecycle import State
from preview.errors import PreviewError
from preview.runtime.kernel import proctree
from preview.runtime.warm import WarmRuntime
from preview.settings import Settings
from preview.supervisor import FilesChange, LaunchRequest, LivePreview

FAMILIES = ("words", "descriptors", "linger", "fork", "name")
# How it is started: by a program, by a fork of a template, by one of a template whose packages lie.
STARTS = ("cold", "warm", "hostile template")
# A template that lies says all that the others do; each of these has what only its own way of starting hears.
_ALWAYS = {("cold", "words"), ("cold", "descriptors"), ("warm", "words"), ("warm", "fork")}
PAIRS = [
    pytest.param(way, family, marks=() if way == "hostile template" or (way, family) in _ALWAYS else pytest.mark.long)
    for way in STARTS
    for family in FAMILIES
]
# Attacks when it is asked to, and when it is imported in a folder that says so: after a restart, in a snapshot.
MAIN = """
import os, forge_the_protocol
from hostile_app import application
if os.path.exists("armed"):
    forge_the_protocol.attack({"families": open("armed").read().split(), "again": True})
"""
PACKAGE = "\nimport forge_the_protocol_in_a_package as _forge\n_forge.attack({'families': FAMILIES})\n"
LIMIT_S = 90


def texts(armed: str = "") -> dict[str, str]:
    found = {f"{name}.py": (PROGRAMS / f"{name}.py").read_text() for name in ("hostile_app", "forge_the_protocol")}
    return found | {"main.py": MAIN} | ({"armed": armed} if armed else {})


@pytest.fixture
def way(request: pytest.FixtureRequest) -> str:
    request.getfixturevalue("sandbox_here")
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def own_cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its environments are changed: no other test may use them."""
    return tmp_path_factory.mktemp("own-cache")


def plant(cache: Path, family: str) -> None:
    """Have a package of the environment attack when it is imported. Its files may be links into uv's cache."""
    (package,) = cache.glob("environments/*/lib/python*/site-packages/waitress/__init__.py")
    before = package.read_text().partition("\nimport forge_the_protocol_in_a_package")[0]
    for folder in (package.parent, package.parents[1], package.parent / "__pycache__"):
        if folder.is_dir():
            folder.chmod(0o755)
    changed = package.with_name("changed")
    changed.write_text(before + PACKAGE.replace("FAMILIES", json.dumps([family])))
    changed.replace(package)
    forge = package.parents[1] / "forge_the_protocol_in_a_package.py"
    forge.write_text((PROGRAMS / "forge_the_protocol.py").read_text())
    for compiled in package.parent.glob("__pycache__/__init__.*"):
        compiled.unlink()


def groups_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")


@dataclass
class Strangers:
    """Processes that no preview but their own may have moved, ended or counted: pids and their control groups."""

    groups: dict[int, str]

    @classmethod
    def of(cls, *pids: int) -> Strangers:
        return cls({pid: groups_of(pid) for pid in pids})

    def check(self) -> None:
        for pid, groups in self.groups.items():
            assert not is_zombie(pid), f"{pid} was ended"
            assert groups_of(pid) == groups, f"{pid} was moved"

    @contextmanager
    def spared(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
        """Whom the service sends a signal meanwhile; none of these, which is seen before the kernel does it."""
        hit: list[int] = []

        def watched(function: Any, pid_of: Callable[[int], int]) -> Any:
            def call(target: int, *arguments: int) -> None:
                pid = pid_of(target)
                if arguments[:1] != (0,):
                    assert abs(pid) not in self.groups, f"a signal for {pid}"
                    hit.append(pid)
                function(target, *arguments)

            return call

        with monkeypatch.context() as patched:
            patched.setattr(os, "kill", watched(os.kill, int))
            patched.setattr(os, "killpg", watched(os.killpg, int))
            patched.setattr(signal, "pidfd_send_signal", watched(signal.pidfd_send_signal, pid_behind))
            yield hit
        self.check()


def pid_behind(descriptor: int) -> int:
    """The process that a pidfd names; -1 when it has ended (proc(5))."""
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="utf-8").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Pid:")), -1)


def counted(preview_id: str) -> set[int]:
    """Processes that stand in control groups of the preview."""
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                if preview_id in groups_of(int(entry.name)):
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


async def launched(rig: Rig, name: str, files: dict[str, str]) -> LivePreview | None:
    """A preview of these files that serves; None where it does not come so far, which is its own affair."""
    rig.projects.files[name] = files
    preview = rig.service.previews.find((await rig.service.previews.launch(LaunchRequest(ANN, name))).record.id)
    assert preview is not None
    await preview.settled.wait()
    return preview if preview.record.state is State.RUNNING else None


async def template_is_there(rig: Rig, *, or_not: bool) -> None:
    """Wait for it: what is launched from here on is forked. One that lies may never come so far."""
    runtime = rig.service.previews._context.runtime
    assert isinstance(runtime, WarmRuntime)
    with trio.move_on_after(5 if or_not else 30) as scope:
        while not runtime.templates.ready:  # noqa: ASYNC110  a pool tells nobody
            await trio.sleep(0.01)
    assert or_not or not scope.cancelled_caught


async def every_step(rig: Rig, family: str, *, is_forked: bool) -> None:
    """Attack at a launch, when it serves, at a restart and at a reload; each may cost the attacker its own start."""
    previews = rig.service.previews
    armed = {"armed": family}
    for name, files in (("g1", texts(family)), ("g2", texts())):
        preview = await launched(rig, name, files)
        if preview is None:
            continue
        assert is_warm(preview) or not is_forked, preview.last_lines(20)
        told = await request(preview, "forge_the_protocol", {"families": [family], "again": True})
        assert told["done"], told
        strangers = counted(preview.id) - set(proctree.descendants(os.getpid()))
        assert strangers == set()
        for _ in range(2):
            try:
                await previews.reload(ANN, name, FilesChange({key: text.encode() for key, text in armed.items()}))
                await previews.restart(ANN, name)
            except PreviewError:
                break
        if previews.active(name) is not None:
            await previews.stop(name)


@pytest.mark.parametrize(("way", "family"), PAIRS, indirect=["way"])
async def test_what_is_said_to_the_service_moves_and_ends_nothing_but_the_speaker(
    make_settings_in: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    hostile_cache_dir: Path,
    own_cache_dir: Path,
    way: str,
    family: str,
) -> None:
    is_template = way == "hostile template"
    cache = own_cache_dir if is_template else hostile_cache_dir
    isolation = isolation_of("sandbox" if way == "cold" else "warm")
    settings = make_settings_in(
        cache_dir=cache, stop_grace_s=0.5, usage_interval_s=0.1, startup_timeout_s=60, **isolation
    )
    # The service's process, what has started it, and one that has nothing to do with it.
    with a_world(tmp_path / "world") as world, trio.fail_after(LIMIT_S):
        if is_template:
            async with open_hostile_rig(settings.model_copy(update={"warm_templates": 0}), monkeypatch) as rig:
                give_plan(monkeypatch, _SERVED)
                assert await launched(rig, "first", texts()) is not None
            plant(cache, family)
        async with open_hostile_rig(settings, monkeypatch) as rig:
            give_plan(monkeypatch, _SERVED)
            neighbour = await launched(rig, "neighbour", texts())
            assert neighbour is not None
            assert neighbour.record.pid is not None
            others = [os.getpid(), os.getppid(), world["victim"], world["bystander"], neighbour.record.pid]
            strangers = Strangers.of(*others)
            with strangers.spared(monkeypatch):
                if way != "cold":
                    await template_is_there(rig, or_not=is_template)
                await every_step(rig, family, is_forked=way == "warm")
            assert (await request(neighbour)) is not None
            assert neighbour.record.state is State.RUNNING
            if family == "name":
                await memory_is_counted_under_any_name(neighbour)


async def memory_is_counted_under_any_name(preview: LivePreview) -> None:
    told = await request(preview, "forge_the_protocol", {"families": ["name"]})
    assert told["done"], told
    while preview.usage is None or preview.usage.memory_bytes < 60 * MIB:  # noqa: ASYNC110  a look at an interval
        await trio.sleep(0.05)
