"""The folder that sandboxes see as ``/etc``: whole at any moment, without what not everybody may read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import sandbox_programs as programs
from runtime_kit import Start, read_all

from preview.core.isolation import Network
from preview.runtime.sandbox import View, etc
from preview.runtime.sandbox.etc import etc_mounts, write_etc
from preview.runtime.sandbox.view import view_arguments


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another machine's ``/etc``."""
    folder = tmp_path / "etc-of-the-machine"
    (folder / "ssl").mkdir(parents=True)
    (folder / "services").write_text("http 80/tcp\n")
    (folder / "protocols").write_text("tcp 6 TCP\n")
    (folder / "localtime").symlink_to("/usr/share/zoneinfo/Etc/UTC")
    monkeypatch.setattr(etc, "_ETC", str(folder))
    return folder


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_it_holds_what_the_machine_has_and_a_user_list_of_its_own(machine: Path, tmp_path: Path) -> None:
    write_etc(tmp_path / "own")
    alone = tmp_path / "own" / "alone"
    assert names(alone) == {"services", "protocols", "localtime", "ssl", "passwd", "group", "hosts", "nsswitch.conf"}
    assert (alone / "services").read_text() == (machine / "services").read_text()
    assert str((alone / "localtime").readlink()) == "/usr/share/zoneinfo/Etc/UTC"


def test_what_not_everybody_may_read_is_not_copied(machine: Path, tmp_path: Path) -> None:
    (machine / "services").chmod(0o640)
    write_etc(tmp_path / "own")
    assert "services" not in names(tmp_path / "own" / "alone")


def test_a_link_out_of_the_system_is_copied_as_the_file_that_it_leads_to(machine: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("udp 17 UDP\n")
    (machine / "protocols").unlink()
    (machine / "protocols").symlink_to(tmp_path / "elsewhere")
    write_etc(tmp_path / "own")
    assert not (tmp_path / "own" / "alone" / "protocols").is_symlink()
    assert (tmp_path / "own" / "alone" / "protocols").read_text() == "udp 17 UDP\n"


def test_it_is_brought_up_to_date_and_what_is_as_it_was_is_not_touched(machine: Path, tmp_path: Path) -> None:
    write_etc(tmp_path / "own")
    alone = tmp_path / "own" / "alone"
    before = (alone / "protocols").stat()
    (machine / "services").write_text("https 443/tcp\n")
    (machine / "localtime").unlink()
    (machine / "ssl").rmdir()
    write_etc(tmp_path / "own")
    assert (alone / "services").read_text() == "https 443/tcp\n"
    assert {"localtime", "ssl"}.isdisjoint(names(alone))
    assert (alone / "protocols").stat().st_ino == before.st_ino
    assert names(tmp_path / "own") == {"alone", "networked"}


def test_previews_read_it_whatever_the_services_umask_is(machine: Path, tmp_path: Path) -> None:
    del machine
    before = os.umask(0o077)
    try:
        write_etc(tmp_path / "own")
    finally:
        os.umask(before)
    for path in [tmp_path / "own", *(tmp_path / "own").rglob("*")]:
        assert path.is_symlink() or path.stat().st_mode & 0o004, path


def test_without_the_machines_network_the_machines_names_are_not_there(tmp_path: Path) -> None:
    write_etc(tmp_path)
    assert "resolv.conf" not in names(tmp_path / "alone")
    assert {"/etc/resolv.conf", "/etc/hosts"}.isdisjoint(where for _, where in etc_mounts(tmp_path, Network.NONE))
    assert ("/etc/resolv.conf", "/etc/resolv.conf") in etc_mounts(tmp_path, Network.HOST)


@pytest.fixture
def another() -> Path:
    """A file of the machine's that sandboxes do not see of themselves."""
    path = Path("/etc/shells")
    if not path.exists():
        pytest.skip(f"no {path}")
    return path


async def test_a_file_of_etc_that_is_given_besides_is_shown_beside_the_others(
    start_sandboxed: Start, another: Path
) -> None:
    async with start_sandboxed(programs.ETC, str(another), readable=(another,)) as process:
        assert await read_all(process) == f"{another.name} is here True\n"


@pytest.mark.parametrize("inner", ["bin", "deep/er"])
def test_a_folder_in_one_that_is_shown_is_not_mounted_again(tmp_path: Path, inner: str) -> None:
    (tmp_path / inner).mkdir(parents=True)
    view = View((tmp_path, tmp_path / inner), (), tmp_path, Network.NONE, 2**20)
    alone = replace(view, readable=(tmp_path,))
    write_etc(tmp_path)
    assert view_arguments(view) == view_arguments(alone)


def test_a_link_out_of_a_folder_that_is_shown_is_shown_too(tmp_path: Path) -> None:
    (tmp_path / "shown").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "shown" / "lib").symlink_to(tmp_path / "elsewhere")
    write_etc(tmp_path / "own")
    readable = (tmp_path / "shown", tmp_path / "shown" / "lib")
    arguments = view_arguments(View(readable, (), tmp_path / "own", Network.NONE, 2**20))
    assert str(tmp_path / "shown" / "lib") in arguments


def test_a_folder_to_read_in_one_to_write_stays_one_to_read(tmp_path: Path) -> None:
    (tmp_path / "project" / "shared").mkdir(parents=True)
    write_etc(tmp_path / "own")
    shared = tmp_path / "project" / "shared"
    arguments = view_arguments(View((tmp_path, shared), (shared.parent,), tmp_path / "own", Network.NONE, 2**20))
    assert arguments[arguments.index(str(shared)) - 1] == "--ro-bind"


@pytest.mark.parametrize(
    "where", ["/etc/app", "/usr/src/app", "/tmp", "/data", "/data/previews/p/project/x", "/proc/1", "/"]
)
def test_a_link_hides_nothing_that_is_shown(tmp_path: Path, where: str) -> None:
    project = Path("/data/previews/p/project")
    links = {Path(where): project, Path("/srv/app"): project}
    arguments = view_arguments(View((), (project,), tmp_path / "own", Network.NONE, 2**20, links=links))
    assert where not in [arguments[at + 2] for at, word in enumerate(arguments) if word == "--symlink"]
    at = arguments.index("/srv/app")
    assert arguments[at - 2 : at + 1] == ["--symlink", str(project), "/srv/app"]
    assert "/srv" in [arguments[at + 1] for at, word in enumerate(arguments) if word == "--dir"]
