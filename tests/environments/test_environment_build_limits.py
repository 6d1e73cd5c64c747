"""What one build may use of the machine, where control groups hold it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from environment_kit import wait_for_file
from jail_kit import make_jail
from test_environment_jail import build_and_ask
from test_node_environment import write_manifest, write_package

from preview.environments import EnvironmentRequest, Jail
from preview.environments.node.build import NodeEnvironmentCache
from preview.errors import EnvironmentFailed
from preview.runtime import child_subreaper
from preview.runtime.cgroups import CgroupTree, NoCgroups, open_cgroups
from preview.settings import Settings

LIMIT_S = 60
TOO_MUCH = "more than 128 MB of memory and was ended"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data", uv_offline=True, build_memory_mb=128)
    settings.data_dir.mkdir()
    return settings


@pytest.fixture
async def groups(settings: Settings) -> AsyncIterator[CgroupTree]:
    async with open_cgroups(settings.data_dir) as found:
        if isinstance(found, NoCgroups):
            pytest.skip(f"no control groups: {found.reason}")
        yield found


@pytest.fixture
async def jail(settings: Settings, groups: CgroupTree) -> AsyncIterator[Jail]:
    with child_subreaper():
        yield await make_jail(settings, groups)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def processes_of_builds(groups: CgroupTree) -> list[int]:
    """How many are in each build's group."""
    found = [path for root in groups.directories for path in Path(root).glob("build-*")]
    return [len((path / "cgroup.procs").read_text().split()) for path in found]


async def test_a_build_runs_in_a_control_group_of_its_own_that_goes_with_it(
    settings: Settings, jail: Jail, groups: CgroupTree, project: Path
) -> None:
    begun, go_on = project / "odd" / "begun", project / "odd" / "go_on"
    setup = f"open({str(begun)!r}, 'w').write('x')\nwhile not os.path.exists({str(go_on)!r}): pass"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(build_and_ask, settings, jail, project, setup)
        with trio.fail_after(LIMIT_S):
            await wait_for_file(begun)
        found = processes_of_builds(groups)
        go_on.touch()
    assert found
    assert min(found) > 1
    assert processes_of_builds(groups) == []


async def test_a_python_build_that_takes_too_much_memory_is_ended_and_told(
    settings: Settings, jail: Jail, project: Path
) -> None:
    with pytest.raises(EnvironmentFailed, match=TOO_MUCH) as raised:
        await build_and_ask(settings, jail, project, "ANSWERS['size'] = len(b'x' * (512 << 20))")
    assert raised.value.details["reason"] == "memory"
    assert "PREVIEW_BUILD_MEMORY_MB" in raised.value.message


async def test_an_npm_build_that_takes_too_much_memory_is_ended_and_told(
    settings: Settings, jail: Jail, project: Path
) -> None:
    scripts = {"postinstall": "node -e 'Buffer.alloc(512 << 20, 1)'"}
    write_package(project / "one.tgz", "one", "module.exports = 1", scripts=scripts)
    write_manifest(project, name="shop", dependencies={"one": "file:one.tgz"})
    with trio.fail_after(LIMIT_S), pytest.raises(EnvironmentFailed, match=TOO_MUCH):
        async with NodeEnvironmentCache(settings, jail).open_environment(EnvironmentRequest(project), lambda *_: None):
            pytest.fail("it was not ended")
