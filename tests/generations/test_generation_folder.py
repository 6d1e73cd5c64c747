from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import trio
from generation_kit import tree

from preview.errors import GenerationNotFound, InvalidGeneration, TooLarge
from preview.generations import FolderGenerations, GenerationLimits, GenerationSource


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shop"
    (made / "app").mkdir(parents=True)
    (made / "main.py").write_text("import app\n")
    (made / "app" / "__init__.py").write_text("")
    (made / "app" / "logo.png").write_bytes(b"\x89PNG\0")
    return made


@pytest.fixture
def target(tmp_path: Path) -> Path:
    made = tmp_path / "target"
    made.mkdir()
    return made


def source(folder: Path, limits: GenerationLimits | None = None) -> FolderGenerations:
    return FolderGenerations(folder, generation_id="gen_1", user_id="local", project_id="p", limits=limits)


async def copy(folder: Path, target: Path, limits: GenerationLimits | None = None) -> dict[str, bytes]:
    with trio.fail_after(60):
        await source(folder, limits).write_files("gen_1", target)
    return tree(target)


FILES = {"main.py": b"import app\n", "app/__init__.py": b"", "app/logo.png": b"\x89PNG\0"}


async def test_a_folder_is_one_generation_named_as_it_is(folder: Path) -> None:
    generations: GenerationSource = source(folder)
    found = await generations.get("gen_1")
    assert (found.id, found.user_id, found.project_id, found.name) == ("gen_1", "local", "p", "shop")
    assert found.created_at.tzinfo is not None


async def test_there_is_no_other_generation(folder: Path, target: Path) -> None:
    with pytest.raises(GenerationNotFound, match="gen_2"):
        await source(folder).get("gen_2")
    with pytest.raises(GenerationNotFound, match="gen_2"):
        await source(folder).write_files("gen_2", target)


async def test_files_are_copied_as_they_are_now(folder: Path, target: Path) -> None:
    generations = source(folder)
    (folder / "main.py").write_text("changed")
    await generations.write_files("gen_1", target)
    assert tree(target) == {**FILES, "main.py": b"changed"}


async def test_what_tools_make_again_is_left_out(folder: Path, target: Path) -> None:
    for name in (".git/HEAD", "node_modules/x/index.js", "app/__pycache__/a.pyc", ".venv/bin/python", "b.pyc"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    # An environment by another name, with the link that each has.
    (folder / "myenv" / "bin").mkdir(parents=True)
    (folder / "myenv" / "pyvenv.cfg").write_text("")
    (folder / "myenv" / "bin" / "python").symlink_to("/usr/bin/env")
    (folder / ".env.example").write_text("A=1")
    assert await copy(folder, target) == {**FILES, ".env.example": b"A=1"}


async def test_a_link_to_a_file_inside_becomes_that_file(folder: Path, target: Path) -> None:
    (folder / "again.py").symlink_to("main.py")
    (folder / "app" / "up").symlink_to("../main.py")
    assert await copy(folder, target) == {**FILES, "again.py": b"import app\n", "app/up": b"import app\n"}
    assert not (target / "again.py").is_symlink()


async def test_a_link_to_a_folder_inside_becomes_a_copy_of_it(folder: Path, target: Path) -> None:
    (folder / "lib").mkdir()
    (folder / "lib" / "names.py").write_text("NAME = 1\n")
    (folder / "web").mkdir()
    (folder / "web" / "lib").symlink_to("../lib")
    assert await copy(folder, target) == {**FILES, "lib/names.py": b"NAME = 1\n", "web/lib/names.py": b"NAME = 1\n"}
    assert not (target / "web" / "lib").is_symlink()


@pytest.mark.parametrize("to", [".", "..", "../app", "../other"])
async def test_links_that_lead_up_again_end(folder: Path, target: Path, to: str) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "back").symlink_to("../app")
    (folder / "app" / "loop").symlink_to(to)
    copied = await copy(folder, target)
    assert FILES.items() <= copied.items()


