"""Builds of images by the engine: what they give, and Dockerfiles that want what they may not have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from engine_kit import engine_or_skip, is_podman
from image_kit import BASE, import_base

from preview.environments import Environment, EnvironmentRequest, ImageCache, ImageSource
from preview.environments.images.left import removing_left
from preview.environments.images.network import NO_NETWORK, BuildNetwork, OpenNetwork
from preview.environments.images.steps import OpenSteps, limits_of_all, open_engines_group, open_own_group
from preview.errors import EnvironmentFailed, LaunchFailed
from preview.runtime.cgroups import open_engine_groups
from preview.runtime.container import EngineError
from preview.runtime.container.images import Images, StoredImage
from preview.settings import Settings

FILL = "dd if=/dev/zero bs=1024k count=20"


async def build(
    tmp_path: Path,
    dockerfile: str,
    files: Mapping[str, str] | None = None,
    *,
    open_network: OpenNetwork = NO_NETWORK,
    **values: object,
) -> Environment:
    """Build a project's image, and return its environment. ``tmp_path / "said"`` has the lines."""
    engine = await import_base(engine_or_skip())
    project = tmp_path / "project"
    project.mkdir(exist_ok=True)
    for name, text in {"Dockerfile": dockerfile, **(files or {})}.items():
        (project / name).write_text(text)
    said: list[str] = []
    images = Images(engine, tmp_path.name)
    root = await images.root_folder()
    assert root is not None
    settings = Settings(data_dir=tmp_path, **values)  # type: ignore[arg-type]
    try:
        with trio.fail_after(120):
            async with (
                open_steps_of(images, settings) as open_steps,
                ImageCache(settings, images, root, open_network, open_steps).open_environment(
                    EnvironmentRequest(project, image=ImageSource("Dockerfile")), lambda line, _: said.append(line)
                ) as found,
            ):
                return found
    finally:
        (tmp_path / "said").write_text("\n".join(said))


@asynccontextmanager
async def open_steps_of(images: Images, settings: Settings) -> AsyncIterator[OpenSteps]:
    if not images.is_podman:
        yield open_engines_group
        return
    async with open_engine_groups(settings.data_dir, None, limits_of_all(settings)) as groups:
        root = await images.root_folder()
        assert groups is not None
        assert root is not None
        async with removing_left(images, root, groups):
            yield partial(open_own_group, groups, settings)


async def test_an_image_is_built_once_and_says_how_it_runs(tmp_path: Path) -> None:
    dockerfile = f"""\
ARG TAG=latest
FROM preview-test/base:${{TAG}} AS build
WORKDIR /src
COPY . .
# the next instruction has two lines
RUN --mount=type=cache,target=/x echo 'hello  from \\
the build' && cat notes > /built
FROM {BASE}
COPY --from=build /built /app/built
COPY --from=build /src /app/src
ENV PORT=81 MODE=fast
LABEL "preview.data"="another"
EXPOSE 80 443/tcp 53/udp
VOLUME /app/data
WORKDIR /app
ENTRYPOINT ["/bin/perl"]
CMD ["server.pl", "80"]
"""
    files = {"notes": "ok", "left.log": "x", ".dockerignore": "*.log\n!kept.log\n", "kept.log": "y"}
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "outside").symlink_to("/etc/passwd")
    found = await build(tmp_path, dockerfile, files)
    assert found.how == "built"
    assert found.image is not None
    assert found.image.argv == ("/bin/perl", "server.pl", "80")
    assert (found.image.port, found.image.directory, found.image.volumes) == (81, "/app", ("/app/data",))
    assert found.image.variables["MODE"] == "fast"
    said = (tmp_path / "said").read_text().splitlines()
    assert "hello  from the build" in said
    assert any(line.startswith("RUN --mount=type=cache is left out") for line in said)
    assert (await build(tmp_path, dockerfile, files)).how == "cached"
    (tmp_path / "project" / "notes").write_text("other")
    checked = await build(
        tmp_path,
        f"FROM {BASE}\nCOPY . /all\nRUN cat /all/kept.log /all/notes && ! cat /all/left.log && ! cat /all/outside\n",
    )
    assert checked.how == "built"


async def test_nobody_builds_on_an_image_of_another_project_or_by_its_id(tmp_path: Path) -> None:
    found = await build(tmp_path, f"FROM {BASE}\nENV SECRET=1\n")
    assert found.image is not None
    for name in (
        found.image.name,
        found.image.name.removeprefix("sha256:")[:2],
        "preview-test/base@sha256:" + "0" * 64,
    ):
        with pytest.raises(EnvironmentFailed, match=r"no image to build on|has no image"):
            await build(tmp_path, f"FROM {name}\nRUN env\n")


# The engines' own words for the same refusal.
PODMAN_SAYS = {
    "COPY failed": "source can't be a URL for COPY",
    "returned a non-zero code: 3; its last line: last words": "exit status 3; its last line: last words",
}


