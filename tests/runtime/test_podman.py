"""Podman as the engine of containers: one start in each run, and the suites of containers by `-m long`.

`uv run pytest -m long -n 0 -s tests/runtime/test_podman.py`
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
import trio
from engine_kit import end_engine, is_gvisor, start_or_skip, use_podman
from runtime_containers import containers_or_skip
from runtime_kit import INTERPRETER, LIMITS, PYTHON

from preview.detection import Toolchain
from preview.environments import open_images
from preview.errors import EnvironmentFailed
from preview.runtime import Exit, ProcessSpec, child_subreaper
from preview.runtime.cgroups import read_own_groups
from preview.runtime.container import ContainerRuntime, Engine, probe_containers
from preview.runtime.interface import Excess
from preview.runtime.process.process import TreeProcess
from preview.settings import load_settings
from preview.supervisor.launch.planning import hold_environment

_ROOT = Path(__file__).parents[2]
_SUITES = (
    "tests/runtime/test_containers.py",
    "tests/runtime/test_runtime_contract.py",
    "tests/launch/test_launch_containers.py",
    "tests/hostile",
)
_BUILDS = (
    "tests/environments/test_images.py",
    "tests/environments/test_podman_builds.py",
    "tests/launch/test_launch_image_network.py",
    "tests/launch/test_launch_image_user.py",
    "tests/launch/test_launch_images.py",
)
_OWN = (sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "-m", "not timed and not long")
_needs_podman = pytest.mark.skipif(
    shutil.which("podman") is None or shutil.which("runc") is None or is_gvisor(),
    reason="podman and runc are not installed, or gVisor is under test, which Podman does not start",
)


@pytest.fixture
def podman(monkeypatch: pytest.MonkeyPatch) -> None:
    use_podman(monkeypatch)


@_needs_podman
@pytest.mark.usefixtures("podman")
async def test_podman_runs_a_container(tmp_path: Path) -> None:
    # Podman's folders have short names only.
    folder = Path(tempfile.mkdtemp(prefix="preview-engine-"))
    held = start_or_skip(folder)
    try:
        with trio.fail_after(120):
            settings = load_settings(data_dir=tmp_path, container_engine=f"unix://{folder}/s")
            found = await probe_containers(settings)
            assert isinstance(found, ContainerRuntime), found
            # Steps run in groups of the service; where it may make none, the launch says so.
            async with open_images(settings, [found], None) as images:
                of_version_1 = read_own_groups().controllers.keys()
                assert (images is not None) == (os.geteuid() == 0 and of_version_1 >= {"memory", "pids"})
            context: Any = SimpleNamespace(images=None, runtimes={"container": found}, runtime=None)
            analysis: Any = SimpleNamespace(plan=SimpleNamespace(toolchain=Toolchain.IMAGE))
            with pytest.raises(EnvironmentFailed, match="nothing would limit the number of a build's processes"):
                async with hold_environment(context, analysis, tmp_path, lambda *_: None, owner="u"):
                    pass
    finally:
        end_engine(folder, held)


@_needs_podman
@pytest.mark.usefixtures("podman")
def test_a_podman_that_runs_no_container_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its service answers all the same: what runs on it would fail instead of being skipped."""
    monkeypatch.setenv("PREVIEW_TEST_CONTAINER_RUNTIME", "/bin/false")
    monkeypatch.delenv("PREVIEW_TEST_REQUIRE_PODMAN", raising=False)
    folder = Path(tempfile.mkdtemp(prefix="preview-engine-"))
    with pytest.raises(pytest.skip.Exception, match=r"no container engine: the engine runs no container \("):
        start_or_skip(folder)
    assert not folder.exists()


@pytest.fixture
def containers() -> ContainerRuntime:
    return containers_or_skip()


async def test_the_first_process_tells_that_memory_ran_out(
    containers: ContainerRuntime, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Podman removes the group at once, and does not always tell the reason. Here no engine does."""
    if "memory" not in containers.holds():
        pytest.skip("this engine limits no memory")
    monkeypatch.setattr(TreeProcess, "excess", lambda _: Excess())
    monkeypatch.setattr(Engine, "state", AsyncMock(return_value={}))
    bomb = [*PYTHON, "print('up', flush=True); x = bytearray(200 * 2**20)"]
    limits = replace(LIMITS, memory_bytes=64 * 2**20)
    spec = ProcessSpec(
        "preview_test", bomb, project, {}, None, limits, readable=INTERPRETER, writable=(project,), slot=20_001
    )
    with child_subreaper(), trio.fail_after(90):
        async with containers.open_process(spec) as process:
            assert await process.wait() == Exit(signal=signal.SIGKILL)
            assert process.excess().killed_for_memory >= 1


@pytest.mark.long
@_needs_podman
@pytest.mark.usefixtures("podman")
@pytest.mark.parametrize("user", ["root", "an ordinary user"])
def test_the_suites_of_containers_pass_on_podman(user: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("root runs them, as itself and as an ordinary user")
    start = _OWN if user == "root" else ("bash", str(_ROOT / "scripts" / "ci-user.sh"))
    done = subprocess.run([*start, *_SUITES, "-k", "container"], cwd=_ROOT, check=False)
    assert done.returncode == 0


@pytest.mark.long
@_needs_podman
@pytest.mark.usefixtures("podman")
def test_builds_are_limited_on_podman() -> None:
    if os.geteuid() != 0:
        pytest.skip("root's service alone makes groups for a build")
    done = subprocess.run([*_OWN, *_BUILDS], cwd=_ROOT, check=False)
    assert done.returncode == 0
