"""Containers that Podman leaves of builds: the service removes its own ones, and no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest
import trio

from preview.environments.images.left import removing_left
from preview.runtime.cgroups import EngineGroups
from preview.runtime.container import EngineError
from preview.runtime.container.images import Images


class Groups:
    """Of a service with one open build, ``open``."""

    was_given_up = True
    name = "/preview-1-engine/"

    def is_ended(self, path: str) -> bool:
        return path.startswith(self.name) and not path.startswith(f"{self.name}open/")

    async def remove_left(self) -> None:
        """None is left."""


class Engine:
    """Refuses to remove a container once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.refused: set[str] = set()

    async def remove_step(self, container: str) -> None:
        if container not in self.refused:
            self.refused.add(container)
            raise EngineError("it is busy", 500)
        (self.root / "overlay-containers" / container / "userdata" / "buildah.json").unlink()


def add(root: Path, name: str, description: object) -> None:
    folder = root / "overlay-containers" / name / "userdata"
    folder.mkdir(parents=True)
    text = description if isinstance(description, str) else json.dumps({"CommonBuildOpts": description})
    (folder / "buildah.json").write_text(text)


def kept(root: Path) -> set[str]:
    return {one.parent.parent.name for one in root.glob("*/*/userdata/buildah.json")}


OTHERS = {
    "1" * 64: {"CgroupParent": "/preview-2-engine/ended/step"},
    "2" * 64: {"CgroupParent": ""},
    "3" * 64: {"CgroupParent": ["/preview-1-engine/ended/step"]},
    "4" * 64: {"CgroupParent": "/preview-1-engine/open/step"},
    "5" * 64: None,
    "6" * 64: "not json",
    "7" * 64: "[" * 100_000,
    "base-working-container": {"CgroupParent": "/preview-1-engine/ended/step"},
}


async def test_containers_of_ended_builds_are_removed_while_the_service_runs_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preview.environments.images.left._EVERY_S", 0.01)
    for name, description in OTHERS.items():
        add(tmp_path, name, description)
    engine = Engine(tmp_path)
    async with removing_left(cast("Images", engine), tmp_path, cast("EngineGroups", Groups())):
        add(tmp_path, "a" * 64, {"CgroupParent": "/preview-1-engine/ended/step"})
        with trio.fail_after(60):
            while kept(tmp_path) != set(OTHERS):  # noqa: ASYNC110  of a thread
                await trio.sleep(0.01)
    assert engine.refused == {"a" * 64}
    assert kept(tmp_path) == set(OTHERS)


async def test_those_of_an_earlier_run_are_removed_at_the_start_and_late_ones_at_the_end(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.refused |= {"a" * 64, "b" * 64}
    add(tmp_path, "a" * 64, {"CgroupParent": "/preview-1-engine/ended/step"})
    async with removing_left(cast("Images", engine), tmp_path, cast("EngineGroups", Groups())):
        assert kept(tmp_path) == set()
        add(tmp_path, "b" * 64, {"CgroupParent": "/preview-1-engine/ended/step"})
    assert kept(tmp_path) == set()