@pytest.mark.parametrize(
    ("dockerfile", "said"),
    [
        ("FROM python:3.12-slim\n", "the engine has no image python:3.12-slim"),
        (f"FROM {BASE}\nCOPY --from=evil.example/x /a /b\n", "the engine has no image evil.example/x"),
        (f"FROM {BASE}\nADD http://127.0.0.1:8000/ /x\n", "line 2: ADD may not fetch an address"),
        (f"FROM {BASE}\nARG U=http://127.0.0.1:8000/\nADD $U /x\n", "COPY failed"),
        (f'FROM {BASE}\nADD ["http:\\u002f/127.0.0.1:8000/", "/x"]\n', "COPY failed"),
        (f"FROM {BASE}\nADD http:''//127.0.0.1:8000/ /x\n", "COPY failed"),
        (f"FROM {BASE}\nONBUILD ADD https://evil.example /x\n", "ONBUILD is not supported"),
        (f'FROM {BASE}\nCOPY --fr"om"=evil.example/x /a /b\n', "write '--fr"),
        (f"FROM {BASE}\nCOPY --chown=0\t--from=evil.example/x /a /b\n", "the engine has no image evil.example/x"),
        (f"FROM {BASE}\nCOPY --chown=\\ --link\nENV --from=evil.example/x /a /b\n", "without quotes"),
        (f"FROM {BASE} AS alpine\nCOPY --from=alpine / /x\n", "the engine has no image alpine"),
        (f"# escape=`\nFROM {BASE}\nRUN echo `\n  x\nADD `\nhttp://x /y\n", "ADD may not fetch an address"),
        (f"FROM {BASE}\nCOPY --exclude=a b /c\n", "needs BuildKit"),
        (f"FROM {BASE}\nRUN --security=insecure id\n", "is not supported here; leave it out"),
        ("RUN id\n", "comes before the first FROM"),
        (f"FROM {BASE}\nEVIL x\n", "is no instruction"),
        (f"FROM {BASE}\nRUN echo last words && exit 3\n", "returned a non-zero code: 3; its last line: last words"),
    ],
)
async def test_what_a_build_may_not_do_is_one_sentence(tmp_path: Path, dockerfile: str, said: str) -> None:
    with pytest.raises(EnvironmentFailed) as raised:
        await build(tmp_path, dockerfile)
    assert (PODMAN_SAYS.get(said, said) if is_podman() else said) in raised.value.message


@pytest.mark.skipif(is_podman(), reason="Podman has no BuildKit")
async def test_buildkit_refuses_the_network_in_which_a_build_reaches_package_indexes_alone() -> None:
    engine = await import_base(engine_or_skip())
    with pytest.raises(EngineError, match="not supported by buildkit"):
        await engine.call("POST", "/build?version=2&networkmode=container:any")


@pytest.mark.long
async def test_builds_that_do_not_end_fill_the_disk_or_print_without_end_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preview.environments.images.watch._SIZE_S", 0.05)
    monkeypatch.setattr("preview.environments.images.watch._LOOK_S", 0.05)
    monkeypatch.setattr("preview.environments.images.building._MOST_OUTPUT", 1 << 20)
    hostile: Mapping[str, tuple[str, Mapping[str, Any]]] = {
        "RUN sleep 1000": ("did not finish within", {"environment_build_timeout_s": 2}),
        # It names another container as the one that runs; and a volume would be a folder that no size counts.
        f"VOLUME /v\nRUN echo ' ---> Running in {'0' * 12}'; {FILL} of=/v/a; {FILL} of=/b; sleep 1000": (
            "write more than 30 MiB|lost more than 60 MiB",
            {"image_max_bytes": 30 << 20},
        ),
        # Each step alone is below the limit.
        f"RUN {FILL} of=/a; sleep 1\nRUN {FILL} of=/b; sleep 1000": (
            "write more than 30 MiB|lost more than 60 MiB",
            {"image_max_bytes": 30 << 20},
        ),
        # Files without a name, and files without content, have no size.
        """RUN perl -e 'for (1..5) { open($f[$_], ">/a"); unlink "/a"; syswrite $f[$_], "x" x 2e7 } sleep 1000'""": (
            "write more than 20 MiB|lost more than 40 MiB",
            {"image_max_bytes": 20 << 20},
        ),
        """RUN perl -e 'for (1..30000) { open $f, ">", "/f$_" } sleep 1000'""": ("lost more than 3000 inodes", {}),
        "RUN yes": ("prints more than 1 MiB", {}),
    }
    for line, (said, values) in hostile.items():
        # Other tests make files too.
        monkeypatch.setattr("preview.environments.images.watch._MOST_FILES", 3000 if "inodes" in said else 10**9)
        with pytest.raises(EnvironmentFailed, match=said):
            await build(tmp_path, f"FROM {BASE}\n{line}\n", None, **values)
    assert len((tmp_path / "said").read_text().splitlines()) < 3000
    engine = await import_base(engine_or_skip())
    left = "/containers/json?all=1&filters=%7B%22ancestor%22%3A%5B%22preview-test%2Fbase%22%5D%7D"
    with trio.fail_after(60):
        while await engine.call("GET", left):  # noqa: ASYNC110  the engine has no such event
            await trio.sleep(0.05)


