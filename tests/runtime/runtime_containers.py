"""The container runtime under test, on an engine of the tests' own."""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from pathlib import Path

import pytest
import trio
from engine_kit import engine_or_skip, is_podman, own_runtime
from runtime_kit import broker_if_needed, make_runtime

from preview.runtime import Refusal, Runtime
from preview.runtime.container import ContainerRuntime, probe_containers
from preview.settings import load_settings


@lru_cache(maxsize=2)
def _probed(engine: Path) -> ContainerRuntime | Refusal:
    """Once for each worker and engine; the folder stays, as the service's own does."""
    kind = "podman" if is_podman() else "docker"
    folder = Path(tempfile.gettempdir()) / f"preview-test-containers-{kind}-{os.getpid()}"
    settings = load_settings(data_dir=folder, container_engine=f"unix://{engine}", container_runtime=own_runtime())

    async def probe() -> ContainerRuntime | Refusal:
        return await probe_containers(settings, broker=await broker_if_needed(folder))

    return trio.run(probe)


def containers_or_skip() -> ContainerRuntime:
    """The container runtime; where no engine can run its tests are skipped, or fail if they have to run."""
    found = _probed(engine_or_skip())
    if isinstance(found, Refusal):
        pytest.fail(f"the engine runs no container: {found.reason}")
    return found


def any_runtime(name: str) -> Runtime:
    return containers_or_skip() if name == "container" else make_runtime(name)
