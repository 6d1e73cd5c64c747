"""Ten projects that bring a Dockerfile or a compose file, built on a Debian that the tests make themselves.

``debootstrap`` makes it once, in ``~/.cache/preview-test``; ``PREVIEW_TEST_ROOT`` names another folder with one. All
bases are tags of it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio
from engine_kit import engine_or_skip
from launch_kit import ask, open_rig, story

from preview.core.lifecycle import State
from preview.detection import Overrides, ServiceKind, detect
from preview.environments.images.dockerfile import read_dockerfile
from preview.runtime.container import Engine
from preview.settings import Settings

PROJECTS = Path(__file__).parent / "projects"
NAMES = sorted(one.name for one in PROJECTS.iterdir() if one.is_dir())
BASES = (
    "golang:1.24",
    "debian:bookworm-slim",
    "rust:1",
    "eclipse-temurin:21",
    "php:8.3-cli",
    "ruby:3.3-slim",
    "node:22-slim",
    "python:3.12-slim",
    "nginx:1.27",
    "busybox:1.36",
)


PACKAGES = (
    "golang-go",
    "rustc",
    "cargo",
    "default-jdk-headless",
    "php-cli",
    "ruby",
    "nodejs",
    "nginx",
    "libc6-dev",
    "busybox-static",
    "python3-psycopg2",
    "python3-redis",
)


async def debian() -> Path:
    """The folder of a Debian with these packages; it is made if it does not exist yet."""
    if named := os.environ.get("PREVIEW_TEST_ROOT"):
        return Path(named)
    cache = trio.Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "preview-test"
    made, unfinished = cache / "debian", cache / "debian.unfinished"
    if await made.is_dir():
        return Path(made)
    if shutil.which("debootstrap") is None:
        pytest.skip("debootstrap is not installed, and PREVIEW_TEST_ROOT names no Debian")
    await cache.mkdir(parents=True, exist_ok=True)
    await trio.run_process(["rm", "-rf", str(unfinished)])
    # Java's package needs a /proc; the mount goes with this namespace.
    mounted = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
    inside = ["unshare", "--mount", "sh", "-c", mounted, str(unfinished)]
    install = [*inside, "apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES]
    # debootstrap itself takes much longer to resolve so many packages than apt does.
    for command in (["debootstrap", "--variant=minbase", "bookworm", str(unfinished)], install):
        try:
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            await trio.run_process(command, capture_stdout=True, capture_stderr=True, env=environment)
        except subprocess.CalledProcessError as error:
            said = (error.stdout or b"") + (error.stderr or b"")
            pytest.fail(f"{command[0]}: {said.decode('utf-8', 'replace')[-2000:]}")
    # A container's files need none of these.
    await trio.run_process(["rm", "-rf", *(str(unfinished / one) for one in ("var/cache", "dev", "proc", "sys"))])
    await unfinished.rename(made)
    return Path(made)


async def import_debian(path: Path) -> None:
    engine = Engine(path)
    if await engine.has_image(BASES[-1]):
        return
    root = await debian()
    packed = trio.Path(path.parent / "debian.tar")
    await trio.run_process(["tar", "-C", str(root), "--exclude=./var/cache", "-cf", str(packed), "."])

    async def pieces() -> AsyncIterator[bytes]:
        async with await trio.open_file(packed, "rb") as file:
            while piece := await file.read(1 << 20):
                yield piece

    query = "/images/create?fromSrc=-&repo=preview-test/debian&tag=latest"
    size = (await packed.stat()).st_size
    async with engine.open_upload(query, size, pieces()) as answer:
        async for _ in answer:
            pass
    await packed.unlink()
    for one in BASES:
        repository, _, tag = one.partition(":")
        await engine.call("POST", f"/images/preview-test/debian/tag?repo={repository}&tag={tag}")


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
async def test_a_project_is_built_started_and_answers(
    name: str, make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_or_skip()
    folder = PROJECTS / name
    files = {str(one.relative_to(folder)): one.read_text() for one in folder.rglob("*") if one.is_file()}
    settings = make_settings_in(
        cache_dir=launch_cache_dir,
        stop_grace_s=2,
        container_engine=f"unix://{engine}",
        postgres="auto",
        redis="auto",
        startup_timeout_s=300,
    )
    with trio.fail_after(3600):
        await import_debian(engine)
        async with open_rig(settings, monkeypatch) as rig:
            if name == "compose" and not {ServiceKind.POSTGRESQL, ServiceKind.REDIS} <= rig.service.supplied:
                pytest.skip("no PostgreSQL or Redis on this machine")
            named = Overrides(dockerfile="Dockerfile" if "Dockerfile" in files else "docker-compose.yml")
            preview = await rig.start(files, detect(folder, named, supplied=rig.service.supplied))
            assert preview.record.state is State.RUNNING, "\n".join(story(preview)[-12:])
            assert (await ask(preview)).text == f"hello from {name}"
            await rig.service.previews.stop("g1")
            assert await Engine(engine).labelled(f"preview.id={preview.id}") == []


def test_all_ten_are_read() -> None:
    named = {"node": "Dockerfile", "python": "Dockerfile", "compose": "docker-compose.yml"}
    plans = {name: detect(PROJECTS / name, Overrides(dockerfile=named.get(name))) for name in NAMES}
    assert len(plans) == 10
    for name, plan in plans.items():
        assert plan.image is not None
        text = (PROJECTS / name / plan.image.dockerfile).read_text()
        recipe = read_dockerfile(text, name, {}, arguments=plan.image.arguments)
        assert set(recipe.images) <= set(BASES), name
    assert plans["compose"].dockerfile == "docker-compose.yml"
    assert plans["go"].health_path == "/healthz"
