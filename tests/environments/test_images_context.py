"""What a build may copy: no link leads out, whatever changes meanwhile, and the whole is never in memory."""

from __future__ import annotations

import io
import tarfile
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from preview.environments.images import context
from preview.environments.images.built import read_built, with_source
from preview.environments.images.context import is_ignored, open_below, pack_context, read_ignored, read_small
from preview.environments.images.dockerfile import read_dockerfile
from preview.environments.images.turns import BuildTurns
from preview.environments.images.watch import _watch_steps
from preview.errors import EnvironmentFailed
from preview.runtime.container import EngineError
from preview.sources.image_source import ImageSource

OWN = (".dockerignore", context.DOCKERFILE, context.EMPTY)


def names_in(packed: io.BytesIO) -> dict[str, tarfile.TarInfo]:
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        return {one.name: one for one in archive}


def test_a_folder_or_file_that_becomes_a_link_meanwhile_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, project = tmp_path / "outside", tmp_path / "project"
    for folder in (outside, project / "sub", project / "kept"):
        folder.mkdir(parents=True)
        (folder / "file").write_text(folder.name)
    real = context._open_folder

    @contextmanager
    def swapping(path: Path | str, above: int | None = None) -> Iterator[int]:
        if path == "sub" and not (project / "sub").is_symlink():
            (project / "sub").rename(tmp_path / "away")
            (project / "sub").symlink_to(outside)
        with real(path, above) as found:
            yield found

    monkeypatch.setattr(context, "_open_folder", swapping)
    packed = io.BytesIO()
    pack_context(project, ".", "FROM x", packed, 1 << 20)
    assert set(names_in(packed)) == {*OWN, "kept", "kept/file"}
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"), open_below(project, "sub/file"):
        pass


def test_a_dockerfile_that_is_a_link_or_a_pipe_is_none(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "link").symlink_to("secret")
    for name, said in (("secret", "x"), ("link", None), ("none", None)):
        with open_below(tmp_path, name) as (folder, last):
            assert read_small(folder, last, 10) == said
    with pytest.raises(OSError, match=r"\.\./x"), open_below(tmp_path, "../x"):
        pass


