"""Hostile Dockerfiles on Podman: the kernel's limits hold for each step, and nothing of a build is left.

`uv run pytest -m long -n 0 -s tests/runtime/test_podman.py` runs these on a Podman of its own.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from engine_kit import engine_or_skip, is_podman
from image_kit import BASE, import_base
from test_images import build, open_steps_of

from preview.environments.images.steps import MOST_PROCESSES
from preview.errors import EnvironmentFailed
from preview.runtime.cgroups.home import home_name
from preview.runtime.cgroups.own_groups import read_own_groups
from preview.runtime.container.builds import podman_text
from preview.runtime.container.engine import EngineError
from preview.runtime.container.images import Images
from preview.settings import Settings

pytestmark = pytest.mark.skipif(not is_podman(), reason="PREVIEW_TEST_PODMAN=1 is not set")

PERL = "RUN perl -e '{}'\n"


async def left_over() -> list[str]:
    """Containers of builds that the engine still has."""
    engine = await import_base(engine_or_skip())
    try:
        listed = await engine.call("GET", "/libpod/containers/json?external=true&all=true")
    except EngineError as error:
        # One of them was removed while Podman described them.
        return [str(error)]
    assert isinstance(listed, list)
    return [str(one["Names"]) for one in listed if "working-container" in str(one["Names"])]


def mounts() -> set[str]:
    """Where hierarchies are mounted."""
    places = read_own_groups()
    return {one.mount for one in (*places.controllers.values(), places.unified) if one is not None}


def groups_of(folder: Path) -> list[Path]:
    """Groups of builds of the service with this data folder, in all hierarchies."""
    found: list[Path] = []
    for mount in mounts():
        with suppress(FileNotFoundError):
            found += Path(mount).glob(f"**/{home_name(folder)}*/preview-build-*")
    return found


def limits_of_steps(folder: Path) -> dict[str, str]:
    """What the kernel has for the group above that of each running step."""
    found: dict[str, str] = {}
    for group in groups_of(folder):
        with suppress(FileNotFoundError):
            pids = (group / "step" / "cgroup.procs").read_text().split()
            # A step cannot choose it: the kernel says in which group each process is.
            if any(f"{group.name}/step" in Path(f"/proc/{pid}/cgroup").read_text() for pid in pids):
                for one in ("pids.max", "memory.max", "memory.limit_in_bytes"):
                    if (group / one).exists():
                        found[one] = (group / one).read_text().strip()
    return found


def remove_groups_above(folder: Path) -> None:
    """Remove the empty group above all builds, which stays after one that was given up."""
    for mount in mounts():
        with suppress(FileNotFoundError):
            Path(mount, f"{home_name(folder)}-engine").rmdir()


async def nothing_is_left(folder: Path) -> None:
    """The next start of the service removes what Podman has made after the end of the builds."""
    images = Images(await import_base(engine_or_skip()), folder.name)
    with trio.fail_after(180):
        while await left_over() or groups_of(folder):
            async with open_steps_of(images, Settings(data_dir=folder)):
                await trio.sleep(0.1)
    remove_groups_above(folder)


async def test_a_fork_bomb_gets_as_many_processes_as_the_limit_allows(tmp_path: Path) -> None:
    count = PERL.format(
        'for (1..3000) { $p = fork; if (!defined $p) { print "refused after $_\\n"; exit } '
        "if (!$p) { sleep 300; exit } }"
    )
    bomb = PERL.format("fork while 1")
    await build(tmp_path, f"FROM {BASE}\n{count}")
    [line] = [one for one in (tmp_path / "said").read_text().splitlines() if one.startswith("refused after ")]
    assert MOST_PROCESSES - 50 < int(line.split()[-1]) <= MOST_PROCESSES
    with pytest.raises(EnvironmentFailed, match="did not finish within"):
        await build(tmp_path, f"FROM {BASE}\n{bomb}", environment_build_timeout_s=5)
    await nothing_is_left(tmp_path)


async def test_the_kernel_shows_the_limits_of_the_group_that_a_step_is_in(tmp_path: Path) -> None:
    found: dict[str, str] = {}

    async def look() -> None:
        while len(found) < 2:
            await trio.sleep(0.02)
            found.update(limits_of_steps(tmp_path))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await build(tmp_path, f"FROM {BASE}\nRUN sleep 3\n", build_memory_mb=300)
        nursery.cancel_scope.cancel()
    assert found.pop("pids.max") == str(MOST_PROCESSES)
    assert list(found.values()) == [str(300 << 20)]


async def test_a_step_neither_sees_nor_changes_its_group(tmp_path: Path) -> None:
    look = "RUN cat /proc/mounts | while read a b c; do case $c in cgroup*) echo seen $b;; esac; done\n"
    files = "/sys/fs/cgroup/*/pids.max /sys/fs/cgroup/pids.max"
    write = f"RUN for f in {files}; do echo max > $f && echo changed; done 2>/dev/null; echo ok\n"
    await build(tmp_path, f"FROM {BASE}\n{look}{write}")
    said = (tmp_path / "said").read_text().splitlines()
    assert "ok" in said
    assert not [line for line in said if line.startswith("seen") or line == "changed"]
    assert not [line for line in said if "--mount=type=tmpfs" in line]


async def test_a_memory_bomb_and_a_disk_bomb_end_their_build_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preview.environments.images.watch._SIZE_S", 0.05)
    memory = PERL.format('$x = "a" x 900e6; print length $x; sleep 300')
    hostile: Mapping[str, tuple[str, Mapping[str, Any]]] = {
        memory: ("could not be built", {"build_memory_mb": 100}),
        # One file, and many steps.
        "RUN dd if=/dev/zero of=/a bs=1024k count=100\n": ("could not be built", {"image_max_bytes": 20 << 20}),
        f"{'RUN cp /a /b; dd if=/dev/zero of=/a bs=1024k count=15; sleep 1' + chr(10)}" * 4: (
            "write more than 20 MiB|lost more than 40 MiB",
            {"image_max_bytes": 20 << 20},
        ),
    }
    for lines, (said, values) in hostile.items():
        with pytest.raises(EnvironmentFailed, match=said):
            await build(tmp_path, f"FROM {BASE}\n{lines}", None, **values)
    await nothing_is_left(tmp_path)


async def test_a_step_reaches_nothing_that_listens_on_the_machine(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as named:
        name = f"preview-test-{os.getpid()}"
        named.bind(f"\0{name}")
        named.listen()
        port = listener.getsockname()[1]
        ask = PERL.format(
            "use Socket; use IO::Socket::INET; print qq(asked\\n);"
            f" print qq(reached tcp\\n) if IO::Socket::INET->new(PeerAddr => qq(127.0.0.1:{port}), Timeout => 2);"
            " socket(S, AF_UNIX, SOCK_STREAM, 0);"
            f" print qq(reached unix\\n) if connect(S, pack_sockaddr_un(qq(\\0{name})));"
        )
        await build(tmp_path, f"FROM {BASE}\n{ask}")
    said = (tmp_path / "said").read_text().splitlines()
    assert "asked" in said
    assert not [line for line in said if line.startswith("reached")]


async def test_a_build_that_is_given_up_leaves_no_process(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(build, tmp_path, f"FROM {BASE}\nRUN sleep 500 & sleep 500\n"))
        with trio.fail_after(60):
            while not limits_of_steps(tmp_path):  # noqa: ASYNC110  another program's state
                await trio.sleep(0.02)
        nursery.cancel_scope.cancel()
    await nothing_is_left(tmp_path)


async def test_nothing_is_pulled_and_no_build_runs_without_a_group(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="has no image nowhere/image:1, and builds here fetch none"):
        await build(tmp_path, "FROM nowhere/image:1\nRUN echo\n")
    engine = await import_base(engine_or_skip())
    images = Images(engine, tmp_path.name)
    assert images.is_podman
    tags = json.dumps(await images.inspect(BASE))
    assert "docker.io/preview-test" in tags
    assert Settings(data_dir=tmp_path).image_network == "indexes"
    assert podman_text("FROM a\n", {"a": "docker.io/library/a:latest"}) == "FROM docker.io/library/a:latest\n"