async def test_a_context_is_bounded_and_the_oldest_images_go(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="more than 1 MiB"):
        await build(tmp_path, f"FROM {BASE}\n", {"large": "x" * (1 << 21)}, image_context_bytes=1 << 20)
    (tmp_path / "project" / "large").unlink()
    for number in range(3):
        await build(tmp_path, f"FROM {BASE}\nENV NUMBER={number}\n", images_kept=2)
    engine = await import_base(engine_or_skip())
    assert len([one for one in await Images(engine, tmp_path.name).stored() if one.name]) <= 2


async def test_a_step_has_a_limited_number_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preview.environments.images.watch._LOOK_S", 0.05)
    monkeypatch.setattr("preview.environments.images.watch.MOST_PROCESSES", 20)
    monkeypatch.setattr("preview.environments.images.steps.MOST_PROCESSES", 20)
    bomb = (
        "perl -e 'for (1..2000) { $p = fork; if (!defined $p) { print qq(refused\\n); exit } "
        "if (!$p) { sleep 100; exit } select undef, undef, undef, 0.03 }'"
    )
    await build(tmp_path, f"FROM {BASE}\nRUN {bomb}\n")
    assert "refused" in (tmp_path / "said").read_text()


@pytest.mark.long
async def test_volumes_are_declared_where_no_step_follows_and_no_step_runs_on_a_base_with_volumes(
    tmp_path: Path,
) -> None:
    dockerfile = f'FROM {BASE} AS one\nENV WHERE=/a\nVOLUME $WHERE\nRUN echo\nFROM one\nRUN echo\nVOLUME ["/b"]\n'
    found = await build(tmp_path, dockerfile)
    assert found.image is not None
    assert found.image.volumes == ("/a", "/b")
    engine = await import_base(engine_or_skip())
    with_volume, tag = "preview-test/with-volume", "/images/{}/tag?repo=preview-test/with-volume&tag=latest"
    volume = await engine.call("POST", "/containers/create", {"Image": BASE, "Cmd": ["sh"], "Volumes": {"/c": {}}})
    assert isinstance(volume, dict)
    made = await engine.call("POST", f"/commit?container={volume['Id']}", {"Cmd": ["sh"], "Volumes": {"/c": {}}})
    assert isinstance(made, dict)
    await engine.remove(str(volume["Id"]))
    await engine.call("POST", tag.format(made["Id"]))
    with pytest.raises(EnvironmentFailed, match="has volumes, and what RUN writes"):
        await build(tmp_path, f"FROM {with_volume}\nRUN echo\n")
    assert (await build(tmp_path, f"FROM {with_volume}\nENV A=1\n")).how == "built"


def _without_parents(listed: Callable[..., Awaitable[list[StoredImage]]]) -> Callable[..., object]:
    async def look(self: Images, *, steps: bool) -> list[StoredImage]:
        found = [replace(one, parent="") for one in await listed(self, steps=steps)]
        return [one for one in found if one.name]

    return look


@pytest.mark.long
async def test_layers_that_images_share_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        # The base alone has some MiB.
        await build(tmp_path, f"FROM {BASE}\nENV NUMBER={number}\n", images_max_bytes=1 << 20)
    engine = await import_base(engine_or_skip())
    assert len(await Images(engine, tmp_path.name).stored()) == 3
    await build(tmp_path, f"FROM {BASE}\nENV NUMBER=0\nRUN dd if=/dev/zero of=/a bs=1024 count=700\n")
    used = await Images(engine, tmp_path.name).used_bytes()
    assert used >= 700 * 1024
    # Dockers with another store of images name no parents; Podman always does.
    if not engine.is_podman:
        monkeypatch.setattr("preview.runtime.container.images.Images._list", _without_parents(Images._list))
        assert await Images(engine, tmp_path.name).used_bytes() == used
        monkeypatch.undo()
    await build(tmp_path, f"FROM {BASE}\nRUN dd if=/dev/zero of=/a bs=1024k count=2\n", images_max_bytes=1 << 20)
    # It is in use while the others are removed.
    assert len(await Images(engine, tmp_path.name).stored()) == 1


async def test_a_build_whose_network_cannot_be_had_has_none_and_says_so(tmp_path: Path) -> None:
    @asynccontextmanager
    async def fail() -> AsyncIterator[BuildNetwork]:
        raise LaunchFailed("no container beside it")
        yield

    await build(tmp_path, f"FROM {BASE}\nRUN cat /proc/net/dev && echo seen\n", open_network=fail)
    said = (tmp_path / "said").read_text()
    assert "the build of the image has no network: no container beside it" in said
    assert "seen" in said
    assert "eth0" not in said
