"""The image of the service, built without a network from a Debian base and wheels, and run as deployed.

It takes minutes: `uv run pytest -m long -n 0 tests/installed/test_image_built.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from image_built_kit import IMAGE_PACKAGES, Box, built_image
from parts_kit import ROOT, debian, needed, parts_folder, wheels

# As the compose file of `preview deploy init`; its network is none, so the packages of previews are in a folder.
_OPTIONS = (
    "--read-only",
    "--user=10001",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges:true",
    "--security-opt=systempaths=unconfined",
    f"--security-opt=seccomp={ROOT / 'deploy' / 'seccomp.json'}",
    "--tmpfs=/tmp:mode=1777",
    "--pids-limit=4096",
    "--network=none",
    "--env=UV_FIND_LINKS=/wheels",
    "--env=UV_NO_INDEX=1",
)
# In the container: what each of its processes is.
_PROCESSES = "for one in /proc/[0-9]*; do tr '\\0' ' ' <$one/cmdline 2>/dev/null; echo; done"


@pytest.mark.long
def test_the_image_runs_as_an_ordinary_user_with_a_read_only_root(tmp_path: Path) -> None:
    needed("docker", "dockerd", "debootstrap", "uv")
    with (
        parts_folder() as parts,
        built_image(parts, tmp_path, debian(parts, "image", IMAGE_PACKAGES)) as (docker, image),
    ):
        box = Box(docker)
        options = (*_OPTIONS, f"--volume={wheels(parts)}:/wheels:ro")
        # Without the options, doctor names those that are missing.
        bare = box.run("run", "--rm", "--network=none", image, "doctor", "--json")
        assert "seccomp=" in bare.stdout, bare.stdout + bare.stderr

        found = json.loads(box.run("run", "--rm", *options, image, "doctor", "--json").stdout)
        results = {one["name"]: one["result"] for one in found["checks"]}
        assert results["sandbox"] == "ok", found
        # What such a host forbids, and nothing else: it mounts control groups read-only.
        assert {name for name, result in results.items() if result != "ok"} <= {"control groups", "processor"}, found

        box.do("run", "--detach", "--name", box.name, *options, image)
        try:
            _a_preview_starts_reloads_and_stops(box)
            _a_killed_service_leaves_nothing_but_its_data(box)
            box.do("stop", "--time=60", box.name)
            assert box.do("inspect", "--format", "{{.State.ExitCode}}", box.name) == "0"
        finally:
            box.run("rm", "--force", "--volumes", box.name)


def _a_preview_starts_reloads_and_stops(box: Box) -> None:
    box.wait_until_it_answers()
    identity = box.shell("id -u; touch /x 2>&1; true")
    assert identity.startswith("10001\n")
    assert "Read-only file system" in identity
    box.shell("mkdir /tmp/hello; cat >/tmp/hello/main.py", given=_file("main.py"))
    box.shell("cat >/tmp/hello/requirements.txt", given=_file("requirements.txt"))
    generation = box.preview("push", "/tmp/hello")
    box.preview("launch", generation, "--wait", "200")
    assert "Hello" in box.preview("request", generation, "GET", "/")
    box.shell("cat >/tmp/hello/main.py", given=_file("main.py").replace("Hello", "Goodbye"))
    box.preview("sync", generation, "/tmp/hello", "--yes")
    assert "Goodbye" in box.preview("request", generation, "GET", "/")
    box.preview("stop", generation)
    assert "uvicorn" not in box.shell(_PROCESSES)


def _a_killed_service_leaves_nothing_but_its_data(box: Box) -> None:
    generation = box.preview("push", "/tmp/hello", "--json")
    generation = json.loads(generation)["id"]
    box.preview("launch", generation, "--wait", "200")
    box.do("kill", "--signal=KILL", box.name)
    box.do("wait", box.name)
    box.do("start", box.name)
    box.wait_until_it_answers()
    assert "uvicorn" not in box.shell(_PROCESSES)
    # What was uploaded is there, and starts again.
    box.preview("launch", generation, "--wait", "200")
    assert "Goodbye" in box.preview("request", generation, "GET", "/")


def _file(name: str) -> str:
    return (ROOT / "examples" / "hello" / name).read_text("utf-8")
