"""Files of the installation that previews with users of their own cannot read."""

from __future__ import annotations

from pathlib import Path

import pytest

from preview.runtime import reading
from preview.runtime.reading import closed_to_previews


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation whose files all users can read, with the Pythons that uv has installed."""
    python = tmp_path / "pythons" / "cpython-3" / "bin" / "python3"
    for file in (python, tmp_path / "launchers" / "serve.py", tmp_path / "template" / "template.py"):
        file.parent.mkdir(parents=True)
        file.touch(0o644)
        file.chmod(0o644)
    for folder in (tmp_path, *(one for one in tmp_path.rglob("*") if one.is_dir())):
        folder.chmod(0o755)
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "pythons"))
    monkeypatch.setattr(reading, "LAUNCHERS", tmp_path / "launchers")
    monkeypatch.setattr(reading, "TEMPLATE", tmp_path / "template")
    monkeypatch.setattr("sys.executable", "/bin/sh")
    monkeypatch.setattr("os.__file__", "/bin/sh")
    monkeypatch.setattr("shutil.which", lambda _name: None)
    return tmp_path


def test_an_installation_for_all_users_has_nothing_closed(installed: Path) -> None:
    assert closed_to_previews() is None
    assert (installed / "launchers").is_dir()


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("launchers", 0o700),
        ("launchers", 0o754),
        ("launchers/serve.py", 0o640),
        ("template/template.py", 0o600),
        ("pythons/cpython-3/bin", 0o700),
        ("pythons/cpython-3/bin/python3", 0o700),
        ("pythons/cpython-3/bin/python3", 0o754),
    ],
)
def test_what_a_strict_umask_closed_is_named(installed: Path, path: str, mode: int) -> None:
    (installed / path).chmod(mode)
    try:
        assert closed_to_previews() == installed / path
    finally:
        (installed / path).chmod(0o755)


def test_a_service_without_a_home_folder_looks_at_the_rest(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("UV_PYTHON_INSTALL_DIR")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", fail)
    assert closed_to_previews() is None
    assert installed.is_dir()
