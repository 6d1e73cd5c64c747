"""Folders come empty and private, and go whatever the child did to them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import trio
import trio.testing
from limit_kit import no_descriptor_free

from preview.settings import Settings
from preview.supervisor.launch.workspace import open_workspace, remove_tree


def is_there(path: Path) -> bool:
    return os.path.lexists(path)


async def test_the_folders_are_private_and_apart(settings: Settings) -> None:
    async with open_workspace(settings, "preview_a") as workspace:
        assert workspace.project.parent == workspace.temp.parent == workspace.root
        for folder in (workspace.root, workspace.project, workspace.temp, workspace.database):
            assert (await trio.Path(folder).stat()).st_mode & 0o777 == 0o700
        assert workspace.database_url == f"sqlite:///{workspace.database}/preview.db"
    assert not await trio.Path(workspace.root).exists()
    assert not await trio.Path(workspace.database).exists()


async def test_folders_that_exist_already_are_refused_rather_than_shared(settings: Settings) -> None:
    async with open_workspace(settings, "preview_a"):
        with pytest.raises(FileExistsError):
            async with open_workspace(settings, "preview_a"):
                pytest.fail("shared")


async def test_removing_what_is_not_there_is_fine(tmp_path: Path) -> None:
    await remove_tree(tmp_path / "nothing")


async def test_a_link_to_a_folder_is_removed_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(precious)
    await remove_tree(tree)
    assert (precious / "file").exists()
    assert not tree.exists()


async def test_folders_without_permissions_are_removed_as_an_ordinary_user_too(tmp_path: Path) -> None:
    """Root passes every permission, so this runs as somebody else where the tests run as root."""
    code = """
import os, sys, trio
from pathlib import Path
from preview.supervisor.launch.workspace import remove_tree
tree = Path(sys.argv[1]) / "tree"
(tree / "locked" / "deep").mkdir(parents=True)
(tree / "locked" / "deep" / "file").touch()
os.chmod(tree / "locked" / "deep", 0o000)
os.chmod(tree / "locked", 0o500)
(tree / "unreadable").mkdir()
os.chmod(tree / "unreadable", 0o000)
trio.run(remove_tree, tree)
assert not tree.exists(), list(tree.rglob("*"))
"""
    place = tmp_path / "place"
    place.mkdir()
    prefix: list[str] = []
    if os.getuid() == 0:
        os.chown(place, 65534, 65534)
        for parent in place.parents:
            if parent.stat().st_uid == 0 and parent != Path("/") and parent != Path("/tmp"):
                parent.chmod(parent.stat().st_mode | 0o011)
        prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        readable = await trio.run_process(
            [*prefix, sys.executable, "-c", "import preview"], capture_stderr=True, check=False
        )
        if readable.returncode != 0:
            pytest.skip("an ordinary user cannot read this interpreter's folder")
    done = await trio.run_process([*prefix, sys.executable, "-c", code, str(place)], capture_stderr=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the stack ends inside of scandir
async def test_folders_nested_deeper_than_a_stack_goes_are_removed(tmp_path: Path) -> None:
    directory = tmp_path / "deep"
    directory.mkdir()
    here = os.open(directory, os.O_RDONLY)
    for _ in range(1_500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    await remove_tree(directory)
    assert not await trio.Path(directory).exists()


@pytest.mark.timed
async def test_a_folder_that_could_not_be_removed_for_want_of_descriptors_is_removed_a_moment_later(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    begun = trio.current_time()
    async with trio.open_nursery() as nursery:
        with no_descriptor_free():
            nursery.start_soon(remove_tree, tree)
            await trio.sleep(0.05)
            assert is_there(tree)
    assert not is_there(tree)
    assert trio.current_time() - begun < 2
