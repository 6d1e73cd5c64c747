from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from preview.auth import load_or_create_secret
from preview.errors import ConfigurationError
from preview.settings import Settings


def settings(folder: Path, **more: object) -> Settings:
    return Settings(data_dir=folder / "data", **more)  # type: ignore[arg-type]  # pydantic validates each value


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask_of_0777() -> Iterator[None]:
    before = os.umask(0o777)
    yield
    os.umask(before)


def put(folder: Path, content: bytes, permissions: int = 0o600) -> Path:
    path = folder / "data" / "secret"
    path.parent.mkdir()
    path.write_bytes(content)
    path.chmod(permissions)
    return path


def test_the_first_start_makes_a_secret_that_only_its_owner_can_read(tmp_path: Path) -> None:
    made = load_or_create_secret(settings(tmp_path))
    assert len(made) == 43
    assert mode(tmp_path / "data" / "secret") == 0o600
    assert mode(tmp_path / "data") == 0o700
    assert names(tmp_path / "data") == ["secret"]


def test_the_next_start_finds_the_same(tmp_path: Path) -> None:
    assert load_or_create_secret(settings(tmp_path)) == load_or_create_secret(settings(tmp_path))


def test_two_folders_have_two_secrets(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert load_or_create_secret(settings(tmp_path / "a")) != load_or_create_secret(settings(tmp_path / "b"))


def test_a_strange_umask_does_not_lock_us_out(tmp_path: Path, umask_of_0777: None) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o700)
    load_or_create_secret(settings(tmp_path))
    assert mode(tmp_path / "data" / "secret") == 0o600


def test_many_starters_at_once_agree(tmp_path: Path) -> None:
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        barrier = threading.Barrier(4)
        found: list[str] = []

        def start(folder: Path = folder, barrier: threading.Barrier = barrier, found: list[str] = found) -> None:
            barrier.wait(5)
            found.append(load_or_create_secret(settings(folder)))

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(found) == 4
        assert len(set(found)) == 1
        assert names(folder / "data") == ["secret"]


def test_who_comes_second_takes_the_first_ones_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link, theirs = os.link, "f" * 43

    def overtaken(source: Path, target: Path) -> None:
        Path(target).write_text(theirs)
        link(source, target)

    monkeypatch.setattr(os, "link", overtaken)
    assert load_or_create_secret(settings(tmp_path)) == theirs
    assert names(tmp_path / "data") == ["secret"]


def test_a_file_that_others_can_read_is_tightened_and_that_is_said(tmp_path: Path) -> None:
    path = put(tmp_path, b"s" * 43, 0o644)
    with capture_logs() as said:
        load_or_create_secret(settings(tmp_path))
    assert mode(path) == 0o600
    assert [one["event"] for one in said] == ["secret mode tightened"]
    assert "s" * 43 not in repr(said)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"s" * 31 + b"\n", "shorter than 32"),
        (b"\xff" * 43, "not text"),
        (b"s" * 5000, "longer than"),
    ],
)
def test_a_file_that_cannot_be_a_secret_is_refused_with_what_to_do(tmp_path: Path, content: bytes, what: str) -> None:
    path = put(tmp_path, content)
    with pytest.raises(ConfigurationError, match=what) as caught:
        load_or_create_secret(settings(tmp_path))
    assert "delete it" in caught.value.message
    assert path.read_bytes() == content


def test_a_folder_or_a_pipe_in_its_place_is_refused(tmp_path: Path) -> None:
    for name, make in (("a", Path.mkdir), ("b", os.mkfifo)):
        (tmp_path / name / "data").mkdir(parents=True)
        make(tmp_path / name / "data" / "secret")
        with pytest.raises(ConfigurationError, match="not a file"):
            load_or_create_secret(settings(tmp_path / name))


def test_a_data_folder_that_is_a_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigurationError, match="PREVIEW_JWT_SECRET"):
        load_or_create_secret(settings(tmp_path))


def test_a_file_system_without_links_is_refused_and_left_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(ConfigurationError, match="Operation not permitted"):
        load_or_create_secret(settings(tmp_path))
    assert names(tmp_path / "data") == []


def test_the_setting_wins_and_makes_no_file(tmp_path: Path) -> None:
    given = "x" * 32
    assert load_or_create_secret(settings(tmp_path, jwt_secret=SecretStr(given))) == given
    assert not (tmp_path / "data").exists()


def test_a_short_setting_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="at least 32") as caught:
        load_or_create_secret(settings(tmp_path, jwt_secret=SecretStr("hunter2")))
    assert "hunter2" not in caught.value.message + repr(caught.value.details)