def test_large_files_are_read_in_pieces_and_a_cancellation_ends_the_work(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    with (tmp_path / "p" / "large").open("wb") as file:
        file.truncate(32 << 20)
    tracemalloc.start()
    try:
        with (tmp_path / "packed").open("wb") as target:
            pack_context(tmp_path / "p", ".", "FROM x", target, 64 << 20)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    checks = 0

    def check() -> None:
        nonlocal checks
        checks += 1
        if checks == 5:
            raise trio.TooSlowError

    with pytest.raises(trio.TooSlowError):
        pack_context(tmp_path / "p", ".", "FROM x", io.BytesIO(), 64 << 20, check)


def test_ignored_folders_are_not_read_and_exceptions_in_them_are(tmp_path: Path) -> None:
    for name in ("node_modules/a/b", "src/x.py", "logs/keep/y", "logs/z"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "src" / "run").symlink_to("/etc/passwd")
    (tmp_path / ".dockerignore").write_text("node_modules\nlogs\n!logs/keep\n")
    packed = io.BytesIO()
    digest = pack_context(tmp_path, ".", "FROM x", packed, 1 << 20)
    found = names_in(packed)
    assert set(found) == {*OWN, "src", "src/x.py", "src/run", "logs/keep", "logs/keep/y"}
    assert found["src/run"].issym()
    assert pack_context(tmp_path, ".", "FROM x", io.BytesIO(), 1 << 20) == digest
    (tmp_path / "src" / "x.py").chmod(0o755)
    assert pack_context(tmp_path, ".", "FROM x", io.BytesIO(), 1 << 20) != digest


@pytest.mark.parametrize(
    ("variables", "port"), [(["PORT=abc"], 80), (["PORT=99999"], 80), (["PORT=٣"], 80), (["PORT=81"], 81), (["X"], 80)]
)
def test_a_port_that_is_none_is_not_used(variables: list[str], port: int) -> None:
    config = {"Env": variables, "ExposedPorts": {"443/tcp": {}, "80/tcp": {}, "53/udp": {}}}
    assert read_built({"Id": "x", "Config": config}).port == port


def test_volumes_of_a_stage_are_those_of_the_stage_that_it_is_built_on() -> None:
    text = "FROM a AS one\nVOLUME /one\nFROM b\nVOLUME /two\nRUN x\nFROM ONE\nVOLUME /three\nRUN y\n"
    recipe = read_dockerfile(text, "Dockerfile", {})
    assert recipe.text.splitlines()[1:] == [
        *("FROM a AS one", "COPY .preview.empty /one/", "FROM b", "COPY .preview.empty /two/", "RUN x"),
        *("FROM one", "COPY .preview.empty /three/", "RUN y", "VOLUME /one", "VOLUME /three"),
    ]
    assert recipe.runs


@pytest.mark.parametrize(
    ("step", "what", "instead"),
    [
        (
            "RUN --mount=type=secret,id=a,required cat /run/secrets/a",
            "RUN --mount=type=secret",
            "a build has no secrets",
        ),
        ("RUN --mount=type=bind,target=$X ls /x", "RUN --mount=type=bind of this form", "COPY the files instead"),
        ("COPY --chmod=u+x a /a", "COPY --chmod", "RUN chmod"),
        ("COPY --chmod=$MODE a /a", "COPY --chmod", "RUN chmod"),
        ("COPY --from=base --chmod=755 a /a", "COPY --from with --chmod", "RUN chmod"),
        ("COPY --chmod=755 bin/* /a/", "COPY --chmod of 'bin/*'", "RUN chmod"),
        ("COPY --exclude=*.md a /a", "COPY --exclude", ".dockerignore"),
        ("COPY --parents a/b /a", "COPY --parents", "one COPY for each folder"),
    ],
)
def test_what_needs_buildkit_names_the_line_the_reason_and_what_to_do(step: str, what: str, instead: str) -> None:
    with pytest.raises(EnvironmentFailed) as raised:
        read_dockerfile(f"# syntax=docker/dockerfile:1\nFROM a AS base\n\n{step}\n", "Dockerfile", {})
    said = raised.value.message
    assert said.startswith(f"Dockerfile, line 4: {what}")
    assert "needs BuildKit, which is not used here, as it cannot limit a build's memory and network. " in said
    assert instead in said


def test_the_frontend_that_a_dockerfile_names_and_optional_mounts_and_links_of_layers_are_left_out() -> None:
    text = (
        "# syntax=docker/dockerfile:1\nFROM a\nRUN --mount=type=cache,target=/x make\nCOPY --link b /b\n"
        "RUN --mount=type=secret,id=token --security=sandbox npm ci\n"
    )
    recipe = read_dockerfile(text, "Dockerfile", {})
    assert recipe.text.splitlines() == ["# escape=\\", "FROM a", "RUN make", "COPY b /b", "RUN npm ci"]
    assert recipe.warnings[1] == "RUN --mount=type=secret is left out: a build has no secrets"


async def test_users_take_turns_and_none_takes_all() -> None:
    turns, order = BuildTurns(2), list[str]()
    held = {name: trio.Event() for name in ("a1", "a2", "a3", "b1", "c1")}

    async def build(name: str) -> None:
        async with turns.open_turn(name[0], lambda _: None):
            order.append(name)
            await held[name].wait()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for name in held:
                nursery.start_soon(build, name)
                await trio.testing.wait_all_tasks_blocked()
            # The second place is not for the user who has one already.
            assert order == ["a1", "b1"]
            held["b1"].set()
            await trio.testing.wait_all_tasks_blocked()
            assert order == ["a1", "b1", "c1"]
            held["a1"].set()
            await trio.testing.wait_all_tasks_blocked()
            assert order == ["a1", "b1", "c1", "a2"]
            nursery.cancel_scope.cancel()
    assert turns.running == 0
    async with turns.open_turn("a", lambda _: None):
        assert turns.running == 1


def test_what_is_added_stands_at_the_end_of_the_stage_that_is_built() -> None:
    text = "FROM a:1 AS dev\nRUN x\nFROM dev AS live\nRUN y\n"
    recipe = read_dockerfile(text, "Dockerfile", {}, target="dev", after="WORKDIR /w\nCOPY . .\n")
    assert recipe.text.splitlines()[-2:] == ["WORKDIR /w", "COPY . ."]
    assert "RUN y" not in recipe.text


def test_no_named_volume_hides_what_the_build_has_put_into_the_programs_folder() -> None:
    image = read_built({"Config": {"WorkingDir": "/app", "Volumes": {"/data": {}}}})
    source = ImageSource("Dockerfile", ".", volumes=("/app/node_modules", "/app/uploads", "/app/.venv/lib", "/cache"))
    assert with_source(image, source).volumes == ("/data", "/app/uploads", "/cache")


class _Hiccup:
    """An engine whose first answer about limits is an error; then it describes nothing any more."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def steps_of(self, _token: str) -> list[str]:
        if len(self.asked) > 1:
            raise EngineError("gone")
        return ["one"]

    async def limit_processes(self, step: str, _most: int) -> None:
        self.asked.append(step)
        if len(self.asked) == 1:
            raise EngineError("busy")

    async def written_bytes(self, _step: str) -> int:
        return 0


async def test_a_step_gets_its_limit_although_the_engine_was_busy_and_an_engine_that_is_gone_ends_the_build(
    autojump_clock: trio.testing.MockClock,
) -> None:
    images, said = _Hiccup(), list[str]()
    await _watch_steps(images, "token", 1 << 30, said.append)  # type: ignore[arg-type]  # what is asked of it
    assert images.asked == ["one", "one"]
    assert said == ["the engine does not describe its steps any more (gone)"]


@pytest.mark.parametrize("line", ["**/*/" * 20 + "x", "a/" * 60 + "**"])
def test_a_hostile_dockerignore_costs_little(line: str) -> None:
    patterns = read_ignored("\n".join(f"{line}{number}" for number in range(200)))
    started = time.thread_time()
    for number in range(100):
        is_ignored("a/" * 58 + f"b{number}", patterns)
    assert time.thread_time() - started < 2