async def test_the_folder_itself_may_be_a_link(folder: Path, target: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    (folder / "again.py").symlink_to(folder / "main.py")
    assert await copy(tmp_path / "link", target) == {**FILES, "again.py": b"import app\n"}


@pytest.mark.parametrize(
    ("to", "why"),
    [("../secret", "points outside"), ("/etc/passwd", "points outside"), ("..", "points outside"),
     ("pipe", "points to a special file"), ("loop", "cannot be followed")],
)  # fmt: skip
async def test_any_other_link_is_refused(folder: Path, target: Path, to: str, why: str) -> None:
    (folder.parent / "secret").write_text("secret")
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(to)
    with pytest.raises(InvalidGeneration, match=f"'loop' {why}") as caught:
        await copy(folder, target)
    assert caught.value.details == {"path": "loop"}
    assert tree(target) == {}


async def test_links_to_nowhere_sockets_and_pipes_are_left_out(folder: Path, target: Path) -> None:
    (folder / ".#lock").symlink_to("somebody@somewhere.1234")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as one, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        one.bind("app.sock")
        assert await copy(folder, target) == FILES


async def test_a_name_that_is_not_utf8_is_refused(folder: Path, target: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9.py")).write_text("")
    with pytest.raises(InvalidGeneration, match="not UTF-8") as caught:
        await copy(folder, target)
    assert str(caught.value).isprintable()


async def test_a_tree_without_end_is_refused(folder: Path, target: Path) -> None:
    deep = folder.joinpath(*["d"] * 40)
    deep.mkdir(parents=True)
    with pytest.raises(InvalidGeneration, match="levels"):
        await copy(folder, target)


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path, target: Path) -> None:
    with pytest.raises(InvalidGeneration, match="does not exist"):
        await copy(tmp_path / "none", target)


async def test_an_empty_folder_is_told(tmp_path: Path, target: Path) -> None:
    (tmp_path / "empty" / "folders" / "only").mkdir(parents=True)
    with pytest.raises(InvalidGeneration, match="no files"):
        await copy(tmp_path / "empty", target)


async def test_too_many_files_and_bytes_are_refused(folder: Path, target: Path) -> None:
    with pytest.raises(TooLarge, match="more than 2 files"):
        await copy(folder, target, GenerationLimits(files=2, size_bytes=1000))
    with pytest.raises(TooLarge, match="exceed 10 bytes"):
        await copy(folder, target, GenerationLimits(files=10, size_bytes=10))


async def test_the_folder_with_most_files_and_bytes_is_named(tmp_path: Path, target: Path) -> None:
    media = tmp_path / "media" / "photos 2"
    media.mkdir(parents=True)
    (tmp_path / "main.py").write_text("")
    for number in range(9):
        (media / f"{number}.jpg").write_text("x" * 50)
    with pytest.raises(TooLarge, match=r"more than 8 files \(most of them in the folder 'media/photos 2'\); leave out"):
        await copy(tmp_path, target, GenerationLimits(files=8, size_bytes=1000))
    with pytest.raises(TooLarge, match=r"exceed 90 bytes in total \(most of it in the folder 'media/photos"):
        await copy(tmp_path, target, GenerationLimits(files=20, size_bytes=90))


async def test_the_packages_of_an_environment_without_its_mark_are_left_out(tmp_path: Path, target: Path) -> None:
    packages = tmp_path / "env" / "Lib" / "site-packages" / "flask"
    packages.mkdir(parents=True)
    (packages / "app.py").write_text("")
    (tmp_path / "main.py").write_text("")
    assert set(await copy(tmp_path, target)) == {"main.py"}


async def test_many_files_are_copied_in_parts(folder: Path, target: Path) -> None:
    for number in range(200):
        (folder / f"file_{number}").write_text(str(number))
    assert len(await copy(folder, target)) == 203


async def test_a_folder_that_may_not_be_read_is_told(
    folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may read everything, so permissions alone do not show it.
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "app":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    with monkeypatch.context() as patched:
        patched.setattr("preview.generations.folder.os.scandir", refuse)
        with pytest.raises(InvalidGeneration, match=r"'app/' cannot be read \(Permission denied\)"):
            await copy(folder, target)


async def test_a_file_that_becomes_a_pipe_meanwhile_does_not_hang(folder: Path, target: Path, swap: None) -> None:
    with pytest.raises(InvalidGeneration, match=r"'main\.py' is no longer a file"):
        await copy(folder, target)


async def test_a_file_that_goes_meanwhile_is_told(folder: Path, target: Path, remove: None) -> None:
    with pytest.raises(InvalidGeneration, match=r"'main\.py' cannot be read \(No such file"):
        await copy(folder, target)


def _after_scan(monkeypatch: pytest.MonkeyPatch, act: object) -> None:
    from preview.generations import folder as module

    scan = module.scan_folder

    def scan_then_act(root: Path, limits: GenerationLimits) -> list[module.Found]:
        found = scan(root, limits)
        assert callable(act)
        act()
        return found

    monkeypatch.setattr(module, "scan_folder", scan_then_act)


@pytest.fixture
def swap(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def act() -> None:
        (folder / "main.py").unlink()
        os.mkfifo(folder / "main.py")

    _after_scan(monkeypatch, act)


@pytest.fixture
def remove(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _after_scan(monkeypatch, (folder / "main.py").unlink)
