"""A template has imported what all projects of its environment import, and nothing that one of them does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from runtime_kit import read_all
from runtime_warm import Environment, make_environment, open_warm, settled

from preview.runtime import ProcessSpec, SandboxRuntime, child_subreaper
from preview.runtime.warm import WarmRuntime

PATCHES = "import textwrap\ntextwrap.dedent = lambda _: 'patched'\n"
SAYS = "import textwrap; print(textwrap.dedent('1'))"


@pytest.fixture
async def warm(sandbox_here: SandboxRuntime) -> AsyncIterator[WarmRuntime]:
    with child_subreaper():
        async with open_warm(sandbox_here) as opened:
            yield opened


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return make_environment(tmp_path / "environment", {"patches": PATCHES, "useful": "", "other": ""})


def importing(environment: Environment, project: Path, told: list[str], *modules: str) -> ProcessSpec:
    spec = environment.spec(SAYS, project, told)
    assert spec.warm is not None
    return replace(spec, warm=replace(spec.warm, modules=modules))


async def said(warm: WarmRuntime, spec: ProcessSpec) -> str:
    with trio.fail_after(60):
        async with warm.open_process(spec) as process:
            return (await read_all(process)).strip()


async def test_what_one_project_imports_is_in_effect_in_no_other(
    warm: WarmRuntime, environment: Environment, project: Path
) -> None:
    told: list[str] = []
    one = importing(environment, project, told, "patches", "useful")
    other = importing(environment, project, told, "useful", "other")
    assert await settled(warm, one)
    assert await said(warm, other) == "1"
    assert told == [
        "started cold: its template imported packages that this project does not use, and is being replaced"
    ]
    assert await settled(warm, other)
    for spec in (other, one):
        assert await said(warm, spec) == "1"
        assert told[-1].startswith("started warm")
    (slot,) = warm.templates._slots.values()
    assert slot.wanted.modules == {"useful"}


async def test_a_project_that_imports_more_is_forked_from_it(
    warm: WarmRuntime, environment: Environment, project: Path
) -> None:
    told: list[str] = []
    seconds: list[float] = []
    warm.forked = seconds.append
    assert await settled(warm, importing(environment, project, told, "useful"))
    assert await said(warm, importing(environment, project, told, "useful", "other")) == "1"
    assert told[-1].startswith("started warm")
    # For ``preview_fork_seconds``.
    assert len(seconds) == 1
    assert 0 < seconds[0] < 60
