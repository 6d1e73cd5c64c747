"""Projects that start by their Dockerfile: built, run, asked, and refused where no engine is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from engine_kit import engine_or_skip
from image_kit import BASE, SERVER, import_base
from launch_kit import Rig, ask, open_rig, story

from preview.core.lifecycle import State
from preview.detection import Server, StartPlan, Toolchain
from preview.errors import InvalidGeneration
from preview.runtime import ProcessSpec, RunImage, limits_of
from preview.runtime.sandbox.runtime import owned
from preview.settings import Settings

FILES = {
    "Dockerfile": f"FROM {BASE}\nWORKDIR /app\nCOPY . .\nRUN cat word > built\nEXPOSE 80\nCMD perl server.pl 80\n",
    "server.pl": SERVER,
    "word": "built here",
}
PLAN = StartPlan("dockerfile", Toolchain.IMAGE, Server.COMMAND, None, dockerfile="Dockerfile")


async def test_a_project_with_a_dockerfile_is_built_and_served_at_its_own_port(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_or_skip()
    await import_base(engine)
    settings = make_settings_in(
        cache_dir=launch_cache_dir, stop_grace_s=2, container_engine=f"unix://{engine}", image_builds=True
    )
    with trio.fail_after(180):
        async with open_rig(settings, monkeypatch) as rig:
            preview = await rig.start(FILES, PLAN)
            assert preview.record.state is State.RUNNING, "\n".join(story(preview)[-12:])
            assert (await ask(preview)).text == "built here"
            lines = story(preview)
            assert "Step 1/8 : FROM preview-test/base:latest" in lines, lines
            # A user of its own, as in every container, and no root.
            assert any(line.startswith("up at 80 as ") and not line.endswith(" as 0") for line in lines), lines
            assert preview.confinement is not None
            assert preview.confinement.runtime == "container"
            await rig.service.previews.stop("g1")


async def test_without_an_engine_such_a_project_is_refused_with_a_sentence(rig: Rig) -> None:
    with pytest.raises(InvalidGeneration, match="starts by its Dockerfile, and this service offers no containers"):
        await rig.start(FILES, PLAN)


def test_the_working_folder_of_an_image_is_no_folder_of_this_machine(tmp_path: Path) -> None:
    limits = limits_of(Settings(data_dir=tmp_path))
    spec = ProcessSpec("p", ["x"], Path("/etc"), {}, None, limits, writable=(tmp_path,), image=RunImage("x"))
    assert owned(spec) == (tmp_path,)
